//! The training loop.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

use rand::seq::SliceRandom;

use super::Fit;
use super::checkpoint::{Position, settings};
use crate::callback::{EpochEnd, Flow, Start};
use crate::data::Dataset;
use crate::engine::Inference;
use crate::evaluation::{default_threads, read_finite};
use crate::history::{Column, Epoch, History};
use crate::metric::{Meter, Metric};
use crate::profile::Profile;
use crate::random::{Purpose, stream};
use crate::schedule::{Schedule, ScheduleContext};
use crate::trainer::{Samples, TrainingSteps};
use crate::{Error, Float, Network, Result};

/// How many samples before a sample is read its memory is asked for: memory is slower than the reading of one.
const AHEAD: usize = 3;
/// The most epochs that the history has memory for from the beginning.
const EPOCHS: usize = 1000;

/// Training that is done step by step: what [`Fit::run`] does, for a program that draws, answers or waits between two steps.
///
/// ```
/// use gradus::prelude::*;
///
/// let (train, _) = digits::load()?;
/// let mut network = Sequential::new(train.shape()).layer(Flatten).layer(Dense::new(10)).layer(Softmax).build(1)?;
/// let fit = Fit::new(CrossEntropy::new(), Adam::new(0.01)).epochs(2).metric(Accuracy);
/// let mut run = fit.start(&mut network, &train)?;
/// while run.step()? {
///     if run.steps() % 20 == 0 {
///         println!("epoch {}, loss {:.3}", run.epochs() + 1, run.loss());
///     }
/// }
/// let history = run.finish()?;
/// assert!(history.last("accuracy") > Some(0.8));
/// # Ok::<(), gradus::Error>(())
/// ```
pub struct TrainingRun<'r> {
    pub(super) fit: Fit<'r>,
    pub(super) network: &'r mut Network,
    pub(super) train: Box<dyn Dataset + 'r>,
    pub(super) validation: Option<Box<dyn Dataset + 'r>>,
    seed: u64,
    pub(super) trainer: TrainingSteps,
    evaluator: Option<Inference>,
    pub(super) meters: Vec<Box<dyn Meter>>,
    /// The samples in the order of the present epoch.
    order: Vec<usize>,
    /// The losses of the epochs before, which the schedule sees.
    losses: Vec<f64>,
    pub(super) position: Position,
    /// The mean loss, the schedule's factor and the optimizer's learning rate of the last step.
    loss: f64,
    factor: f64,
    rate: f64,
    pub(super) history: History,
    /// What decides how the run goes on, for checkpoints.
    pub(super) settings: Option<BTreeMap<String, String>>,
    pub(super) clock: Box<dyn Fn() -> Duration + 'r>,
    /// When the last checkpoint was written.
    pub(super) written: Duration,
}

impl fmt::Debug for TrainingRun<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrainingRun")
            .field("fit", &self.fit)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl<'r> TrainingRun<'r> {
    pub(super) fn new(
        mut fit: Fit<'r>,
        network: &'r mut Network,
        train: Box<dyn Dataset + 'r>,
        validation: Option<Box<dyn Dataset + 'r>>,
        seed: u64,
    ) -> Result<Self> {
        let trainer = fit.steps(network)?;
        let settings = (fit.checkpoints.is_some() || fit.resume.is_some())
            .then(|| settings(&fit, network, &*train, validation.as_deref(), seed))
            .transpose()?;
        let threads = fit.threads.unwrap_or_else(default_threads);
        let evaluator = (validation.as_deref()).map(|data| network.evaluator(data, threads));
        let clock = fit.clock.take().unwrap_or_else(system_clock);
        Ok(TrainingRun {
            trainer,
            evaluator: evaluator.transpose()?,
            meters: (fit.metrics.iter())
                .map(|metric| metric.meter(network.output_shape()))
                .collect(),
            order: Vec::with_capacity(train.len()),
            losses: Vec::new(),
            position: Position::default(),
            loss: f64::NAN,
            factor: 1.0,
            rate: 0.0,
            history: History {
                columns: columns(&fit.metrics, validation.is_some()),
                epochs: Vec::with_capacity(fit.epochs.min(EPOCHS)),
            },
            fit,
            network,
            train,
            validation,
            seed,
            settings,
            written: clock(),
            clock,
        })
    }

    /// Takes up a checkpoint, if there is one to go on from, and tells the callbacks.
    pub(super) fn begin(&mut self) -> Result<()> {
        if let Some(schedule) = &self.fit.schedule {
            schedule.check_length(&self.schedule_context())?;
        }
        let memory = match self.fit.resume.take() {
            Some(path) => Some(self.resume(&path)?),
            None => None,
        };
        let start = Start {
            epochs: self.fit.epochs,
            finished: self.position.epoch,
            steps_per_epoch: self.steps_per_epoch(),
            samples: self.train.len(),
            threads: self.trainer.threads(),
            columns: &self.history.columns,
        };
        for callback in &mut self.fit.callbacks {
            callback.on_start(&start, self.network)?;
            if let Some(memory) = &memory {
                callback.restore(memory)?;
            }
        }
        self.begin_epoch();
        Ok(())
    }

    /// Does the next step and, after the last one of an epoch, what comes at its end: validation, metrics, callbacks. Returns whether
    /// there is more to do.
    ///
    /// # Errors
    /// As [`Fit::run`]. After [`Error::Interrupted`] the run can go on with the next call.
    pub fn step(&mut self) -> Result<bool> {
        if self.is_done() {
            return Ok(false);
        }
        self.trainer.check_network(self.network)?;
        let steps_per_epoch = self.steps_per_epoch();
        if self.position.step < steps_per_epoch {
            self.next_step()?;
        }
        if self.position.step < steps_per_epoch {
            self.pause()?;
        } else {
            self.end_epoch()?;
        }
        Ok(!self.is_done())
    }

    /// Ends the training here: writes the last checkpoint and tells the callbacks.
    ///
    /// # Errors
    /// If the checkpoint can't be written, or a callback fails.
    pub fn finish(mut self) -> Result<History> {
        self.end()?;
        Ok(self.history)
    }

    /// Begins to count where the time goes.
    pub(super) fn profile(&mut self) {
        self.trainer.profile();
    }

    /// The same, with where the time went.
    pub(super) fn finish_profiled(mut self) -> Result<(History, Profile)> {
        self.end()?;
        let epochs = &self.history.epochs;
        let seconds = epochs.iter().map(|epoch| epoch.seconds).sum();
        let samples = (epochs.len() * self.train.len()) as u64;
        let elapsed = Duration::from_secs_f64(seconds);
        let profile = self.trainer.profiled(self.network, samples, elapsed);
        Ok((self.history, profile))
    }

    fn end(&mut self) -> Result<()> {
        self.checkpoint()?;
        for callback in &mut self.fit.callbacks {
            callback.on_end(self.network, &self.history)?;
        }
        Ok(())
    }

    /// The network as it is now.
    pub fn network(&self) -> &Network {
        self.network
    }

    /// The network, for a change between two steps.
    pub fn network_mut(&mut self) -> &mut Network {
        self.network
    }

    /// What was recorded of the epochs so far.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// How many epochs are finished.
    pub fn epochs(&self) -> usize {
        self.position.epoch
    }

    /// How many steps of the present epoch are done.
    pub fn steps(&self) -> usize {
        self.position.step
    }

    /// How many steps an epoch has.
    pub fn steps_per_epoch(&self) -> usize {
        self.train.len().div_ceil(self.fit.batch_size)
    }

    /// The mean loss of the last step's samples, as they were met; NaN before the first step.
    pub fn loss(&self) -> f64 {
        self.loss
    }

    /// Whether all epochs are finished, or a callback has ended the training.
    pub fn is_done(&self) -> bool {
        self.position.ended || self.position.epoch >= self.fit.epochs
    }

    /// Puts the samples in the order of the present epoch.
    fn begin_epoch(&mut self) {
        self.order.clear();
        self.order.extend(0..self.train.len());
        let epoch = self.position.epoch as u64;
        self.order.shuffle(&mut stream(self.seed, Purpose::Shuffle, &[epoch]));
        if self.position.step == 0 {
            self.meters.iter_mut().for_each(|meter| meter.reset());
        }
        let monitored = if self.validation.is_some() { "val_loss" } else { "loss" };
        self.losses = self.history.values(monitored);
    }

    /// The position, as schedules see it.
    fn schedule_context(&self) -> ScheduleContext<'_> {
        let (steps_per_epoch, position) = (self.steps_per_epoch(), self.position);
        ScheduleContext {
            step: (position.epoch * steps_per_epoch + position.step) as u64,
            steps: self.fit.epochs.saturating_mul(steps_per_epoch) as u64,
            steps_per_epoch: steps_per_epoch as u64,
            losses: &self.losses,
        }
    }

    /// The next step of the epoch.
    fn next_step(&mut self) -> Result<()> {
        let batch = self.fit.batch_size;
        let Position { epoch, step, .. } = self.position;
        let context = self.schedule_context();
        self.factor = (self.fit.schedule.as_deref()).map_or(Ok(1.0), |schedule| factor(schedule, &context))?;
        self.rate = f64::from(self.fit.optimizer.learning_rate() as Float) * self.factor;
        let samples = step * batch..self.train.len().min((step + 1) * batch);
        let (done, count) = (samples.end, samples.len());
        let started = (self.clock)();
        self.loss = self.train_on(samples)?;
        self.position.seconds += (self.clock)().saturating_sub(started).as_secs_f64();
        self.position.total += self.loss * count as f64;
        self.position.step += 1;
        for callback in &mut self.fit.callbacks {
            callback.on_step(epoch + 1, done, self.position.total / done as f64)?;
        }
        Ok(())
    }

    /// A training step on the samples at these places in the order of the epoch; returns their mean loss.
    fn train_on(&mut self, places: Range<usize>) -> Result<f64> {
        let TrainingRun {
            fit,
            network,
            train,
            trainer,
            meters,
            ..
        } = self;
        let (indices, epoch, seed) = (&self.order[places], self.position.epoch, self.seed);
        let (train, shape) = (&**train, network.input_shape().clone());
        let augmentation = fit.augmentation.as_deref();
        let samples = Samples {
            count: indices.len(),
            read: &|samples, inputs, scratch| {
                let inputs = inputs.chunks_exact_mut(shape.size());
                for ((i, &index), x) in samples.clone().zip(&indices[samples]).zip(inputs) {
                    if let Some(&next) = indices.get(i + AHEAD) {
                        train.prefetch(next);
                    }
                    read_finite(train, index, x)?;
                    if let Some(augmentation) = augmentation {
                        let coordinates = [epoch as u64, index as u64];
                        let mut rng = stream(seed, Purpose::Augment, &coordinates);
                        augmentation.apply(&shape, x, &mut rng, scratch);
                    }
                }
                Ok(())
            },
            target: &|i| train.target(indices[i]),
            outputs: !meters.is_empty(),
        };
        let loss = trainer.step_on(network, samples, self.factor)?;
        if !meters.is_empty() {
            trainer.for_each_output(network, samples, |y, target| {
                meters.iter_mut().for_each(|meter| meter.add(y, target));
            });
        }
        Ok(loss)
    }

    /// What comes after the last step of an epoch.
    fn end_epoch(&mut self) -> Result<()> {
        let record = self.record()?;
        self.history.epochs.push(record);
        let end = EpochEnd {
            epoch: self.position.epoch + 1,
            epochs: self.fit.epochs,
            network: self.network,
            history: &self.history,
        };
        let mut ended = false;
        for callback in &mut self.fit.callbacks {
            ended |= callback.on_epoch(&end)? == Flow::Stop;
        }
        self.position = Position {
            epoch: self.position.epoch + 1,
            ended,
            ..Position::default()
        };
        if self.is_done() {
            // Of the last epoch's end there is always a checkpoint, and nothing left to be interrupted.
            return Ok(());
        }
        self.begin_epoch();
        self.pause()
    }

    /// Between two steps: stops where training is interrupted, and writes a checkpoint where it is time for one.
    fn pause(&mut self) -> Result<()> {
        if !self.fit.interrupted.as_ref().is_some_and(|interrupted| interrupted()) {
            return self.checkpoint_if_due();
        }
        self.checkpoint()?;
        let checkpoint = (self.fit.checkpoints.as_ref()).filter(|to| to.path.is_file());
        Err(Error::Interrupted {
            epoch: self.position.epoch + 1,
            step: self.position.step,
            checkpoint: checkpoint.map(|to| to.path.clone()),
        })
    }

    /// The line of an epoch in the history, when all its steps are done.
    fn record(&mut self) -> Result<Epoch> {
        let Position { total, seconds, .. } = self.position;
        self.trainer.check_weights(self.network)?;

        let mut values = vec![total / self.train.len() as f64];
        let validated = match (&mut self.evaluator, &self.validation) {
            (Some(evaluator), Some(data)) => {
                let metrics: Vec<&dyn Metric> = self.fit.metrics.iter().map(|metric| &**metric).collect();
                let evaluation = evaluator.measure(self.network, &**data, &*self.fit.loss, &metrics)?.0;
                self.trainer.check_validation_loss(evaluation.loss)?;
                Some(evaluation)
            }
            _ => None,
        };
        values.extend(validated.as_ref().map(|v| v.loss));
        for (i, meter) in self.meters.iter().enumerate() {
            values.push(meter.value());
            values.extend(validated.as_ref().map(|v| v.metrics[i].1));
        }
        Ok(Epoch {
            epoch: self.position.epoch + 1,
            values,
            // As few digits as tell it apart: 0.04, where the f32 turned into an f64 is 0.03999999910593033.
            learning_rate: (self.rate as Float).to_string().parse().unwrap_or(self.rate),
            seconds,
            samples_per_second: self.train.len() as f64 / seconds.max(1e-9),
        })
    }
}

/// The time since now, by the system's clock; where there is none, as in WebAssembly, it stands still.
fn system_clock<'a>() -> Box<dyn Fn() -> Duration + 'a> {
    if cfg!(target_family = "wasm") {
        return Box::new(|| Duration::ZERO);
    }
    let start = Instant::now();
    Box::new(move || start.elapsed())
}

/// What a schedule multiplies the learning rate by, if that makes sense.
fn factor(schedule: &dyn Schedule, context: &ScheduleContext<'_>) -> Result<f64> {
    let factor = schedule.factor(context);
    if factor >= 0.0 && factor.is_finite() {
        return Ok(factor);
    }
    Err(Error::invalid(format!(
        "the schedule {} gives the factor {factor} for step {}, and it should be a finite number of at least 0",
        schedule.name(),
        context.step + 1
    )))
}

/// Refuses metrics whose names can't be columns of a history, beside each other and its own.
pub(super) fn check_names(metrics: &[Box<dyn Metric>]) -> Result<()> {
    let own = ["epoch", "learning_rate", "seconds", "samples_per_second"];
    let mut taken: Vec<String> = own.map(String::from).to_vec();
    for column in columns(metrics, true) {
        let name = column.name;
        let refused = |why: &str| Err(Error::invalid(format!("a metric has the name {name:?}: {why}")));
        if name.is_empty() || name == "val_" {
            return refused("a name has at least one character");
        }
        if name.contains([',', '"', '\n', '\r']) {
            return refused(
                "a history in CSV has no place for commas, quotes and line breaks in names; give it another",
            );
        }
        if taken.contains(&name) {
            return refused(
                "another column of the history has it too; each metric is to be there once, with a name of its own",
            );
        }
        taken.push(name);
    }
    Ok(())
}

/// The columns of a history.
fn columns(metrics: &[Box<dyn Metric>], validation: bool) -> Vec<Column> {
    let watched = metrics.iter().map(|metric| (metric.name(), metric.higher_is_better()));
    let mut columns = Vec::new();
    for (name, higher_is_better) in std::iter::once(("loss".to_string(), false)).chain(watched) {
        let validated = validation.then(|| format!("val_{name}"));
        for name in std::iter::once(name).chain(validated) {
            columns.push(Column { name, higher_is_better });
        }
    }
    columns
}
