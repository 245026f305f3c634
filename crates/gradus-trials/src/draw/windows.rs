//! Drawing convolutions and pooling, of sequences (one axis) and images (two).

use gradus::random::Rng;
use rand::RngExt;

use super::choose;
use super::layers::initializer;
use crate::layer::Layer;
use crate::windows::{Padding, Windows};

/// A convolution of samples with this many channels.
pub(super) fn convolution(rng: &mut Rng, inputs: usize, axes: usize) -> Layer {
    let windows = Windows {
        kernel: sizes(rng, 3, axes),
        stride: sizes(rng, 2, axes),
        dilation: dilation(rng, axes),
        padding: padding(rng, &vec![2; axes]),
    };
    let (groups, channels) = groups_and_channels(rng, inputs);
    Layer::Conv {
        windows,
        channels,
        groups,
        bias: rng.random_bool(0.8),
        init: initializer(rng),
    }
}

/// A transposed convolution of images with this many channels.
pub(super) fn transposed_convolution(rng: &mut Rng, inputs: usize) -> Layer {
    let windows = Windows {
        kernel: sizes(rng, 3, 2),
        stride: sizes(rng, 3, 2),
        dilation: dilation(rng, 2),
        padding: padding(rng, &[1, 1]),
    };
    // Only where the padding doesn't decide on the size, and less than the stride.
    let output_padding = match windows.padding {
        Padding::Same => [0, 0],
        _ => [windows.stride[0], windows.stride[1]].map(|stride| rng.random_range(0..stride)),
    };
    let (groups, channels) = groups_and_channels(rng, inputs);
    Layer::ConvTranspose2d {
        windows,
        output_padding,
        channels,
        groups,
        bias: rng.random_bool(0.8),
        init: initializer(rng),
    }
}

/// The windows of pooling.
pub(super) fn pooling(rng: &mut Rng, axes: usize) -> Windows {
    let kernel = sizes(rng, 3, axes);
    let stride = if rng.random() {
        kernel.clone()
    } else {
        sizes(rng, 3, axes)
    };
    let most: Vec<usize> = kernel.iter().map(|size| size - 1).collect();
    Windows {
        stride,
        dilation: vec![1; axes],
        padding: padding(rng, &most),
        kernel,
    }
}

pub(super) fn max_pool(rng: &mut Rng, axes: usize) -> Layer {
    Layer::MaxPool(pooling(rng, axes))
}

pub(super) fn avg_pool(rng: &mut Rng, axes: usize) -> Layer {
    Layer::AvgPool {
        windows: pooling(rng, axes),
        exclude_padding: rng.random(),
    }
}

pub(super) fn upsample2d(rng: &mut Rng) -> Layer {
    let scale = sizes(rng, 3, 2);
    Layer::Upsample2d {
        scale: [scale[0], scale[1]],
        bilinear: rng.random(),
    }
}

/// Padding of an image that depends on no window.
pub(super) fn zero_pad2d(rng: &mut Rng) -> Layer {
    Layer::ZeroPad2d(match rng.random_range(0..5) {
        0 => Padding::Valid,
        _ => explicit(rng, &[2, 2]),
    })
}

/// A cropping that leaves something of an image of this height and width.
pub(super) fn crop2d(rng: &mut Rng, [height, width]: [usize; 2]) -> Layer {
    let mut sides = |size: usize| {
        let before = rng.random_range(0..size.min(3));
        [before, rng.random_range(0..(size - before).min(3))]
    };
    Layer::Crop2d(match [sides(height), sides(width)] {
        [[0, 0], [0, 0]] => Padding::Valid,
        axes => Padding::Explicit(axes.to_vec()),
    })
}

fn padding(rng: &mut Rng, most: &[usize]) -> Padding {
    match rng.random_range(0..3) {
        0 => Padding::Valid,
        1 => Padding::Same,
        _ => explicit(rng, most),
    }
}

fn explicit(rng: &mut Rng, most: &[usize]) -> Padding {
    let mut side = |most: usize| rng.random_range(0..=most);
    Padding::Explicit(most.iter().map(|&most| [side(most), side(most)]).collect())
}

fn dilation(rng: &mut Rng, axes: usize) -> Vec<usize> {
    if rng.random_bool(0.8) {
        vec![1; axes]
    } else {
        sizes(rng, 2, axes)
    }
}

/// A size for each axis, often the same.
fn sizes(rng: &mut Rng, most: usize, axes: usize) -> Vec<usize> {
    let one = rng.random_range(1..=most);
    let same = rng.random();
    let mut size = |i: usize| {
        if i == 0 || same {
            one
        } else {
            rng.random_range(1..=most)
        }
    };
    (0..axes).map(&mut size).collect()
}

/// The number of groups, mostly one, and of output channels.
fn groups_and_channels(rng: &mut Rng, inputs: usize) -> (usize, usize) {
    let groups = if rng.random_bool(0.7) {
        1
    } else {
        choose(rng, &divisors(inputs))
    };
    let most = if groups > 1 { 2 } else { 4 };
    (groups, groups * rng.random_range(1..=most))
}

/// The numbers that divide `n`.
pub(super) fn divisors(n: usize) -> Vec<usize> {
    (1..=n).filter(|&divisor| n.is_multiple_of(divisor)).collect()
}
