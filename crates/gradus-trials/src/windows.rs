//! Windows that slide over sequences and images: their settings, and where they lie.

use serde_json::{Value, json};

/// What surrounds a sequence or an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Padding {
    /// Nothing.
    Valid,
    /// As much as makes output = ⌈input / stride⌉; where it is odd, one more at the end.
    Same,
    /// Before and after, for each axis.
    Explicit(Vec<[usize; 2]>),
}

impl Padding {
    /// As the library's files have it.
    pub fn json(&self) -> Value {
        match self {
            Padding::Valid => json!("valid"),
            Padding::Same => json!("same"),
            Padding::Explicit(axes) => match axes[..] {
                [[before, after]] => json!({ "explicit": { "before": before, "after": after } }),
                [[top, bottom], [left, right]] => {
                    json!({ "explicit": { "top": top, "bottom": bottom, "left": left, "right": right } })
                }
                _ => unreachable!("sequences have one axis, images two"),
            },
        }
    }

    /// Before and after, of one axis; none where it depends on the window.
    pub fn of_axis(&self, axis: usize) -> Option<[usize; 2]> {
        match self {
            Padding::Valid => Some([0, 0]),
            Padding::Same => None,
            Padding::Explicit(axes) => Some(axes[axis]),
        }
    }
}

/// The settings of windows, with a number for each axis: one for sequences, two for images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Windows {
    pub kernel: Vec<usize>,
    pub stride: Vec<usize>,
    pub dilation: Vec<usize>,
    pub padding: Padding,
}

impl Windows {
    /// The number of axes.
    pub fn axes(&self) -> usize {
        self.kernel.len()
    }

    /// The settings of a convolution as the library's files have them.
    pub fn convolution_json(&self) -> Value {
        json!({
            "kernel": numbers(&self.kernel), "stride": numbers(&self.stride), "dilation": numbers(&self.dilation),
            "padding": self.padding.json()
        })
    }

    /// The settings of pooling as the library's files have them: without a stride, it is the kernel's size.
    pub fn pooling_json(&self) -> Value {
        let mut settings = json!({ "kernel": numbers(&self.kernel), "padding": self.padding.json() });
        if self.stride != self.kernel {
            settings["stride"] = numbers(&self.stride);
        }
        settings
    }

    /// The windows on samples of this shape; none if these have another number of axes, or the window is larger than the padded
    /// sample.
    pub fn on(&self, shape: &[usize]) -> Option<Window> {
        self.window(shape, |i, input| {
            Axis::new(
                input,
                [self.kernel[i], self.stride[i], self.dilation[i]],
                self.padding.of_axis(i),
            )
        })
    }

    /// The windows of a transposed convolution of samples of this shape: those of the convolution from its outputs to its inputs.
    /// None if nothing is left of an output.
    pub fn transposed_on(&self, shape: &[usize], output_padding: [usize; 2]) -> Option<Window> {
        self.window(shape, |i, output| {
            let (stride, span) = (self.stride[i], (self.kernel[i] - 1) * self.dilation[i] + 1);
            let full = (output - 1) * stride + span + output_padding[i];
            let [before, after] = self.padding.of_axis(i).unwrap_or_else(|| {
                let all = full.saturating_sub(output * stride);
                [all / 2, all - all / 2]
            });
            let input = match self.padding {
                Padding::Same => output * stride,
                _ => full.checked_sub(before + after).filter(|&size| size > 0)?,
            };
            Some(Axis {
                input,
                output,
                kernel: self.kernel[i],
                stride,
                dilation: self.dilation[i],
                before,
            })
        })
    }

    fn window(&self, shape: &[usize], axis: impl Fn(usize, usize) -> Option<Axis>) -> Option<Window> {
        match *shape {
            [channels, length] if self.axes() == 1 => Some(Window {
                channels,
                rows: Axis::new(1, [1, 1, 1], Some([0, 0]))?,
                columns: axis(0, length)?,
            }),
            [channels, height, width] if self.axes() == 2 => Some(Window {
                channels,
                rows: axis(0, height)?,
                columns: axis(1, width)?,
            }),
            _ => None,
        }
    }
}

/// A number for each axis as the library's files have them: for sequences, the number itself.
fn numbers(axes: &[usize]) -> Value {
    match axes {
        [one] => json!(one),
        axes => json!(axes),
    }
}

/// A window that moves along one axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Axis {
    pub input: usize,
    pub output: usize,
    pub kernel: usize,
    pub stride: usize,
    pub dilation: usize,
    pub before: usize,
}

impl Axis {
    /// None if the window is larger than the padded input.
    fn new(input: usize, [kernel, stride, dilation]: [usize; 3], padding: Option<[usize; 2]>) -> Option<Axis> {
        let span = (kernel - 1) * dilation + 1;
        let [before, after] = padding.unwrap_or_else(|| {
            let output = input.div_ceil(stride);
            let all = ((output - 1) * stride + span).saturating_sub(input);
            [all / 2, all - all / 2]
        });
        let output = (before + input + after).checked_sub(span)? / stride + 1;
        Some(Axis {
            input,
            output,
            kernel,
            stride,
            dilation,
            before,
        })
    }

    /// Where tap `k` of the window of output `o` lies, unless on the padding.
    pub fn position(&self, o: usize, k: usize) -> Option<usize> {
        (o * self.stride + k * self.dilation)
            .checked_sub(self.before)
            .filter(|&i| i < self.input)
    }

    /// Whether each window sees some of the input.
    fn sees(&self) -> bool {
        (0..self.output).all(|o| (0..self.kernel).any(|k| self.position(o, k).is_some()))
    }

    /// Whether each tap sees some of the input.
    fn every_tap_sees(&self) -> bool {
        (0..self.kernel).all(|k| (0..self.output).any(|o| self.position(o, k).is_some()))
    }
}

/// A window that moves over channels × height × width; of a sequence, the height is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub channels: usize,
    pub rows: Axis,
    pub columns: Axis,
}

impl Window {
    /// Whether each window sees some of the input.
    pub fn sees(&self) -> bool {
        self.rows.sees() && self.columns.sees()
    }

    /// Whether each tap sees some of the input, in some window.
    pub fn every_tap_sees(&self) -> bool {
        self.rows.every_tap_sees() && self.columns.every_tap_sees()
    }

    /// The number of taps.
    pub fn taps(&self) -> usize {
        self.rows.kernel * self.columns.kernel
    }

    /// The number of input pixels of a channel.
    pub fn pixel_count(&self) -> usize {
        self.rows.input * self.columns.input
    }

    /// The pixels, as positions in one channel, that the window of output (i, j) sees, each with its tap.
    pub fn pixels(&self, i: usize, j: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        let (rows, columns) = (self.rows, self.columns);
        (0..rows.kernel).flat_map(move |k| {
            (0..columns.kernel).filter_map(move |l| {
                let (row, column) = (rows.position(i, k)?, columns.position(j, l)?);
                Some((row * columns.input + column, k * columns.kernel + l))
            })
        })
    }

    /// The output positions (i, j), row by row.
    pub fn outputs(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (rows, columns) = (self.rows.output, self.columns.output);
        (0..rows).flat_map(move |i| (0..columns).map(move |j| (i, j)))
    }
}
