//! Files that are cut off, changed, or say something else.

use crate::common::*;
use crate::data::{Odd, two_classes};
use gradus::Float;
use gradus::prelude::*;
use gradus::save::{Checkpoint, Registry};

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

/// Lets `read` have a file with each bit of it flipped in turn; gives how often it took that for a file, and the last refusal.
fn flipped<T>(file: &[u8], read: impl Fn(&[u8]) -> gradus::Result<T>) -> (usize, String) {
    assert!(read(file).is_ok());
    let (mut taken, mut refusal) = (0, String::new());
    let mut changed = file.to_vec();
    for i in 0..file.len() {
        for bit in 0..8 {
            changed[i] ^= 1 << bit;
            match read(&changed) {
                Ok(_) => taken += 1,
                Err(error) => refusal = error.to_string(),
            }
            changed[i] = file[i];
        }
    }
    (taken, refusal)
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    let mut network = two_classes();
    network.set_note("classes", "a, b");
    let read = |bytes: &[u8]| Network::from_bytes(bytes, &Registry::default());
    let file = network.to_bytes().unwrap();
    let (taken, refusal) = flipped(&file, read);
    assert_eq!(taken, 0);
    assert!(
        refusal.contains("its content") && refusal.contains("damaged"),
        "{refusal}"
    );
    // Without a checksum most changes of the numbers and the notes are not seen; and files without one are read.
    assert!(flipped(&unchecked(&file), read).0 > 100);
}

#[test]
fn a_flipped_bit_is_found_in_checkpoints() {
    let path = folder("bad_input_flipped").join("checkpoint.safetensors");
    let never = std::time::Duration::from_secs(1000);
    let adam = Fit::new(CrossEntropy::new(), Adam::new(0.1))
        .epochs(2)
        .batch_size(8)
        .metric(Accuracy);
    adam.checkpoint(&path, never)
        .run(&mut two_classes(), &Odd::new())
        .unwrap();
    let file = std::fs::read(path).unwrap();
    assert_eq!(flipped(&file, Checkpoint::from_bytes).0, 0);
    assert!(flipped(&unchecked(&file), Checkpoint::from_bytes).0 > 1000);
}

/// Our file with its header changed by `change`.
fn with_header(network: &Network, change: impl Fn(&mut serde_json::Value)) -> Vec<u8> {
    let bytes = unchecked(&network.to_bytes().unwrap());
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
        load(&|h| h["__metadata__"]["gradus.format"] = "3".into()),
        &["format 3", "formats 1 to 2"],
    );
    refused(
        load(&|h| h["__metadata__"]["gradus.format"] = "2".into()),
        &["no checksum", "damaged"],
    );
    refused(
        load(&|h| h["__metadata__"]["gradus.checksum"] = "0123abcd".into()),
        &["checksum is 0123abcd", "that of its content"],
    );
    refused(
        load(&|h| h["__metadata__"]["gradus.checksum"] = "short".into()),
        &["checksum is short", "damaged"],
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
        &["`1.weight` is of type BF16, and only F", "convert it"],
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
    let mut bytes = unchecked(&network.to_bytes().unwrap());
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
    // Zip archives of `torch.save`, and the bare pickles before them.
    for pickle in [
        &b"PK\x03\x04\0\0\x08\x08\0\0"[..],
        b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.",
        b"\x80\x03\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.",
        b"\x80\x04\x95\r\0\0\0\0\0\0\0\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.",
    ] {
        std::fs::write(folder.join("model.pt"), pickle).unwrap();
        let sentence = refused(
            Network::load(folder.join("model.pt")),
            &["model.pt: this is a pickle", "save_file"],
        );
        assert!(!sentence.contains("whole"), "{sentence}");
        refused(
            two_classes().load_weights(folder.join("model.pt")),
            &["this is a pickle"],
        );
    }
    std::fs::write(folder.join("text"), "no network").unwrap();
    refused(Network::load(folder.join("text")), &["text", "safetensors file"]);
    refused(two_classes().save(folder.join("text/below")), &["text", "folder"]);
    refused(two_classes().save(&folder), &["can't be written"]);
}
