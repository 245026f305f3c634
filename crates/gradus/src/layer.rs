//! What a layer is.
//!
//! A layer is a small, immutable description: it owns no parameter, no gradient and no memory. From the shape of one sample
//! it tells, in a [`Plan`], the shape of its output, its parameters and the memory it needs; the
//! [`Network`](crate::Network) lays all of that out once and lends it at every pass. So threads share one set of
//! parameters, inference needs only `&self`, and a training step allocates nothing.
//!
//! # The symbols
//!
//! | symbol | what it is | layout |
//! | --- | --- | --- |
//! | `x`, `y` | input and output of a block of samples | samples × shape, sample after sample (or see [`Layout`]) |
//! | `dx`, `dy` | derivative of the loss with respect to `x`, `y` | like `x`, `y` |
//! | `w`, `b` | weights and biases | as in the [`Plan`] |
//! | `dw`, `db` | derivative of the loss with respect to `w`, `b` | like `w`, `b` |
//!
//! # What a plan may promise
//!
//! Any layer that keeps the contract of [`Layer`] works, and is trained and saved. Three promises make one faster, and each
//! of them is put to the test by [`check::layer`](crate::check):
//! - it can work on [samples side by side](Layout::Interleaved) ([`Plan::layouts`]), so that a convolution before it and one
//!   after it need not have them turned;
//! - its output needs no memory but its input's ([`Layer::in_place`]), or is its input ([`Plan::view`]);
//! - its `backward` doesn't read `y` ([`Plan::forgets_output`]), so that the next layer may overwrite it.

use std::any::Any;
use std::fmt::Debug;
use std::ops::{Index, Range};
use std::sync::Arc;

use gradus_kernels::lanes::LANES;

use crate::init::{Fans, Initializer};
use crate::random::{self, Purpose, Rng};
use crate::{Float, Result, Shape};

/// A layer of a network: ours and a user's own alike.
///
/// The contract, which [`check::layer`](crate::check) puts any layer through:
/// - `forward` writes all of `y`; what it computes for a sample depends on that sample alone (and on the batch's
///   statistics, for a layer [across the batch](Layer::across_batch));
/// - `backward` overwrites all of `dx` and **adds** to the parameters' gradients;
/// - neither reads memory that it has not written in the same step: scratch and kept memory hold anything at first.
///
/// ```
/// use std::sync::Arc;
/// use gradus::{Layer, Shape, check, init::{Constant, Fans}};
/// use gradus::layer::{Backward, Forward, Parameter, Plan};
///
/// /// Multiplies everything by one trained factor: y = w·x, dx = w·dy, dw = Σ x·dy.
/// #[derive(Debug)]
/// struct Scale;
/// impl Layer for Scale {
///     fn kind(&self) -> &'static str {
///         "scale"
///     }
///     fn plan(&self, input: &Shape) -> Result<Plan, String> {
///         Ok(Plan::new(input).parameter(Parameter::weight(1, Fans::new(1, 1), Arc::new(Constant(1.0)))))
///     }
///     fn forward(&self, pass: Forward<'_>) {
///         let w = pass.parameters[0][0];
///         for (y, x) in pass.y.iter_mut().zip(pass.x) {
///             *y = w * x;
///         }
///     }
///     fn backward(&self, mut pass: Backward<'_>) {
///         let w = pass.parameters[0][0];
///         for (x, dy) in pass.x.iter().zip(pass.dy) {
///             pass.gradients.get(0)[0] += x * dy;
///         }
///         for (dx, dy) in pass.dx.into_iter().flatten().zip(pass.dy) {
///             *dx = w * dy;
///         }
///     }
/// }
/// check::layer(&Scale, [2, 3])?;
/// # Ok::<(), gradus::Error>(())
/// ```
pub trait Layer: Any + Debug + Send + Sync {
    /// The kind of layer, in lower case: `dense`, `conv2d`. It names the layer in messages, summaries and files.
    fn kind(&self) -> &'static str;

    /// What this layer makes of a sample of shape `input`, or a sentence that says why it can't
    /// (what it got, what it needs). The caller adds which layer it is.
    fn plan(&self, input: &Shape) -> Result<Plan, String>;

    /// Computes `y` from `x` for a block of samples.
    #[doc(alias = "feed_forward")]
    fn forward(&self, pass: Forward<'_>);

    /// Computes `dx` and adds to the parameters' gradients, for the block that `forward` saw last.
    #[doc(alias = "propagate_backward")]
    #[doc(alias = "backpropagation")]
    fn backward(&self, pass: Backward<'_>);

    /// The gradient of one parameter over the whole batch, for a layer whose plan says
    /// [`GradientScope::WholeBatch`]; [`Layer::backward`] then leaves the gradients alone. See [`BatchGradient`].
    fn batch_gradient(&self, pass: BatchGradient<'_>) {
        let _ = pass;
    }

    /// This layer, if it can write its output over its input and the input's gradient over the output's.
    fn in_place(&self) -> Option<&dyn InPlace> {
        None
    }

    /// What the layer computes over all samples of a batch, for the few that do (batch normalisation).
    fn across_batch(&self) -> Option<&dyn AcrossBatch> {
        None
    }

    /// The layer's settings as JSON (`{"units": 10}`), from which the constructor registered for its
    /// [`kind`](Layer::kind) makes it again; `None` if it can't be saved.
    fn settings(&self) -> Option<serde_json::Value> {
        None
    }
}

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
    pub kept: usize,
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
            kept: 0,
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
    pub fn kept(mut self, values: usize) -> Self {
        self.kept = values;
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
    /// [`Layer::backward`] adds each block's part to a gradient of that block's own; the parts are summed in a fixed order.
    /// Right for few parameters used at many places, as in a convolution, and the simplest to write.
    PerBlock,
    /// [`Layer::batch_gradient`] computes rows of it over the whole batch, each row by one thread.
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
    /// How many inputs and outputs meet in it, for the initialiser.
    pub fans: Fans,
    /// Whether weight decay applies to it: not to biases and norms.
    pub decays: bool,
    /// Whether saved files hold its transpose (both have two dimensions then), as other libraries lay it out.
    pub saved_transposed: bool,
}

impl Parameter {
    /// A weight: initialised by `init`, subject to weight decay.
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

/// The tensors of one layer, for reading: `let w = &tensors[0]` or `let [w, b] = tensors.split()`.
#[derive(Debug, Clone, Copy)]
pub struct Tensors<'a> {
    values: &'a [Float],
    sizes: &'a [usize],
}

impl<'a> Tensors<'a> {
    /// Views `values` as tensors of these sizes, one after the other.
    pub fn new(values: &'a [Float], sizes: &'a [usize]) -> Self {
        debug_assert_eq!(values.len(), sizes.iter().sum::<usize>());
        Tensors { values, sizes }
    }

    /// How many tensors there are.
    pub fn count(&self) -> usize {
        self.sizes.len()
    }

    /// All of them at once.
    ///
    /// # Panics
    /// If the layer's plan does not name exactly `N` tensors.
    pub fn split<const N: usize>(self) -> [&'a [Float]; N] {
        assert_eq!(
            self.sizes.len(),
            N,
            "the layer's plan names {} tensors",
            self.sizes.len()
        );
        let mut rest = self.values;
        std::array::from_fn(|i| {
            let (first, tail) = rest.split_at(self.sizes[i]);
            rest = tail;
            first
        })
    }
}

impl Index<usize> for Tensors<'_> {
    type Output = [Float];
    fn index(&self, i: usize) -> &[Float] {
        let start: usize = self.sizes[..i].iter().sum();
        &self.values[start..start + self.sizes[i]]
    }
}

/// The tensors of one layer, for writing: `let [dw, db] = tensors.split()`.
#[derive(Debug)]
pub struct TensorsMut<'a> {
    values: &'a mut [Float],
    sizes: &'a [usize],
}

impl<'a> TensorsMut<'a> {
    /// Views `values` as tensors of these sizes, one after the other.
    pub fn new(values: &'a mut [Float], sizes: &'a [usize]) -> Self {
        debug_assert_eq!(values.len(), sizes.iter().sum::<usize>());
        TensorsMut { values, sizes }
    }

    /// All of them at once.
    ///
    /// # Panics
    /// If the layer's plan does not name exactly `N` tensors.
    pub fn split<const N: usize>(self) -> [&'a mut [Float]; N] {
        assert_eq!(
            self.sizes.len(),
            N,
            "the layer's plan names {} tensors",
            self.sizes.len()
        );
        let mut rest = self.values;
        std::array::from_fn(|i| {
            let (first, tail) = std::mem::take(&mut rest).split_at_mut(self.sizes[i]);
            rest = tail;
            first
        })
    }

    /// One of them.
    pub fn get(&mut self, i: usize) -> &mut [Float] {
        let start: usize = self.sizes[..i].iter().sum();
        &mut self.values[start..start + self.sizes[i]]
    }
}

/// Where a layer's random numbers come from: a stream for each sample of each step.
#[derive(Debug, Clone, Copy)]
pub struct LayerRandom {
    /// The seed of the run.
    pub seed: u64,
    /// The training step.
    pub step: u64,
    /// The layer's position in the network.
    pub layer: u64,
    /// The position in the batch of the block's first sample.
    pub first_sample: u64,
}

impl LayerRandom {
    /// The generator for one sample of the block, whatever block it is in.
    pub fn sample(&self, sample: usize) -> Rng {
        let sample = self.first_sample + sample as u64;
        random::stream(self.seed, Purpose::Layer, &[self.step, self.layer, sample])
    }
}

/// What [`Layer::forward`] works on.
#[derive(Debug)]
pub struct Forward<'a> {
    /// Whether this pass is part of training; if not, nothing is kept and no statistics are given.
    pub training: bool,
    /// The number of samples in this block.
    pub samples: usize,
    /// How the samples lie in `x`, `y` and `kept`.
    pub layout: Layout,
    /// The shape of one input sample.
    pub input: &'a Shape,
    /// The shape of one output sample.
    pub output: &'a Shape,
    /// The input of every sample.
    pub x: &'a [Float],
    /// The output of every sample, to be overwritten.
    pub y: &'a mut [Float],
    /// The layer's parameters.
    pub parameters: Tensors<'a>,
    /// The layer's state.
    pub state: Tensors<'a>,
    /// The statistics over the batch, in training, for a layer across the batch; else empty.
    pub statistics: &'a [Float],
    /// Memory for `backward`, [`Plan::kept`] values for each sample; empty unless training.
    pub kept: &'a mut [Float],
    /// Scratch memory, as planned; holds anything at first.
    pub scratch: &'a mut [Float],
    /// Random numbers, for training.
    pub random: LayerRandom,
}

/// What [`Layer::backward`] works on.
#[derive(Debug)]
pub struct Backward<'a> {
    /// The number of samples in this block.
    pub samples: usize,
    /// How the samples lie in `x`, `y`, `dx`, `dy` and `kept`.
    pub layout: Layout,
    /// The shape of one input sample.
    pub input: &'a Shape,
    /// The shape of one output sample.
    pub output: &'a Shape,
    /// The input of the forward pass.
    pub x: &'a [Float],
    /// The output of the forward pass.
    pub y: &'a [Float],
    /// The derivative of the loss with respect to `y`.
    pub dy: &'a [Float],
    /// The derivative with respect to `x`, to be overwritten; `None` where nobody needs it (the first layer).
    pub dx: Option<&'a mut [Float]>,
    /// The layer's parameters.
    pub parameters: Tensors<'a>,
    /// The gradients of the layer's parameters, to be added to; not to be touched by a layer whose plan says
    /// [`GradientScope::WholeBatch`].
    pub gradients: TensorsMut<'a>,
    /// For a layer across the batch: what `forward` was given.
    pub statistics: &'a [Float],
    /// For a layer across the batch: the sums over the batch from [`AcrossBatch::gather_backward`].
    pub backward_statistics: &'a [Float],
    /// For a layer across the batch: this block's own part of those sums.
    pub block_statistics: &'a [Float],
    /// The number of samples in the whole batch.
    pub batch: usize,
    /// What `forward` kept.
    pub kept: &'a [Float],
    /// Scratch memory, as planned; holds anything at first.
    pub scratch: &'a mut [Float],
}

/// What [`Layer::batch_gradient`] works on: some rows of one parameter.
#[derive(Debug)]
pub struct BatchGradient<'a> {
    /// Which of the layer's parameters.
    pub parameter: usize,
    /// Which of its rows (first dimension).
    pub rows: Range<usize>,
    /// The gradient of those rows; zero at the first block, and to be added to at each.
    pub gradient: &'a mut [Float],
    /// The number of samples in this block; the blocks of a batch come one after the other, in order.
    pub samples: usize,
    /// The shape of one input sample.
    pub input: &'a Shape,
    /// The shape of one output sample.
    pub output: &'a Shape,
    /// The block's input.
    pub x: &'a [Float],
    /// The derivative of the loss with respect to the block's output.
    pub dy: &'a [Float],
    /// Scratch memory, as planned; holds anything at first.
    pub scratch: &'a mut [Float],
}

/// The part of a layer that works in its input's memory.
pub trait InPlace {
    /// As [`Layer::forward`], but `pass.y` holds the input, to be overwritten with the output; `pass.x` is empty.
    fn forward_in_place(&self, pass: Forward<'_>);

    /// As [`Layer::backward`], but `pass.dx` holds the output's gradient, to be overwritten with the input's; `pass.x` and
    /// `pass.dy` are empty. There are no parameters.
    fn backward_in_place(&self, pass: Backward<'_>);
}

/// The part of a layer that looks at all samples of a batch at once.
///
/// Each block of samples is reduced to a few statistics; they are merged in the order of the blocks, so the result does not
/// depend on the number of threads; then `forward` (and in the same way `backward`) sees the merged ones.
pub trait AcrossBatch {
    /// How many statistics the forward pass gathers from samples of this shape.
    fn statistics(&self, input: &Shape) -> usize;

    /// Reduces the samples of a block of `x` to statistics (overwritten).
    fn gather(&self, block: BlockOf<'_>, x: &[Float], statistics: &mut [Float]);

    /// Merges the statistics of `n` further samples into those of the `seen` samples so far.
    fn merge(&self, input: &Shape, total: &mut [Float], seen: usize, part: &[Float], n: usize);

    /// How many sums the backward pass gathers.
    fn backward_statistics(&self, input: &Shape) -> usize;

    /// Reduces a block's `x` and `dy` to the sums (overwritten) that `backward` needs over the whole batch.
    fn gather_backward(&self, block: BlockOf<'_>, x: &[Float], dy: &[Float], statistics: &[Float], sums: &mut [Float]);

    /// Updates the layer's state from the statistics of a training batch of `n` samples.
    fn update_state(&self, input: &Shape, statistics: &[Float], n: usize, state: TensorsMut<'_>);
}

/// The samples that [`AcrossBatch`] gathers from.
#[derive(Debug, Clone, Copy)]
pub struct BlockOf<'a> {
    /// The shape of one input sample.
    pub input: &'a Shape,
    /// How many samples there are.
    pub samples: usize,
    /// How they lie.
    pub layout: Layout,
}
