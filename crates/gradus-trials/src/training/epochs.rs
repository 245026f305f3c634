//! Epochs with validation.

use std::sync::Arc;

use gradus::data::{Arrays, Targets};
use gradus::history::History;
use gradus::metric::Accuracy;
use gradus::random::{Purpose, stream};
use gradus::{Float, Network, optim};
use rand::seq::SliceRandom;

use super::recording::RecordingOptimizer;
use super::{fit_with, smaller_batch};
use crate::case::Case;
use crate::compare::{Outcome, differs};
use crate::networks::network;
use crate::samples::{Samples, dataset};

/// The epochs of a run.
const EPOCHS: usize = 3;

/// Epochs with validation: compares them with the same steps one by one, at the rates of the schedule's formula; their bits on
/// several threads; and what validation says of the trained network with what evaluation says. Returns that network.
pub fn epochs(case: &Case, outcome: &mut Outcome) -> gradus::Result<Network> {
    let samples = Samples::draw(case, 2 * case.batch + smaller_batch(case), 100);
    let data = dataset(case, &samples)?;
    let validation = dataset(case, &Samples::draw(case, case.batch.max(3), 101))?;
    let run = |optimizer, threads| run(case, [&data, &validation], optimizer, threads);
    let optimizer = Arc::new(RecordingOptimizer::new(case.optimization.optimizer()));
    let (one, history) = run(optimizer.clone(), 1)?;
    let (several, others) = run(case.optimization.optimizer(), case.threads)?;
    if one.weights() != several.weights() {
        outcome.fail(format!(
            "training: other weights on {} threads than on one",
            case.threads
        ));
    }
    for name in recorded_names(case) {
        if history.values(name) != others.values(name) {
            outcome.fail(format!(
                "training: another {name} on {} threads than on one",
                case.threads
            ));
        }
    }
    step_by_step(case, &samples, &optimizer.rates(), &one, &history, outcome)?;
    let loss = case.loss.loss();
    let again = one.evaluate(&validation, &*loss, &[])?;
    let said = history.last("val_loss").unwrap_or(f64::NAN);
    // Equal where both are infinite.
    if again.loss != said && differs(again.loss, said, 1e-6 * said.abs()) {
        outcome.fail(format!(
            "training: val_loss is {said}, evaluating the network gives {}",
            again.loss
        ));
    }
    Ok(one)
}

/// Trains the case's network on `data`, and validates it.
fn run(
    case: &Case,
    [data, validation]: [&Arrays; 2],
    optimizer: Arc<dyn optim::Optimizer>,
    threads: usize,
) -> gradus::Result<(Network, History)> {
    let mut network = network(case)?;
    let mut fit = fit_with(case, optimizer, threads)
        .epochs(EPOCHS)
        .schedule(case.schedule.schedule())
        .validation(validation);
    if has_classes(case) {
        fit = fit.metric(Accuracy);
    }
    let history = fit.run(&mut network, data)?;
    Ok((network, history))
}

fn has_classes(case: &Case) -> bool {
    matches!(case.targets, Targets::Classes(_))
}

/// What a history has of each epoch.
fn recorded_names(case: &Case) -> &'static [&'static str] {
    if has_classes(case) {
        &["loss", "val_loss", "accuracy", "val_accuracy"]
    } else {
        &["loss", "val_loss"]
    }
}

/// Compares a run of epochs with its steps one by one: their learning rates, losses, and the weights after them.
fn step_by_step(
    case: &Case,
    samples: &Samples,
    rates: &[Float],
    trained: &Network,
    history: &History,
    outcome: &mut Outcome,
) -> gradus::Result<()> {
    let per_epoch = samples.count.div_ceil(case.batch);
    let steps = EPOCHS * per_epoch;
    if rates.len() != steps {
        outcome.fail(format!(
            "training: {} steps in {EPOCHS} epochs, expected {steps}",
            rates.len()
        ));
        return Ok(());
    }
    check_rates(case, rates, per_epoch, &history.values("val_loss"), outcome);
    let mut network = network(case)?;
    let optimizer = RecordingOptimizer::with_rates(case.optimization.optimizer(), rates);
    let mut trainer = fit_with(case, Arc::new(optimizer), 1).trainer(&mut network)?;
    for (epoch, said) in history.values("loss").into_iter().enumerate() {
        let mut order: Vec<usize> = (0..samples.count).collect();
        order.shuffle(&mut stream(case.seed, Purpose::Shuffle, &[epoch as u64]));
        let mut total = 0.0;
        for batch in order.chunks(case.batch) {
            let x: Vec<Float> = batch.iter().flat_map(|&i| samples.input(i).to_vec()).collect();
            let targets: Vec<_> = batch.iter().map(|&i| samples.target(i)).collect();
            total += trainer.step(&x, &targets)? * batch.len() as f64;
        }
        let mean = total / samples.count as f64;
        if differs(said, mean, 1e-9 * mean.abs()) {
            outcome.fail(format!(
                "training: the loss of epoch {} is {said}, step by step {mean}",
                epoch + 1
            ));
        }
    }
    if network.weights() != trained.weights() {
        outcome.fail("training: other weights than step by step");
    }
    Ok(())
}

/// Compares the learning rates of steps with the schedule's formula.
fn check_rates(case: &Case, rates: &[Float], per_epoch: usize, losses: &[f64], outcome: &mut Outcome) {
    for (step, &rate) in rates.iter().enumerate() {
        let done = &losses[..step / per_epoch];
        let factor = case
            .schedule
            .factor(step as u64, rates.len() as u64, per_epoch as u64, done);
        let expected = case.optimization.learning_rate * factor;
        if differs(f64::from(rate), expected, 1e-6 * expected) {
            outcome.fail(format!(
                "training by {:?}: the learning rate of step {} is {rate}, expected {expected}",
                case.schedule,
                step + 1
            ));
        }
    }
}
