//! The arithmetic of Gradus: matrix products, vector loops and a thread pool, for the crate `gradus` and for layers of one's
//! own that want them. All `unsafe` code of the project is here, and [`mod@reference`] holds the plain loops that say what is true.
//!
//! Results have the same bits on every processor and on any number of threads: see [`Arch`] and [`matmul`].

/// The number type of every network: `f32`, or `f64` in a build with `--cfg gradus_f64`, in which
/// finite differences are sharp enough to prove gradients to seven digits.
#[cfg(not(gradus_f64))]
pub type Float = f32;
/// The number type of every network: `f64` in this build (`--cfg gradus_f64`).
#[cfg(gradus_f64)]
pub type Float = f64;

mod arch;
pub mod bfloat16;
mod buffer;
mod disjoint_ranges;
pub mod interleaved;
mod matmul;
mod partition;
mod pool;
mod prefetch;
pub mod reference;
pub mod scalar;
mod simd;
mod vector;

pub use arch::{Arch, SimdOp, arch, vectorize_closure, vectorize_op, with_arch};
pub use buffer::Buffer;
pub use disjoint_ranges::DisjointRanges;
pub use matmul::{Accumulate, Matrix, matmul, matmul_scratch, matmul_sum};
pub use partition::{DisjointChunk, DisjointChunks, Partition};
pub use pool::Pool;
pub use prefetch::prefetch;
pub use vector::{CHAIN, SUMS, dot, erf, exp, ln, max, partial_sums, sigmoid, softmax, sum, tanh};
