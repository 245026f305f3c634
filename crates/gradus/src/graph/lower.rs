//! The second pass of building: the tree of bound layers becomes operations on values.
//!
//! It gives every value its number, in the order in which they are computed, and chooses its layout. A layer that prefers samples
//! side by side gets them so, one that takes either gets them as they are, and where a layer wants the other layout an
//! [`Op::Reorder`] is put before it.

use std::ops::Range;

use super::{Bound, Graph, LayerOp, Op, Value};
use crate::blocks::Join;
use crate::layer::OutputKind;
use crate::layer::advanced::{Layout, Layouts};
use crate::tree::{Block, Node};

impl Graph {
    /// Adds the operations of a whole network. Its output's samples lie one after the other.
    pub(super) fn lower(&mut self, layers: Vec<Node<Bound>>) {
        let x = self.value(self.input.size(), Layout::SampleMajor, false);
        let is_view = |node: &Node<Bound>| matches!(node, Node::Layer(layer) if layer.bound.is_view());
        let last = layers.iter().rposition(|node| !is_view(node));
        let (tree, y) = self.add_row(x, layers, last);
        self.relayout(y, Layout::SampleMajor);
        self.tree = tree;
    }

    /// Adds the operations of layers in a row; gives the number of their output. The layer at the place `last` gives the network's
    /// output, in whatever shape.
    fn add_row(&mut self, mut x: usize, layers: Vec<Node<Bound>>, last: Option<usize>) -> (Vec<Node<usize>>, usize) {
        let mut tree = Vec::with_capacity(layers.len());
        for (i, node) in layers.into_iter().enumerate() {
            let lowered;
            (lowered, x) = match node {
                Node::Layer(layer) => self.add_layer(x, layer, last == Some(i)),
                Node::Block(block) => self.add_block(x, block),
            };
            tree.push(lowered);
        }
        (tree, x)
    }

    fn add_layer(&mut self, x: usize, layer: Bound, is_last: bool) -> (Node<usize>, usize) {
        let Bound {
            layer,
            bound,
            run,
            path,
            label,
            input,
        } = layer;
        let scratch = run.scratch();
        let sizes: Vec<usize> = bound.parameters.iter().map(|p| p.shape.size()).collect();
        let state_sizes: Vec<usize> = bound.state.iter().map(|s| s.shape.size()).collect();
        let parameters = sizes.iter().sum();
        let layouts = if bound.is_view() {
            Layouts::Either
        } else {
            run.layouts()
        };
        // The loss reads samples one after the other, be it the network's output or the input of its last activation. What is a
        // function of each value, or gives probabilities, works on them as well.
        let gives_probabilities = matches!(bound.output_kind, OutputKind::Probabilities | OutputKind::Distribution);
        let works_on_any = layouts == Layouts::Either && bound.parameters.is_empty() || gives_probabilities;
        let layout = match layouts {
            Layouts::SampleMajor => Layout::SampleMajor,
            _ if is_last && works_on_any => Layout::SampleMajor,
            Layouts::Either => self.values[x].layout,
            Layouts::PreferInterleaved => Layout::Interleaved,
        };
        let x = self.relayout(x, layout);
        let needs_gradient = self.values[x].needs_gradient || parameters > 0;
        let y = self.value(bound.output.size(), layout, needs_gradient);
        let partials = if run.whole_batch().is_none() { parameters } else { 0 };
        let across = run.across_batch();
        let op = LayerOp {
            parameters: take(&mut self.parameters, parameters),
            state: take(&mut self.state, state_sizes.iter().sum()),
            partials: take(&mut self.partials, partials),
            statistics: take(&mut self.statistics, across.map_or(0, |a| a.statistics())),
            sums: take(&mut self.sums, across.map_or(0, |a| a.sums())),
            number: self.layers,
            layer,
            run,
            scratch,
            path,
            label,
            input,
            x,
            y,
            sizes,
            state_sizes,
            bound,
        };
        self.layers += 1;
        self.saved += op.bound.saved;
        self.scratch = self.scratch.max(scratch.fixed);
        self.scratch_per_sample = self.scratch_per_sample.max(scratch.per_sample);
        self.ops.push(Op::Layer(Box::new(op)));
        (Node::Layer(self.ops.len() - 1), y)
    }

    fn add_block(&mut self, x: usize, block: Block<Bound>) -> (Node<usize>, usize) {
        let join = block.join;
        let inputs = self.fork(x, block.branches.len());
        let (mut branches, mut outputs) = (Vec::new(), Vec::new());
        for (layers, x) in block.branches.into_iter().zip(inputs) {
            let (branch, y) = self.add_row(x, layers, None);
            branches.push(branch);
            outputs.push(y);
        }
        let layout = self.values[outputs[0]].layout;
        outputs.iter_mut().for_each(|y| *y = self.relayout(*y, layout));
        let y = match join {
            Join::Add => self.fold(&outputs, |x, y| Op::Add { x, y }),
            Join::Multiply => self.fold(&outputs, |x, y| Op::Multiply { x, y }),
            Join::Concat => self.concat(&outputs),
        };
        (Node::Block(Block { join, branches }), y)
    }

    /// The value, once for each of `readers` readers.
    fn fork(&mut self, x: usize, readers: usize) -> Vec<usize> {
        let mut rest = x;
        let mut values = Vec::with_capacity(readers);
        while values.len() + 1 < readers {
            let y = [(); 2].map(|()| self.like(rest));
            self.ops.push(Op::Fork { x: rest, y });
            values.push(y[0]);
            rest = y[1];
        }
        values.push(rest);
        values
    }

    /// The first value joined with the second, that with the third, and so on.
    fn fold(&mut self, values: &[usize], op: fn([usize; 2], usize) -> Op) -> usize {
        let mut folded = values[0];
        for &next in &values[1..] {
            // A gate is smaller than what it multiplies.
            let mut x = [folded, next];
            x.sort_by_key(|&v| std::cmp::Reverse(self.values[v].size));
            let y = self.like(x[0]);
            self.values[y].needs_gradient = self.needs_gradient(&x);
            self.ops.push(op(x, y));
            folded = y;
        }
        folded
    }

    fn concat(&mut self, values: &[usize]) -> usize {
        let size = values.iter().map(|&v| self.values[v].size).sum();
        let y = self.value(size, self.values[values[0]].layout, self.needs_gradient(values));
        let mut start = 0;
        for &x in values {
            self.ops.push(Op::CopyInto { x, y, start });
            start += self.values[x].size;
        }
        y
    }

    fn needs_gradient(&self, values: &[usize]) -> bool {
        values.iter().any(|&v| self.values[v].needs_gradient)
    }

    /// A new value.
    fn value(&mut self, size: usize, layout: Layout, needs_gradient: bool) -> usize {
        self.values.push(Value {
            size,
            layout,
            needs_gradient,
        });
        self.values_size += size;
        self.values.len() - 1
    }

    /// A new value with the size and layout of another.
    fn like(&mut self, v: usize) -> usize {
        let Value {
            size,
            layout,
            needs_gradient,
        } = self.values[v];
        self.value(size, layout, needs_gradient)
    }

    /// The value of this number, or a copy of it, in this layout.
    fn relayout(&mut self, x: usize, layout: Layout) -> usize {
        if self.values[x].layout == layout {
            return x;
        }
        let y = self.like(x);
        self.values[y].layout = layout;
        self.ops.push(Op::Reorder { x, y });
        y
    }
}

/// The next `size` places.
pub(super) fn take(end: &mut usize, size: usize) -> Range<usize> {
    let start = *end;
    *end += size;
    start..*end
}
