//! Global max pooling.

use serde::{Deserialize, Serialize};

use super::max_pool2d::FastMaxPool;
use super::window::{Geometry, Padding, Size2, not_an_image};
use crate::layer::{Backward, BoundLayer, Forward, Layer, Operation, OutputKind, Passes};
use crate::{Float, Shape};

/// The largest value of each channel of an image: `[channels, height, width]` becomes `[channels]`.
///
/// | | formula |
/// | --- | --- |
/// | forward | y\[c\] = the largest x[c, i, j] |
/// | backward | dx[c, i, j] = dy\[c\] where that value is, else 0 |
///
/// Of equal values the first wins, row by row.
///
/// Source: Oquab, Bottou, Laptev and Sivic, "Is object localization for free? Weakly-supervised learning with convolutional neural
/// networks", 2015.
///
/// ```
/// use gradus::layers::GlobalMaxPool2d;
/// use gradus::{Layer, Shape};
/// let bound = GlobalMaxPool2d::new().bind(&Shape::from([64, 7, 5])).unwrap();
/// assert_eq!(bound.output(), &Shape::from(64));
/// ```
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlobalMaxPool2d;

impl GlobalMaxPool2d {
    /// Global max pooling.
    pub fn new() -> Self {
        GlobalMaxPool2d
    }
}

impl Layer for GlobalMaxPool2d {
    fn kind(&self) -> &'static str {
        "global_max_pool2d"
    }

    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
        let Some((_, height, width)) = input.image() else {
            return Err(not_an_image(self.kind(), input));
        };
        // An image without a pixel is refused as such.
        let whole = Size2::from((height.max(1), width.max(1)));
        bound(Geometry::new(
            self.kind(),
            input,
            whole,
            whole,
            Size2::ONE,
            Padding::Valid,
        )?)
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

/// The largest value of each channel, whose values one window sees.
pub(super) fn bound(whole: Geometry) -> Result<BoundLayer, String> {
    let (channels, size) = (whole.channels, whole.in_plane());
    if size == 1 {
        // A loss is computed through a view, from logits before it.
        return Ok(BoundLayer::view(channels).with_operation(Operation::GlobalMaxPool));
    }
    Ok(BoundLayer::new(channels, BoundPool { size })
        .with_saved(channels)
        .with_operation(Operation::GlobalMaxPool)
        .with_output_kind(OutputKind::SameAsInput)
        .with_fast(FastMaxPool { geometry: whole }))
}

/// The largest of `size` values of each channel.
#[derive(Debug)]
struct BoundPool {
    size: usize,
}

impl Passes for BoundPool {
    fn forward(&self, pass: Forward<'_>) {
        for (c, x) in pass.x.chunks_exact(self.size).enumerate() {
            let mut largest: (Float, usize) = (x[0], 0);
            for (i, &x) in x.iter().enumerate() {
                // NaN is larger than any number, so that it is not hidden.
                if x > largest.0 || x.is_nan() && !largest.0.is_nan() {
                    largest = (x, i);
                }
            }
            pass.y[c] = largest.0;
            if pass.training {
                pass.saved[c] = largest.1 as Float;
            }
        }
    }

    fn backward(&self, pass: Backward<'_>) {
        pass.dx.fill(0.0);
        for (c, dx) in pass.dx.chunks_exact_mut(self.size).enumerate() {
            dx[pass.saved[c] as usize] = pass.dy[c];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{LayerHarness, check};

    #[test]
    fn an_image_by_hand() {
        let layer = GlobalMaxPool2d::new();
        let step = LayerHarness::new(&layer, [2, 2, 2])
            .unwrap()
            .step(&[1.0, 3.0, 3.0, 2.0, -5.0, -9.0, -6.0, -7.0], &[4.0, 6.0])
            .unwrap();
        assert_eq!(step.y, [3.0, -5.0]);
        assert_eq!(step.dx, [0.0, 4.0, 0.0, 0.0, 6.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn a_nan_is_not_hidden() {
        let harness = LayerHarness::new(&GlobalMaxPool2d, [1, 2, 2]).unwrap();
        for i in 0..4 {
            let mut x = [1.0, 2.0, 3.0, 4.0];
            x[i] = Float::NAN;
            assert!(harness.infer(&x).unwrap()[0].is_nan() && harness.step(&x, &[1.0]).unwrap().y[0].is_nan());
        }
    }

    #[test]
    fn the_gradients_are_those_of_finite_differences() {
        check(&GlobalMaxPool2d::new(), [2, 3, 4]);
        check(&GlobalMaxPool2d::new(), [1, 7, 5]);
        check(&GlobalMaxPool2d::new(), [3, 1, 1]);
    }

    #[test]
    fn only_images_with_pixels_are_taken() {
        let refuse = |input: &[usize]| GlobalMaxPool2d::new().bind(&Shape::from(input)).unwrap_err();
        assert!(refuse(&[7]).starts_with("global_max_pool2d needs an image of shape"));
        assert_eq!(
            refuse(&[2, 0, 3]),
            "global_max_pool2d needs an image with at least one pixel, got 2×0×3"
        );
    }
}
