//! What most programs need: `use gradus::prelude::*;`.

pub use crate::activation::exports::*;
pub use crate::callback::{EarlyStopping, Progress, SaveBest};
pub use crate::data::Dataset;
#[cfg(feature = "digits")]
pub use crate::data::digits;
#[cfg(feature = "idx")]
pub use crate::data::mnist;
pub use crate::layers::exports::*;
pub use crate::layers::{Padding, Padding1d};
pub use crate::loss::{
    BinaryCrossEntropy, CrossEntropy, Huber, MeanAbsoluteError, MeanSquaredError, NegativeLogLikelihood,
};
pub use crate::metric::{Accuracy, Average, F1, Precision, Recall, TopK};
pub use crate::optim::{Adam, AdamW, Clip, Lion, Muon, NAdam, RmsProp, Sgd};
pub use crate::schedule::{Cosine, CosineRestarts, Exponential, Linear, OneCycle, Plateau, StepDecay, Warmup};
pub use crate::{Concat, Fit, Layers, Multiply, Network, ParameterGroup, Residual, Sequential, Shape};
