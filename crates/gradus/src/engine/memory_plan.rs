//! Where everything of a block of samples lies.
//!
//! In time, a training step is the forward pass, the loss, and the backward pass: for n operations, operation i runs at i and
//! again at 2n − i. A value lives from the operation that computes it to that operation's backward pass, its gradient from the
//! backward pass of the operation that reads it. What is never needed at the same time may lie in the same place; so memory
//! stays small enough for the cache. What the update still needs, when all blocks are done, lives on.

#[cfg(test)]
mod tests;

use std::ops::Range;

use gradus_kernels::DisjointRanges;

use crate::graph::{Graph, Op};
use crate::layer::advanced::Layout;

/// Floats of a cache line: where everything begins.
const LINE: usize = 16;

/// Never freed.
const FOREVER: usize = usize::MAX;

/// Whose memory something lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arena {
    /// The block's own: it is still needed when the thread has gone on to another block.
    Block,
    /// The thread's that runs the block.
    Thread,
}

/// Where something lies for the samples of a block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub arena: Arena,
    start: usize,
    /// Numbers for each sample.
    size: usize,
    pub layout: Layout,
}

impl Place {
    pub const NOWHERE: Place = Place {
        arena: Arena::Thread,
        start: 0,
        size: 0,
        layout: Layout::SampleMajor,
    };

    /// Its range for a block of `n` samples.
    pub fn of(self, n: usize) -> Range<usize> {
        self.start..self.start + self.size * self.layout.room(n)
    }
}

/// What lies at these places for a block of `n` samples, to be borrowed from the memory of the block and of its thread.
pub(crate) fn spans<const N: usize>(places: [Place; N], n: usize) -> DisjointRanges<N> {
    DisjointRanges::new(places.map(|place| (usize::from(place.arena == Arena::Thread), place.of(n))))
}

/// Where the values and the gradients lie that an operation reads and writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operands {
    pub execution: Execution,
    /// How the samples of its output lie.
    pub layout: Layout,
    /// Of a layer: x, y and what it keeps. Of the others: their inputs, then their outputs. None if there is nothing to do.
    pub forward: Option<[Place; 3]>,
    /// Of a layer: x, y, dy, dx and what it kept. Of a product: its inputs, dy, and the inputs' gradients. Of the others: their inputs' gradients, then their outputs'.
    pub backward: Option<[Place; 5]>,
}

impl Operands {
    fn new(op: &Op, execution: Execution, values: &[Place], gradients: &[Place], saved: Place) -> Self {
        let nowhere = Place::NOWHERE;
        let (x, y) = ends(op);
        let (forward, backward) = match op {
            // What is in one place is lent once: as the output, and as the gradient of the input.
            Op::Layer(op) if execution == Execution::InPlace => (
                [nowhere, values[op.y], saved],
                [nowhere, values[op.y], nowhere, gradients[op.x], saved],
            ),
            Op::Layer(op) => (
                [values[op.x], values[op.y], saved],
                [values[op.x], values[op.y], gradients[op.y], gradients[op.x], saved],
            ),
            Op::Multiply { x, y } => (
                [values[x[0]], values[x[1]], values[*y]],
                [
                    values[x[0]],
                    values[x[1]],
                    gradients[*y],
                    gradients[x[0]],
                    gradients[x[1]],
                ],
            ),
            _ => {
                let ends: Vec<usize> = x.iter().chain(&y).copied().collect();
                let place = |places: &[Place], i| ends.get(i).map_or(nowhere, |&v: &usize| places[v]);
                (
                    std::array::from_fn(|i| place(values, i)),
                    std::array::from_fn(|i| place(gradients, i)),
                )
            }
        };
        let view = execution == Execution::Alias;
        Operands {
            execution,
            layout: values[y[0]].layout,
            forward: (!view || matches!(op, Op::Add { .. })).then_some(forward),
            backward: (!view || matches!(op, Op::Fork { .. })).then_some(backward),
        }
    }
}

/// The layout of the memory of blocks, for one network and one set of options.
#[derive(Debug)]
pub(crate) struct MemoryPlan {
    values: Vec<Place>,
    gradients: Vec<Place>,
    /// For each operation.
    operands: Vec<Operands>,
    /// The size of a block's own memory, and of a thread's.
    pub block: usize,
    pub thread: usize,
}

/// How an operation runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Execution {
    /// From its input to its output.
    OutOfPlace,
    /// In its input's memory.
    InPlace,
    /// Not at all: its output is its input, and the gradient of one that of the other. The outputs of a fork are its input, but
    /// their gradients are added up; the gradients of the inputs of a sum are that of its output.
    Alias,
}

/// What blocks of memory are for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MemoryOptions {
    /// The most samples of a block.
    pub capacity: usize,
    pub training: bool,
    /// Whether samples lie side by side where the graph says so.
    pub interleaved: bool,
    /// Whether threads go through a block in one go.
    pub in_one_go: bool,
}

/// Something to be given a place: from when to when it is needed.
#[derive(Debug, Clone, Copy)]
struct LiveRange {
    from: usize,
    to: usize,
    size: usize,
    layout: Layout,
}

impl LiveRange {
    fn grow(&mut self, other: LiveRange) {
        self.from = self.from.min(other.from);
        self.to = self.to.max(other.to);
    }
}

impl MemoryPlan {
    pub fn new(graph: &Graph, options: MemoryOptions) -> MemoryPlan {
        let executions = executions(graph, options);
        let [value_roots, gradient_roots] = alias_classes(graph, &executions);
        let lives = Liveness::new(graph, options);
        let mut allocator = Allocator {
            options,
            taken: Vec::new(),
            block: 0,
            thread: 0,
        };
        let merged = |lives: &[Option<LiveRange>], root: &[usize]| {
            let mut merged: Vec<Option<LiveRange>> = vec![None; lives.len()];
            for (v, need) in lives.iter().enumerate() {
                let Some(need) = need else { continue };
                match &mut merged[root[v]] {
                    Some(whole) => whole.grow(*need),
                    whole => *whole = Some(*need),
                }
            }
            merged
        };
        let n = graph.values.len();
        let values = merged(&lives.values, &value_roots);
        let gradients = merged(&lives.gradients, &gradient_roots);
        let found = allocator.find(&[values, gradients, lives.saved].concat());
        let values: Vec<Place> = value_roots.iter().map(|&v| found[v]).collect();
        let gradients: Vec<Place> = gradient_roots.iter().map(|&v| found[n + v]).collect();
        let operands = (graph.ops.iter().zip(executions).zip(&found[2 * n..]))
            .map(|((op, execution), saved)| Operands::new(op, execution, &values, &gradients, *saved))
            .collect();
        MemoryPlan {
            values,
            gradients,
            operands,
            block: allocator.block,
            thread: allocator.thread,
        }
    }

    /// The place of value number `v`.
    pub fn value(&self, v: usize) -> Place {
        self.values[v]
    }

    /// The place of its gradient; nowhere if nobody needs that.
    pub fn gradient(&self, v: usize) -> Place {
        self.gradients[v]
    }

    /// How each operation runs, and where.
    pub fn operands(&self) -> &[Operands] {
        &self.operands
    }
}

/// How each operation runs.
fn executions(graph: &Graph, options: MemoryOptions) -> Vec<Execution> {
    // Whether a value is read again, as it is, by the backward pass of the operation that computed it.
    let mut read_again = vec![false; graph.values.len()];
    let mut executions = Vec::with_capacity(graph.ops.len());
    // The loss may read the last layer's input.
    if let (true, Some((_, last))) = (options.training, graph.last_layer()) {
        read_again[last.x] = true;
    }
    for op in &graph.ops {
        let execution = match op {
            Op::Layer(op) if op.bound.is_view() => {
                read_again[op.y] |= read_again[op.x];
                Execution::Alias
            }
            Op::Layer(op) => {
                let free = !(options.training && read_again[op.x]);
                read_again[op.y] |= op.run.reads_output();
                if op.run.in_place().is_some() && free {
                    Execution::InPlace
                } else {
                    Execution::OutOfPlace
                }
            }
            Op::Reorder { x, y } if !options.interleaved => {
                read_again[*y] |= read_again[*x];
                Execution::Alias
            }
            _ => Execution::OutOfPlace,
        };
        executions.push(execution);
    }
    let apart = |v: usize, ends_of: fn(&Op) -> Vec<usize>| {
        let mut there = graph
            .ops
            .iter()
            .zip(&executions)
            .filter(|(op, _)| ends_of(op).contains(&v));
        there.all(|(_, execution)| *execution == Execution::OutOfPlace)
    };
    let joints = graph.ops.iter().map(|op| match op {
        // Nobody may write over what the other branch reads.
        Op::Fork { y, .. } => y.iter().all(|&v| apart(v, |op| ends(op).0)),
        // Nor over the gradient of what the other branch gave.
        Op::Add { x, .. } => x.iter().all(|&v| apart(v, |op| ends(op).1)),
        _ => false,
    });
    let joints: Vec<bool> = joints.collect();
    for (execution, _) in executions.iter_mut().zip(joints).filter(|(_, view)| *view) {
        *execution = Execution::Alias;
    }
    executions
}

/// For each value the one whose memory it is in, itself or another; and for each gradient.
fn alias_classes(graph: &Graph, executions: &[Execution]) -> [Vec<usize>; 2] {
    let mut values: Vec<usize> = (0..graph.values.len()).collect();
    let mut gradients = values.clone();
    let join = |alias_classes: &mut Vec<usize>, a: usize, b: usize| {
        let (to, from) = (alias_classes[a], alias_classes[b]);
        alias_classes
            .iter_mut()
            .filter(|root| **root == from)
            .for_each(|root| *root = to);
    };
    for (op, _) in graph
        .ops
        .iter()
        .zip(executions)
        .filter(|(_, m)| **m != Execution::OutOfPlace)
    {
        let (x, y) = ends(op);
        match op {
            Op::Layer(_) | Op::Reorder { .. } => {
                join(&mut values, x[0], y[0]);
                join(&mut gradients, x[0], y[0]);
            }
            Op::Fork { .. } => y.iter().for_each(|&y| join(&mut values, x[0], y)),
            Op::Add { .. } => [x[1], y[0]].iter().for_each(|&v| join(&mut gradients, x[0], v)),
            Op::Multiply { .. } | Op::CopyInto { .. } => {}
        }
    }
    [values, gradients]
}

/// The values that an operation reads and writes.
fn ends(op: &Op) -> (Vec<usize>, Vec<usize>) {
    match op {
        Op::Layer(op) => (vec![op.x], vec![op.y]),
        Op::Reorder { x, y } | Op::CopyInto { x, y, .. } => (vec![*x], vec![*y]),
        Op::Fork { x, y } => (vec![*x], y.to_vec()),
        Op::Add { x, y } | Op::Multiply { x, y } => (x.to_vec(), vec![*y]),
    }
}

/// When each value, each gradient and each layer's memory is needed.
struct Liveness {
    values: Vec<Option<LiveRange>>,
    gradients: Vec<Option<LiveRange>>,
    saved: Vec<Option<LiveRange>>,
}

impl Liveness {
    fn new(graph: &Graph, options: MemoryOptions) -> Liveness {
        let n = graph.ops.len();
        let back = |i: usize| 2 * n - i;
        let need = |v: usize, from: usize, to: usize| LiveRange {
            from,
            to,
            size: graph.values[v].size,
            layout: if options.interleaved {
                graph.values[v].layout
            } else {
                Layout::SampleMajor
            },
        };
        let mut values: Vec<Option<LiveRange>> = vec![None; graph.values.len()];
        let mut gradients = values.clone();
        let mut saved = vec![None; n];
        values[0] = Some(need(0, 0, if options.training { back(0) } else { 0 }));
        for (i, op) in graph.ops.iter().enumerate() {
            let (x, y) = ends(op);
            for &v in &y {
                // What is joined of several parts lives from the first of them.
                if let Some(known) = &mut values[v] {
                    known.to = known.to.max(i);
                    continue;
                }
                values[v] = Some(need(v, i, if options.training { back(i) } else { i }));
                if options.training && graph.values[v].needs_gradient {
                    // Until a reader is found, it is the loss.
                    gradients[v] = Some(need(v, n, back(i)));
                }
            }
            for &v in &x {
                if let Some(need) = &mut values[v] {
                    need.to = need.to.max(i);
                }
                if let Some(need) = &mut gradients[v] {
                    need.from = back(i);
                }
            }
            let Op::Layer(op) = op else { continue };
            if options.training && op.bound.saved > 0 {
                saved[i] = Some(LiveRange {
                    from: i,
                    to: back(i),
                    size: op.bound.saved,
                    layout: need(op.y, i, i).layout,
                });
            }
            if options.training && op.run.whole_batch().is_some() {
                let read_by_update = values[op.x].iter_mut().chain(&mut gradients[op.y]);
                read_by_update.for_each(|need| need.to = FOREVER);
            }
        }
        // The loss reads the output, or the last layer's input if the two are computed together, and writes its gradient.
        let last = graph.output_value();
        let before = graph.last_layer().map_or(last, |(_, op)| op.x);
        for v in [last, before] {
            for need in values[v].iter_mut().chain(&mut gradients[v]) {
                need.to = FOREVER;
            }
            if let Some(need) = &mut gradients[v] {
                need.from = n;
            }
        }
        Liveness {
            values,
            gradients,
            saved,
        }
    }
}

/// Gives out places, the lowest that is free all the time that it is needed.
struct Allocator {
    options: MemoryOptions,
    /// What has been given out: where, and when it is needed.
    taken: Vec<(Arena, Range<usize>, LiveRange)>,
    block: usize,
    thread: usize,
}

impl Allocator {
    fn find(&mut self, needs: &[Option<LiveRange>]) -> Vec<Place> {
        let mut order: Vec<usize> = (0..needs.len()).filter(|&i| needs[i].is_some()).collect();
        // What is needed first is placed first; and large before small, which fits into gaps.
        order.sort_by_key(|&i| needs[i].map(|need| (need.from, usize::MAX - need.size)));
        let mut places = vec![Place::NOWHERE; needs.len()];
        for i in order {
            if let Some(need) = needs[i] {
                places[i] = self.place(need);
            }
        }
        places
    }

    fn place(&mut self, need: LiveRange) -> Place {
        let arena = if need.to == FOREVER || !self.options.in_one_go {
            Arena::Block
        } else {
            Arena::Thread
        };
        let length = (need.size * need.layout.room(self.options.capacity)).next_multiple_of(LINE);
        let mut busy: Vec<&Range<usize>> = self
            .taken
            .iter()
            .filter(|(other, _, taken)| *other == arena && taken.from <= need.to && need.from <= taken.to)
            .map(|(_, range, _)| range)
            .collect();
        busy.sort_by_key(|range| range.start);
        let mut start = 0;
        for range in busy {
            if start + length <= range.start {
                break;
            }
            start = start.max(range.end);
        }
        let end = match arena {
            Arena::Block => &mut self.block,
            Arena::Thread => &mut self.thread,
        };
        *end = (*end).max(start + length);
        self.taken.push((arena, start..start + length, need));
        Place {
            arena,
            start,
            size: need.size,
            layout: need.layout,
        }
    }
}
