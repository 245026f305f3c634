//! Every loss by its formula, in f64.

use gradus::data::Target;

use crate::case::LossKind;
use crate::tape::{Tape, Var};

/// The probability below which the losses' logarithm goes on as its tangent.
const TINY: f64 = 1e-7;

/// The targets of a sample's outputs. A class is 1 for its output and 0 for the others; with one output, it is its number.
pub fn targets(target: Target<'_>, outputs: usize) -> Vec<f64> {
    match target {
        Target::Class(class) if outputs == 1 => vec![class as f64],
        Target::Class(class) => (0..outputs).map(|i| f64::from(u8::from(i == class))).collect(),
        Target::Values(values) => crate::case::to_f64(values),
    }
}

/// The loss of one sample, from its outputs or, if they are, from logits; and how close an output is to where the loss's
/// derivative jumps.
pub fn loss(tape: &mut Tape, kind: LossKind, logits: bool, y: &[Var], t: &[f64]) -> (Var, f64) {
    let n = y.len() as f64;
    let mut margin = f64::INFINITY;
    let terms: Vec<Var> = match kind {
        LossKind::CrossEntropy { smoothing } => {
            let t: Vec<f64> = t.iter().map(|t| (1.0 - smoothing) * t + smoothing / n).collect();
            if logits {
                let sum = log_sum(tape, y);
                let term = |(&z, t): (&Var, f64)| {
                    let d = tape.sub(sum, z);
                    tape.scale(d, t)
                };
                y.iter().zip(t).map(term).collect()
            } else {
                let term = |(&y, t): (&Var, f64)| {
                    let log = log(tape, y);
                    tape.scale(log, -t)
                };
                y.iter().zip(t).map(term).collect()
            }
        }
        LossKind::BinaryCrossEntropy if logits => {
            let term = |(&at, &t): (&Var, &f64)| {
                let z = tape.value(at);
                let value = z.max(0.0) - z * t + (-z.abs()).exp().ln_1p();
                tape.function(at, value / n, (1.0 / (1.0 + (-z).exp()) - t) / n)
            };
            y.iter().zip(t).map(term).collect()
        }
        LossKind::BinaryCrossEntropy => {
            let mut terms = Vec::new();
            for (&y, &t) in y.iter().zip(t) {
                let one = tape.constant(1.0);
                let rest = tape.sub(one, y);
                let [yes, no] = [log(tape, y), log(tape, rest)];
                terms.extend([tape.scale(yes, -t / n), tape.scale(no, -(1.0 - t) / n)]);
            }
            terms
        }
        LossKind::NegativeLogLikelihood => {
            let term = |(&y, &t): (&Var, &f64)| tape.scale(y, -t);
            y.iter().zip(t).map(term).collect()
        }
        LossKind::MeanSquaredError => {
            let term = |(&y, &t): (&Var, &f64)| {
                let d = tape.value(y) - t;
                tape.function(y, d * d / n, 2.0 * d / n)
            };
            y.iter().zip(t).map(term).collect()
        }
        LossKind::MeanAbsoluteError => {
            let term = |(&y, &t): (&Var, &f64)| {
                let d = tape.value(y) - t;
                margin = margin.min(d.abs());
                tape.function(y, d.abs() / n, d.signum() / n)
            };
            y.iter().zip(t).map(term).collect()
        }
        LossKind::Huber { delta } => {
            let term = |(&y, &t): (&Var, &f64)| {
                let d = tape.value(y) - t;
                if d.abs() <= delta {
                    tape.function(y, d * d / 2.0 / n, d / n)
                } else {
                    tape.function(y, delta * (d.abs() - delta / 2.0) / n, delta * d.signum() / n)
                }
            };
            y.iter().zip(t).map(term).collect()
        }
    };
    (tape.sum(&terms), margin)
}

/// ln Σ eᶻ
fn log_sum(tape: &mut Tape, z: &[Var]) -> Var {
    let most = z.iter().fold(f64::NEG_INFINITY, |most, &z| most.max(tape.value(z)));
    let power = |&z: &Var| {
        let e = (tape.value(z) - most).exp();
        tape.function(z, e, e)
    };
    let powers: Vec<Var> = z.iter().map(power).collect();
    let sum = tape.sum(&powers);
    let s = tape.value(sum);
    tape.function(sum, s.ln() + most, 1.0 / s)
}

/// ln p, and below [`TINY`] its tangent there.
fn log(tape: &mut Tape, p: Var) -> Var {
    let value = tape.value(p);
    if value < TINY {
        tape.function(p, TINY.ln() + (value - TINY) / TINY, 1.0 / TINY)
    } else {
        tape.function(p, value.ln(), 1.0 / value)
    }
}
