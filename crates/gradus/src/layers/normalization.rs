//! The normalization of the values of one sample, in groups: what layer normalization and group normalization have in common.

use crate::Float;
use crate::layer::{Backward, Forward, Passes};

/// A sample's values in groups, each normalized, then scaled and shifted as is learnt:
///
/// | | formula |
/// | --- | --- |
/// | forward | μ = Σ x / N, σ² = Σ (x − μ)² / N over the N values of a group |
/// | | x̂ = (x − μ) / √(σ² + ε), y = γ · x̂ + β |
/// | backward | dγ = Σ dy · x̂, dβ = Σ dy |
/// | | g = γ · dy, dx = (g − Σ g / N − x̂ · Σ (g · x̂) / N) / √(σ² + ε) |
#[derive(Debug, Clone, Copy)]
pub(super) struct Normalization {
    pub(super) epsilon: Float,
    /// How many groups there are, one after the other.
    pub(super) groups: usize,
    /// N, the values of a group.
    pub(super) size: usize,
    /// How many values in a row have the same γ and β.
    pub(super) repeat: usize,
}

impl Normalization {
    /// The number of values that it saves for `backward`: those of [`Moments`] for each group.
    pub(super) fn saved(&self) -> usize {
        3 * self.groups
    }

    fn moments(&self, x: &[Float]) -> Moments {
        let n = self.size as f64;
        let mut mean = 0.0;
        for i in 0..self.size {
            mean += f64::from(x[i]);
        }
        mean /= n;
        let mut variance = 0.0;
        for i in 0..self.size {
            let d = f64::from(x[i]) - mean;
            variance += d * d;
        }
        variance /= n;
        let rounded = mean as Float;
        Moments {
            mean: rounded,
            rest: (mean - f64::from(rounded)) as Float,
            inverse: (1.0 / (variance + f64::from(self.epsilon)).sqrt()) as Float,
        }
    }
}

/// The mean and the deviation of a group.
#[derive(Debug, Clone, Copy)]
struct Moments {
    /// μ, rounded.
    mean: Float,
    /// What is lost in rounding μ. Values far from 0 that hardly differ would all be off by it, times 1 / √ε.
    rest: Float,
    /// 1 / √(σ² + ε)
    inverse: Float,
}

impl Moments {
    /// x̂ = (x − μ) / √(σ² + ε)
    fn normalized(self, x: Float) -> Float {
        (x - self.mean - self.rest) * self.inverse
    }

    fn save(self, saved: &mut [Float]) {
        saved.copy_from_slice(&[self.mean, self.rest, self.inverse]);
    }

    fn of_saved(saved: &[Float]) -> Self {
        Moments {
            mean: saved[0],
            rest: saved[1],
            inverse: saved[2],
        }
    }
}

impl Passes for Normalization {
    fn forward(&self, pass: Forward<'_>) {
        let [gamma, beta] = pass.parameters.split();
        for group in 0..self.groups {
            let places = group * self.size..(group + 1) * self.size;
            let moments = self.moments(&pass.x[places.clone()]);
            if pass.training {
                moments.save(&mut pass.saved[3 * group..3 * (group + 1)]);
            }
            for i in places {
                let f = i / self.repeat;
                pass.y[i] = gamma[f] * moments.normalized(pass.x[i]) + beta[f];
            }
        }
    }

    fn backward(&self, pass: Backward<'_>) {
        let (x, dy, dx) = (pass.x, pass.dy, pass.dx);
        let [gamma, _] = pass.parameters.split();
        let [dgamma, dbeta] = pass.gradients.split();
        let n = self.size as f64;
        for group in 0..self.groups {
            let places = group * self.size..(group + 1) * self.size;
            let moments = Moments::of_saved(&pass.saved[3 * group..3 * (group + 1)]);
            let normalized = |i: usize| moments.normalized(x[i]);
            let (mut sum, mut product) = (0.0, 0.0);
            for i in places.clone() {
                let f = i / self.repeat;
                let g = f64::from(gamma[f] * dy[i]);
                sum += g;
                product += g * f64::from(normalized(i));
                dgamma[f] += dy[i] * normalized(i);
                dbeta[f] += dy[i];
            }
            let (sum, product) = ((sum / n) as Float, (product / n) as Float);
            for i in places {
                let g = gamma[i / self.repeat] * dy[i];
                dx[i] = (g - sum - normalized(i) * product) * moments.inverse;
            }
        }
    }
}

// Where numbers have 64 bits, nothing is left of the mean, which is computed in as many.
#[cfg(all(test, not(gradus_f64)))]
mod tests {
    use crate::Float;
    use crate::layers::GroupNorm;
    use crate::layers::testing::LayerHarness;

    #[test]
    fn values_far_from_zero_that_hardly_differ_keep_their_mean() {
        let mut x = [439.755 as Float; 14];
        x[7] = x[7].next_up();
        let harness = LayerHarness::new(&GroupNorm::instance().epsilon(1e-3), [1, 14])
            .unwrap()
            .parameters(&[1.0, 0.0]);
        let y = harness.infer(&x).unwrap();
        let sum: f64 = y.iter().map(|&y| f64::from(y)).sum();
        assert!(y[7] > 0.0 && y[0] < 0.0 && sum.abs() < 1e-6 * f64::from(y[7]), "{y:?}");
    }
}
