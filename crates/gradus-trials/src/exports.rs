//! What exported files take and give: numbers that are scaled inside, bytes, values in their own units.

use gradus::Float;
use gradus::random::{Purpose, stream};
use gradus_onnx::Scaling;
use rand::RngExt;

use crate::case::{Case, to_f64};
use crate::inference::Values;
use crate::samples::Samples;

/// Samples of a case, as the network takes them and as its files do.
#[derive(Debug, Clone)]
pub struct ExportSamples {
    /// As the network takes them.
    pub samples: Samples,
    /// As its ONNX file takes them: numbers to be scaled, or bytes.
    pub raw: Vec<f64>,
}

impl ExportSamples {
    /// Draws `count` samples.
    pub fn draw(case: &Case, count: usize) -> ExportSamples {
        let mut samples = Samples::draw(case, count, 300);
        let size = samples.x.len() / count;
        let mut raw = to_f64(&samples.x);
        if let Some(scaling) = &case.input_scaling {
            let doubles = needs_doubles(scaling);
            for (i, raw) in raw.iter_mut().enumerate() {
                let (mean, deviation) = (scaling.mean[i % size], scaling.deviation[i % size]);
                let exact = *raw * deviation + mean;
                *raw = if doubles { exact } else { f64::from(exact as f32) };
                samples.x[i] = ((*raw - mean) / deviation) as Float;
            }
        } else if let Some(normalization) = &case.normalization {
            let rng = &mut stream(case.seed, Purpose::User, &[5]);
            let per_channel = size / case.input[0];
            for (i, raw) in raw.iter_mut().enumerate() {
                *raw = f64::from(rng.random_range(0..=255u8));
                let channel = |values: &[Float]| f64::from(values[(i % size / per_channel).min(values.len() - 1)]);
                samples.x[i] = (*raw * channel(&normalization.scale) + channel(&normalization.shift)) as Float;
            }
        }
        ExportSamples { samples, raw }
    }
}

/// Whether a file scales in double precision.
pub fn needs_doubles(scaling: &Scaling) -> bool {
    scaling.double_column().is_some()
}

/// Outputs in their own units as the network has them, beside those that are expected of it.
pub fn without_scaling(scaling: Option<&Scaling>, found: &[f64], expected: &Values) -> (Vec<f64>, Values) {
    let (mut found, mut expected) = (found.to_vec(), expected.clone());
    let Some(scaling) = scaling else {
        return (found, expected);
    };
    let epsilon = if needs_doubles(scaling) {
        f64::EPSILON
    } else {
        f64::from(f32::EPSILON)
    };
    for (i, (found, noise)) in found.iter_mut().zip(&mut expected.noise).enumerate() {
        let (mean, deviation) = (
            scaling.mean[i % scaling.mean.len()],
            scaling.deviation[i % scaling.mean.len()],
        );
        *found = (*found - mean) / deviation;
        // The sum with the mean is rounded; a bound is many times the noise.
        *noise += 0.1 * epsilon * mean.abs() / deviation;
    }
    (found, expected)
}
