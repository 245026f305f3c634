//! The mean and the variance of a feature.

use crate::Float;

/// The mean μ and the variance σ² of a feature. Among statistics each is kept as two numbers, the nearest [`Float`] and what it
/// misses: the nearest means of all features, what they miss, the nearest variances, and what those miss.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moments {
    pub(super) mean: f64,
    pub(super) variance: f64,
}

impl Moments {
    /// How many statistics those of a feature are.
    pub(super) const NUMBERS: usize = 4;

    pub(super) fn read(feature: usize, statistics: &[Float]) -> Self {
        let features = statistics.len() / Self::NUMBERS;
        let number = |i: usize| f64::from(statistics[i * features + feature]);
        Moments {
            mean: number(0) + number(1),
            variance: number(2) + number(3),
        }
    }

    pub(super) fn write(self, feature: usize, statistics: &mut [Float]) {
        let features = statistics.len() / Self::NUMBERS;
        for (i, value) in [self.mean, self.variance].into_iter().enumerate() {
            let nearest = value as Float;
            statistics[2 * i * features + feature] = nearest;
            statistics[(2 * i + 1) * features + feature] = (value - f64::from(nearest)) as Float;
        }
    }

    /// Those of all values, where the others are this proportion of them:
    ///
    /// δ = μ′ − μ, μ ← μ + δ · p, σ² ← (1 − p) · σ² + p · σ′² + δ² · p · (1 − p).
    ///
    /// Source: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979.
    pub(super) fn merged(self, others: Moments, proportion: f64) -> Self {
        let (p, delta) = (proportion, others.mean - self.mean);
        Moments {
            mean: self.mean + delta * p,
            variance: (1.0 - p) * self.variance + p * others.variance + delta * delta * p * (1.0 - p),
        }
    }
}
