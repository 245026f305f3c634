//! The steps of training, on a network that is handed to each of them.

use std::sync::Arc;
use std::time::Duration;

use gradus_kernels::Buffer;

use crate::data::{Target, Targets};
use crate::engine::{Block, Read, Rule, Training, Update, UpdateGroup, Workspace};
use crate::error::plural;
use crate::evaluation::check_finite;
use crate::graph::{Graph, Op};
use crate::loss::Loss;
use crate::objective::Objective;
use crate::optim::{Clip, MAX_SLOTS, Optimizer};
use crate::profile::{LayerTime, Profile};
use crate::{Error, Float, Network, Result, Weights};

/// The memory of training steps on one network, and what the optimizer remembers.
///
/// It is laid out for the network that it was made for: [`check_network`](TrainingSteps::check_network) before a step on a network
/// that may have been replaced.
#[derive(Debug)]
pub(crate) struct TrainingSteps {
    graph: Arc<Graph>,
    workspace: Workspace,
    update: Update,
    loss: Arc<dyn Loss>,
    /// What the loss is computed from.
    objective: Objective,
    options: StepOptions,
    /// The first operation with a parameter that is trained.
    first_trained: usize,
    /// The number of steps done.
    step: u64,
    /// The kind of targets that the loss was last found to fit.
    checked_targets: Option<Targets>,
    /// Memory for the probabilities of a sample.
    probabilities: Vec<Float>,
}

/// How training steps are done, beside loss and optimizers.
#[derive(Debug, Clone)]
pub(crate) struct StepOptions {
    /// The most samples of a step.
    pub batch: usize,
    /// The most threads.
    pub threads: usize,
    pub bfloat16: bool,
    pub clip: Option<Clip>,
    /// The seed of the layers' random numbers.
    pub seed: u64,
}

/// Refuses a training batch of fewer samples than a layer needs.
fn check_batch(graph: &Graph, samples: usize) -> Result<()> {
    let (least, layer) = graph.least_batch();
    if samples >= least {
        return Ok(());
    }
    let samples = plural(samples, "sample");
    Err(Error::invalid(format!(
        "{layer} takes statistics over each training batch, which needs at least {least} samples for them; got a batch of \
         {samples}: use more samples in a batch"
    )))
}

/// How each parameter is updated.
#[derive(Debug)]
pub(crate) struct Assignment {
    /// The optimizers, with what their learning rates are multiplied by beside the schedule's factor.
    pub groups: Vec<(Arc<dyn Optimizer>, f64)>,
    /// The group of each parameter, in the network's order; none if it keeps its values.
    pub of_parameters: Vec<Option<usize>>,
}

impl Assignment {
    /// Refuses optimizers with settings that make no sense or with too many slots.
    fn check(&self) -> Result<()> {
        for (optimizer, _) in &self.groups {
            optimizer.validate()?;
            if optimizer.slots() > MAX_SLOTS {
                return Err(Error::invalid(format!(
                    "the optimizer {} has {} slots for each parameter, the most are {MAX_SLOTS}",
                    optimizer.name(),
                    optimizer.slots()
                )));
            }
        }
        Ok(())
    }
}

/// The first operation with a parameter that is trained.
fn first_trained(graph: &Graph, assigned: &[Option<usize>]) -> usize {
    let mut assigned = assigned.iter();
    let trains = |op: &Op| match op {
        Op::Layer(op) => assigned.by_ref().take(op.sizes.len()).any(Option::is_some),
        _ => false,
    };
    graph.ops.iter().position(trains).unwrap_or(0)
}

const REMEDIES: &str =
    "a smaller learning rate, clipped gradients (Clip::Norm) or inputs of a smaller range usually help";

/// The samples of a step: how to write their inputs, and what the target of each is.
#[derive(Clone, Copy)]
pub(crate) struct Samples<'a, 't> {
    pub count: usize,
    pub read: Read<'a>,
    pub target: &'a (dyn Fn(usize) -> Target<'t> + Sync),
    /// Whether the step computes the network's outputs, for [`TrainingSteps::for_each_output`], also where its loss does without them.
    pub outputs: bool,
}

impl TrainingSteps {
    pub(crate) fn new(
        network: &Network,
        loss: Arc<dyn Loss>,
        assignment: Assignment,
        options: StepOptions,
    ) -> Result<Self> {
        let graph = &network.graph;
        if graph.parameters == 0 {
            return Err(Error::invalid(
                "the network has no parameters: there is nothing to train",
            ));
        }
        assignment.check()?;
        check_batch(graph, options.batch)?;
        let Assignment { groups, of_parameters } = assignment;
        let groups = groups
            .into_iter()
            .map(|(optimizer, factor)| UpdateGroup::new(optimizer, factor));
        let workspace = Workspace::new(graph, options.batch, options.threads, options.bfloat16)?;
        Ok(TrainingSteps {
            graph: graph.clone(),
            update: Update::new(graph, groups.collect(), &of_parameters, workspace.threads()),
            workspace,
            objective: Objective::new(network, &*loss)?,
            loss,
            first_trained: first_trained(graph, &of_parameters),
            options,
            step: 0,
            checked_targets: None,
            probabilities: Vec::new(),
        })
    }

    /// The number of steps done.
    pub fn count(&self) -> u64 {
        self.step
    }

    /// What the optimizers remember: for each of their slots a value for each parameter.
    pub(crate) fn slots(&self) -> impl Iterator<Item = &Buffer> {
        self.update.slots()
    }

    /// Restores the state after `steps` steps, with the optimizer's slots; returns false if its slots are of other sizes.
    pub(crate) fn restore(&mut self, steps: u64, slots: &[Buffer]) -> bool {
        if !self
            .update
            .slots()
            .map(|slot| slot.len())
            .eq(slots.iter().map(|slot| slot.len()))
        {
            return false;
        }
        self.step = steps;
        for (slot, saved) in self.update.slots_mut().zip(slots) {
            slot.copy_from_slice(saved);
        }
        true
    }

    /// How many threads a step uses: no more than are worth waking.
    pub fn threads(&self) -> usize {
        self.workspace.threads()
    }

    /// One training step with the optimizers' learning rates on the samples `x`, one after the other, and their targets; returns
    /// their mean loss before the step.
    pub fn step(&mut self, network: &mut Network, x: &[Float], targets: &[Target<'_>]) -> Result<f64> {
        let loss = self.on_slices(network, x, targets, |steps, samples| {
            steps.pass(network, samples, steps.first_trained)
        })?;
        self.update(network, 1.0);
        Ok(loss)
    }

    /// The mean loss of some samples and the gradient of every parameter; changes nothing in the network.
    pub fn gradients(&mut self, network: &Network, x: &[Float], targets: &[Target<'_>]) -> Result<(f64, &[Float])> {
        let loss = self.on_slices(network, x, targets, |steps, samples| {
            let loss = steps.pass(network, samples, 0)?;
            let (blocks, workers) = steps.workspace.blocks_and_workers();
            steps.update.compute(&network.graph, blocks, workers);
            Ok(loss)
        })?;
        Ok((loss, self.update.gradients()))
    }

    /// Does `work` on samples that lie in slices, after they were found to fit the network.
    fn on_slices<R>(
        &mut self,
        network: &Network,
        x: &[Float],
        targets: &[Target<'_>],
        work: impl FnOnce(&mut Self, Samples<'_, '_>) -> Result<R>,
    ) -> Result<R> {
        self.check_network(network)?;
        let (n, size) = (targets.len(), network.graph.input.size());
        if n == 0 || n > self.options.batch || x.len() != n * size {
            return Err(Error::invalid(format!(
                "a step takes 1 to {} samples of {size} values each; got {n} targets and {} values",
                self.options.batch,
                x.len()
            )));
        }
        check_batch(&network.graph, n)?;
        self.check_targets(network, targets)?;
        let samples = Samples {
            count: n,
            read: &|samples, inputs, _| {
                inputs.copy_from_slice(&x[samples.start * size..samples.end * size]);
                check_finite(samples.start, inputs, size)
            },
            target: &|i| targets[i],
            outputs: false,
        };
        work(self, samples)
    }

    /// Refuses a network that the steps were not made for: a program may put another in its place between two of them.
    pub(crate) fn check_network(&self, network: &Network) -> Result<()> {
        if Arc::ptr_eq(&self.graph, &network.graph) {
            return Ok(());
        }
        Err(Error::invalid(
            "the network in training was replaced by another: begin to train that one anew, or change only the values of this one's \
             parameters (Network::set, Network::set_weights)",
        ))
    }

    /// Refuses targets that don't fit the loss, or each other.
    fn check_targets(&mut self, network: &Network, targets: &[Target<'_>]) -> Result<()> {
        let all_are = |kind: &Targets| (targets.iter().enumerate()).try_for_each(|(i, target)| kind.check(i, *target));
        if self.checked_targets.as_ref().is_some_and(|kind| all_are(kind).is_ok()) {
            return Ok(());
        }
        let kind = Targets::like(targets[0], network.output_shape());
        self.loss.validate(network.output_shape(), &kind)?;
        all_are(&kind)?;
        self.checked_targets = Some(kind);
        Ok(())
    }

    /// One training step with the optimizers' learning rates times this factor of the schedule.
    pub(crate) fn step_on(
        &mut self,
        network: &mut Network,
        samples: Samples<'_, '_>,
        schedule_factor: f64,
    ) -> Result<f64> {
        let loss = self.pass(network, samples, self.first_trained)?;
        self.update(network, schedule_factor);
        Ok(loss)
    }

    /// Changes the network by what the last pass has found.
    fn update(&mut self, network: &mut Network, schedule_factor: f64) {
        self.step += 1;
        self.workspace.update_state(network);
        let (blocks, workers) = self.workspace.blocks_and_workers();
        self.update.apply(
            &network.graph,
            blocks,
            workers,
            &mut network.weights.parameters,
            Rule {
                clip: self.options.clip,
                number: self.step,
                schedule_factor,
            },
        );
    }

    /// Runs a batch forward, and backward down to this operation; returns its mean loss.
    fn pass(&mut self, network: &Network, samples: Samples<'_, '_>, backward_start: usize) -> Result<f64> {
        let TrainingSteps {
            graph,
            workspace,
            objective,
            ..
        } = self;
        let (graph, n): (&Graph, _) = (graph, samples.count);
        let (loss, value) = (objective.loss(&*self.loss), objective.value);
        // What comes after that value is not gone through backward; nor forward, if nobody wants the output.
        let backward_end = objective.ops;
        let forward_end = if samples.outputs { graph.ops.len() } else { backward_end };
        // The one place where the mean over the batch is taken.
        let share = 1.0 / n as Float;
        let compute_loss = |block: &mut Block| {
            let first = block.first;
            let (y, dy, losses) = block.loss_views(value);
            loss.losses_and_gradients(y, &|i| (samples.target)(first + i), dy, losses);
            dy.iter_mut().for_each(|dy| *dy *= share);
        };
        workspace.divide(n);
        workspace.train(
            network,
            Training {
                seed: self.options.seed,
                step: self.step,
                input: &|block, desk| block.fill(desk, samples.read),
                loss: &compute_loss,
                forward_end,
                backward_start,
                backward_end,
            },
        );
        for block in workspace.blocks_mut() {
            if let Some((_, error)) = block.error.take() {
                return Err(error);
            }
        }
        let losses = workspace
            .blocks()
            .iter()
            .flat_map(|block| &block.losses[..block.samples]);
        let mean = losses.map(|&loss| f64::from(loss)).sum::<f64>() / n as f64;
        if mean.is_finite() {
            Ok(mean)
        } else {
            Err(self.diverged(network, mean))
        }
    }

    /// Begins to count what the time goes into.
    pub(crate) fn profile(&mut self) {
        self.workspace.profile();
        self.update.profile();
    }

    /// What the time went into since then, in which `samples` samples took `elapsed`.
    pub(crate) fn profiled(&self, network: &Network, samples: u64, elapsed: Duration) -> Profile {
        let (spent, [reading, loss]) = self.workspace.spent();
        let mut update = vec![Duration::ZERO; spent.len()];
        for (op, time) in self.update.spent() {
            update[op] += time;
        }
        let mut profile = Profile {
            samples,
            threads: self.threads(),
            elapsed,
            layers: Vec::new(),
            reading,
            loss,
            moving: Duration::ZERO,
        };
        let graph = &network.graph;
        for ((op, [forward, backward]), update) in graph.ops.iter().zip(spent).zip(update) {
            let Op::Layer(op) = op else {
                profile.moving += forward + backward;
                continue;
            };
            let passes = 1 + u64::from(!op.sizes.is_empty()) + u64::from(graph.values[op.x].needs_gradient);
            profile.layers.push(LayerTime {
                layer: op.label.clone(),
                forward,
                backward,
                update,
                multiply_adds: passes * op.bound.multiply_adds,
            });
        }
        profile
    }

    /// Refuses a network whose weights the last step has made infinite or NaN, which the loss shows only at the next.
    pub(crate) fn check_weights(&self, network: &Network) -> Result<()> {
        let Weights { parameters, state } = &network.weights;
        let finite = |values: &[Float]| values.iter().all(|v| v.is_finite());
        let found = (network.graph.layers())
            .find(|op| !finite(&parameters[op.parameters.clone()]) || !finite(&state[op.state.clone()]));
        match found {
            None => Ok(()),
            Some(op) => Err(Error::Diverged {
                layer: op.label.clone(),
                message: format!("after step {} its weights are no longer finite; {REMEDIES}", self.step),
            }),
        }
    }

    /// Refuses a loss of the validation samples that is infinite or NaN though all weights are finite: no epoch could be better or worse.
    pub(crate) fn check_validation_loss(&self, loss: f64) -> Result<()> {
        if loss.is_finite() {
            return Ok(());
        }
        Err(Error::Diverged {
            layer: "validation".to_string(),
            message: format!(
                "after step {} the loss of the validation samples is {loss}, while the weights are finite; {REMEDIES}",
                self.step
            ),
        })
    }

    /// Where in the network the first value that is not finite appeared.
    fn diverged(&self, network: &Network, loss: f64) -> Error {
        let graph = &network.graph;
        let found = (self.workspace.blocks().iter())
            .filter_map(|block| block.not_finite)
            .min_by_key(|(number, _)| *number)
            .and_then(|(number, parameters)| Some((graph.layers().nth(number)?, parameters)));
        let (layer, what) = match found {
            Some((op, true)) => (op.label.clone(), "its parameters are no longer finite"),
            Some((op, false)) => (op.label.clone(), "its output is no longer finite"),
            None => ("the loss".to_string(), "all outputs are finite, their loss is not"),
        };
        Error::Diverged {
            layer,
            message: format!(
                "at step {} the loss became {loss} and {what}; {REMEDIES}",
                self.step + 1
            ),
        }
    }

    /// Calls `each(y, target)` for every sample of the last step, in order, with the output `y` that metrics see: probabilities where
    /// the network gives logits. `samples` are those of the step, and asked for [outputs](Samples::outputs).
    pub(crate) fn for_each_output(
        &mut self,
        network: &Network,
        samples: Samples<'_, '_>,
        mut each: impl FnMut(&[Float], Target<'_>),
    ) {
        let graph = &network.graph;
        let outputs = graph.output.size();
        for block in self.workspace.blocks() {
            let rows = block.value(graph.output_value()).chunks_exact(outputs);
            for (i, y) in rows.enumerate() {
                let y = self.objective.prediction(y, &mut self.probabilities);
                each(y, (samples.target)(block.first + i));
            }
        }
    }
}
