use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::activation::{Elu, Gelu, LeakyRelu, Relu, Sigmoid, Silu, Softplus, Tanh};
use crate::layer::Layer;
use crate::layers::{
    AvgPool2d, BatchNorm, Conv2d, Dense, Dropout, Flatten, GlobalAvgPool2d, MaxPool2d, Reshape, Softmax,
};
use crate::{Error, Result};

type Make = Box<dyn Fn(Value) -> Result<Box<dyn Layer>, serde_json::Error> + Send + Sync>;

/// A kind of layer: the type that implements it, and how it is made from its settings.
struct Kind {
    layer: TypeId,
    make: Make,
}

/// The library's own layers.
static BUILT_IN: LazyLock<Registry> = LazyLock::new(Registry::default);

/// Whether a layer is of the library's own type of its kind, and not a user's type under the same name.
pub(super) fn is_built_in(layer: &dyn Layer) -> bool {
    let any: &dyn Any = layer;
    (BUILT_IN.kinds.get(layer.kind())).is_some_and(|kind| kind.layer == any.type_id())
}

/// Whether the library has a layer of its own of this kind.
pub(super) fn is_built_in_kind(kind: &str) -> bool {
    BUILT_IN.kinds.contains_key(kind)
}

/// The kinds of layers that files may name, and how each is made from its settings. The default has all of ours.
///
/// ```
/// use gradus::{activation::Activation, save::Registry, Float};
///
/// #[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
/// struct Scale {
///     by: Float,
/// }
/// impl Activation for Scale {
///     fn kind(&self) -> &'static str {
///         "scale"
///     }
///     fn value(&self, x: Float) -> Float {
///         self.by * x
///     }
///     fn derivative(&self, _x: Float, _y: Float) -> Float {
///         self.by
///     }
///     fn settings(&self) -> Option<serde_json::Value> {
///         serde_json::to_value(self).ok()
///     }
/// }
///
/// let mut registry = Registry::default();
/// registry.register::<Scale>("scale");
/// // Network::load_with("scaled.safetensors", &registry) can now load networks with that layer.
/// ```
pub struct Registry {
    kinds: BTreeMap<String, Kind>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.kinds.keys()).finish()
    }
}

impl Registry {
    /// Adds a kind of layer, made from the settings that its `settings` method gives.
    pub fn register<L: Layer + DeserializeOwned + 'static>(&mut self, kind: &str) {
        let make: Make = Box::new(|settings| {
            // A layer without settings is a unit struct, which JSON calls null.
            let nothing = settings.as_object().is_some_and(|object| object.is_empty());
            match serde_json::from_value::<L>(Value::Null) {
                Ok(layer) if nothing => Ok(Box::new(layer)),
                _ => Ok(Box::new(serde_json::from_value::<L>(settings)?)),
            }
        });
        let layer = TypeId::of::<L>();
        self.kinds.insert(kind.to_string(), Kind { layer, make });
    }

    /// The kinds that are known.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.kinds.keys().map(String::as_str)
    }

    /// Makes a layer of this kind.
    pub(super) fn make(&self, kind: &str, settings: Value) -> Result<Box<dyn Layer>> {
        let Some(Kind { make, .. }) = self.kinds.get(kind) else {
            let kinds: Vec<&str> = self.kinds().collect();
            return Err(Error::invalid(format!(
                "there is no layer of kind \"{kind}\"; known are {}, and residual",
                kinds.join(", ")
            )));
        };
        make(settings).map_err(|e| Error::invalid(format!("a layer of kind {kind}: {e}")))
    }
}

impl Default for Registry {
    fn default() -> Self {
        let mut registry = Registry { kinds: BTreeMap::new() };
        registry.register::<Dense>("dense");
        registry.register::<Conv2d>("conv2d");
        registry.register::<MaxPool2d>("max_pool2d");
        registry.register::<AvgPool2d>("avg_pool2d");
        registry.register::<GlobalAvgPool2d>("global_avg_pool2d");
        registry.register::<Flatten>("flatten");
        registry.register::<Reshape>("reshape");
        registry.register::<Dropout>("dropout");
        registry.register::<BatchNorm>("batch_norm");
        registry.register::<Softmax>("softmax");
        registry.register::<Relu>("relu");
        registry.register::<LeakyRelu>("leaky_relu");
        registry.register::<Elu>("elu");
        registry.register::<Gelu>("gelu");
        registry.register::<Silu>("silu");
        registry.register::<Softplus>("softplus");
        registry.register::<Sigmoid>("sigmoid");
        registry.register::<Tanh>("tanh");
        registry
    }
}
