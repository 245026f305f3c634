//! Drawing networks and trainings.

mod blocks;
mod ends;
mod exports;
mod layers;
#[cfg(test)]
mod tests;
mod training;
mod windows;

use gradus::random::{Purpose, Rng, stream};
use rand::RngExt;

use crate::case::{Case, Inputs};
use crate::layer::{Layer, gives_probabilities, outputs};
use crate::losses::LossKind;

/// The most values of a sample between two layers, and of an output.
const MOST_VALUES: usize = 200;
const MOST_OUTPUTS: usize = 12;

/// The number of training steps of a case.
const STEPS: usize = 3;

/// The case of this number among those of a seed.
pub fn case(seed: u64, number: u64) -> Case {
    let rng = &mut stream(seed, Purpose::User, &[number]);
    loop {
        if let Some(case) = attempt(rng, number) {
            return case;
        }
    }
}

/// A case; none if the layers that are drawn don't fit the loss.
fn attempt(rng: &mut Rng, number: u64) -> Option<Case> {
    let (input, inputs) = (input(rng), inputs(rng));
    let loss = training::loss(rng);
    let layers = network_layers(rng, &input, inputs, loss)?;
    let size: usize = outputs(&layers, &input)?.iter().product();
    let targets = training::targets(rng, loss, size)?;

    let scales_inputs = rng.random_bool(0.3);
    let input_scaling = scales_inputs.then(|| exports::scaling(rng, input.iter().product()));
    let compares_values = !matches!(loss, LossKind::CrossEntropy { .. } | LossKind::BinaryCrossEntropy);
    let scales_outputs = compares_values && rng.random_bool(0.5);
    let output_scaling = scales_outputs.then(|| exports::scaling(rng, size));
    let takes_bytes = !scales_inputs && inputs == Inputs::Pixels && rng.random_bool(0.5);
    let normalization = takes_bytes.then(|| exports::normalization(rng, &input));
    let mut case = Case {
        number,
        seed: rng.random_range(0..1 << 32),
        input,
        last_weight_factor: choose(rng, &[1.0, 1.0, 30.0]),
        inputs,
        targets,
        loss,
        optimization: training::optimization(rng),
        schedule: training::schedule(rng),
        input_scaling,
        output_scaling,
        normalization,
        exports_logits: rng.random(),
        batch: training::batch(rng, &layers),
        steps: STEPS,
        threads: rng.random_range(2..=4),
        bfloat16: rng.random_bool(0.1),
        layers,
    };
    case.exports_logits &= !case.has_probabilities_without_logits();
    Some(case)
}

/// The shape of a sample: an image, a sequence, or flat.
fn input(rng: &mut Rng) -> Vec<usize> {
    let channels = rng.random_range(1..=4);
    match rng.random_range(0..20) {
        0..=9 => vec![channels, rng.random_range(1..=7), rng.random_range(1..=7)],
        10..=14 => vec![channels, rng.random_range(1..=12)],
        _ => vec![rng.random_range(1..=12)],
    }
}

fn inputs(rng: &mut Rng) -> Inputs {
    choose(rng, &[Inputs::Spread, Inputs::Spread, Inputs::Pixels, Inputs::Constant])
}

/// Layers that learn, and give few outputs that suit the loss.
fn network_layers(rng: &mut Rng, input: &[usize], inputs: Inputs, loss: LossKind) -> Option<Vec<Layer>> {
    let mut all = Vec::new();
    if inputs == Inputs::Constant {
        all.push(layers::batch_norm(rng));
    }
    let count = rng.random_range(1..=6);
    let middle = layers::layers(rng, &outputs(&all, input)?, count, 2);
    all.extend(middle);
    let end = ends::layers(rng, &outputs(&all, input)?, loss)?;
    all.extend(end);

    let size: usize = outputs(&all, input)?.iter().product();
    let learns = all.iter().any(|layer| layer.has(&Layer::has_parameters));
    // The library refuses the logarithm of probabilities that are none.
    let fits = loss != LossKind::NegativeLogLikelihood || !gives_probabilities(&all, false);
    (size <= MOST_OUTPUTS && learns && fits).then_some(all)
}

fn choose<T: Clone>(rng: &mut Rng, choices: &[T]) -> T {
    choices[rng.random_range(0..choices.len())].clone()
}

/// `size` numbers from `least` to `most`.
pub fn uniform(rng: &mut Rng, size: usize, least: f64, most: f64) -> Vec<f64> {
    (0..size).map(|_| rng.random_range(least..most)).collect()
}
