//! Regression targets: scaled to mean 0 and standard deviation 1 for training, reported in their own units.
//!
//! The network learns z = (t - mean) / deviation. Losses and metrics of a regression depend on the differences y - t alone,
//! so both sides are multiplied by the deviation before they are compared; the mean need not be added, which would round away
//! the digits of large targets.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use gradus::data::{Target, Targets};
use gradus::layer::Layer;
use gradus::loss::Loss;
use gradus::metric::{Meter, Metric};
use gradus::{Float, Network, Shape};

use crate::notes::TargetScale;

/// Layers that leave the range of values as it is: what a network ends in is before them.
const KEEP_RANGE: [&str; 6] = [
    "flatten",
    "reshape",
    "dropout",
    "max_pool2d",
    "avg_pool2d",
    "global_avg_pool2d",
];

impl TargetScale {
    /// The scale of these targets, for a network with this end; `None` if they have to stay as they are.
    ///
    /// Outputs of a bounded function can't be scaled: the targets have to lie in their range. Those that are never far below
    /// zero (ReLU) are only divided, by the root of the mean square.
    ///
    /// # Errors
    /// If the network's outputs can't reach the targets, or the deviation can't be squared without leaving the range of
    /// numbers.
    pub fn of(targets: &[f64], network: Option<&Network>) -> Result<Option<TargetScale>> {
        let end = network.map(end).transpose()?;
        let bounds = match end.as_deref() {
            Some("sigmoid" | "softmax") => Some([0.0, 1.0]),
            Some("tanh") => Some([-1.0, 1.0]),
            _ => None,
        };
        if let (Some([low, high]), Some(end)) = (bounds, &end) {
            let outside = targets.iter().find(|t| !(low..=high).contains(*t));
            ensure!(
                outside.is_none(),
                "the network ends in a layer of kind {end}, whose outputs lie between {low} and {high}, and a target is {}: \
                 end it in one of kind dense",
                outside.unwrap_or(&0.0)
            );
            return Ok(None);
        }
        let (mean, deviation) = mean_and_deviation(targets.iter().copied());
        let (mean, deviation) = match end.as_deref() {
            Some("relu" | "softplus" | "elu" | "gelu" | "silu") => (0.0, mean.hypot(deviation)),
            _ => (mean, deviation),
        };
        let square = (deviation * deviation) as Float;
        ensure!(
            square.is_finite() && square >= Float::MIN_POSITIVE,
            "the targets' standard deviation is {deviation:e}, and its square is beyond the range of numbers: write the \
             targets in another unit"
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

/// The kind of the layer that decides the range of a network's outputs.
fn end(network: &Network) -> Result<String> {
    let architecture = network.architecture()?;
    let layers = architecture["layers"].as_array().map_or(&[][..], Vec::as_slice);
    let kinds = layers.iter().rev().filter_map(|layer| layer["kind"].as_str());
    let mut kinds = kinds.filter(|kind| !KEEP_RANGE.contains(kind));
    Ok(kinds.next().unwrap_or_default().to_string())
}

/// The loss in the targets' own units, if they are scaled.
///
/// # Errors
/// If there is more than one target column.
pub fn loss_in_units(loss: Arc<dyn Loss>, scale: Option<&TargetScale>) -> Result<Arc<dyn Loss>> {
    Ok(match scale {
        None => loss,
        Some(scale) => Arc::new(InUnits::new(loss, scale)?),
    })
}

/// The metric in the targets' own units, if they are scaled.
///
/// # Errors
/// If there is more than one target column.
pub fn metric_in_units(metric: Box<dyn Metric>, scale: Option<&TargetScale>) -> Result<Box<dyn Metric>> {
    Ok(match scale {
        None => metric,
        Some(scale) => Box::new(InUnits::new(metric, scale)?),
    })
}

/// A loss or a metric of one output that compares y · deviation with t · deviation.
#[derive(Debug, Clone)]
struct InUnits<T> {
    of: T,
    deviation: Float,
}

impl<T> InUnits<T> {
    fn new(of: T, scale: &TargetScale) -> Result<Self> {
        let deviation = <[f64; 1]>::try_from(&scale.deviation[..])
            .ok()
            .context("tables have one target column")?;
        Ok(InUnits {
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
impl Loss for InUnits<Arc<dyn Loss>> {
    fn name(&self) -> &'static str {
        self.of.name()
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

    fn fused_with(&self, _last: &dyn Layer) -> Option<Box<dyn Loss>> {
        None
    }
}

impl Metric for InUnits<Box<dyn Metric>> {
    fn name(&self) -> String {
        self.of.name()
    }

    fn higher_is_better(&self) -> bool {
        self.of.higher_is_better()
    }

    fn validate(&self, output: &Shape, targets: &Targets) -> gradus::Result<()> {
        self.of.validate(output, targets)
    }

    fn meter(&self, output: &Shape) -> Box<dyn Meter> {
        Box::new(InUnits {
            of: self.of.meter(output),
            deviation: self.deviation,
        })
    }
}

impl Meter for InUnits<Box<dyn Meter>> {
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
            let loss = loss_in_units(loss, Some(&scale)).unwrap();
            let mut dy = [0.0];
            (loss.loss_and_gradient(&y, Target::Values(&t), &mut dy), dy[0])
        };
        assert_eq!(compare(Arc::new(MeanSquaredError)), (2.5e9, 1.0));
        assert_eq!(compare(Arc::new(MeanAbsoluteError)), (50_000.0, 1.0));
        // δ is in units too: 50,000 is beyond 10,000, and 1/10 of the deviation pulls as far as anything.
        assert_eq!(compare(Arc::new(Huber { delta: 1e4 })), (1e4 * 4.5e4, 1.0));
        assert_eq!(compare(Arc::new(Huber { delta: 1e6 })), (1.25e9, 0.5));
        assert_eq!(scale.unscale(&y), [250_000.0]);
        for (name, value) in [
            ("absolute_error", 1.3e5 / 3.0),
            ("squared_error", 5.9e9 / 3.0),
            ("r2", 1.0 - 0.59 / (2.0 / 3.0)),
        ] {
            let metric = metric_in_units(metric::by_name(name).unwrap(), Some(&scale)).unwrap();
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
                "tanh" => network.layer(Tanh),
                _ => network,
            };
            network.build(1).unwrap()
        };
        let of = |targets: &[f64], last: &str| TargetScale::of(targets, Some(&build(last)));
        assert_eq!(of(&[1.0, 5.0], "").unwrap(), Some(scale(3.0, 2.0)));
        assert_eq!(of(&[0.1, 0.1, 0.1], "").unwrap(), Some(scale(0.1, 1.0)));
        assert_eq!(of(&[1.0, 7.0], "relu").unwrap(), Some(scale(0.0, 5.0)));
        assert_eq!(of(&[-1.0, 0.5], "tanh").unwrap(), None);
        let message = of(&[0.5, 7.0], "tanh").unwrap_err().to_string();
        assert!(message.contains("between -1 and 1, and a target is 7"), "{message}");
        assert!(
            of(&[0.0, 1e30], "")
                .unwrap_err()
                .to_string()
                .contains("in another unit")
        );
    }
}
