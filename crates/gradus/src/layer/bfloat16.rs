//! Layers that can multiply in bfloat16.

use gradus_kernels::bfloat16::Pair;

use super::{Backward, BatchGradient, Forward, Tensors};
use crate::Shape;

/// The part of a layer that can multiply in bfloat16 as it is trained: see [`Fit::bfloat16`](crate::Fit::bfloat16).
///
/// The three passes get the same as those of [`Layer`](super::Layer), all of it in [`Float`](crate::Float), and two kinds of memory
/// for [pairs](Pair): `w`, a copy of the weights, made at the beginning of the step; and `kept`, in which a block keeps from one
/// pass to the next, until `batch_gradient`, whatever it likes. It holds anything at first.
///
/// [`check::layer`](crate::check) compares what it computes with what the layer's own passes do.
pub trait Bfloat16 {
    /// How many pairs the parts of the copy of the weights have, in order; each part is made by one thread. `dx` says
    /// whether `backward` is going to be asked for it.
    fn weights(&self, input: &Shape, dx: bool) -> Vec<usize>;

    /// Makes a part of the copy.
    fn convert(&self, input: &Shape, parameters: Tensors<'_>, part: usize, copy: &mut [Pair]);

    /// How many pairs a block of so many samples keeps.
    fn saved(&self, input: &Shape, samples: usize) -> usize;

    /// As [`Layer::forward`](super::Layer::forward), in training.
    fn forward(&self, pass: Forward<'_>, w: &[Pair], saved: &mut [Pair]);

    /// As [`Layer::backward`](super::Layer::backward).
    fn backward(&self, pass: Backward<'_>, w: &[Pair], saved: &mut [Pair]);

    /// As [`Layer::batch_gradient`](super::Layer::batch_gradient); what a block kept is with [it](super::BlockGradient::pairs).
    fn batch_gradient(&self, pass: BatchGradient<'_>);
}
