//! Softmax: any numbers made into probabilities.

use gradus_kernels::reference::sum;
use gradus_kernels::{dot, scalar, vectorize};
use serde::{Deserialize, Serialize};

use crate::layer::advanced::{BlockBackward, BlockForward, BlockLayer};
use crate::layer::{Backward, BoundLayer, Forward, Layer, Operation, OutputKind, Passes};
use crate::{Float, Shape};

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
/// assert!(Softmax::new().bind(&Shape::from(10)).is_ok());
/// let message = Softmax::new().bind(&Shape::from([1, 2, 5])).unwrap_err();
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

    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
        match input.dims() {
            &[size] => Ok(BoundLayer::new(size, Softmax)
                .with_operation(Operation::Softmax)
                .with_output_kind(OutputKind::Distribution)
                .with_fast(FastSoftmax { size })),
            _ => Err(format!(
                "softmax needs a flat input such as {}, got {input}: put a Flatten before it",
                input.size()
            )),
        }
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

impl Passes for Softmax {
    fn forward(&self, pass: Forward<'_>) {
        let (x, y) = (pass.x, pass.y);
        let most = x
            .iter()
            .fold(Float::NEG_INFINITY, |most, &x| if x > most { x } else { most });
        for i in 0..x.len() {
            y[i] = scalar::exp(x[i] - most);
        }
        let total = sum(y);
        for i in 0..x.len() {
            y[i] /= total;
        }
    }

    fn backward(&self, pass: Backward<'_>) {
        let (y, dy, dx) = (pass.y, pass.dy, pass.dx);
        let mut total = 0.0;
        for j in 0..y.len() {
            total += f64::from(dy[j]) * f64::from(y[j]);
        }
        for i in 0..y.len() {
            dx[i] = y[i] * (dy[i] - total as Float);
        }
    }
}

/// Softmax of blocks of samples.
#[derive(Debug)]
struct FastSoftmax {
    size: usize,
}

impl BlockLayer for FastSoftmax {
    fn forward(&self, pass: BlockForward<'_>) {
        let samples = pass.x.chunks_exact(self.size).zip(pass.y.chunks_exact_mut(self.size));
        samples.for_each(|(x, y)| gradus_kernels::softmax(x, y));
    }

    fn backward(&self, pass: BlockBackward<'_>) {
        let (n, y) = (self.size, pass.y());
        let Some(dx) = pass.dx else { return };
        let samples = y.chunks_exact(n).zip(pass.dy.chunks_exact(n));
        for ((y, dy), dx) in samples.zip(dx.chunks_exact_mut(n)) {
            let sum = dot(y, dy);
            vectorize!(|| {
                for ((dx, y), dy) in dx.iter_mut().zip(y).zip(dy) {
                    *dx = y * (dy - sum);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Float;
    use crate::layers::testing::{LayerHarness, assert_close, check};

    #[test]
    fn probabilities_by_hand() {
        let y = LayerHarness::new(&Softmax::new(), [3])
            .unwrap()
            .infer(&[0.0, Float::ln(2.0), Float::ln(5.0), 7.0, 7.0, 7.0])
            .unwrap();
        let third = 1.0 / 3.0;
        assert_close("y", &y, &[0.125, 0.25, 0.625, third, third, third], 1e-6);
    }

    #[test]
    fn far_from_zero_nothing_overflows() {
        let layer = Softmax::new();
        let harness = LayerHarness::new(&layer, [3]).unwrap();
        let step = harness.step(&[1000.0, -1000.0, 1000.0], &[1.0, 2.0, 3.0]).unwrap();
        assert_eq!(step.y, [0.5, 0.0, 0.5]);
        assert_eq!(step.dx, [-0.5, 0.0, 0.5]);
    }

    #[test]
    fn the_gradients_are_those_of_finite_differences() {
        check(&Softmax::new(), [1]);
        check(&Softmax::new(), [10]);
    }
}
