//! Convolution of one sample: vectors of neighboring positions.

use super::tile::Simd;
use super::{Convolution, Kernel, Sizes, run};
use crate::Float;
use crate::matmul::Parts;
use crate::simd::Vector;

/// The most output channels of a tile, and the most vectors of positions.
const OUTPUTS: usize = 4;
const VECTORS: usize = 6;

impl Convolution {
    /// As [`forward`](Self::forward), for one sample: x `[in_channels][rows.input][columns.input]` and y `[out_channels][rows.output]
    /// [columns.output]`. Every number has the bits that it has in a lane.
    ///
    /// # Panics
    /// As [`forward`](Self::forward); or if there is padding, or a stride other than 1: see [`takes_one`](Self::takes_one).
    pub fn forward_one(&self, x: &[Float], w: &[Float], b: Option<&[Float]>, y: &mut [Float]) {
        assert!(self.takes_one(), "a single sample needs a stride of 1 and no padding");
        let sizes = self.sizes();
        sizes.check_lengths(x, w, y, 1);
        assert!(
            b.is_none_or(|b| b.len() == self.out_channels),
            "b has not one value for each output channel"
        );
        if y.is_empty() {
            return;
        }
        let (x_plane, y_plane) = (
            sizes.rows.input * sizes.columns.input,
            sizes.rows.output * sizes.columns.output,
        );
        for (group, y) in y.chunks_exact_mut(sizes.group_out * y_plane).enumerate() {
            run(&Single {
                sizes,
                x: x[group * sizes.group_in * x_plane..].as_ptr(),
                w: w[group * sizes.w_group()..].as_ptr(),
                b: b.map_or(std::ptr::null(), |b| b[group * sizes.group_out..].as_ptr()),
                y: y.as_mut_ptr(),
            });
        }
    }

    /// Whether [`forward_one`](Self::forward_one) can compute it: the stride is 1, and all windows are within the image.
    pub fn takes_one(&self) -> bool {
        [self.rows, self.columns].iter().all(|axis| {
            let span = axis.kernel.saturating_sub(1).saturating_mul(axis.dilation);
            axis.stride == 1 && axis.padding == 0 && axis.output.saturating_add(span) <= axis.input
        })
    }
}

/// One group of a convolution.
struct Single {
    sizes: Sizes,
    x: *const Float,
    w: *const Float,
    b: *const Float,
    y: *mut Float,
}

/// Sums for some output channels and vectors of positions.
pub(super) struct Patch {
    sizes: Sizes,
    x: *const Float,
    w: *const Float,
    b: *const Float,
    y: *mut Float,
    /// For each vector, where its window begins in a channel of x, where it lies in a channel of y, and how much of it counts.
    vectors: [(usize, usize, usize); VECTORS],
}

impl Kernel for Single {
    unsafe fn compute<S: Simd>(&self) {
        let Sizes { rows, columns, .. } = self.sizes;
        let plane = rows.output * columns.output;
        let w_output = self.sizes.group_in * self.sizes.taps();
        let per_row = columns.output.div_ceil(S::VECTOR);
        let all = rows.output * per_row;
        for (vector, count) in Parts::new(all, S::SINGLE).iter() {
            let vectors = std::array::from_fn(|i| {
                // What is beyond the tile is not looked at.
                let (row, part) = ((vector + i) / per_row, (vector + i) % per_row * S::VECTOR);
                let width = columns.output.saturating_sub(part).min(S::VECTOR);
                (row * columns.input + part, row * columns.output + part, width)
            });
            for (output, outputs) in Parts::new(self.sizes.group_out, OUTPUTS).iter() {
                let patch = Patch {
                    sizes: self.sizes,
                    x: self.x,
                    w: self.w.wrapping_add(output * w_output),
                    b: if self.b.is_null() {
                        self.b
                    } else {
                        self.b.wrapping_add(output)
                    },
                    y: self.y.wrapping_add(output * plane),
                    vectors,
                };
                // SAFETY: the caller's; the vectors that count are within the image.
                unsafe { S::single(outputs, count)(&patch) }
            }
        }
    }
}

/// # Safety
/// The processor has the instructions of `V`; the pointers reach over the channels of a patch of so many outputs and vectors.
#[inline(always)]
pub(super) unsafe fn single<V: Vector, const OUTPUTS: usize, const VECTORS: usize>(t: &Patch) {
    let Sizes { rows, columns, .. } = t.sizes;
    let x_channel = rows.input * columns.input;
    let w_output = t.sizes.group_in * t.sizes.taps();
    let y_output = rows.output * columns.output;
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [[V::splat(0.0); VECTORS]; OUTPUTS];
        if !t.b.is_null() {
            for (o, sums) in sums.iter_mut().enumerate() {
                *sums = [V::splat(*t.b.add(o)); VECTORS];
            }
        }
        let mut w = t.w;
        for c in 0..t.sizes.group_in {
            for k in 0..rows.kernel {
                let row = t.x.add(c * x_channel + k * rows.dilation * columns.input);
                for l in 0..columns.kernel {
                    let x = row.wrapping_add(l * columns.dilation);
                    let mut values = [V::splat(0.0); VECTORS];
                    for (value, vector) in values.iter_mut().zip(&t.vectors) {
                        *value = V::load_first(x.wrapping_add(vector.0), vector.2);
                    }
                    for (o, sums) in sums.iter_mut().enumerate() {
                        let weight = V::splat(*w.add(o * w_output));
                        for (sum, &value) in sums.iter_mut().zip(&values) {
                            *sum = sum.add_product(weight, value);
                        }
                    }
                    w = w.add(1);
                }
            }
        }
        for (o, sums) in sums.iter().enumerate() {
            for (sum, vector) in sums.iter().zip(&t.vectors) {
                sum.store_first(t.y.add(o * y_output + vector.1), vector.2);
            }
        }
    }
}
