//! Initializers that look at nothing but their own settings.

use rand::RngExt;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use super::{Fans, Initializer};
use crate::random::Rng;
use crate::{Float, Shape};

/// All values 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Zeros;

impl Initializer for Zeros {
    fn name(&self) -> &'static str {
        "zeros"
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn fill(&self, _shape: &Shape, _fans: Fans, _rng: &mut Rng, values: &mut [Float]) {
        values.fill(0.0);
    }
}

/// All values the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constant {
    value: f64,
}

impl Constant {
    /// All values this one.
    pub fn new(value: f64) -> Self {
        Constant { value }
    }
}

impl Initializer for Constant {
    fn name(&self) -> &'static str {
        "constant"
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn fill(&self, _shape: &Shape, _fans: Fans, _rng: &mut Rng, values: &mut [Float]) {
        values.fill(self.value as Float);
    }
}

/// Normally distributed values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Normal {
    /// The mean.
    mean: f64,
    /// The standard deviation.
    std: f64,
}

/// Mean 0, standard deviation 0.05.
impl Default for Normal {
    fn default() -> Self {
        Normal::new(0.0, 0.05)
    }
}

impl Normal {
    /// Values of this mean and standard deviation.
    pub fn new(mean: f64, std: f64) -> Self {
        Normal { mean, std }
    }
}

impl Initializer for Normal {
    fn name(&self) -> &'static str {
        "normal"
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn fill(&self, _shape: &Shape, _fans: Fans, rng: &mut Rng, values: &mut [Float]) {
        fill_normal(self.mean, self.std, rng, values);
    }
}

/// Values spread evenly over [low, high).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Uniform {
    /// The lowest value.
    low: f64,
    /// The bound above.
    high: f64,
}

/// From -0.05 to 0.05.
impl Default for Uniform {
    fn default() -> Self {
        Uniform::new(-0.05, 0.05)
    }
}

impl Uniform {
    /// Values from `low` to below `high`.
    pub fn new(low: f64, high: f64) -> Self {
        Uniform { low, high }
    }
}

impl Initializer for Uniform {
    fn name(&self) -> &'static str {
        "uniform"
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn fill(&self, _shape: &Shape, _fans: Fans, rng: &mut Rng, values: &mut [Float]) {
        fill_uniform(self.low, self.high, rng, values);
    }
}

/// Normally distributed values, of which those further than two standard deviations from the mean are drawn again.
///
/// What is left has a standard deviation of 0.8796 · `std`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TruncatedNormal {
    /// The mean.
    mean: f64,
    /// The standard deviation before the cut.
    std: f64,
}

/// Mean 0, standard deviation 0.05.
impl Default for TruncatedNormal {
    fn default() -> Self {
        TruncatedNormal::new(0.0, 0.05)
    }
}

impl TruncatedNormal {
    /// Values of this mean and, before the cut, this standard deviation.
    pub fn new(mean: f64, std: f64) -> Self {
        TruncatedNormal { mean, std }
    }
}

impl Initializer for TruncatedNormal {
    fn name(&self) -> &'static str {
        "truncated_normal"
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn fill(&self, _shape: &Shape, _fans: Fans, rng: &mut Rng, values: &mut [Float]) {
        for value in values {
            let z = loop {
                let z: f64 = rng.sample(StandardNormal);
                if z.abs() <= 2.0 {
                    break z;
                }
            };
            *value = (self.mean + self.std * z) as Float;
        }
    }
}

/// Fills with normally distributed values. They are drawn in double precision whatever [`Float`] is, so both builds start
/// from the same network.
pub(super) fn fill_normal(mean: f64, std: f64, rng: &mut Rng, values: &mut [Float]) {
    for value in values {
        let z: f64 = rng.sample(StandardNormal);
        *value = (mean + std * z) as Float;
    }
}

/// Fills with values spread evenly over [low, high).
pub(super) fn fill_uniform(low: f64, high: f64, rng: &mut Rng, values: &mut [Float]) {
    for value in values {
        let u: f64 = rng.random();
        *value = (low + (high - low) * u) as Float;
    }
}
