//! The hyperbolic tangent.

use gradus_kernels::scalar;
use serde::{Deserialize, Serialize};

use super::Activation;
use crate::Float;
use crate::layer::{Function, OutputKind};

/// The hyperbolic tangent: y = (eˣ − e⁻ˣ) / (eˣ + e⁻ˣ), between −1 and 1.
///
/// Backward: dx = dy · (1 − y²).
///
/// ```
/// use gradus::activation::{Activation, Tanh};
/// assert_eq!(Tanh.value(0.0), 0.0);
/// assert_eq!(Tanh.derivative(0.0, 0.0), 1.0);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "super::Nothing", into = "super::Nothing")]
pub struct Tanh;

impl Activation for Tanh {
    fn kind(&self) -> &'static str {
        "tanh"
    }

    #[inline(always)]
    fn value(&self, x: Float) -> Float {
        scalar::tanh(x)
    }

    #[inline(always)]
    fn derivative(&self, _x: Float, y: Float) -> Float {
        1.0 - y * y
    }

    fn derivative_reads_x(&self) -> bool {
        false
    }

    fn output_kind(&self) -> OutputKind {
        OutputKind::Real
    }

    fn function(&self) -> Option<Function> {
        Some(Function::Tanh)
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}
