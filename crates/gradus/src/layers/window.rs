//! The geometry of a window that slides over an image, for convolution and pooling.

use std::fmt;
use std::ops::Range;

use gradus_kernels::interleaved;
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::checked_size;
use crate::Shape;
use crate::layer::{Window, WindowAxis};

/// The most pixels of a window: with more, a pass would hardly end, however small the image and its output are.
pub(super) const MOST_TAPS: usize = 1 << 24;

/// A height and a width, of a window or of its steps. A number is both: `3`; else `(height, width)` or `[height, width]`.
///
/// ```
/// use gradus::layers::Size2;
/// assert_eq!(Size2::from(3), Size2::from((3, 3)));
/// assert_eq!(Size2::from([3, 5]).to_string(), "3×5");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Size2File")]
pub struct Size2 {
    /// Down.
    pub height: usize,
    /// Across.
    pub width: usize,
}

impl Size2 {
    pub(super) const ONE: Size2 = Size2 { height: 1, width: 1 };

    pub(super) fn one() -> Self {
        Self::ONE
    }
}

impl From<usize> for Size2 {
    fn from(size: usize) -> Self {
        Size2 {
            height: size,
            width: size,
        }
    }
}

impl From<(usize, usize)> for Size2 {
    fn from((height, width): (usize, usize)) -> Self {
        Size2 { height, width }
    }
}

impl From<[usize; 2]> for Size2 {
    fn from([height, width]: [usize; 2]) -> Self {
        Size2 { height, width }
    }
}

impl fmt::Display for Size2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}×{}", self.height, self.width)
    }
}

/// A [`Size2`] in files: `3` or `[3, 5]`.
#[derive(Serialize)]
#[serde(untagged)]
enum Size2File {
    Square(usize),
    Pair([usize; 2]),
}

impl TryFrom<Value> for Size2 {
    type Error = &'static str;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        let size = |value: &Value| value.as_u64().and_then(|size| usize::try_from(size).ok());
        let pair = match &value {
            Value::Array(pair) if pair.len() == 2 => size(&pair[0]).zip(size(&pair[1])),
            one => size(one).map(|size| (size, size)),
        };
        pair.map(Size2::from)
            .ok_or("invalid value, expected a whole number of at least 0, or two in a list")
    }
}

impl From<Size2> for Size2File {
    fn from(size: Size2) -> Self {
        if size.height == size.width {
            Size2File::Square(size.height)
        } else {
            Size2File::Pair([size.height, size.width])
        }
    }
}

/// What surrounds an image, so that windows can reach over its edges. A number pads all four sides alike.
///
/// Along one axis, tap k of the window for output o falls on input
///
/// i = o · stride + k · dilation − before,
///
/// which is padding unless 0 ≤ i < input. The last output is the last whose whole window fits into the padded input:
///
/// output = ⌊(before + input + after − span) / stride⌋ + 1, where span = (kernel − 1) · dilation + 1.
///
/// In files it is `"valid"`, `"same"`, a number, or `{"explicit": {"top": 1, "bottom": 2, "left": 3, "right": 4}}`.
///
/// Source: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", remote = "Self")]
pub enum Padding {
    /// Nothing.
    #[default]
    Valid,
    /// As much as makes output = ⌈input / stride⌉, half of it on each side; where it is odd, one more at the bottom and
    /// on the right.
    Same,
    /// So many rows and columns.
    Explicit {
        /// Rows above.
        top: usize,
        /// Rows below.
        bottom: usize,
        /// Columns on the left.
        left: usize,
        /// Columns on the right.
        right: usize,
    },
}

impl From<usize> for Padding {
    fn from(size: usize) -> Self {
        Padding::Explicit {
            top: size,
            bottom: size,
            left: size,
            right: size,
        }
    }
}

impl Serialize for Padding {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Padding::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Padding {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PaddingFile)
    }
}

/// Reads a [`Padding`] from a file.
struct PaddingFile;

impl<'de> Visitor<'de> for PaddingFile {
    type Value = Padding;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"valid\", \"same\", a number of pixels for all four sides, or `explicit` with top, bottom, left and right")
    }

    fn visit_u64<E: de::Error>(self, size: u64) -> Result<Padding, E> {
        let size = usize::try_from(size).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(size), &self))?;
        Ok(size.into())
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Padding, E> {
        Padding::deserialize(StrDeserializer::new(name))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Padding, A::Error> {
        Padding::deserialize(MapAccessDeserializer::new(map))
    }
}

/// A window over images of one shape.
#[derive(Debug, Clone, Copy)]
pub(super) struct Geometry {
    pub(super) channels: usize,
    pub(super) rows: WindowAxis,
    pub(super) columns: WindowAxis,
}

/// Neighboring outputs of a row that one tap of the window joins to the input: output `y + i` of the plane meets input
/// `x + i · stride`, for i < `count`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) count: usize,
}

impl Geometry {
    /// The geometry of this window over `input`, for the layer named `kind`; or a sentence that says why there is none.
    pub(super) fn new(
        kind: &str,
        input: &Shape,
        kernel: Size2,
        stride: Size2,
        dilation: Size2,
        padding: Padding,
    ) -> Result<Self, String> {
        let Some((channels, height, width)) = input.image() else {
            return Err(not_an_image(kind, input));
        };
        if input.size() == 0 {
            return Err(format!("{kind} needs an image with at least one pixel, got {input}"));
        }
        for (name, size) in [("kernel", kernel), ("stride", stride), ("dilation", dilation)] {
            if size.height == 0 || size.width == 0 {
                return Err(format!("the {name} of {kind} must be at least 1×1, not {size}"));
            }
        }
        if kernel.height.saturating_mul(kernel.width) > MOST_TAPS {
            return Err(format!(
                "the kernel of {kind} is {kernel}, larger than any image: more than {MOST_TAPS} pixels"
            ));
        }
        let (vertical, horizontal) = match padding {
            Padding::Valid => (Some((0, 0)), Some((0, 0))),
            Padding::Same => (None, None),
            Padding::Explicit {
                top,
                bottom,
                left,
                right,
            } => (Some((top, bottom)), Some((left, right))),
        };
        let geometry = Geometry {
            channels,
            rows: WindowAxis::new(
                "height",
                height,
                kernel.height,
                stride.height,
                dilation.height,
                vertical,
            )?,
            columns: WindowAxis::new("width", width, kernel.width, stride.width, dilation.width, horizontal)?,
        };
        for (what, rows, columns) in [
            ("input", geometry.rows.input, geometry.columns.input),
            ("output", geometry.rows.output, geometry.columns.output),
        ] {
            checked_size(format_args!("each channel of the {what} of {kind}"), &[rows, columns])?;
        }
        Ok(geometry)
    }

    /// The windows, for others.
    pub(super) fn window(&self) -> Window {
        Window {
            rows: self.rows,
            columns: self.columns,
        }
    }

    /// Pixels of one input channel.
    pub(super) fn in_plane(&self) -> usize {
        self.rows.input * self.columns.input
    }

    /// Pixels of one output channel.
    pub(super) fn out_plane(&self) -> usize {
        self.rows.output * self.columns.output
    }

    /// Pixels in a window.
    pub(super) fn taps(&self) -> usize {
        self.rows.kernel * self.columns.kernel
    }

    /// The shape of the input.
    pub(super) fn input(&self) -> Shape {
        Shape::from([self.channels, self.rows.input, self.columns.input])
    }

    /// The shape of the output with `channels` channels.
    pub(super) fn output(&self, channels: usize) -> Shape {
        Shape::from([channels, self.rows.output, self.columns.output])
    }

    /// Whether output and input are the same pixels: a 1×1 window, one step at a time, no padding.
    pub(super) fn is_identity(&self) -> bool {
        self.taps() == 1 && self.out_plane() == self.in_plane() && self.rows.stride == 1 && self.columns.stride == 1
    }

    /// Whether some tap of some window falls on padding.
    pub(super) fn is_padded(&self) -> bool {
        [self.rows, self.columns]
            .iter()
            .any(|axis| axis.outputs(0).len() < axis.output || axis.outputs(axis.kernel - 1).len() < axis.output)
    }

    /// The runs of outputs that tap `tap` (row by row) of the window joins to the input.
    #[inline(always)]
    pub(super) fn runs(self, tap: usize) -> impl Iterator<Item = Run> {
        let (ky, kx) = (tap / self.columns.kernel, tap % self.columns.kernel);
        let across = self.columns.outputs(kx);
        let count = across.len();
        let first = if count > 0 {
            self.columns.position(across.start, kx)
        } else {
            0
        };
        let down = if count > 0 { self.rows.outputs(ky) } else { 0..0 };
        down.map(move |oy| Run {
            x: self.rows.position(oy, ky) * self.columns.input + first,
            y: oy * self.columns.output + across.start,
            count,
        })
    }

    /// Refuses padding that leaves a window with nothing but padding in it.
    pub(super) fn every_window_sees_the_image(&self, kind: &str) -> Result<(), String> {
        for (name, axis) in [("height", self.rows), ("width", self.columns)] {
            if axis.inside(0).is_empty() || axis.inside(axis.output - 1).is_empty() {
                return Err(format!(
                    "the padding of {kind} leaves windows of {name} {} that see nothing but padding",
                    axis.kernel
                ));
            }
        }
        Ok(())
    }
}

impl WindowAxis {
    /// `padding` is what comes before and after the input; `None` for as much as makes output = ⌈input / stride⌉.
    pub(super) fn new(
        name: &str,
        input: usize,
        kernel: usize,
        stride: usize,
        dilation: usize,
        padding: Option<(usize, usize)>,
    ) -> Result<Self, String> {
        let too_large =
            || format!("the window's {name} is larger than any image: kernel {kernel}, dilation {dilation}");
        let span = (kernel - 1)
            .checked_mul(dilation)
            .and_then(|reach| reach.checked_add(1))
            .ok_or_else(too_large)?;
        let (before, padded) = match padding {
            Some((before, after)) => {
                let padded = input.checked_add(before).and_then(|sum| sum.checked_add(after));
                (before, padded.ok_or_else(too_large)?)
            }
            None => {
                let needed = ((input.div_ceil(stride) - 1) * stride)
                    .checked_add(span)
                    .ok_or_else(too_large)?;
                (needed.saturating_sub(input) / 2, needed.max(input))
            }
        };
        if span > padded {
            let dilated = if dilation > 1 { " with its dilation" } else { "" };
            return Err(format!(
                "the kernel's {name}{dilated} is {span}, more than the {name} of the padded input, {padded}"
            ));
        }
        Ok(WindowAxis {
            input,
            output: (padded - span) / stride + 1,
            kernel,
            stride,
            dilation,
            before,
        })
    }

    /// More than any number of pixels between two places of the axis, with its padding.
    pub(super) fn reach(&self) -> usize {
        let outputs = self.output.saturating_mul(self.stride);
        let taps = self.kernel.saturating_mul(self.dilation);
        outputs
            .saturating_add(taps)
            .saturating_add(self.input)
            .saturating_add(self.before)
    }

    /// The axis as the kernels for samples side by side want it.
    pub(super) fn kernel_axis(&self) -> interleaved::Axis {
        interleaved::Axis {
            input: self.input,
            kernel: self.kernel,
            stride: self.stride,
            dilation: self.dilation,
            padding: self.before,
            output: self.output,
        }
    }

    /// The input that tap `tap` of output `output` falls on, unless that is padding.
    pub(super) fn input_at(&self, output: usize, tap: usize) -> Option<usize> {
        let input = (output * self.stride + tap * self.dilation).checked_sub(self.before)?;
        (input < self.input).then_some(input)
    }

    /// The output whose tap `tap` falls on input `input`, if there is one.
    pub(super) fn output_at(&self, input: usize, tap: usize) -> Option<usize> {
        let start = (input + self.before).checked_sub(tap * self.dilation)?;
        let output = start / self.stride;
        (start.is_multiple_of(self.stride) && output < self.output).then_some(output)
    }

    /// The input that tap `tap` of output `output` falls on, which must not be padding.
    #[inline]
    pub(super) fn position(&self, output: usize, tap: usize) -> usize {
        output * self.stride + tap * self.dilation - self.before
    }

    /// The outputs whose tap `tap` does not fall on padding.
    #[inline]
    pub(super) fn outputs(&self, tap: usize) -> Range<usize> {
        let offset = tap * self.dilation;
        let end = (self.before + self.input)
            .saturating_sub(offset)
            .div_ceil(self.stride)
            .min(self.output);
        let start = self.before.saturating_sub(offset).div_ceil(self.stride).min(end);
        start..end
    }

    /// The taps of output `output` that don't fall on padding.
    #[inline]
    pub(super) fn inside(&self, output: usize) -> Range<usize> {
        let offset = output * self.stride;
        let end = (self.before + self.input)
            .saturating_sub(offset)
            .div_ceil(self.dilation)
            .min(self.kernel);
        let start = self.before.saturating_sub(offset).div_ceil(self.dilation).min(end);
        start..end
    }
}

/// The sentence for an input that is not `[channels, height, width]`.
pub(super) fn not_an_image(kind: &str, input: &Shape) -> String {
    format!("{kind} needs an image of shape channels×height×width, got {input}: put a Reshape before it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_in_a_file_pads_all_sides() {
        let read = |text: &str| serde_json::from_str::<Padding>(text).map_err(|e| e.to_string());
        assert_eq!(read("1"), Ok(Padding::from(1)));
        let explicit = Padding::Explicit {
            top: 1,
            bottom: 2,
            left: 3,
            right: 4,
        };
        for padding in [Padding::Valid, Padding::Same, Padding::from(2), explicit] {
            let file = serde_json::to_string(&padding).unwrap();
            assert_eq!(read(&file), Ok(padding), "{file}");
        }
        assert_eq!(
            serde_json::to_string(&explicit).unwrap(),
            r#"{"explicit":{"top":1,"bottom":2,"left":3,"right":4}}"#
        );
        for (file, expected) in [
            ("-1", "a number of pixels for all four sides"),
            ("1.5", "a number of pixels"),
            ("[1, 2]", "`explicit` with top"),
            ("\"smae\"", "unknown variant `smae`"),
            ("{\"explicit\": {\"top\": 1}}", "missing field"),
        ] {
            let found = read(file).unwrap_err();
            assert!(found.contains(expected), "{found}");
        }
    }

    fn axis(
        input: usize,
        kernel: usize,
        stride: usize,
        dilation: usize,
        padding: Option<(usize, usize)>,
    ) -> WindowAxis {
        WindowAxis::new("width", input, kernel, stride, dilation, padding).unwrap()
    }

    #[test]
    fn ranges_are_those_of_the_definition() {
        let mut cases = 0;
        for input in 1..8 {
            for kernel in 1..5 {
                for (stride, dilation) in [(1, 1), (2, 1), (3, 1), (1, 2), (2, 3), (5, 7)] {
                    for padding in [Some((0, 0)), Some((1, 0)), Some((0, 2)), Some((9, 3)), None] {
                        let Ok(axis) = WindowAxis::new("width", input, kernel, stride, dilation, padding) else {
                            continue;
                        };
                        cases += 1;
                        let is_inside = |output: usize, tap: usize| {
                            let i = output * stride + tap * dilation;
                            i >= axis.before && i < axis.before + input
                        };
                        for tap in 0..kernel {
                            let outputs: Vec<usize> = (0..axis.output).filter(|&o| is_inside(o, tap)).collect();
                            assert_eq!(axis.outputs(tap).collect::<Vec<_>>(), outputs, "{axis:?}, tap {tap}");
                            for i in 0..input {
                                let met = (0..axis.output).find(|&output| axis.input_at(output, tap) == Some(i));
                                assert_eq!(axis.output_at(i, tap), met, "{axis:?}, tap {tap}, input {i}");
                            }
                        }
                        for output in 0..axis.output {
                            let taps: Vec<usize> = (0..kernel).filter(|&k| is_inside(output, k)).collect();
                            assert_eq!(
                                axis.inside(output).collect::<Vec<_>>(),
                                taps,
                                "{axis:?}, output {output}"
                            );
                        }
                        if padding.is_none() {
                            assert_eq!(axis.output, input.div_ceil(stride), "{axis:?}");
                        }
                    }
                }
            }
        }
        assert!(cases > 500);
    }

    #[test]
    fn sizes_by_hand() {
        assert_eq!(axis(28, 5, 1, 1, Some((0, 0))).output, 24);
        assert_eq!(axis(28, 3, 2, 1, Some((1, 1))).output, 14);
        assert_eq!(axis(28, 3, 1, 2, Some((0, 0))).output, 24);
        // The odd pixel of padding goes to the end.
        assert_eq!(axis(28, 2, 1, 1, None).before, 0);
        assert_eq!(axis(28, 3, 2, 1, None).before, 0);
        assert_eq!(axis(28, 5, 1, 1, None).before, 2);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let refuse = |input: &[usize], kernel: usize, stride: usize, dilation: usize, padding: Padding| {
            let (kernel, stride, dilation) = (kernel.into(), stride.into(), dilation.into());
            Geometry::new("conv2d", &Shape::from(input), kernel, stride, dilation, padding).unwrap_err()
        };
        assert_eq!(
            refuse(&[784], 3, 1, 1, Padding::Valid),
            "conv2d needs an image of shape channels×height×width, got 784: put a Reshape before it"
        );
        assert_eq!(
            refuse(&[1, 5, 3], 4, 1, 1, Padding::Valid),
            "the kernel's width is 4, more than the width of the padded input, 3"
        );
        assert_eq!(
            refuse(&[1, 5, 9], 3, 1, 3, Padding::Valid),
            "the kernel's height with its dilation is 7, more than the height of the padded input, 5"
        );
        assert_eq!(
            refuse(&[1, 5, 5], 3, 0, 1, Padding::Valid),
            "the stride of conv2d must be at least 1×1, not 0×0"
        );
        assert_eq!(
            refuse(&[1, 0, 5], 3, 1, 1, Padding::Same),
            "conv2d needs an image with at least one pixel, got 1×0×5"
        );
        assert!(refuse(&[1, 5, 5], 3, 1, usize::MAX, Padding::Same).contains("larger than any image"));
        assert!(refuse(&[1, 5, 5], usize::MAX, 1, 1, Padding::Same).contains("larger than any image"));
        assert!(refuse(&[1, 5, 5], 3, 1, 1, usize::MAX.into()).contains("larger than any image"));
        // Windows that all see the image, and are as large as their padding all the same.
        let side = 1 << 40;
        assert_eq!(
            refuse(&[1, 1, 1], side, 1, 1, (side - 1).into()),
            "the kernel of conv2d is 1099511627776×1099511627776, larger than any image: more than 16777216 pixels"
        );
        assert!(refuse(&[1, 1, 1], 1, 1, 1, side.into()).contains("each channel of the output"));
        assert!(refuse(&[1, side, side], 1, 1, 1, Padding::Valid).contains("each channel of the input"));
    }

    #[test]
    fn sizes_in_files() {
        let json = |size: Size2| serde_json::to_string(&size).unwrap();
        assert_eq!(json(3.into()), "3");
        assert_eq!(json((3, 5).into()), "[3,5]");
        assert_eq!(serde_json::from_str::<Size2>("[3,5]").unwrap(), Size2::from((3, 5)));
        assert_eq!(serde_json::from_str::<Padding>("\"same\"").unwrap(), Padding::Same);
        assert_eq!(serde_json::to_string(&Padding::Valid).unwrap(), "\"valid\"");
    }
}
