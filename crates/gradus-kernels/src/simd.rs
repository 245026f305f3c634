//! Vectors of the instruction sets, for kernels that keep sums in registers.

use crate::{Float, SUMS};

/// The operations on a vector that the kernels need. All of them want a processor with the instructions, and pointers to as many
/// values as they read or write.
pub(crate) trait Vector: Copy {
    /// Floats in a vector.
    const LANES: usize;
    unsafe fn splat(x: Float) -> Self;
    unsafe fn load(p: *const Float) -> Self;
    /// Loads the first `count` values only; the others are zero.
    unsafe fn load_first(p: *const Float, count: usize) -> Self;
    unsafe fn store(self, p: *mut Float);
    /// Stores the first `count` values only.
    unsafe fn store_first(self, p: *mut Float, count: usize);
    /// self + x·y, rounded once.
    unsafe fn add_product(self, x: Self, y: Self) -> Self;
    /// self + x.
    unsafe fn add(self, x: Self) -> Self;
    /// a where self is at least x, or NaN; else b.
    unsafe fn if_at_least(self, x: Self, a: Self, b: Self) -> Self;
    /// a where self equals x; else 0.
    unsafe fn if_equal(self, x: Self, a: Self) -> Self;
    /// The sum of [`SUMS`] values: the upper half is added to the lower half until one is left.
    unsafe fn sum(p: *const Float) -> Float;
}

/// x·y + z, rounded once, where the processor may have no instruction for it: the function of the C library that the compiler
/// would call is many times slower, and can't be vectorized.
///
/// In `f64` the product is exact; the sum is rounded to odd, that is to the one of its two neighbors whose last bit is 1, and
/// then rounding it to `f32` is as if the sum had been exact (S. Boldo and G. Melquiond, "Emulation of FMA and correctly
/// rounded sums: proved algorithms using rounding to odd", 2008).
#[cfg(all(target_arch = "x86_64", not(gradus_f64)))]
#[inline(always)]
pub(crate) fn fused(x: f32, y: f32, z: f32) -> f32 {
    let (product, z) = (f64::from(x) * f64::from(y), f64::from(z));
    let sum = product + z;
    // What the rounding lost (D. Knuth).
    let part = sum - product;
    let lost = (product - (sum - part)) + (z - part);
    // Away from zero the next float has the next bits. An infinite sum lost NaN, and stays.
    let outwards = (lost > 0.0) == (sum > 0.0);
    let even = sum.to_bits() & 1 == 0;
    let step = if outwards { 1 } else { u64::MAX };
    let step = if even && lost.abs() > 0.0 { step } else { 0 };
    f64::from_bits(sum.to_bits().wrapping_add(step)) as f32
}

/// x·y + z, rounded once.
#[cfg(not(all(target_arch = "x86_64", not(gradus_f64))))]
#[inline(always)]
pub(crate) fn fused(x: Float, y: Float, z: Float) -> Float {
    x.mul_add(y, z)
}

/// A vector in plain code. The compiler makes what it can of it.
#[derive(Clone, Copy)]
#[cfg_attr(all(target_arch = "aarch64", not(gradus_f64)), allow(dead_code))]
pub(crate) struct Array([Float; 4]);

/// The vector that every processor of the target has.
#[cfg(not(all(target_arch = "aarch64", not(gradus_f64))))]
pub(crate) type Plain = Array;
/// The vector that every processor of the target has: NEON's.
#[cfg(all(target_arch = "aarch64", not(gradus_f64)))]
pub(crate) type Plain = std::arch::aarch64::float32x4_t;

impl Vector for Array {
    const LANES: usize = 4;
    #[inline(always)]
    unsafe fn splat(x: Float) -> Self {
        Array([x; 4])
    }
    #[inline(always)]
    unsafe fn load(p: *const Float) -> Self {
        // SAFETY: the caller's; arrays of floats need no more alignment than floats.
        Array(unsafe { *p.cast::<[Float; 4]>() })
    }
    #[inline(always)]
    unsafe fn load_first(p: *const Float, count: usize) -> Self {
        // SAFETY: the caller's.
        Array(std::array::from_fn(
            |i| if i < count { unsafe { *p.add(i) } } else { 0.0 },
        ))
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut Float) {
        // SAFETY: the caller's.
        unsafe { *p.cast::<[Float; 4]>() = self.0 }
    }
    #[inline(always)]
    unsafe fn store_first(self, p: *mut Float, count: usize) {
        for (i, &x) in self.0.iter().take(count).enumerate() {
            // SAFETY: the caller's.
            unsafe { *p.add(i) = x }
        }
    }
    #[inline(always)]
    unsafe fn add_product(self, x: Self, y: Self) -> Self {
        Array(std::array::from_fn(|i| fused(x.0[i], y.0[i], self.0[i])))
    }
    #[inline(always)]
    unsafe fn add(self, x: Self) -> Self {
        Array(std::array::from_fn(|i| self.0[i] + x.0[i]))
    }
    #[inline(always)]
    unsafe fn if_at_least(self, x: Self, a: Self, b: Self) -> Self {
        let wins = |i: usize| self.0[i] >= x.0[i] || self.0[i].is_nan();
        Array(std::array::from_fn(|i| if wins(i) { a.0[i] } else { b.0[i] }))
    }
    #[inline(always)]
    unsafe fn if_equal(self, x: Self, a: Self) -> Self {
        Array(std::array::from_fn(|i| if self.0[i] == x.0[i] { a.0[i] } else { 0.0 }))
    }
    #[inline(always)]
    unsafe fn sum(p: *const Float) -> Float {
        // SAFETY: the caller's.
        let mut sums = unsafe { *p.cast::<[Float; SUMS]>() };
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                sums[i] += sums[i + half];
            }
        }
        sums[0]
    }
}

#[cfg(all(target_arch = "x86_64", not(gradus_f64)))]
mod x86 {
    use std::arch::x86_64::*;

    use super::Vector;

    impl Vector for __m256 {
        const LANES: usize = 8;
        #[inline(always)]
        unsafe fn splat(x: f32) -> Self {
            // SAFETY: the caller's, as in all of these.
            unsafe { _mm256_set1_ps(x) }
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> Self {
            unsafe { _mm256_loadu_ps(p) }
        }
        #[inline(always)]
        unsafe fn load_first(p: *const f32, count: usize) -> Self {
            unsafe { _mm256_maskload_ps(p, first(count)) }
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut f32) {
            unsafe { _mm256_storeu_ps(p, self) }
        }
        #[inline(always)]
        unsafe fn store_first(self, p: *mut f32, count: usize) {
            unsafe { _mm256_maskstore_ps(p, first(count), self) }
        }
        #[inline(always)]
        unsafe fn add_product(self, x: Self, y: Self) -> Self {
            unsafe { _mm256_fmadd_ps(x, y, self) }
        }
        #[inline(always)]
        unsafe fn add(self, x: Self) -> Self {
            unsafe { _mm256_add_ps(self, x) }
        }
        #[inline(always)]
        unsafe fn if_at_least(self, x: Self, a: Self, b: Self) -> Self {
            unsafe {
                let at_least = _mm256_cmp_ps::<_CMP_GE_OQ>(self, x);
                let nan = _mm256_cmp_ps::<_CMP_UNORD_Q>(self, self);
                _mm256_blendv_ps(b, a, _mm256_or_ps(at_least, nan))
            }
        }
        #[inline(always)]
        unsafe fn if_equal(self, x: Self, a: Self) -> Self {
            unsafe { _mm256_and_ps(_mm256_cmp_ps::<_CMP_EQ_OQ>(self, x), a) }
        }
        #[inline(always)]
        unsafe fn sum(p: *const f32) -> f32 {
            unsafe {
                let eight = _mm256_add_ps(_mm256_loadu_ps(p), _mm256_loadu_ps(p.add(8)));
                let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
                let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
                _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
            }
        }
    }

    /// A mask of the first `count` of 8 lanes.
    #[inline(always)]
    unsafe fn first(count: usize) -> __m256i {
        unsafe {
            _mm256_cmpgt_epi32(
                _mm256_set1_epi32(count as i32),
                _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7),
            )
        }
    }

    impl Vector for __m512 {
        const LANES: usize = 16;
        #[inline(always)]
        unsafe fn splat(x: f32) -> Self {
            unsafe { _mm512_set1_ps(x) }
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> Self {
            unsafe { _mm512_loadu_ps(p) }
        }
        #[inline(always)]
        unsafe fn load_first(p: *const f32, count: usize) -> Self {
            unsafe { _mm512_maskz_loadu_ps(((1u32 << count) - 1) as __mmask16, p) }
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut f32) {
            unsafe { _mm512_storeu_ps(p, self) }
        }
        #[inline(always)]
        unsafe fn store_first(self, p: *mut f32, count: usize) {
            unsafe { _mm512_mask_storeu_ps(p, ((1u32 << count) - 1) as __mmask16, self) }
        }
        #[inline(always)]
        unsafe fn add_product(self, x: Self, y: Self) -> Self {
            unsafe { _mm512_fmadd_ps(x, y, self) }
        }
        #[inline(always)]
        unsafe fn add(self, x: Self) -> Self {
            unsafe { _mm512_add_ps(self, x) }
        }
        #[inline(always)]
        unsafe fn if_at_least(self, x: Self, a: Self, b: Self) -> Self {
            unsafe {
                let at_least = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(self, x);
                let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(self, self);
                _mm512_mask_blend_ps(at_least | nan, b, a)
            }
        }
        #[inline(always)]
        unsafe fn if_equal(self, x: Self, a: Self) -> Self {
            unsafe { _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_EQ_OQ>(self, x), a) }
        }
        #[inline(always)]
        unsafe fn sum(p: *const f32) -> f32 {
            unsafe { __m256::sum(p) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fused_is_rounded_once() {
        let mut state = 1u64;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 32) as u32
        };
        let special = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            Float::MAX,
            Float::MIN_POSITIVE,
            Float::INFINITY,
            Float::NEG_INFINITY,
            1e-45,
        ];
        for round in 0..3_000_000u32 {
            // Any bits, numbers of like size, few bits (ties), and special ones.
            let mut number = || -> Float {
                let bits = random();
                match round % 4 {
                    0 => f32::from_bits(bits) as Float,
                    1 => f32::from_bits(bits & 0x81FF_FFFF | 0x3E00_0000) as Float,
                    2 => f32::from_bits(bits & 0x83F0_0003 | 0x3C00_0000) as Float,
                    _ => special[bits as usize % special.len()],
                }
            };
            let (x, y) = (number(), number());
            // Half the time nearly the negative product, so that the sum cancels.
            let z = if round % 8 < 4 {
                number()
            } else {
                -(x * y) * (1.0 + Float::EPSILON * (number() % 4.0))
            };
            let (found, expected) = (fused(x, y, z), x.mul_add(y, z));
            assert!(
                found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan()),
                "{x:e} · {y:e} + {z:e} = {found:e}, not {expected:e}"
            );
        }
    }
}

#[cfg(all(target_arch = "aarch64", not(gradus_f64)))]
mod neon {
    use std::arch::aarch64::*;

    use super::Vector;

    // Every processor of this architecture has these instructions.
    impl Vector for float32x4_t {
        const LANES: usize = 4;
        #[inline(always)]
        unsafe fn splat(x: f32) -> Self {
            // SAFETY: the caller's, as in all of these.
            unsafe { vdupq_n_f32(x) }
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> Self {
            unsafe { vld1q_f32(p) }
        }
        #[inline(always)]
        unsafe fn load_first(p: *const f32, count: usize) -> Self {
            let mut values = [0.0; 4];
            for (i, value) in values.iter_mut().enumerate().take(count) {
                *value = unsafe { *p.add(i) };
            }
            unsafe { vld1q_f32(values.as_ptr()) }
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut f32) {
            unsafe { vst1q_f32(p, self) }
        }
        #[inline(always)]
        unsafe fn store_first(self, p: *mut f32, count: usize) {
            let mut values = [0.0; 4];
            unsafe { vst1q_f32(values.as_mut_ptr(), self) };
            for (i, value) in values.into_iter().enumerate().take(count) {
                unsafe { *p.add(i) = value };
            }
        }
        #[inline(always)]
        unsafe fn add_product(self, x: Self, y: Self) -> Self {
            unsafe { vfmaq_f32(self, x, y) }
        }
        #[inline(always)]
        unsafe fn add(self, x: Self) -> Self {
            unsafe { vaddq_f32(self, x) }
        }
        #[inline(always)]
        unsafe fn if_at_least(self, x: Self, a: Self, b: Self) -> Self {
            unsafe {
                // A number equals itself; NaN doesn't.
                let number = vceqq_f32(self, self);
                let wins = vorrq_u32(vcgeq_f32(self, x), vmvnq_u32(number));
                vbslq_f32(wins, a, b)
            }
        }
        #[inline(always)]
        unsafe fn if_equal(self, x: Self, a: Self) -> Self {
            unsafe { vbslq_f32(vceqq_f32(self, x), a, vdupq_n_f32(0.0)) }
        }
        #[inline(always)]
        unsafe fn sum(p: *const f32) -> f32 {
            unsafe {
                let low = vaddq_f32(vld1q_f32(p), vld1q_f32(p.add(8)));
                let high = vaddq_f32(vld1q_f32(p.add(4)), vld1q_f32(p.add(12)));
                let four = vaddq_f32(low, high);
                let two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
                vget_lane_f32::<0>(two) + vget_lane_f32::<1>(two)
            }
        }
    }
}
