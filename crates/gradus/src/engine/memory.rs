//! Where everything of a block of samples lies.
//!
//! In time, a training step is the forward pass, the loss, and the backward pass: for n operations, operation i runs at i and
//! again at 2n − i. A value lives from the operation that computes it to that operation's backward pass, its gradient from the
//! backward pass of the operation that reads it. What is never needed at the same time may lie in the same place; so memory
//! stays small enough for the cache. What the update still needs, when all blocks are done, lives on.

use std::ops::Range;

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

/// The layout of the memory of blocks, for one network and one purpose.
#[derive(Debug)]
pub(crate) struct Memory {
    values: Vec<Place>,
    gradients: Vec<Place>,
    /// What each operation's layer keeps.
    kept: Vec<Place>,
    /// How each operation runs.
    manners: Vec<Manner>,
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
    /// Not at all: its output is its input.
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
        // Each value's root: itself, or the value whose memory it is in.
        let mut root: Vec<usize> = (0..graph.values.len()).collect();
        for (op, manner) in graph.ops.iter().zip(&manners) {
            if *manner != Manner::Apart {
                let (x, y) = ends(op);
                root[y[0]] = root[x[0]];
            }
        }
        let lives = Lives::new(graph, purpose);
        let mut places = Places {
            purpose,
            taken: Vec::new(),
            block: 0,
            thread: 0,
        };
        let merged = |lives: &[Option<Need>]| {
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
        let (n, m) = (graph.values.len(), graph.ops.len());
        let needs = [merged(&lives.values), merged(&lives.gradients), lives.kept].concat();
        let found = places.find(&needs);
        let at = |i: usize| found[i];
        Memory {
            values: (0..n).map(|v| at(root[v])).collect(),
            gradients: (0..n).map(|v| at(n + root[v])).collect(),
            kept: (0..m).map(|i| at(2 * n + i)).collect(),
            manners,
            block: places.block,
            thread: places.thread,
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

    /// The place of what operation `i` keeps.
    pub fn kept(&self, i: usize) -> Place {
        self.kept[i]
    }

    /// How operation `i` runs.
    pub fn manner(&self, i: usize) -> Manner {
        self.manners[i]
    }
}

/// How each operation runs.
fn manners(graph: &Graph, purpose: Purpose) -> Vec<Manner> {
    // Whether a value is read again, as it is, by the backward pass of the operation that computed it.
    let mut read_again = vec![false; graph.values.len()];
    let mut manners = Vec::with_capacity(graph.ops.len());
    // The loss may read the last layer's input.
    if let (true, Some(last)) = (purpose.training, graph.last_layer()) {
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
    manners
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
        let before = graph.last_layer().map_or(last, |op| op.x);
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
struct Places {
    purpose: Purpose,
    /// What has been given out: where, and when it is needed.
    taken: Vec<(Home, Range<usize>, Need)>,
    block: usize,
    thread: usize,
}

impl Places {
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
