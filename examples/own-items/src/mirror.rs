//! An augmentation.

use gradus::augment::Augmentation;
use gradus::random::Rng;
use gradus::{Error, Float, Result, Shape};
use rand::RngExt;
use serde::{Deserialize, Serialize};

/// Turns an image into its mirror image, with some probability.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mirror {
    probability: f64,
}

impl Default for Mirror {
    fn default() -> Self {
        Mirror { probability: 0.5 }
    }
}

impl Augmentation for Mirror {
    fn name(&self) -> &'static str {
        "mirror"
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn validate(&self, shape: &Shape) -> Result<()> {
        if !(0.0..=1.0).contains(&self.probability) {
            let found = self.probability;
            return Err(Error::invalid(format!(
                "mirror: probability must be from 0 to 1, got {found}"
            )));
        }
        match shape.image() {
            Some((_, _, width)) if width > 0 => Ok(()),
            _ => Err(Error::invalid(format!(
                "mirroring needs images, the samples have the shape {shape}"
            ))),
        }
    }

    fn apply(&self, shape: &Shape, x: &mut [Float], rng: &mut Rng, _scratch: &mut Vec<Float>) {
        if let Some((_, _, width)) = shape.image()
            && rng.random::<f64>() < self.probability
        {
            x.chunks_exact_mut(width).for_each(<[Float]>::reverse);
        }
    }
}
