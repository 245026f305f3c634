//! Dropout.

use gradus_kernels::interleaved::LANES;
use gradus_kernels::{SimdOp, vectorize, vectorize_op};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::shortest;
use crate::layer::{Backward, Forward, InPlace, Layer, Layout, Layouts, Operation, OutputKind, Plan};
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
/// assert!(Dropout::new(0.5).plan(&Shape::from(100)).is_ok());
/// let message = Dropout::new(1.0).plan(&Shape::from(100)).unwrap_err();
/// assert_eq!(message, "the dropout rate must be at least 0 and less than 1, not 1");
/// ```
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropout {
    #[serde(serialize_with = "shortest")]
    rate: Float,
}

impl Dropout {
    /// Drops this part of the values, from 0 (none) to less than 1.
    pub fn new(rate: Float) -> Self {
        Dropout { rate }
    }
}

impl Layer for Dropout {
    fn kind(&self) -> &'static str {
        "dropout"
    }

    fn plan(&self, input: &Shape) -> Result<Plan, String> {
        if !(0.0..1.0).contains(&self.rate) {
            let rate = self.rate;
            return Err(format!(
                "the dropout rate must be at least 0 and less than 1, not {rate}"
            ));
        }
        Ok(Plan::new(input)
            .saved(input.size())
            .layouts(Layouts::Either)
            .forgets_output())
    }

    fn forward(&self, mut pass: Forward<'_>) {
        if pass.training {
            self.draw(&mut pass);
            multiply(pass.x, pass.saved, pass.y);
        } else {
            pass.y.copy_from_slice(pass.x);
        }
    }

    fn backward(&self, pass: Backward<'_>) {
        if let Some(dx) = pass.dx {
            multiply(pass.dy, pass.saved, dx);
        }
    }

    fn in_place(&self) -> Option<&dyn InPlace> {
        Some(self)
    }

    fn operation(&self, _: &Shape) -> Option<Operation> {
        Some(Operation::Identity)
    }

    fn output_kind(&self) -> OutputKind {
        OutputKind::SameAsInput
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

impl InPlace for Dropout {
    fn forward_in_place(&self, mut pass: Forward<'_>) {
        if pass.training {
            self.draw(&mut pass);
            scale(pass.y, pass.saved);
        }
    }

    fn backward_in_place(&self, pass: Backward<'_>) {
        if let Some(d) = pass.dx {
            scale(d, pass.saved);
        }
    }
}

impl Dropout {
    /// Writes the mask to the kept memory: 0 for what is dropped, else 1 / (1 − rate).
    fn draw(&self, pass: &mut Forward<'_>) {
        let size = pass.input.size();
        let random = pass.random;
        match pass.layout {
            Layout::SampleMajor => {
                for (sample, mask) in pass.saved.chunks_exact_mut(size).enumerate() {
                    let keys = [random.sample(sample).random()];
                    vectorize_op(Draw {
                        rate: self.rate,
                        keys,
                        mask,
                    });
                }
            }
            Layout::Interleaved => {
                for (group, mask) in pass.saved.chunks_exact_mut(size * LANES).enumerate() {
                    let keys: [u64; LANES] = std::array::from_fn(|lane| random.sample(group * LANES + lane).random());
                    vectorize_op(Draw {
                        rate: self.rate,
                        keys,
                        mask,
                    });
                }
            }
        }
    }
}

/// Draws the masks of samples, `N` side by side: a key for each.
struct Draw<'a, const N: usize> {
    rate: Float,
    keys: [u64; N],
    mask: &'a mut [Float],
}

impl<const N: usize> SimdOp for Draw<'_, N> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        // A value is dropped if 32 random bits, read as a whole number, are below rate · 2³².
        let threshold = (f64::from(self.rate) * 2.0_f64.powi(32)) as u32;
        let scale = 1.0 / (1.0 - self.rate);
        for (mask, i) in self.mask.as_chunks_mut::<N>().0.iter_mut().zip(0..) {
            for (mask, key) in mask.iter_mut().zip(self.keys) {
                let saved = (random::nth(key, i) >> 32) as u32 >= threshold;
                // A product, since a choice would become a jump that can't be predicted.
                *mask = scale * Float::from(u8::from(saved));
            }
        }
    }
}

/// values ← values ∘ mask
fn scale(values: &mut [Float], mask: &[Float]) {
    vectorize(|| {
        for (value, mask) in values.iter_mut().zip(mask) {
            *value *= mask;
        }
    });
}

/// product = values ∘ mask
fn multiply(values: &[Float], mask: &[Float], product: &mut [Float]) {
    vectorize(|| {
        for ((product, value), mask) in product.iter_mut().zip(values).zip(mask) {
            *product = value * mask;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{Rig, check};

    #[test]
    fn a_part_is_dropped_and_the_rest_is_scaled() {
        let layer = Dropout::new(0.25);
        let rig = Rig::new(&layer, [1000]).unwrap();
        let x = vec![3.0; 4000];
        let step = rig.step(&x, &vec![1.0; 4000]).unwrap();
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
            Rig::new(&Dropout::new(0.9), [3])
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
        for rate in [-0.1, 1.0, Float::NAN] {
            assert!(Dropout::new(rate).plan(&Shape::from(4)).is_err());
        }
    }
}
