#![no_main]
//! Training of networks that the bytes declare, with any loss, optimizer, schedule and batch size.

use std::str::FromStr;

use gradus::data::Arrays;
use gradus::prelude::*;
use gradus::{Error, Weights};
use gradus_cli::cli::recipe::{Recipe, Spec};
use gradus_fuzz::choices::{Choices, Declared};
use gradus_fuzz::use_network;
use libfuzzer_sys::fuzz_target;
use ndarray::Array2;

fuzz_target!(|bytes: &[u8]| {
    let mut choices = Choices::new(bytes);
    let mut declared = Declared::new(&mut choices);
    let samples = 1 + choices.below(12);
    let size = choices.one_of(&[1.0, 0.0, 1e-3, 100.0, 1e6, 1e30]);
    let x = declared.samples(samples, size, &mut choices);
    if choices.flag() {
        let size = choices.one_of(&[1.0, 0.0, 10.0, 1e15]);
        declared.set_parameters(size, &mut choices);
    }
    let Declared { network, declaration } = declared;

    let outputs = network.output_shape().size();
    let data = if choices.flag() {
        let classes = outputs.max(2);
        let labels: Vec<usize> = (0..samples).map(|_| choices.below(classes)).collect();
        Arrays::classes(x, labels, classes)
    } else {
        let size = choices.one_of(&[1.0, 0.0, 1e6, 1e30]);
        let mut targets = choices.numbers(samples * outputs, size);
        if choices.flag() {
            // As several labels are.
            targets.iter_mut().for_each(|target| *target = f32::from(*target > 0.0));
        }
        let targets = Array2::from_shape_vec((samples, outputs), targets).expect("as many as there are");
        Arrays::values(x, targets)
    };
    let data = data.expect("all numbers are finite");

    let mut spec = |all: &[&str]| Spec::from_str(choices.one_of(all)).expect("it is one");
    let recipe = Recipe {
        epochs: None,
        batch_size: None,
        loss: Some(spec(&[
            "cross_entropy",
            "cross_entropy:label_smoothing=0.1",
            "binary_cross_entropy",
            "mean_squared_error",
            "mean_absolute_error",
            "huber:delta=0.5",
        ])),
        optimizer: spec(&[
            "sgd",
            "sgd:momentum=0.9,nesterov=true",
            "adam",
            "adam:beta1=0,epsilon=1e-12",
            "adamw",
            "rmsprop:momentum=0.5",
            "nadam",
            "lion",
            "muon:weight_decay=0.1",
        ]),
        schedule: spec(&[
            "constant",
            "step_decay:every=1",
            "exponential",
            "cosine",
            "cosine_restarts:period=2,unit=steps",
            "linear",
            "one_cycle",
            "plateau",
        ]),
        learning_rate: Some(choices.one_of(&[0.01, 1.0, 1e-8, 1e10])),
        momentum: None,
        nesterov: false,
        weight_decay: None,
        clip_norm: choices.flag().then_some(1.0),
        clip_value: None,
        warmup: choices.flag().then_some(2),
        bfloat16: choices.below(8) == 1,
        augment: None,
        freeze: Vec::new(),
        group: Vec::new(),
    };
    let (epochs, batch) = (1 + choices.below(3), choices.one_of(&[4, 1, 3, 7, 100]));
    let split = choices.one_of(&[0.0, 0.3]);
    let accuracy = choices.flag();

    let train = |threads: usize| -> Result<(Network, String), Error> {
        let loss = recipe.loss.as_ref().expect("it was chosen").loss().expect("it is one");
        let mut fit = Fit::new(loss, recipe.optimizer().expect("it is one"))
            .schedule(recipe.schedule().expect("it is one"))
            .epochs(epochs)
            .batch_size(batch)
            .validation_split(split)
            .bfloat16(recipe.bfloat16)
            .threads(threads);
        if let Some(clip) = recipe.clip().expect("it is one") {
            fit = fit.clip(clip);
        }
        if accuracy {
            fit = fit.metric(Accuracy);
        }
        let mut network = network.clone();
        let history = fit.run(&mut network, &data)?;
        Ok((network, history.to_csv()))
    };
    match (train(1), train(3)) {
        (Ok((one, _)), Ok((three, _))) => {
            assert!(
                bits(one.weights()) == bits(three.weights()),
                "threads change the bits: {declaration}"
            );
            // Its values are finite, or it couldn't be saved.
            use_network(&one);
        }
        (Err(one), Err(three)) => assert_eq!(one.to_string(), three.to_string(), "{declaration}"),
        (one, three) => panic!(
            "{:?} on one thread, {:?} on three: {declaration}",
            one.err(),
            three.err()
        ),
    }
});

fn bits(weights: &Weights) -> String {
    // Every bit is in the shortest number that is read as the same.
    format!("{weights:?}")
}
