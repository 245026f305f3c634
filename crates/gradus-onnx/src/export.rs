//! Networks as ONNX files.

mod operators;

use std::collections::BTreeMap;

use gradus::layer::{Function, Operation, OutputKind};
use gradus::{Block, Error, Float, Join, LayerPart, Network, Part, Result, Shape};
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

/// The note of a network that says how its samples are made.
const PREPROCESSING: &str = "preprocessing";

/// The notes of a network that go into its file's metadata, under the same names.
pub(crate) const NOTES: [&str; 2] = ["classes", PREPROCESSING];

/// The names of the columns that the inputs are, among a file's metadata: a list, as JSON.
pub(crate) const COLUMNS: &str = "columns";

/// The names and operators of the nodes that scale numbers before the network.
pub(crate) const SCALE_INPUTS: [(&str, &str); 2] = [("input.sub", "Sub"), ("input.div", "Div")];
/// Those that make values of its outputs.
pub(crate) const SCALE_OUTPUTS: [(&str, &str); 2] = [("output.mul", "Mul"), ("output.add", "Add")];

/// How a network is exported.
#[derive(Debug, Clone, Default)]
pub struct Export {
    /// Leaves out a softmax or sigmoid at the end, where only changes of shape may come after it: the outputs are then logits.
    pub logits: bool,
    /// Takes bytes, and makes the network's samples of them in the graph.
    pub bytes: Option<Normalization>,
    /// Takes numbers as they are measured, and scales them in the graph as the samples were that the network learned.
    pub inputs: Option<Scaling>,
    /// Gives values in their own units, where the network learned scaled ones.
    pub outputs: Option<Scaling>,
    /// The names of the columns that the inputs are, for the file's metadata: one for each value of a sample, all different; or
    /// none.
    pub columns: Vec<String>,
}

/// How numbers are brought to one scale: z = (x - mean) / deviation, and back: x = z · deviation + mean, with a mean and a
/// deviation for each value of a sample.
///
/// ```
/// use gradus::prelude::*;
/// use gradus_onnx::{Export, Scaling, export, import};
///
/// // The network learned rows of two columns with these means and deviations.
/// let network = Sequential::new([2]).layer(Dense::new(1)).build(1)?;
/// let scaling = Scaling { mean: vec![120.0, 3.5], deviation: vec![40.0, 1.25] };
/// let file = export(&network, &Export { inputs: Some(scaling.clone()), ..Export::default() })?;
/// assert_eq!(import(&file)?.inputs, Some(scaling));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Scaling {
    /// The means.
    pub mean: Vec<f64>,
    /// The standard deviations, or whatever positive numbers are divided by.
    pub deviation: Vec<f64>,
}

/// The largest part of a deviation that single precision may round numbers by.
const MOST_ROUNDED: f64 = 1e-4;

impl Scaling {
    /// The first column that needs double precision, if there is one: single would round its numbers by more than 0.0001 of the
    /// deviation, or can't hold them. One such column, a time in seconds for example, makes the input of the graph, or its
    /// output, double.
    pub fn double_column(&self) -> Option<usize> {
        let needs_doubles = |(mean, deviation): (&f64, &f64)| {
            let rounded = f64::from(f32::EPSILON) / 2.0 * (mean.abs() + deviation) / deviation;
            // NaN needs them too, and is refused.
            let fits = rounded <= MOST_ROUNDED
                && [mean.abs() + deviation, *deviation]
                    .iter()
                    .all(|&v| (v as f32).is_normal());
            !fits
        };
        self.mean.iter().zip(&self.deviation).position(needs_doubles)
    }

    /// Refuses numbers by which an input or output of `size` values can't be scaled.
    pub(crate) fn check(&self, end: &str, size: usize) -> Result<(), String> {
        let refuse = |what: String| Err(format!("the scaling of the {end}s {what}"));
        let counts = [self.mean.len(), self.deviation.len()];
        if counts != [size; 2] {
            let [means, deviations] = counts;
            return refuse(format!(
                "has {means} means and {deviations} deviations: it needs one of each for each of {size} values"
            ));
        }
        if let Some(i) = self.mean.iter().position(|mean| !mean.is_finite()) {
            return refuse(format!(
                "has the mean {} for value {} of {size}: a mean must be a finite number",
                self.mean[i],
                i + 1
            ));
        }
        let usable = |deviation: &f64| deviation.is_normal() && *deviation > 0.0;
        if let Some(i) = self.deviation.iter().position(|deviation| !usable(deviation)) {
            return refuse(format!(
                "has the deviation {:?} for value {} of {size}: a deviation must be a number of at least {:.1e}",
                self.deviation[i],
                i + 1,
                f64::MIN_POSITIVE
            ));
        }
        Ok(())
    }

    /// The type of the numbers.
    fn data_type(&self) -> i64 {
        match self.double_column() {
            Some(_) => data_type::DOUBLE,
            None => data_type::FLOAT,
        }
    }
}

/// How bytes become the values that a network takes: x = byte · scale + shift, with a number for each channel, or one for
/// all.
#[derive(Debug, Clone, PartialEq)]
pub struct Normalization {
    /// The factors.
    pub scale: Vec<Float>,
    /// What is added.
    pub shift: Vec<Float>,
}

impl Default for Normalization {
    /// x = byte / 255, as the library's pictures are.
    fn default() -> Self {
        Normalization {
            scale: vec![1.0 / 255.0],
            shift: vec![0.0],
        }
    }
}

/// The content of an ONNX file with this network: its graph for inference, all numbers in single precision.
///
/// The input `x` has the shape samples × the network's input shape, the output `y` samples × its output shape, for any number
/// of samples. Parameters have the names and layouts of the network's own files (`0.weight`). Dropout, which does nothing at
/// inference, is left out. The notes `classes` and `preprocessing` go into the file's metadata; the latter not with
/// [`Export::inputs`], since nothing has to be done then before the graph runs. Its input, or its output, is in double
/// precision where numbers are scaled that need it ([`Scaling::double_column`]).
///
/// ```
/// use gradus::prelude::*;
/// use gradus_onnx::{Export, Normalization, export, import};
///
/// let network = Sequential::new([1, 8, 8]).layer(Flatten).layer(Dense::new(10)).layer(Softmax).build(1)?;
/// let file = export(&network, &Export::default())?;
/// assert_eq!(import(&file)?.network.output_shape(), network.output_shape());
///
/// // For bytes from 0 to 255, and without the softmax.
/// let file = export(&network, &Export { logits: true, bytes: Some(Normalization::default()), ..Export::default() })?;
/// # assert!(import(&file).is_ok());
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Errors
/// If a layer doesn't say [what it computes](gradus::layer::BoundLayer::with_operation); if a parameter is not finite; if there are no logits,
/// because probabilities are pooled at the end; if the numbers of the normalization are
/// neither one nor one for each channel; if those of a scaling are not one for each value, or are none to scale by; or if the
/// names of the columns are not one for each value of a sample, or do not tell them apart.
pub fn export(network: &Network, options: &Export) -> Result<Vec<u8>> {
    let mut parts = network.parts();
    if options.logits {
        leave_out_activation(network, &mut parts)?;
    }
    let mut graph = Graph::default();
    let sample = network.input_shape();
    let (mut input_type, mut output_type) = (data_type::FLOAT, data_type::FLOAT);
    let mut value = INPUT.to_string();
    if options.bytes.is_some() && options.inputs.is_some() {
        return Err(Error::invalid(
            "an exported network takes bytes or numbers that are scaled, not both: leave out one of them",
        ));
    }
    if let Some(normalization) = &options.bytes {
        input_type = data_type::UINT8;
        value = graph.normalize(value, normalization, sample)?;
    }
    if let Some(scaling) = &options.inputs {
        let [mean, deviation] = graph.scaling("input", scaling, sample)?;
        input_type = scaling.data_type();
        value = graph.node("Sub", "input", &[&value, &mean], vec![]);
        value = graph.node("Div", "input", &[&value, &deviation], vec![]);
        if input_type == data_type::DOUBLE {
            value = graph.node("Cast", "input", &[&value], vec![model::integer("to", data_type::FLOAT)]);
        }
    }
    value = graph.parts(value, sample.clone(), &parts)?.0;
    if let Some(scaling) = &options.outputs {
        let [mean, deviation] = graph.scaling("output", scaling, network.output_shape())?;
        output_type = scaling.data_type();
        if output_type == data_type::DOUBLE {
            value = graph.node(
                "Cast",
                "output",
                &[&value],
                vec![model::integer("to", data_type::DOUBLE)],
            );
        }
        value = graph.node("Mul", "output", &[&value, &deviation], vec![]);
        value = graph.node("Add", "output", &[&value, &mean], vec![]);
    }
    graph.end(value);
    let nodes: Vec<_> = graph.nodes.iter().map(Node::message).collect();

    let graph = model::write_graph(
        "gradus",
        &nodes,
        &graph.initializers,
        &model::write_value(INPUT, input_type, sample),
        &model::write_value(OUTPUT, output_type, network.output_shape()),
    );
    let mut metadata: Vec<_> = (NOTES.iter())
        .filter(|&&key| key != PREPROCESSING || options.inputs.is_none())
        .filter_map(|&key| Some((key.to_string(), network.note(key)?.to_string())))
        .collect();
    check_columns(&options.columns, sample.size()).map_err(Error::invalid)?;
    if !options.columns.is_empty() {
        metadata.push((COLUMNS.into(), Value::from(options.columns.clone()).to_string()));
    }
    Ok(model::write_model(&graph, OPSET, IR_VERSION, &metadata))
}

/// Leaves out the softmax or sigmoid at the end of a network that has one.
fn leave_out_activation(network: &Network, parts: &mut Vec<Part<'_>>) -> Result<()> {
    let operation = |part: &Part<'_>| match part {
        Part::Layer(layer) => layer.operation(),
        Part::Block(_) => None,
    };
    let keeps_values = |part: &Part<'_>| matches!(operation(part), Some(Operation::Reshape | Operation::Identity));
    let Some(i) = parts.iter().rposition(|part| !keeps_values(part)) else {
        return Ok(());
    };
    match (&parts[i], operation(&parts[i])) {
        (_, Some(Operation::Softmax | Operation::Map(Function::Sigmoid))) => {
            parts.remove(i);
            Ok(())
        }
        // Refused for another reason.
        (Part::Layer(_), None) => Ok(()),
        (part, _)
            if matches!(
                network.output_kind(),
                OutputKind::Probabilities | OutputKind::Distribution
            ) =>
        {
            let end = match part {
                Part::Layer(layer) => layer.label(),
                Part::Block(_) => "the block at its end",
            };
            Err(Error::invalid(format!(
                "the network can't be exported with logits: {end} makes its outputs of probabilities; export it without logits"
            )))
        }
        _ => Ok(()),
    }
}

/// Refuses names that are not one for each input, or are the same. There may be none.
pub(crate) fn check_columns(names: &[String], inputs: usize) -> Result<(), String> {
    if !names.is_empty() && names.len() != inputs {
        return Err(format!(
            "there are names for {} columns, and the network takes {inputs} values: it needs a name for each, or none",
            names.len()
        ));
    }
    let mut columns = BTreeMap::new();
    for (i, name) in (1..).zip(names) {
        if name.is_empty() {
            return Err(format!(
                "column {i} of {inputs} has an empty name: name each column, or none"
            ));
        }
        if let Some(first) = columns.insert(name, i) {
            return Err(format!(
                "columns {first} and {i} of {inputs} are both called `{name}`: give each a name of its own"
            ));
        }
    }
    Ok(())
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
        self.whole(name, &dims)
    }

    /// Adds a constant of whole numbers; gives its name.
    fn whole(&mut self, name: String, values: &[usize]) -> String {
        let raw: Vec<u8> = (values.iter())
            .flat_map(|&value| (value as i64).to_le_bytes())
            .collect();
        (self.initializers).push(model::write_tensor(&name, &[values.len()], data_type::INT64, &raw));
        name
    }

    /// Adds the nodes of parts in a row, which take this value of this shape; gives the name and shape of what they compute.
    fn parts(&mut self, mut value: String, mut shape: Shape, parts: &[Part<'_>]) -> Result<(String, Shape)> {
        for part in parts {
            (value, shape) = match part {
                Part::Layer(layer) => (self.layer(value, layer)?, layer.output().clone()),
                Part::Block(block) => self.block(value, shape, block)?,
            };
        }
        Ok((value, shape))
    }

    fn block(&mut self, value: String, shape: Shape, block: &Block<LayerPart<'_>>) -> Result<(String, Shape)> {
        let branches = (block.branches.iter()).map(|branch| self.parts(value.clone(), shape.clone(), branch));
        let (mut names, shapes): (Vec<_>, Vec<_>) = branches.collect::<Result<Vec<_>>>()?.into_iter().unzip();
        let output = block.join.output(&shapes)?;
        let number = self.nodes.len();
        let joined = match block.join {
            Join::Add => self.fold("Add", &format!("sum{number}"), &names),
            Join::Multiply => {
                for (i, (name, shape)) in names.iter_mut().zip(&shapes).enumerate() {
                    // A number for each channel has to say that it is one for all pixels.
                    if shape.len() < output.len() {
                        let path = format!("product{number}.gate{i}");
                        let gate = self.shape(&path, &[&[shape[0]][..], &vec![1; output.len() - 1]].concat());
                        *name = self.node("Reshape", &path, &[name, &gate], vec![]);
                    }
                }
                self.fold("Mul", &format!("product{number}"), &names)
            }
            Join::Concat => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                self.node(
                    "Concat",
                    &format!("concat{number}"),
                    &names,
                    vec![model::integer("axis", 1)],
                )
            }
        };
        Ok((joined, output))
    }

    /// The first value with the second, that with the third, and so on.
    fn fold(&mut self, operator: &'static str, path: &str, names: &[String]) -> String {
        let mut folded = names[0].clone();
        for (i, name) in names.iter().enumerate().skip(1) {
            let path = if i == 1 {
                path.to_string()
            } else {
                format!("{path}.{i}")
            };
            folded = self.node(operator, &path, &[&folded, name], vec![]);
        }
        folded
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

    fn normalize(&mut self, value: String, normalization: &Normalization, sample: &[usize]) -> Result<String> {
        let Normalization { scale, shift } = normalization;
        let channels = if sample.len() == 3 { sample[0] } else { 1 };
        for (what, values) in [("scale", scale), ("shift", shift)] {
            if values.len() != 1 && values.len() != channels {
                return Err(Error::invalid(format!(
                    "the {what} of the normalization has {} numbers: it needs one, or one for each of {channels} channels",
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

impl Graph {
    /// Adds the constants of a scaling of such samples; gives the names of its means and its deviations.
    fn scaling(&mut self, path: &str, scaling: &Scaling, sample: &[usize]) -> Result<[String; 2]> {
        scaling.check(path, sample.iter().product()).map_err(Error::invalid)?;
        let doubles = scaling.data_type() == data_type::DOUBLE;
        let mut constant = |name: &str, values: &[f64]| {
            let name = format!("{path}.{name}");
            if doubles {
                let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                (self.initializers).push(model::write_tensor(&name, sample, data_type::DOUBLE, &raw));
                return Ok(name);
            }
            self.constant(name, sample, values.iter().map(|&value| value as Float))
        };
        Ok([
            constant("mean", &scaling.mean)?,
            constant("deviation", &scaling.deviation)?,
        ])
    }
}
