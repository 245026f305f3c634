//! Networks as ONNX files: run by another's runtime, and imported again.

use gradus::{Float, Network};
use gradus_onnx::{Export, export, import};
use rten::ModelOptions;
use rten_tensor::{AsView, Tensor};

use crate::case::{Case, wide};
use crate::compare::{Close, Outcome};
use crate::draw::Samples;
use crate::inference::{Expected, predict};

/// Holds what the file gives elsewhere, and here when it is read again, against the plain loops.
pub fn check(
    case: &Case,
    network: &Network,
    samples: &Samples,
    expected: &Expected,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    let file = export(network, &Export::default())?;
    let close = |what: &str, found: &[f64], outcome: &mut Outcome| {
        Close::single().check(what, found, &expected.outputs, &expected.noise, outcome);
    };
    // rten's softplus is ln (1 + eˣ), where eˣ overflows from here on; layers after it make any number of that.
    const SOFTPLUS_OVERFLOWS: f64 = 88.7;
    if expected.most_to_softplus < SOFTPLUS_OVERFLOWS {
        let y = run(&file, case, samples)?;
        close("ONNX, run by rten", &y, outcome);
    }
    match import(&file) {
        Ok(again) => {
            let y = predict(&again.network, samples.count, 1, &samples.x)?;
            close("ONNX, imported again", &wide(&y), outcome);
        }
        Err(e) => outcome.fail(format!("ONNX: our own file is refused: {e}")),
    }
    Ok(())
}

/// What the other runtime makes of the file.
fn run(file: &[u8], case: &Case, samples: &Samples) -> anyhow::Result<Vec<f64>> {
    let model = ModelOptions::with_all_ops().load(file.to_vec())?;
    let dims: Vec<usize> = [&[samples.count], &case.input[..]].concat();
    let x: Vec<f32> = samples.x.iter().map(|&x| single(x)).collect();
    let y = model.run_one(Tensor::from_data(&dims, x).into(), None)?;
    let y = y
        .into_tensor::<f32>()
        .ok_or_else(|| anyhow::anyhow!("the output is no tensor of f32"))?;
    Ok(y.to_vec().into_iter().map(f64::from).collect())
}

/// The number in f32.
pub fn single(x: Float) -> f32 {
    f64::from(x) as f32
}
