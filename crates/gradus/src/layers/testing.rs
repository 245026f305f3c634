//! What the unit tests of the layers share.

use std::fmt::Debug;

use crate::layer::Layer;
use crate::{Float, Shape, check};

pub(crate) use crate::check::{LayerHarness, spread};

/// Puts a layer through its contract.
#[track_caller]
pub(crate) fn check(layer: &dyn Layer, input: impl Into<Shape>) {
    check::layer(layer, input).unwrap();
}

/// Every pair differs by at most `tolerance` × the larger of 1 and the expected value.
#[track_caller]
pub(crate) fn assert_close(what: impl Debug, found: &[Float], expected: &[Float], tolerance: Float) {
    assert_eq!(found.len(), expected.len(), "{what:?}: number of values");
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        let ok = (f - e).abs() <= tolerance * e.abs().max(1.0);
        assert!(ok, "{what:?}: value {i} is {f}, expected {e}");
    }
}

/// The gradient of a batch is the sum of the gradients of its samples: neither a mean nor counted twice.
#[track_caller]
pub(crate) fn check_gradient_is_a_sum(layer: &dyn Layer, input: impl Into<Shape>) {
    let harness = LayerHarness::new(layer, input).unwrap();
    let (n_in, n_out) = (harness.input.size(), harness.bound.output.size());
    let (x, dy) = (spread(4 * n_in, 3), spread(4 * n_out, 4));
    let mut sum = vec![0.0; harness.parameters.len()];
    for (x, dy) in x.chunks_exact(n_in).zip(dy.chunks_exact(n_out)) {
        let gradient = harness.step(x, dy).unwrap().gradient;
        sum.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g);
    }
    assert_close("gradient", &harness.step(&x, &dy).unwrap().gradient, &sum, 1e-5);
}
