//! How the parameters are divided among threads: shards, and tasks of them.

use std::ops::Range;

use super::tensors::ParameterRule;
use super::{Rule, UpdateGroup};
use crate::Float;
use crate::engine::add_up;
use crate::engine::block::Block;
use crate::graph::{Graph, Op};
use crate::layer::advanced::{BatchGradient, BlockGradient};
use crate::optim::{MAX_SLOTS, Step};

/// About how many values a shard has, and a task: few enough for a thread's cache, enough for a matrix product.
const SHARD: usize = 8192;

/// Some rows of one parameter.
#[derive(Debug, Clone)]
pub(super) struct Shard {
    /// The operation whose layer has the parameter.
    pub op: usize,
    parameter: usize,
    rows: Range<usize>,
    /// Its place in its layer's parameters.
    pub within: Range<usize>,
    decays: bool,
    /// How its parameter is updated; none if it keeps its values.
    rule: Option<ParameterRule>,
}

/// Values that follow one another in a task and are updated together.
#[derive(Debug)]
pub(super) struct Run {
    pub values: Range<usize>,
    decays: bool,
    group: usize,
}

/// Shards that follow one another, for one thread.
#[derive(Debug)]
pub(super) struct Task {
    pub shards: Vec<Shard>,
    /// How the optimizers go over their values.
    pub runs: Vec<Run>,
    /// The number of their values.
    pub size: usize,
}

impl Task {
    /// Computes the gradients of those of its shards that are wanted.
    pub fn gradients(
        &self,
        graph: &Graph,
        blocks: &[Block],
        wanted: fn(&Shard) -> bool,
        gradients: &mut [Float],
        scratch: &mut [Float],
    ) {
        let mut rest = gradients;
        for shard in &self.shards {
            let gradient = rest.split_off_mut(..shard.within.len()).unwrap_or_default();
            if wanted(shard) {
                shard.gradient(graph, blocks, gradient, scratch);
            }
        }
    }

    /// Applies the optimizers to `ready` gradients, times their scale; without them, to gradients computed from the blocks.
    #[allow(clippy::too_many_arguments)]
    pub fn step(
        &self,
        graph: &Graph,
        blocks: &[Block],
        groups: &[UpdateGroup],
        rule: Rule,
        ready: Option<(Float, &mut [Float])>,
        w: &mut [Float],
        state: &mut [&mut [Float]],
        scratch: &mut [Float],
    ) {
        if self.runs.is_empty() {
            // All of it is frozen, or part of whole tensors.
            return;
        }
        if let Some((scale, dw)) = ready {
            if scale < 1.0 {
                dw.iter_mut().for_each(|g| *g *= scale);
            }
            self.update(groups, rule.number, w, dw, state);
        } else {
            let (dw, scratch) = scratch.split_at_mut(self.size);
            self.gradients(graph, blocks, Shard::is_updated_by_values, dw, scratch);
            if let Some(clip) = rule.clip {
                clip.clamp(dw);
            }
            self.update(groups, rule.number, w, dw, state);
        }
    }

    /// The sum of the squares of the gradients of its parameters that are not frozen.
    pub fn sum_of_squares(&self, gradients: &[Float]) -> f64 {
        let (mut sum, mut rest) = (0.0, gradients);
        for shard in &self.shards {
            let (gradient, after) = rest.split_at(shard.within.len());
            rest = after;
            if shard.is_trained() {
                gradient.iter().for_each(|&g| sum += f64::from(g) * f64::from(g));
            }
        }
        sum
    }

    /// Divides the values where another group begins or the optimizer has to know whether they decay, and leaves out those that are
    /// frozen or part of whole tensors.
    pub fn divide(&mut self, groups: &[UpdateGroup]) {
        let mut end = 0;
        for shard in &self.shards {
            let start = end;
            end += shard.within.len();
            let Some(ParameterRule { group, whole: false }) = shard.rule else {
                continue;
            };
            let is_same = |run: &Run| {
                let decay_alike = run.decays == shard.decays || !groups[group].optimizer.decays();
                run.values.end == start && run.group == group && decay_alike
            };
            match self.runs.last_mut() {
                Some(run) if is_same(run) => run.values.end = end,
                _ => self.runs.push(Run {
                    values: start..end,
                    decays: shard.decays,
                    group,
                }),
            }
        }
    }

    /// Applies the optimizers to the gradients.
    fn update(&self, groups: &[UpdateGroup], number: u64, w: &mut [Float], dw: &[Float], state: &mut [&mut [Float]]) {
        for Run { values, decays, group } in &self.runs {
            let group = &groups[*group];
            let step = Step {
                number,
                learning_rate: group.rate,
                decays: *decays,
            };
            let used = group.optimizer.slots();
            let mut slots = state.iter_mut();
            let mut slots: [&mut [Float]; MAX_SLOTS] =
                std::array::from_fn(|_| slots.next().map_or(&mut [][..], |slot| &mut slot[values.clone()]));
            let slots = &mut slots[..used];
            (group.optimizer).update(step, &mut w[values.clone()], &dw[values.clone()], slots);
        }
    }
}

impl Shard {
    /// Whether the optimizer is applied to it.
    pub fn is_trained(&self) -> bool {
        self.rule.is_some()
    }

    /// Whether it is part of a tensor that is updated as a whole.
    pub fn is_whole(&self) -> bool {
        self.rule.is_some_and(|rule| rule.whole)
    }

    /// Whether its values are updated each by itself.
    fn is_updated_by_values(&self) -> bool {
        self.rule.is_some_and(|rule| !rule.whole)
    }

    /// Computes its gradient.
    fn gradient(&self, graph: &Graph, blocks: &[Block], gradient: &mut [Float], scratch: &mut [Float]) {
        let op = graph.layer(self.op);
        match op.run.whole_batch() {
            Some(layer) => {
                let mut parts = blocks.iter().map(|block| BlockGradient {
                    samples: block.samples,
                    x: block.value(op.x),
                    dy: block.gradient(op.y),
                    pairs: block.pairs(self.op),
                });
                let pass = BatchGradient {
                    parameter: self.parameter,
                    rows: self.rows.clone(),
                    gradient,
                    blocks: &mut parts,
                    scratch,
                };
                let in_bfloat16 = blocks.iter().any(|block| !block.pairs(self.op).is_empty());
                match op.run.bfloat16().filter(|_| in_bfloat16) {
                    Some(layer) => layer.batch_gradient(pass),
                    None => layer.gradient(pass),
                }
            }
            None => {
                let start = op.partials.start;
                let range = start + self.within.start..start + self.within.end;
                add_up(blocks.iter().map(|block| &block.partials[range.clone()]), gradient);
            }
        }
    }
}

/// How much scratch memory a thread needs for the gradients of a task, beside what the layers want.
pub(in crate::engine) fn scratch(graph: &Graph) -> usize {
    let (tasks, _) = tasks(graph, &[]);
    tasks.iter().map(|task| task.size).max().unwrap_or(0)
}

/// All tasks, in the order of the parameters, and where each begins.
pub(super) fn tasks(graph: &Graph, rules: &[Option<ParameterRule>]) -> (Vec<Task>, Vec<usize>) {
    let (mut tasks, mut bounds): (Vec<Task>, _) = (Vec::new(), vec![0]);
    let mut end = 0;
    for shard in shards(graph, rules) {
        let size = shard.within.len();
        end += size;
        match tasks.last_mut() {
            Some(task) if task.size + size <= SHARD => {
                task.size += size;
                task.shards.push(shard);
                bounds.pop();
            }
            _ => tasks.push(Task {
                shards: vec![shard],
                runs: Vec::new(),
                size,
            }),
        }
        bounds.push(end);
    }
    (tasks, bounds)
}

/// All shards, in the order of the parameters. `rules` has one for each parameter; those beyond its end keep their values.
fn shards(graph: &Graph, rules: &[Option<ParameterRule>]) -> Vec<Shard> {
    let mut shards = Vec::new();
    let mut rules = rules.iter();
    for (i, op) in graph.ops.iter().enumerate() {
        let Op::Layer(op) = op else { continue };
        let mut start = 0;
        for (p, parameter) in op.bound.parameters.iter().enumerate() {
            let rule = rules.next().copied().flatten();
            let rows = parameter.shape.first().copied().unwrap_or(1).max(1);
            let width = op.sizes[p] / rows;
            let step = (SHARD / width.max(1)).clamp(1, rows);
            for first in (0..rows).step_by(step) {
                let range = first..(first + step).min(rows);
                shards.push(Shard {
                    op: i,
                    parameter: p,
                    within: start + range.start * width..start + range.end * width,
                    rows: range,
                    decays: parameter.decays,
                    rule,
                });
            }
            start += op.sizes[p];
        }
    }
    shards
}
