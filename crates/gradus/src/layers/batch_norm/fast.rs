//! Batch normalization for blocks of samples.
//!
//! The statistics are those of PyTorch, whose sums are in double precision, and for a constant they are exact. Of a block of
//! samples, in two passes, the second of which corrects the first: from some value c of the feature,
//!
//! c′ = c + Σ (x − c) / N, e = Σ (x − c′) / N, μ = c′ + e, σ² = Σ (x − c′)² / N − e².
//!
//! Source: Chan, Golub and LeVeque, "Algorithms for computing the sample variance", 1983.

use std::ops::Range;

use gradus_kernels::interleaved::LANES;
use gradus_kernels::{SUMS, partial_sums, vectorize};

use super::{BoundBatchNorm, Moments};
use crate::Float;
use crate::layer::advanced::{AcrossBatch, BlockBackward, BlockForward, BlockLayer, BlockOf, Layout, Layouts, Scratch};
use crate::layer::{BatchPasses, TensorsMut};

#[derive(Debug)]
pub(super) struct FastBatchNorm(pub(super) BoundBatchNorm);

impl BlockLayer for FastBatchNorm {
    fn layouts(&self) -> Layouts {
        Layouts::Either
    }

    fn scratch(&self) -> Scratch {
        Scratch {
            fixed: 3 * self.0.features,
            per_sample: 0,
        }
    }

    fn reads_output(&self) -> bool {
        false
    }

    fn forward(&self, pass: BlockForward<'_>) {
        let features = Features::of(&self.0, pass.layout);
        let [gamma, beta] = pass.parameters.split();
        let [mean, missing, variance, _] = if pass.training {
            quarters(pass.statistics)
        } else {
            let [mean, variance] = pass.state.split();
            [mean, &[], variance, &[]]
        };
        let (scale, rest) = pass.scratch.split_at_mut(features.count);
        for ((scale, gamma), variance) in scale.iter_mut().zip(gamma).zip(variance) {
            *scale = gamma * self.0.inverse_deviation(*variance);
        }
        // What the mean's nearest number misses is in the shift: y = (x − mean) · scale + (β − missing · scale)
        let shift = &mut rest[..features.count];
        shift.copy_from_slice(beta);
        for ((shift, missing), scale) in shift.iter_mut().zip(missing).zip(&*scale) {
            *shift -= missing * scale;
        }
        vectorize!(|| {
            features.map(pass.x, pass.x, pass.y, |i, x, _| (x - mean[i]) * scale[i] + shift[i]);
        });
    }

    fn backward(&self, pass: BlockBackward<'_>) {
        let features = Features::of(&self.0, pass.layout);
        let [dgamma, dbeta] = pass.gradients.split();
        let [block_dgamma, block_dbeta] = halves(pass.block_sums);
        dgamma
            .iter_mut()
            .zip(block_dgamma)
            .for_each(|(sum, block)| *sum += block);
        dbeta.iter_mut().zip(block_dbeta).for_each(|(sum, block)| *sum += block);

        let Some(dx) = pass.dx else { return };
        let [mean, missing, variance, _] = quarters(pass.statistics);
        let [dgamma, dbeta] = halves(pass.sums);
        let gamma = &pass.parameters[0];
        let count = self.0.values(pass.batch);
        // dx = scale · (dy − shift − (x − mean) · slope)
        let (scale, rest) = pass.scratch.split_at_mut(features.count);
        let (shift, slope) = rest.split_at_mut(features.count);
        for i in 0..features.count {
            let inverse = self.0.inverse_deviation(variance[i]);
            scale[i] = gamma[i] * inverse;
            slope[i] = dgamma[i] / count * inverse;
            shift[i] = dbeta[i] / count - missing[i] * slope[i];
        }
        vectorize!(|| {
            features.map(pass.x, pass.dy, dx, |i, x, dy| {
                scale[i] * (dy - shift[i] - (x - mean[i]) * slope[i])
            });
        });
        features.clear_empty_lanes(pass.samples, dx);
    }

    fn across_batch(&self) -> Option<&dyn AcrossBatch> {
        Some(self)
    }
}

impl AcrossBatch for FastBatchNorm {
    fn least_samples(&self) -> usize {
        self.0.least_samples()
    }

    fn statistics(&self) -> usize {
        self.0.statistics()
    }

    fn gather(&self, block: BlockOf, x: &[Float], statistics: &mut [Float]) {
        let features = Features::of(&self.0, block.layout);
        let n = block.samples;
        let count = f64::from(self.0.values(n));
        vectorize!(|| {
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

    fn merge(&self, total: &mut [Float], seen: usize, part: &[Float], n: usize) {
        self.0.merge(total, seen, part, n);
    }

    fn sums(&self) -> usize {
        self.0.sums()
    }

    fn gather_backward(&self, block: BlockOf, x: &[Float], dy: &[Float], statistics: &[Float], sums: &mut [Float]) {
        let features = Features::of(&self.0, block.layout);
        let [mean, missing, variance, _] = quarters(statistics);
        let (dgamma, dbeta) = sums.split_at_mut(features.count);
        vectorize!(|| {
            for some in features.parts() {
                let mean = &mean[some.clone()];
                let [products, dy] = features.sums(&some, block.samples, [x, dy], |i, x, dy| [dy * (x - mean[i]), dy]);
                for (i, feature) in some.enumerate() {
                    let inverse = self.0.inverse_deviation(variance[feature]);
                    let product = products[i] - f64::from(missing[feature]) * dy[i];
                    dgamma[feature] = (product * f64::from(inverse)) as Float;
                    dbeta[feature] = dy[i] as Float;
                }
            }
        });
    }

    fn update_state(&self, statistics: &[Float], n: usize, state: TensorsMut<'_>) {
        self.0.update_state(statistics, n, state);
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
    fn of(norm: &BoundBatchNorm, layout: Layout) -> Self {
        Features {
            count: norm.features,
            pixels: norm.pixels,
            lanes: layout.room(1),
        }
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
