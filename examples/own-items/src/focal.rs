//! A loss.

use gradus::data::{Target, Targets};
use gradus::loss::Loss;
use gradus::{Error, Float, Result, Shape};
use serde::{Deserialize, Serialize};

/// The probability below which the logarithm is cut off.
const LEAST: Float = 1e-6;

/// The focal loss (Lin, Goyal, Girshick, He and Dollár, 2017) of the probability p of the right class: -(1 - p)^γ · ln p, which
/// counts less than cross entropy what is right already.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Focal {
    /// γ; with 0, this is cross entropy.
    gamma: f64,
}

impl Default for Focal {
    fn default() -> Self {
        Focal { gamma: 2.0 }
    }
}

impl Loss for Focal {
    fn name(&self) -> &'static str {
        "focal"
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn validate(&self, output: &Shape, targets: &Targets) -> Result<()> {
        if !(self.gamma >= 0.0 && self.gamma.is_finite()) {
            return Err(Error::invalid(format!(
                "focal: gamma must be a number of at least 0, got {}",
                self.gamma
            )));
        }
        match targets {
            Targets::Classes(classes) if *classes == output.size() => Ok(()),
            _ => Err(Error::invalid(
                "the focal loss needs classes, and an output for each of them",
            )),
        }
    }

    fn loss(&self, y: &[Float], target: Target<'_>) -> Float {
        let Target::Class(class) = target else {
            return Float::NAN;
        };
        let p = y[class].max(LEAST);
        -(1.0 - p).max(0.0).powf(self.gamma as Float) * p.ln()
    }

    fn gradient(&self, y: &[Float], target: Target<'_>, dy: &mut [Float]) {
        dy.fill(0.0);
        let Target::Class(class) = target else { return };
        let (p, gamma) = (y[class].max(LEAST), self.gamma as Float);
        let rest = (1.0 - p).max(0.0);
        let bend = if gamma > 0.0 && rest > 0.0 {
            gamma * rest.powf(gamma - 1.0) * p.ln()
        } else {
            0.0
        };
        dy[class] = bend - rest.powf(gamma) / p;
    }
}
