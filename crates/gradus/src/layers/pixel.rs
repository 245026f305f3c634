//! What lies at a pixel of an image: a number of one sample, or one each of several samples side by side.
//!
//! A loop over pixels that is written for any [`Pixel`] serves both layouts of samples: sample after sample, a channel is a
//! plane of numbers; interleaved, of [`LANES`] numbers at each pixel.

use gradus_kernels::lanes::LANES;

use crate::Float;

/// A number, or one each of [`LANES`] samples.
pub(super) trait Pixel: Copy {
    /// The same number everywhere.
    fn splat(value: Float) -> Self;

    /// f of the three pixels' numbers, for each sample.
    fn zip3(self, b: Self, c: Self, f: impl Fn(Float, Float, Float) -> Float) -> Self;

    /// f of the two pixels' numbers, for each sample.
    #[inline(always)]
    fn zip(self, b: Self, f: impl Fn(Float, Float) -> Float) -> Self {
        self.zip3(b, b, |a, b, _| f(a, b))
    }

    /// f of each number.
    #[inline(always)]
    fn map(self, f: impl Fn(Float) -> Float) -> Self {
        self.zip3(self, self, |a, _, _| f(a))
    }
}

impl Pixel for Float {
    #[inline(always)]
    fn splat(value: Float) -> Self {
        value
    }

    #[inline(always)]
    fn zip3(self, b: Self, c: Self, f: impl Fn(Float, Float, Float) -> Float) -> Self {
        f(self, b, c)
    }
}

impl Pixel for [Float; LANES] {
    #[inline(always)]
    fn splat(value: Float) -> Self {
        [value; LANES]
    }

    #[inline(always)]
    fn zip3(self, b: Self, c: Self, f: impl Fn(Float, Float, Float) -> Float) -> Self {
        std::array::from_fn(|lane| f(self[lane], b[lane], c[lane]))
    }
}

/// Interleaved samples as pixels.
pub(super) fn pixels(values: &[Float]) -> &[[Float; LANES]] {
    values.as_chunks().0
}

/// [`pixels`], to be written.
pub(super) fn pixels_mut(values: &mut [Float]) -> &mut [[Float; LANES]] {
    values.as_chunks_mut().0
}
