//! Every schedule by its formula.

use std::f64::consts::PI;

use gradus::schedule::{
    Constant, Cosine, CosineRestarts, Exponential, Linear, OneCycle, Plateau, Schedule, StepDecay, Unit, Warmup,
};

/// A schedule with its settings.
#[derive(Debug, Clone, PartialEq)]
pub enum ScheduleKind {
    Constant,
    StepDecay {
        every: u64,
        unit: Unit,
        factor: f64,
    },
    Exponential {
        per_epoch: f64,
    },
    Cosine {
        to: f64,
    },
    CosineRestarts {
        period: u64,
        unit: Unit,
        multiplier: u64,
        to: f64,
    },
    Linear {
        to: f64,
    },
    OneCycle {
        warm_up: f64,
        start_divisor: f64,
        final_divisor: f64,
    },
    Plateau {
        patience: u64,
        factor: f64,
        min_delta: f64,
    },
    Warmup {
        length: u64,
        unit: Unit,
        then: Box<ScheduleKind>,
    },
}

impl ScheduleKind {
    /// The library's.
    pub fn schedule(&self) -> Box<dyn Schedule> {
        match *self {
            ScheduleKind::Constant => Box::new(Constant),
            ScheduleKind::StepDecay { every, unit, factor } => Box::new(StepDecay::new(every, factor).unit(unit)),
            ScheduleKind::Exponential { per_epoch } => Box::new(Exponential::new(per_epoch)),
            ScheduleKind::Cosine { to } => Box::new(Cosine::new().to(to)),
            ScheduleKind::CosineRestarts {
                period,
                unit,
                multiplier,
                to,
            } => Box::new(CosineRestarts::new(period).unit(unit).multiplier(multiplier).to(to)),
            ScheduleKind::Linear { to } => Box::new(Linear::new().to(to)),
            ScheduleKind::OneCycle {
                warm_up,
                start_divisor,
                final_divisor,
            } => Box::new(
                OneCycle::new()
                    .warm_up(warm_up)
                    .start_divisor(start_divisor)
                    .final_divisor(final_divisor),
            ),
            ScheduleKind::Plateau {
                patience,
                factor,
                min_delta,
            } => Box::new(Plateau::new(patience, factor).min_delta(min_delta)),
            ScheduleKind::Warmup {
                length,
                unit: Unit::Steps,
                ref then,
            } => Box::new(Warmup::new(length, then.schedule())),
            ScheduleKind::Warmup { length, ref then, .. } => Box::new(Warmup::over_epochs(length, then.schedule())),
        }
    }

    /// What the learning rate is multiplied by at step `step` (from 0) of `steps`, `per_epoch` of them in an epoch, given the
    /// validation loss of every finished epoch.
    pub fn factor(&self, step: u64, steps: u64, per_epoch: u64, losses: &[f64]) -> f64 {
        let epoch = (step / per_epoch) as i32;
        let half_wave = |from: f64, to: f64, part: f64| to + (from - to) * (1.0 + (PI * part).cos()) / 2.0;
        match *self {
            ScheduleKind::Constant => 1.0,
            ScheduleKind::StepDecay { every, unit, factor } => {
                let done = if unit == Unit::Steps { step as i32 } else { epoch };
                factor.powi(done / every as i32)
            }
            ScheduleKind::Exponential { per_epoch } => per_epoch.powi(epoch),
            ScheduleKind::Cosine { to } => half_wave(1.0, to, step as f64 / steps as f64),
            ScheduleKind::CosineRestarts {
                period,
                unit,
                multiplier,
                to,
            } => {
                let each = if unit == Unit::Steps { 1 } else { per_epoch };
                let lengths = (0..).map(|i| period * each * multiplier.pow(i));
                let (mut start, mut length) = (0, 0);
                for next in lengths {
                    if step < start + length {
                        break;
                    }
                    (start, length) = (start + length, next);
                }
                half_wave(1.0, to, (step - start) as f64 / length as f64)
            }
            ScheduleKind::Linear { to } => 1.0 + (to - 1.0) * step as f64 / steps as f64,
            ScheduleKind::OneCycle {
                warm_up,
                start_divisor,
                final_divisor,
            } => {
                let (step, peak, last) = (step as f64, warm_up * steps as f64 - 1.0, steps as f64 - 1.0);
                let first = 1.0 / start_divisor;
                if step < peak {
                    half_wave(first, 1.0, step / peak)
                } else {
                    half_wave(
                        1.0,
                        first / final_divisor,
                        (step - peak.max(0.0)) / (last - peak.max(0.0)),
                    )
                }
            }
            ScheduleKind::Plateau {
                patience,
                factor,
                min_delta,
            } => {
                let (mut all, mut best, mut waited) = (1.0, f64::INFINITY, 0);
                for &loss in losses {
                    // A loss may be negative: the negative logarithm of what is no probability.
                    let least = if best.is_finite() {
                        min_delta * f64::abs(best)
                    } else {
                        0.0
                    };
                    if loss < best - least {
                        (best, waited) = (loss, 0);
                    } else if waited == patience {
                        (all, waited) = (all * factor, 0);
                    } else {
                        waited += 1;
                    }
                }
                all
            }
            ScheduleKind::Warmup { length, unit, ref then } => {
                let warm = if unit == Unit::Steps {
                    length
                } else {
                    length * per_epoch
                };
                let warmth = f64::min(1.0, (step + 1) as f64 / warm as f64);
                warmth * then.factor(step, steps, per_epoch, losses)
            }
        }
    }
}
