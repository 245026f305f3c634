//! Networks computed by the plain loops, as they are written in the files of the layers, and by the fast versions.

use gradus::data::{Arrays, Dataset, digits};
use gradus::prelude::*;
use gradus::{Float, Result};

/// A perceptron, a convolutional network, a residual network and one with dense connections and a gate, for the digits in the library.
fn networks() -> Result<Vec<(&'static str, Network)>> {
    let same = |channels| Conv2d::new(channels, 3).padding(Padding::Same);
    let perceptron = Sequential::new([1, 8, 8])
        .layer(Flatten)
        .layer(Dense::new(20))
        .layer(Tanh)
        .layer(Dropout::new(0.2))
        .layer(Dense::new(10))
        .layer(Softmax);
    let convolutional = Sequential::new([1, 8, 8])
        .layer(same(4))
        .layer(Relu)
        .layer(MaxPool2d::new(2))
        .layer(Conv2d::new(6, 2).stride(2).bias(false))
        .layer(Gelu)
        .layer(AvgPool2d::new(2))
        .layer(Flatten)
        .layer(Dense::new(10))
        .layer(Softmax);
    let body = Layers::new()
        .layer(same(4))
        .layer(BatchNorm::new())
        .layer(Relu)
        .layer(same(4));
    let residual = Sequential::new([1, 8, 8])
        .layer(same(4))
        .layer(Residual::new(body))
        .layer(Relu)
        .layer(GlobalAvgPool2d::new())
        .layer(Dense::new(10))
        .layer(Softmax);
    let grow = || {
        Concat::new([
            Layers::new(),
            Layers::new().layer(BatchNorm::new()).layer(Relu).layer(same(3)),
        ])
    };
    let gate = Layers::new()
        .layer(GlobalAvgPool2d::new())
        .layer(Dense::new(10))
        .layer(Sigmoid);
    let joined = Sequential::new([1, 8, 8])
        .layer(same(4))
        .layer(grow())
        .layer(grow())
        .layer(Multiply::gate(gate))
        .layer(GlobalAvgPool2d::new())
        .layer(Dense::new(10))
        .layer(Softmax);
    Ok(vec![
        ("joined", joined.build(1)?),
        ("perceptron", perceptron.build(1)?),
        ("convolutional", convolutional.build(1)?),
        ("residual", residual.build(1)?),
    ])
}

fn some_digits(count: usize) -> Arrays {
    let (train, _) = digits::load().unwrap();
    let mut x = ndarray::Array4::zeros((count, 1, 8, 8));
    let mut labels = Vec::new();
    for (i, mut image) in x.outer_iter_mut().enumerate() {
        train.read(i, image.as_slice_mut().unwrap()).unwrap();
        let gradus::data::Target::Class(class) = train.target(i) else {
            panic!("digits have classes")
        };
        labels.push(class);
    }
    Arrays::classes(&x, labels, 10).unwrap()
}

fn outputs(network: &Network, samples: usize) -> Vec<Float> {
    let x = ndarray::Array4::from_shape_fn((samples, 1, 8, 8), |(n, _, i, j)| {
        ((n * 64 + i * 8 + j) * 7919 % 1009) as Float / 1009.0
    });
    network.predict(&x).unwrap().iter().copied().collect()
}

#[test]
fn outputs_have_the_same_bits_by_the_plain_loops() {
    for (name, network) in networks().unwrap() {
        let mut plain = network.clone();
        plain.set_reference(true).unwrap();
        assert!(plain.is_reference() && !network.is_reference());
        // Alone, in a block that is not interleaved, and in one that is.
        for samples in [1, 5, 40] {
            assert_eq!(
                outputs(&plain, samples),
                outputs(&network, samples),
                "{name}, {samples} samples"
            );
        }
        plain.set_reference(false).unwrap();
        assert_eq!(outputs(&plain, 40), outputs(&network, 40), "{name}");
    }
}

#[test]
fn networks_learn_the_same_by_the_plain_loops() {
    let data = some_digits(200);
    for (name, mut fast) in networks().unwrap() {
        let mut plain = fast.clone();
        plain.set_reference(true).unwrap();
        let learn = |network: &mut Network| {
            let fit = Fit::new(CrossEntropy::new(), Sgd::new(0.05).momentum(0.5))
                .epochs(3)
                .batch_size(40);
            fit.run(network, &data).unwrap().values("loss")
        };
        let (losses, plain_losses) = (learn(&mut fast), learn(&mut plain));
        for (found, expected) in losses.iter().zip(&plain_losses) {
            assert!(
                (found - expected).abs() < 1e-4 * expected,
                "{name}: {losses:?}, by the plain loops {plain_losses:?}"
            );
        }
        assert!(losses[2] < losses[0], "{name}: {losses:?}");
        // So close are sums in another order, and no other formulas.
        for (found, expected) in fast.parameters().zip(plain.parameters()) {
            let differences = found.values.iter().zip(expected.values).map(|(a, b)| (a - b).abs());
            assert!(differences.fold(0.0, Float::max) < 1e-3, "{name}: {}", found.name);
        }
    }
}

#[test]
fn the_plain_loops_know_no_bfloat16() {
    let (_, mut network) = networks().unwrap().swap_remove(1);
    network.set_reference(true).unwrap();
    let fit = Fit::new(CrossEntropy::new(), Sgd::new(0.1)).bfloat16(true);
    let error = fit.run(&mut network, &some_digits(20)).unwrap_err().to_string();
    assert!(error.contains("can't be trained in bfloat16"), "{error}");
}
