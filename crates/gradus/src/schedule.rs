//! How the learning rate changes during training.

use std::fmt::Debug;

use crate::Result;

/// How the learning rate changes during training: a pure function of where training stands, so a run that is resumed needs
/// no record of it.
pub trait Schedule: Debug + Send + Sync {
    /// Its name: `cosine`.
    fn name(&self) -> &'static str;

    /// Refuses settings that make no sense, with a sentence.
    fn validate(&self) -> Result<()>;

    /// What the optimizer's learning rate is multiplied by at this moment.
    fn factor(&self, moment: &Moment<'_>) -> f64;
}

/// Where training stands.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// Steps done in the whole run.
    pub step: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// Steps in an epoch.
    pub steps_per_epoch: u64,
    /// The monitored loss (validation, where there is one) of every finished epoch.
    pub losses: &'a [f64],
}

impl Moment<'_> {
    /// Epochs finished.
    pub fn epoch(&self) -> u64 {
        self.step / self.steps_per_epoch.max(1)
    }
}
