//! The negative log-likelihood.

use serde::{Deserialize, Serialize};

use super::{Loss, add_up, check_shapes, expected};
use crate::data::{Target, Targets};
use crate::layer::OutputKind;
use crate::{Error, Float, Result, Shape};

/// The negative log-likelihood of a network that gives logarithms of probabilities, as [`LogSoftmax`](crate::LogSoftmax) does:
///
/// ```text
/// loss = -Σᵢ tᵢ · yᵢ         dyᵢ = -tᵢ
/// ```
///
/// where t is 1 for the sample's class and 0 elsewhere, or the target's probability of each class. Networks that give anything
/// else are refused: for probabilities and for logits take [`CrossEntropy`](super::CrossEntropy).
///
/// Source: Goodfellow, Bengio and Courville, "Deep Learning", 2016, section 5.5.
///
/// ```
/// use gradus::{data::Target, loss::{Loss, NegativeLogLikelihood}};
/// let loss = NegativeLogLikelihood.loss(&[-1.5, -0.25], Target::Class(1));
/// assert_eq!(loss, 0.25);
/// ```
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NegativeLogLikelihood;

impl Loss for NegativeLogLikelihood {
    fn name(&self) -> &'static str {
        "nll"
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn validate(&self, output: &Shape, targets: &Targets) -> Result<()> {
        if output.size() == 1 {
            return Err(Error::invalid(
                "the negative log-likelihood needs one output for each class, the network gives 1",
            ));
        }
        check_shapes("the negative log-likelihood", output, targets)
    }

    fn check_output_kind(&self, kind: OutputKind) -> Result<()> {
        match kind {
            OutputKind::LogProbabilities => Ok(()),
            other => Err(Error::invalid(format!(
                "the negative log-likelihood takes logarithms of probabilities, and the network gives {}: end it in a layer of kind \
                 log_softmax, or take the loss cross_entropy",
                match other {
                    OutputKind::Probabilities | OutputKind::Distribution => "probabilities",
                    _ => "other numbers",
                }
            ))),
        }
    }

    fn loss(&self, y: &[Float], target: Target<'_>) -> Float {
        let t = expected(y.len(), target);
        -add_up(y.iter().enumerate().map(|(i, &y)| t(i) * y))
    }

    fn gradient(&self, y: &[Float], target: Target<'_>, dy: &mut [Float]) {
        let t = expected(y.len(), target);
        for i in 0..y.len() {
            dy[i] = -t(i);
        }
    }
}
