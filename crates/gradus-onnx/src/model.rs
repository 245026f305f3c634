//! The messages of an ONNX file, as far as networks need them. Names, texts and raw values stay where they are in the file.
//!
//! Source: `onnx.proto` of the ONNX project, release 1.23, whose field numbers these are.

use crate::wire::{Field, Fields, Message};

/// The most nodes of a graph: beyond what any network has that is a row of layers.
pub(crate) const MOST_NODES: usize = 2048;

/// The producer of our own files.
pub(crate) const PRODUCER: &str = "gradus";

/// The types of tensors that are read or written (`TensorProto.DataType`).
pub(crate) mod data_type {
    pub(crate) const FLOAT: i64 = 1;
    pub(crate) const UINT8: i64 = 2;
    pub(crate) const INT32: i64 = 6;
    pub(crate) const INT64: i64 = 7;
    pub(crate) const DOUBLE: i64 = 11;
}

/// `ModelProto`
#[derive(Debug, Default)]
pub(crate) struct Model<'a> {
    pub(crate) graph: Option<Graph<'a>>,
    /// The program that wrote the file.
    pub(crate) producer: &'a str,
    /// The version of each set of operators.
    pub(crate) opsets: Vec<(&'a str, i64)>,
    pub(crate) metadata: Vec<(&'a str, &'a str)>,
}

/// `GraphProto`
#[derive(Debug, Default)]
pub(crate) struct Graph<'a> {
    pub(crate) nodes: Vec<Node<'a>>,
    pub(crate) initializers: Vec<Tensor<'a>>,
    pub(crate) inputs: Vec<ValueInfo<'a>>,
    pub(crate) outputs: Vec<ValueInfo<'a>>,
}

/// `NodeProto`
#[derive(Debug, Default)]
pub(crate) struct Node<'a> {
    pub(crate) name: &'a str,
    pub(crate) operator: &'a str,
    pub(crate) domain: &'a str,
    pub(crate) inputs: Vec<&'a str>,
    pub(crate) outputs: Vec<&'a str>,
    pub(crate) attributes: Vec<(&'a str, Attribute<'a>)>,
}

/// `AttributeProto`
#[derive(Debug)]
pub(crate) enum Attribute<'a> {
    Integer(i64),
    Float(f32),
    Text(&'a [u8]),
    Integers(Vec<i64>),
    Floats(Vec<f32>),
    Texts(Vec<&'a [u8]>),
    Tensor(Box<Tensor<'a>>),
    /// A kind that no operator has that can be imported.
    Other,
}

/// `TensorProto`
#[derive(Debug, Default)]
pub(crate) struct Tensor<'a> {
    pub(crate) name: &'a str,
    pub(crate) dims: Vec<i64>,
    pub(crate) data_type: i64,
    pub(crate) raw: Option<&'a [u8]>,
    pub(crate) integers: Vec<i64>,
    pub(crate) floats: Vec<f32>,
    pub(crate) doubles: Vec<f64>,
    /// Whether the values are in another file.
    pub(crate) external: bool,
}

/// `ValueInfoProto`, with the `TypeProto` in it
#[derive(Debug, Default)]
pub(crate) struct ValueInfo<'a> {
    pub(crate) name: &'a str,
    /// The type of its elements, if it is a tensor.
    pub(crate) data_type: Option<i64>,
    /// Its dimensions, if they are given; those that are not fixed are `None`.
    pub(crate) dims: Option<Vec<Option<i64>>>,
}

impl<'a> Model<'a> {
    pub(crate) fn read(file: &'a [u8]) -> Result<Self, String> {
        let mut model = Model::default();
        for field in Fields::of(file) {
            match field? {
                (2, field) => model.producer = field.text()?,
                (7, field) => model.graph = Some(Graph::read(field.bytes()?)?),
                (8, field) => {
                    let (mut domain, mut version) = ("", 0);
                    for field in Fields::of(field.bytes()?) {
                        match field? {
                            (1, field) => domain = field.text()?,
                            (2, field) => version = field.integer()?,
                            _ => {}
                        }
                    }
                    model.opsets.push((domain, version));
                }
                (14, field) => {
                    let (mut key, mut value) = ("", "");
                    for field in Fields::of(field.bytes()?) {
                        match field? {
                            (1, field) => key = field.text()?,
                            (2, field) => value = field.text()?,
                            _ => {}
                        }
                    }
                    model.metadata.push((key, value));
                }
                _ => {}
            }
        }
        Ok(model)
    }
}

impl<'a> Graph<'a> {
    fn read(message: &'a [u8]) -> Result<Self, String> {
        let mut graph = Graph::default();
        for field in Fields::of(message) {
            match field? {
                (1, field) => graph.nodes.push(Node::read(field.bytes()?)?),
                (5, field) => graph.initializers.push(Tensor::read(field.bytes()?)?),
                (11, field) => graph.inputs.push(ValueInfo::read(field.bytes()?)?),
                (12, field) => graph.outputs.push(ValueInfo::read(field.bytes()?)?),
                (15, _) => return Err("the file has sparse initializers, which can't be imported".into()),
                _ => {}
            }
            let counts = [
                &graph.nodes.len(),
                &graph.initializers.len(),
                &graph.inputs.len(),
                &graph.outputs.len(),
            ];
            if counts.into_iter().any(|&count| count > MOST_NODES) {
                return Err(format!(
                    "the graph has more than {MOST_NODES} nodes or tensors: it is no row of layers"
                ));
            }
        }
        Ok(graph)
    }
}

impl<'a> Node<'a> {
    fn read(message: &'a [u8]) -> Result<Self, String> {
        let mut node = Node::default();
        for field in Fields::of(message) {
            match field? {
                (1, field) => node.inputs.push(field.text()?),
                (2, field) => node.outputs.push(field.text()?),
                (3, field) => node.name = field.text()?,
                (4, field) => node.operator = field.text()?,
                (5, field) => node.attributes.push(Attribute::read(field.bytes()?)?),
                (7, field) => node.domain = field.text()?,
                _ => {}
            }
        }
        if node.operator.is_empty() {
            return Err("a node of the graph names no operator".into());
        }
        Ok(node)
    }

    /// How messages name it.
    pub(crate) fn label(&self) -> String {
        match (self.name, self.outputs.first()) {
            ("", Some(output)) => format!("the node that gives `{output}` ({})", self.operator),
            (name, _) => format!("node `{name}` ({})", self.operator),
        }
    }
}

impl<'a> Attribute<'a> {
    fn read(message: &'a [u8]) -> Result<(&'a str, Self), String> {
        let mut name = "";
        let mut attribute = Attribute::Other;
        let (mut integers, mut floats, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        for field in Fields::of(message) {
            match field? {
                (1, field) => name = field.text()?,
                (2, field) => attribute = Attribute::Float(field.float()?),
                (3, field) => attribute = Attribute::Integer(field.integer()?),
                (4, field) => attribute = Attribute::Text(field.bytes()?),
                (5, field) => attribute = Attribute::Tensor(Box::new(Tensor::read(field.bytes()?)?)),
                (7, field) => field.floats(&mut floats)?,
                (8, field) => field.integers(&mut integers)?,
                (9, field) => texts.push(field.bytes()?),
                // An empty list is told by its type alone.
                (20, Field::Varint(7)) if matches!(attribute, Attribute::Other) => {
                    attribute = Attribute::Integers(Vec::new());
                }
                _ => {}
            }
        }
        if name.is_empty() {
            return Err("an attribute of a node has no name".into());
        }
        if !integers.is_empty() {
            attribute = Attribute::Integers(integers);
        } else if !floats.is_empty() {
            attribute = Attribute::Floats(floats);
        } else if !texts.is_empty() {
            attribute = Attribute::Texts(texts);
        }
        Ok((name, attribute))
    }
}

impl<'a> Tensor<'a> {
    fn read(message: &'a [u8]) -> Result<Self, String> {
        let mut tensor = Tensor::default();
        for field in Fields::of(message) {
            match field? {
                (1, field) => field.integers(&mut tensor.dims)?,
                (2, field) => tensor.data_type = field.integer()?,
                (4, field) => field.floats(&mut tensor.floats)?,
                (5 | 7, field) => field.integers(&mut tensor.integers)?,
                (8, field) => tensor.name = field.text()?,
                (9, field) => tensor.raw = Some(field.bytes()?),
                (10, field) => field.doubles(&mut tensor.doubles)?,
                (13, _) | (14, Field::Varint(1)) => tensor.external = true,
                _ => {}
            }
        }
        if tensor.data_type == 0 {
            return Err(format!("the tensor `{}` has no type", tensor.name));
        }
        Ok(tensor)
    }
}

impl<'a> ValueInfo<'a> {
    fn read(message: &'a [u8]) -> Result<Self, String> {
        let mut info = ValueInfo::default();
        for field in Fields::of(message) {
            match field? {
                (1, field) => info.name = field.text()?,
                (2, field) => info.read_type(field.bytes()?)?,
                _ => {}
            }
        }
        if info.name.is_empty() {
            return Err("an input or output of the graph has no name".into());
        }
        Ok(info)
    }

    fn read_type(&mut self, message: &'a [u8]) -> Result<(), String> {
        for field in Fields::of(message) {
            let (1, tensor) = field? else { continue };
            for field in Fields::of(tensor.bytes()?) {
                match field? {
                    (1, field) => self.data_type = Some(field.integer()?),
                    (2, field) => {
                        let dims = Fields::of(field.bytes()?).map(|field| dimension(field?.1));
                        self.dims = Some(dims.collect::<Result<_, _>>()?);
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// `TensorShapeProto.Dimension`: a number, or a name for what is known only when the graph runs.
fn dimension(field: Field<'_>) -> Result<Option<i64>, String> {
    let mut dim = None;
    for field in Fields::of(field.bytes()?) {
        if let (1, field) = field? {
            dim = Some(field.integer()?);
        }
    }
    Ok(dim)
}

/// Writes a `ModelProto`.
pub(crate) fn write_model(graph: &Message, opset: i64, ir_version: i64, metadata: &[(String, String)]) -> Vec<u8> {
    let properties: Vec<_> = (metadata.iter())
        .map(|(key, value)| Message::new().text(1, key).text(2, value))
        .collect();
    Message::new()
        .integer(1, ir_version)
        .text(2, PRODUCER)
        .text(3, env!("CARGO_PKG_VERSION"))
        .message(7, graph)
        .message(8, &Message::new().text(1, "").integer(2, opset))
        .messages(14, &properties)
        .finish()
}

/// Writes a `GraphProto`.
pub(crate) fn write_graph(
    name: &str,
    nodes: &[Message],
    initializers: &[Message],
    input: &Message,
    output: &Message,
) -> Message {
    Message::new()
        .messages(1, nodes)
        .text(2, name)
        .messages(5, initializers)
        .message(11, input)
        .message(12, output)
}

/// Writes a `NodeProto`, with attributes that [`integer`], [`integers`] and [`float`] have written.
pub(crate) fn write_node(
    operator: &str,
    name: &str,
    inputs: &[String],
    output: &str,
    attributes: &[Message],
) -> Message {
    let node = (inputs.iter()).fold(Message::new(), |node, input| node.text(1, input));
    node.text(2, output)
        .text(3, name)
        .text(4, operator)
        .messages(5, attributes)
}

/// Writes an attribute that is a number.
pub(crate) fn integer(name: &str, value: i64) -> Message {
    Message::new().text(1, name).integer(3, value).integer(20, 2)
}

/// Writes an attribute that is several numbers.
pub(crate) fn integers(name: &str, values: &[usize]) -> Message {
    let attribute = (values.iter()).fold(Message::new().text(1, name), |a, &value| a.integer(8, value as i64));
    attribute.integer(20, 7)
}

/// Writes an attribute that is a number with a fraction.
pub(crate) fn float(name: &str, value: f32) -> Message {
    Message::new().text(1, name).float(2, value).integer(20, 1)
}

/// Writes an attribute that is a text.
pub(crate) fn text(name: &str, value: &str) -> Message {
    Message::new().text(1, name).text(4, value).integer(20, 3)
}

/// Writes a `TensorProto` of this type, from the bytes of its values.
pub(crate) fn write_tensor(name: &str, dims: &[usize], data_type: i64, raw: &[u8]) -> Message {
    let tensor = (dims.iter()).fold(Message::new(), |tensor, &dim| tensor.integer(1, dim as i64));
    tensor.integer(2, data_type).text(8, name).bytes(9, raw)
}

/// Writes a `ValueInfoProto` of a tensor whose first dimension is the number of samples.
pub(crate) fn write_value(name: &str, data_type: i64, sample: &[usize]) -> Message {
    let batch = Message::new().text(2, "samples");
    let shape = (sample.iter()).fold(Message::new().message(1, &batch), |shape, &dim| {
        shape.message(1, &Message::new().integer(1, dim as i64))
    });
    let tensor = Message::new().integer(1, data_type).message(2, &shape);
    Message::new()
        .text(1, name)
        .message(2, &Message::new().message(1, &tensor))
}
