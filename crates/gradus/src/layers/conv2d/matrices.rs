//! Convolution as matrix products, sample by sample and group by group.
//!
//! The matrix X has a row for each weight of an output channel and a column for each position, and holds the pixel that the two
//! meet at (so a 1×1 kernel needs no copy: its X is x):
//!
//! | | formula | shapes |
//! | --- | --- | --- |
//! | forward | Y = W·X + b | W: channels × (in_channels · kernel), X: (in_channels · kernel) × positions |
//! | backward | dX = Wᵀ·dY | each element of dX is added to the dx of its pixel |
//! | | dW += dY·Xᵀ, db += Σ dY | sums over the samples |
//!
//! Source: Chellapilla, Puri and Simard, "High performance convolutional neural networks for document processing", 2006.

use gradus_kernels::{Accumulate, Matrix, matmul, matmul_scratch, sum, vectorize};

use super::BoundConv2d;
use crate::Float;
use crate::layer::advanced::{BlockBackward, BlockForward};
use crate::layers::window::Geometry;

/// The sizes of the matrices of one group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    of: BoundConv2d,
    /// Weights of an output channel, the rows of X.
    k: usize,
    /// Output positions, the columns of X.
    p: usize,
    /// The size of the matrix X; 0 where it is x itself, and the largest number where that is too small.
    pub(super) gathered: usize,
}

impl Sizes {
    pub(super) fn of(of: &BoundConv2d) -> Self {
        let (k, p) = (of.weights(), of.geometry.out_plane());
        let gathered = if of.geometry.is_identity() {
            0
        } else {
            k.saturating_mul(p)
        };
        Sizes {
            of: *of,
            k,
            p,
            gathered,
        }
    }

    /// The scratch memory of all passes: X, and what its products want.
    pub(super) fn scratch(&self) -> usize {
        let (m, k, p) = (self.of.group_out, self.k, self.p);
        let products = [(m, p, k), (m, k, p), (k, p, m)].map(|(m, n, k)| matmul_scratch(m, n, k));
        self.gathered + products.into_iter().fold(0, usize::max)
    }

    /// The values of a group in the input and in the output of a sample, and its weights.
    fn of_group(&self) -> [usize; 3] {
        let BoundConv2d {
            geometry,
            group_in,
            group_out,
            ..
        } = self.of;
        [group_in * geometry.in_plane(), group_out * self.p, group_out * self.k]
    }

    pub(super) fn forward(&self, pass: BlockForward<'_>) {
        let Sizes { of, k, p, gathered } = *self;
        let [x_group, y_group, w_group] = self.of_group();
        let mut start = Accumulate::Zero;
        if let Some(b) = pass.parameters.get(1) {
            start = Accumulate::Sum;
            let b = b.iter().cycle();
            pass.y.chunks_exact_mut(p).zip(b).for_each(|(y, &b)| y.fill(b));
        }
        let w = pass.parameters[0].chunks_exact(w_group).cycle();
        let (columns, scratch) = pass.scratch.split_at_mut(gathered);
        let groups = pass.x.chunks_exact(x_group).zip(pass.y.chunks_exact_mut(y_group));
        for ((x, y), w) in groups.zip(w) {
            let (w, x) = (Matrix::new(w, k), Matrix::new(gather(&of.geometry, x, columns), p));
            matmul(of.group_out, p, k, w, x, y, p, start, scratch);
        }
    }

    pub(super) fn backward(&self, pass: BlockBackward<'_>) {
        let Sizes { of, k, p, gathered } = *self;
        let [x_group, y_group, w_group] = self.of_group();
        let (geometry, m) = (&of.geometry, of.group_out);
        let w = &pass.parameters[0];
        let mut gradients = pass.gradients;
        if of.bias {
            let db = &mut gradients[1];
            for dy in pass.dy.chunks_exact(p * db.len()) {
                for (db, dy) in db.iter_mut().zip(dy.chunks_exact(p)) {
                    *db += sum(dy);
                }
            }
        }
        let dw = &mut gradients[0];
        let mut dx = pass.dx;
        let (columns, scratch) = pass.scratch.split_at_mut(gathered);
        let groups = pass.x.chunks_exact(x_group).zip(pass.dy.chunks_exact(y_group));
        for (i, (x, dy)) in groups.enumerate() {
            let group = i % of.groups * w_group;
            let (w, dw) = (Matrix::new(&w[group..], k).transposed(), &mut dw[group..][..w_group]);
            let dy = Matrix::new(dy, p);
            let x = Matrix::new(gather(geometry, x, columns), p).transposed();
            matmul(m, k, p, dy, x, dw, k, Accumulate::Sum, scratch);
            let Some(dx) = &mut dx else { continue };
            let dx = &mut dx[i * x_group..][..x_group];
            if geometry.is_identity() {
                matmul(k, p, m, w, dy, dx, p, Accumulate::Zero, scratch);
            } else {
                matmul(k, p, m, w, dy, columns, p, Accumulate::Zero, scratch);
                vectorize!(|| scatter(geometry, columns, dx));
            }
        }
    }
}

/// The matrix X of the channels in `x`: they themselves for a 1×1 kernel, else written to `columns`.
fn gather<'a>(geometry: &Geometry, x: &'a [Float], columns: &'a mut [Float]) -> &'a [Float] {
    if geometry.is_identity() {
        return x;
    }
    if geometry.is_padded() {
        columns.fill(0.0);
    }
    let stride = geometry.columns.stride;
    let planes = x.chunks_exact(geometry.in_plane());
    for (x, rows) in planes.zip(columns.chunks_exact_mut(geometry.out_plane() * geometry.taps())) {
        for (tap, row) in rows.chunks_exact_mut(geometry.out_plane()).enumerate() {
            for run in geometry.runs(tap) {
                let row = &mut row[run.y..][..run.count];
                if stride == 1 {
                    row.copy_from_slice(&x[run.x..][..run.count]);
                } else {
                    let pixels = x[run.x..].iter().step_by(stride);
                    row.iter_mut().zip(pixels).for_each(|(value, x)| *value = *x);
                }
            }
        }
    }
    columns
}

/// The reverse of [`gather`] for gradients: adds each element of dX to the dx of its pixel, all of which start at 0.
#[inline(always)]
fn scatter(geometry: &Geometry, columns: &[Float], dx: &mut [Float]) {
    dx.fill(0.0);
    let stride = geometry.columns.stride;
    let planes = dx.chunks_exact_mut(geometry.in_plane());
    for (dx, rows) in planes.zip(columns.chunks_exact(geometry.out_plane() * geometry.taps())) {
        for (tap, row) in rows.chunks_exact(geometry.out_plane()).enumerate() {
            for run in geometry.runs(tap) {
                let pixels = dx[run.x..].iter_mut();
                let row = &row[run.y..][..run.count];
                if stride == 1 {
                    pixels.zip(row).for_each(|(dx, value)| *dx += value);
                } else {
                    pixels.step_by(stride).zip(row).for_each(|(dx, value)| *dx += value);
                }
            }
        }
    }
}
