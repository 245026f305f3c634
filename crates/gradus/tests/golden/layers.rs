//! Every layer of the library's list: y, dx, the parameters' gradients and the running statistics.

use gradus::check::LayerHarness;
use gradus::layer::{BoundLayer, Parameter};
use gradus::{Float, Shape, check as checks};
use serde_json::Value;

use crate::file::{all, cases, close, count, counts, floats, layer, list, numbers, text, truth};

/// The tensors of a case, which are in PyTorch's layout, in the layer's.
fn tensors(bound: &BoundLayer, tensors: &Value) -> Vec<Vec<f64>> {
    let in_layout = |(planned, tensor): (&Parameter, &Value)| {
        let (shape, values) = (counts(&tensor["shape"]), numbers(&tensor["values"]));
        if !planned.saved_transposed {
            return values;
        }
        let [rows, columns] = shape[..] else {
            panic!("a transposed tensor has two dimensions")
        };
        (0..values.len())
            .map(|i| values[i % rows * columns + i / rows])
            .collect()
    };
    bound.parameters().iter().zip(list(tensors)).map(in_layout).collect()
}

/// The state of a case, one tensor after the other.
fn state(case: &Value) -> Vec<f64> {
    list(case)
        .iter()
        .flat_map(|tensor| numbers(&tensor["values"]))
        .collect()
}

fn narrowed(values: &[f64]) -> Vec<Float> {
    values.iter().map(|&v| v as Float).collect()
}

fn check(case: &Value) -> Result<(), String> {
    let layer = layer(case)?;
    let input = Shape::from(counts(&case["input"]));
    let bound = layer.bind(&input)?;
    if bound.output().dims() != counts(&case["output"]) {
        return Err(format!(
            "the output has shape {}, expected {}",
            bound.output(),
            case["output"]
        ));
    }
    if bound.parameters().len() != list(&case["parameters"]).len() || bound.state().len() != list(&case["state"]).len()
    {
        return Err("another number of parameters or state tensors".into());
    }
    let (x, dy) = (floats(&case["x"]), floats(&case["dy"]));
    let (samples, training) = (count(&case["samples"]), truth(&case["training"]));
    let harness = |block: usize, reference: bool| {
        let harness = LayerHarness::new(layer.as_ref(), &input)?
            .parameters(&narrowed(&tensors(&bound, &case["parameters"]).concat()))
            .state(&narrowed(&state(&case["state"])))
            .block(block);
        Ok::<_, String>(if reference { harness.reference() } else { harness })
    };
    for (block, reference) in [(samples, true), (samples, false), (2, false), (1, false)] {
        let harness = harness(block, reference)?;
        if !training {
            close("y", &harness.infer(&x)?, &numbers(&case["y"]))?;
            continue;
        }
        let found = harness.step(&x, &dy)?;
        let compare = || {
            close("y", &found.y, &numbers(&case["y"]))?;
            close("state", &found.state, &state(&case["state_after"]))?;
            close("dx", &found.dx, &numbers(&case["dx"]))?;
            let mut rest = &found.gradient[..];
            for (i, gradient) in tensors(&bound, &case["gradients"]).iter().enumerate() {
                let (first, tail) = rest.split_at(gradient.len());
                close(&format!("gradient of {}", bound.parameters()[i].name), first, gradient)?;
                rest = tail;
            }
            Ok(())
        };
        let how = if reference { "by its reference" } else { "fast" };
        compare().map_err(|message: String| format!("{message} ({how}, in blocks of {block})"))?;
    }
    Ok(())
}

#[test]
fn layers() {
    all("layers", "layers", check);
}

#[test]
fn every_layer_of_the_library_has_golden_numbers() {
    let all = [cases("layers", "layers"), cases("activations", "activations")].concat();
    let missing: Vec<&str> = (checks::every_layer().iter().map(|(layer, _)| layer.kind()))
        .filter(|&kind| !all.iter().any(|case| text(&case["kind"]) == kind))
        .collect();
    assert!(
        missing.is_empty(),
        "{missing:?} have no golden numbers: add them to golden/layers.py and run golden/generate.py"
    );
}
