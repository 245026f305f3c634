//! Max pooling for blocks of samples.

use gradus_kernels::interleaved::MaxPool;
use gradus_kernels::vectorize;

use crate::Float;
use crate::layer::advanced::{BlockBackward, BlockForward, BlockLayer, Layout, Layouts, Scratch};
use crate::layers::window::Geometry;

#[derive(Debug)]
pub(in crate::layers) struct FastMaxPool {
    pub(in crate::layers) geometry: Geometry,
}

impl FastMaxPool {
    /// The same for interleaved samples.
    fn kernel(&self) -> MaxPool {
        MaxPool {
            rows: self.geometry.rows.kernel_axis(),
            columns: self.geometry.columns.kernel_axis(),
        }
    }
}

impl BlockLayer for FastMaxPool {
    fn layouts(&self) -> Layouts {
        Layouts::PreferInterleaved
    }

    fn scratch(&self) -> Scratch {
        Scratch {
            fixed: self.geometry.columns.input,
            per_sample: 0,
        }
    }

    fn reads_output(&self) -> bool {
        false
    }

    fn forward(&self, pass: BlockForward<'_>) {
        if pass.layout == Layout::Interleaved {
            let taps = pass.training.then_some(pass.saved);
            return self.kernel().forward(pass.x, pass.y, taps);
        }
        let geometry = self.geometry;
        let (n, p) = (geometry.in_plane(), geometry.out_plane());
        let planes = pass.x.chunks_exact(n).zip(pass.y.chunks_exact_mut(p));
        if pass.training {
            for ((x, y), taps) in planes.zip(pass.saved.chunks_exact_mut(p)) {
                vectorize!(|| pool_with_taps(geometry, x, y, taps));
            }
        } else {
            for (x, y) in planes {
                pool(geometry, x, y, pass.scratch);
            }
        }
    }

    fn backward(&self, pass: BlockBackward<'_>) {
        let Some(dx) = pass.dx else { return };
        if pass.layout == Layout::Interleaved {
            return self.kernel().input_gradient(pass.saved, pass.dy, dx);
        }
        let geometry = self.geometry;
        let (n, p) = (geometry.in_plane(), geometry.out_plane());
        dx.fill(0.0);
        let planes = dx.chunks_exact_mut(n).zip(pass.dy.chunks_exact(p));
        for ((dx, dy), taps) in planes.zip(pass.saved.chunks_exact(p)) {
            vectorize!(|| spread(geometry, taps, dy, dx));
        }
    }
}

/// Whether `x` is taken rather than the largest value so far. NaN always is, so that it is not hidden.
#[inline(always)]
fn wins(x: Float, largest: Float) -> bool {
    x >= largest || x.is_nan()
}

/// The largest value of each window of a plane: of each column first, and then of those. From the last to the first, so that of
/// equal values the first wins. `row` is memory for a row of x.
fn pool(geometry: Geometry, x: &[Float], y: &mut [Float], row: &mut [Float]) {
    let Geometry { rows, columns, .. } = geometry;
    let row = &mut row[..columns.input];
    let in_pairs = columns.kernel == 2 && columns.stride == 2 && !geometry.is_padded();
    for (i, y) in y.chunks_exact_mut(columns.output).enumerate() {
        vectorize!(|| {
            row.fill(Float::NEG_INFINITY);
            for k in rows.inside(i).rev() {
                let x = &x[rows.position(i, k) * columns.input..][..columns.input];
                for (largest, &x) in row.iter_mut().zip(x) {
                    *largest = if wins(x, *largest) { x } else { *largest };
                }
            }
        });
        if in_pairs {
            // Nearly always; and pairs the compiler can take apart with vector instructions.
            vectorize!(|| {
                for (y, &[first, second]) in y.iter_mut().zip(row.as_chunks().0) {
                    *y = if wins(first, second) { first } else { second };
                }
            });
            continue;
        }
        y.fill(Float::NEG_INFINITY);
        for l in (0..columns.kernel).rev() {
            let outputs = columns.outputs(l);
            if outputs.is_empty() {
                continue;
            }
            let x = row[columns.position(outputs.start, l)..].iter().step_by(columns.stride);
            for (y, &x) in y[outputs].iter_mut().zip(x) {
                *y = if wins(x, *y) { x } else { *y };
            }
        }
    }
}

/// The largest value of each window, and which of its taps it is under.
#[inline(always)]
fn pool_with_taps(geometry: Geometry, x: &[Float], y: &mut [Float], taps: &mut [Float]) {
    y.fill(Float::NEG_INFINITY);
    for tap in (0..geometry.taps()).rev() {
        for run in geometry.runs(tap) {
            let pixels = x[run.x..].iter().step_by(geometry.columns.stride);
            let outputs = y[run.y..][..run.count].iter_mut().zip(&mut taps[run.y..]);
            for ((y, which), &x) in outputs.zip(pixels) {
                // Two choices without a jump: which value is larger can't be predicted.
                let wins = wins(x, *y);
                *y = if wins { x } else { *y };
                *which = if wins { tap as Float } else { *which };
            }
        }
    }
}

/// Adds each dy to the dx under the tap of its window's largest value.
#[inline(always)]
fn spread(geometry: Geometry, taps: &[Float], dy: &[Float], dx: &mut [Float]) {
    for tap in 0..geometry.taps() {
        for run in geometry.runs(tap) {
            let pixels = dx[run.x..].iter_mut().step_by(geometry.columns.stride);
            let outputs = dy[run.y..][..run.count].iter().zip(&taps[run.y..]);
            for (dx, (&dy, &which)) in pixels.zip(outputs) {
                *dx += if which == tap as Float { dy } else { 0.0 };
            }
        }
    }
}
