//! What the numbers are that a layer gives.

/// What a layer's outputs are. Of a network's last layer it decides what a loss of probabilities is computed from: see
/// [`loss`](crate::loss).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OutputKind {
    /// The layer does not say. Where it matters, the layer is tried on a few samples: if all outputs are between 0 and 1 they
    /// are taken for [`Probabilities`](OutputKind::Probabilities), or for a [`Distribution`](OutputKind::Distribution) if their
    /// sum is 1 too; for [`LogProbabilities`](OutputKind::LogProbabilities) if they are the logarithms of such; otherwise they are
    /// [`Real`](OutputKind::Real).
    #[default]
    Unspecified,
    /// Real numbers: dense layers, convolutions, norms, sums, and activations such as ReLU and tanh. Losses of probabilities
    /// take them for logits, also where they are bounded.
    Real,
    /// Probabilities, each between 0 and 1 on its own: sigmoid.
    Probabilities,
    /// Probabilities of classes of which one is true: they sum to 1. Softmax.
    Distribution,
    /// Logarithms of the probabilities of classes of which one is true: log softmax.
    LogProbabilities,
    /// Whatever the layer's inputs are: pooling, dropout, changes of shape. A [view](crate::layer::BoundLayer::view) is of this kind
    /// without saying so.
    SameAsInput,
}
