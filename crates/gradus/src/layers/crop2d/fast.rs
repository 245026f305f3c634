//! A crop for blocks of samples: rows are copied whole.

use gradus_kernels::interleaved::LANES;

use super::Geometry;
use crate::Float;
use crate::layer::advanced::{BlockBackward, BlockForward, BlockLayer, Layout, Layouts};

#[derive(Debug)]
pub(super) struct FastCrop2d {
    pub(super) geometry: Geometry,
}

impl FastCrop2d {
    /// The number of values of a row, of x and of y: a pixel is one value, or one for each lane.
    fn row_sizes(&self, layout: Layout) -> [usize; 2] {
        let lanes = match layout {
            Layout::SampleMajor => 1,
            Layout::Interleaved => LANES,
        };
        [self.geometry.input[2] * lanes, self.geometry.output[1] * lanes]
    }

    /// The values of a row of x that are left out before those that stay.
    fn before(&self, x_row: usize) -> usize {
        self.geometry.start[1] * (x_row / self.geometry.input[2])
    }
}

impl BlockLayer for FastCrop2d {
    fn layouts(&self) -> Layouts {
        Layouts::Either
    }

    fn reads_output(&self) -> bool {
        false
    }

    fn forward(&self, pass: BlockForward<'_>) {
        let [x_row, y_row] = self.row_sizes(pass.layout);
        let [height, rows, top] = [self.geometry.input[1], self.geometry.output[0], self.geometry.start[0]];
        let before = self.before(x_row);
        let planes = pass.x.chunks_exact(height * x_row);
        for (x, y) in planes.zip(pass.y.chunks_exact_mut(rows * y_row)) {
            let x = x[top * x_row..].chunks_exact(x_row);
            for (x, y) in x.zip(y.chunks_exact_mut(y_row)) {
                y.copy_from_slice(&x[before..before + y_row]);
            }
        }
    }

    fn backward(&self, pass: BlockBackward<'_>) {
        let Some(dx) = pass.dx else { return };
        let [x_row, y_row] = self.row_sizes(pass.layout);
        let [height, rows, top] = [self.geometry.input[1], self.geometry.output[0], self.geometry.start[0]];
        let before = self.before(x_row);
        let planes = dx.chunks_exact_mut(height * x_row);
        for (dx, dy) in planes.zip(pass.dy.chunks_exact(rows * y_row)) {
            let (above, rest) = dx.split_at_mut(top * x_row);
            let (inside, below) = rest.split_at_mut(rows * x_row);
            above.fill(0.0);
            below.fill(0.0);
            for (dx, dy) in inside.chunks_exact_mut(x_row).zip(dy.chunks_exact(y_row)) {
                copy_between_zeros(dx, before, dy);
            }
        }
    }
}

/// Writes `values` into `row` from `start` on, and zeros around them.
fn copy_between_zeros(row: &mut [Float], start: usize, values: &[Float]) {
    let end = start + values.len();
    row[..start].fill(0.0);
    row[start..end].copy_from_slice(values);
    row[end..].fill(0.0);
}
