//! What slides a window over images and sequences, and what pads them.

use gradus::{
    AvgPool1d, AvgPool2d, Conv1d, Conv2d, ConvTranspose2d, Crop2d, Float, GlobalAvgPool1d, GlobalAvgPool2d,
    GlobalMaxPool1d, GlobalMaxPool2d, Layer, MaxPool1d, MaxPool2d, Padding, Padding1d, Size2, ZeroPad2d,
};

use super::Reader;
use crate::import::constant::axis;
use crate::import::operands::Operands;
use crate::import::steps::{Convolution, Linear};
use crate::import::value::Value;

impl<'a> Reader<'a> {
    pub(super) fn conv(&mut self, node: &Operands<'_, 'a>) -> Result<Value, String> {
        let x = self.image_or_sequence(node)?;
        let weight = node.constant(1)?;
        let (channels, kernel) = match weight.dims[..] {
            [channels, _, ref kernel @ ..] if kernel.len() + 1 == x.dims.len() => (channels, kernel),
            _ => {
                return Err(format!(
                    "its weight has the dimensions {:?}, and its input {:?} in each sample: it must have two more than a kernel",
                    weight.dims, x.dims
                ));
            }
        };
        let window = Window::read(node, kernel)?;
        let groups = usize::try_from(node.integer("group", 1)?).map_err(|_| "it has a negative number of groups")?;
        let padding = window.padding(&x.dims)?;
        let layer = if kernel.len() == 1 {
            let layer = Conv1d::new(channels, window.kernel.width).stride(window.stride.width);
            let layer = layer.dilation(window.dilation.width).padding(of_ends(padding));
            Convolution::OfSequences(layer.groups(groups))
        } else {
            let layer = Conv2d::new(channels, window.kernel).stride(window.stride);
            let layer = layer.dilation(window.dilation).padding(padding);
            Convolution::OfImages(layer.groups(groups))
        };
        let linear = Linear {
            conv: Some(layer),
            units: channels,
            weight: weight.floats()?.to_vec(),
            bias: node
                .optional(2)?
                .map(|bias| bias.floats().map(<[_]>::to_vec))
                .transpose()?,
        };
        let step = self.steps.linear(x.step, linear)?;
        Ok(self.fresh(step))
    }

    pub(super) fn conv_transpose(&mut self, node: &Operands<'_, 'a>) -> Result<Value, String> {
        let x = self.image_or_sequence(node)?;
        let weight = node.constant(1)?;
        let &[_, group_out, height, width] = &weight.dims[..] else {
            return Err(format!(
                "its weight has the dimensions {:?}: only images can be convolved",
                weight.dims
            ));
        };
        let window = Window::read(node, &[height, width])?;
        if window.same.is_some() || node.integers("output_shape").is_some() {
            return Err(
                "its padding is computed (auto_pad, output_shape): only numbers (pads, output_padding) can be imported"
                    .into(),
            );
        }
        let groups = usize::try_from(node.integer("group", 1)?).map_err(|_| "it has a negative number of groups")?;
        let channels = group_out
            .checked_mul(groups)
            .ok_or("it has more channels than any image")?;
        let output_padding = node.sizes("output_padding")?.unwrap_or([0; 2]);
        let layer = ConvTranspose2d::new(channels, window.kernel)
            .stride(window.stride)
            .dilation(window.dilation)
            .padding(window.padding(&x.dims)?)
            .output_padding(output_padding)
            .groups(groups);
        let mut tensors = vec![("weight", weight.floats()?.to_vec())];
        let bias = node.optional(2)?;
        if let Some(bias) = bias {
            tensors.push(("bias", bias.floats()?.to_vec()));
        }
        let step = self.steps.layer(x.step, layer.bias(bias.is_some()), tensors)?;
        Ok(self.fresh(step))
    }

    /// Negative numbers leave out rows and columns.
    pub(super) fn pad(&mut self, node: &Operands<'_, 'a>) -> Result<Value, String> {
        let x = self.image_or_sequence(node)?;
        if !matches!(node.text("mode"), None | Some(b"constant")) {
            return Err("it pads with other values than zeros".into());
        }
        let fill = match node.optional(2)? {
            Some(fill) => fill.scalar().ok_or("its fill is not a number")?,
            None => node.float("value", 0.0)? as Float,
        };
        let pads = match node.integers("pads") {
            Some(pads) => pads,
            None => node.constant(1)?.whole()?,
        };
        let refuse = || format!("it pads by {pads:?}: only zeros around the pixels of an image can be imported");
        let &[0, 0, top, left, 0, 0, bottom, right] = pads else {
            return Err(refuse());
        };
        if fill != 0.0 || node.optional(3)?.is_some() {
            return Err(refuse());
        }
        let sides = [top, bottom, left, right];
        let size = |pad: i64| usize::try_from(pad.max(0)).map_err(|_| refuse());
        let explicit = |[top, bottom, left, right]: [i64; 4]| {
            Ok::<_, String>(Padding::Explicit {
                top: size(top)?,
                bottom: size(bottom)?,
                left: size(left)?,
                right: size(right)?,
            })
        };
        let mut step = x.step;
        if sides.iter().any(|&side| side < 0) {
            let cropping = explicit(sides.map(i64::saturating_neg))?;
            step = self.steps.layer(step, Crop2d::new(cropping), vec![])?;
        }
        if step == x.step || sides.iter().any(|&side| side > 0) {
            step = self.steps.layer(step, ZeroPad2d::new(explicit(sides)?), vec![])?;
        }
        Ok(self.fresh(step))
    }

    pub(super) fn pool(&mut self, node: &Operands<'_, 'a>) -> Result<Value, String> {
        let x = self.image_or_sequence(node)?;
        if node.node.outputs.iter().skip(1).any(|output| !output.is_empty()) {
            return Err("it also gives the places of the largest values".into());
        }
        let of_sequences = x.dims.len() == 2;
        let missing = "it has no kernel_shape";
        let window = if of_sequences {
            Window::read(node, &node.sizes::<1>("kernel_shape")?.ok_or(missing)?)?
        } else {
            Window::read(node, &node.sizes::<2>("kernel_shape")?.ok_or(missing)?)?
        };
        if window.dilation != Size2::from(1) {
            return Err("its window is dilated".into());
        }
        let padding = window.padding(&x.dims)?;
        if node.integer("ceil_mode", 0)? != 0 && !window.fits(&x.dims, padding) {
            return Err("its last windows reach beyond the image (ceil_mode)".into());
        }
        let Window { kernel, stride, .. } = window;
        let excluded = padding != Padding::Valid && node.integer("count_include_pad", 0)? == 0;
        let layer: Box<dyn Layer> = match (node.operator(), of_sequences) {
            ("MaxPool", false) => Box::new(MaxPool2d::new(kernel).stride(stride).padding(padding)),
            ("MaxPool", true) => {
                let layer = MaxPool1d::new(kernel.width).stride(stride.width);
                Box::new(layer.padding(of_ends(padding)))
            }
            (_, false) => {
                let layer = AvgPool2d::new(kernel).stride(stride).padding(padding);
                Box::new(if excluded { layer.exclude_padding() } else { layer })
            }
            (_, true) => {
                let layer = AvgPool1d::new(kernel.width).stride(stride.width);
                let layer = layer.padding(of_ends(padding));
                Box::new(if excluded { layer.exclude_padding() } else { layer })
            }
        };
        let step = self.steps.boxed(x.step, layer, vec![])?;
        Ok(self.fresh(step))
    }

    pub(super) fn global_pool(&mut self, node: &Operands<'_, 'a>) -> Result<Value, String> {
        let x = self.image_or_sequence(node)?;
        let layer: Box<dyn Layer> = match (node.operator(), x.dims.len()) {
            ("GlobalMaxPool", 2) => Box::new(GlobalMaxPool1d::new()),
            ("GlobalMaxPool", _) => Box::new(GlobalMaxPool2d::new()),
            (_, 2) => Box::new(GlobalAvgPool1d::new()),
            _ => Box::new(GlobalAvgPool2d::new()),
        };
        let step = self.steps.boxed(x.step, layer, vec![])?;
        let mut dims = vec![1; x.dims.len()];
        dims[0] = x.dims[0];
        Ok(Value::with_axes(step, dims, (0..x.dims.len()).collect()))
    }

    /// The mean of each channel.
    pub(super) fn mean(&mut self, node: &Operands<'_, 'a>) -> Result<Value, String> {
        let x = self.input(node, 0)?;
        let rank = x.dims.len() + 1;
        let axes = node.axes(1)?.ok_or("it names no axes")?;
        let axes = axes.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>, _>>()?;
        let mut own: Vec<_> = axes
            .iter()
            .map(|&axis| axis.checked_sub(1).map(|i| x.own_axis(i)))
            .collect();
        own.sort_unstable();
        let layer: Box<dyn Layer> = match (rank, &own[..]) {
            (3, [Some(1)]) => Box::new(GlobalAvgPool1d::new()),
            (4, [Some(1), Some(2)]) => Box::new(GlobalAvgPool2d::new()),
            _ => {
                return Err(format!(
                    "it takes the mean along the axes {axes:?}: only that of all values of a channel can be imported"
                ));
            }
        };
        let channels = x.own_dims()[0];
        let x = self.own(&x)?;
        let step = self.steps.boxed(x.step, layer, vec![])?;
        let dims = match node.integer("keepdims", 1)? {
            0 => vec![channels],
            _ => (0..rank - 1)
                .map(|i| if x.own_axis(i) == 0 { channels } else { 1 })
                .collect(),
        };
        let axes = (0..dims.len()).collect();
        Ok(Value::with_axes(step, dims, axes))
    }
}

/// The window of a convolution or a pooling. One over sequences is one over images of height 1.
pub(super) struct Window {
    kernel: Size2,
    stride: Size2,
    dilation: Size2,
    /// As ONNX has it: top, left, bottom, right.
    pads: [usize; 4],
    /// How it is to be computed, if it is not given.
    same: Option<Same>,
}

/// The height and the width of a sample; a sequence is an image of height 1.
pub(super) fn height_and_width(sample: &[usize]) -> [usize; 2] {
    match *sample {
        [_, width] => [1, width],
        [_, height, width] => [height, width],
        _ => [1, 1],
    }
}

/// Padding of images of height 1, as that of sequences.
pub(super) fn of_ends(padding: Padding) -> Padding1d {
    match padding {
        Padding::Valid => Padding1d::Valid,
        Padding::Same => Padding1d::Same,
        Padding::Explicit { left, right, .. } => Padding1d::Explicit {
            before: left,
            after: right,
        },
    }
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Same {
    /// Of an odd number, one more at the end.
    Upper,
    /// One more at the beginning.
    Lower,
}

impl Window {
    /// The window whose kernel has these sizes: two over images, one over sequences.
    fn read(node: &Operands<'_, '_>, kernel: &[usize]) -> Result<Self, String> {
        let each = |name: &str| match kernel.len() {
            1 => Ok(node.sizes(name)?.map(|[size]| [1, size])),
            _ => node.sizes(name),
        };
        let pads = match kernel.len() {
            1 => node.sizes("pads")?.map(|[left, right]| [0, left, 0, right]),
            _ => node.sizes("pads")?,
        };
        let pads = pads.unwrap_or([0; 4]);
        let given = kernel;
        let kernel = match *kernel {
            [width] => [1, width],
            [height, width] => [height, width],
            _ => {
                return Err(format!(
                    "its window has the sizes {kernel:?}: only one or two can be imported"
                ));
            }
        };
        if each("kernel_shape")?.is_some_and(|sizes| sizes != kernel) {
            return Err(format!("its kernel_shape is not that of its weight, {given:?}"));
        }
        let same = match node.text("auto_pad") {
            None | Some(b"NOTSET") => None,
            Some(b"VALID") if pads == [0; 4] => None,
            Some(b"SAME_UPPER") => Some(Same::Upper),
            Some(b"SAME_LOWER") => Some(Same::Lower),
            Some(_) => return Err("its auto_pad is none that can be imported".into()),
        };
        Ok(Window {
            kernel: kernel.into(),
            stride: each("strides")?.unwrap_or([1; 2]).into(),
            dilation: each("dilations")?.unwrap_or([1; 2]).into(),
            pads,
            same,
        })
    }

    /// The padding over a sample of channels × length, or channels × height × width.
    fn padding(&self, sample: &[usize]) -> Result<Padding, String> {
        let [height, width] = height_and_width(sample);
        let [top, left, bottom, right] = match self.same {
            Some(Same::Upper) => return Ok(Padding::Same),
            None if self.pads == [0; 4] => return Ok(Padding::Valid),
            None => self.pads,
            Some(Same::Lower) => {
                let side = |input: usize, kernel: usize, stride: usize, dilation: usize| {
                    let span = kernel.checked_sub(1)?.checked_mul(dilation)?.checked_add(1)?;
                    let reach = (input.checked_sub(1)? / stride.max(1))
                        .checked_mul(stride)?
                        .checked_add(span)?;
                    let padding = reach.saturating_sub(input);
                    Some([padding - padding / 2, padding / 2])
                };
                let Window {
                    kernel,
                    stride,
                    dilation,
                    ..
                } = self;
                let rows = side(height, kernel.height, stride.height, dilation.height);
                let columns = side(width, kernel.width, stride.width, dilation.width);
                let ([top, bottom], [left, right]) = rows.zip(columns).ok_or("its window is larger than any image")?;
                [top, left, bottom, right]
            }
        };
        Ok(Padding::Explicit {
            top,
            bottom,
            left,
            right,
        })
    }

    /// Whether the last windows end where the padded image does.
    fn fits(&self, sample: &[usize], padding: Padding) -> bool {
        let [height, width] = height_and_width(sample);
        let Padding::Explicit {
            top,
            bottom,
            left,
            right,
        } = padding
        else {
            let whole = |input: usize, kernel: usize, stride: usize| {
                padding == Padding::Same
                    || input
                        .checked_sub(kernel)
                        .is_some_and(|rest| rest.is_multiple_of(stride))
            };
            return whole(height, self.kernel.height, self.stride.height)
                && whole(width, self.kernel.width, self.stride.width);
        };
        let whole = |input: usize, before: usize, after: usize, kernel: usize, stride: usize| {
            let padded = input.saturating_add(before).saturating_add(after);
            padded
                .checked_sub(kernel)
                .is_some_and(|rest| rest.is_multiple_of(stride))
        };
        whole(height, top, bottom, self.kernel.height, self.stride.height)
            && whole(width, left, right, self.kernel.width, self.stride.width)
    }
}
