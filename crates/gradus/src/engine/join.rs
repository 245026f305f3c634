//! What blocks of layers do with the outputs of their branches: add, multiply, put one after the other.

use gradus_kernels::interleaved::LANES;
use gradus_kernels::vectorize;

use crate::Float;
use crate::layer::advanced::Layout;

/// How the values of a block of samples lie: in rows, in each of which every value stands for `lanes` samples side by side.
///
/// Samples that lie one after the other have a row each. Interleaved ones share a row, one lane for each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows {
    count: usize,
    lanes: usize,
}

impl Rows {
    pub fn new(samples: usize, layout: Layout) -> Self {
        match layout {
            Layout::SampleMajor => Rows {
                count: samples,
                lanes: 1,
            },
            Layout::Interleaved => Rows {
                count: samples.div_ceil(LANES),
                lanes: LANES,
            },
        }
    }

    /// The length of a row of these values.
    fn width(self, values: &[Float]) -> usize {
        values.len() / self.count
    }

    /// y[start..start + size of x] ← x, for every sample.
    pub fn copy_into(self, x: &[Float], y: &mut [Float], start: usize) {
        let (width, start) = (self.width(x), start * self.lanes);
        let rows = y.chunks_exact_mut(self.width(y));
        for (x, y) in x.chunks_exact(width).zip(rows) {
            y[start..][..width].copy_from_slice(x);
        }
    }

    /// x ← y[start..start + size of x], for every sample.
    pub fn copy_out(self, y: &[Float], x: &mut [Float], start: usize) {
        let (width, start) = (self.width(x), start * self.lanes);
        let rows = y.chunks_exact(self.width(y));
        for (x, y) in x.chunks_exact_mut(width).zip(rows) {
            x.copy_from_slice(&y[start..][..width]);
        }
    }
}

/// sum ← a + b.
pub(crate) fn add(a: &[Float], b: &[Float], sum: &mut [Float]) {
    vectorize!(|| {
        for ((sum, &a), &b) in sum.iter_mut().zip(a).zip(b) {
            *sum = a + b;
        }
    });
}

/// y[c, p] ← x[c, p] · gate[c, p], or x[c, p] · gate[c] where the gate has one number for each channel c, which has pixels p.
pub(crate) fn multiply(rows: Rows, x: &[Float], gate: &[Float], y: &mut [Float]) {
    if x.len() == gate.len() {
        return vectorize!(|| {
            for ((y, &x), &gate) in y.iter_mut().zip(x).zip(gate) {
                *y = x * gate;
            }
        });
    }
    let lanes = rows.lanes;
    let channel = rows.width(x) / (rows.width(gate) / lanes);
    vectorize!(|| {
        let channels = x.chunks_exact(channel).zip(y.chunks_exact_mut(channel));
        for ((x, y), gate) in channels.zip(gate.chunks_exact(lanes)) {
            if let [gate] = *gate {
                x.iter().zip(y).for_each(|(x, y)| *y = x * gate);
                continue;
            }
            for (x, y) in x.chunks_exact(lanes).zip(y.chunks_exact_mut(lanes)) {
                for ((y, &x), &gate) in y.iter_mut().zip(x).zip(gate) {
                    *y = x * gate;
                }
            }
        }
    });
}

/// dgate[c, p] ← dy[c, p] · x[c, p], or dgate[c] ← Σₚ dy[c, p] · x[c, p], pixel after pixel.
pub(crate) fn multiply_backward(rows: Rows, dy: &[Float], x: &[Float], dgate: &mut [Float]) {
    if x.len() == dgate.len() {
        return multiply(rows, dy, x, dgate);
    }
    let lanes = rows.lanes;
    let channel = rows.width(x) / (rows.width(dgate) / lanes);
    vectorize!(|| {
        let channels = x.chunks_exact(channel).zip(dy.chunks_exact(channel));
        for ((x, dy), dgate) in channels.zip(dgate.chunks_exact_mut(lanes)) {
            dgate.fill(0.0);
            for (x, dy) in x.chunks_exact(lanes).zip(dy.chunks_exact(lanes)) {
                for ((sum, &x), &dy) in dgate.iter_mut().zip(x).zip(dy) {
                    *sum = x.mul_add(dy, *sum);
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANNELS: usize = 3;
    const PIXELS: usize = 5;

    /// Where value `v` of sample `n` lies, of `size` values.
    fn at(layout: Layout, size: usize, n: usize, v: usize) -> usize {
        match layout {
            Layout::SampleMajor => n * size + v,
            Layout::Interleaved => (n / LANES * size + v) * LANES + n % LANES,
        }
    }

    fn number(n: usize, v: usize) -> Float {
        ((n * 31 + v * 7) % 13) as Float - 6.0
    }

    /// `size` values of each sample.
    fn values(layout: Layout, samples: usize, size: usize, seed: usize) -> Vec<Float> {
        let mut values = vec![0.0; layout.room(samples) * size];
        for n in 0..samples {
            for v in 0..size {
                values[at(layout, size, n, v)] = number(n + seed, v);
            }
        }
        values
    }

    fn each(check: impl Fn(Layout, usize, Rows)) {
        for layout in [Layout::SampleMajor, Layout::Interleaved] {
            for samples in [1, 2, LANES, LANES + 1, 3 * LANES - 1] {
                check(layout, samples, Rows::new(samples, layout));
            }
        }
    }

    #[test]
    fn parts_are_put_in_their_places_and_taken_from_them() {
        each(|layout, samples, rows| {
            let x = values(layout, samples, 4, 0);
            let mut y = values(layout, samples, 9, 5);
            rows.copy_into(&x, &mut y, 3);
            let mut back = vec![9.0; x.len()];
            rows.copy_out(&y, &mut back, 3);
            for n in 0..samples {
                for v in 0..9 {
                    let expected = if (3..7).contains(&v) {
                        number(n, v - 3)
                    } else {
                        number(n + 5, v)
                    };
                    assert_eq!(
                        y[at(layout, 9, n, v)],
                        expected,
                        "{layout:?}, sample {n} of {samples}, {v}"
                    );
                }
                for v in 0..4 {
                    assert_eq!(back[at(layout, 4, n, v)], number(n, v));
                }
            }
        });
    }

    #[test]
    fn gates_multiply_every_pixel_of_their_channel() {
        let size = CHANNELS * PIXELS;
        each(|layout, samples, rows| {
            let (x, gate) = (values(layout, samples, size, 1), values(layout, samples, CHANNELS, 2));
            let dy = values(layout, samples, size, 3);
            let (mut y, mut dx, mut dgate) = (x.clone(), x.clone(), gate.clone());
            multiply(rows, &x, &gate, &mut y);
            multiply(rows, &dy, &gate, &mut dx);
            multiply_backward(rows, &dy, &x, &mut dgate);
            for n in 0..samples {
                for c in 0..CHANNELS {
                    let mut sum = 0.0;
                    for v in c * PIXELS..(c + 1) * PIXELS {
                        let i = at(layout, size, n, v);
                        assert_eq!(y[i], number(n + 1, v) * number(n + 2, c));
                        assert_eq!(dx[i], number(n + 3, v) * number(n + 2, c));
                        sum += number(n + 3, v) * number(n + 1, v);
                    }
                    assert_eq!(
                        dgate[at(layout, CHANNELS, n, c)],
                        sum,
                        "{layout:?}, sample {n} of {samples}, {c}"
                    );
                }
            }
        });
    }

    #[test]
    fn equal_shapes_are_multiplied_value_by_value() {
        each(|layout, samples, rows| {
            let (a, b) = (values(layout, samples, 7, 1), values(layout, samples, 7, 4));
            let (mut y, mut db) = (a.clone(), b.clone());
            multiply(rows, &a, &b, &mut y);
            multiply_backward(rows, &y, &a, &mut db);
            for i in 0..y.len() {
                assert_eq!((y[i], db[i]), (a[i] * b[i], a[i] * b[i] * a[i]));
            }
        });
    }
}
