//! A gentle start.

use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::{Constant, Schedule, ScheduleContext, Unit};
use crate::registry::{named, read_named};
use crate::{Error, Result};

/// The learning rate rises evenly over the first `steps` steps to what another schedule gives, which it then follows (Goyal
/// et al., 2017): that schedule's factor is multiplied by
///
/// ```text
/// min(1, (step + 1) / steps)
/// ```
///
/// The other schedule counts from the beginning of the run. A warm-up that is longer than the run is refused.
///
/// ```
/// use gradus::schedule::{ScheduleContext, Schedule, StepDecay, Warmup};
/// let schedule = Warmup::new(4, StepDecay::new(1, 0.5));
/// let at = |step| schedule.factor(&ScheduleContext::new(step, 20, 10, &[]));
/// assert_eq!([0, 1, 2, 3, 4, 10].map(at), [0.25, 0.5, 0.75, 1.0, 1.0, 0.5]);
/// // Over the first epoch, of 10 steps.
/// let schedule = Warmup::over_epochs(1, StepDecay::new(2, 0.5));
/// let at = |step| schedule.factor(&ScheduleContext::new(step, 20, 10, &[]));
/// assert_eq!([0, 4, 9, 10].map(at), [0.1, 0.5, 1.0, 1.0]);
/// ```
#[derive(Debug, Clone)]
pub struct Warmup {
    /// How long it takes until the whole learning rate is reached.
    length: u64,
    unit: Unit,
    then: Arc<dyn Schedule>,
}

/// A warm-up as files have it: with `steps`, or with `epochs`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InFile {
    steps: Option<u64>,
    epochs: Option<u64>,
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

impl<'de> Deserialize<'de> for Warmup {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let InFile { steps, epochs, then } = InFile::deserialize(deserializer)?;
        let (length, unit) = match (steps, epochs) {
            (Some(steps), None) => (steps, Unit::Steps),
            (None, Some(epochs)) => (epochs, Unit::Epochs),
            (None, None) => return Err(D::Error::missing_field("steps")),
            _ => return Err(D::Error::custom("it has both steps and epochs: set one of them")),
        };
        Ok(Warmup { length, unit, then })
    }
}

impl Warmup {
    /// Warms up over `steps` steps, then follows the other schedule.
    pub fn new(steps: u64, then: impl Schedule + 'static) -> Self {
        Warmup {
            length: steps,
            unit: Unit::Steps,
            then: Arc::new(then),
        }
    }

    /// Warms up over `epochs` epochs, step by step, then follows the other schedule.
    pub fn over_epochs(epochs: u64, then: impl Schedule + 'static) -> Self {
        Warmup {
            length: epochs,
            unit: Unit::Epochs,
            then: Arc::new(then),
        }
    }
}

impl Schedule for Warmup {
    fn name(&self) -> &'static str {
        "warmup"
    }

    fn settings(&self) -> Option<Value> {
        let then = named(&*self.then)?;
        Some(match self.unit {
            Unit::Steps => json!({ "steps": self.length, "then": then }),
            Unit::Epochs => json!({ "epochs": self.length, "then": then }),
        })
    }

    fn validate(&self) -> Result<()> {
        if self.length == 0 {
            return Err(Error::invalid(format!(
                "warm-up: {} must be at least 1, got 0",
                self.unit.name()
            )));
        }
        self.then.validate()
    }

    fn check_length(&self, run: &ScheduleContext<'_>) -> Result<()> {
        let (steps, all) = (run.steps_of(self.length, self.unit), run.steps);
        if steps > all {
            return Err(Error::invalid(format!(
                "warm-up: its {steps} steps are more than the {all} steps of the training: the learning rate would never be \
                 reached; choose a shorter one, or train for more epochs"
            )));
        }
        self.then.check_length(run)
    }

    fn factor(&self, context: &ScheduleContext<'_>) -> f64 {
        let steps = context.steps_of(self.length, self.unit);
        let warmth = (context.step + 1) as f64 / steps.max(1) as f64;
        warmth.min(1.0) * self.then.factor(context)
    }

    fn reads_steps(&self) -> bool {
        self.then.reads_steps()
    }
}
