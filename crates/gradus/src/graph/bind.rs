//! The first pass of building: every declared layer is bound to the shape that comes before it.
//!
//! What comes out is the same tree with [bound layers](Bound). Whatever can't be is refused here; nothing after this fails.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Bound;
use crate::layer::{BoundLayer, Layer};
use crate::tree::{Block, Node};
use crate::{Error, Result, Shape};

/// The most parameters that a network may have, and the most values in a sample: what is beyond is a mistake in a
/// declaration, or a file that means harm.
const MOST_PARAMETERS: usize = 1 << 30;
const MOST_VALUES: usize = 1 << 28;

/// Binds layers in a row to samples of this shape; gives the shape of their output too.
pub(super) fn bind(input: &Shape, layers: &[Node], reference: bool) -> Result<(Vec<Node<Bound>>, Shape)> {
    if layers.is_empty() {
        return Err(Error::invalid(
            "the network has no layers: add at least one with .layer(...)",
        ));
    }
    if input.is_empty() || input.size() == 0 || input.size() > MOST_VALUES {
        return Err(Error::invalid(format!(
            "the network's input shape is {input:?}: every dimension must be at least 1 and their product at most {MOST_VALUES}"
        )));
    }
    let mut binding = Binding {
        reference,
        parameters: 0,
        values: input.size(),
    };
    binding.row(input.clone(), layers, "")
}

/// What has been bound so far.
struct Binding {
    reference: bool,
    /// How many parameters there are, and how many values of a sample.
    parameters: usize,
    values: usize,
}

impl Binding {
    /// Binds layers in a row. `prefix` comes before their numbers in their paths.
    fn row(&mut self, mut shape: Shape, layers: &[Node], prefix: &str) -> Result<(Vec<Node<Bound>>, Shape)> {
        let mut row = Vec::with_capacity(layers.len());
        for (i, node) in layers.iter().enumerate() {
            let path = format!("{prefix}{i}");
            let (bound, output) = match node {
                Node::Layer(layer) => self.layer(shape, layer, path)?,
                Node::Block(block) => self.block(shape, block, &path)?,
            };
            row.push(bound);
            shape = output;
        }
        Ok((row, shape))
    }

    fn layer(&mut self, input: Shape, layer: &Arc<dyn Layer>, path: String) -> Result<(Node<Bound>, Shape)> {
        let label = format!("layer {path} ({})", layer.kind());
        let refuse = |message| Error::build(&label, message);
        let bound = layer.bind(&input).map_err(refuse)?;
        let run = bound.runner(&input, self.reference).map_err(refuse)?;
        check_tensors(&bound).map_err(refuse)?;
        let output = bound.output.clone();
        if output.is_empty() || output.size() == 0 {
            return Err(refuse(format!("from {input} it gives {output:?}, which has no values")));
        }
        let scratch = run.scratch();
        let parameters = total(bound.parameters.iter().map(|parameter| parameter.shape.size()));
        let state = total(bound.state.iter().map(|state| state.shape.size()));
        let with_parameters = total([self.parameters, parameters, state, scratch.fixed]);
        let with_values = total([self.values, output.size(), bound.saved, scratch.per_sample]);
        if with_parameters > MOST_PARAMETERS || with_values > MOST_VALUES {
            return Err(refuse(format!(
                "with its {parameters} parameters and {} outputs the network grows beyond {MOST_PARAMETERS} parameters or {MOST_VALUES} values for a sample: check the declared sizes",
                output.size()
            )));
        }
        self.parameters += parameters;
        self.values += output.size() + bound.saved;
        let layer = layer.clone();
        let bound = Bound {
            layer,
            bound,
            run,
            path,
            label,
            input,
        };
        Ok((Node::Layer(bound), output))
    }

    fn block(&mut self, input: Shape, block: &Block, path: &str) -> Result<(Node<Bound>, Shape)> {
        let join = block.join;
        let refuse = |message| Error::build(format!("layer {path} ({})", join.kind()), message);
        let layers: Vec<usize> = block.branches.iter().map(Vec::len).collect();
        join.check(&layers).map_err(refuse)?;
        // Each fork of the input makes two of it.
        let forks = layers.len().max(2) - 1;
        self.grow(input.size().saturating_mul(2 * forks)).map_err(refuse)?;
        let (mut branches, mut shapes) = (Vec::new(), Vec::new());
        let mut open: VecDeque<Vec<Node>> = block.branches.iter().cloned().collect();
        while let Some(layers) = open.pop_front() {
            let prefix = format!("{path}.{}.", join.branch(shapes.len()));
            let (branch, shape) = self.row(input.clone(), &layers, &prefix)?;
            branches.push(branch);
            shapes.push(shape);
            if open.is_empty() {
                let missing = join.missing_branch(shapes.len(), &input, &shapes[0]);
                open.extend(missing.map_err(refuse)?.map(|layers| layers.nodes));
            }
        }
        let output = join.joined(&shapes).map_err(refuse)?;
        self.grow(output.size()).map_err(refuse)?;
        Ok((Node::Block(Block { join, branches }), output))
    }

    /// Counts values that a block adds.
    fn grow(&mut self, values: usize) -> Result<(), String> {
        self.values = self.values.saturating_add(values);
        match self.values > MOST_VALUES {
            false => Ok(()),
            true => Err(format!(
                "with it the network grows beyond {MOST_VALUES} values for a sample: check the declared sizes"
            )),
        }
    }
}

/// Refuses tensors that could not be saved.
fn check_tensors(bound: &BoundLayer) -> Result<(), String> {
    let names = || (bound.parameters.iter().map(|p| p.name)).chain(bound.state.iter().map(|s| s.name));
    let mut numbered = names().enumerate();
    if let Some((_, twice)) = numbered.find(|(i, name)| names().take(*i).any(|other| other == *name)) {
        return Err(format!("it has two tensors `{twice}`: each needs a name of its own"));
    }
    let transposed = bound
        .parameters
        .iter()
        .find(|p| p.saved_transposed && p.shape.len() != 2);
    match transposed {
        Some(p) => Err(format!(
            "its `{}` of shape {} is saved transposed: only a matrix can be",
            p.name, p.shape
        )),
        None => Ok(()),
    }
}

/// The sum, or the largest number.
fn total(sizes: impl IntoIterator<Item = usize>) -> usize {
    sizes.into_iter().fold(0, usize::saturating_add)
}
