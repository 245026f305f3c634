//! Random changes to training images, made on the fly, so that a network meets every image slightly different each time.

use std::fmt::Debug;

use crate::random::Rng;
use crate::{Float, Result, Shape};

/// A random change of one training sample. It runs in the training threads, on training samples only, and its random numbers
/// follow from the seed, the epoch and the sample, so that results don't depend on threads.
pub trait Augmentation: Debug + Send + Sync {
    /// Refuses settings that make no sense, or samples of a shape that it can't work on, with a sentence.
    fn validate(&self, shape: &Shape) -> Result<()>;

    /// Changes the sample `x` in place. `scratch` is the thread's own, grown once and then reused.
    fn apply(&self, shape: &Shape, x: &mut [Float], rng: &mut Rng, scratch: &mut Vec<Float>);
}
