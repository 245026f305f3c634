//! A pointer to an item is that item, in everything that it has beside what its trait gives by default.

mod common;

use std::cell::RefCell;
use std::sync::Arc;

use common::*;
use gradus::augment::Augmentation;
use gradus::callback::{Callback, CallbackState, EpochEnd, Flow, Start};
use gradus::data::{Target, Targets};
use gradus::history::History;
use gradus::init::{Fans, Initializer, Normal};
use gradus::layer::Operation;
use gradus::loss::{Loss, OutputActivation};
use gradus::metric::{Meter, Metric};
use gradus::optim::advanced::{TensorOptimizer, TensorUpdate};
use gradus::optim::{Optimizer, Step};
use gradus::prelude::*;
use gradus::random::{Purpose, Rng, stream};
use gradus::schedule::{Schedule, ScheduleContext, StepDecay};
use gradus::{Error, Float, Result, Shape};
use serde_json::{Value, json};

fn no<T>(what: &str) -> Result<T> {
    Err(Error::invalid(what))
}

/// Nothing about it is the default.
#[derive(Debug)]
struct Own;

impl Loss for Own {
    fn name(&self) -> &'static str {
        "own_loss"
    }
    fn settings(&self) -> Option<Value> {
        Some(json!({ "own": 1 }))
    }
    fn validate(&self, _output: &Shape, _targets: &Targets) -> Result<()> {
        no("own loss")
    }
    fn loss(&self, _y: &[Float], _target: Target<'_>) -> Float {
        1.0
    }
    fn gradient(&self, _y: &[Float], _target: Target<'_>, dy: &mut [Float]) {
        dy.fill(2.0);
    }
    fn loss_and_gradient(&self, _y: &[Float], _target: Target<'_>, dy: &mut [Float]) -> Float {
        dy.fill(3.0);
        4.0
    }
    fn losses_and_gradients<'t>(
        &self,
        _y: &[Float],
        _target: &(dyn Fn(usize) -> Target<'t> + 't),
        dy: &mut [Float],
        losses: &mut [Float],
    ) {
        dy.fill(5.0);
        losses.fill(6.0);
    }
    fn output_activation(&self) -> Option<OutputActivation> {
        Some(OutputActivation::Sigmoid)
    }
    fn fused_with(&self, _last: Operation) -> Option<Box<dyn Loss>> {
        Some(Box::new(MeanSquaredError))
    }
}

fn of_loss(loss: impl Loss) -> String {
    let class = Target::Class(0);
    let (mut dy, mut dys, mut losses) = ([[0.0; 2]; 2], [0.0; 2], [0.0; 2]);
    loss.gradient(&[0.0], class, &mut dy[0]);
    let both = loss.loss_and_gradient(&[0.0], class, &mut dy[1]);
    loss.losses_and_gradients(&[0.0; 2], &|_| class, &mut dys, &mut losses);
    let results = (dy, dys, losses, loss.loss(&[0.0], class), both);
    let fused = loss.fused_with(Operation::Softmax);
    let refusal = loss.validate(&Shape::from(1), &Targets::Classes(2));
    let says = (loss.name(), loss.settings(), loss.output_activation());
    format!("{loss:?} {results:?} {fused:?} {refusal:?} {says:?}")
}

impl Optimizer for Own {
    fn name(&self) -> &'static str {
        "own_optimizer"
    }
    fn settings(&self) -> Option<Value> {
        Some(json!({ "own": 2 }))
    }
    fn validate(&self) -> Result<()> {
        no("own optimizer")
    }
    fn learning_rate(&self) -> f64 {
        0.5
    }
    fn slots(&self) -> usize {
        3
    }
    fn decays(&self) -> bool {
        false
    }
    fn with_weight_decay(&self, weight_decay: f64) -> Option<Box<dyn Optimizer>> {
        Some(Box::new(Sgd::new(0.1).weight_decay(weight_decay)))
    }
    fn whole_tensors(&self) -> Option<&dyn TensorOptimizer> {
        Some(self)
    }
    fn update(&self, _step: Step, w: &mut [Float], _dw: &[Float], _state: &mut [&mut [Float]]) {
        w.fill(7.0);
    }
}

impl TensorOptimizer for Own {
    fn takes(&self, shape: &Shape, _decays: bool) -> bool {
        shape.size() == 5
    }
    fn update(&self, _tensor: TensorUpdate<'_>) {}
}

fn of_optimizer(optimizer: impl Optimizer) -> String {
    let step = Step::new(1, 0.1, false);
    let mut w = [0.0; 2];
    optimizer.update(step, &mut w, &[1.0; 2], &mut []);
    let (name, settings, rate) = (optimizer.name(), optimizer.settings(), optimizer.learning_rate());
    let (decayed, tensors) = (optimizer.with_weight_decay(0.25), optimizer.whole_tensors());
    let takes = tensors.map(|tensors| tensors.takes(&Shape::from(5), true));
    let says = (
        name,
        settings,
        rate,
        optimizer.slots(),
        optimizer.decays(),
        decayed,
        takes,
    );
    format!("{optimizer:?} {w:?} {:?} {says:?}", optimizer.validate())
}

impl Schedule for Own {
    fn name(&self) -> &'static str {
        "own_schedule"
    }
    fn settings(&self) -> Option<Value> {
        Some(json!({ "own": 3 }))
    }
    fn validate(&self) -> Result<()> {
        no("own schedule")
    }
    fn factor(&self, context: &ScheduleContext<'_>) -> f64 {
        context.step as f64
    }
    fn check_length(&self, _run: &ScheduleContext<'_>) -> Result<()> {
        no("own length")
    }
    fn reads_steps(&self) -> bool {
        false
    }
}

fn of_schedule(schedule: impl Schedule) -> String {
    let context = ScheduleContext::new(5, 10, 5, &[]);
    let says = (
        schedule.name(),
        schedule.settings(),
        schedule.reads_steps(),
        schedule.check_length(&context),
    );
    format!(
        "{schedule:?} {} {:?} {says:?}",
        schedule.factor(&context),
        schedule.validate()
    )
}

impl Metric for Own {
    fn name(&self) -> String {
        "own_4".into()
    }
    fn kind(&self) -> String {
        "own_metric".into()
    }
    fn settings(&self) -> Option<Value> {
        Some(json!({ "own": 4 }))
    }
    fn higher_is_better(&self) -> bool {
        true
    }
    fn validate(&self, _output: &Shape, _targets: &Targets) -> Result<()> {
        no("own metric")
    }
    fn meter(&self, output: &Shape) -> Box<dyn Meter> {
        Accuracy.meter(output)
    }
}

fn of_metric(metric: impl Metric) -> String {
    let output = Shape::from(2);
    let refusal = metric.validate(&output, &Targets::Classes(2));
    let says = (
        metric.name(),
        metric.kind(),
        metric.settings(),
        metric.higher_is_better(),
    );
    format!("{metric:?} {:?} {refusal:?} {says:?}", metric.meter(&output))
}

impl Augmentation for Own {
    fn name(&self) -> &'static str {
        "own_augmentation"
    }
    fn settings(&self) -> Option<Value> {
        Some(json!({ "own": 5 }))
    }
    fn validate(&self, _shape: &Shape) -> Result<()> {
        no("own augmentation")
    }
    fn apply(&self, _shape: &Shape, x: &mut [Float], _rng: &mut Rng, scratch: &mut Vec<Float>) {
        x.fill(8.0);
        scratch.push(9.0);
    }
}

fn of_augmentation(augmentation: impl Augmentation) -> String {
    let (shape, mut x, mut scratch) = (Shape::from(2), [0.0; 2], Vec::new());
    augmentation.apply(&shape, &mut x, &mut stream(1, Purpose::User, &[]), &mut scratch);
    let says = (augmentation.name(), augmentation.settings());
    format!(
        "{augmentation:?} {x:?} {scratch:?} {:?} {says:?}",
        augmentation.validate(&shape)
    )
}

impl Initializer for Own {
    fn name(&self) -> &'static str {
        "own_initializer"
    }
    fn settings(&self) -> Option<Value> {
        Some(json!({ "own": 6 }))
    }
    fn fill(&self, _shape: &Shape, _fans: Fans, _rng: &mut Rng, values: &mut [Float]) {
        values.fill(0.25);
    }
}

/// Its first values in a network, and what the network's file says of it.
fn of_initializer(init: impl Initializer) -> String {
    let says = (init.name(), init.settings());
    let layers = Sequential::new([2]).layer(Dense::new(2).init(init));
    let network = layers.build(1).unwrap();
    format!("{says:?} {:?} {}", network.weights(), network.architecture().unwrap())
}

#[test]
fn a_pointer_has_the_settings_and_effects_of_its_item() {
    let expected = of_loss(Own);
    assert_eq!([of_loss(Box::new(Own)), of_loss(Arc::new(Own))], [&*expected; 2]);
    assert_eq!(of_loss(Box::new(Own) as Box<dyn Loss>), expected);
    assert_eq!(of_loss(Arc::new(Own) as Arc<dyn Loss>), expected);
    let expected = of_optimizer(Own);
    assert_eq!(of_optimizer(Box::new(Own) as Box<dyn Optimizer>), expected);
    assert_eq!(of_optimizer(Arc::new(Own) as Arc<dyn Optimizer>), expected);
    let expected = of_schedule(Own);
    assert_eq!(of_schedule(Box::new(Own) as Box<dyn Schedule>), expected);
    assert_eq!(of_schedule(Arc::new(Own) as Arc<dyn Schedule>), expected);
    let expected = of_metric(Own);
    assert_eq!(of_metric(Box::new(Own) as Box<dyn Metric>), expected);
    assert_eq!(of_metric(Arc::new(Own) as Arc<dyn Metric>), expected);
    let expected = of_augmentation(Own);
    assert_eq!(of_augmentation(Box::new(Own) as Box<dyn Augmentation>), expected);
    assert_eq!(of_augmentation(Arc::new(Own) as Arc<dyn Augmentation>), expected);
    let expected = of_initializer(Own);
    assert!(expected.contains(r#""kind":"own_initializer""#), "{expected}");
    assert_eq!(of_initializer(Box::new(Own) as Box<dyn Initializer>), expected);
    assert_eq!(of_initializer(Arc::new(Own) as Arc<dyn Initializer>), expected);
}

/// Files keep one of the library's by its name and settings, also behind several pointers.
#[test]
fn files_keep_an_initializer_behind_a_pointer() {
    let normal = || Normal::new(0.0, 0.5);
    let expected = of_initializer(normal());
    assert!(expected.contains(r#""kind":"normal""#), "{expected}");
    let boxed: Box<dyn Initializer> = Box::new(normal());
    let shared: Arc<dyn Initializer> = Arc::new(boxed);
    assert_eq!(of_initializer(shared), expected);
    let named = gradus::init::by_name("glorot_uniform").unwrap();
    assert_eq!(of_initializer(named), of_initializer(gradus::init::GlorotUniform));
}

/// Which of its methods were called.
struct Watching<'a>(&'a RefCell<Vec<&'static str>>);

impl Watching<'_> {
    fn called<T>(&self, what: &'static str, result: T) -> Result<T> {
        self.0.borrow_mut().push(what);
        Ok(result)
    }
}

impl Callback for Watching<'_> {
    fn on_start(&mut self, _start: &Start<'_>, _network: &Network) -> Result<()> {
        self.called("on_start", ())
    }
    fn on_step(&mut self, _epoch: usize, _samples: usize, _loss: f64) -> Result<()> {
        self.called("on_step", ())
    }
    fn on_epoch(&mut self, _end: &EpochEnd<'_>) -> Result<Flow> {
        self.called("on_epoch", Flow::Stop)
    }
    fn save(&self, state: &mut CallbackState) {
        state.set_numbers("watching", &[1.0]);
        self.called("save", ()).unwrap();
    }
    fn restore(&mut self, state: &CallbackState) -> Result<()> {
        assert_eq!(state.numbers("watching"), Some(&[1.0][..]));
        self.called("restore", ())
    }
    fn on_checkpoint(&mut self) -> Result<()> {
        self.called("on_checkpoint", ())
    }
    fn on_end(&mut self, _network: &mut Network, _history: &History) -> Result<()> {
        self.called("on_end", ())
    }
}

#[test]
fn a_callback_behind_a_pointer_is_called() {
    let data = some_digits(40);
    let file = std::env::temp_dir().join(format!("gradus-boxed-{}", std::process::id()));
    let calls = |callback: &mut dyn FnMut(Watching<'_>, bool)| {
        let calls = RefCell::new(Vec::new());
        callback(Watching(&calls), false);
        callback(Watching(&calls), true);
        calls.into_inner()
    };
    let fit = |resumes: bool| {
        let fit = Fit::new(CrossEntropy::new(), Sgd::new(0.1)).epochs(2).batch_size(40);
        let fit = fit.checkpoint(&file, std::time::Duration::from_secs(1000));
        if resumes { fit.resume(&file) } else { fit }
    };
    let run = |fit: Fit<'_>| drop(fit.run(&mut perceptron(1), &data).unwrap());
    let expected = calls(&mut |callback, resumes| run(fit(resumes).callback(callback)));
    for method in [
        "on_start",
        "on_step",
        "on_epoch",
        "save",
        "restore",
        "on_checkpoint",
        "on_end",
    ] {
        assert!(expected.contains(&method), "{method} is not in {expected:?}");
    }
    let boxed = calls(&mut |callback, resumes| {
        let callback: Box<dyn Callback + '_> = Box::new(callback);
        run(fit(resumes).callback(callback));
    });
    assert_eq!(boxed, expected);
    let borrowed = calls(&mut |mut callback, resumes| run(fit(resumes).callback(&mut callback)));
    assert_eq!(borrowed, expected);
    std::fs::remove_file(file).unwrap();
}

/// A run with items chosen at run time is the run with these items, and goes on from its checkpoint.
#[test]
fn a_run_with_pointers_is_the_same_run() {
    let data = some_digits(100);
    let file = std::env::temp_dir().join(format!("gradus-boxed-run-{}", std::process::id()));
    let fit = |pointers: bool| {
        let fit = if pointers {
            let loss: Arc<dyn Loss> = Arc::new(CrossEntropy::new());
            let optimizer: Box<dyn Optimizer> = Box::new(Sgd::new(0.1).momentum(0.9).weight_decay(0.01));
            let schedule: Box<dyn Schedule> = Box::new(StepDecay::new(1, 0.5));
            let metric: Box<dyn Metric> = Box::new(TopK::new(3));
            Fit::new(loss, optimizer).schedule(schedule).metric(metric)
        } else {
            let fit = Fit::new(CrossEntropy::new(), Sgd::new(0.1).momentum(0.9).weight_decay(0.01));
            fit.schedule(StepDecay::new(1, 0.5)).metric(TopK::new(3))
        };
        fit.epochs(2).batch_size(20)
    };
    let (mut itself, mut pointed) = (perceptron(1), perceptron(1));
    let every = std::time::Duration::from_secs(1000);
    fit(false).checkpoint(&file, every).run(&mut itself, &data).unwrap();
    fit(true).run(&mut pointed, &data).unwrap();
    assert_eq!(itself.weights(), pointed.weights());
    let mut resumed = perceptron(1);
    fit(true).epochs(3).resume(&file).run(&mut resumed, &data).unwrap();
    let mut whole = perceptron(1);
    fit(false).epochs(3).run(&mut whole, &data).unwrap();
    assert_eq!(resumed.weights(), whole.weights());
    std::fs::remove_file(file).unwrap();
}
