//! From a batch's values and gradients to new parameters.
//!
//! The parameters are divided into shards: some rows of one parameter each. A shard's gradient is computed by one thread, over
//! the whole batch and in one order, and the optimizer is applied to it while it is in that thread's cache. So gradients are
//! never reduced across threads, and the numbers don't depend on how many there are.

use std::ops::Range;
use std::time::{Duration, Instant};

use gradus_kernels::Cuts;

use super::block::Block;
use super::hands::Hands;
use crate::Float;
use crate::graph::{Graph, LayerOp, Op};
use crate::layer::{BatchGradient, GradientScope};
use crate::optim::{Clip, MAX_SLOTS, Optimizer, Step};

/// About how many values a shard has: few enough for a thread's cache, enough for a matrix product.
const SHARD: usize = 16_384;

/// Some rows of one parameter.
#[derive(Debug, Clone)]
struct Shard {
    /// The operation whose layer has the parameter.
    op: usize,
    parameter: usize,
    rows: Range<usize>,
    /// Its place in its layer's parameters.
    within: Range<usize>,
    decays: bool,
}

/// The gradients, and what the optimizer remembers.
#[derive(Debug)]
pub(crate) struct Update {
    shards: Vec<Shard>,
    gradients: Vec<Float>,
    gradient_cuts: Cuts,
    parameter_cuts: Cuts,
    /// One for each of the optimizer's slots.
    slots: Vec<Slot>,
    /// The sum of squares of each shard's gradient, for clipping by norm.
    squares: Vec<f64>,
    square_cuts: Cuts,
    /// How long each shard took, if somebody wants to know; else empty.
    spent: Vec<Duration>,
    spent_cuts: Cuts,
}

/// One value for each parameter, that the optimizer remembers.
#[derive(Debug)]
struct Slot {
    values: Vec<Float>,
    cuts: Cuts,
}

/// How parameters follow their gradients in one step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule<'a> {
    pub optimizer: &'a dyn Optimizer,
    pub clip: Option<Clip>,
    /// The step's number, from 1, and its learning rate.
    pub number: u64,
    pub learning_rate: Float,
}

impl Update {
    /// Memory for the gradients of a network and for so many slots.
    pub fn new(graph: &Graph, slots: usize) -> Self {
        let (shards, bounds) = shards(graph);
        Update {
            gradients: vec![0.0; graph.parameters],
            gradient_cuts: Cuts::new(bounds.clone()),
            parameter_cuts: Cuts::new(bounds.clone()),
            slots: (0..slots)
                .map(|_| Slot {
                    values: vec![0.0; graph.parameters],
                    cuts: Cuts::new(bounds.clone()),
                })
                .collect(),
            squares: vec![0.0; shards.len()],
            square_cuts: Cuts::singles(shards.len()),
            spent: Vec::new(),
            spent_cuts: Cuts::singles(0),
            shards,
        }
    }

    /// Begins to count how long the shards take.
    pub fn profile(&mut self) {
        self.spent = vec![Duration::ZERO; self.shards.len()];
        self.spent_cuts = Cuts::singles(self.shards.len());
    }

    /// Each shard's operation, and how long it took.
    pub fn spent(&self) -> impl Iterator<Item = (usize, Duration)> {
        self.shards.iter().map(|shard| shard.op).zip(self.spent.iter().copied())
    }

    /// The gradients of the last step.
    pub fn gradients(&self) -> &[Float] {
        &self.gradients
    }

    /// Computes all gradients from the blocks of a training pass.
    pub fn compute(&mut self, graph: &Graph, blocks: &[Block], hands: &mut Hands) {
        let (gradients, shards) = (self.gradient_cuts.cut(&mut self.gradients), &self.shards);
        hands.each(shards.len(), &|task, scratch| {
            shards[task].gradient(graph, blocks, &mut gradients.take(task), scratch);
        });
    }

    /// Computes all gradients and lets the optimizer follow them.
    #[allow(clippy::too_many_arguments)]
    pub fn apply(
        &mut self,
        graph: &Graph,
        blocks: &[Block],
        hands: &mut Hands,
        parameters: &mut [Float],
        rule: Rule<'_>,
    ) {
        let Rule {
            optimizer,
            clip,
            number,
            learning_rate,
        } = rule;
        // The norm is over all gradients: they have to be there first.
        let scale = match clip {
            Some(clip @ Clip::Norm(_)) => {
                self.compute(graph, blocks, hands);
                Some(clip.scale(self.norm(hands)))
            }
            _ => None,
        };
        let shards = &self.shards;
        let gradients = self.gradient_cuts.cut(&mut self.gradients);
        let parameters = self.parameter_cuts.cut(parameters);
        let mut slots = self.slots.iter_mut();
        let slots: [_; MAX_SLOTS] = std::array::from_fn(|_| slots.next().map(|slot| slot.cuts.cut(&mut slot.values)));
        let timed = !self.spent.is_empty();
        let spent = self.spent_cuts.cut(&mut self.spent);
        hands.each(shards.len(), &|task, scratch| {
            let started = timed.then(Instant::now);
            let shard = &shards[task];
            let mut dw = gradients.take(task);
            if scale.is_none() {
                shard.gradient(graph, blocks, &mut dw, scratch);
            }
            match (clip, scale) {
                (Some(clip @ Clip::Value(_)), _) => clip.clamp(&mut dw),
                (_, Some(scale)) if scale < 1.0 => dw.iter_mut().for_each(|g| *g *= scale),
                _ => {}
            }
            let mut held: [_; MAX_SLOTS] = std::array::from_fn(|i| slots[i].as_ref().map(|slot| slot.take(task)));
            let mut state = held.each_mut().map(|slot| slot.as_deref_mut().unwrap_or_default());
            let used = slots.iter().flatten().count();
            let step = Step {
                number,
                learning_rate,
                decays: shard.decays,
            };
            optimizer.update(step, &mut parameters.take(task), &dw, &mut state[..used]);
            if let Some(started) = started {
                spent.take(task)[0] += started.elapsed();
            }
        });
    }

    /// The Euclidean norm of all gradients.
    fn norm(&mut self, hands: &mut Hands) -> f64 {
        let gradients = self.gradient_cuts.cut(&mut self.gradients);
        let squares = self.square_cuts.cut(&mut self.squares);
        hands.each(self.shards.len(), &|task, _| {
            squares.take(task)[0] = gradients.take(task).iter().map(|&g| f64::from(g) * f64::from(g)).sum();
        });
        self.squares.iter().sum::<f64>().sqrt()
    }
}

impl Shard {
    fn gradient(&self, graph: &Graph, blocks: &[Block], gradient: &mut [Float], scratch: &mut [Float]) {
        let op = layer(graph, self.op);
        gradient.fill(0.0);
        match op.plan.gradient {
            GradientScope::WholeBatch => {
                for block in blocks {
                    op.layer.batch_gradient(BatchGradient {
                        parameter: self.parameter,
                        rows: self.rows.clone(),
                        gradient,
                        samples: block.samples,
                        input: &op.input,
                        output: &op.plan.output,
                        x: block.value(op.x),
                        dy: block.gradient(op.y),
                        scratch,
                    });
                }
            }
            GradientScope::PerBlock => {
                let start = op.partials.start;
                for block in blocks {
                    let part = &block.partials[start + self.within.start..start + self.within.end];
                    for (sum, part) in gradient.iter_mut().zip(part) {
                        *sum += part;
                    }
                }
            }
        }
    }
}

/// All shards, in the order of the parameters, and where each begins.
fn shards(graph: &Graph) -> (Vec<Shard>, Vec<usize>) {
    let (mut shards, mut bounds) = (Vec::new(), vec![0]);
    for (i, op) in graph.ops.iter().enumerate() {
        let Op::Layer(op) = op else { continue };
        let mut start = 0;
        for (p, parameter) in op.plan.parameters.iter().enumerate() {
            let rows = parameter.shape.first().copied().unwrap_or(1).max(1);
            let width = op.sizes[p] / rows;
            let step = (SHARD / width.max(1)).clamp(1, rows);
            for first in (0..rows).step_by(step) {
                let range = first..(first + step).min(rows);
                let within = start + range.start * width..start + range.end * width;
                bounds.push(op.parameters.start + within.end);
                shards.push(Shard {
                    op: i,
                    parameter: p,
                    rows: range,
                    within,
                    decays: parameter.decays,
                });
            }
            start += op.sizes[p];
        }
    }
    (shards, bounds)
}

fn layer(graph: &Graph, i: usize) -> &LayerOp {
    match &graph.ops[i] {
        Op::Layer(op) => op,
        _ => unreachable!("only layers have parameters"),
    }
}
