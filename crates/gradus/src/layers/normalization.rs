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
    /// The values that it saves for `backward`: μ and 1 / √(σ² + ε) of each group.
    pub(super) fn saved(&self) -> usize {
        2 * self.groups
    }

    /// μ and 1 / √(σ² + ε) of a group.
    fn moments(&self, x: &[Float]) -> [Float; 2] {
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
        [
            mean as Float,
            (1.0 / (variance + f64::from(self.epsilon)).sqrt()) as Float,
        ]
    }
}

impl Passes for Normalization {
    fn forward(&self, pass: Forward<'_>) {
        let [gamma, beta] = pass.parameters.split();
        for group in 0..self.groups {
            let places = group * self.size..(group + 1) * self.size;
            let [mean, inverse] = self.moments(&pass.x[places.clone()]);
            if pass.training {
                pass.saved[2 * group] = mean;
                pass.saved[2 * group + 1] = inverse;
            }
            for i in places {
                let f = i / self.repeat;
                pass.y[i] = gamma[f] * ((pass.x[i] - mean) * inverse) + beta[f];
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
            let (mean, inverse) = (pass.saved[2 * group], pass.saved[2 * group + 1]);
            let normalized = |i: usize| (x[i] - mean) * inverse;
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
                dx[i] = (g - sum - normalized(i) * product) * inverse;
            }
        }
    }
}
