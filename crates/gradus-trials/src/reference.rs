//! Every layer by plain loops, in f64.

mod blocks;
mod normalization;
mod windows;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use gradus::Network;
use gradus::random::Rng;
use rand::RngExt;

use crate::activations::Activation;
use crate::bytes::Bytes;
use crate::case::to_f64;
use crate::layer::Layer;
use crate::losses::log_softmax;
use crate::randomness::Randomness;
use crate::tape::{Tape, Var};

/// Tensors by their names: `0.weight`.
pub type Tensors<T> = BTreeMap<String, Vec<T>>;

/// The parameters and the state of a network of the library.
pub fn tensors(network: &Network) -> [Tensors<f64>; 2] {
    let named = |tensor: gradus::NamedTensor<'_>| (tensor.name, to_f64(tensor.values));
    [
        network.parameters().map(named).collect(),
        network.state().map(named).collect(),
    ]
}

/// What rounding does: each layer's outputs are wrong by a random part of this size.
pub struct Noise<'n> {
    pub size: f64,
    /// Whether the means of samples are, too, by which they are normalized. Other programs compute them in f32; the library doesn't
    /// round them.
    pub of_means: bool,
    pub rng: &'n mut Rng,
}

impl Noise<'_> {
    /// 1, up to rounding.
    fn factor(&mut self) -> f64 {
        1.0 + self.size * self.rng.random_range(-1.0..1.0)
    }
}

/// A pass of a batch of samples through layers.
pub struct Pass<'a, 'n> {
    pub tape: &'a mut Tape,
    pub parameters: &'a Tensors<Var>,
    /// The running statistics, which a training pass changes.
    pub state: Tensors<f64>,
    /// Where layers get their random numbers from, if this pass is part of training.
    pub training: Option<Randomness>,
    /// If given, numbers are wrong as rounding makes them.
    pub noise: Option<Noise<'n>>,
    /// If given, values are stored in bytes.
    pub bytes: Option<&'n mut Bytes>,
    /// The factors of dropout and the summands of noise for all samples, one after the other, by the paths of the layers.
    pub masks: Tensors<f64>,
    /// The number of layers before the next one; blocks count as the layers in them.
    pub number: u64,
    /// How close a value came to where a layer's derivative jumps, relative to the layer's largest value.
    pub margin: f64,
    /// The largest value that a softplus was given.
    pub most_to_softplus: f64,
}

impl<'a> Pass<'a, '_> {
    /// A pass at inference, without noise.
    pub fn inference(tape: &'a mut Tape, parameters: &'a Tensors<Var>, state: &Tensors<f64>) -> Self {
        Pass {
            tape,
            parameters,
            state: state.clone(),
            training: None,
            noise: None,
            bytes: None,
            masks: Tensors::new(),
            number: 0,
            margin: f64::INFINITY,
            most_to_softplus: 0.0,
        }
    }
}

impl<'a> Pass<'a, '_> {
    /// The outputs of the layers numbered `which` of `layers` in a row, of samples of this shape. Their tensors' names begin with
    /// `path`.
    pub fn layers(
        &mut self,
        layers: &[Layer],
        which: Range<usize>,
        shape: &[usize],
        mut x: Vec<Vec<Var>>,
        path: &str,
    ) -> Vec<Vec<Var>> {
        let mut shape = shape.to_vec();
        for i in which {
            let (layer, path) = (&layers[i], format!("{path}{i}"));
            let y = self.layer(layer, &shape, x, &path);
            shape = layer.output(&shape).expect("the layers fit");
            let keeps_values = matches!(layer, Layer::Flatten | Layer::Reshape(_));
            x = if keeps_values { y } else { self.rounded(y) };
            if let Some(bytes) = &mut self.bytes {
                bytes.store(self.tape, &layers[..=i], &layers[i + 1..], &path, &mut x);
            }
        }
        x
    }

    /// The same with the noise. As rounding does, it leaves equal what is equal: of a feature that is constant, batch
    /// normalization after batch normalization would make another, with other gradients.
    pub fn rounded(&mut self, mut y: Vec<Vec<Var>>) -> Vec<Vec<Var>> {
        if let Some(noise) = &mut self.noise {
            let mut factors = HashMap::new();
            for y in y.iter_mut().flatten() {
                let factor = factors.entry(self.tape.value(*y).to_bits());
                let factor = factor.or_insert_with(|| noise.factor());
                *y = self.tape.scale(*y, *factor);
            }
        }
        y
    }

    /// The outputs of a layer, or of a block.
    fn layer(&mut self, layer: &Layer, shape: &[usize], x: Vec<Vec<Var>>, path: &str) -> Vec<Vec<Var>> {
        let number = self.number;
        if layer.branches().is_empty() {
            self.number += 1;
        }
        match layer {
            Layer::Flatten | Layer::Reshape(_) => x,
            Layer::Dropout(rate) => self.dropout(*rate, number, x, path),
            Layer::GaussianNoise(deviation) => self.gaussian_noise(*deviation, number, x, path),
            Layer::BatchNorm { momentum, epsilon } => self.batch_norm([*momentum, *epsilon], shape[0], x, path),
            Layer::Residual { body, shortcut } => self.residual(body, shortcut.as_deref(), shape, x, path),
            Layer::Concat(_) => self.concat(layer, shape, x, path),
            Layer::Multiply(branches) => self.multiply(branches, shape, x, path),
            _ => {
                let scale = self.largest(&x);
                x.iter().map(|x| self.sample(layer, shape, x, scale, path)).collect()
            }
        }
    }

    /// The output of a layer for one sample, where it depends on no others; `scale` is the largest value of all.
    fn sample(&mut self, layer: &Layer, shape: &[usize], x: &[Var], scale: f64, path: &str) -> Vec<Var> {
        let fits = "the layers fit";
        match layer {
            Layer::Dense { units, .. } => self.dense(*units, x, path),
            Layer::Conv {
                windows,
                channels,
                groups,
                ..
            } => self.convolution(&windows.on(shape).expect(fits), [*channels, *groups], x, path),
            Layer::ConvTranspose2d {
                windows,
                output_padding,
                channels,
                groups,
                ..
            } => {
                let window = windows.transposed_on(shape, *output_padding).expect(fits);
                self.transposed_convolution(&window, [*channels, *groups], x, path)
            }
            Layer::MaxPool(windows) => self.max_pool(&windows.on(shape).expect(fits), scale, x),
            Layer::AvgPool {
                windows,
                exclude_padding,
            } => self.avg_pool(&windows.on(shape).expect(fits), *exclude_padding, x),
            Layer::GlobalMaxPool(_) => {
                let channels = x.chunks(x.len() / shape[0]);
                channels.map(|x| self.largest_of(x, scale)).collect()
            }
            Layer::GlobalAvgPool(_) => {
                let channels = x.chunks(x.len() / shape[0]);
                channels.map(|x| self.mean(x)).collect()
            }
            Layer::Upsample2d { scale, bilinear } => self.upsample([shape[1], shape[2]], *scale, *bilinear, x),
            Layer::ZeroPad2d(padding) => self.zero_pad(padding, shape, x),
            Layer::Crop2d(cropping) => windows::crop(cropping, shape, x),
            Layer::LayerNorm { epsilon } => self.grouped_norm(1, *epsilon, x, path),
            Layer::GroupNorm { groups, epsilon } => self.grouped_norm(groups.unwrap_or(shape[0]), *epsilon, x, path),
            Layer::Softmax => self.softmax(x),
            Layer::LogSoftmax => {
                // The sum is at least 1: where it is rounded to 1, its logarithm is lost.
                let factor = self.noise.as_mut().map_or(1.0, Noise::factor);
                log_softmax(self.tape, x, factor)
            }
            Layer::PRelu { .. } => self.prelu(scale, x, path),
            Layer::Maxout(pieces) => self.maxout(*pieces, shape[0], scale, x),
            Layer::Activation(activation) => x.iter().map(|&x| self.activation(*activation, x, scale)).collect(),
            _ => unreachable!("{layer:?} is computed of all samples together"),
        }
    }

    /// A parameter of the layer at this path, if it has it.
    fn parameter(&self, path: &str, name: &str) -> Option<&'a [Var]> {
        let parameters = self.parameters;
        parameters.get(&format!("{path}.{name}")).map(|values| &values[..])
    }

    /// The weight of the layer at this path.
    fn weight(&self, path: &str) -> &'a [Var] {
        self.parameter(path, "weight").expect("the layer has a weight")
    }

    fn largest(&self, x: &[Vec<Var>]) -> f64 {
        x.iter()
            .flatten()
            .fold(0.0, |most, &x| f64::max(most, self.tape.value(x).abs()))
    }

    /// Records that a value came so close to where the derivative jumps.
    fn note(&mut self, distance: f64, scale: f64) {
        self.margin = self.margin.min(distance.abs() / scale.max(f64::MIN_POSITIVE));
    }

    /// The largest of these numbers, of equal ones the first.
    fn largest_of(&mut self, x: &[Var], scale: f64) -> Var {
        let (mut best, mut second) = (x[0], f64::NEG_INFINITY);
        for &x in &x[1..] {
            let (value, most) = (self.tape.value(x), self.tape.value(best));
            if value > most {
                (best, second) = (x, most);
            } else if value < most {
                second = second.max(value);
            }
        }
        self.note(self.tape.value(best) - second, scale);
        best
    }

    fn mean(&mut self, x: &[Var]) -> Var {
        let sum = self.tape.sum(x);
        self.tape.scale(sum, 1.0 / x.len() as f64)
    }

    fn dropout(&mut self, rate: f64, number: u64, mut x: Vec<Vec<Var>>, path: &str) -> Vec<Vec<Var>> {
        let Some(randomness) = self.training else { return x };
        let masks = self.masks.entry(path.into()).or_default();
        for (sample, x) in x.iter_mut().enumerate() {
            let mask = randomness.mask(number, sample, x.len(), rate);
            x.iter_mut()
                .zip(&mask)
                .for_each(|(x, &factor)| *x = self.tape.scale(*x, factor));
            masks.extend(mask);
        }
        x
    }

    fn gaussian_noise(&mut self, deviation: f64, number: u64, mut x: Vec<Vec<Var>>, path: &str) -> Vec<Vec<Var>> {
        let Some(randomness) = self.training else { return x };
        let masks = self.masks.entry(path.into()).or_default();
        for (sample, x) in x.iter_mut().enumerate() {
            let noise = randomness.noise(number, sample, x.len(), deviation);
            for (x, &noise) in x.iter_mut().zip(&noise) {
                let noise = self.tape.constant(noise);
                *x = self.tape.add(*x, noise);
            }
            masks.extend(noise);
        }
        x
    }

    /// The weight is inputs × units.
    fn dense(&mut self, units: usize, x: &[Var], path: &str) -> Vec<Var> {
        let (weight, bias) = (self.weight(path), self.parameter(path, "bias"));
        let zero = self.tape.constant(0.0);
        (0..units)
            .map(|unit| {
                let start = bias.map_or(zero, |bias| bias[unit]);
                (x.iter().enumerate()).fold(start, |sum, (i, &x)| {
                    self.tape.mul_add(sum, x, weight[i * units + unit])
                })
            })
            .collect()
    }

    fn softmax(&mut self, x: &[Var]) -> Vec<Var> {
        let most = x
            .iter()
            .fold(f64::NEG_INFINITY, |most, &x| most.max(self.tape.value(x)));
        let powers: Vec<Var> = (x.iter())
            .map(|&x| {
                let e = (self.tape.value(x) - most).exp();
                self.tape.function(x, e, e)
            })
            .collect();
        let sum = self.tape.sum(&powers);
        let s = self.tape.value(sum);
        let inverse = self.tape.function(sum, 1.0 / s, -1.0 / (s * s));
        powers.into_iter().map(|e| self.tape.mul(e, inverse)).collect()
    }

    /// One slope, or one for each channel.
    fn prelu(&mut self, scale: f64, x: &[Var], path: &str) -> Vec<Var> {
        let slopes = self.weight(path);
        let per_slope = x.len() / slopes.len();
        let mut each = |(i, &x): (usize, &Var)| {
            let value = self.tape.value(x);
            // A value that is exactly 0 came from a layer that gives exactly 0.
            if value != 0.0 {
                self.note(value, scale);
            }
            if value > 0.0 {
                x
            } else {
                self.tape.mul(x, slopes[i / per_slope])
            }
        };
        x.iter().enumerate().map(&mut each).collect()
    }

    /// The largest of `pieces` channels in a row, position by position.
    fn maxout(&mut self, pieces: usize, channels: usize, scale: f64, x: &[Var]) -> Vec<Var> {
        let size = x.len() / channels;
        let mut y = Vec::new();
        for channel in x.chunks(pieces * size) {
            for i in 0..size {
                let all: Vec<Var> = (0..pieces).map(|piece| channel[piece * size + i]).collect();
                y.push(self.largest_of(&all, scale));
            }
        }
        y
    }

    fn activation(&mut self, activation: Activation, at: Var, scale: f64) -> Var {
        let x = self.tape.value(at);
        // A value that is exactly 0 came from a layer that gives exactly 0.
        for kink in activation.kinks().into_iter().filter(|_| x != 0.0) {
            self.note(x - kink, scale);
        }
        if activation == Activation::Softplus {
            self.most_to_softplus = self.most_to_softplus.max(x);
        }
        let (value, derivative) = activation.at(x);
        self.tape.function(at, value, derivative)
    }
}
