//! Every activation, near zero and far out.

use gradus::Float;
use gradus::check::LayerHarness;

use crate::file::{TOLERANCE, all, floats, layer, near, numbers};

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
        let (layer, x) = (layer(case)?, floats(&case["x"]));
        let harness = || LayerHarness::new(&*layer, x.len());
        for (harness, how) in [(harness()?, "fast"), (harness()?.reference(), "by its reference")] {
            let step = harness.step(&x, &vec![1.0; x.len()])?;
            close("y", &x, &step.y, &numbers(&case["y"])).map_err(|message| format!("{message} ({how})"))?;
            close("the derivative", &x, &step.dx, &numbers(&case["derivative"]))
                .map_err(|message| format!("{message} ({how})"))?;
        }
        Ok(())
    });
}
