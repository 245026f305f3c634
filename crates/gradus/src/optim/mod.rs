//! How parameters follow their gradients.

use std::fmt::Debug;

use crate::{Float, Result};

/// The most state tensors that an optimizer can have.
pub const MAX_SLOTS: usize = 8;

/// How parameters follow their gradients. Each parameter is updated from its own value, gradient and state alone, so
/// threads can share the work.
pub trait Optimizer: Debug + Send + Sync {
    /// Its name: `adam`.
    fn name(&self) -> &'static str;

    /// Refuses settings that make no sense, with a sentence.
    fn validate(&self) -> Result<()>;

    /// The learning rate, before a schedule.
    fn learning_rate(&self) -> Float;

    /// How many values it remembers for each parameter (at most [`MAX_SLOTS`]); all are zero at first.
    fn slots(&self) -> usize {
        0
    }

    /// Updates some values `w` of one parameter tensor, given their gradients `dw`; `state` has a slice, as long as `w`, for each slot.
    fn update(&self, step: Step, w: &mut [Float], dw: &[Float], state: &mut [&mut [Float]]);
}

/// Where an update stands.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// The number of this step, from 1.
    pub number: u64,
    /// The learning rate of this step, after the schedule.
    pub learning_rate: Float,
    /// Whether weight decay applies to this parameter.
    pub decays: bool,
}
