//! A layer for blocks of samples.

use std::fmt::Debug;

use super::super::{SampleRandom, Tensors, TensorsMut};
use super::{AcrossBatch, Bfloat16, InPlace, Layout, Layouts, WholeBatchGradient};
use crate::Float;

/// A bound layer for blocks of samples: fast, and otherwise the same as its [`Passes`](crate::layer::Passes).
///
/// The contract is that of [`Passes`](crate::layer::Passes), and what is computed for a sample depends on that sample alone (and on
/// the statistics of the batch, for a layer [across the batch](BlockLayer::across_batch)).
pub trait BlockLayer: Debug + Send + Sync + 'static {
    /// The layouts of samples that it works in. One with a [`WholeBatchGradient`] works sample after sample.
    fn layouts(&self) -> Layouts {
        Layouts::SampleMajor
    }

    /// The scratch memory of a pass.
    fn scratch(&self) -> Scratch {
        Scratch::default()
    }

    /// Whether `backward` reads `y`. If it doesn't, the next layer may overwrite it.
    fn reads_output(&self) -> bool {
        true
    }

    /// Computes `y` from `x`.
    fn forward(&self, pass: BlockForward<'_>);

    /// Computes `dx`, if it is wanted, and adds to the parameters' gradients, unless a [`WholeBatchGradient`] computes them.
    fn backward(&self, pass: BlockBackward<'_>);

    /// The layer in its input's memory, if it has no parameters and its output has the input's size.
    fn in_place(&self) -> Option<&dyn InPlace> {
        None
    }

    /// The gradients of its parameters over the whole batch, if that is how they are computed.
    fn whole_batch(&self) -> Option<&dyn WholeBatchGradient> {
        None
    }

    /// Its statistics over the batch, for a layer across the batch.
    fn across_batch(&self) -> Option<&dyn AcrossBatch> {
        None
    }

    /// The layer in bfloat16, if it can be trained so.
    fn bfloat16(&self) -> Option<&dyn Bfloat16> {
        None
    }
}

/// The size of scratch memory, in values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scratch {
    /// For a thread, whatever the number of samples.
    pub fixed: usize,
    /// Further values for each sample of a block.
    pub per_sample: usize,
}

/// What [`BlockLayer::forward`] works on.
#[derive(Debug)]
#[non_exhaustive]
pub struct BlockForward<'a> {
    /// Whether this pass is part of training; if not, nothing is saved and there are no statistics.
    pub training: bool,
    /// The number of samples in this block.
    pub samples: usize,
    /// How the samples lie in `x`, `y` and `saved`.
    pub layout: Layout,
    /// The input of every sample.
    pub x: &'a [Float],
    /// The output of every sample, to be overwritten.
    pub y: &'a mut [Float],
    /// The layer's parameters.
    pub parameters: Tensors<'a>,
    /// The layer's state.
    pub state: Tensors<'a>,
    /// The statistics over the batch, in training, for a layer across the batch; else empty.
    pub statistics: &'a [Float],
    /// Memory for `backward`, [`BoundLayer::with_saved`](crate::layer::BoundLayer::with_saved) values for each sample; empty unless training.
    pub saved: &'a mut [Float],
    /// Scratch memory; holds anything at first.
    pub scratch: &'a mut [Float],
    /// Random numbers, for training.
    pub random: BlockRandom,
}

/// What [`BlockLayer::backward`] works on.
#[derive(Debug)]
#[non_exhaustive]
pub struct BlockBackward<'a> {
    /// The number of samples in this block.
    pub samples: usize,
    /// How the samples lie in `x`, `y`, `dx`, `dy` and `saved`.
    pub layout: Layout,
    /// The input of the forward pass.
    pub x: &'a [Float],
    pub(crate) y: Option<&'a [Float]>,
    /// The derivative of the loss with respect to `y`.
    pub dy: &'a [Float],
    /// The derivative with respect to `x`, to be overwritten; `None` where nothing needs it, as in the first layer.
    pub dx: Option<&'a mut [Float]>,
    /// The layer's parameters.
    pub parameters: Tensors<'a>,
    /// The gradients of the layer's parameters, to be added to; none where a [`WholeBatchGradient`] computes them.
    pub gradients: TensorsMut<'a>,
    /// For a layer across the batch: what `forward` was given.
    pub statistics: &'a [Float],
    /// For a layer across the batch: the sums over the batch from [`AcrossBatch::gather_backward`].
    pub sums: &'a [Float],
    /// For a layer across the batch: this block's own part of those sums.
    pub block_sums: &'a [Float],
    /// The number of samples in the whole batch.
    pub batch: usize,
    /// What `forward` saved.
    pub saved: &'a [Float],
    /// Scratch memory; holds anything at first.
    pub scratch: &'a mut [Float],
}

impl<'a> BlockBackward<'a> {
    /// The output of the forward pass.
    ///
    /// # Panics
    /// If the layer said that it [doesn't read it](BlockLayer::reads_output): another layer may have overwritten it.
    pub fn y(&self) -> &'a [Float] {
        self.y
            .expect("the layer says in reads_output() that backward does not read y")
    }
}

/// The random numbers of one layer for the samples of a block.
#[derive(Debug, Clone, Copy)]
pub struct BlockRandom {
    pub(crate) seed: u64,
    pub(crate) step: u64,
    pub(crate) layer: u64,
    /// The position in the batch of the block's first sample.
    pub(crate) first_sample: u64,
}

impl BlockRandom {
    /// Those of one sample of the block, whatever block it is in.
    pub fn sample(&self, sample: usize) -> SampleRandom {
        SampleRandom {
            seed: self.seed,
            step: self.step,
            layer: self.layer,
            sample: self.first_sample + sample as u64,
        }
    }
}
