//! Two-dimensional average pooling.

use gradus_kernels::interleaved::LANES;
use gradus_kernels::vectorize;
use serde::{Deserialize, Serialize};

use super::pixel::{pixels, pixels_mut};
use super::window::{Geometry, Padding, Size2};
use crate::layer::{Backward, Forward, Layer, Layout, Layouts, Operation, OutputKind, Plan};
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
/// let plan = AvgPool2d::new((2, 3)).plan(&Shape::from([5, 26, 27])).unwrap();
/// assert_eq!(plan.output, Shape::from([5, 13, 9]));
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

    /// Calls `with` with each output pixel and the number of pixels in its window.
    #[inline(always)]
    fn counts(&self, geometry: &Geometry, mut with: impl FnMut(usize, Float)) {
        let width = geometry.columns.output;
        for i in 0..geometry.rows.output {
            let rows = geometry.rows.inside(i).len();
            for j in 0..width {
                let n = if self.exclude_padding {
                    rows * geometry.columns.inside(j).len()
                } else {
                    geometry.taps()
                };
                with(i * width + j, n as Float);
            }
        }
    }

    /// A window of many pixels is added up part by part, since one sum of all of them would lose precision; a part's sums are in
    /// `part`.
    fn pool<const N: usize>(&self, geometry: &Geometry, x: &[Float], y: &mut [Float], part: &mut [Float]) {
        let taps = geometry.taps();
        let in_parts = taps > MANY;
        let length = taps.isqrt();
        let part = &mut pixels_mut::<N>(part)[..if in_parts { geometry.out_plane() } else { 0 }];
        let planes = pixels::<N>(x).chunks_exact(geometry.in_plane());
        for (x, y) in planes.zip(pixels_mut(y).chunks_exact_mut(geometry.out_plane())) {
            vectorize(|| {
                y.fill([0.0; N]);
                part.fill([0.0; N]);
                for tap in 0..taps {
                    let sums = if in_parts { &mut *part } else { &mut *y };
                    for run in geometry.runs(tap) {
                        let pixels = x[run.x..].iter().step_by(geometry.columns.stride);
                        for (sum, x) in sums[run.y..][..run.count].iter_mut().zip(pixels) {
                            sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
                        }
                    }
                    if in_parts && ((tap + 1).is_multiple_of(length) || tap + 1 == taps) {
                        for (y, part) in y.iter_mut().zip(part.iter_mut()) {
                            y.iter_mut().zip(&*part).for_each(|(y, sum)| *y += sum);
                        }
                        part.fill([0.0; N]);
                    }
                }
                self.counts(geometry, |i, n| y[i].iter_mut().for_each(|y| *y /= n));
            });
        }
    }

    /// dx is 0 at first.
    fn spread<const N: usize>(&self, geometry: &Geometry, dy: &[Float], dx: &mut [Float], shares: &mut [Float]) {
        let shares = pixels_mut::<N>(shares);
        let planes = pixels_mut::<N>(dx).chunks_exact_mut(geometry.in_plane());
        for (dx, dy) in planes.zip(pixels(dy).chunks_exact(geometry.out_plane())) {
            vectorize(|| {
                self.counts(geometry, |i, n| shares[i] = dy[i].map(|dy| dy / n));
                for tap in 0..geometry.taps() {
                    for run in geometry.runs(tap) {
                        let pixels = dx[run.x..].iter_mut().step_by(geometry.columns.stride);
                        for (dx, share) in pixels.zip(&shares[run.y..][..run.count]) {
                            dx.iter_mut().zip(share).for_each(|(dx, share)| *dx += share);
                        }
                    }
                }
            });
        }
    }
}

impl Layer for AvgPool2d {
    fn kind(&self) -> &'static str {
        "avg_pool2d"
    }

    fn plan(&self, input: &Shape) -> Result<Plan, String> {
        let geometry = self.geometry(input)?;
        geometry.every_window_sees_the_image(self.kind())?;
        Ok(Plan::new(geometry.output(geometry.channels))
            .scratch(geometry.out_plane() * LANES, 0)
            .layouts(Layouts::PreferInterleaved)
            .forgets_output())
    }

    fn forward(&self, pass: Forward<'_>) {
        let geometry = self.geometry(pass.input).expect("the input was planned for");
        match pass.layout {
            Layout::SampleMajor => self.pool::<1>(&geometry, pass.x, pass.y, pass.scratch),
            Layout::Interleaved => self.pool::<LANES>(&geometry, pass.x, pass.y, pass.scratch),
        }
    }

    fn backward(&self, pass: Backward<'_>) {
        let geometry = self.geometry(pass.input).expect("the input was planned for");
        let Some(dx) = pass.dx else { return };
        dx.fill(0.0);
        match pass.layout {
            Layout::SampleMajor => self.spread::<1>(&geometry, pass.dy, dx, pass.scratch),
            Layout::Interleaved => self.spread::<LANES>(&geometry, pass.dy, dx, pass.scratch),
        }
    }

    fn operation(&self, input: &Shape) -> Option<Operation> {
        let window = self.geometry(input).ok()?.window();
        let exclude_padding = self.exclude_padding;
        Some(Operation::MeanPool {
            window,
            exclude_padding,
        })
    }

    fn output_kind(&self) -> OutputKind {
        OutputKind::SameAsInput
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{Rig, check};

    #[test]
    fn an_image_by_hand() {
        let layer = AvgPool2d::new((2, 1));
        let step = Rig::new(&layer, [1, 2, 3])
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
            Rig::new(&layer, [1, 2, 2])
                .unwrap()
                .infer(&[4.0, 8.0, 12.0, 16.0])
                .unwrap(),
            [1.0, 2.0, 3.0, 4.0]
        );
        let layer = layer.exclude_padding();
        assert_eq!(
            Rig::new(&layer, [1, 2, 2])
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
            for rig in [
                Rig::new(&layer, shape).unwrap(),
                Rig::new(&layer, shape).unwrap().interleaved(),
            ] {
                for (y, x) in rig.infer(&x).unwrap().iter().zip(x.chunks_exact(size)) {
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
        let infer = |kernel: (usize, usize)| Rig::new(&AvgPool2d::new(kernel), [1, 4, 6]).unwrap().infer(&x).unwrap();
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
        assert!(AvgPool2d::new(2).padding(2).plan(&[1, 4, 4].into()).is_err());
    }
}
