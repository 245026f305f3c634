//! The memory of a block of samples, and the passes over it.

use std::ops::Range;
use std::sync::Arc;

use gradus_kernels::bfloat16::Pair;
use gradus_kernels::interleaved::{LANES, deinterleave, interleave};
use gradus_kernels::{Buffer, DisjointRanges};

use super::bfloat16::{Copies, Pairs};
use super::clock::{Clock, Other};
use super::join::{self, Rows};
use super::memory_plan::{Arena, Execution, MemoryPlan, Operands, Place, spans};
use crate::graph::{Graph, LayerOp, Op};
use crate::layer::advanced::{
    BlockBackward, BlockForward, BlockOf, BlockRandom, InPlaceBackward, InPlaceForward, Layout,
};
use crate::layer::{Tensors, TensorsMut};
use crate::network::Weights;
use crate::{Error, Float, Result};

/// The parameters and state of a network, and the statistics of the batch, as a pass reads them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PassContext<'a> {
    pub graph: &'a Graph,
    pub weights: &'a Weights,
    /// The weights in bfloat16, if this is training in it.
    pub copies: Option<&'a Copies>,
    pub statistics: &'a [Float],
    pub sums: &'a [Float],
    /// Samples in the whole batch.
    pub batch: usize,
    pub seed: u64,
    pub step: u64,
}

/// Writes the inputs of the samples at some places in the batch; the vector is memory for augmentation.
pub(crate) type Read<'a> = &'a (dyn Fn(Range<usize>, &mut [Float], &mut Vec<Float>) -> Result<()> + Sync);

/// What a thread lends to the block that it works on: memory for what is not needed afterward, and scratch memory.
#[derive(Debug)]
pub(crate) struct ThreadScratch<'a> {
    pub memory: &'a mut [Float],
    pub scratch: &'a mut [Float],
}

/// A block of samples: the memory that it keeps until the next batch.
#[derive(Debug)]
pub(crate) struct Block {
    /// The place of its first sample in the batch.
    pub first: usize,
    /// How many samples it holds now.
    pub samples: usize,
    plan: Arc<MemoryPlan>,
    memory: Buffer,
    /// Where everything lies, for the present number of samples.
    spans: BlockSpans,
    /// What layers that multiply in bfloat16 keep until the next batch.
    pairs: Pairs,
    /// This block's part of the gradients that are summed over blocks.
    pub partials: Buffer,
    /// This block's part of the statistics over the batch.
    pub statistics: Buffer,
    pub sums: Buffer,
    /// The loss of each sample.
    pub losses: Vec<Float>,
    /// Memory for augmentation.
    pub augment: Vec<Float>,
    /// Where its time went.
    pub clock: Clock,
    /// What went wrong with this block's samples first, and the place of the first of them in the batch.
    pub error: Option<(usize, Error)>,
    /// The number of the first layer whose output is not finite, and whether its parameters are the cause; where the loss is
    /// not finite.
    pub not_finite: Option<(usize, bool)>,
}

/// What is borrowed from a block's memory again and again.
#[derive(Debug)]
struct BlockSpans {
    input: DisjointRanges<1>,
    /// Of the value that the loss was last computed from, and its gradient.
    loss: Option<(usize, DisjointRanges<2>)>,
    /// For each operation, forward and backward.
    ops: Vec<(Option<DisjointRanges<3>>, Option<DisjointRanges<5>>)>,
}

impl BlockSpans {
    fn new(plan: &MemoryPlan, n: usize) -> Self {
        BlockSpans {
            input: spans([plan.value(0)], n),
            loss: None,
            ops: plan.operands().iter().map(|op| Self::of(op, n)).collect(),
        }
    }

    fn of(op: &Operands, n: usize) -> (Option<DisjointRanges<3>>, Option<DisjointRanges<5>>) {
        (
            op.forward.map(|places| spans(places, n)),
            op.backward.map(|places| spans(places, n)),
        )
    }
}

impl Block {
    /// Memory for `capacity` samples; for a forward pass alone unless `training`.
    pub fn new(graph: &Graph, plan: &Arc<MemoryPlan>, capacity: usize, training: bool) -> Self {
        let if_training = |size: usize| Buffer::zeros(if training { size } else { 0 });
        Block {
            first: 0,
            samples: 0,
            memory: Buffer::zeros(plan.block),
            spans: BlockSpans::new(plan, 0),
            plan: plan.clone(),
            pairs: Pairs::default(),
            partials: if_training(graph.partials),
            statistics: if_training(graph.statistics),
            sums: if_training(graph.sums),
            losses: vec![0.0; if training { capacity } else { 0 }],
            augment: Vec::new(),
            clock: Clock::default(),
            error: None,
            not_finite: None,
        }
    }

    /// The same with memory for layers that multiply in bfloat16.
    pub fn in_bfloat16(self, graph: &Graph, capacity: usize) -> Self {
        let pairs = Pairs::new(graph, capacity);
        Block { pairs, ..self }
    }

    /// Holds `samples` samples of the batch from now on, the first of them number `first`.
    pub fn set_samples(&mut self, first: usize, samples: usize) {
        self.first = first;
        if samples == self.samples {
            return;
        }
        self.samples = samples;
        self.spans.input = spans([self.plan.value(0)], samples);
        self.spans.loss = None;
        for (spans, op) in self.spans.ops.iter_mut().zip(self.plan.operands()) {
            *spans = BlockSpans::of(op, samples);
        }
    }

    /// The samples' values of number `v`, if the block keeps them: the output, and what an update reads.
    pub fn value(&self, v: usize) -> &[Float] {
        self.saved_here(self.plan.value(v))
    }

    /// The gradients with respect to the samples' values of number `v`, if the block keeps them.
    pub fn gradient(&self, v: usize) -> &[Float] {
        self.saved_here(self.plan.gradient(v))
    }

    /// What the layer of operation `i` keeps in bfloat16; nothing if it doesn't multiply in it.
    pub fn pairs(&self, i: usize) -> &[Pair] {
        self.pairs.of(i)
    }

    fn saved_here(&self, place: Place) -> &[Float] {
        debug_assert_eq!(place.arena, Arena::Block);
        &self.memory[place.of(self.samples)]
    }

    /// Lets `read` write the inputs of the samples, given their places in the batch.
    pub fn fill(&mut self, thread: &mut ThreadScratch<'_>, read: Read<'_>) {
        let started = self.clock.now();
        let samples = self.samples;
        let [input] = self.spans.input.borrow(&mut self.memory, thread.memory);
        let result = read(self.first..self.first + samples, input, &mut self.augment);
        let is_first = |(first, _): &(usize, Error)| self.first < *first;
        if let (Err(error), true) = (result, self.error.as_ref().is_none_or(is_first)) {
            self.error = Some((self.first, error));
        }
        self.clock.other(Other::Reading, started);
    }

    /// The values of number `v`, their gradients (empty unless training) and the losses: what a loss reads and writes.
    pub fn loss_views(&mut self, v: usize) -> (&[Float], &mut [Float], &mut [Float]) {
        let (_, both) = match self.spans.loss {
            Some(known) if known.0 == v => known,
            _ => (v, spans([self.plan.value(v), self.plan.gradient(v)], self.samples)),
        };
        self.spans.loss = Some((v, both));
        let [values, gradients] = both.borrow(&mut self.memory, &mut []);
        (values, gradients, &mut self.losses[..self.samples])
    }

    /// Runs these operations forward.
    pub fn forward(
        &mut self,
        context: PassContext<'_>,
        ops: Range<usize>,
        training: bool,
        thread: &mut ThreadScratch<'_>,
    ) {
        let n = self.samples;
        for i in ops {
            let Operands { execution, layout, .. } = &self.plan.operands()[i];
            let Some(spans) = &self.spans.ops[i].0 else { continue };
            let started = self.clock.now();
            let [x, y, z] = spans.borrow(&mut self.memory, thread.memory);
            match &context.graph.ops[i] {
                Op::Layer(op) => {
                    let random = BlockRandom {
                        seed: context.seed,
                        step: context.step,
                        layer: op.number as u64,
                        first_sample: self.first as u64,
                    };
                    if *execution == Execution::InPlace
                        && let Some(layer) = op.run.in_place()
                    {
                        layer.forward(InPlaceForward {
                            training,
                            samples: n,
                            layout: *layout,
                            values: y,
                            saved: z,
                            random,
                        });
                    } else {
                        let pass = BlockForward {
                            training,
                            samples: n,
                            layout: *layout,
                            x,
                            y,
                            parameters: parameters(op, &context.weights.parameters),
                            state: Tensors::new(&context.weights.state[op.state.clone()], &op.state_sizes),
                            statistics: if training {
                                &context.statistics[op.statistics.clone()]
                            } else {
                                &[]
                            },
                            saved: z,
                            scratch: scratch(op, n, thread.scratch),
                            random,
                        };
                        match (context.copies, self.pairs.of_mut(i, op)) {
                            (Some(copies), Some((layer, pairs))) => layer.forward(pass, copies.of(i), pairs),
                            _ => op.run.forward(pass),
                        }
                    }
                }
                Op::Reorder { .. } => reorder(n, *layout, x, y),
                Op::Fork { .. } => {
                    y.copy_from_slice(x);
                    z.copy_from_slice(x);
                }
                Op::Add { .. } => join::add(x, y, z),
                Op::Multiply { .. } => join::multiply(Rows::new(n, *layout), x, y, z),
                Op::CopyInto { start, .. } => Rows::new(n, *layout).copy_into(x, y, *start),
            }
            self.clock.forward(i, started);
        }
    }

    /// Runs these operations backward, the last first.
    pub fn backward(&mut self, context: PassContext<'_>, ops: Range<usize>, thread: &mut ThreadScratch<'_>) {
        let n = self.samples;
        let needed = |v: usize| context.graph.values[v].needs_gradient;
        for i in ops.rev() {
            let Operands { execution, layout, .. } = &self.plan.operands()[i];
            let Some(spans) = &self.spans.ops[i].1 else { continue };
            let started = self.clock.now();
            let operands = spans.borrow(&mut self.memory, thread.memory);
            match &context.graph.ops[i] {
                Op::Layer(op) if needed(op.y) => {
                    let [x, y, dy, dx, saved] = operands;
                    let y = op.run.reads_output().then_some(&*y);
                    if *execution == Execution::InPlace
                        && let Some(layer) = op.run.in_place()
                    {
                        if needed(op.x) {
                            layer.backward(InPlaceBackward {
                                samples: n,
                                layout: *layout,
                                y,
                                gradient: dx,
                                saved,
                            });
                        }
                    } else {
                        let pass = BlockBackward {
                            samples: n,
                            layout: *layout,
                            x,
                            y,
                            dy,
                            dx: needed(op.x).then_some(dx),
                            parameters: parameters(op, &context.weights.parameters),
                            gradients: gradients(op, &mut self.partials),
                            statistics: &context.statistics[op.statistics.clone()],
                            sums: &context.sums[op.sums.clone()],
                            block_sums: &self.sums[op.sums.clone()],
                            batch: context.batch,
                            saved,
                            scratch: scratch(op, n, thread.scratch),
                        };
                        match (context.copies, self.pairs.of_mut(i, op)) {
                            (Some(copies), Some((layer, pairs))) => layer.backward(pass, copies.of(i), pairs),
                            _ => op.run.backward(pass),
                        }
                    }
                }
                Op::Reorder { x, .. } if needed(*x) => {
                    let [dx, dy, ..] = operands;
                    reorder(n, self.plan.gradient(*x).layout, dy, dx);
                }
                Op::Fork { x, .. } if needed(*x) => {
                    let [dx, dy0, dy1, ..] = operands;
                    join::add(dy0, dy1, dx);
                }
                Op::Add { .. } => {
                    let [dx0, dx1, dy, ..] = operands;
                    for dx in [dx0, dx1] {
                        // Nobody wants the gradient of what no parameter has touched.
                        if !dx.is_empty() {
                            dx.copy_from_slice(dy);
                        }
                    }
                }
                Op::Multiply { .. } => {
                    let [x0, x1, dy, dx0, dx1] = operands;
                    let rows = Rows::new(n, *layout);
                    if !dx0.is_empty() {
                        join::multiply(rows, dy, x1, dx0);
                    }
                    if !dx1.is_empty() {
                        join::multiply_backward(rows, dy, x0, dx1);
                    }
                }
                Op::CopyInto { x, start, .. } if needed(*x) => {
                    let [dx, dy, ..] = operands;
                    Rows::new(n, *layout).copy_out(dy, dx, *start);
                }
                Op::Layer(_) | Op::Reorder { .. } | Op::Fork { .. } | Op::CopyInto { .. } => {}
            }
            self.clock.backward(i, started);
        }
    }

    /// Reduces this block's input of a layer across the batch to statistics.
    pub fn gather(&mut self, op: &LayerOp) {
        let Some(across) = op.run.across_batch() else { return };
        let place = self.plan.value(op.x);
        let x = &self.memory[place.of(self.samples)];
        across.gather(
            BlockOf::new(self.samples, place.layout),
            x,
            &mut self.statistics[op.statistics.clone()],
        );
    }

    /// Reduces this block's input of a layer across the batch, and the gradient of its output, to sums.
    pub fn gather_backward(&mut self, op: &LayerOp, statistics: &[Float]) {
        let Some(across) = op.run.across_batch() else { return };
        let (x, dy) = (self.plan.value(op.x), self.plan.gradient(op.y));
        across.gather_backward(
            BlockOf::new(self.samples, x.layout),
            &self.memory[x.of(self.samples)],
            &self.memory[dy.of(self.samples)],
            &statistics[op.statistics.clone()],
            &mut self.sums[op.sums.clone()],
        );
    }

    /// After a forward pass: if the loss is not finite, finds the first layer where that shows.
    pub fn find_not_finite(&mut self, context: PassContext<'_>, thread: &mut ThreadScratch<'_>) {
        let finite = |values: &[Float]| values.iter().all(|v| v.is_finite());
        self.not_finite = None;
        if finite(&self.losses[..self.samples]) {
            return;
        }
        for op in context.graph.layers() {
            let parameters_finite = finite(&context.weights.parameters[op.parameters.clone()]);
            let y = spans([self.plan.value(op.y)], self.samples);
            let [y] = y.borrow(&mut self.memory, thread.memory);
            if !parameters_finite || !finite(y) {
                self.not_finite = Some((op.number, !parameters_finite));
                return;
            }
        }
    }
}

/// The scratch memory of a layer for `samples` samples.
fn scratch<'a>(op: &LayerOp, samples: usize, all: &'a mut [Float]) -> &'a mut [Float] {
    &mut all[..op.scratch.fixed + samples * op.scratch.per_sample]
}

fn parameters<'a>(op: &'a LayerOp, all: &'a [Float]) -> Tensors<'a> {
    Tensors::new(&all[op.parameters.clone()], &op.sizes)
}

/// The block's own gradients of a layer; none if they are computed over the whole batch.
fn gradients<'a>(op: &'a LayerOp, partials: &'a mut [Float]) -> TensorsMut<'a> {
    let sizes = if op.partials.is_empty() { &[][..] } else { &op.sizes };
    TensorsMut::new(&mut partials[op.partials.clone()], sizes)
}

/// y ← x, in the layout `to`, where x is in the other one.
fn reorder(samples: usize, to: Layout, x: &[Float], y: &mut [Float]) {
    let features = match to {
        Layout::SampleMajor => y.len() / samples,
        Layout::Interleaved => x.len() / samples,
    };
    for first in (0..samples).step_by(LANES) {
        let count = LANES.min(samples - first);
        let (rows, lanes) = (
            first * features..(first + count) * features,
            first * features..(first + LANES) * features,
        );
        match to {
            Layout::SampleMajor => deinterleave(&x[lanes], count, &mut y[rows]),
            Layout::Interleaved => interleave(&x[rows], count, &mut y[lanes]),
        }
    }
}
