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
//! A number that has no partner is paired with 0. Everything has the same bits on every processor, with the instruction or without it.
//!
//! Sources: D. Kalamkar et al., "A Study of BFLOAT16 for Deep Learning Training", 2019; Intel, "BFLOAT16 – Hardware Numerics
//! Definition", 2018.

use std::ops::Range;

use crate::{Arch, Float, Work, arch, simd, vectorize_work};

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
/// apart would share a few sets of the first-level cache.
pub const fn stride(columns: usize) -> usize {
    (columns.div_ceil(LANES) | 1) * LANES
}

/// How many pairs a matrix has across.
pub const fn size_across(rows: usize, columns: usize) -> usize {
    rows * columns.div_ceil(2)
}

/// How many pairs a matrix has down, with what lies between them.
pub const fn size_down(rows: usize, columns: usize) -> usize {
    rows.div_ceil(2) * stride(columns)
}

/// Whether this thread may use the instructions.
fn has_instructions() -> bool {
    #[cfg(all(target_arch = "x86_64", not(gradus_f64)))]
    return arch() == Arch::Avx512 && is_x86_feature_detected!("avx512bf16");
    #[cfg(not(all(target_arch = "x86_64", not(gradus_f64))))]
    return false;
}

/// Rounds the rows of x, and pairs them across (unless that is `None`) and down.
///
/// # Panics
/// If x is not whole rows, or there is too little room.
pub fn convert(x: &[Float], columns: usize, across: Option<&mut [Pair]>, down: &mut [Pair]) {
    let rows = x.len() / columns;
    assert_eq!(x.len(), rows * columns, "x is not whole rows");
    assert!(
        across
            .as_ref()
            .is_none_or(|across| across.len() >= size_across(rows, columns)),
        "too little room across"
    );
    assert!(down.len() >= size_down(rows, columns), "too little room down");
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
/// If the columns are not there, or there is too little room.
pub fn convert_transposed(x: &[Float], columns: usize, which: Range<usize>, down: &mut [Pair]) {
    let rows = x.len() / columns;
    assert_eq!(x.len(), rows * columns, "x is not whole rows");
    assert!(which.start <= which.end && which.end <= columns, "no such columns");
    assert!(down.len() >= size_down(which.len(), rows), "too little room");
    #[cfg(all(target_arch = "x86_64", not(gradus_f64)))]
    if has_instructions() {
        // SAFETY: there are the instructions and the room.
        return unsafe { avx512::convert_transposed(x, columns, which, down.as_mut_ptr().cast()) };
    }
    for (j, down) in which.clone().step_by(2).zip(down.chunks_mut(stride(rows))) {
        down.fill(Pair(0));
        for (x, down) in x.chunks(columns).zip(down) {
            let x = &x[j..which.end];
            *down = Pair::new(x[0], x.get(1).copied().unwrap_or(0.0));
        }
    }
}

/// The left side of a product: its pair (i, p) is `values[i * row_stride + p * pair_stride]`.
#[derive(Debug, Clone, Copy)]
pub struct Left<'a> {
    /// The slice that holds the pairs.
    pub values: &'a [Pair],
    /// How far rows are apart.
    pub row_stride: usize,
    /// How far the pairs of a row are apart.
    pub pair_stride: usize,
}

/// C ← A·B, or C ← C + A·B if `accumulate`: A has m rows of so many pairs, B is paired down and has n columns, C is m×n.
///
/// Every element of C is one chain of fused multiply-adds, each rounded to f32, over the pairs in ascending order: of a pair the second
/// product comes first. Whatever is below the smallest normal number becomes 0.
///
/// # Panics
/// If a slice is too short.
pub fn product([m, n, pairs]: [usize; 3], a: Left<'_>, b: &[Pair], c: &mut [Float], accumulate: bool) {
    if m == 0 || n == 0 {
        return;
    }
    if pairs > 0 {
        let last = (m - 1) * a.row_stride + (pairs - 1) * a.pair_stride;
        assert!(last < a.values.len(), "a is too short");
    }
    assert!(pairs * stride(n) <= b.len(), "b is too short");
    assert!(m * n <= c.len(), "c is too short");
    #[cfg(all(target_arch = "x86_64", not(gradus_f64)))]
    if has_instructions() {
        // SAFETY: there are the instructions, and all is within what was asserted.
        return unsafe { avx512::product([m, n, pairs], a, b, c, accumulate) };
    }
    let sizes = [m, n, pairs];
    if arch() >= Arch::Avx2 {
        vectorize_work(Fallback::<true>(sizes, a, b, c, accumulate));
    } else {
        Fallback::<false>(sizes, a, b, c, accumulate).run();
    }
}

/// The product in plain code; whether the processor has fused multiply-adds.
struct Fallback<'a, const FUSED: bool>([usize; 3], Left<'a>, &'a [Pair], &'a mut [Float], bool);

impl<const FUSED: bool> Work for Fallback<'_, FUSED> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Fallback([m, n, pairs], a, b, c, accumulate) = self;
        for (i, c) in c.chunks_exact_mut(n).take(m).enumerate() {
            for (v, c) in c.chunks_mut(LANES).enumerate() {
                let mut sums = [0.0; LANES];
                if accumulate {
                    for (sum, &c) in sums.iter_mut().zip(&*c) {
                        *sum = normal(c);
                    }
                }
                for p in 0..pairs {
                    let (a0, a1) = a.values[i * a.row_stride + p * a.pair_stride].split();
                    let b = &b[p * stride(n) + v * LANES..][..LANES];
                    for (sum, b) in sums.iter_mut().zip(b) {
                        let (b0, b1) = b.split();
                        *sum = normal(fused::<FUSED>(a1, b1, *sum));
                        *sum = normal(fused::<FUSED>(a0, b0, *sum));
                    }
                }
                c.copy_from_slice(&sums[..c.len()]);
            }
        }
    }
}

#[inline(always)]
fn fused<const FUSED: bool>(x: Float, y: Float, z: Float) -> Float {
    if FUSED { x.mul_add(y, z) } else { simd::fused(x, y, z) }
}

/// x, or 0 of its sign if it is below the smallest normal number.
#[inline(always)]
fn normal(x: Float) -> Float {
    if x.abs() < Float::MIN_POSITIVE { x * 0.0 } else { x }
}
