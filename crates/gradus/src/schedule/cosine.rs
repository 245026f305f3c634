//! Schedules along a cosine, step by step.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use super::{Schedule, ScheduleContext};
use crate::Result;
use crate::settings::{below_one, positive, require};

/// From `start` to `end` along half a wave of the cosine, at this progress in [0, 1].
pub(super) fn anneal(start: f64, end: f64, progress: f64) -> f64 {
    end + (start - end) * (1.0 + (PI * progress).cos()) / 2.0
}

/// The learning rate falls along half a wave of the cosine over the whole run (Loshchilov and Hutter, 2017, without
/// restarts):
///
/// ```text
/// to + (1 - to) · (1 + cos(π · step / steps)) / 2
/// ```
///
/// ```
/// use gradus::schedule::{Cosine, ScheduleContext, Schedule};
/// let schedule = Cosine::new().to(0.2);
/// let after = |step| schedule.factor(&ScheduleContext::new(step, 900, 100, &[]));
/// let near = |a: f64, b: f64| (a - b).abs() < 1e-12;
/// assert!(near(after(0), 1.0) && near(after(300), 0.8) && near(after(450), 0.6) && near(after(900), 0.2));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cosine {
    /// The fraction of the learning rate that is left at the end; 0 by default.
    to: f64,
}

impl Cosine {
    /// The cosine from the whole learning rate to 0.
    pub fn new() -> Self {
        Cosine::default()
    }

    /// The fraction of the learning rate that is left at the end.
    pub fn to(mut self, to: f64) -> Self {
        self.to = to;
        self
    }
}

impl Schedule for Cosine {
    fn name(&self) -> &'static str {
        "cosine"
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn validate(&self) -> Result<()> {
        require((0.0..=1.0).contains(&self.to), "cosine", "to", "in [0, 1]", self.to)
    }

    fn factor(&self, context: &ScheduleContext<'_>) -> f64 {
        let progress = context.step as f64 / context.steps.max(1) as f64;
        anneal(1.0, self.to, progress.min(1.0))
    }
}

/// One cycle over the whole run (Smith and Topin, 2018): the learning rate rises to the optimizer's own, its peak, and falls
/// far below where it began, both along half a wave of the cosine. The optimizer's rate can be several times what it would
/// bear without the cycle.
///
/// It begins at 1 / `start_divisor`, has its peak after the fraction `warm_up` of the steps, and ends at
/// 1 / (`start_divisor` · `final_divisor`).
///
/// ```
/// use gradus::schedule::{ScheduleContext, OneCycle, Schedule};
/// let schedule = OneCycle::default();
/// let at = |step| schedule.factor(&ScheduleContext::new(step, 1000, 100, &[]));
/// let near = |a: f64, b: f64| (a - b).abs() < 1e-12;
/// assert!(near(at(0), 0.04) && near(at(299), 1.0) && near(at(999), 4e-6));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OneCycle {
    /// The fraction of the steps until the peak, in [0, 1).
    warm_up: f64,
    /// The peak divided by the first learning rate.
    start_divisor: f64,
    /// The first learning rate divided by the last.
    final_divisor: f64,
}

/// The peak after 0.3 of the steps, 25 times the first learning rate, which is 10⁴ times the last.
impl Default for OneCycle {
    fn default() -> Self {
        OneCycle {
            warm_up: 0.3,
            start_divisor: 25.0,
            final_divisor: 1e4,
        }
    }
}

impl OneCycle {
    /// The peak after 0.3 of the steps, 25 times the first learning rate, which is 10⁴ times the last.
    pub fn new() -> Self {
        OneCycle::default()
    }

    /// The fraction of the steps until the peak, in [0, 1).
    pub fn warm_up(mut self, warm_up: f64) -> Self {
        self.warm_up = warm_up;
        self
    }

    /// The peak divided by the first learning rate.
    pub fn start_divisor(mut self, start_divisor: f64) -> Self {
        self.start_divisor = start_divisor;
        self
    }

    /// The first learning rate divided by the last.
    pub fn final_divisor(mut self, final_divisor: f64) -> Self {
        self.final_divisor = final_divisor;
        self
    }
}

impl Schedule for OneCycle {
    fn name(&self) -> &'static str {
        "one_cycle"
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn validate(&self) -> Result<()> {
        below_one("one cycle", "warm_up", self.warm_up)?;
        positive("one cycle", "start_divisor", self.start_divisor)?;
        positive("one cycle", "final_divisor", self.final_divisor)
    }

    fn factor(&self, context: &ScheduleContext<'_>) -> f64 {
        let step = context.step as f64;
        // The steps that have the peak and the end.
        let peak = (self.warm_up * context.steps as f64 - 1.0).max(0.0);
        let last = context.steps as f64 - 1.0;
        let start = 1.0 / self.start_divisor;
        let end = start / self.final_divisor;
        if step < peak {
            anneal(start, 1.0, step / peak)
        } else if step < last {
            anneal(1.0, end, (step - peak) / (last - peak))
        } else {
            end
        }
    }
}
