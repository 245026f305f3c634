//! Every initializer by its distribution.

use gradus::{NamedTensor, init};
use serde_json::{Value, json};

use crate::case::{Case, PlacedLayer, to_f64};
use crate::compare::Outcome;
use crate::layer::Layer;
use crate::networks;
use crate::windows::Windows;

/// An initializer with its settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Initializer {
    Zeros,
    Constant(f64),
    Normal { mean: f64, std: f64 },
    Uniform { low: f64, high: f64 },
    TruncatedNormal { mean: f64, std: f64 },
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    Orthogonal { gain: f64 },
}

/// The distribution that an initializer draws from.
enum Distribution {
    Constant(f64),
    /// Between the mean and this many times the standard deviation on both sides.
    Random {
        mean: f64,
        std: f64,
        reach: f64,
    },
    /// Rows, or columns if there are fewer, of this length, each at a right angle to all others.
    Orthogonal(f64),
}

/// As far as normal numbers reach: further, one in 10¹² is.
const NORMAL_REACH: f64 = 7.0;

impl Initializer {
    /// As the library's files have it.
    pub fn json(self) -> Value {
        match self {
            Initializer::Zeros => json!("zeros"),
            Initializer::Constant(value) => json!({ "kind": "constant", "value": value }),
            Initializer::Normal { mean, std } => json!({ "kind": "normal", "mean": mean, "std": std }),
            Initializer::Uniform { low, high } => json!({ "kind": "uniform", "low": low, "high": high }),
            Initializer::TruncatedNormal { mean, std } => {
                json!({ "kind": "truncated_normal", "mean": mean, "std": std })
            }
            Initializer::GlorotNormal => json!("glorot_normal"),
            Initializer::GlorotUniform => json!("glorot_uniform"),
            Initializer::HeNormal => json!("he_normal"),
            Initializer::HeUniform => json!("he_uniform"),
            Initializer::LecunNormal => json!("lecun_normal"),
            Initializer::LecunUniform => json!("lecun_uniform"),
            Initializer::Orthogonal { gain } => json!({ "kind": "orthogonal", "gain": gain }),
        }
    }

    fn distribution(self, init::Fans { fan_in, fan_out }: init::Fans) -> Distribution {
        let (fan_in, fan_out) = (fan_in as f64, fan_out as f64);
        let normal = |variance: f64| Distribution::Random {
            mean: 0.0,
            std: variance.sqrt(),
            reach: NORMAL_REACH,
        };
        let uniform = |mean: f64, variance: f64| Distribution::Random {
            mean,
            std: variance.sqrt(),
            reach: 3.0_f64.sqrt(),
        };
        match self {
            Initializer::Zeros => Distribution::Constant(0.0),
            Initializer::Constant(value) => Distribution::Constant(value),
            Initializer::Normal { mean, std } => Distribution::Random {
                mean,
                std,
                reach: NORMAL_REACH,
            },
            Initializer::Uniform { low, high } => uniform((low + high) / 2.0, (high - low).powi(2) / 12.0),
            // Cut at two standard deviations, 0.8796 of it are left.
            Initializer::TruncatedNormal { mean, std } => Distribution::Random {
                mean,
                std: 0.8796 * std,
                reach: 2.0 / 0.8796,
            },
            Initializer::GlorotNormal => normal(2.0 / (fan_in + fan_out)),
            Initializer::GlorotUniform => uniform(0.0, 2.0 / (fan_in + fan_out)),
            Initializer::HeNormal => normal(2.0 / fan_in),
            Initializer::HeUniform => uniform(0.0, 2.0 / fan_in),
            Initializer::LecunNormal => normal(1.0 / fan_in),
            Initializer::LecunUniform => uniform(0.0, 1.0 / fan_in),
            Initializer::Orthogonal { gain } => Distribution::Orthogonal(gain),
        }
    }
}

/// Compares the weights of a network that was just built with their initializers.
pub fn check(case: &Case, outcome: &mut Outcome) -> gradus::Result<()> {
    let network = networks::built(case)?;
    let tensors: Vec<NamedTensor<'_>> = network.parameters().collect();
    for placed in case.layers_in_order() {
        let Some((init, fans)) = initializer_of(&placed) else {
            continue;
        };
        let name = format!("{}.weight", placed.path);
        let Some(tensor) = tensors.iter().find(|tensor| tensor.name == name) else {
            outcome.fail(format!("there is no parameter {name}"));
            continue;
        };
        if let Some(what) = fault(init, tensor, fans) {
            outcome.fail(format!("the first values of {name} by {init:?}: {what}"));
        }
    }
    Ok(())
}

/// The initializer of a layer's weight, and the inputs and outputs of each of its sums.
fn initializer_of(placed: &PlacedLayer) -> Option<(Initializer, init::Fans)> {
    let of_window = |windows: &Windows, channels: usize, groups: usize| {
        let taps: usize = windows.kernel.iter().product();
        init::Fans::new(placed.input[0] / groups * taps, channels / groups * taps)
    };
    let (init, fans) = match &placed.layer {
        Layer::Dense { units, init, .. } => (init, init::Fans::new(placed.input[0], *units)),
        Layer::Conv {
            windows,
            channels,
            groups,
            init,
            ..
        }
        | Layer::ConvTranspose2d {
            windows,
            channels,
            groups,
            init,
            ..
        } => (init, of_window(windows, *channels, *groups)),
        Layer::BatchNorm { .. } | Layer::LayerNorm { .. } | Layer::GroupNorm { .. } => {
            (&Some(Initializer::Constant(1.0)), init::Fans::new(1, 1))
        }
        Layer::PRelu { .. } => (&Some(Initializer::Constant(0.25)), init::Fans::new(1, 1)),
        _ => return None,
    };
    Some((init.unwrap_or(Initializer::HeNormal), fans))
}

/// The first thing that is wrong with the first values of a weight.
fn fault(init: Initializer, tensor: &NamedTensor<'_>, fans: init::Fans) -> Option<String> {
    let dims: &[usize] = &tensor.shape;
    let values = to_f64(tensor.values);
    let n = values.len() as f64;
    match init.distribution(fans) {
        Distribution::Constant(constant) => {
            let other = values.iter().find(|&&w| (w - constant).abs() > 1e-6 * constant.abs())?;
            Some(format!("one is {other}"))
        }
        Distribution::Random { mean, std, reach } => {
            let all: Vec<f64> = values.iter().map(|w| (w - mean) / std).collect();
            if let Some(far) = all.iter().find(|z| z.abs() > reach + 1e-5) {
                return Some(format!("one is {far} standard deviations from the mean"));
            }
            // Six standard deviations of each, of which a normal square's is √2.
            let found = [
                all.iter().sum::<f64>() / n,
                all.iter().map(|z| z * z).sum::<f64>() / n - 1.0,
            ];
            let bounds = [6.0 / n.sqrt(), 6.0 * (2.0 / n).sqrt()];
            // The mean of few squares is skewed: far more often far above than the bound supposes.
            let what = ["mean", "variance"];
            (0..2)
                .find(|&i| found[i].abs() > bounds[i] && (i == 0 || n >= 50.0))
                .map(|i| format!("their {} is {} standard deviations off", what[i], found[i]))
        }
        Distribution::Orthogonal(gain) => {
            let columns = values.len() / dims[0];
            let (count, length) = (dims[0].min(columns), dims[0].max(columns));
            let at = |vector: usize, i: usize| match dims[0] <= columns {
                true => values[vector * columns + i],
                false => values[i * columns + vector],
            };
            let product = |a, b| (0..length).map(|i| at(a, i) * at(b, i)).sum::<f64>();
            let pairs = (0..count).flat_map(|a| (0..=a).map(move |b| (a, b)));
            let mut wrong = pairs.filter(|&(a, b)| {
                let expected = if a == b { gain * gain } else { 0.0 };
                (product(a, b) - expected).abs() > 1e-5 * gain * gain
            });
            wrong
                .next()
                .map(|(a, b)| format!("the product of vectors {a} and {b} is {}", product(a, b)))
        }
    }
}
