//! What fuzzing found (see `fuzz/`), beside what the tests of single files hold.

use gradus::data::{Column, Csv, Dataset};
use gradus::prelude::*;
use gradus::save::Registry;
use serde_json::json;

fn build(declared: serde_json::Value) -> gradus::Result<Network> {
    Sequential::from_json(&declared, &Registry::default())?.build(1)
}

/// The number of outputs overflowed.
#[test]
fn pooling_with_huge_padding_is_refused() {
    let side = 1u64 << 40;
    let p = side - 1;
    for kind in ["max_pool2d", "avg_pool2d"] {
        let padding = json!({ "explicit": { "top": p, "bottom": p, "left": p, "right": p } });
        let layer = json!({ "kind": kind, "kernel": side, "stride": 1, "padding": padding });
        let error = build(json!({ "input": [1, 1, 1], "layers": [layer] })).unwrap_err();
        assert!(error.to_string().contains("larger than any image"), "{error}");
    }
}

/// The sum of a block was not counted.
#[test]
fn a_residual_block_counts_toward_the_most_values() {
    let declared = |size: usize| {
        build(json!({ "input": [size], "layers": [{ "kind": "residual", "body": [{ "kind": "relu" }] }] }))
    };
    assert!(declared(1 << 25).is_ok());
    let error = declared(1 << 26).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("layer 0 (residual): with it the network grows beyond"),
        "{error}"
    );
}

/// Each tensor was looked for among all: the time grew with the square of the file.
#[test]
fn very_many_tensors_are_read() {
    let layers = Layers::new();
    let layers = (0..10_000).fold(layers, |layers, _| layers.layer(BatchNorm::new()));
    let network = Sequential::new([1]).layers(layers).build(1).unwrap();
    let again = Network::from_bytes(&network.to_bytes().unwrap(), &Registry::default()).unwrap();
    assert_eq!(again.weights(), network.weights());
}

/// Each label was looked for among all.
#[test]
fn a_table_with_a_class_for_each_row_is_read() {
    let table: String = (0..100_000).map(|i| format!("1,{i}\n")).collect();
    let data = Csv::classification(Column::Last).parse(table.as_bytes()).unwrap();
    assert_eq!(data.target(99_999), gradus::data::Target::Class(99_999));
}
