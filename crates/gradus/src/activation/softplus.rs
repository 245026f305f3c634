//! The smooth rectifier.

use gradus_kernels::scalar;
use serde::{Deserialize, Serialize};

use super::Activation;
use crate::Float;
use crate::layer::{Function, OutputKind};

/// The smooth rectifier: y = ln(1 + eˣ), computed as max(0, x) + ln(1 + e^−|x|), which cannot overflow.
///
/// Backward: dx = dy · σ(x), where σ(x) = 1 / (1 + e⁻ˣ).
///
/// Source: Dugas, Bengio, Bélisle, Nadeau and Garcia, "Incorporating second-order functional knowledge for better option
/// pricing", 2001.
///
/// ```
/// use gradus::activation::{Activation, Softplus};
/// assert!((Softplus.value(0.0) - gradus::Float::ln(2.0)).abs() < 1e-6);
/// assert_eq!(Softplus.derivative(0.0, 0.0), 0.5);
/// assert_eq!(Softplus.value(1000.0), 1000.0);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "super::Nothing", into = "super::Nothing")]
pub struct Softplus;

impl Activation for Softplus {
    fn kind(&self) -> &'static str {
        "softplus"
    }

    #[inline(always)]
    fn value(&self, x: Float) -> Float {
        let e = scalar::exp(-x.abs());
        // ln(1 + e), exact also where e is lost in 1 + e: what the sum rounds to is then put right (W. Kahan).
        let sum = 1.0 + e;
        let ln = if sum == 1.0 {
            e
        } else {
            scalar::ln(sum) * (e / (sum - 1.0))
        };
        (if x > 0.0 { x } else { 0.0 }) + ln
    }

    #[inline(always)]
    fn derivative(&self, x: Float, _y: Float) -> Float {
        scalar::sigmoid(x)
    }

    fn output_kind(&self) -> OutputKind {
        OutputKind::Real
    }

    fn function(&self) -> Option<Function> {
        Some(Function::Softplus)
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}
