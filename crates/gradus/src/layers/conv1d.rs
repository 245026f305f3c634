//! One-dimensional convolution.
//!
//! This file computes it as it is written; blocks of samples are convolved as images of height 1.

use serde::{Deserialize, Serialize};

use super::conv2d::{BoundConv2d, FastConv2d};
use super::sequence::Padding1d;
use super::window::Geometry;
use super::{Init, indices, on, one};
use crate::Shape;
use crate::init::{Fans, Initializer};
use crate::layer::{Backward, BoundLayer, Forward, Layer, Operation, OutputKind, Parameter, Passes, WindowAxis};

/// A convolution over sequences of shape `[channels, length]`: signals, series, text as vectors.
///
/// For each output channel o and position t, with stride s, dilation d and padding p,
///
/// y[o, t] = b\[o\] + Σ over c, k of w[o, c, k] · x[c, t·s + k·d − p],
///
/// where x is 0 on the padding. (Strictly a cross-correlation, as everywhere in the field: the kernel is not flipped.) With
/// groups, the channels are divided evenly and the sum goes over the input channels of the output channel's own group.
/// [`Padding`](super::Padding) has the formula of the output's length.
///
/// | backward | formula |
/// | --- | --- |
/// | | dx[c, t′] = Σ w[o, c, k] · dy[o, t] over the outputs and taps that meet at position t′ |
/// | | dw[o, c, k] += Σ dy[o, t] · x[c, t·s + k·d − p], db\[o\] += Σ dy[o, t], over samples and positions |
///
/// Sources: Waibel, Hanazawa, Hinton, Shikano and Lang, "Phoneme recognition using time-delay neural networks", 1989; Dumoulin and
/// Visin, "A guide to convolution arithmetic for deep learning", 2016.
///
/// Parameters: `weight` (channels × in_channels / groups × kernel) and `bias` (channels). The weights start as
/// [`HeNormal`](crate::init::HeNormal) sets them unless [`init`](Conv1d::init) says otherwise, the biases at 0.
///
/// ```
/// use gradus::layers::{Conv1d, Padding1d};
/// use gradus::{Layer, Shape};
/// let signal = Shape::from([2, 100]);
/// let bound = Conv1d::new(8, 5).bind(&signal).unwrap();
/// assert_eq!(bound.output(), &Shape::from([8, 96]));
/// assert_eq!(bound.parameters()[0].shape, Shape::from([8, 2, 5]));
///
/// let bound = Conv1d::new(8, 5).stride(2).padding(Padding1d::Same).bind(&signal).unwrap();
/// assert_eq!(bound.output(), &Shape::from([8, 50]));
///
/// let message = Conv1d::new(8, 101).bind(&signal).unwrap_err();
/// assert_eq!(message, "the kernel's length is 101, more than the length of the padded input, 100");
/// ```
#[doc(alias = "temporal_convolution")]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv1d {
    channels: usize,
    kernel: usize,
    #[serde(default = "one")]
    stride: usize,
    #[serde(default)]
    padding: Padding1d,
    #[serde(default = "one")]
    dilation: usize,
    #[serde(default = "one")]
    groups: usize,
    #[serde(default = "on")]
    bias: bool,
    #[serde(default, skip_serializing_if = "Init::is_unknown")]
    init: Init,
}

impl Conv1d {
    /// A convolution with `channels` output channels and a kernel of this length; without padding, with a bias.
    pub fn new(channels: usize, kernel: usize) -> Self {
        Conv1d {
            channels,
            kernel,
            stride: 1,
            padding: Padding1d::Valid,
            dilation: 1,
            groups: 1,
            bias: true,
            init: Init::default(),
        }
    }

    /// By how many positions the kernel moves from one output to the next.
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }

    /// What surrounds the sequence.
    pub fn padding(mut self, padding: impl Into<Padding1d>) -> Self {
        self.padding = padding.into();
        self
    }

    /// How far the values under neighboring weights of the kernel are apart.
    pub fn dilation(mut self, dilation: usize) -> Self {
        self.dilation = dilation;
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
}

impl Layer for Conv1d {
    fn kind(&self) -> &'static str {
        "conv1d"
    }

    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
        let (channels, groups) = (self.channels, self.groups);
        let geometry = Geometry::of_sequence(
            self.kind(),
            input,
            self.kernel,
            self.stride,
            self.dilation,
            self.padding,
        )?;
        let image = BoundConv2d::new(self.kind(), geometry, channels, groups, self.bias)?;
        let axis = geometry.columns;
        let convolution = BoundConv1d {
            axis,
            channels,
            group_in: geometry.channels / groups,
            group_out: channels / groups,
            bias: self.bias,
        };
        let weights = convolution.group_in * self.kernel;
        let fans = Fans::new(weights, convolution.group_out * self.kernel);
        let shape = [channels, convolution.group_in, self.kernel];
        let per_position = channels as u64 * weights as u64;
        let window = geometry.window();
        let mut bound = BoundLayer::new([channels, axis.output], convolution)
            .with_parameter(Parameter::weight(shape, fans, self.init.0.clone()))
            .with_multiply_adds(per_position.saturating_mul(axis.output as u64))
            .with_operation(Operation::Convolution { window, groups })
            .with_output_kind(OutputKind::Real)
            .with_fast(FastConv2d::new(image)?);
        if self.bias {
            bound = bound.with_parameter(Parameter::bias(channels));
        }
        Ok(bound)
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

/// A convolution bound to its sequences.
#[derive(Debug)]
struct BoundConv1d {
    axis: WindowAxis,
    channels: usize,
    /// Input channels of a group.
    group_in: usize,
    /// Output channels of a group.
    group_out: usize,
    bias: bool,
}

impl BoundConv1d {
    /// Calls `meet(w, x)` for the weights of output channel o that meet a value at position t, in ascending order of (c, k): their
    /// index and that of the value.
    fn meetings(&self, [o, t]: [usize; 2], mut meet: impl FnMut(usize, usize)) {
        let first = o / self.group_out * self.group_in;
        for [_, c, k] in indices([1, self.group_in, self.axis.kernel]) {
            // Elsewhere is padding, where x is 0.
            if let Some(at) = self.axis.input_at(t, k) {
                let w = (o * self.group_in + c) * self.axis.kernel + k;
                let x = (first + c) * self.axis.input + at;
                meet(w, x);
            }
        }
    }

    /// All (o, t).
    fn outputs(&self) -> impl Iterator<Item = [usize; 2]> {
        indices([1, self.channels, self.axis.output]).map(|[_, o, t]| [o, t])
    }
}

impl Passes for BoundConv1d {
    fn forward(&self, pass: Forward<'_>) {
        let (x, w) = (pass.x, &pass.parameters[0]);
        for ([o, t], y) in self.outputs().zip(pass.y) {
            let mut sum = if self.bias { pass.parameters[1][o] } else { 0.0 };
            self.meetings([o, t], |at_w, at_x| sum = w[at_w].mul_add(x[at_x], sum));
            *y = sum;
        }
    }

    fn backward(&self, mut pass: Backward<'_>) {
        let (x, w) = (pass.x, &pass.parameters[0]);
        pass.dx.fill(0.0);
        for ([o, t], &dy) in self.outputs().zip(pass.dy) {
            let dw = &mut pass.gradients[0];
            self.meetings([o, t], |at_w, at_x| {
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
    use crate::layers::testing::{LayerHarness, check};

    #[test]
    fn a_sequence_by_hand() {
        let layer = Conv1d::new(1, 2).stride(2);
        let harness = LayerHarness::new(&layer, [2, 4])
            .unwrap()
            .parameters(&[1.0, 2.0, 3.0, 4.0, 0.5]);
        let x = [1.0, 0.0, 2.0, -1.0, 0.0, 1.0, 3.0, 2.0];
        let step = harness.step(&x, &[1.0, 10.0]).unwrap();
        // 1·1 + 2·0 + 3·0 + 4·1 + 0.5 and 1·2 − 2·1 + 3·3 + 4·2 + 0.5
        assert_eq!(step.y, [5.5, 17.5]);
        assert_eq!(step.dx, [1.0, 2.0, 10.0, 20.0, 3.0, 4.0, 30.0, 40.0]);
        assert_eq!(step.gradient, [21.0, -10.0, 30.0, 21.0, 11.0]);
    }

    #[test]
    fn the_gradients_are_those_of_finite_differences() {
        let explicit = Padding1d::Explicit { before: 3, after: 1 };
        for (layer, input) in [
            (Conv1d::new(2, 3), [1, 5]),
            (Conv1d::new(3, 3).bias(false), [2, 3]),
            (Conv1d::new(2, 3).stride(2), [2, 8]),
            (Conv1d::new(2, 2).stride(3), [2, 9]),
            (Conv1d::new(2, 4).padding(Padding1d::Same), [2, 5]),
            (Conv1d::new(2, 3).padding(Padding1d::Same).stride(2), [2, 6]),
            (Conv1d::new(2, 2).padding(explicit).dilation(2), [2, 4]),
            (Conv1d::new(4, 3).groups(2), [4, 6]),
            (Conv1d::new(3, 3).groups(3).padding(1).stride(2), [3, 5]),
            (Conv1d::new(3, 1), [2, 4]),
            (Conv1d::new(2, 1), [3, 1]),
            (Conv1d::new(2, 3).padding(1), [1, 1]),
        ] {
            check(&layer, input);
        }
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let refuse = |layer: Conv1d, input: &[usize]| layer.bind(&Shape::from(input)).unwrap_err();
        assert_eq!(
            refuse(Conv1d::new(0, 3), &[1, 5]),
            "conv1d needs at least one output channel, got 0"
        );
        assert_eq!(
            refuse(Conv1d::new(2, 3).groups(2), &[3, 5]),
            "conv1d can't divide 3 input channels into 2 groups"
        );
        assert_eq!(
            refuse(Conv1d::new(2, 2), &[3, 1]),
            "the kernel's length is 2, more than the length of the padded input, 1"
        );
        assert_eq!(
            refuse(Conv1d::new(2, 2), &[1, 4, 4]),
            "conv1d needs a sequence of shape channels×length, got 1×4×4: put a Reshape before it"
        );
    }

    #[test]
    fn settings_make_the_same_layer_again() {
        let layer: Conv1d = serde_json::from_str(r#"{ "channels": 2, "kernel": 3, "padding": 1 }"#).unwrap();
        let expected = Conv1d::new(2, 3).padding(1);
        assert_eq!(layer.settings().unwrap(), expected.settings().unwrap());
        let settings = Conv1d::new(2, 3).padding(Padding1d::Same).settings().unwrap();
        assert_eq!(settings["padding"], "same");
    }
}
