//! Mish.

use gradus_kernels::scalar;
use serde::{Deserialize, Serialize};

use super::Activation;
use crate::Float;
use crate::layer::{Function, OutputKind};

/// Mish: y = x · tanh(ln(1 + eˣ)), smooth like [`Silu`](super::Silu).
///
/// Backward: dx = dy · (t + x · (1 − t²) · σ(x)), where t = tanh(ln(1 + eˣ)) and σ(x) = 1 / (1 + e⁻ˣ).
///
/// It is computed from e = e^−|x| alone: t = (1 + 2e) / (1 + 2e + 2e²) where x ≥ 0, else e · (e + 2) / (e · (e + 2) + 2); nothing cancels
/// or overflows.
///
/// Source: Misra, "Mish: a self regularized non-monotonic activation function", 2019.
///
/// ```
/// use gradus::activation::{Activation, Mish};
/// assert!((Mish.value(1.0) - 0.865_098_4).abs() < 1e-6);
/// assert_eq!(Mish.derivative(0.0, 0.0), 0.6);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "super::Nothing", into = "super::Nothing")]
pub struct Mish;

/// tanh(ln(1 + eˣ))
#[inline(always)]
fn gate(x: Float) -> Float {
    let e = scalar::exp(-x.abs());
    let positive = 1.0 + 2.0 * e;
    let negative = e * (e + 2.0);
    let numerator = if x < 0.0 { negative } else { positive };
    let rest = if x < 0.0 { 2.0 } else { 2.0 * e * e };
    numerator / (numerator + rest)
}

impl Activation for Mish {
    fn kind(&self) -> &'static str {
        "mish"
    }

    #[inline(always)]
    fn value(&self, x: Float) -> Float {
        x * gate(x)
    }

    #[inline(always)]
    fn derivative(&self, x: Float, _y: Float) -> Float {
        let t = gate(x);
        t + x * (1.0 - t * t) * scalar::sigmoid(x)
    }

    fn output_kind(&self) -> OutputKind {
        OutputKind::Real
    }

    fn function(&self) -> Option<Function> {
        Some(Function::Mish)
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}
