//! What can't be built, and wrong use of what was built.

use crate::common::*;
use crate::data::two_classes;
use gradus::init::Normal;
use gradus::layer::{Backward, BoundLayer, Forward, Layer, Parameter, Passes};
use gradus::prelude::*;
use gradus::{Block, Float, Node, Result};
use ndarray::{Array1, Array2, Array4, array};

#[test]
fn layers_on_shapes_that_they_cannot_take() {
    let build = |input: &[usize], layer: Node| Sequential::new(input).layer(layer).build(1);
    let image = &[2, 6, 6][..];
    refused(
        build(image, Dense::new(3).into()),
        &["layer 0 (dense)", "flat", "2×6×6", "Flatten"],
    );
    refused(build(image, Softmax.into()), &["layer 0 (softmax)", "flat", "2×6×6"]);
    for (kind, layer) in [
        ("conv2d", Node::from(Conv2d::new(3, 3))),
        ("max_pool2d", MaxPool2d::new(2).into()),
        ("avg_pool2d", AvgPool2d::new(2).into()),
        ("global_avg_pool2d", GlobalAvgPool2d.into()),
    ] {
        refused(build(&[72], layer), &["layer 0", kind, "channels×height×width", "72"]);
    }
    refused(
        build(&[2, 3, 2, 3], BatchNorm::new().into()),
        &["layer 0 (batch_norm)", "2×3×2×3"],
    );
    refused(
        build(image, Reshape::new([71]).into()),
        &["layer 0 (reshape)", "71", "72"],
    );
    refused(build(image, Conv2d::new(3, 7).into()), &["kernel", "7", "6"]);
    refused(
        build(image, MaxPool2d::new((2, 7)).into()),
        &["kernel", "width", "7", "6"],
    );
}

#[test]
fn settings_of_layers_that_make_no_sense() {
    let build = |input: &[usize], layer: Node| Sequential::new(input).layer(layer).build(1);
    let image = &[2, 6, 6][..];
    refused(
        build(&[4], Dense::new(0).into()),
        &["layer 0 (dense)", "at least one unit", "0"],
    );
    refused(
        build(&[4], Dense::new(usize::MAX).into()),
        &["dense", "more than any memory"],
    );
    refused(
        build(&[4], Dense::new(1 << 40).into()),
        &["parameters", "check the declared sizes"],
    );
    for (layer, word) in [
        (Node::from(Conv2d::new(0, 3)), "channel"),
        (Conv2d::new(2, 0).into(), "kernel"),
        (Conv2d::new(2, 3).stride(0).into(), "stride"),
        (Conv2d::new(2, 3).dilation(0).into(), "dilation"),
        (Conv2d::new(3, 3).groups(2).into(), "groups"),
        (Conv2d::new(2, 3).groups(0).into(), "groups"),
        (Conv2d::new(usize::MAX, 3).into(), "memory"),
        (Conv2d::new(2, usize::MAX).into(), "larger than any image"),
        (Conv2d::new(2, 3).padding(usize::MAX).into(), "larger than any image"),
        (Conv2d::new(2, 3).padding(1 << 30).into(), "memory"),
        (MaxPool2d::new(0).into(), "kernel"),
        (MaxPool2d::new(2).stride((1, 0)).into(), "stride"),
        (MaxPool2d::new(2).padding(2).into(), "padding"),
        (
            MaxPool2d::new(1 << 30).stride(1).padding(Padding::Same).into(),
            "larger than any image",
        ),
        (AvgPool2d::new(0).into(), "kernel"),
        (
            AvgPool2d::new(1 << 20).stride(1).padding(Padding::Same).into(),
            "larger than any image",
        ),
        (Dropout::new(1.0).into(), "rate"),
        (Dropout::new(-0.1).into(), "rate"),
        (Dropout::new(f64::NAN).into(), "NaN"),
        (BatchNorm::new().momentum(2.0).into(), "momentum"),
        (BatchNorm::new().epsilon(0.0).into(), "epsilon"),
        (LeakyRelu::new(f64::NAN).into(), "slope"),
        (Elu::new(f64::INFINITY).into(), "alpha"),
    ] {
        refused(build(image, layer), &["layer 0", word]);
    }
}

#[test]
fn networks_that_cannot_be_built() {
    refused(Sequential::new([4]).build(1), &["no layers", ".layer("]);
    for input in [&[][..], &[0], &[3, 0, 2], &[usize::MAX, usize::MAX]] {
        refused(Sequential::new(input).layer(Relu).build(1), &["input shape"]);
    }
    let layers = Sequential::new([1 << 20]).layer(Dense::new(1 << 10));
    refused(
        layers.layer(Dense::new(1 << 10)).build(1),
        &["layer 0 (dense)", "beyond 1073741824"],
    );
    let block = |body: Layers| Sequential::new([4]).layer(Relu).layer(Residual::new(body)).build(1);
    refused(block(Layers::new()), &["layer 1 (residual)", "body", "no layers"]);
    refused(block(Layers::new().layer(Dense::new(0))), &["layer 1.body.0 (dense)"]);
    refused(
        block(Layers::new().layer(Reshape::new([1, 2, 2]))),
        &["layer 1 (residual)", "no projection", "1×2×2"],
    );
    let shortcut = Residual::new(Layers::new().layer(Dense::new(3))).shortcut(Layers::new().layer(Dense::new(2)));
    refused(
        Sequential::new([4]).layer(shortcut).build(1),
        &["layer 0 (residual)", "body gives 3", "shortcut 2"],
    );
    let dense = |units| Layers::new().layer(Dense::new(units));
    let of = |node: Node| Sequential::new([4]).layer(node).build(1);
    refused(
        of(Concat::new([]).into()),
        &["layer 0 (concat)", "no branches", "at least two"],
    );
    refused(
        of(Multiply::new([dense(3)]).into()),
        &["layer 0 (multiply)", "one branch", "at least two"],
    );
    let twice = Multiply::new([Layers::new(), Layers::new()]);
    refused(
        of(twice.into()),
        &["layer 0 (multiply)", "2 of its branches have no layers"],
    );
    refused(
        of(Multiply::new([dense(3), Layers::new()]).into()),
        &["layer 0 (multiply)", "branch 0 gives 3 beside 4"],
    );
    refused(
        of(Concat::new([dense(3), dense(0)]).into()),
        &["layer 0.branches.1.0 (dense)"],
    );
    let images = |branch: Layers| {
        Sequential::new([2, 4, 4])
            .layer(Concat::new([Layers::new(), branch]))
            .build(1)
    };
    refused(
        images(Layers::new().layer(MaxPool2d::new(2))),
        &[
            "layer 0 (concat)",
            "branch 0 gives 2×4×4",
            "branch 1 gives 2×2×2",
            "first dimension",
        ],
    );
    refused(
        images(Layers::new().layer(Flatten)),
        &["layer 0 (concat)", "branch 1 gives 32"],
    );
    let gate = Multiply::gate(Layers::new().layer(GlobalAvgPool2d).layer(Dense::new(3)));
    refused(
        Sequential::new([2, 4, 4]).layer(gate).build(1),
        &[
            "layer 0 (multiply)",
            "branch 1 gives 3 beside 2×4×4",
            "each of 2 channels",
        ],
    );
    let three = Block::new(gradus::Join::Add, [dense(4), dense(4), dense(4)]);
    refused(of(three.into()), &["layer 0 (residual)", "3 branches"]);
    let pooled = Residual::new(Layers::new().layer(Conv2d::new(2, 3)));
    refused(
        Sequential::new([1, 9, 9]).layer(pooled).build(1),
        &["shortcut of its own"],
    );
}

#[test]
fn predictions_on_wrong_shapes() {
    let network = convolutional(1);
    refused(
        network.predict(Array2::zeros((3, 64))),
        &["samples of shape 1×8×8", "[3, 64]"],
    );
    refused(network.predict(Array4::zeros((3, 8, 8, 1))), &["1×8×8", "[3, 8, 8, 1]"]);
    refused(network.predict(ndarray::arr0(1.0)), &["first axis"]);
    refused(network.classify(Array1::zeros(64)), &["1×8×8", "[64]"]);
    assert_eq!(network.predict(Array4::zeros((0, 1, 8, 8))).unwrap().shape(), [0, 10]);
    refused(network.predictor(0, 1), &["at least one sample", "0"]);
    refused(network.predictor(usize::MAX, 1), &["smaller batch"]);
    let mut predictor = network.predictor(2, 1).unwrap();
    for size in [0, 63, 65, 3 * 64] {
        let words = ["1 to 2 samples of 64 values", &format!("got {size}")];
        refused(predictor.run(&vec![0.0; size]), &words.each_ref().map(|w| &**w));
    }
}

#[test]
fn tensors_that_are_not_there() {
    let mut network = two_classes();
    refused(network.set("1.weight", &[0.0; 3]), &["`1.weight`", "4 values", "got 3"]);
    refused(
        network.set("0.running_mean", &[0.0]),
        &["`0.running_mean`", "2 values", "got 1"],
    );
    refused(
        network.set("1.weights", &[0.0; 4]),
        &["`1.weights`", "1.weight", "1.bias"],
    );
    refused(
        network.set_weights(perceptron(1).weights()),
        &["another network", "parameters"],
    );
}

/// One probability stands for two classes: above 0.5 it is the second. Of another value nobody knows.
#[test]
fn one_output_classifies() {
    let dense = || Sequential::new([1]).layer(Dense::new(1));
    let mut network = dense().layer(Sigmoid).build(1).unwrap();
    network.set("0.weight", &[1.0]).unwrap();
    let classes = network.classify(array![[0.0], [1.0]]).unwrap();
    assert_eq!((classes[0], classes[1].0), ((0, 0.5), 1));
    let values = dense().build(1).unwrap();
    refused(
        values.classify(array![[0.25]]),
        &["not a probability", "with 0, if it is a logit"],
    );
    let two = Sequential::new([2]).layer(Relu).build(1).unwrap();
    assert_eq!(two.classify(array![[0.25, 0.75]]).unwrap(), [(1, 0.75)]);
    refused(
        two.classify(array![[0.25, 0.75], [0.5, Float::NAN]]),
        &["output for sample 1 is not a number", "not finite, or too large"],
    );
}

/// A layer with these parameters.
#[derive(Debug, Clone)]
struct Declared(Vec<Parameter>);

impl Layer for Declared {
    fn kind(&self) -> &'static str {
        "declared"
    }
    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
        let bound = BoundLayer::new(input, self.clone());
        Ok(self.0.iter().cloned().fold(bound, BoundLayer::with_parameter))
    }
}

impl Passes for Declared {
    fn forward(&self, _: Forward<'_>) {}
    fn backward(&self, _: Backward<'_>) {}
}

#[test]
fn tensors_that_could_not_be_saved() {
    let build = |parameters: Vec<Parameter>| Sequential::new([2]).layer(Declared(parameters)).build(1);
    refused(
        build(vec![Parameter::bias([2]), Parameter::bias([2])]),
        &["layer 0 (declared)", "two tensors `bias`"],
    );
    refused(
        build(vec![Parameter::bias([2]).saved_transposed()]),
        &["`bias` of shape 2", "only a matrix"],
    );
}

#[test]
fn initializers_that_give_no_numbers() {
    let normal = Normal::new(0.0, f64::NAN);
    let network = Sequential::new([2]).layer(Dense::new(1).init(normal));
    refused(network.build(1), &["initializer of `0.weight`", "not finite"]);
}
