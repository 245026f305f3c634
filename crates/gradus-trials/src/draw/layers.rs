//! Drawing layers.

use gradus::random::Rng;
use rand::RngExt;

use super::blocks::block;
use super::windows::{
    avg_pool, convolution, crop2d, divisors, max_pool, transposed_convolution, upsample2d, zero_pad2d,
};
use super::{MOST_VALUES, choose};
use crate::activations::Activation;
use crate::initializers::Initializer;
use crate::layer::Layer;

/// Up to `count` layers that fit after each other. Blocks hold others to this depth.
pub(super) fn layers(rng: &mut Rng, input: &[usize], count: usize, depth: usize) -> Vec<Layer> {
    let (mut layers, mut shape) = (Vec::new(), input.to_vec());
    for _ in 0..3 * count {
        // What is folded into the layer before has to see a change of shape between them.
        let after_view = matches!(layers.last(), Some(Layer::Flatten | Layer::Reshape(_)));
        let layer = if after_view && rng.random_bool(0.3) {
            batch_norm(rng)
        } else {
            layer(rng, &shape, depth)
        };
        match layer.output(&shape) {
            Some(output) if output.iter().product::<usize>() <= MOST_VALUES => {
                shape = output;
                layers.push(layer);
            }
            _ => {}
        }
        if layers.len() == count {
            break;
        }
    }
    layers
}

/// A layer that may fit after this shape.
fn layer(rng: &mut Rng, shape: &[usize], depth: usize) -> Layer {
    let own = match *shape {
        [channels, height, width] => of_images(rng, [channels, height, width]),
        [channels, length] => of_sequences(rng, [channels, length]),
        _ => of_flat_samples(rng, shape[0]),
    };
    own.unwrap_or_else(|| of_any_samples(rng, shape, depth))
}

/// Often a layer that only images have.
fn of_images(rng: &mut Rng, [channels, height, width]: [usize; 3]) -> Option<Layer> {
    Some(match rng.random_range(0..26) {
        0..=4 => convolution(rng, channels, 2),
        5 | 6 => transposed_convolution(rng, channels),
        7 | 8 => max_pool(rng, 2),
        9 => avg_pool(rng, 2),
        10 => Layer::GlobalAvgPool(2),
        11 => Layer::GlobalMaxPool(2),
        12 => upsample2d(rng),
        13 => zero_pad2d(rng),
        14 => Layer::Flatten,
        15 => Layer::Reshape(choose(
            rng,
            &[vec![height, channels, width], vec![channels, height * width]],
        )),
        16 => crop2d(rng, [height, width]),
        _ => return None,
    })
}

/// Often a layer that only sequences have.
fn of_sequences(rng: &mut Rng, [channels, length]: [usize; 2]) -> Option<Layer> {
    Some(match rng.random_range(0..20) {
        0..=4 => convolution(rng, channels, 1),
        5 | 6 => max_pool(rng, 1),
        7..=9 => avg_pool(rng, 1),
        10 => Layer::GlobalAvgPool(1),
        11 => Layer::GlobalMaxPool(1),
        12 => Layer::Flatten,
        13 => Layer::Reshape(choose(rng, &[vec![1, channels, length], vec![length, channels]])),
        _ => return None,
    })
}

/// Often a layer that only flat samples have.
fn of_flat_samples(rng: &mut Rng, size: usize) -> Option<Layer> {
    Some(match rng.random_range(0..20) {
        0..=7 => dense(rng, 8),
        8 => Layer::Softmax,
        9 if rng.random() => Layer::LogSoftmax,
        9 | 10 => {
            let rows = divisors(size)
                .into_iter()
                .rfind(|rows| rows * rows <= size)
                .unwrap_or(1);
            match rng.random() {
                true => Layer::Reshape(vec![rng.random_range(1..=2), rows, size / rows]),
                false => Layer::Reshape(vec![rows, size / rows]),
            }
        }
        _ => return None,
    })
}

/// A layer that any samples have, or a block.
fn of_any_samples(rng: &mut Rng, shape: &[usize], depth: usize) -> Layer {
    match rng.random_range(0..40) {
        0..=6 => batch_norm(rng),
        7 => Layer::LayerNorm { epsilon: epsilon(rng) },
        8 => group_norm(rng, shape[0]),
        9..=11 => Layer::Dropout(choose(rng, &[0.0, 0.1, 0.5])),
        12 => Layer::GaussianNoise(choose(rng, &[0.0, 0.1, 1.0])),
        13 | 14 => Layer::PRelu {
            per_channel: rng.random_bool(0.3),
        },
        15 => Layer::Maxout(choose(rng, &divisors(shape[0]))),
        16..=25 if depth > 0 => block(rng, shape, depth - 1),
        _ => activation(rng),
    }
}

pub(super) fn activation(rng: &mut Rng) -> Layer {
    let all = [
        Activation::Relu,
        Activation::Relu,
        Activation::LeakyRelu { slope: 0.01 },
        Activation::LeakyRelu { slope: 0.25 },
        Activation::Elu { alpha: 1.0 },
        Activation::Elu { alpha: 1.5 },
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Silu,
        Activation::Softplus,
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Clamp { low: 0.0, high: 6.0 },
        Activation::Clamp { low: -0.5, high: 1.25 },
        Activation::HardSigmoid,
        Activation::HardSwish,
        Activation::Selu,
        Activation::Mish,
    ];
    Layer::Activation(choose(rng, &all))
}

pub(super) fn batch_norm(rng: &mut Rng) -> Layer {
    Layer::BatchNorm {
        momentum: choose(rng, &[0.1, 0.5, 1.0]),
        epsilon: epsilon(rng),
    }
}

/// Without a number of groups, it is instance normalization.
fn group_norm(rng: &mut Rng, channels: usize) -> Layer {
    let groups = choose(rng, &divisors(channels));
    Layer::GroupNorm {
        groups: rng.random_bool(0.7).then_some(groups),
        epsilon: epsilon(rng),
    }
}

fn epsilon(rng: &mut Rng) -> f64 {
    choose(rng, &[1e-5, 1e-3])
}

pub(super) fn dense(rng: &mut Rng, most: usize) -> Layer {
    Layer::Dense {
        units: rng.random_range(1..=most),
        bias: rng.random_bool(0.8),
        init: initializer(rng),
    }
}

/// Half of the layers have the library's default.
pub(super) fn initializer(rng: &mut Rng) -> Option<Initializer> {
    let all = [
        Initializer::Zeros,
        Initializer::Constant(0.125),
        Initializer::Normal { mean: 0.1, std: 0.3 },
        Initializer::Uniform { low: -0.5, high: 0.25 },
        Initializer::TruncatedNormal { mean: -0.1, std: 0.5 },
        Initializer::GlorotNormal,
        Initializer::GlorotUniform,
        Initializer::HeNormal,
        Initializer::HeUniform,
        Initializer::LecunNormal,
        Initializer::LecunUniform,
        Initializer::Orthogonal { gain: 1.5 },
    ];
    rng.random_bool(0.5).then(|| choose(rng, &all))
}
