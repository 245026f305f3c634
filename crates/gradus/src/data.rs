//! Data sets: what a set of samples is, and those that come with the library.
//!
//! | where the samples are | type | feature of Cargo |
//! | --- | --- | --- |
//! | arrays in memory | [`Arrays`] | |
//! | bytes in memory: images | [`Bytes`] | |
//! | MNIST and its family, in IDX files | [`mnist`] | `idx` |
//! | 1,797 small digits, in the library itself | [`digits`] | `digits` |
//! | a table of numbers | [`Csv`], [`Table`] | `csv` |
//! | a folder of PNG and JPEG images for each class | [`Folder`] | `images` |
//!
//! A set of another kind is an implementation of [`Dataset`]. [`split`] divides any set in two.
//!
//! Of a gzipped file at most 256 MiB are unpacked, or 32 bytes for each of its bytes, if that is more: files of this kind have less,
//! and a small file that becomes gigabytes is made to fill memory. The environment variable `GRADUS_MOST_UNPACKED`
//! ([`MOST_UNPACKED_VARIABLE`]) sets another limit, a whole number of MiB.

mod arrays;
mod bytes;
#[cfg(feature = "csv")]
mod csv;
#[cfg(feature = "digits")]
pub mod digits;
#[cfg(feature = "images")]
mod folder;
#[cfg(any(feature = "csv", feature = "idx"))]
mod gunzip;
#[cfg(feature = "idx")]
pub mod idx;
#[cfg(feature = "images")]
mod image;
#[cfg(feature = "idx")]
pub mod mnist;
#[cfg(feature = "images")]
mod names;
mod pixels;
mod split;
#[cfg(feature = "csv")]
mod table;

use std::sync::Arc;

pub use arrays::Arrays;
pub use bytes::Bytes;
#[cfg(feature = "csv")]
pub use csv::{Column, Csv};
#[cfg(feature = "images")]
pub use folder::{Folder, LeftOut};
#[cfg(any(feature = "csv", feature = "idx"))]
pub use gunzip::MOST_UNPACKED_VARIABLE;
#[cfg(feature = "images")]
pub use image::Image;
pub use pixels::Pixels;
pub use split::{Subset, split};
#[cfg(feature = "csv")]
pub use table::Table;

use crate::{Error, Float, Result, Shape};

/// Deflate, by which gzip and PNG files are packed, makes at most 258 bytes out of two bits.
#[cfg(any(feature = "idx", feature = "images"))]
const MOST_BYTES_FROM_ONE: u64 = 1032;

/// A set of samples with targets. Samples are written where they are needed, one by one, by any thread: keep them as small
/// as they came (an image's bytes), and convert here.
///
/// ```
/// use gradus::{Float, Result, Shape, data::{Dataset, Target, Targets}, prelude::*};
///
/// /// The numbers below 64 in binary, odd or even: samples that need no memory at all.
/// struct Parity;
/// impl Dataset for Parity {
///     fn len(&self) -> usize {
///         64
///     }
///     fn shape(&self) -> Shape {
///         Shape::from(6)
///     }
///     fn targets(&self) -> Targets {
///         Targets::Classes(2)
///     }
///     fn read(&self, index: usize, x: &mut [Float]) -> Result<()> {
///         for (bit, x) in x.iter_mut().enumerate() {
///             *x = (index >> bit & 1) as Float;
///         }
///         Ok(())
///     }
///     fn target(&self, index: usize) -> Target<'_> {
///         Target::Class(index % 2)
///     }
/// }
///
/// let mut network = Sequential::new([6]).layer(Dense::new(2)).layer(Softmax).build(1)?;
/// let fit = Fit::new(CrossEntropy::new(), Adam::new(0.1)).epochs(20).metric(Accuracy);
/// assert_eq!(fit.run(&mut network, &Parity)?.last("accuracy"), Some(1.0));
/// # Ok::<(), gradus::Error>(())
/// ```
pub trait Dataset: Send + Sync {
    /// The number of samples.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The shape of one sample.
    fn shape(&self) -> Shape;

    /// What kind of targets the samples have.
    fn targets(&self) -> Targets;

    /// Writes sample `index` into `x`, which has the size of [`shape`](Dataset::shape).
    fn read(&self, index: usize, x: &mut [Float]) -> Result<()>;

    /// A hint that sample `index` is to be read next, so that it can come out of main memory meanwhile.
    fn prefetch(&self, index: usize) {
        let _ = index;
    }

    /// The target of sample `index`. The library's sets give [`Target::NONE`] for a sample that isn't there.
    fn target(&self, index: usize) -> Target<'_>;

    /// The names of the classes, if they have any beyond their numbers.
    fn class_names(&self) -> Option<&[String]> {
        None
    }
}

/// What kind of targets a data set has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Targets {
    /// One of this number of classes.
    Classes(usize),
    /// Values of this shape: a regression's targets, or a probability for each class.
    Values(Shape),
}

impl Targets {
    /// The kind that a target is of, beside outputs of this shape.
    pub(crate) fn like(target: Target<'_>, output: &Shape) -> Self {
        match target {
            Target::Class(_) => Targets::Classes(output.size().max(2)),
            Target::Values(values) => Targets::Values(Shape::from(values.len())),
        }
    }

    /// Refuses a target, of the sample `index`, that is not of this kind.
    pub(crate) fn check(&self, index: usize, target: Target<'_>) -> Result<()> {
        match (self, target) {
            (Targets::Classes(count), Target::Class(class)) if class >= *count => Err(Error::data(format!(
                "sample {index} is of class {class}: with {count} classes they are 0 to {}",
                *count as i64 - 1
            ))),
            (Targets::Values(shape), Target::Values(values)) if values.len() != shape.size() => Err(Error::data(
                format!("sample {index} has {} target values, expected {shape}", values.len()),
            )),
            (Targets::Values(_), Target::Values(values)) if values.iter().any(|v| !v.is_finite()) => Err(Error::data(
                format!("sample {index} has a target value that is not finite"),
            )),
            (Targets::Classes(_), Target::Values(_)) => Err(Error::data(format!(
                "sample {index} has target values, the data set says that it has classes"
            ))),
            (Targets::Values(_), Target::Class(_)) => Err(Error::data(format!(
                "sample {index} has a class, the data set says that it has target values"
            ))),
            _ => Ok(()),
        }
    }
}

/// The target of one sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target<'a> {
    /// The sample's class.
    Class(usize),
    /// The values that the network should give.
    Values(&'a [Float]),
}

impl Target<'_> {
    /// No target: that of a sample that isn't there. It fits no network.
    pub const NONE: Target<'static> = Target::Values(&[]);
}

/// A pointer to a data set is that data set.
macro_rules! delegate {
    ($($pointer:ty),*) => {$(
        impl<D: Dataset + ?Sized> Dataset for $pointer {
            fn len(&self) -> usize {
                (**self).len()
            }
            fn shape(&self) -> Shape {
                (**self).shape()
            }
            fn targets(&self) -> Targets {
                (**self).targets()
            }
            fn read(&self, index: usize, x: &mut [Float]) -> Result<()> {
                (**self).read(index, x)
            }
            fn prefetch(&self, index: usize) {
                (**self).prefetch(index)
            }
            fn target(&self, index: usize) -> Target<'_> {
                (**self).target(index)
            }
            fn class_names(&self) -> Option<&[String]> {
                (**self).class_names()
            }
        }
    )*};
}
delegate!(&D, Box<D>, Arc<D>);

/// Refuses a request for a sample that isn't there, of a set of `len`.
fn check_index(index: usize, len: usize) -> Result<()> {
    if index < len {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "sample {index} was asked for, of a set of {len} samples"
    )))
}

/// Refuses to write a sample of `size` values where there is room for another number.
fn check_room(room: usize, size: usize) -> Result<()> {
    if room == size {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "a sample has {size} values, and room was given for {room}"
    )))
}

/// Refuses labels that aren't those of `samples` samples of `classes` classes.
fn check_labels(labels: &[usize], samples: usize, classes: usize) -> Result<()> {
    if samples == 0 {
        return Err(Error::data("the data set is empty: it has no samples"));
    }
    if classes == 0 {
        return Err(Error::data(
            "the number of classes is 0, and there should be at least one",
        ));
    }
    if labels.len() != samples {
        return Err(Error::data(format!(
            "there are {samples} samples and {} labels: each sample needs one",
            labels.len()
        )));
    }
    match labels.iter().position(|&label| label >= classes) {
        None => Ok(()),
        Some(i) => Err(Error::data(format!(
            "sample {i} has the label {}, and with {classes} classes labels run from 0 to {}",
            labels[i],
            classes - 1
        ))),
    }
}

/// Refuses names that aren't those of `classes` classes.
fn check_names(names: &[String], classes: usize) -> Result<()> {
    if names.len() == classes {
        Ok(())
    } else {
        Err(Error::invalid(format!(
            "{} class names were given for {classes} classes",
            names.len()
        )))
    }
}
