//! Every activation, near zero and far out.

use gradus::Float;
use gradus::activation::{Activation, Elu, Gelu, LeakyRelu, Relu, Sigmoid, Silu, Softplus, Tanh};
use serde_json::Value;

use crate::file::{TOLERANCE, all, floats, from, near, numbers, text};

fn activation(kind: &str, settings: &Value) -> Box<dyn Activation> {
    match kind {
        "relu" => Box::new(from::<Relu>(settings)),
        "leaky_relu" => Box::new(from::<LeakyRelu>(settings)),
        "elu" => Box::new(from::<Elu>(settings)),
        "gelu" => Box::new(from::<Gelu>(settings)),
        "silu" => Box::new(from::<Silu>(settings)),
        "softplus" => Box::new(from::<Softplus>(settings)),
        "sigmoid" => Box::new(from::<Sigmoid>(settings)),
        "tanh" => Box::new(from::<Tanh>(settings)),
        _ => panic!("no activation {kind}"),
    }
}

/// Each value by itself, whatever the size of the others.
fn close(what: &str, x: &[Float], found: &[Float], expected: &[f64]) -> Result<(), String> {
    for ((&x, &found), &expected) in x.iter().zip(found).zip(expected) {
        if !near(found, expected, TOLERANCE, 0.1) {
            return Err(format!("{what} at {x} is {found}, expected {expected}"));
        }
    }
    Ok(())
}

#[test]
fn activations_and_their_derivatives() {
    all("activations", "activations", |case| {
        let activation = activation(text(&case["kind"]), &case["settings"]);
        let x = floats(&case["x"]);
        let (mut y, mut dx) = (vec![Float::NAN; x.len()], vec![Float::NAN; x.len()]);
        activation.forward(&x, &mut y);
        activation.backward(&x, &y, &vec![1.0; x.len()], &mut dx);
        close("y", &x, &y, &numbers(&case["y"]))?;
        close("the derivative", &x, &dx, &numbers(&case["derivative"]))
    });
}
