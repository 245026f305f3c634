//! Transposition of a block of floats, for packing and for products that are better computed transposed.

use crate::Float;

/// `y[j * y_row + i] = x[i * x_row + j]` for i < `rows`, j < `columns`.
///
/// # Safety
/// The pointers reach over all these elements, and no element is in both.
pub(crate) unsafe fn transpose(
    rows: usize,
    columns: usize,
    x: *const Float,
    x_row: usize,
    y: *mut Float,
    y_row: usize,
) {
    // SAFETY: the caller's, and `arch` found the instructions.
    #[cfg(all(target_arch = "x86_64", not(gradus_f64)))]
    if rows >= 8 && crate::arch() >= crate::Arch::Avx2 {
        return unsafe { transpose_avx2(rows, columns, x, x_row, y, y_row) };
    }
    for j in 0..columns {
        for i in 0..rows {
            // SAFETY: the caller's.
            unsafe { *y.add(j * y_row + i) = *x.add(i * x_row + j) }
        }
    }
}

/// As [`transpose`], 8 rows at a time. The last 8 may be partly those before them: their elements are written twice.
#[cfg(all(target_arch = "x86_64", not(gradus_f64)))]
#[target_feature(enable = "avx2")]
unsafe fn transpose_avx2(rows: usize, columns: usize, x: *const f32, x_row: usize, y: *mut f32, y_row: usize) {
    // SAFETY: the caller's.
    unsafe {
        for i in (0..rows).step_by(8) {
            let i = i.min(rows - 8);
            for j in (0..columns).step_by(8) {
                let (x, y) = (x.add(i * x_row + j), y.add(j * y_row + i));
                match columns - j {
                    8.. => transpose_8_rows::<true>(8, x, x_row, y, y_row),
                    few => transpose_8_rows::<false>(few, x, x_row, y, y_row),
                }
            }
        }
    }
}

/// Of 8 rows and up to 8 columns, all of them if `FULL`: exchanges single floats, then pairs, then quadruples.
#[cfg(all(target_arch = "x86_64", not(gradus_f64)))]
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn transpose_8_rows<const FULL: bool>(columns: usize, x: *const f32, x_row: usize, y: *mut f32, y_row: usize) {
    use crate::simd::Vector;
    use std::arch::x86_64::*;
    // SAFETY: the caller's.
    unsafe {
        let r: [__m256; 8] = std::array::from_fn(|i| {
            let row = x.add(i * x_row);
            if FULL {
                Vector::load(row)
            } else {
                Vector::load_first(row, columns)
            }
        });
        let mut s = r;
        for i in 0..4 {
            s[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
            s[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
        }
        let mut t = s;
        for i in [0, 4] {
            t[i] = _mm256_shuffle_ps::<0b01_00_01_00>(s[i], s[i + 2]);
            t[i + 1] = _mm256_shuffle_ps::<0b11_10_11_10>(s[i], s[i + 2]);
            t[i + 2] = _mm256_shuffle_ps::<0b01_00_01_00>(s[i + 1], s[i + 3]);
            t[i + 3] = _mm256_shuffle_ps::<0b11_10_11_10>(s[i + 1], s[i + 3]);
        }
        for j in 0..8 {
            if FULL || j < columns {
                let (low, high) = (t[j % 4], t[j % 4 + 4]);
                let column = if j < 4 {
                    _mm256_permute2f128_ps::<0x20>(low, high)
                } else {
                    _mm256_permute2f128_ps::<0x31>(low, high)
                };
                column.store(y.add(j * y_row));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Arch, with_arch};

    #[test]
    fn every_element_finds_its_place() {
        for arch in Arch::ALL {
            for rows in 0..20 {
                for columns in 0..20 {
                    let (x_row, y_row) = (columns + 3, rows + 2);
                    let x: Vec<Float> = (0..rows * x_row).map(|v| v as Float).collect();
                    let mut y = vec![-1.0; columns * y_row];
                    // SAFETY: the slices are that long.
                    with_arch(arch, || unsafe {
                        transpose(rows, columns, x.as_ptr(), x_row, y.as_mut_ptr(), y_row)
                    });
                    for (at, &y) in y.iter().enumerate() {
                        let (j, i) = (at / y_row, at % y_row);
                        assert_eq!(y, if i < rows { x[i * x_row + j] } else { -1.0 });
                    }
                }
            }
        }
    }
}
