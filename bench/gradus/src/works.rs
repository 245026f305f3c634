//! The networks, their optimizers, what they cost, and what the machine can do.

use std::hint::black_box;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use anyhow::{Result, bail};
use bench_protocol::Work;
use gradus::optim::Optimizer;
use gradus::prelude::*;
use gradus_kernels::vectorize;

pub const NETWORKS: [&str; 5] = ["mlp", "cnn", "lenet", "resnet8", "small"];

/// The networks of the comparison; `mlp`, `cnn` and `lenet` are the program's built-in ones.
pub fn network(name: &str) -> Result<Network> {
    let image = Sequential::new([1, 28, 28]);
    let network = match name {
        "mlp" => (image.layer(Flatten))
            .layer(Dense::new(256))
            .layer(Relu)
            .layer(Dense::new(256))
            .layer(Relu)
            .layer(Dense::new(10)),
        "cnn" => (image.layer(Conv2d::new(5, 3)))
            .layer(Relu)
            .layer(MaxPool2d::new(2))
            .layer(Flatten)
            .layer(Dense::new(100))
            .layer(Relu)
            .layer(Dense::new(10)),
        "lenet" => (image.layer(Conv2d::new(6, 5)))
            .layer(Relu)
            .layer(MaxPool2d::new(2))
            .layer(Conv2d::new(16, 5))
            .layer(Relu)
            .layer(MaxPool2d::new(2))
            .layer(Flatten)
            .layer(Dense::new(120))
            .layer(Relu)
            .layer(Dense::new(84))
            .layer(Relu)
            .layer(Dense::new(10)),
        "resnet8" => Sequential::new([3, 32, 32])
            .layer(convolution(16, 1))
            .layer(BatchNorm::new())
            .layer(Relu)
            .layer(block(16, 1))
            .layer(Relu)
            .layer(block(32, 2))
            .layer(Relu)
            .layer(block(64, 2))
            .layer(Relu)
            .layer(GlobalAvgPool2d)
            .layer(Dense::new(10)),
        "small" => Sequential::new([4])
            .layer(Dense::new(16))
            .layer(Tanh)
            .layer(Dense::new(16))
            .layer(Tanh)
            .layer(Dense::new(2)),
        _ => bail!("there is no network {name}"),
    };
    Ok(network.layer(Softmax).build(42)?)
}

fn convolution(channels: usize, stride: usize) -> Conv2d {
    let padding = Padding::Explicit {
        top: 1,
        bottom: 1,
        left: 1,
        right: 1,
    };
    Conv2d::new(channels, 3).stride(stride).padding(padding).bias(false)
}

fn block(channels: usize, stride: usize) -> Residual {
    let body = Layers::new()
        .layer(convolution(channels, stride))
        .layer(BatchNorm::new())
        .layer(Relu)
        .layer(convolution(channels, 1))
        .layer(BatchNorm::new());
    Residual::new(body)
}

pub fn optimizer(work: Work) -> Arc<dyn Optimizer> {
    match work.network {
        "lenet" => Arc::new(Adam::new(work.rate())),
        "resnet8" => Arc::new(Sgd::new(work.rate()).momentum(0.9)),
        _ => Arc::new(Sgd::new(work.rate())),
    }
}

/// Floating-point operations of training with one sample: two for each multiply-add forward, for the gradient of the
/// weights and, but for the first layer with weights, for the gradient of the input.
pub fn training_flops(network: &Network) -> u64 {
    let rows = network.summary().rows();
    let first = rows
        .iter()
        .find(|row| row.parameters > 0)
        .map_or(0, |row| row.multiply_adds);
    2 * (3 * network.multiply_adds() - first)
}

/// GFLOP/s of fused multiply-adds of sums that stay in registers, on so many threads at once.
pub fn ceiling(threads: usize) -> f64 {
    thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(one_core)).collect();
        all.into_iter().map(|thread| thread.join().unwrap_or(0.0)).sum()
    })
}

fn one_core() -> f64 {
    // What fills 32 registers of 16 numbers is too much for 16 registers of 8.
    fused::<192>().max(fused::<96>())
}

fn fused<const SUMS: usize>() -> f64 {
    const STEPS: usize = 1_000_000;
    let (x, y) = (black_box(0.999_f32), black_box(0.001));
    let run = || {
        let sums: [f32; SUMS] = black_box([1.0; SUMS]);
        let start = Instant::now();
        let end = vectorize!(|| {
            let mut sums = sums;
            for _ in 0..STEPS {
                for sum in &mut sums {
                    *sum = sum.mul_add(x, y);
                }
            }
            sums
        });
        black_box(end);
        2.0 * (SUMS * STEPS) as f64 / start.elapsed().as_secs_f64() / 1e9
    };
    (0..200).map(|_| run()).fold(0.0, f64::max)
}
