//! Products of bfloat16 numbers with sums in f32, by AVX512-BF16.
//!
//! The instruction multiplies pairs: each of 16 sums gets a₀·b₀ + a₁·b₁, so whatever is summed over has to lie in pairs, two
//! numbers in 32 bits. Tiles of C stay in registers while the pairs run; B lies in columns of 16 pairs, one after the other,
//! so that it is read straight through.

use std::arch::x86_64::*;

use gradus_kernels::lanes::{LANES, to_lanes};

/// 16 pairs: a vector, and a line of the cache.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct Line([u32; 16]);

const ZERO: Line = Line([0; 16]);

/// Pairs in lines.
pub struct Pairs(Vec<Line>);

impl Pairs {
    pub fn zeros(count: usize) -> Self {
        Pairs(vec![ZERO; count.div_ceil(16)])
    }

    fn pointer(&self) -> *const u32 {
        self.0.as_ptr().cast()
    }

    fn pointer_mut(&mut self) -> *mut u32 {
        self.0.as_mut_ptr().cast()
    }
}

/// Whether the processor has the instructions.
pub fn available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bf16")
}

/// y ← x in bfloat16, in pairs of neighbours.
pub fn in_rows(x: &[f32], y: &mut Pairs) {
    assert!(available() && x.len().is_multiple_of(2) && 16 * y.0.len() >= x.len() / 2);
    // SAFETY: there are the instructions and the room.
    unsafe { rows(x, y.pointer_mut()) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn rows(x: &[f32], y: *mut u32) {
    let (whole, rest) = x.as_chunks::<32>();
    // SAFETY: the caller's.
    unsafe {
        for (i, x) in whole.iter().enumerate() {
            let x = x.as_ptr();
            let both = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(x.add(16)), _mm512_loadu_ps(x));
            _mm512_storeu_si512(y.add(16 * i).cast(), bits(both));
        }
        let mut last = [0.0; 32];
        last[..rest.len()].copy_from_slice(rest);
        let both = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(last[16..].as_ptr()), _mm512_loadu_ps(last.as_ptr()));
        _mm512_mask_storeu_epi32(y.add(16 * whole.len()).cast(), first(rest.len() / 2), bits(both));
    }
}

/// y ← x of so many columns in bfloat16, in pairs of a row and the next; pair (p, j) is number p · columns + j, or, `in_columns`
/// of 16, number (j / 16 · pairs + p) · 16 + j % 16. A row that has no next is paired with zeros.
pub fn down(x: &[f32], columns: usize, in_columns: bool, y: &mut Pairs) {
    let rows = x.len() / columns;
    let width = if in_columns {
        columns.next_multiple_of(16)
    } else {
        columns
    };
    assert!(available() && x.len() == rows * columns && 16 * y.0.len() >= rows.div_ceil(2) * width);
    // SAFETY: as above.
    unsafe { interleave(x, columns, in_columns, y.pointer_mut()) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn interleave(x: &[f32], columns: usize, in_columns: bool, y: *mut u32) {
    let pairs = (x.len() / columns).div_ceil(2);
    let order: [u16; 32] = std::array::from_fn(|i| (i / 2 + i % 2 * 16) as u16);
    // SAFETY: the caller's.
    unsafe {
        let order = _mm512_loadu_si512(order.as_ptr().cast());
        for p in 0..pairs {
            let upper = x.as_ptr().add(2 * p * columns);
            let has_next = (2 * p + 1) * columns < x.len();
            for j in (0..columns).step_by(16) {
                let there = first((columns - j).min(16));
                let a = _mm512_maskz_loadu_ps(there, upper.add(j));
                let b = if has_next {
                    _mm512_maskz_loadu_ps(there, upper.add(columns + j))
                } else {
                    _mm512_setzero_ps()
                };
                let both = _mm512_permutexvar_epi16(order, bits(_mm512_cvtne2ps_pbh(b, a)));
                if in_columns {
                    _mm512_storeu_si512(y.add((j / 16 * pairs + p) * 16).cast(), both);
                } else {
                    _mm512_mask_storeu_epi32(y.add(p * columns + j).cast(), there, both);
                }
            }
        }
    }
}

/// y ← the transpose of pairs in rows of `pairs`, in columns of 16.
pub fn transpose(x: &Pairs, rows: usize, pairs: usize, y: &mut Pairs) {
    assert!(rows * pairs <= 16 * x.0.len() && rows.next_multiple_of(16) * pairs <= 16 * y.0.len());
    // SAFETY: any 32 bits are an f32, and moving it leaves them; the lengths are those asserted.
    let (x, y) = unsafe {
        (
            std::slice::from_raw_parts(x.pointer().cast::<f32>(), rows * pairs),
            std::slice::from_raw_parts_mut(y.pointer_mut().cast::<f32>(), rows.next_multiple_of(16) * pairs),
        )
    };
    for (x, y) in x.chunks(LANES * pairs).zip(y.chunks_exact_mut(LANES * pairs)) {
        to_lanes(x, x.len() / pairs, y);
    }
}

/// A of a product: pair (i, p) is number first + i · row + p · pair.
#[derive(Clone, Copy)]
pub struct A<'a> {
    pub values: &'a Pairs,
    pub first: usize,
    pub row: usize,
    pub pair: usize,
}

/// C ← A·B, or C + A·B if `accumulate`; C is m×n, B in columns of 16 pairs.
pub fn product([m, n, pairs]: [usize; 3], a: A<'_>, b: &Pairs, c: &mut [f32], accumulate: bool) {
    assert!(available() && m > 0 && n > 0 && pairs > 0);
    assert!(
        a.first + (m - 1) * a.row + (pairs - 1) * a.pair < 16 * a.values.0.len(),
        "a is too short"
    );
    assert!(n.div_ceil(16) * pairs <= b.0.len(), "b is too short");
    assert!(m * n <= c.len(), "c is too short");
    let vectors = n.div_ceil(16);
    let columns = parts(vectors, 4);
    let rows = if vectors == 1 { 12 } else { 6 };
    // What is used for all rows stays in the first-level cache.
    for (p, depth) in parts(pairs, 144) {
        for &(v, count) in &columns {
            for (i, high) in parts(m, rows) {
                let tile = Tile {
                    pairs: depth,
                    a: a.values.pointer().wrapping_add(a.first + i * a.row + p * a.pair),
                    a_row: a.row,
                    a_pair: a.pair,
                    b: b.pointer().wrapping_add((v * pairs + p) * 16),
                    b_column: pairs * 16,
                    c: c.as_mut_ptr().wrapping_add(i * n + v * 16),
                    c_row: n,
                    last: first((n - (v + count - 1) * 16).min(16)),
                    accumulate: accumulate || p > 0,
                };
                // SAFETY: there are the instructions, and all is within what was asserted.
                unsafe { TILES[count - 1][high - 1](&tile) }
            }
        }
    }
}

/// `0..length` in the fewest parts of at most `most`: start and length of each.
fn parts(length: usize, most: usize) -> Vec<(usize, usize)> {
    let count = length.div_ceil(most);
    let start = |i: usize| i * length / count;
    (0..count).map(|i| (start(i), start(i + 1) - start(i))).collect()
}

struct Tile {
    pairs: usize,
    a: *const u32,
    a_row: usize,
    a_pair: usize,
    b: *const u32,
    b_column: usize,
    c: *mut f32,
    c_row: usize,
    /// What of the last vector is there.
    last: __mmask16,
    accumulate: bool,
}

type Run = unsafe fn(&Tile);

macro_rules! heights {
    ($v:literal) => {
        [
            run::<1, $v>,
            run::<2, $v>,
            run::<3, $v>,
            run::<4, $v>,
            run::<5, $v>,
            run::<6, $v>,
            run::<7, $v>,
            run::<8, $v>,
            run::<9, $v>,
            run::<10, $v>,
            run::<11, $v>,
            run::<12, $v>,
        ]
    };
}

/// By vectors and rows. (The highest of the wide ones are never used.)
#[rustfmt::skip]
static TILES: [[Run; 12]; 4] = [heights!(1), heights!(2), heights!(3), heights!(4)];

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn run<const ROWS: usize, const VECTORS: usize>(tile: &Tile) {
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [[_mm512_setzero_ps(); VECTORS]; ROWS];
        let mask = |v: usize| if v + 1 == VECTORS { tile.last } else { !0 };
        if tile.accumulate {
            for (i, sums) in sums.iter_mut().enumerate() {
                for (v, sum) in sums.iter_mut().enumerate() {
                    *sum = _mm512_maskz_loadu_ps(mask(v), tile.c.add(i * tile.c_row + v * 16));
                }
            }
        }
        let (mut a, mut b) = (tile.a, tile.b);
        for _ in 0..tile.pairs {
            let mut columns = [_mm512_setzero_si512(); VECTORS];
            for (v, column) in columns.iter_mut().enumerate() {
                *column = _mm512_load_si512(b.add(v * tile.b_column).cast());
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let both = pairs(_mm512_set1_epi32(*a.add(i * tile.a_row) as i32));
                for (sum, &column) in sums.iter_mut().zip(&columns) {
                    *sum = _mm512_dpbf16_ps(*sum, both, pairs(column));
                }
            }
            a = a.wrapping_add(tile.a_pair);
            b = b.wrapping_add(16);
        }
        for (i, sums) in sums.iter().enumerate() {
            for (v, &sum) in sums.iter().enumerate() {
                _mm512_mask_storeu_ps(tile.c.add(i * tile.c_row + v * 16), mask(v), sum);
            }
        }
    }
}

/// GFLOP/s of sums that stay in registers.
pub fn ceiling() -> f64 {
    assert!(available());
    // SAFETY: there are the instructions.
    (0..100).map(|_| unsafe { in_registers() }).fold(0.0, f64::max)
}

#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn in_registers() -> f64 {
    const STEPS: usize = 100_000;
    let x = std::hint::black_box(_mm512_setzero_si512());
    let mut sums = std::hint::black_box([_mm512_setzero_ps(); 24]);
    let start = std::time::Instant::now();
    for _ in 0..STEPS {
        for sum in &mut sums {
            // SAFETY: 512 bits are 512 bits.
            *sum = unsafe { _mm512_dpbf16_ps(*sum, pairs(x), pairs(x)) };
        }
    }
    std::hint::black_box(sums);
    (4 * 16 * 24 * STEPS) as f64 / start.elapsed().as_secs_f64() / 1e9
}

#[inline(always)]
fn first(count: usize) -> __mmask16 {
    ((1u32 << count) - 1) as __mmask16
}

#[inline(always)]
unsafe fn bits(x: __m512bh) -> __m512i {
    // SAFETY: 512 bits are 512 bits.
    unsafe { std::mem::transmute(x) }
}

#[inline(always)]
unsafe fn pairs(x: __m512i) -> __m512bh {
    // SAFETY: as above.
    unsafe { std::mem::transmute(x) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small whole numbers: exact in bfloat16, and so are their sums in f32.
    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 + seed) % 17) as f32 - 8.0).collect()
    }

    #[test]
    fn products_are_those_of_plain_loops() {
        if !available() {
            return;
        }
        for [m, n, k] in [[1, 16, 2], [7, 10, 4], [25, 256, 784], [100, 250, 10], [13, 100, 256]] {
            let (x, w, before) = (numbers(m * k, 1), numbers(k * n, 2), numbers(m * n, 3));
            let expected = |i: usize, j: usize| (0..k).map(|p| x[i * k + p] * w[p * n + j]).sum::<f32>();
            let mut a = Pairs::zeros(m * k / 2);
            in_rows(&x, &mut a);
            let mut b = Pairs::zeros(n.next_multiple_of(16) * k / 2);
            down(&w, n, true, &mut b);
            let a = A {
                values: &a,
                first: 0,
                row: k / 2,
                pair: 1,
            };
            for accumulate in [false, true] {
                let mut c = before.clone();
                product([m, n, k / 2], a, &b, &mut c, accumulate);
                for (at, c) in c.into_iter().enumerate() {
                    let old = if accumulate { before[at] } else { 0.0 };
                    assert_eq!(c, old + expected(at / n, at % n), "{m}×{n}×{k}");
                }
            }
        }
    }

    #[test]
    fn both_gradients_are_those_of_plain_loops() {
        if !available() {
            return;
        }
        for [samples, inputs, units] in [[3, 20, 6], [100, 256, 256], [25, 256, 10]] {
            let (x, w, dy) = (
                numbers(samples * inputs, 1),
                numbers(inputs * units, 2),
                numbers(samples * units, 3),
            );
            let (mut rows, mut b) = (
                Pairs::zeros(inputs * units / 2),
                Pairs::zeros(inputs.next_multiple_of(16) * units / 2),
            );
            in_rows(&w, &mut rows);
            transpose(&rows, inputs, units / 2, &mut b);
            let mut a = Pairs::zeros(samples * units / 2);
            in_rows(&dy, &mut a);
            let a = A {
                values: &a,
                first: 0,
                row: units / 2,
                pair: 1,
            };
            let mut dx = vec![0.0; samples * inputs];
            product([samples, inputs, units / 2], a, &b, &mut dx, false);
            for (at, dx) in dx.into_iter().enumerate() {
                let (s, i) = (at / inputs, at % inputs);
                assert_eq!(
                    dx,
                    (0..units).map(|j| dy[s * units + j] * w[i * units + j]).sum::<f32>()
                );
            }

            let pairs = samples.div_ceil(2);
            let (mut a, mut b) = (
                Pairs::zeros(pairs * inputs),
                Pairs::zeros(pairs * units.next_multiple_of(16)),
            );
            down(&x, inputs, false, &mut a);
            down(&dy, units, true, &mut b);
            let a = A {
                values: &a,
                first: 0,
                row: 1,
                pair: inputs,
            };
            let mut dw = vec![1.0; inputs * units];
            product([inputs, units, pairs], a, &b, &mut dw, true);
            for (at, dw) in dw.into_iter().enumerate() {
                let (i, j) = (at / units, at % units);
                assert_eq!(
                    dw,
                    1.0 + (0..samples).map(|s| x[s * inputs + i] * dy[s * units + j]).sum::<f32>()
                );
            }
        }
    }

    /// So any processor could compute the same bits, with plain additions.
    #[test]
    fn the_second_product_of_a_pair_is_added_first_and_each_sum_is_rounded() {
        if !available() {
            return;
        }
        let mut state = 1u32;
        let mut number = |bits: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let exponent = 120 + (state >> 4) % 12;
            f32::from_bits(state & 0x8000_0000 | exponent << 23 | (state >> 8) & (0x7F_FFFF ^ ((1 << (23 - bits)) - 1)))
        };
        for _ in 0..100_000 {
            let (x, w, c) = ([number(7), number(7)], [number(7), number(7)], number(23));
            let (mut a, mut b) = (Pairs::zeros(1), Pairs::zeros(16));
            in_rows(&x, &mut a);
            down(&w, 1, true, &mut b);
            let a = A {
                values: &a,
                first: 0,
                row: 1,
                pair: 1,
            };
            let mut y = [c];
            product([1, 1, 1], a, &b, &mut y, true);
            assert_eq!(y[0], c + x[1] * w[1] + x[0] * w[0], "{x:?} {w:?} {c}");
        }
    }
}
