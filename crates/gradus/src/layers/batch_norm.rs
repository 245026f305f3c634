//! Batch normalization.
//!
//! The statistics are those of PyTorch, whose sums are in double precision, and for a constant they are exact. Of a block of
//! samples, in two passes, the second of which corrects the first: from some value c of the feature,
//!
//! c′ = c + Σ (x − c) / N, e = Σ (x − c′) / N, μ = c′ + e, σ² = Σ (x − c′)² / N − e².
//!
//! The statistics of two blocks, with n and n′ values, are merged by
//!
//! δ = μ′ − μ, μ ← μ + δ · n′ / (n + n′), σ² ← (n · σ² + n′ · σ′²) / (n + n′) + δ² · n · n′ / (n + n′)²
//!
//! in `f64`: each is kept as two numbers, the nearest [`Float`] and what is missing.
//!
//! Sources: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979, and
//! "Algorithms for computing the sample variance", 1983.

use std::ops::Range;
use std::sync::Arc;

use gradus_kernels::interleaved::LANES;
use gradus_kernels::{SUMS, partial_sums, vectorize};
use serde::{Deserialize, Serialize};

use super::shortest;
use crate::init::{Constant, Fans};
use crate::layer::{
    AcrossBatch, Backward, BlockOf, Forward, Layer, Layout, Layouts, Operation, OutputKind, Parameter, Plan, TensorsMut,
};
use crate::optim::flush;
use crate::{Float, Shape};

/// Batch normalization of flat samples `[features]` or images `[channels, height, width]`.
///
/// Each feature (a channel at all its pixels, or a value of a flat sample) is normalized over the N values that it has in a
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
/// Of a single value there is no variance: a batch of one flat sample (or of one image of one pixel) can't be trained on.
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
    /// Batch normalization with momentum 0.1 and ε = 10⁻⁵.
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
        let [mean, missing, variance, _] = if pass.training {
            quarters(pass.statistics)
        } else {
            let [mean, variance] = pass.state.split();
            [mean, &[], variance, &[]]
        };
        let (scale, rest) = pass.scratch.split_at_mut(features.count);
        for ((scale, gamma), variance) in scale.iter_mut().zip(gamma).zip(variance) {
            *scale = gamma * self.inverse_deviation(*variance);
        }
        // What the mean's nearest number misses is in the shift: y = (x − mean) · scale + (β − missing · scale)
        let shift = &mut rest[..features.count];
        shift.copy_from_slice(beta);
        for ((shift, missing), scale) in shift.iter_mut().zip(missing).zip(&*scale) {
            *shift -= missing * scale;
        }
        vectorize(|| {
            features.map(pass.x, pass.x, pass.y, |i, x, _| (x - mean[i]) * scale[i] + shift[i]);
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
        let [mean, missing, variance, _] = quarters(pass.statistics);
        let [dgamma, dbeta] = halves(pass.backward_statistics);
        let gamma = &pass.parameters[0];
        let count = features.values(pass.batch);
        // dx = scale · (dy − shift − (x − mean) · slope)
        let (scale, rest) = pass.scratch.split_at_mut(features.count);
        let (shift, slope) = rest.split_at_mut(features.count);
        for i in 0..features.count {
            let inverse = self.inverse_deviation(variance[i]);
            scale[i] = gamma[i] * inverse;
            slope[i] = dgamma[i] / count * inverse;
            shift[i] = dbeta[i] / count - missing[i] * slope[i];
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

    fn operation(&self, _: &Shape) -> Option<Operation> {
        Some(Operation::BatchNorm {
            epsilon: f64::from(self.epsilon),
            momentum: f64::from(self.momentum),
        })
    }

    fn output_kind(&self) -> OutputKind {
        OutputKind::Real
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

/// The statistics are the mean of each feature, what is missing from each mean, the variance of each, and what is missing from
/// each variance; the sums are dγ, then dβ.
impl AcrossBatch for BatchNorm {
    fn least_samples(&self, input: &Shape) -> usize {
        let pixels: usize = input[1..].iter().product();
        if pixels == 1 { 2 } else { 1 }
    }

    fn statistics(&self, input: &Shape) -> usize {
        4 * input[0]
    }

    fn gather(&self, block: BlockOf<'_>, x: &[Float], statistics: &mut [Float]) {
        let features = Features::of(block.input, block.layout);
        let n = block.samples;
        let count = f64::from(features.values(n));
        vectorize(|| {
            for some in features.parts() {
                let mut center = [0.0; LANES];
                for (center, feature) in center.iter_mut().zip(some.clone()) {
                    *center = x[feature * features.pixels * features.lanes];
                }
                let [sums] = features.sums(&some, n, [x, x], |i, x, _| [x - center[i]]);
                for (center, sum) in center.iter_mut().zip(sums) {
                    *center = (f64::from(*center) + sum / count) as Float;
                }
                let [sums, squares] = features.sums(&some, n, [x, x], |i, x, _| {
                    let distance = x - center[i];
                    [distance, distance * distance]
                });
                for (i, feature) in some.enumerate() {
                    let left = sums[i] / count;
                    let variance = squares[i] / count - left * left;
                    let variance = if variance < 0.0 { 0.0 } else { variance };
                    Moments {
                        mean: f64::from(center[i]) + left,
                        variance,
                    }
                    .write(feature, statistics);
                }
            }
        });
    }

    fn merge(&self, input: &Shape, total: &mut [Float], seen: usize, part: &[Float], n: usize) {
        if seen == 0 {
            total.copy_from_slice(part);
            return;
        }
        // The part's share of all values; each sample has as many.
        let share = n as f64 / (seen + n) as f64;
        for feature in 0..input[0] {
            let (a, b) = (Moments::read(feature, total), Moments::read(feature, part));
            let delta = b.mean - a.mean;
            Moments {
                mean: a.mean + delta * share,
                variance: (1.0 - share) * a.variance + share * b.variance + delta * delta * share * (1.0 - share),
            }
            .write(feature, total);
        }
    }

    fn backward_statistics(&self, input: &Shape) -> usize {
        2 * input[0]
    }

    fn gather_backward(&self, block: BlockOf<'_>, x: &[Float], dy: &[Float], statistics: &[Float], sums: &mut [Float]) {
        let features = Features::of(block.input, block.layout);
        let [mean, missing, variance, _] = quarters(statistics);
        let (dgamma, dbeta) = sums.split_at_mut(features.count);
        vectorize(|| {
            for some in features.parts() {
                let mean = &mean[some.clone()];
                let [products, dy] = features.sums(&some, block.samples, [x, dy], |i, x, dy| [dy * (x - mean[i]), dy]);
                for (i, feature) in some.enumerate() {
                    let inverse = self.inverse_deviation(variance[feature]);
                    let product = products[i] - f64::from(missing[feature]) * dy[i];
                    dgamma[feature] = (product * f64::from(inverse)) as Float;
                    dbeta[feature] = dy[i] as Float;
                }
            }
        });
    }

    fn update_state(&self, input: &Shape, statistics: &[Float], n: usize, state: TensorsMut<'_>) {
        let count = Features::of(input, Layout::SampleMajor).values(n);
        let [mean, _, variance, _] = quarters(statistics);
        let [running_mean, running_variance] = state.split();
        // Those of a feature that stays 0 would shrink until they are subnormal.
        let follow = |running: &mut Float, value: Float| {
            *running = flush(
                (1.0 - self.momentum) * *running + self.momentum * value,
                Float::MIN_POSITIVE,
            );
        };
        for (running, mean) in running_mean.iter_mut().zip(mean) {
            follow(running, *mean);
        }
        // A single value tells nothing about the variance.
        if count > 1.0 {
            for (running, variance) in running_variance.iter_mut().zip(variance) {
                follow(running, variance * (count / (count - 1.0)));
            }
        }
    }
}

/// The mean and the variance of a feature.
struct Moments {
    mean: f64,
    variance: f64,
}

impl Moments {
    /// Those of a feature in the statistics, where they lie as the nearest numbers and what is missing from them.
    fn read(feature: usize, statistics: &[Float]) -> Self {
        let [mean, mean_missing, variance, variance_missing] = quarters(statistics);
        let whole = |nearest: &[Float], missing: &[Float]| f64::from(nearest[feature]) + f64::from(missing[feature]);
        Moments {
            mean: whole(mean, mean_missing),
            variance: whole(variance, variance_missing),
        }
    }

    fn write(&self, feature: usize, statistics: &mut [Float]) {
        let features = statistics.len() / 4;
        for (i, value) in [self.mean, self.variance].into_iter().enumerate() {
            let nearest = value as Float;
            statistics[2 * i * features + feature] = nearest;
            statistics[(2 * i + 1) * features + feature] = (value - f64::from(nearest)) as Float;
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

/// The four quarters of a slice.
fn quarters(values: &[Float]) -> [&[Float]; 4] {
    let [first, second] = halves(values);
    let ([a, b], [c, d]) = (halves(first), halves(second));
    [a, b, c, d]
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
    /// sum; or up to [`LANES`] of them, where they lie side by side.
    #[inline(always)]
    fn parts(self) -> impl Iterator<Item = Range<usize>> {
        let step = if self.pixels * self.lanes == 1 { LANES } else { 1 };
        (0..self.count).step_by(step).map(move |i| i..self.count.min(i + step))
    }

    /// Σ f(i, a, b) over all values of feature `some[i]` in the `samples` samples in `a` and `b`, for each of the K values of f.
    #[inline(always)]
    fn sums<const K: usize>(
        &self,
        some: &Range<usize>,
        samples: usize,
        [a, b]: [&[Float]; 2],
        f: impl Fn(usize, Float, Float) -> [Float; K],
    ) -> [[f64; LANES]; K] {
        let mut sums = [[0.0; LANES]; K];
        let plane = self.pixels * self.lanes;
        let size = self.count * plane;
        let part = some.start * plane..some.end * plane;
        for (group, (a, b)) in a.chunks_exact(size).zip(b.chunks_exact(size)).enumerate() {
            let (a, b) = (&a[part.clone()], &b[part.clone()]);
            if plane == 1 {
                for (k, sums) in sums.iter_mut().enumerate() {
                    for (i, (sum, (&a, &b))) in sums.iter_mut().zip(a.iter().zip(b)).enumerate() {
                        *sum += f64::from(f(i, a, b)[k]);
                    }
                }
                continue;
            }
            // All of a sample's partial sums count; side by side, a partial sum is a lane's.
            let counting = if self.lanes == 1 {
                LANES
            } else {
                LANES.min(samples - group * LANES)
            };
            for (sums, partial) in sums.iter_mut().zip(partial_sums(a, b, |a, b| f(0, a, b))) {
                sums[0] += partial[..counting].iter().sum::<f64>();
            }
        }
        sums
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

// A partial sum is a lane's.
const _: () = assert!(SUMS == LANES);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{Rig, assert_close, check};

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

    /// The statistics of samples in blocks of so many: the means and variances in double precision.
    fn statistics(x: &[Float], shape: &Shape, layout: Layout, block: usize) -> Vec<[f64; 2]> {
        let (layer, size) = (BatchNorm::new(), shape.size());
        let count = layer.statistics(shape);
        let (mut total, mut seen) = (vec![Float::NAN; count], 0);
        for x in x.chunks(block * size) {
            let samples = x.len() / size;
            let mut laid = vec![Float::NAN; size * layout.room(samples)];
            for (i, &x) in x.iter().enumerate() {
                let (sample, value) = (i / size, i % size);
                match layout {
                    Layout::SampleMajor => laid[i] = x,
                    Layout::Interleaved => laid[(sample / LANES * size + value) * LANES + sample % LANES] = x,
                }
            }
            let of = BlockOf {
                input: shape,
                samples,
                layout,
            };
            let mut part = vec![Float::NAN; count];
            layer.gather(of, &laid, &mut part);
            layer.merge(shape, &mut total, seen, &part, samples);
            seen += samples;
        }
        let moments = (0..shape[0]).map(|feature| Moments::read(feature, &total));
        moments.map(|m| [m.mean, m.variance]).collect()
    }

    /// What PyTorch computes, whose sums are in double precision: whatever the mean, the size, the layout and the blocks.
    #[test]
    fn statistics_are_exact() {
        let shapes = [
            (Shape::from([2, 224, 224]), 2),
            (Shape::from([3, 7, 5]), 70),
            (Shape::from([20]), 5000),
            (Shape::from([3, 1, 1]), 50),
        ];
        for (shape, samples) in shapes {
            let pixels = shape.size() / shape[0];
            for (mean, spread) in [(0.0, 1.0), (273.15, 1.0), (-1e4, 1.0), (1e5, 100.0), (1e-10, 1e-12)] {
                let value = |i: usize| (mean + spread * ((i * 7919 % 10007) as f64 / 10007.0 - 0.3)) as Float;
                let x: Vec<Float> = (0..samples * shape.size()).map(value).collect();
                for (layout, block) in [
                    (Layout::SampleMajor, 16),
                    (Layout::SampleMajor, 7),
                    (Layout::SampleMajor, samples),
                    (Layout::Interleaved, 16),
                    (Layout::Interleaved, 21),
                ] {
                    let found = statistics(&x, &shape, layout, block);
                    for (feature, [found_mean, found_variance]) in found.into_iter().enumerate() {
                        let of_feature = || {
                            let planes = x.chunks_exact(pixels).skip(feature).step_by(shape[0]);
                            planes.flatten().map(|&x| f64::from(x))
                        };
                        let n = (samples * pixels) as f64;
                        let mean = of_feature().sum::<f64>() / n;
                        let variance = of_feature().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
                        let of = format!("{shape}, {layout:?}, {block}, {mean}");
                        let deviation = variance.sqrt();
                        assert!((found_mean - mean).abs() < 1e-6 * deviation, "{of}: {found_mean}");
                        assert!(
                            (found_variance / variance - 1.0).abs() < 1e-6,
                            "{of}: {found_variance} for {variance}"
                        );
                    }
                }
            }
        }
    }

    /// A channel that is the same everywhere has no variance, and becomes β.
    #[test]
    fn a_constant_becomes_the_shift() {
        for value in [273.15, -1e6, 1e-30, 0.1] {
            let shape = Shape::from([1, 224, 224]);
            for layout in [Layout::SampleMajor, Layout::Interleaved] {
                let x = vec![value; 3 * shape.size()];
                assert_eq!(
                    statistics(&x, &shape, layout, 2),
                    [[f64::from(value), 0.0]],
                    "{layout:?}"
                );
            }
            let layer = BatchNorm::new();
            let rig = Rig::new(&layer, [1, 224, 224]).unwrap().parameters(&[1.5, 0.25]);
            for rig in [
                rig.block(2),
                Rig::new(&layer, [1, 224, 224])
                    .unwrap()
                    .parameters(&[1.5, 0.25])
                    .interleaved(),
            ] {
                let step = rig
                    .step(&vec![value; 3 * 224 * 224], &vec![1.0; 3 * 224 * 224])
                    .unwrap();
                assert!(step.y.iter().all(|&y| y == 0.25), "{value}: {}", step.y[0]);
                assert_eq!(step.gradient, [0.0, (3 * 224 * 224) as Float], "{value}");
            }
        }
    }

    /// The gradients of many values are as exact as those of few: against sums in double precision.
    #[test]
    fn gradients_of_many_values_are_exact() {
        let (layer, shape) = (BatchNorm::new(), [2, 100, 100]);
        let size = 20_000;
        let value = |i: usize, by: usize| (i * by % 10007) as Float / 10007.0;
        let x: Vec<Float> = (0..5 * size).map(|i| 300.0 + value(i, 7919)).collect();
        let dy: Vec<Float> = (0..5 * size).map(|i| 1.0 + value(i, 5503)).collect();
        let rig = || Rig::new(&layer, shape).unwrap().parameters(&[1.0, 2.0, 0.0, 0.0]);
        for rig in [rig().block(2), rig().interleaved()] {
            let step = rig.step(&x, &dy).unwrap();
            for feature in 0..2 {
                let of = |values: &[Float]| -> Vec<f64> {
                    let planes = values.chunks_exact(10_000).skip(feature).step_by(2);
                    planes.flatten().map(|&x| f64::from(x)).collect()
                };
                let (x, dy, dx) = (of(&x), of(&dy), of(&step.dx));
                let n = x.len() as f64;
                let mean = x.iter().sum::<f64>() / n;
                let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
                let inverse = 1.0 / (variance + 1e-5).sqrt();
                let near = |x: f64| (x - mean) * inverse;
                let dgamma: f64 = x.iter().zip(&dy).map(|(x, dy)| near(*x) * dy).sum();
                let dbeta: f64 = dy.iter().sum();
                let whole: f64 = x.iter().zip(&dy).map(|(x, dy)| (near(*x) * dy).abs()).sum();
                assert!((f64::from(step.gradient[feature]) - dgamma).abs() < 1e-6 * whole);
                assert!((f64::from(step.gradient[2 + feature]) / dbeta - 1.0).abs() < 3e-7);
                for ((x, dy), found) in x.iter().zip(&dy).zip(dx) {
                    let gamma = 1.0 + feature as f64;
                    let dx = gamma * inverse * (dy - dbeta / n - near(*x) * dgamma / n);
                    assert!((found - dx).abs() < 1e-5 * gamma * inverse, "{found} for {dx}");
                }
            }
        }
    }

    /// What stays 0 leaves no subnormal number in the running statistics.
    #[test]
    fn running_statistics_do_not_become_subnormal() {
        let layer = BatchNorm::new().momentum(0.5);
        let mut state = vec![1.0; 2];
        for _ in 0..3000 {
            layer.update_state(&[1].into(), &[0.0; 4], 8, TensorsMut::new(&mut state, &[1, 1]));
            assert!(state.iter().all(|v| !v.is_subnormal()));
        }
        assert_eq!(state, [0.0; 2]);
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
