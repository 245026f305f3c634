//! Networks in files: what is saved is what is loaded, in the layout that other libraries know.

mod common;
#[path = "common/impostor.rs"]
mod impostor;

use std::collections::BTreeMap;

use common::*;
use gradus::activation::Activation;
use gradus::prelude::*;
use gradus::save::{Registry, atomic};
use gradus::{Float, Shape};
use ndarray::Array;
use serde_json::Value;

/// A network of many layers, with blocks in blocks, trained a little so that no tensor has its first values.
fn many_layers() -> Network {
    let inner = Residual::new(Layers::new().layer(Conv2d::new(6, 1)).layer(Silu)).shortcut(
        Layers::new()
            .layer(Conv2d::new(6, 3).padding(Padding::Same).groups(2))
            .layer(Elu::new(0.5)),
    );
    let block = Layers::new()
        .layer(Conv2d::new(6, (3, 2)).stride(2).padding(Padding::Same).bias(false))
        .layer(BatchNorm::new().momentum(0.3))
        .layer(inner)
        .layer(LeakyRelu::new(0.2));
    let mut network = Sequential::new([64])
        .layer(BatchNorm::new())
        .layer(Reshape::new([1, 8, 8]))
        .layer(Conv2d::new(4, 3).dilation((1, 2)).padding(Padding::Same))
        .layer(Relu)
        .layer(Residual::new(block))
        .layer(MaxPool2d::new((2, 1)))
        .layer(AvgPool2d::new(2).stride(1).padding(Padding::Same).exclude_padding())
        .layer(Residual::new(Layers::new().layer(Gelu)))
        .layer(Concat::new([
            Layers::new(),
            Layers::new().layer(Conv2d::new(2, 1)).layer(Multiply::gate(gate(2))),
        ]))
        .layer(Multiply::gate(gate(8)))
        .layer(Flatten)
        .layer(Dropout::new(0.25))
        .layer(Reshape::new([8, 2, 4]))
        .layer(GlobalAvgPool2d)
        .layer(Dense::new(7))
        .layer(Softplus)
        .layer(Dense::new(5).bias(false))
        .layer(Tanh)
        .layer(Residual::new(Layers::new().layer(Dense::new(10)).layer(Sigmoid)))
        .layer(Softmax)
        .build(3)
        .unwrap();
    let data = some_digits(64);
    let flat = Array::from_shape_vec((64, 64), inputs(&data, 64)).unwrap();
    let labels = (0..64).map(|i| i % 10);
    let data = gradus::data::Arrays::classes(flat, labels, 10).unwrap();
    let fit = Fit::new(CrossEntropy::new(), Adam::new(0.01)).epochs(2).batch_size(16);
    fit.run(&mut network, &data).unwrap();
    network
}

/// Squeezes and excites so many channels.
fn gate(channels: usize) -> Layers {
    Layers::new()
        .layer(GlobalAvgPool2d)
        .layer(Dense::new(channels))
        .layer(Sigmoid)
}

fn digits_as_rows() -> Array<Float, ndarray::Ix2> {
    Array::from_shape_vec((20, 64), inputs(&some_digits(20), 20)).unwrap()
}

#[test]
fn a_network_of_many_layers_comes_back_the_same() {
    let network = many_layers();
    let path = folder("files_many_layers").join("deep/network.safetensors");
    network.save(&path).unwrap();
    let loaded = Network::load(&path).unwrap();
    assert!(all_bits(&loaded) == all_bits(&network));
    let outputs = |network: &Network| bits(network.predict(digits_as_rows()).unwrap().as_slice().unwrap());
    assert!(outputs(&loaded) == outputs(&network));
    assert_eq!(loaded.architecture().unwrap(), network.architecture().unwrap());
    assert_eq!(loaded.to_bytes().unwrap(), network.to_bytes().unwrap());
    assert_eq!(loaded.seed(), 3);
}

#[test]
fn architectures_are_declarations() {
    let network = many_layers();
    let declared = network.architecture().unwrap();
    let again = Sequential::from_json(&declared, &Registry::default())
        .unwrap()
        .build(3)
        .unwrap();
    assert_eq!(again.architecture().unwrap(), declared);
    let shapes = |network: &Network| -> Vec<(String, Shape)> {
        network
            .parameters()
            .chain(network.state())
            .map(|t| (t.name, t.shape))
            .collect()
    };
    assert_eq!(shapes(&again), shapes(&network));
    // The same seed starts with the same values, however a network was declared.
    let mut first = network.clone();
    first.initialize(3);
    assert!(all_bits(&again) == all_bits(&first));
}

/// Each tensor's shape and values.
type Tensors = BTreeMap<String, (Vec<u64>, Vec<Float>)>;

/// A second reader of safetensors, as short as can be: the metadata, and each tensor's shape and values.
fn parse(bytes: &[u8]) -> (Value, Tensors) {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    assert_eq!(length % 8, 0, "tensors are aligned");
    let mut header: BTreeMap<String, Value> = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let metadata = header.remove("__metadata__").unwrap();
    let tensors = header.into_iter().map(|(name, tensor)| {
        let width = if tensor["dtype"] == "F32" { 4 } else { 8 };
        assert_eq!(width, size_of::<Float>());
        let at = |i: usize| 8 + length + tensor["data_offsets"][i].as_u64().unwrap() as usize;
        let values = bytes[at(0)..at(1)].chunks_exact(width);
        let values = values.map(|v| Float::from_le_bytes(v.try_into().unwrap())).collect();
        let shape = tensor["shape"].as_array().unwrap().iter().map(|d| d.as_u64().unwrap());
        (name, (shape.collect(), values))
    });
    (metadata, tensors.collect())
}

#[test]
fn tensors_have_the_names_and_layouts_of_torch() {
    let mut network = Sequential::new([1, 3, 3])
        .layer(Conv2d::new(2, 2))
        .layer(BatchNorm::new())
        .layer(Residual::new(Layers::new().layer(Conv2d::new(3, 1)).layer(Relu)))
        .layer(Flatten)
        .layer(Dense::new(2))
        .build(1)
        .unwrap();
    // 12 inputs × 2 units in memory: element (i, u) is 10 i + u.
    let w: Vec<Float> = (0..24).map(|k| (10 * (k / 2) + k % 2) as Float).collect();
    network.set("4.weight", &w).unwrap();
    network.set("0.weight", &[1., 2., 3., 4., 5., 6., 7., 8.]).unwrap();
    network.set("1.running_var", &[0.5, 0.25]).unwrap();
    let (metadata, tensors) = parse(&network.to_bytes().unwrap());
    assert_eq!(metadata["gradus.format"], "2");
    let shapes: Vec<(&str, &[u64])> = tensors.iter().map(|(name, (shape, _))| (&**name, &**shape)).collect();
    let expected: [(&str, &[u64]); 11] = [
        ("0.bias", &[2]),
        ("0.weight", &[2, 1, 2, 2]),
        ("1.bias", &[2]),
        ("1.running_mean", &[2]),
        ("1.running_var", &[2]),
        ("1.weight", &[2]),
        ("2.body.0.bias", &[3]),
        ("2.body.0.weight", &[3, 2, 1, 1]),
        ("2.shortcut.0.weight", &[3, 2, 1, 1]),
        ("4.bias", &[2]),
        ("4.weight", &[2, 12]),
    ];
    assert_eq!(shapes, expected);
    assert_eq!(tensors["0.weight"].1, [1., 2., 3., 4., 5., 6., 7., 8.]);
    assert_eq!(tensors["1.running_var"].1, [0.5, 0.25]);
    // A dense layer's weights lie unit after unit in the file.
    let transposed: Vec<Float> = (0..24).map(|k| (10 * (k % 12) + k / 12) as Float).collect();
    assert_eq!(tensors["4.weight"].1, transposed);
}

/// y = by · x, a user's own.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Times {
    by: Float,
}

impl Activation for Times {
    fn kind(&self) -> &'static str {
        "times"
    }
    fn value(&self, x: Float) -> Float {
        self.by * x
    }
    fn derivative(&self, _x: Float, _y: Float) -> Float {
        self.by
    }
    fn settings(&self) -> Option<Value> {
        serde_json::to_value(self).ok()
    }
}

/// One that can't be saved.
#[derive(Debug, Clone)]
struct Secret;

impl Activation for Secret {
    fn kind(&self) -> &'static str {
        "secret"
    }
    fn value(&self, x: Float) -> Float {
        x
    }
    fn derivative(&self, _x: Float, _y: Float) -> Float {
        1.0
    }
}

#[test]
fn a_layer_of_ones_own_is_loaded_from_a_registry() {
    let layers = || Sequential::new([2]).layer(Dense::new(2));
    let network = layers().layer(Times { by: 0.5 }).build(1).unwrap();
    let bytes = network.to_bytes().unwrap();
    refused(
        Network::from_bytes(&bytes, &Registry::default()),
        &["layers[1]", "\"times\"", "dense"],
    );
    let mut registry = Registry::default();
    registry.layers.register::<Times>("times").unwrap();
    let loaded = Network::from_bytes(&bytes, &registry).unwrap();
    let x = ndarray::array![[1.0, -2.0]];
    assert_eq!(loaded.predict(x.view()).unwrap(), network.predict(x).unwrap());
    let secret = layers().layer(Secret).build(1).unwrap();
    refused(secret.to_bytes(), &["layer 1 (secret)", "settings"]);
}

#[test]
fn a_users_layer_that_is_called_like_ours_is_never_saved_as_ours() {
    for (label, network) in impostor::networks() {
        refused(network.to_bytes(), &[&label[..], "another type", "another name"]);
    }
}

#[test]
fn notes_travel() {
    let mut network = perceptron(1);
    network.set_note("classes", "zero,one,\"two\"\n3 é");
    network.set_note("", "an empty key");
    let loaded = Network::from_bytes(&network.to_bytes().unwrap(), &Registry::default()).unwrap();
    assert_eq!(loaded.note("classes"), network.note("classes"));
    assert_eq!(loaded.note(""), Some("an empty key"));
    assert_eq!(loaded.note("other"), None);
}

#[test]
fn a_file_is_whole_while_it_is_written_again() {
    let folder = folder("files_whole");
    let path = folder.join("network.safetensors");
    let networks = [perceptron(1), perceptron(2)];
    let expected = networks.each_ref().map(all_bits);
    networks[0].save(&path).unwrap();
    // Two threads write, and each reader finds one network or the other.
    std::thread::scope(|scope| {
        for network in &networks {
            scope.spawn(|| (0..20).for_each(|_| network.save(&path).unwrap()));
        }
        for _ in 0..40 {
            assert!(expected.contains(&all_bits(&Network::load(&path).unwrap())));
        }
    });
    // What can't be saved leaves the old file, and nothing beside it.
    let before = std::fs::read(&path).unwrap();
    let mut broken = perceptron(1);
    broken.set("1.bias", &[Float::NAN; 160]).unwrap();
    refused(broken.save(&path), &["1.bias", "NaN"]);
    refused(atomic::write(&folder, b"x"), &["can't be written"]);
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
}

/// Where files of earlier versions and of other programs are.
#[cfg(not(gradus_f64))]
mod fixtures {
    use super::*;

    fn path(name: &str) -> std::path::PathBuf {
        std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures")
            .join(name)
    }

    /// Layers that PyTorch has too.
    fn sequential(seed: u64) -> Network {
        Sequential::new([1, 8, 8])
            .layer(Conv2d::new(4, 3).padding(1))
            .layer(BatchNorm::new())
            .layer(Relu)
            .layer(MaxPool2d::new(2))
            .layer(Flatten)
            .layer(Dense::new(12))
            .layer(BatchNorm::new())
            .layer(Tanh)
            .layer(Dense::new(10))
            .layer(Softmax)
            .build(seed)
            .unwrap()
    }

    /// Outputs for the first digits must be those in the file, to some digits or to the last bit.
    fn check(network: &Network, name: &str, tolerance: Float) {
        let expected: Vec<Vec<Float>> = serde_json::from_slice(&std::fs::read(path(name)).unwrap()).unwrap();
        let shape = network.input_shape();
        let mut x = vec![expected.len()];
        x.extend(shape.iter());
        let x = Array::from_shape_vec(x, inputs(&some_digits(expected.len()), expected.len())).unwrap();
        let found = network.predict(x).unwrap();
        for (found, expected) in found.iter().zip(expected.concat()) {
            assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
        }
    }

    #[test]
    fn files_of_earlier_formats_are_read() {
        for format in ["format-1", "format-2"] {
            let network = Network::load(path(&format!("{format}.safetensors"))).unwrap();
            assert_eq!(network.note("classes"), Some("0 to 9"));
            // The bits may change where an operation comes to be computed in another order.
            check(&network, &format!("{format}.json"), 1e-6);
        }
        check(
            &Network::load(path("sequential.safetensors")).unwrap(),
            "sequential.json",
            1e-6,
        );
    }

    #[test]
    fn files_of_pytorch_are_read() {
        let mut network = sequential(9);
        network.load_weights(path("torch.safetensors")).unwrap();
        check(&network, "torch.json", 1e-6);
        refused(
            Network::load(path("torch.safetensors")),
            &["torch.safetensors", "not written by Gradus"],
        );
        let mut other = perceptron(1);
        let before = all_bits(&other);
        refused(
            other.load_weights(path("torch.safetensors")),
            &["`1.weight` has the shape 4"],
        );
        assert_eq!(all_bits(&other), before);
        refused(other.load_weights("nowhere"), &["nowhere: can't be read"]);
    }

    /// Run by hand, and then `golden/files.py`, when there is a new format: old ones stay as they are.
    #[test]
    #[ignore = "writes files into the repository"]
    fn write() {
        let mut network = many_layers();
        network.set_note("classes", "0 to 9");
        network.save(path("format-2.safetensors")).unwrap();
        let outputs = network.predict(digits_as_rows()).unwrap();
        let rows: Vec<Vec<Float>> = outputs.outer_iter().map(|row| row.iter().copied().collect()).collect();
        std::fs::write(path("format-2.json"), serde_json::to_vec(&rows).unwrap()).unwrap();

        let mut network = sequential(1);
        let fit = Fit::new(CrossEntropy::new(), Adam::new(0.01)).epochs(2).batch_size(16);
        fit.run(&mut network, &some_digits(64)).unwrap();
        network.save(path("sequential.safetensors")).unwrap();
        std::fs::write(
            path("digits.json"),
            serde_json::to_vec(&inputs(&some_digits(8), 8)).unwrap(),
        )
        .unwrap();
    }
}
