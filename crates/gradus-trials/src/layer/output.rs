//! The shapes of outputs.

use super::Layer;
use crate::windows::{Padding, Windows};

impl Layer {
    /// The shape of its output; none if it can't take such samples.
    pub fn output(&self, input: &[usize]) -> Option<Vec<usize>> {
        let size: usize = input.iter().product();
        match self {
            Layer::Dense { units, .. } => (input.len() == 1).then(|| vec![*units]),
            Layer::Conv {
                windows,
                channels,
                groups,
                ..
            } => {
                let window = windows.on(input)?;
                let sizes = [window.rows.output, window.columns.output];
                let divides = channels.is_multiple_of(*groups) && input[0].is_multiple_of(*groups);
                divides.then(|| with_axes(*channels, sizes, windows.axes()))
            }
            Layer::ConvTranspose2d {
                windows,
                output_padding,
                channels,
                groups,
                ..
            } => {
                let window = windows.transposed_on(input, *output_padding)?;
                let divides = channels.is_multiple_of(*groups) && input[0].is_multiple_of(*groups);
                divides.then(|| vec![*channels, window.rows.input, window.columns.input])
            }
            Layer::MaxPool(windows) | Layer::AvgPool { windows, .. } => pooled(windows, input),
            Layer::GlobalMaxPool(axes) | Layer::GlobalAvgPool(axes) => {
                (input.len() == axes + 1).then(|| vec![input[0]])
            }
            Layer::Upsample2d { scale, .. } => {
                (input.len() == 3).then(|| vec![input[0], input[1] * scale[0], input[2] * scale[1]])
            }
            Layer::ZeroPad2d(padding) => zero_padded(padding, input),
            Layer::Crop2d(cropping) => cropped(cropping, input),
            Layer::Flatten => Some(vec![size]),
            Layer::Reshape(shape) => (shape.iter().product::<usize>() == size).then(|| shape.clone()),
            Layer::GroupNorm { groups, .. } => {
                let groups = groups.unwrap_or(input[0]);
                input[0].is_multiple_of(groups).then(|| input.to_vec())
            }
            Layer::Softmax | Layer::LogSoftmax => (input.len() == 1).then(|| input.to_vec()),
            Layer::Maxout(pieces) => {
                let channels = input[0].is_multiple_of(*pieces).then(|| input[0] / pieces)?;
                Some([&[channels], &input[1..]].concat())
            }
            Layer::Residual { .. } | Layer::Concat(_) | Layer::Multiply(_) => self.joined_output(input),
            Layer::BatchNorm { .. }
            | Layer::LayerNorm { .. }
            | Layer::Dropout(_)
            | Layer::GaussianNoise(_)
            | Layer::PRelu { .. }
            | Layer::Activation(_) => Some(input.to_vec()),
        }
    }

    /// The shape of the output of a block.
    fn joined_output(&self, input: &[usize]) -> Option<Vec<usize>> {
        match self {
            Layer::Residual { body, shortcut } => {
                let output = outputs(body, input)?;
                let across = match shortcut {
                    Some(layers) => outputs(layers, input)?,
                    None => outputs(&projection(input, &output)?, input)?,
                };
                (across == output).then_some(output)
            }
            Layer::Multiply([branch, gate]) => {
                let (shape, gate) = (outputs(branch, input)?, outputs(gate, input)?);
                (gate == shape || gate == shape[..1]).then_some(shape)
            }
            concat => {
                let branches = concat.branches();
                let shapes = branches.iter().map(|(_, branch)| outputs(branch, input));
                let shapes = shapes.collect::<Option<Vec<_>>>()?;
                let fits = shapes.iter().all(|shape| shape[1..] == shapes[0][1..]);
                let channels = shapes.iter().map(|shape| shape[0]).sum();
                fits.then(|| [&[channels], &shapes[0][1..]].concat())
            }
        }
    }
}

fn with_axes(channels: usize, [rows, columns]: [usize; 2], axes: usize) -> Vec<usize> {
    match axes {
        1 => vec![channels, columns],
        _ => vec![channels, rows, columns],
    }
}

/// None if a window sees nothing but padding.
fn pooled(windows: &Windows, input: &[usize]) -> Option<Vec<usize>> {
    let window = windows.on(input).filter(|window| window.sees())?;
    let sizes = [window.rows.output, window.columns.output];
    Some(with_axes(window.channels, sizes, windows.axes()))
}

fn zero_padded(padding: &Padding, input: &[usize]) -> Option<Vec<usize>> {
    let &[channels, height, width] = input else { return None };
    let [[top, bottom], [left, right]] = [padding.of_axis(0)?, padding.of_axis(1)?];
    Some(vec![channels, top + height + bottom, left + width + right])
}

/// None if nothing is left.
fn cropped(cropping: &Padding, input: &[usize]) -> Option<Vec<usize>> {
    let &[channels, height, width] = input else { return None };
    let left_of = |axis: usize, size: usize| {
        let [before, after] = cropping.of_axis(axis)?;
        size.checked_sub(before + after).filter(|&rest| rest > 0)
    };
    Some(vec![channels, left_of(0, height)?, left_of(1, width)?])
}

/// The shape that comes out of these layers; none if one can't take what comes before it.
pub fn outputs(layers: &[Layer], input: &[usize]) -> Option<Vec<usize>> {
    layers
        .iter()
        .try_fold(input.to_vec(), |shape, layer| layer.output(&shape))
}

/// The layers on a shortcut that brings `input` to `output`, where none are named.
pub fn projection(input: &[usize], output: &[usize]) -> Option<Vec<Layer>> {
    if input == output {
        return Some(Vec::new());
    }
    match (input, output) {
        ([_], &[units]) => Some(vec![Layer::Dense {
            units,
            bias: false,
            init: None,
        }]),
        (&[_, h, w], &[channels, to_h, to_w]) => {
            let stride = |from: usize, to: usize| Some(from.div_ceil(to)).filter(|s| from.div_ceil(*s) == to);
            Some(vec![Layer::Conv {
                windows: Windows {
                    kernel: vec![1, 1],
                    stride: vec![stride(h, to_h)?, stride(w, to_w)?],
                    dilation: vec![1, 1],
                    padding: Padding::Valid,
                },
                channels,
                groups: 1,
                bias: false,
                init: None,
            }])
        }
        _ => None,
    }
}
