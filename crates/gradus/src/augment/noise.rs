//! Noise on every value.

use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use super::Augmentation;
use crate::random::Rng;
use crate::settings::shown;
use crate::{Error, Float, Result, Shape};

/// Adds independent normal noise to every value: `x + std · ε`, `ε ~ N(0, 1)`. Works on samples of any shape; values may
/// leave the range from 0 to 1.
///
/// Training with noise acts as Tikhonov regularization (Bishop, "Training with Noise is Equivalent to Tikhonov
/// Regularization", 1995).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Noise {
    /// The standard deviation, in the units of the values.
    std: f64,
}

impl Noise {
    /// Noise of this standard deviation, in the units of the values.
    pub fn new(std: f64) -> Self {
        Noise { std }
    }
}

impl Augmentation for Noise {
    fn name(&self) -> &'static str {
        "noise"
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn validate(&self, _shape: &Shape) -> Result<()> {
        if self.std >= 0.0 && (self.std as Float).is_finite() {
            Ok(())
        } else {
            Err(Error::invalid(format!(
                "the standard deviation of noise is {}, and should be a finite number from 0 on",
                shown(self.std)
            )))
        }
    }

    fn apply(&self, _shape: &Shape, x: &mut [Float], rng: &mut Rng, _scratch: &mut Vec<Float>) {
        for x in x {
            let normal: Float = StandardNormal.sample(rng);
            *x += self.std as Float * normal;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, stream};

    #[test]
    fn has_the_deviation_asked_for() {
        let n = 10_000;
        let mut x = vec![0.5; n];
        let shape = Shape::from(n);
        Noise::new(0.2).apply(&shape, &mut x, &mut stream(1, Purpose::Augment, &[]), &mut Vec::new());
        let mean = x.iter().sum::<Float>() / n as Float;
        let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<Float>() / n as Float;
        assert!(
            (mean - 0.5).abs() < 0.01 && (variance.sqrt() - 0.2).abs() < 0.01,
            "{mean} {variance}"
        );
        let before = x.clone();
        Noise::new(0.0).apply(&shape, &mut x, &mut stream(1, Purpose::Augment, &[]), &mut Vec::new());
        assert_eq!(x, before);
        for std in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(Noise::new(std).validate(&shape).is_err());
        }
    }
}
