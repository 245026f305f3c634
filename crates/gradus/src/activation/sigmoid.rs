//! The logistic function.

use gradus_kernels::scalar;
use serde::{Deserialize, Serialize};

use super::Activation;
use crate::Float;
use crate::layer::{Function, OutputKind};

/// The logistic function: y = σ(x) = 1 / (1 + e⁻ˣ), between 0 and 1.
///
/// Backward: dx = dy · y · (1 − y).
///
/// ```
/// use gradus::activation::{Activation, Sigmoid};
/// assert_eq!(Sigmoid.value(0.0), 0.5);
/// assert_eq!(Sigmoid.derivative(0.0, 0.5), 0.25);
/// assert_eq!(Sigmoid.value(-1000.0), 0.0);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "super::Nothing", into = "super::Nothing")]
pub struct Sigmoid;

impl Activation for Sigmoid {
    fn kind(&self) -> &'static str {
        "sigmoid"
    }

    #[inline(always)]
    fn value(&self, x: Float) -> Float {
        scalar::sigmoid(x)
    }

    #[inline(always)]
    fn derivative(&self, _x: Float, y: Float) -> Float {
        y * (1.0 - y)
    }

    fn derivative_reads_x(&self) -> bool {
        false
    }

    fn output_kind(&self) -> OutputKind {
        OutputKind::Probabilities
    }

    fn function(&self) -> Option<Function> {
        Some(Function::Sigmoid)
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}
