//! The rectifier whose slope is trained.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Shape;
use crate::init::{Constant, Fans};
use crate::layer::{Backward, BoundLayer, Forward, Layer, Operation, OutputKind, Parameter, Passes};

/// The rectifier whose slope for negative x is trained: one for all values, or one for each channel (the first dimension).
///
/// | | formula |
/// | --- | --- |
/// | forward | y = x where x > 0, else a · x |
/// | backward | dx = dy where x > 0, else a · dy |
/// | | da = Σ dy · x, over the values with this slope where x ≤ 0 |
///
/// Source: He, Zhang, Ren and Sun, "Delving deep into rectifiers: surpassing human-level performance on ImageNet classification",
/// 2015.
///
/// Parameter, without weight decay, which would draw it to a ReLU: `weight` (a, 0.25 at first), of one value or of one for each channel.
///
/// ```
/// use gradus::{Layer, PRelu, Shape};
/// let bound = PRelu::new().per_channel().bind(&Shape::from([16, 28, 28])).unwrap();
/// assert_eq!(bound.output(), &Shape::from([16, 28, 28]));
/// assert_eq!(bound.parameters()[0].shape, Shape::from(16));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PRelu {
    per_channel: bool,
}

impl PRelu {
    /// A rectifier with one trained slope.
    pub fn new() -> Self {
        PRelu::default()
    }

    /// Trains a slope for each channel: of a flat sample, for each value.
    pub fn per_channel(mut self) -> Self {
        self.per_channel = true;
        self
    }
}

impl Layer for PRelu {
    fn kind(&self) -> &'static str {
        "prelu"
    }

    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
        if input.size() == 0 {
            return Err(format!("prelu needs samples of at least one value, got {input}"));
        }
        let slopes = if self.per_channel { input[0] } else { 1 };
        let mut slope = Parameter::weight(slopes, Fans::new(slopes, slopes), Arc::new(Constant::new(0.25)));
        slope.decays = false;
        let each = input.size() / slopes;
        Ok(BoundLayer::new(input, BoundPRelu { slopes, each })
            .with_parameter(slope)
            .with_multiply_adds(input.size() as u64)
            .with_operation(Operation::PRelu)
            .with_output_kind(OutputKind::Real))
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

/// `slopes` slopes, each for `each` values in a row.
#[derive(Debug)]
struct BoundPRelu {
    slopes: usize,
    each: usize,
}

impl Passes for BoundPRelu {
    fn forward(&self, pass: Forward<'_>) {
        for c in 0..self.slopes {
            let slope = pass.parameters[0][c];
            for i in c * self.each..(c + 1) * self.each {
                let x = pass.x[i];
                pass.y[i] = if x > 0.0 { x } else { slope * x };
            }
        }
    }

    fn backward(&self, mut pass: Backward<'_>) {
        for c in 0..self.slopes {
            let slope = pass.parameters[0][c];
            let mut sum = 0.0;
            for i in c * self.each..(c + 1) * self.each {
                let (x, dy) = (pass.x[i], pass.dy[i]);
                if x > 0.0 {
                    pass.dx[i] = dy;
                } else {
                    pass.dx[i] = slope * dy;
                    sum += dy * x;
                }
            }
            pass.gradients[0][c] += sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{LayerHarness, check};

    #[test]
    fn two_channels_by_hand() {
        let layer = PRelu::new().per_channel();
        let harness = LayerHarness::new(&layer, [2, 1, 2]).unwrap().parameters(&[0.5, -1.0]);
        let step = harness.step(&[1.0, -2.0, -3.0, 4.0], &[1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!(step.y, [1.0, -1.0, 3.0, 4.0]);
        assert_eq!(step.dx, [1.0, 1.0, -3.0, 4.0]);
        assert_eq!(step.gradient, [-4.0, -9.0]);
    }

    #[test]
    fn the_gradients_are_those_of_finite_differences() {
        check(&PRelu::new(), [7]);
        check(&PRelu::new().per_channel(), [3, 2, 2]);
    }
}
