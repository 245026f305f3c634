//! The shape of one sample.

use std::fmt;
use std::ops::Deref;

/// The shape of one sample, without the batch: `[784]`, or `[channels, height, width]` of an image.
///
/// ```
/// use gradus::Shape;
/// let shape = Shape::from([1, 28, 28]);
/// assert_eq!(shape.size(), 784);
/// assert_eq!(shape.to_string(), "1×28×28");
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// The number of values in a sample: the product of the dimensions (saturating).
    pub fn size(&self) -> usize {
        self.0.iter().fold(1, |product, &d| product.saturating_mul(d))
    }

    /// The dimensions.
    pub fn dims(&self) -> &[usize] {
        &self.0
    }

    /// `(channels, height, width)` if this is the shape of an image.
    pub fn image(&self) -> Option<(usize, usize, usize)> {
        match self.0[..] {
            [channels, height, width] => Some((channels, height, width)),
            _ => None,
        }
    }
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Self {
        Shape(dims.to_vec())
    }
}

impl From<&[usize]> for Shape {
    fn from(dims: &[usize]) -> Self {
        Shape(dims.to_vec())
    }
}

impl From<Vec<usize>> for Shape {
    fn from(dims: Vec<usize>) -> Self {
        Shape(dims)
    }
}

impl From<usize> for Shape {
    fn from(size: usize) -> Self {
        Shape(vec![size])
    }
}

impl From<&Shape> for Shape {
    fn from(shape: &Shape) -> Self {
        shape.clone()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, d) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("×")?;
            }
            write!(f, "{d}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
