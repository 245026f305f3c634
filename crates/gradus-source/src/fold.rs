//! Batch normalization at inference: y = (x - mean) · γ / √(variance + ε) + β is x · scale + shift.
//!
//! After a dense layer or a convolution, (W·x + b) · scale + shift = (scale · W)·x + (scale · b + shift), channel by channel:
//! it costs nothing. That holds where each channel of the first lies within one channel of the second.

use gradus::LayerPart;

/// Scale and shift of each channel.
pub(crate) fn scale_and_shift(layer: &LayerPart<'_>, epsilon: f64) -> (Vec<f64>, Vec<f64>) {
    let tensor = |name| layer.tensor(name).map_or(&[][..], |tensor| tensor.values);
    let scale: Vec<f64> = (tensor("weight").iter().zip(tensor("running_var")))
        .map(|(&gamma, &variance)| f64::from(gamma) / (f64::from(variance) + epsilon).sqrt())
        .collect();
    let shift = (tensor("bias").iter().zip(tensor("running_mean")).zip(&scale))
        .map(|((&beta, &mean), scale)| f64::from(beta) - f64::from(mean) * scale)
        .collect();
    (scale, shift)
}

/// Makes scale and shift part of the weights before them, each output's weights lying together. There may be more outputs than
/// scales: each is then of as many outputs in a row.
pub(crate) fn into(weight: &mut [f32], bias: &mut [f32], scale: &[f64], shift: &[f64]) {
    let (inputs, each) = (weight.len() / bias.len(), bias.len() / scale.len());
    for (o, bias) in bias.iter_mut().enumerate() {
        let (scale, shift) = (scale[o / each], shift[o / each]);
        let weight = &mut weight[o * inputs..(o + 1) * inputs];
        weight.iter_mut().for_each(|w| *w = (f64::from(*w) * scale) as f32);
        *bias = (f64::from(*bias) * scale + shift) as f32;
    }
}

pub(crate) fn rounded(values: impl IntoIterator<Item = f64>) -> Vec<f32> {
    values.into_iter().map(|value| value as f32).collect()
}
