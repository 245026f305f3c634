//! The gradient of the weights: for each output channel and each weight of it, a sum over positions and lanes.

use super::tile::{Products, Simd};
use super::{Axis, Kernel, LANES};
use crate::Float;
use crate::matmul::Parts;

/// The most sums of a tile.
const SUMS: usize = 32;

/// One group of a convolution, which has output channels, input channels and taps.
pub(super) struct Gradient {
    pub rows: Axis,
    pub columns: Axis,
    pub outputs: usize,
    pub channels: usize,
    pub x: *const Float,
    pub dy: *const Float,
    pub dw: *mut Float,
}

/// How a tile's taps lie: neighbours of a row of the kernel, or one tap of neighbouring channels.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Along {
    Row,
    Channels,
}

/// How output channels and taps are divided into tiles.
#[derive(Clone, Copy)]
struct Tiling {
    along: Along,
    outputs: Parts,
    taps: Parts,
}

impl Kernel for Gradient {
    /// Adds the gradient to dw.
    unsafe fn compute<S: Simd>(&self) {
        let Tiling { along, outputs, taps } = self.tiling::<S>();
        for (output, count) in outputs.iter() {
            let (channels, columns) = match along {
                Along::Row => (self.channels, 1),
                Along::Channels => (1, self.columns.kernel),
            };
            for channel in 0..channels {
                for row in 0..self.rows.kernel {
                    for column in 0..columns {
                        for (tap, width) in taps.iter() {
                            let first = match along {
                                Along::Row => [output, channel, row, tap],
                                Along::Channels => [output, tap, row, column],
                            };
                            // SAFETY: the caller's.
                            unsafe { self.tile::<S>(along, first, count, width) }
                        }
                    }
                }
            }
        }
    }
}

impl Gradient {
    /// The tiles that take the least time: a multiply-add takes half a cycle, a fetch too but beside it, and no step takes less
    /// than the 4 cycles until a sum can be added to again.
    fn tiling<S: Simd>(&self) -> Tiling {
        let mut best = (usize::MAX, None);
        for (along, taps, times) in [
            (Along::Row, self.columns.kernel, self.channels),
            (Along::Channels, self.channels, self.columns.kernel),
        ] {
            for most in (1..=self.outputs.min(S::OUTPUTS)).rev() {
                let outputs = Parts::new(self.outputs, most);
                let taps = Parts::new(taps, S::width(outputs.longest()));
                let (o, t) = (outputs.longest(), taps.longest());
                let cost = (o * t).max(o + t).max(8) * outputs.count * taps.count * times;
                if cost < best.0 {
                    best = (cost, Some(Tiling { along, outputs, taps }));
                }
            }
        }
        best.1.expect("there are output channels")
    }

    /// Adds the gradients of some output channels and taps, from `first`, the index of a weight, on.
    ///
    /// # Safety
    /// As [`Kernel::compute`].
    unsafe fn tile<S: Simd>(&self, along: Along, first: [usize; 4], outputs: usize, taps: usize) {
        let [output, channel, row, column] = first;
        let Gradient { rows, columns, .. } = self;
        let (x_row, y_row) = (columns.input * LANES, columns.output * LANES);
        let (x_channel, y_channel) = (rows.input * x_row, rows.output * y_row);
        let (column_tap, x_tap, w_tap) = match along {
            Along::Row => (columns.dilation, columns.dilation * LANES, 1),
            Along::Channels => (0, x_channel, rows.kernel * columns.kernel),
        };
        let lines = rows.outputs(row);
        // From the first position that the last tap is inside of to the last one that the first tap is inside of.
        let last = if along == Along::Row { column + taps - 1 } else { column };
        let (of_first, of_last) = (columns.outputs(column), columns.outputs(last));
        let (start, end) = (of_last.start, of_first.end.max(of_last.start));
        let inside = of_first.start.clamp(start, end);
        let after = of_last.end.clamp(inside, end);
        let at = columns.meeting(start, column);
        let mut sums = [0.0; SUMS * LANES];
        let mut tile = Products {
            rows: lines.len(),
            before: inside - start,
            inside: after - inside,
            after: end - after,
            column: at,
            column_position: columns.stride as isize,
            column_tap: column_tap as isize,
            columns: columns.input,
            x: self
                .x
                .wrapping_add(channel * x_channel)
                .wrapping_offset(rows.meeting(lines.start, row) * x_row as isize + at * LANES as isize),
            x_row: (rows.stride * x_row) as isize,
            x_tap: x_tap as isize,
            dy: self
                .dy
                .wrapping_add(output * y_channel + lines.start * y_row + start * LANES),
            dy_row: y_row as isize,
            dy_output: y_channel as isize,
            sums: sums.as_mut_ptr(),
        };
        let run = S::products(outputs, taps);
        for _ in 0..LANES / S::VECTOR {
            // SAFETY: the caller's.
            unsafe { run(&tile) }
            tile.x = tile.x.wrapping_add(S::VECTOR);
            tile.dy = tile.dy.wrapping_add(S::VECTOR);
            tile.sums = tile.sums.wrapping_add(S::VECTOR);
        }
        let (w_channel, kernel) = (rows.kernel * columns.kernel, columns.kernel);
        let (sums, _) = sums.as_chunks::<LANES>();
        for (o, sums) in sums.chunks_exact(taps).take(outputs).enumerate() {
            let w = ((output + o) * self.channels + channel) * w_channel + row * kernel + column;
            for (tap, &sums) in sums.iter().enumerate() {
                // SAFETY: the caller's.
                unsafe { *self.dw.add(w + tap * w_tap) += by_halves(sums) }
            }
        }
    }
}

/// Adds the upper half of the lanes to the lower half, until one is left.
#[inline(always)]
fn by_halves(mut sums: [Float; LANES]) -> Float {
    for half in [8, 4, 2, 1] {
        for lane in 0..half {
            sums[lane] += sums[lane + half];
        }
    }
    sums[0]
}
