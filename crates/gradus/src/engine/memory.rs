//! Where everything of a block of samples lies.
//!
//! In time, a training step is the forward pass, the loss, and the backward pass: for n operations, operation i runs at i and
//! again at 2n − i. A value lives from the operation that computes it to that operation's backward pass, its gradient from the
//! backward pass of the operation that reads it. What is never needed at the same time may lie in the same place; so memory
//! stays small enough for the cache. What the update still needs, when all blocks are done, lives on.

use std::ops::Range;

use gradus_kernels::Spans;

use crate::graph::{Graph, Op};
use crate::layer::{GradientScope, Layout};

/// Floats of a cache line: where everything begins.
const LINE: usize = 16;

/// Never freed.
const FOREVER: usize = usize::MAX;

/// Whose memory something lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Home {
    /// The block's own: it is still needed when the thread has gone on to another block.
    Block,
    /// The thread's that runs the block.
    Thread,
}

/// Where something lies for the samples of a block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub home: Home,
    start: usize,
    /// Numbers for each sample.
    size: usize,
    pub layout: Layout,
}

impl Place {
    pub const NOWHERE: Place = Place {
        home: Home::Thread,
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
pub(crate) fn spans<const N: usize>(places: [Place; N], n: usize) -> Spans<N> {
    Spans::new(places.map(|place| (usize::from(place.home == Home::Thread), place.of(n))))
}

/// Where the values and the gradients lie that an operation reads and writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operands {
    pub manner: Manner,
    /// How the samples of its output lie.
    pub layout: Layout,
    /// Of a layer: x, y and what it keeps. Of the others: their inputs, then their outputs. None if there is nothing to do.
    pub forward: Option<[Place; 3]>,
    /// Of a layer: x, y, dy, dx and what it kept. Of the others: their inputs' gradients, then their outputs'.
    pub backward: Option<[Place; 5]>,
}

impl Operands {
    fn new(op: &Op, manner: Manner, values: &[Place], gradients: &[Place], kept: Place) -> Self {
        let nowhere = Place::NOWHERE;
        let (x, y) = ends(op);
        let (forward, backward) = match op {
            // What is in one place is lent once: as the output, and as the gradient of the input.
            Op::Layer(op) if manner == Manner::InPlace => (
                [nowhere, values[op.y], kept],
                [nowhere, values[op.y], nowhere, gradients[op.x], kept],
            ),
            Op::Layer(op) => (
                [values[op.x], values[op.y], kept],
                [values[op.x], values[op.y], gradients[op.y], gradients[op.x], kept],
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
        let view = manner == Manner::View;
        Operands {
            manner,
            layout: values[y[0]].layout,
            forward: (!view || matches!(op, Op::Add { .. })).then_some(forward),
            backward: (!view || matches!(op, Op::Fork { .. })).then_some(backward),
        }
    }
}

/// The layout of the memory of blocks, for one network and one purpose.
#[derive(Debug)]
pub(crate) struct Memory {
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
pub(crate) enum Manner {
    /// From its input to its output.
    Apart,
    /// In its input's memory.
    InPlace,
    /// Not at all: its output is its input, and the gradient of one that of the other. The outputs of a fork are its input, but
    /// their gradients are added up; the gradients of the inputs of a sum are that of its output.
    View,
}

/// What blocks of memory are for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Purpose {
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
struct Need {
    from: usize,
    to: usize,
    size: usize,
    layout: Layout,
}

impl Need {
    fn grow(&mut self, other: Need) {
        self.from = self.from.min(other.from);
        self.to = self.to.max(other.to);
    }
}

impl Memory {
    pub fn new(graph: &Graph, purpose: Purpose) -> Memory {
        let manners = manners(graph, purpose);
        let [value_roots, gradient_roots] = roots(graph, &manners);
        let lives = Lives::new(graph, purpose);
        let mut allocator = Allocator {
            purpose,
            taken: Vec::new(),
            block: 0,
            thread: 0,
        };
        let merged = |lives: &[Option<Need>], root: &[usize]| {
            let mut merged: Vec<Option<Need>> = vec![None; lives.len()];
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
        let found = allocator.find(&[values, gradients, lives.kept].concat());
        let values: Vec<Place> = value_roots.iter().map(|&v| found[v]).collect();
        let gradients: Vec<Place> = gradient_roots.iter().map(|&v| found[n + v]).collect();
        let operands = (graph.ops.iter().zip(manners).zip(&found[2 * n..]))
            .map(|((op, manner), kept)| Operands::new(op, manner, &values, &gradients, *kept))
            .collect();
        Memory {
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
fn manners(graph: &Graph, purpose: Purpose) -> Vec<Manner> {
    // Whether a value is read again, as it is, by the backward pass of the operation that computed it.
    let mut read_again = vec![false; graph.values.len()];
    let mut manners = Vec::with_capacity(graph.ops.len());
    // The loss may read the last layer's input.
    if let (true, Some((_, last))) = (purpose.training, graph.last_layer()) {
        read_again[last.x] = true;
    }
    for op in &graph.ops {
        let manner = match op {
            Op::Layer(op) if op.plan.view => {
                read_again[op.y] |= read_again[op.x];
                Manner::View
            }
            Op::Layer(op) => {
                let free = !(purpose.training && read_again[op.x]);
                read_again[op.y] |= op.plan.reads_output;
                if op.layer.in_place().is_some()
                    && free
                    && op.sizes.is_empty()
                    && op.plan.output.size() == op.input.size()
                {
                    Manner::InPlace
                } else {
                    Manner::Apart
                }
            }
            Op::Turn { x, y } if !purpose.interleaved => {
                read_again[*y] |= read_again[*x];
                Manner::View
            }
            _ => Manner::Apart,
        };
        manners.push(manner);
    }
    let apart = |v: usize, ends_of: fn(&Op) -> Vec<usize>| {
        let mut there = graph
            .ops
            .iter()
            .zip(&manners)
            .filter(|(op, _)| ends_of(op).contains(&v));
        there.all(|(_, manner)| *manner == Manner::Apart)
    };
    let joints = graph.ops.iter().map(|op| match op {
        // Nobody may write over what the other branch reads.
        Op::Fork { y, .. } => y.iter().all(|&v| apart(v, |op| ends(op).0)),
        // Nor over the gradient of what the other branch gave.
        Op::Add { x, .. } => x.iter().all(|&v| apart(v, |op| ends(op).1)),
        _ => false,
    });
    let joints: Vec<bool> = joints.collect();
    for (manner, _) in manners.iter_mut().zip(joints).filter(|(_, view)| *view) {
        *manner = Manner::View;
    }
    manners
}

/// For each value the one whose memory it is in, itself or another; and for each gradient.
fn roots(graph: &Graph, manners: &[Manner]) -> [Vec<usize>; 2] {
    let mut values: Vec<usize> = (0..graph.values.len()).collect();
    let mut gradients = values.clone();
    let join = |roots: &mut Vec<usize>, a: usize, b: usize| {
        let (to, from) = (roots[a], roots[b]);
        roots
            .iter_mut()
            .filter(|root| **root == from)
            .for_each(|root| *root = to);
    };
    for (op, _) in graph.ops.iter().zip(manners).filter(|(_, m)| **m != Manner::Apart) {
        let (x, y) = ends(op);
        match op {
            Op::Layer(_) | Op::Turn { .. } => {
                join(&mut values, x[0], y[0]);
                join(&mut gradients, x[0], y[0]);
            }
            Op::Fork { .. } => y.iter().for_each(|&y| join(&mut values, x[0], y)),
            Op::Add { .. } => [x[1], y[0]].iter().for_each(|&v| join(&mut gradients, x[0], v)),
        }
    }
    [values, gradients]
}

/// The values that an operation reads and writes.
fn ends(op: &Op) -> (Vec<usize>, Vec<usize>) {
    match op {
        Op::Layer(op) => (vec![op.x], vec![op.y]),
        Op::Turn { x, y } => (vec![*x], vec![*y]),
        Op::Fork { x, y } => (vec![*x], y.to_vec()),
        Op::Add { x, y } => (x.to_vec(), vec![*y]),
    }
}

/// When each value, each gradient and each layer's memory is needed.
struct Lives {
    values: Vec<Option<Need>>,
    gradients: Vec<Option<Need>>,
    kept: Vec<Option<Need>>,
}

impl Lives {
    fn new(graph: &Graph, purpose: Purpose) -> Lives {
        let n = graph.ops.len();
        let back = |i: usize| 2 * n - i;
        let need = |v: usize, from: usize, to: usize| Need {
            from,
            to,
            size: graph.values[v].size,
            layout: if purpose.interleaved {
                graph.values[v].layout
            } else {
                Layout::SampleMajor
            },
        };
        let mut values: Vec<Option<Need>> = vec![None; graph.values.len()];
        let mut gradients = values.clone();
        let mut kept = vec![None; n];
        values[0] = Some(need(0, 0, if purpose.training { back(0) } else { 0 }));
        for (i, op) in graph.ops.iter().enumerate() {
            let (x, y) = ends(op);
            for &v in &y {
                values[v] = Some(need(v, i, if purpose.training { back(i) } else { i }));
                if purpose.training && graph.values[v].needs_gradient {
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
            if purpose.training && op.plan.kept > 0 {
                kept[i] = Some(Need {
                    from: i,
                    to: back(i),
                    size: op.plan.kept,
                    layout: need(op.y, i, i).layout,
                });
            }
            if purpose.training && op.plan.gradient == GradientScope::WholeBatch {
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
        Lives {
            values,
            gradients,
            kept,
        }
    }
}

/// Gives out places, the lowest that is free all the time that it is needed.
struct Allocator {
    purpose: Purpose,
    /// What has been given out: where, and when it is needed.
    taken: Vec<(Home, Range<usize>, Need)>,
    block: usize,
    thread: usize,
}

impl Allocator {
    fn find(&mut self, needs: &[Option<Need>]) -> Vec<Place> {
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

    fn place(&mut self, need: Need) -> Place {
        let home = if need.to == FOREVER || !self.purpose.in_one_go {
            Home::Block
        } else {
            Home::Thread
        };
        let length = (need.size * need.layout.room(self.purpose.capacity)).next_multiple_of(LINE);
        let mut busy: Vec<&Range<usize>> = self
            .taken
            .iter()
            .filter(|(other, _, taken)| *other == home && taken.from <= need.to && need.from <= taken.to)
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
        let end = match home {
            Home::Block => &mut self.block,
            Home::Thread => &mut self.thread,
        };
        *end = (*end).max(start + length);
        self.taken.push((home, start..start + length, need));
        Place {
            home,
            start,
            size: need.size,
            layout: need.layout,
        }
    }
}
