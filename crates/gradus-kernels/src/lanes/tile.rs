//! The innermost parts of a convolution: sums of a few output channels by a few positions, or by a few taps of the kernel,
//! that stay in registers while the other indices run.

use super::LANES;
use crate::Float;
use crate::simd::{Array, Vector};

/// An index of the chain of a sum.
#[derive(Debug, Clone, Copy)]
pub(super) struct Index {
    pub count: usize,
    /// How far the input moves from one value to the next.
    pub x: isize,
    /// How far the weight moves.
    pub w: isize,
}

/// Sums of x·w, for as many output channels and positions as the function it is handed to is made for.
pub(super) struct Correlation {
    /// The indices of the chain, from the outermost to the innermost.
    pub chain: [Index; 3],
    /// The first input of the first position, and how far positions are apart.
    pub x: *const Float,
    pub x_position: isize,
    /// The first weight of the first output channel, and how far output channels are apart.
    pub w: *const Float,
    pub w_output: isize,
    /// The values that the sums start from, one for each output channel; null for zeros.
    pub b: *const Float,
    /// The first sum, and how far output channels and positions are apart.
    pub y: *mut Float,
    pub y_output: isize,
    pub y_position: isize,
}

/// Sums of dy·x over the positions, for as many output channels and taps as the function it is handed to is made for. Taps are
/// neighbours in a row of the kernel, or the same tap for neighbouring input channels.
pub(super) struct Products {
    /// Rows of positions.
    pub rows: usize,
    /// Positions of a row: those before and after the ones where all taps are within the input, and these.
    pub before: usize,
    pub inside: usize,
    pub after: usize,
    /// The input's column that the first position and tap meet, how far it moves with a position and a tap, and how many
    /// columns there are.
    pub column: isize,
    pub column_position: isize,
    pub column_tap: isize,
    pub columns: usize,
    /// That input, and how far rows and taps are apart.
    pub x: *const Float,
    pub x_row: isize,
    pub x_tap: isize,
    /// The first position's gradient, and how far rows and output channels are apart.
    pub dy: *const Float,
    pub dy_row: isize,
    pub dy_output: isize,
    /// Where the sums go, [`LANES`] for each output channel and tap.
    pub sums: *mut Float,
}

/// Computes a tile, of the first lanes of a vector only.
///
/// # Safety
/// The processor has the instructions, and the pointers of the tile reach over what they describe.
pub(super) type TileFn<T> = unsafe fn(&T);

/// A vector type of some instruction set, and which tiles fit its registers.
///
/// # Safety
/// The functions return one for each tile of 1 to `OUTPUTS` output channels and 1 to `width(outputs)` positions or taps.
pub(super) unsafe trait Simd {
    /// Floats in a vector, a divisor of [`LANES`].
    const VECTOR: usize;
    /// The most output channels of a tile.
    const OUTPUTS: usize;
    /// The most positions or taps of a tile of so many output channels.
    fn width(outputs: usize) -> usize;
    fn correlation(outputs: usize, positions: usize) -> TileFn<Correlation>;
    fn products(outputs: usize, taps: usize) -> TileFn<Products>;
}

/// # Safety
/// As [`TileFn`].
#[inline(always)]
unsafe fn correlation<V: Vector, const OUTPUTS: usize, const POSITIONS: usize>(t: &Correlation) {
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [[V::splat(0.0); POSITIONS]; OUTPUTS];
        if !t.b.is_null() {
            for (o, sums) in sums.iter_mut().enumerate() {
                *sums = [V::splat(*t.b.add(o)); POSITIONS];
            }
        }
        let [outer, middle, inner] = t.chain;
        let (mut outer_x, mut outer_w) = (t.x, t.w);
        for _ in 0..outer.count {
            let (mut middle_x, mut middle_w) = (outer_x, outer_w);
            for _ in 0..middle.count {
                let (mut x, mut w) = (middle_x, middle_w);
                for _ in 0..inner.count {
                    outer_product(
                        &mut sums,
                        |o| V::splat(*w.wrapping_offset(o as isize * t.w_output)),
                        |p| V::load(x.wrapping_offset(p as isize * t.x_position)),
                    );
                    x = x.wrapping_offset(inner.x);
                    w = w.wrapping_offset(inner.w);
                }
                middle_x = middle_x.wrapping_offset(middle.x);
                middle_w = middle_w.wrapping_offset(middle.w);
            }
            outer_x = outer_x.wrapping_offset(outer.x);
            outer_w = outer_w.wrapping_offset(outer.w);
        }
        for (o, sums) in sums.iter().enumerate() {
            let y = t.y.wrapping_offset(o as isize * t.y_output);
            for (p, sum) in sums.iter().enumerate() {
                sum.store(y.wrapping_offset(p as isize * t.y_position));
            }
        }
    }
}

/// # Safety
/// As [`TileFn`].
#[inline(always)]
unsafe fn products<V: Vector, const OUTPUTS: usize, const TAPS: usize>(t: &Products) {
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [[V::splat(0.0); TAPS]; OUTPUTS];
        let (mut row_x, mut row_dy) = (t.x, t.dy);
        for _ in 0..t.rows {
            let mut column = t.column;
            let (mut x, mut dy) = (row_x, row_dy);
            for (count, edge) in [(t.before, true), (t.inside, false), (t.after, true)] {
                for _ in 0..count {
                    let row = |o| V::load(dy.wrapping_offset(o as isize * t.dy_output));
                    let tap = |tap| V::load(x.wrapping_offset(tap as isize * t.x_tap));
                    if edge {
                        for i in 0..TAPS {
                            if ((column + i as isize * t.column_tap) as usize) < t.columns {
                                let x = tap(i);
                                for (o, sums) in sums.iter_mut().enumerate() {
                                    sums[i] = sums[i].add_product(row(o), x);
                                }
                            }
                        }
                    } else {
                        outer_product(&mut sums, row, tap);
                    }
                    column += t.column_position;
                    x = x.wrapping_offset(t.column_position * LANES as isize);
                    dy = dy.wrapping_add(LANES);
                }
            }
            row_x = row_x.wrapping_offset(t.x_row);
            row_dy = row_dy.wrapping_offset(t.dy_row);
        }
        for (i, sum) in sums.as_flattened().iter().enumerate() {
            sum.store(t.sums.add(i * LANES));
        }
    }
}

/// Adds a product to each sum. The fewer factors are fetched first and stay in registers, so that one more is enough for the
/// others.
#[inline(always)]
fn outer_product<V: Vector, const ROWS: usize, const COLUMNS: usize>(
    sums: &mut [[V; COLUMNS]; ROWS],
    row: impl Fn(usize) -> V,
    column: impl Fn(usize) -> V,
) {
    // SAFETY: the caller runs on a processor with the instructions.
    unsafe {
        if ROWS < COLUMNS {
            let rows: [V; ROWS] = std::array::from_fn(row);
            for j in 0..COLUMNS {
                let y = column(j);
                for i in 0..ROWS {
                    sums[i][j] = sums[i][j].add_product(rows[i], y);
                }
            }
        } else {
            let columns: [V; COLUMNS] = std::array::from_fn(column);
            for i in 0..ROWS {
                let x = row(i);
                for j in 0..COLUMNS {
                    sums[i][j] = sums[i][j].add_product(x, columns[j]);
                }
            }
        }
    }
}

/// An instruction set: its vector, the features to compile for, and for each number of output channels the numbers of
/// positions or taps.
macro_rules! instruction_set {
    (
        $(#[$doc:meta])* $name:ident, $vector:ty, $(#[$feature:meta])?
        $($outputs:literal: $($width:literal)+;)+
    ) => {
        $(#[$doc])*
        pub(in crate::lanes) struct $name;

        // SAFETY: every pair of the table has an arm; `width` is the last of its line.
        unsafe impl Simd for $name {
            const VECTOR: usize = <$vector as Vector>::LANES;
            const OUTPUTS: usize = [$($outputs),+].len();

            fn width(outputs: usize) -> usize {
                [$([$($width),+].len()),+][outputs - 1]
            }

            fn correlation(outputs: usize, positions: usize) -> TileFn<Correlation> {
                /// # Safety
                /// As [`TileFn`].
                $(#[$feature])?
                unsafe fn compiled<const OUTPUTS: usize, const POSITIONS: usize>(t: &Correlation) {
                    // SAFETY: the caller's.
                    unsafe { correlation::<$vector, OUTPUTS, POSITIONS>(t) }
                }
                match (outputs, positions) {
                    $($(($outputs, $width) => compiled::<$outputs, $width>,)+)+
                    _ => unreachable!("no tile of {outputs} output channels and {positions} positions"),
                }
            }

            fn products(outputs: usize, taps: usize) -> TileFn<Products> {
                /// # Safety
                /// As [`TileFn`].
                $(#[$feature])?
                unsafe fn compiled<const OUTPUTS: usize, const TAPS: usize>(t: &Products) {
                    // SAFETY: the caller's.
                    unsafe { products::<$vector, OUTPUTS, TAPS>(t) }
                }
                match (outputs, taps) {
                    $($(($outputs, $width) => compiled::<$outputs, $width>,)+)+
                    _ => unreachable!("no tile of {outputs} output channels and {taps} taps"),
                }
            }
        }
    };
}

instruction_set! {
    /// What every processor has.
    Plain, Array,
    1: 1 2 3 4 5 6 7 8;
    2: 1 2 3 4 5 6;
    3: 1 2 3 4;
    4: 1 2 3;
    5: 1 2;
    6: 1 2;
}

#[cfg(all(target_arch = "x86_64", gradus_f64))]
instruction_set! {
    /// Plain code, compiled for AVX2 and FMA: without them, a fused multiply-add is a call.
    Avx2, Array, #[target_feature(enable = "avx2,fma")]
    1: 1 2 3 4 5 6 7 8;
    2: 1 2 3 4 5 6;
    3: 1 2 3 4;
    4: 1 2 3;
    5: 1 2;
    6: 1 2;
}

#[cfg(all(target_arch = "x86_64", not(gradus_f64)))]
pub(super) use x86::{Avx2, Avx512};

#[cfg(all(target_arch = "x86_64", not(gradus_f64)))]
mod x86 {
    use std::arch::x86_64::{__m256, __m512};

    use super::{Correlation, Products, Simd, TileFn, Vector, correlation, products};

    instruction_set! {
        /// 16 registers of 8 floats.
        Avx2, __m256, #[target_feature(enable = "avx2,fma")]
        1: 1 2 3 4 5 6 7 8 9 10 11 12;
        2: 1 2 3 4 5 6;
        3: 1 2 3 4;
        4: 1 2 3;
        5: 1 2;
        6: 1 2;
    }

    instruction_set! {
        /// 32 registers of 16 floats.
        Avx512, __m512, #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
        1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16;
        2: 1 2 3 4 5 6 7 8 9 10 11 12;
        3: 1 2 3 4 5 6 7 8;
        4: 1 2 3 4 5 6;
        5: 1 2 3 4 5;
        6: 1 2 3 4;
        7: 1 2 3;
        8: 1 2 3;
    }
}
