//! A gentle start.

use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::{Constant, Schedule, ScheduleContext};
use crate::registry::{named, read_named};
use crate::{Error, Result};

/// The learning rate rises evenly over the first `steps` steps to what another schedule gives, which it then follows (Goyal
/// et al., 2017): that schedule's factor is multiplied by
///
/// ```text
/// min(1, (step + 1) / steps)
/// ```
///
/// The other schedule counts from the beginning of the run.
///
/// ```
/// use gradus::schedule::{ScheduleContext, Schedule, StepDecay, Warmup};
/// let schedule = Warmup::new(4, StepDecay::new(1, 0.5));
/// let at = |step| schedule.factor(&ScheduleContext::new(step, 20, 10, &[]));
/// assert_eq!([0, 1, 2, 3, 4, 10].map(at), [0.25, 0.5, 0.75, 1.0, 1.0, 0.5]);
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Warmup {
    /// The number of steps until the whole learning rate is reached.
    steps: u64,
    /// What is followed. Files give it by its name, or with its settings as `{"kind": "cosine", "to": 0.1}`.
    #[serde(default = "constant", deserialize_with = "read_schedule")]
    then: Arc<dyn Schedule>,
}

/// What is followed where nothing is named.
fn constant() -> Arc<dyn Schedule> {
    Arc::new(Constant)
}

/// Reads a schedule by its name.
fn read_schedule<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<dyn Schedule>, D::Error> {
    let given = Value::deserialize(deserializer)?;
    read_named::<dyn Schedule>(given)
        .map(Arc::from)
        .map_err(D::Error::custom)
}

impl Warmup {
    /// Warms up over `steps` steps, then follows the other schedule.
    pub fn new(steps: u64, then: impl Schedule + 'static) -> Self {
        Warmup {
            steps,
            then: Arc::new(then),
        }
    }
}

impl Schedule for Warmup {
    fn name(&self) -> &'static str {
        "warmup"
    }

    fn settings(&self) -> Option<Value> {
        Some(json!({ "steps": self.steps, "then": named(&*self.then)? }))
    }

    fn validate(&self) -> Result<()> {
        if self.steps == 0 {
            return Err(Error::invalid("warm-up: steps must be at least 1, got 0"));
        }
        self.then.validate()
    }

    fn factor(&self, context: &ScheduleContext<'_>) -> f64 {
        let warmth = (context.step + 1) as f64 / self.steps.max(1) as f64;
        warmth.min(1.0) * self.then.factor(context)
    }

    fn reads_steps(&self) -> bool {
        self.then.reads_steps()
    }
}
