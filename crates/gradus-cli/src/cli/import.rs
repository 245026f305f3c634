//! `gradus import`: networks of other frameworks.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use gradus::Network;
use gradus::save::{is_pickle, read_at_most};
use gradus_onnx::{Imported, Scaling};
use serde_json::{Value, json};

use crate::metadata::{Metadata, Preprocessing, TargetScale};
use crate::networks;
use crate::output::CommandFiles;
use crate::registry::registry;
use crate::terminal::path_text;

/// Make a network of another program's file
///
/// An ONNX file, as PyTorch, Keras and scikit-learn export them, says itself what network it holds. What has no layer here is
/// refused, by the name of the node and its operator.
///
/// A .safetensors file, as PyTorch saves the state of a Sequential, holds tensors only; --network declares the layers that they
/// are of, in a .toml or .json file as for `gradus train`.
///
/// The network can be evaluated and used like any other. A Rust program can train it further: `Network::load`, then `Fit::run`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  gradus import model.onnx -o network.safetensors\n  gradus import state.safetensors --network layers.toml -o network.safetensors\n  gradus evaluate network.safetensors --data mnist"
)]
pub struct Import {
    /// The file, with all tensors in it
    #[arg(value_name = "FILE")]
    model: PathBuf,
    /// The declaration of the layers whose tensors are in a .safetensors file
    #[arg(long, value_name = "FILE")]
    network: Option<PathBuf>,
    /// Where the network goes [default: beside the file, with the ending .safetensors]
    #[arg(long, short, value_name = "NETWORK.safetensors")]
    out: Option<PathBuf>,
    /// The value of an ONNX graph that is the network's output, if it has several
    #[arg(long, value_name = "NAME")]
    value: Option<String>,
    /// Where an ONNX file's images have their channels [default: as its nodes show, or as the program has them that wrote it]
    #[arg(long, value_enum, value_name = "ORDER")]
    channels: Option<Channels>,
}

/// The place of an image's channels among its axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Channels {
    /// Channels × height × width, as in PyTorch
    First,
    /// Height × width × channels, as in Keras
    Last,
}

/// The largest ONNX file that is read: protocol buffers have at most 2 GiB.
const MAX_BYTES: u64 = (1 << 31) - 1;

/// Runs the command; returns its results.
pub fn run(options: &Import, out: &mut dyn Write) -> Result<Value> {
    let path = options.path();
    ensure!(
        path.extension().is_some_and(|ending| ending == "safetensors"),
        "{}: networks go into files that end in .safetensors",
        path.display()
    );
    let imported = options.imported()?;
    let network = &imported.network;
    network.save(&path)?;

    write!(out, "{}", network.summary())?;
    writeln!(out, "\nThe network is in {}.", path.display())?;
    let input = network.input_shape();
    print_notes(&imported, out)?;
    Ok(json!({
        "command": "import",
        "model": path_text(&options.model),
        "network": path_text(&path),
        "input": input,
        "output": network.output_shape(),
        "parameters": network.parameter_count(),
        "channels_last": imported.channels_last,
        "channels_guessed": imported.channels_guessed,
        "bytes": imported.bytes,
        "two_classes": imported.two_classes,
    }))
}

/// Says how the network differs from what is in its file.
fn print_notes(imported: &Imported, out: &mut dyn Write) -> Result<()> {
    if imported.channels_last {
        writeln!(
            out,
            "It takes images with their channels first, {}: in the ONNX file they come last.",
            imported.network.input_shape()
        )?;
    }
    if imported.channels_guessed {
        let [taken, other] = if imported.channels_last {
            ["last", "first"]
        } else {
            ["first", "last"]
        };
        writeln!(
            out,
            "No node of the file shows where its images have their channels: they are taken to come {taken}. Should they come \
             {other}, import it with --channels {other}."
        )?;
    }
    if imported.bytes {
        writeln!(
            out,
            "It takes byte / 255, as all networks here: the ONNX file takes bytes."
        )?;
    }
    if imported.two_classes {
        writeln!(out, "Its output is the probability of the second of two classes.")?;
    }
    if imported.inputs.is_some() {
        writeln!(
            out,
            "It takes the numbers of a table scaled as its notes say, which commands do: in the ONNX file nodes scale them."
        )?;
    }
    if imported.outputs.is_some() {
        writeln!(
            out,
            "Its notes say how its outputs become values, which commands make of them: in the ONNX file nodes do."
        )?;
    }
    Ok(())
}

impl Import {
    /// The file that is written.
    fn path(&self) -> PathBuf {
        (self.out.clone()).unwrap_or_else(|| self.model.with_extension("safetensors"))
    }

    /// What it reads and writes.
    pub fn files(&self) -> CommandFiles {
        let reads = std::iter::once(&self.model).chain(&self.network);
        CommandFiles {
            reads: reads.cloned().collect(),
            writes: vec![self.path()],
            ..CommandFiles::default()
        }
    }

    fn imported(&self) -> Result<Imported> {
        let file = || self.model.display().to_string();
        refuse_pickle(&self.model)?;
        let tensors = self.model.extension().is_some_and(|ending| ending == "safetensors");
        let Some(declaration) = &self.network else {
            ensure!(
                !tensors || Network::load_with(&self.model, registry()).is_err(),
                "{}: this is a network already: evaluate it, predict with it or export it as it is",
                file()
            );
            ensure!(
                !tensors,
                "{}: a .safetensors file holds tensors only; declare the layers that they are of with --network",
                file()
            );
            let bytes = read_at_most(&self.model, MAX_BYTES)?;
            let how = gradus_onnx::Import {
                output: self.value.clone(),
                channels_last: self.channels.map(|channels| channels == Channels::Last),
            };
            let mut imported = gradus_onnx::import_with(&bytes, &how).with_context(file)?;
            note_scaling(&mut imported).with_context(file)?;
            return Ok(imported);
        };
        ensure!(tensors, "{}: --network is for .safetensors files", file());
        ensure!(self.value.is_none(), "--value is for ONNX files");
        ensure!(self.channels.is_none(), "--channels is for ONNX files");
        let mut network = networks::declared(declaration)?
            .build(0)
            .with_context(|| declaration.display().to_string())?;
        network.load_weights(&self.model)?;
        Ok(Imported {
            network,
            channels_last: false,
            channels_guessed: false,
            bytes: false,
            two_classes: false,
            inputs: None,
            outputs: None,
            columns: Vec::new(),
        })
    }
}

/// Writes into a network's notes how its file scales numbers, and checks all of them.
fn note_scaling(imported: &mut Imported) -> Result<()> {
    let mut metadata = Metadata::of(&imported.network)?;
    if let Some(Scaling { mean, deviation }) = &imported.inputs {
        metadata.preprocessing = Some(Preprocessing::Numbers {
            columns: imported.columns.clone(),
            mean: mean.clone(),
            deviation: deviation.clone(),
        });
    }
    if let Some(Scaling { mean, deviation }) = &imported.outputs {
        metadata.targets = Some(TargetScale {
            mean: mean.clone(),
            deviation: deviation.clone(),
        });
    }
    metadata.write(&mut imported.network)?;
    Metadata::of(&imported.network).map(drop)
}

/// Refuses what `torch.save` writes, a zip archive with a pickle or a bare pickle, by its first bytes.
fn refuse_pickle(path: &Path) -> Result<()> {
    let file = || path.display().to_string();
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(16).read_to_end(&mut start));
    read.with_context(|| format!("{} can't be read", file()))?;
    ensure!(
        !is_pickle(&start),
        "{}: this is a pickle, as `torch.save` writes it: pickles are programs, and are not run; save the tensors with \
         `safetensors.torch.save_file(model.state_dict(), path)`, or the network with `torch.onnx.export`",
        file()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use gradus::prelude::*;
    use gradus_onnx::{Export, export, import};

    use super::*;

    #[test]
    fn what_a_file_scales_is_noted() {
        let network = Sequential::new([2]).layer(Dense::new(1)).build(1).unwrap();
        let scaling = |mean: &[f64], deviation: &[f64]| {
            Some(Scaling {
                mean: mean.to_vec(),
                deviation: deviation.to_vec(),
            })
        };
        let options = Export {
            inputs: scaling(&[1.5, -2.0], &[0.5, 4.0]),
            outputs: scaling(&[1000.0], &[250.0]),
            columns: vec!["a".into(), "b".into()],
            ..Export::default()
        };
        let mut imported = import(&export(&network, &options).unwrap()).unwrap();
        note_scaling(&mut imported).unwrap();
        let metadata = Metadata::of(&imported.network).unwrap();
        assert_eq!(
            metadata.preprocessing,
            Some(Preprocessing::Numbers {
                columns: options.columns,
                mean: vec![1.5, -2.0],
                deviation: vec![0.5, 4.0],
            })
        );
        assert_eq!(
            metadata.targets,
            Some(TargetScale {
                mean: vec![1000.0],
                deviation: vec![250.0],
            })
        );
    }
}
