//! Convolutions, pooling and upsampling by plain loops. A sequence is an image of height 1.

use super::Pass;
use crate::tape::Var;
use crate::windows::{Padding, Window};

impl Pass<'_, '_> {
    /// The weight is channels × channels of a group × taps.
    pub(super) fn convolution(
        &mut self,
        window: &Window,
        [channels, groups]: [usize; 2],
        x: &[Var],
        path: &str,
    ) -> Vec<Var> {
        let (weight, bias) = (self.weight(path), self.parameter(path, "bias"));
        let zero = self.tape.constant(0.0);
        let (plane, taps) = (window.pixel_count(), window.taps());
        let [in_group, out_group] = [window.channels / groups, channels / groups];
        let mut y = Vec::new();
        for o in 0..channels {
            for (i, j) in window.outputs() {
                let mut sum = bias.map_or(zero, |bias| bias[o]);
                for c in 0..in_group {
                    for (pixel, tap) in window.pixels(i, j) {
                        let x = x[(o / out_group * in_group + c) * plane + pixel];
                        sum = self.tape.mul_add(sum, x, weight[(o * in_group + c) * taps + tap]);
                    }
                }
                y.push(sum);
            }
        }
        y
    }

    /// Each pixel adds its multiple of the kernel to the output. The window is that of the convolution from outputs to inputs; the
    /// weight is input channels × channels of a group × taps.
    pub(super) fn transposed_convolution(
        &mut self,
        window: &Window,
        [channels, groups]: [usize; 2],
        x: &[Var],
        path: &str,
    ) -> Vec<Var> {
        let (weight, bias) = (self.weight(path), self.parameter(path, "bias"));
        let zero = self.tape.constant(0.0);
        let (plane, taps) = (window.pixel_count(), window.taps());
        let [in_group, out_group] = [window.channels / groups, channels / groups];
        let mut y: Vec<Var> = (0..channels)
            .flat_map(|o| vec![bias.map_or(zero, |bias| bias[o]); plane])
            .collect();
        let inputs = window.rows.output * window.columns.output;
        for c in 0..window.channels {
            for ((i, j), &x) in window.outputs().zip(&x[c * inputs..]) {
                for o in 0..out_group {
                    for (pixel, tap) in window.pixels(i, j) {
                        let y = &mut y[(c / in_group * out_group + o) * plane + pixel];
                        *y = self.tape.mul_add(*y, x, weight[(c * out_group + o) * taps + tap]);
                    }
                }
            }
        }
        y
    }

    pub(super) fn max_pool(&mut self, window: &Window, scale: f64, x: &[Var]) -> Vec<Var> {
        let mut y = Vec::new();
        for x in x.chunks(window.pixel_count()) {
            for (i, j) in window.outputs() {
                let seen: Vec<Var> = window.pixels(i, j).map(|(pixel, _)| x[pixel]).collect();
                y.push(self.largest_of(&seen, scale));
            }
        }
        y
    }

    pub(super) fn avg_pool(&mut self, window: &Window, exclude_padding: bool, x: &[Var]) -> Vec<Var> {
        let mut y = Vec::new();
        for x in x.chunks(window.pixel_count()) {
            for (i, j) in window.outputs() {
                let seen: Vec<Var> = window.pixels(i, j).map(|(pixel, _)| x[pixel]).collect();
                let count = if exclude_padding { seen.len() } else { window.taps() };
                let sum = self.tape.sum(&seen);
                y.push(self.tape.scale(sum, 1.0 / count as f64));
            }
        }
        y
    }

    /// Each pixel adds to the outputs that are less than a pixel away from it, or of which it is the nearest.
    pub(super) fn upsample(
        &mut self,
        [height, width]: [usize; 2],
        [rows, columns]: [usize; 2],
        bilinear: bool,
        x: &[Var],
    ) -> Vec<Var> {
        let weight = |output: usize, scale: usize, pixel: usize, size: usize| {
            let center = (output as f64 + 0.5) / scale as f64 - 0.5;
            let distance = (center.clamp(0.0, (size - 1) as f64) - pixel as f64).abs();
            match bilinear {
                true => (1.0 - distance).max(0.0),
                false => f64::from(u8::from(distance < 0.5)),
            }
        };
        let mut y = Vec::new();
        for x in x.chunks(height * width) {
            for (i, j) in (0..height * rows).flat_map(|i| (0..width * columns).map(move |j| (i, j))) {
                let mut parts = Vec::new();
                for (place, &pixel) in x.iter().enumerate() {
                    let weight = weight(i, rows, place / width, height) * weight(j, columns, place % width, width);
                    if weight > 0.0 {
                        parts.push(self.tape.scale(pixel, weight));
                    }
                }
                y.push(self.tape.sum(&parts));
            }
        }
        y
    }

    pub(super) fn zero_pad(&mut self, padding: &Padding, shape: &[usize], x: &[Var]) -> Vec<Var> {
        let sides = [0, 1].map(|axis| padding.of_axis(axis).expect("it depends on no window"));
        let [[top, bottom], [left, right]] = sides;
        let (height, width) = (shape[1], shape[2]);
        let zero = self.tape.constant(0.0);
        let mut y = Vec::new();
        for c in 0..shape[0] {
            for i in 0..top + height + bottom {
                for j in 0..left + width + right {
                    let inside = (top..top + height).contains(&i) && (left..left + width).contains(&j);
                    let at = |i: usize, j: usize| x[(c * height + i) * width + j];
                    y.push(if inside { at(i - top, j - left) } else { zero });
                }
            }
        }
        y
    }
}

/// The pixels that lie neither above nor below, left nor right of what stays.
pub(super) fn crop(cropping: &Padding, shape: &[usize], x: &[Var]) -> Vec<Var> {
    let sides = [0, 1].map(|axis| cropping.of_axis(axis).expect("it depends on no window"));
    let stays = |[before, after]: [usize; 2], place: usize, size: usize| place >= before && place + after < size;
    let (height, width) = (shape[1], shape[2]);
    let pixels = x.iter().enumerate().filter(|(at, _)| {
        let (row, column) = (at / width % height, at % width);
        stays(sides[0], row, height) && stays(sides[1], column, width)
    });
    pixels.map(|(_, &x)| x).collect()
}
