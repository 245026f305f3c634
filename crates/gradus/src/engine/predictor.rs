//! Forward passes without training.

use std::ops::Range;

use super::Workspace;
use super::workspace::check_memory;
use crate::{Error, Float, Network, Result};

/// Memory and threads for predictions, made once and used again and again without allocating.
///
/// ```
/// use gradus::prelude::*;
///
/// let network = Sequential::new([2]).layer(Dense::new(3)).layer(Softmax).build(7)?;
/// let mut predictor = network.predictor(1, 1)?;
/// let y = predictor.run(&network, &[0.5, -1.0])?;
/// assert_eq!(y.len(), 3);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug)]
pub struct Predictor {
    workspace: Workspace,
    batch: usize,
    /// How many of them go through the network at once.
    at_once: usize,
    input: usize,
    outputs: Vec<Float>,
}

/// The most samples that a block holds: more make no matrix product faster.
const MOST: usize = 128;

/// Fewer samples than this are not divided.
const LEAST: usize = 32;

/// About how many values a block holds beyond the least number of samples: few enough for a thread's cache.
const VALUES: usize = 1 << 18;

impl Predictor {
    pub(crate) fn new(network: &Network, batch: usize, threads: usize) -> Result<Self> {
        if batch == 0 {
            return Err(Error::invalid("a predictor needs room for at least one sample, got 0"));
        }
        check_memory(batch, network.graph.output.size())?;
        let threads = threads.max(1);
        let most = (VALUES / network.graph.values_size).clamp(LEAST, MOST);
        let block = batch.div_ceil(threads).clamp(LEAST.min(batch), most);
        // More samples than the threads work on at once go through the same memory, which stays in the cache.
        let at_once = batch.min(block.saturating_mul(threads));
        Ok(Predictor {
            workspace: Workspace::inference(&network.graph, at_once, block, threads)?,
            at_once,
            batch,
            input: network.graph.input.size(),
            outputs: Vec::with_capacity(batch * network.graph.output.size()),
        })
    }

    /// How many samples one pass takes.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The outputs for the samples in `x`, one after the other.
    ///
    /// # Errors
    /// If `x` is not a whole number of samples, or more than the predictor has room for, or the network is neither the one
    /// that the predictor was made for nor a clone of it.
    pub fn run(&mut self, network: &Network, x: &[Float]) -> Result<&[Float]> {
        let n = x.len() / self.input;
        if n == 0 || !x.len().is_multiple_of(self.input) || n > self.batch {
            return Err(Error::invalid(format!(
                "the predictor takes 1 to {} samples of {} values each, got {} values",
                self.batch,
                self.input,
                x.len()
            )));
        }
        self.outputs.clear();
        let size = self.input;
        let mut outputs = std::mem::take(&mut self.outputs);
        self.pass(
            network,
            n,
            &|samples, inputs, _| {
                inputs.copy_from_slice(&x[samples.start * size..samples.end * size]);
                Ok(())
            },
            |block| outputs.extend_from_slice(block),
        )?;
        self.outputs = outputs;
        Ok(&self.outputs)
    }

    /// The outputs for `n` samples, however many.
    pub(crate) fn outputs(&mut self, network: &Network, x: &[Float], n: usize) -> Result<Vec<Float>> {
        let mut outputs = Vec::with_capacity(n * network.graph.output.size());
        for x in x.chunks(self.batch * self.input) {
            outputs.extend_from_slice(self.run(network, x)?);
        }
        Ok(outputs)
    }

    /// One pass over `n` samples; `each` gets the outputs block by block, in order.
    pub(crate) fn pass(
        &mut self,
        network: &Network,
        n: usize,
        read: super::Read<'_>,
        mut each: impl FnMut(&[Float]),
    ) -> Result<()> {
        let graph = &network.graph;
        self.workspace.check("predictor", network)?;
        for start in (0..n).step_by(self.at_once) {
            self.workspace.divide(self.at_once.min(n - start));
            let read = |samples: Range<usize>, inputs: &mut [Float], memory: &mut Vec<Float>| {
                read(start + samples.start..start + samples.end, inputs, memory)
            };
            self.workspace.infer(network, &|block, desk| block.fill(desk, &read));
            for block in self.workspace.blocks_mut() {
                if let Some(error) = block.error.take() {
                    return Err(error);
                }
                each(block.value(graph.output_value()));
            }
        }
        Ok(())
    }
}
