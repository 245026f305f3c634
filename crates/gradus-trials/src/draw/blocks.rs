//! Drawing blocks.

use gradus::random::Rng;
use rand::RngExt;

use super::choose;
use super::layers::{activation, initializer, layers};
use crate::activations::Activation;
use crate::layer::{Layer, outputs, projection};

/// The most channels of a branch of a concatenation.
const MOST_CHANNELS: usize = 8;

pub(super) fn block(rng: &mut Rng, shape: &[usize], depth: usize) -> Layer {
    match rng.random_range(0..4) {
        0 => concat(rng, shape, depth),
        1 => multiply(rng, shape, depth),
        _ => residual(rng, shape, depth),
    }
}

/// Two or three branches that keep all but the first dimension.
fn concat(rng: &mut Rng, shape: &[usize], depth: usize) -> Layer {
    let branch = |rng: &mut Rng| {
        let count = rng.random_range(0..=2);
        let branch = layers(rng, shape, count, depth);
        match outputs(&branch, shape) {
            Some(output) if output[1..] == shape[1..] && output[0] <= MOST_CHANNELS => branch,
            _ => vec![activation(rng)],
        }
    };
    Layer::Concat((0..rng.random_range(2..=3)).map(|_| branch(rng)).collect())
}

/// A gate of the input itself, by channel or value by value, or of another branch.
fn multiply(rng: &mut Rng, shape: &[usize], depth: usize) -> Layer {
    let count = rng.random_range(1..=2);
    let branch = match rng.random::<bool>() {
        true => Vec::new(),
        false => layers(rng, shape, count, depth),
    };
    let output = outputs(&branch, shape).expect("the layers fit");
    let function = choose(rng, &[Activation::Sigmoid, Activation::Tanh, Activation::HardSigmoid]);
    let function = Layer::Activation(function);
    let gate = if shape.len() > 1 && output.len() == shape.len() && rng.random() {
        let dense = Layer::Dense {
            units: output[0],
            bias: true,
            init: initializer(rng),
        };
        vec![Layer::GlobalAvgPool(shape.len() - 1), dense, function]
    } else {
        [branch.clone(), vec![function]].concat()
    };
    Layer::Multiply([branch, gate])
}

/// A residual block; one without a shortcut if its shapes allow none.
fn residual(rng: &mut Rng, shape: &[usize], depth: usize) -> Layer {
    let count = rng.random_range(1..=3);
    let mut body = layers(rng, shape, count, depth);
    if body.is_empty() {
        // Nothing that was drawn fits; an activation always does.
        body.push(activation(rng));
    }
    let output = outputs(&body, shape).expect("the layers fit");
    let shortcuts = [
        Layer::Activation(Activation::Relu),
        Layer::Activation(Activation::Tanh),
        Layer::Dropout(0.0),
    ];
    let shortcut = if output == shape && rng.random_bool(0.4) {
        Some(vec![choose(rng, &shortcuts)])
    } else if projection(shape, &output).is_none() {
        Some(body.clone())
    } else {
        None
    };
    Layer::Residual { body, shortcut }
}
