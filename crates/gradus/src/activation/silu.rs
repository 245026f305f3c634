//! The sigmoid-weighted linear unit.

use gradus_kernels::scalar;
use serde::{Deserialize, Serialize};

use super::Activation;
use crate::Float;
use crate::layer::{Function, OutputKind};

/// The sigmoid-weighted linear unit, or swish: y = x · σ(x), where σ(x) = 1 / (1 + e⁻ˣ).
///
/// Backward: dx = dy · (σ + x · σ · (1 − σ)) = dy · (σ + y · (1 − σ)). Since σ = y / x, it needs no exponential.
///
/// Source: Elfwing, Uchibe and Doya, "Sigmoid-weighted linear units for neural network function approximation in
/// reinforcement learning", 2018.
///
/// ```
/// use gradus::activation::{Activation, Silu};
/// assert_eq!(Silu.value(0.0), 0.0);
/// assert_eq!(Silu.derivative(0.0, 0.0), 0.5);
/// assert_eq!(Silu.value(1000.0), 1000.0);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "super::Nothing", into = "super::Nothing")]
pub struct Silu;

impl Activation for Silu {
    fn kind(&self) -> &'static str {
        "silu"
    }

    #[inline(always)]
    fn value(&self, x: Float) -> Float {
        x * scalar::sigmoid(x)
    }

    #[inline(always)]
    fn derivative(&self, x: Float, y: Float) -> Float {
        let sigma = super::factor(x, y);
        sigma + y * (1.0 - sigma)
    }

    fn output_kind(&self) -> OutputKind {
        OutputKind::Real
    }

    fn function(&self) -> Option<Function> {
        Some(Function::Silu)
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}
