//! Predictions again and again, in memory that is allocated once.

use std::borrow::Borrow;

use crate::data::{Dataset, Target};
use crate::engine::Inference;
use crate::loss::Loss;
use crate::metric::Metric;
use crate::{Evaluation, Float, Network, Result};

/// A network with memory and threads for predictions, made once and used again and again without allocating.
///
/// It borrows the network, as [`Network::predictor`] makes it, or owns it: `N` is `&Network`, `Network`, `Arc<Network>` or any other
/// type that borrows one, and always the same one.
///
/// ```
/// use gradus::{Predictor, prelude::*};
///
/// let network = Sequential::new([2]).layer(Dense::new(3)).layer(Softmax).build(7)?;
/// let mut predictor = network.predictor(1, 1)?;
/// let y = predictor.run(&[0.5, -1.0])?.to_vec();
/// assert_eq!(y.len(), 3);
///
/// // One that owns its network can be kept in a struct, or sent to a thread.
/// let mut owner = Predictor::new(network, 1, 1)?;
/// let handle = std::thread::spawn(move || owner.run(&[0.5, -1.0]).map(<[_]>::to_vec));
/// assert_eq!(handle.join().unwrap()?, y);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug)]
pub struct Predictor<N> {
    network: N,
    inference: Inference,
}

impl Network {
    /// A [`Predictor`] that borrows this network.
    ///
    /// # Errors
    /// As [`Predictor::new`].
    pub fn predictor(&self, batch: usize, threads: usize) -> Result<Predictor<&Network>> {
        Predictor::new(self, batch, threads)
    }
}

impl<N: Borrow<Network>> Predictor<N> {
    /// Allocates memory for predictions on up to `batch` samples at a time, and starts the threads: no more than 1,024.
    ///
    /// # Errors
    /// If `batch` is zero, or needs more memory than there can be.
    pub fn new(network: N, batch: usize, threads: usize) -> Result<Self> {
        let inference = Inference::new(network.borrow(), batch, threads)?;
        Ok(Predictor { network, inference })
    }

    /// The network.
    pub fn network(&self) -> &Network {
        self.network.borrow()
    }

    /// Returns the network, or what borrows it.
    pub fn into_network(self) -> N {
        self.network
    }

    /// The most samples of a [`run`](Predictor::run).
    pub fn batch(&self) -> usize {
        self.inference.batch()
    }

    /// The number of threads.
    pub fn threads(&self) -> usize {
        self.inference.threads()
    }

    /// The outputs for the samples in `x`, one after the other.
    ///
    /// # Errors
    /// If `x` is not a whole number of samples, or more than the [batch](Predictor::batch).
    pub fn run(&mut self, x: &[Float]) -> Result<&[Float]> {
        self.inference.run(self.network.borrow(), x)
    }

    /// Calls `each(index, output, target)` for every sample of `data`, in order. The output is the network's own: of a network
    /// that ends in logits, these; [`Network::output_activation`] says what makes probabilities of them.
    ///
    /// # Errors
    /// If the data is empty, doesn't fit the network, or can't be read.
    pub fn for_each_output(&mut self, data: &dyn Dataset, each: impl FnMut(usize, &[Float], Target<'_>)) -> Result<()> {
        self.inference.for_each_output(self.network.borrow(), data, each)
    }

    /// The mean loss and the metrics on all samples of `data`.
    ///
    /// # Errors
    /// If the data is empty or doesn't fit the network, the loss or a metric; or if the loss of a sample is infinite or NaN.
    pub fn evaluate(&mut self, data: &dyn Dataset, loss: &dyn Loss, metrics: &[&dyn Metric]) -> Result<Evaluation> {
        self.inference.evaluate(self.network.borrow(), data, loss, metrics)
    }
}
