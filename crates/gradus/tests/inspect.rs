//! What a network computes for one sample: outputs of every layer, and gradients at inference.

mod common;

use common::refused;
use gradus::activation::Activation;
use gradus::data::Arrays;
use gradus::layer::{Backward, BoundLayer, Forward, Layer, Passes};
use gradus::prelude::*;
use gradus::{Float, Result, Shape};
use ndarray::{Array1, Array3, Array4, ArrayD, Axis};

/// A network with every kind of block, whose running statistics are not those of a new one.
fn network() -> Network {
    let same = |channels| Conv2d::new(channels, 3).padding(Padding::Same);
    let gate = Layers::new().layer(GlobalAvgPool2d).layer(Dense::new(5)).layer(Sigmoid);
    let body = Layers::new().layer(BatchNorm::new()).layer(Tanh).layer(same(5));
    let mut network = Sequential::new([2, 6, 5])
        .layer(same(3))
        .layer(BatchNorm::new())
        .layer(Gelu)
        .layer(Concat::new([
            Layers::new(),
            Layers::new().layer(Conv2d::new(2, 1)).layer(Dropout::new(0.4)),
        ]))
        .layer(Multiply::gate(gate))
        .layer(Residual::new(body))
        .layer(MaxPool2d::new(2))
        .layer(Flatten)
        .layer(Dense::new(4))
        .layer(Softmax)
        .build(3)
        .unwrap();
    let x = Array4::from_shape_fn((40, 2, 6, 5), |(n, c, i, j)| {
        ((n * 60 + c * 30 + i * 5 + j) * 7919 % 1009) as Float / 300.0 - 1.5
    });
    let data = Arrays::classes(&x, (0..40).map(|n| n % 4), 4).unwrap();
    let fit = Fit::new(CrossEntropy::new(), Sgd::new(0.05)).epochs(2).batch_size(10);
    fit.run(&mut network, &data).unwrap();
    network
}

fn sample() -> Array3<Float> {
    Array3::from_shape_fn((2, 6, 5), |(c, i, j)| {
        ((c * 30 + i * 5 + j) * 4241 % 997) as Float / 400.0 - 1.2
    })
}

#[test]
fn outputs_are_those_of_the_network() {
    let network = network();
    let seen = network.inspect(&sample()).unwrap();
    let paths: Vec<&str> = seen.paths().collect();
    assert_eq!(&paths[..4], ["0", "1", "2", "3.branches.1.0"]);
    assert!(
        paths.contains(&"4.branches.1.2") && paths.contains(&"5.body.2"),
        "{paths:?}"
    );
    let expected = network.predict(sample().insert_axis(Axis(0))).unwrap();
    assert_eq!(seen.output("9").unwrap(), expected.index_axis(Axis(0), 0));
    // What comes out of a block is what the next layer takes.
    assert_eq!(seen.input("6").unwrap().shape(), [5, 6, 5]);
    let (relu, x) = (seen.output("2").unwrap(), seen.input("2").unwrap());
    assert_eq!(relu.first().unwrap(), &Gelu.value(*x.first().unwrap()));
    assert_eq!(seen.input("0").unwrap(), sample().into_dyn());
}

#[test]
fn gradients_are_those_of_finite_differences_at_inference() {
    let network = network();
    let x = sample();
    let double = size_of::<Float>() == 8;
    let (step, tolerance) = if double { (1e-5, 1e-6) } else { (1e-2, 2e-2) };
    // The number that is moved, and those that follow, for outputs of several layers.
    for (path, output) in [("8", 1), ("9", 2), ("5.body.2", 17), ("4.branches.1.2", 3)] {
        let gradients = network.inspect(&x).unwrap().gradients(path, output).unwrap();
        let gradients = gradients.input();
        let scale = gradients.iter().fold(0.0, |most: Float, g| most.max(g.abs()));
        assert!(scale > 0.0, "{path}");
        let at = |x: &Array3<Float>| -> Float {
            let seen = network.inspect(x).unwrap();
            *seen.output(path).unwrap().iter().nth(output).unwrap()
        };
        for place in [(0, 0, 0), (1, 2, 3), (0, 5, 4), (1, 0, 2)] {
            let (mut up, mut down) = (x.clone(), x.clone());
            up[place] += step;
            down[place] -= step;
            let expected = (at(&up) - at(&down)) / (2.0 * step);
            let found = gradients[[place.0, place.1, place.2]];
            assert!(
                (found - expected).abs() < tolerance * scale,
                "{path}, {output} by {place:?}: {found}, by differences {expected}"
            );
        }
    }
}

#[test]
fn gradients_are_known_for_every_layer_before() {
    let network = network();
    let gradients = network.inspect(&sample()).unwrap().gradients("8", 0).unwrap();
    let of_itself = gradients.output("8").unwrap().unwrap();
    assert_eq!(
        of_itself,
        ArrayD::from(Array1::from(vec![1.0, 0.0, 0.0, 0.0]).into_dyn())
    );
    assert_eq!(gradients.output("2").unwrap().unwrap().shape(), [3, 6, 5]);
    // The softmax comes after it.
    assert!(gradients.output("9").unwrap().is_none());
    // A branch doesn't depend on the one beside it.
    let gradients = network
        .inspect(&sample())
        .unwrap()
        .gradients("4.branches.1.1", 0)
        .unwrap();
    assert!(gradients.output("4.branches.1.0").unwrap().is_some());
    assert!(gradients.output("5.body.0").unwrap().is_none());
}

/// y = x in prediction and 2x in training.
#[derive(Debug, Clone)]
struct Louder;

impl Layer for Louder {
    fn kind(&self) -> &'static str {
        "louder"
    }

    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
        Ok(BoundLayer::new(input, Louder))
    }
}

impl Passes for Louder {
    fn forward(&self, pass: Forward<'_>) {
        let factor = if pass.training { 2.0 } else { 1.0 };
        pass.y.iter_mut().zip(pass.x).for_each(|(y, x)| *y = factor * x);
    }

    fn backward(&self, pass: Backward<'_>) {
        pass.dx.iter_mut().zip(pass.dy).for_each(|(dx, dy)| *dx = 2.0 * dy);
    }
}

#[test]
fn what_cannot_be_inspected_is_refused() {
    let network = network();
    refused(
        network.inspect(sample().insert_axis(Axis(0))).map(|_| ()),
        &["samples of shape 2×6×5", "[1, 2, 6, 5]", "one sample"],
    );
    let seen = network.inspect(&sample()).unwrap();
    refused(seen.output("5").map(|_| ()), &["no layer `5`", "5.body.0"]);
    refused(
        seen.gradients("8", 4).map(|_| ()),
        &["layer 8 (dense)", "4 outputs", "no output 4"],
    );
    let network = Sequential::new([2])
        .layer(Dense::new(2))
        .layer(Louder)
        .build(1)
        .unwrap();
    let seen = network.inspect(Array1::from(vec![1.0, 2.0])).unwrap();
    refused(
        seen.gradients("1", 0).map(|_| ()),
        &["layer 1 (louder)", "is not known"],
    );
    assert!(seen.gradients("0", 0).is_ok());
}
