//! `gradus compare`: the report's two networks, trained on the same samples, side by side.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use gradus::augment::Warp;
use gradus::optim::{Adam, Sgd};
use gradus::schedule::OneCycle;
use gradus::{Evaluation, Shape};
use serde_json::{Value, json};

use super::GlobalOptions;
use super::options::{ComputeOptions, ExperimentDataOptions};
use crate::data_splits::DataSplits;
use crate::experiment::{self, ExperimentData, Outcome, TrainConfig, accuracy};
use crate::metadata::Metadata;
use crate::networks;
use crate::output::{CommandFiles, OutputFolder};
use crate::plot::{self, count};
use crate::terminal::display_name;
use gradus::save::atomic;

/// Train a perceptron and a convolutional network on MNIST, and compare them
///
/// The two networks are those of the report "Deep learning: Neural Network from scratch": the perceptron 784-256-256-10, and a
/// convolution of 5 kernels of 3×3 with max pooling before a dense layer of 100. Both are trained on the same samples, a tenth
/// of which is held out for validation, and tested on samples that neither has seen.
///
/// The table goes to standard output. Into --out go the histories (CSV and JSON), the curves of cost and accuracy and the
/// confusion matrices (SVG and PNG), both networks, ready for `gradus predict`, and results.json.
///
/// On sets of fewer than 10,000 training samples a step takes an eighth of the recipe's samples, since an epoch of few steps
/// teaches little.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  gradus compare\n  gradus compare --recipe best --seeds 5\n  gradus compare --data fashion-mnist --epochs 3"
)]
pub struct Compare {
    /// The settings of training: the report's, or the best known for the same networks in the same number of epochs
    #[arg(long, value_enum, default_value_t = Preset::Report)]
    recipe: Preset,
    /// The number of epochs for both networks [default: 15 for the perceptron, 10 for the convolutional network]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    epochs: Option<u32>,
    #[command(flatten)]
    data: ExperimentDataOptions,
    /// Repeat everything with this number of seeds, from --seed on, and show mean and spread of the accuracies; the files
    /// are those of the first
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    seeds: u32,
    /// The folder for all files
    #[arg(long, value_name = "DIR", default_value = "runs/compare")]
    out: PathBuf,
    #[command(flatten)]
    computation: ComputeOptions,
}

/// Settings of training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// Plain SGD, as in the report
    Report,
    /// Adam, one cycle of the learning rate, and elastic changes of the images
    Best,
}

impl Compare {
    /// What it reads and writes.
    pub fn files(&self) -> CommandFiles {
        CommandFiles {
            reads: Vec::new(),
            samples: self.data.place(),
            writes: FILES.iter().map(|name| self.out.join(name)).collect(),
        }
    }
}

/// The file with all results.
const RESULTS: &str = "results.json";
/// All files, the last that is written first.
const FILES: [&str; 11] = [
    RESULTS,
    "mlp.safetensors",
    "mlp-history.csv",
    "mlp-history.json",
    "cnn.safetensors",
    "cnn-history.csv",
    "cnn-history.json",
    "curves.svg",
    "curves.png",
    "confusion.svg",
    "confusion.png",
];

/// The names of the networks compared.
const NAMES: [&str; 2] = ["mlp", "cnn"];

/// Below this many training samples, steps take an eighth of the samples: an epoch of few steps teaches little.
const SMALL: usize = 10_000;

impl Preset {
    fn name(self) -> &'static str {
        match self {
            Preset::Report => "report",
            Preset::Best => "best",
        }
    }

    /// How a network is trained on `samples` samples of this shape.
    fn config(self, network: &str, samples: usize, shape: &Shape) -> TrainConfig {
        let (epochs, batch_size, rate) = match (self, network) {
            (Preset::Report, "mlp") => (15, 100, 0.04),
            (Preset::Report, _) => (10, 128, 0.01),
            (Preset::Best, "mlp") => (15, 100, 0.003),
            (Preset::Best, _) => (10, 64, 0.005),
        };
        let batch_size = if samples < SMALL { batch_size / 8 } else { batch_size };
        let plain = TrainConfig {
            epochs,
            batch_size,
            optimizer: Arc::new(Sgd::new(rate)),
            schedule: None,
            augmentation: None,
        };
        match self {
            Preset::Report => plain,
            Preset::Best => TrainConfig {
                optimizer: Arc::new(Adam::new(rate)),
                schedule: Some(OneCycle::default()),
                augmentation: shape.image().map(|(_, height, _)| warp(height)),
                ..plain
            },
        }
    }
}

/// The changes that suit digits of 28 pixels, for images of this height.
fn warp(height: usize) -> Warp {
    let scale = height as f64 / 28.0;
    Warp::new()
        .shift(scale)
        .rotate(8.0)
        .scale(0.08)
        .elastic(20.0 * scale, (4.0 * scale).max(1.0))
}

/// Runs the command; returns its results.
pub fn run(options: &Compare, settings: &GlobalOptions, out: &mut dyn Write) -> Result<Value> {
    let splits = options.data.load(settings)?;
    // Whether the results can be written is known before an hour of training, not after.
    let folder = OutputFolder::claim(&options.out, &FILES)?;

    let metadata = splits.metadata()?;
    let mut outcomes = Vec::new();
    let mut tested: [Vec<f64>; 2] = Default::default();
    for seed in (0..u64::from(options.seeds)).map(|i| settings.seed.wrapping_add(i)) {
        let settings = GlobalOptions {
            seed,
            ..settings.clone()
        };
        let samples = ExperimentData::of(&splits, seed)?;
        for (name, tested) in NAMES.iter().zip(&mut tested) {
            let outcome = train(name, options, &metadata, &splits, &samples, &settings)?;
            tested.push(accuracy(&outcome.test));
            if outcomes.len() < NAMES.len() {
                outcomes.push(outcome);
            }
        }
    }
    print(&outcomes, &splits.classes, out)?;
    if options.seeds > 1 {
        print_spread(&tested, settings.seed, out)?;
    }

    let mut results = json!({
        "command": "compare",
        "recipe": options.recipe.name(),
        "seed": settings.seed,
        "data": splits.name,
        "networks": outcomes.iter().map(|outcome| outcome.to_json(&splits.classes)).collect::<Value>(),
    });
    if options.seeds > 1 {
        let spreads = NAMES.iter().zip(&tested).map(|(name, tested)| {
            let Spread { mean, deviation, least, most } = Spread::of(tested);
            json!({ "name": name, "test_accuracies": tested, "mean": mean, "standard_deviation": deviation, "min": least, "max": most })
        });
        results["seeds"] = spreads.collect();
    }
    let written = (folder.set_aside(FILES).map_err(anyhow::Error::new))
        .and_then(|()| write_files(&options.out, &outcomes, &splits, options.recipe, &results));
    written.map_err(|error| folder.explained(error))?;
    folder.forget_earlier();
    writeln!(
        out,
        "\nCurves, confusion matrices, networks and results are in {}.",
        options.out.display()
    )?;
    Ok(results)
}

fn train(
    name: &str,
    options: &Compare,
    metadata: &Metadata,
    splits: &DataSplits,
    samples: &ExperimentData,
    settings: &GlobalOptions,
) -> Result<Outcome> {
    let shape = splits.train.shape();
    let mut config = options.recipe.config(name, splits.train.len(), &shape);
    if let Some(epochs) = options.epochs {
        config.epochs = epochs as usize;
    }
    let network = networks::built_in(name, &shape, splits.classes.len())
        .with_context(|| format!("there is no network {name}"))?
        .build(settings.seed)?;
    let mut network = options.computation.of(network)?;
    let metadata = Metadata {
        training: Some(
            json!({ "recipe": options.recipe.name(), "method": format!("{config:?}"), "seed": settings.seed }),
        ),
        ..metadata.clone()
    };
    metadata.write(&mut network)?;
    experiment::run(name, network, &config, samples, settings)
}

/// The table: a column for each network.
fn print(outcomes: &[Outcome], classes: &[String], out: &mut dyn Write) -> Result<()> {
    let mut row = |title: &str, cell: &dyn Fn(&Outcome) -> String| -> Result<()> {
        write!(out, "{title:<24}")?;
        for outcome in outcomes {
            write!(out, "{:>18}", cell(outcome))?;
        }
        Ok(writeln!(out)?)
    };
    row("", &|o| o.name.clone())?;
    row("parameters", &|o| count(o.network.parameter_count() as u64))?;
    row("multiply-adds", &|o| count(o.network.multiply_adds()))?;
    row("epochs", &|o| o.history.epochs.len().to_string())?;
    row("seconds per epoch", &|o| {
        format!("{:.2}", o.history.seconds_per_epoch())
    })?;
    row("samples per second", &|o| count(o.history.samples_per_second() as u64))?;
    type SelectPart = fn(&Outcome) -> &Evaluation;
    let parts: [(&str, SelectPart); 3] = [
        ("train", |o| &o.train),
        ("validation", |o| &o.validation),
        ("test", |o| &o.test),
    ];
    for (title, part) in parts {
        row(&format!("{title} loss"), &|o| format!("{:.4}", part(o).loss))?;
    }
    for (title, part) in parts {
        row(&format!("{title} accuracy"), &|o| {
            format!("{:.2} %", 100.0 * accuracy(part(o)))
        })?;
    }

    print_classes(outcomes, classes, out)
}

/// What each network makes of each class: a pair of columns for each network, and then the classes that it confuses most.
fn print_classes(outcomes: &[Outcome], classes: &[String], out: &mut dyn Write) -> Result<()> {
    writeln!(out)?;
    let mut row = |title: &str, cell: &dyn Fn(&Outcome) -> [String; 2]| -> Result<()> {
        write!(out, "{title:<16}")?;
        for outcome in outcomes {
            let [a, b] = cell(outcome);
            write!(out, "  {a:>10}{b:>10}")?;
        }
        Ok(writeln!(out)?)
    };
    row("test, by class", &|o| [o.name.clone(), String::new()])?;
    row("", &|_| ["precision".into(), "recall".into()])?;
    for (i, class) in classes.iter().enumerate() {
        row(&display_name(class), &|o| {
            let percent = |share: f64| match o.confusion.support(i) {
                0 => "–".into(),
                _ => format!("{:.2} %", 100.0 * share),
            };
            [o.confusion.precision(i), o.confusion.recall(i)].map(percent)
        })?;
    }

    writeln!(out)?;
    for outcome in outcomes {
        let pairs: Vec<String> = (outcome.most_confused().iter())
            .map(|&(truth, decision, n)| {
                format!(
                    "{} for {} ({n}×)",
                    display_name(&classes[truth]),
                    display_name(&classes[decision])
                )
            })
            .collect();
        writeln!(out, "{} most often takes: {}", outcome.name, confused_pairs(&pairs))?;
    }
    Ok(())
}

fn confused_pairs(pairs: &[String]) -> String {
    if pairs.is_empty() {
        "nothing for anything else".into()
    } else {
        pairs.join(", ")
    }
}

/// The mean and spread of some accuracies.
struct Spread {
    mean: f64,
    /// The standard deviation of a sample.
    deviation: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        Spread {
            mean,
            deviation: (squares / (n - 1.0).max(1.0)).sqrt(),
            least: values.iter().copied().fold(f64::INFINITY, f64::min),
            most: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }
}

fn print_spread(tested: &[Vec<f64>; 2], seed: u64, out: &mut dyn Write) -> Result<()> {
    let seeds = tested[0].len() as u64;
    writeln!(
        out,
        "\ntest accuracy over {seeds} seeds ({seed} to {})",
        seed.wrapping_add(seeds - 1)
    )?;
    for (name, tested) in NAMES.iter().zip(tested) {
        let Spread {
            mean,
            deviation,
            least,
            most,
        } = Spread::of(tested);
        writeln!(
            out,
            "{name}  mean {:.2} %, standard deviation {:.2}, from {:.2} to {:.2} %",
            100.0 * mean,
            100.0 * deviation,
            100.0 * least,
            100.0 * most
        )?;
    }
    Ok(())
}

fn write_files(
    folder: &Path,
    outcomes: &[Outcome],
    splits: &DataSplits,
    recipe: Preset,
    results: &Value,
) -> Result<()> {
    for outcome in outcomes {
        outcome.save(folder)?;
    }
    let about = format!(
        "{}, the {} recipe, seed {}",
        splits.name,
        recipe.name(),
        results["seed"]
    );
    let histories = outcomes.iter().map(|o| (o.name.as_str(), &o.history));
    plot::write(
        folder,
        "curves",
        &plot::curves("Learning curves", &about, &experiment::panels(histories)),
    )?;
    let matrices: Vec<_> = outcomes.iter().map(|o| o.confusion_picture(&splits.classes)).collect();
    plot::write(
        folder,
        "confusion",
        &plot::confusions("Confusion on the test samples", &about, &matrices),
    )?;
    let text = serde_json::to_string_pretty(results)? + "\n";
    Ok(atomic::write(&folder.join(RESULTS), text.as_bytes())?)
}
