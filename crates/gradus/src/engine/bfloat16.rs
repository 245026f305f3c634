//! What training in bfloat16 needs beside the network's memory: copies of the weights, and what blocks keep.

use std::ops::Range;

use gradus_kernels::bfloat16::{Pair, pairs, pairs_mut};
use gradus_kernels::{Buffer, Partition};

use super::workers::Workers;
use crate::Float;
use crate::graph::{Graph, LayerOp, Op};
use crate::layer::Tensors;
use crate::layer::advanced::Bfloat16;

/// Whether a network has layers that multiply in bfloat16.
pub(super) fn is_used_by(graph: &Graph) -> bool {
    graph.layers().any(|op| op.run.bfloat16().is_some())
}

/// The weights in bfloat16, of the layers that multiply in it. They are made from the network's at every step, since anybody may
/// have changed those.
#[derive(Debug)]
pub(crate) struct Copies {
    /// Where that of each operation lies.
    places: Vec<Range<usize>>,
    /// The parts that one thread makes each: the operation, and which of its parts.
    parts: Vec<(usize, usize)>,
    cuts: Partition,
    memory: Buffer,
}

impl Copies {
    /// Memory for them.
    pub fn new(graph: &Graph) -> Self {
        let (mut places, mut parts, mut bounds, mut end) = (Vec::new(), Vec::new(), vec![0], 0);
        for (i, op) in graph.ops.iter().enumerate() {
            let start = end;
            if let Some((op, layer)) = bfloat16(op) {
                let sizes = layer.weights(graph.values[op.x].needs_gradient);
                for (part, size) in sizes.into_iter().enumerate() {
                    parts.push((i, part));
                    end += size;
                    bounds.push(end);
                }
            }
            places.push(start..end);
        }
        Copies {
            places,
            parts,
            cuts: Partition::new(bounds),
            memory: Buffer::zeros(end),
        }
    }

    /// Makes them, on all threads.
    pub fn make(&mut self, graph: &Graph, parameters: &[Float], workers: &mut Workers) {
        let (parts, size) = (&self.parts, self.memory.len());
        let copies = self.cuts.cut(&mut pairs_mut(&mut self.memory)[..size]);
        workers.each(parts.len(), &|task, _, _| {
            let (i, part) = parts[task];
            if let Some((op, layer)) = bfloat16(&graph.ops[i]) {
                let parameters = Tensors::new(&parameters[op.parameters.clone()], &op.sizes);
                layer.convert(parameters, part, &mut copies.take(task));
            }
        });
    }

    /// That of operation `i`; empty if it has none.
    pub fn of(&self, i: usize) -> &[Pair] {
        &pairs(&self.memory)[self.places[i].clone()]
    }
}

/// What the layers of a block keep in bfloat16, from their passes to the update.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    /// Where that of each operation lies; nothing at all in a block that doesn't use bfloat16.
    places: Vec<Range<usize>>,
    memory: Buffer,
}

impl Pairs {
    /// Memory for blocks of `capacity` samples.
    pub fn new(graph: &Graph, capacity: usize) -> Self {
        let (mut places, mut end) = (Vec::new(), 0);
        for op in &graph.ops {
            let start = end;
            if let Some((_, layer)) = bfloat16(op) {
                end += layer.saved(capacity);
            }
            places.push(start..end);
        }
        Pairs {
            places,
            memory: Buffer::zeros(end),
        }
    }

    /// That of operation `i`; empty if it doesn't multiply in bfloat16 here.
    pub fn of(&self, i: usize) -> &[Pair] {
        let place = self.places.get(i).cloned().unwrap_or_default();
        &pairs(&self.memory)[place]
    }

    /// The layer of operation `i` if it multiplies in bfloat16 here, and what it keeps.
    pub fn of_mut<'a>(&'a mut self, i: usize, op: &'a LayerOp) -> Option<(&'a dyn Bfloat16, &'a mut [Pair])> {
        let place = self.places.get(i)?.clone();
        Some((op.run.bfloat16()?, &mut pairs_mut(&mut self.memory)[place]))
    }
}

/// The layer of an operation, if it multiplies in bfloat16.
fn bfloat16(op: &Op) -> Option<(&LayerOp, &dyn Bfloat16)> {
    match op {
        Op::Layer(op) => Some((op, op.run.bfloat16()?)),
        _ => None,
    }
}
