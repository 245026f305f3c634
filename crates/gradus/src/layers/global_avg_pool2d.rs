//! Global average pooling.

use gradus_kernels::lanes::LANES;
use gradus_kernels::{SUMS, sum, vectorize};
use serde::{Deserialize, Serialize};

use super::pixel::{pixels, pixels_mut};
use super::window::not_an_image;
use crate::layer::{Backward, Forward, Layer, Layout, Layouts, OutputKind, Plan};
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
/// let plan = GlobalAvgPool2d::new().plan(&Shape::from([64, 7, 5])).unwrap();
/// assert_eq!(plan.output, Shape::from(64));
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

    fn plan(&self, input: &Shape) -> Result<Plan, String> {
        match input.image() {
            Some(_) if input.size() == 0 => Err(format!("{} needs at least one pixel, got {input}", self.kind())),
            Some((channels, ..)) => Ok(Plan::new(channels).layouts(Layouts::Either).forgets_output()),
            None => Err(not_an_image(self.kind(), input)),
        }
    }

    fn forward(&self, pass: Forward<'_>) {
        let size = pass.input.size() / pass.output.size();
        match pass.layout {
            Layout::SampleMajor => {
                for (x, y) in pass.x.chunks_exact(size).zip(pass.y) {
                    *y = sum(x) / size as Float;
                }
            }
            Layout::Interleaved => {
                for (x, y) in pixels::<LANES>(pass.x).chunks_exact(size).zip(pixels_mut(pass.y)) {
                    *y = vectorize(|| sum_of_pixels(x)).map(|sum| sum / size as Float);
                }
            }
        }
    }

    fn backward(&self, pass: Backward<'_>) {
        let size = pass.input.size() / pass.output.size();
        let Some(dx) = pass.dx else { return };
        match pass.layout {
            Layout::SampleMajor => share::<1>(size, pass.dy, dx),
            Layout::Interleaved => share::<LANES>(size, pass.dy, dx),
        }
    }

    fn output_kind(&self) -> OutputKind {
        OutputKind::SameAsInput
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

/// Each sample's sum, in the order of [`gradus_kernels::sum`].
#[inline(always)]
fn sum_of_pixels<const N: usize>(x: &[[Float; N]]) -> [Float; N] {
    let mut sums = [[0.0; N]; SUMS];
    for x in x.chunks(SUMS) {
        for (sum, x) in sums.iter_mut().zip(x) {
            sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
        }
    }
    for half in [8, 4, 2, 1] {
        let (low, high) = sums.split_at_mut(half);
        for (sum, x) in low.iter_mut().zip(high) {
            sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += *x);
        }
    }
    sums[0]
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
    use crate::layers::testing::{Rig, check};

    #[test]
    fn an_image_by_hand() {
        let layer = GlobalAvgPool2d::new();
        let step = Rig::new(&layer, [2, 1, 2])
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

    #[test]
    fn only_images_are_taken() {
        let message = GlobalAvgPool2d::new().plan(&Shape::from(7)).unwrap_err();
        assert!(message.starts_with("global_avg_pool2d needs an image"));
    }
}
