//! Shapes, and how windows lie on images.

/// What surrounds an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// Nothing.
    Valid,
    /// As much as makes output = ⌈input / stride⌉; where it is odd, one more at the end.
    Same,
    /// Top, bottom, left, right.
    Explicit([usize; 4]),
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
}

/// A window that moves over an image of shape channels × height × width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub channels: usize,
    pub rows: Axis,
    pub columns: Axis,
}

impl Window {
    /// None if the shape is not that of an image, or the window is larger than the padded image.
    pub fn new(
        shape: &[usize],
        kernel: [usize; 2],
        stride: [usize; 2],
        dilation: [usize; 2],
        padding: Padding,
    ) -> Option<Window> {
        let &[channels, height, width] = shape else { return None };
        let [rows, columns] = match padding {
            Padding::Valid => [Some([0, 0]); 2],
            Padding::Same => [None; 2],
            Padding::Explicit([top, bottom, left, right]) => [Some([top, bottom]), Some([left, right])],
        };
        Some(Window {
            channels,
            rows: Axis::new(height, [kernel[0], stride[0], dilation[0]], rows)?,
            columns: Axis::new(width, [kernel[1], stride[1], dilation[1]], columns)?,
        })
    }

    /// Whether each window sees some of the image.
    pub fn sees(&self) -> bool {
        self.rows.sees() && self.columns.sees()
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
