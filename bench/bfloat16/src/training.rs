//! Training in f32 and in bfloat16: how fast, and how well.

use std::cell::RefCell;

use anyhow::Result;
use bench_gradus::works;
use gradus::data::Bytes;
use gradus::prelude::*;

use crate::turns::alternate;

/// The batches are those of `bench/compare`.
const WORKS: [(&str, usize); 3] = [("mlp", 100), ("cnn", 128), ("lenet", 128)];
/// How often each takes its turn.
const TURNS: usize = 40;
/// Images of an epoch, a fifth of MNIST's.
const IMAGES: usize = 12_000;

fn fit(batch: usize, bfloat16: bool) -> Fit<'static> {
    let fit = Fit::new(CrossEntropy::new(), Sgd::new(0.1));
    fit.batch_size(batch).bfloat16(bfloat16)
}

/// Prints what epochs take on 1 to so many threads, on random images.
pub fn compare_speeds(threads: usize) -> Result<()> {
    let mut state = 1u32;
    let mut byte = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let images: Vec<u8> = (0..IMAGES * 784).map(|_| byte()).collect();
    let labels: Vec<usize> = (0..IMAGES).map(|i| i % 10).collect();
    let data = Bytes::new([1, 28, 28], images, labels, 10)?;
    println!("\nAn epoch of {IMAGES} images: fastest, median; the ratio with its quartiles");
    for threads in 1..=threads {
        for (name, batch) in WORKS {
            let mut networks = [works::network(name)?, works::network(name)?];
            let failed = RefCell::new(None);
            let epoch = |network: &mut Network, bfloat16: bool| {
                let fit = fit(batch, bfloat16).epochs(1).threads(threads);
                if let Err(error) = fit.run(network, &data) {
                    failed.replace(Some(error));
                }
            };
            let [one, other] = &mut networks;
            let times = alternate(TURNS, 0.0, [&mut || epoch(one, false), &mut || epoch(other, true)]);
            if let Some(error) = failed.take() {
                return Err(error.into());
            }
            let [a, b] = times.each.map(|ends| ends.map(|time| 1e3 * time));
            let [low, ratio, high] = times.ratio;
            println!(
                "{name:<5} on {threads}: f32 {:>6.1} {:>6.1} ms   bfloat16 {:>6.1} {:>6.1} ms   {ratio:.2}× ({low:.2} to {high:.2})",
                a[0], a[1], b[0], b[1]
            );
        }
    }
    Ok(())
}

/// Trains the perceptron for 5 epochs with 3 seeds in both, and prints losses and accuracies.
pub fn compare_accuracies() -> Result<()> {
    let (train, test) = gradus_mnist::load()?;
    let train = mnist::from_bytes(train.pixels, &train.labels)?;
    let test = mnist::from_bytes(test.pixels, &test.labels)?;
    println!(
        "\nMNIST, 784-256-256-10, 5 epochs of batches of 100, SGD 0.1: accuracy on the test set, its loss, and the training loss"
    );
    for seed in 1..=3 {
        for bfloat16 in [false, true] {
            let mut network = works::network("mlp")?;
            network.initialize(seed);
            let history = fit(100, bfloat16).epochs(5).run(&mut network, &train)?;
            let end = network.evaluate(&test, &CrossEntropy::new(), &[&Accuracy])?;
            println!(
                "seed {seed}, {:<9} {:.2} %  {:.4}  {:.4}",
                if bfloat16 { "bfloat16:" } else { "f32:" },
                100.0 * end.metric("accuracy").unwrap_or(f64::NAN),
                end.loss,
                history.last("loss").unwrap_or(f64::NAN)
            );
        }
    }
    Ok(())
}
