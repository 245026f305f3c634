//! A network as its declaration has it, for programs that turn it into something else.

use std::ops::Range;

use serde_json::Value;

use crate::graph::LayerOp;
use crate::layer::Operation;
use crate::tree::Node;
use crate::{Float, Layer, Network, Result, Shape};

/// A part of a network: a layer with its parameters, or a block of parts.
pub type Part<'n> = Node<LayerPart<'n>>;

/// A layer in its place in a network.
#[derive(Debug, Clone, Copy)]
pub struct LayerPart<'n> {
    network: &'n Network,
    op: &'n LayerOp,
}

/// A tensor of a layer.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct LayerTensor<'n> {
    /// Its name in the layer: `weight`.
    pub name: &'n str,
    /// Its shape, as the layer's documentation tells it.
    pub shape: &'n Shape,
    /// Its values, row-major.
    pub values: &'n [Float],
}

impl Network {
    /// The network's parts, in the order in which samples go through them.
    ///
    /// ```
    /// use gradus::{Part, prelude::*};
    ///
    /// let network = Sequential::new([2]).layer(Dense::new(3)).layer(Relu).build(1)?;
    /// let Part::Layer(dense) = &network.parts()[0] else { panic!("a layer") };
    /// assert_eq!((dense.kind(), dense.output().size()), ("dense", 3));
    /// assert_eq!(dense.parameters().map(|tensor| tensor.name).collect::<Vec<_>>(), ["weight", "bias"]);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn parts(&self) -> Vec<Part<'_>> {
        let mut layer = |op: &usize| LayerPart {
            network: self,
            op: self.graph.layer(*op),
        };
        self.graph.tree.iter().map(|node| node.map(&mut layer)).collect()
    }
}

impl<'n> LayerPart<'n> {
    /// The layer itself.
    pub fn layer(&self) -> &'n dyn Layer {
        &*self.op.layer
    }

    /// Its kind: `dense`.
    pub fn kind(&self) -> &'static str {
        self.op.layer.kind()
    }

    /// What it computes once it is trained; `None` if its layer doesn't say. Its [`kind`](LayerPart::kind) decides nothing: a user's
    /// layer may have any.
    ///
    /// ```
    /// use gradus::layer::{Function, Operation};
    /// use gradus::{Float, Part, activation::Activation, prelude::*};
    ///
    /// /// y = x², under another's name.
    /// #[derive(Debug, Clone)]
    /// struct Square;
    /// impl Activation for Square {
    ///     fn kind(&self) -> &'static str {
    ///         "relu"
    ///     }
    ///     fn value(&self, x: Float) -> Float {
    ///         x * x
    ///     }
    ///     fn derivative(&self, x: Float, _y: Float) -> Float {
    ///         2.0 * x
    ///     }
    /// }
    /// let network = Sequential::new([2]).layer(Relu).layer(Square).build(1)?;
    /// let operations: Vec<_> = network.parts().iter().map(|part| match part {
    ///     Part::Layer(layer) => layer.operation(),
    ///     Part::Block(_) => None,
    /// }).collect();
    /// assert_eq!(operations, [Some(Operation::Map(Function::Relu)), None]);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn operation(&self) -> Option<Operation> {
        self.op.bound.operation
    }

    /// Its parameter or state of this name: `weight`.
    pub fn tensor(&self, name: &str) -> Option<LayerTensor<'n>> {
        self.parameters().chain(self.state()).find(|tensor| tensor.name == name)
    }

    /// Its settings, as files have them.
    ///
    /// # Errors
    /// If the layer has none to save.
    pub fn settings(&self) -> Result<Value> {
        self.op.settings()
    }

    /// Its path, which comes before its tensors' names: `3`, or `3.body.0` in a residual block.
    pub fn path(&self) -> &'n str {
        &self.op.path
    }

    /// How messages name it: `layer 3 (conv2d)`.
    pub fn label(&self) -> &'n str {
        &self.op.label
    }

    /// The shape of one input sample.
    pub fn input(&self) -> &'n Shape {
        &self.op.input
    }

    /// The shape of one output sample.
    pub fn output(&self) -> &'n Shape {
        &self.op.bound.output
    }

    /// Its multiply-adds for one sample.
    pub fn multiply_adds(&self) -> u64 {
        self.op.bound.multiply_adds
    }

    /// The values that it keeps of one sample for its backward pass.
    pub(crate) fn saved(&self) -> usize {
        self.op.bound.saved
    }

    /// Its trained parameters, in the layouts of the library.
    pub fn parameters(&self) -> impl Iterator<Item = LayerTensor<'n>> + use<'n> {
        let values = &self.network.weights.parameters[self.op.parameters.clone()];
        let parameters = self.op.bound.parameters.iter();
        (parameters.zip(places(&self.op.sizes))).map(move |(parameter, place)| LayerTensor {
            name: parameter.name,
            shape: &parameter.shape,
            values: &values[place],
        })
    }

    /// Its state, such as running statistics.
    pub fn state(&self) -> impl Iterator<Item = LayerTensor<'n>> + use<'n> {
        let values = &self.network.weights.state[self.op.state.clone()];
        (self.op.bound.state.iter().zip(places(&self.op.state_sizes))).map(move |(state, place)| LayerTensor {
            name: state.name,
            shape: &state.shape,
            values: &values[place],
        })
    }
}

/// Where tensors of these sizes lie, one after the other.
fn places(sizes: &[usize]) -> impl Iterator<Item = Range<usize>> {
    sizes.iter().scan(0, |end, size| {
        let start = *end;
        *end += size;
        Some(start..*end)
    })
}
