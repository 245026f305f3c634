//! Muon's matrices, by plain loops.

use gradus::Float;

/// The settings of a step along a matrix.
#[derive(Debug, Clone, Copy)]
pub(super) struct MatrixStep {
    pub learning_rate: f64,
    pub momentum: f64,
    pub nesterov: bool,
    pub weight_decay: f64,
    /// Whether steps are as long as AdamW's.
    pub matches_adamw: bool,
}

/// How far rounding takes a value of the result, beside values of about 1: an error grows by up to 3.4445 in each of five iterations.
pub(super) const ROUNDING: f64 = 5000.0 * Float::EPSILON as f64;

impl MatrixStep {
    /// What steps are multiplied by. A dense weight is inputs × outputs, and a kernel outputs × inputs.
    pub fn scale(&self, shape: &[usize]) -> f64 {
        let rows = shape[0] as f64;
        let columns = shape[1..].iter().product::<usize>() as f64;
        let (inputs, outputs) = if shape.len() == 2 {
            (rows, columns)
        } else {
            (columns, rows)
        };
        if self.matches_adamw {
            0.2 * inputs.max(outputs).sqrt()
        } else {
            (outputs / inputs).max(1.0).sqrt()
        }
    }

    /// One step of the weights `w` of this shape, with the mean `m` of their gradients.
    pub fn step<'m>(
        &self,
        shape: &[usize],
        w: &mut [f64],
        gradient: impl Iterator<Item = f64>,
        m: impl Iterator<Item = &'m mut f64>,
    ) {
        let MatrixStep { momentum, nesterov, .. } = *self;
        let direction = gradient.zip(m).map(|(g, m)| {
            *m = momentum * *m + (1.0 - momentum) * g;
            if nesterov {
                momentum * *m + (1.0 - momentum) * g
            } else {
                *m
            }
        });
        let direction = orthogonalized(direction.collect(), shape[0]);
        let scale = self.scale(shape);
        for (w, x) in w.iter_mut().zip(direction) {
            *w -= self.learning_rate * (self.weight_decay * *w + scale * x);
        }
    }
}

/// Five iterations towards the nearest matrix whose singular values are 1.
fn orthogonalized(x: Vec<f64>, rows: usize) -> Vec<f64> {
    let columns = x.len() / rows;
    if rows > columns {
        return transposed(&orthogonalized(transposed(&x, rows), columns), columns);
    }
    let norm = x.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-7);
    let mut x: Vec<f64> = x.into_iter().map(|x| x / norm).collect();
    for _ in 0..5 {
        let gram = product(&x, &transposed(&x, rows), rows);
        let squared = product(&gram, &gram, rows);
        let polynomial: Vec<f64> = (gram.iter().zip(&squared))
            .map(|(a, aa)| -4.7750 * a + 2.0315 * aa)
            .collect();
        let change = product(&polynomial, &x, rows);
        x = x.iter().zip(&change).map(|(x, change)| 3.4445 * x + change).collect();
    }
    x
}

fn transposed(x: &[f64], rows: usize) -> Vec<f64> {
    let columns = x.len() / rows;
    (0..x.len()).map(|i| x[i % rows * columns + i / rows]).collect()
}

/// a·b, where `a` has this number of rows.
fn product(a: &[f64], b: &[f64], rows: usize) -> Vec<f64> {
    let inner = a.len() / rows;
    let columns = b.len() / inner;
    let mut c = vec![0.0; rows * columns];
    for i in 0..rows {
        for j in 0..columns {
            c[i * columns + j] = (0..inner).map(|k| a[i * inner + k] * b[k * columns + j]).sum();
        }
    }
    c
}
