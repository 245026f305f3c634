//! The same seed gives the same bits, on any number of threads.

mod common;

use std::cell::Cell;

use common::*;
use gradus::callback::{Callback, Start};
use gradus::data::{Dataset, Subset};
use gradus::prelude::*;
use gradus::{Float, Result};
use gradus_kernels::{Arch, with_arch};

/// Notes how many threads there really are.
struct Threads<'a>(&'a Cell<usize>);

impl Callback for Threads<'_> {
    fn on_start(&mut self, start: &Start, _network: &Network) -> Result<()> {
        self.0.set(start.threads);
        Ok(())
    }
}

/// The bits of everything that a run of training gives.
fn run(network: fn(u64) -> Network, seed: u64, threads: usize, bfloat16: bool) -> (Vec<u64>, Vec<u64>) {
    // 251 samples in batches of 50 leave a last batch of one.
    let data = some_digits(351);
    let train = Subset::new(&data, 0..251).unwrap();
    let validation = Subset::new(&data, 251..351).unwrap();
    let mut network = network(seed);
    let used = Cell::new(0);
    let history = Fit::new(CrossEntropy::new(), Adam::new(0.003))
        .epochs(2)
        .batch_size(50)
        .clip(Clip::Norm(1.0))
        .augment(Noise)
        .metric(Accuracy)
        .validation(&validation)
        .threads(threads)
        .bfloat16(bfloat16)
        .callback(Threads(&used))
        .run(&mut network, &train)
        .unwrap();
    assert_eq!(used.get(), threads, "the network is too small to be worth the threads");
    let values = history.epochs.iter().flat_map(|epoch| &epoch.values);
    (all_bits(&network), values.map(|v| v.to_bits()).collect())
}

fn the_same_on_any_number_of_threads(network: fn(u64) -> Network) {
    the_same_bits(network, false);
}

fn the_same_bits(network: fn(u64) -> Network, bfloat16: bool) {
    let run = |seed, threads| run(network, seed, threads, bfloat16);
    let one = run(5, 1);
    for threads in [1, 2, 3, 8] {
        let again = run(5, threads);
        assert!(again.0 == one.0, "other weights on {threads} threads");
        assert_eq!(again.1, one.1, "another history on {threads} threads");
    }
    let other = run(6, 1);
    assert!(other.0 != one.0 && other.1 != one.1);
}

#[test]
fn perceptrons() {
    the_same_on_any_number_of_threads(perceptron);
}

/// Here the blocks of a batch follow from the number of threads, and a sample's dropped units must not.
#[test]
fn perceptrons_with_dropout() {
    the_same_on_any_number_of_threads(|seed| {
        Sequential::new([1, 8, 8])
            .layer(Flatten)
            .layer(Dropout::new(0.2))
            .layer(Dense::new(300))
            .layer(Relu)
            .layer(Dropout::new(0.5))
            .layer(Dense::new(10))
            .layer(Softmax)
            .build(seed)
            .unwrap()
    });
}

#[test]
fn convolutions_with_dropout_and_batch_norm() {
    the_same_on_any_number_of_threads(convolutional);
}

#[test]
fn residual_blocks() {
    the_same_on_any_number_of_threads(residual);
}

/// In bfloat16 the samples of a batch are summed over in pairs, which no division among threads may cut.
#[test]
fn training_in_bfloat16() {
    the_same_bits(perceptron, true);
    the_same_bits(convolutional, true);
    assert!(run(perceptron, 5, 1, true) != run(perceptron, 5, 1, false));
    assert!(run(convolutional, 5, 1, true) != run(convolutional, 5, 1, false));
}

/// Where no layer can, nothing changes.
#[test]
fn bfloat16_without_dense_layers() {
    let network = |seed| {
        Sequential::new([1, 8, 8])
            .layer(Conv2d::new(16, 3).padding(Padding::Same))
            .layer(Relu)
            .layer(Conv2d::new(10, 8))
            .layer(Flatten)
            .layer(Softmax)
            .build(seed)
            .unwrap()
    };
    assert!(run(network, 5, 2, true) == run(network, 5, 2, false));
}

/// Also on processors that multiply in bfloat16 only in plain code.
#[test]
fn training_in_bfloat16_on_every_level() {
    let best = run(perceptron, 5, 1, true);
    for level in [Arch::Plain, Arch::Avx2] {
        assert!(with_arch(level, || run(perceptron, 5, 1, true)) == best, "{level:?}");
    }
}

/// The seed of the run alone changes the order, dropout and augmentation.
#[test]
fn the_seed_of_a_run_is_its_own() {
    let data = some_digits(100);
    let run = |seed| {
        let mut network = perceptron(1);
        let fit = Fit::new(CrossEntropy::new(), Sgd::new(0.1)).epochs(1).seed(seed);
        fit.run(&mut network, &data).unwrap();
        all_bits(&network)
    };
    assert!(run(1) == run(1));
    assert!(run(1) != run(2));
}

/// A sample's output has the same bits alone and among others, on any number of threads.
#[test]
fn predictions_do_not_depend_on_their_neighbors() {
    let data = some_digits(70);
    let x = inputs(&data, 70);
    for network in [perceptron(3), convolutional(3), residual(3)] {
        let mut alone = network.predictor(1, 1).unwrap();
        let one_by_one: Vec<Float> = (x.chunks_exact(64))
            .flat_map(|x| alone.run(x).unwrap().to_vec())
            .collect();
        for threads in [1, 3] {
            let mut together = network.predictor(data.len(), threads).unwrap();
            assert!(bits(together.run(&x).unwrap()) == bits(&one_by_one));
        }
    }
}
