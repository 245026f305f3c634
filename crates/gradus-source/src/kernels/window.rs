//! Where the windows of convolution and pooling are.

/// Along one axis, in pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Axis {
    pub(crate) input: usize,
    pub(crate) output: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) dilation: usize,
    pub(crate) padding: usize,
}

/// A window that moves over an image of `inputs` channels and gives one of `outputs` channels.
#[derive(Debug, Clone, Copy)]
#[allow(dead_code)] // Pooling reads no channels.
pub(crate) struct Window {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) groups: usize,
    pub(crate) rows: Axis,
    pub(crate) columns: Axis,
}

/// The taps of output `i` of an axis that are not on the padding: the first, and the end.
pub(crate) fn taps(axis: &Axis, i: usize) -> (usize, usize) {
    let start = i * axis.stride;
    let ceiling = |distance: usize| distance.div_ceil(axis.dilation).min(axis.kernel);
    let end = ceiling((axis.padding + axis.input).saturating_sub(start));
    (ceiling(axis.padding.saturating_sub(start)).min(end), end)
}

/// The pixel under a tap; any number if the tap is on the padding.
pub(crate) fn pixel(axis: &Axis, i: usize, tap: usize) -> usize {
    (i * axis.stride + tap * axis.dilation).wrapping_sub(axis.padding)
}

/// How far output `i` of an upsampled axis lies behind the first pixel: in parts, of which a pixel has 2 · scale.
pub(crate) fn position(i: usize, scale: usize) -> usize {
    (2 * i + 1).saturating_sub(scale)
}
