//! Predictions, evaluation and saved networks, compared with the plain loops.

use gradus::metric::Accuracy;
use gradus::random::{Purpose, stream};
use gradus::save::Registry;
use gradus::{Float, Network, data::Target, data::Targets};
use rand::RngExt;

use crate::bytes::Bytes;
use crate::case::{Case, to_f64};
use crate::compare::{Outcome, Tolerance};
use crate::losses;
use crate::reference::{Noise, Pass, Tensors, tensors};
use crate::samples::{Samples, dataset};
use crate::tape::{Tape, Var};

/// Numbers of samples, one sample after the other.
#[derive(Debug, Clone, Default)]
pub struct Values {
    pub exact: Vec<f64>,
    /// How far noise of the size of rounding takes each.
    pub noise: Vec<f64>,
}

impl Values {
    /// Makes the noise at least as large as the distance of these numbers, of a pass with noise.
    pub fn include(&mut self, noisy: &[f64]) {
        for ((noise, noisy), exact) in self.noise.iter_mut().zip(noisy).zip(&self.exact) {
            *noise = f64::max(*noise, (noisy - exact).abs());
        }
    }
}

/// The results of the plain loops for some samples.
#[derive(Debug, Clone)]
pub struct Expected {
    pub outputs: Values,
    /// The same before a last softmax, log-softmax or sigmoid, if there is one.
    pub before_last: Values,
    /// The largest value that a softplus was given.
    pub most_to_softplus: f64,
    /// The mean loss, and how far noise takes it.
    loss: [f64; 2],
}

impl Expected {
    /// Of this network at inference, in the library's numbers.
    pub fn of_library(case: &Case, network: &Network, samples: &Samples, tape: &mut Tape) -> Expected {
        Expected::of(case, network, samples, tape, f64::from(Float::EPSILON), false)
    }

    /// Of files with this network, whose numbers are f32 in every build.
    pub fn of_files(case: &Case, network: &Network, samples: &Samples, tape: &mut Tape) -> Expected {
        Expected::of(case, network, samples, tape, f64::from(f32::EPSILON), true)
    }

    fn of(case: &Case, network: &Network, samples: &Samples, tape: &mut Tape, size: f64, of_means: bool) -> Expected {
        let tensors = tensors(network);
        let exact = forward(case, &tensors, samples, tape, Errors::None);
        let mut expected = Expected {
            outputs: exact.outputs,
            before_last: exact.before_last,
            most_to_softplus: exact.most_to_softplus,
            loss: [exact.loss, 0.1 * f64::from(Float::EPSILON) * exact.largest],
        };
        let rng = &mut stream(case.seed, Purpose::User, &[3]);
        for _ in 0..2 {
            let noise = Noise {
                size,
                of_means,
                rng: &mut *rng,
            };
            let noisy = forward(case, &tensors, samples, tape, Errors::Rounding(noise));
            expected.outputs.include(&noisy.outputs.exact);
            expected.before_last.include(&noisy.before_last.exact);
            expected.loss[1] = f64::max(expected.loss[1], (noisy.loss - expected.loss[0]).abs());
        }
        expected
    }
}

/// The errors of a pass.
pub enum Errors<'e> {
    None,
    /// Rounding.
    Rounding(Noise<'e>),
    /// Storing in bytes.
    Bytes(&'e mut Bytes),
}

/// The outputs of a pass at inference.
#[derive(Debug, Default)]
pub struct Outputs {
    pub outputs: Values,
    pub before_last: Values,
    pub most_to_softplus: f64,
    /// The mean loss.
    pub loss: f64,
    /// The largest value that a loss was computed from, at least 1.
    pub largest: f64,
}

/// A pass of samples through a network of these parameters and this state at inference.
pub fn forward(
    case: &Case,
    [parameters, state]: &[Tensors<f64>; 2],
    samples: &Samples,
    tape: &mut Tape,
    mut errors: Errors<'_>,
) -> Outputs {
    let mut all = Outputs {
        largest: 1.0,
        ..Outputs::default()
    };
    for i in 0..samples.count {
        tape.clear();
        let parameters: Tensors<Var> = (parameters.iter())
            .map(|(name, values)| (name.clone(), tape.constants(values)))
            .collect();
        let mut x = vec![tape.constants(&to_f64(samples.input(i)))];
        let mut pass = Pass::inference(&mut *tape, &parameters, state);
        match &mut errors {
            Errors::None => {}
            Errors::Rounding(noise) => {
                pass.noise = Some(Noise {
                    rng: &mut *noise.rng,
                    ..*noise
                });
                x = pass.rounded(x);
            }
            Errors::Bytes(bytes) => {
                bytes.store_input(pass.tape, &case.layers, &mut x);
                pass.bytes = Some(&mut **bytes);
            }
        }
        let (count, last) = (case.layers.len(), case.last_function().unwrap_or(case.layers.len()));
        let z = pass.layers(&case.layers, 0..last, &case.input, x, "");
        let shape = crate::layer::outputs(&case.layers[..last], &case.input).expect("the layers fit");
        // The layers at the end have no parameters.
        let y = pass.layers(&case.layers, last..count, &shape, z.clone(), "");
        all.most_to_softplus = all.most_to_softplus.max(pass.most_to_softplus);
        all.outputs.exact.extend(tape.values(&y[0]));
        all.before_last.exact.extend(tape.values(&z[0]));
        let t = losses::targets(samples.target(i), y[0].len());
        let logits = case.logits();
        let from = if logits == Some(last) { &z[0] } else { &y[0] };
        let (loss, _) = losses::loss(tape, case.loss, logits.is_some(), from, &t);
        all.loss += tape.value(loss) / samples.count as f64;
        all.largest = from
            .iter()
            .fold(all.largest, |most, &from| f64::max(most, tape.value(from).abs()));
    }
    for values in [&mut all.outputs, &mut all.before_last] {
        values.noise = vec![0.0; values.exact.len()];
    }
    all
}

/// Checks predictions in batches of any size, evaluation, and the network after it was saved and loaded.
pub fn check(case: &Case, network: &Network, tape: &mut Tape, outcome: &mut Outcome) -> gradus::Result<()> {
    let samples = Samples::draw(case, 37, 200);
    let expected = Expected::of_library(case, network, &samples, tape);
    // Training may have made more of it than the library's numbers hold.
    let fits = |y: &f64| y.abs() < 1e30;
    if !expected.outputs.exact.iter().chain(&expected.loss).all(fits) {
        return Ok(());
    }
    let y = predict(network, 37, 1, &samples.x)?;
    Tolerance::numbers().check("predict", &to_f64(&y), &expected.outputs, outcome);

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
        y.extend_from_slice(predictor.run(x)?);
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
    let mean = Values {
        exact: vec![mean],
        noise: vec![noise],
    };
    if !matches!(case.targets, Targets::Classes(_)) {
        let found = network.evaluate(&data, &*loss, &[])?;
        Tolerance::numbers().check("evaluate: the loss", &[found.loss], &mean, outcome);
        return Ok(());
    }
    let found = network.evaluate(&data, &*loss, &[&Accuracy])?;
    Tolerance::numbers().check("evaluate: the loss", &[found.loss], &mean, outcome);
    let (mut right, mut unclear) = (0, 0);
    let size = expected.outputs.exact.len() / samples.count;
    for (i, (y, noise)) in (expected
        .outputs
        .exact
        .chunks(size)
        .zip(expected.outputs.noise.chunks(size)))
    .enumerate()
    {
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
