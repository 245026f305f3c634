//! Runs one layer by itself, for the unit tests of the layers.

use std::fmt::Debug;

use rand::RngExt;
use rand::seq::SliceRandom;

use crate::layer::{Backward, BatchGradient, Forward, GradientScope, Layer, LayerRandom, Plan, Tensors, TensorsMut};
use crate::random::{Purpose, stream};
use crate::{Float, Shape};

/// A layer, with parameters and state, that runs on memory full of NaN.
#[derive(Debug)]
pub(crate) struct Rig<'a> {
    pub(crate) layer: &'a dyn Layer,
    pub(crate) plan: Plan,
    input: Shape,
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

impl<'a> Rig<'a> {
    /// The layer for inputs of this shape, its parameters random.
    pub(crate) fn new(layer: &'a dyn Layer, input: impl Into<Shape>) -> Self {
        let input = input.into();
        let plan = layer.plan(&input).unwrap();
        let parameter_sizes: Vec<usize> = plan.parameters.iter().map(|p| p.shape.size()).collect();
        let state_sizes: Vec<usize> = plan.state.iter().map(|s| s.shape.size()).collect();
        let mut rng = stream(1, Purpose::User, &[]);
        let parameters = (0..parameter_sizes.iter().sum::<usize>())
            .map(|_| rng.random_range(-1.0..1.0))
            .collect();
        let state = plan.state.iter().flat_map(|s| vec![s.value; s.shape.size()]).collect();
        Rig {
            layer,
            plan,
            input,
            parameters,
            parameter_sizes,
            state,
            state_sizes,
            block: usize::MAX,
        }
    }

    /// These parameters, one after the other.
    pub(crate) fn parameters(mut self, parameters: &[Float]) -> Self {
        self.parameters.copy_from_slice(parameters);
        self
    }

    /// This state.
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
    pub(crate) fn infer(&self, x: &[Float]) -> Vec<Float> {
        self.forward(x, false).0
    }

    /// The output, the values kept and the statistics.
    fn forward(&self, x: &[Float], training: bool) -> (Vec<Float>, Vec<Float>, Vec<Float>) {
        let (n_in, n_out) = (self.input.size(), self.plan.output.size());
        let samples = x.len() / n_in;
        assert_eq!(samples * n_in, x.len(), "whole samples");
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
        (y, kept, statistics)
    }

    /// One training step: forward with `x`, then backward with `dy`.
    pub(crate) fn step(&self, x: &[Float], dy: &[Float]) -> Step {
        let (step, gradient) = self.run(x, dy, true);
        let (_, without_dx) = self.run(x, dy, false);
        assert_eq!(
            gradient, without_dx,
            "the gradients don't depend on whether dx is wanted"
        );
        step
    }

    fn run(&self, x: &[Float], dy: &[Float], want_dx: bool) -> (Step, Vec<Float>) {
        let (n_in, n_out) = (self.input.size(), self.plan.output.size());
        let samples = x.len() / n_in;
        let block = self.block.min(samples);
        let (y, kept, statistics) = self.forward(x, true);
        assert_eq!(y.len(), dy.len(), "dy has the shape of y");
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
                    assert!(part.iter().all(|&g| g == 1.0), "backward leaves the gradients alone");
                    self.batch_gradient(n, x, dy, &mut gradient);
                }
            }
        }
        let mut state = self.state.clone();
        if let Some(across) = self.layer.across_batch() {
            let tensors = TensorsMut::new(&mut state, &self.state_sizes);
            across.update_state(&self.input, &statistics, samples, tensors);
        }
        (
            Step {
                y,
                dx,
                gradient: gradient.clone(),
                state,
            },
            gradient,
        )
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

fn poison(size: usize) -> Vec<Float> {
    vec![Float::NAN; size]
}

/// Every pair differs by at most `tolerance` × the larger of 1 and the expected value.
#[track_caller]
pub(crate) fn assert_close(what: impl Debug, found: &[Float], expected: &[Float], tolerance: Float) {
    assert_eq!(found.len(), expected.len(), "{what:?}: number of values");
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        let ok = (f - e).abs() <= tolerance * e.abs().max(1.0);
        assert!(ok, "{what:?}: value {i} is {f}, expected {e}");
    }
}

/// Values between −2 and 2, shuffled, no two of them and none and 0 closer than 4 / n: no kink or tie is near.
pub(crate) fn spread(n: usize, seed: u64) -> Vec<Float> {
    let step = 4.0 / n as Float;
    let mut values: Vec<Float> = (0..n).map(|i| (i as Float + 0.5) * step - 2.0).collect();
    values.shuffle(&mut stream(seed, Purpose::User, &[]));
    for value in &mut values {
        // An odd number of values has 0 in its middle.
        if *value == 0.0 {
            *value = 0.5 * step;
        }
    }
    values
}

/// Puts a layer through its contract on samples of this shape: gradients against central finite differences, the same
/// bits whatever the blocks, nothing read that was not written.
#[track_caller]
pub(crate) fn check(layer: &dyn Layer, input: impl Into<Shape>) {
    let samples = 3;
    let mut rig = Rig::new(layer, input);
    let (n_in, n_out) = (rig.input.size(), rig.plan.output.size());
    let mut x = spread(samples * n_in, 7);
    let dy = spread(samples * n_out, 8);
    let step = rig.step(&x, &dy);
    let what = |tensor: &str| format!("{tensor} of {layer:?} on {:?}", rig.input);

    if layer.across_batch().is_none() {
        for block in [1, 2] {
            let blocks = Rig::new(layer, rig.input.clone()).block(block).step(&x, &dy);
            assert_eq!(blocks.y, step.y, "{}", what("y in blocks"));
            assert_eq!(blocks.dx, step.dx, "{}", what("dx in blocks"));
            assert_close(what("gradient in blocks"), &blocks.gradient, &step.gradient, 1e-5);
        }
    } else {
        let blocks = Rig::new(layer, rig.input.clone()).block(2).step(&x, &dy);
        assert_close(what("y in blocks"), &blocks.y, &step.y, 1e-5);
        assert_close(what("dx in blocks"), &blocks.dx, &step.dx, 1e-5);
        assert_close(what("gradient in blocks"), &blocks.gradient, &step.gradient, 1e-5);
        assert_close(what("state in blocks"), &blocks.state, &step.state, 1e-5);
    }
    if layer.across_batch().is_none() && layer.kind() != "dropout" {
        assert_eq!(rig.infer(&x), step.y, "{}", what("y at inference"));
    }

    // Σ dy · (y(x + h) − y(x − h)) / 2h
    let (h, tolerance) = if cfg!(gradus_f64) { (1e-5, 1e-7) } else { (4e-3, 2e-2) };
    let h = Float::min(h, 1.0 / x.len() as Float);
    let slope = |above: &[Float], below: &[Float]| {
        let sum: f64 = dy
            .iter()
            .zip(above)
            .zip(below)
            .map(|((d, a), b)| f64::from(d * (a - b)))
            .sum();
        (sum / (2.0 * f64::from(h))) as Float
    };
    let names = (what("dx"), what("gradient"));
    let numeric: Vec<Float> = (0..x.len())
        .map(|i| {
            let value = x[i];
            x[i] = value + h;
            let above = rig.forward(&x, true).0;
            x[i] = value - h;
            let below = rig.forward(&x, true).0;
            x[i] = value;
            slope(&above, &below)
        })
        .collect();
    assert_close(names.0, &step.dx, &numeric, tolerance);
    let numeric: Vec<Float> = (0..rig.parameters.len())
        .map(|i| {
            let value = rig.parameters[i];
            rig.parameters[i] = value + h;
            let above = rig.forward(&x, true).0;
            rig.parameters[i] = value - h;
            let below = rig.forward(&x, true).0;
            rig.parameters[i] = value;
            slope(&above, &below)
        })
        .collect();
    assert_close(names.1, &step.gradient, &numeric, tolerance);
}

/// The gradient of a batch is the sum of the gradients of its samples: neither a mean nor counted twice.
#[track_caller]
pub(crate) fn check_gradient_is_a_sum(layer: &dyn Layer, input: impl Into<Shape>) {
    let rig = Rig::new(layer, input);
    let (n_in, n_out) = (rig.input.size(), rig.plan.output.size());
    let (x, dy) = (spread(4 * n_in, 3), spread(4 * n_out, 4));
    let mut sum = vec![0.0; rig.parameters.len()];
    for (x, dy) in x.chunks_exact(n_in).zip(dy.chunks_exact(n_out)) {
        let gradient = rig.step(x, dy).gradient;
        sum.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g);
    }
    assert_close("gradient", &rig.step(&x, &dy).gradient, &sum, 1e-5);
}
