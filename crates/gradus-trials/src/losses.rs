//! Every loss by its formula, in f64.

use std::sync::Arc;

use gradus::data::Target;
use gradus::loss::{
    BinaryCrossEntropy, CrossEntropy, Huber, Loss, MeanAbsoluteError, MeanSquaredError, NegativeLogLikelihood,
};
use serde_json::{Value, json};

use crate::tape::{Tape, Var};

/// A loss with its settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LossKind {
    CrossEntropy { smoothing: f64 },
    BinaryCrossEntropy,
    MeanSquaredError,
    MeanAbsoluteError,
    Huber { delta: f64 },
    NegativeLogLikelihood,
}

impl LossKind {
    /// As in the file for Python.
    pub fn json(self) -> Value {
        let name = self.loss().name();
        match self {
            LossKind::CrossEntropy { smoothing } => json!({ "kind": name, "smoothing": smoothing }),
            LossKind::Huber { delta } => json!({ "kind": name, "delta": delta }),
            _ => json!({ "kind": name }),
        }
    }

    /// The library's.
    pub fn loss(self) -> Arc<dyn Loss> {
        match self {
            LossKind::CrossEntropy { smoothing } => Arc::new(CrossEntropy::new().label_smoothing(smoothing)),
            LossKind::BinaryCrossEntropy => Arc::new(BinaryCrossEntropy),
            LossKind::MeanSquaredError => Arc::new(MeanSquaredError),
            LossKind::MeanAbsoluteError => Arc::new(MeanAbsoluteError),
            LossKind::Huber { delta } => Arc::new(Huber::new(delta)),
            LossKind::NegativeLogLikelihood => Arc::new(NegativeLogLikelihood),
        }
    }
}

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
    let terms = match kind {
        LossKind::CrossEntropy { smoothing } => {
            let n = y.len() as f64;
            let t: Vec<f64> = t.iter().map(|t| (1.0 - smoothing) * t + smoothing / n).collect();
            cross_entropy(tape, logits, y, &t)
        }
        LossKind::BinaryCrossEntropy if logits => sigmoid_cross_entropy(tape, y, t),
        LossKind::BinaryCrossEntropy => binary_cross_entropy(tape, y, t),
        LossKind::NegativeLogLikelihood => (y.iter().zip(t)).map(|(&y, &t)| tape.scale(y, -t)).collect(),
        LossKind::MeanSquaredError => of_differences(tape, y, t, |d| (d * d, 2.0 * d)),
        LossKind::MeanAbsoluteError => of_differences(tape, y, t, |d| (d.abs(), d.signum())),
        LossKind::Huber { delta } => of_differences(tape, y, t, |d| {
            if d.abs() <= delta {
                (d * d / 2.0, d)
            } else {
                (delta * (d.abs() - delta / 2.0), delta * d.signum())
            }
        }),
    };
    let mut margin = f64::INFINITY;
    if kind == LossKind::MeanAbsoluteError {
        margin = (y.iter().zip(t)).fold(margin, |least, (&y, t)| least.min((tape.value(y) - t).abs()));
    }
    (tape.sum(&terms), margin)
}

/// f(y − t) / n, given f and its derivative.
fn of_differences(tape: &mut Tape, y: &[Var], t: &[f64], f: impl Fn(f64) -> (f64, f64)) -> Vec<Var> {
    let n = y.len() as f64;
    let term = |(&y, t): (&Var, &f64)| {
        let (value, derivative) = f(tape.value(y) - t);
        tape.function(y, value / n, derivative / n)
    };
    y.iter().zip(t).map(term).collect()
}

/// −t · ln y, of logits −t · ln softmax(y).
fn cross_entropy(tape: &mut Tape, logits: bool, y: &[Var], t: &[f64]) -> Vec<Var> {
    let logs = match logits {
        true => log_softmax(tape, y, 1.0),
        false => y.iter().map(|&y| log(tape, y)).collect(),
    };
    logs.iter().zip(t).map(|(&log, &t)| tape.scale(log, -t)).collect()
}

/// −(t · ln y + (1 − t) · ln(1 − y)) / n
fn binary_cross_entropy(tape: &mut Tape, y: &[Var], t: &[f64]) -> Vec<Var> {
    let n = y.len() as f64;
    let mut terms = Vec::new();
    for (&y, &t) in y.iter().zip(t) {
        let one = tape.constant(1.0);
        let rest = tape.sub(one, y);
        let [yes, no] = [log(tape, y), log(tape, rest)];
        terms.extend([tape.scale(yes, -t / n), tape.scale(no, -(1.0 - t) / n)]);
    }
    terms
}

/// The same of the logits of y.
fn sigmoid_cross_entropy(tape: &mut Tape, z: &[Var], t: &[f64]) -> Vec<Var> {
    let n = z.len() as f64;
    let term = |(&at, &t): (&Var, &f64)| {
        let z = tape.value(at);
        let value = z.max(0.0) - z * t + (-z.abs()).exp().ln_1p();
        tape.function(at, value / n, (1.0 / (1.0 + (-z).exp()) - t) / n)
    };
    z.iter().zip(t).map(term).collect()
}

/// zᵢ − m − ln(f · Σ eᶻ⁻ᵐ), where m is the largest z and the factor f is 1 up to rounding.
pub fn log_softmax(tape: &mut Tape, z: &[Var], factor: f64) -> Vec<Var> {
    let most = z.iter().fold(f64::NEG_INFINITY, |most, &z| most.max(tape.value(z)));
    let power = |&z: &Var| {
        let e = (tape.value(z) - most).exp();
        tape.function(z, e, e)
    };
    let powers: Vec<Var> = z.iter().map(power).collect();
    let sum = tape.sum(&powers);
    let sum = tape.scale(sum, factor);
    let s = tape.value(sum);
    let log = tape.function(sum, s.ln(), 1.0 / s);
    let most = tape.constant(most);
    z.iter()
        .map(|&z| {
            let distance = tape.sub(z, most);
            tape.sub(distance, log)
        })
        .collect()
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
