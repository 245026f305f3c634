//! Two-dimensional max pooling.
//!
//! | | formula |
//! | --- | --- |
//! | forward | y[c, i, j] = the largest x[c, i′, j′] in the window of (i, j) |
//! | backward | dx[c, i′, j′] = Σ dy[c, i, j] over the windows whose largest value is there |
//!
//! Padding never wins, and of equal values the first does, row by row. Training keeps where each largest value was;
//! inference keeps nothing.
//!
//! Source: Ranzato, Huang, Boureau and LeCun, "Unsupervised learning of invariant feature hierarchies with applications to
//! object recognition", 2007.

use gradus_kernels::lanes::LANES;
use gradus_kernels::{Work, vectorize_work};
use serde::{Deserialize, Serialize};

use super::pixel::{pixels, pixels_mut};
use super::window::{Geometry, Padding, Size2};
use crate::layer::{Backward, Forward, Layer, Layout, Layouts, Plan};
use crate::{Float, Shape};

/// The largest plane whose every position is exact as a [`Float`].
const MOST_PIXELS: usize = 1 << 24;

/// The largest value of each window of an image.
///
/// ```
/// use gradus::layers::MaxPool2d;
/// use gradus::{Layer, Shape};
/// let plan = MaxPool2d::new(2).plan(&Shape::from([5, 26, 27])).unwrap();
/// assert_eq!(plan.output, Shape::from([5, 13, 13]));
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

    fn plan(&self, input: &Shape) -> Result<Plan, String> {
        let geometry = self.geometry(input)?;
        geometry.every_window_sees_the_image(self.kind())?;
        if geometry.in_plane() > MOST_PIXELS {
            return Err(format!(
                "max_pool2d takes images of up to {MOST_PIXELS} pixels, got {input}"
            ));
        }
        let output = geometry.output(geometry.channels);
        Ok(Plan::new(&output)
            .kept(output.size())
            .layouts(Layouts::PreferInterleaved)
            .forgets_output())
    }

    fn forward(&self, pass: Forward<'_>) {
        let geometry = self.geometry(pass.input).expect("the input was planned for");
        match pass.layout {
            Layout::SampleMajor => forward::<1>(geometry, pass),
            Layout::Interleaved => forward::<LANES>(geometry, pass),
        }
    }

    fn backward(&self, pass: Backward<'_>) {
        let geometry = self.geometry(pass.input).expect("the input was planned for");
        let Some(dx) = pass.dx else { return };
        dx.fill(0.0);
        match pass.layout {
            Layout::SampleMajor => scatter(&geometry, pass.kept, pass.dy, dx),
            Layout::Interleaved => {
                let dx = pixels_mut::<LANES>(dx).chunks_exact_mut(geometry.in_plane());
                let dy = pixels(pass.dy).chunks_exact(geometry.out_plane());
                let positions = pixels(pass.kept).chunks_exact(geometry.out_plane());
                for ((dx, dy), positions) in dx.zip(dy).zip(positions) {
                    vectorize_work(Select {
                        geometry,
                        positions,
                        dy,
                        dx,
                    });
                }
            }
        }
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

/// Whether `x` is taken rather than the largest value so far. NaN always is, so that it is not hidden.
#[inline(always)]
fn wins(x: Float, largest: Float) -> bool {
    x >= largest || x.is_nan()
}

fn forward<const N: usize>(geometry: Geometry, pass: Forward<'_>) {
    let p = geometry.out_plane();
    let planes = pixels::<N>(pass.x).chunks_exact(geometry.in_plane());
    let planes = planes.zip(pixels_mut(pass.y).chunks_exact_mut(p));
    if pass.training {
        for ((x, y), positions) in planes.zip(pixels_mut(pass.kept).chunks_exact_mut(p)) {
            vectorize_work(PoolWithPositions {
                geometry,
                x,
                y,
                positions,
            });
        }
    } else {
        for (x, y) in planes {
            vectorize_work(Pool { geometry, x, y });
        }
    }
}

/// The largest value of each window. From the last tap to the first, so that of equal values the first in the window wins.
struct Pool<'a, const N: usize> {
    geometry: Geometry,
    x: &'a [[Float; N]],
    y: &'a mut [[Float; N]],
}

impl<const N: usize> Work for Pool<'_, N> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Pool { geometry, x, y } = self;
        y.fill([Float::NEG_INFINITY; N]);
        for tap in (0..geometry.taps()).rev() {
            for run in geometry.runs(tap) {
                let pixels = x[run.x..].iter().step_by(geometry.columns.stride);
                for (y, x) in y[run.y..][..run.count].iter_mut().zip(pixels) {
                    for (y, &x) in y.iter_mut().zip(x) {
                        *y = if wins(x, *y) { x } else { *y };
                    }
                }
            }
        }
    }
}

/// The largest value of each window, and where in the plane it is.
struct PoolWithPositions<'a, const N: usize> {
    geometry: Geometry,
    x: &'a [[Float; N]],
    y: &'a mut [[Float; N]],
    positions: &'a mut [[Float; N]],
}

impl<const N: usize> Work for PoolWithPositions<'_, N> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let PoolWithPositions {
            geometry,
            x,
            y,
            positions,
        } = self;
        y.fill([Float::NEG_INFINITY; N]);
        for tap in (0..geometry.taps()).rev() {
            for run in geometry.runs(tap) {
                let pixels = x[run.x..].iter().enumerate().step_by(geometry.columns.stride);
                let outputs = y[run.y..][..run.count]
                    .iter_mut()
                    .zip(&mut positions[run.y..][..run.count]);
                for ((y, positions), (i, x)) in outputs.zip(pixels) {
                    let here = (run.x + i) as Float;
                    for ((y, position), &x) in y.iter_mut().zip(positions).zip(x) {
                        // Two choices without a jump: which value is larger can't be predicted.
                        let wins = wins(x, *y);
                        *y = if wins { x } else { *y };
                        *position = if wins { here } else { *position };
                    }
                }
            }
        }
    }
}

/// dx += dy at the positions of the largest values.
fn scatter(geometry: &Geometry, positions: &[Float], dy: &[Float], dx: &mut [Float]) {
    let (n, p) = (geometry.in_plane(), geometry.out_plane());
    let planes = dx.chunks_exact_mut(n).zip(dy.chunks_exact(p));
    for ((dx, dy), positions) in planes.zip(positions.chunks_exact(p)) {
        for (dy, &position) in dy.iter().zip(positions) {
            dx[position as usize] += dy;
        }
    }
}

/// The same for several samples at once, whose positions differ: each pixel of a window takes dy if it was the largest.
struct Select<'a, const N: usize> {
    geometry: Geometry,
    positions: &'a [[Float; N]],
    dy: &'a [[Float; N]],
    dx: &'a mut [[Float; N]],
}

impl<const N: usize> Work for Select<'_, N> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Select {
            geometry,
            positions,
            dy,
            dx,
        } = self;
        for tap in 0..geometry.taps() {
            for run in geometry.runs(tap) {
                let pixels = dx[run.x..].iter_mut().enumerate().step_by(geometry.columns.stride);
                let outputs = dy[run.y..][..run.count].iter().zip(&positions[run.y..]);
                for ((i, dx), (dy, positions)) in pixels.zip(outputs) {
                    let here = (run.x + i) as Float;
                    for ((dx, &dy), &position) in dx.iter_mut().zip(dy).zip(positions) {
                        *dx += if position == here { dy } else { 0.0 };
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{Rig, check};

    #[test]
    fn an_image_by_hand() {
        let layer = MaxPool2d::new(2);
        let rig = Rig::new(&layer, [1, 2, 5]).unwrap();
        let x = [1.0, 5.0, -3.0, -4.0, 9.0, 2.0, 3.0, -2.0, -1.0, 9.0];
        let step = rig.step(&x, &[1.0, 2.0]).unwrap();
        assert_eq!(step.y, [5.0, -1.0]);
        assert_eq!(step.dx, [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0]);
    }

    #[test]
    fn overlapping_windows_add_their_gradients() {
        let layer = MaxPool2d::new((1, 2)).stride(1);
        let step = Rig::new(&layer, [1, 1, 3])
            .unwrap()
            .step(&[1.0, 7.0, 2.0], &[1.0, 10.0])
            .unwrap();
        assert_eq!(step.dx, [0.0, 11.0, 0.0]);
    }

    #[test]
    fn of_equal_values_the_first_wins() {
        let layer = MaxPool2d::new(2).padding(1).stride(1);
        let step = Rig::new(&layer, [1, 2, 2])
            .unwrap()
            .step(&[0.0; 4], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0])
            .unwrap();
        // Window (i, j) starts at pixel (max(i − 1, 0), max(j − 1, 0)).
        assert_eq!(step.dx, [1.0 + 2.0 + 4.0 + 5.0, 3.0 + 6.0, 7.0 + 8.0, 9.0]);
    }

    #[test]
    fn padding_never_wins() {
        let layer = MaxPool2d::new(3).padding(1);
        let rig = Rig::new(&layer, [1, 2, 2]).unwrap();
        assert_eq!(rig.infer(&[-3.0, -2.0, -4.0, -5.0]).unwrap(), [-2.0]);
        assert_eq!(rig.infer(&[Float::NEG_INFINITY; 4]).unwrap(), [Float::NEG_INFINITY]);
        let step = rig.step(&[Float::NEG_INFINITY; 4], &[1.0]).unwrap();
        assert_eq!(step.dx, [1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn a_nan_is_not_hidden() {
        let layer = MaxPool2d::new(2);
        let rig = Rig::new(&layer, [1, 2, 2]).unwrap();
        for i in 0..4 {
            let mut x = [1.0, 2.0, 3.0, 4.0];
            x[i] = Float::NAN;
            assert!(rig.infer(&x).unwrap()[0].is_nan() && rig.step(&x, &[1.0]).unwrap().y[0].is_nan());
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
        let rig = Rig::new(&layer, [1, 2, 2]).unwrap();
        rig.step(&[9.0, 0.0, 0.0, 0.0], &[1.0]).unwrap();
        // More samples than were trained on, their maxima elsewhere.
        assert_eq!(
            rig.infer(&[0.0, 1.0, 2.0, 3.0, 4.0, 3.0, 2.0, 1.0]).unwrap(),
            [3.0, 4.0]
        );
    }

    /// The original read the wrong pixels where height and width differ.
    #[test]
    fn defect_11_non_square_images_and_windows() {
        let x: Vec<Float> = (0..24).map(|i| i as Float).collect();
        let infer = |kernel: (usize, usize)| Rig::new(&MaxPool2d::new(kernel), [1, 4, 6]).unwrap().infer(&x).unwrap();
        assert_eq!(infer((2, 3)), [8.0, 11.0, 20.0, 23.0]);
        assert_eq!(infer((4, 1)), [18.0, 19.0, 20.0, 21.0, 22.0, 23.0]);
        assert_eq!(infer((1, 6)), [5.0, 11.0, 17.0, 23.0]);
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let refuse = |layer: MaxPool2d, input: &[usize]| layer.plan(&Shape::from(input)).unwrap_err();
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
        assert!(refuse(MaxPool2d::new(2), &[1, 5000, 5000]).contains("up to 16777216 pixels"));
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
