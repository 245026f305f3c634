//! Whole runs of training: networks learn what they should, and what a run is told is what it does.

mod common;

use std::borrow::{Borrow, BorrowMut};
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use common::*;

use gradus::callback::{Callback, CsvLog, EpochEnd, Flow, JsonLog};
use gradus::data::{Arrays, Dataset, Target, digits};
use gradus::history::History;
use gradus::loss::Loss;
use gradus::metric::R2;
use gradus::optim::Optimizer;
use gradus::prelude::*;
use gradus::schedule::{Cosine, Exponential, OneCycle, Plateau, Schedule, StepDecay, Warmup};
use gradus::{Float, Predictor, Result};
use ndarray::{Array2, array};

#[test]
fn xor_is_solved() {
    let x = array![[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]];
    let data = Arrays::classes(&x, [0, 1, 1, 0], 2).unwrap();
    let layers = || {
        Sequential::new([2])
            .layer(Dense::new(8))
            .layer(Tanh)
            .layer(Dense::new(1))
            .layer(Sigmoid)
    };
    for seed in 0..5 {
        let mut network = layers().build(seed).unwrap();
        let fit = Fit::new(BinaryCrossEntropy, Adam::new(0.05)).epochs(300).batch_size(4);
        let history = fit.metric(Accuracy).run(&mut network, &data).unwrap();
        assert_eq!(history.last("accuracy"), Some(1.0), "seed {seed}");
        assert!(history.last("loss").unwrap() < 0.05, "seed {seed}");
        let classes: Vec<usize> = network.classify(x.view()).unwrap().iter().map(|c| c.0).collect();
        assert_eq!(classes, [0, 1, 1, 0]);
    }
}

/// The accuracy on the test digits after so many epochs on the training digits.
fn accuracy(mut network: Network, fit: Fit<'_>, epochs: usize) -> f64 {
    let (train, test) = digits::load().unwrap();
    fit.epochs(epochs).run(&mut network, &train).unwrap();
    let evaluation = network.evaluate(&test, &CrossEntropy::new(), &[&Accuracy]).unwrap();
    evaluation.metric("accuracy").unwrap()
}

#[test]
fn every_optimizer_learns_the_digits() {
    for optimizer in [
        Box::new(Sgd::new(0.1)) as Box<dyn Optimizer>,
        Box::new(Sgd::new(0.03).momentum(0.9)),
        Box::new(Sgd::new(0.03).momentum(0.9).nesterov().weight_decay(1e-4)),
        Box::new(Adam::new(0.003)),
        Box::new(AdamW::new(0.003)),
        Box::new(RmsProp::new(0.001)),
    ] {
        let name = format!("{optimizer:?}");
        let fit = Fit::new(CrossEntropy::new(), optimizer);
        let found = accuracy(perceptron(1), fit, 12);
        assert!(found >= 0.9, "{name}: {found}");
    }
}

#[test]
fn convolutional_and_residual_networks_learn_the_digits() {
    for network in [convolutional(1), residual(1)] {
        let fit = Fit::new(CrossEntropy::new(), Adam::new(0.01)).schedule(OneCycle::default());
        let found = accuracy(network, fit.augment(Noise), 10);
        assert!(found >= 0.93, "{found}");
    }
}

#[test]
fn every_loss_learns_the_digits() {
    for loss in [
        Box::new(CrossEntropy::new()) as Box<dyn Loss>,
        Box::new(CrossEntropy::new().label_smoothing(0.1)),
        Box::new(MeanSquaredError),
        Box::new(MeanAbsoluteError),
        Box::new(Huber::new(0.5)),
    ] {
        let name = format!("{loss:?}");
        let fit = Fit::new(loss, Adam::new(0.002));
        let found = accuracy(perceptron(1), fit, 12);
        assert!(found >= 0.9, "{name}: {found}");
    }
}

/// Digits with a target of 0 or 1 for each class.
fn one_hot(data: &dyn Dataset) -> Arrays {
    let x = Array2::from_shape_vec((data.len(), 64), inputs(data, data.len())).unwrap();
    let class = |i| match data.target(i) {
        Target::Class(class) => class,
        Target::Values(_) => panic!("digits have classes"),
    };
    let y = Array2::from_shape_fn((data.len(), 10), |(i, j)| Float::from(u8::from(class(i) == j)));
    Arrays::values(x, y).unwrap()
}

#[test]
fn binary_cross_entropy_learns_the_digits_one_hot() {
    let (train, test) = digits::load().unwrap();
    let (train, test) = (one_hot(&train), one_hot(&test));
    let layers = Sequential::new([64]).layer(Dense::new(128)).layer(Relu);
    let mut network = layers.layer(Dense::new(10)).layer(Sigmoid).build(1).unwrap();
    let fit = Fit::new(BinaryCrossEntropy, Adam::new(0.01))
        .epochs(15)
        .metric(Accuracy);
    let fit = fit.schedule(OneCycle::default()).validation(&test);
    let history = fit.run(&mut network, &train).unwrap();
    assert!(history.last("val_accuracy").unwrap() >= 0.9, "{}", history.to_csv());
}

#[test]
fn a_sine_is_fitted() {
    let x = Array2::from_shape_fn((256, 1), |(i, _)| i as Float / 128.0 - 1.0);
    let data = Arrays::values(&x, x.mapv(|x| (3.0 * x).sin())).unwrap();
    let hidden = || Layers::new().layer(Dense::new(32)).layer(Tanh);
    let layers = Sequential::new([1])
        .layers(hidden())
        .layers(hidden())
        .layer(Dense::new(1));
    let mut network = layers.build(1).unwrap();
    let fit = Fit::new(MeanSquaredError, Adam::new(0.01))
        .epochs(60)
        .schedule(Cosine::default());
    let history = fit.metric(R2).validation_split(0.2).run(&mut network, &data).unwrap();
    assert!(history.last("val_r2").unwrap() > 0.99, "{}", history.to_csv());
}

/// Keeps the weights of every epoch.
struct Kept<'a>(&'a RefCell<Vec<Vec<u64>>>);

impl Callback for Kept<'_> {
    fn on_epoch(&mut self, end: &EpochEnd<'_>) -> Result<Flow> {
        self.0.borrow_mut().push(all_bits(end.network));
        Ok(Flow::Continue)
    }
}

/// The first epoch whose value is the best.
fn best(values: &[f64], better: fn(f64, f64) -> bool) -> usize {
    (0..values.len()).fold(0, |best, i| if better(values[i], values[best]) { i } else { best })
}

#[test]
fn the_best_epoch_is_kept() {
    let path = folder("training_best").join("best.safetensors");
    let data = some_digits(300);
    let kept = RefCell::default();
    let mut network = perceptron(3);
    // A rate so large that the loss goes up and down.
    let history = Fit::new(CrossEntropy::new(), Adam::new(0.03))
        .epochs(100)
        .validation_split(0.3)
        .metric(Accuracy)
        .callback(Kept(&kept))
        .callback(EarlyStopping::new(4))
        .callback(SaveBest::new(&path).watch("val_accuracy"))
        .run(&mut network, &data)
        .unwrap();
    let (losses, accuracies) = (history.values("val_loss"), history.values("val_accuracy"));
    let least = best(&losses, |a, b| a < b);
    assert!(losses.len() < 100 && losses.len() == least + 5, "{}", history.to_csv());
    let kept = kept.into_inner();
    assert_ne!(kept.last(), Some(&kept[least]));
    assert!(all_bits(&network) == kept[least], "not the weights of the best epoch");
    let most = best(&accuracies, |a, b| a > b);
    assert!(
        all_bits(&Network::load(&path).unwrap()) == kept[most],
        "not the file of the best epoch"
    );
}

#[test]
fn improvements_have_to_be_large_enough() {
    let data = some_digits(100);
    let stop = EarlyStopping::new(2).min_delta(100.0);
    let fit = Fit::new(CrossEntropy::new(), Sgd::new(0.01)).epochs(9).callback(stop);
    let history = fit.run(&mut perceptron(1), &data).unwrap();
    // The first epoch is the best, and two bring nothing.
    assert_eq!(history.epochs.len(), 3);
}

/// Stops after so many epochs, and counts what it is told.
struct Counts<'a> {
    stop_after: usize,
    steps: &'a Cell<usize>,
    ends: &'a Cell<usize>,
}

impl Callback for Counts<'_> {
    fn on_step(&mut self, epoch: usize, samples: usize, loss: f64) -> Result<()> {
        let step = self.steps.get();
        assert_eq!((epoch, samples), (step / 4 + 1, [32, 64, 96, 100][step % 4]));
        assert!(loss > 0.0);
        self.steps.set(step + 1);
        Ok(())
    }
    fn on_epoch(&mut self, end: &EpochEnd<'_>) -> Result<Flow> {
        Ok(if end.epoch == self.stop_after {
            Flow::Stop
        } else {
            Flow::Continue
        })
    }
    fn on_end(&mut self, _network: &mut Network, history: &History) -> Result<()> {
        self.ends.set(self.ends.get() + history.epochs.len());
        Ok(())
    }
}

#[test]
fn a_callback_stops_training() {
    let data = some_digits(100);
    let (steps, ends) = (Cell::new(0), Cell::new(0));
    let counts = Counts {
        stop_after: 3,
        steps: &steps,
        ends: &ends,
    };
    let fit = Fit::new(CrossEntropy::new(), Sgd::new(0.1)).epochs(10).callback(counts);
    let history = fit.run(&mut perceptron(1), &data).unwrap();
    assert_eq!((history.epochs.len(), steps.get(), ends.get()), (3, 12, 3));
}

#[test]
fn logs_are_the_history() {
    let folder = folder("training_logs");
    let history = Fit::new(CrossEntropy::new(), Sgd::new(0.1))
        .epochs(3)
        .metric(Accuracy)
        .validation_split(0.2)
        .callback(CsvLog::new(folder.join("log.csv")))
        .callback(JsonLog::new(folder.join("log.json")))
        .run(&mut perceptron(1), &some_digits(100))
        .unwrap();
    let columns = ["loss", "val_loss", "accuracy", "val_accuracy"];
    assert!(history.columns.iter().map(|c| &*c.name).eq(columns));
    assert!(
        history
            .columns
            .iter()
            .map(|c| c.higher_is_better)
            .eq([false, false, true, true])
    );

    let csv = std::fs::read_to_string(folder.join("log.csv")).unwrap();
    let mut lines = csv.lines();
    assert_eq!(
        lines.next().unwrap(),
        "epoch,loss,val_loss,accuracy,val_accuracy,learning_rate,seconds,samples_per_second"
    );
    let json = std::fs::read_to_string(folder.join("log.json")).unwrap();
    let json: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    assert_eq!((lines.clone().count(), json.len()), (3, 3));
    for ((epoch, line), object) in history.epochs.iter().zip(lines).zip(&json) {
        let fields: Vec<f64> = line.split(',').map(|field| field.parse().unwrap()).collect();
        assert_eq!(fields[0], epoch.epoch as f64);
        assert_eq!(fields[1..5], epoch.values);
        assert_eq!(fields[5], epoch.learning_rate);
        assert_eq!(object["epoch"], epoch.epoch);
        for (name, value) in columns.iter().zip(&epoch.values) {
            assert_eq!(object[name], *value);
        }
    }
    let text = serde_json::to_string(&history).unwrap();
    assert_eq!(serde_json::from_str::<History>(&text).unwrap(), history);
}

#[test]
fn schedules_are_followed() {
    // 4 steps an epoch.
    let data = some_digits(100);
    let rates = |schedule: Box<dyn Schedule>, rate: f64, epochs: usize| {
        let fit = Fit::new(CrossEntropy::new(), Sgd::new(rate))
            .epochs(epochs)
            .schedule(schedule);
        let history = fit.run(&mut perceptron(1), &data).unwrap();
        history
            .epochs
            .iter()
            .map(|epoch| epoch.learning_rate)
            .collect::<Vec<f64>>()
    };
    let near = |found: Vec<f64>, expected: &[f64]| {
        let close = found
            .iter()
            .zip(expected)
            .all(|(a, b)| (a - b).abs() < 1e-6 * b.max(1e-3));
        assert!(
            close && found.len() == expected.len(),
            "{found:?}, expected {expected:?}"
        );
    };
    let halves = StepDecay::new(2, 0.5);
    near(rates(Box::new(halves), 0.1, 5), &[0.1, 0.1, 0.05, 0.05, 0.025]);
    near(rates(Box::new(Exponential::new(0.5)), 0.1, 3), &[0.1, 0.05, 0.025]);
    // The rate of an epoch's last step.
    let wave = |step: f64| 0.1 * (1.0 + (std::f64::consts::PI * step / 12.0).cos()) / 2.0;
    near(
        rates(Box::<Cosine>::default(), 0.1, 3),
        &[wave(3.0), wave(7.0), wave(11.0)],
    );
    near(rates(Box::new(Warmup::new(8, halves)), 0.1, 3), &[0.05, 0.1, 0.05]);
    let cycle = rates(Box::<OneCycle>::default(), 0.1, 10);
    assert!(cycle[2] > 0.099 && cycle[9] < 1e-5, "{cycle:?}");
    // Nothing is learnt with a rate of 0, so that the loss stays.
    let plateau = Plateau::new(1, 0.5).min_delta(0.5);
    near(
        rates(Box::new(plateau), 0.001, 6),
        &[0.001, 0.001, 0.001, 0.0005, 0.0005, 0.00025],
    );
}

/// Nothing moves with a schedule that gives 0.
#[derive(Debug)]
struct Never;

impl Schedule for Never {
    fn name(&self) -> &'static str {
        "never"
    }
    fn validate(&self) -> Result<()> {
        Ok(())
    }
    fn factor(&self, _context: &gradus::schedule::ScheduleContext<'_>) -> f64 {
        0.0
    }
}

#[test]
fn the_scheduled_rate_is_the_optimizers() {
    let mut network = perceptron(1);
    let before = all_bits(&network);
    for fit in [
        Fit::new(CrossEntropy::new(), Sgd::new(0.1)),
        Fit::new(CrossEntropy::new(), AdamW::new(0.1)),
    ] {
        fit.epochs(1)
            .schedule(Never)
            .run(&mut network, &some_digits(100))
            .unwrap();
    }
    assert!(all_bits(&network) == before);
}

#[test]
fn clipping_limits_the_update() {
    let data = some_digits(32);
    let (x, targets) = (inputs(&data, 32), (0..32).map(|i| data.target(i)).collect::<Vec<_>>());
    // What one step with a learning rate of 1 takes off the weights.
    let update = |clip: Option<Clip>| -> Vec<Float> {
        let mut network = perceptron(1);
        let fit = Fit::new(CrossEntropy::new(), Sgd::new(1.0));
        let fit = if let Some(clip) = clip { fit.clip(clip) } else { fit };
        let mut trainer = fit.trainer(&mut network).unwrap();
        let values =
            |network: &Network| -> Vec<Float> { network.parameters().flat_map(|p| p.values.to_vec()).collect() };
        let before = values(trainer.network());
        trainer.step(&x, &targets).unwrap();
        before.iter().zip(values(&network)).map(|(a, b)| a - b).collect()
    };
    let norm = |v: &[Float]| v.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>().sqrt();
    let free = update(None);
    assert!(norm(&free) > 0.5);
    let clipped = update(Some(Clip::Norm(0.1)));
    assert!((norm(&clipped) - 0.1).abs() < 1e-3, "{}", norm(&clipped));
    // The direction stays.
    let dot: f64 = free
        .iter()
        .zip(&clipped)
        .map(|(a, b)| f64::from(*a) * f64::from(*b))
        .sum();
    assert!(dot / norm(&free) / norm(&clipped) > 0.999);
    let same = update(Some(Clip::Norm(1e6)));
    assert!(same.iter().zip(&free).all(|(a, b)| (a - b).abs() < 1e-6));
    let largest = |v: &[Float]| v.iter().fold(0.0, |most: Float, v| most.max(v.abs()));
    assert!(largest(&free) > 0.02);
    assert!((largest(&update(Some(Clip::Value(0.01)))) - 0.01).abs() < 1e-5);
}

/// A loop of one's own on a trainer is the same as a run.
#[test]
fn a_trainer_makes_the_steps_of_a_run() {
    let data = some_digits(32);
    let fit = || Fit::new(CrossEntropy::new(), Adam::new(0.01)).epochs(1).batch_size(32);
    let (mut run, mut stepped) = (perceptron(1), perceptron(1));
    let history = fit().run(&mut run, &data).unwrap();
    let (x, targets) = (inputs(&data, 32), (0..32).map(|i| data.target(i)).collect::<Vec<_>>());
    let mut trainer = fit().trainer(&mut stepped).unwrap();
    let loss = trainer.step(&x, &targets).unwrap();
    assert!((loss - history.last("loss").unwrap()).abs() < 1e-6);
    // The order of the samples differs, and with it rounding.
    let far = run.parameters().zip(stepped.parameters());
    assert!(
        far.flat_map(|(a, b)| a.values.iter().zip(b.values))
            .all(|(a, b)| (a - b).abs() < 1e-3)
    );
}

/// Whoever owns the network, steps and predictions are the same.
#[test]
fn trainers_and_predictors_own_or_borrow_their_network() {
    fn stepped(network: impl BorrowMut<Network>, x: &[Float], targets: &[Target<'_>]) -> Network {
        let fit = Fit::new(CrossEntropy::new(), Sgd::new(0.1));
        let mut trainer = fit.trainer(network).unwrap();
        trainer.step(x, targets).unwrap();
        assert_eq!(trainer.steps(), 1);
        assert_ne!(trainer.network().weights(), perceptron(1).weights());
        Borrow::<Network>::borrow(&trainer.into_network()).clone()
    }
    fn predicted(network: impl Borrow<Network>, x: &[Float]) -> Vec<Float> {
        let mut predictor = Predictor::new(network, 32, 1).unwrap();
        assert_eq!((predictor.batch(), predictor.network().output_shape().size()), (32, 10));
        let y = predictor.run(x).unwrap().to_vec();
        let network: &Network = &predictor.into_network().borrow().clone();
        assert_eq!(network.weights(), perceptron(1).weights());
        y
    }
    let data = some_digits(32);
    let (x, targets) = (inputs(&data, 32), (0..32).map(|i| data.target(i)).collect::<Vec<_>>());
    let mut network = perceptron(1);
    let expected = network.predictor(32, 1).unwrap().run(&x).unwrap().to_vec();
    assert_eq!(predicted(&network, &x), expected);
    assert_eq!(predicted(network.clone(), &x), expected);
    assert_eq!(predicted(Arc::new(network.clone()), &x), expected);
    let owned = stepped(network.clone(), &x, &targets);
    let boxed = stepped(Box::new(network.clone()), &x, &targets);
    stepped(&mut network, &x, &targets);
    assert_eq!(owned.weights(), network.weights());
    assert_eq!(boxed.weights(), network.weights());
}

/// The report's perceptron, on MNIST.
#[test]
fn the_perceptron_of_the_report_learns() {
    let [train, test] = mnist_samples();
    let mut network = Sequential::new(train.shape())
        .layer(Flatten)
        .layer(Dense::new(256))
        .layer(Relu)
        .layer(Dense::new(256))
        .layer(Relu)
        .layer(Dense::new(10))
        .layer(Softmax)
        .build(42)
        .unwrap();
    let history = Fit::new(CrossEntropy::new(), Sgd::new(0.1))
        .epochs(1)
        .batch_size(32)
        .validation_split(0.2)
        .metric(Accuracy)
        .run(&mut network, &train)
        .unwrap();
    assert!(history.last("val_accuracy").unwrap() >= 0.93, "{}", history.to_csv());
    let evaluation = network.evaluate(&test, &CrossEntropy::new(), &[&Accuracy]).unwrap();
    assert!(evaluation.metric("accuracy").unwrap() >= 0.93, "{evaluation}");
}

/// Its gradients are those of f32 up to the rounding; what it changes, and what predicts, is in f32.
#[test]
fn bfloat16_rounds_what_is_multiplied_and_nothing_else() {
    let data = some_digits(40);
    let x = inputs(&data, 40);
    let targets: Vec<Target<'_>> = (0..40).map(|i| data.target(i)).collect();
    let fit = |bfloat16| {
        let fit = Fit::new(CrossEntropy::new(), Sgd::new(0.1)).batch_size(40);
        fit.bfloat16(bfloat16)
    };
    let network = perceptron(1);
    let mut trainers = [false, true].map(|bfloat16| fit(bfloat16).trainer(network.clone()).unwrap());
    let gradients = |trainers: &mut [gradus::Trainer<Network>; 2]| {
        let both = trainers.each_mut();
        both.map(|trainer| trainer.gradients(&x, &targets).unwrap().1.to_vec())
    };
    let near = |[full, rounded]: &[Vec<Float>; 2]| {
        let norm = |v: &mut dyn Iterator<Item = Float>| v.map(|v| v * v).sum::<Float>().sqrt();
        let apart = norm(&mut full.iter().zip(rounded).map(|(a, b)| a - b)) / norm(&mut full.iter().copied());
        assert!(apart > 1e-5 && apart < 1e-2, "{apart}");
    };
    let before = gradients(&mut trainers);
    near(&before);

    // One step along the gradient, in f32: w ← w − 0.1·dw.
    let weights = |network: &Network| -> Vec<Float> {
        let tensors = network.parameters();
        tensors.flat_map(|tensor| tensor.values.to_vec()).collect()
    };
    let old = weights(&network);
    trainers[1].step(&x, &targets).unwrap();
    for ((new, old), dw) in weights(trainers[1].network()).iter().zip(&old).zip(&before[1]) {
        assert!(
            (new - (old - 0.1 * dw)).abs() <= 1e-6 * old.abs().max(1e-3),
            "{new} {old} {dw}"
        );
    }

    // Weights that somebody else has set are those of the next pass.
    let network = trainers[1].network().clone();
    trainers[0].network_mut().set_weights(network.weights()).unwrap();
    let tripled: Vec<Float> = network
        .parameters()
        .next()
        .unwrap()
        .values
        .iter()
        .map(|w| 3.0 * w)
        .collect();
    for trainer in &mut trainers {
        trainer.network_mut().set("1.weight", &tripled).unwrap();
    }
    let after = gradients(&mut trainers);
    near(&after);
    assert!(after[1] != before[1]);
}

#[test]
fn networks_learn_in_bfloat16() {
    for network in [perceptron(2), convolutional(2)] {
        let fit = || Fit::new(CrossEntropy::new(), Sgd::new(0.1));
        let [full, rounded] = [false, true].map(|bfloat16| accuracy(network.clone(), fit().bfloat16(bfloat16), 10));
        assert!(
            rounded > 0.9 && (rounded - full).abs() < 0.03,
            "{rounded}, in f32 {full}"
        );
    }
}

#[test]
fn a_batch_is_no_larger_than_the_samples_that_there_are() {
    let data = some_digits(30);
    let trained = |batch_size, part: f64| {
        let mut network = perceptron(1);
        let fit = Fit::new(CrossEntropy::new(), Sgd::new(0.1))
            .epochs(2)
            .batch_size(batch_size);
        let fit = if part > 0.0 { fit.validation_split(part) } else { fit };
        fit.run(&mut network, &data).unwrap();
        all_bits(&network)
    };
    assert_eq!(trained(31, 0.0), trained(30, 0.0));
    assert_eq!(trained(usize::MAX, 0.0), trained(30, 0.0));
    assert!(trained(usize::MAX, 0.5) == trained(20, 0.5) && trained(20, 0.5) != trained(5, 0.5));
}

/// Memory is taken for epochs as they come.
#[test]
fn any_number_of_epochs_can_be_asked_for() {
    for epochs in [1_000_000_000, usize::MAX] {
        let steps = std::cell::Cell::new(0);
        let error = Fit::new(CrossEntropy::new(), Sgd::new(0.1))
            .epochs(epochs)
            .schedule(OneCycle::default())
            .callback(gradus::callback::Progress::new())
            .interrupt_when(|| steps.replace(steps.get() + 1) == 3)
            .run(&mut perceptron(1), &some_digits(30))
            .unwrap_err();
        assert!(error.to_string().contains("interrupted in epoch 5"), "{error}");
    }
}

/// A run that is stepped from outside is the run that goes by itself; it measures time by the clock that it is given, goes on after an
/// interruption, and refuses a network that was put in the place of its own.
#[test]
fn a_run_can_be_stepped() {
    let (train, test) = digits::load().unwrap();
    let network = || {
        let layers = Sequential::new([1, 8, 8])
            .layer(Flatten)
            .layer(Dense::new(16))
            .layer(Relu);
        layers.layer(Dense::new(10)).layer(Softmax).build(3).unwrap()
    };
    let fit = || {
        let fit = Fit::new(CrossEntropy::new(), Adam::new(0.01)).epochs(2).batch_size(100);
        fit.metric(Accuracy).validation(&test)
    };
    let mut whole = network();
    let expected = fit().run(&mut whole, &train).unwrap();

    let (ticks, steps) = (Cell::new(0), Cell::new(0));
    let clock = || {
        ticks.set(ticks.get() + 1);
        Duration::from_secs(ticks.get())
    };
    let interrupted = || steps.replace(steps.get() + 1) == 7;
    let mut stepped = network();
    let mut run = fit()
        .clock(clock)
        .interrupt_when(interrupted)
        .start(&mut stepped, &train)
        .unwrap();
    assert!(run.loss().is_nan() && run.steps_per_epoch() == 15);
    let mut calls = 0;
    loop {
        calls += 1;
        match run.step() {
            Ok(true) => assert!(run.loss().is_finite()),
            Ok(false) => break,
            Err(error) => {
                assert!(matches!(error, gradus::Error::Interrupted { .. }), "{error}");
                assert_eq!((run.epochs(), run.steps(), calls), (0, 8, 8));
                let own = run.network().clone();
                *run.network_mut() = network();
                let error = run.step().unwrap_err().to_string();
                assert!(error.contains("was replaced by another"), "{error}");
                *run.network_mut() = own;
            }
        }
    }
    assert_eq!((run.epochs(), run.steps(), calls), (2, 0, 30));
    assert!(run.is_done() && !run.step().unwrap());
    let history = run.finish().unwrap();
    assert_eq!(stepped.weights(), whole.weights());
    for (epoch, expected) in history.epochs.iter().zip(&expected.epochs) {
        assert_eq!(epoch.values, expected.values);
        // A second passes between the beginning of a step and its end.
        assert_eq!(epoch.seconds, 15.0);
    }
}
