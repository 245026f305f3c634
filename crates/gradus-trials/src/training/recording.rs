//! Learning rates of a run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use gradus::{Float, optim};

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

    fn update(&self, mut step: optim::Step, w: &mut [Float], dw: &[Float], state: &mut [&mut [Float]]) {
        match &self.rates {
            Some(rates) => step.learning_rate = rates[step.number as usize - 1],
            None => {
                let mut recorded = self.recorded.lock().expect("no thread panics here");
                recorded.insert(step.number, step.learning_rate);
            }
        }
        self.optimizer.update(step, w, dw, state);
    }
}
