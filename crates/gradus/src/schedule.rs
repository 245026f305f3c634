//! How the learning rate changes during training.

mod cosine;
mod decay;
mod linear;
mod plateau;
mod restarts;
mod warmup;

use std::fmt::Debug;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::Result;
use crate::registry::{Registry, list};

// A schedule's file and its type, and an example with other settings than the default ones.
list! {
    SCHEDULES of Schedule:
    decay::Constant, Constant;
    decay::StepDecay, StepDecay::new(2, 0.25);
    decay::Exponential, Exponential::new(0.5);
    cosine::Cosine, Cosine::new().to(0.1);
    restarts::CosineRestarts, CosineRestarts::new(3).unit(Unit::Steps).to(0.1);
    linear::Linear, Linear::new().to(0.1);
    cosine::OneCycle, OneCycle::new().warm_up(0.5);
    plateau::Plateau, Plateau::new(1, 0.1);
    warmup::Warmup, Warmup::new(4, Cosine::new().to(0.2));
}

/// How the learning rate changes during training: a pure function of where training stands, so a run that is resumed needs
/// no record of it.
///
/// ```
/// use gradus::schedule::{ScheduleContext, Schedule};
///
/// /// Falls as 1 / (1 + epoch) (Robbins and Monro, 1951).
/// #[derive(Debug)]
/// struct Harmonic;
/// impl Schedule for Harmonic {
///     fn name(&self) -> &'static str {
///         "harmonic"
///     }
///     fn validate(&self) -> gradus::Result<()> {
///         Ok(())
///     }
///     fn factor(&self, context: &ScheduleContext<'_>) -> f64 {
///         1.0 / (1 + context.epoch()) as f64
///     }
/// }
/// let context = ScheduleContext::new(300, 1000, 100, &[]);
/// assert_eq!(Harmonic.factor(&context), 0.25);
/// ```
pub trait Schedule: Debug + Send + Sync {
    /// Its name: `cosine`.
    fn name(&self) -> &'static str;

    /// Its settings as JSON, from which the type [registered](crate::Registry) for its name makes it again: an object, or null if
    /// it has none. `None`, unless it is implemented, is one that neither files nor checkpoints can hold.
    fn settings(&self) -> Option<serde_json::Value> {
        None
    }

    /// Refuses settings that make no sense, with a sentence.
    fn validate(&self) -> Result<()>;

    /// Refuses a run that is too short for it, with a sentence; called at the position where the run begins.
    fn check_length(&self, _run: &ScheduleContext<'_>) -> Result<()> {
        Ok(())
    }

    /// What the optimizer's learning rate is multiplied by.
    fn factor(&self, context: &ScheduleContext<'_>) -> f64;

    /// Whether the factor depends on [`ScheduleContext::steps`], so that training of more epochs is another training from its first step
    /// on, and can't be [resumed](crate::Fit::resume) from a shorter one. `true` unless the schedule says otherwise.
    fn reads_steps(&self) -> bool {
        true
    }
}

/// What a schedule counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Steps of the optimizer.
    Steps,
    /// Epochs.
    Epochs,
}

impl Unit {
    /// Whether it counts epochs, which the settings of some schedules leave out.
    fn is_epochs(&self) -> bool {
        *self == Unit::Epochs
    }

    /// Its name in settings.
    fn name(self) -> &'static str {
        match self {
            Unit::Steps => "steps",
            Unit::Epochs => "epochs",
        }
    }
}

/// The position in training at which a schedule is asked for its factor.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ScheduleContext<'a> {
    /// Steps done in the whole run.
    pub step: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// Steps in an epoch.
    pub steps_per_epoch: u64,
    /// The monitored loss (validation, where there is one) of every finished epoch.
    pub losses: &'a [f64],
}

impl<'a> ScheduleContext<'a> {
    /// The position after `step` of `steps` steps, with `steps_per_epoch` in an epoch and the monitored `losses` of the finished epochs.
    pub fn new(step: u64, steps: u64, steps_per_epoch: u64, losses: &'a [f64]) -> Self {
        ScheduleContext {
            step,
            steps,
            steps_per_epoch,
            losses,
        }
    }

    /// Epochs finished.
    pub fn epoch(&self) -> u64 {
        self.step / self.steps_per_epoch.max(1)
    }

    /// The number of steps that `count` steps or epochs are.
    pub fn steps_of(&self, count: u64, unit: Unit) -> u64 {
        match unit {
            Unit::Steps => count,
            Unit::Epochs => count.saturating_mul(self.steps_per_epoch.max(1)),
        }
    }
}

/// The schedule of this name, with its default settings. [`Warmup`] needs settings, which [`Registry::schedule`] takes.
///
/// ```
/// use gradus::schedule;
/// assert_eq!(schedule::by_name("cosine")?.name(), "cosine");
/// let error = schedule::by_name("polynomial").unwrap_err().to_string();
/// assert!(error.starts_with("there is no schedule \"polynomial\"; choose one of constant, step_decay"));
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Errors
/// If no schedule has this name; the sentence lists the names.
pub fn by_name(name: &str) -> Result<Box<dyn Schedule>> {
    Registry::default().schedule(name, json!({}))
}

#[cfg(test)]
mod tests;
