//! One-dimensional average pooling.

use serde::{Deserialize, Serialize};

use super::avg_pool2d::{BoundAvgPool, FastAvgPool};
use super::indices;
use super::sequence::Padding1d;
use super::window::Geometry;
use crate::layer::{Backward, BoundLayer, Forward, Layer, Operation, OutputKind, Passes, WindowAxis};
use crate::{Float, Shape};

/// The mean of each window of a sequence `[channels, length]`.
///
/// | | formula |
/// | --- | --- |
/// | forward | y[c, t] = Σ x[c, t′] / n over the window of t |
/// | backward | dx[c, t′] = Σ dy[c, t] / n over the windows that t′ is in |
///
/// n is the number of values in a window, those on the padding (which are 0) counted unless they are excluded.
/// [`Padding`](super::Padding) has the formula of the output's length.
///
/// Source: LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition", 1998.
///
/// ```
/// use gradus::layers::AvgPool1d;
/// use gradus::{Layer, Shape};
/// let bound = AvgPool1d::new(3).bind(&Shape::from([5, 28])).unwrap();
/// assert_eq!(bound.output(), &Shape::from([5, 9]));
/// ```
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AvgPool1d {
    kernel: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stride: Option<usize>,
    #[serde(default)]
    padding: Padding1d,
    #[serde(default)]
    exclude_padding: bool,
}

impl AvgPool1d {
    /// Windows of this length, next to each other.
    pub fn new(kernel: usize) -> Self {
        AvgPool1d {
            kernel,
            stride: None,
            padding: Padding1d::Valid,
            exclude_padding: false,
        }
    }

    /// By how many positions the window moves from one output to the next, if not by its length.
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = Some(stride);
        self
    }

    /// What surrounds the sequence.
    pub fn padding(mut self, padding: impl Into<Padding1d>) -> Self {
        self.padding = padding.into();
        self
    }

    /// Leaves the padding out of the means, instead of counting it as zeros.
    pub fn exclude_padding(mut self) -> Self {
        self.exclude_padding = true;
        self
    }
}

impl Layer for AvgPool1d {
    fn kind(&self) -> &'static str {
        "avg_pool1d"
    }

    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
        let stride = self.stride.unwrap_or(self.kernel);
        let geometry = Geometry::of_sequence(self.kind(), input, self.kernel, stride, 1, self.padding)?;
        geometry.every_window_sees_the_sequence(self.kind())?;
        let exclude_padding = self.exclude_padding;
        let (channels, axis) = (geometry.channels, geometry.columns);
        let image = BoundAvgPool::new(geometry, exclude_padding);
        let pool = BoundAvgPool1d {
            channels,
            axis,
            exclude_padding,
            part: image.part(),
        };
        Ok(BoundLayer::new([channels, axis.output], pool)
            .with_operation(Operation::MeanPool {
                window: geometry.window(),
                exclude_padding,
            })
            .with_output_kind(OutputKind::SameAsInput)
            .with_fast(FastAvgPool(image)))
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

/// Average pooling bound to its sequences.
#[derive(Debug)]
struct BoundAvgPool1d {
    channels: usize,
    axis: WindowAxis,
    exclude_padding: bool,
    /// How many values are added up before their sum is added to the total.
    part: usize,
}

impl BoundAvgPool1d {
    /// The number of values that the mean of window t is over.
    fn count(&self, t: usize) -> Float {
        let count = if self.exclude_padding {
            self.axis.inside(t).len()
        } else {
            self.axis.kernel
        };
        count as Float
    }

    /// All (c, t).
    fn outputs(&self) -> impl Iterator<Item = [usize; 2]> {
        indices([1, self.channels, self.axis.output]).map(|[_, c, t]| [c, t])
    }
}

impl Passes for BoundAvgPool1d {
    fn forward(&self, pass: Forward<'_>) {
        for ([c, t], y) in self.outputs().zip(pass.y) {
            let x = &pass.x[c * self.axis.input..][..self.axis.input];
            let (mut total, mut sum) = (0.0, 0.0);
            for k in 0..self.axis.kernel {
                if let Some(i) = self.axis.input_at(t, k) {
                    sum += x[i];
                }
                if (k + 1).is_multiple_of(self.part) || k + 1 == self.axis.kernel {
                    total += sum;
                    sum = 0.0;
                }
            }
            *y = total / self.count(t);
        }
    }

    fn backward(&self, pass: Backward<'_>) {
        pass.dx.fill(0.0);
        for ([c, t], dy) in self.outputs().zip(pass.dy) {
            for i in (0..self.axis.kernel).filter_map(|k| self.axis.input_at(t, k)) {
                pass.dx[c * self.axis.input + i] += dy / self.count(t);
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
        let layer = AvgPool1d::new(2);
        let step = LayerHarness::new(&layer, [2, 3])
            .unwrap()
            .step(&[1.0, 2.0, 3.0, 5.0, 8.0, -3.0], &[2.0, 4.0])
            .unwrap();
        assert_eq!(step.y, [1.5, 6.5]);
        assert_eq!(step.dx, [1.0, 1.0, 0.0, 2.0, 2.0, 0.0]);
    }

    #[test]
    fn padding_counts_unless_excluded() {
        let layer = AvgPool1d::new(2).padding(1);
        let infer = |layer: &AvgPool1d| LayerHarness::new(layer, [1, 2]).unwrap().infer(&[4.0, 8.0]).unwrap();
        assert_eq!(infer(&layer), [2.0, 4.0]);
        assert_eq!(infer(&layer.exclude_padding()), [4.0, 8.0]);
    }

    #[test]
    fn the_gradients_are_those_of_finite_differences() {
        let same = AvgPool1d::new(3).stride(1).padding(Padding1d::Same);
        check(&AvgPool1d::new(2), [2, 6]);
        check(&AvgPool1d::new(3), [1, 7]);
        check(&AvgPool1d::new(3).stride(2).padding(1), [2, 5]);
        check(&same, [1, 4]);
        check(&same.exclude_padding(), [1, 4]);
        check(&AvgPool1d::new(1), [2, 1]);
        // From 64 values on, a window is added up in parts.
        check(&AvgPool1d::new(70).stride(1).padding(2), [1, 69]);
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let layer = AvgPool1d::new(3).stride(2).padding(4);
        assert_eq!(
            layer.bind(&Shape::from([1, 4])).unwrap_err(),
            "the padding of avg_pool1d leaves windows of length 3 that see nothing but padding"
        );
    }
}
