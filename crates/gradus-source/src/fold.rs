//! Batch normalisation at inference: y = (x - mean) · γ / √(variance + ε) + β is x · scale + shift.
//!
//! After a dense layer or a convolution, (W·x + b) · scale + shift = (scale · W)·x + (scale · b + shift), channel by channel:
//! it costs nothing.

use gradus::{Float, LayerPart, Result};

/// Scale and shift of each channel.
pub(crate) fn scale_and_shift(layer: &LayerPart<'_>) -> Result<(Vec<f64>, Vec<f64>)> {
    let epsilon = layer.settings()?["epsilon"].as_f64().unwrap_or(1e-5);
    let tensor = |name: &str| -> &[Float] {
        let mut tensors = layer.parameters().chain(layer.state());
        tensors
            .find(|tensor| tensor.name == name)
            .map_or(&[], |tensor| tensor.values)
    };
    let scale: Vec<f64> = (tensor("weight").iter().zip(tensor("running_var")))
        .map(|(&gamma, &variance)| f64::from(gamma) / (f64::from(variance) + epsilon).sqrt())
        .collect();
    let shift = (tensor("bias").iter().zip(tensor("running_mean")).zip(&scale))
        .map(|((&beta, &mean), scale)| f64::from(beta) - f64::from(mean) * scale)
        .collect();
    Ok((scale, shift))
}

/// Makes scale and shift part of the weights before them, each output's weights lying together.
pub(crate) fn into(weight: &mut [f32], bias: &mut [f32], scale: &[f64], shift: &[f64]) {
    let inputs = weight.len() / bias.len();
    let channels = weight
        .chunks_exact_mut(inputs.max(1))
        .zip(bias)
        .zip(scale.iter().zip(shift));
    for ((weight, bias), (scale, shift)) in channels {
        weight.iter_mut().for_each(|w| *w = (f64::from(*w) * scale) as f32);
        *bias = (f64::from(*bias) * scale + shift) as f32;
    }
}
