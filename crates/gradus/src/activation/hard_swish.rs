//! The swish of straight lines.

use serde::{Deserialize, Serialize};

use super::Activation;
use crate::Float;
use crate::layer::{Function, OutputKind};

/// The swish of straight lines: y = x · min(max(x / 6 + 1/2, 0), 1), which needs no exponential.
///
/// Backward: dx = dy · (x / 3 + 1/2) where −3 < x < 3; dx = 0 below, dx = dy above.
///
/// Source: Howard, Sandler, Chu and others, "Searching for MobileNetV3", 2019.
///
/// ```
/// use gradus::activation::{Activation, HardSwish};
/// assert_eq!(HardSwish.value(-4.0), 0.0);
/// assert_eq!(HardSwish.value(4.0), 4.0);
/// assert_eq!(HardSwish.derivative(0.0, 0.0), 0.5);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "super::Nothing", into = "super::Nothing")]
pub struct HardSwish;

impl Activation for HardSwish {
    fn kind(&self) -> &'static str {
        "hard_swish"
    }

    #[inline(always)]
    fn value(&self, x: Float) -> Float {
        let gate = x * (1.0 / 6.0) + 0.5;
        // Comparisons with NaN are false, so it stays.
        let gate = if gate < 0.0 { 0.0 } else { gate };
        x * if gate > 1.0 { 1.0 } else { gate }
    }

    #[inline(always)]
    fn derivative(&self, x: Float, _y: Float) -> Float {
        let slope = x * (1.0 / 3.0) + 0.5;
        let slope = if x > -3.0 { slope } else { 0.0 };
        if x < 3.0 { slope } else { 1.0 }
    }

    fn output_kind(&self) -> OutputKind {
        OutputKind::Real
    }

    fn function(&self) -> Option<Function> {
        Some(Function::HardSwish)
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}
