//! Convolution and pooling of samples side by side.
//!
//! A block of [`LANES`] samples is kept with the sample as the innermost coordinate: an image lies as
//! `[channel][row][column][lane]`. So every vector is full, whatever the shape, and a weight is the same for all its lanes.

use std::ops::Range;

use crate::matmul::transpose::transpose;
use crate::{Float, arch, sum};

mod correlation;
mod max_pool;
mod products;
mod single;
mod tile;

use correlation::{Line, Sums};
pub use max_pool::MaxPool;
use products::Gradient;
use tile::Simd;

/// How many samples lie side by side.
pub const LANES: usize = 16;

/// One axis of a convolution: output i and tap k of the kernel meet input i · stride + k · dilation − padding, where that is
/// within the input. What isn't is padding, and counts as 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Axis {
    /// Pixels of the input.
    pub input: usize,
    /// Taps of the kernel.
    pub kernel: usize,
    /// By how many pixels the kernel moves from one output to the next; at least 1.
    pub stride: usize,
    /// How far the pixels under neighboring taps are apart; at least 1.
    pub dilation: usize,
    /// Padding before the first pixel. What is behind the last follows from the other sizes.
    pub padding: usize,
    /// Pixels of the output.
    pub output: usize,
}

/// A two-dimensional convolution of [`LANES`] samples side by side: for output channel o and position (i, j), with strides s,
/// dilations d and paddings p,
///
/// y\[o, i, j\] = b\[o\] + Σ over c, k, l of w\[o, c, k, l\] · x\[c, i·s + k·d − p, j·s + l·d − p\].
///
/// With groups, the channels are divided evenly, and c runs over the input channels of the group of o.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Convolution {
    /// Down.
    pub rows: Axis,
    /// Across.
    pub columns: Axis,
    /// Channels of the input; a multiple of `groups`.
    pub in_channels: usize,
    /// Channels of the output; a multiple of `groups`.
    pub out_channels: usize,
    /// Into how many groups the channels are divided; at least 1.
    pub groups: usize,
}

impl Convolution {
    /// y ← b + w∗x, of the shapes x `[in_channels][rows.input][columns.input][LANES]`,
    /// w `[out_channels][in_channels / groups][rows.kernel][columns.kernel]`, b `[out_channels]` (or none, for zeros) and
    /// y `[out_channels][rows.output][columns.output][LANES]`.
    ///
    /// Every element is one chain of fused multiply-adds over (c, k, l) in ascending order, without those on the padding,
    /// starting from the bias. A lane's results don't depend on the other lanes.
    ///
    /// # Panics
    /// If a slice is not as long as its shape, or the sizes make no convolution.
    pub fn forward(&self, x: &[Float], w: &[Float], b: Option<&[Float]>, y: &mut [Float]) {
        let sizes = self.sizes();
        sizes.check(x, w, y);
        assert!(
            b.is_none_or(|b| b.len() == self.out_channels),
            "b has not one value for each output channel"
        );
        if y.is_empty() {
            return;
        }
        for (group, y) in y.chunks_exact_mut(sizes.y_group()).enumerate() {
            run(&Sums {
                rows: Line::forward(sizes.rows),
                columns: Line::forward(sizes.columns),
                outputs: sizes.group_out,
                channels: sizes.group_in,
                x: x[group * sizes.x_group()..].as_ptr(),
                x_channel: sizes.x_channel(),
                w: w[group * sizes.w_group()..].as_ptr(),
                w_output: sizes.group_in * sizes.taps(),
                w_channel: sizes.taps(),
                w_row: sizes.columns.kernel,
                b: b.map_or(std::ptr::null(), |b| b[group * sizes.group_out..].as_ptr()),
                y: y.as_mut_ptr(),
                y_output: sizes.y_channel(),
                y_row: sizes.columns.output * LANES,
            });
        }
    }

    /// dx ← the gradient of the input, from dy, of the shape of y.
    ///
    /// Every element is one chain of fused multiply-adds w\[o, c, k, l\] · dy\[o, i, j\] over (o, k, l) in ascending order,
    /// starting from 0.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    pub fn input_gradient(&self, w: &[Float], dy: &[Float], dx: &mut [Float]) {
        let sizes = self.sizes();
        sizes.check(dx, w, dy);
        if dx.is_empty() || w.is_empty() {
            return dx.fill(0.0);
        }
        for (group, dx) in dx.chunks_exact_mut(sizes.x_group()).enumerate() {
            for rows in Line::backward(sizes.rows) {
                for columns in Line::backward(sizes.columns) {
                    run(&Sums {
                        rows,
                        columns,
                        outputs: sizes.group_in,
                        channels: sizes.group_out,
                        x: dy[group * sizes.y_group()..].as_ptr(),
                        x_channel: sizes.y_channel(),
                        w: w[group * sizes.w_group()..].as_ptr(),
                        w_output: sizes.taps(),
                        w_channel: sizes.group_in * sizes.taps(),
                        w_row: sizes.columns.kernel,
                        b: std::ptr::null(),
                        y: dx.as_mut_ptr(),
                        y_output: sizes.x_channel(),
                        y_row: sizes.columns.input * LANES,
                    });
                }
            }
        }
    }

    /// dw ← dw + the gradient of the weights, summed over the lanes.
    ///
    /// For every weight and lane there is one chain of fused multiply-adds dy · x over (i, j) in ascending order, starting
    /// from 0. Then the upper half of the lanes is added to the lower half until one is left, and that to dw.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    pub fn weight_gradient(&self, x: &[Float], dy: &[Float], dw: &mut [Float]) {
        let sizes = self.sizes();
        sizes.check(x, dw, dy);
        if dw.is_empty() || x.is_empty() || dy.is_empty() {
            return;
        }
        for (group, dw) in dw.chunks_exact_mut(sizes.w_group()).enumerate() {
            run(&Gradient {
                rows: sizes.rows,
                columns: sizes.columns,
                outputs: sizes.group_out,
                channels: sizes.group_in,
                x: x[group * sizes.x_group()..].as_ptr(),
                dy: dy[group * sizes.y_group()..].as_ptr(),
                dw: dw.as_mut_ptr(),
            });
        }
    }

    /// db ← db + the gradient of the biases, summed over the lanes.
    ///
    /// The numbers of a channel are added up as [`sum`] does.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    pub fn bias_gradient(&self, dy: &[Float], db: &mut [Float]) {
        let sizes = self.sizes();
        assert_eq!(
            dy.len(),
            self.out_channels * sizes.y_channel(),
            "dy has not the size of the output"
        );
        assert_eq!(
            db.len(),
            self.out_channels,
            "db has not one value for each output channel"
        );
        if dy.is_empty() {
            return;
        }
        for (db, dy) in db.iter_mut().zip(dy.chunks_exact(sizes.y_channel())) {
            *db += sum(dy);
        }
    }

    /// The sizes of a group, checked.
    fn sizes(&self) -> Sizes {
        let Convolution {
            rows,
            columns,
            in_channels,
            out_channels,
            groups,
        } = *self;
        assert!(
            groups > 0 && in_channels.is_multiple_of(groups) && out_channels.is_multiple_of(groups),
            "{in_channels} and {out_channels} channels can't be divided into {groups} groups"
        );
        let [rows, columns] = checked_axes(rows, columns);
        let sizes = Sizes {
            rows,
            columns,
            group_in: in_channels / groups,
            group_out: out_channels / groups,
            groups,
        };
        check_product([in_channels, sizes.x_channel()]);
        check_product([out_channels, sizes.y_channel()]);
        check_product([out_channels, sizes.group_in, sizes.taps()]);
        sizes
    }
}

/// More numbers than a slice can have, and few enough for any distance between two of them.
const LARGEST: usize = isize::MAX as usize / size_of::<Float>();

/// Refuses sizes whose product is no length of a slice. A size of 0 counts as 1: distances are computed with the others, if only
/// to find that there is nothing.
fn check_product(sizes: impl IntoIterator<Item = usize>) {
    let product = sizes
        .into_iter()
        .try_fold(1, |product: usize, size| product.checked_mul(size.max(1)));
    assert!(
        product.is_some_and(|product| product <= LARGEST),
        "images or windows of these sizes are larger than any memory"
    );
}

/// Both axes, if their sizes make sense, and all distances in an image that has them are numbers.
fn checked_axes(rows: Axis, columns: Axis) -> [Axis; 2] {
    let axes = [rows.checked(), columns.checked()];
    let reaches = axes.map(|axis| axis.reach().unwrap_or(usize::MAX));
    check_product(reaches.into_iter().chain([LANES]));
    axes
}

/// The sizes of a convolution that have been checked, and what follows from them.
#[derive(Clone, Copy)]
struct Sizes {
    rows: Axis,
    columns: Axis,
    group_in: usize,
    group_out: usize,
    groups: usize,
}

impl Sizes {
    fn taps(&self) -> usize {
        self.rows.kernel * self.columns.kernel
    }

    fn x_channel(&self) -> usize {
        self.rows.input * self.columns.input * LANES
    }

    fn y_channel(&self) -> usize {
        self.rows.output * self.columns.output * LANES
    }

    fn x_group(&self) -> usize {
        self.group_in * self.x_channel()
    }

    fn y_group(&self) -> usize {
        self.group_out * self.y_channel()
    }

    fn w_group(&self) -> usize {
        self.group_out * self.group_in * self.taps()
    }

    /// Refuses slices of other lengths than these sizes'.
    fn check(&self, x: &[Float], w: &[Float], y: &[Float]) {
        self.check_lengths(x, w, y, LANES);
    }

    /// The same for `samples` samples at each pixel.
    fn check_lengths(&self, x: &[Float], w: &[Float], y: &[Float], samples: usize) {
        assert_eq!(
            x.len(),
            self.groups * self.x_group() / LANES * samples,
            "x or dx has not the size of the input"
        );
        assert_eq!(
            w.len(),
            self.groups * self.w_group(),
            "w or dw has not the size of the weights"
        );
        assert_eq!(
            y.len(),
            self.groups * self.y_group() / LANES * samples,
            "y or dy has not the size of the output"
        );
    }
}

impl Axis {
    /// Itself, if its sizes make sense; with steps of 1 where there is nothing to step to.
    fn checked(mut self) -> Self {
        assert!(self.stride > 0 && self.dilation > 0, "a stride or a dilation is 0");
        if self.output <= 1 {
            self.stride = 1;
        }
        if self.kernel <= 1 {
            self.dilation = 1;
        }
        self
    }

    /// More than any number of pixels between two places of the axis, with its padding, and than each of its sizes but the steps;
    /// none if that is no number.
    fn reach(&self) -> Option<usize> {
        let outputs = self.output.checked_mul(self.stride)?;
        let taps = self.kernel.checked_mul(self.dilation)?;
        outputs
            .checked_add(taps)?
            .checked_add(self.input)?
            .checked_add(self.padding)
    }

    /// Whether every output has a tap that is not on the padding. There are outputs and taps.
    fn every_output_sees_the_input(&self) -> bool {
        if self.dilation > self.input {
            // The image may lie between two taps.
            return (0..self.output).all(|output| !self.taps(output).is_empty());
        }
        let last_of_first = (self.kernel - 1) * self.dilation;
        let first_of_last = (self.output - 1) * self.stride;
        last_of_first >= self.padding && first_of_last < self.padding + self.input
    }

    /// The input that an output and a tap meet at, if it is not on the padding.
    fn meeting(&self, output: usize, tap: usize) -> isize {
        (output * self.stride + tap * self.dilation) as isize - self.padding as isize
    }

    /// The taps of output `output` that are not on the padding.
    fn taps(&self, output: usize) -> Range<usize> {
        let before = |input: usize| {
            (self.padding + input)
                .saturating_sub(output * self.stride)
                .div_ceil(self.dilation)
        };
        let end = before(self.input).min(self.kernel);
        before(0).min(end)..end
    }

    /// The outputs whose tap `tap` is not on the padding.
    fn outputs(&self, tap: usize) -> Range<usize> {
        let before = |input: usize| {
            (self.padding + input)
                .saturating_sub(tap * self.dilation)
                .div_ceil(self.stride)
        };
        let end = before(self.input).min(self.output);
        before(0).min(end)..end
    }
}

/// What the tiles of an instruction set compute.
trait Kernel {
    /// Computes it.
    ///
    /// # Safety
    /// The processor has the instructions of `S`, and all pointers reach over what they describe.
    unsafe fn compute<S: Simd>(&self);
}

/// Runs a kernel, whose pointers reach over what they describe, with the best instructions.
fn run(kernel: &impl Kernel) {
    match arch() {
        // SAFETY: the callers checked the slices, and `arch` found the instructions.
        #[cfg(all(target_arch = "x86_64", not(gradus_f64)))]
        crate::Arch::Avx512 => unsafe { kernel.compute::<tile::Avx512>() },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        arch if arch >= crate::Arch::Avx2 => unsafe { kernel.compute::<tile::Avx2>() },
        // SAFETY: as above; every processor has these instructions.
        _ => unsafe { kernel.compute::<tile::Plain>() },
    }
}

/// Features that are transposed at a time: their lanes stay in the first-level cache.
const FEATURES: usize = 128;

/// Features of a line of the cache, which are written together.
const LINE: usize = 16;

/// Samples one after the other → side by side: y\[feature\]\[lane\] ← x\[lane\]\[feature\] for `samples` lanes, 0 for the others.
///
/// # Panics
/// If there are more samples than lanes, or y is not [`LANES`] times as long as a sample of x.
pub fn interleave(x: &[Float], samples: usize, y: &mut [Float]) {
    let features = features(y, samples, x);
    if samples < LANES {
        y.fill(0.0);
    }
    for (i, y) in y.chunks_mut(FEATURES * LANES).enumerate() {
        let x = x.as_ptr().wrapping_add(i * FEATURES);
        // SAFETY: of each sample there are `features`, of which the chunk is a part.
        unsafe { transpose(samples, y.len() / LANES, x, features, y.as_mut_ptr(), LANES) }
    }
}

/// Samples side by side → one after the other: y\[lane\]\[feature\] ← x\[feature\]\[lane\] for the first `samples` lanes.
///
/// # Panics
/// If there are more samples than lanes, or x is not [`LANES`] times as long as a sample of y.
pub fn deinterleave(x: &[Float], samples: usize, y: &mut [Float]) {
    let features = features(x, samples, y);
    for (i, x) in x.chunks(LINE * LANES).enumerate() {
        // Where rows are a power of two apart, only a few of them fit the first-level cache.
        for first in (0..samples).step_by(8) {
            let count = (samples - first).min(8);
            let y = y.as_mut_ptr().wrapping_add(first * features + i * LINE);
            // SAFETY: as above, and the chunk has the lanes.
            unsafe { transpose(x.len() / LANES, count, x[first..].as_ptr(), LANES, y, features) }
        }
    }
}

/// The features of samples in lanes and in rows.
fn features(lanes: &[Float], samples: usize, rows: &[Float]) -> usize {
    assert!(samples <= LANES, "{samples} samples are more than {LANES} lanes");
    let features = lanes.len() / LANES;
    assert_eq!(
        lanes.len(),
        features * LANES,
        "a length in lanes is not a multiple of {LANES}"
    );
    assert_eq!(
        rows.len(),
        samples * features,
        "{samples} samples of {features} features differ in length"
    );
    features
}
