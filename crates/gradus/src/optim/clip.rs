//! Keeping gradients from growing too large.

use serde::{Deserialize, Serialize};

use crate::settings::positive;
use crate::{Float, Result};

/// Keeps gradients from growing too large (Pascanu, Mikolov and Bengio, 2013). A gradient that is not a number stays so, for
/// training to notice.
///
/// ```
/// use gradus::optim::Clip;
/// let mut dw = [3.0, -4.0];
/// let scale = Clip::Norm(1.0).scale(5.0); // the norm of (3, -4) is 5
/// assert!((scale - 0.2).abs() < 1e-6);
/// Clip::Value(3.5).clamp(&mut dw);
/// assert_eq!(dw, [3.0, -3.5]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clip {
    /// If the Euclidean norm of all gradients of the network together exceeds this, they are scaled down to it: the
    /// direction stays.
    Norm(f64),
    /// Each value is clamped to between minus this and this.
    Value(f64),
}

impl Clip {
    /// Refuses a limit that is not a positive number.
    pub fn validate(&self) -> Result<()> {
        match *self {
            Clip::Norm(max) => positive("gradient clipping", "norm", max),
            Clip::Value(max) => positive("gradient clipping", "value", max),
        }
    }

    /// What all gradients are to be multiplied by, given their norm: min(1, max / (norm + 10⁻⁶)); 1 when clipping by value.
    pub fn scale(&self, norm: f64) -> Float {
        match *self {
            Clip::Norm(max) => (max / (norm + 1e-6)).min(1.0) as Float,
            Clip::Value(_) => 1.0,
        }
    }

    /// Clamps the gradients `dw`; does nothing when clipping by norm.
    pub fn clamp(&self, dw: &mut [Float]) {
        if let Clip::Value(max) = *self {
            let max = max as Float;
            gradus_kernels::vectorize!(|| {
                for g in dw {
                    // Not `Float::clamp`, which panics where the limit is no number.
                    *g = if *g > max {
                        max
                    } else if *g < -max {
                        -max
                    } else {
                        *g
                    };
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_gradients_are_left_alone() {
        assert_eq!(Clip::Norm(1.0).scale(0.5), 1.0);
        assert_eq!(Clip::Norm(1.0).scale(0.0), 1.0);
        assert_eq!(Clip::Value(1.0).scale(100.0), 1.0);
        let mut dw = [0.5, -0.5];
        Clip::Norm(0.1).clamp(&mut dw);
        Clip::Value(1.0).clamp(&mut dw);
        assert_eq!(dw, [0.5, -0.5]);
    }

    #[test]
    fn what_is_not_a_number_stays() {
        let mut dw = [Float::NAN, Float::INFINITY];
        Clip::Value(2.0).clamp(&mut dw);
        assert!(dw[0].is_nan() && dw[1] == 2.0);
    }

    #[test]
    fn limits_are_positive() {
        assert!(Clip::Norm(1.0).validate().is_ok());
        let error = Clip::Norm(0.0).validate().unwrap_err().to_string();
        assert_eq!(error, "gradient clipping: norm must be a number above 0, got 0");
        assert!(Clip::Value(f64::NAN).validate().is_err());
        assert_eq!(serde_json::to_string(&Clip::Norm(1.0)).unwrap(), r#"{"norm":1.0}"#);
    }
}
