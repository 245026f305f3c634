//! `gradus import`: networks of other frameworks.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};

use crate::notes::Notes;

/// Make a network of an ONNX file, as PyTorch, Keras and scikit-learn export them
///
/// The network can be evaluated, used and trained further like any other. What has no layer here is refused, by the name of the
/// node and its operator.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  gradus import model.onnx -o network.safetensors\n  gradus evaluate network.safetensors --data mnist"
)]
pub struct Import {
    /// The file, with all tensors in it
    #[arg(value_name = "MODEL.onnx")]
    model: PathBuf,
    /// Where the network goes [default: beside the file, with the ending .safetensors]
    #[arg(long, short, value_name = "NETWORK.safetensors")]
    output: Option<PathBuf>,
    /// The value of the graph that is the network's output, if it has several
    #[arg(long, value_name = "NAME")]
    value: Option<String>,
}

/// Runs the command; returns its results.
pub fn run(options: &Import, out: &mut dyn Write) -> Result<Value> {
    let file = || options.model.display().to_string();
    let bytes = fs::read(&options.model).with_context(|| format!("{} can't be read", file()))?;
    let imported = gradus_onnx::import_output(&bytes, options.value.as_deref()).with_context(file)?;
    let network = imported.network;
    Notes::of(&network).with_context(file)?;
    let path = match &options.output {
        Some(path) => path.clone(),
        None => options.model.with_extension("safetensors"),
    };
    ensure!(
        path.extension().is_some_and(|ending| ending == "safetensors"),
        "{}: networks go into files that end in .safetensors",
        path.display()
    );
    network.save(&path)?;

    write!(out, "{}", network.summary())?;
    writeln!(out, "\nThe network is in {}.", path.display())?;
    let input = network.input_shape();
    if imported.channels_last {
        writeln!(
            out,
            "It takes images with their channels first, {input}: in the ONNX file they come last."
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
    Ok(json!({
        "command": "import",
        "model": options.model,
        "network": path,
        "input": input,
        "output": network.output_shape(),
        "parameters": network.parameter_count(),
        "channels_last": imported.channels_last,
        "bytes": imported.bytes,
        "two_classes": imported.two_classes,
    }))
}
