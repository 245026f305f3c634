//! The Gaussian error linear unit, approximated.

use gradus_kernels::scalar;
use serde::{Deserialize, Serialize};

use super::Activation;
use crate::Float;
use crate::layer::{Function, OutputKind};

/// The approximation of [`Gelu`](super::Gelu) that many published networks were trained with: y = x · (1 + tanh(u)) / 2, where
/// u = √(2/π) · (x + 0.044715 · x³). It differs from the exact function by less than 0.0005.
///
/// Backward: dx = dy · ((1 + t) / 2 + x · (1 − t²) / 2 · u′), where t = tanh(u) and u′ = √(2/π) · (1 + 3 · 0.044715 · x²).
///
/// Source: Hendrycks and Gimpel, "Gaussian error linear units (GELUs)", 2016.
///
/// ```
/// use gradus::activation::{Activation, GeluTanh};
/// assert!((GeluTanh.value(1.0) - 0.841_192).abs() < 1e-6);
/// assert_eq!(GeluTanh.derivative(0.0, 0.0), 0.5);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "super::Nothing", into = "super::Nothing")]
pub struct GeluTanh;

/// (1 + tanh(u)) / 2 = σ(2u): far below 0 nothing cancels.
#[inline(always)]
fn gate(x: Float) -> Float {
    // From here on the gate is 0 or 1, and x³ might overflow.
    let x = if x > 100.0 { 100.0 } else { x };
    let x = if x < -100.0 { -100.0 } else { x };
    scalar::sigmoid(2.0 * SLOPE * (x + CUBIC * x * x * x))
}

impl Activation for GeluTanh {
    fn kind(&self) -> &'static str {
        "gelu_tanh"
    }

    #[inline(always)]
    fn value(&self, x: Float) -> Float {
        x * gate(x)
    }

    #[inline(always)]
    fn derivative(&self, x: Float, _y: Float) -> Float {
        // With g = (1 + t) / 2, (1 − t²) / 2 is 2 g (1 − g).
        let g = gate(x);
        let x = if x.abs() > 100.0 { 0.0 } else { x };
        g + x * 2.0 * g * (1.0 - g) * SLOPE * (1.0 + 3.0 * CUBIC * x * x)
    }

    fn output_kind(&self) -> OutputKind {
        OutputKind::Real
    }

    fn function(&self) -> Option<Function> {
        Some(Function::GeluTanh)
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

/// √(2/π)
const SLOPE: Float = 0.797_884_560_802_865_4_f64 as Float;

/// The part of x³.
const CUBIC: Float = 0.044_715;
