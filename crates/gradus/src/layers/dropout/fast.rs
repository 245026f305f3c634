//! Dropout for blocks of samples.

use gradus_kernels::interleaved::LANES;
use gradus_kernels::{SimdOp, vectorize, vectorize_op};
use rand::RngExt;

use super::Dropout;
use crate::Float;
use crate::layer::advanced::{
    BlockBackward, BlockForward, BlockLayer, BlockRandom, InPlace, InPlaceBackward, InPlaceForward, Layout, Layouts,
};

#[derive(Debug)]
pub(super) struct FastDropout {
    pub(super) of: Dropout,
    /// Values of a sample.
    pub(super) size: usize,
}

impl FastDropout {
    /// Writes the masks of the samples of a block.
    fn draw(&self, layout: Layout, random: BlockRandom, masks: &mut [Float]) {
        let (of, key) = (self.of, |sample| random.sample(sample).generator().random());
        match layout {
            Layout::SampleMajor => {
                for (sample, mask) in masks.chunks_exact_mut(self.size).enumerate() {
                    let keys = [key(sample)];
                    vectorize_op(Draw { of, keys, mask });
                }
            }
            Layout::Interleaved => {
                for (group, mask) in masks.chunks_exact_mut(self.size * LANES).enumerate() {
                    let keys: [u64; LANES] = std::array::from_fn(|lane| key(group * LANES + lane));
                    vectorize_op(Draw { of, keys, mask });
                }
            }
        }
    }
}

impl BlockLayer for FastDropout {
    fn layouts(&self) -> Layouts {
        Layouts::Either
    }

    fn reads_output(&self) -> bool {
        false
    }

    fn forward(&self, pass: BlockForward<'_>) {
        if pass.training {
            self.draw(pass.layout, pass.random, pass.saved);
            multiply(pass.x, pass.saved, pass.y);
        } else {
            pass.y.copy_from_slice(pass.x);
        }
    }

    fn backward(&self, pass: BlockBackward<'_>) {
        if let Some(dx) = pass.dx {
            multiply(pass.dy, pass.saved, dx);
        }
    }

    fn in_place(&self) -> Option<&dyn InPlace> {
        Some(self)
    }
}

impl InPlace for FastDropout {
    fn forward(&self, pass: InPlaceForward<'_>) {
        if pass.training {
            self.draw(pass.layout, pass.random, pass.saved);
            scale(pass.values, pass.saved);
        }
    }

    fn backward(&self, pass: InPlaceBackward<'_>) {
        scale(pass.gradient, pass.saved);
    }
}

/// Draws the masks of `N` samples, which are interleaved: a key for each.
struct Draw<'a, const N: usize> {
    of: Dropout,
    keys: [u64; N],
    mask: &'a mut [Float],
}

impl<const N: usize> SimdOp for Draw<'_, N> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (mask, i) in self.mask.as_chunks_mut::<N>().0.iter_mut().zip(0..) {
            for (mask, key) in mask.iter_mut().zip(self.keys) {
                *mask = self.of.mask(key, i);
            }
        }
    }
}

/// values ← values ∘ mask
fn scale(values: &mut [Float], mask: &[Float]) {
    vectorize!(|| {
        for (value, mask) in values.iter_mut().zip(mask) {
            *value *= mask;
        }
    });
}

/// product = values ∘ mask
fn multiply(values: &[Float], mask: &[Float], product: &mut [Float]) {
    vectorize!(|| {
        for ((product, value), mask) in product.iter_mut().zip(values).zip(mask) {
            *product = value * mask;
        }
    });
}
