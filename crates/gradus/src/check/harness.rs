//! Runs one layer by itself, on memory full of NaN.

use std::sync::Arc;

use gradus_kernels::bfloat16::Pair;
use gradus_kernels::interleaved::LANES;
use rand::RngExt;

use super::{MOST_PARAMETERS, check_shape};
use crate::layer::advanced::{
    BatchGradient, Bfloat16, BlockBackward, BlockForward, BlockGradient, BlockLayer, BlockOf, BlockRandom,
    InPlaceBackward, InPlaceForward, Layout, Layouts, Scratch,
};
use crate::layer::{BoundLayer, Layer, PerSample, Tensors, TensorsMut};
use crate::random::{Purpose, stream};
use crate::{Float, Shape};

/// One layer, with parameters and state, that runs by itself, on memory full of NaN: what is not written, or read before it is, shows.
///
/// ```
/// use gradus::{Dense, check::LayerHarness};
/// let dense = LayerHarness::new(&Dense::new(1), [2])?.parameters(&[1.0, 2.0, 0.5]);
/// assert_eq!(dense.infer(&[3.0, 4.0])?, [11.5]);
/// let step = dense.step(&[3.0, 4.0], &[10.0])?;
/// assert_eq!((step.dx, step.gradient), (vec![10.0, 20.0], vec![30.0, 40.0, 10.0]));
/// # Ok::<(), String>(())
/// ```
#[derive(Debug)]
pub struct LayerHarness {
    pub(crate) bound: BoundLayer,
    /// Its fast version, if it has one.
    run: Arc<dyn BlockLayer>,
    pub(crate) input: Shape,
    pub(crate) parameters: Vec<Float>,
    parameter_sizes: Vec<usize>,
    state: Vec<Float>,
    state_sizes: Vec<usize>,
    /// The number of samples in a block; a batch may be several.
    block: usize,
    layout: Layout,
    in_place: bool,
    bfloat16: bool,
}

/// What a forward pass leaves for the backward pass.
struct Pass {
    y: Vec<Float>,
    /// What each block keeps, as it lies there.
    saved: Vec<Vec<Float>>,
    /// Likewise in bfloat16.
    pairs: Vec<Vec<Pair>>,
    statistics: Vec<Float>,
}

/// What one training step of a layer computes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LayerStep {
    /// The outputs of all samples.
    pub y: Vec<Float>,
    /// The derivatives of the loss with respect to their inputs.
    pub dx: Vec<Float>,
    /// The gradients of all parameters, one after the other.
    pub gradient: Vec<Float>,
    /// The state after the step.
    pub state: Vec<Float>,
}

impl LayerHarness {
    /// The layer for inputs of this shape, its parameters random.
    ///
    /// # Errors
    /// If the layer can't take such inputs, or they are larger than a check can hold.
    pub fn new(layer: &dyn Layer, input: impl Into<Shape>) -> Result<Self, String> {
        let input = input.into();
        check_shape("the input", &input)?;
        Self::of(layer.bind(&input)?, input)
    }

    /// The same for a bound layer.
    pub(crate) fn of(bound: BoundLayer, input: Shape) -> Result<Self, String> {
        check_shape("the output", &bound.output)?;
        let parameter_sizes: Vec<usize> = bound.parameters.iter().map(|p| p.shape.size()).collect();
        let count = parameter_sizes
            .iter()
            .fold(0_usize, |sum, &size| sum.saturating_add(size));
        if count > MOST_PARAMETERS {
            return Err(format!(
                "it has {count} parameters, and at most {MOST_PARAMETERS} can be checked"
            ));
        }
        let state_sizes: Vec<usize> = bound.state.iter().map(|s| s.shape.size()).collect();
        let mut rng = stream(1, Purpose::User, &[]);
        let parameters = (0..parameter_sizes.iter().sum::<usize>())
            .map(|_| rng.random_range(-1.0..1.0))
            .collect();
        let state = bound.state.iter().flat_map(|s| vec![s.value; s.shape.size()]).collect();
        Ok(LayerHarness {
            run: bound.runner(&input, false)?,
            bound,
            input,
            parameters,
            parameter_sizes,
            state,
            state_sizes,
            block: usize::MAX,
            layout: Layout::SampleMajor,
            in_place: false,
            bfloat16: false,
        })
    }

    /// These parameters, one after the other.
    pub fn parameters(mut self, parameters: &[Float]) -> Self {
        self.parameters = parameters.to_vec();
        self
    }

    /// This state.
    pub fn state(mut self, state: &[Float]) -> Self {
        self.state = state.to_vec();
        self
    }

    /// The layer by its passes over one sample.
    pub fn reference(mut self) -> Self {
        self.run = Arc::new(PerSample::new(&self.bound, &self.input));
        self
    }

    /// Blocks of `samples` samples.
    pub fn block(mut self, samples: usize) -> Self {
        self.block = samples;
        self
    }

    /// Interleaved samples, for layers that have a fast version for them.
    pub fn interleaved(mut self) -> Self {
        self.layout = Layout::Interleaved;
        self
    }

    /// The layer in its input's memory, if it has a fast version for that.
    pub fn in_place(mut self) -> Self {
        self.in_place = true;
        self
    }

    /// The layer in bfloat16, in training, if it has a fast version for that.
    pub fn bfloat16(mut self) -> Self {
        self.bfloat16 = true;
        self
    }

    /// The part of the layer that runs in bfloat16, if it is to, and its copy of the weights.
    fn in_bfloat16(&self, dx: bool) -> Option<(&dyn Bfloat16, Vec<Pair>)> {
        let layer = self.run.bfloat16().filter(|_| self.bfloat16)?;
        let parameters = Tensors::new(&self.parameters, &self.parameter_sizes);
        let mut copies = Vec::new();
        for (part, size) in layer.weights(dx).into_iter().enumerate() {
            let mut copy = vec![poisoned_pair(); size];
            layer.convert(parameters, part, &mut copy);
            copies.append(&mut copy);
        }
        Some((layer, copies))
    }

    /// Samples as they lie in a block; interleaved, `empty` is what lies behind the last of them.
    fn laid(&self, values: &[Float], samples: usize, empty: Float) -> Vec<Float> {
        let size = values.len() / samples;
        match self.layout {
            Layout::SampleMajor => values.to_vec(),
            Layout::Interleaved => {
                let mut laid = vec![empty; size * self.layout.room(samples)];
                for (i, &value) in values.iter().enumerate() {
                    laid[self.at(i / size, i % size, size)] = value;
                }
                laid
            }
        }
    }

    /// The reverse of [`laid`](LayerHarness::laid).
    fn unlaid(&self, laid: &[Float], values: &mut [Float], samples: usize) {
        let size = values.len() / samples;
        for (i, value) in values.iter_mut().enumerate() {
            *value = laid[self.at(i / size, i % size, size)];
        }
    }

    fn at(&self, sample: usize, feature: usize, size: usize) -> usize {
        match self.layout {
            Layout::SampleMajor => sample * size + feature,
            Layout::Interleaved => (sample / LANES * size + feature) * LANES + sample % LANES,
        }
    }

    /// Refuses numbers of values that are not those of some samples, and ways to run that the layer doesn't have.
    fn check(&self, x: &[Float], dy: Option<&[Float]>) -> Result<(), String> {
        let (inputs, outputs) = (self.input.size(), self.bound.output.size());
        let samples = x.len() / inputs;
        if samples == 0 || !x.len().is_multiple_of(inputs) {
            return Err(format!("x has {} values, and a sample has {inputs}", x.len()));
        }
        for (what, found, expected) in [
            ("dy", dy.map_or(samples * outputs, <[Float]>::len), samples * outputs),
            (
                "the parameters",
                self.parameters.len(),
                self.parameter_sizes.iter().sum(),
            ),
            ("the state", self.state.len(), self.state_sizes.iter().sum()),
        ] {
            if found != expected {
                return Err(format!("{what} should have {expected} values, got {found}"));
            }
        }
        let cannot = [
            (self.block == 0, "run in blocks of 0 samples"),
            (
                self.layout == Layout::Interleaved && self.run.layouts() == Layouts::SampleMajor,
                "run on interleaved samples",
            ),
            (self.in_place && self.run.in_place().is_none(), "run in place"),
            (self.bfloat16 && self.run.bfloat16().is_none(), "run in bfloat16"),
        ];
        match cannot.iter().find(|(asked, _)| *asked) {
            Some((_, what)) => Err(format!("it can't {what}")),
            None => Ok(()),
        }
    }

    /// The outputs of samples that lie one after the other, at inference.
    ///
    /// # Errors
    /// If `x` is not some whole samples, the harness asks for what the layer can't do, or outputs are not written.
    pub fn infer(&self, x: &[Float]) -> Result<Vec<Float>, String> {
        self.check(x, None)?;
        Ok(self.forward(x, false, false)?.y)
    }

    /// The output in training.
    pub(crate) fn outputs(&self, x: &[Float]) -> Result<Vec<Float>, String> {
        Ok(self.forward(x, true, true)?.y)
    }

    fn forward(&self, x: &[Float], training: bool, want_dx: bool) -> Result<Pass, String> {
        let (n_in, n_out) = (self.input.size(), self.bound.output.size());
        let samples = x.len() / n_in;
        let block = self.block.min(samples);
        let statistics = if training { self.statistics(x) } else { Vec::new() };
        let mut y = poison(samples * n_out);
        let (mut saved, mut pairs) = (Vec::new(), Vec::new());
        let in_bfloat16 = self.in_bfloat16(want_dx).filter(|_| training);
        for start in (0..samples).step_by(block) {
            let n = block.min(samples - start);
            let room = self.layout.room(n);
            let mut laid_saved = poison(if training { room * self.bound.saved } else { 0 });
            // Numbers that don't count lie in the empty lanes.
            let laid_x = self.laid(&x[start * n_in..][..n * n_in], n, 0.5);
            let mut laid_y = poison(room * n_out);
            let random = BlockRandom {
                seed: 1,
                step: 2,
                layer: 3,
                first_sample: start as u64,
            };
            if let Some(layer) = self.run.in_place().filter(|_| self.in_place) {
                laid_y = laid_x;
                layer.forward(InPlaceForward {
                    training,
                    samples: n,
                    layout: self.layout,
                    values: &mut laid_y,
                    saved: &mut laid_saved,
                    random,
                });
            } else {
                let pass = BlockForward {
                    training,
                    samples: n,
                    layout: self.layout,
                    x: &laid_x,
                    y: &mut laid_y,
                    parameters: Tensors::new(&self.parameters, &self.parameter_sizes),
                    state: Tensors::new(&self.state, &self.state_sizes),
                    statistics: &statistics,
                    saved: &mut laid_saved,
                    scratch: &mut self.scratch(n),
                    random,
                };
                match &in_bfloat16 {
                    Some((layer, w)) => {
                        let mut saved = vec![poisoned_pair(); layer.saved(n)];
                        layer.forward(pass, w, &mut saved);
                        pairs.push(saved);
                    }
                    None => self.run.forward(pass),
                }
            }
            self.unlaid(&laid_y, &mut y[start * n_out..][..n * n_out], n);
            saved.push(laid_saved);
        }
        if !x.iter().any(|x| x.is_nan()) {
            written("forward", "y", &y)?;
        }
        Ok(Pass {
            y,
            saved,
            pairs,
            statistics,
        })
    }

    /// One training step: forward with `x`, then backward with `dy`, both of samples that lie one after the other.
    ///
    /// # Errors
    /// If `x` and `dy` are not as many whole samples, the harness asks for what the layer can't do, something is not written, or
    /// gradients depend on whether `dx` is wanted.
    pub fn step(&self, x: &[Float], dy: &[Float]) -> Result<LayerStep, String> {
        self.check(x, Some(dy))?;
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

    /// One training step, whose results are taken as they are.
    pub(crate) fn run(&self, x: &[Float], dy: &[Float], want_dx: bool) -> Result<LayerStep, String> {
        let (n_in, n_out) = (self.input.size(), self.bound.output.size());
        let samples = x.len() / n_in;
        let block = self.block.min(samples);
        let Pass {
            y,
            saved,
            mut pairs,
            statistics,
        } = self.forward(x, true, want_dx)?;
        let in_bfloat16 = self.in_bfloat16(want_dx);
        let (total_sums, block_sums) = self.sums(x, dy, &statistics);
        let mut dx = poison(x.len());
        let mut gradient = vec![0.0; self.parameters.len()];
        for start in (0..samples).step_by(block) {
            let n = block.min(samples - start);
            let (x, dy) = (&x[start * n_in..][..n * n_in], &dy[start * n_out..][..n * n_out]);
            // Each block's gradient starts at 1 and has 1 taken off: it has to be added to.
            let mut part = vec![1.0; gradient.len()];
            let laid_x = self.laid(x, n, 0.5);
            let laid_y = self.laid(&y[start * n_out..][..n * n_out], n, 0.5);
            let laid_dy = self.laid(dy, n, 0.0);
            let mut laid_dx = poison(laid_x.len());
            let y = self.run.reads_output().then_some(&laid_y[..]);
            if let Some(layer) = self.run.in_place().filter(|_| self.in_place) {
                laid_dx = laid_dy;
                layer.backward(InPlaceBackward {
                    samples: n,
                    layout: self.layout,
                    y,
                    gradient: &mut laid_dx,
                    saved: &saved[start / block],
                });
            } else {
                let pass = BlockBackward {
                    samples: n,
                    layout: self.layout,
                    x: &laid_x,
                    y,
                    dy: &laid_dy,
                    dx: want_dx.then_some(&mut laid_dx),
                    parameters: Tensors::new(&self.parameters, &self.parameter_sizes),
                    gradients: TensorsMut::new(&mut part, &self.parameter_sizes),
                    statistics: &statistics,
                    sums: &total_sums,
                    block_sums: block_sums.get(start / block).map_or(&[], |part| part),
                    batch: samples,
                    saved: &saved[start / block],
                    scratch: &mut self.scratch(n),
                };
                match &in_bfloat16 {
                    Some((layer, w)) => layer.backward(pass, w, &mut pairs[start / block]),
                    None => self.run.backward(pass),
                }
            }
            if want_dx {
                let empty = self.laid(&vec![0.0; n * n_in], n, 1.0);
                if laid_dx.iter().zip(empty).any(|(dx, empty)| empty == 1.0 && *dx != 0.0) {
                    return Err("backward gives a gradient to lanes where there is no sample".into());
                }
                self.unlaid(&laid_dx, &mut dx[start * n_in..][..n * n_in], n);
            }
            if self.run.whole_batch().is_none() {
                gradient.iter_mut().zip(part).for_each(|(sum, part)| *sum += part - 1.0);
            } else if part.iter().any(|&g| g != 1.0) {
                return Err("backward touches gradients that are computed over the whole batch".into());
            }
        }
        if self.run.whole_batch().is_some() {
            self.batch_gradient(x, dy, &pairs, &mut gradient);
        }
        let mut state = self.state.clone();
        if let Some(across) = self.run.across_batch() {
            let tensors = TensorsMut::new(&mut state, &self.state_sizes);
            across.update_state(&statistics, samples, tensors);
        }
        Ok(LayerStep { y, dx, gradient, state })
    }

    /// Computes the gradients, in two pieces of each parameter.
    fn batch_gradient(&self, x: &[Float], dy: &[Float], pairs: &[Vec<Pair>], gradient: &mut [Float]) {
        let (n_in, n_out) = (self.input.size(), self.bound.output.size());
        let samples = x.len() / n_in;
        let block = self.block.min(samples);
        gradient.fill(Float::NAN);
        let mut rest = gradient;
        for (parameter, p) in self.bound.parameters.iter().enumerate() {
            let (values, tail) = rest.split_at_mut(p.shape.size());
            rest = tail;
            let rows = p.shape.first().copied().unwrap_or(1).max(1);
            let row = p.shape.size() / rows;
            for rows in [0..rows / 2, rows / 2..rows] {
                let mut blocks =
                    (x.chunks(block * n_in).zip(dy.chunks(block * n_out)).enumerate()).map(|(i, (x, dy))| {
                        BlockGradient {
                            samples: x.len() / n_in,
                            x,
                            dy,
                            pairs: pairs.get(i).map_or(&[], |pairs| pairs),
                        }
                    });
                let pass = BatchGradient {
                    parameter,
                    gradient: &mut values[rows.start * row..rows.end * row],
                    rows,
                    blocks: &mut blocks,
                    scratch: &mut self.scratch(block),
                };
                match (self.run.bfloat16().filter(|_| self.bfloat16), self.run.whole_batch()) {
                    (Some(layer), _) => layer.batch_gradient(pass),
                    (None, Some(layer)) => layer.gradient(pass),
                    (None, None) => {}
                }
            }
        }
    }

    fn statistics(&self, x: &[Float]) -> Vec<Float> {
        let Some(across) = self.run.across_batch() else {
            return Vec::new();
        };
        let size = self.input.size();
        let samples = x.len() / size;
        let block = self.block.min(samples);
        let mut total = poison(across.statistics());
        for start in (0..samples).step_by(block) {
            let n = block.min(samples - start);
            let mut part = poison(total.len());
            let x = self.laid(&x[start * size..][..n * size], n, 0.5);
            across.gather(BlockOf::new(n, self.layout), &x, &mut part);
            across.merge(&mut total, start, &part, n);
        }
        total
    }

    /// The backward sums of the batch, and of each block.
    fn sums(&self, x: &[Float], dy: &[Float], statistics: &[Float]) -> (Vec<Float>, Vec<Vec<Float>>) {
        let Some(across) = self.run.across_batch() else {
            return (Vec::new(), Vec::new());
        };
        let (n_in, n_out) = (self.input.size(), self.bound.output.size());
        let samples = x.len() / n_in;
        let block = self.block.min(samples);
        let mut total = vec![0.0; across.sums()];
        let mut parts = Vec::new();
        for start in (0..samples).step_by(block) {
            let n = block.min(samples - start);
            let mut part = poison(total.len());
            let (x, dy) = (&x[start * n_in..][..n * n_in], &dy[start * n_out..][..n * n_out]);
            let (x, dy) = (self.laid(x, n, 0.5), self.laid(dy, n, 0.0));
            across.gather_backward(BlockOf::new(n, self.layout), &x, &dy, statistics, &mut part);
            total.iter_mut().zip(&part).for_each(|(sum, part)| *sum += part);
            parts.push(part);
        }
        (total, parts)
    }

    fn scratch(&self, samples: usize) -> Vec<Float> {
        let Scratch { fixed, per_sample } = self.run.scratch();
        poison(fixed + samples * per_sample)
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

fn poisoned_pair() -> Pair {
    Pair::new(Float::NAN, Float::NAN)
}

fn poison(size: usize) -> Vec<Float> {
    vec![Float::NAN; size]
}
