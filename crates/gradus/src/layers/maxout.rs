//! The largest of several channels.

use serde::{Deserialize, Serialize};

use crate::Shape;
use crate::layer::{Backward, BoundLayer, Forward, Layer, Operation, OutputKind, Passes};

/// The largest of k channels (the first dimension) in a row, for each k of them: after a dense layer or a convolution, an activation
/// that is learnt, of k straight pieces.
///
/// | | formula | shapes |
/// | --- | --- | --- |
/// | forward | `y[c, i] = max over j of x[c · k + j, i]` | x: k · channels × rest |
/// | backward | `dx[c · k + j, i] = dy[c, i]` for the j of the largest (the first, among equals), else 0 | y: channels × rest |
///
/// Source: Goodfellow, Warde-Farley, Mirza, Courville and Bengio, "Maxout networks", 2013.
///
/// ```
/// use gradus::{Layer, Maxout, Shape};
/// let bound = Maxout::new(4).bind(&Shape::from([16, 28, 28])).unwrap();
/// assert_eq!(bound.output(), &Shape::from([4, 28, 28]));
/// let message = Maxout::new(3).bind(&Shape::from(16)).unwrap_err();
/// assert_eq!(message, "maxout can't take the largest of 3 of 16 channels: their number must be divisible by it");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Maxout {
    pieces: usize,
}

impl Maxout {
    /// Outputs that are each the largest of `pieces` channels.
    pub fn new(pieces: usize) -> Self {
        Maxout { pieces }
    }
}

impl Layer for Maxout {
    fn kind(&self) -> &'static str {
        "maxout"
    }

    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
        if input.size() == 0 {
            return Err(format!("maxout needs samples of at least one value, got {input}"));
        }
        let (pieces, channels) = (self.pieces, input[0]);
        if pieces == 0 || !channels.is_multiple_of(pieces) {
            return Err(format!(
                "maxout can't take the largest of {pieces} of {channels} channels: their number must be divisible by it"
            ));
        }
        let mut output = input.dims().to_vec();
        output[0] = channels / pieces;
        let passes = BoundMaxout {
            channels: output[0],
            pieces,
            rest: input.size() / channels,
        };
        Ok(BoundLayer::new(output, passes)
            .with_operation(Operation::Maxout { pieces })
            .with_output_kind(OutputKind::Real))
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

/// `channels` channels of the output, each the largest of `pieces` pieces, with `rest` values.
#[derive(Debug)]
struct BoundMaxout {
    channels: usize,
    pieces: usize,
    rest: usize,
}

impl BoundMaxout {
    /// Where the largest value is that becomes y[c, i]. NaN is the largest of all, so that it isn't lost.
    fn largest(&self, x: &[crate::Float], c: usize, i: usize) -> usize {
        let place = |j: usize| (c * self.pieces + j) * self.rest + i;
        let mut best = place(0);
        for j in 1..self.pieces {
            let at = place(j);
            if x[at] > x[best] || x[at].is_nan() {
                best = at;
            }
        }
        best
    }
}

impl Passes for BoundMaxout {
    fn forward(&self, pass: Forward<'_>) {
        for c in 0..self.channels {
            for i in 0..self.rest {
                pass.y[c * self.rest + i] = pass.x[self.largest(pass.x, c, i)];
            }
        }
    }

    fn backward(&self, pass: Backward<'_>) {
        pass.dx.fill(0.0);
        for c in 0..self.channels {
            for i in 0..self.rest {
                pass.dx[self.largest(pass.x, c, i)] = pass.dy[c * self.rest + i];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{LayerHarness, check};

    #[test]
    fn pairs_by_hand() {
        let layer = Maxout::new(2);
        let harness = LayerHarness::new(&layer, [4]).unwrap();
        let step = harness.step(&[1.0, 3.0, 2.0, 2.0], &[5.0, 7.0]).unwrap();
        assert_eq!(step.y, [3.0, 2.0]);
        assert_eq!(step.dx, [0.0, 5.0, 7.0, 0.0]);
    }

    #[test]
    fn the_gradients_are_those_of_finite_differences() {
        check(&Maxout::new(3), [6, 2, 2]);
    }
}
