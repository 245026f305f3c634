//! `gradus train`: trains one network, as the options say.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use gradus::callback::{Callback, EarlyStopping, EpochEnd, Flow, Progress, SaveBest};
use gradus::data::{Dataset, Subset, Targets, split};
use gradus::history::History;
use gradus::loss::Loss;
use gradus::metric::Metric;
use gradus::save::Checkpoint;
use gradus::{Evaluation, Fit, Network, Profile, Registry};
use serde_json::{Value, json};

use super::GlobalOptions;
use super::export::found_beside;
use super::interrupt;
use super::options::{ComputeOptions, DataOptions, TEST, absolute_name};
use super::recipe::{self, Recipe, check_end, default_loss};
use crate::classes::{self, PositiveClass};
use crate::data_source::DEFAULT_SET;
use crate::data_splits::{DataSplits, ReadOptions, XOR};
use crate::metadata::DataOrigin;
use crate::networks;
use crate::numbers::{plural, rounded};
use crate::output::{CommandFiles, OutputFolder};
use crate::plot::{self, Curve, Panel, count};
use crate::registry::{or_list, registry};
use crate::suggestion::choose;
use crate::table::is_table;
use crate::target_units::{loss_in_target_units, metric_in_target_units};
use crate::terminal::{eprint_line, path_text};
use crate::threads::ThreadsUsed;

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
/// network does on samples that it hasn't learned. Into --out go the trained network, network.safetensors, which
/// `gradus predict` and `gradus evaluate` need nothing else beside; best.safetensors, as it was
/// after its best epoch; the history as CSV and JSON; and the learning curves. There is also
/// checkpoint.safetensors, from which --resume goes on if training was interrupted: by Ctrl-C, by a
/// power cut, by anything.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:
  gradus train xor
  gradus train mlp --epochs 5
  gradus train cnn --data digits --optimizer sgd --learning-rate 0.1 --momentum 0.9
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

/// A network with what it is to learn, and how.
struct TrainJob<'a> {
    options: &'a Train,
    settings: &'a GlobalOptions,
    recipe: Recipe,
    name: String,
    splits: DataSplits,
    /// What a step learns from.
    train: Arc<dyn Dataset>,
    validation: Option<Subset<Arc<dyn Dataset>>>,
    threads: ThreadsUsed,
    loss: Arc<dyn Loss>,
    metrics: Vec<String>,
    /// What decides which epoch is the best, if that was said.
    watched: Option<String>,
}

/// The checkpoint that training goes on from.
struct ResumePoint {
    /// Whether training had ended there, so that the network stays as it was.
    ended: bool,
}

/// Runs the command; returns its results.
pub fn run(options: &Train, settings: &GlobalOptions, out: &mut dyn Write) -> Result<Value> {
    let (job, mut network) = TrainJob::new(options, settings)?;
    if !settings.quiet {
        writeln!(out, "{}", network.summary())?;
        out.flush()?;
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

impl<'a> TrainJob<'a> {
    /// Loads the inputs and validates all options before anything is written.
    fn new(options: &'a Train, settings: &'a GlobalOptions) -> Result<(Self, Network)> {
        let recipe = options.recipe();
        // Mistakes in options are told before data are read, which may take a while.
        recipe.check()?;
        options.named_metrics()?;
        let network = path_text(&options.network);
        let declared = options.declared(settings.seed)?;
        let splits = options.splits(declared.as_ref(), settings)?;
        let name = match options.network.file_stem() {
            Some(stem) if declared.is_some() => stem.to_string_lossy().into_owned(),
            _ => network.clone(),
        };
        let network = match declared {
            Some(network) => network,
            None => built_in(&network, &splits, settings.seed)?,
        };
        let mut network = options.computation.of(network)?;
        if let Some(weights) = &options.weights {
            network.load_weights(weights)?;
        }
        let (train, validation) = options.held_out(&splits, settings.seed)?;
        let targets = splits.train.targets();
        let spec = (recipe.loss.clone()).map_or_else(|| default_loss(&network, &targets).parse(), Ok)?;
        let loss = spec.loss()?;
        let place = || format!("{} on {}", path_text(&options.network), splits.name);
        loss.validate(network.output_shape(), &targets).with_context(place)?;
        check_end(&network, &*loss).with_context(place)?;
        let loss = loss_in_target_units(loss, splits.targets.as_ref())?;

        let metrics = options.metrics(&targets)?;
        let metrics = options.positive.metrics(&metrics, &splits.classes)?;
        let watched = options.watched(&metrics, &splits.classes, validation.is_some())?;

        let recipe = Recipe {
            loss: Some(spec),
            batch_size: Some(recipe.batch_size.unwrap_or(128.min(train.len()))),
            ..recipe
        };
        let mut metadata = splits.metadata()?;
        metadata.training = Some(json!({
            "network": name,
            "weights": options.weights.as_deref().map(path_text),
            "version": env!("CARGO_PKG_VERSION"),
            "data": { "name": splits.name, "sha256": metadata.fingerprint.as_ref().map(|fingerprint| &fingerprint.sha256) },
            "seed": settings.seed,
            "validation": validation.as_ref().map_or(0, Dataset::len),
            "samples": train.len(),
            "loss": recipe.loss,
            "recipe": recipe.to_json(),
        }));
        metadata.write(&mut network)?;
        let job = TrainJob {
            options,
            settings,
            recipe,
            name,
            splits,
            train,
            validation,
            threads: ThreadsUsed::default(),
            loss,
            metrics,
            watched,
        };
        Ok((job, network))
    }

    /// Where training can go on from.
    fn checkpoint(&self) -> PathBuf {
        self.options.out.join(CHECKPOINT)
    }

    /// What training goes on from, if it is to and there is a checkpoint; a line says how far that has come.
    fn resumed(&self) -> Result<Option<ResumePoint>> {
        if !self.options.resume {
            return Ok(None);
        }
        let path = self.checkpoint();
        if !path.is_file() {
            eprint_line(format_args!("note: there is no {}: training begins", path.display()));
            return Ok(None);
        }
        let checkpoint = Checkpoint::load(&path)?;
        let (epoch, step) = checkpoint.position();
        let ended = step == 0 && (checkpoint.ended() || epoch >= self.recipe.epochs.unwrap_or(10));
        if ended {
            eprint_line(format_args!(
                "note: training had ended after {}",
                plural(epoch, "epoch")
            ));
        } else {
            eprint_line(format_args!(
                "note: training goes on in epoch {}, after step {step}",
                epoch + 1
            ));
        }
        Ok(Some(ResumePoint { ended }))
    }

    fn fit(&self, network: &mut Network, folder: &OutputFolder, resumes: bool) -> Result<(History, Option<Profile>)> {
        let TrainJob { options, recipe, .. } = self;
        let mut fit = Fit::new(self.loss.clone(), recipe.optimizer()?)
            .epochs(recipe.epochs.unwrap_or(10))
            .batch_size(recipe.batch_size.unwrap_or(128))
            .schedule(recipe.schedule()?)
            .seed(self.settings.seed)
            .threads(self.settings.thread_count())
            .callback(self.threads.clone())
            .bfloat16(recipe.bfloat16)
            .freeze(&recipe.freeze)
            .checkpoint(self.checkpoint(), Duration::from_secs_f64(options.checkpoint))
            .interrupt_when(interrupt::watch())
            .callback(HistoryWriter {
                folder,
                path: options.out.clone(),
                resumes,
                began: false,
                written: Instant::now(),
            });
        if resumes {
            fit = fit.resume(self.checkpoint());
        }
        if let Some(clip) = recipe.clip()? {
            fit = fit.clip(clip);
        }
        if let Some(augmentation) = recipe.augmentation()? {
            fit = fit.augment(augmentation);
        }
        for metric in self.metrics()? {
            fit = fit.metric(metric);
        }
        if !self.settings.quiet {
            fit = fit.callback(Progress::new());
        }
        if let Some(validation) = &self.validation {
            let save_best = SaveBest::new(options.out.join(BEST));
            fit = fit.validation(validation).callback(match &self.watched {
                Some(column) => save_best.watch(column),
                None => save_best,
            });
        }
        if let Some(patience) = options.patience {
            let stopping = EarlyStopping::new(patience);
            fit = fit.callback(match &self.watched {
                Some(column) => stopping.watch(column),
                None => stopping,
            });
        }
        if options.profile {
            let (history, profile) = fit.profile(network, &self.train)?;
            return Ok((history, Some(profile)));
        }
        Ok((fit.run(network, &self.train)?, None))
    }

    fn metrics(&self) -> Result<Vec<Box<dyn Metric>>> {
        let scale = self.splits.targets.as_ref();
        let metrics = self
            .metrics
            .iter()
            .map(|name| metric_in_target_units(recipe::metric(name)?, scale));
        metrics.collect()
    }

    /// The loss and the metrics of the trained network on each part of the samples, which it also keeps among its notes.
    fn measure(&self, network: &mut Network, history: &History) -> Result<Vec<(&'static str, Evaluation)>> {
        let metrics = self.metrics()?;
        let metrics: Vec<&dyn Metric> = metrics.iter().map(|metric| &**metric).collect();
        let mut parts: Vec<(&'static str, &dyn Dataset)> = vec![("train", &self.train)];
        parts.extend(
            self.validation
                .as_ref()
                .map(|data| ("validation", data as &dyn Dataset)),
        );
        parts.push(("test", &self.splits.test));
        let mut predictor = network.predictor(1024, self.settings.thread_count())?;
        let evaluated = parts.into_iter().map(|(part, data)| {
            let evaluation = predictor.evaluate(data, &*self.loss, &metrics);
            Ok((part, evaluation.with_context(|| format!("the {part} samples"))?))
        });
        let results = evaluated.collect::<Result<Vec<_>>>()?;
        let mut metadata = crate::metadata::Metadata::of(network)?;
        if let Some(training) = &mut metadata.training {
            training["epochs"] = history.epochs.len().into();
            for (part, evaluation) in &results {
                training["results"][part] = to_json(evaluation);
            }
        }
        metadata.write(network)?;
        Ok(results)
    }

    fn write_files(&self, network: &Network, history: &History) -> Result<()> {
        network.save(self.options.out.join(RESULT))?;
        let title = format!("{} on {}", self.name, self.splits.name);
        let recipe = &self.recipe;
        let loss = recipe.loss.clone().map_or_else(String::new, String::from);
        let about = format!(
            "{}, batches of {}, {}, seed {}",
            plural(self.train.len(), "training sample"),
            recipe.batch_size.unwrap_or_default(),
            String::from(recipe.optimizer.clone()),
            self.settings.seed
        );
        let panels = panels(&self.name, &loss, history);
        plot::write(&self.options.out, "curves", &plot::curves(&title, &about, &panels))
    }

    fn print(
        &self,
        network: &Network,
        history: &History,
        results: &[(&str, Evaluation)],
        out: &mut dyn Write,
    ) -> Result<()> {
        let epochs = history.epochs.len();
        let asked = self.recipe.epochs.unwrap_or(epochs);
        if epochs < asked {
            writeln!(
                out,
                "Stopped after {epochs} of {asked} epochs; the best weights are back."
            )?;
        }
        write!(out, "{:10}  {:>8}  {:>10}", "", "samples", "loss")?;
        for (name, _) in results.first().map_or(&[][..], |(_, evaluation)| &evaluation.metrics) {
            write!(out, "  {name:>14}")?;
        }
        writeln!(out)?;
        for (part, evaluation) in results {
            let samples = count(evaluation.samples as u64);
            write!(out, "{part:10}  {samples:>8}  {:>10}", rounded(evaluation.loss))?;
            for (name, value) in &evaluation.metrics {
                let width = name.len().max(14);
                write!(out, "  {:>width$}", rounded(*value))?;
            }
            writeln!(out)?;
        }
        if let Some(sentence) = classes::explained(&self.metrics, &self.splits.classes) {
            writeln!(out, "{sentence}")?;
        }
        if self.options.is_xor() && self.splits.origin.name == XOR {
            writeln!(out)?;
            let mut predictor = network.predictor(4, 1)?;
            predictor.for_each_output(&self.splits.test, |i, y, _| {
                // Standard output is checked where the next line is written to it.
                let _ = writeln!(out, "{} xor {} = {:.4}", i / 2, i % 2, y[0]);
            })?;
        }
        writeln!(
            out,
            "\nThe network, its history and its curves are in {}.",
            self.options.out.display()
        )?;
        Ok(())
    }

    /// Says which files beside the network were exported from an earlier one.
    fn print_earlier_exports(&self) {
        for path in [RESULT, BEST]
            .iter()
            .flat_map(|name| found_beside(&self.options.out.join(name)))
        {
            eprint_line(format_args!(
                "note: {} was exported from an earlier network, not from this one",
                path.display()
            ));
        }
    }

    /// The name of the class that precision, recall and F1 are those of, if there is one.
    fn positive(&self) -> Option<&str> {
        let classes = &self.splits.classes;
        let class = self.options.positive.class(classes).ok().flatten()?;
        classes.get(class).map(String::as_str)
    }

    fn to_json(&self, network: &Network, history: &History, results: &[(&str, Evaluation)]) -> Value {
        let mut value = json!({
            "command": "train",
            "network": self.name,
            "data": self.splits.name,
            "seed": self.settings.seed,
            "threads": self.threads.get(),
            "parameters": network.parameter_count(),
            "multiply_adds": network.multiply_adds(),
            "recipe": self.recipe.to_json(),
            "epochs": history.epochs.len(),
            "seconds_per_epoch": history.seconds_per_epoch(),
            "samples_per_second": history.samples_per_second(),
            "history": history.to_json(),
            "out": path_text(&self.options.out),
            "positive": self.positive(),
        });
        for (part, evaluation) in results {
            value[part] = to_json(evaluation);
        }
        value
    }
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
            writes: FILES.iter().map(|name| self.out.join(name)).collect(),
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
                let (splits, note) = DataSplits::usual(&source)?;
                if let Some(note) = note {
                    eprint_line(format_args!("note: {note}"));
                }
                return Ok(splits);
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

/// Writes the history as it grows. Before the first file of this training is written, those of an earlier one are set aside.
struct HistoryWriter<'a> {
    folder: &'a OutputFolder,
    path: PathBuf,
    /// Whether the training goes on that wrote the files in the folder.
    resumes: bool,
    /// Whether this one has written any.
    began: bool,
    written: Instant,
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
fn panels(name: &str, loss: &str, history: &History) -> Vec<Panel> {
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
