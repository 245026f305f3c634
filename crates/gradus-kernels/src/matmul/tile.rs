//! The innermost part of a product: a tile of C that stays in registers while k runs.

use super::Matrix;
use crate::Float;
use crate::simd::{self, Vector};

/// The factors of one product: k columns of A and as many rows of B.
#[derive(Clone, Copy)]
pub(super) struct Factors {
    pub k: usize,
    pub a: *const Float,
    pub b: *const Float,
}

impl Factors {
    pub const NONE: Factors = Factors {
        k: 0,
        a: std::ptr::null(),
        b: std::ptr::null(),
    };

    pub fn new(k: usize, a: Matrix<'_>, b: Matrix<'_>) -> Self {
        Factors {
            k,
            a: a.values.as_ptr(),
            b: b.values.as_ptr(),
        }
    }

    /// Those of the transposed product.
    pub fn transposed(self) -> Self {
        Factors {
            a: self.b,
            b: self.a,
            ..self
        }
    }
}

/// A tile of C, of as many rows and vectors as the function it is handed to is made for.
#[derive(Clone, Copy)]
pub(super) struct Tile<'a> {
    /// The products that are added up.
    pub factors: &'a [Factors],
    /// Where in each A this tile begins; element (i, p) is `a_row * i + a_column * p` further.
    pub a_start: usize,
    pub a_row: usize,
    pub a_column: usize,
    /// Where in each B this tile begins; row p is `b_row * p` further, its columns lie side by side.
    pub b_start: usize,
    pub b_row: usize,
    /// C's first element of this tile; row i is `c_row * i` further.
    pub c: *mut Float,
    pub c_row: usize,
    /// What sums start from: zero if null; else row i is `from_row * i` further.
    pub from: *const Float,
    pub from_row: usize,
    /// How many columns the last vector has.
    pub last: usize,
}

/// Computes a tile.
///
/// # Safety
/// The processor has the instructions, and the pointers of the tile reach over what they describe.
pub(super) type TileFn = unsafe fn(&Tile<'_>);

/// A vector type of some instruction set, and which tiles fit its registers.
///
/// # Safety
/// `tile` returns a function for each tile of 1 to `ROWS` rows and 1 to `vectors(rows)` vectors.
pub(super) unsafe trait Simd {
    /// Floats in a vector.
    const LANES: usize;
    /// The most rows of a tile.
    const ROWS: usize;
    /// The most vectors side by side in a tile, by its number of rows. Fewer rows may be wider, so that there are always enough
    /// independent sums to hide the latency of an addition.
    fn vectors(rows: usize) -> usize;
    /// The function for tiles of this size; `edge` if the last vector is not full.
    fn tile(rows: usize, vectors: usize, edge: bool) -> TileFn;
}

/// The tile for every instruction set: for each p, a column of A times a row of B.
///
/// # Safety
/// As [`TileFn`].
#[inline(always)]
unsafe fn tile<V: Vector, const ROWS: usize, const VECTORS: usize, const EDGE: bool>(t: &Tile<'_>) {
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [[V::splat(0.0); VECTORS]; ROWS];
        if !t.from.is_null() {
            for (i, sums) in sums.iter_mut().enumerate() {
                for (j, sum) in sums.iter_mut().enumerate() {
                    let from = t.from.add(i * t.from_row + j * V::LANES);
                    *sum = if EDGE && j == VECTORS - 1 {
                        V::load_first(from, t.last)
                    } else {
                        V::load(from)
                    };
                }
            }
        }
        for &Factors { k, a, b } in t.factors {
            // The last step leaves the slices.
            let (mut a, mut b) = (a.wrapping_add(t.a_start), b.wrapping_add(t.b_start));
            for _ in 0..k {
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
                a = a.wrapping_add(t.a_column);
                b = b.wrapping_add(t.b_row);
            }
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
                unsafe fn compiled<const ROWS: usize, const VECTORS: usize, const EDGE: bool>(t: &Tile<'_>) {
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

#[cfg(not(all(target_arch = "aarch64", not(gradus_f64))))]
instruction_set! {
    /// What every processor has.
    Plain, simd::Plain,
    1: 1 2 3 4;
    2: 1 2 3 4;
    3: 1 2;
    4: 1 2;
    5: 1 2;
    6: 1 2;
}

#[cfg(all(target_arch = "aarch64", not(gradus_f64)))]
instruction_set! {
    /// NEON, which every processor has: 32 registers of 4 floats.
    Plain, simd::Plain,
    1: 1 2 3 4 5 6 7 8;
    2: 1 2 3 4 5 6 7 8;
    3: 1 2 3 4 5 6;
    4: 1 2 3 4 5;
    5: 1 2 3 4;
    6: 1 2 3 4;
    7: 1 2 3;
    8: 1 2 3;
}

#[cfg(all(target_arch = "x86_64", gradus_f64))]
instruction_set! {
    /// Plain code, compiled for AVX2 and FMA: without them, a fused multiply-add is a call.
    Avx2, simd::Array, #[target_feature(enable = "avx2,fma")]
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
    use std::arch::x86_64::{__m256, __m512};

    use super::{Simd, Tile, TileFn, Vector, tile};

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
