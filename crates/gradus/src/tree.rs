//! The tree of a network: layers in a row, and blocks, whose branches are rows of layers again.
//!
//! There is one tree for all that reads a network. What it has for a layer differs: what was declared, a layer that is bound to
//! its input, or a layer with its parameters.

use std::sync::Arc;

use crate::Layers;
use crate::blocks::Join;
use crate::layer::Layer;

/// A place in a network: a layer, or a block of layers.
///
/// `L` is what the tree has for a layer: in a declaration, the layer itself.
#[derive(Debug, Clone)]
pub enum Node<L = Arc<dyn Layer>> {
    /// A layer.
    Layer(L),
    /// A block.
    Block(Block<L>),
}

/// Layers in branches, which all take the block's input, and whose outputs are joined.
#[derive(Debug, Clone)]
pub struct Block<L = Arc<dyn Layer>> {
    /// How the branches' outputs are joined.
    pub join: Join,
    /// The branches. One without layers gives the block's input.
    pub branches: Vec<Vec<Node<L>>>,
}

impl Block {
    /// A block that joins the outputs of these branches so. [`Residual`](crate::Residual), [`Concat`](crate::Concat) and
    /// [`Multiply`](crate::Multiply) are shorter.
    pub fn new(join: Join, branches: impl IntoIterator<Item = Layers>) -> Self {
        Block {
            join,
            branches: branches.into_iter().map(|layers| layers.nodes).collect(),
        }
    }
}

impl<L> Node<L> {
    /// The same tree with something else for each layer, made of it by `make`, from the first to the last.
    pub(crate) fn map<'t, M>(&'t self, make: &mut dyn FnMut(&'t L) -> M) -> Node<M> {
        match self {
            Node::Layer(layer) => Node::Layer(make(layer)),
            Node::Block(block) => Node::Block(Block {
                join: block.join,
                branches: (block.branches.iter())
                    .map(|branch| branch.iter().map(|node| node.map(make)).collect())
                    .collect(),
            }),
        }
    }
}

impl<L: Layer + 'static> From<L> for Node {
    fn from(layer: L) -> Self {
        Node::Layer(Arc::new(layer))
    }
}

impl From<Box<dyn Layer>> for Node {
    fn from(layer: Box<dyn Layer>) -> Self {
        Node::Layer(Arc::from(layer))
    }
}

impl From<Block> for Node {
    fn from(block: Block) -> Self {
        Node::Block(block)
    }
}
