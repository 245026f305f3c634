//! Zeros around an image.

use serde::{Deserialize, Serialize};

use super::{Padding, checked_size, indices};
use crate::Shape;
use crate::layer::{Backward, BoundLayer, Forward, Layer, Operation, OutputKind, Passes, Window, WindowAxis};

/// Puts zeros around an image.
///
/// | | formula | shapes |
/// | --- | --- | --- |
/// | forward | `y[c, i, j] = x[c, i − top, j − left]` inside the image, else 0 | x: channels × height × width |
/// | backward | `dx[c, i, j] = dy[c, i + top, j + left]` | y: channels × (top + height + bottom) × (left + width + right) |
///
/// Source: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016.
///
/// ```
/// use gradus::{Layer, Padding, Shape, ZeroPad2d};
/// let bound = ZeroPad2d::new(1).bind(&Shape::from([3, 28, 28])).unwrap();
/// assert_eq!(bound.output(), &Shape::from([3, 30, 30]));
/// let message = ZeroPad2d::new(Padding::Same).bind(&Shape::from([3, 28, 28])).unwrap_err();
/// assert_eq!(message, "zero_pad2d needs so many rows and columns, not \"same\", which depends on a window");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZeroPad2d {
    padding: Padding,
}

impl ZeroPad2d {
    /// So many zeros on all sides, or on each.
    pub fn new(padding: impl Into<Padding>) -> Self {
        ZeroPad2d {
            padding: padding.into(),
        }
    }
}

impl Layer for ZeroPad2d {
    fn kind(&self) -> &'static str {
        "zero_pad2d"
    }

    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
        let Some((channels, height, width)) = input.image() else {
            return Err(format!("zero_pad2d needs images of channels×height×width, got {input}"));
        };
        let [top, bottom, left, right] = match self.padding {
            Padding::Valid => [0; 4],
            Padding::Explicit {
                top,
                bottom,
                left,
                right,
            } => [top, bottom, left, right],
            Padding::Same => {
                return Err(
                    "zero_pad2d needs so many rows and columns, not \"same\", which depends on a window".into(),
                );
            }
        };
        let padded = |before: usize, size: usize, after: usize| before.saturating_add(size).saturating_add(after);
        let output = [channels, padded(top, height, bottom), padded(left, width, right)];
        checked_size("the output of zero_pad2d", &output)?;
        let axis = |input, output, before| WindowAxis {
            input,
            output,
            kernel: 1,
            stride: 1,
            dilation: 1,
            before,
        };
        let window = Window {
            rows: axis(height, output[1], top),
            columns: axis(width, output[2], left),
        };
        Ok(BoundLayer::new(output, BoundZeroPad2d { channels, window })
            .with_operation(Operation::ZeroPad { window })
            .with_output_kind(OutputKind::Real))
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

/// The padding of `channels` channels, as windows of one pixel.
#[derive(Debug)]
struct BoundZeroPad2d {
    channels: usize,
    window: Window,
}

impl BoundZeroPad2d {
    /// Where pixel [c, i, j] of x lies in x and in y.
    fn places(&self, [c, i, j]: [usize; 3]) -> [usize; 2] {
        let Window { rows, columns } = self.window;
        let (row, column) = (i + rows.before, j + columns.before);
        [
            (c * rows.input + i) * columns.input + j,
            (c * rows.output + row) * columns.output + column,
        ]
    }

    fn pixels(&self) -> impl Iterator<Item = [usize; 3]> {
        indices([self.channels, self.window.rows.input, self.window.columns.input])
    }
}

impl Passes for BoundZeroPad2d {
    fn forward(&self, pass: Forward<'_>) {
        pass.y.fill(0.0);
        for pixel in self.pixels() {
            let [inside, at] = self.places(pixel);
            pass.y[at] = pass.x[inside];
        }
    }

    fn backward(&self, pass: Backward<'_>) {
        for pixel in self.pixels() {
            let [inside, at] = self.places(pixel);
            pass.dx[inside] = pass.dy[at];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{LayerHarness, check};

    #[test]
    fn each_side_has_its_zeros() {
        let padding = Padding::Explicit {
            top: 1,
            bottom: 0,
            left: 0,
            right: 2,
        };
        let layer = ZeroPad2d::new(padding);
        let harness = LayerHarness::new(&layer, [1, 1, 2]).unwrap();
        let step = harness
            .step(&[5.0, 6.0], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
            .unwrap();
        assert_eq!(step.y, [0.0, 0.0, 0.0, 0.0, 5.0, 6.0, 0.0, 0.0]);
        assert_eq!(step.dx, [5.0, 6.0]);
        check(&layer, [2, 3, 2]);
    }

    #[test]
    fn what_no_memory_holds_is_refused() {
        let message = ZeroPad2d::new(usize::MAX).bind(&Shape::from([1, 2, 2])).unwrap_err();
        assert!(message.contains("more than any memory holds"), "{message}");
    }
}
