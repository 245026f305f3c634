//! The random numbers of layers in training.

use gradus::Float;
use gradus::random::{Purpose, stream};
use rand::RngExt;
use rand_distr::StandardNormal;

/// Where a training step gets its random numbers from.
#[derive(Debug, Clone, Copy)]
pub struct Randomness {
    /// The seed of training.
    pub seed: u64,
    /// The number of the step, from 0.
    pub step: u64,
}

impl Randomness {
    /// The factors of the `size` values of a sample in the layer of this number: 0, or 1 / (1 − rate).
    pub fn mask(&self, layer: u64, sample: usize, size: usize, rate: f64) -> Vec<f64> {
        let coordinates = [self.step, layer, sample as u64];
        let key: u64 = stream(self.seed, Purpose::Layer, &coordinates).random();
        let rate = f64::from(rate as Float);
        (1..=size as u64)
            .map(|i| {
                let part = (split_mix(key, i) >> 32) as f64 / 2.0_f64.powi(32);
                if part < rate { 0.0 } else { 1.0 / (1.0 - rate) }
            })
            .collect()
    }

    /// The noise of this standard deviation on the `size` values of a sample in the layer of this number.
    pub fn noise(&self, layer: u64, sample: usize, size: usize, deviation: f64) -> Vec<f64> {
        let mut rng = stream(self.seed, Purpose::Layer, &[self.step, layer, sample as u64]);
        let mut normal = || {
            let number: Float = rng.sample(StandardNormal);
            f64::from(number)
        };
        (0..size).map(|_| deviation * normal()).collect()
    }
}

/// The `i`-th number, from 1, of the generator that begins with `key`.
///
/// Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
fn split_mix(key: u64, i: u64) -> u64 {
    let mut z = key.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
