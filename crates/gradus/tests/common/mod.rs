//! Networks, data and checks that the integration tests share.
#![allow(dead_code)] // Each test program uses some of it.

use std::path::PathBuf;

use gradus::augment::Augmentation;
use gradus::data::{Bytes, Dataset, Subset, digits, mnist};
use gradus::prelude::*;
use gradus::random::Rng;
use gradus::{Float, Result};
use rand::RngExt;

/// The sentence of an error that must be.
pub fn sentence<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => panic!("expected an error"),
        Err(error) => error.to_string(),
    }
}

/// The sentence of an error that must be, and must have all these words in it.
#[track_caller]
pub fn refused<T>(result: Result<T>, words: &[&str]) -> String {
    let Err(error) = result else {
        panic!("expected an error about {words:?}");
    };
    let sentence = error.to_string();
    for word in words {
        assert!(sentence.contains(word), "`{word}` is not in: {sentence}");
    }
    sentence
}

/// One of our safetensors files as earlier versions wrote it: without a checksum, whatever is changed in it afterward.
pub fn unchecked(file: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    for (from, to) in [
        ("\"gradus.checksum\"", "\"others.checksum\""),
        ("\"gradus.format\":\"2\"", "\"gradus.format\":\"1\""),
        ("\"gradus.checkpoint\":\"2\"", "\"gradus.checkpoint\":\"1\""),
    ] {
        if let Some(at) = file.windows(from.len()).position(|window| window == from.as_bytes()) {
            file[at..at + to.len()].copy_from_slice(to.as_bytes());
        }
    }
    file
}

/// The bits of some values.
pub fn bits(values: &[Float]) -> Vec<u64> {
    values.iter().map(|v| f64::from(*v).to_bits()).collect()
}

/// The bits of all parameters and of the state.
pub fn all_bits(network: &Network) -> Vec<u64> {
    network
        .parameters()
        .chain(network.state())
        .flat_map(|tensor| bits(tensor.values))
        .collect()
}

/// The first of the training digits.
pub fn some_digits(count: usize) -> Subset<Bytes> {
    Subset::new(digits::load().unwrap().0, 0..count).unwrap()
}

/// Samples of a data set, one after the other.
pub fn inputs(data: &dyn Dataset, count: usize) -> Vec<Float> {
    let mut x = vec![0.0; count * data.shape().size()];
    for (i, x) in x.chunks_exact_mut(data.shape().size()).enumerate() {
        data.read(i, x).unwrap();
    }
    x
}

/// MNIST: the samples for training and those for testing.
pub fn mnist_samples() -> [Bytes; 2] {
    let (train, test) = gradus_mnist::load().unwrap();
    [train, test].map(|images| mnist::from_bytes(images.pixels, &images.labels).unwrap())
}

/// A folder for a test's files, empty at first.
pub fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A perceptron for the digits, large enough to be worth several threads.
pub fn perceptron(seed: u64) -> Network {
    Sequential::new([1, 8, 8])
        .layer(Flatten)
        .layer(Dense::new(160))
        .layer(Relu)
        .layer(Dense::new(96))
        .layer(Tanh)
        .layer(Dense::new(10))
        .layer(Softmax)
        .build(seed)
        .unwrap()
}

/// A small convolutional network for the digits.
pub fn convolutional(seed: u64) -> Network {
    Sequential::new([1, 8, 8])
        .layer(Conv2d::new(16, 3).padding(Padding::Same))
        .layer(BatchNorm::new())
        .layer(Relu)
        .layer(Conv2d::new(16, 3))
        .layer(Relu)
        .layer(MaxPool2d::new(2))
        .layer(Flatten)
        .layer(Dropout::new(0.1))
        .layer(Dense::new(10))
        .layer(Softmax)
        .build(seed)
        .unwrap()
}

/// A small residual network for the digits: an identity block, and one whose shortcut is a projection.
pub fn residual(seed: u64) -> Network {
    let convolution = |channels| Conv2d::new(channels, 3).padding(Padding::Same).bias(false);
    let body = |channels, stride: usize| {
        Layers::new()
            .layer(convolution(channels).stride(stride))
            .layer(BatchNorm::new())
            .layer(Relu)
            .layer(convolution(channels))
            .layer(BatchNorm::new())
    };
    Sequential::new([1, 8, 8])
        .layer(convolution(8))
        .layer(BatchNorm::new())
        .layer(Relu)
        .layer(Residual::new(body(8, 1)))
        .layer(Relu)
        .layer(Residual::new(body(16, 2)))
        .layer(Relu)
        .layer(GlobalAvgPool2d)
        .layer(Dropout::new(0.1))
        .layer(Dense::new(10))
        .layer(Softmax)
        .build(seed)
        .unwrap()
}

/// Adds a little to every value at random.
#[derive(Debug)]
pub struct Noise;

impl Augmentation for Noise {
    fn name(&self) -> &'static str {
        "own_noise"
    }
    fn settings(&self) -> Option<serde_json::Value> {
        Some(serde_json::Value::Null)
    }
    fn validate(&self, _shape: &Shape) -> Result<()> {
        Ok(())
    }

    fn apply(&self, _shape: &Shape, x: &mut [Float], rng: &mut Rng, _scratch: &mut Vec<Float>) {
        x.iter_mut().for_each(|x| *x += rng.random_range(-0.05..0.05));
    }
}
