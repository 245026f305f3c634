//! The memory of a block of samples, and the passes over it.

use std::ops::Range;

use gradus_kernels::Buffer;

use crate::graph::{Graph, LayerOp, Op, Value};
use crate::layer::{Backward, Forward, LayerRandom, Tensors, TensorsMut};
use crate::network::Weights;
use crate::{Error, Float, Result};

/// The parameters and state of a network, and the statistics of the batch, as a pass reads them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lent<'a> {
    pub graph: &'a Graph,
    pub weights: &'a Weights,
    pub statistics: &'a [Float],
    pub backward_statistics: &'a [Float],
    /// Samples in the whole batch.
    pub batch: usize,
    pub seed: u64,
    pub step: u64,
}

/// Writes the input of the sample at a place in the batch; the vector is memory for augmentation.
pub(crate) type Read<'a> = &'a (dyn Fn(usize, &mut [Float], &mut Vec<Float>) -> Result<()> + Sync);

/// The memory of a block of samples: all values of its forward pass, their gradients, and what its layers keep.
#[derive(Debug)]
pub(crate) struct Block {
    /// The place of its first sample in the batch.
    pub first: usize,
    /// How many samples it holds now, and at most.
    pub samples: usize,
    capacity: usize,
    values: Buffer,
    gradients: Buffer,
    kept: Buffer,
    /// This block's part of the gradients that are summed over blocks.
    pub partials: Buffer,
    /// This block's part of the statistics over the batch.
    pub statistics: Buffer,
    pub backward_statistics: Buffer,
    /// The loss of each sample.
    pub losses: Vec<Float>,
    /// Memory for augmentation.
    pub augment: Vec<Float>,
    /// What went wrong with this block's samples.
    pub error: Option<Error>,
}

impl Block {
    /// Memory for `capacity` samples; for a forward pass alone unless `training`.
    pub fn new(graph: &Graph, capacity: usize, training: bool) -> Self {
        let if_training = |size: usize| Buffer::zeros(if training { size } else { 0 });
        Block {
            first: 0,
            samples: 0,
            capacity,
            values: Buffer::zeros(graph.values_size * capacity),
            gradients: if_training(graph.values_size * capacity),
            kept: if_training(graph.kept * capacity),
            partials: if_training(graph.partials),
            statistics: if_training(graph.statistics),
            backward_statistics: if_training(graph.backward_statistics),
            losses: vec![0.0; capacity],
            augment: Vec::new(),
            error: None,
        }
    }

    /// The samples' values of number `v`.
    pub fn value(&self, graph: &Graph, v: usize) -> &[Float] {
        &self.values[place(graph.values[v], self.capacity, self.samples)]
    }

    /// Lets `read` write the input of each sample, given its place in the batch, until one fails.
    pub fn fill(&mut self, graph: &Graph, read: Read<'_>) {
        let size = graph.values[0].size;
        let input = &mut self.values[place(graph.values[0], self.capacity, self.samples)];
        for (i, x) in input.chunks_exact_mut(size).enumerate() {
            if let Err(error) = read(self.first + i, x, &mut self.augment) {
                self.error = Some(error);
                return;
            }
        }
    }

    /// The gradients with respect to the samples' values of number `v`.
    pub fn gradient(&self, graph: &Graph, v: usize) -> &[Float] {
        &self.gradients[place(graph.values[v], self.capacity, self.samples)]
    }

    /// The values of number `v`, their gradients and the losses: what a loss reads and writes.
    pub fn loss_views(&mut self, graph: &Graph, v: usize) -> (&[Float], &mut [Float], &mut [Float]) {
        let at = place(graph.values[v], self.capacity, self.samples);
        let gradients = if self.gradients.is_empty() { 0..0 } else { at.clone() };
        (
            &self.values[at],
            &mut self.gradients[gradients],
            &mut self.losses[..self.samples],
        )
    }

    /// Runs these operations forward.
    pub fn forward(&mut self, lent: Lent<'_>, ops: Range<usize>, training: bool, scratch: &mut [Float]) {
        let (n, capacity) = (self.samples, self.capacity);
        let at = |v: usize| place(lent.graph.values[v], capacity, n);
        for op in &lent.graph.ops[ops] {
            match op {
                Op::Layer(op) => {
                    let [x, y] = disjoint(&mut self.values, [at(op.x), at(op.y)]);
                    let kept = if training { scaled(&op.kept, capacity, n) } else { 0..0 };
                    op.layer.forward(Forward {
                        training,
                        samples: n,
                        input: &op.input,
                        output: &op.plan.output,
                        x,
                        y,
                        parameters: parameters(op, &lent.weights.parameters),
                        state: Tensors::new(&lent.weights.state[op.state.clone()], &op.state_sizes),
                        statistics: if training {
                            &lent.statistics[op.statistics.clone()]
                        } else {
                            &[]
                        },
                        kept: &mut self.kept[kept],
                        scratch: &mut scratch[..op.plan.scratch + n * op.plan.scratch_per_sample],
                        random: LayerRandom {
                            seed: lent.seed,
                            step: lent.step,
                            layer: op.number as u64,
                            first_sample: self.first as u64,
                        },
                    });
                }
                Op::Fork { x, y } => {
                    let [x, y0, y1] = disjoint(&mut self.values, [at(*x), at(y[0]), at(y[1])]);
                    y0.copy_from_slice(x);
                    y1.copy_from_slice(x);
                }
                Op::Add { x, y } => {
                    let [x0, x1, y] = disjoint(&mut self.values, [at(x[0]), at(x[1]), at(*y)]);
                    for ((y, &a), &b) in y.iter_mut().zip(&*x0).zip(&*x1) {
                        *y = a + b;
                    }
                }
            }
        }
    }

    /// Runs these operations backward, the last first.
    pub fn backward(&mut self, lent: Lent<'_>, ops: Range<usize>, scratch: &mut [Float]) {
        let (n, capacity) = (self.samples, self.capacity);
        let values = &lent.graph.values;
        let at = |v: usize| place(values[v], capacity, n);
        for op in lent.graph.ops[ops].iter().rev() {
            match op {
                Op::Layer(op) if values[op.y].needs_gradient => {
                    let [dx, dy] = disjoint(&mut self.gradients, [at(op.x), at(op.y)]);
                    op.layer.backward(Backward {
                        samples: n,
                        input: &op.input,
                        output: &op.plan.output,
                        x: &self.values[at(op.x)],
                        y: &self.values[at(op.y)],
                        dy,
                        dx: values[op.x].needs_gradient.then_some(dx),
                        parameters: parameters(op, &lent.weights.parameters),
                        gradients: gradients(op, &mut self.partials),
                        statistics: &lent.statistics[op.statistics.clone()],
                        backward_statistics: &lent.backward_statistics[op.backward_statistics.clone()],
                        block_statistics: &self.backward_statistics[op.backward_statistics.clone()],
                        batch: lent.batch,
                        kept: &self.kept[scaled(&op.kept, capacity, n)],
                        scratch: &mut scratch[..op.plan.scratch + n * op.plan.scratch_per_sample],
                    });
                }
                Op::Layer(_) => {}
                Op::Fork { x, y } if values[*x].needs_gradient => {
                    let [dx, dy0, dy1] = disjoint(&mut self.gradients, [at(*x), at(y[0]), at(y[1])]);
                    for ((dx, &a), &b) in dx.iter_mut().zip(&*dy0).zip(&*dy1) {
                        *dx = a + b;
                    }
                }
                Op::Fork { .. } => {}
                Op::Add { x, y } => {
                    let [dx0, dx1, dy] = disjoint(&mut self.gradients, [at(x[0]), at(x[1]), at(*y)]);
                    dx0.copy_from_slice(dy);
                    dx1.copy_from_slice(dy);
                }
            }
        }
    }

    /// Reduces this block's input of a layer across the batch to statistics.
    pub fn gather(&mut self, op: &LayerOp, graph: &Graph) {
        if let Some(across) = op.layer.across_batch() {
            let x = &self.values[place(graph.values[op.x], self.capacity, self.samples)];
            across.gather(&op.input, self.samples, x, &mut self.statistics[op.statistics.clone()]);
        }
    }

    /// Reduces this block's input of a layer across the batch, and the gradient of its output, to sums.
    pub fn gather_backward(&mut self, op: &LayerOp, graph: &Graph, statistics: &[Float]) {
        if let Some(across) = op.layer.across_batch() {
            across.gather_backward(
                &op.input,
                self.samples,
                &self.values[place(graph.values[op.x], self.capacity, self.samples)],
                &self.gradients[place(graph.values[op.y], self.capacity, self.samples)],
                &statistics[op.statistics.clone()],
                &mut self.backward_statistics[op.backward_statistics.clone()],
            );
        }
    }

    /// The first layer whose output is not finite, and whether its parameters are the cause.
    pub fn first_not_finite<'g>(&self, graph: &'g Graph, all: &[Float]) -> Option<(&'g LayerOp, bool)> {
        let finite = |values: &[Float]| values.iter().all(|v| v.is_finite());
        graph.layers().find_map(|op| {
            let parameters_finite = finite(&all[op.parameters.clone()]);
            let outputs_finite = finite(self.value(graph, op.y));
            (!parameters_finite || !outputs_finite).then_some((op, !parameters_finite))
        })
    }
}

fn parameters<'a>(op: &'a LayerOp, all: &'a [Float]) -> Tensors<'a> {
    Tensors::new(&all[op.parameters.clone()], &op.sizes)
}

/// The block's own gradients of a layer; none if they are computed over the whole batch.
fn gradients<'a>(op: &'a LayerOp, partials: &'a mut [Float]) -> TensorsMut<'a> {
    let sizes = if op.partials.is_empty() { &[][..] } else { &op.sizes };
    TensorsMut::new(&mut partials[op.partials.clone()], sizes)
}

/// Where a value of `n` samples lies in a block with room for `capacity`.
fn place(value: Value, capacity: usize, n: usize) -> Range<usize> {
    let start = value.offset * capacity;
    start..start + value.size * n
}

/// Where so many values for each of `n` samples lie in a block with room for `capacity`.
fn scaled(range: &Range<usize>, capacity: usize, n: usize) -> Range<usize> {
    let start = range.start * capacity;
    start..start + range.len() * n
}

/// Several ranges of one slice, none of which overlap.
fn disjoint<const N: usize>(slice: &mut [Float], ranges: [Range<usize>; N]) -> [&mut [Float]; N] {
    slice.get_disjoint_mut(ranges).expect("values don't overlap")
}
