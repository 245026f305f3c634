//! A file can claim anything; it never makes the library allocate more than a small multiple of its own size.

#[path = "common/allocator.rs"]
mod allocator;
mod common;

use allocator::allocated;
use common::*;
use gradus::data::{Column, Csv};
use gradus::prelude::*;
use gradus::save::{Checkpoint, Registry};
use serde_json::{Value, json};

/// A safetensors file with this header.
fn file(header: &Value, data: &[u8]) -> Vec<u8> {
    let header = header.to_string();
    let length = (header.len() as u64).to_le_bytes();
    [&length[..], header.as_bytes(), data].concat()
}

fn declared(input: Value, layers: Value) -> Vec<u8> {
    let architecture = json!({ "input": input, "layers": layers }).to_string();
    file(
        &json!({ "__metadata__": { "gradus.format": "1", "gradus.architecture": architecture } }),
        &[],
    )
}

fn refused_cheaply(bytes: &[u8], words: &[&str]) {
    let mut result = None;
    let (_, allocated) = allocated(|| result = Some(Network::from_bytes(bytes, &Registry::default())));
    let sentence = refused(result.unwrap(), words);
    let most = 100 * bytes.len() + 10_000;
    assert!(
        allocated < most,
        "{allocated} bytes allocated for a file of {}: {sentence}",
        bytes.len()
    );
}

/// A table of short rows, of which each is two numbers: 4 bytes of text are at most 16 of numbers.
fn short_rows_stay_short() {
    let rows = 500_000;
    let text = "1,2\n3,4\n".repeat(rows / 2);
    let mut table = None;
    let (_, allocated) = allocated(|| table = Csv::classification(Column::Last).parse_table(text.as_bytes()).ok());
    let table = table.unwrap();
    assert_eq!(table.class_names().unwrap(), ["2", "4"]);
    assert_eq!(table.labels().unwrap()[rows - 3..], [1, 0, 1]);
    assert_eq!(table.rows().len(), rows);
    // The allocator has both the old room and the new where a list grows.
    assert!(allocated < 24 * rows + (4 << 20), "{allocated} bytes for {rows} rows");
}

#[test]
fn claims_cost_nothing() {
    short_rows_stay_short();
    let huge = 1_u64 << 40;
    // Registry::default() is part of what is counted: a few kilobytes.
    for length in [u64::MAX, 1 << 62, 1 << 40, 100] {
        refused_cheaply(
            &length.to_le_bytes(),
            &["not a whole safetensors file", "header claims"],
        );
    }
    let dtype = if cfg!(gradus_f64) { "F64" } else { "F32" };
    for shape in [json!([huge]), json!([huge, huge, huge]), json!([u64::MAX, u64::MAX])] {
        for end in [0, 4, huge, u64::MAX] {
            let tensor = json!({ "dtype": dtype, "shape": &shape, "data_offsets": [0, end] });
            refused_cheaply(
                &file(&json!({ "0.weight": tensor }), &[0; 4]),
                &["0.weight", "can't lie in"],
            );
        }
    }

    for claim in [json!([huge]), json!([u64::MAX, 2])] {
        let tensor = json!({ "dtype": dtype, "shape": claim, "data_offsets": [0, 4] });
        let metadata = json!({ "gradus.checkpoint": "1", "gradus.checkpoint.progress": "{}" });
        let bytes = file(&json!({ "__metadata__": metadata, "optimizer.0": tensor }), &[0; 4]);
        let mut result = None;
        let (_, allocated) = allocated(|| result = Some(Checkpoint::from_bytes(&bytes)));
        refused(result.unwrap(), &["optimizer.0", "can't lie in"]);
        assert!(allocated < 100 * bytes.len() + 10_000, "{allocated}");
    }

    let image = json!([1, 8, 8]);
    let grows = &["grows beyond"][..];
    for (input, layer, words) in [
        (
            json!([huge]),
            json!({ "kind": "relu" }),
            &["input shape", "at most"][..],
        ),
        (json!([u64::MAX, u64::MAX]), json!({ "kind": "relu" }), &["input shape"]),
        (json!([1 << 28]), json!({ "kind": "relu" }), grows),
        (json!([8]), json!({ "kind": "dense", "units": huge }), grows),
        (
            json!([8]),
            json!({ "kind": "dense", "units": u64::MAX }),
            &["more than any memory"],
        ),
        (
            json!([8]),
            json!({ "kind": "dense", "units": 1 << 20 }),
            &["no tensor `0.weight`"],
        ),
        (
            image.clone(),
            json!({ "kind": "conv2d", "channels": huge, "kernel": 3 }),
            grows,
        ),
        (
            image.clone(),
            json!({ "kind": "conv2d", "channels": 1, "kernel": huge }),
            &["larger than any image"],
        ),
        (
            image.clone(),
            json!({ "kind": "conv2d", "channels": 1, "kernel": 1, "padding": { "explicit": { "top": huge, "bottom": huge, "left": huge, "right": huge } } }),
            &["more than any memory"],
        ),
        (
            image.clone(),
            json!({ "kind": "max_pool2d", "kernel": 1 << 30, "stride": 1, "padding": "same" }),
            &["larger than any image"],
        ),
        (
            image.clone(),
            json!({ "kind": "avg_pool2d", "kernel": u64::MAX, "stride": u64::MAX }),
            &["larger than any image"],
        ),
        (image, json!({ "kind": "reshape", "shape": [huge, huge] }), &["reshape"]),
    ] {
        refused_cheaply(&declared(input, json!([layer])), words);
    }

    // A few thousand layers that need far more memory than their file has, and residual blocks within each other.
    let relus = vec![json!({ "kind": "relu" }); 3000];
    refused_cheaply(&declared(json!([1 << 20]), json!(relus)), grows);
    let mut nested = json!([{ "kind": "dense", "units": 8 }]);
    for _ in 0..30 {
        nested = json!([{ "kind": "residual", "body": nested }]);
    }
    refused_cheaply(&declared(json!([8]), nested), &["no tensor", "0.body.0.body.0"]);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let length = (deep.len() as u64).to_le_bytes();
    refused_cheaply(&[&length[..], deep.as_bytes()].concat(), &["not a JSON object"]);
}
