//! The logarithm of softmax.

use gradus_kernels::scalar;
use serde::{Deserialize, Serialize};

use crate::layer::{Backward, BoundLayer, Forward, Layer, Operation, OutputKind, Passes};
use crate::{Float, Shape};

/// The logarithm of [`Softmax`](crate::Softmax), for [`NegativeLogLikelihood`](crate::loss::NegativeLogLikelihood): no probability is
/// so small that its logarithm is lost.
///
/// | | formula |
/// | --- | --- |
/// | forward | yᵢ = xᵢ − m − ln Σ exp(xⱼ − m), where m is the largest x |
/// | backward | dxᵢ = dyᵢ − exp(yᵢ) · Σ dyⱼ |
///
/// Source: Goodfellow, Bengio and Courville, "Deep Learning", 2016, section 6.2.2.3.
///
/// ```
/// use gradus::{Layer, LogSoftmax, Shape};
/// let bound = LogSoftmax.bind(&Shape::from(10)).unwrap();
/// assert_eq!(bound.output(), &Shape::from(10));
/// assert!(LogSoftmax.bind(&Shape::from([1, 2, 3])).is_err());
/// ```
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSoftmax;

impl Layer for LogSoftmax {
    fn kind(&self) -> &'static str {
        "log_softmax"
    }

    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
        match input.dims() {
            [size] if *size > 0 => Ok(BoundLayer::new(input, *self)
                .with_operation(Operation::LogSoftmax)
                .with_output_kind(OutputKind::LogProbabilities)),
            _ => Err(format!(
                "log_softmax needs a flat input such as {}, got {input}: put a Flatten before it",
                input.size()
            )),
        }
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

impl Passes for LogSoftmax {
    fn forward(&self, pass: Forward<'_>) {
        let (x, y) = (pass.x, pass.y);
        let largest = |most, &x| if x > most { x } else { most };
        let most = x.iter().fold(Float::NEG_INFINITY, largest);
        let mut total = 0.0;
        for i in 0..x.len() {
            total += f64::from(scalar::exp(x[i] - most));
        }
        let log = scalar::ln(total as Float);
        for i in 0..x.len() {
            y[i] = x[i] - most - log;
        }
    }

    fn backward(&self, pass: Backward<'_>) {
        let (y, dy, dx) = (pass.y, pass.dy, pass.dx);
        let mut total = 0.0;
        for j in 0..y.len() {
            total += f64::from(dy[j]);
        }
        for i in 0..y.len() {
            dx[i] = dy[i] - scalar::exp(y[i]) * total as Float;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{LayerHarness, check};

    #[test]
    fn far_from_zero_nothing_overflows() {
        let harness = LayerHarness::new(&LogSoftmax, [3]).unwrap();
        let step = harness.step(&[1000.0, -1000.0, 1000.0], &[1.0, 2.0, 3.0]).unwrap();
        let half = -Float::ln(2.0);
        assert_eq!(step.y, [half, half - 2000.0, half]);
        assert_eq!(step.dx, [-2.0, 2.0, 0.0]);
    }

    #[test]
    fn the_gradients_are_those_of_finite_differences() {
        check(&LogSoftmax, [1]);
        check(&LogSoftmax, [10]);
    }
}
