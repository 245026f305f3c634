//! Networks in integers, compared with the plain loops as far as 8 bits go.

use std::collections::BTreeMap;

use gradus::Network;
use gradus_source::Quantized;

use crate::bytes::Bytes;
use crate::case::Case;
use crate::compare::{Outcome, differs};
use crate::inference::{Errors, Outputs, forward};
use crate::layer::Layer;
use crate::reference::tensors;
use crate::samples::Samples;
use crate::tape::Tape;

/// How often noise is drawn.
const RUNS: u64 = 8;

/// The bound of an error: this many times that of the noise. Both are rounding of the same size, but the weights are rounded once
/// for all samples, so that the error of a small network is that of one draw.
const OF_NOISE: f64 = 3.0;

/// Compares the output bytes of a network in integers with the plain loops: their root mean square error is bounded by that of
/// noise of the size of bytes.
pub fn check(
    case: &Case,
    network: &Network,
    samples: &Samples,
    quantized: &Quantized,
    found: &[u8],
    tape: &mut Tape,
    outcome: &mut Outcome,
) {
    let (expected, of_noise) = expected(case, network, samples, tape);
    if found.len() != expected.len() {
        return outcome.fail(format!(
            "source, in integers: {} values, expected {}",
            found.len(),
            expected.len()
        ));
    }
    let scale = quantized.output_scale();
    let distance = f64::from(scale.scale);
    let found: Vec<f64> = found
        .iter()
        .map(|&byte| distance * (f64::from(byte) - f64::from(scale.zero)))
        .collect();
    let (error, bound) = (root_mean_square(&found, &expected), OF_NOISE * of_noise + distance);
    if differs(error, 0.0, bound) {
        outcome.fail(format!(
            "source, in integers: the root mean square error is {error}, expected at most {bound}"
        ));
    }
    let mean = expected.iter().sum::<f64>() / expected.len() as f64;
    let deviation = root_mean_square(&vec![mean; expected.len()], &expected);
    outcome.integers = Some([error / deviation.max(distance), error / bound]);
}

/// The outputs of the plain loops, and the largest error of several passes with noise of the size of bytes.
fn expected(case: &Case, network: &Network, samples: &Samples, tape: &mut Tape) -> (Vec<f64>, f64) {
    let [parameters, state] = tensors(network);
    let shapes: BTreeMap<String, Vec<usize>> = network
        .parameters()
        .map(|tensor| (tensor.name, tensor.shape.to_vec()))
        .collect();
    let mut bytes = Bytes::new(case);
    let tensors = [parameters, state];
    let exact = compared(case, forward(case, &tensors, samples, tape, Errors::Bytes(&mut bytes)));
    let [parameters, state] = tensors;
    let mut of_noise: f64 = 0.0;
    for run in 0..RUNS {
        bytes.add_noise(case, run);
        let tensors = [bytes.parameters(&parameters, &shapes), state.clone()];
        let noisy = compared(case, forward(case, &tensors, samples, tape, Errors::Bytes(&mut bytes)));
        of_noise = of_noise.max(root_mean_square(&noisy, &exact));
    }
    (exact, of_noise)
}

/// What integers give: a softmax or log-softmax at the very end, where only dropout and the like comes after it, is left out.
fn compared(case: &Case, outputs: Outputs) -> Vec<f64> {
    let last = case.layers.iter().rfind(|layer| !layer.keeps_values());
    match last {
        Some(Layer::Softmax | Layer::LogSoftmax) => outputs.before_last.exact,
        _ => outputs.outputs.exact,
    }
}

/// √(Σ (found − expected)² / n)
fn root_mean_square(found: &[f64], expected: &[f64]) -> f64 {
    let squares = found
        .iter()
        .zip(expected)
        .map(|(found, expected)| (found - expected).powi(2));
    (squares.sum::<f64>() / expected.len() as f64).sqrt()
}
