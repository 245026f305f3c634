//! The sigmoid of straight lines.

use serde::{Deserialize, Serialize};

use super::Activation;
use crate::Float;
use crate::layer::{Function, OutputKind};

/// The sigmoid of straight lines: y = min(max(x / 6 + 1/2, 0), 1).
///
/// Backward: dx = dy / 6 where −3 < x < 3, else 0.
///
/// Source: Courbariaux, Bengio and David, "BinaryConnect: training deep neural networks with binary weights during propagations",
/// 2015; with the slope 1/6 of Howard, Sandler, Chu and others, "Searching for MobileNetV3", 2019.
///
/// ```
/// use gradus::activation::{Activation, HardSigmoid};
/// assert_eq!(HardSigmoid.value(0.0), 0.5);
/// assert_eq!(HardSigmoid.value(-4.0), 0.0);
/// assert_eq!(HardSigmoid.derivative(4.0, 1.0), 0.0);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "super::Nothing", into = "super::Nothing")]
pub struct HardSigmoid;

impl Activation for HardSigmoid {
    fn kind(&self) -> &'static str {
        "hard_sigmoid"
    }

    #[inline(always)]
    fn value(&self, x: Float) -> Float {
        let y = x * SLOPE + 0.5;
        // Comparisons with NaN are false, so it stays.
        let y = if y < 0.0 { 0.0 } else { y };
        if y > 1.0 { 1.0 } else { y }
    }

    #[inline(always)]
    fn derivative(&self, x: Float, _y: Float) -> Float {
        if x > -3.0 && x < 3.0 { SLOPE } else { 0.0 }
    }

    fn output_kind(&self) -> OutputKind {
        OutputKind::Probabilities
    }

    fn function(&self) -> Option<Function> {
        Some(Function::HardSigmoid)
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

/// 1/6
const SLOPE: Float = 1.0 / 6.0;
