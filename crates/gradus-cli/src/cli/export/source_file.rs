//! Networks as source files.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use gradus::data::Dataset;
use gradus::{Float, Network};
use gradus_source::{InputBytes, Labels, Language, Program, Quantized, Scaling, Sizes};
use serde_json::Value;

use super::super::GlobalOptions;
use super::Export;
use super::comparison::Comparison;
use crate::classes::ClassOutputs;
use crate::data_splits::DataSplits;
use crate::metadata::{Metadata, Preprocessing, changes};
use crate::overlap::Overlap;
use crate::terminal::eprint_line;

/// How many training samples the scales of bytes are taken from.
const CALIBRATION: usize = 512;
/// From this share of a column's deviation on, the distance of neighboring numbers is told.
const COARSEST: f64 = 0.01;

/// A network as the text of a source file, and what there is to tell of it.
pub struct SourceFile {
    pub text: String,
    sizes: Sizes,
    comparison: Option<Comparison>,
    /// Whether the network was trained on the samples that it was compared on.
    overlap: Option<Overlap>,
    /// What numbers of 32 bits are too coarse for.
    coarse: Vec<String>,
}

impl SourceFile {
    pub fn of(
        network: &Network,
        metadata: &Metadata,
        language: Language,
        options: &Export,
        settings: &GlobalOptions,
    ) -> Result<SourceFile> {
        let file = || options.network.display().to_string();
        let mut labels = options.labels(network, metadata);
        let program = program(network, metadata).with_context(file)?;
        let scaling = input_scaling(metadata).with_context(file)?;
        // What is wrong with the prefix is told before samples are read, which may take a while.
        program.source(language, &labels).context("--prefix")?;
        let data = match options.int8 {
            false => None,
            true => {
                let (splits, overlap, _) =
                    options
                        .data
                        .load(&options.network, network, metadata, options.files().writes, settings)?;
                eprint_line(format_args!("note: {overlap}"));
                Some((splits, overlap))
            }
        };
        if let Some((splits, _)) = &data
            && labels.classes.is_empty()
        {
            labels.classes = splits.classes.clone();
        }
        let outputs = ClassOutputs::of(network, metadata, labels.classes.len()).with_context(file)?;
        let program = match outputs.activation() {
            None => program,
            Some(_) => program.with_logits(),
        };
        let coarse = coarse_columns(metadata);
        let Some((splits, overlap)) = data else {
            let program = match scaling {
                Some(scaling) => program.with_input_scaling(scaling)?,
                None => program,
            };
            return Ok(SourceFile {
                text: program.source(language, &labels)?,
                sizes: program.sizes(&labels),
                comparison: None,
                overlap: None,
                coarse,
            });
        };
        // The samples of a task are scaled already.
        let quantized = quantize(&program, &splits, pixels(metadata, network)).with_context(file)?;
        let quantized = match scaling {
            Some(scaling) => quantized.with_input_scaling(scaling)?,
            None => quantized,
        };
        Ok(SourceFile {
            text: quantized.source(language, &labels).with_context(file)?,
            sizes: quantized.sizes(&labels),
            comparison: Comparison::new(network, metadata, &quantized, &splits, settings.thread_count())
                .with_context(file)?,
            overlap: Some(overlap),
            coarse,
        })
    }

    pub fn print(&self, out: &mut dyn Write) -> Result<()> {
        writeln!(out, "{}", self.sizes)?;
        for column in &self.coarse {
            writeln!(out, "Warning: {column}.")?;
        }
        match (&self.comparison, &self.overlap) {
            (Some(comparison), Some(overlap)) => comparison.print(overlap, out),
            _ => Ok(()),
        }
    }

    /// Adds what there is to tell to the results.
    pub fn add_to(&self, results: &mut Value) {
        let sizes = &self.sizes;
        results["flash"] = sizes.flash().into();
        results["tables"] = sizes.tables.into();
        results["ram"] = sizes.ram().into();
        results["buffer"] = sizes.buffer.into();
        if let (Some(comparison), Some(overlap)) = (&self.comparison, &self.overlap) {
            comparison.add_to(overlap, results);
        }
    }
}

impl Export {
    fn labels(&self, network: &Network, metadata: &Metadata) -> Labels {
        let name = self.network.file_name().unwrap_or_default().to_string_lossy();
        let trained_on = metadata.origin.as_ref().map(|origin| {
            // Of a path, the end will do.
            let name = Path::new(&origin.name).file_name().unwrap_or_default();
            format!(", trained on {}", name.to_string_lossy())
        });
        Labels {
            title: format!(
                "The neural network {name}{}, as `gradus export` wrote it.",
                trained_on.unwrap_or_default()
            ),
            input: metadata
                .preprocessing_for(network)
                .map(|how| about_input(&how))
                .unwrap_or_default(),
            classes: metadata.classes_for(network),
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
        Preprocessing::Numbers { columns, .. } if !columns.is_empty() => {
            let names: Vec<String> = columns.iter().map(|name| format!("`{name}`")).collect();
            format!("The values of an input are the columns {}.", names.join(", "))
        }
        Preprocessing::Numbers { .. } => "The values of an input are the table's columns, in their order.".into(),
    }
}

/// The columns whose numbers are so large and so close together that 32 bits can't tell them apart well: the file takes these.
fn coarse_columns(metadata: &Metadata) -> Vec<String> {
    let Some(Preprocessing::Numbers {
        columns,
        mean,
        deviation,
    }) = &metadata.preprocessing
    else {
        return Vec::new();
    };
    let coarse = mean.iter().zip(deviation).enumerate().filter_map(|(i, (&mean, &deviation))| {
        let size = (mean.abs() as f32).min(f32::MAX);
        let distance = f64::from(size.next_up() - size);
        let column = columns.get(i).cloned().unwrap_or_else(|| (i + 1).to_string());
        (distance > COARSEST * deviation).then(|| {
            format!(
                "numbers of 32 bits near {mean:e}, as in the column `{column}`, are {distance:e} apart, and in training they \
                 had a deviation of {deviation:e}: take the column less an offset"
            )
        })
    });
    coarse.collect()
}

/// The program of a network, with outputs in the units of the table.
fn program(network: &Network, metadata: &Metadata) -> Result<Program> {
    let program = Program::of(network)?;
    Ok(match &metadata.targets {
        Some(targets) => {
            let scaling = Scaling::new(&targets.mean, &targets.deviation).context("the targets of the table")?;
            program.with_output_scaling(scaling)?
        }
        None => program,
    })
}

/// How the columns of a table were scaled in training, if they were.
fn input_scaling(metadata: &Metadata) -> Result<Option<Scaling>> {
    match &metadata.preprocessing {
        Some(Preprocessing::Numbers { mean, deviation, .. }) if changes(mean, deviation) => {
            let scaling = Scaling::new(mean, deviation).context("the columns of the table")?;
            Ok(Some(scaling))
        }
        _ => Ok(None),
    }
}

/// What the bytes of an input are.
fn pixels(metadata: &Metadata, network: &Network) -> InputBytes {
    match metadata.preprocessing_for(network) {
        Some(Preprocessing::Character(_) | Preprocessing::Picture { .. }) => InputBytes::Pixels,
        Some(Preprocessing::Numbers { .. }) | None => InputBytes::Calibrated,
    }
}

/// The program on bytes, with scales from some training samples, evenly among them.
fn quantize(program: &Program, splits: &DataSplits, input: InputBytes) -> Result<Quantized> {
    let data = &splits.train;
    let (size, count) = (data.shape().size(), data.len().min(CALIBRATION));
    let mut x: Vec<Float> = vec![0.0; size * count];
    for (i, x) in x.chunks_exact_mut(size.max(1)).enumerate() {
        data.read(i * data.len() / count, x)?;
    }
    Ok(program.quantize(x.chunks_exact(size.max(1)), input)?)
}
