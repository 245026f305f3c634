//! The rectifier and its leaky sister.

use serde::{Deserialize, Serialize};

use super::Activation;
use crate::Float;
use crate::layer::{Function, OutputKind};
use crate::settings::shown;

/// The rectifier: y = max(0, x).
///
/// Backward: dx = dy where y > 0, else 0 (also at x = 0, where the function has no derivative).
///
/// Source: Nair and Hinton, "Rectified linear units improve restricted Boltzmann machines", 2010.
///
/// ```
/// use gradus::activation::{Activation, Relu};
/// assert_eq!(Relu.value(-2.0), 0.0);
/// assert_eq!(Relu.value(3.0), 3.0);
/// assert_eq!(Relu.derivative(3.0, 3.0), 1.0);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "super::Nothing", into = "super::Nothing")]
pub struct Relu;

impl Activation for Relu {
    fn kind(&self) -> &'static str {
        "relu"
    }

    #[inline(always)]
    fn value(&self, x: Float) -> Float {
        // Not `max`, which would turn NaN into 0 and hide that training has diverged.
        if x < 0.0 { 0.0 } else { x }
    }

    #[inline(always)]
    fn derivative(&self, _x: Float, y: Float) -> Float {
        if y > 0.0 { 1.0 } else { 0.0 }
    }

    fn derivative_reads_x(&self) -> bool {
        false
    }

    fn output_kind(&self) -> OutputKind {
        OutputKind::Real
    }

    fn function(&self) -> Option<Function> {
        Some(Function::Relu)
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

/// The leaky rectifier: y = x where x > 0, else slope · x. The slope is 0.01 unless given.
///
/// Backward: dx = dy where x > 0, else slope · dy.
///
/// Source: Maas, Hannun and Ng, "Rectifier nonlinearities improve neural network acoustic models", 2013.
///
/// ```
/// use gradus::activation::{Activation, LeakyRelu};
/// assert_eq!(LeakyRelu::new(0.25).value(-2.0), -0.5);
/// assert_eq!(LeakyRelu::new(0.25).value(3.0), 3.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LeakyRelu {
    /// The slope for negative x.
    slope: f64,
}

impl LeakyRelu {
    /// A leaky rectifier of this slope for negative x.
    pub fn new(slope: f64) -> Self {
        LeakyRelu { slope }
    }
}

impl Default for LeakyRelu {
    fn default() -> Self {
        LeakyRelu::new(0.01)
    }
}

impl Activation for LeakyRelu {
    fn kind(&self) -> &'static str {
        "leaky_relu"
    }

    #[inline(always)]
    fn value(&self, x: Float) -> Float {
        if x > 0.0 { x } else { self.slope as Float * x }
    }

    #[inline(always)]
    fn derivative(&self, x: Float, _y: Float) -> Float {
        if x > 0.0 { 1.0 } else { self.slope as Float }
    }

    fn validate(&self) -> Result<(), String> {
        if (self.slope as Float).is_finite() {
            Ok(())
        } else {
            Err(format!("the slope must be a finite number, not {}", shown(self.slope)))
        }
    }

    fn output_kind(&self) -> OutputKind {
        OutputKind::Real
    }

    fn function(&self) -> Option<Function> {
        Some(Function::LeakyRelu {
            slope: f64::from(self.slope as Float),
        })
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}
