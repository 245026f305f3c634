//! How far values are from their targets.

use serde::{Deserialize, Serialize};

use super::{Meter, Metric, counted};
use crate::data::{Target, Targets};
use crate::loss::{check_shapes, expected, mean};
use crate::{Float, Result, Shape};

/// The mean over samples and outputs of |y - t|.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct MeanAbsoluteError;

impl Metric for MeanAbsoluteError {
    fn name(&self) -> String {
        "absolute_error".into()
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn higher_is_better(&self) -> bool {
        false
    }

    fn validate(&self, output: &Shape, targets: &Targets) -> Result<()> {
        check_shapes("absolute error", output, targets)
    }

    fn meter(&self, _output: &Shape) -> Box<dyn Meter> {
        Box::new(Mean::new(|y, t| (y - t).abs()))
    }
}

/// The mean over samples and outputs of (y - t)².
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct MeanSquaredError;

impl Metric for MeanSquaredError {
    fn name(&self) -> String {
        "squared_error".into()
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn higher_is_better(&self) -> bool {
        false
    }

    fn validate(&self, output: &Shape, targets: &Targets) -> Result<()> {
        check_shapes("squared error", output, targets)
    }

    fn meter(&self, _output: &Shape) -> Box<dyn Meter> {
        Box::new(Mean::new(|y, t| (y - t) * (y - t)))
    }
}

/// The mean over samples of the mean over outputs of f(output, target).
#[derive(Debug)]
struct Mean {
    f: fn(Float, Float) -> Float,
    sum: f64,
    samples: u64,
}

impl Mean {
    fn new(f: fn(Float, Float) -> Float) -> Self {
        Mean {
            f,
            sum: 0.0,
            samples: 0,
        }
    }
}

impl Meter for Mean {
    fn add(&mut self, y: &[Float], target: Target<'_>) {
        self.sum += mean(y, target, self.f) as f64;
        self.samples += 1;
    }

    fn value(&self) -> f64 {
        self.sum / self.samples as f64
    }

    fn reset(&mut self) {
        (self.sum, self.samples) = (0.0, 0);
    }

    fn saved(&self) -> Option<Vec<f64>> {
        Some(vec![self.sum, self.samples as f64])
    }

    fn restore(&mut self, saved: &[f64]) -> bool {
        let &[sum, samples] = saved else { return false };
        (self.sum, self.samples) = (sum, counted(samples));
        true
    }
}

/// The coefficient of determination R²: the share of the targets' variance that the outputs explain,
///
/// ```text
/// R² = 1 - Σ (y - t)² / Σ (t - mean of t)²
/// ```
///
/// over the samples, for each output, and then the mean over the outputs. It is 1 for perfect outputs, 0 for no better than
/// the targets' mean, and negative for worse. An output whose targets are all equal has 1 if all are met, else 0. Of fewer
/// than two samples it is NaN.
///
/// ```
/// use gradus::{data::Target, metric::{Metric, R2}};
/// let mut meter = R2.meter(&[1].into());
/// for (y, t) in [(1.0, 1.0), (2.5, 2.0), (2.5, 3.0)] {
///     meter.add(&[y], Target::Values(&[t]));
/// }
/// assert_eq!(meter.value(), 0.75); // 1 - 0.5 / 2
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct R2;

impl Metric for R2 {
    fn name(&self) -> String {
        "r2".into()
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn higher_is_better(&self) -> bool {
        true
    }

    fn validate(&self, output: &Shape, targets: &Targets) -> Result<()> {
        check_shapes("R²", output, targets)
    }

    fn meter(&self, output: &Shape) -> Box<dyn Meter> {
        Box::new(Determination {
            samples: 0,
            outputs: vec![Spread::default(); output.size()],
        })
    }
}

#[derive(Debug)]
struct Determination {
    samples: u64,
    outputs: Vec<Spread>,
}

/// Sums over the samples for one output.
#[derive(Debug, Clone, Default)]
struct Spread {
    /// The mean of the targets.
    mean: f64,
    /// Σ (t - mean)².
    around_mean: f64,
    /// Σ (y - t)².
    residual: f64,
}

impl Meter for Determination {
    fn add(&mut self, y: &[Float], target: Target<'_>) {
        self.samples += 1;
        let n = self.samples as f64;
        let t = expected(y.len(), target);
        for (i, (output, &y)) in self.outputs.iter_mut().zip(y).enumerate() {
            let (y, t) = (y as f64, t(i) as f64);
            // Welford's (1962) update of mean and variance, which does not cancel as Σ t² - n · mean² does.
            let before = t - output.mean;
            output.mean += before / n;
            output.around_mean += before * (t - output.mean);
            output.residual += (y - t) * (y - t);
        }
    }

    fn value(&self) -> f64 {
        if self.samples < 2 {
            return f64::NAN;
        }
        let of_output = |s: &Spread| {
            if s.around_mean > 0.0 {
                1.0 - s.residual / s.around_mean
            } else {
                f64::from(s.residual == 0.0)
            }
        };
        self.outputs.iter().map(of_output).sum::<f64>() / self.outputs.len() as f64
    }

    fn reset(&mut self) {
        self.samples = 0;
        self.outputs.fill(Spread::default());
    }

    fn saved(&self) -> Option<Vec<f64>> {
        let spreads = self.outputs.iter().flat_map(|s| [s.mean, s.around_mean, s.residual]);
        Some(std::iter::once(self.samples as f64).chain(spreads).collect())
    }

    fn restore(&mut self, saved: &[f64]) -> bool {
        let Some((&samples, spreads)) = saved.split_first() else {
            return false;
        };
        let (spreads, rest) = spreads.as_chunks();
        if spreads.len() != self.outputs.len() || !rest.is_empty() {
            return false;
        }
        self.samples = counted(samples);
        for (output, &[mean, around_mean, residual]) in self.outputs.iter_mut().zip(spreads) {
            *output = Spread {
                mean,
                around_mean,
                residual,
            };
        }
        true
    }
}
