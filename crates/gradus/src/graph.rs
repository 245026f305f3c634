//! A network as a list of operations on values.
//!
//! Building has two passes: [`bind`] binds every declared layer to its input, and [`lower`] makes operations of the tree. Every
//! value (the input, and each operation's output) gets a number, in the order in which they are computed; where they lie in memory
//! is decided when it is known what for (`engine::memory_plan`).

mod bind;
mod lower;

use std::ops::Range;
use std::sync::Arc;

use self::lower::take;
use crate::layer::advanced::{BlockLayer, Layout, Scratch};
use crate::layer::{BoundLayer, Layer, Parameter};
use crate::sequential::Layers;
use crate::tree::Node;
use crate::{Error, Result, Shape};

/// One step of a forward pass; the backward pass takes the same steps in reverse.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    /// y = layer(x)
    Layer(Box<LayerOp>),
    /// y₀ = x, y₁ = x; backward dx = dy₀ + dy₁
    Fork { x: usize, y: [usize; 2] },
    /// y = x₀ + x₁; backward dx₀ = dy, dx₁ = dy
    Add { x: [usize; 2], y: usize },
    /// y = x₀ · x₁, where x₁ may have one number for each channel of x₀; backward dx₀ = dy · x₁, dx₁ = dy · x₀, summed over a channel
    Multiply { x: [usize; 2], y: usize },
    /// y[start..start + size of x] = x, one of the parts that y is joined of; backward dx = that part of dy
    CopyInto { x: usize, y: usize, start: usize },
    /// y = x in the other layout
    Reorder { x: usize, y: usize },
}

/// A declared layer, bound to its input.
#[derive(Debug, Clone)]
struct Bound {
    layer: Arc<dyn Layer>,
    bound: BoundLayer,
    run: Arc<dyn BlockLayer>,
    path: String,
    label: String,
    input: Shape,
}

/// A layer in its place.
#[derive(Debug, Clone)]
pub(crate) struct LayerOp {
    pub layer: Arc<dyn Layer>,
    pub bound: BoundLayer,
    /// What runs: its fast version, or its passes over one sample after the other.
    pub run: Arc<dyn BlockLayer>,
    pub scratch: Scratch,
    /// Its path, which prefixes its parameters' names in files: `3`, or `3.body.0` in a residual block.
    pub path: String,
    /// How messages name it: `layer 3 (conv2d)`.
    pub label: String,
    /// Its number among the network's layers.
    pub number: usize,
    pub input: Shape,
    pub x: usize,
    pub y: usize,
    /// Its place in the network's parameters, and the size of each of them.
    pub parameters: Range<usize>,
    pub sizes: Vec<usize>,
    /// Its place in the network's state, and the size of each part.
    pub state: Range<usize>,
    pub state_sizes: Vec<usize>,
    /// Its place in a block's own gradients; empty if they are computed over the whole batch.
    pub partials: Range<usize>,
    /// Its place among the statistics over the batch, forward and backward.
    pub statistics: Range<usize>,
    pub sums: Range<usize>,
}

impl LayerOp {
    /// The layer's settings, for files.
    pub fn settings(&self) -> Result<serde_json::Value> {
        self.layer.settings().ok_or_else(|| {
            Error::invalid(format!(
                "{} can't be saved: its type has no settings(); implement Layer::settings for it",
                self.label
            ))
        })
    }
}

/// What is computed for each sample by one operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Value {
    /// So many numbers.
    pub size: usize,
    /// How a block's samples lie, where they are enough to be interleaved.
    pub layout: Layout,
    /// Whether a gradient with respect to it is of use to any parameter.
    pub needs_gradient: bool,
}

/// A network's operations and the layout of all its memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Graph {
    pub input: Shape,
    pub output: Shape,
    /// The declaration.
    declared: Layers,
    /// Whether layers run by their passes over one sample, and nothing else.
    pub reference: bool,
    pub ops: Vec<Op>,
    pub values: Vec<Value>,
    /// The network as its tree; its layers are the operations of these numbers.
    pub tree: Vec<Node<usize>>,
    /// Sizes for one network:
    pub parameters: usize,
    pub state: usize,
    pub statistics: usize,
    pub sums: usize,
    /// for one sample:
    pub values_size: usize,
    pub saved: usize,
    /// for one block:
    pub partials: usize,
    /// for one thread:
    pub scratch: usize,
    pub scratch_per_sample: usize,
    layers: usize,
}

impl Graph {
    /// Builds the graph again, so that layers run by their passes over one sample alone, or not.
    pub fn with_reference(&self, reference: bool) -> Result<Graph> {
        Graph::build(self.input.clone(), self.declared.clone(), reference)
    }

    pub fn build(input: Shape, layers: Layers, reference: bool) -> Result<Graph> {
        let (bound, output) = bind::bind(&input, &layers.nodes, reference)?;
        let mut graph = Graph {
            input,
            output,
            declared: layers,
            reference,
            ..Graph::default()
        };
        graph.lower(bound);
        Ok(graph)
    }

    /// The layer that the operation of this number is; whoever asks knows that it is one.
    pub fn layer(&self, op: usize) -> &LayerOp {
        match &self.ops[op] {
            Op::Layer(layer) => layer,
            other => unreachable!("operation {op} is {other:?}, not a layer"),
        }
    }

    /// The layers, in the order in which they run.
    pub fn layers(&self) -> impl Iterator<Item = &LayerOp> {
        self.ops.iter().filter_map(|op| match op {
            Op::Layer(layer) => Some(&**layer),
            _ => None,
        })
    }

    /// The last operation but for views of its output, and its number, if it is a layer: one that a loss may be computed
    /// together with. Its samples lie one after the other.
    pub fn last_layer(&self) -> Option<(usize, &LayerOp)> {
        let is_view = |op: &Op| matches!(op, Op::Layer(op) if op.bound.is_view());
        let last = self.ops.iter().rposition(|op| !is_view(op))?;
        match &self.ops[last] {
            Op::Layer(layer) => Some((last, layer)),
            _ => None,
        }
    }

    /// The number of the value that holds the network's output.
    pub fn output_value(&self) -> usize {
        self.values.len() - 1
    }

    /// Whether a batch may be divided among blocks in any way without a bit changing: every gradient is computed over the
    /// whole batch, and no layer looks across it.
    pub fn batch_split_is_exact(&self) -> bool {
        self.partials == 0 && self.statistics == 0
    }

    /// How many samples a training batch has to have at least, and the layer that needs them.
    pub fn least_batch(&self) -> (usize, &str) {
        let wanted = |op: &LayerOp| op.run.across_batch().map_or(1, |across| across.least_samples());
        let most = self.layers().max_by_key(|op| wanted(op));
        most.map_or((1, ""), |op| (wanted(op), &op.label))
    }

    /// Multiply-adds of one sample, forward.
    pub fn multiply_adds(&self) -> u64 {
        self.layers().map(|op| op.bound.multiply_adds).sum()
    }
}

/// A parameter with the name that files give it, and its place among the network's parameters.
#[derive(Debug)]
pub(crate) struct Named<'a> {
    pub name: String,
    pub parameter: &'a Parameter,
    pub range: Range<usize>,
}

impl Graph {
    /// Every parameter, in order.
    pub fn named_parameters(&self) -> impl Iterator<Item = Named<'_>> {
        self.layers().flat_map(|op| {
            let mut start = op.parameters.start;
            op.bound
                .parameters
                .iter()
                .zip(&op.sizes)
                .map(move |(parameter, size)| Named {
                    name: format!("{}.{}", op.path, parameter.name),
                    parameter,
                    range: take(&mut start, *size),
                })
        })
    }

    /// Every part of the state: name, shape, place, first value.
    pub fn named_state(&self) -> impl Iterator<Item = (String, &crate::layer::State, Range<usize>)> {
        self.layers().flat_map(|op| {
            let mut start = op.state.start;
            (op.bound.state.iter().zip(&op.state_sizes))
                .map(move |(state, size)| (format!("{}.{}", op.path, state.name), state, take(&mut start, *size)))
        })
    }
}
