//! Neural networks from scratch.
#![forbid(unsafe_code)]

pub mod activation;
pub mod augment;
pub mod callback;
pub mod check;
pub mod data;
mod engine;
mod error;
mod evaluation;
mod fit;
mod graph;
pub mod history;
pub mod init;
pub mod layer;
pub mod layers;
pub mod loss;
pub mod metric;
mod network;
pub mod optim;
pub mod prelude;
pub mod random;
pub mod save;
pub mod schedule;
mod sequential;
mod settings;
mod shape;
mod trainer;

pub use activation::{Elu, Gelu, LeakyRelu, Relu, Sigmoid, Silu, Softplus, Tanh};
pub use engine::Predictor;
pub use error::{Error, Result};
pub use evaluation::Evaluation;
pub use fit::Fit;
pub use gradus_kernels::Float;
pub use layer::Layer;
pub use layers::{
    AvgPool2d, BatchNorm, Conv2d, Dense, Dropout, Flatten, GlobalAvgPool2d, MaxPool2d, Padding, Reshape, Size2, Softmax,
};
pub use network::{NamedTensor, Network, Summary, SummaryRow, Weights};
pub use sequential::{Layers, Node, Residual, Sequential};
pub use shape::Shape;
pub use trainer::Trainer;
