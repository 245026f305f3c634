//! Where the time of training goes.

use std::fmt;
use std::time::Duration;

use crate::error::plural;

/// Where the time of training went, layer by layer: what [`Fit::profile`](crate::Fit::profile) gives.
///
/// Times are summed over the threads. Printed, it is a table with the speed that each layer reached.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Profile {
    /// Training samples that went through the network.
    pub samples: u64,
    /// How many threads worked.
    pub threads: usize,
    /// How long training took, without validation.
    pub elapsed: Duration,
    /// The layers, in the order in which they run.
    pub layers: Vec<LayerTime>,
    /// Reading samples and augmenting them.
    pub reading: Duration,
    /// The loss and its gradient.
    pub loss: Duration,
    /// Changing the layout of samples, copies and sums of residual blocks.
    pub moving: Duration,
}

/// The time of one layer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LayerTime {
    /// The layer: `layer 3 (conv2d)`.
    pub layer: String,
    /// Its forward passes.
    pub forward: Duration,
    /// Its backward passes.
    pub backward: Duration,
    /// Its gradients over the whole batch, and the optimizer's updates of its parameters.
    pub update: Duration,
    /// Multiply-adds of one sample in training: forward, for the parameters' gradients, and for the input's where that is wanted.
    pub multiply_adds: u64,
}

impl LayerTime {
    /// All its time.
    pub fn total(&self) -> Duration {
        self.forward + self.backward + self.update
    }
}

impl Profile {
    /// Multiply-adds of one sample in training.
    pub fn multiply_adds(&self) -> u64 {
        self.layers.iter().map(|layer| layer.multiply_adds).sum()
    }

    /// Floating-point operations a second, over all threads: two for each multiply-add.
    pub fn flops(&self) -> f64 {
        2.0 * self.multiply_adds() as f64 * self.samples as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// What of the threads' time went into nothing that is named: waiting for each other, copying weights into bfloat16, and the
    /// loop around the steps.
    pub fn rest(&self) -> Duration {
        let named: Duration = self.layers.iter().map(LayerTime::total).sum();
        (self.elapsed * self.threads as u32).saturating_sub(named + self.reading + self.loss + self.moving)
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .layers
            .iter()
            .map(|layer| layer.layer.chars().count())
            .max()
            .unwrap_or(0)
            .max(14);
        let whole = self.elapsed.as_secs_f64().max(1e-9) * self.threads as f64;
        let per_sample = |time: Duration| time.as_secs_f64() * 1e6 / self.samples.max(1) as f64;
        writeln!(
            f,
            "{:<width$}  {:>10}  {:>10}  {:>10}  {:>7}  {:>9}",
            "µs a sample", "forward", "backward", "update", "share", "GFLOP/s"
        )?;
        for layer in &self.layers {
            let time = layer.total().as_secs_f64();
            let flops = 2.0 * (layer.multiply_adds * self.samples) as f64;
            let speed = if layer.multiply_adds > 0 && time > 0.0 {
                format!("{:.1}", flops / time / 1e9)
            } else {
                String::new()
            };
            writeln!(
                f,
                "{:<width$}  {:>10.3}  {:>10.3}  {:>10.3}  {:>6.1}%  {speed:>9}",
                layer.layer,
                per_sample(layer.forward),
                per_sample(layer.backward),
                per_sample(layer.update),
                100.0 * time / whole
            )?;
        }
        for (what, time) in [
            ("reading", self.reading),
            ("loss", self.loss),
            ("moving", self.moving),
            ("waiting, rest", self.rest()),
        ] {
            writeln!(
                f,
                "{what:<width$}  {:>10.3}  {:>10}  {:>10}  {:>6.1}%",
                per_sample(time),
                "",
                "",
                100.0 * time.as_secs_f64() / whole
            )?;
        }
        write!(
            f,
            "{} in {:.3} s on {}: {:.1} GFLOP/s (GFLOP/s of a layer are those of one thread)",
            plural(self.samples as usize, "sample"),
            self.elapsed.as_secs_f64(),
            plural(self.threads, "thread"),
            self.flops() / 1e9
        )
    }
}
