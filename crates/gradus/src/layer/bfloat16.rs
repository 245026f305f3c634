//! Layers that can multiply in bfloat16.

use gradus_kernels::bfloat16::Pair;

use super::{Backward, BatchGradient, Forward, Tensors};
use crate::Shape;

/// The part of a layer that can multiply in bfloat16.
pub trait Bfloat16 {
    /// How many pairs each part of the copy of the weights has; one thread makes a part. `dx` says whether `backward` is going
    /// to be asked for it.
    fn weights(&self, input: &Shape, dx: bool) -> Vec<usize>;

    /// How many pairs a block of so many samples keeps until the update.
    fn block(&self, input: &Shape, samples: usize) -> usize;

    /// Makes a part of the copy of the weights.
    fn convert(&self, input: &Shape, parameters: Tensors<'_>, part: usize, copy: &mut [Pair]);

    /// As [`Layer::forward`](super::Layer::forward).
    fn forward(&self, pass: Forward<'_>, w: &[Pair], block: &mut [Pair]);

    /// As [`Layer::backward`](super::Layer::backward).
    fn backward(&self, pass: Backward<'_>, w: &[Pair], block: &mut [Pair]);

    /// As [`Layer::batch_gradient`](super::Layer::batch_gradient).
    fn batch_gradient(&self, pass: BatchGradient<'_>, block: &[Pair]);
}
