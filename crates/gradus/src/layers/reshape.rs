//! Reshaping: the same values under another shape.

use serde::{Deserialize, Serialize};

use crate::Shape;
use crate::layer::{BoundLayer, Layer};

/// Gives a sample another shape of the same size, its values in the same order.
///
/// Forward y = x, backward dx = dy: only the shape changes.
///
/// ```
/// use gradus::{Layer, Reshape, Shape};
/// let image = Reshape::new([1, 28, 28]);
/// assert_eq!(image.bind(&Shape::from(784)).unwrap().output(), &Shape::from([1, 28, 28]));
///
/// let message = image.bind(&Shape::from(100)).unwrap_err();
/// assert_eq!(message, "reshape to 1×28×28 needs 784 values, got 100 (100)");
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reshape {
    shape: Shape,
}

impl Reshape {
    /// Gives every sample this shape.
    pub fn new(shape: impl Into<Shape>) -> Self {
        Reshape { shape: shape.into() }
    }
}

impl Layer for Reshape {
    fn kind(&self) -> &'static str {
        "reshape"
    }

    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
        let shape = &self.shape;
        if shape.size() == input.size() {
            Ok(BoundLayer::view(shape))
        } else {
            let (needed, found) = (shape.size(), input.size());
            Err(format!(
                "reshape to {shape} needs {needed} values, got {found} ({input})"
            ))
        }
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::check;

    #[test]
    fn the_gradients_are_those_of_finite_differences() {
        check(&Reshape::new([2, 3, 1]), [6]);
        check(&Reshape::new([6]), [1, 2, 3]);
    }

    #[test]
    fn settings_make_the_same_layer_again() {
        let settings = Reshape::new([1, 2, 3]).settings().unwrap();
        assert_eq!(settings, serde_json::json!({ "shape": [1, 2, 3] }));
        assert!(serde_json::from_value::<Reshape>(settings).is_ok());
    }
}
