//! Huber's loss.

use serde::{Deserialize, Serialize};

use super::{Loss, check_shapes, mean, mean_gradient};
use crate::data::{Target, Targets};
use crate::settings::positive;
use crate::{Float, Result, Shape};

/// Huber's loss (1964), the mean over the n outputs: squared near the target, linear beyond a distance of δ, so that
/// outliers pull no harder than that. With r = yᵢ - tᵢ:
///
/// ```text
/// loss = 1/n Σᵢ  r² / 2               if |r| ≤ δ         dyᵢ = r / n
///                δ · (|r| - δ / 2)    otherwise          dyᵢ = δ · sign(r) / n
/// ```
///
/// A class counts as 1 for its output and 0 for all others; if there is one output, as its number, 0 or 1.
///
/// ```
/// use gradus::{data::Target, loss::{Huber, Loss}};
/// let mut dy = [0.0; 2];
/// let loss = Huber::new(1.0).loss_and_gradient(&[1.5, 5.0], Target::Values(&[2.0, 2.0]), &mut dy);
/// assert_eq!(loss, 1.3125); // (0.125 + 2.5) / 2
/// assert_eq!(dy, [-0.25, 0.5]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Huber {
    /// The distance δ from the target at which the loss becomes linear, above 0.
    delta: f64,
}

/// δ = 1.
impl Default for Huber {
    fn default() -> Self {
        Huber::new(1.0)
    }
}

impl Huber {
    /// Huber's loss that becomes linear at this distance from the target.
    pub fn new(delta: f64) -> Self {
        Huber { delta }
    }
}

impl Loss for Huber {
    fn name(&self) -> &'static str {
        "huber"
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn validate(&self, output: &Shape, targets: &Targets) -> Result<()> {
        positive("Huber's loss", "delta", self.delta)?;
        check_shapes("Huber's loss", output, targets)
    }

    fn loss(&self, y: &[Float], target: Target<'_>) -> Float {
        let delta = self.delta as Float;
        mean(y, target, |y, t| {
            let r = (y - t).abs();
            if r <= delta {
                r * r / 2.0
            } else {
                delta * (r - delta / 2.0)
            }
        })
    }

    fn gradient(&self, y: &[Float], target: Target<'_>, dy: &mut [Float]) {
        let delta = self.delta as Float;
        mean_gradient(y, target, dy, |y, t| {
            let r = y - t;
            if r.abs() <= delta { r } else { delta * r.signum() }
        });
    }
}
