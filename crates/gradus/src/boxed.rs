//! A pointer to an item of a family is that item: it has the same name, settings and effects, and can be handed to whatever takes one.

use std::sync::Arc;

use serde_json::Value;

use crate::augment::Augmentation;
use crate::callback::{Callback, CallbackState, EpochEnd, Flow, Start};
use crate::data::{Target, Targets};
use crate::history::History;
use crate::init::{Fans, Initializer};
use crate::layer::{Operation, OutputKind};
use crate::loss::{Loss, OutputActivation};
use crate::metric::{Meter, Metric};
use crate::optim::advanced::TensorOptimizer;
use crate::optim::{Optimizer, Step};
use crate::random::Rng;
use crate::schedule::{Schedule, ScheduleContext};
use crate::{Float, Network, Result, Shape};

/// Implements a trait for pointers by these methods. The lint finds one that has a default and is not passed on.
macro_rules! delegate {
    ($(impl $item:ident for [$($pointer:ty),*] by $methods:ident;)*) => {$($(
        #[deny(clippy::missing_trait_methods)]
        impl<T: $item + ?Sized> $item for $pointer {
            $methods!();
        }
    )*)*};
}

macro_rules! loss {
    () => {
        fn name(&self) -> &'static str {
            (**self).name()
        }
        fn settings(&self) -> Option<Value> {
            (**self).settings()
        }
        fn validate(&self, output: &Shape, targets: &Targets) -> Result<()> {
            (**self).validate(output, targets)
        }
        fn loss(&self, y: &[Float], target: Target<'_>) -> Float {
            (**self).loss(y, target)
        }
        fn gradient(&self, y: &[Float], target: Target<'_>, dy: &mut [Float]) {
            (**self).gradient(y, target, dy);
        }
        fn loss_and_gradient(&self, y: &[Float], target: Target<'_>, dy: &mut [Float]) -> Float {
            (**self).loss_and_gradient(y, target, dy)
        }
        fn losses_and_gradients<'t>(
            &self,
            y: &[Float],
            target: &(dyn Fn(usize) -> Target<'t> + 't),
            dy: &mut [Float],
            losses: &mut [Float],
        ) {
            (**self).losses_and_gradients(y, target, dy, losses);
        }
        fn check_output_kind(&self, kind: OutputKind) -> Result<()> {
            (**self).check_output_kind(kind)
        }
        fn output_activation(&self) -> Option<OutputActivation> {
            (**self).output_activation()
        }
        fn fused_with(&self, last: Operation) -> Option<Box<dyn Loss>> {
            (**self).fused_with(last)
        }
    };
}

macro_rules! optimizer {
    () => {
        fn name(&self) -> &'static str {
            (**self).name()
        }
        fn settings(&self) -> Option<Value> {
            (**self).settings()
        }
        fn validate(&self) -> Result<()> {
            (**self).validate()
        }
        fn learning_rate(&self) -> f64 {
            (**self).learning_rate()
        }
        fn slots(&self) -> usize {
            (**self).slots()
        }
        fn decays(&self) -> bool {
            (**self).decays()
        }
        fn with_weight_decay(&self, weight_decay: f64) -> Option<Box<dyn Optimizer>> {
            (**self).with_weight_decay(weight_decay)
        }
        fn whole_tensors(&self) -> Option<&dyn TensorOptimizer> {
            (**self).whole_tensors()
        }
        fn update(&self, step: Step, w: &mut [Float], dw: &[Float], state: &mut [&mut [Float]]) {
            (**self).update(step, w, dw, state);
        }
    };
}

macro_rules! schedule {
    () => {
        fn name(&self) -> &'static str {
            (**self).name()
        }
        fn settings(&self) -> Option<Value> {
            (**self).settings()
        }
        fn validate(&self) -> Result<()> {
            (**self).validate()
        }
        fn check_length(&self, run: &ScheduleContext<'_>) -> Result<()> {
            (**self).check_length(run)
        }
        fn factor(&self, context: &ScheduleContext<'_>) -> f64 {
            (**self).factor(context)
        }
        fn reads_steps(&self) -> bool {
            (**self).reads_steps()
        }
    };
}

macro_rules! metric {
    () => {
        fn name(&self) -> String {
            (**self).name()
        }
        fn kind(&self) -> String {
            (**self).kind()
        }
        fn settings(&self) -> Option<Value> {
            (**self).settings()
        }
        fn higher_is_better(&self) -> bool {
            (**self).higher_is_better()
        }
        fn validate(&self, output: &Shape, targets: &Targets) -> Result<()> {
            (**self).validate(output, targets)
        }
        fn meter(&self, output: &Shape) -> Box<dyn Meter> {
            (**self).meter(output)
        }
    };
}

macro_rules! augmentation {
    () => {
        fn name(&self) -> &'static str {
            (**self).name()
        }
        fn settings(&self) -> Option<Value> {
            (**self).settings()
        }
        fn validate(&self, shape: &Shape) -> Result<()> {
            (**self).validate(shape)
        }
        fn apply(&self, shape: &Shape, x: &mut [Float], rng: &mut Rng, scratch: &mut Vec<Float>) {
            (**self).apply(shape, x, rng, scratch);
        }
    };
}

macro_rules! callback {
    () => {
        fn on_start(&mut self, start: &Start<'_>, network: &Network) -> Result<()> {
            (**self).on_start(start, network)
        }
        fn on_step(&mut self, epoch: usize, samples: usize, loss: f64) -> Result<()> {
            (**self).on_step(epoch, samples, loss)
        }
        fn on_epoch(&mut self, end: &EpochEnd<'_>) -> Result<Flow> {
            (**self).on_epoch(end)
        }
        fn save(&self, state: &mut CallbackState) {
            (**self).save(state);
        }
        fn restore(&mut self, state: &CallbackState) -> Result<()> {
            (**self).restore(state)
        }
        fn on_checkpoint(&mut self) -> Result<()> {
            (**self).on_checkpoint()
        }
        fn on_end(&mut self, network: &mut Network, history: &History) -> Result<()> {
            (**self).on_end(network, history)
        }
    };
}

delegate! {
    impl Loss for [Box<T>, Arc<T>] by loss;
    impl Optimizer for [Box<T>, Arc<T>] by optimizer;
    impl Schedule for [Box<T>, Arc<T>] by schedule;
    impl Metric for [Box<T>, Arc<T>] by metric;
    impl Augmentation for [Box<T>, Arc<T>] by augmentation;
    impl Callback for [Box<T>, &mut T] by callback;
}

/// An initializer chosen at run time. Files know initializers by their types: [`behind_pointers`] finds the one that is meant.
macro_rules! initializer {
    ($($pointer:ty),*) => {$(
        #[deny(clippy::missing_trait_methods)]
        impl Initializer for $pointer {
            fn name(&self) -> &'static str {
                (**self).name()
            }
            fn settings(&self) -> Option<Value> {
                (**self).settings()
            }
            fn fill(&self, shape: &Shape, fans: Fans, rng: &mut Rng, values: &mut [Float]) {
                (**self).fill(shape, fans, rng, values);
            }
        }
    )*};
}
initializer!(Box<dyn Initializer>, Arc<dyn Initializer>);

/// The initializer itself, where this is a pointer to one.
pub(crate) fn behind_pointers(init: &dyn Initializer) -> &dyn Initializer {
    let any: &dyn std::any::Any = init;
    if let Some(boxed) = any.downcast_ref::<Box<dyn Initializer>>() {
        return behind_pointers(&**boxed);
    }
    match any.downcast_ref::<Arc<dyn Initializer>>() {
        Some(shared) => behind_pointers(&**shared),
        None => init,
    }
}
