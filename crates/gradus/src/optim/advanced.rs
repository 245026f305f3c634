//! Optimizers that update parameters as whole tensors, and not value by value.
//!
//! [`Optimizer::whole_tensors`](super::Optimizer::whole_tensors) returns a [`TensorOptimizer`], which says what parameters it takes.
//! Training computes the gradient of such a parameter over the whole batch first, and then hands it over with its weights. All other
//! parameters are updated by [`Optimizer::update`](super::Optimizer::update). [`Muon`](super::Muon) is such an optimizer.

use gradus_kernels::Partition;

use super::{MAX_SLOTS, Step};
use crate::engine::Workers;
use crate::{Float, Shape};

/// Fewer multiply-adds than this are not worth waking another thread for.
const WORTH_A_THREAD: usize = 200_000;

/// How some parameters follow their gradients as whole tensors.
///
/// ```
/// use gradus::optim::advanced::{TensorOptimizer, TensorUpdate, update_tensor};
/// use gradus::optim::{Optimizer, Step};
/// use gradus::{Float, Result, Shape};
///
/// /// A step of the length `learning_rate` for every weight matrix: w ← w - learning_rate · dw / ‖dw‖. Other parameters follow dw.
/// #[derive(Debug)]
/// struct Normalized(f64);
/// impl Optimizer for Normalized {
///     fn name(&self) -> &'static str {
///         "normalized"
///     }
///     fn validate(&self) -> Result<()> {
///         Ok(())
///     }
///     fn learning_rate(&self) -> f64 {
///         self.0
///     }
///     fn whole_tensors(&self) -> Option<&dyn TensorOptimizer> {
///         Some(self)
///     }
///     fn update(&self, step: Step, w: &mut [Float], dw: &[Float], _state: &mut [&mut [Float]]) {
///         for (w, dw) in w.iter_mut().zip(dw) {
///             *w -= step.learning_rate * dw;
///         }
///     }
/// }
/// impl TensorOptimizer for Normalized {
///     fn takes(&self, shape: &Shape, _decays: bool) -> bool {
///         shape.dims().len() == 2
///     }
///     fn update(&self, tensor: TensorUpdate<'_>) {
///         let norm = tensor.dw.iter().map(|dw| dw * dw).sum::<Float>().sqrt();
///         let rate = tensor.step.learning_rate / norm.max(Float::MIN_POSITIVE);
///         for (w, dw) in tensor.w.iter_mut().zip(tensor.dw) {
///             *w -= rate * dw;
///         }
///     }
/// }
/// let mut w = [1.0, 1.0];
/// let step = Step::new(1, 0.5, true);
/// update_tensor(&Normalized(0.5), step, &Shape::from([1, 2]), &mut w, &[3.0, 4.0], &mut []);
/// assert!((w[0] - 0.7).abs() < 1e-6 && (w[1] - 0.6).abs() < 1e-6);
/// ```
pub trait TensorOptimizer: Send + Sync {
    /// Whether it updates parameters of this shape; `decays` says whether weight decay applies to them: to weights, and not to biases
    /// and the scales of norms. The weight of a dense layer is inputs × units, kernels are output channels × input channels × size.
    fn takes(&self, shape: &Shape, decays: bool) -> bool;

    /// How many values of scratch memory an update of this shape needs.
    fn scratch(&self, _shape: &Shape) -> usize {
        0
    }

    /// Updates a parameter. The result must not depend on the number of threads.
    fn update(&self, tensor: TensorUpdate<'_>);
}

/// A parameter and what its update may use.
#[derive(Debug)]
#[non_exhaustive]
pub struct TensorUpdate<'a> {
    /// Number, learning rate and decay.
    pub step: Step,
    /// The shape of the parameter.
    pub shape: &'a Shape,
    /// Its values, row-major.
    pub w: &'a mut [Float],
    /// Their gradients over the whole batch, clipped.
    pub dw: &'a [Float],
    /// For each of the optimizer's slots a slice as long as `w`.
    pub state: &'a mut [&'a mut [Float]],
    /// [As much](TensorOptimizer::scratch) as was asked for, with any values.
    pub scratch: &'a mut [Float],
    /// The threads of the step.
    pub threads: Threads<'a>,
}

/// The threads of a training step.
#[derive(Debug)]
pub struct Threads<'a> {
    workers: &'a mut Workers,
    cuts: &'a mut Partition,
}

impl<'a> Threads<'a> {
    pub(crate) fn new(workers: &'a mut Workers, cuts: &'a mut Partition) -> Self {
        Threads { workers, cuts }
    }

    /// Divides `values` into rows of `width` values, and these among the threads: calls `work(first, rows, scratch)` for ranges of rows,
    /// where `first` is the number of the first row, and `scratch` memory of the thread, of any size and with any values. Each value must
    /// be computed in the same way however the rows are divided.
    ///
    /// `cost` is about how many multiply-adds a row takes: where they are few, this thread does all of them.
    pub fn for_rows(
        &mut self,
        values: &mut [Float],
        width: usize,
        cost: usize,
        work: impl Fn(usize, &mut [Float], &mut [Float]) + Sync,
    ) {
        let width = width.max(1);
        let rows = values.len().div_ceil(width);
        let worth = rows.saturating_mul(cost) / WORTH_A_THREAD;
        let parts = worth.min(self.workers.threads()).min(rows).max(1);
        let each = rows.div_ceil(parts);
        self.cuts.space_evenly(values.len(), each.saturating_mul(width));
        let count = self.cuts.count();
        let chunks = self.cuts.cut(values);
        self.workers
            .each(count, &|i, _, scratch| work(i * each, &mut chunks.take(i), scratch));
    }
}

/// Updates a parameter by itself, on one thread, as training does: for tests and experiments.
///
/// # Panics
/// Those of the optimizer, if `w`, `dw` or a slot does not suit the shape.
pub fn update_tensor(
    optimizer: &dyn TensorOptimizer,
    step: Step,
    shape: &Shape,
    w: &mut [Float],
    dw: &[Float],
    state: &mut [&mut [Float]],
) {
    let mut slots = state.iter_mut();
    let used = slots.len().min(MAX_SLOTS);
    let mut state: [&mut [Float]; MAX_SLOTS] =
        std::array::from_fn(|_| slots.next().map_or(&mut [][..], |slot| &mut slot[..]));
    optimizer.update(TensorUpdate {
        step,
        shape,
        w,
        dw,
        state: &mut state[..used],
        scratch: &mut vec![Float::NAN; optimizer.scratch(shape)],
        threads: Threads::new(&mut Workers::new(1, 0), &mut Partition::new(vec![0])),
    });
}
