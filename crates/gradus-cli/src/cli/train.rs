//! `gradus train`: trains one network, as the options say.

mod history;
mod job;
mod rates;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use gradus::data::{Dataset, Subset, Targets, split};
use gradus::metric::Metric;
use gradus::{Evaluation, Network, Registry};
use serde_json::{Value, json};

use self::job::TrainJob;
use self::rates::{FinderOption, RATES};
use super::GlobalOptions;
use super::interrupt;
use super::options::{ComputeOptions, DataOptions, TEST, absolute_name};
use super::recipe::{self, Recipe};
use crate::classes::PositiveClass;
use crate::data_source::DEFAULT_SET;
use crate::data_splits::{DataSplits, ReadOptions, XOR};
use crate::metadata::DataOrigin;
use crate::networks;
use crate::output::{CommandFiles, OutputFolder};
use crate::registry::{or_list, registry};
use crate::suggestion::choose;
use crate::table::is_table;
use crate::terminal::path_text;

/// The share of the training samples that is held out for validation, by default.
const VALIDATION: f64 = 0.1;

/// The metrics of values.
const VALUE_METRICS: [&str; 3] = ["r2", "absolute_error", "squared_error"];
/// Those of classes that stand for others: of other numbers, of one class, of other means.
const CLASS_METRICS: [&str; 6] = ["accuracy", "top_5", "precision", "recall", "f1", "f1_macro"];

/// Train a network
///
/// NETWORK is a built-in one, or a .toml or .json file that declares one, layer by layer:
///
///   input = [1, 28, 28]
///   [[layers]]
///   kind = "conv2d"
///   channels = 8
///   kernel = 3
///   [[layers]]
///   kind = "relu"
///   [[layers]]
///   kind = "flatten"
///   [[layers]]
///   kind = "dense"
///   units = 10
///   [[layers]]
///   kind = "softmax"
///
/// The built-in ones are `mlp` (two hidden layers of 256), `cnn` (a convolution of 5 kernels, a
/// dense layer of 100), `lenet` (LeNet-5, 1998) and `xor` (2-4-1, which learns the exclusive or);
/// they take the shape of the data.
///
/// A part of the training samples is held out for validation, which shows after each epoch how the
/// network does on samples that it hasn't learned. Into --out go:
///
///   network.safetensors      the trained network: all that `gradus predict` and `gradus evaluate` need
///   best.safetensors         the network as it was after its best epoch
///   history.csv, .json       losses and metrics after each epoch
///   curves.svg, .png         the same as curves
///   checkpoint.safetensors   where --resume goes on after training was interrupted: by Ctrl-C, by a power cut
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:
  gradus train xor
  gradus train mlp --epochs 5
  gradus train cnn --data digits --optimizer sgd --learning-rate 0.1 --momentum 0.9
  gradus train mlp --find-rate
  gradus train lenet --schedule one_cycle --augment shift=2,rotate=10 --patience 3 --epochs 30
  gradus train mlp --data houses.csv --target price --regression
  gradus train my-network.toml --data my-pictures --out runs/mine
  gradus train my-network.toml --weights runs/mine/network.safetensors --freeze 0,3 --data others
  gradus train my-network.toml --data my-pictures --out runs/mine --resume"
)]
pub struct Train {
    /// xor, mlp, cnn, lenet, or a .toml or .json file
    #[arg(value_name = "NETWORK")]
    network: PathBuf,
    /// Start from the weights in this file, a trained network of the same layers or PyTorch's, instead of from random ones
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    #[command(flatten)]
    data: DataOptions,
    /// The share of the samples to hold out for testing, where the data have no part for it [default: 0.2]
    #[arg(long, value_name = "FRACTION", help_heading = "Data")]
    test: Option<f64>,
    /// Take the numbers of a table as they are, instead of bringing each column to mean 0 and standard deviation 1, target
    /// values too; losses, metrics and predictions are in the targets' own units either way
    #[arg(long, help_heading = "Data")]
    raw: bool,
    #[command(flatten)]
    recipe: Recipe,
    /// The share of the training samples to hold out for validation; 0 for none [default: 0.1; xor: 0]
    #[arg(long, value_name = "FRACTION", help_heading = "Training")]
    validation: Option<f64>,
    /// Stop after this number of epochs without improvement, and restore the best weights
    #[arg(long, value_name = "EPOCHS", help_heading = "Training")]
    patience: Option<usize>,
    /// What decides which epoch is the best: loss or a metric, with val_ before it for validation [default: val_loss]
    #[arg(long, value_name = "COLUMN", help_heading = "Training")]
    watch: Option<String>,
    /// What to measure beside the loss.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', help_heading = "Training", help = format!(
        "What to measure beside the loss, of {}: top_5 (or another number); precision, recall and f1 are those of one of two classes, or \
         the mean over more (f1_macro is always the mean); with settings after a colon [default: accuracy for classes; r2 and \
         absolute_error for values]",
        or_list(registry().metrics.names())
    ))]
    metric: Vec<String>,
    #[command(flatten)]
    positive: PositiveClass,
    /// Show how long each layer took in training
    #[arg(long, help_heading = "Training")]
    profile: bool,
    /// Search for a learning rate instead of training: one step at each rate, from small to large, on a copy of the network; writes
    /// the loss at each rate into --out (rates.csv, .svg, .png). Settings after an equals sign: from, to, steps, smoothing, as in
    /// --find-rate=from=1e-5,to=1,steps=200 [default settings: from=1e-7,to=10,steps=100,smoothing=0.9]
    #[arg(long, value_name = "SETTINGS", num_args = 0..=1, require_equals = true, default_missing_value = "",
          conflicts_with_all = ["resume", "profile"], help_heading = "Training")]
    find_rate: Option<FinderOption>,
    /// The folder for all files; it keeps those of an earlier training, in gradus-previous, until this one has finished
    #[arg(long, value_name = "DIR", default_value = "runs/train")]
    out: PathBuf,
    /// Go on from the checkpoint in --out, if there is one: with the same options otherwise, it gives the same network, bit
    /// for bit, as training that was never interrupted
    #[arg(long)]
    resume: bool,
    /// Checkpoint interval in seconds; 0 saves one after every step
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = seconds)]
    checkpoint: f64,
    #[command(flatten)]
    computation: ComputeOptions,
}

/// The trained network.
const RESULT: &str = "network.safetensors";
/// The network after its best epoch.
const BEST: &str = "best.safetensors";
/// The file that training can go on from.
const CHECKPOINT: &str = "checkpoint.safetensors";
const HISTORY: [&str; 2] = ["history.csv", "history.json"];
const CURVES: [&str; 2] = ["curves.svg", "curves.png"];
/// All files, the result first.
const FILES: [&str; 7] = [RESULT, BEST, CHECKPOINT, HISTORY[0], HISTORY[1], CURVES[0], CURVES[1]];

/// Runs the command; returns its results.
pub fn run(options: &Train, settings: &GlobalOptions, out: &mut dyn Write) -> Result<Value> {
    let (job, mut network) = TrainJob::new(options, settings)?;
    if !settings.quiet {
        writeln!(out, "{}", network.summary())?;
        out.flush()?;
    }
    if let Some(finder) = options.find_rate {
        return rates::run(&job, &network, finder, out);
    }
    let folder = OutputFolder::claim(&options.out, &FILES)?;
    let mut fitted = || {
        let resumed = job.resumed()?;
        let (history, profile) = job.fit(&mut network, &folder, resumed.is_some())?;
        anyhow::Ok((resumed, history, profile))
    };
    let (resumed, history, profile) = fitted().map_err(|error| match error.downcast_ref() {
        Some(gradus::Error::Interrupted { .. }) => interrupt::explained(error),
        _ => folder.explained(error.context(format!("{} on {}", job.name, job.splits.name))),
    })?;
    if let Some(profile) = profile {
        writeln!(out, "{profile}\n")?;
    }
    let mut finished = || {
        let results = job.measure(&mut network, &history)?;
        job.write_files(&network, &history)?;
        Ok(results)
    };
    let results = finished().map_err(|error| folder.explained(error))?;
    folder.forget_earlier();
    job.print(&network, &history, &results, out)?;
    if resumed.is_none_or(|point| !point.ended) {
        job.print_earlier_exports();
    }
    Ok(job.to_json(&network, &history, &results))
}

/// Seconds on the command line: none means after every step.
fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds".to_string())?;
    if (0.0..=1e9).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("expected a number of seconds, 0 or more".into())
    }
}

/// An evaluation as an object with a field for each metric.
pub fn to_json(evaluation: &Evaluation) -> Value {
    let mut value = json!({ "samples": evaluation.samples, "loss": evaluation.loss });
    for (name, metric) in &evaluation.metrics {
        value[name] = (*metric).into();
    }
    value
}

impl Train {
    /// What it reads and writes.
    pub fn files(&self) -> CommandFiles {
        CommandFiles {
            reads: [&self.network].into_iter().chain(&self.weights).cloned().collect(),
            samples: self.data.place(),
            writes: match self.find_rate {
                Some(_) => RATES.map(|name| self.out.join(name)).into(),
                None => FILES.iter().map(|name| self.out.join(name)).collect(),
            },
        }
    }

    /// The network, if it is declared in a file.
    fn declared(&self, seed: u64) -> Result<Option<Network>> {
        let name = path_text(&self.network);
        if networks::is_built_in(&name) {
            return Ok(None);
        }
        let network = networks::declared(&self.network)?.build(seed);
        Ok(Some(network.context(name)?))
    }

    fn is_xor(&self) -> bool {
        self.network.as_os_str() == XOR
    }

    /// The recipe, where the exclusive or needs other settings with those.
    fn recipe(&self) -> Recipe {
        let mut recipe = self.recipe.clone();
        if self.is_xor() {
            recipe.epochs.get_or_insert(500);
            if recipe.optimizer.name == "adam" && !recipe.optimizer.settings.contains_key("learning_rate") {
                recipe.learning_rate.get_or_insert(0.05);
            }
        }
        recipe.epochs.get_or_insert(10);
        recipe
    }

    /// The samples that the options name.
    fn splits(&self, declared: Option<&Network>, settings: &GlobalOptions) -> Result<DataSplits> {
        let source = self.data.source(settings);
        let data = self
            .data
            .data
            .as_deref()
            .unwrap_or(if self.is_xor() { XOR } else { DEFAULT_SET });
        self.data.check_table(data)?;
        ensure!(
            is_table(Path::new(data)) || !self.raw,
            "--raw is for tables, and {data} is none"
        );
        let data = match &self.data.data {
            None if self.is_xor() => XOR,
            None => {
                ensure!(
                    self.test.is_none(),
                    "--test holds samples out where the data have no part for testing, and {data} has one: leave it out"
                );
                return DataSplits::usual(&source);
            }
            Some(data) => data,
        };
        let origin = DataOrigin {
            name: absolute_name(data)?,
            target: self.data.target.clone(),
            regression: self.data.regression,
            header: self.data.header,
            held_out: Some(self.test.unwrap_or(TEST)),
            seed: settings.seed,
        };
        let read_options = ReadOptions {
            network: declared,
            raw: self.raw,
            classification: self.data.classification,
            validation: self.validation_share(),
            ..ReadOptions::default()
        };
        let mut splits = DataSplits::load(&origin, &source, &read_options)?.with_remarks_printed();
        ensure!(
            self.test.is_none() || splits.origin.held_out.is_some(),
            "--test holds samples out where the data have no part for testing, and {data} {}: leave it out",
            if splits.divided { "has one" } else { "is tested on all" }
        );
        if data != XOR {
            splits.name = data.to_string();
        }
        Ok(splits)
    }

    /// The share of the training samples that is held out for validation.
    fn validation_share(&self) -> f64 {
        self.validation.unwrap_or(if self.is_xor() { 0.0 } else { VALIDATION })
    }

    /// Divides the training samples into those to learn from and those for validation.
    #[expect(clippy::type_complexity, reason = "two parts of one set")]
    fn held_out(&self, splits: &DataSplits, seed: u64) -> Result<(Arc<dyn Dataset>, Option<Subset<Arc<dyn Dataset>>>)> {
        let share = self.validation_share();
        if share == 0.0 {
            return Ok((splits.train.clone(), None));
        }
        let (train, validation) = split(splits.train.clone(), share, seed).context("--validation")?;
        Ok((Arc::new(train), Some(validation)))
    }

    /// What to measure beside the loss, of targets like these.
    fn metrics(&self, targets: &Targets) -> Result<Vec<String>> {
        let values = matches!(targets, Targets::Values(_));
        let (of, are, choices, usual) = if values {
            ("classes", "values", &VALUE_METRICS[..], &["r2", "absolute_error"][..])
        } else {
            ("values", "classes", &CLASS_METRICS[..], &["accuracy"][..])
        };
        if self.metric.is_empty() {
            return Ok(usual.iter().map(ToString::to_string).collect());
        }
        let ours = Registry::default();
        let metrics = self.named_metrics()?;
        for (text, metric) in &metrics {
            let kind = metric.kind();
            // What a metric of a user's own is for, it says itself.
            if ours.metrics.has(&kind) && VALUE_METRICS.contains(&&*kind) != values {
                bail!(
                    "--metric: {text} is for {of}, and the targets are {are}; choose among {}",
                    choices.join(", ")
                );
            }
        }
        Ok(metrics.into_iter().map(|(text, _)| text).collect())
    }

    /// The metrics that are asked for, each with what names it: its own name where that says all, else what was asked.
    fn named_metrics(&self) -> Result<Vec<(String, Box<dyn Metric>)>> {
        let mut texts: Vec<String> = Vec::new();
        for text in &self.metric {
            // Settings are divided by commas, as names are.
            match texts.last_mut() {
                Some(last) if last.contains(':') && text.contains('=') && !text.contains(':') => {
                    *last = format!("{last},{text}");
                }
                _ => texts.push(text.clone()),
            }
        }
        let named = |text: String| {
            let metric = recipe::metric(&text)?;
            let name = metric.name();
            let by_name = registry().metric(&name, json!({})).ok();
            let says_all =
                by_name.is_some_and(|other| (other.kind(), other.settings()) == (metric.kind(), metric.settings()));
            Ok((if says_all { name } else { text }, metric))
        };
        texts.into_iter().map(named).collect()
    }

    /// The column to watch of those of these metrics, if one is named.
    fn watched(&self, metrics: &[String], classes: &[String], validated: bool) -> Result<Option<String>> {
        let Some(watched) = &self.watch else { return Ok(None) };
        let watched = self.positive.watched(watched, classes)?;
        let mut columns = Vec::new();
        let names = metrics.iter().map(|text| Ok(recipe::metric(text)?.name()));
        for name in std::iter::once(Ok("loss".to_string()))
            .chain(names)
            .collect::<Result<Vec<_>>>()?
        {
            columns.push(name.to_string());
            columns.extend(validated.then(|| format!("val_{name}")));
        }
        ensure!(
            columns.contains(&watched),
            "--watch: there is no `{watched}`; {} {}",
            choose(&watched, columns.iter().map(String::as_str)),
            columns.join(", ")
        );
        Ok(Some(watched))
    }
}

/// A built-in network for these samples.
fn built_in(name: &str, splits: &DataSplits, seed: u64) -> Result<Network> {
    let shape = splits.train.shape();
    let network = match splits.train.targets() {
        Targets::Classes(classes) => networks::built_in(name, &shape, classes),
        Targets::Values(values) => networks::regression(name, &shape, values.size()),
    };
    let network = network.with_context(|| format!("there is no network `{name}`"))?;
    network
        .build(seed)
        .with_context(|| format!("{name} on {}", splits.name))
}
