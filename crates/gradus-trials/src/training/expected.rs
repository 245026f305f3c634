//! Training steps by plain loops.

use std::collections::BTreeMap;

use gradus::random::Rng;
use gradus::{Float, Network};
use rand::RngExt;

use crate::case::{Case, to_f64};
use crate::inference::Values;
use crate::layer::Layer;
use crate::losses;
use crate::randomness::Randomness;
use crate::reference::{Noise, Pass, Tensors, tensors};
use crate::samples::Samples;
use crate::tape::{Tape, Var};

/// How close values may come to where a derivative jumps, relative to the largest, in rounding errors: closer, these decide on which
/// side they are.
const MARGIN: f64 = 100.0;

/// The rounding of bfloat16, whose numbers have 8 bits.
const BFLOAT16_EPSILON: f64 = 1.0 / 256.0;

/// The variance of equal numbers in the plain loops, which should be 0: at most the square of the error of their mean.
const OF_EQUAL_NUMBERS: f64 = 1e-24;

/// How often noise is drawn.
const RUNS: usize = 2;

/// The numbers that a training step has to compute, with how far noise of the size of rounding takes each.
pub struct ExpectedStep {
    pub loss: Values,
    /// By the parameters' names.
    pub gradient: BTreeMap<String, Values>,
    pub state: BTreeMap<String, Values>,
    pub masks: Tensors<f64>,
    /// Whether no value came so close to a kink that rounding decides on which side it is.
    pub is_smooth: bool,
}

impl ExpectedStep {
    /// Step number `step`, from this network.
    pub(super) fn of(
        case: &Case,
        network: &Network,
        samples: &Samples,
        step: usize,
        tape: &mut Tape,
        rng: &mut Rng,
    ) -> Self {
        let epsilon = if case.rounds_to_bfloat16() {
            BFLOAT16_EPSILON
        } else {
            f64::from(Float::EPSILON)
        };
        let exact = pass(case, network, samples, step, tape, None);
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
        for _ in 0..RUNS {
            let noisy = pass(case, network, samples, step, tape, Some((epsilon, &mut *rng)));
            expected.loss.include(&[noisy.loss]);
            for (name, values) in &mut expected.gradient {
                values.include(&noisy.gradient[name]);
            }
            for (name, values) in &mut expected.state {
                values.include(&noisy.state[name]);
            }
        }
        expected
    }
}

fn without_noise(tensors: Tensors<f64>) -> BTreeMap<String, Values> {
    let values = |exact: Vec<f64>| Values {
        noise: vec![0.0; exact.len()],
        exact,
    };
    (tensors.into_iter())
        .map(|(name, exact)| (name, values(exact)))
        .collect()
}

/// The mean loss of the samples in a training step, by plain loops without noise.
pub(super) fn loss(case: &Case, network: &Network, samples: &Samples, step: usize, tape: &mut Tape) -> f64 {
    pass(case, network, samples, step, tape, None).loss
}

/// A step's mean loss and all that follows from it.
struct TrainingPass {
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
fn pass(
    case: &Case,
    network: &Network,
    samples: &Samples,
    step: usize,
    tape: &mut Tape,
    mut noise: Option<(f64, &mut Rng)>,
) -> TrainingPass {
    tape.clear();
    let [parameters, state] = tensors(network);
    let parameters: Tensors<Var> = (parameters.iter())
        .map(|(name, values)| (name.clone(), tape.constants(values)))
        .collect();
    let mut used = parameters.clone();
    if let Some((size, rng)) = noise.as_mut().filter(|_| case.rounds_to_bfloat16()) {
        round_dense_weights(case, &mut used, tape, *size, rng);
    }
    let x = (0..samples.count)
        .map(|i| tape.constants(&to_f64(samples.input(i))))
        .collect();
    let logits = case.logits();
    let mut pass = Pass::inference(&mut *tape, &used, &state);
    pass.training = Some(Randomness {
        seed: case.seed,
        step: step as u64,
    });
    pass.noise = noise.map(|(size, rng)| Noise {
        size,
        of_means: false,
        rng,
    });
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
    let all = tape.gradient(mean, noise.map(|noise| (noise.size, noise.rng)));
    TrainingPass {
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

/// Makes the weights of dense layers wrong by a random part of this size, once for all samples, as rounding to bfloat16 does.
fn round_dense_weights(case: &Case, parameters: &mut Tensors<Var>, tape: &mut Tape, size: f64, rng: &mut Rng) {
    for placed in case.layers_in_order() {
        let weight = parameters.get_mut(&format!("{}.weight", placed.path));
        for w in weight
            .filter(|_| matches!(placed.layer, Layer::Dense { .. }))
            .into_iter()
            .flatten()
        {
            *w = tape.scale(*w, 1.0 + size * rng.random_range(-1.0..1.0));
        }
    }
}
