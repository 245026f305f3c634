//! Networks of PyTorch, Keras and scikit-learn: imported, they give what those frameworks give. `python/fixtures.py` makes the
//! files.

use std::fs;
use std::path::{Path, PathBuf};

use gradus::prelude::*;
use gradus::{Float, Shape};
use gradus_onnx::{Export, Import, Imported, export, import, import_with};
use ndarray::ArrayD;
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn names() -> Vec<String> {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let onnx = files.filter(|path| path.extension().is_some_and(|ending| ending == "onnx"));
    let mut names: Vec<_> = onnx
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_string())
        .collect();
    names.sort();
    names
}

fn file(name: &str) -> Vec<u8> {
    fs::read(folder().join(format!("{name}.onnx"))).unwrap()
}

fn imported(name: &str) -> Imported {
    import(&file(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The inputs and outputs of a framework, as our network has them.
fn case(name: &str, imported: &Imported) -> (ArrayD<Float>, ArrayD<Float>) {
    let case: Value = serde_json::from_slice(&fs::read(folder().join(format!("{name}.json"))).unwrap()).unwrap();
    let array = |key: &str| -> ArrayD<Float> {
        let shape: Vec<usize> = serde_json::from_value(case[key]["shape"].clone()).unwrap();
        let values: Vec<Float> = serde_json::from_value(case[key]["values"].clone()).unwrap();
        ArrayD::from_shape_vec(shape, values).unwrap()
    };
    let (mut x, mut y) = (array("x"), array("y"));
    if imported.channels_last {
        x = x.permuted_axes(vec![0, 3, 1, 2]);
    }
    if imported.two_classes {
        y.swap_axes(0, 1);
        y = y
            .index_axis(ndarray::Axis(0), 1)
            .to_owned()
            .insert_axis(ndarray::Axis(1));
    }
    let shape: Vec<usize> = [x.shape()[0]]
        .into_iter()
        .chain(imported.network.input_shape().iter().copied())
        .collect();
    let x = x
        .as_standard_layout()
        .into_owned()
        .into_shape_with_order(shape)
        .unwrap();
    (x, y)
}

#[track_caller]
fn assert_close(what: &str, found: &ArrayD<Float>, expected: &ArrayD<Float>) {
    assert_eq!(found.shape(), expected.shape(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        let ok = (found - expected).abs() <= 1e-5 * expected.abs().max(1.0);
        assert!(ok, "{what}: {found}, expected {expected}");
    }
}

#[test]
fn networks_of_the_frameworks_give_what_they_give_there() {
    let names = names();
    assert_eq!(names.len(), 22, "{names:?}");
    for name in names {
        let imported = imported(&name);
        let (x, y) = case(&name, &imported);
        assert_close(&name, &imported.network.predict(&x).unwrap(), &y);
        // And once more through a file of our own, with the softmax.
        let again = import(&export(&imported.network, &Export::default()).unwrap()).unwrap();
        assert_close(&name, &again.network.predict(&x).unwrap(), &y);
    }
}

fn kinds(network: &Network) -> Vec<String> {
    let layers = network.architecture().unwrap()["layers"].as_array().unwrap().clone();
    layers
        .iter()
        .map(|layer| layer["kind"].as_str().unwrap().to_string())
        .collect()
}

#[test]
fn nodes_become_the_layers_that_they_came_from() {
    for (name, expected) in [
        ("torch_mlp_old", "flatten dense tanh dense softmax"),
        ("torch_mlp_dynamo", "flatten dense tanh dense softmax"),
        (
            "torch_activations_old",
            "dense gelu dense silu dense elu dense softplus batch_norm tanh dense softmax",
        ),
        (
            "torch_activations_dynamo",
            "dense gelu dense silu dense elu dense softplus batch_norm tanh dense softmax",
        ),
        (
            "torch_resnet_old",
            "residual relu residual relu global_avg_pool2d dense",
        ),
        (
            "torch_joins_old",
            "concat relu multiply concat concat concat multiply global_avg_pool2d concat dense",
        ),
        (
            "torch_joins_dynamo",
            "concat relu multiply concat concat concat multiply global_avg_pool2d concat dense",
        ),
        (
            "torch_upsample_old",
            "conv2d upsample2d tanh upsample2d conv2d upsample2d tanh upsample2d avg_pool2d flatten dense",
        ),
        (
            "torch_upsample_dynamo",
            "conv2d upsample2d tanh upsample2d conv2d upsample2d tanh upsample2d avg_pool2d flatten dense",
        ),
        ("sklearn_classes", "dense relu dense relu dense softmax"),
        ("sklearn_pipeline", "dense relu dense softmax"),
        (
            "keras_mlp",
            "flatten dense tanh dense softplus dense leaky_relu dense sigmoid",
        ),
        ("sklearn_binary", "dense relu dense relu dense sigmoid"),
    ] {
        assert_eq!(kinds(&imported(name).network).join(" "), expected, "{name}");
    }
}

#[test]
fn what_has_to_be_known_is_told() {
    let keras = imported("keras_cnn");
    assert!(keras.channels_last);
    assert_eq!(keras.network.input_shape(), &Shape::from([2, 8, 7]));
    // Nothing in it shows the order of its channels, but that Keras made it.
    let flat = imported("keras_rgb");
    assert!(flat.channels_last && flat.channels_guessed);
    assert_eq!(flat.network.input_shape(), &Shape::from([3, 3, 3]));
    let gray = imported("keras_gray");
    assert!(!gray.channels_last);
    assert_eq!(gray.network.input_shape(), &Shape::from([1, 8, 7]));
    assert_eq!(
        imported("sklearn_classes").network.note("classes"),
        Some(r#"["ash","elm","oak"]"#)
    );
    assert!(imported("sklearn_binary").two_classes);
}

#[test]
fn another_value_of_the_graph_can_be_the_output() {
    let up_to = |output: &str| {
        let output = Some(output.to_string());
        import_with(
            &file("sklearn_tensor"),
            &Import {
                output,
                ..Import::default()
            },
        )
    };
    let imported = up_to("next_activations1").unwrap();
    assert_eq!(kinds(&imported.network).join(" "), "dense sigmoid dense sigmoid");
    let message = up_to("nothing").unwrap_err().to_string();
    assert_eq!(message, "the graph has no value `nothing`");
    let message = up_to("argmax_output").unwrap_err().to_string();
    assert!(
        message.contains("(ArgMax): no layer does what this operator does"),
        "{message}"
    );
}

#[test]
fn an_imported_network_is_trained_further() {
    let (train, _) = digits::load().unwrap();
    let network = Sequential::new(train.shape())
        .layer(Conv2d::new(3, 3))
        .layer(BatchNorm::new())
        .layer(Relu)
        .layer(Flatten)
        .layer(Dense::new(10))
        .layer(Softmax)
        .build(1)
        .unwrap();
    let mut network = import(&export(&network, &Export::default()).unwrap()).unwrap().network;
    let history = Fit::new(CrossEntropy::new(), Adam::new(0.002))
        .epochs(2)
        .metric(Accuracy)
        .run(&mut network, &train)
        .unwrap();
    assert!(history.last("accuracy") > Some(0.7), "{:?}", history.last("accuracy"));
}
