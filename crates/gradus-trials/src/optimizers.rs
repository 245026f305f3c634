//! Every optimizer by its formula, in f64.

use gradus::optim::Clip;

use crate::case::{Optimization, OptimizerKind};

/// An optimizer with its state of each parameter, and the number of its steps.
#[derive(Debug)]
pub struct Optimizer {
    optimization: Optimization,
    slots: Vec<[f64; 2]>,
    step: i32,
}

impl Optimizer {
    /// An optimizer of `parameters` numbers, before its first step.
    pub fn new(optimization: Optimization, parameters: usize) -> Self {
        Optimizer {
            optimization,
            slots: vec![[0.0; 2]; parameters],
            step: 0,
        }
    }

    /// One step of the parameters `w` along their gradients; `decays` says which of them weight decay applies to.
    pub fn step(&mut self, w: &mut [f64], gradient: &[f64], decays: &[bool]) {
        self.step += 1;
        let t = self.step;
        let Optimization {
            optimizer,
            learning_rate: rate,
            weight_decay,
            clip,
        } = self.optimization;
        let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        let clipped = |g: f64| match clip {
            None => g,
            Some(Clip::Norm(most)) => g * (most / (norm + 1e-6)).min(1.0),
            Some(Clip::Value(most)) => g.clamp(-most, most),
        };
        for (((w, &g), slots), &decays) in w.iter_mut().zip(gradient).zip(&mut self.slots).zip(decays) {
            let decay = if decays { weight_decay } else { 0.0 };
            let g = clipped(g);
            let [a, b] = slots;
            match optimizer {
                OptimizerKind::Sgd { momentum, nesterov } => {
                    let g = g + decay * *w;
                    *a = momentum * *a + g;
                    *w -= rate * if nesterov { g + momentum * *a } else { *a };
                }
                OptimizerKind::Adam {
                    betas: [beta1, beta2],
                    epsilon,
                    decoupled,
                } => {
                    let g = if decoupled { g } else { g + decay * *w };
                    if decoupled {
                        *w -= rate * decay * *w;
                    }
                    *a = beta1 * *a + (1.0 - beta1) * g;
                    *b = beta2 * *b + (1.0 - beta2) * g * g;
                    let (m, v) = (*a / (1.0 - beta1.powi(t)), *b / (1.0 - beta2.powi(t)));
                    *w -= rate * m / (v.sqrt() + epsilon);
                }
                OptimizerKind::RmsProp {
                    alpha,
                    epsilon,
                    momentum,
                } => {
                    let g = g + decay * *w;
                    *a = alpha * *a + (1.0 - alpha) * g * g;
                    *b = momentum * *b + g / (a.sqrt() + epsilon);
                    *w -= rate * *b;
                }
            }
        }
    }
}
