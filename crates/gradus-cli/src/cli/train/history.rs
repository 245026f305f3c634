//! The history beside the network: its files, written after each epoch, and its curves.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use gradus::Network;
use gradus::callback::{Callback, EpochEnd, Flow};
use gradus::history::History;

use super::{CURVES, FILES, HISTORY, RESULT};
use crate::output::OutputFolder;
use crate::plot::{Curve, Panel};

/// Writes the history as it grows. Before the first file of this training is written, those of an earlier one are set aside.
pub(super) struct HistoryWriter<'a> {
    pub(super) folder: &'a OutputFolder,
    pub(super) path: PathBuf,
    /// Whether the training goes on that wrote the files in the folder.
    pub(super) resumes: bool,
    /// Whether this one has written any.
    pub(super) began: bool,
    pub(super) written: Instant,
}

impl HistoryWriter<'_> {
    /// Between two writings of the history: epochs may take less time than a file.
    const PAUSE: Duration = Duration::from_secs(2);

    fn begin(&mut self) -> gradus::Result<()> {
        if !std::mem::replace(&mut self.began, true) {
            // A network that is trained further is not yet what its history says.
            let last = [RESULT, CURVES[0], CURVES[1]];
            self.folder
                .set_aside(if self.resumes { last.to_vec() } else { FILES.to_vec() })?;
        }
        Ok(())
    }

    fn write(&mut self, history: &History) -> gradus::Result<()> {
        let [csv, json] = HISTORY.map(|name| self.path.join(name));
        history.save_csv(csv)?;
        history.save_json(json)?;
        self.written = Instant::now();
        Ok(())
    }
}

impl Callback for HistoryWriter<'_> {
    fn on_checkpoint(&mut self) -> gradus::Result<()> {
        self.begin()
    }

    fn on_epoch(&mut self, end: &EpochEnd<'_>) -> gradus::Result<Flow> {
        self.begin()?;
        if self.written.elapsed() >= Self::PAUSE {
            self.write(end.history)?;
        }
        Ok(Flow::Continue)
    }

    fn on_end(&mut self, _network: &mut Network, history: &History) -> gradus::Result<()> {
        self.begin()?;
        self.write(history)
    }
}

/// A panel of curves for the loss and for each metric.
pub(super) fn panels(name: &str, loss: &str, history: &History) -> Vec<Panel> {
    let measured = history.columns.iter().filter(|column| !column.name.starts_with("val_"));
    measured
        .map(|column| Panel {
            title: if column.name == "loss" {
                format!("Loss ({})", loss.replace('_', " "))
            } else {
                sentence_case(&column.name)
            },
            percent: ["accuracy", "top_", "precision", "recall", "f1"]
                .iter()
                .any(|share| column.name.starts_with(share)),
            higher_is_better: column.higher_is_better,
            curves: vec![Curve {
                name: name.to_string(),
                train: history.values(&column.name),
                validation: history.values(&format!("val_{}", column.name)),
            }],
        })
        .collect()
}

/// `absolute_error` as `Absolute error`.
fn sentence_case(name: &str) -> String {
    let name = name.replace('_', " ");
    let mut letters = name.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
