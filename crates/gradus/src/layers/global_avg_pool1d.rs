//! Global average pooling of sequences. The loops are those of [`global_avg_pool2d`](super::global_avg_pool2d).

use serde::{Deserialize, Serialize};

use super::global_avg_pool2d::bound;
use super::sequence::sequence;
use crate::Shape;
use crate::layer::{BoundLayer, Layer};

/// The mean of each channel of a sequence: `[channels, length]` becomes `[channels]`.
///
/// | | formula |
/// | --- | --- |
/// | forward | y\[c\] = Σ x[c, t] / length |
/// | backward | dx[c, t] = dy\[c\] / length |
///
/// Source: Lin, Chen and Yan, "Network in network", 2014.
///
/// ```
/// use gradus::layers::GlobalAvgPool1d;
/// use gradus::{Layer, Shape};
/// let bound = GlobalAvgPool1d::new().bind(&Shape::from([64, 9])).unwrap();
/// assert_eq!(bound.output(), &Shape::from(64));
///
/// let message = GlobalAvgPool1d::new().bind(&Shape::from([64, 0])).unwrap_err();
/// assert_eq!(message, "global_avg_pool1d needs a sequence with at least one value, got 64×0");
/// ```
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlobalAvgPool1d;

impl GlobalAvgPool1d {
    /// Global average pooling.
    pub fn new() -> Self {
        GlobalAvgPool1d
    }
}

impl Layer for GlobalAvgPool1d {
    fn kind(&self) -> &'static str {
        "global_avg_pool1d"
    }

    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
        let (channels, length) = sequence(self.kind(), input)?;
        Ok(bound(channels, length))
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
        let step = LayerHarness::new(&GlobalAvgPool1d, [2, 3])
            .unwrap()
            .step(&[1.0, 3.0, 5.0, 9.0, 0.0, -3.0], &[3.0, 6.0])
            .unwrap();
        assert_eq!(step.y, [3.0, 2.0]);
        assert_eq!(step.dx, [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
    }

    #[test]
    fn the_gradients_are_those_of_finite_differences() {
        check(&GlobalAvgPool1d::new(), [2, 5]);
        check(&GlobalAvgPool1d::new(), [3, 1]);
    }
}
