//! What the system that this library began from got wrong. Each test shows that it is impossible here.

mod common;

use std::sync::Mutex;

use common::*;
use gradus::activation::Activation;
use gradus::augment::Augmentation;
use gradus::data::{Arrays, Bytes, Dataset, Target, Targets, split};
use gradus::init::{Fans, Initializer};
use gradus::layer::{Backward, BoundLayer, Forward, Parameter, Passes};
use gradus::loss::Loss;
use gradus::metric::{Meter, Metric};
use gradus::optim::{Optimizer, Step};
use gradus::prelude::*;
use gradus::random::Rng;
use gradus::{Float, Layer, Result, check};
use ndarray::{Array, Array4, array};

fn image(height: usize, width: usize, pixel: impl Fn(usize, usize) -> Float) -> Array4<Float> {
    Array::from_shape_fn((1, 1, height, width), |(_, _, i, j)| pixel(i, j))
}

/// The gradients of a network's mean loss on these samples, one tensor after the other.
fn gradients(network: &Network, loss: impl Loss + 'static, x: &[Float], targets: &[Target<'_>]) -> Vec<Float> {
    let fit = Fit::new(loss, Sgd::new(0.0)).batch_size(targets.len());
    let mut trainer = fit.trainer(network.clone()).unwrap();
    let (_, gradients) = trainer.gradients(x, targets).unwrap();
    gradients.to_vec()
}

#[test]
fn defect_01_max_pooling_at_inference_uses_its_own_maxima() {
    let mut network = Sequential::new([1, 2, 2])
        .layer(MaxPool2d::new(2))
        .layer(Flatten)
        .layer(Dense::new(1))
        .build(1)
        .unwrap();
    let mut trainer = Fit::new(MeanSquaredError, Sgd::new(0.01))
        .batch_size(1)
        .trainer(&mut network)
        .unwrap();
    // The maximum in training is the first pixel; then it is another one, in a larger batch.
    let x = [9.0, 0.0, 0.0, 0.0];
    trainer.step(&x, &[Target::Values(&[1.0])]).unwrap();
    network.set("2.weight", &[1.0]).unwrap();
    network.set("2.bias", &[0.0]).unwrap();
    let x = Array::from_shape_fn((7, 1, 2, 2), |(n, _, i, j)| (10 * n + 2 * i + j) as Float);
    let y = network.predict(x.view()).unwrap();
    let maxima: Vec<Float> = (0..7).map(|n| (10 * n + 3) as Float).collect();
    assert_eq!(y.iter().copied().collect::<Vec<_>>(), maxima);
}

#[test]
fn defect_02_the_bias_of_a_convolution_is_added() {
    let mut network = Sequential::new([1, 4, 4]).layer(Conv2d::new(2, 3)).build(1).unwrap();
    network.set("0.weight", &[0.0; 18]).unwrap();
    network.set("0.bias", &[0.5, -2.0]).unwrap();
    let y = network.predict(image(4, 4, |i, j| (i + j) as Float)).unwrap();
    assert_eq!(y.into_raw_vec_and_offset().0, [[0.5; 4], [-2.0; 4]].concat());
}

#[test]
fn defect_03_gradients_of_convolutions_are_means_over_the_batch_as_those_of_dense_layers() {
    // On an image of one pixel a 1×1 convolution is a dense layer.
    let convolution = Sequential::new([3, 1, 1]).layer(Conv2d::new(2, 1)).layer(Flatten);
    let mut convolution = convolution.build(1).unwrap();
    let mut dense = Sequential::new([3]).layer(Dense::new(2)).build(1).unwrap();
    let w = [0.1, 0.2, 0.3, -0.4, 0.5, 0.6];
    convolution.set("0.weight", &w).unwrap();
    dense.set("0.weight", &[w[0], w[3], w[1], w[4], w[2], w[5]]).unwrap();
    let x: Vec<Float> = (0..12).map(|i| (i as Float).sin()).collect();
    let target = [Target::Values(&[1.0, -1.0]); 4];
    let of_convolution = gradients(&convolution, MeanSquaredError, &x, &target);
    let of_dense = gradients(&dense, MeanSquaredError, &x, &target);
    for (place, &expected) in [0, 3, 1, 4, 2, 5, 6, 7].iter().zip(&of_dense) {
        assert!((of_convolution[*place] - expected).abs() < 1e-6);
    }
    // The mean over copies of a sample is that of the sample.
    let one = gradients(&convolution, MeanSquaredError, &x[..3], &target[..1]);
    let copies = gradients(&convolution, MeanSquaredError, &x[..3].repeat(4), &target);
    assert!(one.iter().zip(&copies).all(|(a, b)| (a - b).abs() < 1e-6));
}

#[test]
fn defect_04_the_fan_in_of_a_convolution_is_its_window() {
    let deviation = |size: usize| {
        let network = Sequential::new([8, size, size])
            .layer(Conv2d::new(200, 3))
            .build(1)
            .unwrap();
        let weight = network.parameters().next().unwrap();
        (weight.values.iter().map(|w| w * w).sum::<Float>() / weight.values.len() as Float).sqrt()
    };
    // He's: √(2 / fan-in), whatever the size of the image.
    let expected = (2.0 / (8.0 * 9.0) as Float).sqrt();
    assert!((deviation(5) / expected - 1.0).abs() < 0.03);
    assert_eq!(deviation(5), deviation(28));
}

#[test]
fn defect_05_gradients_go_through_stacked_convolutions() {
    let network = Sequential::new([2, 7, 5])
        .layer(Conv2d::new(3, (3, 2)))
        .layer(Tanh)
        .layer(Conv2d::new(4, (2, 3)).padding(Padding::Same).stride((2, 1)))
        .layer(Tanh)
        .layer(Conv2d::new(2, (3, 1)))
        .layer(Flatten)
        .build(3)
        .unwrap();
    let targets = Targets::Values(network.output_shape().clone());
    check::network(&network, MeanSquaredError, &targets).unwrap();
}

/// Notes which samples are read.
struct Noted<'a>(&'a Bytes, Mutex<Vec<usize>>);

impl Dataset for Noted<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn shape(&self) -> Shape {
        self.0.shape()
    }
    fn targets(&self) -> Targets {
        self.0.targets()
    }
    fn read(&self, index: usize, x: &mut [Float]) -> Result<()> {
        self.1.lock().unwrap().push(index);
        self.0.read(index, x)
    }
    fn target(&self, index: usize) -> Target<'_> {
        self.0.target(index)
    }
}

#[test]
fn defect_06_every_epoch_has_a_new_order() {
    let digits = digits::all().unwrap();
    let data = Noted(&digits, Mutex::default());
    let fit = Fit::new(CrossEntropy::new(), Sgd::new(0.01)).epochs(3).batch_size(500);
    fit.threads(1).run(&mut perceptron(1), &data).unwrap();
    let read = data.1.into_inner().unwrap();
    let epochs: Vec<&[usize]> = read.chunks(digits.len()).collect();
    assert_eq!(epochs.len(), 3);
    for (i, epoch) in epochs.iter().enumerate() {
        let mut sorted = epoch.to_vec();
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..digits.len()), "each sample once in epoch {i}");
        assert!(
            epochs[..i].iter().all(|earlier| earlier != epoch),
            "a new order in epoch {i}"
        );
    }
}

#[test]
fn defect_06_the_last_smaller_batch_weighs_by_its_samples() {
    // 32 + 18 samples; nothing is learnt, so that all are met by the same network.
    let data = some_digits(50);
    let mut network = perceptron(2);
    let history = Fit::new(CrossEntropy::new(), Sgd::new(0.0))
        .epochs(1)
        .metric(Accuracy)
        .metric(Recall::default())
        .run(&mut network, &data)
        .unwrap();
    let y = network
        .predict(Array::from_shape_vec((50, 1, 8, 8), inputs(&data, 50)).unwrap())
        .unwrap();
    let (mut loss, mut right) = (0.0, 0.0);
    for (i, y) in y.outer_iter().enumerate() {
        let Target::Class(class) = data.target(i) else { panic!() };
        loss -= f64::from(y[[class]]).ln() / 50.0;
        right += f64::from(u8::from(y.iter().all(|v| *v <= y[[class]]))) / 50.0;
    }
    assert!((history.last("loss").unwrap() - loss).abs() < 1e-5);
    assert!((history.last("accuracy").unwrap() - right).abs() < 1e-9);
    let evaluation = network
        .evaluate(&data, &CrossEntropy::new(), &[&Accuracy, &Recall::default()])
        .unwrap();
    assert!((evaluation.loss - loss).abs() < 1e-5);
    let name = &evaluation.metrics[1].0;
    assert_eq!(history.last(name), evaluation.metric(name));
}

#[test]
fn defect_07_the_gradient_of_the_squared_error_is_divided_by_the_batch_once() {
    let mut network = Sequential::new([1]).layer(Dense::new(1).bias(false)).build(1).unwrap();
    network.set("0.weight", &[2.0]).unwrap();
    let (x, t) = ([1.0, 2.0, 3.0, -1.0], [[1.0], [0.0], [5.0], [2.0]]);
    let targets = t.each_ref().map(|t| Target::Values(t));
    // 1/4 Σ 2 (w x - t) x
    let expected = (2.0 * 1.0 + 2.0 * 4.0 * 2.0 + 2.0 * 1.0 * 3.0 + 2.0 * 4.0 * 1.0) / 4.0;
    let found = gradients(&network, MeanSquaredError, &x, &targets);
    assert_eq!(found, [expected]);
}

#[test]
fn defect_08_mean_squared_error_after_softmax_trains() {
    let layers = || Sequential::new([4]).layer(Dense::new(3)).layer(Softmax);
    let network = layers().build(1).unwrap();
    check::network(&network, MeanSquaredError, &Targets::Classes(3)).unwrap();
    let (train, _) = digits::load().unwrap();
    let mut network = perceptron(1);
    let fit = Fit::new(MeanSquaredError, Adam::new(0.003)).epochs(5).metric(Accuracy);
    let history = fit.run(&mut network, &train).unwrap();
    assert!(history.last("accuracy").unwrap() > 0.9, "{}", history.to_csv());
}

/// y = scale · x, one scale for all values.
#[derive(Debug)]
struct Scale;

impl Layer for Scale {
    fn kind(&self) -> &'static str {
        "scale"
    }
    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
        let scale = Parameter::weight(1, Fans::new(1, 1), std::sync::Arc::new(Half));
        Ok(BoundLayer::new(input, Scale).with_parameter(scale.named("scale")))
    }
}

impl Passes for Scale {
    fn forward(&self, pass: Forward<'_>) {
        let scale = pass.parameters[0][0];
        pass.y.iter_mut().zip(pass.x).for_each(|(y, x)| *y = scale * x);
    }
    fn backward(&self, mut pass: Backward<'_>) {
        let products = pass.dy.iter().zip(pass.x).map(|(dy, x)| dy * x);
        pass.gradients[0][0] += products.sum::<Float>();
        let scale = pass.parameters[0][0];
        pass.dx.iter_mut().zip(pass.dy).for_each(|(dx, dy)| *dx = scale * dy);
    }
}

#[derive(Debug)]
struct Half;

impl Initializer for Half {
    fn name(&self) -> &'static str {
        "half"
    }
    fn fill(&self, _shape: &Shape, _fans: Fans, _rng: &mut Rng, values: &mut [Float]) {
        values.fill(0.5);
    }
}

/// y = x + x³ / 10
#[derive(Debug, Clone)]
struct Bend;

impl Activation for Bend {
    fn kind(&self) -> &'static str {
        "bend"
    }
    fn value(&self, x: Float) -> Float {
        x + x * x * x / 10.0
    }
    fn derivative(&self, x: Float, _y: Float) -> Float {
        1.0 + 0.3 * x * x
    }
}

/// The sum of fourth powers of the errors.
#[derive(Debug)]
struct Fourth;

impl Loss for Fourth {
    fn name(&self) -> &'static str {
        "fourth"
    }
    fn validate(&self, _output: &Shape, _targets: &Targets) -> Result<()> {
        Ok(())
    }
    fn loss(&self, y: &[Float], target: Target<'_>) -> Float {
        let Target::Values(t) = target else { return 0.0 };
        y.iter().zip(t).map(|(y, t)| (y - t).powi(4)).sum()
    }
    fn gradient(&self, y: &[Float], target: Target<'_>, dy: &mut [Float]) {
        let Target::Values(t) = target else { return };
        for ((dy, y), t) in dy.iter_mut().zip(y).zip(t) {
            *dy = 4.0 * (y - t).powi(3);
        }
    }
}

/// Against the sign of the gradient.
#[derive(Debug)]
struct Signs;

impl Optimizer for Signs {
    fn name(&self) -> &'static str {
        "signs"
    }
    fn validate(&self) -> Result<()> {
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

/// The largest error.
#[derive(Debug)]
struct Worst(f64);

impl Metric for Worst {
    fn name(&self) -> String {
        "worst".into()
    }
    fn higher_is_better(&self) -> bool {
        false
    }
    fn validate(&self, _output: &Shape, _targets: &Targets) -> Result<()> {
        Ok(())
    }
    fn meter(&self, _output: &Shape) -> Box<dyn Meter> {
        Box::new(Worst(0.0))
    }
}

impl Meter for Worst {
    fn add(&mut self, y: &[Float], target: Target<'_>) {
        let Target::Values(t) = target else { return };
        self.0 = self.0.max(f64::from((y[0] - t[0]).abs()));
    }
    fn value(&self) -> f64 {
        self.0
    }
    fn reset(&mut self) {
        self.0 = 0.0;
    }
}

#[test]
fn defect_09_what_a_user_writes_is_trained_and_used() {
    check::layer(&Scale, [2, 3]).unwrap();
    check::layer(&Bend, [4]).unwrap();
    check::loss(&Fourth, [3], &Targets::Values([3].into())).unwrap();
    let mut network = Sequential::new([1]).layer(Scale).layer(Bend).build(1).unwrap();
    assert_eq!(network.parameters().next().unwrap().values, [0.5]);
    let x = array![[-1.0], [-0.5], [0.5], [1.0]];
    let data = Arrays::values(&x, x.mapv(|x: Float| Bend.value(1.5 * x))).unwrap();
    let history = Fit::new(Fourth, Signs)
        .epochs(200)
        .batch_size(4)
        .metric(Worst(0.0))
        .run(&mut network, &data)
        .unwrap();
    let scale = network.parameters().next().unwrap().values[0];
    assert!((scale - 1.5).abs() < 0.02, "{scale}");
    assert!(history.last("worst").unwrap() < 0.05);
}

#[test]
fn defect_10_everything_is_seeded() {
    let data = some_digits(200);
    let run = |seed| {
        let mut network = convolutional(seed);
        let fit = Fit::new(CrossEntropy::new(), Sgd::new(0.05)).epochs(1).augment(Noise);
        let history = fit.validation_split(0.2).run(&mut network, &data).unwrap();
        (all_bits(&network), history.last("val_loss").unwrap())
    };
    assert!(run(7) == run(7));
    assert!(run(7).0 != run(8).0);
}

#[test]
fn defect_11_windows_that_are_not_square_read_the_right_pixels() {
    // Rows of 6 pixels, windows of 2 rows and 3 columns.
    let x = image(4, 6, |i, j| (10 * i + j) as Float);
    let pooled = |layer: Box<dyn Layer>| {
        let network = Sequential::new([1, 4, 6]).layer(layer).build(1).unwrap();
        network.predict(x.view()).unwrap().into_raw_vec_and_offset().0
    };
    assert_eq!(pooled(Box::new(MaxPool2d::new((2, 3)))), [12.0, 15.0, 32.0, 35.0]);
    assert_eq!(pooled(Box::new(AvgPool2d::new((2, 3)))), [6.0, 9.0, 26.0, 29.0]);
    check::layer(&MaxPool2d::new((2, 3)), [2, 4, 6]).unwrap();
    check::layer(&AvgPool2d::new((2, 3)), [2, 4, 6]).unwrap();
}

/// Makes every image black, and notes that it did.
#[derive(Debug, Default, Clone)]
struct Black(std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl Augmentation for Black {
    fn name(&self) -> &'static str {
        "black"
    }
    fn validate(&self, _shape: &Shape) -> Result<()> {
        Ok(())
    }
    fn apply(&self, _shape: &Shape, x: &mut [Float], _rng: &mut Rng, _scratch: &mut Vec<Float>) {
        x.fill(0.0);
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

#[test]
fn defect_12_validation_samples_are_not_augmented() {
    let data = some_digits(200);
    let (train, held_out) = split(&data, 0.25, 4).unwrap();
    let mut network = perceptron(4);
    let black = Black::default();
    let history = Fit::new(CrossEntropy::new(), Sgd::new(0.0))
        .epochs(2)
        .augment(black.clone())
        .validation_split(0.25)
        .run(&mut network, &data)
        .unwrap();
    let loss = |data: &dyn Dataset| network.evaluate(data, &CrossEntropy::new(), &[]).unwrap().loss;
    assert_eq!(history.values("val_loss"), [loss(&held_out); 2]);
    assert_ne!(history.last("loss").unwrap(), loss(&train));
    assert_eq!(black.0.load(std::sync::atomic::Ordering::Relaxed), 2 * train.len());
    // The samples themselves are as they were.
    assert_eq!(inputs(&data, 200), inputs(&some_digits(200), 200));
}
