//! Statistics over a batch.

use super::super::TensorsMut;
use super::Layout;
use crate::Float;

/// The part of a layer that reduces all samples of a batch to statistics: [`BatchPasses`](crate::layer::BatchPasses), for blocks of
/// samples in any layout.
pub trait AcrossBatch {
    /// The least number of samples of a training batch.
    fn least_samples(&self) -> usize {
        1
    }

    /// The number of statistics of the forward pass.
    fn statistics(&self) -> usize;

    /// Reduces a block's `x` to statistics (overwritten).
    fn gather(&self, block: BlockOf, x: &[Float], statistics: &mut [Float]);

    /// Merges the statistics `part` of `n` samples into the `total` of the `seen` samples before them.
    fn merge(&self, total: &mut [Float], seen: usize, part: &[Float], n: usize);

    /// The number of sums of the backward pass.
    fn sums(&self) -> usize;

    /// Reduces a block's `x` and `dy` to the sums (overwritten) that `backward` needs of the whole batch.
    fn gather_backward(&self, block: BlockOf, x: &[Float], dy: &[Float], statistics: &[Float], sums: &mut [Float]);

    /// Updates the layer's state from the statistics of a training batch of `n` samples.
    fn update_state(&self, statistics: &[Float], n: usize, state: TensorsMut<'_>);
}

/// The samples that [`AcrossBatch`] gathers from.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct BlockOf {
    /// The number of samples.
    pub samples: usize,
    /// How they lie.
    pub layout: Layout,
}

impl BlockOf {
    pub(crate) fn new(samples: usize, layout: Layout) -> Self {
        BlockOf { samples, layout }
    }
}
