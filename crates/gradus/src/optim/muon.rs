//! Muon.

use gradus_kernels::{Accumulate, Matrix, matmul, vectorize};
use serde::{Deserialize, Serialize};

use super::advanced::{TensorOptimizer, TensorUpdate, Threads};
use super::{AdamW, Optimizer, Step, TINY, flush};
use crate::settings::{below_one, positive, rate};
use crate::{Float, Result, Shape};

/// The coefficients of the iteration, chosen by its author so that small singular values grow fast.
const COEFFICIENTS: [Float; 3] = [3.4445, -4.7750, 2.0315];

/// The number of iterations.
const ITERATIONS: usize = 5;

/// A matrix of a smaller norm is not scaled up to 1.
const LEAST_NORM: f64 = 1e-7;

/// Beside a norm of 1, smaller values than this are 0: what they are multiplied by stays a normal number.
const NEGLIGIBLE: Float = Float::EPSILON * Float::EPSILON;

/// Muon (Keller Jordan et al., 2024, "Muon: An optimizer for hidden layers in neural networks"): momentum, and of its direction the
/// nearest matrix whose singular values are all about 1, so that a step changes what every input gives by about as much.
///
/// ```text
/// m ← momentum · m + (1 - momentum) · dw
/// u ← momentum · m + (1 - momentum) · dw                           Nesterov's; without it, m
/// X ← u / max(‖u‖, 10⁻⁷)                                           ‖u‖² = Σ uᵢⱼ²
/// five times: A ← X·Xᵀ,  X ← 3.4445 X + (-4.7750 A + 2.0315 A²)·X
/// w ← w - learning_rate · (weight_decay · w + scale · X)
/// ```
///
/// It is for the weights of layers as matrices: of dense layers inputs × units, and of convolutions output channels × all the rest.
/// Its numbers are those of PyTorch's `Muon`, which multiplies in bfloat16 where this multiplies in [`Float`]. All other parameters
/// (biases, the scales of norms) are updated by [`AdamW`], with a learning rate of its own and the same weight decay. A schedule
/// applies to both learning rates. The author advises AdamW for the first and the last layer too, which a
/// [group](crate::ParameterGroup) gives them:
///
/// ```
/// use gradus::prelude::*;
///
/// let (train, _) = digits::load()?;
/// let layers = Sequential::new([1, 8, 8]).layer(Flatten).layer(Dense::new(32)).layer(Relu);
/// let layers = layers.layer(Dense::new(32)).layer(Relu).layer(Dense::new(10)).layer(Softmax);
/// let mut network = layers.build(1)?;
/// let history = Fit::new(CrossEntropy::new(), Muon::new(0.02))
///     .group(ParameterGroup::new(["1", "5"]).optimizer(AdamW::new(0.003)))
///     .epochs(5)
///     .run(&mut network, &train)?;
/// assert!(history.last("loss") < Some(0.3));
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// Numbers that are very close to 0 become 0, as [`Optimizer`] says.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Muon {
    learning_rate: f64,
    momentum: f64,
    nesterov: bool,
    weight_decay: f64,
    scale: MuonScale,
    adamw_learning_rate: f64,
    beta1: f64,
    beta2: f64,
    epsilon: f64,
}

/// What the steps of [`Muon`] are multiplied by, given the shape of a matrix.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MuonScale {
    /// √max(1, outputs / inputs), as the author has it.
    #[default]
    Original,
    /// 0.2 · √max(outputs, inputs): steps have about the length of those of [`AdamW`], so that its learning rates and weight decays
    /// suit (Liu et al., 2025, "Muon is Scalable for LLM Training").
    MatchRmsAdamw,
}

/// Learning rate 0.02, and the rest as in [`Muon::new`].
impl Default for Muon {
    fn default() -> Self {
        Muon::new(0.02)
    }
}

impl Muon {
    /// With this learning rate, Nesterov's momentum of 0.95, no weight decay and the [original](MuonScale::Original) scale; AdamW with a
    /// learning rate of 0.001, β₁ = 0.9, β₂ = 0.999 and ε = 10⁻⁸.
    pub fn new(learning_rate: f64) -> Self {
        Muon {
            learning_rate,
            momentum: 0.95,
            nesterov: true,
            weight_decay: 0.0,
            scale: MuonScale::Original,
            adamw_learning_rate: 0.001,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
        }
    }

    /// Sets how much of the running mean of the gradient stays at each step, in [0, 1).
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// Whether the gradient is taken as if the momentum's step had been made already.
    pub fn nesterov(mut self, nesterov: bool) -> Self {
        self.nesterov = nesterov;
        self
    }

    /// Sets the fraction by which weights shrink at each step, as a multiple of the learning rate.
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = weight_decay;
        self
    }

    /// Sets what steps are multiplied by, given the shape of a matrix.
    pub fn scale(mut self, scale: MuonScale) -> Self {
        self.scale = scale;
        self
    }

    /// Sets the learning rate of AdamW.
    pub fn adamw_learning_rate(mut self, learning_rate: f64) -> Self {
        self.adamw_learning_rate = learning_rate;
        self
    }

    /// Sets β₁ and β₂ of AdamW, both in [0, 1).
    pub fn betas(mut self, beta1: f64, beta2: f64) -> Self {
        (self.beta1, self.beta2) = (beta1, beta2);
        self
    }

    /// Sets ε of AdamW.
    pub fn epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }

    /// What updates the parameters that are no matrices.
    fn adamw(&self) -> AdamW {
        AdamW::new(self.adamw_learning_rate)
            .betas(self.beta1, self.beta2)
            .epsilon(self.epsilon)
            .weight_decay(self.weight_decay)
    }

    /// The factor of the steps of a parameter of this shape.
    fn factor(&self, shape: &Shape) -> f64 {
        let [rows, columns] = matrix(shape);
        let [inputs, outputs] = match shape.dims().len() {
            2 => [rows as f64, columns as f64],
            _ => [columns as f64, rows as f64],
        };
        match self.scale {
            MuonScale::Original => (outputs / inputs).max(1.0).sqrt(),
            MuonScale::MatchRmsAdamw => 0.2 * outputs.max(inputs).sqrt(),
        }
    }

    /// The momentum's next step: writes its direction to `x`.
    fn direction(&self, dw: &[Float], m: &mut [Float], x: &mut [Float]) {
        let (momentum, rest) = (self.momentum as Float, (1.0 - self.momentum) as Float);
        let nesterov = self.nesterov;
        vectorize!(|| {
            for ((x, &dw), m) in x.iter_mut().zip(dw).zip(m.iter_mut()) {
                let g = flush(dw, TINY);
                *m = flush(momentum * *m + rest * g, TINY);
                *x = if nesterov { momentum * *m + rest * g } else { *m };
            }
        });
    }
}

/// The number of rows and of columns of a parameter as a matrix.
fn matrix(shape: &Shape) -> [usize; 2] {
    let rows = shape.dims().first().copied().unwrap_or(1).max(1);
    [rows, shape.size() / rows]
}

impl Optimizer for Muon {
    fn name(&self) -> &'static str {
        "muon"
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn validate(&self) -> Result<()> {
        // AdamW's learning rate is a multiple of it.
        positive("Muon", "learning rate", self.learning_rate)?;
        below_one("Muon", "momentum", self.momentum)?;
        rate("Muon", "weight decay", self.weight_decay)?;
        rate("Muon", "AdamW learning rate", self.adamw_learning_rate)?;
        self.adamw().validate()
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

    fn whole_tensors(&self) -> Option<&dyn TensorOptimizer> {
        Some(self)
    }

    /// The step of [`AdamW`].
    fn update(&self, step: Step, w: &mut [Float], dw: &[Float], state: &mut [&mut [Float]]) {
        let ratio = self.adamw_learning_rate / self.learning_rate;
        let learning_rate = (f64::from(step.learning_rate) * ratio) as Float;
        self.adamw().update(Step { learning_rate, ..step }, w, dw, state);
    }
}

impl TensorOptimizer for Muon {
    /// Weights of two and more dimensions.
    fn takes(&self, shape: &Shape, decays: bool) -> bool {
        decays && shape.dims().len() >= 2
    }

    fn scratch(&self, shape: &Shape) -> usize {
        let [rows, columns] = matrix(shape);
        let small = rows.min(columns);
        2 * rows * columns + 2 * small * small
    }

    fn update(&self, tensor: TensorUpdate<'_>) {
        let TensorUpdate {
            step,
            shape,
            w,
            dw,
            state: [m, ..],
            scratch,
            mut threads,
        } = tensor
        else {
            panic!("Muon needs its slots of state, got 0");
        };
        let (x, memory) = scratch.split_at_mut(w.len());
        self.direction(dw, m, x);
        orthogonalize(x, matrix(shape), memory, &mut threads);
        let shrink = 1.0 - step.learning_rate * step.decay(self.weight_decay);
        let least = step.least_weight(self.weight_decay);
        let length = (f64::from(step.learning_rate) * self.factor(shape)) as Float;
        vectorize!(|| {
            for (w, &x) in w.iter_mut().zip(x.iter()) {
                *w = flush(shrink * *w - length * x, least);
            }
        });
    }
}

/// Replaces a matrix by one with the same singular vectors, and singular values between about 0.7 and 1.2 (of those that are tiny beside
/// the largest, less). `memory` holds a second matrix of its size, and two squares of its smaller side.
fn orthogonalize(x: &mut [Float], [rows, columns]: [usize; 2], memory: &mut [Float], threads: &mut Threads<'_>) {
    let square = x.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>();
    let scale = (1.0 / square.sqrt().max(LEAST_NORM)) as Float;
    vectorize!(|| x.iter_mut().for_each(|x| *x = flush(*x * scale, NEGLIGIBLE)));
    let small = rows.min(columns);
    let (next, memory) = memory.split_at_mut(x.len());
    let (gram, polynomial) = memory.split_at_mut(small * small);
    let polynomial = &mut polynomial[..small * small];
    for _ in 0..ITERATIONS {
        multiply_by_itself(x, [rows, columns], gram, threads);
        let [a, b, c] = COEFFICIENTS;
        let gram_matrix = Matrix::new(gram, small);
        threads.for_rows(polynomial, small, small * small, |first, out, scratch| {
            let part = Matrix::new(&gram[first * small..], small);
            let n = out.len() / small;
            matmul(
                n,
                small,
                small,
                part,
                gram_matrix,
                out,
                small,
                Accumulate::Zero,
                scratch,
            );
            for (out, &gram) in out.iter_mut().zip(part.values) {
                *out = b * gram + c * *out;
            }
        });
        let (x_matrix, polynomial) = (Matrix::new(x, columns), Matrix::new(polynomial, small));
        threads.for_rows(next, columns, small * columns, |first, out, scratch| {
            let part = &x[first * columns..][..out.len()];
            for (out, &x) in out.iter_mut().zip(part) {
                *out = a * x;
            }
            let n = out.len() / columns;
            let (left, right) = if rows <= columns {
                (Matrix::new(&polynomial.values[first * small..], small), x_matrix)
            } else {
                (Matrix::new(part, columns), polynomial)
            };
            matmul(n, columns, small, left, right, out, columns, Accumulate::Sum, scratch);
        });
        x.copy_from_slice(next);
    }
}

/// The products of the rows of `x` with each other, or of its columns if these are fewer: X·Xᵀ or Xᵀ·X.
fn multiply_by_itself(x: &[Float], [rows, columns]: [usize; 2], gram: &mut [Float], threads: &mut Threads<'_>) {
    let small = rows.min(columns);
    let large = rows.max(columns);
    threads.for_rows(gram, small, small * large, |first, out, scratch| {
        let n = out.len() / small;
        let all = Matrix::new(x, columns);
        let (part, all) = if rows <= columns {
            (Matrix::new(&x[first * columns..], columns), all.transposed())
        } else {
            (Matrix::new(&x[first..], columns).transposed(), all)
        };
        matmul(n, small, large, part, all, out, small, Accumulate::Zero, scratch);
    });
}

#[cfg(test)]
mod tests;
