//! The memory and the threads of a run, and passes over a whole batch.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use gradus_kernels::interleaved::LANES;
use gradus_kernels::{Partition, Pool};

use super::add_up;
use super::bfloat16::{self, Copies};
use super::block::{Block, PassContext, ThreadScratch};
use super::clock::Other;
use super::memory_plan::{MemoryOptions, MemoryPlan};
use super::workers::Workers;
use crate::graph::{Graph, LayerOp, Op};
use crate::layer::TensorsMut;
use crate::network::Weights;
use crate::{Error, Float, Network, Result};

/// Fewer samples than this in a batch are not worth laying side by side: too many lanes would be empty.
pub(super) const WORTH_INTERLEAVING: usize = 8;

/// Fewer multiply-adds than this in a batch are not worth waking a second thread for.
const WORTH_A_THREAD: u64 = 400_000;

/// The most values that the memory of a batch may hold: 2³⁴, or what a small machine can address.
const MOST_VALUES: usize = match usize::BITS {
    64 => 1usize.wrapping_shl(34),
    _ => isize::MAX as usize / size_of::<Float>(),
};

/// The memory and the threads for training on batches of up to `batch` samples.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// What it was made for.
    graph: Arc<Graph>,
    pool: BlockPool,
    /// The statistics over the batch, forward and backward.
    statistics: Vec<Float>,
    sums: Vec<Float>,
    /// The operations between barriers: each range but the first begins with a layer across the batch.
    segments: Vec<Range<usize>>,
    batch: usize,
    /// The weights in bfloat16, if this is for training in it.
    copies: Option<Copies>,
}

/// The threads, and the memory that they work on.
#[derive(Debug)]
struct BlockPool {
    workers: Workers,
    blocks: Vec<Block>,
    block_cuts: Partition,
    /// How much of a thread's memory is for values; the rest is scratch.
    values: usize,
    division: Division,
    /// How many blocks the present batch fills.
    filled: usize,
}

impl BlockPool {
    /// Does `work` on every block, on all threads.
    fn each_block(&mut self, work: &(dyn Fn(&mut Block, &mut ThreadScratch<'_>) + Sync)) {
        let values = self.values;
        let work = |block: &mut Block, memory: &mut [Float]| {
            let (memory, scratch) = memory.split_at_mut(values);
            work(block, &mut ThreadScratch { memory, scratch });
        };
        if let Some(memory) = self.workers.single_thread_scratch() {
            self.blocks[..self.filled]
                .iter_mut()
                .for_each(|block| work(block, memory));
            return;
        }
        let blocks = self.block_cuts.cut(&mut self.blocks);
        self.workers
            .each(self.filled, &|task, _, memory| work(&mut blocks.take(task)[0], memory));
    }
}

/// How the samples of a batch are divided among blocks.
#[derive(Debug, Clone, Copy)]
enum Division {
    /// Evenly among `blocks` blocks, in whole units of `unit` samples: the bits don't depend on it.
    Among { blocks: usize, unit: usize },
    /// Into blocks of at most this number of samples, whatever the number of threads, since the bits depend on it.
    Fixed(usize),
}

impl Division {
    /// The number of blocks for `n` samples.
    fn blocks(self, n: usize) -> usize {
        match self {
            Division::Among { blocks, unit } => blocks.min(n.div_ceil(unit)),
            // An even number shares well between two threads.
            Division::Fixed(size) if n > size => n.div_ceil(size).next_multiple_of(2),
            Division::Fixed(_) => n.min(1),
        }
    }

    /// How many samples are not to be divided.
    fn unit(self) -> usize {
        match self {
            Division::Among { unit, .. } => unit,
            _ => 1,
        }
    }

    /// The most samples that a block has to hold for batches of up to `n`.
    fn capacity(self, n: usize) -> usize {
        match self {
            Division::Among { blocks, unit } => unit * n.div_ceil(unit).div_ceil(blocks),
            Division::Fixed(size) => n.min(size),
        }
    }
}

/// How many samples a block holds where the division is part of the result. The memory of few stays in the cache; but of more,
/// matrix products make better use of the weights, where these are most of the work.
fn fixed_block(graph: &Graph) -> usize {
    let products: u64 = (graph.layers())
        .filter(|op| op.run.whole_batch().is_some())
        .map(|op| op.bound.multiply_adds)
        .sum();
    if 2 * products > graph.multiply_adds() {
        2 * LANES
    } else {
        LANES
    }
}

/// What a training pass does beside running the layers.
pub(crate) struct Training<'a> {
    /// The seed of the run and the number of the step, for the layers' random numbers.
    pub seed: u64,
    pub step: u64,
    /// Writes the input of a block.
    pub input: &'a (dyn Fn(&mut Block, &mut ThreadScratch<'_>) + Sync),
    /// Reads a block's outputs; writes the losses and their gradients.
    pub loss: &'a (dyn Fn(&mut Block) + Sync),
    /// The forward pass goes through the operations before this one.
    pub forward_end: usize,
    /// The backward pass goes through the operations from `backward_start` to before `backward_end`, the last one first.
    pub backward_start: usize,
    pub backward_end: usize,
}

impl Training<'_> {
    /// What a pass reads: the network, and the statistics over the batch, forward and backward.
    fn lend<'a>(
        &self,
        graph: &'a Graph,
        (weights, copies): (&'a Weights, Option<&'a Copies>),
        statistics: [&'a [Float]; 2],
        batch: usize,
    ) -> PassContext<'a> {
        let [statistics, sums] = statistics;
        PassContext {
            graph,
            weights,
            copies,
            statistics,
            sums,
            batch,
            seed: self.seed,
            step: self.step,
        }
    }
}

impl Workspace {
    /// Memory for batches of up to `batch` samples; in bfloat16, if that is wanted and a layer can.
    ///
    /// # Errors
    /// If that is more than there can be.
    pub fn new(graph: &Arc<Graph>, batch: usize, threads: usize, bfloat16: bool) -> Result<Self> {
        if bfloat16 && graph.reference {
            return Err(Error::invalid(
                "a network that computes by the plain loops can't be trained in bfloat16: choose one of the two",
            ));
        }
        let bfloat16 = bfloat16 && bfloat16::is_used_by(graph);
        check_memory(batch, 2 * graph.values_size + graph.saved)?;
        let work = graph.multiply_adds().saturating_mul(3).saturating_mul(batch as u64);
        let worth = usize::try_from(work / WORTH_A_THREAD).unwrap_or(usize::MAX);
        let threads = threads.clamp(1, worth.clamp(1, Pool::MOST_THREADS));
        let division = if graph.batch_split_is_exact() {
            // The samples of a pair stay together.
            let unit = if bfloat16 { 2 } else { 1 };
            Division::Among { blocks: threads, unit }
        } else {
            Division::Fixed(fixed_block(graph))
        };
        let capacity = division.capacity(batch);
        let segments = segments(graph);
        let memory = Arc::new(MemoryPlan::new(
            graph,
            MemoryOptions {
                capacity,
                training: true,
                interleaved: batch >= WORTH_INTERLEAVING,
                in_one_go: segments.len() == 1,
            },
        ));
        let blocks: Vec<Block> = (0..division.blocks(batch))
            .map(|_| match Block::new(graph, &memory, capacity, true) {
                block if bfloat16 => block.in_bfloat16(graph, capacity),
                block => block,
            })
            .collect();
        let values = memory.thread.max(super::update::scratch(graph));
        let scratch = graph.scratch + capacity * graph.scratch_per_sample;
        Ok(Workspace {
            graph: graph.clone(),
            pool: BlockPool {
                workers: Workers::new(threads, values + scratch),
                block_cuts: Partition::singles(blocks.len()),
                blocks,
                values: memory.thread,
                division,
                filled: 0,
            },
            statistics: vec![0.0; graph.statistics],
            sums: vec![0.0; graph.sums],
            segments,
            batch: 0,
            copies: bfloat16.then(|| Copies::new(graph)),
        })
    }

    /// The number of threads.
    pub fn threads(&self) -> usize {
        self.pool.workers.threads()
    }

    /// The blocks that hold the present batch, in order.
    pub fn blocks(&self) -> &[Block] {
        &self.pool.blocks[..self.pool.filled]
    }

    /// The same, for writing.
    pub fn blocks_mut(&mut self) -> &mut [Block] {
        &mut self.pool.blocks[..self.pool.filled]
    }

    /// The same, with the threads.
    pub fn blocks_and_workers(&mut self) -> (&[Block], &mut Workers) {
        (&self.pool.blocks[..self.pool.filled], &mut self.pool.workers)
    }

    /// Begins to count what the time goes into.
    pub fn profile(&mut self) {
        for block in &mut self.pool.blocks {
            block.clock.begin(self.graph.ops.len());
        }
    }

    /// What it went into, summed over the threads: forward and backward for each operation; reading, and the loss.
    pub fn spent(&self) -> (Vec<[Duration; 2]>, [Duration; 2]) {
        let mut ops = vec![[Duration::ZERO; 2]; self.graph.ops.len()];
        let mut others = [Duration::ZERO; 2];
        let add = |sum: &mut [Duration; 2], part: &[Duration; 2]| sum.iter_mut().zip(part).for_each(|(s, p)| *s += *p);
        for block in &self.pool.blocks {
            let (block_ops, block_others) = block.clock.spent();
            ops.iter_mut().zip(block_ops).for_each(|(sum, part)| add(sum, part));
            add(&mut others, &block_others);
        }
        (ops, others)
    }

    /// Divides a batch of `n` samples among the blocks.
    pub fn divide(&mut self, n: usize) {
        self.batch = n;
        let filled = self.pool.division.blocks(n);
        let unit = self.pool.division.unit();
        let units = n.div_ceil(unit);
        self.pool.filled = filled;
        let mut first = 0;
        for (i, block) in self.pool.blocks[..filled].iter_mut().enumerate() {
            let samples = unit * (units / filled + usize::from(i < units % filled));
            block.set_samples(first, samples.min(n - first));
            block.error = None;
            first += block.samples;
        }
    }

    /// Runs the whole batch forward and backward. Each thread takes one block after the other through all of it; they
    /// meet only where a layer looks across the batch. Afterward the blocks hold all values and gradients of the step, or one
    /// of them its error.
    pub fn train(&mut self, network: &Network, training: Training<'_>) {
        if let Some(copies) = &mut self.copies {
            copies.make(&network.graph, &network.weights.parameters, &mut self.pool.workers);
        }
        if self.train_forward(network, &training) {
            self.train_backward(network, &training);
        }
    }

    /// Runs all segments forward, and the last one backward too. Returns false if a block could not read its samples.
    fn train_forward(&mut self, network: &Network, training: &Training<'_>) -> bool {
        let Workspace {
            pool,
            statistics,
            sums,
            segments,
            batch,
            copies,
            ..
        } = self;
        let Network { graph, weights, .. } = network;
        let copies = copies.as_ref();
        let last = segments.len() - 1;
        for (s, segment) in segments.iter().enumerate() {
            let context = training.lend(graph, (weights, copies), [statistics, sums], *batch);
            let forward = segment.start..segment.end.min(training.forward_end);
            let backward = backward_range(segments, last, training);
            pool.each_block(&|block, thread| {
                if s == 0 {
                    block.partials.fill(0.0);
                    (training.input)(block, thread);
                }
                block.forward(context, forward.clone(), true, thread);
                if s < last {
                    block.gather(graph.layer(segments[s + 1].start));
                } else {
                    let started = block.clock.now();
                    (training.loss)(block);
                    block.clock.other(Other::Loss, started);
                    block.find_not_finite(context, thread);
                    block.backward(context, backward.clone(), thread);
                    if s > 0 {
                        block.gather_backward(graph.layer(segment.start), context.statistics);
                    }
                }
            });
            if s == 0 && pool.blocks[..pool.filled].iter().any(|block| block.error.is_some()) {
                return false;
            }
            if s < last {
                let op = graph.layer(segments[s + 1].start);
                merge(op, &pool.blocks[..pool.filled], &mut statistics[op.statistics.clone()]);
            }
        }
        true
    }

    /// Runs all segments but the last one backward.
    fn train_backward(&mut self, network: &Network, training: &Training<'_>) {
        let Workspace {
            pool,
            statistics,
            sums,
            segments,
            batch,
            copies,
            ..
        } = self;
        let Network { graph, weights, .. } = network;
        let copies = copies.as_ref();
        for s in (0..segments.len() - 1).rev() {
            let op = graph.layer(segments[s + 1].start);
            let range = op.sums.clone();
            let parts = pool.blocks[..pool.filled]
                .iter()
                .map(|block| &block.sums[range.clone()]);
            add_up(parts, &mut sums[range.clone()]);
            let context = training.lend(graph, (weights, copies), [statistics, sums], *batch);
            let backward = backward_range(segments, s, training);
            pool.each_block(&|block, thread| {
                block.backward(context, backward.clone(), thread);
                if s > 0 {
                    block.gather_backward(graph.layer(segments[s].start), context.statistics);
                }
            });
        }
    }

    /// Brings the state of layers across the batch up to date with the batch that was last gone through.
    pub fn update_state(&self, network: &mut Network) {
        let Network { graph, weights, .. } = network;
        for op in graph.layers() {
            if let Some(layer) = op.run.across_batch() {
                let state = TensorsMut::new(&mut weights.state[op.state.clone()], &op.state_sizes);
                layer.update_state(&self.statistics[op.statistics.clone()], self.batch, state);
            }
        }
    }
}

/// The operations that run backward with segment `s`. A layer across the batch runs after the barrier that it needs: with the segment
/// before its own.
fn backward_range(segments: &[Range<usize>], s: usize, training: &Training<'_>) -> Range<usize> {
    let start = |s: usize| segments[s].start + usize::from(s > 0);
    let end = if s == segments.len() - 1 {
        training.backward_end
    } else {
        start(s + 1)
    };
    start(s).max(training.backward_start).min(end)..end
}

/// Refuses a batch whose values are more than there can be memory for.
pub(super) fn check_memory(batch: usize, per_sample: usize) -> Result<()> {
    if batch.saturating_mul(per_sample) <= MOST_VALUES {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "a batch of {batch} samples, with {per_sample} values each in this network, needs more memory than there can be: choose a smaller batch"
    )))
}

/// Merges the blocks' statistics of a layer, in their order.
fn merge(op: &LayerOp, blocks: &[Block], total: &mut [Float]) {
    let Some(layer) = op.run.across_batch() else { return };
    total.copy_from_slice(&blocks[0].statistics[op.statistics.clone()]);
    let mut seen = blocks[0].samples;
    for block in &blocks[1..] {
        let part = &block.statistics[op.statistics.clone()];
        layer.merge(total, seen, part, block.samples);
        seen += block.samples;
    }
}

/// The operations between barriers.
fn segments(graph: &Graph) -> Vec<Range<usize>> {
    let barrier = |op: &Op| matches!(op, Op::Layer(op) if !op.statistics.is_empty());
    let mut starts = vec![0];
    starts.extend((0..graph.ops.len()).filter(|&i| barrier(&graph.ops[i])));
    let ends = starts.iter().skip(1).copied().chain([graph.ops.len()]);
    starts
        .iter()
        .copied()
        .zip(ends)
        .map(|(start, end)| start..end)
        .collect()
}
