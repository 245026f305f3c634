//! A straight line.

use serde::{Deserialize, Serialize};

use super::{Schedule, ScheduleContext};
use crate::Result;
use crate::settings::require;

/// The learning rate falls evenly over the whole run:
///
/// ```text
/// 1 - (1 - to) · step / steps
/// ```
///
/// After a [warm-up](super::Warmup) it is what large language models are often fine-tuned with (Devlin et al., 2019).
///
/// ```
/// use gradus::schedule::{Linear, Schedule, ScheduleContext};
/// let schedule = Linear::new().to(0.25);
/// let after = |step| schedule.factor(&ScheduleContext::new(step, 800, 100, &[]));
/// assert_eq!([0, 400, 800].map(after), [1.0, 0.625, 0.25]);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Linear {
    /// The fraction of the learning rate that is left at the end; 0 by default.
    to: f64,
}

impl Linear {
    /// The line from the whole learning rate to 0.
    pub fn new() -> Self {
        Linear::default()
    }

    /// The fraction of the learning rate that is left at the end.
    pub fn to(mut self, to: f64) -> Self {
        self.to = to;
        self
    }
}

impl Schedule for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn validate(&self) -> Result<()> {
        require(
            (0.0..=1.0).contains(&self.to),
            "linear decay",
            "to",
            "in [0, 1]",
            self.to,
        )
    }

    fn factor(&self, context: &ScheduleContext<'_>) -> f64 {
        let progress = context.step as f64 / context.steps.max(1) as f64;
        1.0 - (1.0 - self.to) * progress.min(1.0)
    }
}
