//! How parameters get their first values.

use std::fmt::Debug;

use crate::random::Rng;
use crate::{Float, Shape};

/// How many inputs and outputs meet in a weight tensor.
///
/// For a dense layer these are its inputs and units. For a convolution, an output is fed by
/// `in_channels / groups · kernel_height · kernel_width` inputs, and an input feeds
/// `out_channels / groups · kernel_height · kernel_width` outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fans {
    /// Inputs to each output.
    pub fan_in: usize,
    /// Outputs fed by each input.
    pub fan_out: usize,
}

impl Fans {
    /// These fans.
    pub fn new(fan_in: usize, fan_out: usize) -> Self {
        Fans { fan_in, fan_out }
    }
}

/// How a parameter gets its first values.
pub trait Initializer: Debug + Send + Sync {
    /// Its name, as network files give it: `he_normal`.
    fn name(&self) -> &'static str;

    /// Fills a tensor of this shape.
    fn fill(&self, shape: &Shape, fans: Fans, rng: &mut Rng, values: &mut [Float]);
}

/// All values 0.
#[derive(Debug, Clone, Copy)]
pub struct Zeros;

impl Initializer for Zeros {
    fn name(&self) -> &'static str {
        "zeros"
    }

    fn fill(&self, _shape: &Shape, _fans: Fans, _rng: &mut Rng, values: &mut [Float]) {
        values.fill(0.0);
    }
}
