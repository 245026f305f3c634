//! What is true: every kernel once more, as the plainest loop that defines its result. Tests hold the fast kernels against
//! these, bit for bit.

use crate::{Float, Matrix, SUMS};

/// What [`matmul`](crate::matmul()) computes: for each element of C, one chain of fused multiply-adds over ascending k,
/// starting from zero, or from the old value if `accumulate`.
///
/// # Panics
/// If a slice is too short for its matrix.
#[allow(clippy::too_many_arguments)]
pub fn matmul(
    m: usize,
    n: usize,
    k: usize,
    a: Matrix<'_>,
    b: Matrix<'_>,
    c: &mut [Float],
    c_stride: usize,
    accumulate: bool,
) {
    for i in 0..m {
        for j in 0..n {
            let mut sum = if accumulate { c[i * c_stride + j] } else { 0.0 };
            for p in 0..k {
                let x = a.values[i * a.row_stride + p * a.column_stride];
                let y = b.values[p * b.row_stride + j * b.column_stride];
                sum = x.mul_add(y, sum);
            }
            c[i * c_stride + j] = sum;
        }
    }
}

/// What [`sum`](crate::sum()) computes.
pub fn sum(x: &[Float]) -> Float {
    let mut sums = [0.0; SUMS];
    for (i, x) in x.iter().enumerate() {
        sums[i % SUMS] += x;
    }
    let mut count = SUMS;
    while count > 1 {
        count /= 2;
        for lane in 0..count {
            sums[lane] += sums[lane + count];
        }
    }
    sums[0]
}

/// The error function to nearly the full precision of `f64`, by its series of positive terms
/// 2/√π e^(−x²) Σ 2ⁿx²ⁿ⁺¹ / (2n+1)!! (M. Abramowitz and I. Stegun, "Handbook of Mathematical Functions", 1964, 7.1.6).
pub fn erf(x: f64) -> f64 {
    // From there on, what is missing to 1 is less than half a unit in its last place.
    if x.abs() > 6.0 {
        return 1.0f64.copysign(x);
    }
    let (mut term, mut sum, mut odd) = (x, x, 1.0);
    while term.abs() > 1e-17 * sum.abs() {
        odd += 2.0;
        term *= 2.0 * x * x / odd;
        sum += term;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
}
