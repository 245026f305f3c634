use std::collections::BTreeMap;

use crate::Weights;

/// What callbacks remember from one epoch to the next, in a checkpoint: each under a name of its own.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CallbackState {
    pub(crate) numbers: BTreeMap<String, Vec<f64>>,
    pub(crate) weights: BTreeMap<String, Weights>,
}

impl CallbackState {
    /// Remembers some numbers; every bit of them.
    pub fn set_numbers(&mut self, name: impl Into<String>, numbers: &[f64]) {
        self.numbers.insert(name.into(), numbers.to_vec());
    }

    /// The numbers under this name.
    pub fn numbers(&self, name: &str) -> Option<&[f64]> {
        self.numbers.get(name).map(Vec::as_slice)
    }

    /// Remembers the weights of a network.
    pub fn set_weights(&mut self, name: impl Into<String>, weights: &Weights) {
        self.weights.insert(name.into(), weights.clone());
    }

    /// The weights under this name.
    pub fn weights(&self, name: &str) -> Option<&Weights> {
        self.weights.get(name)
    }
}
