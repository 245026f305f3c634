//! The mean absolute error.

use serde::{Deserialize, Serialize};

use super::{Loss, check_shapes, mean, mean_gradient};
use crate::data::{Target, Targets};
use crate::{Float, Result, Shape};

/// The mean over the n outputs of their distance from the target, which outliers pull on less than on the squared error:
///
/// ```text
/// loss = 1/n Σᵢ |yᵢ - tᵢ|         dyᵢ = sign(yᵢ - tᵢ) / n, and 0 where yᵢ = tᵢ
/// ```
///
/// A class counts as 1 for its output and 0 for all others; if there is one output, as its number, 0 or 1.
///
/// ```
/// use gradus::{data::Target, loss::{Loss, MeanAbsoluteError}};
/// let mut dy = [0.0; 2];
/// let loss = MeanAbsoluteError.loss_and_gradient(&[1.0, 5.0], Target::Values(&[2.0, 2.0]), &mut dy);
/// assert_eq!(loss, 2.0); // (1 + 3) / 2
/// assert_eq!(dy, [-0.5, 0.5]);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct MeanAbsoluteError;

impl Loss for MeanAbsoluteError {
    fn name(&self) -> &'static str {
        "mean_absolute_error"
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn validate(&self, output: &Shape, targets: &Targets) -> Result<()> {
        check_shapes("mean absolute error", output, targets)
    }

    fn loss(&self, y: &[Float], target: Target<'_>) -> Float {
        mean(y, target, |y, t| (y - t).abs())
    }

    fn gradient(&self, y: &[Float], target: Target<'_>, dy: &mut [Float]) {
        mean_gradient(y, target, dy, |y, t| if y == t { 0.0 } else { (y - t).signum() });
    }
}
