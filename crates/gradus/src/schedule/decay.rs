//! Schedules that follow the epochs.

use serde::{Deserialize, Serialize};

use super::{Schedule, ScheduleContext, Unit};
use crate::settings::positive;
use crate::{Error, Result};

/// The optimizer's learning rate throughout.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Constant;

impl Schedule for Constant {
    fn name(&self) -> &'static str {
        "constant"
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn validate(&self) -> Result<()> {
        Ok(())
    }

    fn factor(&self, _context: &ScheduleContext<'_>) -> f64 {
        1.0
    }

    fn reads_steps(&self) -> bool {
        false
    }
}

/// The learning rate is multiplied by `factor` after every `every` epochs, or steps: after n of them it has
///
/// ```text
/// factor^⌊n / every⌋
/// ```
///
/// ```
/// use gradus::schedule::{ScheduleContext, Schedule, StepDecay, Unit};
/// let schedule = StepDecay::new(2, 0.5);
/// let after = |epochs: u64| schedule.factor(&ScheduleContext::new(100 * epochs, 1000, 100, &[]));
/// assert_eq!([0, 1, 2, 3, 4].map(after), [1.0, 1.0, 0.5, 0.5, 0.25]);
/// let schedule = StepDecay::new(50, 0.5).unit(Unit::Steps);
/// assert_eq!(schedule.factor(&ScheduleContext::new(149, 1000, 100, &[])), 0.25);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StepDecay {
    /// The number of epochs or steps between two changes.
    every: u64,
    // Left out, so that checkpoints from before there was a choice are the same.
    #[serde(skip_serializing_if = "Unit::is_epochs")]
    unit: Unit,
    /// What the learning rate is multiplied by.
    factor: f64,
}

/// A tenth every ten epochs.
impl Default for StepDecay {
    fn default() -> Self {
        StepDecay::new(10, 0.1)
    }
}

impl StepDecay {
    /// Multiplies the learning rate by `factor` after every `every` epochs.
    pub fn new(every: u64, factor: f64) -> Self {
        StepDecay {
            every,
            unit: Unit::Epochs,
            factor,
        }
    }

    /// What `every` counts: epochs, unless it is set.
    pub fn unit(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }
}

impl Schedule for StepDecay {
    fn name(&self) -> &'static str {
        "step_decay"
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn validate(&self) -> Result<()> {
        if self.every == 0 {
            return Err(Error::invalid(match self.unit {
                Unit::Epochs => "step decay: every must be at least 1 epoch, got 0",
                Unit::Steps => "step decay: every must be at least 1 step, got 0",
            }));
        }
        positive("step decay", "factor", self.factor)
    }

    fn factor(&self, context: &ScheduleContext<'_>) -> f64 {
        let every = context.steps_of(self.every, self.unit);
        power(self.factor, context.step / every.max(1))
    }

    fn reads_steps(&self) -> bool {
        false
    }
}

/// The learning rate is multiplied by `per_epoch` after each epoch: after e epochs it has `per_epoch`ᵉ.
///
/// ```
/// use gradus::schedule::{Exponential, ScheduleContext, Schedule};
/// let schedule = Exponential::new(0.5);
/// let after = |epochs: u64| schedule.factor(&ScheduleContext::new(100 * epochs, 1000, 100, &[]));
/// assert_eq!([0, 1, 2, 3].map(after), [1.0, 0.5, 0.25, 0.125]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Exponential {
    /// What the learning rate is multiplied by after each epoch.
    per_epoch: f64,
}

/// 5 % less after each epoch.
impl Default for Exponential {
    fn default() -> Self {
        Exponential::new(0.95)
    }
}

impl Exponential {
    /// Multiplies the learning rate by `per_epoch` after each epoch.
    pub fn new(per_epoch: f64) -> Self {
        Exponential { per_epoch }
    }
}

impl Schedule for Exponential {
    fn name(&self) -> &'static str {
        "exponential"
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn validate(&self) -> Result<()> {
        positive("exponential decay", "per_epoch", self.per_epoch)
    }

    fn factor(&self, context: &ScheduleContext<'_>) -> f64 {
        power(self.per_epoch, context.epoch())
    }

    fn reads_steps(&self) -> bool {
        false
    }
}

fn power(base: f64, exponent: u64) -> f64 {
    base.powi(i32::try_from(exponent).unwrap_or(i32::MAX))
}
