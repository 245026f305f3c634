//! The layers that come with the library, a file for each.

mod avg_pool1d;
mod avg_pool2d;
mod batch_norm;
mod conv1d;
mod conv2d;
mod conv_transpose2d;
mod crop2d;
mod dense;
mod dropout;
mod flatten;
mod gaussian_noise;
mod global_avg_pool1d;
mod global_avg_pool2d;
mod global_max_pool1d;
mod global_max_pool2d;
mod group_norm;
mod layer_norm;
mod log_softmax;
mod max_pool1d;
mod max_pool2d;
mod maxout;
mod normalization;
mod pixel;
mod prelu;
mod reshape;
mod sequence;
mod softmax;
#[cfg(test)]
pub(crate) mod testing;
mod upsample2d;
mod window;
mod zero_pad2d;

use std::fmt::Display;
use std::sync::Arc;

pub use sequence::Padding1d;
pub use window::{Padding, Size2};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::Float;
use crate::init::{self, HeNormal, Initializer};
use crate::layer::Layer;
use crate::registry::{Item, LayerDefinition};

/// Exports layers from their files, and makes the list of them.
macro_rules! layers {
    ($($file:ident::$layer:ident, $example:expr, $input:expr;)*) => {
        $(pub use $file::$layer;)*

        /// All layers, for the root and the prelude to export.
        pub(crate) mod exports {
            pub use super::{$($layer),*};
        }

        /// All layers of the library but the activations. Files, programs, messages and tests know what is in this list.
        pub(crate) const LAYERS: &[LayerDefinition] = &[$(LayerDefinition {
            example: || Box::new($example),
            input: &$input,
            item: Item::<dyn Layer>::of::<$layer>(),
        }),*];
    };
}

// A layer's file and its type, an example with other settings than the default ones, and the shape of a sample that suits it.
layers! {
    dense::Dense, Dense::new(4), [4];
    conv2d::Conv2d, Conv2d::new(2, 3).padding(Padding::Same), [2, 4, 4];
    conv1d::Conv1d, Conv1d::new(2, 3).padding(Padding1d::Same), [2, 6];
    conv_transpose2d::ConvTranspose2d, ConvTranspose2d::new(2, 3).stride(2).padding(1), [2, 3, 3];
    max_pool1d::MaxPool1d, MaxPool1d::new(3).stride(1).padding(Padding1d::Same), [2, 6];
    avg_pool1d::AvgPool1d, AvgPool1d::new(3).stride(1).padding(1), [2, 6];
    max_pool2d::MaxPool2d, MaxPool2d::new(3).stride(1).padding(Padding::Same), [2, 4, 4];
    avg_pool2d::AvgPool2d, AvgPool2d::new(3).stride(1).padding(Padding::Same), [2, 4, 4];
    global_avg_pool2d::GlobalAvgPool2d, GlobalAvgPool2d, [2, 4, 4];
    global_max_pool2d::GlobalMaxPool2d, GlobalMaxPool2d, [2, 4, 4];
    global_avg_pool1d::GlobalAvgPool1d, GlobalAvgPool1d, [2, 6];
    global_max_pool1d::GlobalMaxPool1d, GlobalMaxPool1d, [2, 6];
    flatten::Flatten, Flatten, [2, 4, 4];
    reshape::Reshape, Reshape::new([4, 2, 4]), [2, 4, 4];
    dropout::Dropout, Dropout::new(0.5), [2, 4, 4];
    batch_norm::BatchNorm, BatchNorm::new().momentum(0.3), [2, 4, 4];
    softmax::Softmax, Softmax, [4];
    prelu::PRelu, PRelu::new().per_channel(), [2, 4, 4];
    gaussian_noise::GaussianNoise, GaussianNoise::new(0.25), [2, 4, 4];
    log_softmax::LogSoftmax, LogSoftmax, [4];
    layer_norm::LayerNorm, LayerNorm::new().epsilon(1e-3), [2, 4, 4];
    group_norm::GroupNorm, GroupNorm::new(2).epsilon(1e-3), [4, 3, 2];
    zero_pad2d::ZeroPad2d, ZeroPad2d::new(2), [2, 4, 4];
    crop2d::Crop2d, Crop2d::new(1), [2, 4, 5];
    maxout::Maxout, Maxout::new(2), [4, 3, 2];
    upsample2d::Upsample2d, Upsample2d::new((2, 3)).bilinear(), [2, 3, 2];
}

/// How a layer's weights get their first values: as suits the rectifier that follows most layers, unless it is told.
/// Files give it by its name, and its settings where they aren't the default ones.
#[derive(Debug, Clone)]
struct Init(Arc<dyn Initializer>);

impl Init {
    fn new(init: impl Initializer) -> Self {
        Init(Arc::new(init))
    }

    /// Whether files don't mention it, as a user's own, which they can't find by its name.
    fn is_unknown(&self) -> bool {
        init::written(&*self.0).is_none()
    }
}

impl Default for Init {
    fn default() -> Self {
        Init::new(HeNormal)
    }
}

impl Serialize for Init {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        init::written(&*self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Init {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let told = Value::deserialize(deserializer)?;
        init::read(told).map(Init).map_err(serde::de::Error::custom)
    }
}

/// What a setting that is 1 unless set reads from a file that doesn't mention it.
fn one() -> usize {
    1
}

/// What an option that is on unless switched off reads from a file that doesn't mention it.
fn on() -> bool {
    true
}

/// All [i, j, k] below `sizes`, the last index fastest.
fn indices([a, b, c]: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    (0..a).flat_map(move |i| (0..b).flat_map(move |j| (0..c).map(move |k| [i, j, k])))
}

/// The product of some sizes, or a sentence if no memory can hold as many values.
fn checked_size(what: impl Display, sizes: &[usize]) -> Result<usize, String> {
    sizes
        .iter()
        .try_fold(1usize, |product, &size| product.checked_mul(size))
        .filter(|&size| size <= isize::MAX as usize / size_of::<Float>())
        .ok_or_else(|| {
            let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
            format!(
                "{what} would have {} values, more than any memory holds",
                sizes.join("×")
            )
        })
}
