//! From a batch's values and gradients to new parameters.
//!
//! The parameters are divided into shards: some rows of one parameter each. A shard's gradient is computed by one thread, over
//! the whole batch and in one order, and the optimizer is applied to it while it is in that thread's cache. So gradients are
//! never reduced across threads, and the numbers don't depend on how many there are. Small shards that follow one another
//! make up one task, so that a small network has only one.

use std::ops::Range;
use std::time::{Duration, Instant};

use gradus_kernels::{Buffer, Partition};

use super::add_up;
use super::block::Block;
use super::workers::Workers;
use crate::Float;
use crate::graph::{Graph, Op};
use crate::layer::advanced::{BatchGradient, BlockGradient};
use crate::optim::{Clip, MAX_SLOTS, Optimizer, Step};

/// About how many values a shard has, and a task: few enough for a thread's cache, enough for a matrix product.
const SHARD: usize = 8192;

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
    /// Whether it keeps its values.
    frozen: bool,
}

/// Values that follow one another in a task and are updated together; none of them is frozen.
#[derive(Debug)]
struct Run {
    values: Range<usize>,
    decays: bool,
}

/// Shards that follow one another, for one thread.
#[derive(Debug)]
struct Task {
    shards: Vec<Shard>,
    /// How the optimizer goes over their values.
    runs: Vec<Run>,
    /// The number of their values.
    size: usize,
}

/// The tasks, and what the optimizer remembers.
#[derive(Debug)]
pub(crate) struct Update {
    tasks: Vec<Task>,
    /// All gradients, once they have been wanted together.
    gradients: Buffer,
    gradient_cuts: Partition,
    parameter_cuts: Partition,
    /// One for each of the optimizer's slots.
    slots: Vec<Slot>,
    /// The sum of squares of each task's gradients, for clipping by norm.
    squares: Vec<f64>,
    square_cuts: Partition,
    /// How long each task took, if somebody wants to know; else empty.
    spent: Vec<Duration>,
    spent_cuts: Partition,
}

/// One value for each parameter, that the optimizer remembers.
#[derive(Debug)]
struct Slot {
    values: Buffer,
    cuts: Partition,
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
    /// Memory for the gradients of a network and for the optimizer's slots. `frozen` says of each parameter whether it keeps its values.
    pub fn new(graph: &Graph, optimizer: &dyn Optimizer, frozen: &[bool]) -> Self {
        let (mut tasks, bounds) = tasks(graph, frozen);
        tasks.iter_mut().for_each(|task| task.divide(optimizer.decays()));
        Update {
            gradients: Buffer::default(),
            gradient_cuts: Partition::new(bounds.clone()),
            parameter_cuts: Partition::new(bounds.clone()),
            slots: (0..optimizer.slots())
                .map(|_| Slot {
                    values: Buffer::zeros(graph.parameters),
                    cuts: Partition::new(bounds.clone()),
                })
                .collect(),
            squares: vec![0.0; tasks.len()],
            square_cuts: Partition::singles(tasks.len()),
            spent: Vec::new(),
            spent_cuts: Partition::singles(0),
            tasks,
        }
    }

    /// Begins to count how long the tasks take.
    pub fn profile(&mut self) {
        self.spent = vec![Duration::ZERO; self.tasks.len()];
        self.spent_cuts = Partition::singles(self.tasks.len());
    }

    /// For each shard its operation, and its share of the time that its task took.
    pub fn spent(&self) -> impl Iterator<Item = (usize, Duration)> {
        self.tasks.iter().zip(&self.spent).flat_map(|(task, spent)| {
            let share = |shard: &Shard| spent.mul_f64(shard.within.len() as f64 / task.size as f64);
            task.shards.iter().map(move |shard| (shard.op, share(shard)))
        })
    }

    /// What the optimizer remembers: for each of its slots a value for each parameter.
    pub fn slots(&self) -> impl Iterator<Item = &Buffer> {
        self.slots.iter().map(|slot| &slot.values)
    }

    /// The same, for writing.
    pub fn slots_mut(&mut self) -> impl Iterator<Item = &mut Buffer> {
        self.slots.iter_mut().map(|slot| &mut slot.values)
    }

    /// The gradients that [`compute`](Update::compute) computed last.
    pub fn gradients(&self) -> &[Float] {
        &self.gradients
    }

    /// Computes the gradients of all parameters from the blocks of a training pass.
    pub fn compute(&mut self, graph: &Graph, blocks: &[Block], workers: &mut Workers) {
        self.compute_those(graph, blocks, workers, |_| true);
    }

    /// Computes the gradients of these shards.
    fn compute_those(&mut self, graph: &Graph, blocks: &[Block], workers: &mut Workers, wanted: fn(&Shard) -> bool) {
        if self.gradients.is_empty() {
            self.gradients = Buffer::zeros(graph.parameters);
        }
        let (gradients, tasks) = (self.gradient_cuts.cut(&mut self.gradients), &self.tasks);
        workers.each(tasks.len(), &|task, _, scratch| {
            tasks[task].gradients(graph, blocks, wanted, &mut gradients.take(task), scratch);
        });
    }

    /// Applies the optimizer to the gradients of all parameters that are not frozen.
    #[allow(clippy::too_many_arguments)]
    pub fn apply(
        &mut self,
        graph: &Graph,
        blocks: &[Block],
        workers: &mut Workers,
        parameters: &mut [Float],
        rule: Rule<'_>,
    ) {
        // The norm is over all gradients: they have to be there first.
        let scale = match rule.clip {
            Some(clip @ Clip::Norm(_)) => {
                self.compute_those(graph, blocks, workers, Shard::is_trained);
                Some(clip.scale(self.norm(workers)))
            }
            _ => None,
        };
        let timed = !self.spent.is_empty();
        if let ([task], Some(scratch), false) = (&self.tasks[..], workers.single_thread_scratch(), timed) {
            // All there is, in one go.
            let (used, mut slots) = (self.slots.len(), self.slots.iter_mut());
            let mut state: [&mut [Float]; MAX_SLOTS] =
                std::array::from_fn(|_| slots.next().map_or(&mut [][..], |slot| &mut slot.values));
            let state = &mut state[..used];
            let ready = scale.map(|scale| (scale, &mut self.gradients[..]));
            task.step(graph, blocks, rule, ready, parameters, state, scratch);
            return;
        }
        let gradients = scale.map(|scale| (scale, self.gradient_cuts.cut(&mut self.gradients)));
        let tasks = &self.tasks;
        let parameters = self.parameter_cuts.cut(parameters);
        let mut slots = self.slots.iter_mut();
        let slots: [_; MAX_SLOTS] = std::array::from_fn(|_| slots.next().map(|slot| slot.cuts.cut(&mut slot.values)));
        let used = slots.iter().flatten().count();
        let spent = self.spent_cuts.cut(&mut self.spent);
        workers.each(tasks.len(), &|i, _, scratch| {
            let started = timed.then(Instant::now);
            let mut w = parameters.take(i);
            let mut held: [_; MAX_SLOTS] = std::array::from_fn(|slot| slots[slot].as_ref().map(|slot| slot.take(i)));
            let mut state = held.each_mut().map(|slot| slot.as_deref_mut().unwrap_or_default());
            let mut ready = gradients.as_ref().map(|(scale, gradients)| (*scale, gradients.take(i)));
            let ready = ready.as_mut().map(|(scale, gradients)| (*scale, &mut gradients[..]));
            tasks[i].step(graph, blocks, rule, ready, &mut w, &mut state[..used], scratch);
            if let Some(started) = started {
                spent.take(i)[0] += started.elapsed();
            }
        });
    }

    /// The Euclidean norm of the gradients of all parameters that are not frozen.
    fn norm(&mut self, workers: &mut Workers) -> f64 {
        let gradients = self.gradient_cuts.cut(&mut self.gradients);
        let (squares, tasks) = (self.square_cuts.cut(&mut self.squares), &self.tasks);
        workers.each(tasks.len(), &|task, _, _| {
            let gradients = gradients.take(task);
            let mut sum = 0.0;
            for run in &tasks[task].runs {
                gradients[run.values.clone()]
                    .iter()
                    .for_each(|&g| sum += f64::from(g) * f64::from(g));
            }
            squares.take(task)[0] = sum;
        });
        self.squares.iter().sum::<f64>().sqrt()
    }
}

impl Task {
    /// Computes the gradients of those of its shards that are wanted.
    fn gradients(
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

    /// Lets the optimizer follow the gradients: those that are `ready`, times their scale, or else those of the blocks.
    #[allow(clippy::too_many_arguments)]
    fn step(
        &self,
        graph: &Graph,
        blocks: &[Block],
        rule: Rule<'_>,
        ready: Option<(Float, &mut [Float])>,
        w: &mut [Float],
        state: &mut [&mut [Float]],
        scratch: &mut [Float],
    ) {
        if self.runs.is_empty() {
            // All of it is frozen.
            return;
        }
        if let Some((scale, dw)) = ready {
            if scale < 1.0 {
                dw.iter_mut().for_each(|g| *g *= scale);
            }
            self.update(rule, w, dw, state);
        } else {
            let (dw, scratch) = scratch.split_at_mut(self.size);
            self.gradients(graph, blocks, Shard::is_trained, dw, scratch);
            if let Some(clip) = rule.clip {
                clip.clamp(dw);
            }
            self.update(rule, w, dw, state);
        }
    }

    /// Divides the values where the optimizer has to know whether they decay, and leaves out those that are frozen.
    fn divide(&mut self, decays: bool) {
        let mut end = 0;
        for shard in &self.shards {
            let start = end;
            end += shard.within.len();
            if shard.frozen {
                continue;
            }
            match self.runs.last_mut() {
                Some(run) if run.values.end == start && (run.decays == shard.decays || !decays) => run.values.end = end,
                _ => self.runs.push(Run {
                    values: start..end,
                    decays: shard.decays,
                }),
            }
        }
    }

    /// Lets the optimizer follow the gradients.
    fn update(&self, rule: Rule<'_>, w: &mut [Float], dw: &[Float], state: &mut [&mut [Float]]) {
        for Run { values, decays } in &self.runs {
            let step = Step {
                number: rule.number,
                learning_rate: rule.learning_rate,
                decays: *decays,
            };
            let used = state.len();
            let mut slots = state.iter_mut();
            let mut slots: [&mut [Float]; MAX_SLOTS] =
                std::array::from_fn(|_| slots.next().map_or(&mut [][..], |slot| &mut slot[values.clone()]));
            let slots = &mut slots[..used];
            (rule.optimizer).update(step, &mut w[values.clone()], &dw[values.clone()], slots);
        }
    }
}

impl Shard {
    /// Whether the optimizer is applied to it.
    fn is_trained(&self) -> bool {
        !self.frozen
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
pub(super) fn scratch(graph: &Graph) -> usize {
    let (tasks, _) = tasks(graph, &[]);
    tasks.iter().map(|task| task.size).max().unwrap_or(0)
}

/// All tasks, in the order of the parameters, and where each begins.
fn tasks(graph: &Graph, frozen: &[bool]) -> (Vec<Task>, Vec<usize>) {
    let (mut tasks, mut bounds): (Vec<Task>, _) = (Vec::new(), vec![0]);
    let mut end = 0;
    for shard in shards(graph, frozen) {
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

/// All shards, in the order of the parameters. `frozen` says of each parameter whether it keeps its values; of those beyond its end,
/// that they don't.
fn shards(graph: &Graph, frozen: &[bool]) -> Vec<Shard> {
    let mut shards = Vec::new();
    let mut frozen = frozen.iter();
    for (i, op) in graph.ops.iter().enumerate() {
        let Op::Layer(op) = op else { continue };
        let mut start = 0;
        for (p, parameter) in op.bound.parameters.iter().enumerate() {
            let frozen = frozen.next().copied().unwrap_or(false);
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
                    frozen,
                });
            }
            start += op.sizes[p];
        }
    }
    shards
}
