//! How a network runs: memory for blocks of samples, passes over a batch on several threads, and updates.
//!
//! [`memory.rs`](memory) decides where everything lies. The data flow is one way: a [`Workspace`] runs a batch forward and backward and then holds all its values and gradients in
//! blocks; an [`Update`] turns those into new parameters.

mod block;
mod clock;
mod hands;
mod memory;
mod predictor;
mod update;
mod workspace;

pub(crate) use block::{Block, Read};
pub use predictor::Predictor;
pub(crate) use update::{Rule, Update};
pub(crate) use workspace::{Training, Workspace};
