//! What makes probabilities of logits.

use crate::Float;
use crate::activation::{Activation, Sigmoid};
use crate::layer::{Function, Layer, Operation};
use crate::layers::Softmax;

/// The activation whose outputs a loss compares with the target. It makes probabilities of logits: of the outputs of a network
/// that ends in no activation.
///
/// ```
/// use gradus::loss::{BinaryCrossEntropy, CrossEntropy, Loss, MeanSquaredError, OutputActivation};
/// assert_eq!(CrossEntropy::new().output_activation(), Some(OutputActivation::Softmax));
/// assert_eq!(BinaryCrossEntropy.output_activation(), Some(OutputActivation::Sigmoid));
/// assert_eq!(MeanSquaredError.output_activation(), None);
///
/// let mut y = [0.0; 2];
/// OutputActivation::Softmax.apply(&[3.0, 3.0], &mut y);
/// assert_eq!(y, [0.5, 0.5]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputActivation {
    /// One of the classes is true: yᵢ = exp zᵢ / Σⱼ exp zⱼ.
    Softmax,
    /// Each output is true or false on its own: yᵢ = 1 / (1 + exp −zᵢ).
    Sigmoid,
}

impl OutputActivation {
    /// Computes the probabilities `y` of one sample from its logits `z`: as many as the shorter of the two has.
    pub fn apply(self, z: &[Float], y: &mut [Float]) {
        let n = z.len().min(y.len());
        let (z, y) = (&z[..n], &mut y[..n]);
        match self {
            OutputActivation::Softmax => gradus_kernels::softmax(z, y),
            OutputActivation::Sigmoid => Activation::forward(&Sigmoid, z, y),
        }
    }

    /// What it computes.
    pub fn operation(self) -> Operation {
        match self {
            OutputActivation::Softmax => Operation::Softmax,
            OutputActivation::Sigmoid => Operation::Map(Function::Sigmoid),
        }
    }

    /// The layer that computes it.
    pub fn layer(self) -> &'static dyn Layer {
        match self {
            OutputActivation::Softmax => &Softmax,
            OutputActivation::Sigmoid => &Sigmoid,
        }
    }
}
