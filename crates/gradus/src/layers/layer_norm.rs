//! Layer normalization.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::normalization::Normalization;
use crate::init::{Constant, Fans};
use crate::layer::{BoundLayer, Layer, Operation, OutputKind, Parameter};
use crate::settings::shown;
use crate::{Float, Shape};

/// Layer normalization: all N values of a sample are normalized together, then each is scaled and shifted as is learnt. It is the same in
/// training and at inference, and does not depend on the batch.
///
/// | | formula |
/// | --- | --- |
/// | forward | μ = Σ x / N, σ² = Σ (x − μ)² / N |
/// | | x̂ = (x − μ) / √(σ² + ε), y = γ · x̂ + β |
/// | backward | dγ = dy · x̂, dβ = dy |
/// | | g = γ · dy, dx = (g − Σ g / N − x̂ · Σ (g · x̂) / N) / √(σ² + ε) |
///
/// Source: Ba, Kiros and Hinton, "Layer normalization", 2016.
///
/// Parameters, without weight decay: `weight` (γ, 1 at first) and `bias` (β, 0 at first), both of the sample's shape.
///
/// ```
/// use gradus::{Layer, LayerNorm, Shape};
/// let bound = LayerNorm::new().bind(&Shape::from([16, 28, 28])).unwrap();
/// assert_eq!(bound.output(), &Shape::from([16, 28, 28]));
/// assert_eq!(bound.parameters()[0].shape, Shape::from([16, 28, 28]));
/// ```
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LayerNorm {
    epsilon: f64,
}

impl Default for LayerNorm {
    fn default() -> Self {
        LayerNorm { epsilon: 1e-5 }
    }
}

impl LayerNorm {
    /// Layer normalization with ε = 10⁻⁵.
    pub fn new() -> Self {
        LayerNorm::default()
    }

    /// What is added to the variance, so that a sample of equal values divides nothing by 0.
    pub fn epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }
}

impl Layer for LayerNorm {
    fn kind(&self) -> &'static str {
        "layer_norm"
    }

    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
        let epsilon = self.epsilon as Float;
        if !(epsilon > 0.0 && epsilon.is_finite()) {
            return Err(format!(
                "the epsilon of layer_norm must be a positive number, not {}",
                shown(self.epsilon)
            ));
        }
        if input.size() == 0 {
            return Err(format!("layer_norm needs samples of at least one value, got {input}"));
        }
        let size = input.size();
        let mut gamma = Parameter::weight(input, Fans::new(size, size), Arc::new(Constant::new(1.0)));
        gamma.decays = false;
        let norm = Normalization {
            epsilon,
            groups: 1,
            size,
            repeat: 1,
        };
        Ok(BoundLayer::new(input, norm)
            .with_parameter(gamma)
            .with_parameter(Parameter::bias(input))
            .with_saved(norm.saved())
            .with_multiply_adds(size as u64)
            .with_operation(Operation::LayerNorm {
                epsilon: f64::from(epsilon),
            })
            .with_output_kind(OutputKind::Real))
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{LayerHarness, assert_close, check};

    #[test]
    fn one_sample_by_hand() {
        let layer = LayerNorm::new().epsilon(1e-12);
        let harness = LayerHarness::new(&layer, [2])
            .unwrap()
            .parameters(&[2.0, 3.0, 0.5, -0.5]);
        assert_close("y", &harness.infer(&[10.0, 14.0]).unwrap(), &[-1.5, 2.5], 1e-5);
    }

    #[test]
    fn the_gradients_are_those_of_finite_differences() {
        check(&LayerNorm::new(), [9]);
        check(&LayerNorm::new().epsilon(0.5), [2, 3, 4]);
    }

    #[test]
    fn an_epsilon_that_makes_no_sense_is_refused() {
        for epsilon in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(LayerNorm::new().epsilon(epsilon).bind(&Shape::from(4)).is_err());
        }
    }
}
