//! Batch normalisation.
//!
//! The statistics of two parts of a batch, with n and n′ values, are merged without a loss of precision by
//!
//! δ = μ′ − μ, μ ← μ + δ · n′ / (n + n′), σ² ← (n · σ² + n′ · σ′²) / (n + n′) + δ² · n · n′ / (n + n′)².

use std::ops::Range;
use std::sync::Arc;

use gradus_kernels::lanes::LANES;
use gradus_kernels::vectorize;
use serde::{Deserialize, Serialize};

use super::shortest;
use crate::init::{Constant, Fans};
use crate::layer::{
    AcrossBatch, Backward, BlockOf, Forward, Layer, Layout, Layouts, OutputKind, Parameter, Plan, TensorsMut,
};
use crate::{Float, Shape};

/// Batch normalisation of flat samples `[features]` or images `[channels, height, width]`.
///
/// Each feature (a channel at all its pixels, or a value of a flat sample) is normalised over the N values that it has in a
/// batch, then scaled and shifted as is learnt:
///
/// | | formula |
/// | --- | --- |
/// | statistics | μ = Σ x / N, σ² = Σ (x − μ)² / N |
/// | training | x̂ = (x − μ) / √(σ² + ε), y = γ · x̂ + β |
/// | inference | the same with the running mean and variance instead of μ and σ² |
/// | backward | dγ = Σ dy · x̂, dβ = Σ dy |
/// | | dx = γ / √(σ² + ε) · (dy − dβ / N − x̂ · dγ / N) |
/// | running | mean ← (1 − m) · mean + m · μ, variance ← (1 − m) · variance + m · σ² · N / (N − 1) |
///
/// Sources: Ioffe and Szegedy, "Batch normalization: accelerating deep network training by reducing internal covariate
/// shift", 2015; Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979.
///
/// Parameters, without weight decay: `weight` (γ, 1 at first) and `bias` (β, 0 at first). State: `running_mean` (0 at
/// first) and `running_var` (1 at first).
///
/// ```
/// use gradus::layers::BatchNorm;
/// use gradus::{Layer, Shape};
/// let plan = BatchNorm::new().plan(&Shape::from([16, 28, 28])).unwrap();
/// assert_eq!(plan.output, Shape::from([16, 28, 28]));
/// assert_eq!(plan.parameters[0].shape, Shape::from(16));
/// assert_eq!(plan.state[1].name, "running_var");
/// ```
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatchNorm {
    #[serde(serialize_with = "shortest")]
    momentum: Float,
    #[serde(serialize_with = "shortest")]
    epsilon: Float,
}

impl Default for BatchNorm {
    fn default() -> Self {
        BatchNorm {
            momentum: 0.1,
            epsilon: 1e-5,
        }
    }
}

impl BatchNorm {
    /// Batch normalisation with momentum 0.1 and ε = 10⁻⁵.
    pub fn new() -> Self {
        BatchNorm::default()
    }

    /// How much of each batch's mean and variance goes into the running ones: from 0 (nothing) to 1 (they are replaced).
    pub fn momentum(mut self, momentum: Float) -> Self {
        self.momentum = momentum;
        self
    }

    /// What is added to the variance, so that a feature that never varies divides nothing by 0.
    pub fn epsilon(mut self, epsilon: Float) -> Self {
        self.epsilon = epsilon;
        self
    }
}

impl Layer for BatchNorm {
    fn kind(&self) -> &'static str {
        "batch_norm"
    }

    fn plan(&self, input: &Shape) -> Result<Plan, String> {
        if !(0.0..=1.0).contains(&self.momentum) {
            let momentum = self.momentum;
            return Err(format!(
                "the momentum of batch_norm must be from 0 to 1, not {momentum}"
            ));
        }
        if !(self.epsilon > 0.0 && self.epsilon.is_finite()) {
            let epsilon = self.epsilon;
            return Err(format!(
                "the epsilon of batch_norm must be a positive number, not {epsilon}"
            ));
        }
        if !(input.len() == 1 || input.len() == 3) || input.size() == 0 {
            return Err(format!(
                "batch_norm needs flat samples or images of shape channels×height×width, got {input}"
            ));
        }
        let n = input[0];
        let mut gamma = Parameter::weight(n, Fans::new(n, n), Arc::new(Constant(1.0)));
        gamma.decays = false;
        Ok(Plan::new(input)
            .parameter(gamma)
            .parameter(Parameter::bias(n))
            .state("running_mean", n, 0.0)
            .state("running_var", n, 1.0)
            .scratch(3 * n, 0)
            .multiply_adds(input.size() as u64)
            .layouts(Layouts::Either)
            .forgets_output())
    }

    fn forward(&self, pass: Forward<'_>) {
        let features = Features::of(pass.input, pass.layout);
        let [gamma, beta] = pass.parameters.split();
        let [mean, variance] = if pass.training {
            halves(pass.statistics)
        } else {
            pass.state.split()
        };
        let scale = &mut pass.scratch[..features.count];
        for ((scale, gamma), variance) in scale.iter_mut().zip(gamma).zip(variance) {
            *scale = gamma * self.inverse_deviation(*variance);
        }
        vectorize(|| {
            features.map(pass.x, pass.x, pass.y, |i, x, _| (x - mean[i]) * scale[i] + beta[i]);
        });
    }

    fn backward(&self, pass: Backward<'_>) {
        let features = Features::of(pass.input, pass.layout);
        let [dgamma, dbeta] = pass.gradients.split();
        let [block_dgamma, block_dbeta] = halves(pass.block_statistics);
        dgamma
            .iter_mut()
            .zip(block_dgamma)
            .for_each(|(sum, block)| *sum += block);
        dbeta.iter_mut().zip(block_dbeta).for_each(|(sum, block)| *sum += block);

        let Some(dx) = pass.dx else { return };
        let [mean, variance] = halves(pass.statistics);
        let [dgamma, dbeta] = halves(pass.backward_statistics);
        let gamma = &pass.parameters[0];
        let count = features.values(pass.batch);
        // dx = scale · (dy − shift − (x − μ) · slope)
        let (scale, rest) = pass.scratch.split_at_mut(features.count);
        let (shift, slope) = rest.split_at_mut(features.count);
        for i in 0..features.count {
            let inverse = self.inverse_deviation(variance[i]);
            scale[i] = gamma[i] * inverse;
            shift[i] = dbeta[i] / count;
            slope[i] = dgamma[i] / count * inverse;
        }
        vectorize(|| {
            features.map(pass.x, pass.dy, dx, |i, x, dy| {
                scale[i] * (dy - shift[i] - (x - mean[i]) * slope[i])
            });
        });
        features.clear_empty_lanes(pass.samples, dx);
    }

    fn across_batch(&self) -> Option<&dyn AcrossBatch> {
        Some(self)
    }

    fn output_kind(&self) -> OutputKind {
        OutputKind::Real
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

/// The statistics are the mean of each feature, then the variance of each; the sums are dγ, then dβ.
impl AcrossBatch for BatchNorm {
    fn statistics(&self, input: &Shape) -> usize {
        2 * input[0]
    }

    fn gather(&self, block: BlockOf<'_>, x: &[Float], statistics: &mut [Float]) {
        let features = Features::of(block.input, block.layout);
        let n = block.samples;
        let count = features.values(n);
        let (mean, variance) = statistics.split_at_mut(features.count);
        vectorize(|| {
            for some in features.parts() {
                let (mean, variance) = (&mut mean[some.clone()], &mut variance[some.clone()]);
                features.sum(&some, n, [x, x], mean, |_, x, _| x);
                mean.iter_mut().for_each(|mean| *mean /= count);
                features.sum(&some, n, [x, x], variance, |i, x, _| (x - mean[i]) * (x - mean[i]));
                variance.iter_mut().for_each(|variance| *variance /= count);
            }
        });
    }

    fn merge(&self, _input: &Shape, total: &mut [Float], seen: usize, part: &[Float], n: usize) {
        if seen == 0 {
            total.copy_from_slice(part);
            return;
        }
        let features = total.len() / 2;
        let (mean, variance) = total.split_at_mut(features);
        let [part_mean, part_variance] = halves(part);
        // The part's share of all values; each sample has as many.
        let share = n as Float / (seen + n) as Float;
        for i in 0..features {
            let delta = part_mean[i] - mean[i];
            mean[i] += delta * share;
            variance[i] =
                (1.0 - share) * variance[i] + share * part_variance[i] + delta * delta * share * (1.0 - share);
        }
    }

    fn backward_statistics(&self, input: &Shape) -> usize {
        2 * input[0]
    }

    fn gather_backward(&self, block: BlockOf<'_>, x: &[Float], dy: &[Float], statistics: &[Float], sums: &mut [Float]) {
        let features = Features::of(block.input, block.layout);
        let [mean, variance] = halves(statistics);
        let (dgamma, dbeta) = sums.split_at_mut(features.count);
        vectorize(|| {
            for some in features.parts() {
                let (dgamma, dbeta) = (&mut dgamma[some.clone()], &mut dbeta[some.clone()]);
                let mean = &mean[some.clone()];
                features.sum(&some, block.samples, [x, dy], dgamma, |i, x, dy| dy * (x - mean[i]));
                features.sum(&some, block.samples, [dy, dy], dbeta, |_, dy, _| dy);
            }
        });
        for (dgamma, variance) in dgamma.iter_mut().zip(variance) {
            *dgamma *= self.inverse_deviation(*variance);
        }
    }

    fn update_state(&self, input: &Shape, statistics: &[Float], n: usize, state: TensorsMut<'_>) {
        let count = Features::of(input, Layout::SampleMajor).values(n);
        let [mean, variance] = halves(statistics);
        let [running_mean, running_variance] = state.split();
        let m = self.momentum;
        for (running, mean) in running_mean.iter_mut().zip(mean) {
            *running = (1.0 - m) * *running + m * mean;
        }
        // A single value tells nothing about the variance.
        if count > 1.0 {
            for (running, variance) in running_variance.iter_mut().zip(variance) {
                *running = (1.0 - m) * *running + m * variance * (count / (count - 1.0));
            }
        }
    }
}

impl BatchNorm {
    /// 1 / √(σ² + ε). A variance below 0, which only a file can hold, counts as 0.
    fn inverse_deviation(&self, variance: Float) -> Float {
        let variance = if variance < 0.0 { 0.0 } else { variance };
        1.0 / (variance + self.epsilon).sqrt()
    }
}

/// The two halves of a slice.
fn halves(values: &[Float]) -> [&[Float]; 2] {
    values.split_at(values.len() / 2).into()
}

/// How the features lie in a block of samples: one after the other, each with all its pixels, for a sample or for [`LANES`].
#[derive(Debug, Clone, Copy)]
struct Features {
    count: usize,
    /// Values of each feature in a sample.
    pixels: usize,
    /// Samples at each pixel.
    lanes: usize,
}

impl Features {
    fn of(sample: &Shape, layout: Layout) -> Self {
        Features {
            count: sample[0],
            pixels: sample[1..].iter().product(),
            lanes: layout.room(1),
        }
    }

    /// How many values each feature has in so many samples.
    fn values(&self, samples: usize) -> Float {
        (samples * self.pixels) as Float
    }

    /// out = f(feature, a, b), value by value, for the samples in `a` and `b`.
    #[inline(always)]
    fn map(&self, a: &[Float], b: &[Float], out: &mut [Float], f: impl Fn(usize, Float, Float) -> Float) {
        let plane = self.pixels * self.lanes;
        let size = self.count * plane;
        let samples = a
            .chunks_exact(size)
            .zip(b.chunks_exact(size))
            .zip(out.chunks_exact_mut(size));
        for ((a, b), out) in samples {
            if plane == 1 {
                for (i, ((out, &a), &b)) in out.iter_mut().zip(a).zip(b).enumerate() {
                    *out = f(i, a, b);
                }
                continue;
            }
            let planes = a.chunks_exact(plane).zip(b.chunks_exact(plane));
            for (i, ((a, b), out)) in planes.zip(out.chunks_exact_mut(plane)).enumerate() {
                for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
                    *out = f(i, a, b);
                }
            }
        }
    }

    /// The features in parts that are gone through at once: each by itself, so that its plane is still in the cache for a second
    /// sum; or all of them, where they lie side by side.
    #[inline(always)]
    fn parts(self) -> impl Iterator<Item = Range<usize>> {
        let step = if self.pixels * self.lanes == 1 { self.count } else { 1 };
        (0..self.count).step_by(step).map(move |i| i..i + step)
    }

    /// sums\[i\] = Σ f(i, a, b) over all values of feature `some[i]` in the `samples` samples in `a` and `b`.
    #[inline(always)]
    fn sum(
        &self,
        some: &Range<usize>,
        samples: usize,
        [a, b]: [&[Float]; 2],
        sums: &mut [Float],
        f: impl Fn(usize, Float, Float) -> Float,
    ) {
        sums.fill(0.0);
        let plane = self.pixels * self.lanes;
        let size = self.count * plane;
        let part = some.start * plane..some.end * plane;
        for (group, (a, b)) in a.chunks_exact(size).zip(b.chunks_exact(size)).enumerate() {
            let (a, b) = (&a[part.clone()], &b[part.clone()]);
            if plane == 1 {
                for (i, ((sum, &a), &b)) in sums.iter_mut().zip(a).zip(b).enumerate() {
                    *sum += f(i, a, b);
                }
                continue;
            }
            // All of a sample's partial sums count; side by side, a partial sum is a lane's.
            let counting = if self.lanes == 1 {
                LANES
            } else {
                samples - group * LANES
            };
            let planes = a.chunks_exact(plane).zip(b.chunks_exact(plane));
            for (i, (sum, (a, b))) in sums.iter_mut().zip(planes).enumerate() {
                *sum += sum_of(counting, a, b, |a, b| f(i, a, b));
            }
        }
    }

    /// Sets what lies behind the last sample to 0.
    fn clear_empty_lanes(&self, samples: usize, values: &mut [Float]) {
        if self.lanes == 1 || samples.is_multiple_of(LANES) {
            return;
        }
        let last = samples / LANES * LANES * self.count * self.pixels;
        for lanes in values[last..].chunks_exact_mut(LANES) {
            lanes[samples % LANES..].fill(0.0);
        }
    }
}

/// Σ f(aᵢ, bᵢ) in [`LANES`] partial sums, the first `counting` of which count. Neighbouring values go to different ones, so
/// that the processor adds as many at once. Slices of the same length; to be called inside `vectorize`.
#[inline(always)]
fn sum_of(counting: usize, a: &[Float], b: &[Float], f: impl Fn(Float, Float) -> Float) -> Float {
    let mut lanes = [0.0; LANES];
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            lanes[i] += f(a[i], b[i]);
        }
    }
    for (lane, (&a, &b)) in lanes.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *lane += f(a, b);
    }
    for lane in lanes.iter_mut().skip(counting) {
        *lane = 0.0;
    }
    // Halves are added to halves.
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{Rig, assert_close, check, spread};

    #[test]
    fn every_value_is_summed_once() {
        for n in 0..70 {
            let a: Vec<Float> = (1..=n).map(|i| i as Float).collect();
            assert_eq!(
                sum_of(LANES, &a, &a, |a, b| a * b),
                (n * (n + 1) * (2 * n + 1) / 6) as Float
            );
        }
    }

    #[test]
    fn a_batch_by_hand() {
        let layer = BatchNorm::new().epsilon(1.0).momentum(0.5);
        // Means 2 and 0, variances 3 and 0.
        let x = [2.0 + Float::sqrt(3.0), 0.0, 2.0 - Float::sqrt(3.0), 0.0];
        let rig = Rig::new(&layer, [2]).unwrap().parameters(&[2.0, 3.0, 10.0, -1.0]);
        let step = rig.step(&x, &[1.0, 1.0, 0.0, 5.0]).unwrap();
        let root = Float::sqrt(3.0);
        assert_close("y", &step.y, &[10.0 + root, -1.0, 10.0 - root, -1.0], 1e-6);
        // dγ = Σ dy · x̂ with x̂ = ±√3 / 2; dβ = Σ dy
        assert_close("gradient", &step.gradient, &[root / 2.0, 0.0, 1.0, 6.0], 1e-6);
        // 2 / 2 · (dy − 1/2 ∓ √3/2 · √3/4) and 3 · (dy − 3)
        assert_close("dx", &step.dx, &[0.125, -6.0, -0.125, 6.0], 1e-6);
        // The running variance is the unbiased one, 3 · 2 / 1.
        assert_close("state", &step.state, &[1.0, 0.0, 3.5, 0.5], 1e-6);
    }

    #[test]
    fn inference_uses_the_running_statistics() {
        let layer = BatchNorm::new().epsilon(1.0);
        let rig = Rig::new(&layer, [2, 1, 2]).unwrap();
        let rig = rig.parameters(&[2.0, 3.0, 0.5, 0.0]).state(&[1.0, -1.0, 3.0, 8.0]);
        assert_eq!(rig.infer(&[1.0, 3.0, -1.0, 2.0]).unwrap(), [0.5, 2.5, 0.0, 3.0]);
    }

    #[test]
    fn the_gradients_are_those_of_finite_differences() {
        check(&BatchNorm::new(), [4]);
        check(&BatchNorm::new().epsilon(0.1).momentum(1.0), [2, 3, 5]);
        check(&BatchNorm::new(), [1, 5, 5]);
        check(&BatchNorm::new(), [3, 1, 1]);
    }

    #[test]
    fn statistics_far_from_zero_keep_their_precision() {
        let layer = BatchNorm::new();
        let near = spread(6 * 40, 1);
        let far: Vec<Float> = near.iter().map(|x| x + 1000.0).collect();
        let shape = Shape::from([2, 4, 5]);
        let statistics = |x: &[Float], block: usize| {
            let mut total = [Float::NAN; 4];
            let mut seen = 0;
            for x in x.chunks(block * 40) {
                let mut part = [Float::NAN; 4];
                let n = x.len() / 40;
                let block = BlockOf {
                    input: &shape,
                    samples: n,
                    layout: Layout::SampleMajor,
                };
                layer.gather(block, x, &mut part);
                layer.merge(&shape, &mut total, seen, &part, n);
                seen += n;
            }
            total
        };
        let whole = statistics(&near, 6);
        for block in [1, 4, 6] {
            assert_close("variance", &statistics(&far, block)[2..], &whole[2..], 2e-4);
        }
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let refuse = |layer: BatchNorm, input: &[usize]| layer.plan(&Shape::from(input)).unwrap_err();
        assert_eq!(
            refuse(BatchNorm::new().momentum(1.5), &[4]),
            "the momentum of batch_norm must be from 0 to 1, not 1.5"
        );
        assert_eq!(
            refuse(BatchNorm::new().epsilon(0.0), &[4]),
            "the epsilon of batch_norm must be a positive number, not 0"
        );
        assert_eq!(
            refuse(BatchNorm::new(), &[2, 3]),
            "batch_norm needs flat samples or images of shape channels×height×width, got 2×3"
        );
    }

    #[test]
    fn settings_make_the_same_layer_again() {
        let settings = BatchNorm::new().settings().unwrap();
        assert_eq!(settings, serde_json::json!({ "momentum": 0.1, "epsilon": 1e-5 }));
        let again: BatchNorm = serde_json::from_value(settings.clone()).unwrap();
        assert_eq!(again.settings().unwrap(), settings);
    }
}
