//! A network as a list of steps, each a plain loop over tables: what is between the layers of the library and a file in some
//! language.

use gradus::Shape;
use gradus::layer::{Function, UpsampleMode};

use crate::kernels::window::Window;
use crate::scaling::Scaling;

/// What a network computes for one sample, step by step.
///
/// Dropout and changes of shape are gone, batch normalization is part of what comes before it, and so is a ReLU. What was scaled for
/// the network can be scaled here: see [`with_input_scaling`](Program::with_input_scaling).
#[derive(Debug, Clone)]
pub struct Program {
    pub(crate) input: Shape,
    pub(crate) output: Shape,
    /// The size of every value; value 0 is the input.
    pub(crate) values: Vec<usize>,
    pub(crate) steps: Vec<Step<Op>>,
    /// Whether the outputs are logits of classes.
    pub(crate) logits: bool,
    pub(crate) input_scaling: Option<Scaling>,
    pub(crate) output_scaling: Option<Scaling>,
}

impl Program {
    /// The same program, whose outputs are logits of classes, without the sigmoid or softmax that the network was trained for. They
    /// stay as they are; but a single one is of class 1 from above 0, where the probability is above 0.5, and in integers they reach
    /// at least 8 on both sides of 0, as before such a function.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// use gradus_source::{Labels, Language, Program};
    ///
    /// let network = Sequential::new([2]).layer(Dense::new(1)).build(1)?;
    /// let labels = Labels { classes: vec!["no".into(), "yes".into()], ..Labels::default() };
    /// let file = Program::of(&network)?.with_logits().source(Language::C, &labels)?;
    /// assert!(file.contains("return output[0] > 0.0f;"));
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn with_logits(mut self) -> Program {
        self.logits = true;
        self
    }
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
    /// From images of this height and width to such that are `scale` times as high and wide.
    Upsample {
        height: usize,
        width: usize,
        scale: [usize; 2],
        mode: UpsampleMode,
    },
    /// Of images of this height and width, the pixels from row `start[0]` and column `start[1]` on, `size` of them down and across.
    Crop {
        height: usize,
        width: usize,
        start: [usize; 2],
        size: [usize; 2],
    },
    /// In place.
    Map(Function),
    /// In place.
    Softmax,
    /// In place: groups of values with mean 0 and variance 1, then scaled and shifted; each `pixels` values in a row alike.
    Normalize {
        gamma: Vec<f32>,
        beta: Vec<f32>,
        groups: usize,
        pixels: usize,
        epsilon: f32,
    },
    /// In place.
    LogSoftmax,
    /// In place: a slope for each `pixels` values in a row.
    PRelu {
        slope: Vec<f32>,
        pixels: usize,
    },
    /// y += x, x being another value.
    Add {
        relu: bool,
    },
    /// y *= x, x having a number for each value of y, or one for each channel.
    Multiply,
    /// y[start..] = x, one of the parts that y is joined of.
    CopyInto {
        start: usize,
    },
    Copy,
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
