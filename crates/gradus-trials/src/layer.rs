//! Layers and blocks with their settings.

mod json;
mod output;

use crate::activations::Activation;
use crate::initializers::Initializer;
use crate::windows::{Padding, Windows};

pub use json::jsons;
pub use output::{outputs, projection};

/// A layer with its settings, or a block.
#[expect(clippy::enum_variant_names, reason = "layer normalization is called so")]
#[derive(Debug, Clone, PartialEq)]
pub enum Layer {
    /// Without an initializer, that of the library.
    Dense {
        units: usize,
        bias: bool,
        init: Option<Initializer>,
    },
    /// Of sequences or images, as its windows have one axis or two.
    Conv {
        windows: Windows,
        channels: usize,
        groups: usize,
        bias: bool,
        init: Option<Initializer>,
    },
    ConvTranspose2d {
        windows: Windows,
        output_padding: [usize; 2],
        channels: usize,
        groups: usize,
        bias: bool,
        init: Option<Initializer>,
    },
    MaxPool(Windows),
    AvgPool {
        windows: Windows,
        exclude_padding: bool,
    },
    /// Over this many axes.
    GlobalMaxPool(usize),
    GlobalAvgPool(usize),
    Upsample2d {
        scale: [usize; 2],
        bilinear: bool,
    },
    /// Its padding depends on no window.
    ZeroPad2d(Padding),
    /// Its cropping depends on no window.
    Crop2d(Padding),
    Flatten,
    Reshape(Vec<usize>),
    BatchNorm {
        momentum: f64,
        epsilon: f64,
    },
    LayerNorm {
        epsilon: f64,
    },
    /// Without a number of groups, there is one for each channel.
    GroupNorm {
        groups: Option<usize>,
        epsilon: f64,
    },
    Dropout(f64),
    /// Its standard deviation.
    GaussianNoise(f64),
    Softmax,
    LogSoftmax,
    PRelu {
        per_channel: bool,
    },
    /// The number of pieces.
    Maxout(usize),
    Activation(Activation),
    Residual {
        body: Vec<Layer>,
        shortcut: Option<Vec<Layer>>,
    },
    /// Its branches.
    Concat(Vec<Vec<Layer>>),
    /// Its two branches, of which the second may give a number for each channel.
    Multiply([Vec<Layer>; 2]),
}

impl Layer {
    /// Whether it, or a layer in it, is one that `which` says.
    pub fn has(&self, which: &dyn Fn(&Layer) -> bool) -> bool {
        self.branches()
            .into_iter()
            .any(|(_, branch)| branch.iter().any(|layer| layer.has(which)))
            || which(self)
    }

    /// Whether its outputs at inference are its inputs, if in another shape.
    pub fn keeps_values(&self) -> bool {
        matches!(
            self,
            Layer::Flatten | Layer::Reshape(_) | Layer::Dropout(_) | Layer::GaussianNoise(_)
        )
    }

    /// Whether its outputs in training depend on random numbers.
    pub fn is_random(&self) -> bool {
        matches!(self, Layer::Dropout(_) | Layer::GaussianNoise(_))
    }

    /// Whether its weight is drawn by an initializer and decays: the factors of sums, unlike those of norms and the slopes of
    /// rectifiers.
    pub fn has_matrix(&self) -> bool {
        matches!(
            self,
            Layer::Dense { .. } | Layer::Conv { .. } | Layer::ConvTranspose2d { .. }
        )
    }

    /// Whether it has parameters of its own.
    pub fn has_parameters(&self) -> bool {
        self.has_matrix()
            || matches!(
                self,
                Layer::BatchNorm { .. } | Layer::LayerNorm { .. } | Layer::GroupNorm { .. } | Layer::PRelu { .. }
            )
    }

    /// The branches of a block, and what they are called in paths; none of a layer.
    pub fn branches(&self) -> Vec<(String, &[Layer])> {
        let numbered = |branches: &'_ [Vec<Layer>]| -> Vec<String> {
            (0..branches.len()).map(|i| format!("branches.{i}")).collect()
        };
        match self {
            Layer::Residual { body, shortcut } => {
                let shortcut = shortcut.as_deref().unwrap_or(&[]);
                vec![("body".into(), body), ("shortcut".into(), shortcut)]
            }
            Layer::Concat(branches) => (numbered(branches).into_iter())
                .zip(branches.iter().map(Vec::as_slice))
                .collect(),
            Layer::Multiply(branches) => (numbered(branches).into_iter())
                .zip(branches.iter().map(Vec::as_slice))
                .collect(),
            _ => Vec::new(),
        }
    }
}

/// Whether the outputs of these layers are probabilities, for inputs that are or aren't: for the losses of probabilities.
pub fn gives_probabilities(layers: &[Layer], mut probabilities: bool) -> bool {
    for layer in layers {
        probabilities = match layer {
            Layer::Softmax | Layer::Activation(Activation::Sigmoid | Activation::HardSigmoid) => true,
            Layer::MaxPool(_)
            | Layer::AvgPool { .. }
            | Layer::GlobalMaxPool(_)
            | Layer::GlobalAvgPool(_)
            | Layer::Upsample2d { .. }
            | Layer::Crop2d(_) => probabilities,
            Layer::Concat(_) | Layer::Multiply(_) => {
                let mut branches = layer.branches().into_iter();
                branches.all(|(_, branch)| gives_probabilities(branch, probabilities))
            }
            layer => layer.keeps_values() && probabilities,
        };
    }
    probabilities
}
