//! `gradus summary`: what a network is made of.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use gradus::{Network, Shape};
use serde_json::{Value, json};

use super::GlobalOptions;
use crate::metadata::Metadata;
use crate::networks;
use crate::output::CommandFiles;
use crate::registry::registry;
use crate::terminal::{display_list, one_line, path_text, shortened};

/// Show the layers of a network: their outputs, parameters, multiply-adds and memory
///
/// NETWORK is a built-in one, a .toml or .json file that declares one, or a trained one (.safetensors), of which the notes
/// are shown too: what it was trained on, and how.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  gradus summary cnn\n  gradus summary lenet --input 3x32x32 --classes 100\n  gradus summary runs/train/network.safetensors"
)]
pub struct Summary {
    /// xor, mlp, cnn, lenet, or a .toml, .json or .safetensors file
    #[arg(value_name = "NETWORK")]
    network: PathBuf,
    /// The shape of a sample, for a built-in network [default: 1x28x28; xor: 2]
    #[arg(long, value_name = "SHAPE", value_parser = parse_shape)]
    input: Option<Shape>,
    /// The number of classes, for a built-in network [default: 10]
    #[arg(long, value_name = "N")]
    classes: Option<usize>,
}

impl Summary {
    /// What it reads and writes.
    pub fn files(&self) -> CommandFiles {
        CommandFiles {
            reads: vec![self.network.clone()],
            ..CommandFiles::default()
        }
    }
}

/// Parses `3x32x32`.
fn parse_shape(text: &str) -> Result<Shape> {
    let dims = text.split(['x', 'X', '×']).map(|dim| dim.trim().parse::<usize>());
    let dims = dims.collect::<Result<Vec<_>, _>>();
    Ok(dims.context("a shape is written like 784 or 3x32x32")?.into())
}

/// Runs the command; returns its results.
pub fn run(options: &Summary, settings: &GlobalOptions, out: &mut dyn Write) -> Result<Value> {
    let network = options.network(settings)?;
    let metadata = Metadata::of(&network).with_context(|| path_text(&options.network))?;
    write!(out, "{}", network.summary())?;
    if let Some(origin) = &metadata.origin {
        writeln!(out, "\ntrained on {}", one_line(&origin.name))?;
    }
    if let Some(classes) = metadata.classes.as_ref().filter(|classes| !classes.is_empty()) {
        writeln!(out, "classes: {}", display_list(classes))?;
    }
    if let Some(preprocessing) = &metadata.preprocessing {
        writeln!(out, "samples: {preprocessing}")?;
    }
    if let Some(scale) = &metadata.targets {
        let scale = format!("output × {:?} + {:?}", scale.deviation, scale.mean);
        writeln!(out, "targets: {}", one_line(&scale))?;
    }
    if let Some(training) = &metadata.training {
        writeln!(out, "training: {}", shortened(&serde_json::to_string_pretty(training)?))?;
    }
    let rows = network.summary().rows();
    Ok(json!({
        "command": "summary",
        "network": path_text(&options.network),
        "input": network.input_shape(),
        "output": network.output_shape(),
        "parameters": network.parameter_count(),
        "multiply_adds": network.multiply_adds(),
        "layers": rows,
        "data": metadata.origin.map(|origin| origin.name),
        "classes": metadata.classes,
        "preprocessing": metadata.preprocessing,
        "targets": metadata.targets,
        "training": metadata.training,
    }))
}

impl Summary {
    fn network(&self, settings: &GlobalOptions) -> Result<Network> {
        let path = &self.network;
        let name = &path_text(path)[..];
        if networks::is_built_in(name) {
            let usual = if name == "xor" {
                Shape::from(2)
            } else {
                Shape::from([1, 28, 28])
            };
            let input = self.input.as_ref().unwrap_or(&usual);
            let network = networks::built_in(name, input, self.classes.unwrap_or(10));
            let network = network.with_context(|| format!("there is no network `{name}`"))?;
            return network.build(settings.seed).with_context(|| name.to_string());
        }
        ensure!(
            self.input.is_none() && self.classes.is_none(),
            "--input and --classes are for built-in networks; {name} says itself what it takes and gives"
        );
        if path.extension().is_some_and(|ending| ending == "safetensors") {
            return Ok(Network::load_with(path, registry())?);
        }
        match networks::declared(path)?.build(settings.seed) {
            Ok(network) => Ok(network),
            Err(error) => bail!("{name}: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_read() {
        assert_eq!(parse_shape("3x32×8").unwrap(), Shape::from([3, 32, 8]));
        assert_eq!(parse_shape("784").unwrap(), Shape::from(784));
        assert!(parse_shape("3x").unwrap_err().to_string().contains("like 784"));
    }
}
