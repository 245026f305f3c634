//! Lion.

use serde::{Deserialize, Serialize};

use super::{Optimizer, Step, TINY, flush};
use crate::settings::{below_one, rate};
use crate::{Float, Result};

/// Lion (Chen et al., 2023, "Symbolic Discovery of Optimization Algorithms"): every value takes a step of the same length, in the
/// direction that its gradient and the running mean of its gradients have together.
///
/// ```text
/// w ← w - learning_rate · weight_decay · w
/// w ← w - learning_rate · sign(β₁ · m + (1 - β₁) · g)
/// m ← β₂ · m + (1 - β₂) · g
/// ```
///
/// where g is dw, and sign 0 is 0. It remembers one value for each parameter. Its steps are longer than those of
/// [`AdamW`](super::AdamW): the authors advise a learning rate 3 to 10 times smaller, and a weight decay as many times larger.
/// Numbers that are very close to 0 become 0, as [`Optimizer`] says.
///
/// ```
/// use gradus::optim::{Lion, Optimizer, Step};
/// let lion = Lion::new(0.1);
/// let (mut w, dw, mut m) = ([1.0, 1.0, 1.0], [20.0, -0.3, 0.0], [0.0; 3]);
/// let step = Step::new(1, lion.learning_rate() as gradus::Float, true);
/// lion.update(step, &mut w, &dw, &mut [&mut m]);
/// assert_eq!(w, [0.9, 1.1, 1.0]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lion {
    learning_rate: f64,
    beta1: f64,
    beta2: f64,
    weight_decay: f64,
}

/// Learning rate 0.0001, and the rest as in [`Lion::new`].
impl Default for Lion {
    fn default() -> Self {
        Lion::new(0.0001)
    }
}

impl Lion {
    /// With this learning rate, β₁ = 0.9, β₂ = 0.99 and no weight decay.
    pub fn new(learning_rate: f64) -> Self {
        Lion {
            learning_rate,
            beta1: 0.9,
            beta2: 0.99,
            weight_decay: 0.0,
        }
    }

    /// Sets the weight of the running mean in the direction of a step, and how much of the mean stays at each step; both in [0, 1).
    pub fn betas(mut self, beta1: f64, beta2: f64) -> Self {
        (self.beta1, self.beta2) = (beta1, beta2);
        self
    }

    /// Sets the fraction by which weights shrink at each step, as a multiple of the learning rate.
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = weight_decay;
        self
    }
}

/// -1, 0 or 1. NaN stays NaN, for training to notice.
#[inline(always)]
fn sign(x: Float) -> Float {
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        x
    }
}

impl Optimizer for Lion {
    fn name(&self) -> &'static str {
        "lion"
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn validate(&self) -> Result<()> {
        rate("Lion", "learning rate", self.learning_rate)?;
        below_one("Lion", "beta1", self.beta1)?;
        below_one("Lion", "beta2", self.beta2)?;
        rate("Lion", "weight decay", self.weight_decay)
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn slots(&self) -> usize {
        1
    }

    fn decays(&self) -> bool {
        self.weight_decay != 0.0
    }

    fn with_weight_decay(&self, weight_decay: f64) -> Option<Box<dyn Optimizer>> {
        Some(Box::new(self.weight_decay(weight_decay)))
    }

    fn update(&self, step: Step, w: &mut [Float], dw: &[Float], state: &mut [&mut [Float]]) {
        let [m] = state else {
            panic!("Lion needs its slots of state, got {}", state.len());
        };
        let rate = step.learning_rate;
        let shrink = 1.0 - rate * step.decay(self.weight_decay);
        let least = step.least_weight(self.weight_decay);
        let (beta1, rest1) = (self.beta1 as Float, (1.0 - self.beta1) as Float);
        let (beta2, rest2) = (self.beta2 as Float, (1.0 - self.beta2) as Float);
        gradus_kernels::vectorize!(|| {
            for ((w, &dw), m) in w.iter_mut().zip(dw).zip(m.iter_mut()) {
                let g = flush(dw, TINY);
                *w = flush(shrink * *w - rate * sign(beta1 * *m + rest1 * g), least);
                *m = flush(beta2 * *m + rest2 * g, TINY);
            }
        });
    }
}
