//! The inside of an image.

mod fast;

use fast::FastCrop2d;
use serde::{Deserialize, Serialize};

use super::{Padding, indices};
use crate::Shape;
use crate::layer::{Backward, BoundLayer, Forward, Layer, Operation, OutputKind, Passes};

/// Leaves out rows and columns at the edges of an image: the opposite of [`ZeroPad2d`](super::ZeroPad2d).
///
/// | | formula | shapes |
/// | --- | --- | --- |
/// | forward | `y[c, i, j] = x[c, i + top, j + left]` | x: channels × height × width |
/// | backward | `dx[c, i, j] = dy[c, i − top, j − left]` inside, else 0 | y: channels × (height − top − bottom) × (width − left − right) |
///
/// The rows and columns are counted as a [`Padding`] is: one number for all sides, or [`Padding::Explicit`]. It is `Cropping2D` in
/// Keras.
///
/// ```
/// use gradus::{Crop2d, Layer, Padding, Shape};
/// let bound = Crop2d::new(2).bind(&Shape::from([3, 28, 28])).unwrap();
/// assert_eq!(bound.output(), &Shape::from([3, 24, 24]));
///
/// let bottom = Padding::Explicit { top: 0, bottom: 8, left: 0, right: 0 };
/// let bound = Crop2d::new(bottom).bind(&Shape::from([3, 28, 28])).unwrap();
/// assert_eq!(bound.output(), &Shape::from([3, 20, 28]));
///
/// let message = Crop2d::new(14).bind(&Shape::from([3, 28, 28])).unwrap_err();
/// assert_eq!(message, "crop2d leaves nothing of an image of 3×28×28: it takes 14 + 14 of 28 rows and 14 + 14 of 28 columns");
/// ```
#[doc(alias = "Cropping2D")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crop2d {
    cropping: Padding,
}

impl Crop2d {
    /// Leaves out this many rows and columns on all sides, or on each.
    pub fn new(cropping: impl Into<Padding>) -> Self {
        Crop2d {
            cropping: cropping.into(),
        }
    }
}

impl Layer for Crop2d {
    fn kind(&self) -> &'static str {
        "crop2d"
    }

    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
        let Some((channels, height, width)) = input.image() else {
            return Err(format!("crop2d needs images of channels×height×width, got {input}"));
        };
        let [top, bottom, left, right] = match self.cropping {
            Padding::Valid => [0; 4],
            Padding::Explicit {
                top,
                bottom,
                left,
                right,
            } => [top, bottom, left, right],
            Padding::Same => {
                return Err(
                    "crop2d needs a number of rows and columns, not \"same\", which depends on a window".into(),
                );
            }
        };
        let inside = |before: usize, size: usize, after: usize| {
            let rest = size.checked_sub(before)?.checked_sub(after)?;
            Some(rest).filter(|&rest| rest > 0)
        };
        let Some((rows, columns)) = inside(top, height, bottom).zip(inside(left, width, right)) else {
            return Err(format!(
                "crop2d leaves nothing of an image of {input}: it takes {top} + {bottom} of {height} rows and {left} + {right} of \
                 {width} columns"
            ));
        };
        let geometry = Geometry {
            input: [channels, height, width],
            output: [rows, columns],
            start: [top, left],
        };
        Ok(BoundLayer::new([channels, rows, columns], BoundCrop2d { geometry })
            .with_operation(Operation::Crop { top, left })
            .with_output_kind(OutputKind::SameAsInput)
            .with_fast(FastCrop2d { geometry }))
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

/// Which part of an image stays.
#[derive(Debug, Clone, Copy)]
struct Geometry {
    /// Channels, height and width of x.
    input: [usize; 3],
    /// Height and width of y.
    output: [usize; 2],
    /// The row and the column of x where y begins.
    start: [usize; 2],
}

/// A crop as plain loops over one sample.
#[derive(Debug)]
struct BoundCrop2d {
    geometry: Geometry,
}

impl BoundCrop2d {
    /// The index in y, and in x, of each pixel that stays.
    fn pixels(&self) -> impl Iterator<Item = (usize, usize)> {
        let Geometry {
            input: [channels, height, width],
            output: [rows, columns],
            start: [top, left],
        } = self.geometry;
        let outputs = indices([channels, rows, columns]).enumerate();
        outputs.map(move |(to, [c, i, j])| (to, (c * height + i + top) * width + j + left))
    }
}

impl Passes for BoundCrop2d {
    fn forward(&self, pass: Forward<'_>) {
        for (to, from) in self.pixels() {
            pass.y[to] = pass.x[from];
        }
    }

    fn backward(&self, pass: Backward<'_>) {
        pass.dx.fill(0.0);
        for (to, from) in self.pixels() {
            pass.dx[from] = pass.dy[to];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{LayerHarness, check};

    #[test]
    fn each_side_loses_its_own() {
        let layer = Crop2d::new(Padding::Explicit {
            top: 1,
            bottom: 0,
            left: 0,
            right: 2,
        });
        let harness = LayerHarness::new(&layer, [1, 2, 3]).unwrap();
        let step = harness.step(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[7.0]).unwrap();
        assert_eq!(step.y, [4.0]);
        assert_eq!(step.dx, [0.0, 0.0, 0.0, 7.0, 0.0, 0.0]);
        check(&layer, [2, 3, 4]);
    }

    #[test]
    fn what_leaves_nothing_is_refused() {
        for cropping in [1, 2, usize::MAX] {
            let message = Crop2d::new(cropping).bind(&Shape::from([1, 9, 2])).unwrap_err();
            assert!(message.contains("leaves nothing of an image of 1×9×2"), "{message}");
        }
        let message = Crop2d::new(Padding::Same).bind(&Shape::from([1, 9, 2])).unwrap_err();
        assert!(message.contains("not \"same\""), "{message}");
        let message = Crop2d::new(1).bind(&Shape::from([9, 2])).unwrap_err();
        assert_eq!(message, "crop2d needs images of channels×height×width, got 9×2");
    }
}
