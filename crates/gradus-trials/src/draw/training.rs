//! Drawing how a network is trained.

use gradus::data::Targets;
use gradus::optim::Clip;
use gradus::random::Rng;
use gradus::schedule::Unit;
use rand::RngExt;

use super::choose;
use crate::case::shape;
use crate::layer::Layer;
use crate::losses::LossKind;
use crate::optimizers::{Optimization, OptimizerKind};
use crate::schedules::ScheduleKind;

pub(super) fn loss(rng: &mut Rng) -> LossKind {
    match rng.random_range(0..7) {
        0 | 1 => LossKind::CrossEntropy {
            smoothing: choose(rng, &[0.0, 0.0, 0.1, 0.5]),
        },
        2 => LossKind::BinaryCrossEntropy,
        3 => LossKind::MeanSquaredError,
        4 => LossKind::MeanAbsoluteError,
        5 => LossKind::NegativeLogLikelihood,
        _ => LossKind::Huber {
            delta: choose(rng, &[0.25, 1.0, 2.0]),
        },
    }
}

/// Targets beside this many outputs; none if the loss can't be of so few.
pub(super) fn targets(rng: &mut Rng, loss: LossKind, outputs: usize) -> Option<Targets> {
    let values = Targets::Values(shape(&[outputs]));
    Some(match loss {
        LossKind::CrossEntropy { .. } | LossKind::NegativeLogLikelihood if outputs < 2 => return None,
        LossKind::BinaryCrossEntropy if outputs > 1 => values,
        _ if rng.random_bool(0.3) => values,
        _ if outputs == 1 => Targets::Classes(2),
        _ => Targets::Classes(outputs),
    })
}

/// The number of samples of a batch: fewer than 8 lie one after the other, more side by side, 16 at a time.
pub(super) fn batch(rng: &mut Rng, layers: &[Layer]) -> usize {
    let is_norm = |layer: &Layer| matches!(layer, Layer::BatchNorm { .. });
    // A feature with one value has no variance.
    let least = 1 + usize::from(layers.iter().any(|layer| layer.has(&is_norm)));
    match rng.random_range(0..3) {
        0 => rng.random_range(least..8),
        1 => rng.random_range(8..=16),
        _ => rng.random_range(17..=40),
    }
}

pub(super) fn optimization(rng: &mut Rng) -> Optimization {
    let momentum = choose(rng, &[0.0, 0.5, 0.9]);
    let optimizer = match rng.random_range(0..7) {
        0 => OptimizerKind::Sgd {
            momentum,
            nesterov: momentum > 0.0 && rng.random(),
        },
        1 | 2 => OptimizerKind::Adam {
            betas: choose(rng, &[[0.9, 0.999], [0.5, 0.75], [0.0, 0.9]]),
            epsilon: choose(rng, &[1e-8, 1e-3]),
            decoupled: rng.random(),
        },
        3 => OptimizerKind::RmsProp {
            alpha: choose(rng, &[0.99, 0.5]),
            epsilon: choose(rng, &[1e-8, 1e-3]),
            momentum,
        },
        4 => OptimizerKind::NAdam {
            betas: choose(rng, &[[0.9, 0.999], [0.5, 0.75], [0.0, 0.9]]),
            epsilon: choose(rng, &[1e-8, 1e-3]),
            momentum_decay: choose(rng, &[0.004, 0.0, 0.5]),
        },
        5 => OptimizerKind::Lion {
            betas: choose(rng, &[[0.9, 0.99], [0.5, 0.75], [0.0, 0.9]]),
        },
        _ => OptimizerKind::Muon {
            momentum,
            nesterov: rng.random(),
            matches_adamw: rng.random(),
            adamw_learning_rate: choose(rng, &[0.001, 0.01]),
            betas: choose(rng, &[[0.9, 0.999], [0.5, 0.75]]),
            epsilon: choose(rng, &[1e-8, 1e-3]),
        },
    };
    Optimization {
        optimizer,
        learning_rate: choose(rng, &[0.001, 0.01, 0.05]),
        weight_decay: choose(rng, &[0.0, 0.0, 0.01, 0.1]),
        clip: choose(rng, &[None, None, None, Some(Clip::Norm(0.5)), Some(Clip::Value(0.05))]),
    }
}

pub(super) fn schedule(rng: &mut Rng) -> ScheduleKind {
    let unit = choose(rng, &[Unit::Steps, Unit::Epochs]);
    let all = [
        ScheduleKind::Constant,
        ScheduleKind::StepDecay {
            every: 2,
            unit,
            factor: 0.5,
        },
        ScheduleKind::Exponential { per_epoch: 0.75 },
        ScheduleKind::Cosine { to: 0.1 },
        ScheduleKind::CosineRestarts {
            period: 1 + u64::from(unit == Unit::Steps),
            unit,
            multiplier: rng.random_range(1..=2),
            to: 0.1,
        },
        ScheduleKind::Linear { to: 0.1 },
        ScheduleKind::OneCycle {
            warm_up: 0.4,
            start_divisor: 10.0,
            final_divisor: 100.0,
        },
        ScheduleKind::Plateau {
            patience: 0,
            factor: 0.5,
            min_delta: 0.01,
        },
    ];
    let then = choose(rng, &all);
    if rng.random_bool(0.2) {
        ScheduleKind::Warmup {
            length: rng.random_range(1..=if unit == Unit::Steps { 6 } else { 3 }),
            unit,
            then: Box::new(then),
        }
    } else {
        then
    }
}
