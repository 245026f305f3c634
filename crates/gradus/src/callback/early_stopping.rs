use super::{Best, Callback, CallbackState, EpochEnd, Flow, Start};
use crate::history::History;
use crate::network::Weights;
use crate::{Network, Result};

/// Ends training once `patience` epochs in a row brought nothing better, and puts the best epoch's weights back.
///
/// ```
/// use gradus::callback::EarlyStopping;
/// let stop = EarlyStopping::new(5).watch("val_accuracy").min_delta(0.001);
/// ```
#[derive(Debug, Clone)]
pub struct EarlyStopping {
    patience: usize,
    min_delta: f64,
    best: Best,
    weights: Option<Weights>,
    waited: usize,
}

impl EarlyStopping {
    /// Waits for `patience` epochs, watching `val_loss`, or `loss` where there is no validation.
    pub fn new(patience: usize) -> Self {
        EarlyStopping {
            patience,
            min_delta: 0.0,
            best: Best::by(None),
            weights: None,
            waited: 0,
        }
    }

    /// Watches this column of the history; which direction is better, its metric knows.
    pub fn watch(mut self, column: impl Into<String>) -> Self {
        self.best = Best::by(Some(column.into()));
        self
    }

    /// How much better is better.
    pub fn min_delta(mut self, least: f64) -> Self {
        self.min_delta = least;
        self
    }
}

impl Callback for EarlyStopping {
    fn on_start(&mut self, start: &Start<'_>, _network: &Network) -> Result<()> {
        self.best.find(start.columns).map(drop)
    }

    fn save(&self, state: &mut CallbackState) {
        self.best.save("early stopping, best", state);
        state.set_numbers(self.best.name("early stopping, waited"), &[self.waited as f64]);
        if let Some(weights) = &self.weights {
            state.set_weights(self.best.name("early stopping"), weights);
        }
    }

    fn restore(&mut self, state: &CallbackState) -> Result<()> {
        self.best.restore("early stopping, best", state);
        let waited = state.numbers(&self.best.name("early stopping, waited"));
        self.waited = waited.and_then(|n| n.first()).map_or(0, |n| n.clamp(0.0, 1e9) as usize);
        self.weights = state.weights(&self.best.name("early stopping")).cloned();
        Ok(())
    }

    fn on_epoch(&mut self, end: &EpochEnd<'_>) -> Result<Flow> {
        if self.best.improved(end.history, self.min_delta)? {
            self.waited = 0;
            match &mut self.weights {
                Some(weights) => weights.clone_from(end.network.weights()),
                None => self.weights = Some(end.network.weights().clone()),
            }
            return Ok(Flow::Continue);
        }
        self.waited += 1;
        Ok(if self.waited >= self.patience.max(1) {
            Flow::Stop
        } else {
            Flow::Continue
        })
    }

    fn on_end(&mut self, network: &mut Network, _history: &History) -> Result<()> {
        match &self.weights {
            Some(weights) => network.set_weights(weights),
            None => Ok(()),
        }
    }
}
