//! Global max pooling of sequences. The loops are those of [`global_max_pool2d`](super::global_max_pool2d).

use serde::{Deserialize, Serialize};

use super::global_max_pool2d::bound;
use super::sequence::{Padding1d, sequence};
use super::window::Geometry;
use crate::Shape;
use crate::layer::{BoundLayer, Layer};

/// The largest value of each channel of a sequence: `[channels, length]` becomes `[channels]`.
///
/// | | formula |
/// | --- | --- |
/// | forward | y\[c\] = the largest x[c, t] |
/// | backward | dx[c, t] = dy\[c\] where that value is, else 0 |
///
/// Of equal values the first wins.
///
/// Source: Collobert, Weston, Bottou, Karlen, Kavukcuoglu and Kuksa, "Natural language processing (almost) from scratch", 2011.
///
/// ```
/// use gradus::layers::GlobalMaxPool1d;
/// use gradus::{Layer, Shape};
/// let bound = GlobalMaxPool1d::new().bind(&Shape::from([64, 9])).unwrap();
/// assert_eq!(bound.output(), &Shape::from(64));
///
/// let message = GlobalMaxPool1d::new().bind(&Shape::from([64, 3, 3])).unwrap_err();
/// assert_eq!(message, "global_max_pool1d needs a sequence of shape channels×length, got 64×3×3: put a Reshape before it");
/// ```
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlobalMaxPool1d;

impl GlobalMaxPool1d {
    /// Global max pooling.
    pub fn new() -> Self {
        GlobalMaxPool1d
    }
}

impl Layer for GlobalMaxPool1d {
    fn kind(&self) -> &'static str {
        "global_max_pool1d"
    }

    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
        let (_, length) = sequence(self.kind(), input)?;
        bound(Geometry::of_sequence(
            self.kind(),
            input,
            length,
            length,
            1,
            Padding1d::Valid,
        )?)
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{LayerHarness, check};

    #[test]
    fn a_sequence_by_hand() {
        let step = LayerHarness::new(&GlobalMaxPool1d, [2, 3])
            .unwrap()
            .step(&[1.0, 3.0, 3.0, -5.0, -9.0, -4.0], &[4.0, 6.0])
            .unwrap();
        assert_eq!(step.y, [3.0, -4.0]);
        assert_eq!(step.dx, [0.0, 4.0, 0.0, 0.0, 0.0, 6.0]);
    }

    #[test]
    fn the_gradients_are_those_of_finite_differences() {
        check(&GlobalMaxPool1d::new(), [2, 5]);
        check(&GlobalMaxPool1d::new(), [3, 1]);
    }
}
