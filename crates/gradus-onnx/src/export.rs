//! Networks as ONNX files.

mod operators;

use gradus::{Error, Float, Network, Part, Result};
use serde_json::Value;

use crate::model::{self, data_type};
use crate::wire::Message;

/// The version of ONNX's operators that exported files use: of 2022, so that every runtime in use reads them.
pub const OPSET: i64 = 17;

/// The version of the file format that goes with it.
const IR_VERSION: i64 = 8;

/// The name of the graph's input.
pub const INPUT: &str = "x";
/// The name of the graph's output.
pub const OUTPUT: &str = "y";

/// The notes of a network that go into its file's metadata, under the same names.
pub(crate) const NOTES: [&str; 2] = ["classes", "preprocessing"];

/// How a network is exported.
#[derive(Debug, Clone, Default)]
pub struct Export {
    /// Leaves out a softmax or sigmoid at the end: the outputs are then logits.
    pub logits: bool,
    /// Takes bytes, and makes the network's samples of them in the graph.
    pub bytes: Option<Normalisation>,
}

/// How bytes become the values that a network takes: x = byte · scale + shift, with a number for each channel, or one for
/// all.
#[derive(Debug, Clone, PartialEq)]
pub struct Normalisation {
    /// The factors.
    pub scale: Vec<Float>,
    /// What is added.
    pub shift: Vec<Float>,
}

impl Default for Normalisation {
    /// x = byte / 255, as the library's pictures are.
    fn default() -> Self {
        Normalisation {
            scale: vec![1.0 / 255.0],
            shift: vec![0.0],
        }
    }
}

/// The content of an ONNX file with this network: its graph for inference, all numbers in single precision.
///
/// The input `x` has the shape samples × the network's input shape, the output `y` samples × its output shape, for any number
/// of samples. Parameters have the names and layouts of the network's own files (`0.weight`). Dropout, which does nothing at
/// inference, is left out. The notes `classes` and `preprocessing` go into the file's metadata.
///
/// ```
/// use gradus::prelude::*;
/// use gradus_onnx::{Export, Normalisation, export, import};
///
/// let network = Sequential::new([1, 8, 8]).layer(Flatten).layer(Dense::new(10)).layer(Softmax).build(1)?;
/// let file = export(&network, &Export::default())?;
/// assert_eq!(import(&file)?.network.output_shape(), network.output_shape());
///
/// // For bytes from 0 to 255, and without the softmax.
/// let file = export(&network, &Export { logits: true, bytes: Some(Normalisation::default()) })?;
/// # assert!(import(&file).is_ok());
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Errors
/// If a layer has no counterpart, as a user's own; if a parameter is not finite; or if the numbers of the normalisation are
/// neither one nor one for each channel.
pub fn export(network: &Network, options: &Export) -> Result<Vec<u8>> {
    let mut parts = network.parts();
    if options.logits
        && let Some(Part::Layer(last)) = parts.last()
        && ["softmax", "sigmoid"].contains(&last.kind())
        && last.is_built_in()
    {
        parts.pop();
    }
    let mut graph = Graph::default();
    let sample = network.input_shape();
    let input_type = match options.bytes {
        None => data_type::FLOAT,
        Some(_) => data_type::UINT8,
    };
    let mut value = INPUT.to_string();
    if let Some(normalisation) = &options.bytes {
        value = graph.normalise(value, normalisation, sample)?;
    }
    let value = graph.parts(value, &parts)?;
    graph.end(value);
    let nodes: Vec<_> = graph.nodes.iter().map(Node::message).collect();

    let graph = model::write_graph(
        "gradus",
        &nodes,
        &graph.initializers,
        &model::write_value(INPUT, input_type, sample),
        &model::write_value(OUTPUT, data_type::FLOAT, network.output_shape()),
    );
    let metadata: Vec<_> = (NOTES.iter())
        .filter_map(|&key| Some((key.to_string(), network.note(key)?.to_string())))
        .collect();
    Ok(model::write_model(&graph, OPSET, IR_VERSION, &metadata))
}

/// A node that is being written. No value has its name: there are runtimes that would take one for the other.
struct Node {
    operator: &'static str,
    name: String,
    inputs: Vec<String>,
    output: String,
    attributes: Vec<Message>,
}

impl Node {
    fn message(&self) -> Message {
        model::write_node(self.operator, &self.name, &self.inputs, &self.output, &self.attributes)
    }
}

/// The nodes and constants of a graph that is being written.
#[derive(Default)]
struct Graph {
    nodes: Vec<Node>,
    initializers: Vec<Message>,
}

impl Graph {
    /// Adds a node; gives the name of its output.
    fn node(&mut self, operator: &'static str, path: &str, inputs: &[&str], attributes: Vec<Message>) -> String {
        let name = format!("{path}.{}", operator.to_lowercase());
        let output = format!("{name}.{OUTPUT}");
        self.nodes.push(Node {
            operator,
            name,
            inputs: inputs.iter().map(|input| input.to_string()).collect(),
            output: output.clone(),
            attributes,
        });
        output
    }

    /// Adds a constant of numbers; gives its name.
    fn constant(&mut self, name: String, dims: &[usize], values: impl IntoIterator<Item = Float>) -> Result<String> {
        let mut raw = Vec::new();
        for value in values {
            // In a build whose numbers are f64, it rounds.
            #[allow(clippy::unnecessary_cast)]
            let single = value as f32;
            if !single.is_finite() {
                return Err(Error::invalid(format!(
                    "the tensor `{name}` has the value {value}, which can't be exported: it is not finite in single precision"
                )));
            }
            raw.extend(single.to_le_bytes());
        }
        (self.initializers).push(model::write_tensor(&name, dims, data_type::FLOAT, &raw));
        Ok(name)
    }

    /// Adds a constant shape of a batch of such samples.
    fn shape(&mut self, path: &str, sample: &[usize]) -> String {
        let name = format!("{path}.shape");
        // 0 stands for the dimension of the input, which is the number of samples.
        let dims = [&[0], sample].concat();
        let raw: Vec<u8> = (dims.iter()).flat_map(|&dim| (dim as i64).to_le_bytes()).collect();
        (self.initializers).push(model::write_tensor(&name, &[dims.len()], data_type::INT64, &raw));
        name
    }

    fn parts(&mut self, mut value: String, parts: &[Part<'_>]) -> Result<String> {
        for part in parts {
            value = match part {
                Part::Layer(layer) => self.layer(value, layer)?,
                Part::Residual { body, shortcut } => {
                    let a = self.parts(value.clone(), body)?;
                    let b = self.parts(value, shortcut.as_deref().unwrap_or_default())?;
                    let path = format!("sum{}", self.nodes.len());
                    self.node("Add", &path, &[&a, &b], vec![])
                }
            };
        }
        Ok(value)
    }

    /// Gives the last value the name of the output.
    fn end(&mut self, value: String) {
        match self.nodes.last_mut() {
            Some(last) if last.output == value => last.output = OUTPUT.into(),
            // Nothing is computed.
            _ => self.nodes.push(Node {
                operator: "Identity",
                name: "identity".into(),
                inputs: vec![value],
                output: OUTPUT.into(),
                attributes: vec![],
            }),
        }
    }

    fn normalise(&mut self, value: String, normalisation: &Normalisation, sample: &[usize]) -> Result<String> {
        let Normalisation { scale, shift } = normalisation;
        let channels = if sample.len() == 3 { sample[0] } else { 1 };
        for (what, values) in [("scale", scale), ("shift", shift)] {
            if values.len() != 1 && values.len() != channels {
                return Err(Error::invalid(format!(
                    "the {what} of the normalisation has {} numbers: it needs one, or one for each of {channels} channels",
                    values.len()
                )));
            }
        }
        let dims = |values: &[Float]| {
            if values.len() == 1 {
                vec![]
            } else {
                vec![1, values.len(), 1, 1]
            }
        };
        let mut value = self.node("Cast", "input", &[&value], vec![model::integer("to", data_type::FLOAT)]);
        let scale = self.constant("input.scale".into(), &dims(scale), scale.iter().copied())?;
        value = self.node("Mul", "input", &[&value, &scale], vec![]);
        if shift.iter().any(|&shift| shift != 0.0) {
            let shift = self.constant("input.shift".into(), &dims(shift), shift.iter().copied())?;
            value = self.node("Add", "input", &[&value, &shift], vec![]);
        }
        Ok(value)
    }
}

/// A number among a layer's settings.
fn number(settings: &Value, key: &str) -> Option<f32> {
    settings[key].as_f64().map(|value| value as f32)
}
