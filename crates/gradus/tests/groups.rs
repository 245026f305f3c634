//! Groups of parameters are trained with settings of their own.

mod common;

use std::time::Duration;

use common::*;
use gradus::Float;
use gradus::data::{Dataset, Target};
use gradus::optim::advanced::update_tensor;
use gradus::optim::{Optimizer, Step};
use gradus::prelude::*;
use gradus::schedule::Exponential;

const NEVER: Duration = Duration::from_secs(1000);

fn names(network: &Network) -> Vec<String> {
    network.parameters().map(|parameter| parameter.name).collect()
}

/// Trains one step on all of 40 digits.
fn step(network: &Network, fit: Fit<'_>) -> Network {
    let data = some_digits(40);
    let mut network = network.clone();
    fit.epochs(1).batch_size(40).run(&mut network, &data).unwrap();
    network
}

/// In one step all gradients are those of a training without groups: each group is where its settings alone would have taken it.
#[test]
fn a_group_is_where_its_settings_take_it() {
    let usual = || Fit::new(CrossEntropy::new(), AdamW::new(0.01).weight_decay(0.1));
    let of = |optimizer: AdamW| Fit::new(CrossEntropy::new(), optimizer);
    for network in [perceptron(1), convolutional(1), residual(1)] {
        let names = names(&network);
        let (first, last) = (&names[0], &names[names.len() - 1]);
        let group = |name: &String| ParameterGroup::new([name]);
        let cases = [
            (
                group(first).learning_rate_factor(0.5),
                of(AdamW::new(0.005).weight_decay(0.1)),
                first,
            ),
            (
                group(first).weight_decay(3.0),
                of(AdamW::new(0.01).weight_decay(3.0)),
                first,
            ),
            (
                group(last).optimizer(Sgd::new(0.1)),
                Fit::new(CrossEntropy::new(), Sgd::new(0.1)),
                last,
            ),
            (
                group(last)
                    .optimizer(RmsProp::new(0.1).momentum(0.9))
                    .learning_rate_factor(2.0),
                Fit::new(CrossEntropy::new(), RmsProp::new(0.2).momentum(0.9)),
                last,
            ),
        ];
        let without = step(&network, usual());
        for (group, alone, name) in cases {
            let alone = step(&network, alone);
            for threads in [1, 3] {
                let found = step(&network, usual().threads(threads).group(group.clone()));
                for parameter in found.parameters() {
                    let expected = if parameter.name == *name { &alone } else { &without };
                    let expected = expected.parameter(&parameter.name).unwrap();
                    assert_eq!(parameter.values, expected.values, "{} with {group:?}", parameter.name);
                }
                assert_ne!(found.weights(), without.weights(), "{group:?}");
            }
        }
    }
}

/// Muon updates whole matrices, beside groups that are updated value by value, and on any number of threads to the same bits.
#[test]
fn whole_tensors_are_updated_beside_others() {
    let data = some_digits(60);
    // The products of the first one are worth several threads.
    let wide = Sequential::new([1, 8, 8])
        .layer(Flatten)
        .layer(Dense::new(224))
        .layer(Relu);
    let wide = wide
        .layer(Dense::new(80))
        .layer(Relu)
        .layer(Dense::new(10))
        .layer(Softmax);
    for (network, clip) in [
        (wide.build(1).unwrap(), None),
        (perceptron(1), None),
        (convolutional(1), Some(Clip::Norm(0.1))),
        (residual(1), Some(Clip::Value(0.01))),
    ] {
        let names = names(&network);
        let last = names[names.len() - 1].rsplit_once('.').unwrap().0;
        let train = |threads, frozen: &[&str]| {
            let mut network = network.clone();
            let fit = Fit::new(CrossEntropy::new(), Muon::new(0.02).weight_decay(0.1))
                .group(ParameterGroup::new([last]).optimizer(AdamW::new(0.003)))
                .freeze(frozen.iter().copied())
                .epochs(4)
                .batch_size(20)
                .threads(threads);
            let fit = clip.iter().fold(fit, |fit, clip| fit.clip(*clip));
            let history = fit.run(&mut network, &data).unwrap();
            let losses = history.values("loss");
            assert!(losses[3] < losses[0], "{losses:?}");
            network
        };
        let one = train(1, &[]);
        for threads in [2, 3] {
            assert_eq!(train(threads, &[]).weights(), one.weights());
        }
        let frozen = train(2, &[&names[0]]);
        for (before, after) in network.parameters().zip(frozen.parameters()) {
            assert_eq!(
                before.values == after.values,
                before.name == names[0],
                "{}",
                before.name
            );
        }
    }
}

/// A step of Muon is that of its formula along the gradient that can be asked for.
#[test]
fn muon_follows_the_gradient_of_the_batch() {
    let data = some_digits(40);
    let x = inputs(&data, 40);
    let targets: Vec<Target<'_>> = (0..40).map(|i| data.target(i)).collect();
    let muon = Muon::new(0.02).weight_decay(0.1);
    for clip in [None, Some(Clip::Norm(0.01)), Some(Clip::Value(0.001))] {
        let fit = Fit::new(CrossEntropy::new(), muon).batch_size(40);
        let fit = clip.iter().fold(fit, |fit, clip| fit.clip(*clip));
        let mut trainer = fit.threads(2).trainer(convolutional(1)).unwrap();
        let mut gradient = trainer.gradients(&x, &targets).unwrap().1.to_vec();
        if let Some(clip) = clip {
            let norm = gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
            gradient.iter_mut().for_each(|g| *g *= clip.scale(norm));
            clip.clamp(&mut gradient);
        }
        trainer.step(&x, &targets).unwrap();
        let mut rest = &gradient[..];
        for (before, after) in convolutional(1).parameters().zip(trainer.network().parameters()) {
            let (dw, others) = rest.split_at(before.values.len());
            rest = others;
            let mut w = before.values.to_vec();
            let (mut a, mut b) = (vec![0.0; w.len()], vec![0.0; w.len()]);
            let is_weight = before.name.ends_with("weight") && before.shape.dims().len() >= 2;
            let step = Step::new(1, 0.02, is_weight);
            if is_weight {
                update_tensor(&muon, step, &before.shape, &mut w, dw, &mut [&mut a, &mut b]);
            } else {
                Optimizer::update(&muon, step, &mut w, dw, &mut [&mut a, &mut b]);
            }
            for (found, expected) in after.values.iter().zip(&w) {
                assert!((found - expected).abs() < 1e-5, "{}: {found}, {expected}", before.name);
            }
        }
    }
}

/// The schedule's factor and the clipping apply to all groups.
#[test]
fn groups_are_trained_in_every_way() {
    let data = some_digits(60);
    let fit = |threads| {
        Fit::new(CrossEntropy::new(), Adam::new(0.01))
            .schedule(Exponential::new(0.5))
            .clip(Clip::Norm(0.5))
            .epochs(3)
            .batch_size(20)
            .threads(threads)
    };
    let train = |fit: Fit<'_>| {
        let mut network = convolutional(1);
        fit.run(&mut network, &data).unwrap();
        network
    };
    // A group of everything is a training with its settings.
    let names = names(&convolutional(1));
    let all = |group: fn(ParameterGroup) -> ParameterGroup| group(ParameterGroup::new(names.clone()));
    let expected = train(fit(1));
    let found = train(
        Fit::new(CrossEntropy::new(), Sgd::new(7.0))
            .schedule(Exponential::new(0.5))
            .clip(Clip::Norm(0.5))
            .epochs(3)
            .batch_size(20)
            .group(all(|group| group.optimizer(Adam::new(0.01)))),
    );
    assert_eq!(found.weights(), expected.weights());
    // Frozen parameters stay frozen in a group.
    let grouped = |threads| {
        fit(threads)
            .group(ParameterGroup::new([&names[0], &names[2]]).learning_rate_factor(0.1))
            .freeze([&names[0]])
    };
    let (one, several) = (train(grouped(1)), train(grouped(3)));
    assert_eq!(one.weights(), several.weights());
    for (i, (before, after)) in convolutional(1).parameters().zip(one.parameters()).enumerate() {
        assert_eq!(before.values == after.values, i == 0, "{}", before.name);
    }
}

/// An optimizer without weight decay.
#[derive(Debug)]
struct Sign;

impl Optimizer for Sign {
    fn name(&self) -> &'static str {
        "sign"
    }
    fn validate(&self) -> gradus::Result<()> {
        Ok(())
    }
    fn learning_rate(&self) -> f64 {
        0.01
    }
    fn update(&self, step: Step, w: &mut [Float], dw: &[Float], _state: &mut [&mut [Float]]) {
        for (w, dw) in w.iter_mut().zip(dw) {
            *w -= step.learning_rate * dw.signum();
        }
    }
}

#[test]
fn groups_that_make_no_sense_are_refused() {
    let data = some_digits(20);
    let names = names(&perceptron(1));
    let layer = names[0].split('.').next().unwrap();
    let refused = |fit: Fit<'_>| fit.run(&mut perceptron(1), &data).unwrap_err().to_string();
    let adam = || Fit::new(CrossEntropy::new(), Adam::new(0.01));
    let group = |name: &str| ParameterGroup::new([name]);
    assert_eq!(
        refused(adam().group(group("7"))),
        format!(
            "there is no parameter \"7\" to group, and no layer of that name that has any; the network has {}",
            names.join(", ")
        )
    );
    assert_eq!(
        refused(adam().group(group(layer)).group(group(&names[1]))),
        format!(
            "the parameter {} is in the group of \"{layer}\" and in the group of \"{}\": leave it in one",
            names[1], names[1]
        )
    );
    assert_eq!(
        refused(adam().group(group(layer)).freeze([&names[0], &names[1]])),
        format!("the group of \"{layer}\" has no parameter to train: all of them are frozen")
    );
    assert_eq!(
        refused(adam().group(group(layer).learning_rate_factor(-1.0))),
        format!("the group of \"{layer}\": learning rate factor must be a number of at least 0, got -1")
    );
    assert_eq!(
        refused(adam().group(group(layer).weight_decay(Float::NAN.into()))),
        format!("the group of \"{layer}\": weight decay must be a number of at least 0, got NaN")
    );
    assert_eq!(
        refused(adam().group(group(layer).optimizer(Sgd::new(-1.0)))),
        "SGD: learning rate must be a number of at least 0, got -1"
    );
    assert_eq!(
        refused(Fit::new(CrossEntropy::new(), Sign).group(group(layer).weight_decay(0.1))),
        format!(
            "the group of \"{layer}\" sets the weight decay, but the optimizer sign has none that can be set \
             (Optimizer::with_weight_decay)"
        )
    );
    let nothing: [&str; 0] = [];
    assert_eq!(
        refused(adam().group(ParameterGroup::new(nothing))),
        "a group of parameters has no names: name at least one"
    );
}

#[test]
fn checkpoints_know_the_groups() {
    let data = some_digits(40);
    let file = folder("groups").join("checkpoint");
    let names = names(&perceptron(1));
    let layer = names[0].split('.').next().unwrap();
    let fit = |groups: &[ParameterGroup], epochs| {
        let fit = Fit::new(CrossEntropy::new(), Adam::new(0.01))
            .seed(1)
            .epochs(epochs)
            .batch_size(20);
        groups.iter().cloned().fold(fit, Fit::group)
    };
    let slower = |names: &[&str]| ParameterGroup::new(names.iter().copied()).learning_rate_factor(0.1);
    let momentum = || ParameterGroup::new([&names[2]]).optimizer(RmsProp::new(0.01).momentum(0.9));
    let mut whole = perceptron(1);
    fit(&[slower(&[layer]), momentum()], 3).run(&mut whole, &data).unwrap();
    fit(&[slower(&[layer]), momentum()], 2)
        .checkpoint(&file, NEVER)
        .run(&mut perceptron(1), &data)
        .unwrap();
    // A layer by its name is the same as its parameters by theirs, and so are groups in another order.
    let mut resumed = perceptron(2);
    let same = [momentum(), slower(&[&names[0], &names[1]])];
    fit(&same, 3).resume(&file).run(&mut resumed, &data).unwrap();
    assert_eq!(resumed.weights(), whole.weights());
    for others in [
        vec![],
        vec![momentum()],
        vec![slower(&[&names[0]]), momentum()],
        vec![slower(&[layer]).learning_rate_factor(0.2), momentum()],
        vec![slower(&[layer]).weight_decay(0.2), momentum()],
    ] {
        let result = fit(&others, 3).resume(&file).run(&mut perceptron(1), &data);
        refused(
            result,
            &[
                "the parameter groups was ",
                &format!("{}, {}: learning rate times 0.1, adam {{", names[0], names[1]),
                "rmsprop {",
            ],
        );
    }
    // Its settings have to be known.
    let unsaid = [slower(&[layer]).optimizer(Sign)];
    let result = fit(&unsaid, 2).checkpoint(&file, NEVER).run(&mut perceptron(1), &data);
    refused(result, &["the settings of the optimizer sign", "Optimizer::settings"]);
}
