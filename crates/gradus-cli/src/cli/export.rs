//! `gradus export`: a trained network in another form.

mod comparison;
mod onnx;
mod source_file;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use gradus::Network;
use gradus::save::atomic;
use gradus_source::Language;
use serde_json::{Value, json};

use super::GlobalOptions;
use super::options::DataOptions;
use crate::metadata::Metadata;
use crate::output::CommandFiles;
use crate::registry::registry;
use crate::terminal::path_text;
use onnx::{OnnxOptions, described};
use source_file::SourceFile;

/// Write a trained network in another form: as an ONNX file, or as one source file
///
/// An ONNX file runs in onnxruntime and wherever else ONNX is read. That of a table's network takes rows as they are in the
/// table, with the columns in the table's order, and gives values in the table's units.
///
/// A source file, Rust without the standard library or C99, is for the firmware of a microcontroller. It holds the weights and a
/// function that computes the output of an input, and needs no other file, no library and no heap. The command shows the flash
/// and RAM that it takes. What a table's network scales is scaled in the file: it takes the columns and gives the values as they
/// are in the table. With --int8, weights and values are bytes, a quarter of the size, and all arithmetic is on integers; then a
/// part of the training samples is needed, and how good the network is before and after is shown: its accuracy and the recall of
/// each class, or the error of its values.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  gradus export runs/train/network.safetensors --to onnx --uint8\n  gradus export runs/train/network.safetensors --to rust\n  gradus export runs/train/network.safetensors --to c --int8 -o firmware/digits.c --prefix digits"
)]
pub struct Export {
    /// A trained network, as `gradus train` and `gradus compare` write it
    #[arg(value_name = "NETWORK.safetensors")]
    network: PathBuf,
    /// The form of the file
    #[arg(long, value_enum)]
    to: Format,
    /// The file to write [default: beside the network, with its name, and _int8 behind that for --int8]
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    onnx: OnnxOptions,
    /// Quantize: weights and values are bytes, and all arithmetic is on integers
    #[arg(long, help_heading = "Source files")]
    int8: bool,
    /// What all names in a C file begin with [default: gradus]
    #[arg(long, value_name = "NAME", help_heading = "Source files")]
    prefix: Option<String>,
    #[command(flatten)]
    data: DataOptions,
}

/// The form of an exported file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// An ONNX file
    Onnx,
    /// A Rust module that needs the core library only (no_std)
    Rust,
    /// A C99 file that needs stdint.h only
    C,
}

impl Format {
    /// Its name, and how its files end.
    fn names(self) -> [&'static str; 2] {
        match self {
            Format::Onnx => ["onnx"; 2],
            Format::Rust => ["rust", "rs"],
            Format::C => ["c"; 2],
        }
    }
}

/// The file that an export of a network goes into, unless another is named.
fn default_path(network: &Path, to: Format, int8: bool) -> PathBuf {
    let [_, ending] = to.names();
    let mut name = network.file_stem().unwrap_or_default().to_os_string();
    if int8 {
        name.push("_int8");
    }
    name.push(".");
    name.push(ending);
    network.with_file_name(name)
}

/// The exports of a network that are in their usual place.
pub fn found_beside(network: &Path) -> Vec<PathBuf> {
    let forms = [
        (Format::Onnx, false),
        (Format::Rust, false),
        (Format::Rust, true),
        (Format::C, false),
        (Format::C, true),
    ];
    let paths = forms.map(|(to, int8)| default_path(network, to, int8));
    paths.into_iter().filter(|path| path.is_file()).collect()
}

impl Export {
    /// The file that is written.
    fn path(&self) -> PathBuf {
        (self.out.clone()).unwrap_or_else(|| default_path(&self.network, self.to, self.int8))
    }

    /// What it reads and writes.
    pub fn files(&self) -> CommandFiles {
        CommandFiles {
            reads: vec![self.network.clone()],
            samples: self.data.place(),
            writes: vec![self.path()],
        }
    }
}

/// Runs the command; returns its results.
pub fn run(options: &Export, settings: &GlobalOptions, out: &mut dyn Write) -> Result<Value> {
    let [form, _] = options.to.names();
    ensure!(
        options.to != Format::Onnx || !options.int8,
        "--int8 is for source files, not for --to onnx"
    );
    ensure!(
        options.to == Format::C || options.prefix.is_none(),
        "--prefix is for --to c: names in other files need none"
    );
    ensure!(
        options.to == Format::Onnx || !(options.onnx.logits || options.onnx.uint8),
        "--logits and --uint8 are for --to onnx, not for source files"
    );
    let file = || options.network.display().to_string();
    let path = options.path();
    let network = Network::load_with(&options.network, registry())?;
    let metadata = Metadata::of(&network).with_context(file)?;
    let source = |language| SourceFile::of(&network, &metadata, language, options, settings);
    let source = match options.to {
        Format::Onnx => None,
        Format::Rust => Some(source(Language::Rust)?),
        Format::C => Some(source(Language::C)?),
    };
    let onnx = options.onnx.export(&network).with_context(file)?;
    match &source {
        Some(source) => atomic::write(&path, source.text.as_bytes())?,
        None => atomic::write(&path, &gradus_onnx::export(&network, &onnx).with_context(file)?)?,
    }

    writeln!(out, "{} is in {}", file(), path.display())?;
    let mut results = json!({
        "command": "export",
        "network": path_text(&options.network),
        "file": path_text(&path),
        "to": form,
        "int8": options.int8,
    });
    match &source {
        Some(source) => {
            source.print(out)?;
            source.add_to(&mut results);
        }
        None => {
            writeln!(
                out,
                "Version {} of ONNX's operators; input `{}`, output `{}`, any number of samples",
                gradus_onnx::OPSET,
                gradus_onnx::INPUT,
                gradus_onnx::OUTPUT
            )?;
            for sentence in described(&onnx) {
                writeln!(out, "{sentence}")?;
            }
        }
    }
    Ok(results)
}
