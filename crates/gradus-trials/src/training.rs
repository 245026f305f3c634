//! Training, compared with the plain loops step by step, and on several threads.

mod epochs;
mod expected;
mod recording;

use std::sync::Arc;

use gradus::random::{Purpose, stream};
use gradus::{Fit, Float, Network, Trainer, optim};

use crate::case::{Case, to_f64};
use crate::compare::{Outcome, Tolerance, check_each};
use crate::inference::Values;
use crate::layer::Layer;
use crate::networks::{decays, network};
use crate::optimizers::{Optimizer, OptimizerKind};
use crate::reference::Tensors;
use crate::samples::Samples;
use crate::tape::Tape;

pub use epochs::epochs;
pub use expected::ExpectedStep;

/// Where optimizers take a gradient, a velocity or a weight for 0, as documented: 10⁻³¹, with those that it is multiplied by.
const TINY: f64 = 1e-30;

/// From this loss on, training may diverge.
const LARGEST_LOSS: f64 = 1e30;

/// Up to this loss, a step is compared.
const LARGEST_COMPARED_LOSS: f64 = 1e6;

/// A training step of the library, with what it has to compute, for another program to compute again.
pub struct RecordedStep {
    pub before: Network,
    pub after: Network,
    pub samples: Samples,
    /// By the parameters' names.
    pub gradient: Tensors<f64>,
    /// How far the rounding of gradients takes each new parameter.
    pub rounding: Vec<f64>,
    pub expected: ExpectedStep,
}

/// Some steps of training: compares loss, gradients, state and new parameters with the plain loops, and their bits on several
/// threads; checks that asking for gradients changes nothing. Returns the steps.
pub fn steps(case: &Case, tape: &mut Tape, outcome: &mut Outcome) -> gradus::Result<Vec<RecordedStep>> {
    let mut twins = Twins::new(case)?;
    let rng = &mut stream(case.seed, Purpose::User, &[2]);
    let mut recorded = Vec::new();
    for step in 0..case.steps {
        let samples = Samples::draw(case, batch_size(case, step), step as u64);
        let Some(taken) = twins.step(step, &samples, tape, outcome)? else {
            break;
        };
        let expected = ExpectedStep::of(case, &taken.before, &samples, step, tape, rng);
        if expected.loss.exact[0] > LARGEST_COMPARED_LOSS {
            break;
        }
        let gradient = by_name(&taken.before, &taken.gradient);
        check_step(case, step, &taken, &gradient, &expected, outcome);
        recorded.push(RecordedStep {
            before: taken.before,
            after: taken.after,
            samples,
            gradient,
            rounding: taken.rounding,
            expected,
        });
    }
    Ok(recorded)
}

/// A case's network in training on one thread and on several, beside its optimizer by its formula.
struct Twins<'c> {
    case: &'c Case,
    one: Trainer<Network>,
    several: Trainer<Network>,
    optimizer: Optimizer,
    decays: Vec<bool>,
}

/// A training step of the library.
struct TakenStep {
    before: Network,
    after: Network,
    loss: f64,
    /// Asked for before the step, with the loss beside it.
    gradient: Vec<f64>,
    asked_loss: f64,
    /// How far the rounding of gradients takes each new parameter.
    rounding: Vec<f64>,
}

impl<'c> Twins<'c> {
    fn new(case: &'c Case) -> gradus::Result<Self> {
        let network = network(case)?;
        Ok(Twins {
            case,
            optimizer: Optimizer::new(case.optimization, &network),
            decays: decays(case, &network),
            several: fit(case, case.threads).trainer(network.clone())?,
            one: fit(case, 1).trainer(network)?,
        })
    }

    /// Takes a step, and compares what needs no plain loops of the layers. None if training diverged, or on one thread only.
    fn step(
        &mut self,
        step: usize,
        samples: &Samples,
        tape: &mut Tape,
        outcome: &mut Outcome,
    ) -> gradus::Result<Option<TakenStep>> {
        let targets = samples.targets();
        let before = self.one.network().clone();
        let (asked_loss, gradient) = match self.one.gradients(&samples.x, &targets) {
            Ok((loss, gradient)) => (loss, to_f64(gradient)),
            Err(error) => {
                let loss = expected::loss(self.case, &before, samples, step, tape);
                return if loss < LARGEST_LOSS { Err(error) } else { Ok(None) };
            }
        };
        if self.one.network().weights() != before.weights() {
            outcome.fail(in_step(
                step,
                "asking for gradients changed the network's weights or state",
            ));
            self.one.network_mut().set_weights(before.weights())?;
        }
        let Some(loss) = self.both(step, samples, outcome)? else {
            return Ok(None);
        };
        let after = self.one.network().clone();
        let rounding = self.check_update(step, [&before, &after], &gradient, outcome);
        Ok(Some(TakenStep {
            before,
            after,
            loss,
            gradient,
            asked_loss,
            rounding,
        }))
    }

    /// The loss of a step on one thread and on several; none if they differ in whether they fail.
    fn both(&mut self, step: usize, samples: &Samples, outcome: &mut Outcome) -> gradus::Result<Option<f64>> {
        let (targets, threads) = (samples.targets(), self.case.threads);
        let one = self.one.step(&samples.x, &targets);
        let several = self.several.step(&samples.x, &targets);
        match (one, several) {
            (Ok(loss), Ok(parallel)) => {
                let same_weights = self.one.network().weights() == self.several.network().weights();
                if loss.to_bits() != parallel.to_bits() || !same_weights {
                    outcome.fail(in_step(step, &format!("other bits on {threads} threads than on one")));
                    self.several.network_mut().set_weights(self.one.network().weights())?;
                }
                Ok(Some(loss))
            }
            (Err(one), Err(several)) if one.to_string() == several.to_string() => Err(one),
            (one, several) => {
                outcome.fail(in_step(
                    step,
                    &format!("{one:?} on one thread, {several:?} on {threads}"),
                ));
                Ok(None)
            }
        }
    }

    /// Compares new parameters with the optimizer's formula. Returns how far the rounding of gradients takes each.
    fn check_update(
        &mut self,
        step: usize,
        [before, after]: [&Network; 2],
        gradient: &[f64],
        outcome: &mut Outcome,
    ) -> Vec<f64> {
        let mut updated = parameters(before);
        let rounding = self.optimizer.step(&mut updated, gradient, &self.decays);
        let updated = update_bounds(self.case, before, updated, gradient, &rounding);
        let name = in_step(step, "the weights by the optimizer's formula");
        check_each(&name, &parameters(after), &updated, outcome);
        rounding
    }
}

/// Compares loss, gradients and state with the plain loops.
fn check_step(
    case: &Case,
    step: usize,
    taken: &TakenStep,
    gradient: &Tensors<f64>,
    expected: &ExpectedStep,
    outcome: &mut Outcome,
) {
    let close = tolerance(case);
    let what = |what: &str| in_step(step, what);
    close.check(&what("the loss"), &[taken.loss], &expected.loss, outcome);
    let name = what("the loss beside gradients");
    close.check(&name, &[taken.asked_loss], &expected.loss, outcome);
    for tensor in taken.after.state() {
        let name = &tensor.name;
        close.check(&what(name), &to_f64(tensor.values), &expected.state[name], outcome);
    }
    if !expected.is_smooth {
        outcome.kinks += 1;
        return;
    }
    for (name, found) in gradient {
        let what = what(&format!("the gradient of {name}"));
        close.check(&what, found, &expected.gradient[name], outcome);
    }
}

fn in_step(step: usize, what: &str) -> String {
    format!("step {}: {what}", step + 1)
}

/// How close the numbers of a step have to be to those of the plain loops.
fn tolerance(case: &Case) -> Tolerance {
    if case.rounds_to_bfloat16() {
        Tolerance::bfloat16()
    } else {
        Tolerance::numbers()
    }
}

/// The number of samples of a step: the last batch of an epoch is smaller.
fn batch_size(case: &Case, step: usize) -> usize {
    if step == 1 { smaller_batch(case) } else { case.batch }
}

/// The number of samples of a last batch: at least two before batch normalization, since a feature with one value has no variance.
fn smaller_batch(case: &Case) -> usize {
    let least = 1 + usize::from(case.has(|layer| matches!(layer, Layer::BatchNorm { .. })));
    (case.batch / 2).max(least)
}

/// The training of a case, on this many threads.
fn fit<'a>(case: &Case, threads: usize) -> Fit<'a> {
    fit_with(case, case.optimization.optimizer(), threads)
}

fn fit_with<'a>(case: &Case, optimizer: Arc<dyn optim::Optimizer>, threads: usize) -> Fit<'a> {
    let fit = Fit::new(case.loss.loss(), optimizer).batch_size(case.batch);
    let fit = fit.seed(case.seed).threads(threads).bfloat16(case.bfloat16);
    match case.optimization.clip {
        Some(clip) => fit.clip(clip),
        None => fit,
    }
}

/// Numbers of all parameters, one tensor after the other, by the names of the tensors.
pub fn by_name(network: &Network, mut values: &[f64]) -> Tensors<f64> {
    (network.parameters())
        .map(|tensor| {
            let (values_of_tensor, rest) = values.split_at(tensor.values.len());
            values = rest;
            (tensor.name, values_of_tensor.to_vec())
        })
        .collect()
}

/// All parameters, one tensor after the other.
pub fn parameters(network: &Network) -> Vec<f64> {
    network.parameters().flat_map(|tensor| to_f64(tensor.values)).collect()
}

/// New weights with how far rounding may take them: by how far each moved, and by `rounding`, that of the gradients.
pub fn update_bounds(case: &Case, before: &Network, after: Vec<f64>, gradient: &[f64], rounding: &[f64]) -> Values {
    let rate = case.optimization.learning_rate;
    let largest = gradient.iter().fold(0.0, |most: f64, g| most.max(g.abs()));
    // The length of a step that rounding counts against.
    let unit = match case.optimization.optimizer {
        OptimizerKind::Sgd { .. } => rate * largest,
        OptimizerKind::Adam { .. }
        | OptimizerKind::RmsProp { .. }
        | OptimizerKind::NAdam { .. }
        | OptimizerKind::Lion { .. } => rate,
        OptimizerKind::Muon {
            adamw_learning_rate, ..
        } => rate.max(adamw_learning_rate),
    };
    let epsilon = f64::from(Float::EPSILON);
    let bound = |before: f64, after: f64, rounding: f64| {
        epsilon * (2.0 * after.abs() + 300.0 * (after - before).abs() + 300.0 * unit) + rounding + TINY
    };
    let noise = (parameters(before).iter().zip(&after).zip(rounding))
        .map(|((&before, &after), &rounding)| bound(before, after, rounding))
        .collect();
    Values { exact: after, noise }
}
