//! Every loss: each sample's, the batch's mean, and the gradient of the mean.

use gradus::data::{Target, Targets};
use gradus::loss::OutputActivation;
use gradus::loss::{self, CrossEntropy, Huber, Loss};
use gradus::{Float, Shape};
use serde_json::Value;

use crate::file::{all, close, count, counts, floats, from, number, numbers, text};

/// The loss of a case; if its y is the input of a last layer, as a function of that input.
fn loss(case: &Value) -> Box<dyn Loss> {
    let (kind, settings) = (text(&case["kind"]), &case["settings"]);
    let loss: Box<dyn Loss> = match kind {
        "cross_entropy" => Box::new(from::<CrossEntropy>(settings)),
        "huber" => Box::new(from::<Huber>(settings)),
        _ => loss::by_name(kind).expect("the loss exists"),
    };
    let last = match case["after"].as_str() {
        Some("softmax") => OutputActivation::Softmax,
        Some("sigmoid") => OutputActivation::Sigmoid,
        Some(other) => panic!("no last layer {other}"),
        None => return loss,
    };
    loss.fused_with(last.operation())
        .expect("the loss is computed together with this layer")
}

#[test]
fn losses() {
    all("losses", "losses", |case| {
        let loss = loss(case);
        let (samples, outputs) = (count(&case["samples"]), count(&case["outputs"]));
        let classes: Option<Vec<usize>> = case.get("classes").map(counts);
        let values: Vec<Float> = case.get("values").map(floats).unwrap_or_default();
        let targets = match &classes {
            Some(_) => Targets::Classes(outputs.max(2)),
            None => Targets::Values(Shape::from(outputs)),
        };
        loss.validate(&Shape::from(outputs), &targets)
            .map_err(|e| e.to_string())?;

        let y = floats(&case["y"]);
        let (mut found, mut dy) = (Vec::new(), vec![Float::NAN; y.len()]);
        for (i, (y, dy)) in y.chunks(outputs).zip(dy.chunks_mut(outputs)).enumerate() {
            let target = match &classes {
                Some(classes) => Target::Class(classes[i]),
                None => Target::Values(&values[i * outputs..][..outputs]),
            };
            let alone = loss.loss(y, target);
            let mut gradient_alone = vec![Float::NAN; outputs];
            loss.gradient(y, target, &mut gradient_alone);
            found.push(loss.loss_and_gradient(y, target, dy));
            if found[i] != alone || dy != gradient_alone {
                return Err(format!("loss and gradient of sample {i} differ when computed at once"));
            }
        }
        close("the loss", &found, &numbers(&case["losses"]))?;
        let mean = found.iter().sum::<Float>() / samples as Float;
        close("the mean", &[mean], &[number(&case["loss"])])?;
        dy.iter_mut().for_each(|dy| *dy /= samples as Float);
        close("dy", &dy, &numbers(&case["dy"]))
    });
}
