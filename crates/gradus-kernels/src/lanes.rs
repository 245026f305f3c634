//! Convolution of samples side by side.
//!
//! A block of [`LANES`] samples is kept with the sample as the innermost coordinate: an image lies as
//! `[channel][row][column][lane]`. So every vector is full, whatever the shape, and a weight is the same for all its lanes.

use crate::{Float, reference};

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
    /// How far the pixels under neighbouring taps are apart; at least 1.
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
        reference::convolution(self, x, w, b, y);
    }

    /// dx ← the gradient of the input, from dy, of the shape of y.
    ///
    /// Every element is one chain of fused multiply-adds w\[o, c, k, l\] · dy\[o, i, j\] over (o, k, l) in ascending order,
    /// starting from 0.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    pub fn input_gradient(&self, w: &[Float], dy: &[Float], dx: &mut [Float]) {
        reference::convolution_input_gradient(self, w, dy, dx);
    }

    /// dw ← dw + the gradient of the weights, summed over the lanes.
    ///
    /// For every weight and lane there is one chain of fused multiply-adds dy · x over (i, j) in ascending order, starting
    /// from 0. Then the upper half of the lanes is added to the lower half until one is left, and that to dw.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    pub fn weight_gradient(&self, x: &[Float], dy: &[Float], dw: &mut [Float]) {
        reference::convolution_weight_gradient(self, x, dy, dw);
    }

    /// db ← db + the gradient of the biases, summed over the lanes.
    ///
    /// The sum is taken as that of a weight whose x is 1.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    pub fn bias_gradient(&self, dy: &[Float], db: &mut [Float]) {
        reference::convolution_bias_gradient(self, dy, db);
    }
}

/// Samples one after the other → side by side: y\[feature\]\[lane\] ← x\[lane\]\[feature\] for `samples` lanes, 0 for the others.
///
/// # Panics
/// If there are more samples than lanes, or y is not [`LANES`] times as long as a sample of x.
pub fn to_lanes(x: &[Float], samples: usize, y: &mut [Float]) {
    let features = features(y, samples, x);
    for (feature, y) in y.chunks_exact_mut(LANES).enumerate() {
        for (lane, y) in y.iter_mut().enumerate() {
            *y = if lane < samples {
                x[lane * features + feature]
            } else {
                0.0
            };
        }
    }
}

/// Samples side by side → one after the other: y\[lane\]\[feature\] ← x\[feature\]\[lane\] for the first `samples` lanes.
///
/// # Panics
/// If there are more samples than lanes, or x is not [`LANES`] times as long as a sample of y.
pub fn from_lanes(x: &[Float], samples: usize, y: &mut [Float]) {
    let features = features(x, samples, y);
    for (feature, x) in x.chunks_exact(LANES).enumerate() {
        for (lane, &x) in x[..samples].iter().enumerate() {
            y[lane * features + feature] = x;
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
