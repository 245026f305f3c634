//! How good a network is on a set of samples.

use std::ops::Range;

use std::fmt;

use gradus_kernels::vectorize;

use crate::data::{Dataset, Target};
use crate::engine::{Inference, Watched};
use crate::error::plural;
use crate::loss::Loss;
use crate::metric::Metric;
use crate::objective::Objective;
use crate::{Error, Float, Network, Result};

/// About how many outputs are computed before they are looked at.
const OUTPUTS: usize = 1 << 20;

/// The loss and the metrics of a network on a set of samples; each is over samples, whatever the batches.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Evaluation {
    /// How many samples there were.
    pub samples: usize,
    /// The mean loss.
    pub loss: f64,
    /// Each metric's name and value.
    pub metrics: Vec<(String, f64)>,
}

impl Evaluation {
    /// The value of a metric, by its name.
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.metrics.iter().find(|(n, _)| n == name).map(|(_, value)| *value)
    }
}

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "loss {:.4}", self.loss)?;
        for (name, value) in &self.metrics {
            write!(f, ", {name} {value:.4}")?;
        }
        write!(f, " ({})", plural(self.samples, "sample"))
    }
}

impl Network {
    /// The mean loss and the metrics on all samples of `data`, on all the machine's threads. The loss is that of training,
    /// computed [from logits](mod@crate::loss) where the network has any; metrics see probabilities.
    ///
    /// # Errors
    /// If the data is empty or doesn't fit the network, the loss or a metric; or if the loss of a sample is infinite or NaN.
    #[doc(alias = "test")]
    pub fn evaluate(&self, data: &dyn Dataset, loss: &dyn Loss, metrics: &[&dyn Metric]) -> Result<Evaluation> {
        let threads = default_threads();
        self.evaluator(data, threads)?.evaluate(self, data, loss, metrics)
    }

    /// What [`evaluate`](Network::evaluate) needs, to be used more than once.
    pub(crate) fn evaluator(&self, data: &dyn Dataset, threads: usize) -> Result<Inference> {
        let at_once = (OUTPUTS / self.output_shape().size().max(1)).clamp(256, 8192);
        Inference::new(self, data.len().clamp(1, at_once), threads)
    }
}

impl Inference {
    /// Calls `each(index, output, target)` for every sample of `data`, in order.
    pub fn for_each_output(
        &mut self,
        network: &Network,
        data: &dyn Dataset,
        mut each: impl FnMut(usize, &[Float], Target<'_>),
    ) -> Result<()> {
        self.each_watched(network, data, None, |i, y, _, target| each(i, y, target))
    }

    /// The same, with what is `watched` of every sample beside its output; nothing, if there is none.
    fn each_watched(
        &mut self,
        network: &Network,
        data: &dyn Dataset,
        watched: Option<Watched>,
        mut each: impl FnMut(usize, &[Float], &[Float], Target<'_>),
    ) -> Result<()> {
        check_samples(network, data)?;
        check_targets(data)?;
        let (outputs, size) = (network.output_shape().size(), watched.map_or(0, |watched| watched.size));
        for start in (0..data.len()).step_by(self.batch()) {
            let n = self.batch().min(data.len() - start);
            let read = |samples: Range<usize>, inputs: &mut [Float], _: &mut Vec<Float>| {
                let size = inputs.len() / samples.len();
                (samples.zip(inputs.chunks_exact_mut(size))).try_for_each(|(i, x)| read_finite(data, start + i, x))
            };
            let (y, z) = self.pass(network, n, &read, watched)?;
            for (i, y) in y.chunks_exact(outputs).enumerate() {
                each(start + i, y, &z[i * size..(i + 1) * size], data.target(start + i));
            }
        }
        Ok(())
    }

    /// The mean loss and the metrics on all samples of `data`.
    pub fn evaluate(
        &mut self,
        network: &Network,
        data: &dyn Dataset,
        loss: &dyn Loss,
        metrics: &[&dyn Metric],
    ) -> Result<Evaluation> {
        let (evaluation, not_finite) = self.measure(network, data, loss, metrics)?;
        match not_finite {
            None => Ok(evaluation),
            Some((sample, value)) => Err(Error::invalid(format!(
                "the loss {} of sample {sample} is {value}: there is no mean of losses that are not finite; look at the network's \
                 output for that sample, and at the loss if it is your own",
                loss.name()
            ))),
        }
    }

    /// The same, with the first sample whose loss is not finite, and that loss, if there is one.
    pub(crate) fn measure(
        &mut self,
        network: &Network,
        data: &dyn Dataset,
        loss: &dyn Loss,
        metrics: &[&dyn Metric],
    ) -> Result<(Evaluation, Option<(usize, Float)>)> {
        let (output, targets) = (network.output_shape(), data.targets());
        loss.validate(output, &targets)?;
        for metric in metrics {
            metric.validate(output, &targets)?;
        }
        let objective = Objective::new(network, loss)?;
        let loss = objective.loss(loss);
        let watched = objective.is_before_output(&network.graph).then_some(Watched {
            value: objective.value,
            size: objective.size,
            before: objective.ops,
        });
        let mut meters: Vec<_> = metrics.iter().map(|metric| metric.meter(output)).collect();
        let (mut total, mut not_finite, mut probabilities) = (0.0, None, Vec::new());
        self.each_watched(network, data, watched, |i, y, z, target| {
            let value = loss.loss(if watched.is_some() { z } else { y }, target);
            if !value.is_finite() {
                not_finite.get_or_insert((i, value));
            }
            total += f64::from(value);
            let y = objective.prediction(y, &mut probabilities);
            meters.iter_mut().for_each(|meter| meter.add(y, target));
        })?;
        let evaluation = Evaluation {
            samples: data.len(),
            loss: total / data.len() as f64,
            metrics: (metrics.iter().zip(&meters))
                .map(|(metric, meter)| (metric.name(), meter.value()))
                .collect(),
        };
        Ok((evaluation, not_finite))
    }
}

/// As many threads as the machine gives.
pub(crate) fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Refuses data that is empty or has samples of another shape than the network takes.
pub(crate) fn check_samples(network: &Network, data: &dyn Dataset) -> Result<()> {
    if data.is_empty() {
        return Err(Error::data("the data has no samples"));
    }
    let (shape, needed) = (data.shape(), network.input_shape());
    if shape != *needed {
        let hint = if shape.size() == needed.size() {
            ": start the network with the data's shape and a Flatten or Reshape layer"
        } else {
            ""
        };
        return Err(Error::data(format!(
            "the network takes samples of shape {needed}, the data has samples of shape {shape}{hint}"
        )));
    }
    Ok(())
}

/// Refuses targets that are not of the kind that the data set promises.
pub(crate) fn check_targets(data: &dyn Dataset) -> Result<()> {
    let targets = data.targets();
    (0..data.len()).try_for_each(|i| targets.check(i, data.target(i)))
}

/// Reads a sample and refuses it if a value is not finite.
pub(crate) fn read_finite(data: &dyn Dataset, index: usize, x: &mut [Float]) -> Result<()> {
    data.read(index, x)?;
    check_finite(index, x, x.len())
}

/// Refuses samples of `size` values, the first of them of number `first`, if a value is not finite.
pub(crate) fn check_finite(first: usize, x: &[Float], size: usize) -> Result<()> {
    // Without a branch for each value it costs next to nothing.
    let finite = vectorize!(|| x.iter().fold(true, |all, v| all & v.is_finite()));
    if !finite {
        let place = x.iter().position(|v| !v.is_finite()).unwrap_or(0);
        return Err(Error::data(format!(
            "sample {} has the value {} at position {}: every value must be finite",
            first + place / size,
            x[place],
            place % size
        )));
    }
    Ok(())
}
