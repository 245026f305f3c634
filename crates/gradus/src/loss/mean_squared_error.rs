//! The mean squared error.

use serde::{Deserialize, Serialize};

use super::{Loss, check_shapes, mean, mean_gradient};
use crate::data::{Target, Targets};
use crate::{Float, Result, Shape};

/// The mean over the n outputs of their squared distance from the target (Gauss, 1809):
///
/// ```text
/// loss = 1/n Σᵢ (yᵢ - tᵢ)²         dyᵢ = 2 · (yᵢ - tᵢ) / n
/// ```
///
/// A class counts as 1 for its output and 0 for all others; if there is one output, as its number, 0 or 1.
///
/// ```
/// use gradus::{data::Target, loss::{Loss, MeanSquaredError}};
/// let mut dy = [0.0; 2];
/// let loss = MeanSquaredError.loss_and_gradient(&[1.0, 5.0], Target::Values(&[2.0, 2.0]), &mut dy);
/// assert_eq!(loss, 5.0); // (1 + 9) / 2
/// assert_eq!(dy, [-1.0, 3.0]);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct MeanSquaredError;

impl Loss for MeanSquaredError {
    fn name(&self) -> &'static str {
        "mean_squared_error"
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn validate(&self, output: &Shape, targets: &Targets) -> Result<()> {
        check_shapes("mean squared error", output, targets)
    }

    fn loss(&self, y: &[Float], target: Target<'_>) -> Float {
        mean(y, target, |y, t| (y - t) * (y - t))
    }

    fn gradient(&self, y: &[Float], target: Target<'_>, dy: &mut [Float]) {
        mean_gradient(y, target, dy, |y, t| 2.0 * (y - t));
    }
}
