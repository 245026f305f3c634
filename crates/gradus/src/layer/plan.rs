//! What a layer says of itself when the network is built: its output, its parameters, the memory it needs, what it promises.

use std::sync::Arc;

use gradus_kernels::interleaved::LANES;

use crate::init::{Fans, Initializer};
use crate::{Float, Shape};

/// What a layer needs and gives, for samples of one shape.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The shape of one output sample.
    pub output: Shape,
    /// The trained parameters, in order.
    pub parameters: Vec<Parameter>,
    /// Values that are saved with the network but not trained (running statistics), in order.
    pub state: Vec<State>,
    /// Values for each sample that `forward` keeps for `backward`, beside `x` and `y`.
    pub saved: usize,
    /// Values of scratch memory for a thread, whatever the number of samples.
    pub scratch: usize,
    /// Further values of scratch memory for each sample of a block.
    pub scratch_per_sample: usize,
    /// Multiplications with an addition in one forward pass of one sample.
    pub multiply_adds: u64,
    /// How the parameters' gradients are computed.
    pub gradient: GradientScope,
    /// Which layouts of samples the layer works in.
    pub layouts: Layouts,
    /// Whether `backward` reads `y`.
    pub reads_output: bool,
    /// Whether the output is the input's values in another shape: then no pass is called, and nothing copied.
    pub view: bool,
}

impl Plan {
    /// A plan with this output and nothing else.
    pub fn new(output: impl Into<Shape>) -> Self {
        Plan {
            output: output.into(),
            parameters: Vec::new(),
            state: Vec::new(),
            saved: 0,
            scratch: 0,
            scratch_per_sample: 0,
            multiply_adds: 0,
            gradient: GradientScope::PerBlock,
            layouts: Layouts::SampleMajor,
            reads_output: true,
            view: false,
        }
    }

    /// Adds a parameter.
    pub fn parameter(mut self, parameter: Parameter) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// Adds values that are saved and not trained.
    pub fn state(mut self, name: &'static str, shape: impl Into<Shape>, value: Float) -> Self {
        let shape = shape.into();
        self.state.push(State { name, shape, value });
        self
    }

    /// Sets how many values a sample `forward` keeps for `backward`.
    pub fn saved(mut self, values: usize) -> Self {
        self.saved = values;
        self
    }

    /// Sets the scratch memory: `fixed` values for a thread and `per_sample` for each sample of a block.
    pub fn scratch(mut self, fixed: usize, per_sample: usize) -> Self {
        self.scratch = fixed;
        self.scratch_per_sample = per_sample;
        self
    }

    /// Sets the multiply-adds of one sample.
    pub fn multiply_adds(mut self, count: u64) -> Self {
        self.multiply_adds = count;
        self
    }

    /// Sets how the parameters' gradients are computed.
    pub fn gradient(mut self, scope: GradientScope) -> Self {
        self.gradient = scope;
        self
    }

    /// Sets which layouts of samples the layer works in. A layer with [`GradientScope::WholeBatch`] works sample by sample.
    pub fn layouts(mut self, layouts: Layouts) -> Self {
        self.layouts = layouts;
        self
    }

    /// Promises that `backward` doesn't read `y`.
    pub fn forgets_output(mut self) -> Self {
        self.reads_output = false;
        self
    }

    /// Makes the layer a view: its output is its input's values, in their order.
    pub fn view(mut self) -> Self {
        self.view = true;
        self.reads_output = false;
        self.layouts = Layouts::Either;
        self
    }
}

/// How the samples of a block lie in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Layout {
    /// Sample after sample, each with its values side by side.
    #[default]
    SampleMajor,
    /// [`LANES`] samples side by side: value after value, each of them for [`LANES`] samples; then the next [`LANES`].
    /// Lanes after the last sample hold finite numbers in `x`, which don't count, and 0 in `dy`; `dx` has to be 0 there too.
    ///
    /// It fills the processor's vectors whatever the shape of an image, and makes a loop over pixels a loop over vectors.
    Interleaved,
}

impl Layout {
    /// How many samples there is memory for in a block of so many: whole lanes, where they are interleaved.
    pub fn room(self, samples: usize) -> usize {
        match self {
            Layout::SampleMajor => samples,
            Layout::Interleaved => samples.next_multiple_of(LANES),
        }
    }
}

/// Which layouts of samples a layer works in. Its results are the same bits in each, but for sums over the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layouts {
    /// Only sample after sample.
    SampleMajor,
    /// Whichever its input has.
    Either,
    /// Either, and side by side is so much faster that turning the samples pays.
    PreferInterleaved,
}

/// How a layer's parameter gradients are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GradientScope {
    /// [`crate::Layer::backward`] adds each block's part to a gradient of that block's own; the parts are summed in a fixed order.
    /// Right for few parameters used at many places, as in a convolution, and the simplest to write.
    PerBlock,
    /// [`crate::Layer::batch_gradient`] computes rows of it over the whole batch, each row by one thread.
    /// Right for many parameters, each used once a sample, as in a dense layer.
    WholeBatch,
}

/// One parameter tensor of a layer.
#[derive(Debug, Clone)]
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
pub struct State {
    /// Their name: `running_mean`.
    pub name: &'static str,
    /// Their shape.
    pub shape: Shape,
    /// Their first value.
    pub value: Float,
}
