use std::path::PathBuf;

use super::{Callback, EpochEnd, Flow};
use crate::Result;

/// Writes the history so far as CSV after every epoch.
#[derive(Debug, Clone)]
pub struct CsvLog(PathBuf);

impl CsvLog {
    /// To this file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        CsvLog(path.into())
    }
}

impl Callback for CsvLog {
    fn on_epoch(&mut self, end: &EpochEnd<'_>) -> Result<Flow> {
        end.history.save_csv(&self.0)?;
        Ok(Flow::Continue)
    }
}

/// Writes the history so far as JSON after every epoch.
#[derive(Debug, Clone)]
pub struct JsonLog(PathBuf);

impl JsonLog {
    /// To this file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        JsonLog(path.into())
    }
}

impl Callback for JsonLog {
    fn on_epoch(&mut self, end: &EpochEnd<'_>) -> Result<Flow> {
        end.history.save_json(&self.0)?;
        Ok(Flow::Continue)
    }
}
