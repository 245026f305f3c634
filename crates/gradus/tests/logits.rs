//! What a loss is computed from follows from the network's end, in training and in evaluation alike: from logits wherever there
//! are any.

mod common;

use common::*;
use gradus::activation::Activation;
use gradus::callback::{Callback, EpochEnd, Flow};
use gradus::data::{Arrays, Target};
use gradus::layer::{BoundLayer, OutputKind};
use gradus::loss::{Loss, OutputActivation};
use gradus::metric::{self, Metric};
use gradus::prelude::*;
use gradus::random::{Purpose, stream};
use gradus::{Float, Layer, Result, check};
use ndarray::{Array2, Array4, array};
use rand_distr::{Distribution, StandardNormal};

fn near(what: &str, found: f64, expected: f64, tolerance: f64) {
    assert!(
        (found - expected).abs() <= tolerance,
        "{what}: {found} instead of {expected}"
    );
}

/// Loss and gradient of a network on copies of one sample.
fn step(network: &Network, loss: impl Loss + 'static, x: &[Float], target: Target<'_>, n: usize) -> (f64, Vec<Float>) {
    let mut trainer = Fit::new(loss, Sgd::new(0.0))
        .batch_size(n)
        .trainer(network.clone())
        .unwrap();
    let (loss, gradient) = trainer.gradients(&x.repeat(n), &vec![target; n]).unwrap();
    (loss, gradient.to_vec())
}

/// z = 30 for a target of 0: the loss is ln(1 + e³⁰) = 30 and its derivative 1, however the sigmoid is wrapped.
#[test]
fn sigmoid_at_the_end_of_images() {
    let conv = || Sequential::new([1, 1, 1]).layer(Conv2d::new(1, 1).bias(false));
    for (what, layers) in [
        ("sigmoid", conv().layer(Sigmoid)),
        ("sigmoid, flatten", conv().layer(Sigmoid).layer(Flatten)),
        (
            "sigmoid, reshape, flatten",
            conv().layer(Sigmoid).layer(Reshape::new([1, 1])).layer(Flatten),
        ),
        // The mean of one pixel is that pixel.
        ("sigmoid, pool", conv().layer(Sigmoid).layer(GlobalAvgPool2d)),
        ("pool, sigmoid", conv().layer(GlobalAvgPool2d).layer(Sigmoid)),
        ("flatten, sigmoid", conv().layer(Flatten).layer(Sigmoid)),
        ("logits", conv()),
        ("pool, logits", conv().layer(GlobalAvgPool2d)),
    ] {
        let mut network = layers.build(1).unwrap();
        network.set("0.weight", &[30.0]).unwrap();
        let data = |n| Arrays::values(Array4::ones((n, 1, 1, 1)), Array2::zeros((n, 1))).unwrap();
        for n in [1, 7, 8, 33] {
            let (loss, gradient) = step(&network, BinaryCrossEntropy, &[1.0], Target::Values(&[0.0]), n);
            near(what, loss, 30.0, 1e-5);
            near(what, f64::from(gradient[0]), 1.0, 1e-6);
            let evaluation = network.evaluate(&data(n), &BinaryCrossEntropy, &[&Accuracy]).unwrap();
            near(what, evaluation.loss, 30.0, 1e-5);
            assert_eq!(evaluation.metric("accuracy"), Some(0.0), "{what}");
        }
        check::network(&network, BinaryCrossEntropy, &gradus::data::Targets::Values([1].into())).unwrap();
    }
}

/// Rows of logits of the normal distribution with this deviation, and a class for each.
fn logits(n: usize, classes: usize, deviation: Float) -> (Array2<Float>, Vec<usize>) {
    let mut rng = stream(3, Purpose::User, &[]);
    let z = Array2::from_shape_simple_fn((n, classes), || {
        let z: f64 = StandardNormal.sample(&mut rng);
        z as Float * deviation
    });
    (z, (0..n).map(|i| i * 7 % classes).collect())
}

/// A layer whose weight is the identity.
fn identity(classes: usize) -> Vec<Float> {
    Array2::eye(classes).into_raw_vec_and_offset().0
}

/// The mean of ln Σ exp zⱼ - z of the class, in double precision.
fn cross_entropy(z: &Array2<Float>, labels: &[usize]) -> f64 {
    let of = |(z, &label): (ndarray::ArrayView1<'_, Float>, &usize)| {
        let most = z.iter().fold(f64::MIN, |most, &z| most.max(f64::from(z)));
        let sum: f64 = z.iter().map(|&z| (f64::from(z) - most).exp()).sum();
        most + sum.ln() - f64::from(z[label])
    };
    z.outer_iter().zip(labels).map(of).sum::<f64>() / labels.len() as f64
}

/// The loss of each epoch in the history, as early stopping sees it.
struct Seen<'a>(&'a std::cell::RefCell<Vec<[f64; 2]>>);

impl Callback for Seen<'_> {
    fn on_epoch(&mut self, end: &EpochEnd<'_>) -> Result<Flow> {
        let [loss, val_loss] = ["loss", "val_loss"].map(|name| end.history.last(name).unwrap());
        self.0.borrow_mut().push([loss, val_loss]);
        Ok(Flow::Continue)
    }
}

/// Probabilities of such logits are 0 or 1 in single precision; their loss is not that of the clipped probabilities.
#[test]
fn evaluation_has_the_loss_of_training() {
    let (z, labels) = logits(700, 5, 20.0);
    let data = Arrays::classes(&z, labels.clone(), 5).unwrap();
    let expected = cross_entropy(&z, &labels);
    assert!(expected > 15.0);
    for softmax in [true, false] {
        let layers = Sequential::new([5]).layer(Dense::new(5));
        let layers = if softmax { layers.layer(Softmax) } else { layers };
        let mut network = layers.build(1).unwrap();
        network.set("0.weight", &identity(5)).unwrap();
        let loss = CrossEntropy::new();
        let evaluation = network.evaluate(&data, &loss, &[&Accuracy, &TopK::new(2)]).unwrap();
        near("evaluate", evaluation.loss, expected, 1e-4);
        for (batch, threads) in [(1, 1), (7, 1), (64, 2), (700, 3), (1000, 8)] {
            let mut predictor = network.predictor(batch, threads).unwrap();
            let again = predictor.evaluate(&data, &loss, &[&Accuracy, &TopK::new(2)]).unwrap();
            assert_eq!(again, evaluation, "batches of {batch} on {threads} threads");
        }
        let seen = Default::default();
        let fit = Fit::new(loss, Sgd::new(0.0)).epochs(1).batch_size(700).metric(Accuracy);
        let history = fit
            .callback(Seen(&seen))
            .validation(&data)
            .run(&mut network, &data)
            .unwrap();
        near("loss", history.last("loss").unwrap(), expected, 1e-4);
        assert_eq!(history.last("val_loss"), Some(evaluation.loss));
        assert_eq!(history.last("val_accuracy"), evaluation.metric("accuracy"));
        assert_eq!(history.last("accuracy"), evaluation.metric("accuracy"));
        assert_eq!(seen.borrow()[0][1], evaluation.loss);
    }
}

#[test]
fn binary_cross_entropy_is_computed_from_logits() {
    let (z, labels) = logits(300, 3, 20.0);
    let t = Array2::from_shape_fn((300, 3), |(i, j)| Float::from(u8::from(labels[i] >= j)));
    let data = Arrays::values(&z, &t).unwrap();
    let of = |(&z, &t): (&Float, &Float)| {
        let (z, t) = (f64::from(z), f64::from(t));
        z.max(0.0) - z * t + (-z.abs()).exp().ln_1p()
    };
    let expected = z.iter().zip(&t).map(of).sum::<f64>() / 900.0;
    for sigmoid in [true, false] {
        let layers = Sequential::new([3]).layer(Dense::new(3));
        let layers = if sigmoid { layers.layer(Sigmoid) } else { layers };
        let mut network = layers.build(1).unwrap();
        network.set("0.weight", &identity(3)).unwrap();
        let evaluation = network.evaluate(&data, &BinaryCrossEntropy, &[&Accuracy]).unwrap();
        near("evaluate", evaluation.loss, expected, 1e-5);
        // Several labels: all of them have to be right, each logit on its side of 0.
        let right = |(z, t): (ndarray::ArrayView1<'_, Float>, ndarray::ArrayView1<'_, Float>)| {
            z.iter().zip(t).all(|(&z, &t)| (z > 0.0) == (t > 0.5))
        };
        let right = z
            .outer_iter()
            .zip(t.outer_iter())
            .filter(|&(z, t)| right((z, t)))
            .count();
        assert_eq!(evaluation.metric("accuracy"), Some(right as f64 / 300.0));
    }
}

/// A network without its last activation learns as with it, bit for bit, and is measured as with it.
#[test]
fn networks_that_end_in_logits_train() {
    let (train, test) = digits::load().unwrap();
    let run = |softmax: bool| {
        let layers = Sequential::new([1, 8, 8]).layer(Flatten).layer(Dense::new(10));
        let layers = if softmax { layers.layer(Softmax) } else { layers };
        let mut network = layers.build(7).unwrap();
        let fit = Fit::new(CrossEntropy::new(), Adam::new(0.01)).epochs(3);
        let fit = fit
            .metric(Accuracy)
            .metric(TopK::new(3))
            .metric(metric::MeanSquaredError)
            .metric(F1::default());
        let history = fit.validation(&test).run(&mut network, &train).unwrap();
        let values = history
            .epochs
            .iter()
            .map(|epoch| epoch.values.clone())
            .collect::<Vec<_>>();
        (all_bits(&network), values, network)
    };
    let (logits, with) = (run(false), run(true));
    assert!(logits.0 == with.0);
    assert_eq!(logits.1, with.1);
    let (logits, with) = (logits.2, with.2);
    let squares = metric::MeanSquaredError;
    let metrics: [&dyn Metric; 2] = [&Accuracy, &squares];
    let loss = CrossEntropy::new();
    assert_eq!(
        logits.evaluate(&test, &loss, &metrics).unwrap(),
        with.evaluate(&test, &loss, &metrics).unwrap()
    );
    // What it gives stays what it is.
    assert_eq!(logits.output_activation(&loss), Some(OutputActivation::Softmax));
    let x = inputs(&test, 1);
    let x = ndarray::ArrayView::from_shape((1, 1, 8, 8), &x[..]).unwrap();
    let (z, y) = (logits.predict(x).unwrap(), with.predict(x).unwrap());
    let mut probabilities = vec![0.0; 10];
    OutputActivation::Softmax.apply(z.as_slice().unwrap(), &mut probabilities);
    assert_eq!(probabilities, y.as_slice().unwrap());
}

/// One logit: two classes are divided at 0, and by values, as the squared error takes them, at 0.5.
#[test]
fn a_single_logit_is_divided_at_zero() {
    let x = array![[-2.0], [-0.1], [0.2], [0.4], [3.0]];
    let data = Arrays::classes(&x, [0, 0, 1, 1, 1], 2).unwrap();
    let mut network = Sequential::new([1]).layer(Dense::new(1)).build(1).unwrap();
    network.set("0.weight", &[1.0]).unwrap();
    let metrics: [&dyn Metric; 3] = [&Accuracy, &F1::default(), &Recall::default()];
    let evaluation = network.evaluate(&data, &BinaryCrossEntropy, &metrics).unwrap();
    assert!(
        evaluation.metrics.iter().all(|(_, value)| *value == 1.0),
        "{evaluation}"
    );
    let expected = [-2.0, -0.1, -0.2, -0.4, -3.0]
        .map(|z: f64| z.exp().ln_1p())
        .iter()
        .sum::<f64>()
        / 5.0;
    near("loss", evaluation.loss, expected, 1e-6);
    let evaluation = network.evaluate(&data, &MeanSquaredError, &metrics).unwrap();
    assert_eq!(evaluation.metric("accuracy"), Some(0.6));
    let mut network = Sequential::new([1])
        .layer(Dense::new(1))
        .layer(Sigmoid)
        .build(1)
        .unwrap();
    network.set("0.weight", &[1.0]).unwrap();
    let classes = network.classify(x.view()).unwrap();
    assert_eq!(classes.iter().map(|c| c.0).collect::<Vec<_>>(), [0, 0, 1, 1, 1]);
}

/// A softmax of one's own, which says what it gives or not.
#[derive(Debug)]
struct Own {
    says: OutputKind,
}

impl Layer for Own {
    fn kind(&self) -> &'static str {
        "own"
    }
    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
        Ok(BoundLayer::new(input, Softmax).with_output_kind(self.says))
    }
}

/// y = x³, which says nothing.
#[derive(Debug, Clone)]
struct Cube;

impl Activation for Cube {
    fn kind(&self) -> &'static str {
        "cube"
    }
    fn value(&self, x: Float) -> Float {
        x * x * x
    }
    fn derivative(&self, x: Float, _y: Float) -> Float {
        3.0 * x * x
    }
}

#[test]
fn layers_of_ones_own_say_what_they_give_or_are_tried() {
    let (z, labels) = logits(50, 4, 1.0);
    let data = Arrays::classes(&z, labels.clone(), 4).unwrap();
    let dense = || Sequential::new([4]).layer(Dense::new(4));
    let evaluated = |layers: Sequential| {
        let mut network = layers.build(1).unwrap();
        network.set("0.weight", &identity(4)).unwrap();
        let loss = network.evaluate(&data, &CrossEntropy::new(), &[]).unwrap().loss;
        (network.output_kind(), loss)
    };
    let expected = cross_entropy(&z, &labels);
    for says in [OutputKind::Unspecified, OutputKind::Distribution] {
        let (kind, loss) = evaluated(dense().layer(Own { says }));
        assert_eq!(kind, OutputKind::Distribution);
        near("own softmax", loss, expected, 1e-5);
    }
    let (kind, loss) = evaluated(dense().layer(Own { says: OutputKind::Real }));
    assert_eq!(kind, OutputKind::Real);
    assert!((loss - expected).abs() > 0.1, "softmax twice");
    let (kind, loss) = evaluated(dense().layer(Cube));
    assert_eq!(kind, OutputKind::Real);
    near(
        "logits of one's own",
        loss,
        cross_entropy(&z.mapv(|z| z * z * z), &labels),
        1e-4,
    );
}

#[test]
fn the_end_says_what_outputs_are() {
    let conv = || Sequential::new([1, 6, 6]).layer(Conv2d::new(2, 3));
    let body = || Layers::new().layer(Conv2d::new(2, 1)).layer(Sigmoid);
    for (layers, kind) in [
        (conv(), OutputKind::Real),
        (conv().layer(BatchNorm::new()).layer(Relu), OutputKind::Real),
        (conv().layer(Sigmoid), OutputKind::Probabilities),
        (
            conv().layer(Sigmoid).layer(MaxPool2d::new(2)),
            OutputKind::Probabilities,
        ),
        (conv().layer(Sigmoid).layer(GlobalAvgPool2d), OutputKind::Probabilities),
        (
            conv().layer(Sigmoid).layer(Dropout::new(0.5)).layer(Flatten),
            OutputKind::Probabilities,
        ),
        (conv().layer(Sigmoid).layer(Tanh), OutputKind::Real),
        // A sum of probabilities is none.
        (conv().layer(Sigmoid).layer(Residual::new(body())), OutputKind::Real),
        (
            conv().layer(Residual::new(body())).layer(Sigmoid),
            OutputKind::Probabilities,
        ),
        (
            conv().layer(Flatten).layer(Softmax).layer(Reshape::new([2, 16])),
            OutputKind::Distribution,
        ),
        (Sequential::new([4]).layer(Flatten), OutputKind::Real),
        // Beside each other, and multiplied, probabilities stay what they are; with other numbers they don't.
        (conv().layer(Concat::new([body(), body()])), OutputKind::Probabilities),
        (conv().layer(Multiply::new([body(), body()])), OutputKind::Probabilities),
        (conv().layer(Concat::new([body(), Layers::new()])), OutputKind::Real),
        (conv().layer(Multiply::gate(body())), OutputKind::Real),
        (
            (0..40).fold(conv().layer(Sigmoid), |network, _| {
                let dropout = Layers::new().layer(Dropout::new(0.1));
                network.layer(Multiply::gate(dropout))
            }),
            OutputKind::Probabilities,
        ),
    ] {
        let network = layers.build(1).unwrap();
        assert_eq!(network.output_kind(), kind, "{}", network.summary());
    }
}

/// Running statistics follow training steps, and nothing else.
#[test]
fn gradients_change_nothing() {
    let data = some_digits(40);
    let x = inputs(&data, 40);
    let targets: Vec<Target<'_>> = (0..40).map(|i| data.target(i)).collect();
    let mut trainer = Fit::new(CrossEntropy::new(), Sgd::new(0.1))
        .batch_size(40)
        .trainer(residual(1))
        .unwrap();
    let before = all_bits(trainer.network());
    let first = trainer.gradients(&x, &targets).unwrap().1.to_vec();
    assert!(all_bits(trainer.network()) == before);
    assert_eq!(trainer.gradients(&x, &targets).unwrap().1, first);
    trainer.step(&x, &targets).unwrap();
    let state = trainer.network().state().next().unwrap().values.to_vec();
    assert!(state.iter().any(|mean| *mean != 0.0), "a step moves the running mean");
    // A step that fails leaves the state alone too.
    let before = all_bits(trainer.network());
    let mut infinite = x.clone();
    infinite[70] = Float::NAN;
    trainer.step(&infinite, &targets).unwrap_err();
    assert!(all_bits(trainer.network()) == before);
}

/// Of anything else, it would be a number without a meaning.
#[test]
fn the_negative_log_likelihood_takes_logarithms_of_probabilities_alone() {
    let data = some_digits(20);
    let layers = || Sequential::new([1, 8, 8]).layer(Flatten).layer(Dense::new(10));
    let train = |loss: Box<dyn Loss>, layers: Sequential| {
        let fit = Fit::new(loss, Sgd::new(0.1));
        fit.run(&mut layers.build(1)?, &data)
    };
    let likelihood = || Box::new(NegativeLogLikelihood);
    let pixels = Sequential::new([1, 8, 8])
        .layer(Flatten)
        .layer(Dense::new(40))
        .layer(LogSoftmax);
    let pooled = pixels.layer(Reshape::new([10, 2, 2])).layer(GlobalMaxPool2d);
    for layers in [layers().layer(Softmax), layers(), pooled] {
        let error = train(likelihood(), layers).unwrap_err().to_string();
        assert!(
            error.contains("log_softmax") && error.contains("cross_entropy"),
            "{error}"
        );
    }
    let error = BinaryCrossEntropy
        .check_output_kind(OutputKind::LogProbabilities)
        .unwrap_err();
    assert!(error.to_string().contains("take the loss nll"), "{error}");
    let dropped = layers().layer(LogSoftmax).layer(Dropout::new(0.5)).build(1).unwrap();
    assert_eq!(dropped.output_kind(), OutputKind::LogProbabilities);
    // Of their logarithms it is the cross entropy of the logits.
    let last = |history: gradus::history::History| history.values("loss").pop().unwrap();
    let found = last(train(likelihood(), layers().layer(LogSoftmax)).unwrap());
    let expected = last(train(Box::new(CrossEntropy::new()), layers()).unwrap());
    assert!(
        (found - expected).abs() < 1e-4 * expected,
        "{found}, of the logits {expected}"
    );
}
