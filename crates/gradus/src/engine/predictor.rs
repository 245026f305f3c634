//! Forward passes without training.

use super::Workspace;
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
    input: usize,
    outputs: Vec<Float>,
}

/// How many samples a block holds: enough for the matrix products, few enough for the cache.
const BLOCK: usize = 32;

impl Predictor {
    pub(crate) fn new(network: &Network, batch: usize, threads: usize) -> Result<Self> {
        if batch == 0 {
            return Err(Error::invalid("a predictor needs room for at least one sample, got 0"));
        }
        Ok(Predictor {
            workspace: Workspace::inference(&network.graph, batch, BLOCK.min(batch), threads)?,
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
            &|i, sample, _| {
                sample.copy_from_slice(&x[i * size..(i + 1) * size]);
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
        self.workspace.divide(n);
        self.workspace.infer(network, &|block, desk| block.fill(desk, read));
        for block in self.workspace.blocks_mut() {
            if let Some(error) = block.error.take() {
                return Err(error);
            }
            each(block.value(graph.output_value()));
        }
        Ok(())
    }
}
