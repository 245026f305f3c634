//! Initializers that keep the size of signals about the same from layer to layer, by giving weights a variance that
//! follows from how many inputs and outputs meet in them.
//!
//! The normal ones are not truncated; the uniform ones reach from -√(3·variance) to √(3·variance).

use serde::{Deserialize, Serialize};

use super::plain::{fill_normal, fill_uniform};
use super::{Fans, Initializer};
use crate::random::Rng;
use crate::{Float, Shape};

/// (fan_in + fan_out) / 2: forward and backward signals weigh the same.
fn mean_fan(fans: Fans) -> f64 {
    (fans.fan_in as f64 + fans.fan_out as f64) / 2.0
}

/// An initializer with mean 0 and the variance `gain / fan`; a tensor without fans counts as having one.
macro_rules! scaled {
    ($(#[$doc:meta])* $type:ident, $name:literal, $distribution:ident, $gain:literal / $fan:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
        pub struct $type;

        impl Initializer for $type {
            fn name(&self) -> &'static str {
                $name
            }

            fn settings(&self) -> Option<serde_json::Value> {
                serde_json::to_value(self).ok()
            }

            fn fill(&self, _shape: &Shape, fans: Fans, rng: &mut Rng, values: &mut [Float]) {
                let fan: fn(Fans) -> f64 = $fan;
                $distribution($gain / fan(fans).max(1.0), rng, values);
            }
        }
    };
}

fn normal(variance: f64, rng: &mut Rng, values: &mut [Float]) {
    fill_normal(0.0, variance.sqrt(), rng, values);
}

fn uniform(variance: f64, rng: &mut Rng, values: &mut [Float]) {
    let limit = (3.0 * variance).sqrt();
    fill_uniform(-limit, limit, rng, values);
}

scaled! {
    /// Normal with variance 2 / (fan_in + fan_out), for sigmoid, tanh and softmax (Glorot and Bengio, 2010; also called
    /// Xavier).
    GlorotNormal, "glorot_normal", normal, 1.0 / mean_fan
}

scaled! {
    /// Uniform within ±√(6 / (fan_in + fan_out)), for sigmoid, tanh and softmax (Glorot and Bengio, 2010; also called
    /// Xavier).
    GlorotUniform, "glorot_uniform", uniform, 1.0 / mean_fan
}

scaled! {
    /// Normal with variance 2 / fan_in, for ReLU and its kin, which let half of the signal through (He et al., 2015; also
    /// called Kaiming).
    HeNormal, "he_normal", normal, 2.0 / |fans| fans.fan_in as f64
}

scaled! {
    /// Uniform within ±√(6 / fan_in), for ReLU and its kin (He et al., 2015; also called Kaiming).
    HeUniform, "he_uniform", uniform, 2.0 / |fans| fans.fan_in as f64
}

scaled! {
    /// Normal with variance 1 / fan_in, for SELU and tanh (LeCun et al., "Efficient BackProp", 1998).
    LecunNormal, "lecun_normal", normal, 1.0 / |fans| fans.fan_in as f64
}

scaled! {
    /// Uniform within ±√(3 / fan_in), for SELU and tanh (LeCun et al., "Efficient BackProp", 1998).
    LecunUniform, "lecun_uniform", uniform, 1.0 / |fans| fans.fan_in as f64
}
