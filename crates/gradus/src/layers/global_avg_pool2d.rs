//! Global average pooling.

use gradus_kernels::interleaved::LANES;
use gradus_kernels::{CHAIN, SUMS, reference, sum, vectorize};
use serde::{Deserialize, Serialize};

use super::pixel::{pixels, pixels_mut};
use super::window::not_an_image;
use crate::layer::advanced::{BlockBackward, BlockForward, BlockLayer, Layout, Layouts};
use crate::layer::{Backward, BoundLayer, Forward, Layer, Operation, OutputKind, Passes};
use crate::{Float, Shape};

/// The mean of each channel of an image: `[channels, height, width]` becomes `[channels]`.
///
/// | | formula |
/// | --- | --- |
/// | forward | y\[c\] = Σ x[c, i, j] / (height · width) |
/// | backward | dx[c, i, j] = dy\[c\] / (height · width) |
///
/// Source: Lin, Chen and Yan, "Network in network", 2014.
///
/// ```
/// use gradus::layers::GlobalAvgPool2d;
/// use gradus::{Layer, Shape};
/// let bound = GlobalAvgPool2d::new().bind(&Shape::from([64, 7, 5])).unwrap();
/// assert_eq!(bound.output(), &Shape::from(64));
/// ```
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlobalAvgPool2d;

impl GlobalAvgPool2d {
    /// Global average pooling.
    pub fn new() -> Self {
        GlobalAvgPool2d
    }
}

impl Layer for GlobalAvgPool2d {
    fn kind(&self) -> &'static str {
        "global_avg_pool2d"
    }

    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
        match input.image() {
            Some(_) if input.size() == 0 => Err(format!("{} needs at least one pixel, got {input}", self.kind())),
            Some((channels, height, width)) => Ok(bound(channels, height * width)),
            None => Err(not_an_image(self.kind(), input)),
        }
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

/// The mean of `size` values of each of the channels.
pub(super) fn bound(channels: usize, size: usize) -> BoundLayer {
    if size == 1 {
        // A loss is computed through a view, from logits before it.
        return BoundLayer::view(channels).with_operation(Operation::GlobalMeanPool);
    }
    BoundLayer::new(channels, BoundPool { size })
        .with_operation(Operation::GlobalMeanPool)
        .with_output_kind(OutputKind::SameAsInput)
        .with_fast(FastPool { size })
}

/// The mean of `size` pixels of each channel.
#[derive(Debug, Clone, Copy)]
struct BoundPool {
    size: usize,
}

impl Passes for BoundPool {
    fn forward(&self, pass: Forward<'_>) {
        for (x, y) in pass.x.chunks_exact(self.size).zip(pass.y) {
            *y = reference::sum(x) / self.size as Float;
        }
    }

    fn backward(&self, pass: Backward<'_>) {
        for (dx, dy) in pass.dx.chunks_exact_mut(self.size).zip(pass.dy) {
            dx.fill(dy / self.size as Float);
        }
    }
}

/// The same for blocks of samples.
#[derive(Debug)]
struct FastPool {
    size: usize,
}

impl BlockLayer for FastPool {
    fn layouts(&self) -> Layouts {
        Layouts::Either
    }

    fn reads_output(&self) -> bool {
        false
    }

    fn forward(&self, pass: BlockForward<'_>) {
        let size = self.size;
        match pass.layout {
            Layout::SampleMajor => {
                for (x, y) in pass.x.chunks_exact(size).zip(pass.y) {
                    *y = sum(x) / size as Float;
                }
            }
            Layout::Interleaved => {
                for (x, y) in pixels::<LANES>(pass.x).chunks_exact(size).zip(pixels_mut(pass.y)) {
                    *y = vectorize!(|| sum_of_pixels(x)).map(|sum| sum / size as Float);
                }
            }
        }
    }

    fn backward(&self, pass: BlockBackward<'_>) {
        let Some(dx) = pass.dx else { return };
        match pass.layout {
            Layout::SampleMajor => share::<1>(self.size, pass.dy, dx),
            Layout::Interleaved => share::<LANES>(self.size, pass.dy, dx),
        }
    }
}

/// Each sample's sum, in the order of [`gradus_kernels::sum`].
#[inline(always)]
fn sum_of_pixels<const N: usize>(x: &[[Float; N]]) -> [Float; N] {
    let mut totals = [[0.0; N]; SUMS];
    for x in x.chunks(CHAIN * SUMS) {
        let mut sums = [[0.0; N]; SUMS];
        for x in x.chunks(SUMS) {
            for (sum, x) in sums.iter_mut().zip(x) {
                sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
            }
        }
        for (total, sum) in totals.iter_mut().zip(sums) {
            total.iter_mut().zip(sum).for_each(|(total, x)| *total += f64::from(x));
        }
    }
    for half in [8, 4, 2, 1] {
        let (low, high) = totals.split_at_mut(half);
        for (total, x) in low.iter_mut().zip(high) {
            total.iter_mut().zip(x).for_each(|(total, x)| *total += *x);
        }
    }
    totals[0].map(|total| total as Float)
}

/// An equal share of dy for each pixel of its channel.
fn share<const N: usize>(size: usize, dy: &[Float], dx: &mut [Float]) {
    for (dx, dy) in pixels_mut(dx).chunks_exact_mut(size).zip(pixels::<N>(dy)) {
        dx.fill(dy.map(|dy| dy / size as Float));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{LayerHarness, check};

    #[test]
    fn an_image_by_hand() {
        let layer = GlobalAvgPool2d::new();
        let step = LayerHarness::new(&layer, [2, 1, 2])
            .unwrap()
            .step(&[1.0, 3.0, 5.0, 9.0], &[4.0, 6.0])
            .unwrap();
        assert_eq!(step.y, [2.0, 7.0]);
        assert_eq!(step.dx, [2.0, 2.0, 3.0, 3.0]);
    }

    #[test]
    fn the_gradients_are_those_of_finite_differences() {
        check(&GlobalAvgPool2d::new(), [2, 3, 4]);
        check(&GlobalAvgPool2d::new(), [2, 7, 5]);
        check(&GlobalAvgPool2d::new(), [3, 1, 1]);
    }

    /// The mean of many pixels is as exact as that of few, and has the same bits in both layouts.
    #[test]
    fn the_mean_of_a_picture_keeps_its_precision() {
        let size = 224 * 224;
        let layer = GlobalAvgPool2d::new();
        let harness = || LayerHarness::new(&layer, [2, 224, 224]).unwrap();
        let sample = |s: usize| {
            let ramp = move |i: usize| 273.15 + ((i + s) * 7919 % size) as Float / size as Float;
            (0..size).map(|_| 273.15).chain((0..size).map(ramp))
        };
        let x: Vec<Float> = (0..3).flat_map(sample).collect();
        let y = harness().infer(&x).unwrap();
        for (y, x) in y.iter().zip(x.chunks_exact(size)) {
            let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / size as f64;
            assert!((f64::from(*y) / mean - 1.0).abs() < 3e-7, "{y} for {mean}");
        }
        assert_eq!(harness().interleaved().infer(&x).unwrap(), y);
    }

    #[test]
    fn only_images_are_taken() {
        let message = GlobalAvgPool2d::new().bind(&Shape::from(7)).unwrap_err();
        assert!(message.starts_with("global_avg_pool2d needs an image"));
    }
}
