//! One-dimensional max pooling.
//!
//! Training saves which tap of its window each largest value was under; inference saves nothing.

use serde::{Deserialize, Serialize};

use super::indices;
use super::max_pool2d::FastMaxPool;
use super::sequence::Padding1d;
use super::window::Geometry;
use crate::layer::{Backward, BoundLayer, Forward, Layer, Operation, OutputKind, Passes, WindowAxis};
use crate::{Float, Shape};

/// The largest value of each window of a sequence `[channels, length]`.
///
/// | | formula |
/// | --- | --- |
/// | forward | y[c, t] = the largest x[c, t′] in the window of t |
/// | backward | dx[c, t′] = Σ dy[c, t] over the windows whose largest value is there |
///
/// Padding never wins, and of equal values the first does. [`Padding`](super::Padding) has the formula of the output's length.
///
/// Source: Ranzato, Huang, Boureau and LeCun, "Unsupervised learning of invariant feature hierarchies with applications to
/// object recognition", 2007.
///
/// ```
/// use gradus::layers::MaxPool1d;
/// use gradus::{Layer, Shape};
/// let bound = MaxPool1d::new(2).bind(&Shape::from([5, 27])).unwrap();
/// assert_eq!(bound.output(), &Shape::from([5, 13]));
/// ```
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaxPool1d {
    kernel: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stride: Option<usize>,
    #[serde(default)]
    padding: Padding1d,
}

impl MaxPool1d {
    /// Windows of this length, next to each other.
    pub fn new(kernel: usize) -> Self {
        MaxPool1d {
            kernel,
            stride: None,
            padding: Padding1d::Valid,
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
}

impl Layer for MaxPool1d {
    fn kind(&self) -> &'static str {
        "max_pool1d"
    }

    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
        let stride = self.stride.unwrap_or(self.kernel);
        let geometry = Geometry::of_sequence(self.kind(), input, self.kernel, stride, 1, self.padding)?;
        geometry.every_window_sees_the_sequence(self.kind())?;
        let (channels, axis) = (geometry.channels, geometry.columns);
        let window = geometry.window();
        Ok(
            BoundLayer::new([channels, axis.output], BoundMaxPool1d { channels, axis })
                .with_saved(channels * axis.output)
                .with_operation(Operation::MaxPool { window })
                .with_output_kind(OutputKind::SameAsInput)
                .with_fast(FastMaxPool { geometry }),
        )
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

/// Max pooling bound to its sequences.
#[derive(Debug)]
struct BoundMaxPool1d {
    channels: usize,
    axis: WindowAxis,
}

impl BoundMaxPool1d {
    /// All (c, t).
    fn outputs(&self) -> impl Iterator<Item = [usize; 2]> {
        indices([1, self.channels, self.axis.output]).map(|[_, c, t]| [c, t])
    }
}

impl Passes for BoundMaxPool1d {
    fn forward(&self, pass: Forward<'_>) {
        for (at, [c, t]) in self.outputs().enumerate() {
            let mut largest: Option<(Float, usize)> = None;
            for k in 0..self.axis.kernel {
                let Some(i) = self.axis.input_at(t, k) else { continue };
                let x = pass.x[c * self.axis.input + i];
                // NaN is larger than any number, so that it is not hidden.
                let wins = largest.is_none_or(|(most, _)| x > most || x.is_nan() && !most.is_nan());
                if wins {
                    largest = Some((x, k));
                }
            }
            let (y, tap) = largest.unwrap_or((Float::NEG_INFINITY, 0));
            pass.y[at] = y;
            if pass.training {
                pass.saved[at] = tap as Float;
            }
        }
    }

    fn backward(&self, pass: Backward<'_>) {
        pass.dx.fill(0.0);
        for (at, [c, t]) in self.outputs().enumerate() {
            if let Some(i) = self.axis.input_at(t, pass.saved[at] as usize) {
                pass.dx[c * self.axis.input + i] += pass.dy[at];
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
        let layer = MaxPool1d::new(2).stride(1);
        let harness = LayerHarness::new(&layer, [2, 3]).unwrap();
        let x = [1.0, 7.0, 2.0, -3.0, -3.0, -4.0];
        let step = harness.step(&x, &[1.0, 10.0, 2.0, 4.0]).unwrap();
        assert_eq!(step.y, [7.0, 7.0, -3.0, -3.0]);
        // Of equal values the first wins.
        assert_eq!(step.dx, [0.0, 11.0, 0.0, 2.0, 4.0, 0.0]);
    }

    #[test]
    fn padding_never_wins_and_a_nan_is_not_hidden() {
        let layer = MaxPool1d::new(3).padding(1);
        let harness = LayerHarness::new(&layer, [1, 2]).unwrap();
        assert_eq!(harness.infer(&[-3.0, -2.0]).unwrap(), [-2.0]);
        assert_eq!(harness.infer(&[Float::NEG_INFINITY; 2]).unwrap(), [Float::NEG_INFINITY]);
        for x in [[1.0, Float::NAN], [Float::NAN, 1.0]] {
            assert!(harness.infer(&x).unwrap()[0].is_nan() && harness.step(&x, &[1.0]).unwrap().y[0].is_nan());
        }
    }

    #[test]
    fn the_gradients_are_those_of_finite_differences() {
        let explicit = Padding1d::Explicit { before: 1, after: 0 };
        check(&MaxPool1d::new(2), [2, 6]);
        check(&MaxPool1d::new(2), [3, 5]);
        check(&MaxPool1d::new(3).stride(2), [1, 7]);
        check(&MaxPool1d::new(2).stride(3), [2, 8]);
        check(&MaxPool1d::new(3).stride(1).padding(Padding1d::Same), [2, 4]);
        check(&MaxPool1d::new(2).padding(explicit), [2, 5]);
        check(&MaxPool1d::new(1), [3, 1]);
        check(&MaxPool1d::new(4), [2, 4]);
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let refuse = |layer: MaxPool1d, input: &[usize]| layer.bind(&Shape::from(input)).unwrap_err();
        assert_eq!(
            refuse(MaxPool1d::new(2).padding(2), &[1, 4]),
            "the padding of max_pool1d leaves windows of length 2 that see nothing but padding"
        );
        assert_eq!(
            refuse(MaxPool1d::new(5), &[1, 4]),
            "the kernel's length is 5, more than the length of the padded input, 4"
        );
    }
}
