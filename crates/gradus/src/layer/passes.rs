//! The passes of a layer over one sample.

use std::fmt::Debug;

use super::{Tensors, TensorsMut};
use crate::Float;
use crate::random::{self, Purpose, Rng};

/// The forward and the backward pass of a bound layer, over one sample.
///
/// The contract, which [`check::layer`](crate::check::layer) tests:
/// - `forward` writes all of `y`, and reads nothing of it;
/// - `backward` writes all of `dx`, and **adds** to the parameters' gradients;
/// - neither reads scratch or saved memory before it has written it in the same step: it holds anything at first.
pub trait Passes: Debug + Send + Sync + 'static {
    /// Computes `y` from `x`.
    #[doc(alias = "feed_forward")]
    fn forward(&self, pass: Forward<'_>);

    /// Computes `dx` from `dy`, and adds to the parameters' gradients, for the sample that `forward` saw.
    #[doc(alias = "propagate_backward")]
    #[doc(alias = "backpropagation")]
    fn backward(&self, pass: Backward<'_>);
}

/// What [`Passes::forward`] works on: one sample.
#[derive(Debug)]
#[non_exhaustive]
pub struct Forward<'a> {
    /// Whether this pass is part of training; if not, there is no memory for `saved`.
    pub training: bool,
    /// The input.
    pub x: &'a [Float],
    /// The output, to be overwritten.
    pub y: &'a mut [Float],
    /// The layer's parameters.
    pub parameters: Tensors<'a>,
    /// The layer's state.
    pub state: Tensors<'a>,
    /// Memory for `backward`: [`BoundLayer::with_saved`](super::BoundLayer::with_saved) values in training.
    pub saved: &'a mut [Float],
    /// Scratch memory: [`BoundLayer::with_scratch`](super::BoundLayer::with_scratch) values.
    pub scratch: &'a mut [Float],
    /// Random numbers, for training.
    pub random: SampleRandom,
}

/// What [`Passes::backward`] works on: one sample.
#[derive(Debug)]
#[non_exhaustive]
pub struct Backward<'a> {
    /// The input of the forward pass.
    pub x: &'a [Float],
    /// The output of the forward pass.
    pub y: &'a [Float],
    /// The derivative of the loss with respect to `y`.
    pub dy: &'a [Float],
    /// The derivative with respect to `x`, to be overwritten.
    pub dx: &'a mut [Float],
    /// The layer's parameters.
    pub parameters: Tensors<'a>,
    /// The gradients of the layer's parameters, to be added to.
    pub gradients: TensorsMut<'a>,
    /// What `forward` saved.
    pub saved: &'a [Float],
    /// Scratch memory: [`BoundLayer::with_scratch`](super::BoundLayer::with_scratch) values.
    pub scratch: &'a mut [Float],
}

/// The passes of a bound layer whose output for a sample depends on the whole training batch, as that of batch normalization does.
///
/// Samples are reduced to a few *statistics*, block by block; these are merged in the order of the blocks, so that the result does not
/// depend on the number of threads; then [`forward`](BatchPasses::forward) sees the merged ones, sample by sample. Backward it is the
/// same with *sums*, which are added up over the blocks.
pub trait BatchPasses: Debug + Send + Sync + 'static {
    /// The least number of samples of a training batch.
    fn least_samples(&self) -> usize {
        1
    }

    /// The number of statistics.
    fn statistics(&self) -> usize;

    /// Reduces the inputs of `n` samples, one after the other in `x`, to statistics (overwritten).
    fn gather(&self, n: usize, x: &[Float], statistics: &mut [Float]);

    /// Merges the statistics `part` of `n` samples into the `total` of the `seen` samples before them.
    fn merge(&self, total: &mut [Float], seen: usize, part: &[Float], n: usize);

    /// The number of sums.
    fn sums(&self) -> usize;

    /// Reduces `x` and `dy` of `n` samples to the sums (overwritten) that [`backward`](BatchPasses::backward) needs of the whole batch.
    fn gather_backward(&self, n: usize, x: &[Float], dy: &[Float], statistics: &[Float], sums: &mut [Float]);

    /// Updates the layer's state from the statistics of a training batch of `n` samples.
    fn update_state(&self, statistics: &[Float], n: usize, state: TensorsMut<'_>);

    /// Computes `y` from `x` in training.
    fn forward(&self, pass: Forward<'_>, statistics: &[Float]);

    /// Computes `y` from `x` at inference.
    fn infer(&self, pass: Forward<'_>);

    /// Computes `dx` from `dy`, and adds to the parameters' gradients.
    fn backward(&self, pass: Backward<'_>, batch: BatchStatistics<'_>);

    /// The same at inference, after [`infer`](BatchPasses::infer): nothing depends on the batch. Nothing was saved.
    fn infer_backward(&self, pass: Backward<'_>, state: Tensors<'_>);
}

/// What is known of a whole training batch in the backward pass of a sample.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct BatchStatistics<'a> {
    /// The number of samples.
    pub samples: usize,
    /// Their statistics.
    pub statistics: &'a [Float],
    /// Their sums.
    pub sums: &'a [Float],
}

impl<'a> BatchStatistics<'a> {
    pub(crate) fn new(samples: usize, statistics: &'a [Float], sums: &'a [Float]) -> Self {
        BatchStatistics {
            samples,
            statistics,
            sums,
        }
    }
}

/// The random numbers of one layer for one sample in one training step: the same ones on any number of threads.
#[derive(Debug, Clone, Copy)]
pub struct SampleRandom {
    pub(crate) seed: u64,
    pub(crate) step: u64,
    pub(crate) layer: u64,
    /// The sample's position in the batch.
    pub(crate) sample: u64,
}

impl SampleRandom {
    /// A new generator, which gives the same numbers every time.
    pub fn generator(&self) -> Rng {
        random::stream(self.seed, Purpose::Layer, &[self.step, self.layer, self.sample])
    }
}
