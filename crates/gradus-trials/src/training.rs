//! Training held against the plain loops, step by step, and on several threads.

use gradus::data::{Arrays, Targets};
use gradus::metric::Accuracy;
use gradus::random::{Purpose, Rng, stream};
use gradus::{Fit, Float, Network};
use ndarray::{Array2, ArrayD, IxDyn};

use crate::case::{Case, Layer, Rule, wide};
use crate::compare::{Close, Outcome, is_far};
use crate::draw::{Samples, network};
use crate::losses;
use crate::optimizers::Optimizer;
use crate::reference::{Pass, Tensors, tensors_of};
use crate::tape::{Tape, Var};

/// How close values may come to where a derivative jumps, relative to the largest: closer, rounding decides on which side they are.
const MARGIN: f64 = if cfg!(gradus_f64) { 1e-13 } else { 1e-5 };

/// What the plain loops may make of the variance of equal numbers, which is 0: the square of their mean's error.
const OF_EQUAL_NUMBERS: f64 = 1e-24;

/// From this loss on, training may diverge.
const LARGEST_LOSS: f64 = 1e30;

/// A step's mean loss and all that follows from it.
struct Pure {
    loss: f64,
    /// By the parameters' names.
    gradient: Tensors<f64>,
    state: Tensors<f64>,
    margin: f64,
    /// The largest value that the losses were computed from, at least 1.
    largest: f64,
}

/// The mean loss of the samples in training by plain loops, its gradient, and the state after it.
fn pure(case: &Case, network: &Network, samples: &Samples, tape: &mut Tape, noise: Option<(f64, &mut Rng)>) -> Pure {
    tape.clear();
    let [parameters, state] = tensors_of(network);
    let parameters: Tensors<Var> = (parameters.iter())
        .map(|(name, values)| (name.clone(), tape.constants(values)))
        .collect();
    let x = (0..samples.count)
        .map(|i| tape.constants(&wide(samples.input(i))))
        .collect();
    let logits = case.logits();
    let mut pass = Pass {
        tape: &mut *tape,
        parameters: &parameters,
        state,
        training: true,
        noise,
        margin: f64::INFINITY,
        most_to_softplus: 0.0,
    };
    let layers = &case.layers[..logits.unwrap_or(case.layers.len())];
    let x = pass.rounded(x);
    let y = pass.layers(layers, &case.input, x, "");
    let (state, mut margin) = (pass.state, pass.margin);
    let noise = pass.noise;
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
    Pure {
        loss: tape.value(mean),
        gradient: (parameters.iter())
            .map(|(name, vars)| (name.clone(), all.of(vars)))
            .collect(),
        state,
        margin,
        largest,
    }
}

/// As [`pure`], and how far it may be from that in the library's numbers: some times what noise of the size of their rounding does.
fn bounded(case: &Case, network: &Network, samples: &Samples, tape: &mut Tape, rng: &mut Rng) -> (Pure, Pure) {
    let exact = pure(case, network, samples, tape, None);
    let zero = |tensors: &Tensors<f64>| -> Tensors<f64> {
        (tensors.iter())
            .map(|(name, values)| (name.clone(), vec![0.0; values.len()]))
            .collect()
    };
    let mut bound = Pure {
        loss: 0.0,
        gradient: zero(&exact.gradient),
        state: zero(&exact.state),
        margin: 0.0,
        largest: 0.0,
    };
    // A loss and a running statistic are the difference of what may be larger; so are the rounding errors.
    let epsilon = f64::from(Float::EPSILON);
    bound.loss = 0.1 * epsilon * exact.largest;
    for tensor in network.state() {
        let before = wide(tensor.values);
        let bounds = bound.state.get_mut(&tensor.name).expect("the names are the same");
        bounds
            .iter_mut()
            .zip(before)
            .for_each(|(bound, before)| *bound = 0.1 * epsilon * before.abs() + OF_EQUAL_NUMBERS);
    }
    for _ in 0..2 {
        let noisy = pure(
            case,
            network,
            samples,
            tape,
            Some((f64::from(Float::EPSILON), &mut *rng)),
        );
        bound.loss = f64::max(bound.loss, (noisy.loss - exact.loss).abs());
        for (bounds, noisy, exact) in [
            (&mut bound.gradient, &noisy.gradient, &exact.gradient),
            (&mut bound.state, &noisy.state, &exact.state),
        ] {
            for (name, bound) in bounds {
                for ((bound, noisy), exact) in bound.iter_mut().zip(&noisy[name]).zip(&exact[name]) {
                    *bound = f64::max(*bound, (noisy - exact).abs());
                }
            }
        }
    }
    (exact, bound)
}

/// Some steps of training: loss, gradients, state and new parameters as the plain loops have them, the same bits on several
/// threads, and nothing changed by asking for gradients.
pub fn steps(case: &Case, tape: &mut Tape, outcome: &mut Outcome) -> gradus::Result<()> {
    let mut alone = network(case)?;
    let mut together = alone.clone();
    let fit = |threads: usize| {
        let fit = Fit::boxed(case.loss.loss(), case.optimization.optimizer()).batch_size(case.batch);
        let fit = fit.seed(case.seed).threads(threads);
        match case.optimization.clip {
            Some(clip) => fit.clip(clip),
            None => fit,
        }
    };
    let (mut one, mut several) = (fit(1).trainer(&alone)?, fit(case.threads).trainer(&alone)?);
    let mut reference = Optimizer::new(case.optimization, alone.parameter_count());
    let decays = decays(&alone);
    let rng = &mut stream(case.seed, Purpose::User, &[2]);
    let least = if case.has(|layer| matches!(layer, Layer::BatchNorm { .. })) {
        2
    } else {
        1
    };
    for step in 0..case.steps {
        // The last batch of an epoch is smaller.
        let count = if step == 1 {
            (case.batch / 2).max(least)
        } else {
            case.batch
        };
        let samples = Samples::draw(case, count, step as u64);
        let targets = samples.targets();
        let what = |what: &str| format!("step {}: {what}", step + 1);

        let before = alone.weights().clone();
        let (asked_loss, gradient) = match one.gradients(&alone, &samples.x, &targets) {
            Ok((loss, gradient)) => (loss, wide(gradient)),
            Err(error) => {
                let loss = pure(case, &alone, &samples, tape, None).loss;
                return if loss < LARGEST_LOSS { Err(error) } else { Ok(()) };
            }
        };
        if *alone.weights() != before {
            outcome.fail(what("asking for gradients changed the network's weights or state"));
            alone.set_weights(&before)?;
        }
        let at = alone.clone();
        let mut expected = wide_parameters(&at);
        let result = one.step(&mut alone, &samples.x, &targets);
        let parallel = several.step(&mut together, &samples.x, &targets);
        let loss = match (result, parallel) {
            (Ok(loss), Ok(parallel)) => {
                if loss.to_bits() != parallel.to_bits() || alone.weights() != together.weights() {
                    outcome.fail(what(&format!("other bits on {} threads than on one", case.threads)));
                    together = alone.clone();
                }
                loss
            }
            (Err(one), Err(several)) if one.to_string() == several.to_string() => return Err(one),
            (one, several) => {
                outcome.fail(what(&format!("{one:?} on one thread, {several:?} on {}", case.threads)));
                return Ok(());
            }
        };

        reference.step(&mut expected, &gradient, &decays);
        compare_update(
            case,
            &what("the weights by the optimizer's formula"),
            &at,
            &alone,
            &expected,
            &gradient,
            outcome,
        );

        if case.is_random() {
            continue;
        }
        let (exact, bound) = bounded(case, &at, &samples, tape, rng);
        if exact.loss > 1e6 {
            return Ok(());
        }
        let close = Close::numbers();
        close.check(&what("the loss"), &[loss], &[exact.loss], &[bound.loss], outcome);
        close.check(
            &what("the loss beside gradients"),
            &[asked_loss],
            &[exact.loss],
            &[bound.loss],
            outcome,
        );
        for tensor in alone.state() {
            let name = &tensor.name;
            close.check(
                &what(name),
                &wide(tensor.values),
                &exact.state[name],
                &bound.state[name],
                outcome,
            );
        }
        if exact.margin < MARGIN {
            outcome.near_jumps += 1;
            continue;
        }
        let mut start = 0;
        for tensor in at.parameters() {
            let found = &gradient[start..][..tensor.values.len()];
            start += tensor.values.len();
            let (name, exact) = (&tensor.name, &exact.gradient[&tensor.name]);
            close.check(
                &what(&format!("the gradient of {name}")),
                found,
                exact,
                &bound.gradient[name],
                outcome,
            );
        }
    }
    Ok(())
}

fn wide_parameters(network: &Network) -> Vec<f64> {
    network.parameters().flat_map(|tensor| wide(tensor.values)).collect()
}

/// For each parameter, whether weight decay applies: to all but biases and what batch normalization learns.
fn decays(network: &Network) -> Vec<bool> {
    (network.parameters())
        .flat_map(|tensor| vec![tensor.shape.len() > 1; tensor.values.len()])
        .collect()
}

/// Holds new weights against those of the optimizer's formula: how far each moved, and by how much it may be off.
fn compare_update(
    case: &Case,
    what: &str,
    before: &Network,
    after: &Network,
    expected: &[f64],
    gradient: &[f64],
    outcome: &mut Outcome,
) {
    let rate = case.optimization.learning_rate;
    let largest = gradient.iter().fold(0.0, |most: f64, g| most.max(g.abs()));
    // The length of a step that rounding counts against.
    let unit = match case.optimization.rule {
        Rule::Sgd { .. } => rate * largest,
        Rule::Adam { .. } | Rule::RmsProp { .. } => rate,
    };
    let epsilon = f64::from(Float::EPSILON);
    let bound: Vec<f64> = (wide_parameters(before).iter().zip(expected))
        .map(|(before, after)| epsilon * (2.0 * after.abs() + 300.0 * (after - before).abs() + 300.0 * unit))
        .collect();
    let found = wide_parameters(after);
    if let Some(i) = (0..found.len()).find(|&i| is_far(found[i], expected[i], bound[i])) {
        outcome.fail(format!(
            "{what}: parameter {i} is {}, expected {}",
            found[i], expected[i]
        ));
    }
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

/// Two epochs with validation: the same bits on several threads, and what validation says is what evaluation and the plain loops
/// say of the network that comes out. Gives that network.
pub fn epochs(case: &Case, outcome: &mut Outcome) -> gradus::Result<Network> {
    let data = dataset(case, &Samples::draw(case, 2 * case.batch, 100))?;
    let validation = dataset(case, &Samples::draw(case, case.batch.max(3), 101))?;
    let classes = matches!(case.targets, Targets::Classes(_));
    let run = |threads: usize| {
        let mut network = network(case)?;
        let mut fit = Fit::boxed(case.loss.loss(), case.optimization.optimizer())
            .batch_size(case.batch)
            .epochs(2)
            .seed(case.seed)
            .threads(threads)
            .validation(&validation);
        if classes {
            fit = fit.metric(Accuracy);
        }
        if let Some(clip) = case.optimization.clip {
            fit = fit.clip(clip);
        }
        let history = fit.run(&mut network, &data)?;
        Ok::<_, gradus::Error>((network, history))
    };
    let (one, history) = run(1)?;
    let (several, others) = run(case.threads)?;
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
        if history.last(name) != others.last(name) {
            outcome.fail(format!(
                "training: another {name} on {} threads than on one",
                case.threads
            ));
        }
    }
    let loss = case.loss.loss();
    let again = one.evaluate(&validation, &*loss, &[])?;
    let said = history.last("val_loss").unwrap_or(f64::NAN);
    if (again.loss - said).abs() > 1e-6 * said.abs() {
        outcome.fail(format!(
            "training: val_loss is {said}, evaluating the network gives {}",
            again.loss
        ));
    }
    Ok(one)
}
