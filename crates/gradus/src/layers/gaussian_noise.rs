//! Gaussian noise.

use rand::RngExt;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use crate::layer::{Backward, BoundLayer, Forward, Layer, Operation, OutputKind, Passes};
use crate::settings::shown;
use crate::{Float, Shape};

/// Adds noise to each value in training. At inference it does nothing.
///
/// | | formula |
/// | --- | --- |
/// | training | yᵢ = xᵢ + σ · nᵢ, where nᵢ is drawn from the normal distribution of mean 0 and variance 1 |
/// | inference | y = x |
/// | backward | dx = dy |
///
/// Sources: Holmström and Koistinen, "Using additive noise in back-propagation training", 1992; Bishop, "Training with noise is
/// equivalent to Tikhonov regularization", 1995.
///
/// ```
/// use gradus::{GaussianNoise, Layer, Shape};
/// assert!(GaussianNoise::new(0.1).bind(&Shape::from(100)).is_ok());
/// let message = GaussianNoise::new(-1.0).bind(&Shape::from(100)).unwrap_err();
/// assert_eq!(message, "the deviation of gaussian_noise must be a finite number of at least 0, not -1");
/// ```
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GaussianNoise {
    deviation: f64,
}

impl GaussianNoise {
    /// Noise of this standard deviation σ.
    pub fn new(deviation: f64) -> Self {
        GaussianNoise { deviation }
    }
}

impl Layer for GaussianNoise {
    fn kind(&self) -> &'static str {
        "gaussian_noise"
    }

    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
        let deviation = self.deviation;
        if !(deviation >= 0.0 && (deviation as Float).is_finite()) {
            return Err(format!(
                "the deviation of gaussian_noise must be a finite number of at least 0, not {}",
                shown(deviation)
            ));
        }
        Ok(BoundLayer::new(input, *self)
            .with_operation(Operation::Identity)
            .with_output_kind(OutputKind::SameAsInput))
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

impl Passes for GaussianNoise {
    fn forward(&self, pass: Forward<'_>) {
        if !pass.training {
            return pass.y.copy_from_slice(pass.x);
        }
        let mut random = pass.random.generator();
        for i in 0..pass.x.len() {
            let noise: Float = random.sample(StandardNormal);
            pass.y[i] = pass.x[i] + self.deviation as Float * noise;
        }
    }

    fn backward(&self, pass: Backward<'_>) {
        pass.dx.copy_from_slice(pass.dy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{LayerHarness, check};

    #[test]
    fn noise_has_its_deviation_and_each_sample_its_own() {
        let layer = GaussianNoise::new(0.5);
        let harness = LayerHarness::new(&layer, [1000]).unwrap();
        let step = harness.step(&[3.0; 4000], &[1.0; 4000]).unwrap();
        let noise = || step.y.iter().map(|&y| f64::from(y) - 3.0);
        let (mean, square) = (
            noise().sum::<f64>() / 4000.0,
            noise().map(|n| n * n).sum::<f64>() / 4000.0,
        );
        assert!(mean.abs() < 0.03, "{mean}");
        assert!((square.sqrt() - 0.5).abs() < 0.03, "{square}");
        assert_ne!(step.y[..1000], step.y[1000..2000]);
        assert_eq!(step.dx, [1.0; 4000]);
    }

    #[test]
    fn inference_changes_nothing() {
        let layer = GaussianNoise::new(9.0);
        let harness = LayerHarness::new(&layer, [2]).unwrap();
        assert_eq!(harness.infer(&[1.0, 2.0]).unwrap(), [1.0, 2.0]);
    }

    #[test]
    fn the_gradients_are_those_of_finite_differences() {
        check(&GaussianNoise::new(0.5), [2, 3, 4]);
    }
}
