//! Frozen parameters keep their bits, and training of the others is the same otherwise.

mod common;

use std::time::Duration;

use common::*;
use gradus::data::Target;
use gradus::prelude::*;
use gradus::{Float, NamedTensor};

const NEVER: Duration = Duration::from_secs(1000);

fn values(network: &Network, name: &str) -> Vec<u64> {
    let parameter = network.parameter(name).unwrap();
    parameter.values.iter().map(|&w| f64::from(w).to_bits()).collect()
}

/// Trains a network with frozen layers; those that are frozen, and no others, are as before.
fn check(network: &Network, frozen: &[&str], fit: Fit<'static>) -> Network {
    let data = some_digits(60);
    let mut trained = network.clone();
    let fit = fit.epochs(2).batch_size(20).freeze(frozen.iter().copied());
    fit.run(&mut trained, &data).unwrap();
    let is_frozen = |tensor: &NamedTensor<'_>| {
        let starts = |name: &&str| tensor.name == *name || tensor.name.starts_with(&format!("{name}."));
        frozen.iter().any(starts)
    };
    let tensors: Vec<_> = network.parameters().collect();
    assert!(tensors.iter().any(is_frozen) && !tensors.iter().all(is_frozen));
    for tensor in &tensors {
        let same = values(&trained, &tensor.name) == values(network, &tensor.name);
        assert_eq!(same, is_frozen(tensor), "{} with {frozen:?} frozen", tensor.name);
    }
    trained
}

#[test]
fn frozen_parameters_keep_their_bits() {
    let fits: [fn() -> Fit<'static>; 4] = [
        || Fit::new(CrossEntropy::new(), Sgd::new(0.1).weight_decay(0.1)),
        || Fit::new(CrossEntropy::new(), AdamW::new(0.01).weight_decay(0.1)),
        || Fit::new(CrossEntropy::new(), Adam::new(0.01)).clip(Clip::Norm(0.1)),
        || Fit::new(CrossEntropy::new(), Sgd::new(0.1).momentum(0.9)).clip(Clip::Value(0.01)),
    ];
    for fit in fits {
        for network in [perceptron(1), convolutional(1), residual(1)] {
            let names: Vec<String> = network.parameters().map(|tensor| tensor.name).collect();
            let (first, last) = (&*names[0], &*names[names.len() - 1]);
            let layer = |name: &str| name.rsplit_once('.').unwrap().0.to_string();
            for frozen in [
                vec![first],
                vec![last],
                vec![&*layer(first)],
                vec![&*layer(last), first],
            ] {
                let one = check(&network, &frozen, fit().threads(1));
                let several = check(&network, &frozen, fit().threads(3));
                assert_eq!(one.weights(), several.weights());
            }
            // All but the last layer.
            let all_but: Vec<&str> = names
                .iter()
                .map(|name| &**name)
                .filter(|name| layer(name) != layer(last))
                .collect();
            check(&network, &all_but, fit());
        }
    }
}

/// The backward pass ends at the first layer that is trained: what it computes for that and the ones after it has the same bits.
#[test]
fn others_are_trained_as_without() {
    let data = some_digits(40);
    let (x, targets) = (
        inputs(&data, 40),
        (0..40).map(|i| data.target(i)).collect::<Vec<Target<'_>>>(),
    );
    for network in [perceptron(1), convolutional(1), residual(1)] {
        let names: Vec<String> = network.parameters().map(|tensor| tensor.name).collect();
        let fit = || Fit::new(CrossEntropy::new(), Sgd::new(0.1)).batch_size(40);
        let mut free = fit().trainer(network.clone()).unwrap();
        free.step(&x, &targets).unwrap();
        for end in 1..names.len() {
            let mut trainer = fit().freeze(&names[..end]).trainer(network.clone()).unwrap();
            trainer.step(&x, &targets).unwrap();
            for name in &names[end..] {
                let same = values(trainer.network(), name) == values(free.network(), name);
                assert!(same, "{name} with {} frozen", names[..end].join(", "));
            }
        }
    }
}

/// Gradients of all parameters can still be asked for.
#[test]
fn gradients_are_those_of_all_parameters() {
    let data = some_digits(20);
    let (x, targets) = (
        inputs(&data, 20),
        (0..20).map(|i| data.target(i)).collect::<Vec<Target<'_>>>(),
    );
    let fit = || Fit::new(CrossEntropy::new(), Sgd::new(0.1));
    let mut free = fit().trainer(convolutional(1)).unwrap();
    let mut frozen = fit().freeze(["0"]).trainer(convolutional(1)).unwrap();
    let expected = free.gradients(&x, &targets).unwrap().1;
    assert_eq!(frozen.gradients(&x, &targets).unwrap().1, expected);
}

/// What is frozen has no part in the norm: the others move by as much as is allowed.
#[test]
fn clipping_by_norm_leaves_frozen_parameters_out() {
    let data = some_digits(40);
    let (x, targets) = (
        inputs(&data, 40),
        (0..40).map(|i| data.target(i)).collect::<Vec<Target<'_>>>(),
    );
    // In the second one, parameters that are frozen and others are updated together.
    for network in [perceptron(1), convolutional(1)] {
        let fit = Fit::new(CrossEntropy::new(), Sgd::new(1.0))
            .batch_size(40)
            .clip(Clip::Norm(0.01));
        let first = network.parameters().map(|tensor| tensor.name).take(2);
        let mut trainer = fit.freeze(first).trainer(network.clone()).unwrap();
        // Nor have gradients that were asked for before.
        trainer.gradients(&x, &targets).unwrap();
        trainer.step(&x, &targets).unwrap();
        let moved = network.parameters().zip(trainer.network().parameters());
        let squares = moved.flat_map(|(before, after)| before.values.iter().zip(after.values));
        let norm = squares.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
        assert!((norm - 0.01).abs() < 1e-5, "{norm}");
    }
}

#[test]
fn names_that_nothing_has_are_refused() {
    let data = some_digits(20);
    let run = |names: &[&str]| {
        let fit = Fit::new(CrossEntropy::new(), Sgd::new(0.1)).freeze(names.iter().copied());
        fit.run(&mut perceptron(1), &data).map(drop)
    };
    let names: Vec<String> = perceptron(1).parameters().map(|tensor| tensor.name).collect();
    let layer = names[0].split('.').next().unwrap();
    run(&[layer]).unwrap();
    for unknown in ["", "7", ".", "1.", "1.weigh", "weight", &format!("{layer}{layer}")] {
        let error = run(&[layer, unknown]).unwrap_err().to_string();
        assert!(
            error.contains(&format!("no parameter \"{unknown}\" to freeze")),
            "{error}"
        );
        assert!(error.contains(&names.join(", ")), "{error}");
    }
    let all: Vec<&str> = names.iter().map(|name| &**name).collect();
    let error = run(&all).unwrap_err().to_string();
    assert!(
        error.starts_with("all parameters of the network are frozen ("),
        "{error}"
    );
}

#[test]
fn checkpoints_know_what_is_frozen() {
    let data = some_digits(40);
    let file = std::env::temp_dir().join(format!("gradus-freeze-{}", std::process::id()));
    let names: Vec<String> = perceptron(1).parameters().map(|tensor| tensor.name).collect();
    let fit = |names: &[String], epochs| {
        let fit = Fit::new(CrossEntropy::new(), Adam::new(0.01)).freeze(names);
        fit.epochs(epochs).batch_size(20)
    };
    let mut whole = perceptron(1);
    fit(&names[..2], 3).run(&mut whole, &data).unwrap();
    fit(&names[..2], 2)
        .checkpoint(&file, NEVER)
        .run(&mut perceptron(1), &data)
        .unwrap();
    let mut resumed = perceptron(1);
    // The layer by its name is the same as its parameters by theirs.
    let layer = [names[0].split('.').next().unwrap().to_string()];
    fit(&layer, 3).resume(&file).run(&mut resumed, &data).unwrap();
    assert_eq!(resumed.weights(), whole.weights());
    let error = fit(&[], 3)
        .resume(&file)
        .run(&mut perceptron(1), &data)
        .unwrap_err()
        .to_string();
    let words = format!(
        "the frozen parameters was {}, and is now nothing",
        names[..2].join(", ")
    );
    assert!(error.contains(&words), "{error}");
    std::fs::remove_file(file).unwrap();
}

#[test]
fn parameters_are_read_and_set_by_name() {
    let mut network = residual(1);
    let names: Vec<String> = network
        .parameters()
        .chain(network.state())
        .map(|tensor| tensor.name)
        .collect();
    for name in &names {
        let changed = network.parameter(name).unwrap().array().mapv(|w| w + 1.0);
        // Any memory layout.
        let reversed = changed.t().as_standard_layout().into_owned();
        network.set_parameter(name, reversed.t()).unwrap();
        assert_eq!(network.parameter(name).unwrap().array(), changed);
        let found: &[Float] = network.parameter(name).unwrap().values;
        assert_eq!(found.len(), changed.len());
    }
    let error = network.parameter("9").unwrap_err().to_string();
    assert_eq!(
        error,
        format!("the network has no parameter `9`; it has {}", names.join(", "))
    );
}
