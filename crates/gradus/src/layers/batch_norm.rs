//! Batch normalization.

mod fast;
mod moments;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::moments::Moments;
use crate::init::{Constant, Fans};
use crate::layer::{
    Backward, BatchPasses, BatchStatistics, BoundLayer, Forward, Layer, Operation, OutputKind, Parameter, Tensors,
    TensorsMut,
};
use crate::optim::flush;
use crate::settings::shown;
use crate::{Float, Shape};

/// Batch normalization of flat samples `[features]`, sequences `[channels, length]` or images `[channels, height, width]`.
///
/// Each feature (a channel at all its positions, or a value of a flat sample) is normalized over the N values that it has in a
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
/// Of a single value there is no variance: a batch of one flat sample (or of one image of one pixel, or one sequence of one value) can't be trained on.
///
/// ```
/// use gradus::layers::BatchNorm;
/// use gradus::{Layer, Shape};
/// let bound = BatchNorm::new().bind(&Shape::from([16, 28, 28])).unwrap();
/// assert_eq!(bound.output(), &Shape::from([16, 28, 28]));
/// assert_eq!(bound.parameters()[0].shape, Shape::from(16));
/// assert_eq!(bound.state()[1].name, "running_var");
/// ```
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatchNorm {
    momentum: f64,
    epsilon: f64,
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
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// What is added to the variance, so that a feature that never varies divides nothing by 0.
    pub fn epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }
}

impl Layer for BatchNorm {
    fn kind(&self) -> &'static str {
        "batch_norm"
    }

    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
        let (momentum, epsilon) = (self.momentum as Float, self.epsilon as Float);
        if !(0.0..=1.0).contains(&momentum) {
            return Err(format!(
                "the momentum of batch_norm must be from 0 to 1, not {}",
                shown(self.momentum)
            ));
        }
        if !(epsilon > 0.0 && epsilon.is_finite()) {
            return Err(format!(
                "the epsilon of batch_norm must be a positive number, not {}",
                shown(self.epsilon)
            ));
        }
        if input.len() > 3 || input.size() == 0 {
            return Err(format!(
                "batch_norm needs flat samples, sequences of shape channels×length or images of shape channels×height×width, got {input}"
            ));
        }
        let n = input[0];
        let mut gamma = Parameter::weight(n, Fans::new(n, n), Arc::new(Constant::new(1.0)));
        gamma.decays = false;
        let norm = BoundBatchNorm {
            momentum,
            epsilon,
            features: n,
            pixels: input.size() / n,
        };
        Ok(BoundLayer::across_batch(input, norm)
            .with_parameter(gamma)
            .with_parameter(Parameter::bias(n))
            .with_state("running_mean", n, 0.0)
            .with_state("running_var", n, 1.0)
            .with_multiply_adds(input.size() as u64)
            .with_operation(Operation::BatchNorm {
                epsilon: f64::from(epsilon),
                momentum: f64::from(momentum),
            })
            .with_output_kind(OutputKind::Real)
            .with_fast(fast::FastBatchNorm(norm)))
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

/// Batch normalization bound to samples of `features` features with `pixels` pixels each.
#[derive(Debug, Clone, Copy)]
struct BoundBatchNorm {
    momentum: Float,
    epsilon: Float,
    features: usize,
    pixels: usize,
}

impl BoundBatchNorm {
    /// N, the number of values of a feature in `samples` samples.
    fn values(&self, samples: usize) -> Float {
        (samples * self.pixels) as Float
    }

    /// Where the values of a feature are in `samples` samples, one after the other.
    fn places(&self, feature: usize, samples: usize) -> impl Iterator<Item = usize> {
        let BoundBatchNorm { features, pixels, .. } = *self;
        (0..samples).flat_map(move |n| (0..pixels).map(move |i| (n * features + feature) * pixels + i))
    }

    /// 1 / √(σ² + ε). A variance below 0, which only a file can hold, counts as 0.
    fn inverse_deviation(&self, variance: Float) -> Float {
        let variance = if variance < 0.0 { 0.0 } else { variance };
        1.0 / (variance + self.epsilon).sqrt()
    }

    /// γ / √(σ² + ε) · (x − μ) + β, where μ is `mean` and what its nearest number misses.
    fn normalize(&self, pass: Forward<'_>, mean: impl Fn(usize) -> [Float; 2], variance: impl Fn(usize) -> Float) {
        let [gamma, beta] = pass.parameters.split();
        for f in 0..self.features {
            let scale = gamma[f] * self.inverse_deviation(variance(f));
            let [mean, missing] = mean(f);
            let shift = beta[f] - missing * scale;
            for at in self.places(f, 1) {
                pass.y[at] = (pass.x[at] - mean) * scale + shift;
            }
        }
    }
}

/// The statistics are [`Moments`]; the sums are dγ, then dβ, of each feature.
impl BatchPasses for BoundBatchNorm {
    fn least_samples(&self) -> usize {
        if self.pixels == 1 { 2 } else { 1 }
    }

    fn statistics(&self) -> usize {
        Moments::NUMBERS * self.features
    }

    fn gather(&self, n: usize, x: &[Float], statistics: &mut [Float]) {
        for f in 0..self.features {
            let values = || self.places(f, n).map(|at| f64::from(x[at]));
            let count = f64::from(self.values(n));
            let mean = values().sum::<f64>() / count;
            let variance = values().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count;
            Moments { mean, variance }.write(f, statistics);
        }
    }

    fn merge(&self, total: &mut [Float], seen: usize, part: &[Float], n: usize) {
        if seen == 0 {
            return total.copy_from_slice(part);
        }
        // The part's proportion of all values; each sample has as many.
        let proportion = n as f64 / (seen + n) as f64;
        for f in 0..self.features {
            let merged = Moments::read(f, total).merged(Moments::read(f, part), proportion);
            merged.write(f, total);
        }
    }

    fn sums(&self) -> usize {
        2 * self.features
    }

    fn gather_backward(&self, n: usize, x: &[Float], dy: &[Float], statistics: &[Float], sums: &mut [Float]) {
        let (dgamma, dbeta) = sums.split_at_mut(self.features);
        for f in 0..self.features {
            let Moments { mean, variance } = Moments::read(f, statistics);
            let inverse = f64::from(self.inverse_deviation(variance as Float));
            let (mut products, mut total) = (0.0, 0.0);
            for at in self.places(f, n) {
                products += f64::from(dy[at]) * (f64::from(x[at]) - mean) * inverse;
                total += f64::from(dy[at]);
            }
            (dgamma[f], dbeta[f]) = (products as Float, total as Float);
        }
    }

    fn update_state(&self, statistics: &[Float], n: usize, state: TensorsMut<'_>) {
        let count = self.values(n);
        let [running_mean, running_variance] = state.split();
        // Those of a feature that stays 0 would shrink until they are subnormal.
        let follow = |running: &mut Float, value: Float| {
            *running = flush(
                (1.0 - self.momentum) * *running + self.momentum * value,
                Float::MIN_POSITIVE,
            );
        };
        for f in 0..self.features {
            let Moments { mean, variance } = Moments::read(f, statistics);
            follow(&mut running_mean[f], mean as Float);
            // A single value tells nothing about the variance.
            if count > 1.0 {
                follow(&mut running_variance[f], variance as Float * (count / (count - 1.0)));
            }
        }
    }

    fn forward(&self, pass: Forward<'_>, statistics: &[Float]) {
        let number = |i: usize, f: usize| statistics[i * self.features + f];
        self.normalize(pass, |f| [number(0, f), number(1, f)], |f| number(2, f));
    }

    fn infer(&self, pass: Forward<'_>) {
        let [mean, variance] = pass.state.split();
        self.normalize(pass, |f| [mean[f], 0.0], |f| variance[f]);
    }

    fn infer_backward(&self, mut pass: Backward<'_>, state: Tensors<'_>) {
        let [mean, variance] = state.split();
        for f in 0..self.features {
            let inverse = self.inverse_deviation(variance[f]);
            for at in self.places(f, 1) {
                pass.dx[at] = pass.parameters[0][f] * inverse * pass.dy[at];
                pass.gradients[0][f] += pass.dy[at] * (pass.x[at] - mean[f]) * inverse;
                pass.gradients[1][f] += pass.dy[at];
            }
        }
    }

    fn backward(&self, mut pass: Backward<'_>, batch: BatchStatistics<'_>) {
        let count = f64::from(self.values(batch.samples));
        for f in 0..self.features {
            let Moments { mean, variance } = Moments::read(f, batch.statistics);
            let inverse = f64::from(self.inverse_deviation(variance as Float));
            let scale = f64::from(pass.parameters[0][f]) * inverse;
            let (dgamma, dbeta) = (f64::from(batch.sums[f]), f64::from(batch.sums[self.features + f]));
            let (mut sample_dgamma, mut sample_dbeta) = (0.0, 0.0);
            for at in self.places(f, 1) {
                let normalized = (f64::from(pass.x[at]) - mean) * inverse;
                let dy = f64::from(pass.dy[at]);
                pass.dx[at] = (scale * (dy - dbeta / count - normalized * dgamma / count)) as Float;
                sample_dgamma += dy * normalized;
                sample_dbeta += dy;
            }
            pass.gradients[0][f] += sample_dgamma as Float;
            pass.gradients[1][f] += sample_dbeta as Float;
        }
    }
}

#[cfg(test)]
mod tests {
    use gradus_kernels::interleaved::LANES;

    use super::*;
    use crate::layer::advanced::{BlockOf, Layout};
    use crate::layers::testing::{LayerHarness, assert_close, check};

    #[test]
    fn a_batch_by_hand() {
        let layer = BatchNorm::new().epsilon(1.0).momentum(0.5);
        // Means 2 and 0, variances 3 and 0.
        let x = [2.0 + Float::sqrt(3.0), 0.0, 2.0 - Float::sqrt(3.0), 0.0];
        let harness = LayerHarness::new(&layer, [2])
            .unwrap()
            .parameters(&[2.0, 3.0, 10.0, -1.0]);
        let step = harness.step(&x, &[1.0, 1.0, 0.0, 5.0]).unwrap();
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
        let harness = LayerHarness::new(&layer, [2, 1, 2]).unwrap();
        let harness = harness.parameters(&[2.0, 3.0, 0.5, 0.0]).state(&[1.0, -1.0, 3.0, 8.0]);
        assert_eq!(harness.infer(&[1.0, 3.0, -1.0, 2.0]).unwrap(), [0.5, 2.5, 0.0, 3.0]);
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
        let size = shape.size();
        let bound = BatchNorm::new().bind(shape).unwrap();
        let fast = bound.fast.unwrap();
        let layer = fast.across_batch().unwrap();
        let count = layer.statistics();
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
            let mut part = vec![Float::NAN; count];
            layer.gather(BlockOf::new(samples, layout), &laid, &mut part);
            layer.merge(&mut total, seen, &part, samples);
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
            let harness = LayerHarness::new(&layer, [1, 224, 224])
                .unwrap()
                .parameters(&[1.5, 0.25]);
            for harness in [
                harness.block(2),
                LayerHarness::new(&layer, [1, 224, 224])
                    .unwrap()
                    .parameters(&[1.5, 0.25])
                    .interleaved(),
            ] {
                let step = harness
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
        let harness = || {
            LayerHarness::new(&layer, shape)
                .unwrap()
                .parameters(&[1.0, 2.0, 0.0, 0.0])
        };
        for harness in [harness().block(2), harness().interleaved()] {
            let step = harness.step(&x, &dy).unwrap();
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
        let bound = BatchNorm::new().momentum(0.5).bind(&[1].into()).unwrap();
        let fast = bound.fast.unwrap();
        let mut state = vec![1.0; 2];
        for _ in 0..3000 {
            fast.across_batch()
                .unwrap()
                .update_state(&[0.0; 4], 8, TensorsMut::new(&mut state, &[1, 1]));
            assert!(state.iter().all(|v| !v.is_subnormal()));
        }
        assert_eq!(state, [0.0; 2]);
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let refuse = |layer: BatchNorm, input: &[usize]| layer.bind(&Shape::from(input)).unwrap_err();
        assert_eq!(
            refuse(BatchNorm::new().momentum(1.5), &[4]),
            "the momentum of batch_norm must be from 0 to 1, not 1.5"
        );
        assert_eq!(
            refuse(BatchNorm::new().epsilon(0.0), &[4]),
            "the epsilon of batch_norm must be a positive number, not 0"
        );
        assert_eq!(
            refuse(BatchNorm::new(), &[2, 3, 1, 4]),
            "batch_norm needs flat samples, sequences of shape channels×length or images of shape channels×height×width, got 2×3×1×4"
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
