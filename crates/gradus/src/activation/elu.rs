//! The exponential linear unit.

use gradus_kernels::scalar;
use serde::{Deserialize, Serialize};

use super::Activation;
use crate::Float;
use crate::layer::{Function, OutputKind};
use crate::settings::shown;

/// The exponential linear unit: y = x where x > 0, else α · (eˣ − 1). α is 1 unless given.
///
/// Backward: dx = dy where x > 0, else dy · α · eˣ = dy · (y + α).
///
/// Source: Clevert, Unterthiner and Hochreiter, "Fast and accurate deep network learning by exponential linear units", 2016.
///
/// ```
/// use gradus::activation::{Activation, Elu};
/// assert_eq!(Elu::new(2.0).value(3.0), 3.0);
/// assert!((Elu::new(2.0).value(-1.0) - 2.0 * (1.0 / std::f64::consts::E - 1.0) as gradus::Float).abs() < 1e-6);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Elu {
    /// The function tends to −α for large negative x.
    alpha: f64,
}

impl Elu {
    /// The unit that tends to −`alpha` for large negative x.
    pub fn new(alpha: f64) -> Self {
        Elu { alpha }
    }
}

impl Default for Elu {
    fn default() -> Self {
        Elu::new(1.0)
    }
}

impl Activation for Elu {
    fn kind(&self) -> &'static str {
        "elu"
    }

    #[inline(always)]
    fn value(&self, x: Float) -> Float {
        // eˣ − 1 = 2t / (1 − t) with t = tanh(x / 2): nothing cancels near 0.
        let t = scalar::tanh(0.5 * x);
        if x > 0.0 {
            x
        } else {
            self.alpha as Float * (2.0 * t / (1.0 - t))
        }
    }

    #[inline(always)]
    fn derivative(&self, x: Float, y: Float) -> Float {
        if x > 0.0 { 1.0 } else { y + self.alpha as Float }
    }

    fn validate(&self) -> Result<(), String> {
        if (self.alpha as Float).is_finite() {
            Ok(())
        } else {
            Err(format!("alpha must be a finite number, not {}", shown(self.alpha)))
        }
    }

    fn output_kind(&self) -> OutputKind {
        OutputKind::Real
    }

    fn function(&self) -> Option<Function> {
        Some(Function::Elu {
            alpha: f64::from(self.alpha as Float),
        })
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}
