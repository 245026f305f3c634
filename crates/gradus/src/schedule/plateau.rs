//! A schedule that looks at the loss.

use serde::{Deserialize, Serialize};

use super::{Schedule, ScheduleContext};
use crate::Result;
use crate::settings::{rate, require};

/// The learning rate is multiplied by `factor` whenever the monitored loss has not improved for more than `patience` epochs
/// in a row.
///
/// An improvement is a loss below the best so far by more than the fraction `min_delta` of it. After a change the count
/// begins anew; the best stays. It is worked out from the losses of all epochs each time, so nothing has to be remembered
/// when a run stops.
///
/// ```
/// use gradus::schedule::{ScheduleContext, Plateau, Schedule};
/// let schedule = Plateau::new(1, 0.5).min_delta(0.0);
/// let after = |losses| schedule.factor(&ScheduleContext::new(0, 1000, 100, losses));
/// assert_eq!(after(&[3.0, 2.0, 2.5]), 1.0); // one epoch without improvement
/// assert_eq!(after(&[3.0, 2.0, 2.5, 2.1]), 0.5); // two
/// assert_eq!(after(&[3.0, 2.0, 2.5, 2.1, 1.9, 1.8]), 0.5);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Plateau {
    /// The number of epochs in a row without improvement that are borne.
    patience: u64,
    /// What the learning rate is multiplied by, in (0, 1).
    factor: f64,
    /// The least improvement that counts, as a fraction of the best loss.
    min_delta: f64,
}

/// A tenth after more than ten epochs in which the loss has not fallen by 0.01 %.
impl Default for Plateau {
    fn default() -> Self {
        Plateau {
            patience: 10,
            factor: 0.1,
            min_delta: 1e-4,
        }
    }
}

impl Plateau {
    /// Multiplies the learning rate by `factor` after more than `patience` epochs in which the loss has not fallen by 0.01 %.
    pub fn new(patience: u64, factor: f64) -> Self {
        Plateau {
            patience,
            factor,
            ..Plateau::default()
        }
    }

    /// The least improvement that counts, as a fraction of the best loss.
    pub fn min_delta(mut self, min_delta: f64) -> Self {
        self.min_delta = min_delta;
        self
    }
}

impl Schedule for Plateau {
    fn name(&self) -> &'static str {
        "plateau"
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn validate(&self) -> Result<()> {
        let holds = self.factor > 0.0 && self.factor < 1.0;
        require(holds, "plateau", "factor", "between 0 and 1", self.factor)?;
        rate("plateau", "min_delta", self.min_delta)
    }

    fn factor(&self, context: &ScheduleContext<'_>) -> f64 {
        let (mut factor, mut best, mut waited) = (1.0, f64::INFINITY, 0);
        for &loss in context.losses {
            // The size of the best loss, not the loss itself: it may be negative. The first has nothing to improve on.
            let improves = if best.is_finite() {
                loss < best - self.min_delta * best.abs()
            } else {
                loss < best
            };
            if improves {
                (best, waited) = (loss, 0);
                continue;
            }
            waited += 1;
            if waited > self.patience {
                (factor, waited) = (factor * self.factor, 0);
            }
        }
        factor
    }

    fn reads_steps(&self) -> bool {
        false
    }
}
