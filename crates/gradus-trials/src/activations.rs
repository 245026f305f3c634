//! Every activation by its formula, in f64.

use std::f64::consts::{PI, SQRT_2};

use serde_json::{Value, json};

/// An activation with its settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    Relu,
    LeakyRelu { slope: f64 },
    Elu { alpha: f64 },
    Gelu,
    GeluTanh,
    Silu,
    Softplus,
    Sigmoid,
    Tanh,
    Clamp { low: f64, high: f64 },
    HardSigmoid,
    HardSwish,
    Selu,
    Mish,
}

/// The numbers of SELU that keep mean 0 and variance 1: Klambauer et al., "Self-normalizing neural networks", 2017.
const SELU_LAMBDA: f64 = 1.050_700_987_355_480_5;
const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;

impl Activation {
    /// As the library's files have it.
    pub fn json(self) -> Value {
        match self {
            Activation::Relu => json!({ "kind": "relu" }),
            Activation::LeakyRelu { slope } => json!({ "kind": "leaky_relu", "slope": slope }),
            Activation::Elu { alpha } => json!({ "kind": "elu", "alpha": alpha }),
            Activation::Gelu => json!({ "kind": "gelu" }),
            Activation::GeluTanh => json!({ "kind": "gelu_tanh" }),
            Activation::Silu => json!({ "kind": "silu" }),
            Activation::Softplus => json!({ "kind": "softplus" }),
            Activation::Sigmoid => json!({ "kind": "sigmoid" }),
            Activation::Tanh => json!({ "kind": "tanh" }),
            Activation::Clamp { low, high } => json!({ "kind": "clamp", "low": low, "high": high }),
            Activation::HardSigmoid => json!({ "kind": "hard_sigmoid" }),
            Activation::HardSwish => json!({ "kind": "hard_swish" }),
            Activation::Selu => json!({ "kind": "selu" }),
            Activation::Mish => json!({ "kind": "mish" }),
        }
    }

    /// Where the derivative jumps.
    pub fn kinks(self) -> Vec<f64> {
        match self {
            Activation::Relu | Activation::Selu => vec![0.0],
            Activation::LeakyRelu { slope: 1.0 } | Activation::Elu { alpha: 1.0 } => vec![],
            Activation::LeakyRelu { .. } | Activation::Elu { .. } => vec![0.0],
            Activation::Clamp { low, high } => vec![low, high],
            Activation::HardSigmoid | Activation::HardSwish => vec![-3.0, 3.0],
            _ => vec![],
        }
    }

    /// f(x) and f′(x).
    pub fn at(self, x: f64) -> (f64, f64) {
        match self {
            Activation::Relu => (x.max(0.0), f64::from(u8::from(x > 0.0))),
            Activation::LeakyRelu { slope } if x > 0.0 || slope == 1.0 => (x, 1.0),
            Activation::LeakyRelu { slope } => (slope * x, slope),
            Activation::Elu { alpha } => elu(x, alpha),
            Activation::Gelu => {
                let below = 0.5 * (1.0 + erf(x / SQRT_2));
                let density = (-0.5 * x * x).exp() / (2.0 * PI).sqrt();
                (x * below, below + x * density)
            }
            Activation::GeluTanh => {
                let slope = (2.0 / PI).sqrt();
                let t = (slope * (x + 0.044715 * x.powi(3))).tanh();
                let inner = slope * (1.0 + 3.0 * 0.044715 * x * x);
                (x * (1.0 + t) / 2.0, (1.0 + t) / 2.0 + x * (1.0 - t * t) / 2.0 * inner)
            }
            Activation::Silu => (x * sigmoid(x), sigmoid(x) + x * sigmoid(x) * (1.0 - sigmoid(x))),
            Activation::Softplus => (softplus(x), sigmoid(x)),
            Activation::Sigmoid => (sigmoid(x), sigmoid(x) * (1.0 - sigmoid(x))),
            Activation::Tanh => (x.tanh(), 1.0 - x.tanh().powi(2)),
            Activation::Clamp { low, high } => (x.max(low).min(high), f64::from(u8::from(low < x && x < high))),
            Activation::HardSigmoid => {
                let inside = -3.0 < x && x < 3.0;
                ((x / 6.0 + 0.5).clamp(0.0, 1.0), if inside { 1.0 / 6.0 } else { 0.0 })
            }
            Activation::HardSwish if x <= -3.0 => (0.0, 0.0),
            Activation::HardSwish if x >= 3.0 => (x, 1.0),
            Activation::HardSwish => (x * (x / 6.0 + 0.5), x / 3.0 + 0.5),
            Activation::Selu => {
                let (value, derivative) = elu(x, SELU_ALPHA);
                (SELU_LAMBDA * value, SELU_LAMBDA * derivative)
            }
            Activation::Mish => {
                let t = softplus(x).tanh();
                (x * t, t + x * (1.0 - t * t) * sigmoid(x))
            }
        }
    }
}

/// 1 / (1 + e⁻ˣ)
fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// ln (1 + eˣ)
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// x where it is positive, else α · (eˣ − 1); and the derivative.
fn elu(x: f64, alpha: f64) -> (f64, f64) {
    if x > 0.0 {
        (x, 1.0)
    } else {
        (alpha * x.exp_m1(), alpha * x.exp())
    }
}

/// The error function, by a series without cancellation: erf x = 2 / √π · e^(−x²) · Σ 2ⁿ x²ⁿ⁺¹ / (1 · 3 · … · (2n + 1)).
///
/// Source: Abramowitz and Stegun, "Handbook of Mathematical Functions", 1964, 7.1.6.
fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut sum, mut n) = (x, x, 0.0);
    while term.abs() > 1e-17 * sum.abs() {
        n += 1.0;
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        sum += term;
    }
    2.0 / PI.sqrt() * (-x * x).exp() * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_function_has_its_known_values() {
        for (x, y) in [
            (0.0, 0.0),
            (0.5, 0.520_499_877_813_046_5),
            (2.0, 0.995_322_265_018_952_7),
            (7.0, 1.0),
        ] {
            assert!(
                (erf(x) - y).abs() < 1e-15 && (erf(-x) + y).abs() < 1e-15,
                "{x}: {}",
                erf(x)
            );
        }
    }

    #[test]
    fn derivatives_are_the_limits_of_differences_and_jump_only_at_kinks() {
        let all = [
            Activation::Relu,
            Activation::LeakyRelu { slope: 0.25 },
            Activation::Elu { alpha: 1.0 },
            Activation::Elu { alpha: 1.5 },
            Activation::Gelu,
            Activation::GeluTanh,
            Activation::Silu,
            Activation::Softplus,
            Activation::Sigmoid,
            Activation::Tanh,
            Activation::Clamp { low: -0.5, high: 1.25 },
            Activation::HardSigmoid,
            Activation::HardSwish,
            Activation::Selu,
            Activation::Mish,
        ];
        for activation in all {
            // Multiples of 1/8 with every kink among them.
            for x in (-40..=40).map(|i| f64::from(i) / 8.0) {
                let h = 1e-5;
                let slope = |from: f64, to: f64| (activation.at(to).0 - activation.at(from).0) / (to - from);
                let [left, right] = [slope(x - h, x), slope(x, x + h)];
                if activation.kinks().contains(&x) {
                    assert!((left - right).abs() > 0.05, "{activation:?} has no kink at {x}");
                } else {
                    let expected = activation.at(x).1;
                    assert!(
                        (left - expected).abs() < 1e-4,
                        "{activation:?} at {x}: {left}, {expected}"
                    );
                    assert!(
                        (right - expected).abs() < 1e-4,
                        "{activation:?} at {x}: {right}, {expected}"
                    );
                }
            }
        }
    }
}
