//! An optimizer.

use gradus::optim::{Optimizer, Step};
use gradus::{Error, Float, Result};
use serde::{Deserialize, Serialize};

/// Steps of one length, whatever the gradient (Bernstein, Wang, Azizzadenesheli and Anandkumar, 2018):
/// w ← w - learning_rate · sign dw.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sign {
    learning_rate: f64,
}

impl Default for Sign {
    fn default() -> Self {
        Sign { learning_rate: 0.001 }
    }
}

impl Optimizer for Sign {
    fn name(&self) -> &'static str {
        "sign"
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn validate(&self) -> Result<()> {
        if self.learning_rate >= 0.0 && self.learning_rate.is_finite() {
            return Ok(());
        }
        let rate = self.learning_rate;
        Err(Error::invalid(format!(
            "sign: learning_rate must be a number of at least 0, got {rate}"
        )))
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn update(&self, step: Step, w: &mut [Float], dw: &[Float], _state: &mut [&mut [Float]]) {
        for (w, dw) in w.iter_mut().zip(dw) {
            if *dw != 0.0 {
                *w -= step.learning_rate * dw.signum();
            }
        }
    }
}
