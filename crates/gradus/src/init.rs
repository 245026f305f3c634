//! How parameters get their first values.

mod orthogonal;
mod plain;
mod scaled;

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::boxed::behind_pointers;
use crate::random::Rng;
use crate::registry::{Registry, list, named, read_named};
use crate::{Float, Result, Shape};

// An initializer's file and its type, and an example with other settings than the default ones.
list! {
    INITIALIZERS of Initializer:
    plain::Zeros, Zeros;
    plain::Constant, Constant::new(0.5);
    plain::Normal, Normal::new(0.5, 0.1);
    plain::Uniform, Uniform::new(0.0, 1.0);
    plain::TruncatedNormal, TruncatedNormal::new(0.5, 0.1);
    scaled::GlorotNormal, GlorotNormal;
    scaled::GlorotUniform, GlorotUniform;
    scaled::HeNormal, HeNormal;
    scaled::HeUniform, HeUniform;
    scaled::LecunNormal, LecunNormal;
    scaled::LecunUniform, LecunUniform;
    orthogonal::Orthogonal, Orthogonal::new().gain(2.0);
}

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
/// Network files name the initializer of a layer, with its settings where they aren't the default ones: `"he_normal"`,
/// `{"kind": "normal", "mean": 0.0, "std": 0.01}`, `{"kind": "constant", "value": 0.5}`. They don't mention one that doesn't say its
/// [settings](Initializer::settings), or that has the name of one of ours; a user's own has to be
/// [registered](crate::Registry::initializers) where the file is loaded.
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

    /// Its settings as JSON, from which the type [registered](crate::Registry) for its name makes it again: an object, or null if
    /// it has none. `None`, unless it is implemented, is one that neither files nor checkpoints can hold.
    fn settings(&self) -> Option<serde_json::Value> {
        None
    }

    /// Fills a tensor of this shape.
    fn fill(&self, shape: &Shape, fans: Fans, rng: &mut Rng, values: &mut [Float]);
}

/// The initializer of this name, with its default settings if it has any. [`Constant`] needs its value, which
/// [`Registry::initializer`] takes.
///
/// ```
/// use gradus::init;
/// assert_eq!(init::by_name("he_normal")?.name(), "he_normal");
/// let error = init::by_name("xavier").unwrap_err().to_string();
/// assert!(error.starts_with("there is no initializer \"xavier\"; choose one of zeros, constant, normal"));
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Errors
/// If no initializer has this name; the sentence lists the names.
pub fn by_name(name: &str) -> Result<Arc<dyn Initializer>> {
    Registry::default().initializer(name, json!({})).map(Arc::from)
}

/// What a file says of an initializer, if anything.
pub(crate) fn written(init: &dyn Initializer) -> Option<Value> {
    let init = behind_pointers(init);
    let (name, any) = (init.name(), init as &dyn Any);
    let ours = Registry::default().initializers;
    let written = named(init)?;
    if !ours.has(name) {
        return Some(written);
    }
    if !ours.is_of(name, any.type_id()) {
        return None;
    }
    // A setting that is no finite number is null in JSON, and can't be read again.
    read(written.clone()).ok()?;
    let default = read(json!(name)).ok().and_then(|default| named(&*default));
    Some(if default.is_some_and(|default| default == written) {
        json!(name)
    } else {
        written
    })
}

/// The initializer that a file gives.
pub(crate) fn read(given: Value) -> Result<Arc<dyn Initializer>> {
    read_named::<dyn Initializer>(given).map(Arc::from)
}

#[cfg(test)]
mod tests;
