//! Images of one sample, or of several side by side.
//!
//! A pixel is an array: of one number where samples lie one after the other, of [`LANES`](gradus_kernels::interleaved::LANES) numbers
//! where they are interleaved. So one loop over pixels, written for any length of the arrays, serves both layouts.

use crate::Float;

/// Values as pixels of `N` numbers.
pub(super) fn pixels<const N: usize>(values: &[Float]) -> &[[Float; N]] {
    values.as_chunks().0
}

/// [`pixels`], to be written.
pub(super) fn pixels_mut<const N: usize>(values: &mut [Float]) -> &mut [[Float; N]] {
    values.as_chunks_mut().0
}
