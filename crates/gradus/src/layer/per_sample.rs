//! Passes over one sample, as a layer for blocks of samples.

use std::sync::Arc;

use super::advanced::{AcrossBatch, BlockBackward, BlockForward, BlockLayer, BlockOf, Scratch};
use super::bound::Plain;
use super::{Backward, BatchPasses, BatchStatistics, BoundLayer, Forward, TensorsMut};
use crate::{Float, Shape};

/// A layer's passes over one sample, called for each sample of a block: for layers without a fast version, and for all layers of a
/// network that computes by its reference.
#[derive(Debug)]
pub(crate) struct PerSample {
    plain: Plain,
    inputs: usize,
    outputs: usize,
    saved: usize,
    scratch: usize,
}

impl PerSample {
    /// The passes of a layer that is bound to samples of shape `input`.
    pub fn new(layer: &BoundLayer, input: &Shape) -> Self {
        PerSample {
            plain: layer.plain.clone(),
            inputs: input.size(),
            outputs: layer.output.size(),
            saved: layer.saved,
            scratch: layer.scratch,
        }
    }
}

impl BlockLayer for PerSample {
    fn scratch(&self) -> Scratch {
        // The passes always write dx, whether it is wanted or not.
        Scratch {
            fixed: self.scratch + self.inputs,
            per_sample: 0,
        }
    }

    fn forward(&self, pass: BlockForward<'_>) {
        let samples = pass
            .x
            .chunks_exact(self.inputs)
            .zip(pass.y.chunks_exact_mut(self.outputs));
        for (i, (x, y)) in samples.enumerate() {
            let saved = if pass.training { self.saved } else { 0 };
            let sample = Forward {
                training: pass.training,
                x,
                y,
                parameters: pass.parameters,
                state: pass.state,
                saved: &mut pass.saved[i * saved..(i + 1) * saved],
                scratch: &mut pass.scratch[..self.scratch],
                random: pass.random.sample(i),
            };
            match &self.plain {
                Plain::View => sample.y.copy_from_slice(sample.x),
                Plain::Each(passes) => passes.forward(sample),
                Plain::Batch(passes) if pass.training => passes.forward(sample, pass.statistics),
                Plain::Batch(passes) => passes.infer(sample),
            }
        }
    }

    fn backward(&self, mut pass: BlockBackward<'_>) {
        let y = pass.y();
        let (scratch, unwanted) = pass.scratch.split_at_mut(self.scratch);
        for i in 0..pass.samples {
            let inputs = i * self.inputs..(i + 1) * self.inputs;
            let outputs = i * self.outputs..(i + 1) * self.outputs;
            let dx = match &mut pass.dx {
                Some(dx) => &mut dx[inputs.clone()],
                None => &mut unwanted[..self.inputs],
            };
            let sample = Backward {
                x: &pass.x[inputs],
                y: &y[outputs.clone()],
                dy: &pass.dy[outputs],
                dx,
                parameters: pass.parameters,
                gradients: pass.gradients.reborrow(),
                saved: &pass.saved[i * self.saved..(i + 1) * self.saved],
                scratch,
            };
            match &self.plain {
                Plain::View => sample.dx.copy_from_slice(sample.dy),
                Plain::Each(passes) => passes.backward(sample),
                Plain::Batch(passes) => {
                    passes.backward(sample, BatchStatistics::new(pass.batch, pass.statistics, pass.sums));
                }
            }
        }
    }

    fn across_batch(&self) -> Option<&dyn AcrossBatch> {
        match &self.plain {
            Plain::Batch(passes) => Some(passes),
            _ => None,
        }
    }
}

/// Samples lie one after the other.
impl AcrossBatch for Arc<dyn BatchPasses> {
    fn least_samples(&self) -> usize {
        (**self).least_samples()
    }

    fn statistics(&self) -> usize {
        (**self).statistics()
    }

    fn gather(&self, block: BlockOf, x: &[Float], statistics: &mut [Float]) {
        (**self).gather(block.samples, x, statistics);
    }

    fn merge(&self, total: &mut [Float], seen: usize, part: &[Float], n: usize) {
        (**self).merge(total, seen, part, n);
    }

    fn sums(&self) -> usize {
        (**self).sums()
    }

    fn gather_backward(&self, block: BlockOf, x: &[Float], dy: &[Float], statistics: &[Float], sums: &mut [Float]) {
        (**self).gather_backward(block.samples, x, dy, statistics, sums);
    }

    fn update_state(&self, statistics: &[Float], n: usize, state: TensorsMut<'_>) {
        (**self).update_state(statistics, n, state);
    }
}
