//! Two-dimensional transposed convolution.
//!
//! This file computes it as it is written; [`fast`] for blocks of samples, as the gradient of a convolution's input.

mod fast;

use serde::{Deserialize, Serialize};

use super::conv2d::{BoundConv2d, check_channels};
use super::window::{Geometry, Padding, Size2, not_an_image};
use super::{Init, indices, on, one};
use crate::Shape;
use crate::init::{Fans, Initializer};
use crate::layer::{Backward, BoundLayer, Forward, Layer, Operation, OutputKind, Parameter, Passes};

/// A transposed convolution of images of shape `[channels, height, width]`: it makes them larger where a convolution with the same
/// settings makes them smaller, and each pixel adds its multiple of the kernel to the output.
///
/// For each output channel o and position (i′, j′), with stride s, dilation d and padding p,
///
/// y[o, i′, j′] = b\[o\] + Σ w[c, o, k, l] · x[c, i, j] over all c, k, l, i, j with i·s + k·d − p = i′ and j·s + l·d − p = j′.
///
/// With groups, the channels are divided evenly and the sum goes over the input channels of the output channel's own group. The
/// padding is cut off the output, and along each axis
///
/// output = (input − 1) · s + (kernel − 1) · d + 1 + output padding − before − after.
///
/// [`Padding::Same`] cuts off as much as makes output = input · s.
///
/// | backward | formula |
/// | --- | --- |
/// | | dx[c, i, j] = Σ over o, k, l of w[c, o, k, l] · dy[o, i·s + k·d − p, j·s + l·d − p]: a convolution of dy |
/// | | dw[c, o, k, l] += Σ x[c, i, j] · dy[o, i·s + k·d − p, j·s + l·d − p], db\[o\] += Σ dy[o, i′, j′], over samples and positions |
///
/// Sources: Zeiler, Krishnan, Taylor and Fergus, "Deconvolutional networks", 2010; Dumoulin and Visin, "A guide to convolution
/// arithmetic for deep learning", 2016.
///
/// Parameters: `weight` (in_channels × channels / groups × kernel height × kernel width) and `bias` (channels). The weights start as
/// [`HeNormal`](crate::init::HeNormal) sets them unless [`init`](ConvTranspose2d::init) says otherwise, with the input channels of a
/// group times the kernel's pixels as fan-in; the biases at 0.
///
/// ```
/// use gradus::layers::ConvTranspose2d;
/// use gradus::{Layer, Shape};
/// let features = Shape::from([16, 7, 7]);
/// let bound = ConvTranspose2d::new(8, 4).stride(2).padding(1).bind(&features).unwrap();
/// assert_eq!(bound.output(), &Shape::from([8, 14, 14]));
/// assert_eq!(bound.parameters()[0].shape, Shape::from([16, 8, 4, 4]));
///
/// let bound = ConvTranspose2d::new(8, 3).stride(2).padding(1).output_padding(1).bind(&features).unwrap();
/// assert_eq!(bound.output(), &Shape::from([8, 14, 14]));
///
/// let message = ConvTranspose2d::new(8, 3).padding(8).bind(&features).unwrap_err();
/// assert_eq!(message, "the padding of conv_transpose2d cuts off 16 rows, and there are only 9");
/// ```
#[doc(alias = "deconvolution")]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvTranspose2d {
    channels: usize,
    kernel: Size2,
    #[serde(default = "Size2::one")]
    stride: Size2,
    #[serde(default)]
    padding: Padding,
    #[serde(default = "none")]
    output_padding: Size2,
    #[serde(default = "Size2::one")]
    dilation: Size2,
    #[serde(default = "one")]
    groups: usize,
    #[serde(default = "on")]
    bias: bool,
    #[serde(default, skip_serializing_if = "Init::is_unknown")]
    init: Init,
}

fn none() -> Size2 {
    Size2::from(0)
}

impl ConvTranspose2d {
    /// A transposed convolution with `channels` output channels and a kernel of this size; without padding, with a bias.
    pub fn new(channels: usize, kernel: impl Into<Size2>) -> Self {
        ConvTranspose2d {
            channels,
            kernel: kernel.into(),
            stride: Size2::ONE,
            padding: Padding::Valid,
            output_padding: none(),
            dilation: Size2::ONE,
            groups: 1,
            bias: true,
            init: Init::default(),
        }
    }

    /// By how many pixels of the output the kernels of neighboring input pixels are apart.
    pub fn stride(mut self, stride: impl Into<Size2>) -> Self {
        self.stride = stride.into();
        self
    }

    /// What is cut off the output.
    pub fn padding(mut self, padding: impl Into<Padding>) -> Self {
        self.padding = padding.into();
        self
    }

    /// How many rows at the bottom and columns on the right the output has more. Fewer than the stride, they tell the images apart
    /// that a convolution with this stride makes equally small.
    pub fn output_padding(mut self, output_padding: impl Into<Size2>) -> Self {
        self.output_padding = output_padding.into();
        self
    }

    /// How far the pixels under neighboring weights of the kernel are apart.
    pub fn dilation(mut self, dilation: impl Into<Size2>) -> Self {
        self.dilation = dilation.into();
        self
    }

    /// Into how many groups the channels are divided; output channels see the input channels of their own group.
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Whether a bias is added to each output channel.
    pub fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    /// How the weights get their first values.
    pub fn init(mut self, init: impl Initializer + 'static) -> Self {
        self.init = Init::new(init);
        self
    }

    /// The shape of the output; or a sentence that says why there is none.
    fn output(&self, input: &Shape) -> Result<Shape, String> {
        let Some((_, height, width)) = input.image() else {
            return Err(not_an_image(self.kind(), input));
        };
        if input.size() == 0 {
            return Err(format!(
                "{} needs an image with at least one pixel, got {input}",
                self.kind()
            ));
        }
        if self.stride.height == 0 || self.stride.width == 0 {
            return Err(format!(
                "the stride of {} must be at least 1×1, not {}",
                self.kind(),
                self.stride
            ));
        }
        let Size2 {
            height: below,
            width: beside,
        } = self.output_padding;
        if below > 0 && below >= self.stride.height || beside > 0 && beside >= self.stride.width {
            return Err(format!(
                "the output_padding of {} must be smaller than its stride, {}, not {}",
                self.kind(),
                self.stride,
                self.output_padding
            ));
        }
        let (rows, columns) = match self.padding {
            Padding::Valid => (Some(0), Some(0)),
            Padding::Same if self.output_padding != none() => {
                return Err(format!(
                    "{} has no output_padding where its padding is \"same\": its output is input · stride",
                    self.kind()
                ));
            }
            Padding::Same => {
                let size = |input: usize, stride: usize| {
                    let size = input.checked_mul(stride);
                    size.ok_or_else(|| format!("the output of {} is larger than any image", self.kind()))
                };
                let (height, width) = (size(height, self.stride.height)?, size(width, self.stride.width)?);
                return Ok(Shape::from([self.channels, height, width]));
            }
            Padding::Explicit {
                top,
                bottom,
                left,
                right,
            } => (top.checked_add(bottom), left.checked_add(right)),
        };
        let height = [
            height,
            self.kernel.height,
            self.stride.height,
            self.dilation.height,
            below,
        ];
        let width = [width, self.kernel.width, self.stride.width, self.dilation.width, beside];
        Ok(Shape::from([
            self.channels,
            self.output_size("rows", height, rows)?,
            self.output_size("columns", width, columns)?,
        ]))
    }

    /// The size of the output along one axis, without the `padding`.
    fn output_size(
        &self,
        what: &str,
        [input, kernel, stride, dilation, more]: [usize; 5],
        padding: Option<usize>,
    ) -> Result<usize, String> {
        let kind = self.kind();
        let reach = |count: usize, step: usize| count.saturating_sub(1).checked_mul(step);
        let size = (|| {
            let kernels = reach(input, stride)?.checked_add(reach(kernel, dilation)?)?;
            kernels.checked_add(1)?.checked_add(more)
        })();
        let (Some(size), Some(padding)) = (size, padding) else {
            return Err(format!(
                "the output of {kind}, or its padding, is larger than any image"
            ));
        };
        if padding >= size {
            return Err(format!(
                "the padding of {kind} cuts off {padding} {what}, and there are only {size}"
            ));
        }
        Ok(size - padding)
    }

    /// The convolution, from images of this layer's output to those of its input, whose transpose the layer is.
    fn transpose(&self, input: &Shape) -> Result<BoundConv2d, String> {
        let (kind, output) = (self.kind(), self.output(input)?);
        check_channels(kind, input[0], self.channels, self.groups)?;
        let geometry = Geometry::new(kind, &output, self.kernel, self.stride, self.dilation, self.padding)?;
        BoundConv2d::new(kind, geometry, input[0], self.groups, false)
    }
}

impl Layer for ConvTranspose2d {
    fn kind(&self) -> &'static str {
        "conv_transpose2d"
    }

    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
        let convolution = self.transpose(input)?;
        let geometry = convolution.geometry;
        let (channels, groups) = (self.channels, self.groups);
        let transposed = BoundConvTranspose2d {
            geometry,
            inputs: input[0],
            group_in: input[0] / groups,
            group_out: channels / groups,
            bias: self.bias,
        };
        let (group_in, group_out, taps) = (transposed.group_in, transposed.group_out, geometry.taps());
        let shape = [input[0], group_out, self.kernel.height, self.kernel.width];
        let fans = Fans::new(group_in * taps, group_out * taps);
        let weights = (input[0] * group_out * taps) as u64;
        let window = geometry.window();
        let mut bound = BoundLayer::new(geometry.input(), transposed)
            .with_parameter(Parameter::weight(shape, fans, self.init.0.clone()))
            .with_multiply_adds(weights.saturating_mul(geometry.out_plane() as u64))
            .with_operation(Operation::TransposedConvolution { window, groups })
            .with_output_kind(OutputKind::Real)
            .with_fast(fast::FastConvTranspose2d::new(convolution, self.bias)?);
        if self.bias {
            bound = bound.with_parameter(Parameter::bias(channels));
        }
        Ok(bound)
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

/// A transposed convolution bound to its images.
#[derive(Debug)]
struct BoundConvTranspose2d {
    /// That of the convolution from y to x.
    geometry: Geometry,
    /// Input channels.
    inputs: usize,
    /// Input channels of a group.
    group_in: usize,
    /// Output channels of a group.
    group_out: usize,
    bias: bool,
}

impl BoundConvTranspose2d {
    /// Calls `meet(w, x)` for the weights and pixels whose products are added up at position (i′, j′) of output channel o, in
    /// ascending order of (c, k, l): their indices.
    fn meetings(&self, [o, i, j]: [usize; 3], mut meet: impl FnMut(usize, usize)) {
        let Geometry { rows, columns, .. } = self.geometry;
        let (group, o) = (o / self.group_out, o % self.group_out);
        for [c, k, l] in indices([self.group_in, rows.kernel, columns.kernel]) {
            if let (Some(row), Some(column)) = (rows.output_at(i, k), columns.output_at(j, l)) {
                let c = group * self.group_in + c;
                let w = ((c * self.group_out + o) * rows.kernel + k) * columns.kernel + l;
                let x = (c * rows.output + row) * columns.output + column;
                meet(w, x);
            }
        }
    }

    /// All (o, i′, j′).
    fn outputs(&self) -> impl Iterator<Item = [usize; 3]> {
        let channels = self.inputs / self.group_in * self.group_out;
        indices([channels, self.geometry.rows.input, self.geometry.columns.input])
    }
}

impl Passes for BoundConvTranspose2d {
    fn forward(&self, pass: Forward<'_>) {
        let (x, w) = (pass.x, &pass.parameters[0]);
        for ([o, i, j], y) in self.outputs().zip(pass.y) {
            let mut sum = 0.0;
            self.meetings([o, i, j], |at_w, at_x| sum = w[at_w].mul_add(x[at_x], sum));
            *y = if self.bias { sum + pass.parameters[1][o] } else { sum };
        }
    }

    fn backward(&self, mut pass: Backward<'_>) {
        let (x, w) = (pass.x, &pass.parameters[0]);
        pass.dx.fill(0.0);
        for ([o, i, j], &dy) in self.outputs().zip(pass.dy) {
            let dw = &mut pass.gradients[0];
            self.meetings([o, i, j], |at_w, at_x| {
                pass.dx[at_x] = w[at_w].mul_add(dy, pass.dx[at_x]);
                dw[at_w] = dy.mul_add(x[at_x], dw[at_w]);
            });
            if self.bias {
                pass.gradients[1][o] += dy;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{LayerHarness, check, check_gradient_is_a_sum};

    #[test]
    fn an_image_by_hand() {
        let layer = ConvTranspose2d::new(1, 2);
        let harness = LayerHarness::new(&layer, [1, 1, 2])
            .unwrap()
            .parameters(&[1.0, 2.0, 3.0, 4.0, 0.5]);
        let step = harness.step(&[1.0, 10.0], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        // The kernel once, and ten times one column to the right.
        assert_eq!(step.y, [1.5, 12.5, 20.5, 3.5, 34.5, 40.5]);
        assert_eq!(step.dx, [1.0 + 4.0 + 12.0 + 20.0, 2.0 + 6.0 + 15.0 + 24.0]);
        assert_eq!(step.gradient, [21.0, 32.0, 54.0, 65.0, 21.0]);
    }

    #[test]
    fn pixels_lie_a_stride_apart() {
        let layer = ConvTranspose2d::new(1, 1).stride((1, 3)).output_padding((0, 1));
        let harness = LayerHarness::new(&layer, [1, 1, 2]).unwrap().parameters(&[2.0, 0.0]);
        assert_eq!(harness.infer(&[1.0, 4.0]).unwrap(), [2.0, 0.0, 0.0, 8.0, 0.0]);
    }

    #[test]
    fn the_gradients_are_those_of_finite_differences() {
        let pad = |top, bottom, left, right| Padding::Explicit {
            top,
            bottom,
            left,
            right,
        };
        for (layer, input) in [
            (ConvTranspose2d::new(2, 3), [1, 3, 3]),
            (ConvTranspose2d::new(3, (2, 3)).bias(false), [2, 2, 3]),
            (ConvTranspose2d::new(2, 2).stride(2), [2, 2, 3]),
            (ConvTranspose2d::new(2, 3).stride((1, 2)).padding(1), [2, 3, 2]),
            (
                ConvTranspose2d::new(2, 3).stride(2).padding(1).output_padding(1),
                [2, 2, 3],
            ),
            (ConvTranspose2d::new(2, 3).stride(2).padding(Padding::Same), [1, 2, 3]),
            (ConvTranspose2d::new(2, 1).stride(3).output_padding((2, 1)), [2, 2, 2]),
            (
                ConvTranspose2d::new(2, (3, 2)).padding(pad(1, 0, 0, 1)).dilation(2),
                [2, 2, 3],
            ),
            (ConvTranspose2d::new(4, 2).groups(2).stride(2), [2, 2, 2]),
            (ConvTranspose2d::new(3, 3).groups(3).padding(1), [3, 3, 2]),
            (ConvTranspose2d::new(2, 1), [3, 1, 1]),
        ] {
            check(&layer, input);
        }
        check_gradient_is_a_sum(&ConvTranspose2d::new(2, 3).stride(2).padding(1), [2, 3, 2]);
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let refuse = |layer: ConvTranspose2d, input: &[usize]| layer.bind(&Shape::from(input)).unwrap_err();
        let image = [2, 3, 3];
        assert_eq!(
            refuse(ConvTranspose2d::new(0, 2), &image),
            "conv_transpose2d needs at least one output channel, got 0"
        );
        assert_eq!(
            refuse(ConvTranspose2d::new(3, 2).groups(2), &image),
            "conv_transpose2d can't divide 3 output channels into 2 groups"
        );
        assert_eq!(
            refuse(ConvTranspose2d::new(2, 2).stride(2).output_padding(2), &image),
            "the output_padding of conv_transpose2d must be smaller than its stride, 2×2, not 2×2"
        );
        let same = ConvTranspose2d::new(2, 2).stride(2).padding(Padding::Same);
        assert!(refuse(same.output_padding(1), &image).contains("no output_padding where its padding is \"same\""));
        assert!(refuse(ConvTranspose2d::new(2, 2).stride(0), &image).contains("must be at least 1×1"));
        assert!(refuse(ConvTranspose2d::new(2, 2).stride(usize::MAX), &image).contains("larger than any image"));
        assert!(refuse(ConvTranspose2d::new(2, 2).padding(usize::MAX), &image).contains("larger than any image"));
        assert!(refuse(ConvTranspose2d::new(2, 2), &[9]).contains("needs an image of shape channels×height×width"));
    }
}
