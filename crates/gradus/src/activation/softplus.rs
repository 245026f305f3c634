//! The smooth rectifier.

use serde::{Deserialize, Serialize};

use super::Activation;
use super::sigmoid::logistic;
use crate::Float;

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

    #[inline]
    fn value(&self, x: Float) -> Float {
        x.max(0.0) + (-x.abs()).exp().ln_1p()
    }

    #[inline]
    fn derivative(&self, x: Float, _y: Float) -> Float {
        logistic(x)
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}
