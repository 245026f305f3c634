//! Networks as source files.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use gradus::data::{Dataset, Target, Targets};
use gradus::metric::predicted_class;
use gradus::{Float, Network};
use gradus_source::{InputBytes, Labels, Language, Program, Quantized, Sizes};
use serde_json::{Value, json};

use super::super::Settings;
use super::Export;
use crate::notes::{Notes, Preprocessing};
use crate::plot::count;
use crate::task::Task;
use crate::terminal::say;

/// How many training samples the scales of bytes are taken from.
const CALIBRATION: usize = 512;
/// Means and deviations of more columns are not written out.
const MOST_COLUMNS: usize = 64;

/// A network as the text of a source file, and what there is to tell of it.
pub struct Source {
    pub text: String,
    sizes: Sizes,
    accuracy: Option<Accuracies>,
}

impl Source {
    pub fn of(
        network: &Network,
        notes: &Notes,
        language: Language,
        options: &Export,
        settings: &Settings,
    ) -> Result<Source> {
        let file = || options.network.display().to_string();
        let program = Program::of(network).with_context(file)?;
        let labels = options.labels(network, notes);
        // What is wrong with the prefix is told before samples are read, which may take a while.
        let text = program.source(language, &labels).context("--prefix")?;
        if !options.int8 {
            return Ok(Source {
                text,
                sizes: program.sizes(&labels),
                accuracy: None,
            });
        }
        let (task, seen) = options.data.learned(&options.network, network, notes, settings)?;
        say(format_args!("note: {seen}"));
        let quantized = quantize(&program, &task, pixels(notes, network)).with_context(file)?;
        Ok(Source {
            text: quantized.source(language, &labels)?,
            sizes: quantized.sizes(&labels),
            accuracy: compare(network, &quantized, &*task.test, settings.thread_count()).with_context(file)?,
        })
    }

    pub fn print(&self, out: &mut dyn Write) -> Result<()> {
        writeln!(out, "{}", self.sizes)?;
        match &self.accuracy {
            Some(accuracy) => accuracy.print(out),
            None => Ok(()),
        }
    }

    /// Adds what there is to tell to the results.
    pub fn add_to(&self, results: &mut Value) {
        let Source { sizes, accuracy, .. } = self;
        results["flash"] = sizes.flash().into();
        results["tables"] = sizes.tables.into();
        results["ram"] = sizes.ram().into();
        results["buffer"] = sizes.buffer.into();
        results["accuracy"] = json!(accuracy.as_ref().map(|accuracy| json!({
            "samples": accuracy.samples, "float": accuracy.share(accuracy.float), "int8": accuracy.share(accuracy.int8),
        })));
    }
}

impl Export {
    fn labels(&self, network: &Network, notes: &Notes) -> Labels {
        let name = self.network.file_name().unwrap_or_default().to_string_lossy();
        let learned = notes.origin.as_ref().map(|origin| {
            // Of a path, the end will do.
            let name = Path::new(&origin.name).file_name().unwrap_or_default();
            format!(", trained on {}", name.to_string_lossy())
        });
        Labels {
            title: format!(
                "The neural network {name}{}, as `gradus export` wrote it.",
                learned.unwrap_or_default()
            ),
            input: notes
                .preprocessing_for(network)
                .map(|how| about_input(&how))
                .unwrap_or_default(),
            classes: notes.classes_for(network),
            prefix: self.prefix.clone().unwrap_or_else(|| "gradus".into()),
        }
    }
}

/// How the samples are made, for the reader of the file.
fn about_input(preprocessing: &Preprocessing) -> String {
    match preprocessing {
        Preprocessing::Character(_) => {
            format!("Samples are {preprocessing}: 0 is the background, 1 (as a byte, 255) is ink.")
        }
        Preprocessing::Picture { .. } => {
            format!("Samples are {preprocessing}: 0 is dark, 1 (as a byte, 255) is light.")
        }
        Preprocessing::Numbers { mean, deviation, .. } if mean.len() <= MOST_COLUMNS => {
            format!("A number x becomes (x - mean) / deviation; the means are {mean:?}, the deviations {deviation:?}.")
        }
        Preprocessing::Numbers { .. } => "Samples are scaled as in training.".into(),
    }
}

/// What the bytes of an input are.
fn pixels(notes: &Notes, network: &Network) -> InputBytes {
    match notes.preprocessing_for(network) {
        Some(Preprocessing::Character(_) | Preprocessing::Picture { .. }) => InputBytes::Pixels,
        Some(Preprocessing::Numbers { .. }) | None => InputBytes::Calibrated,
    }
}

/// The program on bytes, with scales from some training samples, evenly among them.
fn quantize(program: &Program, task: &Task, input: InputBytes) -> Result<Quantized> {
    let data = &task.train;
    let (size, count) = (data.shape().size(), data.len().min(CALIBRATION));
    let mut x: Vec<Float> = vec![0.0; size * count];
    for (i, x) in x.chunks_exact_mut(size.max(1)).enumerate() {
        data.read(i * data.len() / count, x)?;
    }
    Ok(program.quantize(x.chunks_exact(size.max(1)), input)?)
}

/// How many test samples the network is right about.
struct Accuracies {
    samples: usize,
    float: usize,
    int8: usize,
}

impl Accuracies {
    fn share(&self, right: usize) -> f64 {
        right as f64 / self.samples as f64
    }

    fn print(&self, out: &mut dyn Write) -> Result<()> {
        let percent = |right| 100.0 * self.share(right);
        Ok(writeln!(
            out,
            "{} test samples: {:.2} % right in floats, {:.2} % in integers",
            count(self.samples as u64),
            percent(self.float),
            percent(self.int8)
        )?)
    }
}

/// Compares the network and its quantised program on these samples, if they have classes.
fn compare(network: &Network, quantized: &Quantized, data: &dyn Dataset, threads: usize) -> Result<Option<Accuracies>> {
    let samples = data.len();
    if samples == 0 || !matches!(data.targets(), Targets::Classes(_)) {
        return Ok(None);
    }
    let is = |i: usize, class: usize| matches!(data.target(i), Target::Class(target) if target == class);
    let mut float = 0;
    network
        .predictor(1024, threads)?
        .each_output(network, data, |i, y, _| {
            float += usize::from(is(i, predicted_class(y)));
        })?;
    let part = |thread: usize| -> gradus::Result<usize> {
        let mut x: Vec<Float> = vec![0.0; data.shape().size()];
        let mut right = 0;
        for i in (thread..samples).step_by(threads) {
            data.read(i, &mut x)?;
            right += usize::from(is(i, quantized.class(&quantized.run(&quantized.bytes(&x)))));
        }
        Ok(right)
    };
    let int8 = std::thread::scope(|scope| {
        let part = &part;
        let parts: Vec<_> = (0..threads).map(|thread| scope.spawn(move || part(thread))).collect();
        let counts = parts
            .into_iter()
            .map(|part| part.join().expect("no sample makes it panic"));
        counts.sum::<gradus::Result<usize>>()
    })?;
    Ok(Some(Accuracies { samples, float, int8 }))
}
