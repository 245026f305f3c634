//! Whole training steps and predictions of the networks of the comparison, on one thread and, where it says so, on all.

// Included, not depended upon: where a network doesn't suit an older commit, only these benchmarks are missing.
#[allow(dead_code)]
#[path = "../../gradus/src/works.rs"]
mod works;

use std::thread::available_parallelism;

use bench_micro::{bench, criterion, numbers};
use bench_protocol::Work;
use criterion::{Criterion, criterion_group, criterion_main};
use gradus::data::Target;
use gradus::loss::CrossEntropy;
use gradus::{Fit, Network, Predictor};

/// Name, network and batch.
const STEPS: [(&str, &str, usize); 6] = [
    ("mlp", "mlp", 100),
    ("cnn", "cnn", 128),
    ("lenet", "lenet", 128),
    ("resnet8", "resnet8", 32),
    ("small1", "small", 1),
    ("small32", "small", 32),
];

fn network(name: &str) -> Network {
    works::network(name).expect("the network is built")
}

fn all() -> usize {
    available_parallelism().map_or(1, usize::from)
}

fn step(name: &'static str, batch: usize, threads: usize) -> impl FnMut() {
    let network = network(name);
    let work = Work {
        network: name,
        batch,
        set: "",
    };
    let x = numbers(batch * network.input_shape().size());
    let classes = network.output_shape().size();
    let mut trainer = Fit::new(CrossEntropy::new(), works::optimizer(work))
        .batch_size(batch)
        .threads(threads)
        .trainer(network)
        .expect("the network can be trained");
    let targets: Vec<Target<'_>> = (0..batch).map(|i| Target::Class(i % classes)).collect();
    move || {
        trainer.step(&x, &targets).expect("training works");
    }
}

fn prediction(name: &str, images: usize, threads: usize) -> impl FnMut() {
    let network = network(name);
    let x = numbers(images * network.input_shape().size());
    let mut predictor = Predictor::new(network, images, threads).expect("there is memory");
    move || {
        predictor.run(&x).expect("predicting works");
    }
}

fn networks(criterion: &mut Criterion) {
    for (name, network, batch) in STEPS {
        bench(criterion, "step", name, || step(network, batch, 1));
    }
    for (name, network, batch) in &STEPS[..3] {
        bench(criterion, "step on all threads", name, || step(network, *batch, all()));
    }
    for name in ["mlp", "lenet"] {
        bench(criterion, "predict 1", name, || prediction(name, 1, 1));
        bench(criterion, "predict 1000", name, || prediction(name, 1000, 1));
    }
}

criterion_group! { name = benches; config = criterion(); targets = networks }
criterion_main!(benches);
