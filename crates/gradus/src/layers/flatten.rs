//! Flattening: the values of a sample in one row.

use serde::{Deserialize, Serialize};

use crate::Shape;
use crate::layer::{BoundLayer, Layer};

/// Makes a flat sample of any other: `[channels, height, width]` becomes `[channels · height · width]`, in that order.
///
/// Forward y = x, backward dx = dy: only the shape changes.
///
/// ```
/// use gradus::{Flatten, Layer, Shape};
/// let bound = Flatten::new().bind(&Shape::from([16, 4, 4])).unwrap();
/// assert_eq!(bound.output(), &Shape::from(256));
/// ```
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flatten;

impl Flatten {
    /// Flattens.
    pub fn new() -> Self {
        Flatten
    }
}

impl Layer for Flatten {
    fn kind(&self) -> &'static str {
        "flatten"
    }

    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
        Ok(BoundLayer::view(input.size()))
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
    fn values_keep_their_order() {
        let layer = Flatten::new();
        let harness = LayerHarness::new(&layer, [2, 1, 2]).unwrap();
        assert_eq!(harness.bound.output, Shape::from(4));
        assert_eq!(harness.infer(&[1.0, 2.0, 3.0, 4.0]).unwrap(), [1.0, 2.0, 3.0, 4.0]);
        check(&layer, [2, 3, 4]);
        check(&layer, [5]);
    }
}
