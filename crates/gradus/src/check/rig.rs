//! Runs one layer by itself, on memory full of NaN.

use rand::RngExt;

use crate::layer::{Backward, BatchGradient, Forward, GradientScope, Layer, LayerRandom, Plan, Tensors, TensorsMut};
use crate::random::{Purpose, stream};
use crate::{Float, Shape};

/// A layer, with parameters and state, that runs on memory full of NaN.
#[derive(Debug)]
pub(crate) struct Rig<'a> {
    pub(crate) layer: &'a dyn Layer,
    pub(crate) plan: Plan,
    pub(crate) input: Shape,
    pub(crate) parameters: Vec<Float>,
    parameter_sizes: Vec<usize>,
    state: Vec<Float>,
    state_sizes: Vec<usize>,
    /// The number of samples in a block; a batch may be several.
    block: usize,
}

/// What one training step computes.
#[derive(Debug, PartialEq)]
pub(crate) struct Step {
    pub(crate) y: Vec<Float>,
    pub(crate) dx: Vec<Float>,
    /// The gradients of all parameters, one after the other.
    pub(crate) gradient: Vec<Float>,
    /// The state after the step.
    pub(crate) state: Vec<Float>,
}

/// What a forward pass computes: y, what it keeps, and the statistics over the batch.
type Pass = (Vec<Float>, Vec<Float>, Vec<Float>);

impl<'a> Rig<'a> {
    /// The layer for inputs of this shape, its parameters random.
    pub(crate) fn new(layer: &'a dyn Layer, input: impl Into<Shape>) -> Result<Self, String> {
        let input = input.into();
        let plan = layer.plan(&input)?;
        let parameter_sizes: Vec<usize> = plan.parameters.iter().map(|p| p.shape.size()).collect();
        let state_sizes: Vec<usize> = plan.state.iter().map(|s| s.shape.size()).collect();
        let mut rng = stream(1, Purpose::User, &[]);
        let parameters = (0..parameter_sizes.iter().sum::<usize>())
            .map(|_| rng.random_range(-1.0..1.0))
            .collect();
        let state = plan.state.iter().flat_map(|s| vec![s.value; s.shape.size()]).collect();
        Ok(Rig {
            layer,
            plan,
            input,
            parameters,
            parameter_sizes,
            state,
            state_sizes,
            block: usize::MAX,
        })
    }

    /// These parameters, one after the other.
    #[cfg(test)]
    pub(crate) fn parameters(mut self, parameters: &[Float]) -> Self {
        self.parameters.copy_from_slice(parameters);
        self
    }

    /// This state.
    #[cfg(test)]
    pub(crate) fn state(mut self, state: &[Float]) -> Self {
        self.state.copy_from_slice(state);
        self
    }

    /// Blocks of so many samples.
    pub(crate) fn block(mut self, samples: usize) -> Self {
        self.block = samples;
        self
    }

    /// The output at inference.
    pub(crate) fn infer(&self, x: &[Float]) -> Result<Vec<Float>, String> {
        Ok(self.forward(x, false)?.0)
    }

    /// The output in training.
    pub(crate) fn outputs(&self, x: &[Float]) -> Result<Vec<Float>, String> {
        Ok(self.forward(x, true)?.0)
    }

    /// The output, the values kept and the statistics.
    fn forward(&self, x: &[Float], training: bool) -> Result<Pass, String> {
        let (n_in, n_out) = (self.input.size(), self.plan.output.size());
        let samples = x.len() / n_in;
        let block = self.block.min(samples);
        let statistics = if training { self.statistics(x) } else { Vec::new() };
        let mut y = poison(samples * n_out);
        let mut kept = poison(if training { samples * self.plan.kept } else { 0 });
        for start in (0..samples).step_by(block) {
            let n = block.min(samples - start);
            let kept_size = if training { self.plan.kept } else { 0 };
            self.layer.forward(Forward {
                training,
                samples: n,
                input: &self.input,
                output: &self.plan.output,
                x: &x[start * n_in..][..n * n_in],
                y: &mut y[start * n_out..][..n * n_out],
                parameters: Tensors::new(&self.parameters, &self.parameter_sizes),
                state: Tensors::new(&self.state, &self.state_sizes),
                statistics: &statistics,
                kept: &mut kept[start * kept_size..][..n * kept_size],
                scratch: &mut self.scratch(n),
                random: LayerRandom {
                    seed: 1,
                    step: 2,
                    layer: 3,
                    first_sample: start as u64,
                },
            });
        }
        if !x.iter().any(|x| x.is_nan()) {
            written("forward", "y", &y)?;
        }
        Ok((y, kept, statistics))
    }

    /// One training step: forward with `x`, then backward with `dy`.
    pub(crate) fn step(&self, x: &[Float], dy: &[Float]) -> Result<Step, String> {
        let step = self.run(x, dy, true)?;
        if x.iter().any(|x| x.is_nan()) {
            return Ok(step);
        }
        written("backward", "dx", &step.dx)?;
        written("backward", "the parameters' gradients", &step.gradient)?;
        if self.run(x, dy, false)?.gradient != step.gradient {
            return Err("the parameters' gradients are others when dx is not wanted".into());
        }
        Ok(step)
    }

    fn run(&self, x: &[Float], dy: &[Float], want_dx: bool) -> Result<Step, String> {
        let (n_in, n_out) = (self.input.size(), self.plan.output.size());
        let samples = x.len() / n_in;
        let block = self.block.min(samples);
        let (y, kept, statistics) = self.forward(x, true)?;
        let (backward_total, backward_parts) = self.backward_statistics(x, dy, &statistics);
        let mut dx = poison(x.len());
        let mut gradient = vec![0.0; self.parameters.len()];
        for start in (0..samples).step_by(block) {
            let n = block.min(samples - start);
            let (x, dy) = (&x[start * n_in..][..n * n_in], &dy[start * n_out..][..n * n_out]);
            // Each block's gradient starts at 1 and has 1 taken off: it has to be added to.
            let mut part = vec![1.0; gradient.len()];
            self.layer.backward(Backward {
                samples: n,
                input: &self.input,
                output: &self.plan.output,
                x,
                y: &y[start * n_out..][..n * n_out],
                dy,
                dx: want_dx.then_some(&mut dx[start * n_in..][..n * n_in]),
                parameters: Tensors::new(&self.parameters, &self.parameter_sizes),
                gradients: TensorsMut::new(&mut part, &self.parameter_sizes),
                statistics: &statistics,
                backward_statistics: &backward_total,
                block_statistics: backward_parts.get(start / block).map_or(&[], |part| part),
                batch: samples,
                kept: &kept[start * self.plan.kept..][..n * self.plan.kept],
                scratch: &mut self.scratch(n),
            });
            match self.plan.gradient {
                GradientScope::PerBlock => {
                    gradient.iter_mut().zip(part).for_each(|(sum, part)| *sum += part - 1.0);
                }
                GradientScope::WholeBatch => {
                    if part.iter().any(|&g| g != 1.0) {
                        return Err("backward touches gradients that batch_gradient is to compute".into());
                    }
                    self.batch_gradient(n, x, dy, &mut gradient);
                }
            }
        }
        let mut state = self.state.clone();
        if let Some(across) = self.layer.across_batch() {
            let tensors = TensorsMut::new(&mut state, &self.state_sizes);
            across.update_state(&self.input, &statistics, samples, tensors);
        }
        Ok(Step { y, dx, gradient, state })
    }

    /// Adds a block's part to the gradients, in two pieces of each parameter.
    fn batch_gradient(&self, samples: usize, x: &[Float], dy: &[Float], gradient: &mut [Float]) {
        let mut rest = gradient;
        for (parameter, p) in self.plan.parameters.iter().enumerate() {
            let (values, tail) = rest.split_at_mut(p.shape.size());
            rest = tail;
            let (rows, row) = (p.shape[0], p.shape.size() / p.shape[0]);
            for rows in [0..rows / 2, rows / 2..rows] {
                self.layer.batch_gradient(BatchGradient {
                    parameter,
                    gradient: &mut values[rows.start * row..rows.end * row],
                    rows,
                    samples,
                    input: &self.input,
                    output: &self.plan.output,
                    x,
                    dy,
                    scratch: &mut self.scratch(samples),
                });
            }
        }
    }

    fn statistics(&self, x: &[Float]) -> Vec<Float> {
        let Some(across) = self.layer.across_batch() else {
            return Vec::new();
        };
        let size = self.input.size();
        let samples = x.len() / size;
        let block = self.block.min(samples);
        let mut total = poison(across.statistics(&self.input));
        for start in (0..samples).step_by(block) {
            let n = block.min(samples - start);
            let mut part = poison(total.len());
            across.gather(&self.input, n, &x[start * size..][..n * size], &mut part);
            across.merge(&self.input, &mut total, start, &part, n);
        }
        total
    }

    /// The backward sums of the batch, and of each block.
    fn backward_statistics(&self, x: &[Float], dy: &[Float], statistics: &[Float]) -> (Vec<Float>, Vec<Vec<Float>>) {
        let Some(across) = self.layer.across_batch() else {
            return (Vec::new(), Vec::new());
        };
        let (n_in, n_out) = (self.input.size(), self.plan.output.size());
        let samples = x.len() / n_in;
        let block = self.block.min(samples);
        let mut total = vec![0.0; across.backward_statistics(&self.input)];
        let mut parts = Vec::new();
        for start in (0..samples).step_by(block) {
            let n = block.min(samples - start);
            let mut part = poison(total.len());
            let (x, dy) = (&x[start * n_in..][..n * n_in], &dy[start * n_out..][..n * n_out]);
            across.gather_backward(&self.input, n, x, dy, statistics, &mut part);
            total.iter_mut().zip(&part).for_each(|(sum, part)| *sum += part);
            parts.push(part);
        }
        (total, parts)
    }

    fn scratch(&self, samples: usize) -> Vec<Float> {
        poison(self.plan.scratch + samples * self.plan.scratch_per_sample)
    }
}

/// Refuses NaN in a result: memory that was not written, or read before it was.
fn written(pass: &str, what: &str, values: &[Float]) -> Result<(), String> {
    match values.iter().position(|v| v.is_nan()) {
        Some(i) => Err(format!(
            "{pass} leaves NaN in {what}, at position {i}: not written, or computed from memory that was never written"
        )),
        None => Ok(()),
    }
}

fn poison(size: usize) -> Vec<Float> {
    vec![Float::NAN; size]
}
