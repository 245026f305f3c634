//! The products of a training step of 784-256-256-10 on one core, with what each of them has to convert in bfloat16.

use std::hint::black_box;

use bench_gradus::works;
use gradus_kernels::bfloat16::{PackedLhs, Pair, convert, convert_transposed, product, size_across, size_down, stride};
use gradus_kernels::{Buffer, Matrix, Accumulate, matmul, matmul_scratch};

use crate::turns::alternate;

const BATCH: usize = 100;
/// Inputs and units.
const LAYERS: [[usize; 2]; 3] = [[784, 256], [256, 256], [256, 10]];

/// A layer's numbers, and its pairs.
struct Dense {
    inputs: usize,
    units: usize,
    x: Buffer,
    w: Buffer,
    dy: Buffer,
    /// The result of whichever product.
    result: Buffer,
    scratch: Buffer,
    across: Vec<Pair>,
    x_down: Vec<Pair>,
    w_down: Vec<Pair>,
    w_turned: Vec<Pair>,
    dy_down: Vec<Pair>,
}

impl Dense {
    fn new([inputs, units]: [usize; 2]) -> Self {
        let numbers = |count: usize| {
            let mut numbers = Buffer::zeros(count);
            for (i, number) in numbers.iter_mut().enumerate() {
                *number = (i * 7919 % 1000) as f32 / 1000.0 - 0.5;
            }
            numbers
        };
        let pairs = |count: usize| vec![Pair::default(); count];
        let scratch = matmul_scratch(BATCH, units, inputs).max(matmul_scratch(BATCH, inputs, units));
        let mut dense = Dense {
            inputs,
            units,
            x: numbers(BATCH * inputs),
            w: numbers(inputs * units),
            dy: numbers(BATCH * units),
            result: Buffer::zeros((BATCH * inputs).max(inputs * units).max(BATCH * units)),
            scratch: Buffer::zeros(scratch),
            across: pairs(size_across(BATCH, inputs.max(units))),
            x_down: pairs(size_down(BATCH, inputs)),
            w_down: pairs(size_down(inputs, units)),
            w_turned: pairs(size_down(units, inputs)),
            dy_down: pairs(size_down(BATCH, units)),
        };
        convert(&dense.w, units, None, &mut dense.w_down);
        convert_transposed(&dense.w, units, 0..units, &mut dense.w_turned);
        dense
    }

    fn forward_f32(&mut self) {
        let sizes = [BATCH, self.units, self.inputs];
        let (x, w) = (Matrix::new(&self.x, self.inputs), Matrix::new(&self.w, self.units));
        multiply(sizes, x, w, &mut self.result, &mut self.scratch);
    }

    fn input_gradient_f32(&mut self) {
        let sizes = [BATCH, self.inputs, self.units];
        let (dy, w) = (Matrix::new(&self.dy, self.units), Matrix::new(&self.w, self.units));
        multiply(sizes, dy, w.transposed(), &mut self.result, &mut self.scratch);
    }

    fn weight_gradient_f32(&mut self) {
        let sizes = [self.inputs, self.units, BATCH];
        let (x, dy) = (Matrix::new(&self.x, self.inputs), Matrix::new(&self.dy, self.units));
        multiply(sizes, x.transposed(), dy, &mut self.result, &mut self.scratch);
    }

    /// y = ‹x›·‹W›; x is converted in both ways.
    fn forward(&mut self) {
        let (inputs, units) = (self.inputs, self.units);
        convert(&self.x, inputs, Some(&mut self.across), &mut self.x_down);
        let x = PackedLhs::across(&self.across, inputs);
        let sizes = [BATCH, units, inputs.div_ceil(2)];
        product(sizes, x, &self.w_down, &mut self.result, Accumulate::Zero);
    }

    /// dx = ‹dy›·‹W›ᵀ; dy is converted in both ways.
    fn input_gradient(&mut self) {
        let (inputs, units) = (self.inputs, self.units);
        convert(&self.dy, units, Some(&mut self.across), &mut self.dy_down);
        let dy = PackedLhs::across(&self.across, units);
        let sizes = [BATCH, inputs, units.div_ceil(2)];
        product(sizes, dy, &self.w_turned, &mut self.result, Accumulate::Zero);
    }

    /// dW = ‹x›ᵀ·‹dy›.
    fn weight_gradient(&mut self) {
        let x = PackedLhs {
            values: &self.x_down,
            row_stride: 1,
            pair_stride: stride(self.inputs),
        };
        let sizes = [self.inputs, self.units, BATCH / 2];
        product(sizes, x, &self.dy_down, &mut self.result, Accumulate::Zero);
    }
}

fn multiply([m, n, k]: [usize; 3], a: Matrix<'_>, b: Matrix<'_>, c: &mut [f32], scratch: &mut [f32]) {
    matmul(m, n, k, a, b, c, n, Accumulate::Zero, scratch);
}

/// Prints the speed of each.
pub fn compare() {
    println!(
        "one core at most: f32 {:.0} GFLOP/s, bfloat16 twice as much",
        works::ceiling(1)
    );
    println!("\nGFLOP/s of one core at batch {BATCH}, fastest and median; the ratio with its quartiles");
    type Run = fn(&mut Dense);
    let kinds: [(&str, Run, Run); 3] = [
        ("y = x W", Dense::forward_f32, Dense::forward),
        ("dx = dy Wᵀ", Dense::input_gradient_f32, Dense::input_gradient),
        ("dW = xᵀ dy", Dense::weight_gradient_f32, Dense::weight_gradient),
    ];
    for (i, sizes) in LAYERS.into_iter().enumerate() {
        let [inputs, units] = sizes;
        let (mut one, mut other) = (Dense::new(sizes), Dense::new(sizes));
        for (j, (name, f32, bfloat16)) in kinds.into_iter().enumerate() {
            if (i, j) == (0, 1) {
                continue;
            }
            let times = alternate(
                200,
                5e-3,
                [&mut || f32(black_box(&mut one)), &mut || {
                    bfloat16(black_box(&mut other))
                }],
            );
            let flops = (2 * BATCH * inputs * units) as f64 / 1e9;
            let [a, b] = times.each.map(|ends| ends.map(|time| flops / time));
            let [low, ratio, high] = times.ratio;
            println!(
                "{inputs:>3}-{units:<3} {name:<12} f32 {:>4.0} {:>4.0}   bfloat16 {:>4.0} {:>4.0}   {ratio:.2}× ({low:.2} to {high:.2})",
                a[0], a[1], b[0], b[1]
            );
        }
    }
}
