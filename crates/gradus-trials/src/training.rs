//! Training, compared with the plain loops step by step, and on several threads.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use gradus::data::{Arrays, Targets};
use gradus::history::History;
use gradus::metric::Accuracy;
use gradus::random::{Purpose, Rng, stream};
use gradus::{Fit, Float, Network, optim};
use ndarray::{Array2, ArrayD, IxDyn};
use rand::seq::SliceRandom;

use crate::case::{Case, Layer, OptimizerKind, to_f64};
use crate::compare::{Outcome, Tolerance, check_each, differs};
use crate::draw::{Samples, network};
use crate::dropout::Randomness;
use crate::inference::Values;
use crate::losses;
use crate::optimizers::Optimizer;
use crate::reference::{Pass, Tensors, tensors};
use crate::tape::{Tape, Var};

/// How close values may come to where a derivative jumps, relative to the largest, in rounding errors: closer, these decide on which
/// side they are.
const MARGIN: f64 = 100.0;

/// The rounding of bfloat16, whose numbers have 8 bits.
const BFLOAT16_EPSILON: f64 = 1.0 / 256.0;

/// The variance of equal numbers in the plain loops, which should be 0: at most the square of the error of their mean.
const OF_EQUAL_NUMBERS: f64 = 1e-24;

/// Where optimizers take a gradient, a velocity or a weight for 0, as documented: 10⁻³¹, with those that it is multiplied by.
const TINY: f64 = 1e-30;

/// From this loss on, training may diverge.
const LARGEST_LOSS: f64 = 1e30;

/// A step's mean loss and all that follows from it.
struct Reference {
    loss: f64,
    /// By the parameters' names.
    gradient: Tensors<f64>,
    state: Tensors<f64>,
    masks: Tensors<f64>,
    margin: f64,
    /// The largest value that the losses were computed from, at least 1.
    largest: f64,
}

/// The mean loss of the samples in a training step by plain loops, its gradient, and the state after it.
fn reference(
    case: &Case,
    network: &Network,
    samples: &Samples,
    step: usize,
    tape: &mut Tape,
    noise: Option<(f64, &mut Rng)>,
) -> Reference {
    tape.clear();
    let [parameters, state] = tensors(network);
    let parameters: Tensors<Var> = (parameters.iter())
        .map(|(name, values)| (name.clone(), tape.constants(values)))
        .collect();
    let x = (0..samples.count)
        .map(|i| tape.constants(&to_f64(samples.input(i))))
        .collect();
    let logits = case.logits();
    let mut pass = Pass::inference(&mut *tape, &parameters, &state);
    pass.training = Some(Randomness {
        seed: case.seed,
        step: step as u64,
    });
    pass.noise = noise;
    let x = pass.rounded(x);
    let y = pass.layers(&case.layers, 0..logits.unwrap_or(case.layers.len()), &case.input, x, "");
    let (state, masks, mut margin, noise) = (pass.state, pass.masks, pass.margin, pass.noise);
    let mut losses = Vec::new();
    let largest = y
        .iter()
        .flatten()
        .fold(1.0, |most, &y| f64::max(most, tape.value(y).abs()));
    for (i, y) in y.iter().enumerate() {
        let t = losses::targets(samples.target(i), y.len());
        let (loss, distance) = losses::loss(tape, case.loss, logits.is_some(), y, &t);
        losses.push(loss);
        margin = margin.min(distance / largest);
    }
    let sum = tape.sum(&losses);
    let mean = tape.scale(sum, 1.0 / samples.count as f64);
    let all = tape.gradient(mean, noise);
    Reference {
        loss: tape.value(mean),
        gradient: (parameters.iter())
            .map(|(name, vars)| (name.clone(), all.of(vars)))
            .collect(),
        state,
        masks,
        margin,
        largest,
    }
}

/// The numbers that a training step has to compute, with how far noise of the size of rounding takes each.
struct ExpectedStep {
    loss: Values,
    gradient: BTreeMap<String, Values>,
    state: BTreeMap<String, Values>,
    masks: Tensors<f64>,
    /// Whether no value came so close to a kink that rounding decides on which side it is.
    is_smooth: bool,
}

impl ExpectedStep {
    fn of(case: &Case, network: &Network, samples: &Samples, step: usize, tape: &mut Tape, rng: &mut Rng) -> Self {
        let epsilon = if case.rounds_to_bfloat16() {
            BFLOAT16_EPSILON
        } else {
            f64::from(Float::EPSILON)
        };
        let exact = reference(case, network, samples, step, tape, None);
        let without_noise = |tensors: Tensors<f64>| -> BTreeMap<String, Values> {
            let values = |exact: Vec<f64>| Values {
                noise: vec![0.0; exact.len()],
                exact,
            };
            (tensors.into_iter())
                .map(|(name, exact)| (name, values(exact)))
                .collect()
        };
        // A loss and a running statistic are the difference of what may be larger; so are the rounding errors.
        let mut expected = ExpectedStep {
            loss: Values {
                exact: vec![exact.loss],
                noise: vec![0.1 * epsilon * exact.largest],
            },
            gradient: without_noise(exact.gradient),
            state: without_noise(exact.state),
            masks: exact.masks,
            is_smooth: exact.margin >= MARGIN * epsilon,
        };
        for tensor in network.state() {
            let before = to_f64(tensor.values);
            let values = expected.state.get_mut(&tensor.name).expect("the names are the same");
            for (noise, before) in values.noise.iter_mut().zip(before) {
                *noise = 0.1 * epsilon * before.abs() + OF_EQUAL_NUMBERS;
            }
        }
        for _ in 0..2 {
            let noisy = reference(case, network, samples, step, tape, Some((epsilon, &mut *rng)));
            let largest_distance = |values: &mut Values, noisy: &[f64]| {
                for ((noise, noisy), exact) in values.noise.iter_mut().zip(noisy).zip(&values.exact) {
                    *noise = f64::max(*noise, (noisy - exact).abs());
                }
            };
            largest_distance(&mut expected.loss, &[noisy.loss]);
            for (all, noisy) in [
                (&mut expected.gradient, &noisy.gradient),
                (&mut expected.state, &noisy.state),
            ] {
                all.iter_mut()
                    .for_each(|(name, values)| largest_distance(values, &noisy[name]));
            }
        }
        expected
    }
}

/// A training step of the library, for another program to compute again.
pub struct RecordedStep {
    pub before: Network,
    pub after: Network,
    pub samples: Samples,
    /// By the parameters' names.
    pub gradient: Tensors<f64>,
    pub loss: Values,
    pub expected_gradient: BTreeMap<String, Values>,
    pub expected_state: BTreeMap<String, Values>,
    pub masks: Tensors<f64>,
    pub is_smooth: bool,
}

/// Some steps of training: compares loss, gradients, state and new parameters with the plain loops, and their bits on several
/// threads; checks that asking for gradients changes nothing. Returns the steps.
pub fn steps(case: &Case, tape: &mut Tape, outcome: &mut Outcome) -> gradus::Result<Vec<RecordedStep>> {
    let network = network(case)?;
    let mut optimizer = Optimizer::new(case.optimization, network.parameter_count());
    let decays = decays(&network);
    let mut several = fit(case, case.threads).trainer(network.clone())?;
    let mut one = fit(case, 1).trainer(network)?;
    let rng = &mut stream(case.seed, Purpose::User, &[2]);
    let mut recorded = Vec::new();
    for step in 0..case.steps {
        // The last batch of an epoch is smaller.
        let count = if step == 1 {
            (case.batch / 2).max(least_batch(case))
        } else {
            case.batch
        };
        let samples = Samples::draw(case, count, step as u64);
        let targets = samples.targets();
        let what = |what: &str| format!("step {}: {what}", step + 1);

        let at = one.network().clone();
        let (asked_loss, gradient) = match one.gradients(&samples.x, &targets) {
            Ok((loss, gradient)) => (loss, to_f64(gradient)),
            Err(error) => {
                let loss = reference(case, &at, &samples, step, tape, None).loss;
                return if loss < LARGEST_LOSS { Err(error) } else { Ok(recorded) };
            }
        };
        if one.network().weights() != at.weights() {
            outcome.fail(what("asking for gradients changed the network's weights or state"));
            one.network_mut().set_weights(at.weights())?;
        }
        let result = one.step(&samples.x, &targets);
        let parallel = several.step(&samples.x, &targets);
        let loss = match (result, parallel) {
            (Ok(loss), Ok(parallel)) => {
                if loss.to_bits() != parallel.to_bits() || one.network().weights() != several.network().weights() {
                    outcome.fail(what(&format!("other bits on {} threads than on one", case.threads)));
                    several.network_mut().set_weights(one.network().weights())?;
                }
                loss
            }
            (Err(one), Err(several)) if one.to_string() == several.to_string() => return Err(one),
            (one, several) => {
                outcome.fail(what(&format!("{one:?} on one thread, {several:?} on {}", case.threads)));
                return Ok(recorded);
            }
        };

        let after = one.network().clone();
        let mut updated = parameters(&at);
        optimizer.step(&mut updated, &gradient, &decays);
        let updated = update_bounds(case, &at, updated, &gradient);
        let name = what("the weights by the optimizer's formula");
        check_each(&name, &parameters(&after), &updated, outcome);

        let expected = ExpectedStep::of(case, &at, &samples, step, tape, rng);
        if expected.loss.exact[0] > 1e6 {
            return Ok(recorded);
        }
        let close = if case.rounds_to_bfloat16() {
            Tolerance::bfloat16()
        } else {
            Tolerance::numbers()
        };
        close.check(&what("the loss"), &[loss], &expected.loss, outcome);
        close.check(
            &what("the loss beside gradients"),
            &[asked_loss],
            &expected.loss,
            outcome,
        );
        for tensor in after.state() {
            let name = &tensor.name;
            close.check(&what(name), &to_f64(tensor.values), &expected.state[name], outcome);
        }
        let gradient = by_name(&at, &gradient);
        if expected.is_smooth {
            for (name, found) in &gradient {
                let what = what(&format!("the gradient of {name}"));
                close.check(&what, found, &expected.gradient[name], outcome);
            }
        } else {
            outcome.kinks += 1;
        }
        recorded.push(RecordedStep {
            before: at,
            after,
            samples,
            gradient,
            loss: expected.loss,
            expected_gradient: expected.gradient,
            expected_state: expected.state,
            masks: expected.masks,
            is_smooth: expected.is_smooth,
        });
    }
    Ok(recorded)
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

/// The fewest samples of a batch: a feature with one value has no variance.
fn least_batch(case: &Case) -> usize {
    1 + usize::from(case.has(|layer| matches!(layer, Layer::BatchNorm { .. })))
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

/// For each parameter, whether weight decay applies: to all but biases and what batch normalization learns.
fn decays(network: &Network) -> Vec<bool> {
    (network.parameters())
        .flat_map(|tensor| vec![tensor.shape.len() > 1; tensor.values.len()])
        .collect()
}

/// New weights with how far rounding may take them: by how far each moved.
pub fn update_bounds(case: &Case, before: &Network, after: Vec<f64>, gradient: &[f64]) -> Values {
    let rate = case.optimization.learning_rate;
    let largest = gradient.iter().fold(0.0, |most: f64, g| most.max(g.abs()));
    // The length of a step that rounding counts against.
    let unit = match case.optimization.optimizer {
        OptimizerKind::Sgd { .. } => rate * largest,
        OptimizerKind::Adam { .. } | OptimizerKind::RmsProp { .. } => rate,
    };
    let epsilon = f64::from(Float::EPSILON);
    let noise = (parameters(before).iter().zip(&after))
        .map(|(before, after)| epsilon * (2.0 * after.abs() + 300.0 * (after - before).abs() + 300.0 * unit) + TINY)
        .collect();
    Values { exact: after, noise }
}

/// Data of the library with these samples.
pub fn dataset(case: &Case, samples: &Samples) -> gradus::Result<Arrays> {
    let dims: Vec<usize> = [&[samples.count], &case.input[..]].concat();
    let x = ArrayD::from_shape_vec(IxDyn(&dims), samples.x.clone()).expect("whole samples");
    match &case.targets {
        Targets::Classes(classes) => {
            let labels = samples.targets().into_iter().map(|target| match target {
                gradus::data::Target::Class(class) => class,
                gradus::data::Target::Values(_) => unreachable!("the case has classes"),
            });
            Arrays::classes(x, labels, *classes)
        }
        Targets::Values(shape) => {
            let values = (0..samples.count).flat_map(|i| match samples.target(i) {
                gradus::data::Target::Values(values) => values.to_vec(),
                gradus::data::Target::Class(_) => unreachable!("the case has values"),
            });
            let values =
                Array2::from_shape_vec((samples.count, shape.size()), values.collect()).expect("whole targets");
            Arrays::values(x, values)
        }
    }
}

/// The epochs of a run.
const EPOCHS: usize = 3;

/// Epochs with validation: compares them with the same steps one by one, at the rates of the schedule's formula; their bits on
/// several threads; and what validation says of the trained network with what evaluation says. Returns that network.
pub fn epochs(case: &Case, outcome: &mut Outcome) -> gradus::Result<Network> {
    // The last batch is smaller where it may be.
    let samples = Samples::draw(case, 2 * case.batch + (case.batch / 2).max(least_batch(case)), 100);
    let data = dataset(case, &samples)?;
    let validation = dataset(case, &Samples::draw(case, case.batch.max(3), 101))?;
    let classes = matches!(case.targets, Targets::Classes(_));
    let run = |optimizer: Arc<dyn optim::Optimizer>, threads: usize| {
        let mut network = network(case)?;
        let mut fit = fit_with(case, optimizer, threads)
            .epochs(EPOCHS)
            .schedule(case.schedule.schedule())
            .validation(&validation);
        if classes {
            fit = fit.metric(Accuracy);
        }
        let history = fit.run(&mut network, &data)?;
        Ok::<_, gradus::Error>((network, history))
    };
    let optimizer = Arc::new(RecordingOptimizer::new(case.optimization.optimizer()));
    let (one, history) = run(optimizer.clone(), 1)?;
    let (several, others) = run(case.optimization.optimizer(), case.threads)?;
    if one.weights() != several.weights() {
        outcome.fail(format!(
            "training: other weights on {} threads than on one",
            case.threads
        ));
    }
    let names: &[&str] = if classes {
        &["loss", "val_loss", "accuracy", "val_accuracy"]
    } else {
        &["loss", "val_loss"]
    };
    for name in names {
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
    let losses = history.values("val_loss");
    for (step, &rate) in rates.iter().enumerate() {
        let done = &losses[..step / per_epoch];
        let factor = case.schedule.factor(step as u64, steps as u64, per_epoch as u64, done);
        let expected = case.optimization.learning_rate * factor;
        if differs(f64::from(rate), expected, 1e-6 * expected) {
            outcome.fail(format!(
                "training by {:?}: the learning rate of step {} is {rate}, expected {expected}",
                case.schedule,
                step + 1
            ));
        }
    }
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

/// An optimizer that records the learning rate of each step, or has its own.
#[derive(Debug)]
struct RecordingOptimizer {
    optimizer: Arc<dyn optim::Optimizer>,
    rates: Option<Vec<Float>>,
    recorded: Mutex<BTreeMap<u64, Float>>,
}

impl RecordingOptimizer {
    fn new(optimizer: Arc<dyn optim::Optimizer>) -> Self {
        RecordingOptimizer {
            optimizer,
            rates: None,
            recorded: Mutex::default(),
        }
    }

    fn with_rates(optimizer: Arc<dyn optim::Optimizer>, rates: &[Float]) -> Self {
        RecordingOptimizer {
            rates: Some(rates.to_vec()),
            ..Self::new(optimizer)
        }
    }

    fn rates(&self) -> Vec<Float> {
        let recorded = self.recorded.lock().expect("no thread panics here");
        recorded.values().copied().collect()
    }
}

impl optim::Optimizer for RecordingOptimizer {
    fn name(&self) -> &'static str {
        self.optimizer.name()
    }

    fn validate(&self) -> gradus::Result<()> {
        self.optimizer.validate()
    }

    fn learning_rate(&self) -> f64 {
        self.optimizer.learning_rate()
    }

    fn slots(&self) -> usize {
        self.optimizer.slots()
    }

    fn decays(&self) -> bool {
        self.optimizer.decays()
    }

    fn update(&self, mut step: optim::Step, w: &mut [Float], dw: &[Float], state: &mut [&mut [Float]]) {
        match &self.rates {
            Some(rates) => step.learning_rate = rates[step.number as usize - 1],
            None => {
                let mut recorded = self.recorded.lock().expect("no thread panics here");
                recorded.insert(step.number, step.learning_rate);
            }
        }
        self.optimizer.update(step, w, dw, state);
    }
}
