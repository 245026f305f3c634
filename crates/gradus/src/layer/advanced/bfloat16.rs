//! Layers in bfloat16.

use gradus_kernels::bfloat16::Pair;

use super::super::Tensors;
use super::{BatchGradient, BlockBackward, BlockForward};

/// The part of a layer that can multiply in bfloat16 as it is trained: see [`Fit::bfloat16`](crate::Fit::bfloat16).
///
/// The three passes work on the same as those of [`BlockLayer`](super::BlockLayer), all of it in [`Float`](crate::Float), and on two
/// kinds of memory for [pairs](Pair): `w`, a copy of the weights, made at the beginning of the step; and `saved`, in which a block
/// saves from one pass to the next, until `batch_gradient`, whatever it likes. It holds anything at first.
///
/// [`check::layer`](crate::check::layer) compares what it computes with what the layer's own passes compute.
pub trait Bfloat16 {
    /// The number of pairs of each part of the copy of the weights, in order; each part is made by one thread. `dx` says
    /// whether `backward` is going to be asked for it.
    fn weights(&self, dx: bool) -> Vec<usize>;

    /// Makes a part of the copy.
    fn convert(&self, parameters: Tensors<'_>, part: usize, copy: &mut [Pair]);

    /// The number of pairs that a block of `samples` saves.
    fn saved(&self, samples: usize) -> usize;

    /// As [`BlockLayer::forward`](super::BlockLayer::forward), in training.
    fn forward(&self, pass: BlockForward<'_>, w: &[Pair], saved: &mut [Pair]);

    /// As [`BlockLayer::backward`](super::BlockLayer::backward).
    fn backward(&self, pass: BlockBackward<'_>, w: &[Pair], saved: &mut [Pair]);

    /// As [`WholeBatchGradient::gradient`](super::WholeBatchGradient::gradient); what a block saved is with
    /// [it](super::BlockGradient::pairs).
    fn batch_gradient(&self, pass: BatchGradient<'_>);
}
