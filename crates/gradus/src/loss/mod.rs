//! How wrong an output is.

use std::fmt::Debug;

use crate::data::{Target, Targets};
use crate::layer::Layer;
use crate::{Float, Result, Shape};

/// A loss: how wrong the output of one sample is. The loss of a batch is the mean over its samples, and the division by
/// their number happens once, in the training loop, never here.
pub trait Loss: Debug + Send + Sync {
    /// Its name: `cross_entropy`.
    fn name(&self) -> &'static str;

    /// Whether this loss can compare outputs of this shape with such targets; if not, a sentence that says what it needs.
    fn validate(&self, output: &Shape, targets: &Targets) -> Result<()>;

    /// The loss of one sample's output `y`.
    fn loss(&self, y: &[Float], target: Target<'_>) -> Float;

    /// The derivative of [`loss`](Loss::loss) with respect to `y`, written to `dy`.
    fn gradient(&self, y: &[Float], target: Target<'_>, dy: &mut [Float]);

    /// Both at once. Worth writing where they share work.
    fn loss_and_gradient(&self, y: &[Float], target: Target<'_>, dy: &mut [Float]) -> Float {
        self.gradient(y, target, dy);
        self.loss(y, target)
    }

    /// The same loss as a function of the *inputs* of `last`, the network's last layer, if the two are better computed
    /// together (cross entropy after softmax): exact and finite where one after the other would overflow.
    fn fused_with(&self, last: &dyn Layer) -> Option<Box<dyn Loss>> {
        let _ = last;
        None
    }
}
