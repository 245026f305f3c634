//! What most programs need: `use gradus::prelude::*;`.

pub use crate::activation::{Elu, Gelu, LeakyRelu, Relu, Sigmoid, Silu, Softplus, Tanh};
pub use crate::callback::{Checkpoint, EarlyStopping, Progress};
pub use crate::data::Dataset;
#[cfg(feature = "digits")]
pub use crate::data::digits;
#[cfg(feature = "idx")]
pub use crate::data::mnist;
pub use crate::layers::{
    AvgPool2d, BatchNorm, Conv2d, Dense, Dropout, Flatten, GlobalAvgPool2d, MaxPool2d, Padding, Reshape, Softmax,
};
pub use crate::loss::{BinaryCrossEntropy, CrossEntropy, Huber, MeanAbsoluteError, MeanSquaredError};
pub use crate::metric::{Accuracy, F1, Precision, Recall, TopK};
pub use crate::optim::{Adam, AdamW, Clip, RmsProp, Sgd};
pub use crate::{Fit, Layers, Network, Residual, Sequential, Shape};
