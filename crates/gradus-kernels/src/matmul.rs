//! Matrix products.

use crate::Float;

/// A matrix somewhere in a slice: element (i, j) is `values[i * row_stride + j * column_stride]`.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    /// The slice that holds the elements.
    pub values: &'a [Float],
    /// How far rows are apart.
    pub row_stride: usize,
    /// How far columns are apart.
    pub column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A row-major matrix with so many columns.
    pub fn new(values: &'a [Float], columns: usize) -> Self {
        Matrix {
            values,
            row_stride: columns,
            column_stride: 1,
        }
    }

    /// Its transpose, over the same elements.
    pub fn transposed(self) -> Self {
        Matrix {
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// How many values of scratch memory [`matmul`] wants for a product of this size.
pub fn matmul_scratch(m: usize, n: usize, k: usize) -> usize {
    let _ = (m, n, k);
    0
}

/// C ← A·B, or C ← C + A·B if `accumulate`: `a` is m×k, `b` k×n, and `c` m×n with rows `c_stride` apart.
///
/// Every element of C is one chain of fused multiply-adds over k in ascending order, starting from zero or from its old
/// value. So its bits don't depend on m, on n, on where it stands in C, or on how a caller divides k into successive
/// accumulating calls.
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
    scratch: &mut [Float],
) {
    let _ = scratch;
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
