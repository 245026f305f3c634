//! Stochastic gradient descent.

use gradus_kernels::vectorize;
use serde::{Deserialize, Serialize};

use super::{Optimizer, Step, TINY, flush};
use crate::settings::{below_one, rate};
use crate::{Error, Float, Result};

/// Stochastic gradient descent (Robbins and Monro, 1951), with momentum (Polyak, 1964) if wanted:
///
/// ```text
/// g ← dw + weight_decay · w
/// v ← momentum · v + g
/// w ← w - learning_rate · v                      plain momentum
/// w ← w - learning_rate · (g + momentum · v)     Nesterov's (Sutskever et al., 2013)
/// ```
///
/// Without momentum v is g, and nothing is remembered. Numbers that are very close to 0 become 0, as [`Optimizer`] says.
///
/// ```
/// use gradus::optim::{Optimizer, Sgd, Step};
/// let sgd = Sgd::new(0.1).momentum(0.5);
/// let (mut w, dw, mut v) = ([1.0], [2.0], [0.0]);
/// let step = Step::new(1, sgd.learning_rate() as gradus::Float, true);
/// sgd.update(step, &mut w, &dw, &mut [&mut v]); // v = 2, w = 1 - 0.1 · 2
/// sgd.update(step, &mut w, &dw, &mut [&mut v]); // v = 3, w = 0.8 - 0.1 · 3
/// assert!((w[0] - 0.5).abs() < 1e-6);
/// ```
#[doc(alias = "GradientDescent")]
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sgd {
    learning_rate: f64,
    momentum: f64,
    nesterov: bool,
    weight_decay: f64,
}

/// Learning rate 0.01, no momentum, no weight decay.
impl Default for Sgd {
    fn default() -> Self {
        Sgd::new(0.01)
    }
}

impl Sgd {
    /// With this learning rate, without momentum and weight decay.
    pub fn new(learning_rate: f64) -> Self {
        Sgd {
            learning_rate,
            momentum: 0.0,
            nesterov: false,
            weight_decay: 0.0,
        }
    }

    /// Sets how much of the last step's velocity stays, in [0, 1).
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// Takes the gradient as if the momentum's step had been made already. It needs momentum.
    pub fn nesterov(mut self) -> Self {
        self.nesterov = true;
        self
    }

    /// Sets what is added to the gradient for each unit of weight (L2 regularization).
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = weight_decay;
        self
    }
}

impl Optimizer for Sgd {
    fn name(&self) -> &'static str {
        "sgd"
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn validate(&self) -> Result<()> {
        rate("SGD", "learning rate", self.learning_rate)?;
        below_one("SGD", "momentum", self.momentum)?;
        rate("SGD", "weight decay", self.weight_decay)?;
        if self.nesterov && self.momentum == 0.0 {
            return Err(Error::invalid(
                "SGD: Nesterov's momentum needs a momentum above 0, such as 0.9",
            ));
        }
        Ok(())
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn slots(&self) -> usize {
        if self.momentum > 0.0 { 1 } else { 0 }
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
        let momentum = self.momentum as Float;
        let least = step.least_weight(self.weight_decay);
        match state {
            [] if self.slots() == 0 => vectorize!(|| {
                for (w, &dw) in w.iter_mut().zip(dw) {
                    *w = flush(*w - rate * flush(dw + decay * *w, TINY), least);
                }
            }),
            [v] if self.nesterov => vectorize!(|| {
                for ((w, &dw), v) in w.iter_mut().zip(dw).zip(v.iter_mut()) {
                    let g = flush(dw + decay * *w, TINY);
                    *v = flush(momentum * *v + g, TINY);
                    *w = flush(*w - rate * (g + momentum * *v), least);
                }
            }),
            [v] => vectorize!(|| {
                for ((w, &dw), v) in w.iter_mut().zip(dw).zip(v.iter_mut()) {
                    let g = flush(dw + decay * *w, TINY);
                    *v = flush(momentum * *v + g, TINY);
                    *w = flush(*w - rate * *v, least);
                }
            }),
            _ => panic!("SGD needs its slots of state, got {}", state.len()),
        }
    }
}
