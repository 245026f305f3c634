//! The Rust half of `python/check.py`: `peers export FOLDER` writes networks for others to run, with what they give here;
//! `peers import FOLDER` reads networks of others, and holds what they give here against what they give there.

use std::error::Error;
use std::fs;
use std::path::Path;

use gradus::data::{Bytes, Dataset};
use gradus::prelude::*;
use gradus::save::Registry;
use gradus::{Float, Network};
use gradus_onnx::{Export, Normalization, export, import};
use ndarray::ArrayD;
use serde_json::{Value, json};

type Outcome = Result<(), Box<dyn Error>>;

/// How many images are compared.
const IMAGES: usize = 1000;

/// How far apart outputs may be, in parts of the output where that is above 1.
const TOLERANCE: Float = 1e-5;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["export", folder] => export_all(Path::new(folder)),
        ["import", folder] => import_all(Path::new(folder)),
        _ => Err("usage: peers export FOLDER, or peers import FOLDER".into()),
    }
}

/// The layers of networks that together have all kinds of them.
fn networks() -> Vec<(&'static str, Value)> {
    vec![
        (
            "mlp",
            json!([
            { "kind": "flatten" }, { "kind": "dense", "units": 64 }, { "kind": "relu" }, { "kind": "dense", "units": 10 },
            { "kind": "softmax" }]),
        ),
        (
            "lenet",
            json!([
            { "kind": "conv2d", "channels": 6, "kernel": 3, "padding": "same" }, { "kind": "relu" }, { "kind": "max_pool2d", "kernel": 2 },
            { "kind": "conv2d", "channels": 16, "kernel": 3 }, { "kind": "relu" }, { "kind": "flatten" },
            { "kind": "dense", "units": 40 }, { "kind": "relu" }, { "kind": "dense", "units": 10 }, { "kind": "softmax" }]),
        ),
        (
            "residual",
            json!([
            { "kind": "conv2d", "channels": 4, "kernel": 3, "padding": "same", "bias": false }, { "kind": "batch_norm" }, { "kind": "relu" },
            { "kind": "residual", "body": [
                { "kind": "conv2d", "channels": 4, "kernel": 3, "padding": "same" }, { "kind": "batch_norm" }, { "kind": "relu" },
                { "kind": "conv2d", "channels": 4, "kernel": 3, "padding": "same" }, { "kind": "batch_norm" }] },
            { "kind": "relu" },
            { "kind": "residual", "body": [
                { "kind": "conv2d", "channels": 8, "kernel": 3, "stride": 2, "padding": "same" }, { "kind": "batch_norm" }] },
            { "kind": "relu" }, { "kind": "global_avg_pool2d" }, { "kind": "dense", "units": 10 }, { "kind": "softmax" }]),
        ),
        (
            "windows",
            json!([
            { "kind": "conv2d", "channels": 4, "kernel": [3, 2], "stride": [1, 2], "padding": { "explicit": { "top": 2, "bottom": 0, "left": 1, "right": 1 } } },
            { "kind": "leaky_relu", "slope": 0.1 },
            { "kind": "conv2d", "channels": 6, "kernel": 2, "dilation": 2, "groups": 2, "padding": "same" }, { "kind": "elu", "alpha": 0.8 },
            { "kind": "max_pool2d", "kernel": 3, "stride": 2, "padding": "same" },
            { "kind": "avg_pool2d", "kernel": 2, "stride": 1, "padding": { "explicit": { "top": 1, "bottom": 1, "left": 0, "right": 1 } }, "exclude_padding": true },
            { "kind": "avg_pool2d", "kernel": 2, "stride": 1, "padding": "same" }, { "kind": "flatten" },
            { "kind": "dense", "units": 10 }, { "kind": "softmax" }]),
        ),
        (
            "activations",
            json!([
            { "kind": "flatten" }, { "kind": "dense", "units": 24 }, { "kind": "gelu" }, { "kind": "dense", "units": 24 }, { "kind": "silu" },
            { "kind": "reshape", "shape": [6, 2, 2] }, { "kind": "conv2d", "channels": 6, "kernel": 2, "padding": "same" },
            { "kind": "flatten" }, { "kind": "softplus" }, { "kind": "dense", "units": 24 }, { "kind": "batch_norm" }, { "kind": "tanh" },
            { "kind": "dense", "units": 24 }, { "kind": "sigmoid" }, { "kind": "dropout", "rate": 0.2 }, { "kind": "dense", "units": 10 },
            { "kind": "softmax" }]),
        ),
    ]
}

/// MNIST's test images.
fn images() -> Result<Bytes, Box<dyn Error>> {
    let images = gradus_mnist::test()?;
    Ok(mnist::from_bytes(images.pixels, &images.labels)?)
}

#[allow(clippy::unnecessary_cast)] // Not in a build whose numbers are f64.
fn write_floats(path: &Path, values: &[Float]) -> Outcome {
    let bytes: Vec<u8> = values.iter().flat_map(|&value| (value as f32).to_le_bytes()).collect();
    Ok(fs::write(path, bytes)?)
}

fn read_floats(path: &Path) -> Result<Vec<Float>, Box<dyn Error>> {
    let bytes = fs::read(path)?;
    let (numbers, _) = bytes.as_chunks();
    Ok(numbers
        .iter()
        .map(|&number| f32::from_le_bytes(number) as Float)
        .collect())
}

fn export_all(folder: &Path) -> Outcome {
    let data = images()?;
    let count = IMAGES.min(data.len());
    let mut x = vec![0.0; data.shape().size()];
    let mut bytes = Vec::new();
    for i in 0..count {
        data.read(i, &mut x)?;
        bytes.extend(x.iter().map(|value| (value * 255.0).round() as u8));
    }
    let labels: Vec<u8> = data.labels()[..count].iter().map(|&label| label as u8).collect();
    fs::write(folder.join("images.u8"), &bytes)?;
    fs::write(folder.join("labels.u8"), labels)?;
    fs::write(folder.join("images.json"), json!({ "shape": data.shape() }).to_string())?;
    let shape = [&[count], data.shape().dims()].concat();
    let x = ArrayD::from_shape_vec(shape, bytes.iter().map(|&byte| byte as Float / 255.0).collect())?;

    for (name, layers) in networks() {
        let declared = json!({ "input": data.shape(), "layers": layers });
        let mut network = Sequential::from_json(&declared, &Registry::default())?.build(1)?;
        // A little training, for weights and statistics that are not the first ones.
        Fit::new(CrossEntropy::new(), Adam::new(0.003))
            .epochs(1)
            .batch_size(100)
            .run(&mut network, &data)?;
        let y = network.predict(&x)?;
        let y = y.as_slice().ok_or("outputs lie in order")?;
        for (kind, options) in [
            ("", Export::default()),
            (
                "_bytes",
                Export {
                    bytes: Some(Normalization::default()),
                    ..Export::default()
                },
            ),
        ] {
            fs::write(folder.join(format!("{name}{kind}.onnx")), export(&network, &options)?)?;
            write_floats(&folder.join(format!("{name}{kind}.y")), y)?;
        }
    }
    Ok(())
}

fn import_all(folder: &Path) -> Outcome {
    let mut paths: Vec<_> = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "onnx"));
    paths.sort();
    for path in paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let imported = import(&fs::read(&path)?).map_err(|error| format!("{name}: {error}"))?;
        let network: Network = imported.network;
        let x = read_floats(&path.with_extension("x"))?;
        let samples = x.len() / network.input_shape().size();
        let x = ArrayD::from_shape_vec([&[samples], network.input_shape().dims()].concat(), x)?;
        let (found, expected) = (network.predict(&x)?, read_floats(&path.with_extension("y"))?);
        if found.len() != expected.len() {
            return Err(format!("{name}: {} outputs, expected {}", found.len(), expected.len()).into());
        }
        let differences = found
            .iter()
            .zip(&expected)
            .map(|(a, b)| (a - b).abs() / b.abs().max(1.0));
        // NaN is the largest of all.
        let worst = differences.fold(0.0, |a, b| if b > a || b.is_nan() { b } else { a });
        println!("imported {name}: {samples} images, largest difference {worst:.1e}");
        if worst.is_nan() || worst > TOLERANCE {
            return Err(format!("{name} differs by more than {TOLERANCE}").into());
        }
    }
    Ok(())
}
