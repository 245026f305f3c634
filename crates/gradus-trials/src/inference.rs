//! Predictions, evaluation and files held against the plain loops.

use gradus::metric::Accuracy;
use gradus::random::{Purpose, Rng, stream};
use gradus::save::Registry;
use gradus::{Float, Network, data::Target, data::Targets};
use rand::RngExt;

use crate::case::{Case, Layer, wide};
use crate::compare::{Close, Outcome};
use crate::draw::Samples;
use crate::losses;
use crate::reference::{Pass, Tensors, tensors_of};
use crate::tape::{Tape, Var};
use crate::training::dataset;

/// What the plain loops make of samples.
#[derive(Debug, Clone)]
pub struct Expected {
    /// One sample after the other.
    pub outputs: Vec<f64>,
    /// How far noise of the size of rounding takes each.
    pub noise: Vec<f64>,
    /// The same before a softmax at the end, if there is one.
    pub before_softmax: Vec<f64>,
    /// The largest value that a softplus was given.
    pub most_to_softplus: f64,
    /// The mean loss, and how far noise takes it.
    loss: [f64; 2],
}

impl Expected {
    /// Of this network at inference, whose numbers have this precision.
    pub fn of(case: &Case, network: &Network, samples: &Samples, tape: &mut Tape, epsilon: f64) -> Expected {
        let mut expected = once(case, network, samples, tape, None);
        let rng = &mut stream(case.seed, Purpose::User, &[3]);
        for _ in 0..2 {
            let noisy = once(case, network, samples, tape, Some((epsilon, &mut *rng)));
            for ((noise, noisy), exact) in expected.noise.iter_mut().zip(&noisy.outputs).zip(&expected.outputs) {
                *noise = f64::max(*noise, (noisy - exact).abs());
            }
            expected.loss[1] = f64::max(expected.loss[1], (noisy.loss[0] - expected.loss[0]).abs());
        }
        expected
    }
}

fn once(
    case: &Case,
    network: &Network,
    samples: &Samples,
    tape: &mut Tape,
    mut noise: Option<(f64, &mut Rng)>,
) -> Expected {
    let [parameters, state] = tensors_of(network);
    let (mut outputs, mut before_softmax) = (Vec::new(), Vec::new());
    let (mut total, mut largest, mut most_to_softplus) = (0.0, 1.0, 0.0);
    for i in 0..samples.count {
        tape.clear();
        let parameters: Tensors<Var> = (parameters.iter())
            .map(|(name, values)| (name.clone(), tape.constants(values)))
            .collect();
        let x = tape.constants(&wide(samples.input(i)));
        let mut pass = Pass {
            tape: &mut *tape,
            parameters: &parameters,
            state: state.clone(),
            training: false,
            noise: noise.as_mut().map(|(size, rng)| (*size, &mut **rng)),
            margin: f64::INFINITY,
            most_to_softplus,
        };
        let (inside, end) = case.layers.split_at(case.last_function().unwrap_or(case.layers.len()));
        let z = pass.layers(inside, &case.input, vec![x], "");
        let shape = crate::case::outputs(inside, &case.input).expect("the layers fit");
        // The layers at the end have no parameters.
        let y = pass.layers(end, &shape, z.clone(), "");
        most_to_softplus = pass.most_to_softplus;
        outputs.extend(tape.values(&y[0]));
        let is_softmax = end.first() == Some(&Layer::Softmax);
        before_softmax.extend(tape.values(if is_softmax { &z[0] } else { &y[0] }));
        let t = losses::targets(samples.target(i), y[0].len());
        let logits = case.logits().is_some();
        let (loss, _) = losses::loss(tape, case.loss, logits, if logits { &z[0] } else { &y[0] }, &t);
        total += tape.value(loss);
        largest = z[0]
            .iter()
            .fold(largest, |most, &z| f64::max(most, tape.value(z).abs()));
    }
    Expected {
        noise: vec![0.0; outputs.len()],
        outputs,
        before_softmax,
        most_to_softplus,
        loss: [total / samples.count as f64, 0.1 * f64::from(Float::EPSILON) * largest],
    }
}

/// Predictions in any division, evaluation, and the network after it was saved and loaded.
pub fn check(case: &Case, network: &Network, tape: &mut Tape, outcome: &mut Outcome) -> gradus::Result<()> {
    let samples = Samples::draw(case, 37, 200);
    let expected = Expected::of(case, network, &samples, tape, f64::from(Float::EPSILON));
    // Training may have made more of it than the library's numbers hold.
    let fits = |y: &f64| y.abs() < 1e30;
    if !expected.outputs.iter().chain(&expected.loss).all(fits) {
        return Ok(());
    }
    let y = predict(network, 37, 1, &samples.x)?;
    Close::numbers().check("predict", &wide(&y), &expected.outputs, &expected.noise, outcome);

    let rng = &mut stream(case.seed, Purpose::User, &[4]);
    for (batch, threads) in [
        (1, 1),
        (rng.random_range(2..37), 1),
        (37, case.threads),
        (rng.random_range(2..60), 2),
    ] {
        if predict(network, batch, threads, &samples.x)? != y {
            outcome.fail(format!(
                "predict: other bits in batches of {batch} on {threads} threads"
            ));
        }
    }
    evaluation(case, network, &samples, &expected, outcome)?;

    let bytes = network.to_bytes()?;
    let again = Network::from_bytes(&bytes, &Registry::default())?;
    if again.weights() != network.weights() || again.architecture()? != network.architecture()? {
        outcome.fail("saved and loaded: another network");
    }
    if predict(&again, 37, 1, &samples.x)? != y {
        outcome.fail("saved and loaded: other predictions");
    }
    if again.to_bytes()? != bytes {
        outcome.fail("saved and loaded: saved again, the file is another");
    }
    Ok(())
}

/// The outputs for some samples, in batches of this size.
pub fn predict(network: &Network, batch: usize, threads: usize, x: &[Float]) -> gradus::Result<Vec<Float>> {
    let mut predictor = network.predictor(batch, threads)?;
    let mut y = Vec::new();
    for x in x.chunks(batch * network.input_shape().size()) {
        y.extend_from_slice(predictor.run(network, x)?);
    }
    Ok(y)
}

/// The mean loss, from logits where there are, and the accuracy.
fn evaluation(
    case: &Case,
    network: &Network,
    samples: &Samples,
    expected: &Expected,
    outcome: &mut Outcome,
) -> gradus::Result<()> {
    let data = dataset(case, samples)?;
    let loss = case.loss.loss();
    let [mean, noise] = expected.loss;
    if !matches!(case.targets, Targets::Classes(_)) {
        let found = network.evaluate(&data, &*loss, &[])?;
        Close::numbers().check("evaluate: the loss", &[found.loss], &[mean], &[noise], outcome);
        return Ok(());
    }
    let found = network.evaluate(&data, &*loss, &[&Accuracy])?;
    Close::numbers().check("evaluate: the loss", &[found.loss], &[mean], &[noise], outcome);
    let (mut right, mut unclear) = (0, 0);
    let size = expected.outputs.len() / samples.count;
    for (i, (y, noise)) in (expected.outputs.chunks(size).zip(expected.noise.chunks(size))).enumerate() {
        let Target::Class(class) = samples.target(i) else {
            continue;
        };
        let near = 1e-5 + 30.0 * noise.iter().fold(0.0, |most: f64, n| most.max(*n));
        let (predicted, margin) = predicted(y, if case.ends_in_logits() { 0.0 } else { 0.5 });
        if margin < near {
            unclear += 1;
        } else if predicted == class {
            right += 1;
        }
    }
    let found = found.metric("accuracy").unwrap_or(f64::NAN) * samples.count as f64;
    let possible = f64::from(right) - 0.5..f64::from(right + unclear) + 0.5;
    if !possible.contains(&found) {
        outcome.fail(format!(
            "evaluate: {found} of {} samples are right, expected {right}",
            samples.count
        ));
    }
    Ok(())
}

/// The class that outputs stand for, a single one split at `split`, and how clear that is.
fn predicted(y: &[f64], split: f64) -> (usize, f64) {
    if let [y] = *y {
        return (usize::from(y > split), (y - split).abs());
    }
    let mut order: Vec<usize> = (0..y.len()).collect();
    order.sort_by(|&a, &b| y[b].total_cmp(&y[a]));
    (order[0], y[order[0]] - y[order[1]])
}
