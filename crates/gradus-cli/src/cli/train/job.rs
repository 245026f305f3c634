//! A training from its options to its files.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gradus::callback::{EarlyStopping, Progress, SaveBest};
use gradus::data::{Dataset, Subset};
use gradus::history::History;
use gradus::loss::Loss;
use gradus::metric::Metric;
use gradus::save::Checkpoint;
use gradus::{Evaluation, Fit, Network, Profile, RateCurve, RateFinder};
use serde_json::{Value, json};

use super::history::{HistoryWriter, panels};
use super::{BEST, CHECKPOINT, RESULT, Train, built_in, to_json};
use crate::classes::{self};
use crate::cli::GlobalOptions;
use crate::cli::export::found_beside;
use crate::cli::interrupt;
use crate::cli::recipe::{self, Recipe, check_end, default_loss};
use crate::data_splits::{DataSplits, XOR};
use crate::numbers::{plural, rounded};
use crate::output::OutputFolder;
use crate::plot::{self, count};
use crate::target_units::{loss_in_target_units, metric_in_target_units};
use crate::terminal::{eprint_line, path_text};
use crate::threads::ThreadsUsed;

/// A network with what it is to learn, and how.
pub(super) struct TrainJob<'a> {
    options: &'a Train,
    settings: &'a GlobalOptions,
    recipe: Recipe,
    pub(super) name: String,
    pub(super) splits: DataSplits,
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
pub(super) struct ResumePoint {
    /// Whether training had ended there, so that the network stays as it was.
    pub(super) ended: bool,
}

impl<'a> TrainJob<'a> {
    /// Loads the inputs and validates all options before anything is written.
    pub(super) fn new(options: &'a Train, settings: &'a GlobalOptions) -> Result<(Self, Network)> {
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
        let mut network = options.computation.of(match declared {
            Some(network) => network,
            None => built_in(&network, &splits, settings.seed)?,
        })?;
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

        let metrics = options.positive.metrics(&options.metrics(&targets)?, &splits.classes)?;
        let watched = options.watched(&metrics, &splits.classes, validation.is_some())?;

        let recipe = Recipe {
            loss: Some(spec),
            batch_size: Some(recipe.batch_size.unwrap_or(128.min(train.len()))),
            ..recipe
        };
        let mut metadata = splits.metadata()?;
        metadata.training = Some(json!({
            "network": name,
            "weights": options.weights.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy()),
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
    pub(super) fn resumed(&self) -> Result<Option<ResumePoint>> {
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

    /// The folder for all files.
    pub(super) fn out(&self) -> &Path {
        &self.options.out
    }

    /// Searches for a learning rate, with the steps that training would make.
    pub(super) fn find_rate(&self, network: &Network, finder: &RateFinder) -> Result<RateCurve> {
        Ok(self.steps()?.find_rate(network, &self.train, finder)?)
    }

    /// What makes a training step.
    fn steps(&self) -> Result<Fit<'_>> {
        let recipe = &self.recipe;
        let mut fit = Fit::new(self.loss.clone(), recipe.optimizer()?)
            .batch_size(recipe.batch_size.unwrap_or(128))
            .seed(self.settings.seed)
            .threads(self.settings.thread_count())
            .bfloat16(recipe.bfloat16)
            .freeze(&recipe.freeze)
            .interrupt_when(interrupt::watch());
        if let Some(clip) = recipe.clip()? {
            fit = fit.clip(clip);
        }
        if let Some(augmentation) = recipe.augmentation()? {
            fit = fit.augment(augmentation);
        }
        for group in recipe.groups()? {
            fit = fit.group(group);
        }
        Ok(fit)
    }

    pub(super) fn fit(
        &self,
        network: &mut Network,
        folder: &OutputFolder,
        resumes: bool,
    ) -> Result<(History, Option<Profile>)> {
        let TrainJob { options, recipe, .. } = self;
        let mut fit = self
            .steps()?
            .epochs(recipe.epochs.unwrap_or(10))
            .schedule(recipe.schedule()?)
            .callback(self.threads.clone())
            .checkpoint(self.checkpoint(), Duration::from_secs_f64(options.checkpoint))
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
    pub(super) fn measure(&self, network: &mut Network, history: &History) -> Result<Vec<(&'static str, Evaluation)>> {
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

    /// What a picture says below its title.
    pub(super) fn about(&self) -> String {
        format!(
            "{}, batches of {}, {}, seed {}",
            plural(self.train.len(), "training sample"),
            self.recipe.batch_size.unwrap_or_default(),
            String::from(self.recipe.optimizer.clone()),
            self.settings.seed
        )
    }

    pub(super) fn write_files(&self, network: &Network, history: &History) -> Result<()> {
        network.save(self.options.out.join(RESULT))?;
        let title = format!("{} on {}", self.name, self.splits.name);
        let recipe = &self.recipe;
        let loss = recipe.loss.clone().map_or_else(String::new, String::from);
        let panels = panels(&self.name, &loss, history);
        plot::write(
            &self.options.out,
            "curves",
            &plot::curves(&title, &self.about(), &panels),
        )
    }

    pub(super) fn print(
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
    pub(super) fn print_earlier_exports(&self) {
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

    pub(super) fn to_json(&self, network: &Network, history: &History, results: &[(&str, Evaluation)]) -> Value {
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
