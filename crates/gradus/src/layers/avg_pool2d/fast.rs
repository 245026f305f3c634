//! Average pooling for blocks of samples.

use gradus_kernels::interleaved::LANES;
use gradus_kernels::vectorize;

use super::BoundAvgPool;
use crate::Float;
use crate::layer::advanced::{BlockBackward, BlockForward, BlockLayer, Layout, Layouts, Scratch};
use crate::layers::pixel::{pixels, pixels_mut};

#[derive(Debug)]
pub(in crate::layers) struct FastAvgPool(pub(in crate::layers) BoundAvgPool);

impl FastAvgPool {
    /// Calls `with` with each output pixel and the number of pixels in its window.
    #[inline(always)]
    fn counts(&self, mut with: impl FnMut(usize, Float)) {
        let BoundAvgPool { geometry, .. } = self.0;
        let width = geometry.columns.output;
        for i in 0..geometry.rows.output {
            for j in 0..width {
                with(i * width + j, self.0.count(i, j));
            }
        }
    }

    /// A window of many pixels is added up part by part, since one sum of all of them would lose precision; a part's sums are in
    /// `part`.
    fn pool<const N: usize>(&self, x: &[Float], y: &mut [Float], part: &mut [Float]) {
        let BoundAvgPool { geometry, .. } = self.0;
        let (taps, length) = (geometry.taps(), self.0.part());
        let in_parts = length < taps;
        let part = &mut pixels_mut::<N>(part)[..if in_parts { geometry.out_plane() } else { 0 }];
        let planes = pixels::<N>(x).chunks_exact(geometry.in_plane());
        for (x, y) in planes.zip(pixels_mut(y).chunks_exact_mut(geometry.out_plane())) {
            vectorize!(|| {
                y.fill([0.0; N]);
                part.fill([0.0; N]);
                for tap in 0..taps {
                    let sums = if in_parts { &mut *part } else { &mut *y };
                    for run in geometry.runs(tap) {
                        let pixels = x[run.x..].iter().step_by(geometry.columns.stride);
                        for (sum, x) in sums[run.y..][..run.count].iter_mut().zip(pixels) {
                            sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
                        }
                    }
                    if in_parts && ((tap + 1).is_multiple_of(length) || tap + 1 == taps) {
                        for (y, part) in y.iter_mut().zip(part.iter_mut()) {
                            y.iter_mut().zip(&*part).for_each(|(y, sum)| *y += sum);
                        }
                        part.fill([0.0; N]);
                    }
                }
                self.counts(|i, n| y[i].iter_mut().for_each(|y| *y /= n));
            });
        }
    }

    /// dx is 0 at first.
    fn spread<const N: usize>(&self, dy: &[Float], dx: &mut [Float], shares: &mut [Float]) {
        let BoundAvgPool { geometry, .. } = self.0;
        let shares = pixels_mut::<N>(shares);
        let planes = pixels_mut::<N>(dx).chunks_exact_mut(geometry.in_plane());
        for (dx, dy) in planes.zip(pixels(dy).chunks_exact(geometry.out_plane())) {
            vectorize!(|| {
                self.counts(|i, n| shares[i] = dy[i].map(|dy| dy / n));
                for tap in 0..geometry.taps() {
                    for run in geometry.runs(tap) {
                        let pixels = dx[run.x..].iter_mut().step_by(geometry.columns.stride);
                        for (dx, share) in pixels.zip(&shares[run.y..][..run.count]) {
                            dx.iter_mut().zip(share).for_each(|(dx, share)| *dx += share);
                        }
                    }
                }
            });
        }
    }
}

impl BlockLayer for FastAvgPool {
    fn layouts(&self) -> Layouts {
        Layouts::PreferInterleaved
    }

    fn scratch(&self) -> Scratch {
        Scratch {
            fixed: self.0.geometry.out_plane() * LANES,
            per_sample: 0,
        }
    }

    fn reads_output(&self) -> bool {
        false
    }

    fn forward(&self, pass: BlockForward<'_>) {
        match pass.layout {
            Layout::SampleMajor => self.pool::<1>(pass.x, pass.y, pass.scratch),
            Layout::Interleaved => self.pool::<LANES>(pass.x, pass.y, pass.scratch),
        }
    }

    fn backward(&self, pass: BlockBackward<'_>) {
        let Some(dx) = pass.dx else { return };
        dx.fill(0.0);
        match pass.layout {
            Layout::SampleMajor => self.spread::<1>(pass.dy, dx, pass.scratch),
            Layout::Interleaved => self.spread::<LANES>(pass.dy, dx, pass.scratch),
        }
    }
}
