//! Random numbers: every stream is a pure function of the seed and of what it is for.
//!
//! Nothing here has a state that outlives its use. The numbers that shuffle epoch 7, or drop units for sample 31 of step
//! 1,200, follow from the seed and those coordinates alone; so the result does not depend on the number of threads, and a
//! run that is resumed meets the same numbers as one that was never stopped.

use rand::SeedableRng;

/// The generator of every random number: xoshiro256++ (Blackman and Vigna, 2018), the same on every platform.
pub type Rng = rand::rngs::Xoshiro256PlusPlus;

/// What a stream of random numbers is for; streams of different purposes are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
#[non_exhaustive]
pub enum Purpose {
    /// Initial values of the parameters.
    Initialize = 1,
    /// The order of the samples in an epoch.
    Shuffle = 2,
    /// The division into training and validation samples.
    Split = 3,
    /// Units dropped, and any other randomness inside a layer.
    Layer = 4,
    /// Augmentation of training samples.
    Augment = 5,
    /// Free for programs.
    User = 6,
}

/// The generator for a purpose at some coordinates (an epoch, a step, a sample, ...).
///
/// ```
/// use gradus::random::{stream, Purpose};
/// use rand::RngExt;
/// let a: u32 = stream(42, Purpose::Shuffle, &[3]).random();
/// let b: u32 = stream(42, Purpose::Shuffle, &[3]).random();
/// let c: u32 = stream(42, Purpose::Shuffle, &[4]).random();
/// assert!(a == b && a != c);
/// ```
pub fn stream(seed: u64, purpose: Purpose, coordinates: &[u64]) -> Rng {
    let mut key = mix(seed ^ mix(purpose as u64));
    for &c in coordinates {
        key = mix(key.wrapping_add(mix(c)));
    }
    Rng::seed_from_u64(key)
}

/// Number `i` of the stream of the generator SplitMix64 (Steele, Lea and Flood, 2014) that begins with `key`. Each is
/// computed by itself, so that a loop over them becomes vector code.
#[inline(always)]
pub(crate) fn nth(key: u64, i: u64) -> u64 {
    mix(key.wrapping_add(i.wrapping_mul(GOLDEN)))
}

/// 2⁶⁴ divided by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finalizer of SplitMix64: neighboring inputs give unrelated outputs.
#[inline(always)]
fn mix(x: u64) -> u64 {
    let mut z = x.wrapping_add(GOLDEN);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
