//! The nodes at a graph's ends by which our own files scale numbers.

use super::constant::{Constant, numbers};
use crate::Scaling;
use crate::export::{SCALE_INPUTS, SCALE_OUTPUTS};
use crate::model::{Graph, Node, ValueInfo, data_type};

/// Where the network begins and ends in a graph.
#[derive(Debug)]
pub(super) struct Ends<'g, 'a> {
    /// The value that the network takes.
    pub(super) first: &'a str,
    /// The value that it gives.
    pub(super) last: &'g str,
    /// How the graph's input becomes the first.
    pub(super) inputs: Option<Scaling>,
    /// How the last becomes the graph's output.
    pub(super) outputs: Option<Scaling>,
}

impl<'g, 'a> Ends<'g, 'a> {
    /// The network is all of the graph.
    pub(super) fn plain(input: &'a str, output: &'g str) -> Self {
        Ends {
            first: input,
            last: output,
            inputs: None,
            outputs: None,
        }
    }

    /// The network between the nodes that `export` puts around it for scaling.
    pub(super) fn of(graph: &'g Graph<'a>, input: &ValueInfo<'a>, output: &'g str) -> Result<Self, String> {
        let mut ends = Ends::plain(input.name, output);
        if let Some(pair) = Pair::find(graph, SCALE_INPUTS)
            && pair.x == input.name
            && users(graph, pair.x) == 1
        {
            ends.inputs = Some(Scaling {
                mean: pair.numbers(graph, 0)?,
                deviation: pair.numbers(graph, 1)?,
            });
            ends.first = pair.y;
        }
        if let Some(pair) = Pair::find(graph, SCALE_OUTPUTS)
            && pair.y == output
        {
            ends.outputs = Some(Scaling {
                deviation: pair.numbers(graph, 0)?,
                mean: pair.numbers(graph, 1)?,
            });
            ends.last = pair.x;
        }
        Ok(ends)
    }
}

/// Two nodes, one after the other, that combine a value with constants.
struct Pair<'g, 'a> {
    nodes: [&'g Node<'a>; 2],
    x: &'a str,
    y: &'a str,
}

impl<'g, 'a> Pair<'g, 'a> {
    /// The nodes of these names and operators, if nothing else uses what is between them.
    fn find(graph: &'g Graph<'a>, wanted: [(&str, &str); 2]) -> Option<Self> {
        let find = |(name, operator)| {
            let mut nodes = graph.nodes.iter();
            nodes.find(|node| (node.name, node.operator) == (name, operator) && node.domain.is_empty())
        };
        let nodes @ [a, b] = [find(wanted[0])?, find(wanted[1])?];
        let [between, y] = [*a.outputs.first()?, *b.outputs.first()?];
        let follows = *b.inputs.first()? == between && users(graph, between) == 1;
        follows.then_some(Pair {
            nodes,
            x: a.inputs.first()?,
            y,
        })
    }

    /// The constant of one of the nodes.
    fn numbers(&self, graph: &Graph<'_>, i: usize) -> Result<Vec<f64>, String> {
        let node = self.nodes[i];
        let refuse = || format!("{}: it must scale by a constant", node.label());
        let name = node.inputs.get(1).ok_or_else(refuse)?;
        let tensor = graph.initializers.iter().find(|tensor| tensor.name == *name);
        let tensor = tensor.ok_or_else(refuse)?;
        match (tensor.data_type, tensor.raw) {
            // In full, whatever the type of the network's numbers.
            (data_type::DOUBLE, Some(raw)) => numbers(raw, f64::from_le_bytes).ok_or_else(refuse),
            (data_type::DOUBLE, None) => Ok(tensor.doubles.clone()),
            _ => Ok(Constant::read(tensor)?
                .floats()?
                .iter()
                .map(|&value| f64::from(value))
                .collect()),
        }
    }
}

/// How many times nodes and outputs take a value.
fn users(graph: &Graph<'_>, value: &str) -> usize {
    let nodes = graph.nodes.iter().flat_map(|node| &node.inputs);
    let outputs = graph.outputs.iter().map(|output| &output.name);
    nodes.chain(outputs).filter(|name| **name == value).count()
}
