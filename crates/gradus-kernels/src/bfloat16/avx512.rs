//! The instructions of AVX512-BF16.

use std::arch::x86_64::*;
use std::ops::Range;

use super::{LANES, PackedLhs, Pair, stride};
use crate::Accumulate;
use crate::matmul::Parts;
use crate::matmul::transpose::transpose;

/// How many rows of B are gone over again and again: with the four vectors of a tile they fit the first-level cache.
const DEPTH: usize = 144;

/// As [`super::convert`]; `across` may be null.
///
/// # Safety
/// The processor has the instructions; there is room.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
pub(super) unsafe fn convert(x: &[f32], columns: usize, across: *mut u32, down: *mut u32) {
    let order: [u16; 32] = std::array::from_fn(|i| (i / 2 + i % 2 * 16) as u16);
    let (half, stride) = (columns.div_ceil(2), stride(columns));
    // SAFETY: the caller's.
    unsafe {
        let order = _mm512_loadu_si512(order.as_ptr().cast());
        for (p, x) in x.chunks(2 * columns).enumerate() {
            let (upper, has_lower) = (x.as_ptr(), x.len() > columns);
            let down = down.add(p * stride);
            let (first, second) = (
                across.wrapping_add(2 * p * half),
                across.wrapping_add((2 * p + 1) * half),
            );
            let whole = if has_lower { columns / LANES * LANES } else { 0 };
            for j in (0..whole).step_by(LANES) {
                let (a, b) = (_mm512_loadu_ps(upper.add(j)), _mm512_loadu_ps(upper.add(columns + j)));
                let both = bits(_mm512_cvtne2ps_pbh(b, a));
                _mm512_storeu_si512(down.add(j).cast(), _mm512_permutexvar_epi16(order, both));
                if !across.is_null() {
                    _mm256_storeu_si256(first.add(j / 2).cast(), _mm512_castsi512_si256(both));
                    _mm256_storeu_si256(second.add(j / 2).cast(), _mm512_extracti64x4_epi64::<1>(both));
                }
            }
            for j in (whole..columns).step_by(LANES) {
                let there = mask((columns - j).min(LANES));
                let a = _mm512_maskz_loadu_ps(there, upper.add(j));
                let b = if has_lower {
                    _mm512_maskz_loadu_ps(there, upper.add(columns + j))
                } else {
                    _mm512_setzero_ps()
                };
                let both = bits(_mm512_cvtne2ps_pbh(b, a));
                _mm512_storeu_si512(down.add(j).cast(), _mm512_permutexvar_epi16(order, both));
                if !across.is_null() {
                    let there = mask((half - j / 2).min(LANES / 2)) as __mmask8;
                    _mm256_mask_storeu_epi32(first.add(j / 2).cast(), there, _mm512_castsi512_si256(both));
                    if has_lower {
                        let both = _mm512_extracti64x4_epi64::<1>(both);
                        _mm256_mask_storeu_epi32(second.add(j / 2).cast(), there, both);
                    }
                }
            }
        }
    }
}

/// As [`super::convert_transposed`].
///
/// # Safety
/// The processor has the instructions; the columns are there, and there is room.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
pub(super) unsafe fn convert_transposed(x: &[f32], columns: usize, which: Range<usize>, down: *mut u32) {
    let rows = x.len() / columns;
    let stride = stride(rows);
    let mut turned = [0u32; LANES * LANES];
    let turned = turned.as_mut_ptr();
    // SAFETY: the caller's; any 32 bits are an f32, and moving it leaves them.
    unsafe {
        for j in which.clone().step_by(2 * LANES) {
            let wide = (which.end - j).min(2 * LANES);
            let (left, right) = (mask(wide.min(LANES)), mask(wide.saturating_sub(LANES)));
            let pairs = wide.div_ceil(2);
            let down = down.add((j - which.start) / 2 * stride);
            for i in (0..rows).step_by(LANES) {
                let high = (rows - i).min(LANES);
                for r in 0..LANES {
                    let both = if r < high {
                        let x = x.as_ptr().add((i + r) * columns + j);
                        let a = _mm512_maskz_loadu_ps(left, x);
                        let b = _mm512_maskz_loadu_ps(right, x.wrapping_add(LANES));
                        bits(_mm512_cvtne2ps_pbh(b, a))
                    } else {
                        _mm512_setzero_si512()
                    };
                    _mm512_storeu_si512(turned.add(r * LANES).cast(), both);
                }
                transpose(LANES, pairs, turned.cast(), LANES, down.add(i).cast(), stride);
            }
        }
    }
}

/// As [`super::product`].
///
/// # Safety
/// The processor has the instructions; the slices are long enough; m and n are not 0.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
pub(super) unsafe fn product(
    [m, n, pairs]: [usize; 3],
    a: PackedLhs<'_>,
    b: &[Pair],
    c: &mut [f32],
    start: Accumulate<'_>,
) {
    let vectors = n.div_ceil(LANES);
    let rows = Parts::new(m, if vectors == 1 { 12 } else { 6 });
    let columns = Parts::new(vectors, 4);
    let c_start = c.as_mut_ptr();
    for (p, depth) in Parts::new(pairs, DEPTH).iter() {
        let (from, from_row) = match start {
            Accumulate::Zero if p == 0 => (std::ptr::null(), 0),
            Accumulate::Row(row) if p == 0 => (row.as_ptr(), 0),
            _ => (c_start.cast_const(), n),
        };
        for (v, count) in columns.iter() {
            for (i, high) in rows.iter() {
                let tile = Tile {
                    pairs: depth,
                    a: a.values
                        .as_ptr()
                        .wrapping_add(i.wrapping_mul(a.row_stride).wrapping_add(p * a.pair_stride))
                        .cast(),
                    a_row: a.row_stride,
                    a_pair: a.pair_stride,
                    b: b.as_ptr().wrapping_add(p * stride(n) + v * LANES).cast(),
                    b_row: stride(n),
                    c: c_start.wrapping_add(i * n + v * LANES),
                    c_row: n,
                    last: mask((n - (v + count - 1) * LANES).min(LANES)),
                    from: if from.is_null() {
                        from
                    } else {
                        from.wrapping_add(i * from_row + v * LANES)
                    },
                    from_row,
                };
                // SAFETY: the caller's.
                unsafe { tile_of(high, count)(&tile) }
            }
        }
    }
}

/// A tile of C, of as many rows and vectors as the function it is handed to is made for.
struct Tile {
    pairs: usize,
    /// A's first pair for this tile; pair (i, p) is `a_row * i + a_pair * p` further.
    a: *const u32,
    a_row: usize,
    a_pair: usize,
    /// B's first pair for this tile; those of row p are `b_row * p` further.
    b: *const u32,
    b_row: usize,
    /// C's first element of this tile; row i is `c_row * i` further.
    c: *mut f32,
    c_row: usize,
    /// What of the last vector is there.
    last: __mmask16,
    /// What sums start from, zero if that is null; row i is `from_row * i` further.
    from: *const f32,
    from_row: usize,
}

/// # Safety
/// The processor has the instructions, and the pointers of the tile reach over what they describe.
type TileFn = unsafe fn(&Tile);

fn tile_of(rows: usize, vectors: usize) -> TileFn {
    macro_rules! tiles {
        ($($vectors:literal: $($rows:literal)+;)+) => {
            match (rows, vectors) {
                $($(($rows, $vectors) => tile::<$rows, $vectors>,)+)+
                _ => unreachable!("no tile of {rows} rows and {vectors} vectors"),
            }
        };
    }
    tiles! {
        1: 1 2 3 4 5 6 7 8 9 10 11 12;
        2: 1 2 3 4 5 6;
        3: 1 2 3 4 5 6;
        4: 1 2 3 4 5 6;
    }
}

/// Computes a tile: for each p, a column of A's pairs times a row of B's.
///
/// # Safety
/// As [`TileFn`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
unsafe fn tile<const ROWS: usize, const VECTORS: usize>(t: &Tile) {
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [[_mm512_setzero_ps(); VECTORS]; ROWS];
        let there = |v: usize| if v + 1 == VECTORS { t.last } else { !0 };
        if !t.from.is_null() {
            for (i, sums) in sums.iter_mut().enumerate() {
                for (v, sum) in sums.iter_mut().enumerate() {
                    *sum = _mm512_maskz_loadu_ps(there(v), t.from.add(i * t.from_row + v * LANES));
                }
            }
        }
        let (mut a, mut b) = (t.a, t.b);
        for _ in 0..t.pairs {
            let mut y = [_mm512_setzero_si512(); VECTORS];
            for (v, y) in y.iter_mut().enumerate() {
                *y = _mm512_loadu_si512(b.add(v * LANES).cast());
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let x = pairs(_mm512_set1_epi32(*a.add(i * t.a_row) as i32));
                for (sum, &y) in sums.iter_mut().zip(&y) {
                    *sum = _mm512_dpbf16_ps(*sum, x, pairs(y));
                }
            }
            // The last step leaves the slices.
            a = a.wrapping_add(t.a_pair);
            b = b.wrapping_add(t.b_row);
        }
        for (i, sums) in sums.iter().enumerate() {
            for (v, &sum) in sums.iter().enumerate() {
                let c = t.c.add(i * t.c_row + v * LANES);
                if v + 1 == VECTORS {
                    _mm512_mask_storeu_ps(c, t.last, sum);
                } else {
                    _mm512_storeu_ps(c, sum);
                }
            }
        }
    }
}

/// The first `count` of 16 lanes.
#[inline(always)]
fn mask(count: usize) -> __mmask16 {
    ((1u32 << count) - 1) as __mmask16
}

#[inline(always)]
fn bits(x: __m512bh) -> __m512i {
    // SAFETY: 512 bits are 512 bits.
    unsafe { std::mem::transmute(x) }
}

#[inline(always)]
fn pairs(x: __m512i) -> __m512bh {
    // SAFETY: as above.
    unsafe { std::mem::transmute(x) }
}
