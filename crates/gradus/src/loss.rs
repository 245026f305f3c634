//! How wrong an output is.
//!
//! # What a loss is computed from
//!
//! Cross entropy and binary cross entropy compare probabilities with the target. Computed from probabilities they lose what
//! rounding has taken from these, so they are computed from logits z wherever there are any, exactly and without overflow. The
//! network's end decides, in the same way in training, validation and evaluation:
//!
//! | the network ends in | cross entropy | binary cross entropy |
//! | --- | --- | --- |
//! | softmax | from the softmax's inputs | from the probabilities |
//! | sigmoid | from the probabilities | from the sigmoid's inputs |
//! | [real numbers](OutputKind::Real): dense, convolution, norm, ReLU… | from them, as the inputs of a softmax | from them, as the inputs of a sigmoid |
//! | [other probabilities](OutputKind) | from the probabilities | from the probabilities |
//!
//! Changes of shape after the last activation don't count. In the third row metrics see probabilities, as if the softmax or
//! sigmoid ([`Loss::output_activation`]) were the last layer, while [`Network::predict`](crate::Network::predict) gives what
//! the network gives: logits. All other losses are computed from the outputs as they are.

mod binary_cross_entropy;
mod cross_entropy;
mod huber;
mod mean_absolute_error;
mod mean_squared_error;
mod nll;
mod output_activation;

use std::fmt::Debug;

use serde_json::json;

use crate::data::{Target, Targets};
use crate::layer::{Operation, OutputKind};
use crate::registry::{Registry, list};
use crate::{Error, Float, Result, Shape};

pub use output_activation::OutputActivation;

// A loss's file and its type, and an example with other settings than the default ones.
list! {
    LOSSES of Loss:
    cross_entropy::CrossEntropy, CrossEntropy::new().label_smoothing(0.1);
    binary_cross_entropy::BinaryCrossEntropy, BinaryCrossEntropy;
    mean_squared_error::MeanSquaredError, MeanSquaredError;
    mean_absolute_error::MeanAbsoluteError, MeanAbsoluteError;
    huber::Huber, Huber::new(0.5);
    nll::NegativeLogLikelihood, NegativeLogLikelihood;
}

/// A loss: how wrong the output of one sample is. The loss of a batch is the mean over its samples, and the division by
/// their number happens once, in the training loop, never here.
///
/// ```
/// use gradus::{Float, Result, Shape, check, data::{Target, Targets}, loss::Loss};
///
/// /// For one output: ln cosh (y - t), a square near the target and a distance far from it.
/// #[derive(Debug)]
/// struct LogCosh;
/// impl Loss for LogCosh {
///     fn name(&self) -> &'static str {
///         "log_cosh"
///     }
///     fn validate(&self, output: &Shape, targets: &Targets) -> Result<()> {
///         match targets {
///             Targets::Values(shape) if output.size() == 1 && shape.size() == 1 => Ok(()),
///             _ => Err(gradus::Error::invalid("log cosh compares one output with one target value")),
///         }
///     }
///     fn loss(&self, y: &[Float], target: Target<'_>) -> Float {
///         let Target::Values(t) = target else { return Float::NAN };
///         (y[0] - t[0]).cosh().ln()
///     }
///     fn gradient(&self, y: &[Float], target: Target<'_>, dy: &mut [Float]) {
///         let Target::Values(t) = target else { return };
///         dy[0] = (y[0] - t[0]).tanh();
///     }
/// }
/// check::loss(&LogCosh, [1], &Targets::Values(Shape::from(1)))?;
/// # Ok::<(), gradus::Error>(())
/// ```
#[doc(alias = "cost")]
pub trait Loss: Debug + Send + Sync {
    /// Its name: `cross_entropy`.
    fn name(&self) -> &'static str;

    /// Its settings as JSON, from which the type [registered](crate::Registry) for its name makes it again: an object, or null if
    /// it has none. `None`, unless it is implemented, is one that neither files nor checkpoints can hold.
    fn settings(&self) -> Option<serde_json::Value> {
        None
    }

    /// Whether this loss can compare outputs of this shape with such targets; if not, a sentence that says what it needs.
    fn validate(&self, output: &Shape, targets: &Targets) -> Result<()>;

    /// The loss of one sample's output `y`.
    fn loss(&self, y: &[Float], target: Target<'_>) -> Float;

    /// The derivative of [`loss`](Loss::loss) with respect to `y`, written to `dy`.
    fn gradient(&self, y: &[Float], target: Target<'_>, dy: &mut [Float]);

    /// Both at once. Worth writing where they share work.
    fn loss_and_gradient(&self, y: &[Float], target: Target<'_>, dy: &mut [Float]) -> Float {
        self.gradient(y, target, dy);
        self.loss(y, target)
    }

    /// The losses of several samples, whose outputs `y` lie one after the other, and their gradients, written to `dy`;
    /// `target(i)` is the target of the i-th. Worth writing where the samples' sizes make more of a vector than one's does.
    /// What is computed for a sample must not depend on the others.
    fn losses_and_gradients<'t>(
        &self,
        y: &[Float],
        target: &(dyn Fn(usize) -> Target<'t> + 't),
        dy: &mut [Float],
        losses: &mut [Float],
    ) {
        let outputs = y.len() / losses.len().max(1);
        let rows = y.chunks_exact(outputs.max(1)).zip(dy.chunks_exact_mut(outputs.max(1)));
        for (i, ((y, dy), loss)) in rows.zip(losses).enumerate() {
            *loss = self.loss_and_gradient(y, target(i), dy);
        }
    }

    /// Refuses networks whose outputs are something else than what this loss is made for; by default none.
    ///
    /// # Errors
    /// If the loss of such outputs would mean nothing.
    fn check_output_kind(&self, kind: OutputKind) -> Result<()> {
        let _ = kind;
        Ok(())
    }

    /// The activation whose outputs this loss compares with the target, if that is one: softmax for cross entropy. Where a
    /// network ends in [real numbers](crate::layer::OutputKind::Real), these are then its logits, and the loss is computed as
    /// [`fused_with`](Loss::fused_with) that activation's [operation](OutputActivation::operation).
    fn output_activation(&self) -> Option<OutputActivation> {
        None
    }

    /// The same loss as a function of the *inputs* of the network's last layer, which computes `last`, if the two are better computed
    /// together (cross entropy after softmax): exact and finite where one after the other would overflow.
    fn fused_with(&self, last: Operation) -> Option<Box<dyn Loss>> {
        let _ = last;
        None
    }
}

/// The loss of this name, with its default settings if it has any.
///
/// ```
/// use gradus::loss;
/// assert_eq!(loss::by_name("huber")?.name(), "huber");
/// let error = loss::by_name("mse").unwrap_err().to_string();
/// assert!(error.starts_with("there is no loss \"mse\"; choose one of cross_entropy, binary_cross_entropy"));
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Errors
/// If no loss has this name; the sentence lists the names.
pub fn by_name(name: &str) -> Result<Box<dyn Loss>> {
    Registry::default().loss(name, json!({}))
}

/// Whether outputs of this shape can be compared with such targets, value by value: as many values; an output for each
/// class; or one output for two classes.
pub(crate) fn check_shapes(what: &str, output: &Shape, targets: &Targets) -> Result<()> {
    let outputs = output.size();
    match targets {
        Targets::Classes(classes) if *classes == outputs || (*classes, outputs) == (2, 1) => Ok(()),
        Targets::Values(shape) if shape.size() == outputs => Ok(()),
        Targets::Classes(classes) => Err(Error::invalid(format!(
            "{what} needs one output for each of the {classes} classes, the network gives {outputs}"
        ))),
        Targets::Values(shape) => Err(Error::invalid(format!(
            "{what} needs one output for each of the {} target values, the network gives {outputs}",
            shape.size()
        ))),
    }
}

/// The target for each of `outputs` outputs. A class is 1 for its output and 0 for the others; with one output, it is its
/// number.
pub(crate) fn expected(outputs: usize, target: Target<'_>) -> impl Fn(usize) -> Float {
    move |i| match target {
        Target::Class(class) if outputs == 1 => class as Float,
        Target::Class(class) if class == i => 1.0,
        Target::Class(_) => 0.0,
        Target::Values(t) => t.get(i).copied().unwrap_or(Float::NAN),
    }
}

/// The sum, taken in double precision: a network may have very many outputs.
fn add_up(values: impl Iterator<Item = Float>) -> Float {
    values.map(f64::from).sum::<f64>() as Float
}

/// The mean over the outputs of f(output, its target).
pub(crate) fn mean(y: &[Float], target: Target<'_>, f: impl Fn(Float, Float) -> Float) -> Float {
    let t = expected(y.len(), target);
    add_up(y.iter().enumerate().map(|(i, &y)| f(y, t(i)))) / y.len() as Float
}

/// The gradient of a [`mean`], given the derivative of its f with respect to the output.
fn mean_gradient(y: &[Float], target: Target<'_>, dy: &mut [Float], derivative: impl Fn(Float, Float) -> Float) {
    let t = expected(y.len(), target);
    let n = y.len() as Float;
    for (i, (dy, &y)) in dy.iter_mut().zip(y).enumerate() {
        *dy = derivative(y, t(i)) / n;
    }
}

/// The probability below which [`log`] is linear.
const TINY: Float = 1e-7;

/// ln p, and below [`TINY`] the tangent there: finite for a probability of zero. NaN stays NaN.
fn log(p: Float) -> Float {
    if p < TINY {
        TINY.ln() + (p - TINY) / TINY
    } else {
        p.ln()
    }
}

/// The derivative of [`log`].
fn log_derivative(p: Float) -> Float {
    if p < TINY { 1.0 / TINY } else { 1.0 / p }
}

#[cfg(test)]
mod tests;
