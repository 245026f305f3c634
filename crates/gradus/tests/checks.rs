//! `gradus::check` finds wrong gradients and lets right ones pass, at every size.

use std::sync::Arc;

use gradus::data::{Target, Targets};
use gradus::init::{Fans, Zeros};
use gradus::layer::advanced::{
    AcrossBatch, BatchGradient, BlockBackward, BlockForward, BlockLayer, BlockOf, InPlace, InPlaceBackward,
    InPlaceForward, Layouts, WholeBatchGradient,
};
use gradus::layer::{Backward, BoundLayer, Forward, Parameter, Passes, TensorsMut};
use gradus::loss::Loss;
use gradus::prelude::*;
use gradus::{Float, Layer, Result, check};

const SIZES: [usize; 8] = [1, 2, 3, 10, 32, 100, 784, 10_000];

/// A loss of values: a formula for the loss, and one for its gradient.
struct Own {
    name: &'static str,
    loss: fn(&[Float], &[Float]) -> Float,
    gradient: fn(&[Float], &[Float], &mut [Float]),
}

impl std::fmt::Debug for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Loss for Own {
    fn name(&self) -> &'static str {
        self.name
    }
    fn validate(&self, _output: &Shape, _targets: &Targets) -> Result<()> {
        Ok(())
    }
    fn loss(&self, y: &[Float], target: Target<'_>) -> Float {
        let Target::Values(t) = target else { panic!("values") };
        (self.loss)(y, t)
    }
    fn gradient(&self, y: &[Float], target: Target<'_>, dy: &mut [Float]) {
        let Target::Values(t) = target else { panic!("values") };
        (self.gradient)(y, t, dy);
    }
}

fn sum(y: &[Float], t: &[Float], f: impl Fn(Float, Float) -> Float) -> Float {
    y.iter().zip(t).map(|(&y, &t)| f(y, t)).sum()
}

fn each(y: &[Float], t: &[Float], dy: &mut [Float], f: impl Fn(Float, Float) -> Float) {
    dy.iter_mut().zip(y).zip(t).for_each(|((dy, &y), &t)| *dy = f(y, t));
}

/// The position of the largest error.
fn furthest(y: &[Float], t: &[Float]) -> usize {
    let error = |i: usize| (y[i] - t[i]).abs();
    (0..y.len()).max_by(|&a, &b| error(a).total_cmp(&error(b))).unwrap()
}

/// Right losses that the library doesn't have; most have kinks.
fn own_losses() -> Vec<Own> {
    vec![
        Own {
            name: "pinball",
            loss: |y, t| sum(y, t, |y, t| if t >= y { 0.9 * (t - y) } else { 0.1 * (y - t) }) / y.len() as Float,
            gradient: |y, t, dy| {
                let n = y.len() as Float;
                each(y, t, dy, |y, t| if t >= y { -0.9 / n } else { 0.1 / n });
            },
        },
        Own {
            name: "sum_of_absolute_errors",
            loss: |y, t| sum(y, t, |y, t| (y - t).abs()),
            gradient: |y, t, dy| each(y, t, dy, |y, t| (y - t).signum()),
        },
        Own {
            name: "hinge",
            loss: |y, t| sum(y, t, |y, t| (0.5 - (2.0 * t - 1.0) * y).max(0.0)) / y.len() as Float,
            gradient: |y, t, dy| {
                let n = y.len() as Float;
                each(y, t, dy, |y, t| {
                    let t = 2.0 * t - 1.0;
                    if 0.5 - t * y > 0.0 { -t / n } else { 0.0 }
                });
            },
        },
        Own {
            name: "largest_error",
            loss: |y, t| {
                let i = furthest(y, t);
                (y[i] - t[i]).abs()
            },
            gradient: |y, t, dy| {
                let i = furthest(y, t);
                dy.fill(0.0);
                dy[i] = (y[i] - t[i]).signum();
            },
        },
        Own {
            name: "log_cosh",
            loss: |y, t| sum(y, t, |y, t| (y - t).cosh().ln()) / y.len() as Float,
            gradient: |y, t, dy| {
                let n = y.len() as Float;
                each(y, t, dy, |y, t| (y - t).tanh() / n);
            },
        },
        Own {
            name: "root_of_the_mean_square",
            loss: |y, t| (sum(y, t, |y, t| (y - t).powi(2)) / y.len() as Float).sqrt(),
            gradient: |y, t, dy| {
                let n = y.len() as Float;
                let root = (sum(y, t, |y, t| (y - t).powi(2)) / n).sqrt();
                each(y, t, dy, |y, t| (y - t) / n / root);
            },
        },
        Own {
            name: "divergence",
            loss: |y, t| sum(y, t, |y, t| t * (t / y).ln() + y - t),
            gradient: |y, t, dy| each(y, t, dy, |y, t| 1.0 - t / y),
        },
        Own {
            name: "fourth_powers",
            loss: |y, t| sum(y, t, |y, t| (y - t).powi(4)),
            gradient: |y, t, dy| each(y, t, dy, |y, t| 4.0 * (y - t).powi(3)),
        },
    ]
}

/// One minus the cosine of the angle between outputs and targets, or of its gradient the first term alone.
fn cosine(whole: bool) -> Own {
    fn sums(y: &[Float], t: &[Float]) -> [Float; 3] {
        [
            sum(y, y, |y, _| y * y).sqrt(),
            sum(t, t, |t, _| t * t).sqrt(),
            sum(y, t, |y, t| y * t),
        ]
    }
    Own {
        name: "cosine",
        loss: |y, t| {
            let [ny, nt, product] = sums(y, t);
            1.0 - product / (ny * nt)
        },
        gradient: if whole {
            |y, t, dy| {
                let [ny, nt, product] = sums(y, t);
                each(y, t, dy, |y, t| (y * product / (ny * ny) - t) / (ny * nt));
            }
        } else {
            |y, t, dy| {
                let [ny, nt, _] = sums(y, t);
                each(y, t, dy, |_, t| -t / (ny * nt));
            }
        },
    }
}

/// The library's losses, and whether they take one output.
fn library_losses() -> Vec<(Box<dyn Loss>, usize)> {
    vec![
        (Box::new(CrossEntropy::new()), 2),
        (Box::new(CrossEntropy::new().label_smoothing(0.1)), 2),
        (Box::new(BinaryCrossEntropy), 1),
        (Box::new(MeanSquaredError), 1),
        (Box::new(MeanAbsoluteError), 1),
        (Box::new(Huber::default()), 1),
        (Box::new(Huber::new(0.3)), 1),
    ]
}

#[test]
fn right_losses_pass() {
    for n in SIZES {
        let values = Targets::Values(n.into());
        for (loss, least) in library_losses() {
            if n < least {
                continue;
            }
            check::loss(&*loss, n, &values).unwrap();
            if n > 1 && loss.name() != "binary_cross_entropy" {
                check::loss(&*loss, n, &Targets::Classes(n)).unwrap();
            }
        }
        for loss in own_losses() {
            check::loss(&loss, n, &values).unwrap();
        }
        // Of one value it is 1, or -1.
        if n > 1 {
            check::loss(&cosine(true), n, &values).unwrap();
        }
    }
    check::loss(&BinaryCrossEntropy, 1, &Targets::Classes(2)).unwrap();
}

/// What is wrong with a gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    Zero,
    Sign,
    Factor(Float),
    /// A division by the number of values that is missing.
    Undivided,
    /// The last value is 0.
    MissingValue,
    /// Every second value is 0.
    MissingHalf,
    /// The values are those of their neighbors.
    Shifted,
    /// Several samples have the gradient of the first.
    OtherSample,
    /// Several samples have the first sample's target.
    OtherTarget,
}

const FAULTS: [Fault; 10] = [
    Fault::Zero,
    Fault::Sign,
    Fault::Factor(2.0),
    Fault::Factor(0.95),
    Fault::Undivided,
    Fault::MissingValue,
    Fault::MissingHalf,
    Fault::Shifted,
    Fault::OtherSample,
    Fault::OtherTarget,
];

impl Fault {
    /// Whether values so many are wrong by it at all.
    fn shows(self, n: usize) -> bool {
        n > 1 || !matches!(self, Fault::Undivided | Fault::MissingHalf | Fault::Shifted)
    }

    fn spoil(self, values: &mut [Float]) {
        match self {
            Fault::Zero => values.fill(0.0),
            Fault::Sign => values.iter_mut().for_each(|v| *v = -*v),
            Fault::Factor(factor) => values.iter_mut().for_each(|v| *v *= factor),
            Fault::Undivided => {
                let n = values.len() as Float;
                values.iter_mut().for_each(|v| *v *= n);
            }
            Fault::MissingValue => values[values.len() - 1] = 0.0,
            Fault::MissingHalf => values.iter_mut().skip(1).step_by(2).for_each(|v| *v = 0.0),
            Fault::Shifted => values.rotate_left(1),
            Fault::OtherSample | Fault::OtherTarget => {}
        }
    }
}

/// A loss with a fault in its gradient.
#[derive(Debug)]
struct Wrong<L>(L, Fault);

impl<L: Loss> Loss for Wrong<L> {
    fn name(&self) -> &'static str {
        self.0.name()
    }
    fn validate(&self, output: &Shape, targets: &Targets) -> Result<()> {
        self.0.validate(output, targets)
    }
    fn loss(&self, y: &[Float], target: Target<'_>) -> Float {
        self.0.loss(y, target)
    }
    fn gradient(&self, y: &[Float], target: Target<'_>, dy: &mut [Float]) {
        self.0.gradient(y, target, dy);
        self.1.spoil(dy);
    }
    fn losses_and_gradients<'t>(
        &self,
        y: &[Float],
        target: &(dyn Fn(usize) -> Target<'t> + 't),
        dy: &mut [Float],
        losses: &mut [Float],
    ) {
        let n = y.len() / losses.len();
        for (i, loss) in losses.iter_mut().enumerate() {
            let y = &y[n * i..][..n];
            *loss = self.loss(y, target(i));
            let target = target(if self.1 == Fault::OtherTarget { 0 } else { i });
            self.gradient(y, target, &mut dy[n * i..][..n]);
        }
        if self.1 == Fault::OtherSample {
            let (first, others) = dy.split_at_mut(n);
            others.chunks_exact_mut(n).for_each(|dy| dy.copy_from_slice(first));
        }
    }
}

#[test]
fn wrong_losses_are_found() {
    let mut missed = Vec::new();
    for n in [1, 3, 32, 100, 784, 10_000] {
        let values = Targets::Values(n.into());
        if check::loss(&cosine(false), n, &values).is_ok() {
            missed.push(format!("cosine at {n} with a missing term"));
        }
        for fault in FAULTS.into_iter().filter(|f| f.shows(n)) {
            let mut find = |loss: &dyn Loss| {
                if check::loss(loss, n, &values).is_ok() {
                    missed.push(format!("{} at {n} with {fault:?}", loss.name()));
                }
            };
            find(&Wrong(MeanSquaredError, fault));
            if n > 1000 {
                continue;
            }
            find(&Wrong(MeanAbsoluteError, fault));
            find(&Wrong(Huber::new(0.3), fault));
            find(&Wrong(BinaryCrossEntropy, fault));
            if n > 1 {
                find(&Wrong(CrossEntropy::new(), fault));
            }
            for loss in own_losses() {
                // Of the largest error's gradient, one value counts; it is seldom the missing one.
                if loss.name != "largest_error" || !matches!(fault, Fault::MissingValue | Fault::MissingHalf) {
                    find(&Wrong(loss, fault));
                }
            }
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

/// The mean of all values, in every output; and what may be wrong with its `dx`.
#[derive(Debug, Clone)]
struct Mean(Option<Fault>);

impl Layer for Mean {
    fn kind(&self) -> &'static str {
        "mean"
    }
    fn bind(&self, _: &Shape) -> Result<BoundLayer, String> {
        let bound = BoundLayer::new(1, self.clone());
        Ok(match self.0 {
            Some(Fault::OtherSample) => bound.with_fast(FirstMean),
            _ => bound,
        })
    }
}

/// The same for blocks of samples, all of which have the `dx` of the first.
#[derive(Debug)]
struct FirstMean;

impl BlockLayer for FirstMean {
    fn forward(&self, pass: BlockForward<'_>) {
        let n = pass.x.len() / pass.samples;
        for (y, x) in pass.y.iter_mut().zip(pass.x.chunks_exact(n)) {
            *y = x.iter().sum::<Float>() / n as Float;
        }
    }
    fn backward(&self, pass: BlockBackward<'_>) {
        let n = pass.x.len() / pass.samples;
        if let Some(dx) = pass.dx {
            dx.fill(pass.dy[0] / n as Float);
        }
    }
}

impl Passes for Mean {
    fn forward(&self, pass: Forward<'_>) {
        pass.y[0] = pass.x.iter().sum::<Float>() / pass.x.len() as Float;
    }
    fn backward(&self, pass: Backward<'_>) {
        pass.dx.fill(pass.dy[0] / pass.x.len() as Float);
        if let Some(fault) = self.0 {
            fault.spoil(pass.dx);
        }
    }
}

/// The values divided by the root of their mean square; and whether `dx` lacks its second term.
#[derive(Debug, Clone)]
struct RmsNorm {
    whole: bool,
}

impl Layer for RmsNorm {
    fn kind(&self) -> &'static str {
        "rms_norm"
    }
    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
        Ok(BoundLayer::new(input, self.clone()))
    }
}

impl Passes for RmsNorm {
    fn forward(&self, pass: Forward<'_>) {
        let root = root_mean_square(pass.x);
        pass.y.iter_mut().zip(pass.x).for_each(|(y, x)| *y = x / root);
    }
    fn backward(&self, pass: Backward<'_>) {
        let (x, dy) = (pass.x, pass.dy);
        let root = root_mean_square(x);
        let mean = x.iter().zip(dy).map(|(x, dy)| x * dy).sum::<Float>() / x.len() as Float;
        for ((dx, dy), x) in pass.dx.iter_mut().zip(dy).zip(x) {
            *dx = dy / root;
            if self.whole {
                *dx -= x * mean / root.powi(3);
            }
        }
    }
}

fn root_mean_square(x: &[Float]) -> Float {
    (x.iter().map(|x| x * x).sum::<Float>() / x.len() as Float).sqrt()
}

/// y = w · x + b, value by value; and what may be wrong with the gradient of w or b.
#[derive(Debug, Clone)]
struct Affine(Option<(usize, Fault)>);

impl Layer for Affine {
    fn kind(&self) -> &'static str {
        "affine"
    }
    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
        let n = input.size();
        let weight = Parameter::weight(n, Fans::new(1, 1), Arc::new(Zeros));
        let bound = BoundLayer::new(input, self.clone());
        let bound = bound.with_parameter(weight).with_parameter(Parameter::bias(n));
        Ok(match self.0 {
            Some((_, Fault::OtherSample | Fault::OtherTarget)) => bound.with_fast(FastAffine(self.clone())),
            _ => bound,
        })
    }
}

impl Passes for Affine {
    fn forward(&self, pass: Forward<'_>) {
        let [w, b] = pass.parameters.split();
        for i in 0..w.len() {
            pass.y[i] = w[i] * pass.x[i] + b[i];
        }
    }
    fn backward(&self, pass: Backward<'_>) {
        let (x, dy, w) = (pass.x, pass.dy, &pass.parameters[0]);
        let mut gradients = [vec![0.0; w.len()], dy.to_vec()];
        for i in 0..w.len() {
            pass.dx[i] = w[i] * dy[i];
            gradients[0][i] = dy[i] * x[i];
        }
        if let Some((which, fault)) = self.0 {
            fault.spoil(&mut gradients[which]);
        }
        for (sum, part) in pass.gradients.split::<2>().into_iter().zip(gradients) {
            sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
    }
}

/// The same for blocks of samples, which takes one for another.
#[derive(Debug)]
struct FastAffine(Affine);

impl BlockLayer for FastAffine {
    fn forward(&self, pass: BlockForward<'_>) {
        let [w, b] = pass.parameters.split();
        let n = w.len();
        for (y, x) in pass.y.chunks_exact_mut(n).zip(pass.x.chunks_exact(n)) {
            for i in 0..n {
                y[i] = w[i] * x[i] + b[i];
            }
        }
    }
    fn backward(&self, mut pass: BlockBackward<'_>) {
        let w = &pass.parameters[0];
        let n = w.len();
        let fault = self.0.0;
        for (sample, (dy, x)) in pass.dy.chunks_exact(n).zip(pass.x.chunks_exact(n)).enumerate() {
            // The first sample's x, or dy, instead of each one's own.
            let of = |which: usize| fault == Some((which, Fault::OtherSample));
            let x = if of(0) { &pass.x[..n] } else { x };
            let of_bias = if of(1) { &pass.dy[..n] } else { dy };
            // One sample left out.
            if sample == 1 && matches!(fault, Some((_, Fault::OtherTarget))) {
                continue;
            }
            for i in 0..n {
                pass.gradients[0][i] += dy[i] * x[i];
                pass.gradients[1][i] += of_bias[i];
            }
        }
        let Some(dx) = pass.dx else { return };
        for (dx, dy) in dx.chunks_exact_mut(n).zip(pass.dy.chunks_exact(n)) {
            for i in 0..n {
                dx[i] = w[i] * dy[i];
            }
        }
    }
}

#[test]
fn right_layers_pass() {
    for n in SIZES {
        let layers: Vec<Box<dyn Layer>> = vec![
            Box::new(Relu),
            Box::new(LeakyRelu::new(0.2)),
            Box::new(Elu::default()),
            Box::new(Gelu),
            Box::new(Silu),
            Box::new(Softplus),
            Box::new(Sigmoid),
            Box::new(Tanh),
            Box::new(Softmax),
            Box::new(Dense::new(1)),
            Box::new(Dense::new(5)),
            Box::new(BatchNorm::new()),
            Box::new(Dropout::new(0.3)),
            Box::new(Flatten),
            Box::new(Reshape::new([n, 1, 1])),
            Box::new(Mean(None)),
            Box::new(Affine(None)),
            Box::new(RmsNorm { whole: true }),
        ];
        for layer in layers {
            check::layer(&*layer, n).unwrap();
        }
        // Images of about n pixels.
        let side = n.isqrt();
        let images: Vec<Box<dyn Layer>> = vec![
            Box::new(Conv2d::new(2, side.min(3))),
            Box::new(MaxPool2d::new(side.min(2))),
            Box::new(AvgPool2d::new(side.min(3)).stride(1)),
            Box::new(GlobalAvgPool2d),
            Box::new(BatchNorm::new()),
            Box::new(Relu),
        ];
        for layer in images {
            check::layer(&*layer, [1, side, side]).unwrap();
        }
    }
}

#[test]
fn wrong_layers_are_found() {
    let mut missed = Vec::new();
    for n in [1, 3, 32, 100, 784, 10_000] {
        for fault in FAULTS.into_iter().filter(|f| f.shows(n)) {
            let mut find = |layer: &dyn Layer| {
                if check::layer(layer, n).is_ok() {
                    missed.push(format!("{layer:?} at {n}"));
                }
            };
            if n > 1000
                && !matches!(
                    fault,
                    Fault::Zero | Fault::Sign | Fault::MissingValue | Fault::OtherSample
                )
            {
                continue;
            }
            // All values of the mean's gradient are the same.
            if !matches!(fault, Fault::Shifted | Fault::OtherTarget) {
                find(&Mean(Some(fault)));
            }
            find(&Affine(Some((0, fault))));
            find(&Affine(Some((1, fault))));
        }
        if check::layer(&RmsNorm { whole: false }, n).is_ok() {
            missed.push(format!("the root mean square at {n} with a missing term"));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn right_networks_pass_and_wrong_losses_in_them_are_found() {
    for n in [1, 3, 32, 784] {
        let layers = Sequential::new([7]).layer(Dense::new(8)).layer(BatchNorm::new());
        let network = layers.layer(Relu).layer(Dense::new(n)).build(3).unwrap();
        let values = Targets::Values(n.into());
        check::network(&network, MeanSquaredError, &values).unwrap();
        check::network(&network, MeanAbsoluteError, &values).unwrap();
        check::network(&network, Huber::new(0.3), &values).unwrap();
        let faults = [
            Fault::Zero,
            Fault::Sign,
            Fault::Factor(2.0),
            Fault::Undivided,
            Fault::OtherSample,
        ];
        for fault in faults.into_iter().filter(|f| f.shows(n)) {
            let result = check::network(&network, Wrong(MeanSquaredError, fault), &values);
            assert!(result.is_err(), "{fault:?} at {n}");
        }
    }
    // Dropout draws the same in the same step.
    let layers = Sequential::new([7]).layer(Dense::new(8)).layer(Dropout::new(0.4));
    let network = layers.layer(Dense::new(2)).build(3).unwrap();
    check::network(&network, MeanSquaredError, &Targets::Values(2.into())).unwrap();
}

/// A loss that is far larger than all of its changes.
#[derive(Debug)]
struct Offset;

impl Loss for Offset {
    fn name(&self) -> &'static str {
        "offset"
    }
    fn validate(&self, _output: &Shape, _targets: &Targets) -> Result<()> {
        Ok(())
    }
    fn loss(&self, y: &[Float], target: Target<'_>) -> Float {
        let offset = if cfg!(gradus_f64) { 1e18 } else { 1e9 };
        offset + MeanSquaredError.loss(y, target)
    }
    fn gradient(&self, y: &[Float], target: Target<'_>, dy: &mut [Float]) {
        MeanSquaredError.gradient(y, target, dy);
    }
}

#[test]
fn what_can_not_be_judged_is_not_called_right() {
    let error = check::loss(&Offset, 4, &Targets::Values(4.into()))
        .unwrap_err()
        .to_string();
    assert!(error.contains("can't be judged"), "{error}");
}

/// A layer whose outputs and parameter are of any shape; it computes nothing.
#[derive(Debug, Clone)]
struct Empty {
    output: Shape,
    parameter: Shape,
}

impl Layer for Empty {
    fn kind(&self) -> &'static str {
        "empty"
    }
    fn bind(&self, _: &Shape) -> Result<BoundLayer, String> {
        Ok(BoundLayer::new(&self.output, self.clone()).with_parameter(Parameter::bias(&self.parameter)))
    }
}

impl Passes for Empty {
    fn forward(&self, pass: Forward<'_>) {
        pass.y.fill(0.0);
    }
    fn backward(&self, pass: Backward<'_>) {
        pass.dx.fill(0.0);
    }
}

#[test]
fn sizes_that_can_not_be_checked_are_refused() {
    let expected = "and a check needs dimensions of at least 1 whose product is at most 4194304";
    let shapes = [vec![], vec![0], vec![2, 0, 3], vec![1 << 40], vec![usize::MAX, 2]];
    for shape in shapes.map(Shape::from) {
        let of = |what: &str| format!("{what} has the shape {:?}, {expected}", shape.dims());
        for layer in [&Tanh as &dyn Layer, &Dense::new(3), &Softmax, &Mean(None)] {
            let error = check::layer(layer, &shape).unwrap_err().to_string();
            assert!(error.ends_with(&of("the input")), "{error}");
        }
        let empty = Empty {
            output: shape.clone(),
            parameter: 1.into(),
        };
        let error = check::layer(&empty, 3).unwrap_err().to_string();
        assert!(error.ends_with(&of("the output")), "{error}");
        let losses: [&dyn Loss; 3] = [&MeanSquaredError, &CrossEntropy::new(), &Offset];
        for loss in losses {
            for targets in [Targets::Values(shape.clone()), Targets::Classes(3)] {
                let error = check::loss(loss, &shape, &targets).unwrap_err().to_string();
                assert!(error.ends_with(&of("the output")), "{error}");
            }
        }
        let targets = Targets::Values(shape.clone());
        let error = check::loss(&Offset, 3, &targets).unwrap_err().to_string();
        assert!(error.ends_with(&of("a target")), "{error}");
        let network = Sequential::new([3]).layer(Dense::new(3)).build(1).unwrap();
        let error = check::network(&network, Offset, &targets).unwrap_err().to_string();
        assert!(error.ends_with(&of("a target")), "{error}");
        let error = check::network(&network, Offset, &Targets::Classes(0))
            .unwrap_err()
            .to_string();
        assert!(error.contains("of 0 classes"), "{error}");
    }
    let error = check::loss(&Offset, 3, &Targets::Classes(0)).unwrap_err().to_string();
    assert_eq!(
        error,
        "offset on 3: the targets are of 0 classes, and there should be at least one"
    );
    let error = check::layer(&Dense::new(1 << 20), [1 << 10]).unwrap_err().to_string();
    assert!(
        error.contains("parameters, and at most 16777216 can be checked"),
        "{error}"
    );
    // A parameter without dimensions is one value, and one of size 0 none.
    for parameter in [Shape::default(), Shape::from([0, 2])] {
        let empty = Empty {
            output: 2.into(),
            parameter,
        };
        check::layer(&empty, 3).unwrap();
    }
}

/// A loss of a mean and a value that spreads, of which the targets are half as many as the outputs.
#[test]
fn targets_may_have_another_size_than_outputs() {
    let half = Own {
        name: "half",
        loss: |y, t| {
            assert_eq!(y.len(), 2 * t.len());
            y.chunks(2).zip(t).map(|(y, t)| (y[0] - t).powi(2) * y[1]).sum()
        },
        gradient: |y, t, dy| {
            for ((dy, y), t) in dy.chunks_mut(2).zip(y.chunks(2)).zip(t) {
                dy[0] = 2.0 * (y[0] - t) * y[1];
                dy[1] = (y[0] - t).powi(2);
            }
        },
    };
    check::loss(&half, 6, &Targets::Values(3.into())).unwrap();
    let network = Sequential::new([3]).layer(Dense::new(6)).build(1).unwrap();
    check::network(&network, half, &Targets::Values(3.into())).unwrap();
}

/// y = x, written to scratch memory and read again; and what its fast version promises and can't keep.
#[derive(Debug, Clone)]
struct Copied {
    outputs: usize,
    parameter: bool,
    fast: Option<Promise>,
}

#[derive(Debug, Clone, Copy)]
enum Promise {
    InPlace,
    AcrossBatch,
    InterleavedWholeBatch,
}

impl Layer for Copied {
    fn kind(&self) -> &'static str {
        "copied"
    }
    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
        let mut bound = BoundLayer::new(self.outputs, self.clone()).with_scratch(input.size());
        if self.parameter {
            bound = bound.with_parameter(Parameter::bias(1));
        }
        Ok(match self.fast {
            Some(promise) => bound.with_fast(promise),
            None => bound,
        })
    }
}

impl Passes for Copied {
    fn forward(&self, pass: Forward<'_>) {
        pass.scratch.copy_from_slice(pass.x);
        pass.y.copy_from_slice(&pass.scratch[..self.outputs]);
    }
    fn backward(&self, pass: Backward<'_>) {
        pass.scratch.fill(0.0);
        pass.scratch[..self.outputs].copy_from_slice(pass.dy);
        pass.dx.copy_from_slice(pass.scratch);
    }
}

/// It is never run.
impl BlockLayer for Promise {
    fn layouts(&self) -> Layouts {
        Layouts::Either
    }
    fn forward(&self, _: BlockForward<'_>) {}
    fn backward(&self, _: BlockBackward<'_>) {}
    fn in_place(&self) -> Option<&dyn InPlace> {
        matches!(self, Promise::InPlace).then_some(self)
    }
    fn whole_batch(&self) -> Option<&dyn WholeBatchGradient> {
        matches!(self, Promise::InterleavedWholeBatch).then_some(self)
    }
    fn across_batch(&self) -> Option<&dyn AcrossBatch> {
        matches!(self, Promise::AcrossBatch).then_some(self)
    }
}

impl InPlace for Promise {
    fn forward(&self, _: InPlaceForward<'_>) {}
    fn backward(&self, _: InPlaceBackward<'_>) {}
}

impl WholeBatchGradient for Promise {
    fn gradient(&self, _: BatchGradient<'_>) {}
}

impl AcrossBatch for Promise {
    fn statistics(&self) -> usize {
        0
    }
    fn gather(&self, _: BlockOf, _: &[Float], _: &mut [Float]) {}
    fn merge(&self, _: &mut [Float], _: usize, _: &[Float], _: usize) {}
    fn sums(&self) -> usize {
        0
    }
    fn gather_backward(&self, _: BlockOf, _: &[Float], _: &[Float], _: &[Float], _: &mut [Float]) {}
    fn update_state(&self, _: &[Float], _: usize, _: TensorsMut<'_>) {}
}

#[test]
fn passes_have_scratch_memory() {
    let layer = Copied {
        outputs: 3,
        parameter: false,
        fast: None,
    };
    check::layer(&layer, 3).unwrap();
    check::layer(&Copied { outputs: 2, ..layer }, 5).unwrap();
}

#[test]
fn promises_that_can_not_be_kept_are_refused() {
    let refused = |outputs: usize, parameter: bool, promise: Promise, expected: &str| {
        let layer = Copied {
            outputs,
            parameter,
            fast: Some(promise),
        };
        let error = Sequential::new([4])
            .layer(layer.clone())
            .build(1)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("layer 0 (copied)") && error.contains(expected),
            "{error}"
        );
        let error = check::layer(&layer, 4).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    refused(3, false, Promise::InPlace, "works in place");
    refused(4, true, Promise::InPlace, "works in place");
    refused(4, false, Promise::AcrossBatch, "across the batch, or neither");
    refused(4, true, Promise::InterleavedWholeBatch, "over the whole batch");
}

#[test]
fn harnesses_refuse_what_can_not_be_run() {
    let harness = || check::LayerHarness::new(&Dense::new(2), [3]).unwrap();
    let refused = |result: Result<Vec<Float>, String>, expected: &str| assert_eq!(result.unwrap_err(), expected);
    let x = [1.0; 6];
    refused(harness().infer(&[]), "x has 0 values, and a sample has 3");
    refused(harness().infer(&x[..4]), "x has 4 values, and a sample has 3");
    refused(
        harness().step(&x, &x).map(|step| step.y),
        "dy should have 4 values, got 6",
    );
    refused(
        harness().parameters(&x).infer(&x),
        "the parameters should have 8 values, got 6",
    );
    refused(harness().state(&x).infer(&x), "the state should have 0 values, got 6");
    refused(harness().block(0).infer(&x), "it can't run in blocks of 0 samples");
    refused(harness().interleaved().infer(&x), "it can't run on interleaved samples");
    refused(harness().in_place().infer(&x), "it can't run in place");
    refused(harness().reference().bfloat16().infer(&x), "it can't run in bfloat16");
}
