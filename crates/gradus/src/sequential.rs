//! Networks declared layer by layer.

use std::sync::Arc;

use crate::graph::Graph;
use crate::layer::Layer;
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

    /// Adds a layer, or a [`Residual`] block, after the ones already there.
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

/// Layers in a row, without an input shape: the inside of a [`Residual`] block.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    pub(crate) nodes: Vec<Node>,
}

impl Layers {
    /// No layers yet.
    pub fn new() -> Self {
        Layers::default()
    }

    /// Adds a layer or a [`Residual`] block.
    pub fn layer(mut self, node: impl Into<Node>) -> Self {
        self.nodes.push(node.into());
        self
    }
}

/// A place in a network: a layer, or a block with a skip.
#[derive(Debug, Clone)]
pub enum Node {
    /// A layer.
    Layer(Arc<dyn Layer>),
    /// A residual block.
    Residual(Residual),
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

impl From<Residual> for Node {
    fn from(residual: Residual) -> Self {
        Node::Residual(residual)
    }
}

/// A residual block: y = body(x) + shortcut(x) (He, Zhang, Ren and Sun, *Deep Residual Learning for Image Recognition*, 2016).
///
/// The shortcut is the identity. Where the body changes the shape it is a linear projection: for images a 1×1 convolution
/// without bias, whose stride makes the sizes meet; for flat samples a dense layer without bias.
/// [`shortcut`](Residual::shortcut) puts any layers there instead. What comes after the sum (usually a ReLU) is the
/// network's next layer.
///
/// ```
/// use gradus::prelude::*;
///
/// let body = Layers::new()
///     .layer(Conv2d::new(32, 3).stride(2).padding(Padding::Explicit { top: 1, bottom: 1, left: 1, right: 1 }))
///     .layer(BatchNorm::new())
///     .layer(Relu)
///     .layer(Conv2d::new(32, 3).padding(Padding::Same))
///     .layer(BatchNorm::new());
/// let network = Sequential::new([16, 32, 32]).layer(Residual::new(body)).layer(Relu).build(1)?;
/// assert_eq!(network.output_shape(), &Shape::from([32, 16, 16]));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Residual {
    pub(crate) body: Layers,
    pub(crate) shortcut: Option<Layers>,
}

impl Residual {
    /// A block with this body.
    pub fn new(body: Layers) -> Self {
        Residual { body, shortcut: None }
    }

    /// Puts these layers on the shortcut.
    pub fn shortcut(mut self, layers: Layers) -> Self {
        self.shortcut = Some(layers);
        self
    }
}
