//! A schedule.

use gradus::schedule::{ScheduleContext, Schedule};
use gradus::{Error, Result};
use serde::{Deserialize, Serialize};

/// The learning rate falls as 1 / (1 + decay · epoch).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Harmonic {
    decay: f64,
}

impl Default for Harmonic {
    fn default() -> Self {
        Harmonic { decay: 1.0 }
    }
}

impl Schedule for Harmonic {
    fn name(&self) -> &'static str {
        "harmonic"
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn validate(&self) -> Result<()> {
        if self.decay >= 0.0 && self.decay.is_finite() {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "harmonic: decay must be a number of at least 0, got {}",
            self.decay
        )))
    }

    fn factor(&self, context: &ScheduleContext<'_>) -> f64 {
        1.0 / (1.0 + self.decay * context.epoch() as f64)
    }

    fn reads_steps(&self) -> bool {
        false
    }
}
