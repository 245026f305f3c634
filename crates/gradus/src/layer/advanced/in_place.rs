//! Layers that work in their input's memory.

use super::{BlockRandom, Layout};
use crate::Float;

/// The part of a layer that writes its output over its input, and the input's gradient over the output's.
pub trait InPlace {
    /// As [`BlockLayer::forward`](super::BlockLayer::forward).
    fn forward(&self, pass: InPlaceForward<'_>);

    /// As [`BlockLayer::backward`](super::BlockLayer::backward). There are no parameters.
    fn backward(&self, pass: InPlaceBackward<'_>);
}

/// What [`InPlace::forward`] works on.
#[derive(Debug)]
#[non_exhaustive]
pub struct InPlaceForward<'a> {
    /// Whether this pass is part of training; if not, nothing is saved.
    pub training: bool,
    /// The number of samples in this block.
    pub samples: usize,
    /// How the samples lie in `values` and `saved`.
    pub layout: Layout,
    /// The input of every sample, to be overwritten with the output.
    pub values: &'a mut [Float],
    /// Memory for `backward`; empty unless training.
    pub saved: &'a mut [Float],
    /// Random numbers, for training.
    pub random: BlockRandom,
}

/// What [`InPlace::backward`] works on.
#[derive(Debug)]
#[non_exhaustive]
pub struct InPlaceBackward<'a> {
    /// The number of samples in this block.
    pub samples: usize,
    /// How the samples lie in `y`, `gradient` and `saved`.
    pub layout: Layout,
    pub(crate) y: Option<&'a [Float]>,
    /// The derivative with respect to the output, to be overwritten with that with respect to the input.
    pub gradient: &'a mut [Float],
    /// What `forward` saved.
    pub saved: &'a [Float],
}

impl<'a> InPlaceBackward<'a> {
    /// The output of the forward pass.
    ///
    /// # Panics
    /// If the layer said that it [doesn't read it](super::BlockLayer::reads_output): another layer may have overwritten it.
    pub fn y(&self) -> &'a [Float] {
        self.y
            .expect("the layer says in reads_output() that backward does not read y")
    }
}
