//! Networks by name, or declared in a file.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use gradus::prelude::*;
use gradus::save::read_at_most;
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

use crate::numbers::plural;
use crate::registry::registry;
use crate::suggestion::choose;

/// The names of the built-in networks.
pub const NAMES: [&str; 4] = ["xor", "mlp", "cnn", "lenet"];

/// A built-in network for samples of this shape and `classes` classes; `None` if there is no such name.
///
/// - `xor`: 2-4-1, tanh, a sigmoid at the end.
/// - `mlp`: the report's perceptron, 784-256-256-10 on MNIST: dense 256, ReLU, dense 256, ReLU, dense, softmax.
/// - `cnn`: the report's convolutional network: conv 5@3×3, ReLU, max pool 2, dense 100, ReLU, dense, softmax.
/// - `lenet`: LeNet-5 (LeCun, Bottou, Bengio and Haffner, 1998) with ReLU and max pooling: conv 6@5×5, conv 16@5×5, each with
///   ReLU and pooling, dense 120, dense 84, dense, softmax. Images too small for that are padded.
pub fn built_in(name: &str, input: &Shape, classes: usize) -> Option<Sequential> {
    Some(match name {
        "xor" => regression(name, input, 1)?.layer(Sigmoid),
        _ => regression(name, input, classes)?.layer(Softmax),
    })
}

/// The same networks without their last activation: for `outputs` values instead of classes.
pub fn regression(name: &str, input: &Shape, outputs: usize) -> Option<Sequential> {
    let network = Sequential::new(input);
    let smallest_side = input.image().map_or(0, |(_, height, width)| height.min(width));
    let padding = if smallest_side < 16 {
        Padding::Same
    } else {
        Padding::Valid
    };
    Some(match name {
        "xor" => network.layer(Dense::new(4)).layer(Tanh).layer(Dense::new(outputs)),
        "mlp" => network
            .layer(Flatten)
            .layer(Dense::new(256))
            .layer(Relu)
            .layer(Dense::new(256))
            .layer(Relu)
            .layer(Dense::new(outputs)),
        "cnn" => network
            .layer(Conv2d::new(5, 3))
            .layer(Relu)
            .layer(MaxPool2d::new(2))
            .layer(Flatten)
            .layer(Dense::new(100))
            .layer(Relu)
            .layer(Dense::new(outputs)),
        "lenet" => network
            .layer(Conv2d::new(6, 5).padding(padding))
            .layer(Relu)
            .layer(MaxPool2d::new(2))
            .layer(Conv2d::new(16, 5).padding(padding))
            .layer(Relu)
            .layer(MaxPool2d::new(2))
            .layer(Flatten)
            .layer(Dense::new(120))
            .layer(Relu)
            .layer(Dense::new(84))
            .layer(Relu)
            .layer(Dense::new(outputs)),
        _ => return None,
    })
}

/// Whether this is the name of a built-in network.
pub fn is_built_in(name: &str) -> bool {
    NAMES.contains(&name)
}

/// A network declared in a TOML or JSON file, as `{"input": [1, 28, 28], "layers": [{"kind": "dense", "units": 10}, ...]}`.
///
/// # Errors
/// If the file can't be read or declares no network; the error says where.
pub fn declared(path: &Path) -> Result<Sequential> {
    let name = || path.display().to_string();
    if path.extension().is_none() && !path.exists() {
        bail!(
            "there is no network `{}`; {} {}, or a .toml or .json file that declares one",
            name(),
            choose(&name(), NAMES),
            NAMES.join(", ")
        );
    }
    let extension = path.extension().and_then(|e| e.to_str());
    ensure!(
        extension != Some("safetensors"),
        "{}: that is a trained network, and a declaration is needed: a .toml or .json file that names its layers, or one of {}",
        name(),
        NAMES.join(", ")
    );
    ensure!(
        matches!(extension, Some("toml" | "json")),
        "{}: a network is declared in a .toml or .json file",
        name()
    );
    let bytes = read_at_most(path, MAX_BYTES)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        anyhow!(
            "{}: this is no text, but for its first {} (text is UTF-8)",
            name(),
            plural(place, "byte")
        )
    })?;
    let value = parse(&text, extension).with_context(name)?;
    Sequential::from_json(&value, registry()).with_context(name)
}

/// The content of a file with this extension as JSON.
///
/// # Errors
/// If it is not what its extension says, or that is neither `toml` nor `json`.
pub fn parse(text: &str, extension: Option<&str>) -> Result<serde_json::Value> {
    match extension {
        Some("toml") => parse_toml(text),
        Some("json") => serde_json::from_str(text).context("this is not JSON"),
        _ => bail!("a network is declared in a .toml or .json file"),
    }
}

/// The longest declaration that is read.
const MAX_BYTES: u64 = 16 << 20;

/// How deep lists and tables may lie in each other: as deep as in JSON.
const MAX_DEPTH: usize = 128;

/// Dotted keys nest so many tables in a short text that the stack would not hold the calls that read them.
fn parse_toml(text: &str) -> Result<serde_json::Value> {
    let table = DeTable::parse(text).map_err(|error| not_toml(text, &error))?;
    let mut level: Vec<&Spanned<DeValue<'_>>> = table.get_ref().values().collect();
    for _ in 0..MAX_DEPTH {
        if let Some(value) = level.iter().find(|value| is_not_finite(value.get_ref())) {
            let line = text[..value.span().start].matches('\n').count() + 1;
            bail!(
                "line {line}: {} is no setting: numbers must be finite",
                &text[value.span()]
            );
        }
        level = level.into_iter().flat_map(|value| children(value.get_ref())).collect();
    }
    ensure!(
        level.is_empty(),
        "its tables lie in each other more than {MAX_DEPTH} deep"
    );
    serde_json::Value::deserialize(Deserializer::from(table)).map_err(|error| not_toml(text, &error))
}

/// Whether this is nan or an infinity, which JSON has no number for.
fn is_not_finite(value: &DeValue<'_>) -> bool {
    matches!(value, DeValue::Float(number) if matches!(number.as_str().trim_start_matches(['+', '-']), "nan" | "inf"))
}

/// What is wrong with a TOML file, and where, in one line.
fn not_toml(text: &str, error: &toml::de::Error) -> anyhow::Error {
    let before = &text[..error.span().map_or(0, |span| span.start)];
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
    let message = error.message().replace('\n', ", ");
    anyhow!("this is not TOML: line {line}, column {column}: {message}")
}

/// The values in a list or a table.
fn children<'a, 'i>(value: &'a DeValue<'i>) -> Box<dyn Iterator<Item = &'a Spanned<DeValue<'i>>> + 'a> {
    match value {
        DeValue::Array(values) => Box::new(values.iter()),
        DeValue::Table(table) => Box::new(table.values()),
        _ => Box::new(std::iter::empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_network() {
        for (shape, parameters) in [
            ([1, 28, 28], [269_322, 85_660, 44_426]),
            ([1, 8, 8], [85_002, 5_660, 21_386]),
        ] {
            for (name, parameters) in NAMES[1..].iter().zip(parameters) {
                let network = built_in(name, &shape.into(), 10).unwrap().build(1).unwrap();
                assert_eq!(network.parameter_count(), parameters, "{name} on {shape:?}");
            }
        }
        assert!(built_in("xor", &2.into(), 2).unwrap().build(1).is_ok());
        assert!(built_in("vgg", &2.into(), 2).is_none());
        let message = declared(Path::new("vgg")).unwrap_err().to_string();
        assert!(
            message.starts_with("there is no network `vgg`; choose one of xor, mlp"),
            "{message}"
        );
        let message = declared(Path::new("lenett")).unwrap_err().to_string();
        assert!(
            message.starts_with("there is no network `lenett`; did you mean `lenet`? Choose one of xor, mlp"),
            "{message}"
        );
    }

    #[test]
    fn files_declare_networks() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            declared(&path).and_then(|network| Ok(network.build(1)?))
        };
        let toml = "input = [1, 4, 4]\n[[layers]]\nkind = \"flatten\"\n[[layers]]\nkind = \"dense\"\nunits = 3\n";
        assert_eq!(write("a.toml", toml).unwrap().parameter_count(), 51);
        let json = r#"{"input": [4], "layers": [{"kind": "dense", "units": 3}]}"#;
        assert_eq!(write("a.json", json).unwrap().parameter_count(), 15);

        let error = |name: &str, text: &str| format!("{:#}", write(name, text).unwrap_err());
        assert!(error("b.toml", "input = [").contains("b.toml: this is not TOML: line 1, column 10: unclosed array"));
        assert!(error("b.json", "{").contains("b.json: this is not JSON"));
        assert!(error("b.yaml", "").contains("a .toml or .json file"));
        assert!(error("b.safetensors", "").contains("b.safetensors: that is a trained network"));
        std::fs::write(folder.path().join("latin.toml"), b"# caf\xe9\n").unwrap();
        let latin = format!("{:#}", declared(&folder.path().join("latin.toml")).unwrap_err());
        assert!(
            latin.ends_with("latin.toml: this is no text, but for its first 5 bytes (text is UTF-8)"),
            "{latin}"
        );
        let padded = "input = [1, 8, 8]\n[[layers]]\nkind = \"conv2d\"\nchannels = 4\nkernel = 3\npadding = 1\n";
        assert_eq!(write("padded.toml", padded).unwrap().output_shape()[..], [4, 8, 8]);
        let unknown = r#"{"input": [4], "layers": [{"kind": "dnese", "units": 3}]}"#;
        assert!(error("c.json", unknown).contains("`layers[0]`: there is no layer \"dnese\""));
        let setting = r#"{"input": [4], "layers": [{"kind": "dense", "unit": 3}]}"#;
        assert!(error("d.json", setting).contains("unknown setting `unit`"));
        assert!(error("e.json", r#"{"input": [4], "layers": []}"#).contains("has no layers"));
    }

    #[test]
    fn settings_that_make_no_sense_are_named_with_what_was_expected() {
        let error = |layer: &str| {
            let network = format!("input = [1, 8, 8]\n[[layers]]\n{layer}\n");
            let read = parse(&network, Some("toml"))
                .and_then(|value| Ok(Sequential::from_json(&value, registry())?.build(1)?));
            format!("{:#}", read.unwrap_err())
        };
        for (layer, sentence) in [
            (
                "kind = 'dense'\nunits = -5",
                "the layer dense: units must be a whole number of at least 0, got -5",
            ),
            (
                "kind = 'upsample2d'\nscale = 1.5",
                "the layer upsample2d: scale must be a whole number of at least 0, or two in a list, got 1.5",
            ),
            (
                "kind = 'conv2d'\nchannels = 4\nkernel = [3, 3, 3]",
                "the layer conv2d: kernel must be a whole number of at least 0, or two in a list, got [3,3,3]",
            ),
            (
                "kind = 'clamp'\nlow = 'nan'",
                "the layer clamp: low must be a number, got \"nan\"",
            ),
            (
                "kind = 'clamp'\nlow = -inf",
                "line 4: -inf is no setting: numbers must be finite",
            ),
            (
                "kind = 'layer_norm'\nepsilon = 1e-300",
                "a positive number, not 1e-300, which is 0 in 32 bits",
            ),
            (
                "kind = 'gaussian_noise'\ndeviation = 1e300",
                "not 1e300, which is inf in 32 bits",
            ),
        ] {
            let found = error(layer);
            assert!(found.contains(sentence), "{found}");
        }
    }

    /// 80 parts are the most that one key may have, and 80 tables the most that may be written in each other.
    #[test]
    fn deep_tables_are_refused() {
        let key = vec!["a"; 78].join(".");
        let text = format!("{}{key} = 1{}", format!("{key} = {{ ").repeat(70), " }".repeat(70));
        let error = parse(&text, Some("toml")).unwrap_err();
        assert!(format!("{error:#}").contains("more than 128 deep"), "{error:#}");
        assert!(parse(&format!("{key} = 1"), Some("toml")).is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn a_file_without_an_end_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("zero.toml");
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        let message = format!("{:#}", declared(&path).unwrap_err());
        assert!(
            message.ends_with("zero.toml: the file is longer than 16 MiB, the most that is read of it"),
            "{message}"
        );
    }
}
