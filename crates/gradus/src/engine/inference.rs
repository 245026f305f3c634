//! Forward passes without training.

use std::ops::Range;
use std::sync::Arc;

use gradus_kernels::{Partition, Pool};

use super::Read;
use super::block::{Block, PassContext, ThreadScratch};
use super::memory_plan::{MemoryOptions, MemoryPlan};
use super::workers::Workers;
use super::workspace::{WORTH_INTERLEAVING, check_memory};
use crate::{Error, Float, Network, Result};

/// The memory and the threads of predictions with one network, made once and used again and again without allocating.
///
/// It is laid out for the network that it was made for, which every method is handed: that network, or a clone of it.
#[derive(Debug)]
pub(crate) struct Inference {
    workers: Workers,
    /// A block for each thread, which goes through it again and again: its memory stays in the thread's cache.
    blocks: Vec<Block>,
    block_cuts: Partition,
    /// How much of a thread's memory is for values; the rest is scratch.
    values: usize,
    /// The most samples of a block, and of a pass.
    capacity: usize,
    batch: usize,
    outputs: Vec<Float>,
    output_cuts: Partition,
    /// What is watched on the way to the outputs.
    watched: Vec<Float>,
    watched_cuts: Partition,
}

/// A value that a pass is to give beside the outputs: its number, how many numbers it has for a sample, and the operation before
/// which it is complete and still there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watched {
    pub value: usize,
    pub size: usize,
    pub before: usize,
}

/// The most samples that a block holds: more make no matrix product faster.
const MOST: usize = 128;

/// Fewer samples than this are not divided.
const LEAST: usize = 32;

/// Fewer multiply-adds than this are not worth starting a thread for: ten times what is worth waking one for.
const WORTH_A_NEW_THREAD: u64 = 4_000_000;

/// About how many values a block holds beyond the least number of samples: few enough for a thread's cache.
const VALUES: usize = 1 << 18;

impl Inference {
    /// Memory for one call with `n` samples, on as many of the threads that there are as are worth starting for it.
    pub fn for_one_call(network: &Network, n: usize, threads: impl FnOnce() -> usize) -> Result<Self> {
        let work = network.multiply_adds().saturating_mul(n as u64);
        let worth = usize::try_from(work / WORTH_A_NEW_THREAD).unwrap_or(usize::MAX);
        // To ask how many threads there are takes longer than a sample of a small network.
        let threads = if n <= LEAST || worth <= 1 {
            1
        } else {
            threads().min(worth)
        };
        // Passes of equal size, so that the last one has work for all threads.
        let passes = n.div_ceil(MOST.saturating_mul(threads)).max(1);
        Self::new(network, n.div_ceil(passes).max(1), threads)
    }

    /// Memory for up to `batch` samples in a pass.
    pub fn new(network: &Network, batch: usize, threads: usize) -> Result<Self> {
        if batch == 0 {
            return Err(Error::invalid("a predictor needs room for at least one sample, got 0"));
        }
        let graph = &network.graph;
        check_memory(batch, graph.output.size())?;
        let threads = threads.clamp(1, batch.div_ceil(LEAST).min(Pool::MOST_THREADS));
        let most = (VALUES / graph.values_size).clamp(LEAST, MOST);
        let capacity = batch.div_ceil(threads).clamp(LEAST.min(batch), most);
        check_memory(capacity.saturating_mul(threads), graph.values_size)?;
        let memory = Arc::new(MemoryPlan::new(
            graph,
            MemoryOptions {
                capacity,
                training: false,
                interleaved: batch >= WORTH_INTERLEAVING,
                in_one_go: true,
            },
        ));
        let scratch = graph.scratch + capacity * graph.scratch_per_sample;
        let workers = Workers::new(threads, memory.thread + scratch);
        let blocks: Vec<Block> = (0..workers.threads())
            .map(|_| Block::new(graph, &memory, capacity, false))
            .collect();
        Ok(Inference {
            block_cuts: Partition::singles(blocks.len()),
            blocks,
            workers,
            values: memory.thread,
            capacity,
            batch,
            outputs: Vec::with_capacity(batch * graph.output.size()),
            output_cuts: Partition::singles(batch.div_ceil(LEAST.min(capacity))),
            watched: Vec::new(),
            watched_cuts: Partition::singles(0),
        })
    }

    /// How many samples one pass takes.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The number of threads.
    pub fn threads(&self) -> usize {
        self.workers.threads()
    }

    /// The outputs for the samples in `x`, one after the other.
    pub fn run(&mut self, network: &Network, x: &[Float]) -> Result<&[Float]> {
        let size = network.graph.input.size();
        let n = x.len() / size;
        if n == 0 || !x.len().is_multiple_of(size) || n > self.batch {
            return Err(Error::invalid(format!(
                "the predictor takes 1 to {} samples of {size} values each, got {} values",
                self.batch,
                x.len()
            )));
        }
        let read = |samples: Range<usize>, inputs: &mut [Float], _: &mut Vec<Float>| {
            inputs.copy_from_slice(&x[samples.start * size..samples.end * size]);
            Ok(())
        };
        Ok(self.pass(network, n, &read, None)?.0)
    }

    /// The outputs for `n` samples, however many.
    pub fn outputs(&mut self, network: &Network, x: &[Float], n: usize) -> Result<Vec<Float>> {
        let mut outputs = Vec::with_capacity(n * network.graph.output.size());
        for x in x.chunks(self.batch * network.graph.input.size()) {
            outputs.extend_from_slice(self.run(network, x)?);
        }
        Ok(outputs)
    }

    /// The outputs for `n` samples, no more than [`batch`](Inference::batch), that `read` writes; and what is watched.
    pub fn pass(
        &mut self,
        network: &Network,
        n: usize,
        read: Read<'_>,
        watched: Option<Watched>,
    ) -> Result<(&[Float], &[Float])> {
        let outputs = network.graph.output.size();
        let size = n.div_ceil(self.workers.threads()).clamp(LEAST.min(n), self.capacity);
        let (tasks, values) = (n.div_ceil(size), self.values);
        let context = PassContext {
            graph: &network.graph,
            weights: &network.weights,
            copies: None,
            statistics: &[],
            sums: &[],
            batch: n,
            seed: 0,
            step: 0,
        };
        let work = |task: usize, block: &mut Block, memory: &mut [Float], y: &mut [Float], z: &mut [Float]| {
            let (memory, scratch) = memory.split_at_mut(values);
            let thread = &mut ThreadScratch { memory, scratch };
            block.set_samples(task * size, size.min(n - task * size));
            block.fill(thread, read);
            let mut done = 0;
            if let Some(watched) = watched {
                done = watched.before;
                block.forward(context, 0..done, false, thread);
                z.copy_from_slice(block.value(watched.value));
            }
            block.forward(context, done..context.graph.ops.len(), false, thread);
            y.copy_from_slice(block.value(context.graph.output_value()));
        };
        let watched_size = watched.map_or(0, |watched| watched.size);
        self.outputs.resize(n * outputs, 0.0);
        self.watched.resize(n * watched_size, 0.0);
        if let Some(memory) = self.workers.single_thread_scratch() {
            for (task, y) in self.outputs.chunks_mut(size * outputs).enumerate() {
                let (start, end) = (task * size * watched_size, n.min((task + 1) * size) * watched_size);
                work(task, &mut self.blocks[0], memory, y, &mut self.watched[start..end]);
            }
        } else {
            let blocks = self.block_cuts.cut(&mut self.blocks);
            self.output_cuts.space_evenly(n * outputs, size * outputs);
            let y = self.output_cuts.cut(&mut self.outputs);
            self.watched_cuts.space_evenly(n * watched_size, size * watched_size);
            let z = self.watched_cuts.cut(&mut self.watched);
            self.workers.each(tasks, &|task, thread, memory| {
                let mut z = watched.map(|_| z.take(task));
                let z = z.as_deref_mut().unwrap_or_default();
                work(task, &mut blocks.take(thread)[0], memory, &mut y.take(task), z);
            });
        }
        // Of several errors, that of the first sample.
        let errors = self.blocks.iter_mut().filter_map(|block| block.error.take());
        match errors.min_by_key(|(sample, _)| *sample) {
            Some((_, error)) => Err(error),
            None => Ok((&self.outputs, &self.watched)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prelude::*;

    /// Networks with 84,480 and with about 160,000 multiply-adds, and one that is worth no second thread.
    fn networks() -> [Network; 3] {
        let perceptron = Sequential::new([64]).layer(Dense::new(256)).layer(Relu);
        let image = || Conv2d::new(16, 3);
        let convolutional = Sequential::new([1, 12, 12])
            .layer(image())
            .layer(Relu)
            .layer(image())
            .layer(BatchNorm::new());
        let small = Sequential::new([3]).layer(Dense::new(2)).layer(Softmax);
        [
            perceptron
                .layer(Dense::new(256))
                .layer(Relu)
                .layer(Dense::new(10))
                .layer(Softmax),
            convolutional.layer(Flatten).layer(Dense::new(2)),
            small,
        ]
        .map(|network| network.build(1).unwrap())
    }

    #[test]
    fn one_call_has_the_same_bits_on_any_number_of_threads() {
        let mut most = [0; 3];
        for (network, most) in networks().iter().zip(&mut most) {
            let (size, outputs) = (network.input_shape().size(), network.output_shape().size());
            let x: Vec<Float> = (0..900 * size).map(|i| ((i % 1009) as Float).sin()).collect();
            let mut alone = network.predictor(1, 1).unwrap();
            let expected: Vec<Float> = x.chunks(size).flat_map(|x| alone.run(x).unwrap().to_vec()).collect();
            for threads in [1, 2, 3] {
                for n in [0, 1, 2, 31, 32, 33, 65, 127, 129, 255, 257, 383, 385, 769, 900] {
                    let mut inference = Inference::for_one_call(network, n, || threads).unwrap();
                    let y = inference.outputs(network, &x[..n * size], n).unwrap();
                    let same = y.iter().zip(&expected).all(|(y, e)| y.to_bits() == e.to_bits());
                    assert!(same && y.len() == n * outputs, "{n} samples on {threads} threads");
                    *most = inference.threads().max(*most);
                }
            }
        }
        assert_eq!(most, [3, 3, 1]);
    }

    /// No thread is started, and nobody asks how many there are.
    #[test]
    fn few_samples_are_computed_by_the_caller() {
        for network in &networks() {
            for n in [0, 1, 2, LEAST] {
                let inference = Inference::for_one_call(network, n, || unreachable!()).unwrap();
                assert_eq!((inference.threads(), inference.batch()), (1, n.max(1)));
            }
        }
        let [perceptron, _, small] = &networks();
        let layout = |network, n, threads| {
            let inference = Inference::for_one_call(network, n, || threads).unwrap();
            (inference.threads(), inference.batch())
        };
        assert_eq!(layout(small, 100_000, 2), (1, 128));
        assert_eq!(layout(perceptron, 96, 2), (2, 96));
        assert_eq!(layout(perceptron, 300, 8), (6, 300));
        assert_eq!(layout(perceptron, 300, 2), (2, 150));
    }
}
