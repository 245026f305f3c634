//! Drawing what exported files take and give.

use gradus::random::Rng;
use gradus_onnx::{Normalization, Scaling};
use rand::RngExt;

use super::{choose, uniform};
use crate::case::to_floats;

/// Of numbers that `f32` holds exactly, so that only the arithmetic rounds. The first column may be a time in seconds, which
/// needs double precision.
pub(super) fn scaling(rng: &mut Rng, size: usize) -> Scaling {
    let mut scaling = Scaling {
        mean: (0..size).map(|_| choose(rng, &[0.0, 2.5, -20.0, 100.0])).collect(),
        deviation: (0..size).map(|_| choose(rng, &[0.25, 1.0, 3.0, 40.0])).collect(),
    };
    if rng.random_bool(0.15) {
        (scaling.mean[0], scaling.deviation[0]) = (1_700_000_000.0, 86_400.0);
    }
    scaling
}

pub(super) fn normalization(rng: &mut Rng, input: &[usize]) -> Normalization {
    let channels = if input.len() == 3 { input[0] } else { 1 };
    match rng.random_range(0..3) {
        0 => Normalization::default(),
        1 => Normalization {
            scale: vec![1.0 / 127.5],
            shift: vec![-1.0],
        },
        _ => Normalization {
            scale: to_floats(&uniform(rng, channels, 0.001, 0.02)),
            shift: to_floats(&uniform(rng, channels, -2.0, 2.0)),
        },
    }
}
