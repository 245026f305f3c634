//! The operations on floats.

use super::window::{Window, pixel, position, taps};

/// y = W·x + b
pub(crate) fn dense(x: &[f32], y: &mut [f32], w: &[f32], b: &[f32], relu: bool) {
    for ((y, w), b) in y.iter_mut().zip(w.chunks_exact(x.len())).zip(b) {
        let sum = w.iter().zip(x).fold(*b, |sum, (w, x)| sum + w * x);
        *y = if relu && sum < 0.0 { 0.0 } else { sum };
    }
}

/// The convolution of an image, channels × height × width.
pub(crate) fn conv2d(x: &[f32], y: &mut [f32], w: &[f32], b: &[f32], window: &Window, relu: bool) {
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
                            sum += w * row[at];
                            at += columns.dilation;
                        }
                    }
                }
                y[(o * rows.output + i) * columns.output + j] = if relu && sum < 0.0 { 0.0 } else { sum };
            }
        }
    }
}

/// The largest value of each window; NaN if there is one.
pub(crate) fn max_pool2d(x: &[f32], y: &mut [f32], window: &Window) {
    let (rows, columns) = (&window.rows, &window.columns);
    let planes = x.chunks_exact(rows.input * columns.input);
    for (x, y) in planes.zip(y.chunks_exact_mut(rows.output * columns.output)) {
        for i in 0..rows.output {
            let (top, bottom) = taps(rows, i);
            for j in 0..columns.output {
                let (left, right) = taps(columns, j);
                let mut largest = x[pixel(rows, i, top) * columns.input + pixel(columns, j, left)];
                for k in top..bottom {
                    for l in left..right {
                        let value = x[pixel(rows, i, k) * columns.input + pixel(columns, j, l)];
                        largest = if value > largest || value.is_nan() {
                            value
                        } else {
                            largest
                        };
                    }
                }
                y[i * columns.output + j] = largest;
            }
        }
    }
}

/// The mean of each window, whose padding counts as zeros unless it is excluded.
pub(crate) fn avg_pool2d(x: &[f32], y: &mut [f32], window: &Window, exclude_padding: bool) {
    let (rows, columns) = (&window.rows, &window.columns);
    let planes = x.chunks_exact(rows.input * columns.input);
    for (x, y) in planes.zip(y.chunks_exact_mut(rows.output * columns.output)) {
        for i in 0..rows.output {
            let (top, bottom) = taps(rows, i);
            for j in 0..columns.output {
                let (left, right) = taps(columns, j);
                let mut sum = 0.0;
                for k in top..bottom {
                    // Row by row: one sum of all pixels would lose precision.
                    let mut of_row = 0.0;
                    for l in left..right {
                        of_row += x[pixel(rows, i, k) * columns.input + pixel(columns, j, l)];
                    }
                    sum += of_row;
                }
                let counted = if exclude_padding {
                    (bottom - top) * (right - left)
                } else {
                    rows.kernel * columns.kernel
                };
                y[i * columns.output + j] = sum / counted as f32;
            }
        }
    }
}

/// Each pixel of rows of `width` pixels `rows` times down and `columns` times across.
pub(crate) fn upsample_nearest(x: &[f32], y: &mut [f32], width: usize, rows: usize, columns: usize) {
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
pub(crate) fn crop(x: &[f32], y: &mut [f32], plane: usize, width: usize, start: usize, rows: usize, columns: usize) {
    let planes = y.chunks_exact_mut(rows * columns);
    for (x, y) in x.chunks_exact(plane).zip(planes) {
        for (x, y) in x[start..].chunks(width).zip(y.chunks_exact_mut(columns)) {
            y.copy_from_slice(&x[..columns]);
        }
    }
}

/// Linear interpolation between the pixels, along both axes.
pub(crate) fn upsample_bilinear(x: &[f32], y: &mut [f32], height: usize, width: usize, rows: usize, columns: usize) {
    let planes = y.chunks_exact_mut(height * rows * width * columns);
    for (x, y) in x.chunks_exact(height * width).zip(planes) {
        for (i, y) in y.chunks_exact_mut(width * columns).enumerate() {
            let down = position(i, rows);
            let row = down / (2 * rows);
            let (top, bottom) = (&x[row * width..], &x[(row + 1).min(height - 1) * width..]);
            let weight = (down % (2 * rows)) as f32 / (2 * rows) as f32;
            for (j, y) in y.iter_mut().enumerate() {
                let across = position(j, columns);
                let left = across / (2 * columns);
                let right = (left + 1).min(width - 1);
                let after = (across % (2 * columns)) as f32 / (2 * columns) as f32;
                let above = (1.0 - after) * top[left] + after * top[right];
                let below = (1.0 - after) * bottom[left] + after * bottom[right];
                *y = (1.0 - weight) * above + weight * below;
            }
        }
    }
}

/// y += x
pub(crate) fn add(x: &[f32], y: &mut [f32], relu: bool) {
    for (y, x) in y.iter_mut().zip(x) {
        let sum = *y + x;
        *y = if relu && sum < 0.0 { 0.0 } else { sum };
    }
}

/// y *= x, which has a number for each value of y, or one for each channel
pub(crate) fn multiply(x: &[f32], y: &mut [f32]) {
    let each = y.len() / x.len();
    for (y, x) in y.chunks_exact_mut(each).zip(x) {
        for y in y {
            *y *= x;
        }
    }
}

/// y = (x - mean) / deviation, value by value
pub(crate) fn standardize(x: &[f32], y: &mut [f32], mean: &[f32], deviation: &[f32]) {
    for ((y, x), (mean, deviation)) in y.iter_mut().zip(x).zip(mean.iter().zip(deviation)) {
        *y = (x - mean) / deviation;
    }
}

/// y = y · deviation + mean, value by value
pub(crate) fn rescale(y: &mut [f32], mean: &[f32], deviation: &[f32]) {
    for (y, (mean, deviation)) in y.iter_mut().zip(mean.iter().zip(deviation)) {
        *y = *y * deviation + mean;
    }
}

/// y = x from place `start` on
pub(crate) fn copy_into(x: &[f32], y: &mut [f32], start: i32) {
    y[start as usize..][..x.len()].copy_from_slice(x);
}

/// y = x
pub(crate) fn copy(x: &[f32], y: &mut [f32]) {
    y.copy_from_slice(x);
}
