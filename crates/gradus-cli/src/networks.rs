//! Networks by name, or declared in a file.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use gradus::prelude::*;
use gradus::save::Registry;

/// The names of the built-in networks.
pub const NAMES: [&str; 4] = ["xor", "mlp", "cnn", "lenet"];

/// A built-in network for samples of this shape and so many classes; none if there is no such name.
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

/// The same networks without their last activation: for so many values instead of classes.
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
            "there is no network `{}`; choose one of {}, or a .toml or .json file that declares one",
            name(),
            NAMES.join(", ")
        );
    }
    let text = std::fs::read_to_string(path).with_context(name)?;
    let value: serde_json::Value = match path.extension().and_then(|e| e.to_str()) {
        Some("toml") => toml::from_str(&text).map_err(|error| {
            let before = &text[..error.span().map_or(0, |span| span.start)];
            let (line, column) = (
                before.matches('\n').count() + 1,
                before.chars().rev().take_while(|&c| c != '\n').count() + 1,
            );
            let message = error.message().replace('\n', ", ");
            anyhow!("{} is not TOML: line {line}, column {column}: {message}", name())
        })?,
        Some("json") => serde_json::from_str(&text).with_context(|| format!("{} is not JSON", name()))?,
        _ => bail!("{}: a network is declared in a .toml or .json file", name()),
    };
    Sequential::from_json(&value, &Registry::default()).with_context(name)
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
        assert!(error("b.toml", "input = [").contains("b.toml is not TOML: line 1, column 10: unclosed array"));
        assert!(error("b.json", "{").contains("b.json is not JSON"));
        assert!(error("b.yaml", "").contains("a .toml or .json file"));
        let unknown = r#"{"input": [4], "layers": [{"kind": "dnese", "units": 3}]}"#;
        assert!(error("c.json", unknown).contains("`layers[0]`: there is no layer of kind \"dnese\""));
        let setting = r#"{"input": [4], "layers": [{"kind": "dense", "unit": 3}]}"#;
        assert!(error("d.json", setting).contains("unknown field `unit`"));
        assert!(error("e.json", r#"{"input": [4], "layers": []}"#).contains("has no layers"));
    }
}
