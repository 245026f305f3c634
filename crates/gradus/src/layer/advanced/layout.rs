//! How the samples of a block lie in memory.

use gradus_kernels::interleaved::LANES;

/// How the samples of a block lie in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Layout {
    /// Sample after sample, each with its values next to each other.
    #[default]
    SampleMajor,
    /// [`LANES`] samples interleaved: value after value, each of them for [`LANES`] samples; then the next [`LANES`].
    /// Lanes after the last sample hold finite numbers in `x`, which don't count, and 0 in `dy`; `dx` has to be 0 there too.
    ///
    /// It fills the processor's vectors whatever the shape of an image, and makes a loop over pixels a loop over vectors.
    Interleaved,
}

impl Layout {
    /// The number of samples that memory for a block of `samples` has room for: whole lanes, where they are interleaved.
    pub fn room(self, samples: usize) -> usize {
        match self {
            Layout::SampleMajor => samples,
            Layout::Interleaved => samples.next_multiple_of(LANES),
        }
    }
}

/// Which layouts of samples a layer works in. Its results are the same bits in each, but for sums over the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layouts {
    /// Only sample after sample.
    SampleMajor,
    /// Whichever its input has.
    Either,
    /// Either, and interleaved is so much faster that reordering the samples pays.
    PreferInterleaved,
}
