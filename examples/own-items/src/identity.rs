//! An initializer.

use gradus::init::{Fans, Initializer};
use gradus::random::Rng;
use gradus::{Float, Shape};
use rand::RngExt;
use serde::{Deserialize, Serialize};

/// `gain` where row and column are the same, small random numbers elsewhere.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Identity {
    gain: f64,
}

impl Default for Identity {
    fn default() -> Self {
        Identity { gain: 1.0 }
    }
}

impl Initializer for Identity {
    fn name(&self) -> &'static str {
        "identity"
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn fill(&self, shape: &Shape, _fans: Fans, rng: &mut Rng, values: &mut [Float]) {
        let columns = (shape.size() / shape.first().copied().unwrap_or(1).max(1)).max(1);
        for (i, value) in values.iter_mut().enumerate() {
            let noise: Float = rng.random_range(-0.05..0.05);
            *value = if i / columns == i % columns {
                self.gain as Float
            } else {
                noise
            };
        }
    }
}
