//! What is true: every kernel once more, as the plainest loop that defines its result. Tests hold the fast kernels against
//! these, bit for bit.

use std::ops::AddAssign;

use crate::interleaved::{Axis, Convolution, LANES};
use crate::{Accumulate, CHAIN, Float, Matrix, SUMS};

/// What [`matmul`](crate::matmul()) computes: for each element of C, one chain of fused multiply-adds over ascending k,
/// beginning with its start.
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
    start: Accumulate<'_>,
) {
    for i in 0..m {
        for j in 0..n {
            let mut sum = match start {
                Accumulate::Zero => 0.0,
                Accumulate::Sum => c[i * c_stride + j],
                Accumulate::Row(row) => row[j],
            };
            for p in 0..k {
                let x = a.values[i * a.row_stride + p * a.column_stride];
                let y = b.values[p * b.row_stride + j * b.column_stride];
                sum = x.mul_add(y, sum);
            }
            c[i * c_stride + j] = sum;
        }
    }
}

/// The input that output `output` and tap `tap` meet at, unless that is padding.
fn meeting(axis: Axis, output: usize, tap: usize) -> Option<usize> {
    let input = (output * axis.stride + tap * axis.dilation).checked_sub(axis.padding)?;
    (input < axis.input).then_some(input)
}

/// Where a weight meets a pixel: the indices of the weight, and of the first lanes of the input and the output.
struct Meeting {
    w: usize,
    x: usize,
    y: usize,
}

/// Calls `work` with each weight and pixel that meet, in ascending order of (o, c, k, l, i, j).
fn meetings(of: &Convolution, mut work: impl FnMut(Meeting)) {
    let Convolution {
        rows,
        columns,
        in_channels,
        out_channels,
        groups,
    } = *of;
    let (group_in, group_out) = (in_channels / groups, out_channels / groups);
    let mut w = 0;
    for o in 0..out_channels {
        for c in o / group_out * group_in..(o / group_out + 1) * group_in {
            for (k, l) in (0..rows.kernel).flat_map(|k| (0..columns.kernel).map(move |l| (k, l))) {
                for (i, j) in (0..rows.output).flat_map(|i| (0..columns.output).map(move |j| (i, j))) {
                    let Some((row, column)) = meeting(rows, i, k).zip(meeting(columns, j, l)) else {
                        continue;
                    };
                    let x = ((c * rows.input + row) * columns.input + column) * LANES;
                    let y = ((o * rows.output + i) * columns.output + j) * LANES;
                    work(Meeting { w, x, y });
                }
                w += 1;
            }
        }
    }
}

/// What [`Convolution::forward`] computes.
pub fn convolution(of: &Convolution, x: &[Float], w: &[Float], b: Option<&[Float]>, y: &mut [Float]) {
    let plane = of.rows.output * of.columns.output * LANES;
    for (o, y) in y.chunks_exact_mut(plane.max(1)).enumerate() {
        y.fill(b.map_or(0.0, |b| b[o]));
    }
    meetings(of, |at| {
        for lane in 0..LANES {
            y[at.y + lane] = w[at.w].mul_add(x[at.x + lane], y[at.y + lane]);
        }
    });
}

/// What [`Convolution::input_gradient`] computes.
pub fn convolution_input_gradient(of: &Convolution, w: &[Float], dy: &[Float], dx: &mut [Float]) {
    dx.fill(0.0);
    meetings(of, |at| {
        for lane in 0..LANES {
            dx[at.x + lane] = w[at.w].mul_add(dy[at.y + lane], dx[at.x + lane]);
        }
    });
}

/// What [`Convolution::weight_gradient`] computes.
pub fn convolution_weight_gradient(of: &Convolution, x: &[Float], dy: &[Float], dw: &mut [Float]) {
    let mut sums = vec![[0.0; LANES]; dw.len()];
    meetings(of, |at| {
        for (lane, sum) in sums[at.w].iter_mut().enumerate() {
            *sum = dy[at.y + lane].mul_add(x[at.x + lane], *sum);
        }
    });
    for (dw, sums) in dw.iter_mut().zip(sums) {
        *dw += by_halves(sums);
    }
}

/// What [`Convolution::bias_gradient`] computes.
pub fn convolution_bias_gradient(of: &Convolution, dy: &[Float], db: &mut [Float]) {
    let plane = of.rows.output * of.columns.output * LANES;
    for (dy, db) in dy.chunks_exact(plane.max(1)).zip(db) {
        *db += sum(dy);
    }
}

/// What [`sum`](crate::sum()) computes.
pub fn sum(x: &[Float]) -> Float {
    let mut totals = [0.0; SUMS];
    for x in x.chunks(SUMS * CHAIN) {
        let mut sums: [Float; SUMS] = [0.0; SUMS];
        for (i, x) in x.iter().enumerate() {
            sums[i % SUMS] += x;
        }
        for (total, sum) in totals.iter_mut().zip(sums) {
            *total += f64::from(sum);
        }
    }
    by_halves(totals) as Float
}

/// Adds the upper half of the sums to the lower half, until one is left.
fn by_halves<T: Copy + AddAssign>(mut sums: [T; SUMS]) -> T {
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
