//! Max pooling of samples side by side.

use std::ops::Range;

use super::tile::Simd;
use super::{Axis, Kernel, LANES, checked_axes, run};
use crate::Float;
use crate::simd::Vector;

/// Max pooling of [`LANES`] samples side by side: y\[i, j\] is the largest x in the window of (i, j), channel by channel.
///
/// The padding never wins, and of equal values the first does, row by row; NaN wins always, so that it is not hidden. Every
/// window has to see the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPool {
    /// Down.
    pub rows: Axis,
    /// Across.
    pub columns: Axis,
}

impl MaxPool {
    /// Computes y `[channels][rows.output][columns.output][LANES]` from x `[channels][rows.input][columns.input][LANES]`; and, for
    /// the gradient, which tap of each window it is, of the shape of y.
    ///
    /// # Panics
    /// If the slices are not images of as many channels, the sizes make no pooling, a window doesn't see the image, or the taps are
    /// asked for and are more than a [`Float`] can number.
    pub fn forward(&self, x: &[Float], y: &mut [Float], taps: Option<&mut [Float]>) {
        let (pool, channels) = self.checked(x, y);
        if let Some(taps) = &taps {
            pool.check_taps(taps, y);
        }
        run(&Pooling {
            pool,
            channels,
            x: x.as_ptr(),
            y: y.as_mut_ptr(),
            taps: taps.map_or(std::ptr::null_mut(), <[Float]>::as_mut_ptr),
        });
    }

    /// dx ← the gradient of the input: each dy is added to the dx of its window's largest value.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    pub fn input_gradient(&self, taps: &[Float], dy: &[Float], dx: &mut [Float]) {
        let (pool, channels) = self.checked(dx, dy);
        pool.check_taps(taps, dy);
        dx.fill(0.0);
        run(&Spreading {
            pool,
            channels,
            taps: taps.as_ptr(),
            dy: dy.as_ptr(),
            dx: dx.as_mut_ptr(),
        });
    }

    /// Itself, if x and y are images of these sizes, and how many channels they have.
    fn checked(&self, x: &[Float], y: &[Float]) -> (Self, usize) {
        let [rows, columns] = checked_axes(self.rows, self.columns);
        let pool = MaxPool { rows, columns };
        assert!(rows.kernel > 0 && columns.kernel > 0, "a window has no taps");
        let (n, m) = (pool.x_channel(), pool.y_channel());
        assert!(
            n > 0 && m > 0 && x.len().is_multiple_of(n) && y.len().is_multiple_of(m) && x.len() / n == y.len() / m,
            "x and y are not images of these sizes with as many channels"
        );
        let channels = y.len() / m;
        assert!(
            channels == 0 || rows.every_output_sees_the_input() && columns.every_output_sees_the_input(),
            "a window sees nothing of the image"
        );
        (pool, channels)
    }

    /// Refuses taps that are not one for each element of y, or that have numbers between which a float can't tell.
    fn check_taps(&self, taps: &[Float], y: &[Float]) {
        assert_eq!(taps.len(), y.len(), "taps has not the size of y");
        assert!(
            (self.rows.kernel * self.columns.kernel) as u64 <= 1 << Float::MANTISSA_DIGITS,
            "a window has more taps than a float can number"
        );
    }

    fn x_channel(&self) -> usize {
        self.rows.input * self.columns.input * LANES
    }

    fn y_channel(&self) -> usize {
        self.rows.output * self.columns.output * LANES
    }

    /// The outputs of a row whose windows are inside from the first column to the last: most of them.
    fn whole(&self) -> Range<usize> {
        let (first, last) = (self.columns.outputs(0), self.columns.outputs(self.columns.kernel - 1));
        first.start.max(last.start)..first.end.min(last.end)
    }

    /// The columns of the window of output column `j` that are within the image.
    #[inline(always)]
    fn across(&self, j: usize, whole: &Range<usize>) -> Range<usize> {
        if whole.contains(&j) {
            0..self.columns.kernel
        } else {
            self.columns.taps(j)
        }
    }

    /// Where in its channel of x the tap meets the output.
    #[inline(always)]
    fn pixel(&self, [i, j]: [usize; 2], [k, l]: [usize; 2]) -> usize {
        let MaxPool { rows, columns } = self;
        let row = i * rows.stride + k * rows.dilation - rows.padding;
        let column = j * columns.stride + l * columns.dilation - columns.padding;
        (row * columns.input + column) * LANES
    }
}

/// What a forward pass works on; `taps` may be null.
pub(super) struct Pooling {
    pool: MaxPool,
    channels: usize,
    x: *const Float,
    y: *mut Float,
    taps: *mut Float,
}

impl Kernel for Pooling {
    unsafe fn compute<S: Simd>(&self) {
        // SAFETY: the caller's.
        unsafe { S::pooling()(self) }
    }
}

/// # Safety
/// The processor has the instructions of `V`; the pool is [`checked`](MaxPool::checked), and the pointers reach over so many channels.
#[inline(always)]
pub(super) unsafe fn pooling<V: Vector>(t: &Pooling) {
    let pool = &t.pool;
    let (width, whole) = (pool.columns.kernel, pool.whole());
    let mut place = 0;
    for channel in 0..t.channels {
        let x = t.x.wrapping_add(channel * pool.x_channel());
        for i in 0..pool.rows.output {
            let down = pool.rows.taps(i);
            for j in 0..pool.columns.output {
                let across = pool.across(j, &whole);
                for part in (0..LANES).step_by(V::LANES) {
                    // SAFETY: the taps are within the image, the place within y and taps.
                    unsafe {
                        let mut largest = V::splat(Float::NEG_INFINITY);
                        let mut which = V::splat(0.0);
                        // From the last to the first, so that of equal values the first wins.
                        for k in down.clone().rev() {
                            for l in across.clone().rev() {
                                let value = V::load(x.add(pool.pixel([i, j], [k, l]) + part));
                                which = value.if_at_least(largest, V::splat((k * width + l) as Float), which);
                                largest = value.if_at_least(largest, value, largest);
                            }
                        }
                        largest.store(t.y.add(place + part));
                        if !t.taps.is_null() {
                            which.store(t.taps.add(place + part));
                        }
                    }
                }
                place += LANES;
            }
        }
    }
}

/// What a backward pass works on.
pub(super) struct Spreading {
    pool: MaxPool,
    channels: usize,
    taps: *const Float,
    dy: *const Float,
    dx: *mut Float,
}

impl Kernel for Spreading {
    unsafe fn compute<S: Simd>(&self) {
        // SAFETY: the caller's.
        unsafe { S::spreading()(self) }
    }
}

/// # Safety
/// As [`pooling`].
#[inline(always)]
pub(super) unsafe fn spreading<V: Vector>(t: &Spreading) {
    let pool = &t.pool;
    let (width, whole) = (pool.columns.kernel, pool.whole());
    let mut place = 0;
    for channel in 0..t.channels {
        let dx = t.dx.wrapping_add(channel * pool.x_channel());
        for i in 0..pool.rows.output {
            let down = pool.rows.taps(i);
            for j in 0..pool.columns.output {
                let across = pool.across(j, &whole);
                for part in (0..LANES).step_by(V::LANES) {
                    // SAFETY: as in `pooling`.
                    unsafe {
                        let which = V::load(t.taps.add(place + part));
                        let dy = V::load(t.dy.add(place + part));
                        for k in down.clone() {
                            for l in across.clone() {
                                let dx = dx.add(pool.pixel([i, j], [k, l]) + part);
                                let share = which.if_equal(V::splat((k * width + l) as Float), dy);
                                V::load(dx).add(share).store(dx);
                            }
                        }
                    }
                }
                place += LANES;
            }
        }
    }
}
