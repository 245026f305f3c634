//! What is true: every kernel once more, as the plainest loop that defines its result. Tests hold the fast kernels against
//! these, bit for bit.

use crate::{Float, Matrix};

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
