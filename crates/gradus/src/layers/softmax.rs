//! Softmax: any numbers made into probabilities.

use gradus_kernels::{dot, vectorize};
use serde::{Deserialize, Serialize};

use crate::Shape;
use crate::layer::{Backward, Forward, Layer, Operation, OutputKind, Plan};

/// Softmax over a flat input: yᵢ = eˣⁱ / Σⱼ eˣʲ. All outputs are positive and their sum is 1.
///
/// | | formula |
/// | --- | --- |
/// | forward | yᵢ = eˣⁱ / Σⱼ eˣʲ, computed from xᵢ − max x, which changes nothing and cannot overflow |
/// | backward | dxᵢ = yᵢ · (dyᵢ − Σⱼ dyⱼ yⱼ), the product with the full Jacobian ∂yⱼ/∂xᵢ = yⱼ (δᵢⱼ − yᵢ) |
///
/// Source: Bridle, "Probabilistic interpretation of feedforward classification network outputs", 1990.
///
/// As a network's last layer before cross entropy, it is computed together with the loss.
///
/// ```
/// use gradus::{Layer, Shape, Softmax};
/// assert!(Softmax::new().plan(&Shape::from(10)).is_ok());
/// let message = Softmax::new().plan(&Shape::from([1, 2, 5])).unwrap_err();
/// assert_eq!(message, "softmax needs a flat input such as 10, got 1×2×5: put a Flatten before it");
/// ```
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Softmax;

impl Softmax {
    /// Softmax.
    pub fn new() -> Self {
        Softmax
    }
}

impl Layer for Softmax {
    fn kind(&self) -> &'static str {
        "softmax"
    }

    fn plan(&self, input: &Shape) -> Result<Plan, String> {
        match input.dims() {
            [size] => Ok(Plan::new(*size)),
            _ => Err(format!(
                "softmax needs a flat input such as {}, got {input}: put a Flatten before it",
                input.size()
            )),
        }
    }

    fn forward(&self, pass: Forward<'_>) {
        let n = pass.input.size();
        for (x, y) in pass.x.chunks_exact(n).zip(pass.y.chunks_exact_mut(n)) {
            gradus_kernels::softmax(x, y);
        }
    }

    fn backward(&self, pass: Backward<'_>) {
        let n = pass.input.size();
        let Some(dx) = pass.dx else { return };
        let samples = pass.y.chunks_exact(n).zip(pass.dy.chunks_exact(n));
        for ((y, dy), dx) in samples.zip(dx.chunks_exact_mut(n)) {
            let sum = dot(y, dy);
            vectorize(|| {
                for ((dx, y), dy) in dx.iter_mut().zip(y).zip(dy) {
                    *dx = y * (dy - sum);
                }
            });
        }
    }

    fn operation(&self, _: &Shape) -> Option<Operation> {
        Some(Operation::Softmax)
    }

    fn output_kind(&self) -> OutputKind {
        OutputKind::Distribution
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Float;
    use crate::layers::testing::{Rig, assert_close, check};

    #[test]
    fn probabilities_by_hand() {
        let y = Rig::new(&Softmax::new(), [3])
            .unwrap()
            .infer(&[0.0, Float::ln(2.0), Float::ln(5.0), 7.0, 7.0, 7.0])
            .unwrap();
        let third = 1.0 / 3.0;
        assert_close("y", &y, &[0.125, 0.25, 0.625, third, third, third], 1e-6);
    }

    #[test]
    fn far_from_zero_nothing_overflows() {
        let layer = Softmax::new();
        let rig = Rig::new(&layer, [3]).unwrap();
        let step = rig.step(&[1000.0, -1000.0, 1000.0], &[1.0, 2.0, 3.0]).unwrap();
        assert_eq!(step.y, [0.5, 0.0, 0.5]);
        assert_eq!(step.dx, [-0.5, 0.0, 0.5]);
    }

    #[test]
    fn the_gradients_are_those_of_finite_differences() {
        check(&Softmax::new(), [1]);
        check(&Softmax::new(), [10]);
    }
}
