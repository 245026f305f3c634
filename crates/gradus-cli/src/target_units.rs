//! Regression targets: scaled to mean 0 and standard deviation 1 for training, reported in their own units.
//!
//! The network learns z = (t - mean) / deviation. Losses and metrics of a regression depend on the differences y - t alone,
//! so both sides are multiplied by the deviation before they are compared; the mean need not be added, which would round away
//! the digits of large targets.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use gradus::data::{Target, Targets};
use gradus::loss::Loss;
use gradus::metric::{Meter, Metric};
use gradus::{Float, Network, Shape};
use serde_json::{Value, json};

use crate::metadata::TargetScale;
use crate::numbers::exact;

/// Layers that keep the range of values: the layer before them decides the range of the outputs.
const KEEP_RANGE: [&str; 15] = [
    "flatten",
    "reshape",
    "dropout",
    "gaussian_noise",
    "max_pool1d",
    "max_pool2d",
    "avg_pool1d",
    "avg_pool2d",
    "global_avg_pool1d",
    "global_avg_pool2d",
    "global_max_pool1d",
    "global_max_pool2d",
    "maxout",
    "upsample2d",
    "crop2d",
];

impl TargetScale {
    /// The scale of these targets, for a network with this end; `None` if they stay as they are, since they are to be `raw` or
    /// the outputs are those of a bounded function, which can't be scaled. Those that have a lower bound (ReLU) are only divided,
    /// by the root of the mean square.
    ///
    /// # Errors
    /// If the network's outputs can't reach the targets, or the deviation can't be squared without leaving the range of
    /// numbers.
    pub fn of(targets: &[f64], network: Option<&Network>, raw: bool) -> Result<Option<TargetScale>> {
        let end = network.map(last_layer).transpose()?.unwrap_or_default();
        let [low, high] = range(&end);
        let (mean, deviation) = mean_and_deviation(targets.iter().copied());
        let (mean, deviation) = match (raw, low.is_finite(), high.is_finite()) {
            (true, ..) | (_, _, true) => (0.0, 1.0),
            (false, true, false) => (0.0, mean.hypot(deviation)),
            (false, false, false) => (mean, deviation),
        };
        let [least, most] = [low, high].map(|bound| bound * deviation);
        if let Some(target) = targets.iter().find(|t| !(least..=most).contains(*t)) {
            let [least, most] = [least, most].map(|bound| exact(bound as f32));
            let range = if least == most {
                format!("are always {least}")
            } else if high.is_finite() {
                format!("lie between {least} and {most}")
            } else {
                format!("are never below {least}")
            };
            bail!(
                "the network ends in a layer of kind {}, whose outputs {range}, and a target is {}: end it in one of kind dense",
                kind(&end),
                exact(*target)
            );
        }
        if raw || high.is_finite() {
            return Ok(None);
        }
        let square = (deviation * deviation) as Float;
        ensure!(
            square.is_finite() && square >= Float::MIN_POSITIVE,
            "the targets' standard deviation is {}, and its square is beyond the range of numbers: write the targets in \
             another unit",
            exact(deviation)
        );
        Ok(Some(TargetScale {
            mean: vec![mean],
            deviation: vec![deviation],
        }))
    }

    /// The values of a network's outputs `y` in the targets' own units.
    pub fn unscale(&self, y: &[Float]) -> Vec<f64> {
        let columns = self.mean.iter().zip(&self.deviation);
        (y.iter().zip(columns))
            .map(|(&y, (mean, deviation))| f64::from(y) * deviation + mean)
            .collect()
    }
}

/// The mean and the standard deviation, which is 1 for values that are all the same.
pub fn mean_and_deviation(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (mut mean, mut around, mut count) = (0.0, 0.0, 0.0);
    for value in values {
        // Welford's (1962) update: exact for values that are all the same.
        count += 1.0;
        let before = value - mean;
        mean += before / count;
        around += before * (value - mean);
    }
    (mean, if around > 0.0 { (around / count).sqrt() } else { 1.0 })
}

/// The declaration of the layer that decides the range of a network's outputs.
fn last_layer(network: &Network) -> Result<Value> {
    let architecture = network.architecture()?;
    let layers = architecture["layers"].as_array().map_or(&[][..], Vec::as_slice);
    let last = layers.iter().rfind(|layer| !KEEP_RANGE.contains(&kind(layer)));
    Ok(last.cloned().unwrap_or_default())
}

/// The kind of the layer that decides the range of a network's outputs.
///
/// # Errors
/// If a layer can't be declared.
pub fn last_kind(network: &Network) -> Result<String> {
    Ok(kind(&last_layer(network)?).to_string())
}

/// The kind of a declared layer.
fn kind(layer: &Value) -> &str {
    layer["kind"].as_str().unwrap_or_default()
}

/// The lowest and the highest output of a declared layer.
fn range(layer: &Value) -> [f64; 2] {
    let setting = |name: &str| layer[name].as_f64().unwrap_or(1.0);
    let low = match kind(layer) {
        // A table has one target, and the share of a single output is all.
        "softmax" => return [1.0, 1.0],
        "log_softmax" => return [0.0, 0.0],
        "sigmoid" | "hard_sigmoid" => return [0.0, 1.0],
        "clamp" => {
            let bound = |name: &str, usual| layer[name].as_f64().unwrap_or(usual);
            return [bound("low", 0.0), bound("high", 6.0)];
        }
        "tanh" => return [-1.0, 1.0],
        "relu" | "softplus" => 0.0,
        "leaky_relu" if setting("slope") <= 0.0 => 0.0,
        "elu" => 0.0 - setting("alpha").max(0.0),
        // -λα, and the least values of x Φ(x), x / (1 + exp(-x)) and their like.
        "selu" => -1.7581,
        "gelu" => -0.17,
        "gelu_tanh" => -0.1701,
        "silu" => -0.2785,
        "mish" => -0.3088,
        "hard_swish" => -0.375,
        _ => f64::NEG_INFINITY,
    };
    [low, f64::INFINITY]
}

/// The loss in the targets' own units, if they are scaled.
///
/// # Errors
/// If there is more than one target column.
pub fn loss_in_target_units(loss: Arc<dyn Loss>, scale: Option<&TargetScale>) -> Result<Arc<dyn Loss>> {
    Ok(match scale {
        None => loss,
        Some(scale) => Arc::new(InTargetUnits::new(loss, scale)?),
    })
}

/// The metric in the targets' own units, if they are scaled.
///
/// # Errors
/// If there is more than one target column.
pub fn metric_in_target_units(metric: Box<dyn Metric>, scale: Option<&TargetScale>) -> Result<Box<dyn Metric>> {
    Ok(match scale {
        None => metric,
        Some(scale) => Box::new(InTargetUnits::new(metric, scale)?),
    })
}

/// A loss or a metric of one output that compares y · deviation with t · deviation.
#[derive(Debug, Clone)]
struct InTargetUnits<T> {
    of: T,
    deviation: Float,
}

impl<T> InTargetUnits<T> {
    fn new(of: T, scale: &TargetScale) -> Result<Self> {
        let deviation = <[f64; 1]>::try_from(&scale.deviation[..])
            .ok()
            .context("tables have one target column")?;
        Ok(InTargetUnits {
            of,
            deviation: deviation[0] as Float,
        })
    }
}

/// Calls `f` with the output and the target times the deviation.
fn in_units<R>(deviation: Float, y: &[Float], target: Target<'_>, f: impl FnOnce(&[Float], Target<'_>) -> R) -> R {
    let (Target::Values(&[t]), &[y]) = (target, y) else {
        return f(y, target);
    };
    f(&[y * deviation], Target::Values(&[t * deviation]))
}

/// The gradient is that of the loss times a constant, so that the same learning rate suits targets of any unit: where the
/// output is one deviation from its target, it is what it would be at a distance of 1 without scaling.
impl Loss for InTargetUnits<Arc<dyn Loss>> {
    fn name(&self) -> &'static str {
        self.of.name()
    }

    fn settings(&self) -> Option<Value> {
        Some(json!({ "of": self.of.settings()?, "deviation": self.deviation }))
    }

    fn validate(&self, output: &Shape, targets: &Targets) -> gradus::Result<()> {
        self.of.validate(output, targets)
    }

    fn loss(&self, y: &[Float], target: Target<'_>) -> Float {
        in_units(self.deviation, y, target, |y, target| self.of.loss(y, target))
    }

    fn gradient(&self, y: &[Float], target: Target<'_>, dy: &mut [Float]) {
        in_units(self.deviation, y, target, |y, target| self.of.gradient(y, target, dy));
        let at = |distance: Float| {
            let mut slope = [0.0];
            self.of.gradient(&[distance], Target::Values(&[0.0]), &mut slope);
            slope[0]
        };
        let factor = at(1.0) / at(self.deviation);
        dy.iter_mut().for_each(|dy| *dy *= factor);
    }
}

impl Metric for InTargetUnits<Box<dyn Metric>> {
    fn name(&self) -> String {
        self.of.name()
    }

    fn settings(&self) -> Option<Value> {
        Some(json!({ "of": self.of.settings()?, "deviation": self.deviation }))
    }

    fn higher_is_better(&self) -> bool {
        self.of.higher_is_better()
    }

    fn validate(&self, output: &Shape, targets: &Targets) -> gradus::Result<()> {
        self.of.validate(output, targets)
    }

    fn meter(&self, output: &Shape) -> Box<dyn Meter> {
        Box::new(InTargetUnits {
            of: self.of.meter(output),
            deviation: self.deviation,
        })
    }
}

impl Meter for InTargetUnits<Box<dyn Meter>> {
    fn add(&mut self, y: &[Float], target: Target<'_>) {
        in_units(self.deviation, y, target, |y, target| self.of.add(y, target));
    }

    fn value(&self) -> f64 {
        self.of.value()
    }

    fn reset(&mut self) {
        self.of.reset();
    }

    fn saved(&self) -> Option<Vec<f64>> {
        self.of.saved()
    }

    fn restore(&mut self, saved: &[f64]) -> bool {
        self.of.restore(saved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradus::metric;
    use gradus::prelude::*;

    fn scale(mean: f64, deviation: f64) -> TargetScale {
        TargetScale {
            mean: vec![mean],
            deviation: vec![deviation],
        }
    }

    #[test]
    fn losses_and_metrics_are_in_the_targets_own_units() {
        // Price 250,000 for 200,000, in units of 100,000 around 200,000.
        let scale = scale(200_000.0, 100_000.0);
        let (y, t) = ([0.5], [0.0]);
        let compare = |loss: Arc<dyn Loss>| {
            let loss = loss_in_target_units(loss, Some(&scale)).unwrap();
            let mut dy = [0.0];
            (loss.loss_and_gradient(&y, Target::Values(&t), &mut dy), dy[0])
        };
        assert_eq!(compare(Arc::new(MeanSquaredError)), (2.5e9, 1.0));
        assert_eq!(compare(Arc::new(MeanAbsoluteError)), (50_000.0, 1.0));
        // δ is in units too: 50,000 is beyond 10,000, and 1/10 of the deviation pulls as far as anything.
        assert_eq!(compare(Arc::new(Huber::new(1e4))), (1e4 * 4.5e4, 1.0));
        assert_eq!(compare(Arc::new(Huber::new(1e6))), (1.25e9, 0.5));
        assert_eq!(scale.unscale(&y), [250_000.0]);
        for (name, value) in [
            ("absolute_error", 1.3e5 / 3.0),
            ("squared_error", 5.9e9 / 3.0),
            ("r2", 1.0 - 0.59 / (2.0 / 3.0)),
        ] {
            let metric = metric_in_target_units(metric::by_name(name).unwrap(), Some(&scale)).unwrap();
            let mut meter = metric.meter(&Shape::from(1));
            for (y, t) in [(0.5, 0.0), (0.7, 1.0), (0.5, 1.0)] {
                meter.add(&[y], Target::Values(&[t]));
            }
            assert!((meter.value() / value - 1.0).abs() < 1e-5, "{name}: {}", meter.value());
        }
    }

    #[test]
    fn the_end_of_the_network_decides_what_can_be_scaled() {
        let build = |last: &str| {
            let network = Sequential::new([2]).layer(Dense::new(1));
            let network = match last {
                "relu" => network.layer(Relu).layer(Flatten),
                "softplus" => network.layer(Softplus),
                "elu" => network.layer(Elu::new(0.5)),
                "gelu" => network.layer(Gelu),
                "silu" => network.layer(Silu),
                "tanh" => network.layer(Tanh),
                "sigmoid" => network.layer(Sigmoid),
                "softmax" => network.layer(Softmax),
                "leaky_relu" => network.layer(LeakyRelu::default()),
                _ => network,
            };
            network.build(1).unwrap()
        };
        let of = |targets: &[f64], last: &str| TargetScale::of(targets, Some(&build(last)), false);
        assert_eq!(of(&[1.0, 5.0], "").unwrap(), Some(scale(3.0, 2.0)));
        assert_eq!(of(&[0.1, 0.1, 0.1], "").unwrap(), Some(scale(0.1, 1.0)));
        assert_eq!(of(&[1.0, 7.0], "relu").unwrap(), Some(scale(0.0, 5.0)));
        assert_eq!(of(&[0.0, 5.0, -2.0], "leaky_relu").unwrap().unwrap().mean, [1.0]);
        assert_eq!(of(&[-1.0, 0.5], "tanh").unwrap(), None);
        assert!(
            of(&[0.0, 1e30], "")
                .unwrap_err()
                .to_string()
                .contains("in another unit")
        );
        // Targets that no output reaches, as they are or scaled by 5.
        for (targets, last, sentence) in [
            ([0.5, 7.0], "tanh", "lie between -1 and 1, and a target is 7"),
            ([0.5, -0.1], "sigmoid", "lie between 0 and 1, and a target is -0.1"),
            ([1.0, 0.5], "softmax", "are always 1, and a target is 0.5"),
            ([7.0, -1.0], "relu", "are never below 0, and a target is -1"),
            ([7.0, -1.0], "softplus", "are never below 0, and a target is -1"),
            ([4.0, -58f64.sqrt()], "elu", "are never below -3"),
            ([7.0, -1.0], "gelu", "are never below -0.85, and a target is -1"),
            ([5.0, -5.0], "silu", "are never below -1.3925, and a target is -5"),
        ] {
            let error = of(&targets, last).unwrap_err().to_string();
            assert!(
                error.contains(sentence) && error.contains(&format!("a layer of kind {last}, whose outputs")),
                "{error}"
            );
        }
        assert_eq!(of(&[7.0, -0.8], "gelu").unwrap().unwrap().mean, [0.0]);
        // Targets that stay as they are.
        let raw = |targets: &[f64], last: &str| TargetScale::of(targets, Some(&build(last)), true);
        assert_eq!(raw(&[-3.0, 7.0], "").unwrap(), None);
        assert_eq!(raw(&[-0.5, 7.0], "elu").unwrap(), None);
        for (targets, last) in [([-0.6, 7.0], "elu"), ([-1.0, 7.0], "relu"), ([0.0, 2.0], "sigmoid")] {
            assert!(
                raw(&targets, last)
                    .unwrap_err()
                    .to_string()
                    .contains("end it in one of kind dense")
            );
        }
    }

    /// Every function of one value in the library, on small numbers and two that are far out: what is bounded is known to be, and how.
    #[test]
    fn the_range_of_every_function_is_known() {
        let small = (-4000..=4000).map(|i| i as Float / 100.0);
        let x: Vec<Float> = small.chain([-1e6, 1e6]).collect();
        let x = gradus::ndarray::Array2::from_shape_vec((x.len(), 1), x).unwrap();
        let mut functions = 0;
        for (layer, _) in gradus::check::every_layer() {
            let Ok(network) = Sequential::new([1]).layer(layer).build(1) else {
                continue;
            };
            let gradus::Part::Layer(part) = &network.parts()[0] else {
                panic!("a layer")
            };
            if !matches!(part.operation(), Some(gradus::layer::Operation::Map(_))) {
                continue;
            }
            functions += 1;
            let y = network.predict(&x).unwrap();
            let found = y.iter().fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], &y| {
                [low.min(f64::from(y)), high.max(f64::from(y))]
            });
            let known = range(&last_layer(&network).unwrap());
            for (side, (found, known)) in ["low", "high"].into_iter().zip(found.into_iter().zip(known)) {
                let is_bounded = found.abs() < 25.0;
                let right = if is_bounded {
                    (found - known).abs() < 1e-3
                } else {
                    known.is_infinite()
                };
                assert!(
                    right,
                    "{}: its {side} is {found}, and the program takes {known}",
                    part.label()
                );
            }
        }
        assert!(functions >= 14, "{functions} functions");
    }
}
