//! 1. A single neuron, by its formulas.
//!
//! `cargo run --release --example 01_neuron`
//!
//! A neuron weighs its inputs, adds a bias and squashes the sum:
//!
//! ```text
//! z = w₁x₁ + w₂x₂ + b        y = σ(z) = 1 / (1 + exp(-z))
//! ```
//!
//! y lies between 0 and 1 and can be read as a probability. This page teaches a neuron the logical OR: it starts out
//! knowing nothing, and follows the gradient of its loss until it answers right. Nothing of the library is used but its
//! number type.

use gradus::{Error, Float, Result};

/// Two weights and a bias: all that the neuron can learn.
#[derive(Debug, Clone, Copy)]
struct Neuron {
    w: [Float; 2],
    b: Float,
}

/// The four cases of OR: the inputs, and the target t.
const CASES: [([Float; 2], Float); 4] = [
    ([0.0, 0.0], 0.0),
    ([0.0, 1.0], 1.0),
    ([1.0, 0.0], 1.0),
    ([1.0, 1.0], 1.0),
];

impl Neuron {
    /// Forward: from the inputs to the answer.
    fn forward(&self, x: [Float; 2]) -> Float {
        let z = self.w[0] * x[0] + self.w[1] * x[1] + self.b;
        1.0 / (1.0 + (-z).exp())
    }

    /// How wrong the answers are, on average: binary cross entropy, -t·ln y - (1 - t)·ln(1 - y). It is 0 when every
    /// case gets its target with certainty, and grows without bound as the neuron becomes sure of a wrong answer.
    fn loss(&self) -> Float {
        let loss = |y: Float, t: Float| -t * y.ln() - (1.0 - t) * (1.0 - y).ln();
        CASES.iter().map(|&(x, t)| loss(self.forward(x), t)).sum::<Float>() / CASES.len() as Float
    }

    /// Backward: the derivative of the loss with respect to each weight and the bias, by the chain rule.
    ///
    /// ```text
    /// dloss/dy = (y - t) / (y·(1 - y))     dy/dz = y·(1 - y)     dz/dwᵢ = xᵢ     dz/db = 1
    /// ```
    ///
    /// The first two multiply to dz = y - t, one of the finest cancellations in the field. The rest follows.
    fn gradient(&self) -> Neuron {
        let mut d = Neuron { w: [0.0; 2], b: 0.0 };
        for (x, t) in CASES {
            let dz = (self.forward(x) - t) / CASES.len() as Float;
            d.w[0] += dz * x[0];
            d.w[1] += dz * x[1];
            d.b += dz;
        }
        d
    }
}

/// Teaches a neuron OR.
pub fn main() -> Result<()> {
    let mut neuron = Neuron { w: [0.0; 2], b: 0.0 };

    // Is the gradient right? Move w₁ a little both ways and see how the loss changes: the slope must be the derivative.
    let start = Neuron { w: [0.5, -0.3], b: 0.1 };
    let loss_at = |w1: Float| {
        Neuron {
            w: [w1, start.w[1]],
            ..start
        }
        .loss()
    };
    let h = 0.01;
    let slope = (loss_at(start.w[0] + h) - loss_at(start.w[0] - h)) / (2.0 * h);
    let derivative = start.gradient().w[0];
    println!("dloss/dw₁ by the chain rule {derivative:.5}, by measuring {slope:.5}\n");
    if (derivative - slope).abs() > 1e-3 {
        return Err(Error::invalid("the gradient is wrong"));
    }

    // Learn: step downhill, again and again.
    let learning_rate = 1.0;
    println!("step   loss    w₁     w₂     b      dw₁     dw₂     db");
    for step in 0..=1000 {
        let d = neuron.gradient();
        if [0, 1, 10, 100, 1000].contains(&step) {
            let Neuron { w: [w1, w2], b } = neuron;
            print!("{step:>4}  {:.4}  {w1:>5.2}  {w2:>5.2}  {b:>5.2}", neuron.loss());
            println!("  {:>6.3}  {:>6.3}  {:>6.3}", d.w[0], d.w[1], d.b);
        }
        neuron.w[0] -= learning_rate * d.w[0];
        neuron.w[1] -= learning_rate * d.w[1];
        neuron.b -= learning_rate * d.b;
    }

    println!("\nx₁ x₂  OR  the neuron");
    for (x, t) in CASES {
        let y = neuron.forward(x);
        println!(" {}  {}   {t}   {y:.3}", x[0], x[1]);
        if (y - t).abs() > 0.1 {
            return Err(Error::invalid(format!("the neuron answers {y} to {x:?}, not {t}")));
        }
    }
    // The neuron says 1 where w₁x₁ + w₂x₂ + b > 0: on one side of a line. No line divides the cases of XOR; see
    // 02_xor.rs.
    Ok(())
}
