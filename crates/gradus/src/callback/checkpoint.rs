use std::path::PathBuf;

use super::{Best, Callback, EpochEnd, Flow, Memory, Start};
use crate::{Network, Result};

/// Saves the network whenever an epoch was the best so far. The file is whole at every moment.
///
/// ```no_run
/// use gradus::callback::Checkpoint;
/// let save = Checkpoint::best("digits.safetensors").watch("val_accuracy");
/// ```
#[derive(Debug, Clone)]
pub struct Checkpoint {
    path: PathBuf,
    best: Best,
}

impl Checkpoint {
    /// Saves to this file, watching `val_loss`, or `loss` where there is no validation.
    pub fn best(path: impl Into<PathBuf>) -> Self {
        Checkpoint {
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

impl Callback for Checkpoint {
    fn on_start(&mut self, start: &Start<'_>, _network: &Network) -> Result<()> {
        self.best.find(start.columns).map(drop)
    }

    fn save(&self, memory: &mut Memory) {
        self.best.save("checkpoint", memory);
    }

    fn restore(&mut self, memory: &Memory) -> Result<()> {
        self.best.restore("checkpoint", memory);
        Ok(())
    }

    fn on_epoch(&mut self, end: &EpochEnd<'_>) -> Result<Flow> {
        if self.best.improved(end.history, 0.0)? {
            end.network.save(&self.path)?;
        }
        Ok(Flow::Continue)
    }
}
