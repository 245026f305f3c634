//! Optional traits that make a layer fast. None of them is needed for a layer that is right.
//!
//! [`BoundLayer::with_fast`](super::BoundLayer::with_fast) adds a [`BlockLayer`]: the same layer for blocks of samples. It may work on
//! [interleaved samples](Layout::Interleaved), so that convolutions that follow each other need not have them reordered, and it may
//! have further parts:
//!
//! | part | what it makes possible |
//! | --- | --- |
//! | [`InPlace`] | the output overwrites the input |
//! | [`WholeBatchGradient`] | gradients of parameters as sums over the whole batch, each row by one thread |
//! | [`AcrossBatch`] | statistics over the batch: for layers [across the batch](super::BatchPasses) alone |
//! | [`Bfloat16`] | products in bfloat16, for training that [asks for it](crate::Fit::bfloat16) |
//!
//! What a part computes, and what a block layer promises, [`check::layer`](crate::check::layer) compares with the layer's
//! [`Passes`](super::Passes) over one sample.

mod batch_gradient;
mod bfloat16;
mod block;
mod in_place;
mod layout;
mod statistics;

pub use batch_gradient::{BatchGradient, BlockGradient, WholeBatchGradient};
pub use bfloat16::Bfloat16;
pub use block::{BlockBackward, BlockForward, BlockLayer, BlockRandom, Scratch};
pub use in_place::{InPlace, InPlaceBackward, InPlaceForward};
pub use layout::{Layout, Layouts};
pub use statistics::{AcrossBatch, BlockOf};
