//! Every optimizer along ten given gradients, and gradient clipping.

use gradus::Float;
use gradus::optim::{self, Clip, Optimizer, Step};
use serde_json::Value;

use crate::file::{all, close, floats, list, number, numbers, text};

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
