//! How fast the matrix product and convolutions of samples side by side are on the shapes of small networks, beside what one
//! core could do at most.
//!
//! `cargo run --release -p gradus-kernels --example gflops`

use std::hint::black_box;
use std::time::Instant;

use gradus_kernels::interleaved::{Axis, Convolution, LANES, deinterleave, interleave};
use gradus_kernels::{Accumulate, Float, Matrix, arch, matmul, matmul_scratch, vectorize};

/// The shortest time of several runs, in seconds.
fn time(mut work: impl FnMut()) -> f64 {
    work();
    let start = Instant::now();
    work();
    let repeats = (2e-3 / start.elapsed().as_secs_f64().max(1e-8)).clamp(1.0, 1e6) as u32;
    let mut best = f64::INFINITY;
    for _ in 0..15 {
        let start = Instant::now();
        for _ in 0..repeats {
            work();
        }
        best = best.min(start.elapsed().as_secs_f64() / f64::from(repeats));
    }
    best
}

/// Fused multiply-adds of independent sums that stay in registers, in GFLOP/s.
fn peak() -> f64 {
    // What fills 32 registers of 16 numbers is too much for 16 registers of 8.
    peak_of::<96>().max(peak_of::<192>())
}

fn peak_of<const SUMS: usize>() -> f64 {
    const STEPS: usize = 10_000;
    let (x, y) = (black_box(0.999), black_box(0.001));
    let seconds = time(|| {
        let start: [Float; SUMS] = black_box([1.0; SUMS]);
        let end = vectorize!(|| {
            let mut sums = start;
            for _ in 0..STEPS {
                for sum in &mut sums {
                    *sum = sum.mul_add(x, y);
                }
            }
            sums
        });
        black_box(end);
    });
    2.0 * (SUMS * STEPS) as f64 / seconds / 1e9
}

/// Which of the operands is stored transposed.
#[derive(Clone, Copy, PartialEq)]
enum Stored {
    Plain,
    ATransposed,
    BTransposed,
}
use Stored::{ATransposed, BTransposed, Plain};

/// Name, storage, whether the product is added, and m, n, k.
type Shapes = (&'static str, Stored, bool, &'static [(usize, usize, usize)]);

fn main() {
    let peak = peak();
    println!("{:?}, {peak:.0} GFLOP/s at most", arch());
    products(peak);
    convolutions(peak);
}

fn products(peak: f64) {
    println!(
        "{:<24}{:>5}{:>6}{:>5}{:>11}{:>10}{:>8}",
        "", "m", "n", "k", "GFLOP/s", "of most", "µs"
    );
    let shapes: &[Shapes] = &[
        (
            "forward",
            Plain,
            false,
            &[
                (25, 256, 784),
                (128, 256, 784),
                (25, 256, 256),
                (128, 256, 256),
                (25, 10, 256),
                (128, 10, 256),
                (25, 30, 784),
            ],
        ),
        (
            "forward, one sample",
            Plain,
            false,
            &[(1, 256, 784), (1, 256, 256), (1, 10, 256), (1, 30, 784), (1, 10, 30)],
        ),
        (
            "dx = dy wᵀ",
            BTransposed,
            false,
            &[
                (25, 784, 256),
                (128, 784, 256),
                (25, 256, 256),
                (25, 256, 10),
                (128, 256, 10),
                (25, 784, 10),
                (1, 784, 256),
            ],
        ),
        (
            "dw += xᵀ dy",
            ATransposed,
            true,
            &[
                (784, 256, 25),
                (784, 256, 128),
                (256, 256, 25),
                (256, 10, 25),
                (256, 10, 128),
                (784, 30, 10),
            ],
        ),
        (
            "convolution",
            Plain,
            false,
            &[
                (5, 576, 25),
                (8, 784, 9),
                (16, 64, 200),
                (20, 576, 25),
                (32, 1024, 288),
                (40, 64, 500),
                (64, 256, 576),
                (64, 1024, 576),
            ],
        ),
        (
            "tiny",
            Plain,
            false,
            &[(1, 4, 4), (4, 16, 2), (4, 16, 16), (16, 16, 16)],
        ),
        ("large", Plain, false, &[(512, 512, 512), (1024, 1024, 1024)]),
    ];
    for &(name, stored, accumulate, sizes) in shapes {
        let start = if accumulate { Accumulate::Sum } else { Accumulate::Zero };
        for &(m, n, k) in sizes {
            let (a, b, mut c) = (
                vec![0.5 as Float; m * k],
                vec![0.25 as Float; k * n],
                vec![0.0 as Float; m * n],
            );
            let mut scratch = vec![0.0; matmul_scratch(m, n, k)];
            let a = if stored == ATransposed {
                Matrix::new(&a, m).transposed()
            } else {
                Matrix::new(&a, k)
            };
            let b = if stored == BTransposed {
                Matrix::new(&b, k).transposed()
            } else {
                Matrix::new(&b, n)
            };
            let seconds = time(|| matmul(m, n, k, black_box(a), b, black_box(&mut c), n, start, &mut scratch));
            let gflops = 2.0 * (m * n * k) as f64 / seconds / 1e9;
            let (share, micros) = (100.0 * gflops / peak, 1e6 * seconds);
            println!("{name:<24}{m:>5}{n:>6}{k:>5}{gflops:>11.1}{share:>8.0} %{micros:>10.2}");
        }
    }
}

/// A convolution of a square image: channels and size of the input, channels of the output, and the kernel's size, stride,
/// padding and groups.
#[rustfmt::skip]
const CONVOLUTIONS: [(&str, [usize; 7]); 14] = [
    ("report's", [1, 28, 5, 3, 1, 0, 1]),
    ("LeNet's first", [1, 28, 6, 5, 1, 0, 1]),
    ("LeNet's second", [6, 12, 16, 5, 1, 0, 1]),
    ("padded, of 1", [1, 28, 8, 3, 1, 1, 1]),
    ("padded, of 8", [8, 14, 16, 3, 1, 1, 1]),
    ("ResNet's first", [3, 32, 16, 3, 1, 1, 1]),
    ("ResNet's on 32×32", [16, 32, 16, 3, 1, 1, 1]),
    ("halving to 16×16", [16, 32, 32, 3, 2, 1, 1]),
    ("ResNet's on 16×16", [32, 16, 32, 3, 1, 1, 1]),
    ("ResNet's on 8×8", [64, 8, 64, 3, 1, 1, 1]),
    ("projection", [16, 32, 32, 1, 2, 0, 1]),
    ("1×1", [32, 16, 64, 1, 1, 0, 1]),
    ("depthwise", [32, 16, 32, 3, 1, 1, 32]),
    ("two groups", [16, 16, 16, 3, 1, 1, 2]),
];

fn convolutions(peak: f64) {
    println!();
    println!(
        "{:<38}{:>28}{:>28}{:>28}",
        "convolution", "forward", "gradient of the input", "gradient of the weights"
    );
    for (name, [in_channels, size, out_channels, kernel, stride, padding, groups]) in CONVOLUTIONS {
        let axis = Axis {
            input: size,
            kernel,
            stride,
            dilation: 1,
            padding,
            output: (size + 2 * padding - kernel) / stride + 1,
        };
        let of = Convolution {
            rows: axis,
            columns: axis,
            in_channels,
            out_channels,
            groups,
        };
        let (x, mut dx) = (
            vec![0.5; in_channels * size * size * LANES],
            vec![0.0; in_channels * size * size * LANES],
        );
        let weights = out_channels * in_channels / groups * kernel * kernel;
        let (w, mut dw, b) = (vec![0.25; weights], vec![0.0; weights], vec![0.0; out_channels]);
        let mut y = vec![0.0; out_channels * axis.output * axis.output * LANES];
        let dy = vec![0.5; y.len()];
        // Without what falls on the padding.
        let inside = |tap: usize| {
            (0..axis.output)
                .filter(|i| (padding..padding + size).contains(&(i * stride + tap)))
                .count()
        };
        let met: usize = (0..kernel).map(inside).sum();
        let products = (out_channels * in_channels / groups * met * met * LANES) as f64;
        let times = [
            time(|| of.forward(black_box(&x), &w, Some(&b), black_box(&mut y))),
            time(|| of.input_gradient(&w, black_box(&dy), black_box(&mut dx))),
            time(|| of.weight_gradient(black_box(&x), &dy, black_box(&mut dw))),
        ];
        print!("{name:<20}{in_channels:>3}×{size:>2}×{size:>2}→{out_channels:>2}, {kernel}×{kernel}  ");
        for seconds in times {
            let gflops = 2.0 * products / seconds / 1e9;
            print!(
                "{gflops:>8.1} ({:>3.0} %){:>8.1} µs",
                100.0 * gflops / peak,
                1e6 * seconds
            );
        }
        println!();
    }
    for features in [784, 3 * 32 * 32] {
        let (mut rows, mut lanes) = (vec![0.5; features * LANES], vec![0.0; features * LANES]);
        let there = time(|| interleave(black_box(&rows), LANES, black_box(&mut lanes)));
        let back = time(|| deinterleave(black_box(&lanes), LANES, black_box(&mut rows)));
        println!(
            "{features} features to lanes: {:.2} µs, back: {:.2} µs",
            1e6 * there,
            1e6 * back
        );
    }
}
