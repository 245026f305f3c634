//! Gradients of parameters over a whole batch.

use std::fmt;
use std::ops::Range;

use gradus_kernels::bfloat16::Pair;

use crate::Float;

/// The gradients of a layer's parameters as sums over the whole batch, each row of them by one thread: right for many parameters that
/// are used once a sample, as in a dense layer. Without this part, each block of samples has gradients of its own, which are then
/// added up in a fixed order: right for few parameters that are used at many places, as in a convolution.
pub trait WholeBatchGradient {
    /// Computes the gradient of some rows of one parameter.
    fn gradient(&self, pass: BatchGradient<'_>);
}

/// What [`WholeBatchGradient::gradient`] works on: some rows of one parameter.
#[non_exhaustive]
pub struct BatchGradient<'a> {
    /// Which of the layer's parameters.
    pub parameter: usize,
    /// Which of its rows (first dimension).
    pub rows: Range<usize>,
    /// The gradient of those rows, to be overwritten.
    pub gradient: &'a mut [Float],
    /// The blocks of the batch, in order.
    pub blocks: &'a mut dyn Iterator<Item = BlockGradient<'a>>,
    /// Scratch memory; holds anything at first.
    pub scratch: &'a mut [Float],
}

impl fmt::Debug for BatchGradient<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchGradient")
            .field("parameter", &self.parameter)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

/// What a block of samples gives to a gradient.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct BlockGradient<'a> {
    /// The number of samples in it.
    pub samples: usize,
    /// Their input.
    pub x: &'a [Float],
    /// The derivative of the loss with respect to their output.
    pub dy: &'a [Float],
    /// What the layer saved in bfloat16; empty unless it multiplies in it.
    pub pairs: &'a [Pair],
}
