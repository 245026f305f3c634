//! The operations on bytes, with integers only. A byte q stands for (q - zero) · scale.

use super::window::{Window, pixel, position, taps};

/// value / 2^shift, rounded to the nearest, halves away from 0; then a byte around `zero`.
fn byte(value: i64, shift: u8, zero: i32) -> u8 {
    let half = 1i64 << (shift - 1);
    let rounded = if value < 0 {
        -((half - value) >> shift)
    } else {
        (half + value) >> shift
    };
    (rounded + i64::from(zero)).clamp(0, 255) as u8
}

/// y = W·x + b, where b makes up for the zero of x.
pub(crate) fn dense(x: &[u8], y: &mut [u8], w: &[i8], b: &[i32], multiplier: &[i32], shift: &[u8], zero: i32) {
    for (i, (y, w)) in y.iter_mut().zip(w.chunks_exact(x.len())).enumerate() {
        let sum = w
            .iter()
            .zip(x)
            .fold(b[i], |sum, (&w, &x)| sum + i32::from(w) * i32::from(x));
        *y = byte(i64::from(sum) * i64::from(multiplier[i]), shift[i], zero);
    }
}

/// The convolution of an image, channels × height × width.
#[allow(clippy::too_many_arguments)]
pub(crate) fn conv2d(
    x: &[u8],
    y: &mut [u8],
    w: &[i8],
    b: &[i32],
    multiplier: &[i32],
    shift: &[u8],
    window: &Window,
    x_zero: i32,
    y_zero: i32,
) {
    let (rows, columns) = (&window.rows, &window.columns);
    let (inputs, outputs) = (window.inputs / window.groups, window.outputs / window.groups);
    let plane = rows.input * columns.input;
    let kernel = rows.kernel * columns.kernel;
    for o in 0..window.outputs {
        let x = &x[o / outputs * inputs * plane..][..inputs * plane];
        let w = &w[o * inputs * kernel..][..inputs * kernel];
        for i in 0..rows.output {
            let (top, bottom) = taps(rows, i);
            for j in 0..columns.output {
                let (left, right) = taps(columns, j);
                let mut sum = b[o];
                for (x, w) in x.chunks_exact(plane).zip(w.chunks_exact(kernel)) {
                    for k in top..bottom {
                        let row = &x[pixel(rows, i, k) * columns.input..][..columns.input];
                        let mut at = pixel(columns, j, left);
                        for w in &w[k * columns.kernel..][left..right] {
                            sum += i32::from(*w) * (i32::from(row[at]) - x_zero);
                            at += columns.dilation;
                        }
                    }
                }
                let sum = i64::from(sum) * i64::from(multiplier[o]);
                y[(o * rows.output + i) * columns.output + j] = byte(sum, shift[o], y_zero);
            }
        }
    }
}

/// The largest value of each window.
pub(crate) fn max_pool2d(x: &[u8], y: &mut [u8], window: &Window) {
    let (rows, columns) = (&window.rows, &window.columns);
    let planes = x.chunks_exact(rows.input * columns.input);
    for (x, y) in planes.zip(y.chunks_exact_mut(rows.output * columns.output)) {
        for i in 0..rows.output {
            let (top, bottom) = taps(rows, i);
            for j in 0..columns.output {
                let (left, right) = taps(columns, j);
                let mut largest = 0;
                for k in top..bottom {
                    for l in left..right {
                        let value = x[pixel(rows, i, k) * columns.input + pixel(columns, j, l)];
                        largest = if value > largest { value } else { largest };
                    }
                }
                y[i * columns.output + j] = largest;
            }
        }
    }
}

/// The mean of each window, whose padding counts as zeros unless it is excluded.
#[allow(clippy::too_many_arguments)]
pub(crate) fn avg_pool2d(
    x: &[u8],
    y: &mut [u8],
    window: &Window,
    exclude_padding: bool,
    multiplier: i32,
    shift: u8,
    x_zero: i32,
    y_zero: i32,
) {
    let (rows, columns) = (&window.rows, &window.columns);
    let planes = x.chunks_exact(rows.input * columns.input);
    for (x, y) in planes.zip(y.chunks_exact_mut(rows.output * columns.output)) {
        for i in 0..rows.output {
            let (top, bottom) = taps(rows, i);
            for j in 0..columns.output {
                let (left, right) = taps(columns, j);
                let mut sum = 0;
                for k in top..bottom {
                    for l in left..right {
                        sum += i32::from(x[pixel(rows, i, k) * columns.input + pixel(columns, j, l)]) - x_zero;
                    }
                }
                let counted = if exclude_padding {
                    (bottom - top) * (right - left)
                } else {
                    rows.kernel * columns.kernel
                };
                // The mean in 256ths.
                let mean = sum * 256 / counted as i32;
                y[i * columns.output + j] = byte(i64::from(mean) * i64::from(multiplier), shift, y_zero);
            }
        }
    }
}

/// Each pixel of rows of `width` pixels `rows` times down and `columns` times across.
pub(crate) fn upsample_nearest(x: &[u8], y: &mut [u8], width: usize, rows: usize, columns: usize) {
    let bands = y.chunks_exact_mut(rows * width * columns);
    for (x, y) in x.chunks_exact(width).zip(bands) {
        for y in y.chunks_exact_mut(width * columns) {
            for (x, y) in x.iter().zip(y.chunks_exact_mut(columns)) {
                y.fill(*x);
            }
        }
    }
}

/// Of planes of `plane` pixels in rows of `width`, `rows` rows of `columns` pixels, from pixel `start` on.
pub(crate) fn crop(x: &[u8], y: &mut [u8], plane: usize, width: usize, start: usize, rows: usize, columns: usize) {
    let planes = y.chunks_exact_mut(rows * columns);
    for (x, y) in x.chunks_exact(plane).zip(planes) {
        for (x, y) in x[start..].chunks(width).zip(y.chunks_exact_mut(columns)) {
            y.copy_from_slice(&x[..columns]);
        }
    }
}

/// Linear interpolation between the pixels, along both axes, rounded to the nearest byte: of the same scale and zero.
pub(crate) fn upsample_bilinear(x: &[u8], y: &mut [u8], height: usize, width: usize, rows: usize, columns: usize) {
    let parts = (4 * rows * columns) as i32;
    let planes = y.chunks_exact_mut(height * rows * width * columns);
    for (x, y) in x.chunks_exact(height * width).zip(planes) {
        for (i, y) in y.chunks_exact_mut(width * columns).enumerate() {
            let down = position(i, rows);
            let row = down / (2 * rows);
            let (top, bottom) = (&x[row * width..], &x[(row + 1).min(height - 1) * width..]);
            let lower = (down % (2 * rows)) as i32;
            let upper = (2 * rows) as i32 - lower;
            for (j, y) in y.iter_mut().enumerate() {
                let across = position(j, columns);
                let left = across / (2 * columns);
                let right = (left + 1).min(width - 1);
                let after = (across % (2 * columns)) as i32;
                let before = (2 * columns) as i32 - after;
                let above = before * i32::from(top[left]) + after * i32::from(top[right]);
                let below = before * i32::from(bottom[left]) + after * i32::from(bottom[right]);
                *y = ((upper * above + lower * below + parts / 2) / parts) as u8;
            }
        }
    }
}

/// y += x, each in its own scale.
#[allow(clippy::too_many_arguments)]
pub(crate) fn add(
    x: &[u8],
    y: &mut [u8],
    x_multiplier: i32,
    y_multiplier: i32,
    shift: u8,
    x_zero: i32,
    y_zero: i32,
    zero: i32,
) {
    for (y, x) in y.iter_mut().zip(x) {
        let x = i64::from(i32::from(*x) - x_zero) * i64::from(x_multiplier);
        *y = byte(
            x + i64::from(i32::from(*y) - y_zero) * i64::from(y_multiplier),
            shift,
            zero,
        );
    }
}

/// y *= x, each in its own scale; x has a number for each value of y, or one for each channel.
pub(crate) fn multiply(x: &[u8], y: &mut [u8], multiplier: i32, shift: u8, x_zero: i32, y_zero: i32, zero: i32) {
    let each = y.len() / x.len();
    for (y, x) in y.chunks_exact_mut(each).zip(x) {
        let factor = i64::from(i32::from(*x) - x_zero) * i64::from(multiplier);
        for y in y {
            *y = byte(i64::from(i32::from(*y) - y_zero) * factor, shift, zero);
        }
    }
}

/// A function of one value, from its table.
pub(crate) fn map(y: &mut [u8], table: &[u8; 256]) {
    for y in y {
        *y = table[usize::from(*y)];
    }
}

/// 256 · eˣⁱ / Σ eˣʲ, where table[d] is e⁻ˣ of the difference d to the largest, in 65536ths.
pub(crate) fn softmax(y: &mut [u8], table: &[u32; 256]) {
    let largest = y.iter().fold(0, |most, &y| if y > most { y } else { most });
    let total = y
        .iter()
        .fold(0u64, |total, y| total + u64::from(table[usize::from(largest - y)]));
    for y in y {
        let share = (256 * u64::from(table[usize::from(largest - *y)]) + total / 2) / total;
        *y = share.min(255) as u8;
    }
}

/// The byte nearest to x, where byte `zero` stands for `mean` and each further one for `scale` more; 0 if x is NaN.
pub(crate) fn nearest(x: f32, mean: f32, scale: f32, zero: f32) -> u8 {
    let q = (x - mean) / scale + zero + 0.5;
    if q > 255.0 {
        255
    } else if q > 0.0 {
        q as u8
    } else {
        0
    }
}

/// y = x from place `start` on, each in its own scale.
pub(crate) fn copy_into(x: &[u8], y: &mut [u8], start: i32, multiplier: i32, shift: u8, x_zero: i32, y_zero: i32) {
    for (y, x) in y[start as usize..].iter_mut().zip(x) {
        *y = byte(i64::from(i32::from(*x) - x_zero) * i64::from(multiplier), shift, y_zero);
    }
}

/// y = x
pub(crate) fn copy(x: &[u8], y: &mut [u8]) {
    y.copy_from_slice(x);
}
