//! A network as a list of operations on values, and where everything lies in memory.
//!
//! Building walks the declared layers once. Every value (the input, and each operation's output) gets a number, in the order
//! in which they are computed; where they lie in memory is decided when it is known what for ([`Memory`](crate::engine)).
//!
//! It also chooses each value's layout. A layer that prefers samples side by side gets them so, one that takes either gets them
//! as they are, and where a layer wants the other layout a [`Op::Reorder`] is put before it.

use std::ops::Range;
use std::sync::Arc;

use crate::init::HeNormal;
use crate::layer::advanced::{BlockLayer, Layout, Layouts, Scratch};
use crate::layer::{BoundLayer, Layer, OutputKind, Parameter};
use crate::layers::{Conv2d, Dense};
use crate::sequential::{Layers, Node, Residual};
use crate::{Error, Result, Shape};

/// The most parameters that a network may have, and the most values in a sample: what is beyond is a mistake in a
/// declaration, or a file that means harm.
const MOST_PARAMETERS: usize = 1 << 30;
const MOST_VALUES: usize = 1 << 28;

/// One step of a forward pass; the backward pass takes the same steps in reverse.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    /// y = layer(x)
    Layer(Box<LayerOp>),
    /// y₀ = x, y₁ = x; backward dx = dy₀ + dy₁
    Fork { x: usize, y: [usize; 2] },
    /// y = x₀ + x₁; backward dx₀ = dy, dx₁ = dy
    Add { x: [usize; 2], y: usize },
    /// y = x in the other layout
    Reorder { x: usize, y: usize },
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

/// What a declared network looks like, for saving it: the tree of layers.
#[derive(Debug, Clone)]
pub(crate) enum Tree {
    /// The operation of this number.
    Layer(usize),
    Residual {
        body: Vec<Tree>,
        shortcut: Option<Vec<Tree>>,
    },
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
    pub tree: Vec<Tree>,
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
        if layers.nodes.is_empty() {
            return Err(Error::invalid(
                "the network has no layers: add at least one with .layer(...)",
            ));
        }
        if input.is_empty() || input.size() == 0 || input.size() > MOST_VALUES {
            return Err(Error::invalid(format!(
                "the network's input shape is {input:?}: every dimension must be at least 1 and their product at most {MOST_VALUES}"
            )));
        }
        let mut graph = Graph {
            input: input.clone(),
            declared: layers.clone(),
            reference,
            ..Graph::default()
        };
        graph.value(input.size(), Layout::SampleMajor, false);
        let mut tree = Vec::new();
        let (output, y) = graph.sequence(input, 0, layers, None, &mut tree)?;
        graph.relayout(y, Layout::SampleMajor);
        graph.output = output;
        graph.tree = tree;
        Ok(graph)
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

    fn value(&mut self, size: usize, layout: Layout, needs_gradient: bool) -> usize {
        self.values.push(Value {
            size,
            layout,
            needs_gradient,
        });
        self.values_size += size;
        self.values.len() - 1
    }

    /// The value of this number, or a copy of it, in this layout.
    fn relayout(&mut self, x: usize, layout: Layout) -> usize {
        let value = self.values[x];
        if value.layout == layout {
            return x;
        }
        let y = self.value(value.size, layout, value.needs_gradient);
        self.ops.push(Op::Reorder { x, y });
        y
    }

    /// Adds the operations of layers in a row; gives the shape and number of their output. Within a block, `prefix` is its path.
    fn sequence(
        &mut self,
        mut shape: Shape,
        mut x: usize,
        layers: Layers,
        prefix: Option<&str>,
        tree: &mut Vec<Tree>,
    ) -> Result<(Shape, usize)> {
        let mut nodes = layers.nodes.into_iter();
        let mut i = 0;
        while let Some(node) = nodes.next() {
            let path = format!("{}{i}", prefix.unwrap_or_default());
            (shape, x) = match node {
                Node::Layer(layer) => {
                    let followers = prefix.is_none().then_some(nodes.as_slice());
                    self.layer(shape, x, layer, path, followers, tree)?
                }
                Node::Residual(residual) => self.residual(shape, x, residual, &path, tree)?,
            };
            i += 1;
        }
        Ok((shape, x))
    }

    /// Adds a layer. `followers` are what comes after it, up to the network's end; none within a block.
    fn layer(
        &mut self,
        input: Shape,
        x: usize,
        layer: Arc<dyn Layer>,
        path: String,
        followers: Option<&[Node]>,
        tree: &mut Vec<Tree>,
    ) -> Result<(Shape, usize)> {
        let label = format!("layer {path} ({})", layer.kind());
        let refuse = |message: String| Error::Build {
            layer: label.clone(),
            message,
        };
        let bound = layer.bind(&input).map_err(refuse)?;
        let run = bound.runner(&input, self.reference).map_err(refuse)?;
        let scratch = run.scratch();
        let sizes: Vec<usize> = bound.parameters.iter().map(|p| p.shape.size()).collect();
        let state_sizes: Vec<usize> = bound.state.iter().map(|s| s.shape.size()).collect();
        let total = |sizes: &[usize]| sizes.iter().fold(0usize, |sum, &size| sum.saturating_add(size));
        let parameters = total(&sizes);
        check_names(&bound).map_err(refuse)?;
        if bound.output.is_empty() || bound.output.size() == 0 {
            return Err(refuse(format!(
                "from {input} it gives {:?}, which has no values",
                bound.output
            )));
        }
        let for_a_sample = [
            self.values_size,
            bound.output.size(),
            self.saved,
            bound.saved,
            scratch.per_sample,
        ];
        if total(&[self.parameters, parameters, total(&state_sizes), scratch.fixed]) > MOST_PARAMETERS
            || total(&for_a_sample) > MOST_VALUES
        {
            return Err(refuse(format!(
                "with its {parameters} parameters and {} outputs the network grows beyond {MOST_PARAMETERS} parameters or {MOST_VALUES} values for a sample: check the declared sizes",
                bound.output.size()
            )));
        }
        let per_block = run.whole_batch().is_none();
        let layouts = if bound.is_view() {
            Layouts::Either
        } else {
            run.layouts()
        };
        let layout = match layouts {
            Layouts::SampleMajor => Layout::SampleMajor,
            // The loss reads samples one after the other, be it the network's output or the input of its last activation.
            _ if !bound.is_view() && gives_output(&bound, layouts, followers) => Layout::SampleMajor,
            Layouts::Either => self.values[x].layout,
            Layouts::PreferInterleaved => Layout::Interleaved,
        };
        let x = self.relayout(x, layout);
        let needs_gradient = self.values[x].needs_gradient || parameters > 0;
        let y = self.value(bound.output.size(), layout, needs_gradient);
        let across = run.across_batch();
        let op = LayerOp {
            parameters: take(&mut self.parameters, parameters),
            state: take(&mut self.state, total(&state_sizes)),
            partials: take(&mut self.partials, if per_block { parameters } else { 0 }),
            statistics: take(&mut self.statistics, across.map_or(0, |a| a.statistics())),
            sums: take(&mut self.sums, across.map_or(0, |a| a.sums())),
            number: self.layers,
            layer,
            run,
            scratch,
            path,
            label,
            input,
            x,
            y,
            sizes,
            state_sizes,
            bound,
        };
        self.layers += 1;
        self.saved += op.bound.saved;
        self.scratch = self.scratch.max(scratch.fixed);
        self.scratch_per_sample = self.scratch_per_sample.max(scratch.per_sample);
        tree.push(Tree::Layer(self.ops.len()));
        let output = op.bound.output.clone();
        self.ops.push(Op::Layer(Box::new(op)));
        Ok((output, y))
    }

    fn residual(
        &mut self,
        input: Shape,
        x: usize,
        residual: Residual,
        path: &str,
        tree: &mut Vec<Tree>,
    ) -> Result<(Shape, usize)> {
        let refuse = |message: String| Error::Build {
            layer: format!("layer {path} (residual)"),
            message,
        };
        if residual.body.nodes.is_empty() {
            return Err(refuse("the body has no layers".into()));
        }
        let Value {
            size,
            layout,
            needs_gradient,
        } = self.values[x];
        let forked = [(); 2].map(|()| self.value(size, layout, needs_gradient));
        self.ops.push(Op::Fork { x, y: forked });

        let (mut body, mut side) = (Vec::new(), Vec::new());
        let (shape, a) = self.sequence(
            input.clone(),
            forked[0],
            residual.body,
            Some(&format!("{path}.body.")),
            &mut body,
        )?;
        let declared = residual.shortcut.is_some();
        let layers = match residual.shortcut {
            Some(layers) => layers,
            None => projection(&input, &shape).map_err(refuse)?,
        };
        let saved = declared || !layers.nodes.is_empty();
        let (across, b) = self.sequence(input, forked[1], layers, Some(&format!("{path}.shortcut.")), &mut side)?;
        if across != shape {
            return Err(refuse(format!(
                "the body gives {shape} and the shortcut {across}: they are added and must have the same shape"
            )));
        }
        let layout = self.values[a].layout;
        let b = self.relayout(b, layout);
        let needs_gradient = self.values[a].needs_gradient || self.values[b].needs_gradient;
        let y = self.value(shape.size(), layout, needs_gradient);
        self.ops.push(Op::Add { x: [a, b], y });
        if self.values_size > MOST_VALUES {
            return Err(refuse(format!(
                "with it the network grows beyond {MOST_VALUES} values for a sample: check the declared sizes"
            )));
        }
        tree.push(Tree::Residual {
            body,
            shortcut: saved.then_some(side),
        });
        Ok((shape, y))
    }
}

/// Whether this layer's output, seen in whatever shape, is the network's, and it works on samples one after the other as well as
/// on any: it is a function of each value, or gives probabilities.
fn gives_output(bound: &BoundLayer, layouts: Layouts, followers: Option<&[Node]>) -> bool {
    let gives_probabilities = matches!(bound.output_kind, OutputKind::Probabilities | OutputKind::Distribution);
    let works_well = layouts == Layouts::Either && bound.parameters.is_empty() || gives_probabilities;
    let mut shape = bound.output.clone();
    let mut is_view = |node: &Node| match node {
        Node::Layer(layer) => layer.bind(&shape).is_ok_and(|bound| {
            shape = bound.output.clone();
            bound.is_view()
        }),
        Node::Residual(_) => false,
    };
    works_well && followers.is_some_and(|followers| followers.iter().all(&mut is_view))
}

/// Refuses tensors that could not be saved.
fn check_names(bound: &BoundLayer) -> Result<(), String> {
    let names = || (bound.parameters.iter().map(|p| p.name)).chain(bound.state.iter().map(|s| s.name));
    if let Some(twice) = names()
        .enumerate()
        .find(|(i, name)| names().take(*i).any(|other| other == *name))
    {
        return Err(format!(
            "it has two tensors `{}`: each needs a name of its own",
            twice.1
        ));
    }
    match bound
        .parameters
        .iter()
        .find(|p| p.saved_transposed && p.shape.len() != 2)
    {
        Some(p) => Err(format!(
            "its `{}` of shape {} is saved transposed: only a matrix can be",
            p.name, p.shape
        )),
        None => Ok(()),
    }
}

/// The next `size` places.
fn take(end: &mut usize, size: usize) -> Range<usize> {
    let start = *end;
    *end += size;
    start..*end
}

/// The layers that bring a shortcut from shape `from` to shape `to`: none if they are equal.
fn projection(from: &Shape, to: &Shape) -> Result<Layers, String> {
    if from == to {
        return Ok(Layers::new());
    }
    match (&from[..], &to[..]) {
        ([_], &[units]) => Ok(Layers::new().layer(Dense::new(units).bias(false).init(HeNormal))),
        (&[_, h, w], &[channels, to_h, to_w]) => {
            // Of the strides that give no more than `to`, the smallest.
            let stride = |from: usize, to: usize| Some(from.div_ceil(to)).filter(|s| from.div_ceil(*s) == to);
            match (stride(h, to_h), stride(w, to_w)) {
                (Some(sh), Some(sw)) => Ok(Layers::new().layer(Conv2d::new(channels, 1).stride((sh, sw)).bias(false))),
                _ => Err(format!(
                    "no stride takes the input {from} to the body's output {to}: give the block a shortcut of its own"
                )),
            }
        }
        _ => Err(format!(
            "there is no projection from {from} to the body's output {to}: give the block a shortcut of its own"
        )),
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
