//! Noise of the size of bytes in the plain loops, for the error of networks in integers.
//!
//! | | off by up to half of |
//! | --- | --- |
//! | a value that is stored | the distance of neighboring bytes: its range over all samples, with 0, divided by 255 |
//! | after a sigmoid, hard sigmoid or softmax; a tanh | 2/256; 2/128, since the bound of their range is no byte |
//! | a weight of a dense layer or a convolution | the largest of its output channel, divided by 127 |
//! | a bias | that of a weight, times that of the input: the largest of all values that are stored is taken |
//!
//! Close values are rounded alike, which matters where the largest is taken of them, or they are summed up. So every other time they
//! are rounded to a grid of this distance, which has 0 on it. The other times each has noise of its own, and all of a layer the same
//! again.
//!
//! Batch normalization and a ReLU become part of what is before them, whose own values are not stored. The range before a function
//! whose own range is known, and of logits, reaches at least from −8 to 8; that before a clamp ends at its bounds.

use gradus::random::{Purpose, Rng, stream};
use rand::RngExt;
use std::collections::BTreeMap;

use crate::activations::Activation;
use crate::case::{Case, Inputs};
use crate::layer::Layer;
use crate::reference::Tensors;
use crate::tape::{Tape, Var};

/// The least range before a function whose own range is known.
const LEAST_RANGE: f64 = 8.0;

/// The path of the network's input.
const INPUT: &str = "input";

/// The ranges of all values that are stored, and noise as large as their bytes' distances.
#[derive(Debug)]
pub struct Bytes {
    /// The smallest and the largest value, by the paths of the layers.
    ranges: BTreeMap<String, [f64; 2]>,
    /// Where the noise comes from; without, ranges are noted.
    noise: Option<Rng>,
    /// Whether values are rounded to a grid, instead of having noise of their own.
    rounds: bool,
    /// The noise that all values of a layer have, as a part of the distance of bytes.
    of_layers: BTreeMap<String, f64>,
    /// Whether the outputs of the network are logits.
    gives_logits: bool,
    /// Whether inputs are bytes divided by 255, whatever their range.
    takes_pixels: bool,
}

impl Bytes {
    /// Without any ranges.
    pub fn new(case: &Case) -> Bytes {
        Bytes {
            ranges: BTreeMap::new(),
            noise: None,
            rounds: false,
            of_layers: BTreeMap::new(),
            gives_logits: case.ends_in_logits(),
            takes_pixels: case.takes_pixels(),
        }
    }

    /// Begins to add noise, another for each `run`.
    pub fn add_noise(&mut self, case: &Case, run: u64) {
        self.noise = Some(stream(case.seed, Purpose::User, &[6, run]));
        self.rounds = run % 2 == 1;
        self.of_layers.clear();
    }

    /// Stores the inputs of a sample.
    pub fn store_input(&mut self, tape: &mut Tape, layers: &[Layer], x: &mut [Vec<Var>]) {
        let widens = !self.takes_pixels && self.meets_known_range(layers, true);
        let distance = self.takes_pixels.then_some(1.0 / 255.0);
        self.store_values(
            tape,
            INPUT,
            distance,
            Reach {
                widens,
                limits: NO_LIMITS,
            },
            x,
        );
    }

    /// Stores the outputs of the last of the layers `before`, unless they become part of the layers `after`.
    pub fn store(&mut self, tape: &mut Tape, before: &[Layer], after: &[Layer], path: &str, x: &mut [Vec<Var>]) {
        let Some(layer) = before.last() else { return };
        if is_stored(layer, after) {
            let reach = Reach {
                widens: self.meets_known_range(after, !path.contains('.')),
                limits: limits(layer, after),
            };
            self.store_values(tape, path, known_distance(before), reach, x);
        }
    }

    fn store_values(&mut self, tape: &mut Tape, path: &str, distance: Option<f64>, reach: Reach, x: &mut [Vec<Var>]) {
        let [low, high] = self.ranges.entry(path.into()).or_default();
        let Some(rng) = &mut self.noise else {
            for x in x.iter().flatten() {
                let inside = tape.value(*x).clamp(reach.limits[0], reach.limits[1]);
                *low = low.min(inside);
                *high = high.max(inside);
            }
            return;
        };
        let least = if reach.widens { LEAST_RANGE } else { 0.0 };
        let distance = distance.unwrap_or((high.max(least) - low.min(-least)) / 255.0);
        let of_layer = self.of_layers.entry(path.into());
        let of_layer = *of_layer.or_insert_with(|| rng.random_range(-0.5..0.5));
        for x in x.iter_mut().flatten() {
            let steps = tape.value(*x) / distance;
            let noise = if self.rounds && distance > 0.0 {
                steps.round() - steps
            } else {
                of_layer + rng.random_range(-0.5..0.5)
            };
            let noise = tape.constant(distance * noise);
            *x = tape.add(*x, noise);
        }
    }

    /// Whether the first of the layers that changes values is a function whose range is known, or there is none before logits.
    fn meets_known_range(&self, layers: &[Layer], ends_network: bool) -> bool {
        match layers.split_first() {
            None => ends_network && self.gives_logits,
            Some((layer, _)) if known_range(layer).is_some() => true,
            Some((layer, rest)) if keeps_scale(layer) => self.meets_known_range(rest, ends_network),
            Some((block, _)) => (block.branches().into_iter()).any(|(_, branch)| self.meets_known_range(branch, false)),
        }
    }

    /// The parameters with weights and biases that are off as those in integers are.
    pub fn parameters(&mut self, parameters: &Tensors<f64>, shapes: &BTreeMap<String, Vec<usize>>) -> Tensors<f64> {
        let of_inputs = self.ranges.values().map(|[low, high]| (high - low) / 255.0);
        let of_inputs = of_inputs.fold(0.0, f64::max);
        let mut noisy = parameters.clone();
        let Some(rng) = &mut self.noise else { return noisy };
        for (name, weight) in parameters.iter().filter(|(name, _)| name.ends_with("weight")) {
            // A dense weight is inputs × units; that of a convolution begins with the output channels.
            let (channels, per_row) = match shapes[name][..] {
                [_, units] => (units, 1),
                ref dims => (dims[0], weight.len() / dims[0]),
            };
            let mut distances = vec![0.0; channels];
            for (i, w) in weight.iter().enumerate() {
                let distance: &mut f64 = &mut distances[i / per_row % channels];
                *distance = distance.max(w.abs() / 127.0);
            }
            let is_norm = shapes[name].len() == 1;
            if let Some(weight) = noisy.get_mut(name).filter(|_| !is_norm) {
                for (i, w) in weight.iter_mut().enumerate() {
                    *w += distances[i / per_row % channels] * rng.random_range(-0.5..0.5);
                }
            }
            // A norm's weight is divided by a deviation, which is at least a half.
            let factor = if is_norm { 2.0 * of_inputs } else { of_inputs };
            if let Some(bias) = noisy.get_mut(&name.replace("weight", "bias")) {
                for (b, distance) in bias.iter_mut().zip(distances) {
                    *b += factor * distance * rng.random_range(-0.5..0.5);
                }
            }
        }
        noisy
    }
}

const RELU: Layer = Layer::Activation(Activation::Relu);

/// How far the range of stored values reaches, beside the values themselves.
struct Reach {
    /// Whether it has at least the range before a function whose own range is known.
    widens: bool,
    /// What is beyond these is left out.
    limits: [f64; 2],
}

const NO_LIMITS: [f64; 2] = [f64::NEG_INFINITY, f64::INFINITY];

/// The limits of the range of a layer's outputs before the layers `after` it: those of a clamp, with 0. The parts of a concatenation,
/// and what is interpolated, have the bytes of what is before them.
fn limits(layer: &Layer, after: &[Layer]) -> [f64; 2] {
    let has_own_bytes = !matches!(layer, Layer::Concat(_)) && !keeps_scale(layer);
    match after.iter().find(|layer| !layer.keeps_values()) {
        Some(Layer::Activation(Activation::Clamp { low, high })) if has_own_bytes => [low.min(0.0), high.max(0.0)],
        _ => NO_LIMITS,
    }
}

/// Whether each output of a layer is one of its inputs.
fn gives_inputs(layer: &Layer) -> bool {
    let takes_some = matches!(
        layer,
        Layer::MaxPool(_)
            | Layer::GlobalMaxPool(_)
            | Layer::Maxout(_)
            | Layer::Upsample2d { bilinear: false, .. }
            | Layer::Crop2d(_)
    );
    layer.keeps_values() || takes_some
}

/// Whether bytes stand for the same before and after a layer.
fn keeps_scale(layer: &Layer) -> bool {
    gives_inputs(layer) || matches!(layer, Layer::Upsample2d { .. })
}

/// Whether the outputs of a layer are stored before the layers `after` it.
fn is_stored(layer: &Layer, after: &[Layer]) -> bool {
    let next = after.iter().find(|layer| !layer.keeps_values());
    match layer {
        layer if gives_inputs(layer) => false,
        Layer::Dense { .. } | Layer::Conv { .. } => {
            let next_directly = after.iter().find(|layer| !layer.is_random());
            next != Some(&RELU) && !matches!(next_directly, Some(Layer::BatchNorm { .. }))
        }
        Layer::BatchNorm { .. } | Layer::Residual { .. } => next != Some(&RELU),
        _ => true,
    }
}

/// The distance of the bytes of a function whose range is known. The bound of the range is one more than the last byte.
fn known_range(layer: &Layer) -> Option<f64> {
    match layer {
        Layer::Softmax | Layer::Activation(Activation::Sigmoid | Activation::HardSigmoid) => Some(2.0 / 256.0),
        Layer::Activation(Activation::Tanh) => Some(2.0 / 128.0),
        _ => None,
    }
}

/// The distance of the bytes after a function whose range is known, and after means of its values, or zeros around them.
fn known_distance(layers: &[Layer]) -> Option<f64> {
    let (layer, before) = layers.split_last()?;
    let is_mean = matches!(
        layer,
        Layer::AvgPool { .. } | Layer::GlobalAvgPool(_) | Layer::ZeroPad2d(_)
    );
    if is_mean || keeps_scale(layer) {
        return known_distance(before);
    }
    known_range(layer)
}

impl Case {
    /// Whether integers take the bytes of pictures.
    pub fn takes_pixels(&self) -> bool {
        self.inputs == Inputs::Pixels && self.input_scaling.is_none() && self.normalization.is_none()
    }
}
