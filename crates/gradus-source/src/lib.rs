//! A trained network as one source file that depends on nothing: Rust without the standard library, or C99; in floats, or
//! quantized to bytes and computed with integers only. It is how a network goes into the firmware of a microcontroller.
//!
//! ```
//! use gradus::prelude::*;
//! use gradus_source::{InputBytes, Labels, Language, Program};
//!
//! let (train, test) = gradus::data::digits::load()?;
//! let mut network =
//!     Sequential::new([1, 8, 8]).layer(Flatten).layer(Dense::new(16)).layer(Relu).layer(Dense::new(10)).layer(Softmax).build(1)?;
//! Fit::new(CrossEntropy::new(), Adam::new(0.01)).epochs(3).run(&mut network, &train)?;
//!
//! let program = Program::of(&network)?;
//! let file = program.source(Language::C, &Labels::default())?;
//! assert!(file.contains("void gradus_predict(const float *input, float *output);"));
//!
//! let mut samples = vec![vec![0.0; 64]; 200];
//! for (i, x) in samples.iter_mut().enumerate() {
//!     train.read(i, x)?;
//! }
//! let quantized = program.quantize(samples.iter().map(|x| &x[..]), InputBytes::Pixels)?;
//! let file = quantized.source(Language::Rust, &Labels::default())?;
//! assert!(file.contains("pub fn predict(&mut self, input: &[u8; INPUTS], output: &mut [u8; OUTPUTS])"));
//! println!("{}", quantized.sizes(&Labels::default()));
//! # Ok::<(), gradus::Error>(())
//! ```
//!
//! A [`Program`] is a list of steps, made of the network's parts: dropout and changes of shape vanish, batch normalization and
//! ReLU become part of the step before. [`Program::quantize`] makes a [`Quantized`] program of it. Both can be
//! [run](Program::run) here, by the very functions that are printed into Rust files; the C files have the same functions, line by
//! line. The memory is one buffer, in which values that are not wanted at the same time share a place.
#![forbid(unsafe_code)]

mod bytes;
mod calls;
mod fold;
mod kernels;
mod lower;
mod maps;
mod memory;
mod print;
mod program;
mod quantize;
mod run;
mod scaling;
mod size;

pub use bytes::Scale;
pub use print::{Labels, Language};
pub use program::Program;
pub use quantize::{InputBytes, Quantized};
pub use scaling::Scaling;
pub use size::Sizes;
