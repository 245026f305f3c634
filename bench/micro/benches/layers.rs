//! Networks of one layer, on one thread and 16 samples: predicting, and a training step with the squared error. A layer without
//! parameters has a small one with some before it (`nothing` is that alone), so that the gradient of its input is wanted.

use bench_micro::{bench, criterion, numbers};
use criterion::{Criterion, criterion_group, criterion_main};
use gradus::Predictor;
use gradus::data::Target;
use gradus::prelude::*;

const SAMPLES: usize = 16;

fn network(name: &str) -> Network {
    let image = || Sequential::new([16, 16, 16]).layer(Conv2d::new(16, 1).groups(16).bias(false));
    let layers = match name {
        "dense 784-256" => Sequential::new([784]).layer(Dense::new(256)),
        "softmax 10" => Sequential::new([10]).layer(Dense::new(10)).layer(Softmax),
        "conv2d 16x16x16-16, 3x3" => image().layer(Conv2d::new(16, 3).padding(Padding::Same)),
        "max_pool2d 16x16x16, 2x2" => image().layer(MaxPool2d::new(2)),
        "avg_pool2d 16x16x16, 2x2" => image().layer(AvgPool2d::new(2)),
        "batch_norm 16x16x16" => image().layer(BatchNorm::new()),
        "relu 16x16x16" => image().layer(Relu),
        "tanh 16x16x16" => image().layer(Tanh),
        "dropout 16x16x16" => image().layer(Dropout::new(0.5)),
        _ => image(),
    };
    layers.build(1).expect("the network is built")
}

const LAYERS: [&str; 10] = [
    "dense 784-256",
    "softmax 10",
    "conv2d 16x16x16-16, 3x3",
    "max_pool2d 16x16x16, 2x2",
    "avg_pool2d 16x16x16, 2x2",
    "batch_norm 16x16x16",
    "relu 16x16x16",
    "tanh 16x16x16",
    "dropout 16x16x16",
    "nothing 16x16x16",
];

fn prediction(name: &str) -> impl FnMut() {
    let network = network(name);
    let x = numbers(SAMPLES * network.input_shape().size());
    let mut predictor = Predictor::new(network, SAMPLES, 1).expect("there is memory");
    move || {
        predictor.run(&x).expect("predicting works");
    }
}

fn step(name: &str) -> impl FnMut() {
    let network = network(name);
    let fit = Fit::new(MeanSquaredError, Sgd::new(1e-6))
        .batch_size(SAMPLES)
        .threads(1);
    let x = numbers(SAMPLES * network.input_shape().size());
    let t = numbers(network.output_shape().size());
    let mut trainer = fit.trainer(network).expect("the network can be trained");
    move || {
        let targets = [Target::Values(&t); SAMPLES];
        trainer.step(&x, &targets).expect("training works");
    }
}

fn layers(criterion: &mut Criterion) {
    for name in LAYERS {
        bench(criterion, "layer predict", name, || prediction(name));
        bench(criterion, "layer step", name, || step(name));
    }
}

criterion_group! { name = benches; config = criterion(); targets = layers }
criterion_main!(benches);
