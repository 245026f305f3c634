//! After the first one, a training step allocates nothing, and neither does a prediction.

#[path = "common/allocator.rs"]
mod allocator;
mod common;

use allocator::allocated;
use common::*;
use gradus::data::{Dataset, Target};
use gradus::loss::Loss;
use gradus::prelude::*;
use gradus::{Float, Predictor, Trainer};

/// How often the work allocates when done again and again. A new thread allocates a little as it starts, on a busy machine
/// long after the first step has ended without it: so the least of several counts.
fn allocations(mut work: impl FnMut()) -> usize {
    let mut least = usize::MAX;
    for _ in 0..20 {
        least = least.min(allocated(&mut work).0);
        if least == 0 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    least
}

fn steps(mut trainer: Trainer<&mut Network>, x: &[Float], targets: &[Target<'_>]) {
    trainer.step(x, targets).unwrap();
    let found = allocations(|| {
        for count in [targets.len(), targets.len() - 3, 1, targets.len()] {
            trainer.step(&x[..count * 64], &targets[..count]).unwrap();
        }
    });
    assert_eq!(found, 0, "allocations in steps on {} threads", trainer.threads());
}

fn predictions(predictor: &mut Predictor<&Network>, x: &[Float]) {
    predictor.run(x).unwrap();
    let found = allocations(|| {
        for x in [x, &x[..64], x] {
            predictor.run(x).unwrap();
        }
    });
    assert_eq!(found, 0, "allocations in predictions");
}

fn fit(loss: impl Loss + 'static) -> Fit<'static> {
    Fit::new(loss, Adam::new(0.001)).batch_size(40).clip(Clip::Norm(1.0))
}

// One test, since the allocator counts for all of them.
#[test]
fn steps_and_predictions_allocate_nothing() {
    let data = some_digits(40);
    let x = inputs(&data, 40);
    let classes: Vec<Target<'_>> = (0..40).map(|i| data.target(i)).collect();
    let tenths = [0.1; 10];
    let values = [Target::Values(&tenths); 40];
    for network in [perceptron, convolutional, residual] {
        for threads in [1, 2] {
            let mut network = network(1);
            let on_classes = fit(CrossEntropy::new()).threads(threads);
            let trainer = on_classes.trainer(&mut network).unwrap();
            assert_eq!(trainer.threads(), threads);
            steps(trainer, &x, &classes);
            let on_values = fit(MeanSquaredError).threads(threads);
            steps(on_values.trainer(&mut network).unwrap(), &x, &values);
            let bfloat16 = on_classes.bfloat16(true);
            steps(bfloat16.trainer(&mut network).unwrap(), &x, &classes);
            // Whole matrices, and a group that is updated value by value.
            for clip in [Clip::Norm(1.0), Clip::Value(1.0)] {
                let last = network.parameters().last().unwrap().name;
                let muon = Fit::new(CrossEntropy::new(), Muon::new(0.001))
                    .batch_size(40)
                    .clip(clip);
                let muon = muon.group(ParameterGroup::new([last]).optimizer(Sgd::new(0.01)));
                steps(muon.threads(threads).trainer(&mut network).unwrap(), &x, &classes);
            }
            let mut predictor = network.predictor(40, threads).unwrap();
            predictions(&mut predictor, &x);
        }
    }
    assert_eq!(allocated(|| drop(std::hint::black_box(vec![1u8; 9]))), (1, 9));
}
