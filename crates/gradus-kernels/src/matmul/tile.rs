//! The innermost part of a product: a tile of C that stays in registers while k runs.

use crate::Float;

/// A tile of C, of as many rows and vectors as the function it is handed to is made for.
pub(super) struct Tile {
    /// The number of products in each element.
    pub k: usize,
    /// A's first element for this tile; element (i, p) is `a_row * i + a_column * p` further.
    pub a: *const Float,
    pub a_row: usize,
    pub a_column: usize,
    /// B's first element for this tile; row p is `b_row * p` further, its columns lie side by side.
    pub b: *const Float,
    pub b_row: usize,
    /// C's first element of this tile; row i is `c_row * i` further.
    pub c: *mut Float,
    pub c_row: usize,
    /// How many columns the last vector has.
    pub last: usize,
    /// Whether sums start from zero, not from C.
    pub from_zero: bool,
}

/// Computes a tile.
///
/// # Safety
/// The processor has the instructions, and the pointers of the tile reach over what they describe.
pub(super) type TileFn = unsafe fn(&Tile);

/// A vector type of some instruction set, and which tiles fit its registers.
///
/// # Safety
/// `tile` returns a function for each tile of 1 to `ROWS` rows and 1 to `vectors(rows)` vectors.
pub(super) unsafe trait Simd {
    /// Floats in a vector.
    const LANES: usize;
    /// The most rows of a tile.
    const ROWS: usize;
    /// The most vectors side by side in a tile of so many rows. Fewer rows may be wider, so that there are always enough
    /// independent sums to hide the latency of an addition.
    fn vectors(rows: usize) -> usize;
    /// The function for tiles of this size; `edge` if the last vector is not full.
    fn tile(rows: usize, vectors: usize, edge: bool) -> TileFn;
}

/// The operations on a vector that a tile needs. All of them want a processor with the instructions, and pointers to as many
/// values as they read or write.
trait Vector: Copy {
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
}

/// The tile for every instruction set: for each p, a column of A times a row of B.
///
/// # Safety
/// As [`TileFn`].
#[inline(always)]
unsafe fn tile<V: Vector, const ROWS: usize, const VECTORS: usize, const EDGE: bool>(t: &Tile) {
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [[V::splat(0.0); VECTORS]; ROWS];
        if !t.from_zero {
            for (i, sums) in sums.iter_mut().enumerate() {
                for (j, sum) in sums.iter_mut().enumerate() {
                    let c = t.c.add(i * t.c_row + j * V::LANES);
                    *sum = if EDGE && j == VECTORS - 1 {
                        V::load_first(c, t.last)
                    } else {
                        V::load(c)
                    };
                }
            }
        }
        let (mut a, mut b) = (t.a, t.b);
        for _ in 0..t.k {
            let mut y = [V::splat(0.0); VECTORS];
            for (j, y) in y.iter_mut().enumerate() {
                let b = b.add(j * V::LANES);
                *y = if EDGE && j == VECTORS - 1 {
                    V::load_first(b, t.last)
                } else {
                    V::load(b)
                };
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let x = V::splat(*a.add(i * t.a_row));
                for (sum, &y) in sums.iter_mut().zip(&y) {
                    *sum = sum.add_product(x, y);
                }
            }
            // The last step leaves the slices.
            a = a.wrapping_add(t.a_column);
            b = b.wrapping_add(t.b_row);
        }
        for (i, sums) in sums.iter().enumerate() {
            for (j, sum) in sums.iter().enumerate() {
                let c = t.c.add(i * t.c_row + j * V::LANES);
                if EDGE && j == VECTORS - 1 {
                    sum.store_first(c, t.last);
                } else {
                    sum.store(c);
                }
            }
        }
    }
}

/// An instruction set: its vector, the features to compile for, and for each number of rows the numbers of vectors.
macro_rules! instruction_set {
    (
        $(#[$doc:meta])* $name:ident, $vector:ty, $(#[$feature:meta])?
        $($rows:literal: $($vectors:literal)+;)+
    ) => {
        $(#[$doc])*
        pub(in crate::matmul) struct $name;

        // SAFETY: every pair of the table has an arm; `vectors` is the last of its line.
        unsafe impl Simd for $name {
            const LANES: usize = <$vector as Vector>::LANES;
            const ROWS: usize = [$($rows),+].len();

            fn vectors(rows: usize) -> usize {
                [$([$($vectors),+].len()),+][rows - 1]
            }

            fn tile(rows: usize, vectors: usize, edge: bool) -> TileFn {
                /// # Safety
                /// As [`TileFn`].
                $(#[$feature])?
                unsafe fn compiled<const ROWS: usize, const VECTORS: usize, const EDGE: bool>(t: &Tile) {
                    // SAFETY: the caller's.
                    unsafe { tile::<$vector, ROWS, VECTORS, EDGE>(t) }
                }
                match (rows, vectors, edge) {
                    $($(
                        ($rows, $vectors, false) => compiled::<$rows, $vectors, false>,
                        ($rows, $vectors, true) => compiled::<$rows, $vectors, true>,
                    )+)+
                    _ => unreachable!("no tile of {rows} rows and {vectors} vectors"),
                }
            }
        }
    };
}

/// x·y + z, rounded once, where the processor may have no instruction for it: the function of the C library that the compiler
/// would call is many times slower, and can't be vectorised.
///
/// In `f64` the product is exact; the sum is rounded to odd, that is to the one of its two neighbours whose last bit is 1, and
/// then rounding it to `f32` is as if the sum had been exact (S. Boldo and G. Melquiond, "Emulation of FMA and correctly
/// rounded sums: proved algorithms using rounding to odd", 2008).
#[cfg(all(target_arch = "x86_64", not(gradus_f64)))]
#[inline(always)]
fn fused(x: f32, y: f32, z: f32) -> f32 {
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
fn fused(x: Float, y: Float, z: Float) -> Float {
    x.mul_add(y, z)
}

/// A vector in plain code. The compiler makes what it can of it: NEON on AArch64, for one.
#[derive(Clone, Copy)]
struct Array([Float; 4]);

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
}

instruction_set! {
    /// What every processor has.
    Plain, Array,
    1: 1 2 3 4;
    2: 1 2 3 4;
    3: 1 2;
    4: 1 2;
    5: 1 2;
    6: 1 2;
}

#[cfg(all(target_arch = "x86_64", gradus_f64))]
instruction_set! {
    /// Plain code, compiled for AVX2 and FMA: without them, a fused multiply-add is a call.
    Avx2, Array, #[target_feature(enable = "avx2,fma")]
    1: 1 2 3 4;
    2: 1 2 3 4;
    3: 1 2;
    4: 1 2;
    5: 1 2;
    6: 1 2;
}

#[cfg(all(target_arch = "x86_64", not(gradus_f64)))]
pub(super) use x86::{Avx2, Avx512};

#[cfg(all(target_arch = "x86_64", not(gradus_f64)))]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Simd, Tile, TileFn, Vector, tile};

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
    }

    instruction_set! {
        /// 16 registers of 8 floats.
        Avx2, __m256, #[target_feature(enable = "avx2,fma")]
        1: 1 2 3 4 5 6 7 8;
        2: 1 2 3 4;
        3: 1 2 3;
        4: 1 2 3;
        5: 1 2;
        6: 1 2;
    }

    instruction_set! {
        /// 32 registers of 16 floats.
        Avx512, __m512, #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
        1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16;
        2: 1 2 3 4 5 6 7 8;
        3: 1 2 3 4;
        4: 1 2 3 4;
        5: 1 2 3;
        6: 1 2 3;
        7: 1 2 3;
        8: 1 2 3;
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
