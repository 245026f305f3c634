//! Networks declared layer by layer.

use crate::graph::Graph;
use crate::tree::Node;
use crate::{Error, Network, Result, Shape};

/// A feed-forward network, declared layer by layer; [`build`](Sequential::build) makes a [`Network`] of it.
///
/// The shape of one input sample is given once, every other shape follows.
///
/// ```
/// use gradus::prelude::*;
///
/// let network = Sequential::new([1, 28, 28])
///     .layer(Conv2d::new(5, 3))
///     .layer(Relu)
///     .layer(MaxPool2d::new(2))
///     .layer(Flatten)
///     .layer(Dense::new(10))
///     .layer(Softmax)
///     .build(42)?;
/// assert_eq!(network.output_shape(), &Shape::from(10));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug)]
pub struct Sequential {
    input: Shape,
    layers: Layers,
}

impl Sequential {
    /// A network for samples of this shape, as yet without layers.
    pub fn new(input: impl Into<Shape>) -> Self {
        Sequential {
            input: input.into(),
            layers: Layers::new(),
        }
    }

    /// Adds a layer, or a block of layers (such as [`Residual`](crate::Residual)), after the ones already there.
    pub fn layer(mut self, node: impl Into<Node>) -> Self {
        self.layers.nodes.push(node.into());
        self
    }

    /// Adds several layers.
    pub fn layers(mut self, layers: Layers) -> Self {
        self.layers.nodes.extend(layers.nodes);
        self
    }

    /// Infers every shape, lays out the parameters and gives them their first values, which follow from `seed`.
    ///
    /// # Errors
    /// [`Error::Build`](crate::Error::Build) if a layer can't take what comes before it; the error names the layer, what it
    /// got and what it needs. A network without layers or parameters of absurd size is an error too.
    #[doc(alias = "compile")]
    pub fn build(self, seed: u64) -> Result<Network> {
        let mut network = Network::from_graph(self.into_graph()?);
        network.initialize(seed);
        if let Some(p) = network.parameters().find(|p| p.values.iter().any(|v| !v.is_finite())) {
            return Err(Error::invalid(format!(
                "the initializer of `{}` gives values that are not finite: check its settings",
                p.name
            )));
        }
        Ok(network)
    }

    pub(crate) fn into_graph(self) -> Result<Graph> {
        Graph::build(self.input, self.layers, false)
    }
}

/// Layers in a row, without an input shape: a branch of a block, such as the body of a [`Residual`](crate::Residual).
#[derive(Debug, Clone, Default)]
pub struct Layers {
    pub(crate) nodes: Vec<Node>,
}

impl Layers {
    /// No layers yet.
    pub fn new() -> Self {
        Layers::default()
    }

    /// Adds a layer or a block of layers.
    pub fn layer(mut self, node: impl Into<Node>) -> Self {
        self.nodes.push(node.into());
        self
    }
}
