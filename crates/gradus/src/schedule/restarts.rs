//! A cosine that begins again and again.

use serde::{Deserialize, Serialize};

use super::cosine::anneal;
use super::{Schedule, ScheduleContext, Unit};
use crate::settings::require;
use crate::{Error, Result};

/// The learning rate falls along half a wave of the cosine, jumps back, and falls again (SGDR: Loshchilov and Hutter, 2017). The first
/// period takes `period` epochs or steps, and each one `multiplier` times as long as the one before it:
///
/// ```text
/// to + (1 - to) · (1 + cos(π · steps since the restart / steps of the period)) / 2
/// ```
///
/// The factor changes at every step, also where periods are given in epochs. A run that ends with a period ends with the lowest learning
/// rate: with a multiplier of 2, one of `period` · (2ⁿ - 1) epochs.
///
/// ```
/// use gradus::schedule::{CosineRestarts, Schedule, ScheduleContext, Unit};
/// let near = |a: f64, b: f64| (a - b).abs() < 1e-12;
/// // Periods of 1, 2 and 4 epochs, of 100 steps each.
/// let schedule = CosineRestarts::new(1).multiplier(2);
/// let after = |step| schedule.factor(&ScheduleContext::new(step, 700, 100, &[]));
/// assert!(near(after(0), 1.0) && near(after(50), 0.5) && near(after(100), 1.0) && near(after(200), 0.5) && near(after(300), 1.0));
/// // Periods of 20 steps.
/// let schedule = CosineRestarts::new(20).unit(Unit::Steps).multiplier(1);
/// let after = |step| schedule.factor(&ScheduleContext::new(step, 700, 100, &[]));
/// assert!(near(after(10), 0.5) && near(after(20), 1.0) && near(after(630), 0.5));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CosineRestarts {
    /// The length of the first period.
    period: u64,
    unit: Unit,
    /// The length of a period, divided by that of the one before it.
    multiplier: u64,
    /// The fraction of the learning rate that is left at the end of a period.
    to: f64,
}

/// Periods of 10, 20, 40, … epochs, down to 0.
impl Default for CosineRestarts {
    fn default() -> Self {
        CosineRestarts::new(10)
    }
}

impl CosineRestarts {
    /// A first period of this number of epochs, each one twice as long as the one before it, down to 0.
    pub fn new(period: u64) -> Self {
        CosineRestarts {
            period,
            unit: Unit::Epochs,
            multiplier: 2,
            to: 0.0,
        }
    }

    /// What `period` counts: epochs, unless it is set.
    pub fn unit(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }

    /// The length of a period, divided by that of the one before it: at least 1.
    pub fn multiplier(mut self, multiplier: u64) -> Self {
        self.multiplier = multiplier;
        self
    }

    /// The fraction of the learning rate that is left at the end of a period.
    pub fn to(mut self, to: f64) -> Self {
        self.to = to;
        self
    }
}

impl Schedule for CosineRestarts {
    fn name(&self) -> &'static str {
        "cosine_restarts"
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn validate(&self) -> Result<()> {
        if self.period == 0 || self.multiplier == 0 {
            return Err(Error::invalid(format!(
                "cosine restarts: period and multiplier must be at least 1, got {} and {}",
                self.period, self.multiplier
            )));
        }
        let holds = (0.0..=1.0).contains(&self.to);
        require(holds, "cosine restarts", "to", "in [0, 1]", self.to)
    }

    fn factor(&self, context: &ScheduleContext<'_>) -> f64 {
        let mut since = context.step;
        let mut period = context.steps_of(self.period, self.unit).max(1);
        if self.multiplier <= 1 {
            since %= period;
        }
        while since >= period {
            since -= period;
            period = period.saturating_mul(self.multiplier);
        }
        anneal(1.0, self.to, since as f64 / period as f64)
    }

    fn reads_steps(&self) -> bool {
        false
    }
}
