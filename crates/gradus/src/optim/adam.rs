//! Adam.

use serde::{Deserialize, Serialize};

use super::{Optimizer, Step, TINY, flush, least_to_square};
use crate::settings::{below_one, positive, rate};
use crate::{Float, Result};

/// Adam (Kingma and Ba, 2015): each value's step is scaled by running means of its gradient and of the square of it.
///
/// ```text
/// g ← dw + weight_decay · w
/// m ← β₁ · m + (1 - β₁) · g            m̂ = m / (1 - β₁ᵗ)
/// v ← β₂ · v + (1 - β₂) · g²           v̂ = v / (1 - β₂ᵗ)
/// w ← w - learning_rate · m̂ / (√v̂ + ε)
/// ```
///
/// where t is the number of the step, from 1: the divisions make up for m and v being zero at first. The weight decay is
/// part of the gradient here (L2 regularization); [`AdamW`](super::AdamW) keeps it apart. Numbers that are very close to 0
/// become 0, as [`Optimizer`] says.
///
/// ```
/// use gradus::optim::{Adam, Optimizer, Step};
/// let adam = Adam::new(0.001);
/// let (mut w, dw, mut m, mut v) = ([1.0, 1.0], [20.0, -0.3], [0.0; 2], [0.0; 2]);
/// let step = Step::new(1, adam.learning_rate() as gradus::Float, true);
/// adam.update(step, &mut w, &dw, &mut [&mut m, &mut v]);
/// // The first step is as long as the learning rate, whatever the size of the gradient.
/// assert!((w[0] - 0.999).abs() < 1e-6 && (w[1] - 1.001).abs() < 1e-6);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Adam {
    learning_rate: f64,
    beta1: f64,
    beta2: f64,
    epsilon: f64,
    weight_decay: f64,
}

/// Learning rate 0.001, and the rest as in [`Adam::new`].
impl Default for Adam {
    fn default() -> Self {
        Adam::new(0.001)
    }
}

impl Adam {
    /// With this learning rate, β₁ = 0.9, β₂ = 0.999, ε = 10⁻⁸ and no weight decay.
    pub fn new(learning_rate: f64) -> Self {
        Adam {
            learning_rate,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
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

    /// Sets what is added to the gradient for each unit of weight (L2 regularization).
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = weight_decay;
        self
    }

    /// Refuses settings that make no sense, for the optimizer of this name.
    pub(super) fn check(&self, name: &str) -> Result<()> {
        rate(name, "learning rate", self.learning_rate)?;
        below_one(name, "beta1", self.beta1)?;
        below_one(name, "beta2", self.beta2)?;
        positive(name, "epsilon", self.epsilon)?;
        rate(name, "weight decay", self.weight_decay)
    }

    /// Adam's update, with `l2 · w` added to the gradient, the weights multiplied by `shrink` beside it, and those below
    /// `least` set to 0.
    pub(super) fn step(
        &self,
        step: Step,
        [l2, shrink, least]: [Float; 3],
        w: &mut [Float],
        dw: &[Float],
        state: &mut [&mut [Float]],
    ) {
        let [m, v] = state else {
            panic!("Adam needs its two slots of state, got {}", state.len());
        };
        let t = i32::try_from(step.number).unwrap_or(i32::MAX);
        let rate = (step.learning_rate as f64 / (1.0 - self.beta1.powi(t))) as Float;
        let correction = (1.0 - self.beta2.powi(t)).sqrt() as Float;
        let (beta1, rest1) = (self.beta1 as Float, (1.0 - self.beta1) as Float);
        let (beta2, rest2) = (self.beta2 as Float, (1.0 - self.beta2) as Float);
        let epsilon = self.epsilon as Float;
        let to_square = least_to_square(1.0 - self.beta2);
        gradus_kernels::vectorize!(|| {
            for (((w, &dw), m), v) in w.iter_mut().zip(dw).zip(m.iter_mut()).zip(v.iter_mut()) {
                let g = flush(dw + l2 * *w, TINY);
                *m = flush(beta1 * *m + rest1 * g, TINY);
                let g = flush(g, to_square);
                *v = flush(beta2 * *v + rest2 * g * g, Float::MIN_POSITIVE);
                *w = flush(shrink * *w - rate * *m / (v.sqrt() / correction + epsilon), least);
            }
        });
    }
}

impl Optimizer for Adam {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn validate(&self) -> Result<()> {
        self.check("Adam")
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
        let rule = [step.decay(self.weight_decay), 1.0, step.least_weight(self.weight_decay)];
        self.step(step, rule, w, dw, state);
    }
}
