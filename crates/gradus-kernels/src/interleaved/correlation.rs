//! The passes whose every element is a sum over channels and taps: forward, and the gradient of the input.
//!
//! Along an axis of the gradient of the input, element i and tap k meet dy at (i + padding − k · dilation) / stride, where the
//! division is exact. So the elements are divided into classes by their remainder modulo the stride: those of a class meet the
//! same taps, and neighbors of a class meet neighbors of dy. Then it is the same sum as forward, of each class on its own.

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

/// Neighboring positions that meet the input with the same taps.
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

    /// Where a run's first position and tap are in memory, and how far its others are apart, where inputs, outputs and taps of
    /// the axis lie so far apart.
    fn steps(&self, run: &Run, x: usize, y: usize, w: usize) -> Steps {
        let (position, tap, x) = (run.positions.start, run.taps.start, x as isize);
        Steps {
            positions: run.positions.len(),
            first_x: (self.x + position as isize * self.x_step + tap as isize * self.x_tap) * x,
            x: self.x_step * x,
            first_y: ((self.y + position * self.y_step) * y) as isize,
            y: (self.y_step * y) as isize,
            first_w: (self.w + tap * self.w_step) * w,
            taps: Index {
                count: run.taps.len(),
                x: self.x_tap * x,
                w: (self.w_step * w) as isize,
            },
        }
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

/// A run in memory.
struct Steps {
    positions: usize,
    first_x: isize,
    x: isize,
    first_y: isize,
    y: isize,
    first_w: usize,
    taps: Index,
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
        for rows in self.rows.runs() {
            for columns in self.columns.runs() {
                // SAFETY: the caller's; the taps are inside at all positions.
                unsafe { self.rectangle::<S>(outputs, &rows, &columns) }
            }
        }
    }
}

impl Sums {
    /// Computes the sums of these positions, in tiles across or down, whichever are fewer.
    ///
    /// # Safety
    /// As [`Kernel::compute`], and the taps are within the input at all positions.
    unsafe fn rectangle<S: Simd>(&self, outputs: Parts, rows: &Run, columns: &Run) {
        let width = S::width(outputs.longest());
        let down = self
            .rows
            .steps(rows, self.columns.length * LANES, self.y_row, self.w_row);
        let across = self.columns.steps(columns, LANES, LANES, 1);
        let tiles = |steps: &Steps, other: &Steps| other.positions * steps.positions.div_ceil(width);
        let (line, along) = if tiles(&across, &down) <= tiles(&down, &across) {
            (&down, &across)
        } else {
            (&across, &down)
        };
        let mut chain = [
            Index {
                count: self.channels,
                x: self.x_channel as isize,
                w: self.w_channel as isize,
            },
            down.taps,
            across.taps,
        ];
        // Nothing is added up at once, however often.
        if chain.iter().any(|index| index.count == 0) {
            chain[0].count = 0;
        }
        // The innermost loop is the cheapest.
        while chain[2].count == 1 && chain[0].count * chain[1].count > 1 {
            chain.rotate_right(1);
        }
        let mut tile = Correlation {
            chain,
            x: self.x,
            x_position: along.x,
            w: self.w,
            w_output: self.w_output as isize,
            b: self.b,
            y: self.y,
            y_output: self.y_output as isize,
            y_position: along.y,
        };
        let w = self.w.wrapping_add(down.first_w + across.first_w);
        let parts = Parts::new(along.positions, width);
        for i in 0..line.positions as isize {
            let mut x = self.x.wrapping_offset(down.first_x + across.first_x + i * line.x);
            let mut y = self.y.wrapping_offset(down.first_y + across.first_y + i * line.y);
            for (_, positions) in parts.iter() {
                for (output, count) in outputs.iter() {
                    let run = S::correlation(count, positions);
                    tile.w = w.wrapping_add(output * self.w_output);
                    if !self.b.is_null() {
                        tile.b = self.b.wrapping_add(output);
                    }
                    for lane in (0..LANES).step_by(S::VECTOR) {
                        tile.x = x.wrapping_add(lane);
                        tile.y = y.wrapping_add(output * self.y_output + lane);
                        // SAFETY: the caller's.
                        unsafe { run(&tile) }
                    }
                }
                x = x.wrapping_offset(positions as isize * along.x);
                y = y.wrapping_offset(positions as isize * along.y);
            }
        }
    }
}
