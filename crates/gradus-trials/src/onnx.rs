//! Networks as ONNX files: run by other programs, and imported again.

use gradus::{Float, Network};
use gradus_onnx::{Export, Scaling, export, import};
use rten::{ModelOptions, Value};
use rten_tensor::{AsView, Tensor};

use crate::case::{Case, PlacedLayer, to_f64};
use crate::compare::{Outcome, Tolerance};
use crate::exports::{ExportSamples, needs_doubles, without_scaling};
use crate::inference::{Expected, Values, predict};
use crate::layer::Layer;

/// rten's softplus is ln (1 + eˣ), where eˣ overflows from here on; layers after it make any number of that.
const SOFTPLUS_OVERFLOWS: f64 = 88.7;

/// An ONNX file, and what its outputs have to be.
pub struct OnnxFile {
    pub bytes: Vec<u8>,
    expected: Values,
    output_scaling: Option<Scaling>,
}

impl OnnxFile {
    /// Compares the outputs of another program.
    pub fn check(&self, what: &str, tolerance: Tolerance, found: &[f64], outcome: &mut Outcome) {
        let (found, expected) = without_scaling(self.output_scaling.as_ref(), found, &self.expected);
        tolerance.check(what, &found, &expected, outcome);
    }
}

/// Compares the outputs of the file in rten, and of the network that is made of it, with the plain loops. Returns the file.
pub fn check(
    case: &Case,
    network: &Network,
    inputs: &ExportSamples,
    expected: &Expected,
    outcome: &mut Outcome,
) -> anyhow::Result<OnnxFile> {
    let options = Export {
        logits: case.exports_logits,
        bytes: case.normalization.clone(),
        inputs: case.input_scaling.clone(),
        outputs: case.output_scaling.clone(),
        columns: Vec::new(),
    };
    let file = OnnxFile {
        bytes: export(network, &options)?,
        expected: if case.exports_logits && case.last_probabilities().is_some() {
            expected.before_last.clone()
        } else {
            expected.outputs.clone()
        },
        output_scaling: options.outputs,
    };
    let scalings = [&case.input_scaling, &case.output_scaling];
    if runs_in_rten(case, expected) {
        let y = run(&file.bytes, case, inputs)?;
        file.check("ONNX, run by rten", Tolerance::single(), &y, outcome);
    }
    let again = match import(&file.bytes) {
        Ok(again) => again,
        Err(e) => {
            outcome.fail(format!("ONNX: our own file is refused: {e}"));
            return Ok(file);
        }
    };
    if [&again.inputs, &again.outputs] != scalings {
        outcome.fail("ONNX, imported again: other scalings");
    }
    let mut x = inputs.samples.x.clone();
    if again.bytes {
        x = inputs.raw.iter().map(|byte| (byte / 255.0) as Float).collect();
    }
    let y = predict(&again.network, inputs.samples.count, 1, &x)?;
    Tolerance::single().check("ONNX, imported again", &to_f64(&y), &file.expected, outcome);
    Ok(file)
}

/// Whether rten computes the case. It has no numbers in double precision, and an overflow in softplus. Of transposed convolutions it
/// has no dilation, and only the biases of the first group; where a tap of the kernel meets no pixel of the output, it writes beside
/// the output.
fn runs_in_rten(case: &Case, expected: &Expected) -> bool {
    let computes = |placed: &PlacedLayer| match &placed.layer {
        Layer::ConvTranspose2d {
            windows,
            output_padding,
            groups,
            bias,
            ..
        } => {
            let window = windows.transposed_on(&placed.input, *output_padding);
            let meets = window.is_some_and(|window| window.every_tap_sees());
            meets && windows.dilation == [1, 1] && (*groups == 1 || !bias)
        }
        _ => true,
    };
    let scalings = [&case.input_scaling, &case.output_scaling];
    !scalings.into_iter().flatten().any(needs_doubles)
        && expected.most_to_softplus < SOFTPLUS_OVERFLOWS
        && case.layers_in_order().iter().all(computes)
}

/// The outputs of the file in rten.
fn run(file: &[u8], case: &Case, inputs: &ExportSamples) -> anyhow::Result<Vec<f64>> {
    let model = ModelOptions::with_all_ops().load(file.to_vec())?;
    let dims: Vec<usize> = [&[inputs.samples.count], &case.input[..]].concat();
    let x: Value = if case.normalization.is_some() {
        Tensor::from_data(&dims, inputs.raw.iter().map(|&byte| byte as u8).collect::<Vec<u8>>()).into()
    } else {
        Tensor::from_data(&dims, inputs.raw.iter().map(|&x| x as f32).collect::<Vec<f32>>()).into()
    };
    let y = model.run_one(x.into(), None)?;
    let y = y
        .into_tensor::<f32>()
        .ok_or_else(|| anyhow::anyhow!("the output is no tensor of f32"))?;
    Ok(y.to_vec().into_iter().map(f64::from).collect())
}

/// The number in f32.
pub fn to_f32(x: Float) -> f32 {
    f64::from(x) as f32
}
