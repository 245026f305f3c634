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
//!
//! And it may have a [part](Bfloat16) that multiplies in bfloat16, for training that [asks for it](crate::Fit::bfloat16).

use std::any::Any;
use std::fmt::Debug;
use std::ops::{Index, Range};

use gradus_kernels::bfloat16::Pair;

use crate::random::{self, Purpose, Rng};
use crate::{Float, Result, Shape};

mod bfloat16;
mod operation;
mod output_kind;
mod plan;

pub use bfloat16::Bfloat16;
pub use operation::{Function, Operation, Window, WindowAxis};
pub use output_kind::OutputKind;
pub use plan::{GradientScope, Layout, Layouts, Parameter, Plan, State};

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

    /// What the layer computes over all samples of a batch, for the few that do (batch normalization).
    fn across_batch(&self) -> Option<&dyn AcrossBatch> {
        None
    }

    /// What its outputs are, for losses that compare probabilities. A softmax or sigmoid of one's own should say
    /// [`Distribution`](OutputKind::Distribution) or [`Probabilities`](OutputKind::Probabilities).
    fn output_kind(&self) -> OutputKind {
        OutputKind::Unspecified
    }

    /// What the layer computes once it is trained, for samples of this shape, if it is one of the formulas that exporters know. A layer
    /// that doesn't say can't be exported, whatever its [`kind`](Layer::kind).
    fn operation(&self, input: &Shape) -> Option<Operation> {
        let _ = input;
        None
    }

    /// This layer, if it can multiply in bfloat16 as it is trained.
    fn bfloat16(&self) -> Option<&dyn Bfloat16> {
        None
    }

    /// The layer's settings as JSON (`{"units": 10}`), from which the constructor registered for its
    /// [`kind`](Layer::kind) makes it again; `None` if it can't be saved.
    fn settings(&self) -> Option<serde_json::Value> {
        None
    }
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
    /// Memory for `backward`, [`Plan::saved`] values for each sample; empty unless training.
    pub saved: &'a mut [Float],
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
    pub saved: &'a [Float],
    /// Scratch memory, as planned; holds anything at first.
    pub scratch: &'a mut [Float],
}

/// What [`Layer::batch_gradient`] works on: some rows of one parameter.
pub struct BatchGradient<'a> {
    /// Which of the layer's parameters.
    pub parameter: usize,
    /// Which of its rows (first dimension).
    pub rows: Range<usize>,
    /// The gradient of those rows, to be overwritten.
    pub gradient: &'a mut [Float],
    /// The blocks of the batch, in order.
    pub blocks: &'a mut dyn Iterator<Item = BlockGradient<'a>>,
    /// The shape of one input sample.
    pub input: &'a Shape,
    /// The shape of one output sample.
    pub output: &'a Shape,
    /// Scratch memory, as planned; holds anything at first.
    pub scratch: &'a mut [Float],
}

/// What a block of samples gives to a gradient.
#[derive(Debug, Clone, Copy)]
pub struct BlockGradient<'a> {
    /// The number of samples in it.
    pub samples: usize,
    /// Their input.
    pub x: &'a [Float],
    /// The derivative of the loss with respect to their output.
    pub dy: &'a [Float],
    /// What the layer kept in bfloat16; empty unless it multiplies in it.
    pub pairs: &'a [Pair],
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
    /// How many samples a training batch has to have at least: 1, unless the layer says otherwise.
    fn least_samples(&self, input: &Shape) -> usize {
        let _ = input;
        1
    }

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
