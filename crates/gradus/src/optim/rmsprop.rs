//! RMSProp.

use gradus_kernels::vectorize;
use serde::{Deserialize, Serialize};

use super::{Optimizer, Step, TINY, flush, least_to_square};
use crate::settings::{below_one, positive, rate};
use crate::{Float, Result};

/// RMSProp (Tieleman and Hinton, 2012): each value's step is divided by the root of a running mean of its squared gradient.
///
/// ```text
/// g ← dw + weight_decay · w
/// s ← α · s + (1 - α) · g²
/// v ← momentum · v + g / (√s + ε)
/// w ← w - learning_rate · v
/// ```
///
/// Without momentum v is g / (√s + ε), and is not remembered. Numbers that are very close to 0 become 0, as [`Optimizer`] says.
///
/// ```
/// use gradus::optim::{Optimizer, RmsProp, Step};
/// let rmsprop = RmsProp::new(0.1).alpha(0.75);
/// let (mut w, dw, mut s) = ([1.0], [4.0], [0.0]);
/// let step = Step::new(1, rmsprop.learning_rate() as gradus::Float, true);
/// rmsprop.update(step, &mut w, &dw, &mut [&mut s]);
/// assert_eq!(s[0], 4.0); // 0.25 · 4²
/// assert!((w[0] - 0.8).abs() < 1e-6); // 1 - 0.1 · 4 / √4
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RmsProp {
    learning_rate: f64,
    alpha: f64,
    epsilon: f64,
    momentum: f64,
    weight_decay: f64,
}

/// Learning rate 0.01, and the rest as in [`RmsProp::new`].
impl Default for RmsProp {
    fn default() -> Self {
        RmsProp::new(0.01)
    }
}

impl RmsProp {
    /// With this learning rate, α = 0.99, ε = 10⁻⁸, without momentum and weight decay.
    pub fn new(learning_rate: f64) -> Self {
        RmsProp {
            learning_rate,
            alpha: 0.99,
            epsilon: 1e-8,
            momentum: 0.0,
            weight_decay: 0.0,
        }
    }

    /// Sets how much of the running mean of the squared gradient stays at each step, in [0, 1).
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// Sets ε, which keeps the division from blowing up.
    pub fn epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }

    /// Sets how much of the last step's velocity stays, in [0, 1).
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// Sets what is added to the gradient for each unit of weight (L2 regularization).
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = weight_decay;
        self
    }
}

impl Optimizer for RmsProp {
    fn name(&self) -> &'static str {
        "rmsprop"
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn validate(&self) -> Result<()> {
        rate("RMSProp", "learning rate", self.learning_rate)?;
        below_one("RMSProp", "alpha", self.alpha)?;
        positive("RMSProp", "epsilon", self.epsilon)?;
        below_one("RMSProp", "momentum", self.momentum)?;
        rate("RMSProp", "weight decay", self.weight_decay)
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn slots(&self) -> usize {
        if self.momentum > 0.0 { 2 } else { 1 }
    }

    fn decays(&self) -> bool {
        self.weight_decay != 0.0
    }

    fn with_weight_decay(&self, weight_decay: f64) -> Option<Box<dyn Optimizer>> {
        Some(Box::new(self.weight_decay(weight_decay)))
    }

    fn update(&self, step: Step, w: &mut [Float], dw: &[Float], state: &mut [&mut [Float]]) {
        let rate = step.learning_rate;
        let decay = step.decay(self.weight_decay);
        let (alpha, rest) = (self.alpha as Float, (1.0 - self.alpha) as Float);
        let epsilon = self.epsilon as Float;
        let momentum = self.momentum as Float;
        let (least, to_square) = (step.least_weight(self.weight_decay), least_to_square(1.0 - self.alpha));
        match state {
            [s] if self.slots() == 1 => vectorize!(|| {
                for ((w, &dw), s) in w.iter_mut().zip(dw).zip(s.iter_mut()) {
                    let g = flush(dw + decay * *w, TINY);
                    let squared = flush(g, to_square);
                    *s = flush(alpha * *s + rest * squared * squared, Float::MIN_POSITIVE);
                    *w = flush(*w - rate * (g / (s.sqrt() + epsilon)), least);
                }
            }),
            [s, v] => vectorize!(|| {
                for (((w, &dw), s), v) in w.iter_mut().zip(dw).zip(s.iter_mut()).zip(v.iter_mut()) {
                    let g = flush(dw + decay * *w, TINY);
                    let squared = flush(g, to_square);
                    *s = flush(alpha * *s + rest * squared * squared, Float::MIN_POSITIVE);
                    *v = flush(momentum * *v + g / (s.sqrt() + epsilon), TINY);
                    *w = flush(*w - rate * *v, least);
                }
            }),
            _ => panic!("RMSProp needs its slots of state, got {}", state.len()),
        }
    }
}
