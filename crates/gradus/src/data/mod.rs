//! Data sets.

use crate::{Float, Result, Shape};

/// A set of samples with targets. Samples are written where they are needed, one by one, by any thread: keep them as small
/// as they came (an image's bytes), and convert here.
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

    /// The target of sample `index`.
    fn target(&self, index: usize) -> Target<'_>;

    /// The names of the classes, if they have any beyond their numbers.
    fn class_names(&self) -> Option<&[String]> {
        None
    }
}

/// What kind of targets a data set has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Targets {
    /// One of so many classes.
    Classes(usize),
    /// Values of this shape: a regression's targets, or a probability for each class.
    Values(Shape),
}

/// The target of one sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target<'a> {
    /// The sample's class.
    Class(usize),
    /// The values that the network should give.
    Values(&'a [Float]),
}

impl<D: Dataset + ?Sized> Dataset for &D {
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
    fn target(&self, index: usize) -> Target<'_> {
        (**self).target(index)
    }
    fn class_names(&self) -> Option<&[String]> {
        (**self).class_names()
    }
}
