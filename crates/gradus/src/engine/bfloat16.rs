//! The copies of weights in bfloat16.

use std::ops::Range;

use gradus_kernels::bfloat16::{Pair, pairs, pairs_mut};
use gradus_kernels::{Buffer, Cuts};

use super::hands::Hands;
use crate::Float;
use crate::graph::{Graph, Op};
use crate::layer::Tensors;

/// The copies of a network's weights in bfloat16, which a trainer makes anew at every step.
#[derive(Debug)]
pub(crate) struct Copies {
    /// For each operation, where its copy lies, and where its pairs lie in a block.
    ops: Vec<Option<[Range<usize>; 2]>>,
    /// How many pairs a block has.
    pub block: usize,
    /// The operation and the part of each piece.
    tasks: Vec<(usize, usize)>,
    memory: Buffer,
    cuts: Cuts,
}

impl Copies {
    /// Memory for the copies of a network's weights, and a plan for blocks of so many samples.
    pub fn new(graph: &Graph, capacity: usize) -> Self {
        let (mut tasks, mut bounds, mut block) = (Vec::new(), vec![0], 0);
        let mut end = 0;
        let ops = (graph.ops.iter().enumerate())
            .map(|(i, op)| {
                let Op::Layer(op) = op else { return None };
                let layer = op.layer.bfloat16()?;
                let start = end;
                for (part, size) in layer
                    .weights(&op.input, graph.values[op.x].needs_gradient)
                    .into_iter()
                    .enumerate()
                {
                    end += size;
                    tasks.push((i, part));
                    bounds.push(end);
                }
                let first = block;
                block += layer.block(&op.input, capacity).next_multiple_of(16);
                Some([start..end, first..block])
            })
            .collect();
        Copies {
            ops,
            block,
            tasks,
            memory: Buffer::zeros(end),
            cuts: Cuts::new(bounds),
        }
    }

    /// Makes them from these parameters.
    pub fn make(&mut self, graph: &Graph, parameters: &[Float], hands: &mut Hands) {
        let end = self.memory.len();
        let (tasks, copies) = (&self.tasks, self.cuts.cut(&mut pairs_mut(&mut self.memory)[..end]));
        hands.each(tasks.len(), &|task, _| {
            let (i, part) = tasks[task];
            let Op::Layer(op) = &graph.ops[i] else { return };
            if let Some(layer) = op.layer.bfloat16() {
                let parameters = Tensors::new(&parameters[op.parameters.clone()], &op.sizes);
                layer.convert(&op.input, parameters, part, &mut copies.take(task));
            }
        });
    }

    /// The copy of operation `i`, and where its pairs lie in a block, if it multiplies in bfloat16.
    pub fn of(&self, i: usize) -> Option<(&[Pair], Range<usize>)> {
        let [copy, block] = self.ops[i].clone()?;
        Some((&pairs(&self.memory)[copy], block))
    }
}
