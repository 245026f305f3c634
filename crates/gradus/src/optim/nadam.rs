//! NAdam.

use serde::{Deserialize, Serialize};

use super::{Adam, Optimizer, Step, TINY, flush, least_to_square};
use crate::settings::rate;
use crate::{Float, Result};

/// How the momentum grows to β₁: 0.96, of Dozat (2016).
const WARMTH: f64 = 0.96;

/// NAdam (Dozat, 2016): [`Adam`] with Nesterov's momentum, which takes the gradient as if the momentum's step had been made already.
///
/// ```text
/// μᵢ = β₁ · (1 - 0.96^(i · momentum_decay) / 2)      Mᵢ = μ₁ · μ₂ · … · μᵢ
///
/// g ← dw + weight_decay · w
/// m ← β₁ · m + (1 - β₁) · g            m̂ = μₜ₊₁ · m / (1 - Mₜ₊₁) + (1 - μₜ) · g / (1 - Mₜ)
/// v ← β₂ · v + (1 - β₂) · g²           v̂ = v / (1 - β₂ᵗ)
/// w ← w - learning_rate · m̂ / (√v̂ + ε)
/// ```
///
/// where t is the number of the step, from 1. These are the numbers of PyTorch's `NAdam`. M is computed from t alone, so nothing has
/// to be remembered beside m and v. Numbers that are very close to 0 become 0, as [`Optimizer`] says.
///
/// ```
/// use gradus::optim::{NAdam, Optimizer, Step};
/// let nadam = NAdam::new(0.002);
/// let (mut w, dw, mut m, mut v) = ([1.0], [20.0], [0.0], [0.0]);
/// let step = Step::new(1, nadam.learning_rate() as gradus::Float, true);
/// nadam.update(step, &mut w, &dw, &mut [&mut m, &mut v]);
/// // The step of Adam times about 1.06, whatever the size of the gradient.
/// assert!((w[0] - (1.0 - 1.0565 * 0.002)).abs() < 1e-6, "{w:?}");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NAdam {
    learning_rate: f64,
    beta1: f64,
    beta2: f64,
    epsilon: f64,
    weight_decay: f64,
    momentum_decay: f64,
}

/// Learning rate 0.002, and the rest as in [`NAdam::new`].
impl Default for NAdam {
    fn default() -> Self {
        NAdam::new(0.002)
    }
}

impl NAdam {
    /// With this learning rate, β₁ = 0.9, β₂ = 0.999, ε = 10⁻⁸, no weight decay and a momentum decay of 0.004.
    pub fn new(learning_rate: f64) -> Self {
        NAdam {
            learning_rate,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
            momentum_decay: 0.004,
        }
    }

    /// Sets how much of the running mean of the gradient, and of its square, stays at each step; both in [0, 1).
    pub fn betas(mut self, beta1: f64, beta2: f64) -> Self {
        (self.beta1, self.beta2) = (beta1, beta2);
        self
    }

    /// Sets ε, which keeps the division from blowing up.
    pub fn epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }

    /// Sets what is added to the gradient for each unit of weight (L2 regularization).
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = weight_decay;
        self
    }

    /// Sets how fast the momentum μ grows from about β₁ / 2 to β₁; 0 keeps it at β₁ / 2.
    pub fn momentum_decay(mut self, momentum_decay: f64) -> Self {
        self.momentum_decay = momentum_decay;
        self
    }

    /// The Adam whose settings these are beside the momentum decay.
    fn adam(&self) -> Adam {
        Adam::new(self.learning_rate)
            .betas(self.beta1, self.beta2)
            .epsilon(self.epsilon)
            .weight_decay(self.weight_decay)
    }

    /// μᵢ, the momentum of step `i`.
    fn momentum(&self, i: f64) -> f64 {
        self.beta1 * (1.0 - 0.5 * WARMTH.powf(i * self.momentum_decay))
    }

    /// Mₜ, the product of the momenta of the steps 1 to `t`.
    ///
    /// With q = 0.96^momentum_decay it is β₁ᵗ · Π (1 - qⁱ/2), and since ln (1 - x) = -Σ xᵏ/k, ln Π (1 - qⁱ/2) = -Σ sₖ / (k · 2ᵏ),
    /// where sₖ = qᵏ + q²ᵏ + … + qᵗᵏ is a geometric sum: as much work for every t.
    fn momentum_product(&self, t: f64) -> f64 {
        let bound = self.beta1.powf(t);
        if bound < f64::EPSILON / 8.0 {
            // 1 - M is 1 whatever the factors below 1.
            return 0.0;
        }
        let ln_q = self.momentum_decay * WARMTH.ln();
        let mut logarithm = 0.0;
        let mut half_power = 1.0;
        for k in 1..=TERMS {
            half_power *= 0.5;
            let k = f64::from(k);
            let x = k * ln_q;
            let ratio = if x == 0.0 { t } else { (t * x).exp_m1() / x.exp_m1() };
            logarithm -= half_power / k * x.exp() * ratio;
        }
        bound * logarithm.exp()
    }
}

/// How many terms of the series there are: the next is below 2⁻⁵⁴ of the first.
const TERMS: i32 = 50;

impl Optimizer for NAdam {
    fn name(&self) -> &'static str {
        "nadam"
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn validate(&self) -> Result<()> {
        self.adam().check("NAdam")?;
        rate("NAdam", "momentum decay", self.momentum_decay)
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn slots(&self) -> usize {
        2
    }

    fn decays(&self) -> bool {
        self.weight_decay != 0.0
    }

    fn with_weight_decay(&self, weight_decay: f64) -> Option<Box<dyn Optimizer>> {
        Some(Box::new(self.weight_decay(weight_decay)))
    }

    fn update(&self, step: Step, w: &mut [Float], dw: &[Float], state: &mut [&mut [Float]]) {
        let [m, v] = state else {
            panic!("NAdam needs its two slots of state, got {}", state.len());
        };
        let t = step.number as f64;
        let [now, next] = [self.momentum(t), self.momentum(t + 1.0)];
        let product = self.momentum_product(t);
        let rate = step.learning_rate as f64;
        let of_gradient = (rate * (1.0 - now) / (1.0 - product)) as Float;
        let of_mean = (rate * next / (1.0 - product * next)) as Float;
        let correction = (1.0 - self.beta2.powf(t)).sqrt() as Float;
        let (l2, least) = (step.decay(self.weight_decay), step.least_weight(self.weight_decay));
        let (beta1, rest1) = (self.beta1 as Float, (1.0 - self.beta1) as Float);
        let (beta2, rest2) = (self.beta2 as Float, (1.0 - self.beta2) as Float);
        let epsilon = self.epsilon as Float;
        let to_square = least_to_square(1.0 - self.beta2);
        gradus_kernels::vectorize!(|| {
            for (((w, &dw), m), v) in w.iter_mut().zip(dw).zip(m.iter_mut()).zip(v.iter_mut()) {
                let g = flush(dw + l2 * *w, TINY);
                *m = flush(beta1 * *m + rest1 * g, TINY);
                let squared = flush(g, to_square);
                *v = flush(beta2 * *v + rest2 * squared * squared, Float::MIN_POSITIVE);
                let size = v.sqrt() / correction + epsilon;
                *w = flush(*w - (of_gradient * g + of_mean * *m) / size, least);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_product_of_the_momenta_is_that_of_a_loop() {
        for beta1 in [0.0, 0.5, 0.9, 0.999] {
            for momentum_decay in [0.0, 1e-12, 0.004, 0.5, 10.0] {
                let nadam = NAdam::new(0.1).betas(beta1, 0.999).momentum_decay(momentum_decay);
                let mut product = 1.0;
                for t in 1..=2000 {
                    let t = f64::from(t);
                    product *= nadam.momentum(t);
                    let found = nadam.momentum_product(t);
                    let difference = (found - product).abs();
                    assert!(
                        difference <= 1e-12 * product + 1e-16,
                        "{nadam:?}, step {t}: {found}, {product}"
                    );
                }
            }
        }
    }
}
