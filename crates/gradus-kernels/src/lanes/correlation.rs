//! The passes whose every element is a sum over channels and taps: forward, and the gradient of the input.
//!
//! Along an axis of the gradient of the input, element i and tap k meet dy at (i + padding − k · dilation) / stride, where the
//! division is exact. So the elements are divided into classes by their remainder modulo the stride: those of a class meet the
//! same taps, and neighbours of a class meet neighbours of dy. Then it is the same sum as forward, of each class on its own.

use std::ops::Range;

use super::tile::{Correlation, Index, Simd};
use super::{Axis, Kernel, LANES};
use crate::Float;
use crate::matmul::Parts;

/// Along one axis: position t and tap m meet the input at `x` + t · `x_step` + m · `x_tap`, where that is within its `length`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    length: usize,
    x: isize,
    x_step: isize,
    /// Not 0.
    x_tap: isize,
    /// How many taps, the first one's place in the kernel, and how far they are apart there.
    taps: usize,
    w: usize,
    w_step: usize,
    /// How many positions, the first one's place in the output, and how far they are apart there.
    count: usize,
    y: usize,
    y_step: usize,
}

/// Neighbouring positions that meet the input with the same taps.
#[derive(Debug, Clone)]
struct Run {
    positions: Range<usize>,
    taps: Range<usize>,
}

impl Line {
    /// The outputs.
    pub fn forward(axis: Axis) -> Self {
        Line {
            length: axis.input,
            x: -(axis.padding as isize),
            x_step: axis.stride as isize,
            x_tap: axis.dilation as isize,
            taps: axis.kernel,
            w: 0,
            w_step: 1,
            count: axis.output,
            y: 0,
            y_step: 1,
        }
    }

    /// The inputs, in classes.
    pub fn backward(axis: Axis) -> impl Iterator<Item = Line> {
        let Axis {
            input,
            kernel,
            stride,
            dilation,
            padding,
            output,
        } = axis;
        (0..stride.min(input)).map(move |first| {
            let away = |tap: usize| first as isize + padding as isize - (tap * dilation) as isize;
            let mut taps = (0..kernel).filter(|&tap| away(tap) % stride as isize == 0);
            let (w, next) = (taps.next(), taps.next());
            let start = w.unwrap_or(0);
            let w_step = next.map_or(kernel, |next| next - start);
            Line {
                length: output,
                x: away(start) / stride as isize,
                x_step: 1,
                x_tap: next.map_or(1, |next| (away(next) - away(start)) / stride as isize),
                taps: if w.is_some() {
                    (kernel - start).div_ceil(w_step)
                } else {
                    0
                },
                w: start,
                w_step,
                count: (input - first).div_ceil(stride),
                y: first,
                y_step: stride,
            }
        })
    }

    /// The taps that don't fall on padding at this position.
    fn inside(&self, position: usize) -> Range<usize> {
        // Tap m is inside if 0 ≤ x + m · x_tap < length. Mirrored, so that x_tap is positive.
        let x = self.x + position as isize * self.x_step;
        let length = self.length as isize;
        let (x, step) = if self.x_tap > 0 {
            (x, self.x_tap)
        } else {
            (length - 1 - x, -self.x_tap)
        };
        // The first tap that is at `limit` or further.
        let reaching = |limit: isize| ((limit - x).max(0) as usize).div_ceil(step as usize);
        let end = reaching(length).min(self.taps);
        let start = reaching(0);
        if start < end { start..end } else { 0..0 }
    }

    fn runs(&self) -> impl Iterator<Item = Run> {
        let mut start = 0;
        std::iter::from_fn(move || {
            if start == self.count {
                return None;
            }
            let taps = self.inside(start);
            let end = (start + 1..self.count).find(|&position| self.inside(position) != taps);
            let positions = start..end.unwrap_or(self.count);
            start = positions.end;
            Some(Run { positions, taps })
        })
    }
}

/// For each output channel and position, a sum over input channels and taps. Distances are those in memory.
pub(super) struct Sums {
    pub rows: Line,
    pub columns: Line,
    pub outputs: usize,
    pub channels: usize,
    pub x: *const Float,
    pub x_channel: usize,
    pub w: *const Float,
    pub w_output: usize,
    pub w_channel: usize,
    pub w_row: usize,
    /// Null for zeros.
    pub b: *const Float,
    pub y: *mut Float,
    pub y_output: usize,
    pub y_row: usize,
}

impl Kernel for Sums {
    /// Goes over rectangles of positions that meet the same taps.
    unsafe fn compute<S: Simd>(&self) {
        let outputs = Parts::new(self.outputs, S::OUTPUTS);
        let width = S::width(outputs.longest());
        for rows in self.rows.runs() {
            for columns in self.columns.runs() {
                let (height, across) = (rows.positions.len(), columns.positions.len());
                let horizontal = height * across.div_ceil(width) <= across * height.div_ceil(width);
                let (lines, length) = if horizontal { (height, across) } else { (across, height) };
                for line in 0..lines {
                    for (position, positions) in Parts::new(length, width).iter() {
                        let (row, column) = if horizontal { (line, position) } else { (position, line) };
                        for (output, count) in outputs.iter() {
                            let mut tile = self.tile(
                                output,
                                rows.positions.start + row,
                                rows.taps.clone(),
                                columns.positions.start + column,
                                columns.taps.clone(),
                                horizontal,
                            );
                            let run = S::correlation(count, positions);
                            for _ in 0..LANES / S::VECTOR {
                                // SAFETY: the caller's; the taps are inside at all positions of the tile.
                                unsafe { run(&tile) }
                                tile.x = tile.x.wrapping_add(S::VECTOR);
                                tile.y = tile.y.wrapping_add(S::VECTOR);
                            }
                        }
                    }
                }
            }
        }
    }
}

impl Sums {
    /// The tile whose first output channel and position these are.
    #[inline(always)]
    fn tile(
        &self,
        output: usize,
        row: usize,
        row_taps: Range<usize>,
        column: usize,
        column_taps: Range<usize>,
        horizontal: bool,
    ) -> Correlation {
        let Sums { rows, columns, .. } = self;
        let lanes = LANES as isize;
        let x_row = columns.length as isize * lanes;
        let x = (rows.x + row as isize * rows.x_step + row_taps.start as isize * rows.x_tap) * x_row
            + (columns.x + column as isize * columns.x_step + column_taps.start as isize * columns.x_tap) * lanes;
        let w = output * self.w_output
            + (rows.w + row_taps.start * rows.w_step) * self.w_row
            + columns.w
            + column_taps.start * columns.w_step;
        let y = output * self.y_output
            + (rows.y + row * rows.y_step) * self.y_row
            + (columns.y + column * columns.y_step) * LANES;
        let mut chain = [
            Index {
                count: self.channels,
                x: self.x_channel as isize,
                w: self.w_channel as isize,
            },
            Index {
                count: row_taps.len(),
                x: rows.x_tap * x_row,
                w: (rows.w_step * self.w_row) as isize,
            },
            Index {
                count: column_taps.len(),
                x: columns.x_tap * lanes,
                w: columns.w_step as isize,
            },
        ];
        // The innermost loop is the cheapest.
        while chain[2].count == 1 && chain[0].count * chain[1].count > 1 {
            chain.rotate_right(1);
        }
        Correlation {
            chain,
            x: self.x.wrapping_offset(x),
            x_position: if horizontal {
                columns.x_step * lanes
            } else {
                rows.x_step * x_row
            },
            w: self.w.wrapping_add(w),
            w_output: self.w_output as isize,
            b: if self.b.is_null() {
                self.b
            } else {
                self.b.wrapping_add(output)
            },
            y: self.y.wrapping_add(y),
            y_output: self.y_output as isize,
            y_position: (if horizontal {
                columns.y_step * LANES
            } else {
                rows.y_step * self.y_row
            }) as isize,
        }
    }
}
