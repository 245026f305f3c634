//! Random changes to training images, made on the fly, so that a network meets every image slightly different each time.
//!
//! [`Warp`] moves, turns, scales, shears and bends images; [`Noise`] adds noise. [`Compose`] applies several changes, one
//! after the other, and [`Sometimes`] one of them at random. A change of another kind is an implementation of
//! [`Augmentation`].
//!
//! ```
//! use gradus::augment::{Augmentation, Compose, Noise, Sometimes, Warp};
//! let changes = Compose::new()
//!     .then(Warp::new().shift(2.0).rotate(10.0).scale(0.1).elastic(34.0, 4.0))
//!     .then(Sometimes::new(0.5, Noise::new(0.05)));
//! changes.validate(&[1, 28, 28].into())?;
//! # Ok::<(), gradus::Error>(())
//! ```

mod compose;
mod elastic;
mod noise;
mod warp;

use std::fmt::Debug;

// An augmentation's file and its type, and an example with other settings than the default ones.
list! {
    AUGMENTATIONS of Augmentation:
    warp::Warp, Warp::new().shift(2.0).elastic(34.0, 4.0);
    noise::Noise, Noise::new(0.1);
    compose::Compose, Compose::new().then(Warp::new().rotate(10.0)).then(Noise::new(0.1));
    compose::Sometimes<Box<dyn Augmentation>>, Sometimes::new(0.5, Noise::new(0.1));
}

use crate::random::Rng;
use crate::registry::list;
use crate::{Float, Result, Shape};

/// A random change of one training sample. It runs in the training threads, on training samples only, and its random numbers
/// follow from the seed, the epoch and the sample, so that results don't depend on threads.
///
/// ```
/// use gradus::{Float, Result, Shape, augment::Augmentation, random::Rng};
/// use rand::RngExt;
///
/// /// Turns half of the images into their mirror images: right for clothes, wrong for digits.
/// #[derive(Debug)]
/// struct Mirror;
/// impl Augmentation for Mirror {
///     fn name(&self) -> &'static str {
///         "mirror"
///     }
///     fn validate(&self, shape: &Shape) -> Result<()> {
///         match shape.image() {
///             Some(_) => Ok(()),
///             None => Err(gradus::Error::invalid(format!("mirroring needs images, the samples have the shape {shape}"))),
///         }
///     }
///     fn apply(&self, shape: &Shape, x: &mut [Float], rng: &mut Rng, _scratch: &mut Vec<Float>) {
///         if rng.random() {
///             let width = shape[2];
///             x.chunks_exact_mut(width).for_each(<[Float]>::reverse);
///         }
///     }
/// }
/// assert!(Mirror.validate(&Shape::from([1, 28, 28])).is_ok());
/// ```
pub trait Augmentation: Debug + Send + Sync {
    /// Its name: `warp`.
    fn name(&self) -> &'static str;

    /// Its settings as JSON, from which the type [registered](crate::Registry) for its name makes it again: an object, or null if
    /// it has none. `None`, unless it is implemented, is one that neither files nor checkpoints can hold.
    fn settings(&self) -> Option<serde_json::Value> {
        None
    }

    /// Refuses settings that make no sense, or samples of a shape that it can't work on, with a sentence.
    fn validate(&self, shape: &Shape) -> Result<()>;

    /// Changes the sample `x` in place. `scratch` is the thread's own, grown once and then reused.
    fn apply(&self, shape: &Shape, x: &mut [Float], rng: &mut Rng, scratch: &mut Vec<Float>);
}
