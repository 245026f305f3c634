//! What is called as training goes on.

mod early_stopping;
mod log;
mod progress;
mod save_best;
mod state;

pub use early_stopping::EarlyStopping;
pub use log::{CsvLog, JsonLog};
pub use progress::Progress;
pub use save_best::SaveBest;
pub use state::CallbackState;

use crate::history::{Column, History};
use crate::{Error, Network, Result};

/// Called as training goes on; every method does nothing unless written.
///
/// ```
/// use gradus::callback::{Callback, EpochEnd, Flow};
///
/// /// Stops as soon as a loss is reached.
/// struct GoodEnough(f64);
/// impl Callback for GoodEnough {
///     fn on_epoch(&mut self, end: &EpochEnd) -> gradus::Result<Flow> {
///         let loss = end.history.last("loss").unwrap_or(f64::INFINITY);
///         Ok(if loss < self.0 { Flow::Stop } else { Flow::Continue })
///     }
/// }
/// ```
pub trait Callback {
    /// Before the first epoch.
    fn on_start(&mut self, start: &Start<'_>, network: &Network) -> Result<()> {
        let _ = (start, network);
        Ok(())
    }

    /// After every step: the epoch (from 1), its samples so far, and their mean loss.
    fn on_step(&mut self, epoch: usize, samples: usize, loss: f64) -> Result<()> {
        let _ = (epoch, samples, loss);
        Ok(())
    }

    /// After every epoch, with its line in the history; can end the training.
    fn on_epoch(&mut self, end: &EpochEnd<'_>) -> Result<Flow> {
        let _ = end;
        Ok(Flow::Continue)
    }

    /// Writes down what it remembers from one epoch to the next, for a checkpoint.
    fn save(&self, state: &mut CallbackState) {
        let _ = state;
    }

    /// Remembers what [`save`](Callback::save) wrote down, where training is resumed: after [`on_start`](Callback::on_start).
    fn restore(&mut self, state: &CallbackState) -> Result<()> {
        let _ = state;
        Ok(())
    }

    /// Before a [checkpoint](crate::Fit::checkpoint) is written.
    fn on_checkpoint(&mut self) -> Result<()> {
        Ok(())
    }

    /// After the last epoch; can change the network.
    fn on_end(&mut self, network: &mut Network, history: &History) -> Result<()> {
        let _ = (network, history);
        Ok(())
    }
}

/// Whether training goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// It does.
    Continue,
    /// This was the last epoch.
    Stop,
}

/// What is known before the first epoch.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Start<'a> {
    /// The most epochs that there will be.
    pub epochs: usize,
    /// The epochs that were finished before; more than none where training is resumed.
    pub finished: usize,
    /// Steps in each.
    pub steps_per_epoch: usize,
    /// Training samples in each.
    pub samples: usize,
    /// Threads that a step uses.
    pub threads: usize,
    /// What the history will have for every epoch.
    pub columns: &'a [Column],
}

/// What is known after an epoch.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct EpochEnd<'a> {
    /// Its number, from 1.
    pub epoch: usize,
    /// The most epochs that there will be.
    pub epochs: usize,
    /// The network as it is now.
    pub network: &'a Network,
    /// Everything recorded, this epoch last.
    pub history: &'a History,
}

/// A column of the history in which the best epoch is looked for.
#[derive(Debug, Clone)]
struct Best {
    column: Option<String>,
    value: Option<f64>,
}

impl Best {
    /// By this column; without one, by `val_loss`, or by `loss` where there is no validation.
    fn by(column: Option<String>) -> Self {
        Best { column, value: None }
    }

    /// Which of the history's columns is watched.
    ///
    /// # Errors
    /// If there is no column of the name.
    fn find(&self, columns: &[Column]) -> Result<usize> {
        let place = |name: &str| columns.iter().position(|column| column.name == name);
        match &self.column {
            Some(name) => place(name).ok_or_else(|| {
                let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
                Error::invalid(format!(
                    "there is no `{name}` to watch; the history has {}",
                    names.join(", ")
                ))
            }),
            None => Ok(place("val_loss").unwrap_or(0)),
        }
    }

    /// Writes down the best value so far.
    fn save(&self, name: &str, state: &mut CallbackState) {
        state.set_numbers(self.name(name), self.value.as_slice());
    }

    fn restore(&mut self, name: &str, state: &CallbackState) {
        self.value = state.numbers(&self.name(name)).and_then(|n| n.first().copied());
    }

    /// Tells apart two of one kind that watch different columns.
    fn name(&self, name: &str) -> String {
        match &self.column {
            Some(column) => format!("{name} by {column}"),
            None => name.to_string(),
        }
    }

    /// Whether the last epoch is better than all before it, by more than `least`.
    fn improved(&mut self, history: &History, least: f64) -> Result<bool> {
        let i = self.find(&history.columns)?;
        let Some(last) = history.epochs.last() else {
            return Ok(false);
        };
        let value = last.values[i];
        let better = match self.value {
            None => !value.is_nan(),
            Some(best) if history.columns[i].higher_is_better => value > best + least,
            Some(best) => value < best - least,
        };
        if better {
            self.value = Some(value);
        }
        Ok(better)
    }
}
