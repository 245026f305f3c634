//! Two-dimensional convolution.
//!
//! This file computes it as it is written; [`fast`] for blocks of samples.

mod fast;
mod matrices;

pub(super) use fast::FastConv2d;
use gradus_kernels::interleaved::LANES;
use serde::{Deserialize, Serialize};

use super::window::{Geometry, Padding, Size2};
use super::{Init, checked_size, indices, on, one};
use crate::Shape;
use crate::init::{Fans, Initializer};
use crate::layer::{Backward, BoundLayer, Forward, Layer, Operation, OutputKind, Parameter, Passes};

/// A convolution over images of shape `[channels, height, width]`.
///
/// For each output channel o and position (i, j), with stride s, dilation d and padding p,
///
/// y[o, i, j] = b\[o\] + Σ over c, k, l of w[o, c, k, l] · x[c, i·s + k·d − p, j·s + l·d − p],
///
/// where x is 0 on the padding. (Strictly a cross-correlation, as everywhere in the field: the kernel is not flipped.) With
/// groups, the channels are divided evenly and the sum goes over the input channels of the output channel's own group.
/// [`Padding`] has the formula of the output's height and width.
///
/// | backward | formula |
/// | --- | --- |
/// | | dx[c, i′, j′] = Σ w[o, c, k, l] · dy[o, i, j] over the outputs and taps that meet at the pixel |
/// | | dw[o, c, k, l] += Σ dy[o, i, j] · x[c, i·s + k·d − p, j·s + l·d − p], db\[o\] += Σ dy[o, i, j], over samples and positions |
///
/// Source: LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition", 1998.
///
/// Parameters: `weight` (channels × in_channels / groups × kernel height × kernel width) and `bias` (channels). The
/// weights start as [`HeNormal`](crate::init::HeNormal) sets them unless [`init`](Conv2d::init) says otherwise, the
/// biases at 0.
///
/// ```
/// use gradus::layers::{Conv2d, Padding};
/// use gradus::{Layer, Shape};
/// let image = Shape::from([1, 28, 28]);
/// let bound = Conv2d::new(5, 3).bind(&image).unwrap();
/// assert_eq!(bound.output(), &Shape::from([5, 26, 26]));
/// assert_eq!(bound.parameters()[0].shape, Shape::from([5, 1, 3, 3]));
/// assert_eq!(bound.parameters()[0].fans.fan_in, 9);
///
/// let bound = Conv2d::new(8, (3, 5)).stride(2).padding(Padding::Same).bind(&image).unwrap();
/// assert_eq!(bound.output(), &Shape::from([8, 14, 14]));
///
/// let message = Conv2d::new(8, 30).bind(&image).unwrap_err();
/// assert_eq!(message, "the kernel's height is 30, more than the height of the padded input, 28");
/// ```
#[doc(alias = "convolutional")]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv2d {
    channels: usize,
    kernel: Size2,
    #[serde(default = "Size2::one")]
    stride: Size2,
    #[serde(default)]
    padding: Padding,
    #[serde(default = "Size2::one")]
    dilation: Size2,
    #[serde(default = "one")]
    groups: usize,
    #[serde(default = "on")]
    bias: bool,
    #[serde(default, skip_serializing_if = "Init::is_unknown")]
    init: Init,
}

impl Conv2d {
    /// A convolution with `channels` output channels and a kernel of this size; without padding, with a bias.
    pub fn new(channels: usize, kernel: impl Into<Size2>) -> Self {
        Conv2d {
            channels,
            kernel: kernel.into(),
            stride: Size2::ONE,
            padding: Padding::Valid,
            dilation: Size2::ONE,
            groups: 1,
            bias: true,
            init: Init::default(),
        }
    }

    /// By how many pixels the kernel moves from one output to the next.
    pub fn stride(mut self, stride: impl Into<Size2>) -> Self {
        self.stride = stride.into();
        self
    }

    /// What surrounds the image.
    pub fn padding(mut self, padding: impl Into<Padding>) -> Self {
        self.padding = padding.into();
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

    /// The convolution of images of this shape.
    fn of(&self, input: &Shape) -> Result<BoundConv2d, String> {
        let geometry = Geometry::new("conv2d", input, self.kernel, self.stride, self.dilation, self.padding)?;
        BoundConv2d::new("conv2d", geometry, self.channels, self.groups, self.bias)
    }
}

impl Layer for Conv2d {
    fn kind(&self) -> &'static str {
        "conv2d"
    }

    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
        let convolution = self.of(input)?;
        let BoundConv2d { geometry, groups, .. } = convolution;
        let weights = convolution.weights();
        let fans = Fans::new(weights, convolution.group_out * geometry.taps());
        let shape = [
            self.channels,
            convolution.group_in,
            self.kernel.height,
            self.kernel.width,
        ];
        let per_position = self.channels as u64 * weights as u64;
        let window = geometry.window();
        let mut bound = BoundLayer::new(geometry.output(self.channels), convolution)
            .with_parameter(Parameter::weight(shape, fans, self.init.0.clone()))
            .with_multiply_adds(per_position.saturating_mul(geometry.out_plane() as u64))
            .with_operation(Operation::Convolution { window, groups })
            .with_output_kind(OutputKind::Real)
            .with_fast(FastConv2d::new(convolution)?);
        if self.bias {
            bound = bound.with_parameter(Parameter::bias(self.channels));
        }
        Ok(bound)
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

/// Refuses numbers of channels that can't be divided into `groups` groups.
pub(super) fn check_channels(kind: &str, inputs: usize, outputs: usize, groups: usize) -> Result<(), String> {
    if outputs == 0 {
        return Err(format!("{kind} needs at least one output channel, got 0"));
    }
    for (what, channels) in [("input", inputs), ("output", outputs)] {
        if groups == 0 || !channels.is_multiple_of(groups) {
            return Err(format!(
                "{kind} can't divide {channels} {what} channels into {groups} groups"
            ));
        }
    }
    Ok(())
}

/// A convolution bound to its images.
#[derive(Debug, Clone, Copy)]
pub(super) struct BoundConv2d {
    pub(super) geometry: Geometry,
    groups: usize,
    /// Input channels of a group.
    pub(super) group_in: usize,
    /// Output channels of a group.
    pub(super) group_out: usize,
    bias: bool,
}

impl BoundConv2d {
    /// The convolution with these windows, for the layer named `kind`; or a sentence that says why there is none.
    pub(super) fn new(
        kind: &str,
        geometry: Geometry,
        channels: usize,
        groups: usize,
        bias: bool,
    ) -> Result<Self, String> {
        check_channels(kind, geometry.channels, channels, groups)?;
        let Geometry { rows, columns, .. } = geometry;
        let group_in = geometry.channels / groups;
        let weights = [channels, group_in, rows.kernel, columns.kernel];
        checked_size(format_args!("the weight of {kind}"), &weights)?;
        let outputs = [channels, rows.output, columns.output];
        checked_size(format_args!("the output of {kind}"), &outputs)?;
        let reach = [rows.reach(), columns.reach(), LANES];
        checked_size(format_args!("with its padding, a sample of {kind}"), &reach)?;
        Ok(BoundConv2d {
            geometry,
            groups,
            group_in,
            group_out: channels / groups,
            bias,
        })
    }

    /// The number of weights of an output channel.
    fn weights(&self) -> usize {
        self.group_in * self.geometry.taps()
    }

    fn channels(&self) -> usize {
        self.groups * self.group_out
    }

    /// Calls `meet(w, x)` for the weights of output channel o that meet a pixel at position (i, j), in ascending order of (c, k, l):
    /// their index and that of the pixel.
    fn meetings(&self, [o, i, j]: [usize; 3], mut meet: impl FnMut(usize, usize)) {
        let Geometry { rows, columns, .. } = self.geometry;
        let first = o / self.group_out * self.group_in;
        for [c, k, l] in indices([self.group_in, rows.kernel, columns.kernel]) {
            // Elsewhere is padding, where x is 0.
            if let (Some(row), Some(column)) = (rows.input_at(i, k), columns.input_at(j, l)) {
                let w = ((o * self.group_in + c) * rows.kernel + k) * columns.kernel + l;
                let x = ((first + c) * rows.input + row) * columns.input + column;
                meet(w, x);
            }
        }
    }

    /// All (o, i, j).
    fn outputs(&self) -> impl Iterator<Item = [usize; 3]> {
        indices([self.channels(), self.geometry.rows.output, self.geometry.columns.output])
    }
}

impl Passes for BoundConv2d {
    fn forward(&self, pass: Forward<'_>) {
        let (x, w) = (pass.x, &pass.parameters[0]);
        for ([o, i, j], y) in self.outputs().zip(pass.y) {
            let mut sum = if self.bias { pass.parameters[1][o] } else { 0.0 };
            self.meetings([o, i, j], |at_w, at_x| sum = w[at_w].mul_add(x[at_x], sum));
            *y = sum;
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
    use crate::Float;
    use crate::layers::testing::{LayerHarness, check, check_gradient_is_a_sum, spread};

    /// The definition: y[o, i, j] = b[o] + Σ w[o, c, k, l] · x[c, i·s + k·d − p, j·s + l·d − p].
    fn naive(
        layer: &Conv2d,
        input: [usize; 3],
        padding: (usize, usize),
        harness: &LayerHarness,
        x: &[Float],
    ) -> Vec<Float> {
        let [in_channels, height, width] = input;
        let (_, out_height, out_width) = harness.bound.output.image().unwrap();
        let Size2 { height: kh, width: kw } = layer.kernel;
        let (group_in, group_out) = (in_channels / layer.groups, layer.channels / layer.groups);
        let weights = layer.channels * group_in * kh * kw;
        let mut y = Vec::new();
        for (o, i, j) in indices(layer.channels, out_height, out_width) {
            let mut sum = if layer.bias {
                harness.parameters[weights + o]
            } else {
                0.0
            };
            for (c, k, l) in indices(group_in, kh, kw) {
                let row = (i * layer.stride.height + k * layer.dilation.height).wrapping_sub(padding.0);
                let column = (j * layer.stride.width + l * layer.dilation.width).wrapping_sub(padding.1);
                if row < height && column < width {
                    let channel = o / group_out * group_in + c;
                    let w = harness.parameters[((o * group_in + c) * kh + k) * kw + l];
                    sum += w * x[(channel * height + row) * width + column];
                }
            }
            y.push(sum);
        }
        y
    }

    fn indices(a: usize, b: usize, c: usize) -> impl Iterator<Item = (usize, usize, usize)> {
        (0..a * b * c).map(move |i| (i / (b * c), i / c % b, i % c))
    }

    /// Layers, their input, and the padding above and on the left that they come to.
    fn geometries() -> Vec<(Conv2d, [usize; 3], (usize, usize))> {
        let pad = |top, bottom, left, right| Padding::Explicit {
            top,
            bottom,
            left,
            right,
        };
        vec![
            (Conv2d::new(2, 3), [1, 5, 5], (0, 0)),
            (Conv2d::new(3, (2, 3)), [2, 5, 4], (0, 0)),
            (Conv2d::new(2, 3).bias(false), [3, 3, 7], (0, 0)),
            (Conv2d::new(2, 3).stride(2), [2, 7, 6], (0, 0)),
            (Conv2d::new(2, 2).stride((1, 3)), [2, 4, 8], (0, 0)),
            (Conv2d::new(2, 2).stride(3), [1, 7, 9], (0, 0)),
            (Conv2d::new(2, 3).padding(1), [2, 4, 3], (1, 1)),
            (Conv2d::new(2, 3).padding(Padding::Same), [2, 4, 3], (1, 1)),
            (Conv2d::new(2, (2, 4)).padding(Padding::Same), [2, 4, 5], (0, 1)),
            (Conv2d::new(2, 3).padding(Padding::Same).stride(2), [1, 6, 5], (0, 1)),
            (Conv2d::new(2, (3, 2)).padding(pad(2, 0, 1, 3)), [1, 3, 4], (2, 1)),
            (Conv2d::new(2, 1).padding(pad(1, 2, 3, 0)), [2, 2, 2], (1, 3)),
            (Conv2d::new(2, (3, 2)).dilation(2), [2, 6, 5], (0, 0)),
            (
                Conv2d::new(2, 3).dilation((1, 3)).padding(3).stride(2),
                [1, 4, 5],
                (3, 3),
            ),
            (Conv2d::new(4, 3).groups(2), [4, 4, 5], (0, 0)),
            (Conv2d::new(6, 2).groups(3).padding(1).stride(2), [6, 3, 4], (1, 1)),
            (Conv2d::new(3, 3).groups(3), [3, 4, 5], (0, 0)),
            (
                Conv2d::new(3, 3).groups(3).bias(false).padding(1).stride(2),
                [3, 4, 5],
                (1, 1),
            ),
            (Conv2d::new(4, (1, 3)).groups(2).dilation(2), [2, 2, 6], (0, 0)),
            (Conv2d::new(3, 1), [2, 3, 2], (0, 0)),
            (Conv2d::new(3, 1).bias(false), [1, 1, 1], (0, 0)),
            (Conv2d::new(4, 1).groups(2), [4, 2, 3], (0, 0)),
            (Conv2d::new(2, 1).groups(2), [2, 2, 3], (0, 0)),
            (Conv2d::new(3, 1).stride(2), [2, 4, 5], (0, 0)),
            (Conv2d::new(3, 1).stride(2), [2, 1, 1], (0, 0)),
            (Conv2d::new(2, 3).padding(1), [2, 1, 1], (1, 1)),
        ]
    }

    #[test]
    fn outputs_are_those_of_the_definition() {
        for (layer, input, padding) in geometries() {
            let harness = LayerHarness::new(&layer, input).unwrap();
            let x = spread(input.iter().product(), 5);
            let y = naive(&layer, input, padding, &harness, &x);
            crate::layers::testing::assert_close(&layer, &harness.infer(&x).unwrap(), &y, 1e-6);
        }
    }

    #[test]
    fn the_gradients_are_those_of_finite_differences() {
        for (layer, input, _) in geometries() {
            check(&layer, input);
        }
    }

    #[test]
    fn an_image_by_hand() {
        let layer = Conv2d::new(1, 2);
        let harness = LayerHarness::new(&layer, [1, 2, 3])
            .unwrap()
            .parameters(&[1.0, 2.0, 3.0, 4.0, 0.5]);
        let step = harness.step(&[1.0, 0.0, 2.0, 0.0, 1.0, -1.0], &[1.0, 10.0]).unwrap();
        // 1·1 + 2·0 + 3·0 + 4·1 + 0.5 and 1·0 + 2·2 + 3·1 − 4·1 + 0.5
        assert_eq!(step.y, [5.5, 3.5]);
        assert_eq!(step.dx, [1.0, 12.0, 20.0, 3.0, 34.0, 40.0]);
        assert_eq!(step.gradient, [1.0, 20.0, 10.0, -9.0, 11.0]);
    }

    /// The original never added the bias.
    #[test]
    fn defect_2_the_bias_is_added() {
        let layer = Conv2d::new(2, 3);
        let mut parameters = vec![0.0; 20];
        parameters[18..].copy_from_slice(&[0.25, -4.0]);
        let y = LayerHarness::new(&layer, [1, 4, 3])
            .unwrap()
            .parameters(&parameters)
            .infer(&[1.0; 12])
            .unwrap();
        assert_eq!(y, [0.25, 0.25, -4.0, -4.0]);
    }

    /// The original summed the convolution's gradients over the batch and averaged the dense layer's.
    #[test]
    fn defect_3_the_gradient_of_a_batch_is_the_sum_over_its_samples() {
        check_gradient_is_a_sum(&Conv2d::new(2, 3).padding(1), [2, 4, 3]);
        check_gradient_is_a_sum(&Conv2d::new(2, 3).groups(2), [2, 4, 3]);
    }

    /// The original took the whole image for the fan-in.
    #[test]
    fn defect_4_the_fan_in_is_what_an_output_sees() {
        let fans = |layer: Conv2d, input: [usize; 3]| layer.bind(&input.into()).unwrap().parameters()[0].fans;
        assert_eq!(fans(Conv2d::new(5, 3), [1, 28, 28]), Fans::new(9, 45));
        assert_eq!(fans(Conv2d::new(6, (3, 5)).groups(2), [4, 28, 28]), Fans::new(30, 45));
    }

    /// The original laid the input's gradient out unlike the input, so that a convolution below learned garbage.
    #[test]
    fn defect_5_the_input_gradient_is_laid_out_like_the_input() {
        // One output that sees one pixel: the gradient is at that pixel and nowhere else.
        let input = [2, 3, 4];
        for pixel in 0..24 {
            let (c, i, j) = (pixel / 12, pixel / 4 % 3, pixel % 4);
            let layer = Conv2d::new(1, 1).bias(false);
            let harness = LayerHarness::new(&layer, input).unwrap().parameters(&[10.0, 20.0]);
            let mut dy = [0.0; 12];
            dy[i * 4 + j] = 1.0;
            let dx = harness.step(&[1.0; 24], &dy).unwrap().dx;
            assert_eq!(dx[pixel], [10.0, 20.0][c]);
            assert_eq!(dx.iter().filter(|&&d| d != 0.0).count(), 2);
        }
        check(&Conv2d::new(3, (2, 3)), [2, 3, 5]);
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let refuse = |layer: Conv2d, input: [usize; 3]| layer.bind(&input.into()).unwrap_err();
        assert_eq!(
            refuse(Conv2d::new(0, 3), [1, 8, 8]),
            "conv2d needs at least one output channel, got 0"
        );
        assert_eq!(
            refuse(Conv2d::new(4, 3).groups(2), [3, 8, 8]),
            "conv2d can't divide 3 input channels into 2 groups"
        );
        assert_eq!(
            refuse(Conv2d::new(3, 3).groups(2), [4, 8, 8]),
            "conv2d can't divide 3 output channels into 2 groups"
        );
        assert_eq!(
            refuse(Conv2d::new(3, 3).groups(0), [4, 8, 8]),
            "conv2d can't divide 4 input channels into 0 groups"
        );
        assert!(refuse(Conv2d::new(usize::MAX, 3), [4, 8, 8]).starts_with("the weight of conv2d would have"));
        assert!(refuse(Conv2d::new(3, 1).padding(usize::MAX / 8), [4, 8, 8]).contains("more than any memory holds"));
    }

    #[test]
    fn settings_make_the_same_layer_again() {
        let layer = Conv2d::new(4, (3, 5))
            .stride(2)
            .padding(Padding::Same)
            .groups(2)
            .bias(false);
        let settings = layer.settings().unwrap();
        let expected = serde_json::json!({
            "channels": 4, "kernel": [3, 5], "stride": 2, "padding": "same", "dilation": 1, "groups": 2, "bias": false,
            "init": "he_normal"
        });
        assert_eq!(settings, expected);
        let again: Conv2d = serde_json::from_value(settings).unwrap();
        assert_eq!(again.settings().unwrap(), expected);
        assert!(serde_json::from_value::<Conv2d>(serde_json::json!({ "channels": 4, "kernel": 3 })).is_ok());
    }
}
