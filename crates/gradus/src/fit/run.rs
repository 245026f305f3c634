//! The training loop.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::seq::SliceRandom;

use super::Fit;
use super::checkpoint::{Position, settings};
use crate::callback::{EpochEnd, Flow, Memory, Start};
use crate::data::Dataset;
use crate::evaluation::{default_threads, read_finite};
use crate::history::{Column, Epoch, History};
use crate::metric::{Meter, Metric};
use crate::profile::Profile;
use crate::random::{Purpose, stream};
use crate::schedule::Moment;
use crate::trainer::{Samples, Trainer};
use crate::{Error, Float, Network, Result};

/// How many samples before a sample is read its memory is asked for: memory is slower than the reading of one.
const AHEAD: usize = 3;
/// The most epochs that the history has memory for from the beginning.
const EPOCHS: usize = 1000;

/// A run of the training loop.
pub(super) struct Run<'r, 'a> {
    pub fit: &'r mut Fit<'a>,
    pub train: &'r dyn Dataset,
    pub validation: Option<&'r dyn Dataset>,
    pub seed: u64,
    pub trainer: Trainer,
    evaluator: Option<crate::engine::Predictor>,
    pub meters: Vec<Box<dyn Meter>>,
    /// The samples in the order of the present epoch.
    order: Vec<usize>,
    pub history: History,
    /// What decides how the run goes on, for checkpoints.
    pub settings: Option<BTreeMap<String, String>>,
    /// What callbacks remember, where training is resumed.
    pub memory: Option<Memory>,
    /// When the last checkpoint was written.
    pub written: Instant,
}

impl<'r, 'a> Run<'r, 'a> {
    pub fn new(
        fit: &'r mut Fit<'a>,
        network: &Network,
        train: &'r dyn Dataset,
        validation: Option<&'r dyn Dataset>,
        seed: u64,
    ) -> Result<Self> {
        let trainer = fit.trainer(network)?;
        let settings = (fit.checkpoints.is_some() || fit.resume.is_some())
            .then(|| settings(fit, network, train, validation, seed))
            .transpose()?;
        let threads = fit.threads.unwrap_or_else(default_threads);
        Ok(Run {
            trainer,
            evaluator: validation.map(|data| network.evaluator(data, threads)).transpose()?,
            meters: fit
                .metrics
                .iter()
                .map(|metric| metric.meter(network.output_shape()))
                .collect(),
            order: Vec::with_capacity(train.len()),
            history: History {
                columns: columns(&fit.metrics, validation.is_some()),
                epochs: Vec::with_capacity(fit.epochs.min(EPOCHS)),
            },
            fit,
            train,
            validation,
            seed,
            settings,
            memory: None,
            written: Instant::now(),
        })
    }

    pub fn all_epochs(mut self, network: &mut Network) -> Result<(History, Profile)> {
        let mut position = match self.fit.resume.take() {
            Some(path) => self.resume(network, &path)?,
            None => Position::default(),
        };
        let start = Start {
            epochs: self.fit.epochs,
            finished: position.epoch,
            steps_per_epoch: self.train.len().div_ceil(self.fit.batch_size),
            samples: self.train.len(),
            threads: self.trainer.threads(),
            columns: &self.history.columns,
        };
        for callback in &mut self.fit.callbacks {
            callback.on_start(&start, network)?;
            if let Some(memory) = &self.memory {
                callback.restore(memory)?;
            }
        }
        while position.epoch < self.fit.epochs && !position.ended {
            let record = self.one_epoch(network, &mut position)?;
            self.history.epochs.push(record);
            let end = EpochEnd {
                epoch: position.epoch + 1,
                epochs: self.fit.epochs,
                network,
                history: &self.history,
            };
            let mut ended = false;
            for callback in &mut self.fit.callbacks {
                ended |= callback.on_epoch(&end)? == Flow::Stop;
            }
            position = Position {
                epoch: position.epoch + 1,
                ended,
                ..Position::default()
            };
            // Of the last epoch's end there is always a checkpoint, and nothing left to be interrupted.
            if position.epoch < self.fit.epochs && !ended {
                self.pause(network, position)?;
            }
        }
        self.checkpoint(network, position)?;
        for callback in &mut self.fit.callbacks {
            callback.on_end(network, &self.history)?;
        }
        let epochs = &self.history.epochs;
        let seconds = epochs.iter().map(|epoch| epoch.seconds).sum();
        let samples = (epochs.len() * self.train.len()) as u64;
        let profile = self
            .trainer
            .profiled(network, samples, Duration::from_secs_f64(seconds));
        Ok((self.history, profile))
    }

    /// Trains for an epoch, or for what is left of it.
    fn one_epoch(&mut self, network: &mut Network, position: &mut Position) -> Result<Epoch> {
        let epoch = position.epoch;
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        order.extend(0..self.train.len());
        order.shuffle(&mut stream(self.seed, Purpose::Shuffle, &[epoch as u64]));
        if position.step == 0 {
            self.meters.iter_mut().for_each(|meter| meter.reset());
        }
        let steps_per_epoch = self.train.len().div_ceil(self.fit.batch_size);
        let monitored = if self.validation.is_some() { "val_loss" } else { "loss" };
        let losses = self.history.values(monitored);
        let (started, before) = (Instant::now(), position.seconds);
        let mut rate = 0.0;
        for (step, indices) in order.chunks(self.fit.batch_size).enumerate().skip(position.step) {
            let moment = Moment {
                step: (epoch * steps_per_epoch + step) as u64,
                steps: self.fit.epochs.saturating_mul(steps_per_epoch) as u64,
                steps_per_epoch: steps_per_epoch as u64,
                losses: &losses,
            };
            let factor = (self.fit.schedule.as_ref()).map_or(1.0, |schedule| schedule.factor(&moment));
            rate = f64::from(self.fit.optimizer.learning_rate()) * factor;
            let loss = self.one_step(network, epoch, indices, rate as Float)?;
            position.total += loss * indices.len() as f64;
            position.step = step + 1;
            position.seconds = before + started.elapsed().as_secs_f64();
            let done = step * self.fit.batch_size + indices.len();
            for callback in &mut self.fit.callbacks {
                callback.on_step(epoch + 1, done, position.total / done as f64)?;
            }
            // After the last step the epoch's end comes first.
            if position.step < steps_per_epoch {
                self.pause(network, *position)?;
            }
        }
        self.order = order;
        self.record(network, *position, rate)
    }

    /// A training step on the samples of these indices; gives their mean loss.
    fn one_step(&mut self, network: &mut Network, epoch: usize, indices: &[usize], rate: Float) -> Result<f64> {
        let (train, seed, shape) = (self.train, self.seed, network.input_shape().clone());
        let augmentation = self.fit.augmentation.as_deref();
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
            outputs: !self.meters.is_empty(),
        };
        let loss = self.trainer.step_on(network, samples, rate)?;
        if !self.meters.is_empty() {
            self.trainer.each_output(network, samples, |y, target| {
                self.meters.iter_mut().for_each(|meter| meter.add(y, target));
            });
        }
        Ok(loss)
    }

    /// Between two steps: stops where training is interrupted, and writes a checkpoint where it is time for one.
    fn pause(&mut self, network: &Network, position: Position) -> Result<()> {
        if !self.fit.interrupted.as_ref().is_some_and(|interrupted| interrupted()) {
            return self.checkpoint_if_due(network, position);
        }
        self.checkpoint(network, position)?;
        let checkpoint = (self.fit.checkpoints.as_ref()).filter(|to| to.path.is_file());
        Err(Error::Interrupted {
            epoch: position.epoch + 1,
            step: position.step,
            checkpoint: checkpoint.map(|to| to.path.clone()),
        })
    }

    /// The line of an epoch in the history, when all its steps are done.
    fn record(&mut self, network: &mut Network, position: Position, rate: f64) -> Result<Epoch> {
        let Run {
            fit,
            train,
            trainer,
            meters,
            ..
        } = self;
        let seconds = position.seconds;
        trainer.check_weights(network)?;

        let mut values = vec![position.total / train.len() as f64];
        let validated = match (&mut self.evaluator, self.validation) {
            (Some(evaluator), Some(data)) => {
                let metrics: Vec<&dyn Metric> = fit.metrics.iter().map(|metric| &**metric).collect();
                let evaluation = evaluator.evaluate(network, data, &*fit.loss, &metrics)?;
                trainer.check_validation_loss(evaluation.loss)?;
                Some(evaluation)
            }
            _ => None,
        };
        values.extend(validated.as_ref().map(|v| v.loss));
        for (i, meter) in meters.iter().enumerate() {
            values.push(meter.value());
            values.extend(validated.as_ref().map(|v| v.metrics[i].1));
        }
        Ok(Epoch {
            epoch: position.epoch + 1,
            values,
            // As few digits as tell it apart: 0.04, where the f32 turned into an f64 is 0.03999999910593033.
            learning_rate: (rate as Float).to_string().parse().unwrap_or(rate),
            seconds,
            samples_per_second: train.len() as f64 / seconds.max(1e-9),
        })
    }
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
