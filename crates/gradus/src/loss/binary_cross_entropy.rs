//! Binary cross entropy, for outputs that are each true or false.

use serde::{Deserialize, Serialize};

use super::{Loss, OutputActivation, check_shapes, log, log_derivative, mean, mean_gradient};
use crate::data::{Target, Targets};
use crate::layer::{Function, Operation, OutputKind};
use crate::{Error, Float, Result, Shape};

/// Binary cross entropy, the mean over outputs that are each a probability of their own:
///
/// ```text
/// loss = -1/n Σᵢ tᵢ · ln yᵢ + (1 - tᵢ) · ln(1 - yᵢ)         dyᵢ = ((1 - tᵢ) / (1 - yᵢ) - tᵢ / yᵢ) / n
/// ```
///
/// The targets are values between 0 and 1, or classes 0 and 1 if there is one output.
///
/// At the end of a network with sigmoid, or with [no activation](mod@crate::loss), it is computed from the logits z, exactly and
/// without overflow:
///
/// ```text
/// loss = 1/n Σᵢ max(zᵢ, 0) - zᵢ · tᵢ + ln(1 + exp(-|zᵢ|))         dzᵢ = (sigmoid(zᵢ) - tᵢ) / n
/// ```
///
/// On probabilities, the logarithm goes on as its tangent below 10⁻⁷: loss and gradient stay finite.
///
/// ```
/// use gradus::{data::Target, loss::{BinaryCrossEntropy, Loss}};
/// let loss = BinaryCrossEntropy.loss(&[0.75], Target::Class(1));
/// assert!((loss - 0.287682).abs() < 1e-6); // -ln 0.75
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct BinaryCrossEntropy;

impl Loss for BinaryCrossEntropy {
    fn name(&self) -> &'static str {
        "binary_cross_entropy"
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn validate(&self, output: &Shape, targets: &Targets) -> Result<()> {
        match *targets {
            Targets::Classes(classes) if (output.size(), classes) != (1, 2) => Err(Error::invalid(format!(
                "binary cross entropy compares classes only if there are 2 and the network gives one output; there are \
                 {classes} and it gives {}: use cross entropy, or targets of 0 and 1 for each output",
                output.size()
            ))),
            _ => check_shapes("binary cross entropy", output, targets),
        }
    }

    fn check_output_kind(&self, kind: OutputKind) -> Result<()> {
        match kind {
            OutputKind::LogProbabilities => Err(Error::invalid(
                "binary cross entropy compares probabilities of single labels, and the network gives logarithms of probabilities of \
                 classes: end it in a layer of kind sigmoid, or take the loss nll",
            )),
            _ => Ok(()),
        }
    }

    fn loss(&self, y: &[Float], target: Target<'_>) -> Float {
        mean(y, target, |y, t| -(t * log(y) + (1.0 - t) * log(1.0 - y)))
    }

    fn gradient(&self, y: &[Float], target: Target<'_>, dy: &mut [Float]) {
        mean_gradient(y, target, dy, |y, t| {
            (1.0 - t) * log_derivative(1.0 - y) - t * log_derivative(y)
        });
    }

    fn output_activation(&self) -> Option<OutputActivation> {
        Some(OutputActivation::Sigmoid)
    }

    fn fused_with(&self, last: Operation) -> Option<Box<dyn Loss>> {
        (last == Operation::Map(Function::Sigmoid)).then(|| Box::new(SigmoidBinaryCrossEntropy) as Box<dyn Loss>)
    }
}

/// [`BinaryCrossEntropy`] after a sigmoid, as a function of the sigmoid's inputs.
#[derive(Debug)]
struct SigmoidBinaryCrossEntropy;

impl Loss for SigmoidBinaryCrossEntropy {
    fn name(&self) -> &'static str {
        BinaryCrossEntropy.name()
    }

    fn validate(&self, output: &Shape, targets: &Targets) -> Result<()> {
        BinaryCrossEntropy.validate(output, targets)
    }

    fn loss(&self, z: &[Float], target: Target<'_>) -> Float {
        mean(z, target, |z, t| z.max(0.0) - z * t + (-z.abs()).exp().ln_1p())
    }

    fn gradient(&self, z: &[Float], target: Target<'_>, dz: &mut [Float]) {
        mean_gradient(z, target, dz, |z, t| {
            let e = (-z.abs()).exp();
            let sigmoid = if z >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) };
            sigmoid - t
        });
    }
}
