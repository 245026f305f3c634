//! Settings of training that make no sense, what doesn't fit, and what diverges.

use crate::common::*;
use crate::data::{Odd, fit, two_classes};
use gradus::activation::Activation;
use gradus::augment::Augmentation;
use gradus::data::{Arrays, Target, Targets};
use gradus::loss::Loss;
use gradus::metric::{Average, Meter, Metric, R2};
use gradus::optim::{Optimizer, Step};
use gradus::prelude::*;
use gradus::random::Rng;
use gradus::schedule::{Schedule, ScheduleContext, StepDecay, Warmup};
use gradus::{Error, Float, Result};
use ndarray::{Array1, Array2};

#[test]
fn settings_of_training_that_make_no_sense() {
    let data = Odd::new();
    let run = |fit: Fit<'_>| fit.run(&mut two_classes(), &data);
    refused(run(fit().epochs(0)), &["epochs is 0", "at least one"]);
    refused(run(fit().batch_size(0)), &["batch size is 0", "at least one"]);
    refused(run(fit().validation_split(1.5)), &["1.5", "between 0 and 1"]);
    refused(
        run(fit().clip(Clip::Norm(0.0))),
        &["clipping", "norm", "above 0", "got 0"],
    );
    refused(
        run(fit().schedule(StepDecay::new(0, 0.1))),
        &["step decay", "every", "got 0"],
    );
    refused(
        run(fit().schedule(Warmup::new(0, StepDecay::default()))),
        &["warm-up", "steps", "got 0"],
    );
    refused(
        run(fit().schedule(Warmup::new(1_000_000, StepDecay::default()))),
        &["warm-up", "1000000 steps are more than", "choose a shorter one"],
    );
    refused(
        run(fit().callback(EarlyStopping::new(3).watch("val_acuracy"))),
        &["`val_acuracy`", "loss"],
    );
    refused(
        run(fit().callback(SaveBest::new("never").watch("f1"))),
        &["`f1`", "the history has loss"],
    );
    for (optimizer, words) in [
        (
            Box::new(Sgd::new(f64::NAN)) as Box<dyn Optimizer>,
            &["SGD", "learning rate", "NaN"][..],
        ),
        (Box::new(Sgd::new(-0.1)), &["SGD", "learning rate", "-0.1"]),
        (Box::new(Sgd::new(0.1).momentum(1.0)), &["SGD", "momentum", "got 1"]),
        (Box::new(Sgd::new(0.1).nesterov()), &["Nesterov", "momentum"]),
        (Box::new(Adam::new(f64::INFINITY)), &["Adam", "learning rate", "inf"]),
        (Box::new(AdamW::new(-1.0)), &["AdamW", "learning rate", "-1"]),
        (Box::new(RmsProp::new(f64::NAN)), &["RMSProp", "learning rate", "NaN"]),
        (
            Box::new(NAdam::new(0.1).momentum_decay(-1.0)),
            &["NAdam", "momentum decay", "-1"],
        ),
        (Box::new(Muon::new(0.0)), &["Muon", "learning rate", "above 0", "got 0"]),
        (
            Box::new(Muon::new(0.1).adamw_learning_rate(-1.0)),
            &["Muon", "AdamW learning rate", "-1"],
        ),
        (Box::new(Lion::new(0.1).betas(0.9, 1.0)), &["Lion", "beta2", "got 1"]),
        (Box::new(Greedy), &["greedy", "9 slots", "8"]),
    ] {
        refused(run(Fit::new(CrossEntropy::new(), optimizer)), words);
    }
    let mut nothing = Sequential::new([2]).layer(Softmax).build(1).unwrap();
    refused(fit().run(&mut nothing, &data), &["no parameters", "nothing to train"]);
    // More threads than there can be are as many as there can be.
    for threads in [0, usize::MAX] {
        fit()
            .threads(threads)
            .validation(&data)
            .run(&mut two_classes(), &data)
            .unwrap();
    }
}

/// An optimizer that wants to remember more than there is room for.
#[derive(Debug)]
struct Greedy;

impl Optimizer for Greedy {
    fn name(&self) -> &'static str {
        "greedy"
    }
    fn validate(&self) -> Result<()> {
        Ok(())
    }
    fn learning_rate(&self) -> f64 {
        0.1
    }
    fn slots(&self) -> usize {
        9
    }
    fn update(&self, _step: Step, _w: &mut [Float], _dw: &[Float], _state: &mut [&mut [Float]]) {}
}

#[test]
fn losses_and_metrics_that_do_not_fit() {
    let data = Odd::new();
    let one = || {
        Sequential::new([2])
            .layer(Dense::new(1))
            .layer(Sigmoid)
            .build(1)
            .unwrap()
    };
    let run = |loss: Box<dyn Loss>, mut network: Network| Fit::new(loss, Sgd::new(0.1)).run(&mut network, &data);
    refused(
        run(Box::new(CrossEntropy::new()), one()),
        &["cross entropy", "gives 1", "binary"],
    );
    refused(
        run(Box::new(BinaryCrossEntropy), two_classes()),
        &["binary cross entropy", "gives 2"],
    );
    refused(
        run(Box::new(Huber::new(0.0)), two_classes()),
        &["Huber", "delta", "got 0"],
    );
    refused(
        run(Box::new(CrossEntropy::new().label_smoothing(1.5)), two_classes()),
        &["smoothing", "1.5"],
    );
    for loss in [
        Box::new(MeanSquaredError) as Box<dyn Loss>,
        Box::new(MeanAbsoluteError),
        Box::new(Huber::default()),
    ] {
        let three = Sequential::new([2]).layer(Dense::new(3)).build(1).unwrap();
        refused(run(loss, three), &["2 classes", "gives 3"]);
    }
    let three = || Sequential::new([2]).layer(Dense::new(3)).build(1).unwrap();
    let odd = Odd {
        targets: Targets::Classes(2),
        ..Odd::new()
    };
    for metric in [
        Box::new(Accuracy) as Box<dyn Metric>,
        Box::new(TopK::new(2)),
        Box::new(Precision::new().average(Average::Macro)),
        Box::new(R2),
    ] {
        let name = metric.name();
        let sentence = sentence(three().evaluate(&odd, &Anything, &[&*metric]));
        assert!(sentence.len() > 20, "{name}: {sentence}");
    }
    for k in [0, 3] {
        refused(
            two_classes().evaluate(&odd, &CrossEntropy::new(), &[&TopK::new(k)]),
            &["top", &k.to_string()],
        );
    }
}

/// A metric of any name.
#[derive(Debug)]
struct Called(&'static str);

impl Metric for Called {
    fn name(&self) -> String {
        self.0.into()
    }
    fn higher_is_better(&self) -> bool {
        true
    }
    fn validate(&self, _output: &Shape, _targets: &Targets) -> Result<()> {
        Ok(())
    }
    fn meter(&self, output: &Shape) -> Box<dyn Meter> {
        Accuracy.meter(output)
    }
}

#[test]
fn names_of_metrics_that_are_no_columns() {
    let data = Odd::new();
    let run = |fit: Fit<'_>| fit.run(&mut two_classes(), &data);
    for (name, why) in [
        ("", "at least one character"),
        ("a,b", "commas"),
        ("a\nb", "line breaks"),
        ("a\"b", "quotes"),
        ("accuracy", "another column"),
        ("val_accuracy", "another column"),
        ("loss", "another column"),
        ("seconds", "another column"),
    ] {
        let sentence = refused(run(fit().metric(Accuracy).metric(Called(name))), &[why]);
        assert!(sentence.contains("a metric has the name \""), "{sentence}");
    }
    run(fit().metric(Accuracy).metric(Called("näher dran"))).unwrap();
}

/// A schedule that multiplies by this from its third step on.
#[derive(Debug)]
struct Wild(f64);

impl Schedule for Wild {
    fn name(&self) -> &'static str {
        "wild"
    }
    fn validate(&self) -> Result<()> {
        Ok(())
    }
    fn factor(&self, context: &ScheduleContext<'_>) -> f64 {
        if context.step < 2 { 1.0 } else { self.0 }
    }
}

#[test]
fn factors_of_schedules_that_make_no_sense() {
    let data = Odd::new();
    for (factor, found) in [(-0.5, "-0.5"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        let fit = fit().batch_size(2).epochs(9).schedule(Wild(factor));
        refused(
            fit.run(&mut two_classes(), &data),
            &["the schedule wild gives the factor", found, "for step 3", "at least 0"],
        );
    }
}

/// A loss that is this for one sample of class 1.
#[derive(Debug)]
struct Unmeasured(Float);

impl Loss for Unmeasured {
    fn name(&self) -> &'static str {
        "unmeasured"
    }
    fn validate(&self, _output: &Shape, _targets: &Targets) -> Result<()> {
        Ok(())
    }
    fn loss(&self, _y: &[Float], target: Target<'_>) -> Float {
        if let Target::Class(1) = target { self.0 } else { 1.0 }
    }
    fn gradient(&self, _y: &[Float], _target: Target<'_>, dy: &mut [Float]) {
        dy.fill(0.0);
    }
}

#[test]
fn losses_that_are_not_finite_are_not_evaluated() {
    let data = Arrays::classes(Array2::ones((4, 2)), [0, 0, 1, 1], 2).unwrap();
    let network = Sequential::new([2])
        .layer(Dense::new(2))
        .layer(Softmax)
        .build(1)
        .unwrap();
    assert_eq!(network.evaluate(&data, &Unmeasured(1.0), &[]).unwrap().loss, 1.0);
    for (value, found) in [(Float::NAN, "NaN"), (Float::INFINITY, "inf")] {
        refused(
            network.evaluate(&data, &Unmeasured(value), &[]),
            &["the loss unmeasured of sample 2 is", found, "your own"],
        );
    }
}

/// A loss that takes everything.
#[derive(Debug)]
struct Anything;

impl Loss for Anything {
    fn name(&self) -> &'static str {
        "anything"
    }
    fn validate(&self, _output: &Shape, _targets: &Targets) -> Result<()> {
        Ok(())
    }
    fn loss(&self, _y: &[Float], _target: Target<'_>) -> Float {
        1.0
    }
    fn gradient(&self, _y: &[Float], _target: Target<'_>, dy: &mut [Float]) {
        dy.fill(0.0);
    }
}

#[test]
fn training_that_diverges() {
    let deep = || {
        Sequential::new([2])
            .layer(Dense::new(8))
            .layer(Dense::new(8))
            .layer(Dense::new(1))
            .build(1)
            .unwrap()
    };
    let data = Arrays::values(&Array2::ones((64, 2)), &Array1::from_elem(64, 9.0)).unwrap();
    let run = |rate: f64, epochs: usize, batch: usize| {
        let fit = Fit::new(MeanSquaredError, Sgd::new(rate)).epochs(epochs);
        fit.batch_size(batch).run(&mut deep(), &data).unwrap_err()
    };
    let error = run(if cfg!(gradus_f64) { 1e120 } else { 1e15 }, 50, 16);
    assert!(
        matches!(&error, Error::Diverged { layer, .. } if layer.starts_with("layer ") && layer.contains("(dense)"))
    );
    refused::<()>(Err(error), &["diverged in layer", "at step", "smaller learning rate"]);
    // The only step of all: no further loss would tell.
    let error = run(if cfg!(gradus_f64) { 1e308 } else { 1e38 }, 1, 64);
    assert!(matches!(&error, Error::Diverged { .. }), "{error}");
    refused::<()>(Err(error), &["layer 0 (dense)", "after step 1", "no longer finite"]);
}

#[test]
fn validation_that_diverges() {
    let values = |x: Float| Arrays::values(&Array2::from_elem((4, 2), x), &Array1::ones(4)).unwrap();
    let large = values(Float::MAX.sqrt());
    let fit = Fit::new(MeanSquaredError, Sgd::new(0.01)).epochs(1).validation(&large);
    let mut network = Sequential::new([2]).layer(Dense::new(1)).build(1).unwrap();
    let outcome = fit.run(&mut network, &values(1.0));
    assert!(matches!(&outcome, Err(Error::Diverged { .. })), "{outcome:?}");
    refused(
        outcome,
        &["diverged in validation", "after step 1", "inf", "smaller learning rate"],
    );
}

/// An augmentation for images.
#[derive(Debug)]
struct ForImages;

impl Augmentation for ForImages {
    fn name(&self) -> &'static str {
        "for_images"
    }
    fn validate(&self, shape: &Shape) -> Result<()> {
        match shape.image() {
            Some(_) => Ok(()),
            None => Err(Error::invalid(format!(
                "shifts need images, got samples of shape {shape}"
            ))),
        }
    }
    fn apply(&self, _shape: &Shape, _x: &mut [Float], _rng: &mut Rng, _scratch: &mut Vec<Float>) {}
}

#[test]
fn augmentation_on_samples_that_it_cannot_change() {
    let run = fit().augment(ForImages).run(&mut two_classes(), &Odd::new());
    refused(run, &["images", "shape 2"]);
}

#[test]
fn steps_on_wrong_samples() {
    let network = Sequential::new([2])
        .layer(Dense::new(2))
        .layer(gradus::prelude::Softmax)
        .build(1)
        .unwrap();
    let mut trainer = fit().trainer(network.clone()).unwrap();
    let one = [Target::Class(1)];
    let x = [0.5; 20];
    refused(trainer.step(&x[..2], &[]), &["1 to 8 samples of 2 values", "0 targets"]);
    refused(trainer.step(&x[..3], &one), &["1 targets", "3 values"]);
    refused(trainer.step(&x[..18], &[one[0]; 9]), &["1 to 8", "9 targets"]);
    refused(trainer.step(&x[..2], &[Target::Class(2)]), &["sample 0", "class 2"]);
    refused(
        trainer.step(&x[..2], &[Target::Values(&[1.0])]),
        &["1 target values", "gives 2"],
    );
    let mixed = [one[0], Target::Values(&[0.0, 1.0])];
    refused(trainer.step(&x[..4], &mixed), &["sample 1", "target values"]);
    refused(
        trainer.step(&[0.0, Float::NAN], &one),
        &["sample 0", "NaN", "position 1"],
    );
    let before = std::mem::replace(trainer.network_mut(), perceptron(1));
    refused(trainer.step(&x[..2], &one), &["replaced by another", "Network::set"]);
    refused(trainer.gradients(&x[..2], &one), &["replaced by another"]);
    // A clone has the same layers.
    *trainer.network_mut() = before.clone();
    assert_eq!(trainer.steps(), 0);
    trainer.step(&x[..2], &one).unwrap();
    assert_eq!(trainer.steps(), 1);
    assert_ne!(trainer.network().weights(), before.weights());
    assert_ne!(trainer.into_network().weights(), before.weights());
    refused(fit().batch_size(usize::MAX).trainer(network), &["smaller batch"]);
}

/// Of one value there is no variance: PyTorch refuses such a batch when it meets it, which may be at the end of an epoch.
#[test]
fn batches_of_one_value_a_feature() {
    let flat = || {
        let layers = Sequential::new([2]).layer(BatchNorm::new()).layer(Dense::new(2));
        layers.layer(gradus::prelude::Softmax).build(1).unwrap()
    };
    let run = |batch: usize, samples: usize| {
        let data = Odd { samples, ..Odd::new() };
        fit().batch_size(batch).epochs(1).run(&mut flat(), &data)
    };
    refused(
        run(1, 64),
        &[
            "layer 0 (batch_norm)",
            "at least 2 samples",
            "batch of 1 sample:",
            "more samples in a batch",
        ],
    );
    refused(
        run(9, 64),
        &[
            "64 training samples in batches of 9 leave 1 sample",
            "layer 0 (batch_norm)",
            "at least 2",
            "such as 10,",
        ],
    );
    refused(
        run(2, 63),
        &["63 training samples in batches of 2 leave 1 sample", "such as 3,"],
    );
    for (batch, samples) in [(10, 64), (8, 64), (3, 63), (2, 64), (64, 64), (62, 64), (2, 2)] {
        run(batch, samples).unwrap();
    }
    // Before anything is trained, and by hand as well.
    let mut trainer = fit().trainer(flat()).unwrap();
    let (weights, class) = (trainer.network().weights().clone(), Target::Class(1));
    refused(
        trainer.step(&[0.5; 2], &[class]),
        &["at least 2 samples", "batch of 1 sample"],
    );
    refused(trainer.gradients(&[0.5; 2], &[class]), &["at least 2 samples"]);
    refused(fit().batch_size(1).trainer(flat()), &["at least 2 samples"]);
    assert_eq!(trainer.network().weights(), &weights);
    trainer.step(&[0.5, 0.1, 0.3, 0.7], &[class; 2]).unwrap();
}

/// Where a sample has several values of a feature, one sample has a variance.
#[test]
fn batches_of_one_image_are_fine() {
    let mut network = Sequential::new([1, 1, 2])
        .layer(BatchNorm::new())
        .layer(Flatten)
        .layer(Dense::new(2))
        .layer(gradus::prelude::Softmax)
        .build(1)
        .unwrap();
    let mut trainer = fit().batch_size(1).trainer(&mut network).unwrap();
    trainer.step(&[0.5, 0.7], &[Target::Class(1)]).unwrap();
}

/// Called like ours, but something else.
#[derive(Debug, Clone)]
struct Softmax;

impl Activation for Softmax {
    fn kind(&self) -> &'static str {
        "softmax"
    }
    fn value(&self, x: Float) -> Float {
        1.0 / (1.0 + (-x).exp())
    }
    fn derivative(&self, _x: Float, y: Float) -> Float {
        y * (1.0 - y)
    }
}

#[test]
fn a_layer_that_is_only_called_softmax_is_not_taken_for_it() {
    let network = Sequential::new([4])
        .layer(Dense::new(3))
        .layer(Softmax)
        .build(3)
        .unwrap();
    gradus::check::network(&network, CrossEntropy::new(), &Targets::Classes(3)).unwrap();
}
