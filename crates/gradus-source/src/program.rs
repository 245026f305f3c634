//! A network as a list of steps, each a plain loop over tables: what is between the layers of the library and a file in some
//! language.

use gradus::Shape;

use crate::kernels::window::Window;

/// What a network computes for one sample, step by step.
///
/// Dropout and changes of shape are gone, batch normalisation is part of what comes before it, and so is a ReLU.
#[derive(Debug, Clone)]
pub struct Program {
    pub(crate) input: Shape,
    pub(crate) output: Shape,
    /// The size of every value; value 0 is the input.
    pub(crate) values: Vec<usize>,
    pub(crate) steps: Vec<Step<Op>>,
}

/// One step: it reads value `x` and writes value `y`, the same one if it works in place.
#[derive(Debug, Clone)]
pub(crate) struct Step<O> {
    /// The layer that it comes from: `layer 3 (conv2d)`.
    pub(crate) label: String,
    /// What its tables are named after: `3_body_0`.
    pub(crate) name: String,
    pub(crate) x: usize,
    pub(crate) y: usize,
    pub(crate) op: O,
}

/// What a step computes.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    /// y = W·x + b; the weight is units × inputs.
    Dense {
        weight: Vec<f32>,
        bias: Vec<f32>,
        relu: bool,
    },
    /// The weight is channels × channels of a group × kernel.
    Conv2d {
        window: Window,
        weight: Vec<f32>,
        bias: Vec<f32>,
        relu: bool,
    },
    MaxPool {
        window: Window,
    },
    /// Padding counts as zeros unless it is excluded.
    MeanPool {
        window: Window,
        exclude_padding: bool,
    },
    /// In place.
    Map(Function),
    /// In place.
    Softmax,
    /// y += x, x being another value.
    Add {
        relu: bool,
    },
    Copy,
}

/// A function of each value alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Function {
    Relu,
    LeakyRelu(f32),
    Elu(f32),
    Gelu,
    Silu,
    Softplus,
    Sigmoid,
    Tanh,
}

impl Program {
    /// The shape of the input.
    pub fn input(&self) -> &Shape {
        &self.input
    }

    /// The shape of the output.
    pub fn output(&self) -> &Shape {
        &self.output
    }
}

/// The value that holds the output in the end.
pub(crate) fn result<O>(steps: &[Step<O>]) -> usize {
    steps.last().map_or(0, |step| step.y)
}
