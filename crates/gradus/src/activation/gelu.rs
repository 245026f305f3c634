//! The Gaussian error linear unit.

use gradus_kernels::scalar;
use serde::{Deserialize, Serialize};

use super::Activation;
use crate::Float;
use crate::layer::{Function, OutputKind};

/// The Gaussian error linear unit: y = x · Φ(x), where Φ(x) = (1 + erf(x / √2)) / 2 is the probability that a standard
/// normal variable is below x. This is the exact function, not its approximation by tanh.
///
/// Backward: dx = dy · (Φ(x) + x · φ(x)), where φ(x) = e^(−x²/2) / √(2π). Since Φ = y / x, it needs no error function.
///
/// Source: Hendrycks and Gimpel, "Gaussian error linear units (GELUs)", 2016.
///
/// ```
/// use gradus::activation::{Activation, Gelu};
/// assert!((Gelu.value(1.0) - 0.841_344_75).abs() < 1e-6);
/// assert_eq!(Gelu.derivative(0.0, 0.0), 0.5);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "super::Nothing", into = "super::Nothing")]
pub struct Gelu;

impl Activation for Gelu {
    fn kind(&self) -> &'static str {
        "gelu"
    }

    #[inline(always)]
    fn value(&self, x: Float) -> Float {
        0.5 * x * (1.0 + scalar::erf(x * SQRT_HALF))
    }

    #[inline(always)]
    fn derivative(&self, x: Float, y: Float) -> Float {
        super::factor(x, y) + x * scalar::exp(-0.5 * x * x) * DENSITY_AT_0
    }

    fn output_kind(&self) -> OutputKind {
        OutputKind::Real
    }

    fn function(&self) -> Option<Function> {
        Some(Function::Gelu)
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

/// 1 / √2
const SQRT_HALF: Float = std::f64::consts::FRAC_1_SQRT_2 as Float;

/// φ(0) = 1 / √(2π)
const DENSITY_AT_0: Float = 0.398_942_280_401_432_7_f64 as Float;
