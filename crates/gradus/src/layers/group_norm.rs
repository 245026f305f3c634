//! Group normalization, with instance normalization as a case of it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::normalization::Normalization;
use crate::init::{Constant, Fans};
use crate::layer::{BoundLayer, Layer, Operation, OutputKind, Parameter};
use crate::settings::shown;
use crate::{Float, Shape};

/// Group normalization: the channels of a sample (its first dimension) are put into groups, the values of a group are normalized
/// together, then each channel is scaled and shifted as is learnt. It is the same in training and at inference, and does not depend
/// on the batch. With a group for each channel it is instance normalization.
///
/// | | formula |
/// | --- | --- |
/// | forward | μ = Σ x / N, σ² = Σ (x − μ)² / N over the N values of a group |
/// | | x̂ = (x − μ) / √(σ² + ε), y = γ · x̂ + β, with a γ and a β for each channel |
/// | backward | dγ = Σ dy · x̂, dβ = Σ dy over the values of a channel |
/// | | g = γ · dy, dx = (g − Σ g / N − x̂ · Σ (g · x̂) / N) / √(σ² + ε) |
///
/// Sources: Wu and He, "Group normalization", 2018; Ulyanov, Vedaldi and Lempitsky, "Instance normalization: the missing ingredient for
/// fast stylization", 2016.
///
/// Parameters, without weight decay: `weight` (γ, 1 at first) and `bias` (β, 0 at first), one for each channel.
///
/// ```
/// use gradus::{GroupNorm, Layer, Shape};
/// let bound = GroupNorm::new(4).bind(&Shape::from([16, 28, 28])).unwrap();
/// assert_eq!(bound.parameters()[0].shape, Shape::from(16));
/// let message = GroupNorm::new(5).bind(&Shape::from([16, 28, 28])).unwrap_err();
/// assert_eq!(message, "group_norm can't put 16 channels into 5 groups: their number must be divisible by that of the groups");
/// ```
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupNorm {
    /// None: one for each channel.
    groups: Option<usize>,
    #[serde(default = "usual_epsilon")]
    epsilon: f64,
}

fn usual_epsilon() -> f64 {
    1e-5
}

impl GroupNorm {
    /// So many groups of channels, with ε = 10⁻⁵.
    pub fn new(groups: usize) -> Self {
        GroupNorm {
            groups: Some(groups),
            epsilon: usual_epsilon(),
        }
    }

    /// Instance normalization: a group for each channel, with ε = 10⁻⁵.
    pub fn instance() -> Self {
        GroupNorm {
            groups: None,
            epsilon: usual_epsilon(),
        }
    }

    /// What is added to the variance, so that a group of equal values divides nothing by 0.
    pub fn epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }
}

impl Layer for GroupNorm {
    fn kind(&self) -> &'static str {
        "group_norm"
    }

    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
        let epsilon = self.epsilon as Float;
        if !(epsilon > 0.0 && epsilon.is_finite()) {
            return Err(format!(
                "the epsilon of group_norm must be a positive number, not {}",
                shown(self.epsilon)
            ));
        }
        if input.size() == 0 {
            return Err(format!("group_norm needs samples of at least one value, got {input}"));
        }
        let channels = input[0];
        let groups = self.groups.unwrap_or(channels);
        if groups == 0 || !channels.is_multiple_of(groups) {
            return Err(format!(
                "group_norm can't put {channels} channels into {groups} groups: their number must be divisible by that of the groups"
            ));
        }
        let mut gamma = Parameter::weight(channels, Fans::new(channels, channels), Arc::new(Constant::new(1.0)));
        gamma.decays = false;
        let norm = Normalization {
            epsilon,
            groups,
            size: input.size() / groups,
            repeat: input.size() / channels,
        };
        Ok(BoundLayer::new(input, norm)
            .with_parameter(gamma)
            .with_parameter(Parameter::bias(channels))
            .with_saved(norm.saved())
            .with_multiply_adds(input.size() as u64)
            .with_operation(Operation::GroupNorm {
                groups,
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
    use crate::layers::testing::check;

    #[test]
    fn the_gradients_are_those_of_finite_differences() {
        check(&GroupNorm::new(2), [4, 3, 2]);
        check(&GroupNorm::new(1), [3, 4]);
        check(&GroupNorm::instance().epsilon(0.5), [3, 2, 4]);
    }
}
