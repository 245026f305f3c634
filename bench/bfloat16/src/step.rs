//! The products of a training step of the network 784-256-256-10, with f32 and with bfloat16, in turns.

use std::hint::black_box;
use std::ops::Range;
use std::sync::Mutex;
use std::time::Instant;

use anyhow::Result;
use bench_gradus::works;
use gradus::data::Target;
use gradus::prelude::*;
use gradus_kernels::{Buffer, Matrix, Start, Pool, matmul, matmul_scratch};

use crate::kernel::{A, Pairs, ceiling, down, in_rows, product, transpose};

const BATCH: usize = 100;
/// Inputs and units.
const LAYERS: [[usize; 2]; 3] = [[784, 256], [256, 256], [256, 10]];
/// How often each takes its turn, and for how many seconds.
const TURNS: usize = 200;
const TURN: f64 = 5e-3;

/// The times of every turn, in seconds.
struct Times(Vec<f64>);

impl Times {
    /// The shortest and the median.
    fn ends(&self) -> [f64; 2] {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        [sorted[0], sorted[sorted.len() / 2]]
    }

    /// The median of the ratios to another's, turn by turn.
    fn over(&self, other: &Times) -> f64 {
        Times(self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect()).ends()[1]
    }
}

/// The times of several works, which take turns.
fn alternate<const N: usize>(works: &mut [&mut dyn FnMut(); N]) -> [Times; N] {
    let time = |work: &mut dyn FnMut(), repeats: u32| {
        let start = Instant::now();
        for _ in 0..repeats {
            work();
        }
        start.elapsed().as_secs_f64() / f64::from(repeats)
    };
    let repeats = works.each_mut().map(|work| {
        work();
        (TURN / time(work, 1)).clamp(1.0, 1e5) as u32
    });
    let mut times = [const { Vec::new() }; N];
    for _ in 0..TURNS {
        for ((work, &repeats), times) in works.iter_mut().zip(&repeats).zip(&mut times) {
            times.push(time(work, repeats));
        }
    }
    times.map(Times)
}

/// A layer's numbers, as the library keeps them and in pairs.
struct Dense {
    /// Of a block.
    samples: usize,
    /// How many rows of the weights are this thread's, to convert and to compute the gradient of.
    rows: usize,
    inputs: usize,
    units: usize,
    x: Buffer,
    w: Buffer,
    y: Buffer,
    dy: Buffer,
    dx: Buffer,
    dw: Buffer,
    scratch: Buffer,
    /// Of x, w and dy: what the products of `forward`, of `dx` and of `dw` read.
    x_rows: Pairs,
    x_down: Pairs,
    w_columns: Pairs,
    w_rows: Pairs,
    w_transposed: Pairs,
    dy_rows: Pairs,
    dy_columns: Pairs,
}

impl Dense {
    /// What one of so many threads works on.
    fn new([inputs, units]: [usize; 2], threads: usize) -> Self {
        let numbers = |count: usize| {
            let mut numbers = Buffer::zeros(count);
            for (i, number) in numbers.iter_mut().enumerate() {
                *number = (i * 7919 % 1000) as f32 / 1000.0 - 0.5;
            }
            numbers
        };
        let whole = |n: usize| n.next_multiple_of(16);
        let samples = BATCH / threads;
        let pairs = samples.div_ceil(2);
        Dense {
            samples,
            inputs,
            units,
            rows: inputs / threads,
            x: numbers(samples * inputs),
            w: numbers(inputs * units),
            y: numbers(samples * units),
            dy: numbers(samples * units),
            dx: numbers(samples * inputs),
            dw: numbers(inputs.min(8192 / units) * units),
            scratch: Buffer::zeros(matmul_scratch(4096, units, inputs).max(matmul_scratch(4096, inputs, units))),
            x_rows: Pairs::zeros(samples * inputs / 2),
            x_down: Pairs::zeros(pairs * inputs),
            w_columns: Pairs::zeros(inputs / 2 * whole(units)),
            w_rows: Pairs::zeros(inputs * units / 2),
            w_transposed: Pairs::zeros(whole(inputs) * units / 2),
            dy_rows: Pairs::zeros(samples * units / 2),
            dy_columns: Pairs::zeros(pairs * whole(units)),
        }
    }

    fn flops(&self) -> f64 {
        (2 * self.samples * self.inputs * self.units) as f64
    }

    /// y = x·W
    fn forward(&mut self) {
        let (inputs, units) = (self.inputs, self.units);
        let (x, w) = (Matrix::new(&self.x, inputs), Matrix::new(&self.w, units));
        let (y, scratch) = (&mut self.y, &mut self.scratch);
        matmul(self.samples, units, inputs, x, w, y, units, Start::Zero, scratch);
    }

    /// dx = dy·Wᵀ
    fn input_gradient(&mut self) {
        let (inputs, units) = (self.inputs, self.units);
        let (dy, w) = (Matrix::new(&self.dy, units), Matrix::new(&self.w, units).transposed());
        let (dx, scratch) = (&mut self.dx, &mut self.scratch);
        matmul(self.samples, inputs, units, dy, w, dx, inputs, Start::Zero, scratch);
    }

    /// dw = xᵀ·dy: this thread's rows, from the samples of every thread; part by part, as the library updates weights.
    fn weight_gradient(&mut self) {
        let (inputs, units) = (self.inputs, self.units);
        for rows in self.parts() {
            for block in 0..inputs / self.rows {
                let (x, dy) = (
                    Matrix::new(&self.x[rows.start..], inputs).transposed(),
                    Matrix::new(&self.dy, units),
                );
                let (dw, scratch) = (&mut self.dw, &mut self.scratch);
                let start = if block > 0 { Start::Sum } else { Start::Zero };
                matmul(rows.len(), units, self.samples, x, dy, dw, units, start, scratch);
            }
        }
    }

    /// This thread's rows of the weights in parts of about 8,192 values, whose gradients stay in the cache.
    fn parts(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (rows, size) = (self.rows, 8192 / self.units);
        (0..rows)
            .step_by(size)
            .map(move |first| first..(first + size).min(rows))
    }

    fn forward_bf16(&mut self) {
        let a = A {
            values: &self.x_rows,
            first: 0,
            row: self.inputs / 2,
            pair: 1,
        };
        let sizes = [self.samples, self.units, self.inputs / 2];
        product(sizes, a, &self.w_columns, &mut self.y, false);
    }

    fn input_gradient_bf16(&mut self) {
        let a = A {
            values: &self.dy_rows,
            first: 0,
            row: self.units / 2,
            pair: 1,
        };
        let sizes = [self.samples, self.inputs, self.units / 2];
        product(sizes, a, &self.w_transposed, &mut self.dx, false);
    }

    fn weight_gradient_bf16(&mut self) {
        for rows in self.parts() {
            let a = A {
                values: &self.x_down,
                first: rows.start,
                row: 1,
                pair: self.inputs,
            };
            let sizes = [rows.len(), self.units, self.samples.div_ceil(2)];
            for block in 0..self.inputs / self.rows {
                product(sizes, a, &self.dy_columns, &mut self.dw, block > 0);
            }
        }
    }

    /// This thread's part of the weights in pairs, once a step; the first layer wants no gradient of its input.
    fn convert_weights(&mut self, first: bool) {
        let w = &self.w[..self.rows * self.units];
        down(w, self.units, true, &mut self.w_columns);
        if !first {
            in_rows(w, &mut self.w_rows);
            transpose(&self.w_rows, self.rows, self.units / 2, &mut self.w_transposed);
        }
    }

    /// The input in pairs, for both products that read it.
    fn convert_input(&mut self) {
        in_rows(&self.x, &mut self.x_rows);
        down(&self.x, self.inputs, false, &mut self.x_down);
    }

    fn convert_gradient(&mut self, first: bool) {
        if !first {
            in_rows(&self.dy, &mut self.dy_rows);
        }
        down(&self.dy, self.units, true, &mut self.dy_columns);
    }
}

type Layers = [Dense; 3];

/// A part of a step, on one thread's layers. Threads wait for each other after each part.
type Part = fn(&mut Layers);

/// The products of a step: of a block of samples, then of the weights' rows.
const F32: [Part; 2] = [
    |layers| {
        layers.iter_mut().for_each(Dense::forward);
        layers[1..].iter_mut().rev().for_each(Dense::input_gradient);
    },
    |layers| layers.iter_mut().for_each(Dense::weight_gradient),
];

/// The same with bfloat16, with all conversions.
const BFLOAT16: [Part; 3] = [
    convert_weights,
    |layers| {
        for layer in layers.iter_mut() {
            layer.convert_input();
            layer.forward_bf16();
        }
        for (i, layer) in layers.iter_mut().enumerate().rev() {
            layer.convert_gradient(i == 0);
            if i > 0 {
                layer.input_gradient_bf16();
            }
        }
    },
    |layers| layers.iter_mut().for_each(Dense::weight_gradient_bf16),
];

/// The conversions alone.
const CONVERSIONS: [Part; 2] = [convert_weights, |layers| {
    for (i, layer) in layers.iter_mut().enumerate() {
        layer.convert_input();
        layer.convert_gradient(i == 0);
    }
}];

fn convert_weights(layers: &mut Layers) {
    for (i, layer) in layers.iter_mut().enumerate() {
        layer.convert_weights(i == 0);
    }
}

/// Threads, each with layers of its own.
struct Hands {
    pool: Pool,
    layers: Vec<Mutex<Layers>>,
}

impl Hands {
    fn new(threads: usize) -> Self {
        let layers = || Mutex::new(LAYERS.map(|sizes| Dense::new(sizes, threads)));
        Hands {
            pool: Pool::new(threads),
            layers: (0..threads).map(|_| layers()).collect(),
        }
    }

    fn run(&mut self, parts: &[Part]) {
        for part in parts {
            let layers = &self.layers;
            self.pool.run(layers.len(), &|task, _| {
                if let Ok(mut layers) = layers[task].lock() {
                    part(&mut layers);
                }
            });
        }
    }
}

/// Prints the speed of every product on one core, and what a training step would take.
pub fn measure(threads: usize) -> Result<()> {
    let peak = [works::ceiling(1), ceiling()];
    println!(
        "one core at most: f32 {:.0} GFLOP/s, bfloat16 {:.0} GFLOP/s",
        peak[0], peak[1]
    );
    println!(
        "\nGFLOP/s of one core at batch {BATCH}, fastest and median; the ratio is the median of neighbouring turns"
    );
    products();
    for threads in 1..=threads {
        step(threads)?;
    }
    Ok(())
}

fn products() {
    type Run = fn(&mut Dense);
    let kinds: [(&str, Run, Run); 3] = [
        ("y = x w", Dense::forward, Dense::forward_bf16),
        ("dx = dy wᵀ", Dense::input_gradient, Dense::input_gradient_bf16),
        ("dw = xᵀ dy", Dense::weight_gradient, Dense::weight_gradient_bf16),
    ];
    for (i, sizes) in LAYERS.into_iter().enumerate() {
        let (mut layer, mut other) = (Dense::new(sizes, 1), Dense::new(sizes, 1));
        for (j, (name, f32, bf16)) in kinds.into_iter().enumerate() {
            if (i, j) == (0, 1) {
                continue;
            }
            let flops = layer.flops() / 1e9;
            let mut works: [&mut dyn FnMut(); 2] =
                [&mut || f32(black_box(&mut layer)), &mut || bf16(black_box(&mut other))];
            let [a, b] = alternate(&mut works);
            let ratio = a.over(&b);
            let [a, b] = [a, b].map(|times| times.ends().map(|t| flops / t));
            println!(
                "{:>3}-{:<3} {name:<12} f32 {:>4.0} {:>4.0}   bfloat16 {:>4.0} {:>4.0}   {ratio:.2}×",
                layer.inputs, layer.units, a[0], a[1], b[0], b[1]
            );
        }
    }
}

/// The library's own step beside its products alone and those with bfloat16.
fn step(threads: usize) -> Result<()> {
    let mut network = works::network("mlp")?;
    let fit = Fit::new(CrossEntropy::new(), Sgd::new(0.1));
    let mut trainer = fit.batch_size(BATCH).threads(threads).trainer(&network)?;
    let x: Vec<f32> = (0..BATCH * 784).map(|i| (i * 7919 % 256) as f32 / 255.0).collect();
    let targets: Vec<Target<'_>> = (0..BATCH).map(|i| Target::Class(i % 10)).collect();
    let mut failed = None;
    let (mut f32, mut bf16) = (Hands::new(threads), Hands::new(threads));
    println!("\nA training step on {threads} of the cores: fastest, median");
    let [products, faster] = alternate(&mut [&mut || f32.run(&F32), &mut || bf16.run(&BFLOAT16)]);
    print("products in f32", &products);
    print("in bfloat16, with conversions", &faster);
    let [conversions, all] = alternate(&mut [&mut || f32.run(&CONVERSIONS), &mut || bf16.run(&BFLOAT16)]);
    print("the conversions alone", &conversions);
    let mut step = || failed = trainer.step(&mut network, &x, &targets).err();
    let [whole, again] = alternate(&mut [&mut step, &mut || f32.run(&F32)]);
    print("a whole step of the library", &whole);
    if let Some(error) = failed {
        return Err(error.into());
    }
    let share = again.over(&whole).min(1.0);
    let gain = products.over(&faster);
    println!(
        "products are {:.0} % of the step, and would be {gain:.2} times as fast ({:.2} without conversions)",
        100.0 * share,
        gain / (1.0 - conversions.over(&all))
    );
    println!(
        "the step would be {:.2} times as fast",
        1.0 / (1.0 - share + share / gain)
    );
    Ok(())
}

fn print(name: &str, times: &Times) {
    let [least, median] = times.ends().map(|t| 1e6 * t);
    println!("{name:<40} {least:>6.0} µs {median:>6.0} µs");
}
