//! What is watched beside the loss.

use std::fmt::Debug;

use crate::Result;
use crate::data::{Target, Targets};
use crate::{Float, Shape};

/// Something watched during training and evaluation. It describes; a [`Meter`] of its making counts.
pub trait Metric: Debug + Send + Sync {
    /// Its name, as in histories and tables: `accuracy`.
    fn name(&self) -> String;

    /// Whether more is better.
    fn higher_is_better(&self) -> bool;

    /// Whether it can compare outputs of this shape with such targets; if not, a sentence that says what it needs.
    fn validate(&self, output: &Shape, targets: &Targets) -> Result<()>;

    /// A new, empty meter for outputs of this shape.
    fn meter(&self, output: &Shape) -> Box<dyn Meter>;
}

/// Counts one metric over samples.
pub trait Meter: Debug + Send {
    /// Takes one sample's output into account.
    fn add(&mut self, y: &[Float], target: Target<'_>);

    /// The metric over all samples since the last [`reset`](Meter::reset); NaN if there were none.
    fn value(&self) -> f64;

    /// Forgets all samples.
    fn reset(&mut self);
}
