//! The scaled exponential linear unit.

use gradus_kernels::scalar;
use serde::{Deserialize, Serialize};

use super::Activation;
use crate::Float;
use crate::layer::{Function, OutputKind};

/// The scaled exponential linear unit: y = λ · x where x > 0, else λ · α · (eˣ − 1), with λ ≈ 1.0507 and α ≈ 1.6733. With these
/// numbers, values of mean 0 and variance 1 keep them from layer to layer, if the weights start with variance 1 / inputs
/// ([`LecunNormal`](crate::init::LecunNormal)).
///
/// Backward: dx = dy · λ where x > 0, else dx = dy · λ · α · eˣ = dy · (y + λ · α).
///
/// Source: Klambauer, Unterthiner, Mayr and Hochreiter, "Self-normalizing neural networks", 2017.
///
/// ```
/// use gradus::activation::{Activation, Selu};
/// assert!((Selu.value(1.0) - 1.050_701).abs() < 1e-6);
/// assert!((Selu.value(-1000.0) + 1.758_099_3).abs() < 1e-6);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "super::Nothing", into = "super::Nothing")]
pub struct Selu;

impl Activation for Selu {
    fn kind(&self) -> &'static str {
        "selu"
    }

    #[inline(always)]
    fn value(&self, x: Float) -> Float {
        // eˣ − 1 = 2t / (1 − t) with t = tanh(x / 2): nothing cancels near 0.
        let t = scalar::tanh(0.5 * x);
        if x > 0.0 {
            LAMBDA * x
        } else {
            LAMBDA * ALPHA * (2.0 * t / (1.0 - t))
        }
    }

    #[inline(always)]
    fn derivative(&self, x: Float, y: Float) -> Float {
        if x > 0.0 { LAMBDA } else { y + LAMBDA * ALPHA }
    }

    fn output_kind(&self) -> OutputKind {
        OutputKind::Real
    }

    fn function(&self) -> Option<Function> {
        Some(Function::Selu)
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

const LAMBDA: Float = 1.050_700_987_355_480_5_f64 as Float;
const ALPHA: Float = 1.673_263_242_354_377_2_f64 as Float;
