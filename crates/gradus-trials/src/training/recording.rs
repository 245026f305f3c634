//! Learning rates of a run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use gradus::optim::advanced::{TensorOptimizer, TensorUpdate};
use gradus::{Float, Shape, optim};

/// An optimizer that records the learning rate of each step, or has its own.
#[derive(Debug)]
pub(super) struct RecordingOptimizer {
    optimizer: Arc<dyn optim::Optimizer>,
    rates: Option<Vec<Float>>,
    recorded: Mutex<BTreeMap<u64, Float>>,
}

impl RecordingOptimizer {
    pub(super) fn new(optimizer: Arc<dyn optim::Optimizer>) -> Self {
        RecordingOptimizer {
            optimizer,
            rates: None,
            recorded: Mutex::default(),
        }
    }

    pub(super) fn with_rates(optimizer: Arc<dyn optim::Optimizer>, rates: &[Float]) -> Self {
        RecordingOptimizer {
            rates: Some(rates.to_vec()),
            ..Self::new(optimizer)
        }
    }

    pub(super) fn rates(&self) -> Vec<Float> {
        let recorded = self.recorded.lock().expect("no thread panics here");
        recorded.values().copied().collect()
    }

    /// Records the learning rate of a step, or sets it.
    fn record(&self, step: &mut optim::Step) {
        match &self.rates {
            Some(rates) => step.learning_rate = rates[step.number as usize - 1],
            None => {
                let mut recorded = self.recorded.lock().expect("no thread panics here");
                recorded.insert(step.number, step.learning_rate);
            }
        }
    }
}

impl optim::Optimizer for RecordingOptimizer {
    fn name(&self) -> &'static str {
        self.optimizer.name()
    }

    fn validate(&self) -> gradus::Result<()> {
        self.optimizer.validate()
    }

    fn learning_rate(&self) -> f64 {
        self.optimizer.learning_rate()
    }

    fn slots(&self) -> usize {
        self.optimizer.slots()
    }

    fn decays(&self) -> bool {
        self.optimizer.decays()
    }

    fn whole_tensors(&self) -> Option<&dyn TensorOptimizer> {
        self.optimizer.whole_tensors().is_some().then_some(self)
    }

    fn update(&self, mut step: optim::Step, w: &mut [Float], dw: &[Float], state: &mut [&mut [Float]]) {
        self.record(&mut step);
        self.optimizer.update(step, w, dw, state);
    }
}

impl RecordingOptimizer {
    /// The optimizer of whole tensors, which is asked for where there is one alone.
    fn tensors(&self) -> &dyn TensorOptimizer {
        let tensors = self.optimizer.whole_tensors();
        tensors.expect("it is an optimizer of whole tensors")
    }
}

impl TensorOptimizer for RecordingOptimizer {
    fn takes(&self, shape: &Shape, decays: bool) -> bool {
        self.tensors().takes(shape, decays)
    }

    fn scratch(&self, shape: &Shape) -> usize {
        self.tensors().scratch(shape)
    }

    fn update(&self, mut tensor: TensorUpdate<'_>) {
        self.record(&mut tensor.step);
        self.tensors().update(tensor);
    }
}
