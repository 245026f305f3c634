use std::path::PathBuf;

use super::{Best, Callback, CallbackState, EpochEnd, Flow, Start};
use crate::{Network, Result};

/// Saves the network whenever an epoch was the best so far. The file is whole at every moment.
///
/// ```no_run
/// use gradus::callback::SaveBest;
/// let save = SaveBest::new("digits.safetensors").watch("val_accuracy");
/// ```
#[derive(Debug, Clone)]
pub struct SaveBest {
    path: PathBuf,
    best: Best,
}

impl SaveBest {
    /// Saves to this file, watching `val_loss`, or `loss` where there is no validation.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        SaveBest {
            path: path.into(),
            best: Best::by(None),
        }
    }

    /// Watches this column of the history.
    pub fn watch(mut self, column: impl Into<String>) -> Self {
        self.best = Best::by(Some(column.into()));
        self
    }
}

impl Callback for SaveBest {
    fn on_start(&mut self, start: &Start<'_>, _network: &Network) -> Result<()> {
        self.best.find(start.columns).map(drop)
    }

    fn save(&self, state: &mut CallbackState) {
        self.best.save("checkpoint", state);
    }

    fn restore(&mut self, state: &CallbackState) -> Result<()> {
        self.best.restore("checkpoint", state);
        Ok(())
    }

    fn on_epoch(&mut self, end: &EpochEnd<'_>) -> Result<Flow> {
        if self.best.improved(end.history, 0.0)? {
            end.network.save(&self.path)?;
        }
        Ok(Flow::Continue)
    }
}
