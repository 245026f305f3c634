//! ONNX files as networks.

mod constant;
mod ends;
mod operands;
mod operators;
mod steps;
#[cfg(test)]
mod tests;
mod value;

use std::collections::{BTreeMap, BTreeSet};

use gradus::{Block, Error, Layers, Network, Result, Sequential, Shape};

use crate::Scaling;
use crate::export::{COLUMNS, NOTES, check_columns};
use crate::model::{Graph, Model, Node, PRODUCER, ValueInfo, data_type};
use constant::{Constant, SAMPLES};
use ends::Ends;
pub(crate) use operands::Operands;
use operators::Reader;
use steps::{Part, Steps, Tensors};
use value::{Order, Value};

/// The oldest version of the operators that can be imported.
pub const OLDEST_OPSET: i64 = 7;

/// The newest: that of ONNX 1.23.
pub const NEWEST_OPSET: i64 = 28;

/// A network that was imported, and what has to be known to use it.
#[derive(Debug)]
pub struct Imported {
    /// The network, which can be used, saved and trained further.
    pub network: Network,
    /// In the file, images have their channels last, and the network takes them first.
    pub channels_last: bool,
    /// No node of the file shows whether images have their channels first or last, and it makes a difference: `channels_last` is
    /// what the program that wrote the file does, or what the shape suggests, and not both ([`Import::channels_last`]).
    pub channels_guessed: bool,
    /// In the file, samples are bytes; the network takes byte / 255.
    pub bytes: bool,
    /// In the file, the outputs are the probabilities of two classes; the network gives that of the second.
    pub two_classes: bool,
    /// In the file, which this library has written, numbers are scaled so before the network takes them.
    pub inputs: Option<Scaling>,
    /// In the file, which this library has written, the network's outputs are made values of this mean and deviation.
    pub outputs: Option<Scaling>,
    /// The names of the columns that the inputs are, if the file, which this library has written, has them.
    pub columns: Vec<String>,
}

/// How a file is imported.
#[derive(Debug, Clone, Default)]
pub struct Import {
    /// The value of the graph that is the network's output, which may be any; if none, the only output that can be.
    pub output: Option<String>,
    /// Whether images have their channels last in the file; if none, as its nodes show, or as the program that wrote it does.
    pub channels_last: Option<bool>,
}

/// The network in an ONNX file that has one float output, or several of which only one can be that of a network.
///
/// ```
/// use gradus::prelude::*;
/// use gradus_onnx::{Export, export, import};
/// use gradus::ndarray::Array2;
///
/// let network = Sequential::new([3]).layer(Dense::new(4)).layer(Gelu).layer(Dense::new(2)).build(1)?;
/// let imported = import(&export(&network, &Export::default())?)?;
/// let x = Array2::from_elem((5, 3), 0.5);
/// assert_eq!(imported.network.predict(&x)?, network.predict(&x)?);
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Errors
/// If the file is damaged or no ONNX file, or if its graph has a node that no layer stands for: the error names the node and
/// its operator. The memory that is taken is at most 64 times the size of the file, and a megabyte.
pub fn import(file: &[u8]) -> Result<Imported> {
    import_with(file, &Import::default())
}

/// [`import`], of a file of which something is known that it does not say itself.
///
/// ```
/// use gradus::prelude::*;
/// use gradus_onnx::{Export, Import, export, import_with};
///
/// let network = Sequential::new([2]).layer(Dense::new(3)).layer(Softmax).build(1)?;
/// let file = export(&network, &Export::default())?;
/// let logits = Import { output: Some("0.gemm.y".into()), ..Import::default() };
/// assert_eq!(import_with(&file, &logits)?.network.parts().len(), 1);
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Errors
/// As [`import`], and if the graph has no such output, or no images with channels in that order.
pub fn import_with(file: &[u8], options: &Import) -> Result<Imported> {
    read(file, options).map_err(Error::data)
}

fn read(file: &[u8], options: &Import) -> Result<Imported, String> {
    let model = Model::read(file)?;
    let graph = model
        .graph
        .as_ref()
        .ok_or("the file has no graph: it is damaged, or not an ONNX file")?;
    let opset = opset(&model)?;
    let input = input(graph)?;
    let mut givers = givers(graph);
    let output = match &options.output {
        Some(name) => name,
        None => the_output(graph, &givers)?,
    };
    let ends = match model.producer {
        PRODUCER => Ends::of(graph, input, output)?,
        _ => Ends::plain(input.name, output),
    };
    if ends.first != input.name {
        givers.remove(ends.first);
    }
    let reading = Reading {
        graph,
        givers,
        opset,
        input,
        first: ends.first,
        output: ends.last,
        // Constants may be used several times, as those are that an exporter found to be equal.
        most_values: file.len() + (1 << 16),
    };
    let dims = reading.input_dims()?;
    let mut imported = match (dims.len(), options.channels_last) {
        (3, None) => reading.with_channels(&dims, model.producer)?,
        (3, Some(last)) => reading.network(&dims, last)?,
        (_, Some(true)) => {
            return Err(format!(
                "the graph's input `{}` has the dimensions {dims:?} in each sample: it is no image, whose channels could come last",
                input.name
            ));
        }
        _ => reading.network(&dims, false)?,
    };
    let network = &imported.network;
    if let Some(scaling) = &ends.inputs {
        scaling.check("input", network.input_shape().size())?;
    }
    if let Some(scaling) = &ends.outputs {
        scaling.check("output", network.output_shape().size())?;
    }
    imported.inputs = ends.inputs;
    imported.outputs = ends.outputs;
    imported.columns = columns(&model, imported.network.input_shape().size())?;
    notes(&mut imported, &model, graph, output);
    Ok(imported)
}

/// The version of ONNX's own operators.
fn opset(model: &Model<'_>) -> Result<i64, String> {
    let version = model
        .opsets
        .iter()
        .find(|(domain, _)| is_onnx(domain))
        .map(|(_, version)| *version);
    let version = version.ok_or("the file does not say which version of ONNX's operators it uses")?;
    if !(OLDEST_OPSET..=NEWEST_OPSET).contains(&version) {
        return Err(format!(
            "the file uses version {version} of ONNX's operators: {OLDEST_OPSET} to {NEWEST_OPSET} can be imported"
        ));
    }
    Ok(version)
}

fn is_onnx(domain: &str) -> bool {
    ["", "ai.onnx"].contains(&domain)
}

/// The only input that is not a constant.
fn input<'g, 'a>(graph: &'g Graph<'a>) -> Result<&'g ValueInfo<'a>, String> {
    let constants: BTreeSet<_> = graph.initializers.iter().map(|tensor| tensor.name).collect();
    let mut inputs = graph.inputs.iter().filter(|input| !constants.contains(input.name));
    match (inputs.next(), inputs.next()) {
        (Some(input), None) => Ok(input),
        (None, _) => Err("the graph has no input".into()),
        (Some(a), Some(b)) => Err(format!(
            "the graph has several inputs, `{}` and `{}`: only networks with one can be imported",
            a.name, b.name
        )),
    }
}

/// Of each value, the number of the node that gives it.
type Givers<'a> = BTreeMap<&'a str, usize>;

fn givers<'a>(graph: &Graph<'a>) -> Givers<'a> {
    let nodes = graph.nodes.iter().enumerate();
    nodes
        .flat_map(|(i, node)| node.outputs.iter().map(move |output| (*output, i)))
        .collect()
}

/// The output that is the network's: of a classifier of scikit-learn not the labels, and of probabilities by the names of
/// classes the probabilities.
fn the_output<'a>(graph: &Graph<'a>, givers: &Givers<'a>) -> Result<&'a str, String> {
    let mut found = Vec::new();
    for output in &graph.outputs {
        match zip_map(graph, givers, output.name) {
            Some(node) => found.extend(node.inputs.first()),
            None if matches!(output.data_type, Some(data_type::FLOAT | data_type::DOUBLE)) => found.push(output.name),
            None => {}
        }
    }
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    match found[..] {
        [output] => Ok(output),
        [] => Err(format!(
            "none of the graph's outputs is a tensor of floats: {}",
            names(&graph.outputs.iter().map(|output| output.name).collect::<Vec<_>>())
        )),
        _ => Err(format!(
            "the graph has several outputs, {}: say which one is the network's",
            names(&found)
        )),
    }
}

/// The node that gives an output as a map from the names of classes, if it is one.
fn zip_map<'g, 'a>(graph: &'g Graph<'a>, givers: &Givers<'a>, output: &str) -> Option<&'g Node<'a>> {
    let giver = |name: &str| givers.get(name).map(|&i| &graph.nodes[i]);
    let node = match giver(output)? {
        node if node.operator == "Identity" => giver(node.inputs.first()?)?,
        node => node,
    };
    (node.operator == "ZipMap").then_some(node)
}

/// What is read of a graph.
struct Reading<'g, 'a> {
    graph: &'g Graph<'a>,
    givers: Givers<'a>,
    opset: i64,
    input: &'g ValueInfo<'a>,
    /// The value that the network takes.
    first: &'a str,
    /// The value that it gives.
    output: &'g str,
    /// The most values that constants and layers may have.
    most_values: usize,
}

impl<'a> Reading<'_, 'a> {
    /// The dimensions of a sample in the graph.
    fn input_dims(&self) -> Result<Vec<usize>, String> {
        let name = self.input.name;
        let dims = self
            .input
            .dims
            .as_ref()
            .ok_or_else(|| format!("the graph's input `{name}` has no shape"))?;
        match self.input.data_type {
            Some(data_type::FLOAT | data_type::DOUBLE | data_type::UINT8) => {}
            other => {
                return Err(format!(
                    "the graph's input `{name}` is of ONNX's type {}: it must be a tensor of floats or bytes",
                    other.unwrap_or_default()
                ));
            }
        }
        let sizes = dims
            .iter()
            .skip(1)
            .map(|dim| dim.and_then(|dim| usize::try_from(dim).ok()).filter(|&dim| dim > 0));
        let sizes = sizes.collect::<Option<Vec<usize>>>().filter(|sizes| !sizes.is_empty());
        sizes.ok_or_else(|| {
            format!("the graph's input `{name}` has the shape {dims:?}: all but the number of samples must be fixed")
        })
    }

    /// The network, with the input's channels where the graph's nodes show them, or else where they are likely.
    fn with_channels(&self, dims: &[usize], producer: &str) -> Result<Imported, String> {
        let by_shape = match dims {
            [1 | 3, _, 1 | 3] => None,
            [_, _, 1 | 3] => Some(true),
            [1 | 3, ..] => Some(false),
            _ => None,
        };
        // Last is the order of Keras, whose networks tf2onnx exports, and first that of PyTorch and of ONNX's operators.
        let by_producer = match producer {
            "tf2onnx" => Some(true),
            "pytorch" | PRODUCER => Some(false),
            _ => None,
        };
        let likely = by_producer.or(by_shape).unwrap_or(false);
        let known = producer == PRODUCER || by_producer.is_some() && by_producer == by_shape;
        let matters = Value::with_axes(0, dims.to_vec(), LAST.to_vec()).order != Order::Same;
        // An image that is given another shape before all else is not in the order that it has in the network.
        let suits = |imported: &Imported| !begins_with_reshape(&imported.network.parts());
        let (one, other) = (self.network(dims, likely), self.network(dims, !likely));
        match (one, other) {
            (Ok(one), Ok(other)) if !suits(&one) && suits(&other) => Ok(other),
            (Ok(one), Ok(other)) => Ok(Imported {
                channels_guessed: matters && !known && suits(&one) == suits(&other),
                ..one
            }),
            (Ok(one), Err(_)) => Ok(one),
            (Err(_), Ok(other)) => Ok(other),
            (Err(error), Err(_)) => Err(error),
        }
    }

    /// The network, if the input's channels are where they are said to be.
    fn network(&self, dims: &[usize], channels_last: bool) -> Result<Imported, String> {
        let axes: Vec<usize> = if channels_last {
            LAST.to_vec()
        } else {
            (0..dims.len()).collect()
        };
        let mut value = Value::with_axes(0, dims.to_vec(), axes.clone());
        // Of a gray image, it makes no difference.
        let turned = value.order != Order::Same;
        let own = Value {
            order: Order::Axes(axes),
            ..value.clone()
        };
        let mut reader = Reader {
            steps: Steps::new(Shape::from(own.own_dims()), self.most_values),
            values: BTreeMap::new(),
            samples: (self.input.dims.iter().flatten().next().copied().flatten()).filter(|&samples| samples > 0),
        };
        let bytes = self.input.data_type == Some(data_type::UINT8);
        if bytes {
            value = value.at(reader.steps.scale(0, vec![255.0], vec![0.0]));
        }
        reader.values.insert(self.first, value);
        let output = self.walk(&mut reader)?;

        let two_classes = output.dims == [2] && reader.steps.output(output.step).dims() == [1];
        if output.order != Order::Same {
            return Err(format!(
                "the axes of the output `{}` are turned, which can't be absorbed",
                self.output
            ));
        }
        let step = match &output.dims[..] {
            _ if two_classes => output.step,
            [] => reader.steps.shaped(output.step, &[1])?,
            dims => reader.steps.shaped(output.step, dims)?,
        };
        let row = reader.steps.between(0, step);
        let parts = reader.steps.take(&row)?;
        if parts.is_empty() {
            return Err("the graph computes nothing that a layer does".into());
        }
        Ok(Imported {
            network: assembled(reader.steps.output(0), parts)?,
            channels_last: turned,
            channels_guessed: false,
            bytes,
            two_classes,
            inputs: None,
            outputs: None,
            columns: Vec::new(),
        })
    }

    /// Reads the nodes that the output needs, in their order; gives the output.
    fn walk(&self, reader: &mut Reader<'a>) -> Result<Value, String> {
        let needed = self.needed()?;
        let mut constants = BTreeMap::new();
        let used = |name: &str| needed.values.contains(name);
        for tensor in self.graph.initializers.iter().filter(|tensor| used(tensor.name)) {
            constants.insert(tensor.name, Constant::read(tensor)?);
        }
        let mut folded = 0;
        for (node, _) in self
            .graph
            .nodes
            .iter()
            .zip(&needed.nodes)
            .filter(|(_, needed)| **needed)
        {
            let label = node.label();
            let refuse = |message: String| format!("{label}: {message}");
            if !is_onnx(node.domain) && (node.domain, node.operator) != ("ai.onnx.ml", "Scaler") {
                return Err(refuse(format!("its operator is one of `{}`, not of ONNX", node.domain)));
            }
            let Some(&output) = node.outputs.first() else {
                continue;
            };
            if reader.values.contains_key(output) || constants.contains_key(output) {
                return Err(refuse(format!("its output `{output}` is given already")));
            }
            let operands = Operands {
                node,
                constants: &constants,
                opset: self.opset,
            };
            let known = (0..node.inputs.len()).all(|i| node.inputs[i].is_empty() || operands.is_constant(i));
            let constant = if known {
                constant::fold(&operands).map_err(refuse)?
            } else if node.operator == "Shape" {
                Some(shape(&operands, reader).map_err(refuse)?)
            } else {
                None
            };
            if let Some(constant) = constant {
                folded += constant.values.len();
                if folded > self.most_values {
                    return Err(refuse(
                        "the constants that the graph computes are larger than the file".into(),
                    ));
                }
                constants.insert(output, constant);
            } else if known {
                return Err(refuse(
                    "it computes with constants alone what can't be computed when the graph is read".into(),
                ));
            } else {
                reader.steps.label.clone_from(&label);
                let value = reader.node(&operands).map_err(refuse)?;
                reader.values.insert(output, value);
            }
        }
        (reader.values.get(self.output).cloned()).ok_or_else(|| {
            format!(
                "the output `{}` does not depend on the input, or no node gives it",
                self.output
            )
        })
    }

    /// The nodes and values that the output depends on.
    fn needed(&self) -> Result<Needed<'a>, String> {
        let mut needed = Needed {
            nodes: vec![false; self.graph.nodes.len()],
            values: BTreeSet::new(),
        };
        let start = self
            .givers
            .get(self.output)
            .ok_or_else(|| format!("the graph has no value `{}`", self.output))?;
        let mut open = vec![*start];
        while let Some(i) = open.pop() {
            if std::mem::replace(&mut needed.nodes[i], true) {
                continue;
            }
            for input in &self.graph.nodes[i].inputs {
                needed.values.insert(input);
                open.extend(self.givers.get(input));
            }
        }
        Ok(needed)
    }
}

/// The network's axis that each axis of an image is, whose channels come last.
const LAST: [usize; 3] = [1, 2, 0];

/// Whether the first of these layers is one that gives its input another shape.
fn begins_with_reshape(parts: &[gradus::Part<'_>]) -> bool {
    match parts.first() {
        Some(gradus::Part::Layer(layer)) => layer.kind() == "reshape",
        Some(gradus::Part::Block(block)) => block.branches.iter().any(|branch| begins_with_reshape(branch)),
        None => false,
    }
}

struct Needed<'a> {
    /// Of each node, whether it is needed.
    nodes: Vec<bool>,
    values: BTreeSet<&'a str>,
}

/// The shape of a value, with its number of samples.
fn shape(node: &Operands<'_, '_>, reader: &Reader<'_>) -> Result<Constant, String> {
    let name = node.name(0)?;
    let value = reader
        .values
        .get(name)
        .ok_or_else(|| format!("its input `{name}` is given by no node before it"))?;
    let dims = value.dims.iter().map(|&dim| dim as i64);
    let dims: Vec<i64> = [SAMPLES].into_iter().chain(dims).collect();
    let rank = dims.len() as i64;
    let place = |bound: i64| if bound < 0 { bound.saturating_add(rank) } else { bound }.clamp(0, rank) as usize;
    let (start, end) = (place(node.integer("start", 0)?), place(node.integer("end", rank)?));
    Ok(Constant::integers(dims[start..end.max(start)].to_vec()))
}

/// Builds the network and gives it its values.
fn assembled(input: &Shape, parts: Vec<Part>) -> Result<Network, String> {
    let mut values = Vec::new();
    let layers = layers(parts, "", &mut values);
    let mut network = Sequential::new(input)
        .layers(layers)
        .build(0)
        .map_err(|error| error.to_string())?;
    for (path, tensors) in values {
        for (name, values) in tensors {
            let name = format!("{path}.{name}");
            if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                return Err(format!(
                    "the tensor `{name}` of the network would have the value {value}"
                ));
            }
            network.set(&name, &values).map_err(|error| error.to_string())?;
        }
    }
    Ok(network)
}

/// The layers, and with the path of each its tensors.
fn layers(parts: Vec<Part>, prefix: &str, values: &mut Vec<(String, Tensors)>) -> Layers {
    parts.into_iter().enumerate().fold(Layers::new(), |made, (i, part)| {
        let path = format!("{prefix}{i}");
        match part {
            Part::Layer { layer, tensors } => {
                values.push((path, tensors));
                made.layer(layer)
            }
            Part::Block { join, branches } => {
                let branches = (branches.into_iter().enumerate())
                    .map(|(i, branch)| layers(branch, &format!("{path}.{}.", join.branch(i)), values));
                made.layer(Block::new(join, branches))
            }
        }
    })
}

/// The names of the columns, if the file names `inputs` of them. In another program's file the key may mean anything.
fn columns(model: &Model<'_>, inputs: usize) -> Result<Vec<String>, String> {
    let entry = model.metadata.iter().find(|(key, _)| *key == COLUMNS);
    let Some((_, text)) = entry.filter(|_| model.producer == PRODUCER) else {
        return Ok(Vec::new());
    };
    let refuse = |why: String| format!("the file's metadata `{COLUMNS}`: {why}");
    let names: Vec<String> =
        serde_json::from_str(text).map_err(|e| refuse(format!("it must be a list of names, as JSON: {e}")))?;
    check_columns(&names, inputs).map_err(refuse)?;
    Ok(names)
}

/// Notes what the file says of its classes, and what this library has noted in it.
fn notes(imported: &mut Imported, model: &Model<'_>, graph: &Graph<'_>, output: &str) {
    let network = &mut imported.network;
    for (key, value) in &model.metadata {
        if NOTES.contains(key) {
            network.set_note(*key, *value);
        }
    }
    let maps = graph
        .nodes
        .iter()
        .filter(|node| node.operator == "ZipMap" && node.inputs.first() == Some(&output));
    for node in maps {
        let operands = Operands {
            node,
            constants: &BTreeMap::new(),
            opset: 1,
        };
        let names: Option<Vec<String>> = match operands.texts("classlabels_strings") {
            Some(names) => Some(
                names
                    .iter()
                    .map(|name| String::from_utf8_lossy(name).into_owned())
                    .collect(),
            ),
            None => operands
                .integers("classlabels_int64s")
                .map(|names| names.iter().map(i64::to_string).collect()),
        };
        if let Some(names) = names.and_then(|names| serde_json::to_string(&names).ok()) {
            network.set_note("classes", names);
        }
    }
}
