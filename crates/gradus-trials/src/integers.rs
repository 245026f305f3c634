//! Networks in integers, compared with the plain loops as far as 8 bits go.

use std::collections::BTreeMap;

use gradus::Network;
use gradus_source::Quantized;

use crate::bytes::Bytes;
use crate::case::{Case, Layer};
use crate::compare::{Outcome, differs};
use crate::draw::Samples;
use crate::inference::{Errors, Outputs, forward};
use crate::reference::tensors;
use crate::tape::Tape;

/// How often noise is drawn.
const RUNS: u64 = 6;

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
    let [parameters, state] = tensors(network);
    let shapes: BTreeMap<String, Vec<usize>> = network
        .parameters()
        .map(|tensor| (tensor.name, tensor.shape.to_vec()))
        .collect();
    // A softmax at the end is left out.
    let compared = |outputs: Outputs| match case.last_function().map(|last| &case.layers[last]) {
        Some(Layer::Softmax) => outputs.before_last.exact,
        _ => outputs.outputs.exact,
    };
    let mut bytes = Bytes::new(case);
    let tensors = [parameters, state];
    let expected = compared(forward(case, &tensors, samples, tape, Errors::Bytes(&mut bytes)));
    if found.len() != expected.len() {
        return outcome.fail(format!(
            "source, in integers: {} values, expected {}",
            found.len(),
            expected.len()
        ));
    }
    let n = expected.len() as f64;
    let error_of = |values: &[f64]| {
        let squares = values
            .iter()
            .zip(&expected)
            .map(|(value, expected)| (value - expected).powi(2));
        (squares.sum::<f64>() / n).sqrt()
    };
    let [parameters, state] = tensors;
    let mut of_noise: f64 = 0.0;
    for run in 0..RUNS {
        bytes.add_noise(case, run);
        let tensors = [bytes.parameters(&parameters, &shapes), state.clone()];
        let noisy = compared(forward(case, &tensors, samples, tape, Errors::Bytes(&mut bytes)));
        of_noise = of_noise.max(error_of(&noisy));
    }
    let scale = quantized.output_scale();
    let distance = f64::from(scale.scale);
    let found: Vec<f64> = found
        .iter()
        .map(|&byte| distance * (f64::from(byte) - f64::from(scale.zero)))
        .collect();
    let (error, bound) = (error_of(&found), OF_NOISE * of_noise + distance);
    if differs(error, 0.0, bound) {
        outcome.fail(format!(
            "source, in integers: the root mean square error is {error}, expected at most {bound}"
        ));
    }
    let mean = expected.iter().sum::<f64>() / n;
    let deviation = error_of(&vec![mean; expected.len()]);
    outcome.integers = Some([error / deviation.max(distance), error / bound]);
}
