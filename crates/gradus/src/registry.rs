//! What files, recipes and programs may name.

mod family;

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::sync::LazyLock;

pub use family::Family;
pub(crate) use family::Item;

use crate::Shape;
use crate::activation::ACTIVATIONS;
use crate::layer::Layer;
use crate::layers::LAYERS;

/// A layer of the library's list.
pub(crate) struct LayerDefinition {
    /// An example of it, for tests: settings that are not the default ones, if it has any.
    pub example: fn() -> Box<dyn Layer>,
    /// The shape of a sample that suits the example.
    pub input: &'static [usize],
    pub item: Item<dyn Layer>,
}

/// The library's layers and activations.
fn built_in() -> impl Iterator<Item = &'static LayerDefinition> {
    LAYERS.iter().chain(ACTIVATIONS)
}

/// An example of each of the library's layers, with the shape of a sample that suits it.
pub(crate) fn layer_examples() -> impl Iterator<Item = (Box<dyn Layer>, Shape)> {
    built_in().map(|definition| ((definition.example)(), Shape::from(definition.input)))
}

/// The types of the library's layers by their kinds.
static BUILT_IN_TYPES: LazyLock<BTreeMap<&'static str, TypeId>> = LazyLock::new(|| {
    let entry = |definition: &LayerDefinition| ((definition.example)().kind(), (definition.item.type_id)());
    built_in().map(entry).collect()
});

/// Whether a layer is of the library's own type of its kind, and not a user's type under the same name.
pub(crate) fn is_built_in(layer: &dyn Layer) -> bool {
    let any: &dyn Any = layer;
    BUILT_IN_TYPES.get(layer.kind()) == Some(&any.type_id())
}

/// Whether the library has a layer of its own of this kind.
pub(crate) fn is_built_in_kind(kind: &str) -> bool {
    BUILT_IN_TYPES.contains_key(kind)
}

/// What files may name, and how each is made from its settings. The default has all of ours; a user's own are
/// [registered](Family::register) beside them.
///
/// ```
/// use gradus::{Float, Registry, activation::Activation};
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
/// registry.layers.register::<Scale>("scale")?;
/// // Network::load_with("scaled.safetensors", &registry) can now load networks with that layer.
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Registry {
    /// Layers, activations among them.
    pub layers: Family<dyn Layer>,
}

impl Default for Registry {
    fn default() -> Self {
        Registry {
            layers: Family::of(built_in().map(|definition| ((definition.example)(), definition.item))),
        }
    }
}
