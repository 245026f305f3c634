//! How parameters get their first values.

mod built_in;
mod orthogonal;
mod plain;
mod scaled;

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use crate::random::Rng;
use crate::{Float, Result, Shape, settings};

pub(crate) use built_in::{read, written};
pub use orthogonal::Orthogonal;
pub use plain::{Constant, Normal, TruncatedNormal, Uniform, Zeros};
pub use scaled::{GlorotNormal, GlorotUniform, HeNormal, HeUniform, LecunNormal, LecunUniform};

/// How many inputs and outputs meet in a weight tensor.
///
/// For a dense layer these are its inputs and units. For a convolution, an output is fed by
/// `in_channels / groups · kernel_height · kernel_width` inputs, and an input feeds
/// `out_channels / groups · kernel_height · kernel_width` outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fans {
    /// Inputs to each output.
    pub fan_in: usize,
    /// Outputs fed by each input.
    pub fan_out: usize,
}

impl Fans {
    /// These fans.
    pub fn new(fan_in: usize, fan_out: usize) -> Self {
        Fans { fan_in, fan_out }
    }
}

/// How a parameter gets its first values.
///
/// Network files name the initializer of a layer if it is one of this module, with its settings where they aren't the default
/// ones: `"he_normal"`, `{"kind": "normal", "mean": 0.0, "std": 0.01}`, `{"kind": "constant", "value": 0.5}`. They don't mention a
/// user's own.
///
/// ```
/// use gradus::{Float, Shape, init::{Fans, Initializer}, prelude::*, random::Rng};
///
/// /// Ones where row and column are the same, zeros elsewhere.
/// #[derive(Debug)]
/// struct Identity;
/// impl Initializer for Identity {
///     fn name(&self) -> &'static str {
///         "identity"
///     }
///     fn fill(&self, shape: &Shape, _fans: Fans, _rng: &mut Rng, values: &mut [Float]) {
///         let columns = shape.size() / shape[0];
///         for (i, value) in values.iter_mut().enumerate() {
///             *value = if i / columns == i % columns { 1.0 } else { 0.0 };
///         }
///     }
/// }
/// let network = Sequential::new([2]).layer(Dense::new(2).init(Identity)).build(1)?;
/// assert_eq!(network.weights(), Sequential::new([2]).layer(Dense::new(2).init(Identity)).build(2)?.weights());
/// # Ok::<(), gradus::Error>(())
/// ```
pub trait Initializer: Any + Debug + Send + Sync {
    /// Its name, as network files give it: `he_normal`.
    fn name(&self) -> &'static str;

    /// Fills a tensor of this shape.
    fn fill(&self, shape: &Shape, fans: Fans, rng: &mut Rng, values: &mut [Float]);
}

/// The initializer of this name, with its default settings if it has any. [`Constant`] is left out: it means nothing
/// without its value.
///
/// ```
/// use gradus::init;
/// assert_eq!(init::by_name("he_normal")?.name(), "he_normal");
/// let error = init::by_name("xavier").unwrap_err().to_string();
/// assert!(error.starts_with("there is no initializer \"xavier\"; choose one of zeros, normal"));
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Errors
/// If no initializer has this name; the sentence lists the names.
pub fn by_name(name: &str) -> Result<Arc<dyn Initializer>> {
    let all = (built_in::all().into_iter()).filter(|one| one.default.name() != Constant::default().name());
    settings::find("initializer", name, all.collect(), |one| one.default.name().to_string()).map(|one| one.default)
}

#[cfg(test)]
mod tests;
