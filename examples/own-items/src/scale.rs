//! A layer.

use std::sync::Arc;

use gradus::init::{Constant, Fans};
use gradus::layer::{Backward, BoundLayer, Forward, Layer, Parameter, Passes};
use gradus::{Float, Shape};
use serde::{Deserialize, Serialize};

/// Multiplies all values by one factor, which is learned: y = w·x, dx = w·dy, dw = Σ x·dy.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// The factor at first.
    start: f64,
}

impl Layer for Scale {
    fn kind(&self) -> &'static str {
        "scale"
    }

    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
        if !self.start.is_finite() {
            return Err(format!(
                "the factor at first must be a finite number, got {}",
                self.start
            ));
        }
        let factor = Parameter::weight(1, Fans::new(1, 1), Arc::new(Constant::new(self.start)));
        Ok(BoundLayer::new(input, *self).with_parameter(factor))
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

impl Passes for Scale {
    fn forward(&self, pass: Forward<'_>) {
        let w: Float = pass.parameters[0][0];
        for (y, x) in pass.y.iter_mut().zip(pass.x) {
            *y = w * x;
        }
    }

    fn backward(&self, mut pass: Backward<'_>) {
        let w: Float = pass.parameters[0][0];
        for (x, dy) in pass.x.iter().zip(pass.dy) {
            pass.gradients[0][0] += x * dy;
        }
        for (dx, dy) in pass.dx.iter_mut().zip(pass.dy) {
            *dx = w * dy;
        }
    }
}

#[test]
fn it_keeps_its_contract() {
    gradus::check::layer(&Scale { start: 0.5 }, [2, 3]).unwrap();
}
