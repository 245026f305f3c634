//! What training recorded.

use std::fmt::Write as _;
use std::path::Path;

use crate::{Error, Result, save};

/// Every loss and metric of every epoch.
///
/// The first columns are always `loss` and, with validation, `val_loss`; then each metric and, with validation, `val_` and its
/// name.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct History {
    /// The columns: their names, and whether more is better.
    pub columns: Vec<Column>,
    /// The epochs, in order.
    pub epochs: Vec<Epoch>,
}

/// A column of a [`History`].
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Column {
    /// Its name: `val_accuracy`.
    pub name: String,
    /// Whether more is better.
    pub higher_is_better: bool,
}

/// An epoch of a [`History`].
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Epoch {
    /// Its number, from 1.
    pub epoch: usize,
    /// A value for each column.
    pub values: Vec<f64>,
    /// The learning rate of its last step.
    pub learning_rate: f64,
    /// The seconds that its training steps took, without validation.
    pub seconds: f64,
    /// Training samples in each of those seconds.
    pub samples_per_second: f64,
}

impl History {
    /// The place of a column.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// All values of a column, an epoch each; empty if there is no such column.
    ///
    /// ```
    /// # use gradus::history::History;
    /// assert!(History::default().values("val_loss").is_empty());
    /// ```
    pub fn values(&self, name: &str) -> Vec<f64> {
        let Some(i) = self.column(name) else { return Vec::new() };
        self.epochs.iter().map(|epoch| epoch.values[i]).collect()
    }

    /// The last value of a column.
    pub fn last(&self, name: &str) -> Option<f64> {
        self.values(name).last().copied()
    }

    /// The mean seconds of an epoch's training.
    pub fn seconds_per_epoch(&self) -> f64 {
        self.epochs.iter().map(|epoch| epoch.seconds).sum::<f64>() / self.epochs.len().max(1) as f64
    }

    /// The mean number of training samples a second.
    pub fn samples_per_second(&self) -> f64 {
        let seconds: f64 = self.epochs.iter().map(|epoch| epoch.seconds).sum();
        let samples: f64 = self
            .epochs
            .iter()
            .map(|epoch| epoch.samples_per_second * epoch.seconds)
            .sum();
        samples / seconds.max(f64::MIN_POSITIVE)
    }

    /// The history as CSV: a line of names, then a line an epoch.
    pub fn to_csv(&self) -> String {
        let mut out = String::from("epoch");
        for column in &self.columns {
            let _ = write!(out, ",{}", column.name);
        }
        out.push_str(",learning_rate,seconds,samples_per_second\n");
        for epoch in &self.epochs {
            let _ = write!(out, "{}", epoch.epoch);
            for value in &epoch.values {
                let _ = write!(out, ",{value}");
            }
            let _ = writeln!(
                out,
                ",{},{:.4},{:.1}",
                epoch.learning_rate, epoch.seconds, epoch.samples_per_second
            );
        }
        out
    }

    /// The history as JSON: an object an epoch, with a field for each column.
    pub fn to_json(&self) -> serde_json::Value {
        let epochs = self.epochs.iter().map(|epoch| {
            let mut object = serde_json::Map::new();
            object.insert("epoch".into(), epoch.epoch.into());
            for (column, &value) in self.columns.iter().zip(&epoch.values) {
                object.insert(column.name.clone(), value.into());
            }
            object.insert("learning_rate".into(), epoch.learning_rate.into());
            object.insert("seconds".into(), epoch.seconds.into());
            object.insert("samples_per_second".into(), epoch.samples_per_second.into());
            serde_json::Value::Object(object)
        });
        epochs.collect()
    }

    /// Writes [`to_csv`](History::to_csv) to a file.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn save_csv(&self, path: impl AsRef<Path>) -> Result<()> {
        save::atomic::write(path.as_ref(), self.to_csv().as_bytes())
    }

    /// Writes [`to_json`](History::to_json) to a file.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn save_json(&self, path: impl AsRef<Path>) -> Result<()> {
        let text = serde_json::to_string_pretty(&self.to_json()).map_err(|e| Error::file(&path, e))?;
        save::atomic::write(path.as_ref(), text.as_bytes())
    }
}
