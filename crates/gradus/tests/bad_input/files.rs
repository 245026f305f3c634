//! Files that are cut off, changed, or say something else.

use crate::common::*;
use crate::data::two_classes;
use gradus::Float;
use gradus::prelude::*;
use gradus::save::Registry;

#[test]
fn files_cut_off_anywhere() {
    let bytes = two_classes().to_bytes().unwrap();
    assert!(Network::from_bytes(&bytes, &Registry::default()).is_ok());
    for length in 0..bytes.len() {
        refused(
            Network::from_bytes(&bytes[..length], &Registry::default()),
            &["safetensors file"],
        );
    }
    let longer = [&bytes[..], &[0]].concat();
    refused(
        Network::from_bytes(&longer, &Registry::default()),
        &["safetensors file", "end at byte"],
    );
}

#[test]
fn files_with_a_flipped_bit() {
    let bytes = two_classes().to_bytes().unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut refusals = 0;
    for i in 0..bytes.len() {
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[i] ^= 1 << bit;
            match Network::from_bytes(&bytes, &Registry::default()) {
                Err(error) => {
                    refusals += 1;
                    assert!(error.to_string().len() > 20, "{error}");
                }
                // A number that is another one, a note that says something else.
                Ok(network) => assert_eq!(network.output_shape(), &Shape::from(2)),
            }
        }
    }
    assert!(
        refusals > 5 * header,
        "{refusals} of {} flips of the header are found",
        8 * header
    );
}

/// Our file with its header changed by `change`.
fn with_header(network: &Network, change: impl Fn(&mut serde_json::Value)) -> Vec<u8> {
    let bytes = network.to_bytes().unwrap();
    let (length, rest) = bytes.split_first_chunk::<8>().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let mut header = serde_json::from_slice(header).unwrap();
    change(&mut header);
    let header = header.to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
}

#[test]
fn files_that_say_something_else() {
    let network = two_classes();
    let load = |change: &dyn Fn(&mut serde_json::Value)| {
        Network::from_bytes(&with_header(&network, change), &Registry::default())
    };
    assert!(load(&|_| ()).is_ok());
    refused(
        load(&|h| h["__metadata__"]["gradus.format"] = "2".into()),
        &["format 2", "formats 1 to 1"],
    );
    refused(
        load(&|h| h["__metadata__"]["gradus.format"] = "one".into()),
        &["format one"],
    );
    refused(
        load(&|h| h["__metadata__"] = serde_json::json!({ "format": "pt" })),
        &["not written by Gradus"],
    );
    refused(
        load(&|h| h["__metadata__"]["gradus.architecture"] = "{".into()),
        &["architecture", "JSON"],
    );
    let architecture = |from: &str, to: &str| {
        let (from, to) = (from.to_string(), to.to_string());
        load(&move |h| {
            let text = h["__metadata__"]["gradus.architecture"].as_str().unwrap();
            assert!(text.contains(&from), "{text}");
            h["__metadata__"]["gradus.architecture"] = text.replace(&from, &to).into();
        })
    };
    refused(
        architecture("softmax", "softmin"),
        &["layers[2]", "\"softmin\"", "softmax"],
    );
    refused(architecture("\"units\"", "\"unit\""), &["layers[1]", "dense", "unit"]);
    refused(architecture("\"layers\"", "\"strata\""), &["`strata`"]);
    refused(
        architecture("\"kind\":\"softmax\"", "\"sort\":\"softmax\""),
        &["layers[2]", "`kind`"],
    );
    refused(architecture("[2]", "[[2]]"), &["`input`", "shape"]);
    refused(
        architecture("\"units\":2", "\"units\":3"),
        &["`1.weight`", "2×2", "3×2"],
    );
    let tensors = |change: &dyn Fn(&mut serde_json::Map<String, serde_json::Value>)| {
        load(&|h| change(h.as_object_mut().unwrap()))
    };
    let renamed = |h: &mut serde_json::Map<String, serde_json::Value>| {
        let weight = h.remove("1.weight").unwrap();
        h.insert("1.wait".into(), weight);
    };
    refused(tensors(&renamed), &["no tensor `1.weight`", "2×2"]);
    let extra = |h: &mut serde_json::Map<String, serde_json::Value>| {
        let mut extra = h["1.bias"].clone();
        let end = h.values().filter_map(|t| t["data_offsets"][1].as_u64()).max();
        extra["shape"] = serde_json::json!([0]);
        extra["data_offsets"] = serde_json::json!([end, end]);
        h.insert("5.bias".into(), extra);
    };
    refused(tensors(&extra), &["`5.bias`", "architecture"]);
    refused(
        tensors(&|h| h["1.weight"]["shape"] = serde_json::json!([4])),
        &["`1.weight`", "shape 4", "2×2"],
    );
    refused(
        tensors(&|h| h["1.weight"]["dtype"] = "BF16".into()),
        &["`1.weight`", "BF16"],
    );
    refused(
        tensors(&|h| h["1.weight"]["data_offsets"] = serde_json::json!([16, 0])),
        &["`1.weight`"],
    );
    refused(load(&|h| h["__metadata__"] = 3.into()), &["metadata"]);
}

#[test]
fn weights_that_are_not_finite_are_neither_saved_nor_loaded() {
    let mut network = two_classes();
    let mut bytes = network.to_bytes().unwrap();
    let end = bytes.len();
    bytes[end - size_of::<Float>()..].copy_from_slice(&Float::NAN.to_le_bytes());
    refused(
        Network::from_bytes(&bytes, &Registry::default()),
        &["tensor `0.running_var`", "NaN", "position 1"],
    );
    network.set("1.bias", &[0.0, Float::INFINITY]).unwrap();
    refused(network.to_bytes(), &["tensor `1.bias`", "inf", "position 1"]);
}

#[test]
fn files_that_are_not_there() {
    let folder = folder("bad_input");
    refused(
        Network::load(folder.join("none.safetensors")),
        &["none.safetensors", "can't be read"],
    );
    refused(Network::load(&folder), &["can't be read"]);
    std::fs::write(folder.join("text"), "no network").unwrap();
    refused(Network::load(folder.join("text")), &["text", "safetensors file"]);
    refused(two_classes().save(folder.join("text/below")), &["text", "folder"]);
    refused(two_classes().save(&folder), &["can't be written"]);
}
