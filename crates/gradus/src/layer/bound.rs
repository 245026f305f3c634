//! A layer bound to the shape of its samples: its output, its parameters, what it computes, and its passes.

use std::sync::Arc;

use super::advanced::{BlockLayer, Layouts};
use super::{BatchPasses, Operation, OutputKind, Passes, PerSample};
use crate::init::{Fans, Initializer};
use crate::{Float, Shape};

/// A layer bound to samples of one shape: what [`Layer::bind`](super::Layer::bind) returns.
///
/// ```
/// use gradus::{Dense, Layer, Shape};
/// let bound = Dense::new(10).bind(&Shape::from(784)).unwrap();
/// assert_eq!(bound.output(), &Shape::from(10));
/// assert_eq!(bound.parameters()[0].shape, Shape::from([784, 10]));
/// assert_eq!(bound.multiply_adds(), 7840);
/// ```
#[derive(Debug, Clone)]
pub struct BoundLayer {
    pub(crate) output: Shape,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) state: Vec<State>,
    pub(crate) saved: usize,
    pub(crate) scratch: usize,
    pub(crate) multiply_adds: u64,
    pub(crate) output_kind: OutputKind,
    pub(crate) operation: Option<Operation>,
    pub(crate) plain: Plain,
    pub(crate) fast: Option<Arc<dyn BlockLayer>>,
}

/// The passes over one sample.
#[derive(Debug, Clone)]
pub(crate) enum Plain {
    /// None are needed: the output is the input's values in another shape.
    View,
    /// Of samples that don't depend on each other.
    Each(Arc<dyn Passes>),
    /// Of samples that depend on the whole batch.
    Batch(Arc<dyn BatchPasses>),
}

impl BoundLayer {
    /// A layer with outputs of this shape, computed by these passes.
    pub fn new(output: impl Into<Shape>, passes: impl Passes) -> Self {
        Self::with(output.into(), Plain::Each(Arc::new(passes)))
    }

    /// A layer whose output for a sample depends on the whole batch in training.
    pub fn across_batch(output: impl Into<Shape>, passes: impl BatchPasses) -> Self {
        Self::with(output.into(), Plain::Batch(Arc::new(passes)))
    }

    /// A layer whose outputs are its inputs, value by value, in another shape. Nothing is computed or copied.
    pub fn view(output: impl Into<Shape>) -> Self {
        let view = Self::with(output.into(), Plain::View);
        view.with_operation(Operation::Reshape)
            .with_output_kind(OutputKind::SameAsInput)
    }

    fn with(output: Shape, plain: Plain) -> Self {
        BoundLayer {
            output,
            parameters: Vec::new(),
            state: Vec::new(),
            saved: 0,
            scratch: 0,
            multiply_adds: 0,
            output_kind: OutputKind::Unspecified,
            operation: None,
            plain,
            fast: None,
        }
    }

    /// Adds a trained parameter.
    pub fn with_parameter(mut self, parameter: Parameter) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// Adds a tensor that is saved with the network but not trained, such as running statistics; `value` is its first.
    pub fn with_state(mut self, name: &'static str, shape: impl Into<Shape>, value: Float) -> Self {
        let shape = shape.into();
        self.state.push(State { name, shape, value });
        self
    }

    /// Sets how many values `forward` saves for `backward`, for each sample.
    pub fn with_saved(mut self, values: usize) -> Self {
        self.saved = values;
        self
    }

    /// Sets how many values of scratch memory the passes over one sample need.
    pub fn with_scratch(mut self, values: usize) -> Self {
        self.scratch = values;
        self
    }

    /// Sets the number of multiplications with an addition in the forward pass of one sample.
    pub fn with_multiply_adds(mut self, count: u64) -> Self {
        self.multiply_adds = count;
        self
    }

    /// Says what the outputs are, for losses that compare probabilities. A softmax or sigmoid of one's own should say
    /// [`Distribution`](OutputKind::Distribution) or [`Probabilities`](OutputKind::Probabilities).
    pub fn with_output_kind(mut self, kind: OutputKind) -> Self {
        self.output_kind = kind;
        self
    }

    /// Says what the layer computes once it is trained, if it is one of the formulas that exporters know. A layer that doesn't say
    /// can't be exported, whatever its [`kind`](super::Layer::kind).
    pub fn with_operation(mut self, operation: Operation) -> Self {
        self.operation = Some(operation);
        self
    }

    /// Adds a fast version, for blocks of samples. It must compute what the passes compute.
    pub fn with_fast(mut self, layer: impl BlockLayer) -> Self {
        self.fast = Some(Arc::new(layer));
        self
    }

    /// The shape of one output sample.
    pub fn output(&self) -> &Shape {
        &self.output
    }

    /// The trained parameters, in order.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The tensors that are saved but not trained, in order.
    pub fn state(&self) -> &[State] {
        &self.state
    }

    /// Multiplications with an addition in the forward pass of one sample.
    pub fn multiply_adds(&self) -> u64 {
        self.multiply_adds
    }

    /// What the outputs are.
    pub fn output_kind(&self) -> OutputKind {
        self.output_kind
    }

    /// What the layer computes once it is trained, if it says so.
    pub fn operation(&self) -> Option<Operation> {
        self.operation
    }

    /// Whether a sample's output depends on the whole batch in training.
    pub fn is_across_batch(&self) -> bool {
        matches!(self.plain, Plain::Batch(_))
    }

    /// Whether the output is the input's values in another shape.
    pub fn is_view(&self) -> bool {
        matches!(self.plain, Plain::View)
    }

    /// What runs the layer: its fast version, if it has one and this is not for the reference, or its passes over one sample after
    /// the other.
    ///
    /// # Errors
    /// If its fast version promises what it can't keep.
    pub(crate) fn runner(&self, input: &Shape, reference: bool) -> Result<Arc<dyn BlockLayer>, String> {
        let Some(fast) = self.fast.as_ref().filter(|_| !reference) else {
            return Ok(Arc::new(PerSample::new(self, input)));
        };
        if fast.across_batch().is_some() != self.is_across_batch() {
            return Err("its fast version and its passes must both be across the batch, or neither".into());
        }
        if fast.in_place().is_some() && !(self.parameters.is_empty() && self.output.size() == input.size()) {
            return Err(
                "its fast version works in place, and it has parameters or an output of another size than its input"
                    .into(),
            );
        }
        if fast.whole_batch().is_some() && fast.layouts() != Layouts::SampleMajor {
            return Err(
                "its fast version computes gradients over the whole batch, of samples one after the other alone".into(),
            );
        }
        Ok(fast.clone())
    }
}

/// One parameter tensor of a layer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Parameter {
    /// Its name: `weight`, `bias`.
    pub name: &'static str,
    /// Its shape in memory, row-major.
    pub shape: Shape,
    /// How it gets its first values.
    pub init: Arc<dyn Initializer>,
    /// How many inputs and outputs meet in it, for the initializer.
    pub fans: Fans,
    /// Whether weight decay applies to it: not to biases and norms.
    pub decays: bool,
    /// Whether saved files hold its transpose (both have two dimensions then), as other libraries lay it out.
    pub saved_transposed: bool,
}

impl Parameter {
    /// A weight: initialized by `init`, subject to weight decay.
    pub fn weight(shape: impl Into<Shape>, fans: Fans, init: Arc<dyn Initializer>) -> Self {
        Parameter {
            name: "weight",
            shape: shape.into(),
            init,
            fans,
            decays: true,
            saved_transposed: false,
        }
    }

    /// A bias: zero at first, not subject to weight decay.
    pub fn bias(shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        Parameter {
            name: "bias",
            fans: Fans::new(shape.size(), shape.size()),
            shape,
            init: Arc::new(crate::init::Zeros),
            decays: false,
            saved_transposed: false,
        }
    }

    /// The same parameter under another name.
    pub fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// Saves the transpose.
    pub fn saved_transposed(mut self) -> Self {
        self.saved_transposed = true;
        self
    }
}

/// Values that a layer saves but does not train.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct State {
    /// Their name: `running_mean`.
    pub name: &'static str,
    /// Their shape.
    pub shape: Shape,
    /// Their first value.
    pub value: Float,
}
