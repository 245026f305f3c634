//! Every optimizer by its formula, in f64.

mod muon;

use std::ops::Range;
use std::sync::Arc;

use gradus::optim::{self, Clip};
use gradus::{Float, Network};
use serde_json::{Value, json};

use muon::MatrixStep;

/// An optimizer with its settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OptimizerKind {
    Sgd {
        momentum: f64,
        nesterov: bool,
    },
    /// Adam, or AdamW if the decay is decoupled.
    Adam {
        betas: [f64; 2],
        epsilon: f64,
        decoupled: bool,
    },
    RmsProp {
        alpha: f64,
        epsilon: f64,
        momentum: f64,
    },
    NAdam {
        betas: [f64; 2],
        epsilon: f64,
        momentum_decay: f64,
    },
    Lion {
        betas: [f64; 2],
    },
    Muon {
        momentum: f64,
        nesterov: bool,
        /// Whether steps are as long as AdamW's.
        matches_adamw: bool,
        /// AdamW's, for parameters that are no matrices.
        adamw_learning_rate: f64,
        betas: [f64; 2],
        epsilon: f64,
    },
}

/// How the parameters follow their gradients.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Optimization {
    pub optimizer: OptimizerKind,
    pub learning_rate: f64,
    pub weight_decay: f64,
    pub clip: Option<Clip>,
}

impl Optimization {
    /// The optimizer's name, and its settings as the library names them.
    pub fn settings(&self) -> (&'static str, Value) {
        let (rate, decay) = (self.learning_rate, self.weight_decay);
        match self.optimizer {
            OptimizerKind::Sgd { momentum, nesterov } => (
                "sgd",
                json!({ "learning_rate": rate, "momentum": momentum, "nesterov": nesterov, "weight_decay": decay }),
            ),
            OptimizerKind::Adam {
                betas: [beta1, beta2],
                epsilon,
                decoupled,
            } => (
                if decoupled { "adamw" } else { "adam" },
                json!({
                    "learning_rate": rate, "beta1": beta1, "beta2": beta2, "epsilon": epsilon, "weight_decay": decay
                }),
            ),
            OptimizerKind::RmsProp {
                alpha,
                epsilon,
                momentum,
            } => (
                "rmsprop",
                json!({
                    "learning_rate": rate, "alpha": alpha, "epsilon": epsilon, "momentum": momentum, "weight_decay": decay
                }),
            ),
            OptimizerKind::NAdam {
                betas: [beta1, beta2],
                epsilon,
                momentum_decay,
            } => (
                "nadam",
                json!({
                    "learning_rate": rate, "beta1": beta1, "beta2": beta2, "epsilon": epsilon, "weight_decay": decay,
                    "momentum_decay": momentum_decay
                }),
            ),
            OptimizerKind::Lion { betas: [beta1, beta2] } => (
                "lion",
                json!({ "learning_rate": rate, "beta1": beta1, "beta2": beta2, "weight_decay": decay }),
            ),
            OptimizerKind::Muon {
                momentum,
                nesterov,
                matches_adamw,
                adamw_learning_rate,
                betas: [beta1, beta2],
                epsilon,
            } => (
                "muon",
                json!({
                    "learning_rate": rate, "momentum": momentum, "nesterov": nesterov, "weight_decay": decay,
                    "scale": if matches_adamw { "match_rms_adamw" } else { "original" },
                    "adamw_learning_rate": adamw_learning_rate, "beta1": beta1, "beta2": beta2, "epsilon": epsilon
                }),
            ),
        }
    }

    /// What Muon does to matrices.
    fn matrix_step(&self) -> Option<MatrixStep> {
        match self.optimizer {
            OptimizerKind::Muon {
                momentum,
                nesterov,
                matches_adamw,
                ..
            } => Some(MatrixStep {
                learning_rate: self.learning_rate,
                momentum,
                nesterov,
                weight_decay: self.weight_decay,
                matches_adamw,
            }),
            _ => None,
        }
    }

    /// The library's.
    pub fn optimizer(&self) -> Arc<dyn optim::Optimizer> {
        let (name, settings) = self.settings();
        Arc::from(optim::with_settings(name, settings).expect("its settings are drawn to fit"))
    }
}

/// An optimizer with its state of each parameter, and the number of its steps.
#[derive(Debug)]
pub struct Optimizer {
    optimization: Optimization,
    slots: Vec<Slots>,
    /// The shape and the place of each tensor.
    tensors: Vec<(Vec<usize>, Range<usize>)>,
    step: i32,
}

/// The state of a parameter.
#[derive(Debug, Clone, Copy, Default)]
struct Slots {
    a: f64,
    b: f64,
    /// How far rounding takes the step, divided by the learning rate.
    rounding: f64,
}

/// The rounding of a clipped gradient and of its sum with the decay: several numbers are rounded on the way.
const OF_GRADIENTS: f64 = 4.0 * Float::EPSILON as f64;

impl Optimizer {
    /// An optimizer of a network's parameters, before its first step.
    pub fn new(optimization: Optimization, network: &Network) -> Self {
        let mut end = 0;
        let tensors = network.parameters().map(|tensor| {
            let start = end;
            end += tensor.values.len();
            (tensor.shape.dims().to_vec(), start..end)
        });
        Optimizer {
            optimization,
            tensors: tensors.collect(),
            slots: vec![Slots::default(); network.parameter_count()],
            step: 0,
        }
    }

    /// One step of the parameters `w` along their gradients; `decays` says which of them weight decay applies to. Returns how far the
    /// rounding of the gradients takes each: far where the gradient and the decay cancel, and the step is divided by their difference.
    pub fn step(&mut self, w: &mut [f64], gradient: &[f64], decays: &[bool]) -> Vec<f64> {
        self.step += 1;
        let Optimization {
            learning_rate,
            weight_decay,
            clip,
            ..
        } = self.optimization;
        let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        let clipped = |g: f64| match clip {
            None => g,
            Some(Clip::Norm(most)) => g * (most / (norm + 1e-6)).min(1.0),
            Some(Clip::Value(most)) => g.clamp(-most, most),
        };
        let mut rounding = Vec::new();
        for (shape, range) in &self.tensors {
            let (w, slots) = (&mut w[range.clone()], &mut self.slots[range.clone()]);
            let (gradient, decays) = (&gradient[range.clone()], &decays[range.clone()]);
            let is_weight = decays.first() == Some(&true);
            if let Some(matrix) = self.optimization.matrix_step().filter(|_| is_weight && shape.len() > 1) {
                let means = slots.iter_mut().map(|slots| &mut slots.a);
                matrix.step(shape, w, gradient.iter().map(|&g| clipped(g)), means);
                let of_each = learning_rate * matrix.scale(shape) * muon::ROUNDING;
                rounding.extend(gradient.iter().map(|_| of_each));
                continue;
            }
            for (((w, &g), slots), &decays) in w.iter_mut().zip(gradient).zip(slots).zip(decays) {
                let decay = if decays { weight_decay } else { 0.0 };
                self.optimization.step_parameter(w, clipped(g), decay, slots, self.step);
                rounding.push(learning_rate * slots.rounding);
            }
        }
        rounding
    }
}

impl Optimization {
    /// Step number `t`, from 1, of one parameter along its gradient.
    fn step_parameter(&self, w: &mut f64, g: f64, decay: f64, slots: &mut Slots, t: i32) {
        let rate = self.learning_rate;
        let Slots { a, b, rounding } = slots;
        match self.optimizer {
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
                let error = OF_GRADIENTS * (g.abs() + if decoupled { 0.0 } else { decay * w.abs() });
                let g = if decoupled { g } else { g + decay * *w };
                if decoupled {
                    *w -= rate * decay * *w;
                }
                *a = beta1 * *a + (1.0 - beta1) * g;
                *b = beta2 * *b + (1.0 - beta2) * g * g;
                let (m, v) = (*a / (1.0 - beta1.powi(t)), *b / (1.0 - beta2.powi(t)));
                *w -= rate * m / (v.sqrt() + epsilon);
                *rounding = error / (v.sqrt() + epsilon);
            }
            OptimizerKind::RmsProp {
                alpha,
                epsilon,
                momentum,
            } => {
                let error = OF_GRADIENTS * (g.abs() + decay * w.abs());
                let g = g + decay * *w;
                *a = alpha * *a + (1.0 - alpha) * g * g;
                *b = momentum * *b + g / (a.sqrt() + epsilon);
                *rounding = momentum * *rounding + error / (a.sqrt() + epsilon);
                *w -= rate * *b;
            }
            OptimizerKind::NAdam {
                betas: [beta1, beta2],
                epsilon,
                momentum_decay,
            } => {
                let error = OF_GRADIENTS * (g.abs() + decay * w.abs());
                let g = g + decay * *w;
                let momentum = |i: i32| beta1 * (1.0 - 0.5 * f64::powf(0.96, f64::from(i) * momentum_decay));
                let product: f64 = (1..=t).map(momentum).product();
                let next = momentum(t + 1);
                *a = beta1 * *a + (1.0 - beta1) * g;
                *b = beta2 * *b + (1.0 - beta2) * g * g;
                let size = (*b / (1.0 - beta2.powi(t))).sqrt() + epsilon;
                let m = (1.0 - momentum(t)) * g / (1.0 - product) + next * *a / (1.0 - product * next);
                *w -= rate * m / size;
                *rounding = 2.0 * error / size;
            }
            OptimizerKind::Lion { betas: [beta1, beta2] } => {
                let direction = beta1 * *a + (1.0 - beta1) * g;
                // Where the mean and the gradient cancel, the sign is any.
                let error = 2.0 * OF_GRADIENTS * (a.abs() + g.abs());
                *rounding = if direction.abs() <= error { 2.0 } else { 0.0 };
                let sign = if direction == 0.0 { 0.0 } else { direction.signum() };
                *w -= rate * (decay * *w + sign);
                *a = beta2 * *a + (1.0 - beta2) * g;
            }
            OptimizerKind::Muon {
                adamw_learning_rate,
                betas,
                epsilon,
                ..
            } => {
                let adamw = Optimization {
                    optimizer: OptimizerKind::Adam {
                        betas,
                        epsilon,
                        decoupled: true,
                    },
                    learning_rate: adamw_learning_rate,
                    ..*self
                };
                adamw.step_parameter(w, g, decay, slots, t);
                slots.rounding *= adamw_learning_rate / rate;
            }
        }
    }
}
