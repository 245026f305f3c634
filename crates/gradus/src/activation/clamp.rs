//! Clamping to a range.

use serde::{Deserialize, Serialize};

use super::Activation;
use crate::Float;
use crate::layer::{Function, OutputKind};
use crate::settings::shown;

/// Clamps to a range: y = min(max(x, low), high). From 0 to 6 unless given, which is ReLU6.
///
/// Backward: dx = dy where low < x < high, else 0.
///
/// Source: Krizhevsky, "Convolutional deep belief networks on CIFAR-10", 2010, for the range from 0 to 6.
///
/// ```
/// use gradus::activation::{Activation, Clamp};
/// assert_eq!(Clamp::new(-1.0, 1.0).value(3.0), 1.0);
/// assert_eq!(Clamp::default().value(7.0), 6.0);
/// assert_eq!(Clamp::default().derivative(7.0, 6.0), 0.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Clamp {
    /// The smallest value.
    low: f64,
    /// The largest value.
    high: f64,
}

impl Clamp {
    /// Clamps to the values from `low` to `high`.
    pub fn new(low: f64, high: f64) -> Self {
        Clamp { low, high }
    }

    #[inline(always)]
    fn bounds(&self) -> [Float; 2] {
        [self.low as Float, self.high as Float]
    }
}

impl Default for Clamp {
    fn default() -> Self {
        Clamp::new(0.0, 6.0)
    }
}

impl Activation for Clamp {
    fn kind(&self) -> &'static str {
        "clamp"
    }

    #[inline(always)]
    fn value(&self, x: Float) -> Float {
        let [low, high] = self.bounds();
        // Comparisons with NaN are false, so it stays.
        let x = if x < low { low } else { x };
        if x > high { high } else { x }
    }

    #[inline(always)]
    fn derivative(&self, x: Float, _y: Float) -> Float {
        let [low, high] = self.bounds();
        if x > low && x < high { 1.0 } else { 0.0 }
    }

    fn validate(&self) -> Result<(), String> {
        let [low, high] = self.bounds();
        if low.is_finite() && high.is_finite() && low < high {
            Ok(())
        } else {
            Err(format!(
                "clamp needs finite bounds, the low one below the high one, got {} and {}",
                shown(self.low),
                shown(self.high)
            ))
        }
    }

    fn output_kind(&self) -> OutputKind {
        OutputKind::Real
    }

    fn function(&self) -> Option<Function> {
        let [low, high] = self.bounds();
        Some(Function::Clamp {
            low: f64::from(low),
            high: f64::from(high),
        })
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Layer, Shape};

    #[test]
    fn bounds_that_make_no_sense_are_refused() {
        for (low, high) in [(1.0, 1.0), (2.0, 1.0), (f64::NAN, 1.0), (0.0, f64::INFINITY)] {
            let message = Clamp::new(low, high).bind(&Shape::from(3)).unwrap_err();
            assert!(message.starts_with("clamp needs finite bounds"), "{message}");
        }
    }
}
