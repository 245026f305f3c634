//! How parameters follow their gradients.

mod adam;
mod adamw;
pub mod advanced;
mod clip;
mod lion;
mod muon;
mod nadam;
mod rmsprop;
mod sgd;

use std::fmt::Debug;

use serde_json::{Value, json};

use crate::registry::{Registry, list};
use crate::{Float, Result};

pub use clip::Clip;
pub use muon::MuonScale;

// An optimizer's file and its type, and an example with other settings than the default ones.
list! {
    OPTIMIZERS of Optimizer:
    sgd::Sgd, Sgd::new(0.1).momentum(0.9);
    adam::Adam, Adam::new(0.01).betas(0.8, 0.99);
    adamw::AdamW, AdamW::new(0.01).weight_decay(0.1);
    rmsprop::RmsProp, RmsProp::new(0.01).alpha(0.9);
    nadam::NAdam, NAdam::new(0.01).momentum_decay(0.01);
    lion::Lion, Lion::new(0.001).betas(0.95, 0.98);
    muon::Muon, Muon::new(0.01).adamw_learning_rate(0.002).scale(MuonScale::MatchRmsAdamw);
}

/// A gradient, a running mean of gradients, a velocity or a weight that decays is 0 where it is closer to 0 than this: 10⁻³¹.
///
/// A mean of gradients that stay 0 shrinks at every step, and would soon be a subnormal number, with which many processors
/// compute a hundred times more slowly. The distance from [`Float::MIN_POSITIVE`] lets the products of such a value be normal
/// numbers too.
const TINY: Float = Float::MIN_POSITIVE / Float::EPSILON;

/// x, or 0 if it is closer to 0 than `least`: in plain arithmetic, so that it is the same on every processor. NaN stays NaN.
#[inline(always)]
pub(crate) fn flush(x: Float, least: Float) -> Float {
    if x.abs() < least { 0.0 } else { x }
}

/// The gradient g from which on `factor` · g² is a normal number.
fn least_to_square(factor: f64) -> Float {
    (Float::MIN_POSITIVE as f64 / factor).sqrt() as Float
}

/// The most state tensors that an optimizer can have.
pub const MAX_SLOTS: usize = 8;

/// How parameters follow their gradients. Each value is updated from itself, its gradient and its state alone, so threads can share
/// the work; one that updates parameters as [whole tensors](advanced) says so.
///
/// In all optimizers here, numbers that are very close to 0 become 0: where gradients stay 0, what is remembered of them would
/// become subnormal, and processors are slow at such numbers. With the numbers of the optimizers' formulas:
///
/// | | becomes 0 where it is closer to 0 than |
/// | --- | --- |
/// | the gradient g, its running mean m, the velocity v that is remembered, and a weight w that decays | 10⁻³¹ |
/// | the gradient g of which the square is taken, with weight 1 - β | √(10⁻³⁸ / (1 - β)): 3·10⁻¹⁸ where β is 0.999 |
/// | the running mean of g² | 10⁻³⁸, the smallest normal number |
///
/// (10⁻³¹ stands for 9.9·10⁻³², and 10⁻³⁸ for 1.2·10⁻³⁸.) Weights that don't decay are left as they are.
///
/// ```
/// use gradus::{Float, Result, optim::{Optimizer, Step}};
///
/// /// A step of the same length for every parameter, whatever its gradient: w ← w - learning_rate · sign dw.
/// #[derive(Debug)]
/// struct Sign(f64);
/// impl Optimizer for Sign {
///     fn name(&self) -> &'static str {
///         "sign"
///     }
///     fn validate(&self) -> Result<()> {
///         Ok(())
///     }
///     fn learning_rate(&self) -> f64 {
///         self.0
///     }
///     fn update(&self, step: Step, w: &mut [Float], dw: &[Float], _state: &mut [&mut [Float]]) {
///         for (w, dw) in w.iter_mut().zip(dw) {
///             *w -= step.learning_rate * dw.signum();
///         }
///     }
/// }
/// let mut w = [1.0, 1.0];
/// Sign(0.5).update(Step::new(1, 0.5, false), &mut w, &[7.0, -0.1], &mut []);
/// assert_eq!(w, [0.5, 1.5]);
/// ```
pub trait Optimizer: Debug + Send + Sync {
    /// Its name: `adam`.
    fn name(&self) -> &'static str;

    /// Its settings as JSON, from which the type [registered](crate::Registry) for its name makes it again: an object, or null if
    /// it has none. `None`, unless it is implemented, is one that neither files nor checkpoints can hold.
    fn settings(&self) -> Option<serde_json::Value> {
        None
    }

    /// Refuses settings that make no sense, with a sentence.
    fn validate(&self) -> Result<()>;

    /// The learning rate, before a schedule.
    fn learning_rate(&self) -> f64;

    /// How many values it remembers for each parameter (at most [`MAX_SLOTS`]); all are zero at first.
    fn slots(&self) -> usize {
        0
    }

    /// Whether [`Step::decays`] makes a difference. If not, parameters that follow one another are updated together,
    /// weights and biases, which is fast where they are small.
    fn decays(&self) -> bool {
        true
    }

    /// The same optimizer with this weight decay, for a [group](crate::ParameterGroup) of parameters that sets it. `None`, unless it is
    /// implemented, is one that has no weight decay.
    fn with_weight_decay(&self, _weight_decay: f64) -> Option<Box<dyn Optimizer>> {
        None
    }

    /// What updates some parameters as whole tensors. `None`, unless it is implemented, is one that updates all of them value by value.
    fn whole_tensors(&self) -> Option<&dyn advanced::TensorOptimizer> {
        None
    }

    /// Updates some values `w` of parameters, given their gradients `dw`; `state` has a slice, as long as `w`, for each slot.
    ///
    /// # Panics
    /// Those of this library, if `state` has no slice for a slot.
    fn update(&self, step: Step, w: &mut [Float], dw: &[Float], state: &mut [&mut [Float]]);
}

/// Where an update stands.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Step {
    /// The number of this step, from 1.
    pub number: u64,
    /// The learning rate of this step, after the schedule, as a number of the weights' type.
    pub learning_rate: Float,
    /// Whether weight decay applies to these values.
    pub decays: bool,
}

impl Step {
    /// The step of this `number`, from 1, at this learning rate; `decays` says whether weight decay applies.
    pub fn new(number: u64, learning_rate: Float, decays: bool) -> Self {
        Step {
            number,
            learning_rate,
            decays,
        }
    }

    /// The weight decay of these values: 0 where none applies.
    fn decay(&self, weight_decay: f64) -> Float {
        if self.decays { weight_decay as Float } else { 0.0 }
    }

    /// What weights become 0 below: those that decay would otherwise shrink into the subnormal numbers.
    fn least_weight(&self, weight_decay: f64) -> Float {
        if self.decay(weight_decay) != 0.0 { TINY } else { 0.0 }
    }
}

/// The optimizer of this name (`sgd`, `adam`, `adamw`, `rmsprop`, `nadam`, `lion`, `muon`) with this learning rate and otherwise default settings.
///
/// ```
/// use gradus::optim;
/// assert_eq!(optim::by_name("adam", 0.001)?.slots(), 2);
/// let error = optim::by_name("adagrad", 0.1).unwrap_err().to_string();
/// assert_eq!(error, "there is no optimizer \"adagrad\"; choose one of sgd, adam, adamw, rmsprop, nadam, lion, muon");
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Errors
/// If no optimizer has this name; the sentence lists the names.
pub fn by_name(name: &str, learning_rate: f64) -> Result<Box<dyn Optimizer>> {
    with_settings(name, json!({ "learning_rate": learning_rate }))
}

/// The optimizer of this name with these settings, a JSON object with the names of its fields; those that it doesn't mention,
/// the learning rate too, have their defaults.
///
/// ```
/// use gradus::optim;
/// use serde_json::json;
/// let sgd = optim::with_settings("sgd", json!({ "learning_rate": 0.5, "momentum": 0.9 }))?;
/// assert_eq!(sgd.learning_rate(), 0.5);
/// let error = optim::with_settings("adam", json!({ "momentum": 0.9 })).unwrap_err().to_string();
/// assert!(error.starts_with("the optimizer adam: unknown setting `momentum`, expected one of `learning_rate`"), "{error}");
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Errors
/// If no optimizer has this name, or it has no such setting, or a setting is of another type. Whether they make sense is for
/// [`Optimizer::validate`].
pub fn with_settings(name: &str, settings: Value) -> Result<Box<dyn Optimizer>> {
    Registry::default().optimizer(name, settings)
}

#[cfg(test)]
mod tests;
