//! Products of numbers in bfloat16, with sums in f32.
//!
//! bfloat16 is the upper half of an f32: its sign and exponent, and 7 bits of its mantissa. AVX512-BF16 multiplies *pairs* of such
//! numbers, two in 32 bits, and adds both products to a sum in f32: twice as many multiplications in an instruction as there
//! are in f32. So whatever is summed over has to lie in pairs. There are two ways to pair the numbers of a matrix, and a
//! product wants its left side paired across (or the transpose of what is paired down) and its right side paired down:
//!
//! | | pair | where |
//! | --- | --- | --- |
//! | *across* | numbers 2p and 2p + 1 of row i | `i * columns.div_ceil(2) + p` |
//! | *down* | number j of rows 2p and 2p + 1 | `p * `[`stride`]`(columns) + j` |
//!
//! A number that has no partner is paired with 0. Everything has the same bits on every processor, with the instruction or
//! without it.
//!
//! Sources: D. Kalamkar et al., "A Study of BFLOAT16 for Deep Learning Training", 2019; Intel, "BFLOAT16 – Hardware Numerics
//! Definition", 2018.

use std::ops::Range;

use crate::matmul::holds;
use crate::{Accumulate, Arch, Float, SimdOp, arch, simd, vectorize_op};

#[cfg(all(target_arch = "x86_64", not(gradus_f64)))]
mod avx512;

/// Numbers in a vector of sums, and pairs in a vector of those.
const LANES: usize = 16;

/// Two numbers in bfloat16, the first in the lower half.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Pair(u32);

impl Pair {
    /// Both numbers, rounded.
    ///
    /// ```
    /// use gradus_kernels::bfloat16::Pair;
    /// // 1 + 2⁻⁸ is half way between 1 and 1 + 2⁻⁷: ties go to the even one.
    /// assert_eq!(Pair::new(1.00390625, -3.0).split(), (1.0, -3.0));
    /// ```
    #[inline(always)]
    pub fn new(first: Float, second: Float) -> Self {
        Pair(round(first) | round(second) << 16)
    }

    /// The two numbers.
    #[allow(clippy::unnecessary_cast)]
    #[inline(always)]
    pub fn split(self) -> (Float, Float) {
        (
            f32::from_bits(self.0 << 16) as Float,
            f32::from_bits(self.0 & 0xFFFF_0000) as Float,
        )
    }
}

/// The bits of the nearest bfloat16, ties to even; numbers below the smallest normal one become 0, as the instruction has it.
#[allow(clippy::unnecessary_cast)]
#[inline(always)]
fn round(x: Float) -> u32 {
    let bits = (x as f32).to_bits();
    let magnitude = bits & 0x7FFF_FFFF;
    if magnitude > 0x7F80_0000 {
        bits >> 16 | 0x40
    } else if magnitude < 0x0080_0000 {
        (bits & 0x8000_0000) >> 16
    } else {
        (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    }
}

/// Memory for numbers as memory for pairs, one in each at least.
pub fn pairs(memory: &[Float]) -> &[Pair] {
    let length = size_of_val(memory) / size_of::<Pair>();
    // SAFETY: any bits are a pair, which needs no more alignment; the length is that of the memory.
    unsafe { std::slice::from_raw_parts(memory.as_ptr().cast(), length) }
}

/// The same, for writing.
pub fn pairs_mut(memory: &mut [Float]) -> &mut [Pair] {
    let length = size_of_val(memory) / size_of::<Pair>();
    // SAFETY: as above, and any bits are a number.
    unsafe { std::slice::from_raw_parts_mut(memory.as_mut_ptr().cast(), length) }
}

/// How far apart rows of pairs lie that are paired down: whole vectors, and an odd number of them, since rows a power of two
/// apart would share a few sets of the first-level cache. As all sizes here, the largest number there is where it would be larger.
pub const fn stride(columns: usize) -> usize {
    (columns.div_ceil(LANES) | 1).saturating_mul(LANES)
}

/// How many pairs a matrix has across.
pub const fn size_across(rows: usize, columns: usize) -> usize {
    rows.saturating_mul(columns.div_ceil(2))
}

/// How many pairs a matrix has down, with what lies between them.
pub const fn size_down(rows: usize, columns: usize) -> usize {
    rows.div_ceil(2).saturating_mul(stride(columns))
}

/// Whether this thread may use the instructions.
#[cfg(all(target_arch = "x86_64", not(gradus_f64)))]
fn has_instructions() -> bool {
    arch() == Arch::Avx512 && is_x86_feature_detected!("avx512bf16")
}

/// The number of rows of x, a matrix of `columns` columns.
fn whole_rows(x: &[Float], columns: usize) -> usize {
    assert!(columns > 0, "there are no columns");
    assert!(x.len().is_multiple_of(columns), "x is not whole rows");
    x.len() / columns
}

/// Rounds the rows of x, and pairs them across (unless that is `None`) and down.
///
/// # Panics
/// If there are no columns, x is not whole rows, or there is too little room.
pub fn convert(x: &[Float], columns: usize, across: Option<&mut [Pair]>, down: &mut [Pair]) {
    let rows = whole_rows(x, columns);
    assert!(
        across
            .as_ref()
            .is_none_or(|across| across.len() >= size_across(rows, columns)),
        "too little room across"
    );
    assert!(down.len() >= size_down(rows, columns), "too little room down");
    if x.is_empty() {
        return;
    }
    #[cfg(all(target_arch = "x86_64", not(gradus_f64)))]
    if has_instructions() {
        let across = across.map_or(std::ptr::null_mut(), |across| across.as_mut_ptr());
        // SAFETY: there are the instructions and the room.
        return unsafe { avx512::convert(x, columns, across.cast(), down.as_mut_ptr().cast()) };
    }
    let mut across = across;
    for (p, x) in x.chunks(2 * columns).enumerate() {
        let (upper, lower) = x.split_at(columns);
        let below = |j: usize| lower.get(j).copied().unwrap_or(0.0);
        let down = &mut down[p * stride(columns)..][..columns.next_multiple_of(LANES)];
        for (j, down) in down.iter_mut().enumerate() {
            *down = upper.get(j).map_or(Pair(0), |&x| Pair::new(x, below(j)));
        }
        let Some(across) = &mut across else { continue };
        let across = &mut across[2 * p * columns.div_ceil(2)..];
        for (row, across) in x.chunks(columns).zip(across.chunks_mut(columns.div_ceil(2))) {
            for (x, across) in row.chunks(2).zip(across) {
                *across = Pair::new(x[0], x.get(1).copied().unwrap_or(0.0));
            }
        }
    }
}

/// Rounds some columns of x and pairs their transpose down: a row of the result for two columns.
///
/// # Panics
/// If there are no columns, those asked for are not among them, or there is too little room.
pub fn convert_transposed(x: &[Float], columns: usize, which: Range<usize>, down: &mut [Pair]) {
    let rows = whole_rows(x, columns);
    assert!(which.start <= which.end && which.end <= columns, "no such columns");
    assert!(down.len() >= size_down(which.len(), rows), "too little room");
    #[cfg(all(target_arch = "x86_64", not(gradus_f64)))]
    if has_instructions() {
        // SAFETY: there are the instructions and the room.
        return unsafe { avx512::convert_transposed(x, columns, which, down.as_mut_ptr().cast()) };
    }
    for (j, down) in which.clone().step_by(2).zip(down.chunks_mut(stride(rows))) {
        down[..rows.next_multiple_of(LANES)].fill(Pair(0));
        for (x, down) in x.chunks(columns).zip(down) {
            let x = &x[j..which.end];
            *down = Pair::new(x[0], x.get(1).copied().unwrap_or(0.0));
        }
    }
}

/// The left side of a product: its pair (i, p) is `values[i * row_stride + p * pair_stride]`.
#[derive(Debug, Clone, Copy)]
pub struct PackedLhs<'a> {
    /// The slice that holds the pairs.
    pub values: &'a [Pair],
    /// How far rows are apart.
    pub row_stride: usize,
    /// How far the pairs of a row are apart.
    pub pair_stride: usize,
}

impl<'a> PackedLhs<'a> {
    /// A matrix of `columns` columns, paired across.
    pub fn across(values: &'a [Pair], columns: usize) -> Self {
        PackedLhs {
            values,
            row_stride: columns.div_ceil(2),
            pair_stride: 1,
        }
    }
}

/// C ← A·B, on top of what `start` says: A has m rows of `pairs` pairs, B is paired down and has n columns, C is m×n.
///
/// Every element of C is one chain of fused multiply-adds, each rounded to f32, over the pairs in ascending order: of a pair the
/// second product comes first. Whatever is below the smallest normal number becomes 0. So the bits don't depend on m, on n, or on
/// how a caller divides the pairs into successive calls.
///
/// # Panics
/// If a slice is too short.
pub fn product([m, n, pairs]: [usize; 3], a: PackedLhs<'_>, b: &[Pair], c: &mut [Float], start: Accumulate<'_>) {
    if m == 0 || n == 0 {
        return;
    }
    assert!(m.checked_mul(n).is_some_and(|size| size <= c.len()), "c is too short");
    assert!(holds(a.values, m, pairs, a.row_stride, a.pair_stride), "a is too short");
    assert!(
        pairs.checked_mul(stride(n)).is_some_and(|size| size <= b.len()),
        "b is too short"
    );
    if let Accumulate::Row(row) = start {
        assert!(n <= row.len(), "the row that sums start from is too short");
    }
    #[cfg(all(target_arch = "x86_64", not(gradus_f64)))]
    if has_instructions() {
        // SAFETY: there are the instructions, and all is within what was asserted.
        return unsafe { avx512::product([m, n, pairs], a, b, c, start) };
    }
    let sizes = [m, n, pairs];
    if arch() >= Arch::Avx2 {
        vectorize_op(Fallback::<true>(sizes, a, b, c, start));
    } else {
        Fallback::<false>(sizes, a, b, c, start).run();
    }
}

/// How many sums plain code has at a time.
const WIDE: usize = 64;

/// The product in plain code; whether the processor has fused multiply-adds.
struct Fallback<'a, const FUSED: bool>([usize; 3], PackedLhs<'a>, &'a [Pair], &'a mut [Float], Accumulate<'a>);

impl<const FUSED: bool> SimdOp for Fallback<'_, FUSED> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Fallback([m, n, pairs], a, b, c, start) = self;
        for (i, c) in c.chunks_exact_mut(n).take(m).enumerate() {
            for (v, c) in c.chunks_mut(WIDE).enumerate() {
                let (mut old, mut sums) = ([0.0; WIDE], [0.0; WIDE]);
                let from = match start {
                    Accumulate::Zero => &[],
                    Accumulate::Sum => &*c,
                    Accumulate::Row(row) => &row[v * WIDE..][..c.len()],
                };
                for (old, &from) in old.iter_mut().zip(from) {
                    *old = normal(from);
                }
                sums.copy_from_slice(&old);
                let sums = &mut sums[..c.len()];
                let mut small = 0;
                for p in 0..pairs {
                    let (a0, a1) = a.values[i * a.row_stride + p * a.pair_stride].split();
                    for (sum, b) in sums.iter_mut().zip(&b[p * stride(n) + v * WIDE..]) {
                        let (b0, b1) = b.split();
                        let between = fused::<FUSED>(a1, b1, *sum);
                        *sum = fused::<FUSED>(a0, b0, between);
                        small |= u32::from(is_small(between)) | u32::from(is_small(*sum));
                    }
                }
                if small > 0 {
                    // Once more, and with care.
                    sums.copy_from_slice(&old[..c.len()]);
                    for p in 0..pairs {
                        let (a0, a1) = a.values[i * a.row_stride + p * a.pair_stride].split();
                        for (sum, b) in sums.iter_mut().zip(&b[p * stride(n) + v * WIDE..]) {
                            let (b0, b1) = b.split();
                            *sum = flushed(a0, b0, flushed(a1, b1, *sum));
                        }
                    }
                }
                c.copy_from_slice(sums);
            }
        }
    }
}

/// x·y + z, rounded once.
#[inline(always)]
fn fused<const FUSED: bool>(x: Float, y: Float, z: Float) -> Float {
    if FUSED { x.mul_add(y, z) } else { simd::fused(x, y, z) }
}

/// Whether this may be a sum that should be 0.
#[inline(always)]
fn is_small(sum: Float) -> bool {
    (sum.abs() <= Float::MIN_POSITIVE) & (sum != 0.0)
}

/// x·y + z, rounded once, and 0 if it is below the smallest normal number when it has as many digits as normal numbers
/// have: 2⁻¹²⁶ − 2⁻¹⁵⁰, which f32 has to round up to 2⁻¹²⁶, is.
#[inline(always)]
fn flushed(x: Float, y: Float, z: Float) -> Float {
    let sum = simd::fused(x, y, z);
    // Where it matters, this is exact: the product has 16 digits.
    let exact = f64::from(x) * f64::from(y) + f64::from(z);
    let least = f64::from(Float::MIN_POSITIVE) * (1.0 - 2f64.powi(-25));
    if exact.abs() < least { sum * 0.0 } else { sum }
}

/// x, or 0 of its sign if it is below the smallest normal number.
#[inline(always)]
fn normal(x: Float) -> Float {
    if x.abs() < Float::MIN_POSITIVE { x * 0.0 } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Matrix, reference, with_arch};

    /// A generator of bits.
    fn random(seed: u32) -> impl FnMut() -> u32 {
        let mut state = u64::from(seed) << 1 | 1;
        move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 32) as u32
        }
    }

    /// Numbers between -1 and 1.
    fn numbers(count: usize, seed: u32) -> Vec<Float> {
        let mut random = random(seed);
        (0..count)
            .map(|_| (f64::from(random()) / 2f64.powi(31) - 1.0) as Float)
            .collect()
    }

    /// Numbers of which many are, and many products and sums become, too small to be normal; zeros of both signs among them.
    fn tiny(count: usize, seed: u32) -> Vec<Float> {
        let mut random = random(seed);
        let mut number = |_| {
            let bits = random();
            let exponent = [0, 1, 2, 20, 62, 63, 64, 65][bits as usize >> 8 & 7];
            let mantissa = if bits & 16 == 0 { bits & 0x7F_0000 } else { bits >> 9 };
            f32::from_bits(bits & 0x8000_0000 | exponent << 23 | mantissa) as Float
        };
        (0..count).map(&mut number).collect()
    }

    fn bits(values: &[Float]) -> Vec<u64> {
        values.iter().map(|&v| (v as f64).to_bits()).collect()
    }

    const NOTHING: Pair = Pair(0x7FC1_7FC1);

    /// All forms of a matrix: across, down, and its transpose down, in parts of 6 columns.
    fn forms(x: &[Float], columns: usize) -> [Vec<Pair>; 3] {
        let rows = x.len() / columns;
        let mut across = vec![NOTHING; size_across(rows, columns)];
        let mut down = vec![NOTHING; size_down(rows, columns)];
        convert(x, columns, Some(&mut across), &mut down);
        let mut again = vec![NOTHING; down.len()];
        convert(x, columns, None, &mut again);
        assert!(again == down);
        let mut turned = vec![NOTHING; size_down(columns, rows)];
        for (j, turned) in (0..columns).step_by(6).zip(turned.chunks_mut(3 * stride(rows))) {
            convert_transposed(x, columns, j..(j + 6).min(columns), turned);
        }
        [across, down, turned]
    }

    #[test]
    fn numbers_are_rounded_to_the_nearest() {
        let round = |x: Float| Pair::new(x, 0.0).split().0;
        let step = 2f64.powi(-7) as Float;
        assert_eq!(round(1.0 + 0.49 * step), 1.0);
        assert_eq!(round(1.0 + 0.51 * step), 1.0 + step);
        assert_eq!(round(1.0 + 0.5 * step), 1.0);
        assert_eq!(round(1.0 + 1.5 * step), 1.0 + 2.0 * step);
        assert_eq!(round(2.0 - 0.4 * step), 2.0);
        assert_eq!(round(f32::MAX as Float), Float::INFINITY);
        assert_eq!(round(Float::NEG_INFINITY), Float::NEG_INFINITY);
        assert!(round(Float::NAN).is_nan() && round(f32::from_bits(0x7F80_0001) as Float).is_nan());
        let smallest = f32::MIN_POSITIVE as Float;
        assert_eq!(round(smallest), smallest);
        assert!(round(-0.999 * smallest) == 0.0 && round(-0.999 * smallest).is_sign_negative());
    }

    /// Any bits, in all forms of matrices of awkward sizes.
    #[test]
    fn conversions_are_the_same_on_every_level() {
        let mut random = random(1);
        for (rows, columns) in [
            (1, 1),
            (2, 3),
            (3, 16),
            (5, 17),
            (16, 32),
            (17, 33),
            (40, 784),
            (100, 10),
        ] {
            let x: Vec<Float> = (0..rows * columns).map(|_| f32::from_bits(random()) as Float).collect();
            let best = forms(&x, columns);
            for level in [Arch::Plain, Arch::Avx2] {
                assert!(
                    with_arch(level, || forms(&x, columns)) == best,
                    "{rows}×{columns} on {level:?}"
                );
            }
            let [across, down, turned] = best;
            let (half, value) = (columns.div_ceil(2), |i: usize, j: usize| {
                let there = i < rows && j < columns;
                if there { x[i * columns + j] } else { 0.0 }
            });
            for (at, pair) in across.into_iter().enumerate() {
                let (i, j) = (at / half, at % half * 2);
                assert_eq!(pair, Pair::new(value(i, j), value(i, j + 1)));
            }
            for i in 0..rows {
                for j in 0..columns {
                    let pair = Pair::new(value(i & !1, j), value(i | 1, j));
                    assert_eq!(down[i / 2 * stride(columns) + j], pair);
                    let pair = Pair::new(value(i, j & !1), value(i, j | 1));
                    assert_eq!(turned[j / 2 * stride(rows) + i], pair);
                }
            }
        }
    }

    const SIZES: [[usize; 3]; 9] = [
        [1, 1, 1],
        [1, 16, 2],
        [7, 10, 5],
        [6, 64, 33],
        [12, 15, 3],
        [13, 17, 784],
        [25, 256, 301],
        [50, 70, 8],
        [3, 129, 1],
    ];

    /// The product of matrices of numbers.
    fn multiply([m, n, k]: [usize; 3], a: &[Float], b: &[Float], c: &mut [Float], start: Accumulate<'_>) {
        let ([across, ..], [_, down, _]) = (forms(a, k), forms(b, n));
        let pairs = k.div_ceil(2);
        let left = PackedLhs {
            values: &across,
            row_stride: pairs,
            pair_stride: 1,
        };
        product([m, n, pairs], left, &down, c, start);
    }

    /// The hardware's sums, where there is the instruction, and those of plain code.
    #[test]
    fn products_are_the_same_on_every_level() {
        for (seed, [m, n, k]) in (1..).zip(SIZES) {
            for numbers in [numbers, tiny] {
                let (a, b, old) = (
                    numbers(m * k, seed),
                    numbers(k * n, seed + 50),
                    numbers(m * n, seed + 99),
                );
                let row = numbers(n, seed + 150);
                for start in [Accumulate::Zero, Accumulate::Sum, Accumulate::Row(&row)] {
                    let mut best = old.clone();
                    multiply([m, n, k], &a, &b, &mut best, start);
                    for level in [Arch::Plain, Arch::Avx2] {
                        let mut c = old.clone();
                        with_arch(level, || multiply([m, n, k], &a, &b, &mut c, start));
                        assert!(bits(&c) == bits(&best), "{m}×{n}×{k} on {level:?}");
                    }
                }
            }
        }
    }

    /// Sums that are just below the smallest normal number, and may be rounded to it.
    #[test]
    fn the_edge_of_the_normal_numbers_is_the_same_on_every_level() {
        let mut random = random(3);
        for _ in 0..20_000 {
            let power = |n: u32| f32::from_bits((127 - n) << 23) as Float;
            let size = random() % 30;
            let mut factor = |n: u32| (1.0 + (random() % 128) as Float / 128.0) * power(n);
            let a = [factor(64 + size / 2), factor(64)];
            let b = [-factor(64 + size / 2), factor(63)];
            let old = power(126) * (1.0 + (random() % 2) as Float * Float::EPSILON);
            for sign in [1.0, -1.0] {
                let run = |level| {
                    let mut c = [sign * old];
                    let a = [sign * a[0], if size.is_multiple_of(2) { 0.0 } else { a[1] }];
                    with_arch(level, || multiply([1, 1, 2], &a, &b, &mut c, Accumulate::Sum));
                    c[0]
                };
                let (best, plain) = (run(Arch::Avx512), run(Arch::Plain));
                assert!(bits(&[best]) == bits(&[plain]), "{a:?} {b:?}: {best:e}, {plain:e}");
            }
        }
    }

    /// Each operand is rounded once, by at most 2⁻⁸ of it, and sums as in f32.
    #[test]
    fn products_are_those_of_the_reference_within_the_rounding() {
        for (seed, [m, n, k]) in (1..).zip(SIZES) {
            let (a, b, mut c) = (
                numbers(m * k, seed),
                numbers(k * n, seed + 50),
                numbers(m * n, seed + 99),
            );
            let mut expected = c.clone();
            reference::matmul(
                m,
                n,
                k,
                Matrix::new(&a, k),
                Matrix::new(&b, n),
                &mut expected,
                n,
                Accumulate::Sum,
            );
            multiply([m, n, k], &a, &b, &mut c, Accumulate::Sum);
            for (at, (c, expected)) in c.into_iter().zip(expected).enumerate() {
                let (i, j) = (at / n, at % n);
                let sizes: Float = (0..k).map(|p| (a[i * k + p] * b[p * n + j]).abs()).sum();
                let bound = 2.1 / 256.0 * sizes + 1e-5 * (1.0 + k as Float / 100.0);
                assert!((c - expected).abs() <= bound, "{m}×{n}×{k}: {c} is not {expected}");
            }
        }
    }

    #[test]
    fn gradients_are_those_of_the_reference_where_nothing_is_rounded() {
        // Small whole numbers are exact, and so are their sums.
        let whole = |count, seed| -> Vec<Float> {
            let mut random = random(seed);
            (0..count).map(|_| (random() % 17) as Float - 8.0).collect()
        };
        for [samples, inputs, units] in [[1, 3, 2], [7, 20, 5], [50, 33, 100], [25, 256, 10]] {
            let (x, w, dy) = (
                whole(samples * inputs, 1),
                whole(inputs * units, 2),
                whole(samples * units, 3),
            );
            let (x_matrix, w_matrix, dy_matrix) =
                (Matrix::new(&x, inputs), Matrix::new(&w, units), Matrix::new(&dy, units));
            let [x_forms, w_forms, dy_forms] = [forms(&x, inputs), forms(&w, units), forms(&dy, units)];

            let (mut dx, mut expected) = (vec![9.0; x.len()], vec![9.0; x.len()]);
            reference::matmul(
                samples,
                inputs,
                units,
                dy_matrix,
                w_matrix.transposed(),
                &mut expected,
                inputs,
                Accumulate::Zero,
            );
            let left = PackedLhs {
                values: &dy_forms[0],
                row_stride: units.div_ceil(2),
                pair_stride: 1,
            };
            product(
                [samples, inputs, units.div_ceil(2)],
                left,
                &w_forms[2],
                &mut dx,
                Accumulate::Zero,
            );
            assert_eq!(dx, expected);

            // Of the weights, from the second row on.
            let (mut dw, mut expected) = (vec![9.0; w.len()], vec![9.0; w.len()]);
            reference::matmul(
                inputs,
                units,
                samples,
                x_matrix.transposed(),
                dy_matrix,
                &mut expected,
                units,
                Accumulate::Sum,
            );
            let left = PackedLhs {
                values: &x_forms[1][1..],
                row_stride: 1,
                pair_stride: stride(inputs),
            };
            let sizes = [inputs - 1, units, samples.div_ceil(2)];
            product(sizes, left, &dy_forms[1], &mut dw[units..], Accumulate::Sum);
            assert_eq!(dw[units..], expected[units..]);
            assert!(dw[..units].iter().all(|&dw| dw == 9.0));
        }
    }

    /// So a batch may be divided anywhere, but between the two numbers of a pair.
    #[test]
    fn sums_do_not_depend_on_how_pairs_are_divided() {
        let [m, n, pairs] = [9, 40, 200];
        let (a, b) = (numbers(m * 2 * pairs, 1), numbers(2 * pairs * n, 2));
        let ([across, ..], [_, down, _]) = (forms(&a, 2 * pairs), forms(&b, n));
        let part = |from: usize, to: usize, c: &mut [Float]| {
            let start = if from == 0 { Accumulate::Zero } else { Accumulate::Sum };
            let left = PackedLhs {
                values: &across[from..],
                row_stride: pairs,
                pair_stride: 1,
            };
            product([m, n, to - from], left, &down[from * stride(n)..], c, start);
        };
        let (mut whole, mut parts) = (vec![0.0; m * n], vec![0.0; m * n]);
        part(0, pairs, &mut whole);
        [(0, 1), (1, 150), (150, 151), (151, pairs)]
            .iter()
            .for_each(|&(from, to)| part(from, to, &mut parts));
        assert!(bits(&whole) == bits(&parts));
    }

    #[test]
    #[should_panic(expected = "b is too short")]
    fn a_short_side_is_refused() {
        let left = PackedLhs {
            values: &[Pair::default(); 4],
            row_stride: 2,
            pair_stride: 1,
        };
        product([2, 1, 2], left, &[Pair::default(); 16], &mut [0.0; 2], Accumulate::Zero);
    }

    #[test]
    #[should_panic(expected = "a is too short")]
    fn strides_beyond_all_memory_are_refused() {
        let left = PackedLhs {
            values: &[Pair::default(); 4],
            row_stride: usize::MAX / 2 + 1,
            pair_stride: 1,
        };
        product([3, 1, 1], left, &[Pair::default(); 16], &mut [0.0; 3], Accumulate::Zero);
    }

    #[test]
    #[should_panic(expected = "too little room down")]
    fn too_little_room_is_refused() {
        convert(&[1.0; 9], 3, None, &mut [Pair::default(); 16]);
    }
}
