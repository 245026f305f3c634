//! Drawing the last layers of a network, which have to fit the loss.

use gradus::random::Rng;
use rand::RngExt;

use super::layers::dense;
use super::{MOST_OUTPUTS, choose};
use crate::activations::Activation;
use crate::layer::{Layer, outputs};
use crate::losses::LossKind;
use crate::windows::{Padding, Windows};

const SIGMOID: Layer = Layer::Activation(Activation::Sigmoid);

/// Layers after this shape whose output fits the loss.
pub(super) fn layers(rng: &mut Rng, shape: &[usize], loss: LossKind) -> Option<Vec<Layer>> {
    match loss {
        LossKind::CrossEntropy { .. } => classes(rng, shape),
        LossKind::BinaryCrossEntropy if shape.len() == 3 && rng.random_bool(0.8) => Some(image_of_classes(rng, shape)),
        LossKind::BinaryCrossEntropy => binary_classes(rng, shape),
        LossKind::NegativeLogLikelihood => log_probabilities(rng, shape),
        _ => Some(values(rng, shape)),
    }
}

/// A layer that makes flat samples of others.
fn flatten(rng: &mut Rng, shape: &[usize]) -> Option<Layer> {
    let axes = shape.len() - 1;
    let all = [
        Layer::Flatten,
        Layer::Flatten,
        Layer::Flatten,
        Layer::GlobalAvgPool(axes),
        Layer::GlobalAvgPool(axes),
        Layer::GlobalMaxPool(axes),
    ];
    (axes > 0).then(|| choose(rng, &all))
}

/// Probabilities of classes of which one is true, or their logits.
fn classes(rng: &mut Rng, shape: &[usize]) -> Option<Vec<Layer>> {
    let mut layers = Vec::from_iter(flatten(rng, shape));
    if rng.random() || outputs(&layers, shape)?[0] > MOST_OUTPUTS {
        layers.push(dense(rng, 6));
        // Networks may end in logits.
        if rng.random_bool(0.25) {
            return Some(layers);
        }
    }
    // As a sigmoid has.
    layers.push(if rng.random_bool(0.1) { SIGMOID } else { Layer::Softmax });
    Some(layers)
}

/// A channel of probabilities, or of their logits.
fn image_of_classes(rng: &mut Rng, shape: &[usize]) -> Vec<Layer> {
    let convolution = Layer::Conv {
        windows: Windows {
            kernel: vec![1, 1],
            stride: vec![1 + shape[1] / 3, 1 + shape[2] / 3],
            dilation: vec![1, 1],
            padding: Padding::Valid,
        },
        channels: 1,
        groups: 1,
        bias: true,
        init: None,
    };
    let ends = [
        vec![],
        vec![Layer::Flatten],
        vec![SIGMOID],
        vec![SIGMOID],
        vec![SIGMOID],
        vec![Layer::Flatten, SIGMOID],
        vec![Layer::GlobalAvgPool(2), SIGMOID],
        vec![SIGMOID, Layer::Flatten],
        vec![SIGMOID, Layer::Flatten],
        // From probabilities that are no sigmoid's own.
        vec![SIGMOID, Layer::GlobalAvgPool(2)],
        vec![SIGMOID, Layer::GlobalMaxPool(2)],
        vec![Layer::Activation(Activation::HardSigmoid)],
    ];
    [vec![convolution], choose(rng, &ends)].concat()
}

/// Probabilities of which each is of its own class, or their logits.
fn binary_classes(rng: &mut Rng, shape: &[usize]) -> Option<Vec<Layer>> {
    let mut layers = Vec::from_iter(flatten(rng, shape));
    let size: usize = shape.iter().product();
    if rng.random() || size > MOST_OUTPUTS {
        layers.push(dense(rng, 3));
        if rng.random_bool(0.25) {
            return Some(layers);
        }
    }
    // A softmax has its loss computed from the probabilities.
    let softmax = outputs(&layers, shape)?.len() == 1 && rng.random_bool(0.15);
    layers.push(if softmax { Layer::Softmax } else { SIGMOID });
    Some(layers)
}

/// Logarithms of probabilities.
fn log_probabilities(rng: &mut Rng, shape: &[usize]) -> Option<Vec<Layer>> {
    let mut layers = Vec::from_iter(flatten(rng, shape));
    if rng.random() || outputs(&layers, shape)?[0] > MOST_OUTPUTS {
        layers.push(dense(rng, 6));
    }
    layers.push(Layer::LogSoftmax);
    Some(layers)
}

/// Not too many values.
fn values(rng: &mut Rng, shape: &[usize]) -> Vec<Layer> {
    if shape.iter().product::<usize>() <= MOST_OUTPUTS {
        return Vec::new();
    }
    let mut layers = Vec::from_iter(flatten(rng, shape));
    layers.push(dense(rng, 4));
    layers
}
