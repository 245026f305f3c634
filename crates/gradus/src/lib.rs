//! Neural networks from scratch.
#![forbid(unsafe_code)]

pub mod activation;
pub mod augment;
pub mod data;
mod error;
pub mod init;
pub mod layer;
pub mod layers;
pub mod loss;
pub mod metric;
mod names;
pub mod optim;
pub mod random;
pub mod schedule;
mod shape;

pub use activation::{Elu, Gelu, LeakyRelu, Relu, Sigmoid, Silu, Softplus, Tanh};
pub use error::{Error, Result};
pub use gradus_kernels::Float;
pub use layer::Layer;
pub use layers::{
    AvgPool2d, BatchNorm, Conv2d, Dense, Dropout, Flatten, GlobalAvgPool2d, MaxPool2d, Padding, Reshape, Size2, Softmax,
};
pub use shape::Shape;
