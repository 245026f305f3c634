//! The gradients of whole networks agree with finite differences.

mod common;

use gradus::check;
use gradus::data::{Target, Targets};
use gradus::loss::Loss;
use gradus::prelude::*;
use gradus::{Float, Node};

fn check_values(network: Sequential) {
    check_with(network, MeanSquaredError);
}

fn check_with(network: Sequential, loss: impl Loss + 'static) {
    let network = network.build(11).unwrap();
    let targets = Targets::Values(network.output_shape().clone());
    check::network(&network, loss, &targets).unwrap();
}

fn flat() -> Sequential {
    Sequential::new([6])
}

fn image() -> Sequential {
    Sequential::new([2, 6, 5])
}

fn body(nodes: impl IntoIterator<Item = Node>) -> Layers {
    nodes.into_iter().fold(Layers::new(), Layers::layer)
}

fn same(channels: usize) -> Conv2d {
    Conv2d::new(channels, 3).padding(Padding::Same)
}

#[test]
fn identity_shortcuts() {
    check_values(
        flat()
            .layer(Residual::new(body([Dense::new(6).into(), Tanh.into()])))
            .layer(Dense::new(2)),
    );
    check_values(
        image()
            .layer(Residual::new(body([same(2).into(), Tanh.into(), same(2).into()])))
            .layer(Tanh),
    );
    // The block comes after parameters, and has none of its own.
    check_values(flat().layer(Dense::new(4)).layer(Residual::new(body([Tanh.into()]))));
}

#[test]
fn projected_shortcuts() {
    check_values(
        flat()
            .layer(Residual::new(body([Dense::new(4).into(), Tanh.into()])))
            .layer(Tanh),
    );
    let strided = body([same(3).stride(2).into(), Tanh.into()]);
    check_values(image().layer(Tanh).layer(Residual::new(strided)).layer(Flatten));
}

#[test]
fn shortcuts_of_ones_own() {
    let side = || {
        Layers::new()
            .layer(AvgPool2d::new(2))
            .layer(Conv2d::new(3, 1))
            .layer(Tanh)
    };
    let main = || body([same(3).into(), Tanh.into(), MaxPool2d::new(2).into()]);
    check_values(image().layer(same(2)).layer(Residual::new(main()).shortcut(side())));
    // Only the shortcut has parameters, and the block is the network's last and first.
    let shortcut = Layers::new().layer(Dense::new(6));
    check_values(flat().layer(Residual::new(body([Tanh.into()])).shortcut(shortcut)));
    let empty = Residual::new(body([Dense::new(6).into()])).shortcut(Layers::new());
    check_values(flat().layer(empty).layer(Tanh));
}

#[test]
fn blocks_within_blocks() {
    let inner = || Residual::new(body([same(3).into(), Tanh.into()]));
    let side = Layers::new().layer(Conv2d::new(3, 1)).layer(inner());
    let outer = Residual::new(body([inner().into(), Tanh.into(), inner().into()])).shortcut(side);
    check_values(image().layer(outer).layer(Flatten).layer(Dense::new(2)));
    let twice = Residual::new(body([Residual::new(body([Residual::new(body([
        Dense::new(6).into()
    ]))
    .into()]))
    .into()]));
    check_values(flat().layer(twice));
}

#[test]
fn concatenated_branches() {
    let branch = |node: Node| Layers::new().layer(node);
    // One branch is the input, one ends in a view, and the block comes first, last and before what changes values in place.
    let flat_block = || {
        Concat::new([
            Layers::new(),
            branch(Dense::new(3).into()),
            body([Dense::new(4).into(), Tanh.into()]),
        ])
    };
    check_values(flat().layer(flat_block()));
    check_values(
        flat()
            .layer(Dense::new(5))
            .layer(flat_block())
            .layer(Tanh)
            .layer(Dense::new(2)),
    );
    let images = || {
        Concat::new([
            branch(same(2).into()),
            body([
                AvgPool2d::new(3).stride(1).padding(Padding::Same).into(),
                Conv2d::new(1, 1).into(),
                Tanh.into(),
            ]),
            Layers::new(),
        ])
    };
    check_values(
        image()
            .layer(same(3))
            .layer(images())
            .layer(BatchNorm::new())
            .layer(same(2)),
    );
    // Dense connections: what was joined is joined again.
    let grow = || {
        Concat::new([
            Layers::new(),
            body([BatchNorm::new().into(), Tanh.into(), same(2).into()]),
        ])
    };
    check_values(
        image()
            .layer(grow())
            .layer(grow())
            .layer(grow())
            .layer(GlobalAvgPool2d)
            .layer(Dense::new(2)),
    );
    // Nothing but copies of the input.
    check_values(
        flat()
            .layer(Dense::new(3))
            .layer(Concat::new([Layers::new(), Layers::new()]))
            .layer(Tanh),
    );
}

#[test]
fn multiplied_branches() {
    let dense = |units| body([Dense::new(units).into(), Tanh.into()]);
    check_values(flat().layer(Multiply::new([dense(3), body([Dense::new(3).into()]), dense(3)])));
    check_values(flat().layer(Dense::new(4)).layer(Multiply::gate(dense(4))).layer(Tanh));
    // Gates of channels, before and after what they let through, with and without dimensions of 1.
    let squeezed = || body([GlobalAvgPool2d.into(), Dense::new(3).into(), Sigmoid.into()]);
    check_values(image().layer(same(3)).layer(Multiply::gate(squeezed())).layer(same(2)));
    let pooled = body([AvgPool2d::new((6, 5)).into(), Conv2d::new(3, 1).into()]);
    check_values(
        image()
            .layer(same(3))
            .layer(Multiply::new([squeezed(), Layers::new(), pooled])),
    );
    // The gate has no parameters; and only the gate has any.
    check_values(
        image()
            .layer(same(3))
            .layer(Multiply::gate(body([GlobalAvgPool2d.into()]))),
    );
    let only = body([GlobalAvgPool2d.into(), Dense::new(2).into()]);
    check_values(image().layer(Multiply::gate(only)).layer(Tanh));
}

#[test]
fn blocks_of_all_kinds_within_each_other() {
    let gate = || Multiply::gate(body([GlobalAvgPool2d.into(), Dense::new(3).into(), Sigmoid.into()]));
    let inner = Concat::new([
        body([same(1).into(), Tanh.into()]),
        body([same(2).into(), gate_of(2).into()]),
    ]);
    check_values(
        image()
            .layer(same(3))
            .layer(Residual::new(body([inner.into(), gate().into()])))
            .layer(Tanh),
    );
    let product = Multiply::new([
        body([Residual::new(body([same(3).into()])).into()]),
        body([Concat::new([body([same(1).into()]), body([same(2).into()])]).into()]),
    ]);
    check_values(
        image()
            .layer(same(3))
            .layer(product)
            .layer(Flatten)
            .layer(Dense::new(2)),
    );
}

fn gate_of(channels: usize) -> Multiply {
    Multiply::gate(body([GlobalAvgPool2d.into(), Dense::new(channels).into()]))
}

#[test]
fn batch_norm_first_and_within_blocks() {
    check_values(flat().layer(BatchNorm::new()).layer(Dense::new(3)).layer(Tanh));
    check_values(image().layer(BatchNorm::new()).layer(same(2)).layer(Tanh));
    // The last layer, and one after the other.
    check_values(image().layer(same(2)).layer(BatchNorm::new()));
    check_values(
        flat()
            .layer(Dense::new(5))
            .layer(BatchNorm::new())
            .layer(BatchNorm::new())
            .layer(Tanh),
    );
    let block = || {
        body([
            BatchNorm::new().into(),
            Tanh.into(),
            same(2).into(),
            BatchNorm::new().into(),
        ])
    };
    check_values(image().layer(Residual::new(block())).layer(Tanh));
    let normed = Layers::new().layer(Conv2d::new(2, 1)).layer(BatchNorm::new());
    // A sum whose second branch is a sum itself, and one whose both branches are.
    let within = || Layers::new().layer(Residual::new(body([same(2).into()])));
    check_values(
        image()
            .layer(same(2))
            .layer(Residual::new(body([same(2).into()])).shortcut(within())),
    );
    check_values(
        image()
            .layer(same(2))
            .layer(Residual::new(within()).shortcut(within()))
            .layer(Tanh),
    );
    let nested = Residual::new(body([Residual::new(block()).into(), same(2).into()])).shortcut(normed);
    check_values(
        image()
            .layer(BatchNorm::new())
            .layer(nested)
            .layer(Flatten)
            .layer(Dense::new(2)),
    );
}

#[test]
fn fused_losses_after_blocks() {
    let block = || Residual::new(body([Dense::new(6).into(), BatchNorm::new().into(), Tanh.into()]));
    let network = flat()
        .layer(block())
        .layer(Dense::new(4))
        .layer(Softmax)
        .build(2)
        .unwrap();
    check::network(&network, CrossEntropy::new(), &Targets::Classes(4)).unwrap();
    check::network(&network, CrossEntropy::new().label_smoothing(0.2), &Targets::Classes(4)).unwrap();
    check::network(&network, MeanSquaredError, &Targets::Classes(4)).unwrap();
    let network = flat()
        .layer(block())
        .layer(Dense::new(1))
        .layer(Sigmoid)
        .build(2)
        .unwrap();
    check::network(&network, BinaryCrossEntropy, &Targets::Classes(2)).unwrap();
    // A softmax within a block is not the last layer: nothing may be fused with it.
    let within = Residual::new(body([Dense::new(6).into(), Softmax.into()])).shortcut(Layers::new().layer(Softmax));
    let network = flat().layer(Dense::new(6)).layer(within).build(2).unwrap();
    check::network(&network, CrossEntropy::new(), &Targets::Classes(6)).unwrap();
    check_with(flat().layer(Dense::new(3)).layer(Silu), Huber::new(0.3));
}

/// More samples than a block holds: the statistics and gradients are merged from several.
#[test]
fn gradients_do_not_depend_on_the_division_into_blocks() {
    // Five copies of ten samples, the copies side by side, have the mean gradient of those ten.
    let network = Sequential::new([1, 8, 8])
        .layer(same(4))
        .layer(BatchNorm::new())
        .layer(Residual::new(body([
            same(4).into(),
            BatchNorm::new().into(),
            Tanh.into(),
        ])))
        .layer(Flatten)
        .layer(Dense::new(10))
        .layer(Softmax)
        .build(5)
        .unwrap();
    let ten = common::inputs(&common::some_digits(10), 10);
    let gradients = |copies: usize| {
        let n = 10 * copies;
        let fit = Fit::new(CrossEntropy::new(), Sgd::new(0.0)).batch_size(n);
        let mut trainer = fit.trainer(network.clone()).unwrap();
        let targets: Vec<Target<'_>> = (0..n).map(|i| Target::Class(i / copies)).collect();
        let x: Vec<Float> = ten.chunks_exact(64).flat_map(|x| x.repeat(copies)).collect();
        let (_, gradients) = trainer.gradients(&x, &targets).unwrap();
        gradients.to_vec()
    };
    let far = gradients(1)
        .iter()
        .zip(&gradients(5))
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, Float::max);
    assert!(far < 1e-4, "{far}");
}
