//! How a network runs: memory for blocks of samples, passes over a batch on several threads, and updates.
//!
//! The data flow is one way. `Memory` decides where everything lies. A [`Workspace`] runs a batch forward and backward, block by
//! block; what the blocks keep of it (outputs, and what dense layers read and are given back) an [`Update`] turns into new
//! parameters.

mod bfloat16;
mod block;
mod clock;
mod hands;
mod memory;
mod predictor;
mod update;
mod workspace;

pub(crate) use block::{Block, Read};
pub use predictor::Predictor;
pub(crate) use predictor::Watched;
pub(crate) use update::{Rule, Update};
pub(crate) use workspace::{Training, Workspace, check_network};
