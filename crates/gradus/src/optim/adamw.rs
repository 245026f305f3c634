//! AdamW.

use serde::{Deserialize, Serialize};

use super::{Adam, Optimizer, Step};
use crate::{Float, Result};

/// [`Adam`] with weight decay that is kept apart from the gradient, and so is not scaled by its running means (Loshchilov
/// and Hutter, 2019). Each step begins with
///
/// ```text
/// w ← w - learning_rate · weight_decay · w
/// ```
///
/// Numbers that are very close to 0 become 0, as [`Optimizer`] says.
///
/// ```
/// use gradus::optim::{AdamW, Optimizer, Step};
/// let adamw = AdamW::new(0.1).weight_decay(0.5);
/// let (mut w, dw, mut m, mut v) = ([2.0], [0.0], [0.0], [0.0]);
/// let step = Step::new(1, adamw.learning_rate() as gradus::Float, true);
/// adamw.update(step, &mut w, &dw, &mut [&mut m, &mut v]);
/// assert!((w[0] - 1.9).abs() < 1e-6); // 2 - 0.1 · 0.5 · 2
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamW {
    learning_rate: f64,
    beta1: f64,
    beta2: f64,
    epsilon: f64,
    weight_decay: f64,
}

/// Learning rate 0.001, and the rest as in [`AdamW::new`].
impl Default for AdamW {
    fn default() -> Self {
        AdamW::new(0.001)
    }
}

impl AdamW {
    /// With this learning rate, β₁ = 0.9, β₂ = 0.999, ε = 10⁻⁸ and a weight decay of 0.01.
    pub fn new(learning_rate: f64) -> Self {
        AdamW {
            learning_rate,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.01,
        }
    }

    /// Sets how much of the running mean of the gradient, and of its square, stays at each step; both in [0, 1).
    pub fn betas(mut self, beta1: f64, beta2: f64) -> Self {
        (self.beta1, self.beta2) = (beta1, beta2);
        self
    }

    /// Sets ε, which keeps the division from blowing up.
    pub fn epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }

    /// Sets the fraction by which weights shrink at each step, as a multiple of the learning rate.
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = weight_decay;
        self
    }

    /// The Adam that makes the step after the weights have shrunk.
    fn adam(&self) -> Adam {
        Adam::new(self.learning_rate)
            .betas(self.beta1, self.beta2)
            .epsilon(self.epsilon)
            .weight_decay(self.weight_decay)
    }
}

impl Optimizer for AdamW {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn validate(&self) -> Result<()> {
        self.adam().check("AdamW")
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn slots(&self) -> usize {
        2
    }

    fn decays(&self) -> bool {
        self.weight_decay != 0.0
    }

    fn with_weight_decay(&self, weight_decay: f64) -> Option<Box<dyn Optimizer>> {
        Some(Box::new(self.weight_decay(weight_decay)))
    }

    fn update(&self, step: Step, w: &mut [Float], dw: &[Float], state: &mut [&mut [Float]]) {
        let shrink = 1.0 - step.learning_rate * step.decay(self.weight_decay);
        let rule = [0.0, shrink, step.least_weight(self.weight_decay)];
        self.adam().step(step, rule, w, dw, state);
    }
}
