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

use super::Sizes;
use crate::Float;
use crate::layer::{Backward, Forward};
use crate::layers::window::Geometry;

/// The scratch memory of all passes: X, and what its products want.
pub(super) fn scratch(sizes: &Sizes) -> usize {
    let (m, k, p) = (sizes.group_out, sizes.k, sizes.p);
    let products = matmul_scratch(m, p, k)
        .max(matmul_scratch(m, k, p))
        .max(matmul_scratch(k, p, m));
    sizes.gathered + products
}

pub(super) fn forward(sizes: Sizes, bias: bool, pass: Forward<'_>) {
    let Sizes {
        geometry,
        group_in,
        group_out,
        k,
        p,
        ..
    } = sizes;
    let (x_group, y_group, w_group) = (group_in * geometry.in_plane(), group_out * p, group_out * k);
    if bias {
        let b = pass.parameters[1].iter().cycle();
        pass.y.chunks_exact_mut(p).zip(b).for_each(|(y, &b)| y.fill(b));
    }
    let w = pass.parameters[0].chunks_exact(w_group).cycle();
    let (columns, scratch) = pass.scratch.split_at_mut(sizes.gathered);
    let groups = pass.x.chunks_exact(x_group).zip(pass.y.chunks_exact_mut(y_group));
    for ((x, y), w) in groups.zip(w) {
        let (w, x) = (Matrix::new(w, k), Matrix::new(gather(&geometry, x, columns), p));
        let start = if bias { Accumulate::Sum } else { Accumulate::Zero };
        matmul(group_out, p, k, w, x, y, p, start, scratch);
    }
}

pub(super) fn backward(sizes: Sizes, bias: bool, pass: Backward<'_>) {
    let Sizes {
        geometry,
        groups,
        group_in,
        group_out,
        k,
        p,
        ..
    } = sizes;
    let (x_group, y_group, w_group) = (group_in * geometry.in_plane(), group_out * p, group_out * k);
    let w = &pass.parameters[0];
    let mut gradients = pass.gradients;
    if bias {
        let db = gradients.get(1);
        for dy in pass.dy.chunks_exact(p * db.len()) {
            for (db, dy) in db.iter_mut().zip(dy.chunks_exact(p)) {
                *db += sum(dy);
            }
        }
    }
    let dw = gradients.get(0);
    let mut dx = pass.dx;
    let (columns, scratch) = pass.scratch.split_at_mut(sizes.gathered);
    for (i, (x, dy)) in pass
        .x
        .chunks_exact(x_group)
        .zip(pass.dy.chunks_exact(y_group))
        .enumerate()
    {
        let group = i % groups * w_group;
        let (w, dw) = (Matrix::new(&w[group..], k), &mut dw[group..][..w_group]);
        let dx = dx.as_deref_mut().map(|dx| &mut dx[i * x_group..][..x_group]);
        let dy = Matrix::new(dy, p);
        let x = Matrix::new(gather(&geometry, x, columns), p);
        matmul(group_out, k, p, dy, x.transposed(), dw, k, Accumulate::Sum, scratch);
        let Some(dx) = dx else { continue };
        if geometry.is_identity() {
            matmul(k, p, group_out, w.transposed(), dy, dx, p, Accumulate::Zero, scratch);
        } else {
            matmul(
                k,
                p,
                group_out,
                w.transposed(),
                dy,
                columns,
                p,
                Accumulate::Zero,
                scratch,
            );
            vectorize(|| scatter(&geometry, columns, dx));
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
