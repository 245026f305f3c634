//! The innermost parts of a convolution: sums of a few output channels by a few positions, or by a few taps of the kernel,
//! that stay in registers while the other indices run.

use super::LANES;
use super::max_pool::{Pooling, Spreading, pooling, spreading};
use super::single::{Patch, single};
use crate::Float;
use crate::simd::{self, Vector};

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

/// Sums of dy·x over the positions, for as many output channels and taps as the function it is handed to is made for.
pub(super) struct Products {
    /// Rows of positions.
    pub rows: usize,
    /// Positions of a row: those where all taps are within the input, and those before and after, where some may not be.
    pub before: usize,
    pub inside: usize,
    pub after: usize,
    /// The input's column that the kernel's first column meets at the first position, how far it moves with a position, and how
    /// many columns there are.
    pub column: isize,
    pub column_position: isize,
    pub columns: usize,
    pub taps: [Tap; Tap::MOST],
    /// The input that the first position meets, and how far rows are apart.
    pub x: *const Float,
    pub x_row: isize,
    /// The first position's gradient, and how far rows and output channels are apart.
    pub dy: *const Float,
    pub dy_row: isize,
    pub dy_output: isize,
    /// The gradient of the first output channel's first weight, and how far output channels are apart.
    pub dw: *mut Float,
    pub dw_output: usize,
}

/// A weight of an output channel.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tap {
    /// How many columns further than the kernel's first column it meets the input.
    pub column: isize,
    /// How much further in memory.
    pub x: isize,
    /// Which weight it is.
    pub w: usize,
}

impl Tap {
    /// The most of a tile.
    pub const MOST: usize = 16;
}

/// Computes a tile; a correlation only of the first lanes that fill a vector.
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
    /// The most positions or taps of a tile, by its number of output channels.
    fn width(outputs: usize) -> usize;
    fn correlation(outputs: usize, positions: usize) -> TileFn<Correlation>;
    fn products(outputs: usize, taps: usize) -> TileFn<Products>;
    /// The most vectors of positions of a tile of a single sample.
    const SINGLE: usize;
    /// For up to 4 output channels and `SINGLE` vectors of positions.
    fn single(outputs: usize, vectors: usize) -> TileFn<Patch>;
    fn pooling() -> TileFn<Pooling>;
    fn spreading() -> TileFn<Spreading>;
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
        let mut lanes = [[[0.0; LANES]; TAPS]; OUTPUTS];
        for lane in (0..LANES).step_by(V::LANES) {
            let mut sums = [[V::splat(0.0); TAPS]; OUTPUTS];
            let (mut x, mut dy) = (t.x.wrapping_add(lane), t.dy.wrapping_add(lane));
            for _ in 0..t.rows {
                add_row(t, &mut sums, x, dy);
                x = x.wrapping_offset(t.x_row);
                dy = dy.wrapping_offset(t.dy_row);
            }
            for (lanes, sums) in lanes.as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
                sums.store(lanes[lane..].as_mut_ptr());
            }
        }
        for (o, lanes) in lanes.iter().enumerate() {
            for (tap, lanes) in lanes.iter().enumerate() {
                *t.dw.add(o * t.dw_output + t.taps[tap].w) += V::sum(lanes.as_ptr());
            }
        }
    }
}

/// Adds the products of a row, where `x` and `dy` are its first.
///
/// # Safety
/// As [`TileFn`].
#[inline(always)]
unsafe fn add_row<V: Vector, const OUTPUTS: usize, const TAPS: usize>(
    t: &Products,
    sums: &mut [[V; TAPS]; OUTPUTS],
    mut x: *const Float,
    mut dy: *const Float,
) {
    let x_position = t.column_position * LANES as isize;
    let mut column = t.column;
    // SAFETY: the caller's.
    unsafe {
        for _ in 0..t.before {
            add_edge(t, sums, x, dy, column);
            column += t.column_position;
            x = x.wrapping_offset(x_position);
            dy = dy.wrapping_add(LANES);
        }
        for _ in 0..t.inside {
            outer_product(
                sums,
                |o| V::load(dy.wrapping_offset(o as isize * t.dy_output)),
                |tap| V::load(x.wrapping_offset(t.taps[tap].x)),
            );
            x = x.wrapping_offset(x_position);
            dy = dy.wrapping_add(LANES);
        }
        column += t.inside as isize * t.column_position;
        for _ in 0..t.after {
            add_edge(t, sums, x, dy, column);
            column += t.column_position;
            x = x.wrapping_offset(x_position);
            dy = dy.wrapping_add(LANES);
        }
    }
}

/// Adds the products of a position where not all taps are within the input.
///
/// # Safety
/// As [`TileFn`].
#[inline(always)]
unsafe fn add_edge<V: Vector, const OUTPUTS: usize, const TAPS: usize>(
    t: &Products,
    sums: &mut [[V; TAPS]; OUTPUTS],
    x: *const Float,
    dy: *const Float,
    column: isize,
) {
    for tap in 0..TAPS {
        if ((column + t.taps[tap].column) as usize) < t.columns {
            // SAFETY: the caller's; the column is within the input.
            unsafe {
                let x = V::load(x.wrapping_offset(t.taps[tap].x));
                for (o, sums) in sums.iter_mut().enumerate() {
                    sums[tap] = sums[tap].add_product(V::load(dy.wrapping_offset(o as isize * t.dy_output)), x);
                }
            }
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
                for (sums, &x) in sums.iter_mut().zip(&rows) {
                    sums[j] = sums[j].add_product(x, y);
                }
            }
        } else {
            let columns: [V; COLUMNS] = std::array::from_fn(column);
            for (i, sums) in sums.iter_mut().enumerate() {
                let x = row(i);
                for (sum, &y) in sums.iter_mut().zip(&columns) {
                    *sum = sum.add_product(x, y);
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
        pub(in crate::interleaved) struct $name;

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

            const SINGLE: usize = if <$vector as Vector>::LANES == LANES { 6 } else { 3 };

            fn single(outputs: usize, vectors: usize) -> TileFn<Patch> {
                /// # Safety
                /// As [`TileFn`].
                $(#[$feature])?
                unsafe fn compiled<const OUTPUTS: usize, const VECTORS: usize>(t: &Patch) {
                    // SAFETY: the caller's.
                    unsafe { single::<$vector, OUTPUTS, VECTORS>(t) }
                }
                fn of<const OUTPUTS: usize>(vectors: usize) -> TileFn<Patch> {
                    match vectors {
                        1 => compiled::<OUTPUTS, 1>,
                        2 => compiled::<OUTPUTS, 2>,
                        3 => compiled::<OUTPUTS, 3>,
                        4 => compiled::<OUTPUTS, 4>,
                        5 => compiled::<OUTPUTS, 5>,
                        6 => compiled::<OUTPUTS, 6>,
                        _ => unreachable!("no tile of {vectors} vectors"),
                    }
                }
                match outputs {
                    1 => of::<1>(vectors),
                    2 => of::<2>(vectors),
                    3 => of::<3>(vectors),
                    4 => of::<4>(vectors),
                    _ => unreachable!("no tile of {outputs} output channels"),
                }
            }

            fn pooling() -> TileFn<Pooling> {
                /// # Safety
                /// As [`TileFn`].
                $(#[$feature])?
                unsafe fn compiled(t: &Pooling) {
                    // SAFETY: the caller's.
                    unsafe { pooling::<$vector>(t) }
                }
                compiled
            }

            fn spreading() -> TileFn<Spreading> {
                /// # Safety
                /// As [`TileFn`].
                $(#[$feature])?
                unsafe fn compiled(t: &Spreading) {
                    // SAFETY: the caller's.
                    unsafe { spreading::<$vector>(t) }
                }
                compiled
            }
        }
    };
}

#[cfg(not(all(target_arch = "aarch64", not(gradus_f64))))]
instruction_set! {
    /// What every processor has.
    Plain, simd::Plain,
    1: 1 2 3 4 5 6 7 8;
    2: 1 2 3 4 5 6;
    3: 1 2 3 4;
    4: 1 2 3;
    5: 1 2;
    6: 1 2;
}

#[cfg(all(target_arch = "aarch64", not(gradus_f64)))]
instruction_set! {
    /// NEON, which every processor has: 32 registers of 4 floats.
    Plain, simd::Plain,
    1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16;
    2: 1 2 3 4 5 6 7 8 9 10 11 12;
    3: 1 2 3 4 5 6 7 8;
    4: 1 2 3 4 5 6;
    5: 1 2 3 4;
    6: 1 2 3 4;
    7: 1 2 3;
    8: 1 2 3;
}

#[cfg(all(target_arch = "x86_64", gradus_f64))]
instruction_set! {
    /// Plain code, compiled for AVX2 and FMA: without them, a fused multiply-add is a call.
    Avx2, simd::Array, #[target_feature(enable = "avx2,fma")]
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

    use super::{
        Correlation, LANES, Patch, Pooling, Products, Simd, Spreading, TileFn, Vector, correlation, pooling, products,
        single, spreading,
    };

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
