//! Two-dimensional average pooling.

mod fast;

pub(super) use fast::FastAvgPool;
use serde::{Deserialize, Serialize};

use super::indices;
use super::window::{Geometry, Padding, Size2};
use crate::layer::{Backward, BoundLayer, Forward, Layer, Operation, OutputKind, Passes};
use crate::{Float, Shape};

/// From how many pixels on a window is added up in parts.
const MANY: usize = 64;

/// The mean of each window of an image.
///
/// | | formula |
/// | --- | --- |
/// | forward | y[c, i, j] = Σ x[c, i′, j′] / n over the window of (i, j) |
/// | backward | dx[c, i′, j′] = Σ dy[c, i, j] / n over the windows that (i′, j′) is in |
///
/// n is the number of pixels in a window, those on the padding (which are 0) counted unless they are excluded.
/// [`Padding`] has the formula of the output's height and width.
///
/// Source: LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition", 1998.
///
/// ```
/// use gradus::layers::AvgPool2d;
/// use gradus::{Layer, Shape};
/// let bound = AvgPool2d::new((2, 3)).bind(&Shape::from([5, 26, 27])).unwrap();
/// assert_eq!(bound.output(), &Shape::from([5, 13, 9]));
/// ```
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AvgPool2d {
    kernel: Size2,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stride: Option<Size2>,
    #[serde(default)]
    padding: Padding,
    #[serde(default)]
    exclude_padding: bool,
}

impl AvgPool2d {
    /// Windows of this size, next to each other.
    pub fn new(kernel: impl Into<Size2>) -> Self {
        AvgPool2d {
            kernel: kernel.into(),
            stride: None,
            padding: Padding::Valid,
            exclude_padding: false,
        }
    }

    /// By how many pixels the window moves from one output to the next, if not by its size.
    pub fn stride(mut self, stride: impl Into<Size2>) -> Self {
        self.stride = Some(stride.into());
        self
    }

    /// What surrounds the image.
    pub fn padding(mut self, padding: impl Into<Padding>) -> Self {
        self.padding = padding.into();
        self
    }

    /// Leaves the padding out of the means, instead of counting it as zeros.
    pub fn exclude_padding(mut self) -> Self {
        self.exclude_padding = true;
        self
    }

    fn geometry(&self, input: &Shape) -> Result<Geometry, String> {
        let stride = self.stride.unwrap_or(self.kernel);
        Geometry::new(self.kind(), input, self.kernel, stride, Size2::ONE, self.padding)
    }
}

impl Layer for AvgPool2d {
    fn kind(&self) -> &'static str {
        "avg_pool2d"
    }

    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
        let geometry = self.geometry(input)?;
        geometry.every_window_sees_the_image(self.kind())?;
        let exclude_padding = self.exclude_padding;
        let pool = BoundAvgPool::new(geometry, exclude_padding);
        Ok(BoundLayer::new(geometry.output(geometry.channels), pool)
            .with_operation(Operation::MeanPool {
                window: geometry.window(),
                exclude_padding,
            })
            .with_output_kind(OutputKind::SameAsInput)
            .with_fast(FastAvgPool(pool)))
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

/// Average pooling bound to its images.
#[derive(Debug, Clone, Copy)]
pub(super) struct BoundAvgPool {
    geometry: Geometry,
    exclude_padding: bool,
}

impl BoundAvgPool {
    pub(super) fn new(geometry: Geometry, exclude_padding: bool) -> Self {
        BoundAvgPool {
            geometry,
            exclude_padding,
        }
    }

    /// The number of pixels that the mean of window (i, j) is over.
    #[inline(always)]
    fn count(&self, i: usize, j: usize) -> Float {
        let Geometry { rows, columns, .. } = self.geometry;
        let count = if self.exclude_padding {
            rows.inside(i).len() * columns.inside(j).len()
        } else {
            self.geometry.taps()
        };
        count as Float
    }

    /// How many pixels are added up before their sum is added to the total.
    pub(super) fn part(&self) -> usize {
        let taps = self.geometry.taps();
        if taps > MANY { taps.isqrt() } else { taps }
    }
}

impl Passes for BoundAvgPool {
    fn forward(&self, pass: Forward<'_>) {
        let Geometry {
            channels,
            rows,
            columns,
        } = self.geometry;
        let taps = self.geometry.taps();
        for ([c, i, j], y) in indices([channels, rows.output, columns.output]).zip(pass.y) {
            let (mut total, mut sum) = (0.0, 0.0);
            for (tap, [_, k, l]) in indices([1, rows.kernel, columns.kernel]).enumerate() {
                if let (Some(row), Some(column)) = (rows.input_at(i, k), columns.input_at(j, l)) {
                    sum += pass.x[(c * rows.input + row) * columns.input + column];
                }
                if (tap + 1).is_multiple_of(self.part()) || tap + 1 == taps {
                    total += sum;
                    sum = 0.0;
                }
            }
            *y = total / self.count(i, j);
        }
    }

    fn backward(&self, pass: Backward<'_>) {
        let Geometry {
            channels,
            rows,
            columns,
        } = self.geometry;
        pass.dx.fill(0.0);
        for ([c, i, j], dy) in indices([channels, rows.output, columns.output]).zip(pass.dy) {
            for [_, k, l] in indices([1, rows.kernel, columns.kernel]) {
                if let (Some(row), Some(column)) = (rows.input_at(i, k), columns.input_at(j, l)) {
                    pass.dx[(c * rows.input + row) * columns.input + column] += dy / self.count(i, j);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{LayerHarness, check};

    #[test]
    fn an_image_by_hand() {
        let layer = AvgPool2d::new((2, 1));
        let step = LayerHarness::new(&layer, [1, 2, 3])
            .unwrap()
            .step(&[1.0, 2.0, 3.0, 5.0, 8.0, -3.0], &[2.0, 4.0, 6.0])
            .unwrap();
        assert_eq!(step.y, [3.0, 5.0, 0.0]);
        assert_eq!(step.dx, [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]);
    }

    #[test]
    fn padding_counts_unless_excluded() {
        let layer = AvgPool2d::new(2).padding(1);
        assert_eq!(
            LayerHarness::new(&layer, [1, 2, 2])
                .unwrap()
                .infer(&[4.0, 8.0, 12.0, 16.0])
                .unwrap(),
            [1.0, 2.0, 3.0, 4.0]
        );
        let layer = layer.exclude_padding();
        assert_eq!(
            LayerHarness::new(&layer, [1, 2, 2])
                .unwrap()
                .infer(&[4.0, 8.0, 12.0, 16.0])
                .unwrap(),
            [4.0, 8.0, 12.0, 16.0]
        );
    }

    #[test]
    fn the_gradients_are_those_of_finite_differences() {
        check(&AvgPool2d::new(2), [2, 4, 6]);
        check(&AvgPool2d::new((3, 2)), [1, 7, 5]);
        check(&AvgPool2d::new(3).stride((2, 1)), [1, 5, 4]);
        check(&AvgPool2d::new(3).stride(2).padding(1), [2, 4, 5]);
        check(
            &AvgPool2d::new(3).stride(1).padding(Padding::Same).exclude_padding(),
            [1, 3, 4],
        );
        check(&AvgPool2d::new(1), [2, 1, 1]);
    }

    /// The mean of many pixels is as exact as that of few, whatever the window's shape.
    #[test]
    fn large_windows_keep_their_precision() {
        let size = 120 * 120;
        for (kernel, shape) in [
            ((120, 120), [1, 120, 120]),
            ((1, size), [1, 1, size]),
            ((size, 1), [1, size, 1]),
        ] {
            let layer = AvgPool2d::new(kernel);
            let x: Vec<Float> = (0..2 * size)
                .map(|i| 273.15 + (i * 7919 % size) as Float / size as Float)
                .collect();
            for harness in [
                LayerHarness::new(&layer, shape).unwrap(),
                LayerHarness::new(&layer, shape).unwrap().interleaved(),
            ] {
                for (y, x) in harness.infer(&x).unwrap().iter().zip(x.chunks_exact(size)) {
                    let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / size as f64;
                    assert!((f64::from(*y) / mean - 1.0).abs() < 1e-6, "{kernel:?}: {y} for {mean}");
                }
            }
        }
        check(&AvgPool2d::new((9, 8)).stride(1).padding(2), [1, 8, 9]);
    }

    /// The original's pooling read the wrong pixels where height and width differ.
    #[test]
    fn defect_11_non_square_images_and_windows() {
        let x: Vec<Float> = (0..24).map(|i| i as Float).collect();
        let infer = |kernel: (usize, usize)| {
            LayerHarness::new(&AvgPool2d::new(kernel), [1, 4, 6])
                .unwrap()
                .infer(&x)
                .unwrap()
        };
        assert_eq!(infer((2, 3)), [4.0, 7.0, 16.0, 19.0]);
        assert_eq!(infer((1, 6)), [2.5, 8.5, 14.5, 20.5]);
    }

    #[test]
    fn settings_make_the_same_layer_again() {
        let settings = AvgPool2d::new(3)
            .stride(2)
            .padding(1)
            .exclude_padding()
            .settings()
            .unwrap();
        let again: AvgPool2d = serde_json::from_value(settings.clone()).unwrap();
        assert_eq!(again.settings().unwrap(), settings);
        assert!(AvgPool2d::new(2).padding(2).bind(&[1, 4, 4].into()).is_err());
    }
}
