//! From a batch's values and gradients to new parameters.
//!
//! The parameters are divided into shards: some rows of one parameter each. A shard's gradient is computed by one thread, over
//! the whole batch and in one order, and the optimizer is applied to it while it is in that thread's cache. So gradients are
//! never reduced across threads, and the numbers don't depend on how many there are. Small shards that follow one another
//! make up one task, so that a small network has only one.

mod shards;
mod tensors;

use std::sync::Arc;
use std::time::{Duration, Instant};

use gradus_kernels::{Buffer, Partition};

use super::block::Block;
use super::workers::Workers;
use crate::Float;
use crate::graph::Graph;
use crate::optim::{Clip, MAX_SLOTS, Optimizer};

pub(super) use shards::scratch;
use shards::{Shard, Task, tasks};
use tensors::{Values, WholeTensors, rules};

/// Parameters that are updated alike.
#[derive(Debug)]
pub(crate) struct UpdateGroup {
    optimizer: Arc<dyn Optimizer>,
    /// What the optimizer's learning rate is multiplied by, beside the schedule's factor.
    factor: f64,
    /// The learning rate of the present step.
    rate: Float,
}

impl UpdateGroup {
    /// Parameters that this optimizer updates, at its learning rate times `factor`.
    pub fn new(optimizer: Arc<dyn Optimizer>, factor: f64) -> Self {
        UpdateGroup {
            optimizer,
            factor,
            rate: 0.0,
        }
    }

    /// Sets the learning rate of a step.
    fn begin_step(&mut self, schedule_factor: f64) {
        let rate = f64::from(self.optimizer.learning_rate() as Float);
        self.rate = (rate * schedule_factor * self.factor) as Float;
    }
}

/// The tasks, and what the optimizers remember.
#[derive(Debug)]
pub(crate) struct Update {
    groups: Vec<UpdateGroup>,
    tasks: Vec<Task>,
    /// The parameters that are not updated by tasks.
    whole: WholeTensors,
    /// All gradients, once they have been wanted together.
    gradients: Buffer,
    gradient_cuts: Partition,
    parameter_cuts: Partition,
    /// As many as the optimizer with the most slots has.
    slots: Vec<Slot>,
    /// The sum of squares of each task's gradients, for clipping by norm.
    squares: Vec<f64>,
    square_cuts: Partition,
    /// How long each task took, if somebody wants to know; else empty.
    spent: Vec<Duration>,
    spent_cuts: Partition,
}

/// One value for each parameter, that its optimizer remembers.
#[derive(Debug)]
struct Slot {
    values: Buffer,
    cuts: Partition,
}

/// What all parameters have in common in one step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    pub clip: Option<Clip>,
    /// The step's number, from 1.
    pub number: u64,
    /// What the schedule multiplies all learning rates by.
    pub schedule_factor: f64,
}

impl Update {
    /// Memory for the gradients of a network and for the optimizers' slots. `assigned` has the group of each parameter; none if it keeps
    /// its values. Steps have at most `threads` threads.
    pub fn new(graph: &Graph, groups: Vec<UpdateGroup>, assigned: &[Option<usize>], threads: usize) -> Self {
        let rules = rules(graph, &groups, assigned);
        let (mut tasks, bounds) = tasks(graph, &rules);
        tasks.iter_mut().for_each(|task| task.divide(&groups));
        let slots = groups.iter().map(|group| group.optimizer.slots()).max().unwrap_or(0);
        Update {
            whole: WholeTensors::new(graph, &groups, &rules, threads),
            groups,
            gradients: Buffer::default(),
            gradient_cuts: Partition::new(bounds.clone()),
            parameter_cuts: Partition::new(bounds.clone()),
            slots: (0..slots)
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

    /// For each shard its operation, and its share of the time that its task took; and the same of whole tensors.
    pub fn spent(&self) -> impl Iterator<Item = (usize, Duration)> {
        let of_tasks = self.tasks.iter().zip(&self.spent).flat_map(|(task, spent)| {
            let share = |shard: &Shard| spent.mul_f64(shard.within.len() as f64 / task.size as f64);
            task.shards.iter().map(move |shard| (shard.op, share(shard)))
        });
        of_tasks.chain(self.whole.spent())
    }

    /// What the optimizers remember: for each of their slots a value for each parameter.
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

    /// Applies the optimizers to the gradients of all parameters that are not frozen.
    #[allow(clippy::too_many_arguments)]
    pub fn apply(
        &mut self,
        graph: &Graph,
        blocks: &[Block],
        workers: &mut Workers,
        parameters: &mut [Float],
        rule: Rule,
    ) {
        for group in &mut self.groups {
            group.begin_step(rule.schedule_factor);
        }
        // The norm is over all gradients: they have to be there first.
        let scale = match rule.clip {
            Some(clip @ Clip::Norm(_)) => {
                self.compute_those(graph, blocks, workers, Shard::is_trained);
                Some(clip.scale(self.norm(workers)))
            }
            _ => {
                if !self.whole.is_empty() {
                    self.compute_those(graph, blocks, workers, Shard::is_whole);
                }
                None
            }
        };
        if !self.whole.is_empty() {
            let values = Values {
                w: &mut *parameters,
                dw: &mut self.gradients,
                slots: &mut self.slots,
            };
            self.whole.update(&self.groups, rule, scale, values, workers);
        }
        let timed = !self.spent.is_empty();
        let groups = &self.groups;
        if let ([task], Some(scratch), false) = (&self.tasks[..], workers.single_thread_scratch(), timed) {
            // All there is, in one go.
            let (used, mut slots) = (self.slots.len(), self.slots.iter_mut());
            let mut state: [&mut [Float]; MAX_SLOTS] =
                std::array::from_fn(|_| slots.next().map_or(&mut [][..], |slot| &mut slot.values));
            let state = &mut state[..used];
            let ready = scale.map(|scale| (scale, &mut self.gradients[..]));
            task.step(graph, blocks, groups, rule, ready, parameters, state, scratch);
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
            tasks[i].step(graph, blocks, groups, rule, ready, &mut w, &mut state[..used], scratch);
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
            squares.take(task)[0] = tasks[task].sum_of_squares(&gradients.take(task));
        });
        self.squares.iter().sum::<f64>().sqrt()
    }
}
