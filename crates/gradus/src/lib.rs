//! Neural networks from scratch: perceptrons and convolutional networks on an ordinary CPU, to be read like a textbook
//! and to be used in earnest.
//!
//! There is no automatic differentiation to see through. Every layer, activation and loss is one short file, with its
//! formula, its source and its derivative written by hand, and is checked against finite differences. Whatever the
//! library has, a program can have of its own: a trait for each concept, and no difference afterward.
//!
//! # A first program
//!
//! ```
//! use gradus::prelude::*;
//!
//! // 1,797 small handwritten digits that the library carries; the crate `gradus-mnist` carries the full-sized set.
//! let (train, test) = digits::load()?;
//!
//! // The shape of a sample is given once, every other shape follows. The seed decides everything random.
//! let mut network = Sequential::new(train.shape())
//!     .layer(Flatten)
//!     .layer(Dense::new(64))
//!     .layer(Relu)
//!     .layer(Dense::new(10))
//!     .layer(Softmax)
//!     .build(42)?;
//!
//! let history = Fit::new(CrossEntropy::new(), Adam::new(0.002))
//!     .epochs(10)
//!     .validation_split(0.1)
//!     .metric(Accuracy)
//!     .run(&mut network, &train)?;
//! assert!(history.last("val_accuracy") > Some(0.9));
//!
//! let result = network.evaluate(&test, &CrossEntropy::new(), &[&Accuracy])?;
//! println!("{result}");
//! # assert!(result.metric("accuracy") > Some(0.85), "{result}");
//! # Ok::<(), gradus::Error>(())
//! ```
//!
//! Run programs with `cargo run --release`: without optimization, training takes many times as long. Two lines in the
//! package's `Cargo.toml` have Cargo optimize the dependencies of debug builds as well:
//!
//! ```toml
//! [profile.dev.package."*"]
//! opt-level = 3
//! ```
//!
//! # Features of Cargo
//!
//! Networks that get their samples from memory need none of them: `default-features = false` leaves out what reads files of data,
//! with its dependencies. All are on by default: `csv`, `digits`, `idx`, `images` ([`data`] has a table).
//!
//! # The map
//!
//! | to | see | of one's own |
//! | --- | --- | --- |
//! | declare a network | [`Sequential`], [`Residual`], [`Concat`], [`Multiply`] | |
//! | use it, inspect it, save it | [`Network`], [`Predictor`], [`save`] | |
//! | train it | [`Fit`]; step by step, [`TrainingRun`]; in a loop of your own, [`Trainer`] | |
//! | judge it | [`Network::evaluate`], [`metric`] | [`metric::Metric`] |
//! | follow and steer training | [`callback`], [`history`] | [`callback::Callback`] |
//! | choose layers | [`layers`] | [`Layer`] |
//! | choose activations | [`activation`] | [`activation::Activation`] |
//! | choose a loss | [`loss`] | [`loss::Loss`] |
//! | choose an optimizer | [`optim`] | [`optim::Optimizer`] |
//! | change the learning rate | [`schedule`] | [`schedule::Schedule`] |
//! | choose first values | [`init`] | [`init::Initializer`] |
//! | bring in data | [`data`] | [`data::Dataset`] |
//! | vary training samples | [`augment`] | [`augment::Augmentation`] |
//! | check one's own | [`check`] | |
//!
//! Most programs begin with `use gradus::prelude::*`. The examples of the repository (`crates/gradus/examples`) are a
//! path from a single neuron, by hand, to a layer, a loss and an optimizer of one's own.
//!
//! # The symbols
//!
//! The code uses the letters of the formulas:
//!
//! | symbol | what it is |
//! | --- | --- |
//! | `x`, `y` | a layer's input and output; for a loss, `y` is the network's output |
//! | `t` | the target: what `y` should be |
//! | `w`, `b` | weights and biases |
//! | `dx`, `dy`, `dw`, `db` | the derivative of the loss with respect to `x`, `y`, `w`, `b` |
//!
//! Samples come first in memory and images are channels × height × width; see [`layer`] for the details.
//!
//! # What can be relied upon
//!
//! - **The same seed gives the same bits**, on any number of threads: initial values, shuffling, dropout, augmentation
//!   and splits follow from it, and no sum depends on who computes it.
//! - **Wrong input is an [`Error`]**, one sentence that names the thing, what was expected and what was found; the
//!   library does not panic on it.
//! - **A network that is being used is not changed**: prediction takes `&self`, and threads can share a network.
//! - **The number type is [`Float`]**, which is `f32`. A build with `RUSTFLAGS="--cfg gradus_f64"` makes it `f64`, in
//!   which [`check`] holds gradients to seven digits.
#![forbid(unsafe_code)]

pub mod activation;
pub mod augment;
mod blocks;
mod boxed;
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
mod inspect;
pub mod layer;
pub mod layers;
pub mod loss;
pub mod metric;
mod network;
mod objective;
pub mod optim;
mod parts;
mod predictor;
pub mod prelude;
mod profile;
pub mod random;
mod registry;
pub mod save;
pub mod schedule;
mod sequential;
mod settings;
mod shape;
mod summary;
mod trainer;
mod tree;

#[doc(no_inline)]
pub use activation::exports::*;
pub use blocks::{Concat, Join, Multiply, Residual};
pub use error::{Error, Result};
pub use evaluation::Evaluation;
pub use fit::{Fit, ParameterGroup, RateCurve, RateFinder, RatePoint, TrainingRun};
pub use gradus_kernels::Float;
pub use inspect::{Gradients, Inspection};
pub use layer::Layer;
#[doc(no_inline)]
pub use layers::exports::*;
pub use layers::{Padding, Padding1d, Size2};
/// The arrays that networks take and give, in the version that this library is built with.
pub use ndarray;
pub use network::{NamedTensor, Network, Weights};
pub use parts::{LayerPart, LayerTensor, Part};
pub use predictor::Predictor;
pub use profile::{LayerTime, Profile};
pub use registry::{Family, Registry};
pub use sequential::{Layers, Sequential};
pub use shape::Shape;
pub use summary::{Summary, SummaryRow};
pub use trainer::Trainer;
pub use tree::{Block, Node};

/// The programs in the repository's README, for the tests to compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
