//! What a layer is.
//!
//! A layer is *declared*, *bound* and *run*. What is declared is a [`Layer`]: its settings, and nothing else. [`Layer::bind`] is given
//! the shape of one sample and returns a [`BoundLayer`]: the shape of the output, the parameters, and the [`Passes`] that compute the
//! layer for one sample. A layer owns no parameter, no gradient and no memory: the [`Network`](crate::Network) allocates all of that
//! once and lends it to every pass. So threads share one set of parameters, inference needs only `&self`, and a training step
//! allocates nothing.
//!
//! # The symbols
//!
//! | symbol | what it is |
//! | --- | --- |
//! | `x`, `y` | input and output of one sample |
//! | `dx`, `dy` | derivative of the loss with respect to `x`, `y` |
//! | `w`, `b` | weights and biases |
//! | `dw`, `db` | derivative of the loss with respect to `w`, `b` |
//!
//! # Read first, fast second
//!
//! The file of each layer of this library has its passes as plain loops, as its formula is written. They are what runs after
//! [`Network::set_reference`](crate::Network::set_reference), and they are enough for a layer of one's own. Beside them lies a fast
//! version for blocks of samples, with [`advanced`] traits, that computes the same: [`check::layer`](crate::check::layer) compares both.

use std::any::Any;
use std::fmt::Debug;

use crate::Shape;

pub mod advanced;
mod bound;
mod operation;
mod output_kind;
mod passes;
mod per_sample;
mod tensors;

pub(crate) use bound::Plain;
pub use bound::{BoundLayer, Parameter, State};
pub use operation::{Function, Operation, UpsampleMode, Window, WindowAxis};
pub use output_kind::OutputKind;
pub use passes::{Backward, BatchPasses, BatchStatistics, Forward, Passes, SampleRandom};
pub(crate) use per_sample::PerSample;
pub use tensors::{Tensors, TensorsMut};

/// A layer of a network as it is declared: the library's and a user's own alike.
///
/// ```
/// use std::sync::Arc;
/// use gradus::{Layer, Shape, check, init::{Constant, Fans}};
/// use gradus::layer::{Backward, BoundLayer, Forward, Parameter, Passes};
///
/// /// Multiplies everything by one trained factor: y = w·x, dx = w·dy, dw = Σ x·dy.
/// #[derive(Debug)]
/// struct Scale;
///
/// impl Layer for Scale {
///     fn kind(&self) -> &'static str {
///         "scale"
///     }
///     fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
///         let w = Parameter::weight(1, Fans::new(1, 1), Arc::new(Constant::new(1.0)));
///         Ok(BoundLayer::new(input, Scale).with_parameter(w))
///     }
/// }
///
/// impl Passes for Scale {
///     fn forward(&self, pass: Forward<'_>) {
///         let w = pass.parameters[0][0];
///         for (y, x) in pass.y.iter_mut().zip(pass.x) {
///             *y = w * x;
///         }
///     }
///     fn backward(&self, mut pass: Backward<'_>) {
///         let w = pass.parameters[0][0];
///         for (x, dy) in pass.x.iter().zip(pass.dy) {
///             pass.gradients[0][0] += x * dy;
///         }
///         for (dx, dy) in pass.dx.iter_mut().zip(pass.dy) {
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

    /// Binds the layer to samples of shape `input`: infers its output, its parameters and the memory that it needs.
    ///
    /// # Errors
    /// A sentence that says why the layer can't take such samples: what it got, and what it needs. The caller adds which layer it is.
    fn bind(&self, input: &Shape) -> Result<BoundLayer, String>;

    /// The layer's settings as JSON (`{"units": 10}`), from which the constructor registered for its
    /// [`kind`](Layer::kind) makes it again; `None` if it can't be saved.
    fn settings(&self) -> Option<serde_json::Value> {
        None
    }
}
