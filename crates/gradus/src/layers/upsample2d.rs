//! Upsampling of images by whole factors.

use serde::{Deserialize, Serialize};

use super::window::not_an_image;
use super::{Size2, checked_size, indices};
use crate::layer::{Backward, BoundLayer, Forward, Layer, Operation, OutputKind, Passes, UpsampleMode};
use crate::{Float, Shape};

/// Enlarges an image by a whole factor along each axis: repeats its pixels, or interpolates between them.
///
/// | mode | forward | backward |
/// | --- | --- | --- |
/// | nearest | `y[c, i, j] = x[c, ⌊i / s⌋, ⌊j / s⌋]` | `dx[c, k, l] = Σ dy[c, i, j]` over the s × s outputs of pixel (k, l) |
/// | bilinear | `y[c, i, j] = Σ w(i, k) · w(j, l) · x[c, k, l]` | `dx[c, k, l] = Σ w(i, k) · w(j, l) · dy[c, i, j]` |
///
/// | | shape |
/// | --- | --- |
/// | x | channels × height × width |
/// | y | channels × height · s × width · s |
///
/// s is the scale of the axis. The weight of pixel k in output i of an axis of n pixels is `w(i, k) = max(0, 1 − |p − k|)`, where
/// `p = (i + 1/2) / s − 1/2` is the position of the output's center among the centers of the pixels, bounded by 0 and n − 1.
/// PyTorch calls this bilinear mode `align_corners=False`, ONNX `half_pixel`.
///
/// Sources: Odena, Dumoulin and Olah, "Deconvolution and checkerboard artifacts", 2016; for the interpolation, Press, Teukolsky,
/// Vetterling and Flannery, "Numerical recipes", 2007, section 3.6.
///
/// ```
/// use gradus::{Layer, Shape, Upsample2d};
/// let features = Shape::from([16, 7, 5]);
/// let bound = Upsample2d::new(2).bind(&features).unwrap();
/// assert_eq!(bound.output(), &Shape::from([16, 14, 10]));
/// let bound = Upsample2d::new((1, 3)).bilinear().bind(&features).unwrap();
/// assert_eq!(bound.output(), &Shape::from([16, 7, 15]));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upsample2d {
    scale: Size2,
    #[serde(default)]
    mode: UpsampleMode,
}

impl Upsample2d {
    /// Upsampling by `scale` that repeats each pixel.
    pub fn new(scale: impl Into<Size2>) -> Self {
        Upsample2d {
            scale: scale.into(),
            mode: UpsampleMode::Nearest,
        }
    }

    /// Interpolates between the pixels instead of repeating them.
    pub fn bilinear(mut self) -> Self {
        self.mode = UpsampleMode::Bilinear;
        self
    }
}

impl Layer for Upsample2d {
    fn kind(&self) -> &'static str {
        "upsample2d"
    }

    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
        let Some((channels, height, width)) = input.image() else {
            return Err(not_an_image(self.kind(), input));
        };
        if input.size() == 0 {
            return Err(format!(
                "{} needs an image with at least one pixel, got {input}",
                self.kind()
            ));
        }
        let Upsample2d { scale, mode } = *self;
        if scale.height == 0 || scale.width == 0 {
            return Err(format!(
                "the scale of {} must be at least 1×1, not {scale}",
                self.kind()
            ));
        }
        let output = [
            channels,
            height.saturating_mul(scale.height),
            width.saturating_mul(scale.width),
        ];
        checked_size("the output of upsample2d", &output)?;
        let axis = |input, scale| Axis { input, scale };
        let upsample = BoundUpsample2d {
            channels,
            rows: axis(height, scale.height),
            columns: axis(width, scale.width),
            mode,
        };
        Ok(BoundLayer::new(output, upsample)
            .with_operation(Operation::Upsample {
                scale: [scale.height, scale.width],
                mode,
            })
            .with_output_kind(OutputKind::SameAsInput))
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

/// An axis of `input` pixels that becomes `scale` times as long.
#[derive(Debug, Clone, Copy)]
struct Axis {
    input: usize,
    scale: usize,
}

impl Axis {
    fn output(self) -> usize {
        self.input * self.scale
    }

    /// The two pixels that output `i` lies between, and their weights.
    fn neighbors(self, i: usize) -> [(usize, Float); 2] {
        // The position p in parts of a pixel, which are whole numbers: rounded, the last output of a pixel might fall into the next.
        let parts = 2 * self.scale;
        let position = (2 * i + 1).saturating_sub(self.scale).min(parts * (self.input - 1));
        let (before, rest) = (position / parts, position % parts);
        let weight = rest as Float / parts as Float;
        let after = (before + 1).min(self.input - 1);
        [(before, 1.0 - weight), (after, weight)]
    }
}

/// Upsampling bound to its images.
#[derive(Debug)]
struct BoundUpsample2d {
    channels: usize,
    rows: Axis,
    columns: Axis,
    mode: UpsampleMode,
}

impl BoundUpsample2d {
    /// All [c, i, j] of y.
    fn outputs(&self) -> impl Iterator<Item = [usize; 3]> {
        indices([self.channels, self.rows.output(), self.columns.output()])
    }

    /// Calls `with` with the place in x and the weight of each pixel that output [c, i, j] is computed from.
    #[inline(always)]
    fn pixels(&self, [c, i, j]: [usize; 3], mut with: impl FnMut(usize, Float)) {
        let BoundUpsample2d { rows, columns, .. } = *self;
        let place = |k: usize, l: usize| (c * rows.input + k) * columns.input + l;
        match self.mode {
            UpsampleMode::Nearest => with(place(i / rows.scale, j / columns.scale), 1.0),
            UpsampleMode::Bilinear => {
                for (k, of_row) in rows.neighbors(i) {
                    for (l, of_column) in columns.neighbors(j) {
                        with(place(k, l), of_row * of_column);
                    }
                }
            }
        }
    }
}

impl Passes for BoundUpsample2d {
    fn forward(&self, pass: Forward<'_>) {
        for (output, y) in self.outputs().zip(pass.y) {
            *y = 0.0;
            self.pixels(output, |at, weight| *y += weight * pass.x[at]);
        }
    }

    fn backward(&self, pass: Backward<'_>) {
        pass.dx.fill(0.0);
        for (output, dy) in self.outputs().zip(pass.dy) {
            self.pixels(output, |at, weight| pass.dx[at] += weight * dy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{LayerHarness, assert_close, check};

    #[test]
    fn pixels_are_repeated() {
        let harness = LayerHarness::new(&Upsample2d::new((2, 3)), [1, 1, 2]).unwrap();
        let dy: Vec<Float> = (1..=12).map(|i| i as Float).collect();
        let step = harness.step(&[5.0, -6.0], &dy).unwrap();
        let row = [5.0, 5.0, 5.0, -6.0, -6.0, -6.0];
        assert_eq!(step.y, [row, row].concat());
        assert_eq!(
            step.dx,
            [1.0 + 2.0 + 3.0 + 7.0 + 8.0 + 9.0, 4.0 + 5.0 + 6.0 + 10.0 + 11.0 + 12.0]
        );
    }

    #[test]
    fn pixels_are_interpolated_between_their_centers() {
        let harness = LayerHarness::new(&Upsample2d::new((1, 2)).bilinear(), [1, 1, 3]).unwrap();
        let step = harness
            .step(&[0.0, 4.0, 8.0], &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
            .unwrap();
        assert_eq!(step.y, [0.0, 1.0, 3.0, 5.0, 7.0, 8.0]);
        assert_eq!(step.dx, [1.0 + 1.5 + 1.0, 0.5 + 3.0 + 6.0 + 4.0, 2.0 + 12.0 + 32.0]);
        // An odd scale meets the centers themselves.
        let harness = LayerHarness::new(&Upsample2d::new((3, 1)).bilinear(), [1, 2, 1]).unwrap();
        assert_close(
            "rows",
            &harness.infer(&[0.0, 3.0]).unwrap(),
            &[0.0, 0.0, 1.0, 2.0, 3.0, 3.0],
            1e-6,
        );
    }

    /// Also by the formula with distances, instead of neighbors.
    #[test]
    fn the_weights_are_those_of_the_formula() {
        for input in 1..6 {
            for scale in 1..8 {
                let axis = Axis { input, scale };
                for i in 0..axis.output() {
                    let p = ((i as f64 + 0.5) / scale as f64 - 0.5).clamp(0.0, (input - 1) as f64);
                    for k in 0..input {
                        let expected = (1.0 - (p - k as f64).abs()).max(0.0);
                        let neighbors = axis.neighbors(i).into_iter();
                        let found: Float = neighbors.filter(|&(at, _)| at == k).map(|(_, weight)| weight).sum();
                        assert!(
                            (f64::from(found) - expected).abs() < 1e-6,
                            "{axis:?}, output {i}, pixel {k}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn the_gradients_are_those_of_finite_differences() {
        for scale in [(1, 1), (2, 2), (3, 2), (1, 4)] {
            check(&Upsample2d::new(scale), [2, 3, 2]);
            check(&Upsample2d::new(scale).bilinear(), [2, 3, 2]);
        }
        check(&Upsample2d::new(5).bilinear(), [1, 1, 1]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let refuse = |scale: Size2, input: &[usize]| Upsample2d::new(scale).bind(&Shape::from(input)).unwrap_err();
        assert_eq!(
            refuse((2, 0).into(), &[1, 2, 2]),
            "the scale of upsample2d must be at least 1×1, not 2×0"
        );
        assert!(refuse(2.into(), &[9]).starts_with("upsample2d needs an image of shape channels×height×width, got 9"));
        assert!(refuse(2.into(), &[1, 0, 3]).contains("at least one pixel"));
        assert!(refuse(usize::MAX.into(), &[1, 2, 2]).contains("more than any memory holds"));
    }

    #[test]
    fn files_name_the_mode() {
        let read = |file: &str| serde_json::from_str::<Upsample2d>(file).map_err(|e| e.to_string());
        assert_eq!(read(r#"{"scale":2}"#), Ok(Upsample2d::new(2)));
        assert_eq!(
            read(r#"{"scale":[1,3],"mode":"bilinear"}"#),
            Ok(Upsample2d::new((1, 3)).bilinear())
        );
        let message = read(r#"{"scale":2,"mode":"bicubic"}"#).unwrap_err();
        assert!(
            message.contains("unknown variant `bicubic`, expected `nearest` or `bilinear`"),
            "{message}"
        );
    }
}
