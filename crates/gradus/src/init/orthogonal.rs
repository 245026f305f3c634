//! Orthogonal weights.

use rand::RngExt;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use super::{Fans, Initializer};
use crate::random::Rng;
use crate::{Float, Shape};

/// `gain` times a random matrix with orthonormal rows, or orthonormal columns if it has more rows than columns: signals pass
/// through it without growing or shrinking (Saxe, McClelland and Ganguli, 2013).
///
/// The matrix is the tensor with its first dimension as rows and all others as columns. It is the Q of the QR decomposition
/// of a Gaussian matrix whose R has a positive diagonal, so it is uniform over all such matrices (Mezzadri, 2007). The work
/// grows with the square of the smaller side times the larger.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Orthogonal {
    /// The length of each row (or column).
    gain: f64,
}

/// Gain 1.
impl Default for Orthogonal {
    fn default() -> Self {
        Orthogonal { gain: 1.0 }
    }
}

impl Orthogonal {
    /// Orthogonal matrices whose rows (or columns) have the length 1.
    pub fn new() -> Self {
        Orthogonal::default()
    }

    /// The length of each row (or column).
    pub fn gain(mut self, gain: f64) -> Self {
        self.gain = gain;
        self
    }
}

impl Initializer for Orthogonal {
    fn name(&self) -> &'static str {
        "orthogonal"
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn fill(&self, shape: &Shape, _fans: Fans, rng: &mut Rng, values: &mut [Float]) {
        if values.is_empty() {
            return;
        }
        let rows = shape.first().copied().unwrap_or(1);
        let columns = values.len() / rows;
        let (short, long) = (rows.min(columns), rows.max(columns));
        let vectors = orthonormal(short, long, rng);
        for (i, value) in values.iter_mut().enumerate() {
            let (row, column) = (i / columns, i % columns);
            let q = if rows <= columns {
                vectors[row * long + column]
            } else {
                vectors[column * long + row]
            };
            *value = (self.gain * q) as Float;
        }
    }
}

/// So many orthonormal vectors of this length, one after the other: Gaussian ones put through Gram-Schmidt, which divides by
/// a positive length and so gives the R with a positive diagonal. Each vector is projected twice, which makes it orthogonal
/// to machine precision (Giraud et al., 2005).
fn orthonormal(count: usize, length: usize, rng: &mut Rng) -> Vec<f64> {
    let mut vectors: Vec<f64> = (0..count * length).map(|_| rng.sample(StandardNormal)).collect();
    for i in 0..count {
        let (done, rest) = vectors.split_at_mut(i * length);
        let v = &mut rest[..length];
        for _ in 0..2 {
            for q in done.chunks_exact(length) {
                let dot: f64 = q.iter().zip(&*v).map(|(q, v)| q * v).sum();
                v.iter_mut().zip(q).for_each(|(v, q)| *v -= dot * q);
            }
        }
        let norm = v.iter().map(|v| v * v).sum::<f64>().sqrt();
        v.iter_mut().for_each(|v| *v /= norm);
    }
    vectors
}
