//! `gradus experiment`: the report's three studies of fitting.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use clap::{Args, ValueEnum};
use gradus::optim::Sgd;
use gradus::prelude::*;
use serde_json::{Value, json};

use super::Settings;
use super::options::{Computation, StudyData};
use crate::output::{Files, Folder};
use crate::plot;
use crate::study::{self, Method, Outcome, Samples, accuracy};
use crate::task::Task;
use gradus::save::atomic;

/// Repeat a study of the report: over-fitting, under-fitting or a good fit
///
/// Trains a perceptron with settings that bring about the case on MNIST, draws its curves, cost and accuracy on the samples that it
/// learns from beside those that it never sees, and says what they show.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  gradus experiment overfit\n  gradus experiment goodfit --epochs 5 --out runs/quick"
)]
pub struct Experiment {
    /// The study
    #[arg(value_enum)]
    study: Study,
    /// The number of epochs [default: 30 for overfit, 15 for the others]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    epochs: Option<u32>,
    #[command(flatten)]
    data: StudyData,
    /// The folder for all files [default: runs/ and the study's name]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    computation: Computation,
}

/// The learning rate of plain SGD in all studies.
const RATE: f64 = 0.04;

/// A study of fitting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Study {
    /// Learns the training samples by heart: 784-32-10, steps of 5 samples, 30 epochs
    Overfit,
    /// Too small for the task: 784-4-10, steps of 100 samples, 15 epochs
    Underfit,
    /// As good on new samples as on known ones: 784-256-256-10, steps of 100 samples, 15 epochs
    Goodfit,
}

/// What is trained, and how.
struct Fitting {
    /// The units of each hidden layer.
    hidden: &'static [usize],
    batch_size: usize,
    epochs: usize,
}

impl Study {
    fn name(self) -> &'static str {
        match self {
            Study::Overfit => "overfit",
            Study::Underfit => "underfit",
            Study::Goodfit => "goodfit",
        }
    }

    fn settings(self) -> Fitting {
        let (hidden, batch_size, epochs): (&[usize], usize, usize) = match self {
            Study::Overfit => (&[32], 5, 30),
            Study::Underfit => (&[4], 100, 15),
            Study::Goodfit => (&[256, 256], 100, 15),
        };
        Fitting {
            hidden,
            batch_size,
            epochs,
        }
    }

    /// All files, the last that is written first.
    fn files(self) -> [&'static str; 6] {
        let [network, csv, json] = match self {
            Study::Overfit => ["overfit.safetensors", "overfit-history.csv", "overfit-history.json"],
            Study::Underfit => ["underfit.safetensors", "underfit-history.csv", "underfit-history.json"],
            Study::Goodfit => ["goodfit.safetensors", "goodfit-history.csv", "goodfit-history.json"],
        };
        [RESULTS, network, csv, json, "curves.svg", "curves.png"]
    }
}

/// The file with all results.
const RESULTS: &str = "results.json";

impl Experiment {
    fn folder(&self) -> PathBuf {
        let usual = || PathBuf::from("runs").join(self.study.name());
        self.out.clone().unwrap_or_else(usual)
    }

    /// What it reads and writes.
    pub fn files(&self) -> Files {
        let folder = self.folder();
        Files {
            reads: Vec::new(),
            samples: self.data.place(),
            writes: self.study.files().iter().map(|name| folder.join(name)).collect(),
        }
    }
}

/// Runs the command; returns its results.
pub fn run(options: &Experiment, settings: &Settings, out: &mut dyn Write) -> Result<Value> {
    let (task, note) = options.data.load(settings)?;
    let name = options.study.name();
    let folder = options.folder();
    let claimed = Folder::claim(&folder, &options.study.files())?;

    let samples = Samples::of(&task, settings.seed)?;
    let Fitting {
        hidden,
        batch_size,
        epochs,
    } = options.study.settings();
    let mut network = Sequential::new(task.train.shape()).layer(Flatten);
    for &units in hidden {
        network = network.layer(Dense::new(units)).layer(Relu);
    }
    let network = network
        .layer(Dense::new(task.classes.len()))
        .layer(Softmax)
        .build(settings.seed)?;
    let mut network = options.computation.of(network)?;
    task.notes()?.write(&mut network)?;
    let method = Method {
        epochs: options.epochs.map_or(epochs, |n| n as usize),
        batch_size,
        optimizer: Arc::new(Sgd::new(RATE)),
        schedule: None,
        augmentation: None,
    };
    let outcome = study::run(name, network, &method, &samples, settings)?;

    for (part, evaluation) in [
        ("train", &outcome.train),
        ("validation", &outcome.validation),
        ("test", &outcome.test),
    ] {
        let percent = 100.0 * accuracy(evaluation);
        writeln!(out, "{part:<12}loss {:.4}   accuracy {percent:6.2} %", evaluation.loss)?;
    }
    let history = &outcome.history;
    let verdict = study::verdict(&history.values("loss"), &history.values("val_loss"), task.classes.len());
    writeln!(out, "{verdict}")?;
    let results = json!({
        "command": "experiment",
        "study": name,
        "seed": settings.seed,
        "data": task.name,
        "note": note,
        "verdict": verdict,
        "networks": [outcome.to_json(&task.classes)],
    });
    let written = (claimed.set_aside(options.study.files()).map_err(anyhow::Error::new))
        .and_then(|()| write_files(options.study, &folder, &outcome, &task, &results));
    written.map_err(|error| claimed.explained(error))?;
    claimed.forget_earlier();
    writeln!(out, "The curves are in {}.", folder.join("curves.png").display())?;
    Ok(results)
}

fn write_files(study: Study, folder: &Path, outcome: &Outcome, task: &Task, results: &Value) -> Result<()> {
    let Fitting { hidden, batch_size, .. } = study.settings();
    outcome.save(folder)?;
    let about = format!(
        "{}, {} units hidden, steps of {batch_size}, SGD {RATE}, seed {}",
        task.name,
        layers(hidden),
        results["seed"]
    );
    let histories = std::iter::once((study.name(), &outcome.history));
    plot::write(
        folder,
        "curves",
        &plot::curves(title(study), &about, &study::panels(histories)),
    )?;
    let text = serde_json::to_string_pretty(results)? + "\n";
    Ok(atomic::write(&folder.join(RESULTS), text.as_bytes())?)
}

fn title(study: Study) -> &'static str {
    match study {
        Study::Overfit => "The study of over-fitting",
        Study::Underfit => "The study of under-fitting",
        Study::Goodfit => "The study of a good fit",
    }
}

fn layers(hidden: &[usize]) -> String {
    hidden.iter().map(usize::to_string).collect::<Vec<_>>().join("-")
}
