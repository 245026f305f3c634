//! Training, step by step.

mod steps;

use std::borrow::BorrowMut;

pub(crate) use steps::{Assignment, Samples, StepOptions, TrainingSteps};

use crate::data::Target;
use crate::{Float, Network, Result};

/// Training step by step: what [`Fit`](crate::Fit) does inside, for loops of one's own. [`Fit::trainer`](crate::Fit::trainer) makes it.
///
/// It has all memory of a training step, which allocates nothing, and what the optimizer remembers. It borrows the network or owns
/// it: `N` is `&mut Network`, `Network`, `Box<Network>` or any other type that borrows one, and always the same one.
///
/// ```
/// use gradus::{data::Target, prelude::*};
///
/// let mut network = Sequential::new([2]).layer(Dense::new(8)).layer(Tanh).layer(Dense::new(1)).build(1)?;
/// let mut trainer = Fit::new(MeanSquaredError, Adam::new(0.05)).batch_size(4).trainer(&mut network)?;
/// let x = [0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0];
/// let xor = [[0.0], [1.0], [1.0], [0.0]];
/// let targets = xor.each_ref().map(|y| Target::Values(y));
/// for _ in 0..200 {
///     trainer.step(&x, &targets)?;
/// }
/// assert!(trainer.step(&x, &targets)? < 0.01);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug)]
pub struct Trainer<N> {
    network: N,
    steps: TrainingSteps,
}

impl<N: BorrowMut<Network>> Trainer<N> {
    /// Steps on the network that they were made for.
    pub(crate) fn new(network: N, steps: TrainingSteps) -> Self {
        Trainer { network, steps }
    }

    /// The network as it is now.
    pub fn network(&self) -> &Network {
        self.network.borrow()
    }

    /// The network, for a change of its parameters between two steps. A network that is put in its place is refused by the next step.
    pub fn network_mut(&mut self) -> &mut Network {
        self.network.borrow_mut()
    }

    /// Returns the network, or what borrows it.
    pub fn into_network(self) -> N {
        self.network
    }

    /// The number of steps done.
    pub fn steps(&self) -> u64 {
        self.steps.count()
    }

    /// The number of threads of a step: no more than are worth waking.
    pub fn threads(&self) -> usize {
        self.steps.threads()
    }

    /// One training step on the samples `x`, one after the other, and their targets; returns their mean loss before the step.
    ///
    /// # Errors
    /// If there are no samples or more than the batch size, or one where batch normalization needs two; if their size is not
    /// the network's, a value or the loss is not finite, or the network was replaced by another.
    pub fn step(&mut self, x: &[Float], targets: &[Target<'_>]) -> Result<f64> {
        self.steps.step(self.network.borrow_mut(), x, targets)
    }

    /// The mean loss of some samples and the gradient of every parameter, as a training step has them, without changing
    /// anything: neither parameters nor state such as running statistics. The gradients lie as [`Network::parameters`] does,
    /// one tensor after the other.
    ///
    /// # Errors
    /// As [`step`](Trainer::step).
    #[doc(alias = "propagate_backward")]
    pub fn gradients(&mut self, x: &[Float], targets: &[Target<'_>]) -> Result<(f64, &[Float])> {
        self.steps.gradients(self.network.borrow(), x, targets)
    }
}
