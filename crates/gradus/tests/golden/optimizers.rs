//! Every optimizer along ten given gradients, and gradient clipping.

use gradus::data::Target;
use gradus::optim::advanced::update_tensor;
use gradus::optim::{self, Clip, Optimizer, Step};
use gradus::prelude::*;
use gradus::{Float, Shape};
use ndarray::ArrayD;
use serde_json::Value;

use crate::file::{all, close, counts, floats, list, number, numbers, text};

fn optimizer(kind: &str, settings: &Value) -> Box<dyn Optimizer> {
    optim::with_settings(kind, settings.clone()).unwrap()
}

#[test]
fn optimizers() {
    all("optimizers", "optimizers", |case| {
        let optimizer = optimizer(text(&case["kind"]), &case["settings"]);
        optimizer.validate().map_err(|e| e.to_string())?;
        let mut w = floats(&case["w"]);
        let mut state = vec![vec![0.0; w.len()]; optimizer.slots()];
        for (i, (dw, expected)) in list(&case["gradients"])
            .iter()
            .zip(list(&case["trajectory"]))
            .enumerate()
        {
            let step = Step::new(i as u64 + 1, optimizer.learning_rate() as Float, true);
            let mut slots: Vec<&mut [Float]> = state.iter_mut().map(Vec::as_mut_slice).collect();
            optimizer.update(step, &mut w, &floats(dw), &mut slots);
            close(&format!("w after step {}", step.number), &w, &numbers(expected))?;
        }
        Ok(())
    });
}

#[test]
fn muon() {
    all("optimizers", "muon", |case| {
        let muon = optimizer("muon", &case["settings"]);
        let shape = Shape::from(counts(&case["shape"]));
        let mut w = floats(&case["w"]);
        let mut state = vec![vec![0.0; w.len()]; muon.slots()];
        for (i, (dw, expected)) in (list(&case["gradients"]).iter())
            .zip(list(&case["trajectory"]))
            .enumerate()
        {
            let step = Step::new(i as u64 + 1, muon.learning_rate() as Float, true);
            let mut slots: Vec<&mut [Float]> = state.iter_mut().map(Vec::as_mut_slice).collect();
            let tensors = muon.whole_tensors().ok_or("Muon updates whole tensors")?;
            update_tensor(tensors, step, &shape, &mut w, &floats(dw), &mut slots);
            close(&format!("w after step {}", step.number), &w, &numbers(expected))?;
        }
        Ok(())
    });
}

/// A group as the file has it.
fn group(case: &Value) -> ParameterGroup {
    let names = list(&case["names"]).iter().map(text);
    let group = ParameterGroup::new(names).learning_rate_factor(number(&case["learning_rate_factor"]));
    let group = match case.get("weight_decay") {
        Some(decay) => group.weight_decay(number(decay)),
        None => group,
    };
    match case.get("optimizer") {
        Some(kind) => group.optimizer(optimizer(text(kind), &case["settings"])),
        None => group,
    }
}

/// PyTorch's weight of a dense layer, outputs × inputs, as ours, which is the transpose; all other parameters are the same.
fn parameter(shape: &Shape, values: Vec<Float>) -> ArrayD<Float> {
    match *shape.dims() {
        [inputs, outputs] => {
            let torch = ArrayD::from_shape_vec(vec![outputs, inputs], values).unwrap();
            torch.reversed_axes()
        }
        _ => ArrayD::from_shape_vec(shape.dims(), values).unwrap(),
    }
}

#[test]
fn groups() {
    all("optimizers", "groups", |case| {
        let layers = Sequential::new([4])
            .layer(Dense::new(3))
            .layer(Tanh)
            .layer(Dense::new(2));
        let mut network = layers.build(1).map_err(|e| e.to_string())?;
        let parameters: Vec<(String, Shape)> = (network.parameters()).map(|p| (p.name, p.shape)).collect();
        for (name, shape) in &parameters {
            let start = parameter(shape, floats(&case["start"][name]));
            network.set_parameter(name, start.view()).map_err(|e| e.to_string())?;
        }
        let fit = Fit::new(MeanSquaredError, optimizer(text(&case["kind"]), &case["settings"])).batch_size(8);
        let fit = list(&case["groups"])
            .iter()
            .fold(fit, |fit, case| fit.group(group(case)));
        let (x, targets) = (floats(&case["x"]), floats(&case["targets"]));
        let targets: Vec<Target<'_>> = targets.chunks(2).map(Target::Values).collect();
        let mut trainer = fit.trainer(&mut network).map_err(|e| e.to_string())?;
        for _ in 0..10 {
            trainer.step(&x, &targets).map_err(|e| e.to_string())?;
        }
        for (name, shape) in &parameters {
            let end = parameter(shape, floats(&case["end"][name]));
            let expected: Vec<f64> = end.iter().map(|&w| f64::from(w)).collect();
            close(name, network.parameter(name).unwrap().values, &expected)?;
        }
        Ok(())
    });
}

#[test]
fn clipping() {
    all("optimizers", "clipping", |case| {
        let limit = number(&case["limit"]);
        let clip = match text(&case["kind"]) {
            "norm" => Clip::Norm(limit),
            "value" => Clip::Value(limit),
            kind => panic!("no clipping by {kind}"),
        };
        let mut gradients: Vec<Vec<Float>> = list(&case["gradients"]).iter().map(floats).collect();
        let norm = gradients
            .concat()
            .iter()
            .map(|&g| f64::from(g).powi(2))
            .sum::<f64>()
            .sqrt();
        let scale = clip.scale(norm);
        for (gradient, expected) in gradients.iter_mut().zip(list(&case["clipped"])) {
            gradient.iter_mut().for_each(|g| *g *= scale);
            clip.clamp(gradient);
            close("the gradient", gradient, &numbers(expected))?;
        }
        Ok(())
    });
}
