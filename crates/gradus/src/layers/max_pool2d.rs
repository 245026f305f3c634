//! Two-dimensional max pooling.
//!
//! Training keeps which tap of its window each largest value was under; inference keeps nothing.

use gradus_kernels::interleaved::MaxPool;
use gradus_kernels::vectorize;
use serde::{Deserialize, Serialize};

use super::window::{Geometry, Padding, Size2};
use crate::layer::{Backward, Forward, Layer, Layout, Layouts, Operation, OutputKind, Plan};
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
        let output = geometry.output(geometry.channels);
        Ok(Plan::new(&output)
            .saved(output.size())
            .scratch(geometry.columns.input, 0)
            .layouts(Layouts::PreferInterleaved)
            .forgets_output())
    }

    fn forward(&self, pass: Forward<'_>) {
        let geometry = self.geometry(pass.input).expect("the input was planned for");
        if pass.layout == Layout::Interleaved {
            let taps = pass.training.then_some(pass.saved);
            return kernel(&geometry).forward(pass.x, pass.y, taps);
        }
        let (n, p) = (geometry.in_plane(), geometry.out_plane());
        let planes = pass.x.chunks_exact(n).zip(pass.y.chunks_exact_mut(p));
        if pass.training {
            for ((x, y), taps) in planes.zip(pass.saved.chunks_exact_mut(p)) {
                vectorize(|| pool_with_taps(geometry, x, y, taps));
            }
        } else {
            for (x, y) in planes {
                pool(geometry, x, y, pass.scratch);
            }
        }
    }

    fn backward(&self, pass: Backward<'_>) {
        let geometry = self.geometry(pass.input).expect("the input was planned for");
        let Some(dx) = pass.dx else { return };
        if pass.layout == Layout::Interleaved {
            return kernel(&geometry).input_gradient(pass.saved, pass.dy, dx);
        }
        let (n, p) = (geometry.in_plane(), geometry.out_plane());
        dx.fill(0.0);
        let planes = dx.chunks_exact_mut(n).zip(pass.dy.chunks_exact(p));
        for ((dx, dy), taps) in planes.zip(pass.saved.chunks_exact(p)) {
            vectorize(|| spread(geometry, taps, dy, dx));
        }
    }

    fn operation(&self, input: &Shape) -> Option<Operation> {
        let window = self.geometry(input).ok()?.window();
        Some(Operation::MaxPool { window })
    }

    fn output_kind(&self) -> OutputKind {
        OutputKind::SameAsInput
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

/// The same for samples side by side.
fn kernel(geometry: &Geometry) -> MaxPool {
    MaxPool {
        rows: geometry.rows.kernel_axis(),
        columns: geometry.columns.kernel_axis(),
    }
}

/// The largest value of each window of a plane: of each column first, and then of those. From the last to the first, so that of
/// equal values the first wins. `row` is memory for a row of x.
fn pool(geometry: Geometry, x: &[Float], y: &mut [Float], row: &mut [Float]) {
    let Geometry { rows, columns, .. } = geometry;
    let row = &mut row[..columns.input];
    let in_pairs = columns.kernel == 2 && columns.stride == 2 && !geometry.is_padded();
    for (i, y) in y.chunks_exact_mut(columns.output).enumerate() {
        vectorize(|| {
            row.fill(Float::NEG_INFINITY);
            for k in rows.inside(i).rev() {
                let x = &x[rows.position(i, k) * columns.input..][..columns.input];
                for (largest, &x) in row.iter_mut().zip(x) {
                    *largest = if wins(x, *largest) { x } else { *largest };
                }
            }
        });
        if in_pairs {
            // Nearly always; and pairs the compiler can take apart with vector instructions.
            vectorize(|| {
                for (y, &[first, second]) in y.iter_mut().zip(row.as_chunks().0) {
                    *y = if wins(first, second) { first } else { second };
                }
            });
            continue;
        }
        y.fill(Float::NEG_INFINITY);
        for l in (0..columns.kernel).rev() {
            let outputs = columns.outputs(l);
            if outputs.is_empty() {
                continue;
            }
            let x = row[columns.position(outputs.start, l)..].iter().step_by(columns.stride);
            for (y, &x) in y[outputs].iter_mut().zip(x) {
                *y = if wins(x, *y) { x } else { *y };
            }
        }
    }
}

/// The largest value of each window, and which of its taps it is under.
#[inline(always)]
fn pool_with_taps(geometry: Geometry, x: &[Float], y: &mut [Float], taps: &mut [Float]) {
    y.fill(Float::NEG_INFINITY);
    for tap in (0..geometry.taps()).rev() {
        for run in geometry.runs(tap) {
            let pixels = x[run.x..].iter().step_by(geometry.columns.stride);
            let outputs = y[run.y..][..run.count].iter_mut().zip(&mut taps[run.y..]);
            for ((y, which), &x) in outputs.zip(pixels) {
                // Two choices without a jump: which value is larger can't be predicted.
                let wins = wins(x, *y);
                *y = if wins { x } else { *y };
                *which = if wins { tap as Float } else { *which };
            }
        }
    }
}

/// Adds each dy to the dx under the tap of its window's largest value.
#[inline(always)]
fn spread(geometry: Geometry, taps: &[Float], dy: &[Float], dx: &mut [Float]) {
    for tap in 0..geometry.taps() {
        for run in geometry.runs(tap) {
            let pixels = dx[run.x..].iter_mut().step_by(geometry.columns.stride);
            let outputs = dy[run.y..][..run.count].iter().zip(&taps[run.y..]);
            for (dx, (&dy, &which)) in pixels.zip(outputs) {
                *dx += if which == tap as Float { dy } else { 0.0 };
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
