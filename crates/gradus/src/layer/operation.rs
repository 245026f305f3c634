//! What a layer computes, for programs that turn a network into something else.

use serde::{Deserialize, Serialize};

/// What a layer computes for a sample once it is trained: a formula of the textbooks, with all of its settings resolved.
///
/// A layer says it when it is [bound](super::BoundLayer::with_operation), and whoever exports, quantizes or explains a network matches on
/// it. The name of a layer decides nothing: a layer of one's own that computes one of these is exported like the library's, and one
/// that does not say what it computes is refused.
///
/// The parameters are those of the layer, in the library's layouts.
///
/// ```
/// use gradus::layer::{Function, Operation};
/// use gradus::{Layer, Shape, layers::Conv2d, activation::LeakyRelu};
///
/// let leaky_relu = LeakyRelu::new(0.5).bind(&Shape::from(10)).unwrap().operation();
/// assert_eq!(leaky_relu, Some(Operation::Map(Function::LeakyRelu { slope: 0.5 })));
///
/// let convolution = Conv2d::new(8, 3).padding(1).stride(2).bind(&Shape::from([1, 28, 28])).unwrap().operation();
/// let Some(Operation::Convolution { window, groups: 1 }) = convolution else { panic!("a convolution") };
/// assert_eq!((window.rows.before, window.rows.output, window.rows.after()), (1, 14, 0));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Operation {
    /// y = x·W + b: `weight` is inputs × units, `bias` may be absent.
    Dense,
    /// `y[o, i, j] = b[o] + Σ w[o, c, k, l] · x[c, i·s + k·d − p, j·s + l·d − p]`: `weight` is channels × channels of a group ×
    /// kernel, `bias` may be absent.
    Convolution {
        /// Where the windows are.
        window: Window,
        /// How many groups the channels are in.
        groups: usize,
    },
    /// The transpose of a convolution: `y[o, i′, j′] = b[o] + Σ w[c, o, k, l] · x[c, i, j]` over all that meet there, where
    /// i′ = i·s + k·d − p and j′ = j·s + l·d − p. `weight` is input channels × channels of a group × kernel, `bias` may be absent.
    TransposedConvolution {
        /// Where the windows are of the convolution from y to x: its input is the layer's output.
        window: Window,
        /// How many groups the channels are in.
        groups: usize,
    },
    /// The largest value of each window, channel by channel. Padding is never the largest.
    MaxPool {
        /// Where the windows are.
        window: Window,
    },
    /// The mean of each window, channel by channel.
    MeanPool {
        /// Where the windows are.
        window: Window,
        /// Whether the mean is over the pixels of the image alone; otherwise padding counts as zeros.
        exclude_padding: bool,
    },
    /// The mean of each channel: from channels × height × width, or channels × length, to channels.
    GlobalMeanPool,
    /// The largest value of each channel: from channels × height × width, or channels × length, to channels.
    GlobalMaxPool,
    /// y = γ · (x − mean) / √(variance + ε) + β, channel by channel, the first dimension being the channels: parameters `weight` and
    /// `bias`, state `running_mean` and `running_var`.
    BatchNorm {
        /// ε.
        epsilon: f64,
        /// How much of each batch's statistics went into the running ones in training.
        momentum: f64,
    },
    /// yᵢ = exp(xᵢ) / Σ exp(xⱼ), over all values of a sample.
    Softmax,
    /// x where x > 0, else a · x: `weight` is a, one for all values or one for each channel, the first dimension.
    PRelu,
    /// yᵢ = xᵢ − ln Σ exp(xⱼ), over all values of a sample.
    LogSoftmax,
    /// y = γ · (x − mean) / √(variance + ε) + β over all values of a sample: `weight` is γ and `bias` is β, both of the sample's shape.
    LayerNorm {
        /// ε.
        epsilon: f64,
    },
    /// The same over each group of channels, the first dimension: `weight` is γ and `bias` is β, one for each channel.
    GroupNorm {
        /// The number of groups.
        groups: usize,
        /// ε.
        epsilon: f64,
    },
    /// `y[c, i, j] = x[c, i − top, j − left]` inside the image, else 0.
    ZeroPad {
        /// Windows of one pixel, on the image or its padding.
        window: Window,
    },
    /// `y[c, i, j] = x[c, i + top, j + left]`, as far as the output reaches.
    Crop {
        /// The rows of x that are left out above.
        top: usize,
        /// The columns of x that are left out on the left.
        left: usize,
    },
    /// `y[c, i] = max over j of x[c · pieces + j, i]`, c being a channel, the first dimension, and i a place in the others.
    Maxout {
        /// How many channels become one.
        pieces: usize,
    },
    /// `y[c, i, j]` is the pixel of x that (i, j) lies in, or interpolated between the four pixels whose centers are around it: see
    /// [`Upsample2d`](crate::layers::Upsample2d).
    Upsample {
        /// How many times as high and as wide y is.
        scale: [usize; 2],
        /// Where values between pixels come from.
        mode: UpsampleMode,
    },
    /// A function of each value alone.
    Map(Function),
    /// The same values in the shape of the output.
    Reshape,
    /// The same values in the same shape: of use in training only.
    Identity,
}

/// Where the values between pixels come from when an image is enlarged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpsampleMode {
    /// From the nearest pixel, which is repeated.
    #[default]
    Nearest,
    /// From linear interpolation along both axes between the centers of the pixels.
    Bilinear,
}

/// A function of one value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Function {
    /// max(0, x)
    Relu,
    /// x where x > 0, else slope · x
    LeakyRelu {
        /// The slope for negative x.
        slope: f64,
    },
    /// x where x > 0, else α · (eˣ − 1)
    Elu {
        /// α.
        alpha: f64,
    },
    /// x · Φ(x), Φ being the normal distribution's cumulative function
    Gelu,
    /// x / (1 + e⁻ˣ)
    Silu,
    /// ln(1 + eˣ)
    Softplus,
    /// 1 / (1 + e⁻ˣ)
    Sigmoid,
    /// tanh(x)
    Tanh,
    /// min(max(x, low), high)
    Clamp {
        /// The smallest value.
        low: f64,
        /// The largest value.
        high: f64,
    },
    /// min(max(x / 6 + 1/2, 0), 1)
    HardSigmoid,
    /// x · min(max(x / 6 + 1/2, 0), 1)
    HardSwish,
    /// λ · x where x > 0, else λ · α · (eˣ − 1), with λ = 1.0507009873554805 and α = 1.6732632423543772
    Selu,
    /// x · tanh(ln(1 + eˣ))
    Mish,
    /// x · (1 + tanh(√(2/π) · (x + 0.044715 · x³))) / 2
    GeluTanh,
}

/// Where the windows of a convolution or pooling are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Down.
    pub rows: WindowAxis,
    /// Across.
    pub columns: WindowAxis,
}

/// The windows along one axis, in pixels: tap k of the window of output o falls on input o · stride + k · dilation − before, which is
/// padding unless it is from 0 to the input's size.
///
/// Source: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowAxis {
    /// The size of the input.
    pub input: usize,
    /// The number of windows.
    pub output: usize,
    /// The taps of a window.
    pub kernel: usize,
    /// The distance of two windows.
    pub stride: usize,
    /// The distance of two taps.
    pub dilation: usize,
    /// The padding before the first pixel.
    pub before: usize,
}

impl WindowAxis {
    /// The padding after the last pixel that the last window reaches: none if it ends before it. A layer may have been declared with
    /// more, which no window sees.
    pub fn after(&self) -> usize {
        let reach = (self.output - 1) * self.stride + (self.kernel - 1) * self.dilation + 1;
        reach.saturating_sub(self.before + self.input)
    }
}
