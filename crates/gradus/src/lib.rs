//! Neural networks from scratch.
#![forbid(unsafe_code)]

pub mod activation;
pub mod augment;
pub mod data;
mod error;
pub mod init;
pub mod layer;
pub mod loss;
pub mod metric;
pub mod optim;
pub mod random;
pub mod schedule;
mod settings;
mod shape;

pub use error::{Error, Result};
pub use gradus_kernels::Float;
pub use layer::Layer;
pub use shape::Shape;
