//! Two-dimensional max pooling.
//!
//! Training saves which tap of its window each largest value was under; inference saves nothing.

mod fast;

pub(super) use fast::FastMaxPool;
use serde::{Deserialize, Serialize};

use super::indices;
use super::window::{Geometry, Padding, Size2};
use crate::layer::{Backward, BoundLayer, Forward, Layer, Operation, OutputKind, Passes};
use crate::{Float, Shape};

/// The largest value of each window of an image.
///
/// | | formula |
/// | --- | --- |
/// | forward | y[c, i, j] = the largest x[c, i′, j′] in the window of (i, j) |
/// | backward | dx[c, i′, j′] = Σ dy[c, i, j] over the windows whose largest value is there |
///
/// Padding never wins, and of equal values the first does, row by row. [`Padding`] has the formula of the output's height and width.
///
/// Source: Ranzato, Huang, Boureau and LeCun, "Unsupervised learning of invariant feature hierarchies with applications to
/// object recognition", 2007.
///
/// ```
/// use gradus::layers::MaxPool2d;
/// use gradus::{Layer, Shape};
/// let bound = MaxPool2d::new(2).bind(&Shape::from([5, 26, 27])).unwrap();
/// assert_eq!(bound.output(), &Shape::from([5, 13, 13]));
/// ```
#[doc(alias = "max_pooling")]
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaxPool2d {
    kernel: Size2,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stride: Option<Size2>,
    #[serde(default)]
    padding: Padding,
}

impl MaxPool2d {
    /// Windows of this size, next to each other.
    pub fn new(kernel: impl Into<Size2>) -> Self {
        MaxPool2d {
            kernel: kernel.into(),
            stride: None,
            padding: Padding::Valid,
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

    fn geometry(&self, input: &Shape) -> Result<Geometry, String> {
        let stride = self.stride.unwrap_or(self.kernel);
        Geometry::new(self.kind(), input, self.kernel, stride, Size2::ONE, self.padding)
    }
}

impl Layer for MaxPool2d {
    fn kind(&self) -> &'static str {
        "max_pool2d"
    }

    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
        let geometry = self.geometry(input)?;
        geometry.every_window_sees_the_image(self.kind())?;
        let output = geometry.output(geometry.channels);
        let window = geometry.window();
        Ok(BoundLayer::new(&output, BoundMaxPool { geometry })
            .with_saved(output.size())
            .with_operation(Operation::MaxPool { window })
            .with_output_kind(OutputKind::SameAsInput)
            .with_fast(FastMaxPool { geometry }))
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

/// Max pooling bound to its images.
#[derive(Debug)]
struct BoundMaxPool {
    geometry: Geometry,
}

impl BoundMaxPool {
    /// The pixel under tap (k, l) of window (i, j) of channel c, unless that is padding.
    fn pixel(&self, [c, i, j]: [usize; 3], k: usize, l: usize) -> Option<usize> {
        let Geometry { rows, columns, .. } = self.geometry;
        let (row, column) = (rows.input_at(i, k)?, columns.input_at(j, l)?);
        Some((c * rows.input + row) * columns.input + column)
    }

    /// All (c, i, j).
    fn outputs(&self) -> impl Iterator<Item = [usize; 3]> {
        let Geometry {
            channels,
            rows,
            columns,
        } = self.geometry;
        indices([channels, rows.output, columns.output])
    }
}

impl Passes for BoundMaxPool {
    fn forward(&self, pass: Forward<'_>) {
        let Geometry { rows, columns, .. } = self.geometry;
        for (at, output) in self.outputs().enumerate() {
            let mut largest: Option<(Float, usize)> = None;
            for (tap, [_, k, l]) in indices([1, rows.kernel, columns.kernel]).enumerate() {
                let Some(pixel) = self.pixel(output, k, l) else {
                    continue;
                };
                let x = pass.x[pixel];
                // NaN is larger than any number, so that it is not hidden.
                let wins = largest.is_none_or(|(most, _)| x > most || x.is_nan() && !most.is_nan());
                if wins {
                    largest = Some((x, tap));
                }
            }
            let (y, tap) = largest.unwrap_or((Float::NEG_INFINITY, 0));
            pass.y[at] = y;
            if pass.training {
                pass.saved[at] = tap as Float;
            }
        }
    }

    fn backward(&self, pass: Backward<'_>) {
        pass.dx.fill(0.0);
        for (at, output) in self.outputs().enumerate() {
            let tap = pass.saved[at] as usize;
            let width = self.geometry.columns.kernel;
            if let Some(pixel) = self.pixel(output, tap / width, tap % width) {
                pass.dx[pixel] += pass.dy[at];
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
        let layer = MaxPool2d::new(2);
        let harness = LayerHarness::new(&layer, [1, 2, 5]).unwrap();
        let x = [1.0, 5.0, -3.0, -4.0, 9.0, 2.0, 3.0, -2.0, -1.0, 9.0];
        let step = harness.step(&x, &[1.0, 2.0]).unwrap();
        assert_eq!(step.y, [5.0, -1.0]);
        assert_eq!(step.dx, [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0]);
    }

    #[test]
    fn overlapping_windows_add_their_gradients() {
        let layer = MaxPool2d::new((1, 2)).stride(1);
        let step = LayerHarness::new(&layer, [1, 1, 3])
            .unwrap()
            .step(&[1.0, 7.0, 2.0], &[1.0, 10.0])
            .unwrap();
        assert_eq!(step.dx, [0.0, 11.0, 0.0]);
    }

    #[test]
    fn of_equal_values_the_first_wins() {
        let layer = MaxPool2d::new(2).padding(1).stride(1);
        let step = LayerHarness::new(&layer, [1, 2, 2])
            .unwrap()
            .step(&[0.0; 4], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0])
            .unwrap();
        // Window (i, j) starts at pixel (max(i − 1, 0), max(j − 1, 0)).
        assert_eq!(step.dx, [1.0 + 2.0 + 4.0 + 5.0, 3.0 + 6.0, 7.0 + 8.0, 9.0]);
    }

    #[test]
    fn padding_never_wins() {
        let layer = MaxPool2d::new(3).padding(1);
        let harness = LayerHarness::new(&layer, [1, 2, 2]).unwrap();
        assert_eq!(harness.infer(&[-3.0, -2.0, -4.0, -5.0]).unwrap(), [-2.0]);
        assert_eq!(harness.infer(&[Float::NEG_INFINITY; 4]).unwrap(), [Float::NEG_INFINITY]);
        let step = harness.step(&[Float::NEG_INFINITY; 4], &[1.0]).unwrap();
        assert_eq!(step.dx, [1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn a_nan_is_not_hidden() {
        let layer = MaxPool2d::new(2);
        let harness = LayerHarness::new(&layer, [1, 2, 2]).unwrap();
        for i in 0..4 {
            let mut x = [1.0, 2.0, 3.0, 4.0];
            x[i] = Float::NAN;
            assert!(harness.infer(&x).unwrap()[0].is_nan() && harness.step(&x, &[1.0]).unwrap().y[0].is_nan());
        }
    }

    #[test]
    fn the_gradients_are_those_of_finite_differences() {
        let explicit = Padding::Explicit {
            top: 0,
            bottom: 1,
            left: 1,
            right: 0,
        };
        check(&MaxPool2d::new(2), [2, 4, 6]);
        check(&MaxPool2d::new(2), [1, 5, 3]);
        check(&MaxPool2d::new((3, 2)), [1, 6, 5]);
        check(&MaxPool2d::new(3).stride(2), [1, 7, 5]);
        check(&MaxPool2d::new(2).stride((3, 1)), [2, 4, 4]);
        check(&MaxPool2d::new(3).stride(1).padding(Padding::Same), [1, 3, 4]);
        check(&MaxPool2d::new(2).padding(explicit), [2, 3, 4]);
        check(&MaxPool2d::new(1), [3, 1, 1]);
        check(&MaxPool2d::new((4, 3)), [2, 4, 3]);
    }

    /// The original used the positions of the last training batch at inference.
    #[test]
    fn defect_1_inference_does_not_depend_on_training() {
        let layer = MaxPool2d::new(2);
        let harness = LayerHarness::new(&layer, [1, 2, 2]).unwrap();
        harness.step(&[9.0, 0.0, 0.0, 0.0], &[1.0]).unwrap();
        // More samples than were trained on, their maxima elsewhere.
        assert_eq!(
            harness.infer(&[0.0, 1.0, 2.0, 3.0, 4.0, 3.0, 2.0, 1.0]).unwrap(),
            [3.0, 4.0]
        );
    }

    /// The original read the wrong pixels where height and width differ.
    #[test]
    fn defect_11_non_square_images_and_windows() {
        let x: Vec<Float> = (0..24).map(|i| i as Float).collect();
        let infer = |kernel: (usize, usize)| {
            LayerHarness::new(&MaxPool2d::new(kernel), [1, 4, 6])
                .unwrap()
                .infer(&x)
                .unwrap()
        };
        assert_eq!(infer((2, 3)), [8.0, 11.0, 20.0, 23.0]);
        assert_eq!(infer((4, 1)), [18.0, 19.0, 20.0, 21.0, 22.0, 23.0]);
        assert_eq!(infer((1, 6)), [5.0, 11.0, 17.0, 23.0]);
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let refuse = |layer: MaxPool2d, input: &[usize]| layer.bind(&Shape::from(input)).unwrap_err();
        assert_eq!(
            refuse(MaxPool2d::new(2).padding(2), &[1, 4, 4]),
            "the padding of max_pool2d leaves windows of height 2 that see nothing but padding"
        );
        assert_eq!(
            refuse(MaxPool2d::new(5), &[1, 4, 4]),
            "the kernel's height is 5, more than the height of the padded input, 4"
        );
        assert_eq!(
            refuse(MaxPool2d::new(2), &[16]),
            "max_pool2d needs an image of shape channels×height×width, got 16: put a Reshape before it"
        );
    }

    #[test]
    fn settings_make_the_same_layer_again() {
        let settings = MaxPool2d::new(2).settings().unwrap();
        assert_eq!(settings, serde_json::json!({ "kernel": 2, "padding": "valid" }));
        let settings = MaxPool2d::new(3).stride((1, 2)).padding(1).settings().unwrap();
        let again: MaxPool2d = serde_json::from_value(settings.clone()).unwrap();
        assert_eq!(again.settings().unwrap(), settings);
    }
}
