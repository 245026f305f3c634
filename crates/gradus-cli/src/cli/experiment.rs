//! `gradus experiment`: the report's three studies of fitting.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use clap::{Args, ValueEnum};
use gradus::optim::Sgd;
use gradus::prelude::*;
use serde_json::{Value, json};

use super::GlobalOptions;
use super::options::{ComputeOptions, ExperimentDataOptions};
use crate::data_splits::DataSplits;
use crate::experiment::{self, ExperimentData, Outcome, TrainConfig, accuracy};
use crate::output::{CommandFiles, OutputFolder};
use crate::plot;
use gradus::save::atomic;

/// Repeat a study of the report: over-fitting, under-fitting or a good fit
///
/// Trains a perceptron with settings that bring about the case on MNIST, draws its curves, cost and accuracy on the samples that it
/// learns from beside those that it never sees, and says what they show.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  gradus experiment overfit\n  gradus experiment goodfit --epochs 5 --out runs/quick"
)]
pub struct RunExperiment {
    /// The study
    #[arg(value_enum)]
    experiment: Experiment,
    /// The number of epochs [default: 30 for overfit, 15 for the others]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    epochs: Option<u32>,
    #[command(flatten)]
    data: ExperimentDataOptions,
    /// The folder for all files [default: runs/ and the study's name]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    computation: ComputeOptions,
}

/// The learning rate of plain SGD in all studies.
const RATE: f64 = 0.04;

/// A study of fitting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Experiment {
    /// Learns the training samples by heart: 784-32-10, steps of 5 samples, 30 epochs
    Overfit,
    /// Too small for the task: 784-4-10, steps of 100 samples, 15 epochs
    Underfit,
    /// As good on new samples as on known ones: 784-256-256-10, steps of 100 samples, 15 epochs
    Goodfit,
}

/// What is trained, and how.
struct ExperimentSettings {
    /// The units of each hidden layer.
    hidden: &'static [usize],
    batch_size: usize,
    epochs: usize,
}

impl Experiment {
    fn name(self) -> &'static str {
        match self {
            Experiment::Overfit => "overfit",
            Experiment::Underfit => "underfit",
            Experiment::Goodfit => "goodfit",
        }
    }

    fn settings(self) -> ExperimentSettings {
        let (hidden, batch_size, epochs): (&[usize], usize, usize) = match self {
            Experiment::Overfit => (&[32], 5, 30),
            Experiment::Underfit => (&[4], 100, 15),
            Experiment::Goodfit => (&[256, 256], 100, 15),
        };
        ExperimentSettings {
            hidden,
            batch_size,
            epochs,
        }
    }

    /// All files, the last that is written first.
    fn files(self) -> [&'static str; 6] {
        let [network, csv, json] = match self {
            Experiment::Overfit => ["overfit.safetensors", "overfit-history.csv", "overfit-history.json"],
            Experiment::Underfit => ["underfit.safetensors", "underfit-history.csv", "underfit-history.json"],
            Experiment::Goodfit => ["goodfit.safetensors", "goodfit-history.csv", "goodfit-history.json"],
        };
        [RESULTS, network, csv, json, "curves.svg", "curves.png"]
    }
}

/// The file with all results.
const RESULTS: &str = "results.json";

impl RunExperiment {
    fn folder(&self) -> PathBuf {
        let usual = || PathBuf::from("runs").join(self.experiment.name());
        self.out.clone().unwrap_or_else(usual)
    }

    /// What it reads and writes.
    pub fn files(&self) -> CommandFiles {
        let folder = self.folder();
        CommandFiles {
            reads: Vec::new(),
            samples: self.data.place(),
            writes: self.experiment.files().iter().map(|name| folder.join(name)).collect(),
        }
    }
}

/// Runs the command; returns its results.
pub fn run(options: &RunExperiment, settings: &GlobalOptions, out: &mut dyn Write) -> Result<Value> {
    let splits = options.data.load(settings)?;
    let name = options.experiment.name();
    let folder = options.folder();
    let claimed = OutputFolder::claim(&folder, &options.experiment.files())?;

    let samples = ExperimentData::of(&splits, settings.seed)?;
    let ExperimentSettings {
        hidden,
        batch_size,
        epochs,
    } = options.experiment.settings();
    let mut network = options.computation.of(perceptron(hidden, &splits, settings.seed)?)?;
    splits.metadata()?.write(&mut network)?;
    let config = TrainConfig {
        epochs: options.epochs.map_or(epochs, |n| n as usize),
        batch_size,
        optimizer: Arc::new(Sgd::new(RATE)),
        schedule: None,
        augmentation: None,
    };
    let outcome = experiment::run(name, network, &config, &samples, settings)?;

    for (part, evaluation) in [
        ("train", &outcome.train),
        ("validation", &outcome.validation),
        ("test", &outcome.test),
    ] {
        let percent = 100.0 * accuracy(evaluation);
        writeln!(out, "{part:<12}loss {:.4}   accuracy {percent:6.2} %", evaluation.loss)?;
    }
    let history = &outcome.history;
    let verdict = experiment::verdict(
        &history.values("loss"),
        &history.values("val_loss"),
        splits.classes.len(),
    );
    writeln!(out, "{verdict}")?;
    let results = json!({
        "command": "experiment",
        "study": name,
        "seed": settings.seed,
        "data": splits.name,
        "verdict": verdict,
        "networks": [outcome.to_json(&splits.classes)],
    });
    let written = (claimed
        .set_aside(options.experiment.files())
        .map_err(anyhow::Error::new))
    .and_then(|()| write_files(options.experiment, &folder, &outcome, &splits, &results));
    written.map_err(|error| claimed.explained(error))?;
    claimed.forget_earlier();
    writeln!(out, "The curves are in {}.", folder.join("curves.png").display())?;
    Ok(results)
}

/// A perceptron with hidden layers of these numbers of units.
fn perceptron(hidden: &[usize], splits: &DataSplits, seed: u64) -> Result<Network> {
    let mut network = Sequential::new(splits.train.shape()).layer(Flatten);
    for &units in hidden {
        network = network.layer(Dense::new(units)).layer(Relu);
    }
    let classes = splits.classes.len();
    Ok(network.layer(Dense::new(classes)).layer(Softmax).build(seed)?)
}

fn write_files(
    experiment: Experiment,
    folder: &Path,
    outcome: &Outcome,
    splits: &DataSplits,
    results: &Value,
) -> Result<()> {
    let ExperimentSettings { hidden, batch_size, .. } = experiment.settings();
    outcome.save(folder)?;
    let about = format!(
        "{}, {} units hidden, steps of {batch_size}, SGD {RATE}, seed {}",
        splits.name,
        layers(hidden),
        results["seed"]
    );
    let histories = std::iter::once((experiment.name(), &outcome.history));
    plot::write(
        folder,
        "curves",
        &plot::curves(title(experiment), &about, &experiment::panels(histories)),
    )?;
    let text = serde_json::to_string_pretty(results)? + "\n";
    Ok(atomic::write(&folder.join(RESULTS), text.as_bytes())?)
}

fn title(experiment: Experiment) -> &'static str {
    match experiment {
        Experiment::Overfit => "The study of over-fitting",
        Experiment::Underfit => "The study of under-fitting",
        Experiment::Goodfit => "The study of a good fit",
    }
}

fn layers(hidden: &[usize]) -> String {
    hidden.iter().map(usize::to_string).collect::<Vec<_>>().join("-")
}
