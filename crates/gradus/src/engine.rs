//! How a network runs: memory for blocks of samples, passes over a batch on several threads, and updates.
//!
//! The data flow is one way. `MemoryPlan` decides where everything lies. A [`Workspace`] runs a batch forward and backward, block by
//! block; what the blocks keep of it (outputs, and what dense layers read and are given back) an [`Update`] turns into new
//! parameters.

mod bfloat16;
mod block;
mod clock;
mod inference;
pub(crate) mod join;
mod memory_plan;
mod update;
mod workers;
mod workspace;

use gradus_kernels::vectorize;

use crate::Float;

pub(crate) use block::{Block, Read};
pub(crate) use inference::{Inference, Watched};
pub(crate) use update::{Rule, Update, UpdateGroup};
pub(crate) use workers::Workers;
pub(crate) use workspace::{Training, Workspace};

/// total ← the sum of the parts, element by element, in their order; in double precision, so that many are added up as exactly as
/// few.
fn add_up<'a>(parts: impl Iterator<Item = &'a [Float]> + Clone, total: &mut [Float]) {
    const SOME: usize = 64;
    vectorize!(|| {
        for (i, total) in total.chunks_mut(SOME).enumerate() {
            let mut sums = [0.0; SOME];
            for part in parts.clone() {
                for (sum, &x) in sums.iter_mut().zip(&part[i * SOME..][..total.len()]) {
                    *sum += f64::from(x);
                }
            }
            for (total, sum) in total.iter_mut().zip(sums) {
                *total = sum as Float;
            }
        }
    });
}
