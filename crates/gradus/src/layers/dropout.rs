//! Dropout.

mod fast;

use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::layer::{Backward, BoundLayer, Forward, Layer, Operation, OutputKind, Passes};
use crate::settings::shown;
use crate::{Float, Shape, random};

/// Sets each value to 0 with probability `rate` in training, and scales the others by 1 / (1 − `rate`).
/// At inference it does nothing.
///
/// | | formula |
/// | --- | --- |
/// | training | yᵢ = xᵢ · mᵢ, where mᵢ = 0 with probability `rate`, else 1 / (1 − `rate`), so that the mean of y is x |
/// | inference | y = x |
/// | backward | dxᵢ = dyᵢ · mᵢ |
///
/// Source: Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, "Dropout: a simple way to prevent neural networks
/// from overfitting", 2014; scaled in training rather than at inference.
///
/// ```
/// use gradus::{Dropout, Layer, Shape};
/// assert!(Dropout::new(0.5).bind(&Shape::from(100)).is_ok());
/// let message = Dropout::new(1.0).bind(&Shape::from(100)).unwrap_err();
/// assert_eq!(message, "the dropout rate must be at least 0 and less than 1, not 1");
/// ```
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropout {
    rate: f64,
}

impl Dropout {
    /// Drops this part of the values, from 0 (none) to less than 1.
    pub fn new(rate: f64) -> Self {
        Dropout { rate }
    }
}

impl Layer for Dropout {
    fn kind(&self) -> &'static str {
        "dropout"
    }

    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
        if !(0.0..1.0).contains(&(self.rate as Float)) {
            return Err(format!(
                "the dropout rate must be at least 0 and less than 1, not {}",
                shown(self.rate)
            ));
        }
        Ok(BoundLayer::new(input, *self)
            .with_saved(input.size())
            .with_operation(Operation::Identity)
            .with_output_kind(OutputKind::SameAsInput)
            .with_fast(fast::FastDropout {
                of: *self,
                size: input.size(),
            }))
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

impl Dropout {
    /// mᵢ for a value of a sample, whose key is drawn once.
    #[inline(always)]
    fn mask(&self, key: u64, i: u64) -> Float {
        // A value is dropped if 32 random bits, read as a whole number, are below rate · 2³².
        let threshold = (f64::from(self.rate as Float) * 2.0_f64.powi(32)) as u32;
        let is_kept = (random::nth(key, i) >> 32) as u32 >= threshold;
        // A product, since a choice would become a jump that can't be predicted.
        1.0 / (1.0 - self.rate as Float) * Float::from(u8::from(is_kept))
    }
}

impl Passes for Dropout {
    fn forward(&self, pass: Forward<'_>) {
        if !pass.training {
            return pass.y.copy_from_slice(pass.x);
        }
        let key = pass.random.generator().random();
        for i in 0..pass.x.len() {
            pass.saved[i] = self.mask(key, i as u64);
            pass.y[i] = pass.x[i] * pass.saved[i];
        }
    }

    fn backward(&self, pass: Backward<'_>) {
        for i in 0..pass.dy.len() {
            pass.dx[i] = pass.dy[i] * pass.saved[i];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{LayerHarness, check};

    #[test]
    fn a_part_is_dropped_and_the_rest_is_scaled() {
        let layer = Dropout::new(0.25);
        let harness = LayerHarness::new(&layer, [1000]).unwrap();
        let x = vec![3.0; 4000];
        let step = harness.step(&x, &vec![1.0; 4000]).unwrap();
        assert!(step.y.iter().all(|&y| y == 0.0 || y == 4.0));
        let dropped = step.y.iter().filter(|&&y| y == 0.0).count();
        assert!((900..1100).contains(&dropped), "{dropped} of 4000 are dropped");
        for (y, dx) in step.y.iter().zip(&step.dx) {
            assert_eq!(y / 3.0, *dx);
        }
        let (first, second) = (&step.y[..1000], &step.y[1000..2000]);
        assert_ne!(first, second, "each sample has a mask of its own");
    }

    #[test]
    fn inference_changes_nothing() {
        assert_eq!(
            LayerHarness::new(&Dropout::new(0.9), [3])
                .unwrap()
                .infer(&[1.0, 2.0, 3.0])
                .unwrap(),
            [1.0, 2.0, 3.0]
        );
    }

    #[test]
    fn the_gradients_are_those_of_finite_differences() {
        check(&Dropout::new(0.0), [10]);
        check(&Dropout::new(0.4), [2, 3, 4]);
    }

    #[test]
    fn a_rate_that_makes_no_sense_is_refused() {
        for rate in [-0.1, 1.0, f64::NAN] {
            assert!(Dropout::new(rate).bind(&Shape::from(4)).is_err());
        }
    }
}
