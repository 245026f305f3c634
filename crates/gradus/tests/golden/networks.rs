//! Whole networks: blocks of layers, and ten steps of training the report's two networks.

use gradus::data::{Target, Targets};
use gradus::loss::Loss;
use gradus::optim::{Optimizer, Step};
use gradus::prelude::*;
use gradus::{Float, Registry, Result, Shape};
use ndarray::{Array, IxDyn};
use serde_json::{Value, json};

use crate::file::{all, close, count, counts, floats, list, near, number, numbers, text, truth};

/// A tensor of PyTorch's in our layout: a dense layer's weight is transposed.
fn in_our_layout<T: Copy>(shape: &[usize], values: &[T]) -> Vec<T> {
    match *shape {
        [rows, columns] => (0..values.len())
            .map(|i| values[i % rows * columns + i / rows])
            .collect(),
        _ => values.to_vec(),
    }
}

/// Sets parameters or state by name.
fn set(network: &mut Network, tensors: &Value) -> Result<()> {
    list(tensors).iter().try_for_each(|tensor| {
        let values = in_our_layout(&counts(&tensor["shape"]), &floats(&tensor["values"]));
        network.set(text(&tensor["name"]), &values)
    })
}

/// The values of a parameter or of a part of the state.
fn values<'a>(network: &'a Network, name: &str) -> &'a [Float] {
    let mut tensors = network.parameters().chain(network.state());
    tensors
        .find(|t| t.name == name)
        .unwrap_or_else(|| panic!("no tensor {name}"))
        .values
}

/// Σ t · y: its gradient is the target, so that a test can choose dy.
#[derive(Debug)]
struct Given;

impl Loss for Given {
    fn name(&self) -> &'static str {
        "given"
    }

    fn validate(&self, _output: &Shape, _targets: &Targets) -> Result<()> {
        Ok(())
    }

    fn loss(&self, y: &[Float], target: Target<'_>) -> Float {
        let Target::Values(t) = target else {
            panic!("the targets are values")
        };
        y.iter().zip(t).map(|(y, t)| y * t).sum()
    }

    fn gradient(&self, _y: &[Float], target: Target<'_>, dy: &mut [Float]) {
        let Target::Values(t) = target else {
            panic!("the targets are values")
        };
        dy.copy_from_slice(t);
    }
}

/// w ← dw, so that a test can read the gradients.
#[derive(Debug)]
struct Reveal;

impl Optimizer for Reveal {
    fn name(&self) -> &'static str {
        "reveal"
    }

    fn validate(&self) -> Result<()> {
        Ok(())
    }

    fn learning_rate(&self) -> f64 {
        1.0
    }

    fn update(&self, _step: Step, w: &mut [Float], dw: &[Float], _state: &mut [&mut [Float]]) {
        w.copy_from_slice(dw);
    }
}

/// A 1×1 convolution, a residual block, relu. The block finds its own projection where it needs one.
fn residual(case: &Value) -> Result<Network> {
    let input = counts(&case["input"]);
    let (channels, stride) = (count(&case["settings"]["channels"]), count(&case["settings"]["stride"]));
    let body = Layers::new()
        .layer(Conv2d::new(channels, 3).stride(stride).padding(1).bias(false))
        .layer(BatchNorm::new())
        .layer(Relu)
        .layer(Conv2d::new(channels, 3).padding(1).bias(false))
        .layer(BatchNorm::new());
    Sequential::new(&input[..])
        .layer(Conv2d::new(input[0], 1))
        .layer(Residual::new(body))
        .layer(Relu)
        .build(1)
}

/// The layers that a case declares.
fn declared(case: &Value) -> Result<Network> {
    let declared = json!({ "input": case["input"], "layers": case["settings"]["layers"] });
    Sequential::from_json(&declared, &Registry::default())?.build(1)
}

fn check_block(case: &Value, network: Result<Network>) -> Result<(), String> {
    let sentence = |e: gradus::Error| e.to_string();
    let mut network = network.map_err(sentence)?;
    set(&mut network, &case["parameters"]).map_err(sentence)?;
    set(&mut network, &case["state"]).map_err(sentence)?;
    let (samples, x) = (count(&case["samples"]), floats(&case["x"]));
    if !truth(&case["training"]) {
        let shape = [&[samples][..], network.input_shape()].concat();
        let x = Array::from_shape_vec(IxDyn(&shape), x).expect("whole samples");
        let y = network.predict(x).map_err(sentence)?;
        return close("y", y.as_slice().expect("standard layout"), &numbers(&case["y"]));
    }
    // PyTorch's dy is that of the sum over the samples, ours of their mean.
    let dy: Vec<Float> = floats(&case["dy"]).iter().map(|dy| dy * samples as Float).collect();
    let targets: Vec<Target<'_>> = dy.chunks(network.output_shape().size()).map(Target::Values).collect();
    let mut trainer = Fit::new(Given, Reveal)
        .batch_size(samples)
        .trainer(&mut network)
        .map_err(sentence)?;
    let loss = trainer.step(&x, &targets).map_err(sentence)?;
    let expected: f64 = numbers(&case["y"])
        .iter()
        .zip(numbers(&case["dy"]))
        .map(|(y, dy)| y * dy)
        .sum();
    close("the loss", &[loss as Float], &[expected])?;
    for (what, tensors) in [("gradient of", &case["gradients"]), ("state", &case["state_after"])] {
        for tensor in list(tensors) {
            let name = text(&tensor["name"]);
            let expected = in_our_layout(&counts(&tensor["shape"]), &numbers(&tensor["values"]));
            close(&format!("{what} {name}"), values(&network, name), &expected)?;
        }
    }
    Ok(())
}

#[test]
fn residual_blocks() {
    all("residual", "residual", |case| check_block(case, residual(case)));
}

#[test]
fn joined_branches() {
    all("joins", "joins", |case| check_block(case, declared(case)));
}

/// The report's networks, as `golden/training.py` describes them.
fn report_network(name: &str) -> Result<Network> {
    let network = Sequential::new([784]);
    let network = match name {
        "mlp" => network
            .layer(Dense::new(256))
            .layer(Relu)
            .layer(Dense::new(256))
            .layer(Relu),
        "cnn" => network
            .layer(Reshape::new([1, 28, 28]))
            .layer(Conv2d::new(5, 3))
            .layer(Relu)
            .layer(MaxPool2d::new(2))
            .layer(Flatten)
            .layer(Dense::new(100))
            .layer(Relu),
        _ => panic!("no network {name}"),
    };
    network.layer(Dense::new(10)).layer(Softmax).build(1)
}

/// `draw(stream, i)` of `golden/training.py`: an integer below 2¹⁶.
fn draw(stream: usize, i: usize) -> u64 {
    let mut z = (((stream as u64) << 32) + i as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) >> 48
}

/// The same as a number in [-1, 1).
fn signed(stream: usize, i: usize) -> Float {
    draw(stream, i) as Float / 32768.0 - 1.0
}

const PIXELS: usize = 784;
const IMAGES: usize = 100;
const CLASSES: usize = 101;

/// The tolerance of what ten steps lead to, and how much further Adam may be off, in steps: where the terms of a gradient
/// cancel, their rounding is most of what is left, and Adam's first steps are equally long however small the gradient.
const TOLERANCE: f64 = if size_of::<Float>() == 4 { 1e-4 } else { 1e-9 };
const ADAM_STEPS: f64 = if size_of::<Float>() == 4 { 1e-2 } else { 1e-7 };

fn check_training(case: &Value) -> Result<(), String> {
    let sentence = |e: gradus::Error| e.to_string();
    let name = text(&case["name"]).split(',').next().unwrap_or_default();
    let mut network = report_network(name).map_err(sentence)?;
    for (stream, tensor) in list(&case["parameters"]).iter().enumerate() {
        let shape = counts(&tensor["shape"]);
        let scale = number(&tensor["scale"]) as Float;
        let first: Vec<Float> = (0..shape.iter().product()).map(|i| signed(stream, i) * scale).collect();
        network
            .set(text(&tensor["name"]), &in_our_layout(&shape, &first))
            .map_err(sentence)?;
    }

    let (batch, learning_rate) = (count(&case["batch"]), number(&case["learning_rate"]));
    let (fit, slack) = match text(&case["optimizer"]) {
        "sgd" => (Fit::new(CrossEntropy::new(), Sgd::new(learning_rate)), 0.0),
        "adam" => (
            Fit::new(CrossEntropy::new(), Adam::new(learning_rate)),
            ADAM_STEPS * learning_rate,
        ),
        other => panic!("no optimizer {other}"),
    };
    let mut trainer = fit.batch_size(batch).trainer(&mut network).map_err(sentence)?;
    for (step, expected) in numbers(&case["losses"]).into_iter().enumerate() {
        let images = step * batch..(step + 1) * batch;
        let pixels = images.start * PIXELS..images.end * PIXELS;
        let x: Vec<Float> = pixels.map(|i| signed(IMAGES, i).max(0.0)).collect();
        let targets: Vec<Target<'_>> = images
            .map(|i| Target::Class((draw(CLASSES, i) % 10) as usize))
            .collect();
        let loss = trainer.step(&x, &targets).map_err(sentence)?;
        if !near(loss as Float, expected, TOLERANCE, 0.0) {
            return Err(format!("the loss of step {} is {loss}, expected {expected}", step + 1));
        }
    }

    for tensor in list(&case["parameters"]) {
        let (name, shape) = (text(&tensor["name"]), counts(&tensor["shape"]));
        let found = values(&network, name);
        let norm = found.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>().sqrt();
        let sum = found.iter().map(|&w| f64::from(w)).sum::<f64>();
        let expected = number(&tensor["norm"]);
        let typical = expected / (found.len() as f64).sqrt();
        let check = |what: &str, found: f64, expected: f64, scale: f64| {
            if (found - expected).abs() <= TOLERANCE * (expected.abs() + scale) + slack {
                return Ok(());
            }
            Err(format!("{what} of {name} is {found}, expected {expected}"))
        };
        check("the norm", norm, expected, 0.0)?;
        check("the sum", sum, number(&tensor["sum"]), typical * found.len() as f64)?;
        let place: Vec<usize> = in_our_layout(&shape, &(0..found.len()).collect::<Vec<_>>());
        let mut ours = vec![0; place.len()];
        place.iter().enumerate().for_each(|(here, &theirs)| ours[theirs] = here);
        for (at, expected) in counts(&tensor["at"]).into_iter().zip(numbers(&tensor["values"])) {
            check(&format!("value {at}"), f64::from(found[ours[at]]), expected, typical)?;
        }
    }
    Ok(())
}

#[test]
fn ten_steps_of_training() {
    all("training", "training", check_training);
}
