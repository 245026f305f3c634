//! Layers as the library's files have them.

use serde_json::{Value, json};

use super::Layer;
use crate::initializers::Initializer;

impl Layer {
    /// As the library's files have it.
    pub fn json(&self) -> Value {
        match self {
            Layer::Dense { units, bias, init } => {
                with_init(json!({ "kind": "dense", "units": units, "bias": bias }), init)
            }
            Layer::Conv {
                windows,
                channels,
                groups,
                bias,
                init,
            } => {
                let settings = json!({ "kind": self.kind(), "channels": channels, "groups": groups, "bias": bias });
                with_init(joined(settings, windows.convolution_json()), init)
            }
            Layer::ConvTranspose2d {
                windows,
                output_padding,
                channels,
                groups,
                bias,
                init,
            } => {
                let settings = json!({
                    "kind": self.kind(), "output_padding": output_padding, "channels": channels, "groups": groups,
                    "bias": bias
                });
                with_init(joined(settings, windows.convolution_json()), init)
            }
            Layer::MaxPool(windows) => joined(json!({ "kind": self.kind() }), windows.pooling_json()),
            Layer::AvgPool {
                windows,
                exclude_padding,
            } => {
                let settings = json!({ "kind": self.kind(), "exclude_padding": exclude_padding });
                joined(settings, windows.pooling_json())
            }
            Layer::Upsample2d { scale, bilinear } => {
                let mode = if *bilinear { "bilinear" } else { "nearest" };
                json!({ "kind": self.kind(), "scale": scale, "mode": mode })
            }
            Layer::ZeroPad2d(padding) => json!({ "kind": self.kind(), "padding": padding.json() }),
            Layer::Crop2d(cropping) => json!({ "kind": self.kind(), "cropping": cropping.json() }),
            Layer::Reshape(shape) => json!({ "kind": self.kind(), "shape": shape }),
            Layer::BatchNorm { momentum, epsilon } => {
                json!({ "kind": self.kind(), "momentum": momentum, "epsilon": epsilon })
            }
            Layer::LayerNorm { epsilon } => json!({ "kind": self.kind(), "epsilon": epsilon }),
            Layer::GroupNorm { groups, epsilon } => {
                json!({ "kind": self.kind(), "groups": groups, "epsilon": epsilon })
            }
            Layer::Dropout(rate) => json!({ "kind": self.kind(), "rate": rate }),
            Layer::GaussianNoise(deviation) => json!({ "kind": self.kind(), "deviation": deviation }),
            Layer::PRelu { per_channel } => json!({ "kind": self.kind(), "per_channel": per_channel }),
            Layer::Maxout(pieces) => json!({ "kind": self.kind(), "pieces": pieces }),
            Layer::Activation(activation) => activation.json(),
            Layer::Residual { body, shortcut: None } => json!({ "kind": self.kind(), "body": jsons(body) }),
            Layer::Residual {
                body,
                shortcut: Some(shortcut),
            } => json!({ "kind": self.kind(), "body": jsons(body), "shortcut": jsons(shortcut) }),
            Layer::Concat(_) | Layer::Multiply(_) => {
                let branches: Vec<_> = self.branches().into_iter().map(|(_, branch)| jsons(branch)).collect();
                json!({ "kind": self.kind(), "branches": branches })
            }
            Layer::GlobalMaxPool(_) | Layer::GlobalAvgPool(_) | Layer::Flatten | Layer::Softmax | Layer::LogSoftmax => {
                json!({ "kind": self.kind() })
            }
        }
    }

    /// Its name in the library.
    pub fn kind(&self) -> String {
        let name = match self {
            Layer::Dense { .. } => "dense",
            Layer::Conv { windows, .. } => return format!("conv{}d", windows.axes()),
            Layer::ConvTranspose2d { .. } => "conv_transpose2d",
            Layer::MaxPool(windows) => return format!("max_pool{}d", windows.axes()),
            Layer::AvgPool { windows, .. } => return format!("avg_pool{}d", windows.axes()),
            Layer::GlobalMaxPool(axes) => return format!("global_max_pool{axes}d"),
            Layer::GlobalAvgPool(axes) => return format!("global_avg_pool{axes}d"),
            Layer::Upsample2d { .. } => "upsample2d",
            Layer::ZeroPad2d(_) => "zero_pad2d",
            Layer::Crop2d(_) => "crop2d",
            Layer::Flatten => "flatten",
            Layer::Reshape(_) => "reshape",
            Layer::BatchNorm { .. } => "batch_norm",
            Layer::LayerNorm { .. } => "layer_norm",
            Layer::GroupNorm { .. } => "group_norm",
            Layer::Dropout(_) => "dropout",
            Layer::GaussianNoise(_) => "gaussian_noise",
            Layer::Softmax => "softmax",
            Layer::LogSoftmax => "log_softmax",
            Layer::PRelu { .. } => "prelu",
            Layer::Maxout(_) => "maxout",
            Layer::Activation(activation) => return activation.json()["kind"].as_str().unwrap_or_default().into(),
            Layer::Residual { .. } => "residual",
            Layer::Concat(_) => "concat",
            Layer::Multiply(_) => "multiply",
        };
        name.into()
    }
}

/// Layers as the library's files have them.
pub fn jsons(layers: &[Layer]) -> Vec<Value> {
    layers.iter().map(Layer::json).collect()
}

/// The settings of both.
fn joined(mut settings: Value, others: Value) -> Value {
    for (name, value) in others.as_object().into_iter().flatten() {
        settings[name] = value.clone();
    }
    settings
}

fn with_init(mut settings: Value, init: &Option<Initializer>) -> Value {
    if let Some(init) = init {
        settings["init"] = init.json();
    }
    settings
}
