//! The gradient of the weights: for each output channel and each weight of it, a sum over positions and lanes.

use super::tile::{Products, Simd, Tap};
use super::{Axis, Kernel, LANES};
use crate::Float;
use crate::matmul::Parts;

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

impl Kernel for Gradient {
    /// Adds the gradient to dw. The taps of a tile are of one row of the kernel, one channel's after the other's.
    unsafe fn compute<S: Simd>(&self) {
        let (outputs, taps) = self.parts::<S>();
        for (output, count) in outputs.iter() {
            for (tap, width) in taps.iter() {
                for row in 0..self.rows.kernel {
                    // SAFETY: the caller's.
                    unsafe { self.tile::<S>([output, row, tap], count, width) }
                }
            }
        }
    }
}

impl Gradient {
    /// The output channels and the taps of the tiles that take the least time.
    fn parts<S: Simd>(&self) -> (Parts, Parts) {
        let all = self.channels * self.columns.kernel;
        let tilings = (1..=self.outputs.min(S::OUTPUTS)).map(|most| {
            let outputs = Parts::new(self.outputs, most);
            (outputs, Parts::new(all, S::width(outputs.longest())))
        });
        let best = tilings.min_by_key(|(outputs, taps)| {
            let (o, t) = (outputs.longest(), taps.longest());
            // In quarters of a cycle, about: two multiply-adds a cycle, 4 cycles until a sum can be added to again, and what is
            // fetched beside it takes some time too.
            outputs.count * taps.count * ((2 * o * t).max(16) + o + t)
        });
        best.expect("there are output channels")
    }

    /// Adds the gradients of some output channels and taps, the first of which is `[output, row, tap]`.
    ///
    /// # Safety
    /// As [`Kernel::compute`].
    unsafe fn tile<S: Simd>(&self, [output, row, tap]: [usize; 3], outputs: usize, taps: usize) {
        let Gradient { rows, columns, .. } = self;
        let (x_row, y_row) = (columns.input * LANES, columns.output * LANES);
        let (x_channel, y_channel) = (rows.input * x_row, rows.output * y_row);
        let w_channel = rows.kernel * columns.kernel;
        let lines = rows.outputs(row);
        let mut list = [Tap::default(); Tap::MOST];
        // The kernel's first and last columns among the taps.
        let (mut first, mut last) = (columns.kernel - 1, 0);
        let (mut channel, mut column) = (tap / columns.kernel, tap % columns.kernel);
        for tap in &mut list[..taps] {
            let away = column * columns.dilation;
            *tap = Tap {
                column: away as isize,
                x: (channel * x_channel + away * LANES) as isize,
                w: channel * w_channel + row * columns.kernel + column,
            };
            (first, last) = (first.min(column), last.max(column));
            column += 1;
            if column == columns.kernel {
                (channel, column) = (channel + 1, 0);
            }
        }
        // From the first position that the last column is inside of to the last one that the first column is inside of.
        let (of_first, of_last) = (columns.outputs(first), columns.outputs(last));
        let (start, end) = (of_last.start, of_first.end.max(of_last.start));
        let inside = of_first.start.clamp(start, end);
        let after = of_last.end.clamp(inside, end);
        let at = columns.meeting(start, 0);
        let tile = Products {
            rows: lines.len(),
            before: inside - start,
            inside: after - inside,
            after: end - after,
            column: at,
            column_position: columns.stride as isize,
            columns: columns.input,
            taps: list,
            x: (self.x).wrapping_offset(rows.meeting(lines.start, row) * x_row as isize + at * LANES as isize),
            x_row: (rows.stride * x_row) as isize,
            dy: (self.dy).wrapping_add(output * y_channel + lines.start * y_row + start * LANES),
            dy_row: y_row as isize,
            dy_output: y_channel as isize,
            dw: self.dw.wrapping_add(output * self.channels * w_channel),
            dw_output: self.channels * w_channel,
        };
        // SAFETY: the caller's.
        unsafe { S::products(outputs, taps)(&tile) }
    }
}
