//! What files, recipes and programs may name.

mod family;
mod named;
#[cfg(test)]
mod tests;

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::Value;

pub(crate) use family::{Definition, Item, list};
pub use family::{Family, Member};
pub(crate) use named::{described, named, read_named};

use crate::activation::ACTIVATIONS;
use crate::augment::{AUGMENTATIONS, Augmentation};
use crate::init::{INITIALIZERS, Initializer};
use crate::layer::Layer;
use crate::layers::LAYERS;
use crate::loss::{LOSSES, Loss};
use crate::metric::{self, METRICS, Metric};
use crate::optim::{OPTIMIZERS, Optimizer};
use crate::schedule::{SCHEDULES, Schedule};
use crate::{Result, Shape};

/// A layer of the library's list.
pub(crate) struct LayerDefinition {
    /// An example of it, for tests: settings that are not the default ones, if it has any.
    pub example: fn() -> Box<dyn Layer>,
    /// The shape of a sample that suits the example.
    pub input: &'static [usize],
    pub item: Item<dyn Layer>,
}

/// The library's layers and activations.
fn layer_definitions() -> impl Iterator<Item = &'static LayerDefinition> {
    LAYERS.iter().chain(ACTIVATIONS)
}

/// An example of each of the library's layers, with the shape of a sample that suits it.
pub(crate) fn layer_examples() -> impl Iterator<Item = (Box<dyn Layer>, Shape)> {
    layer_definitions().map(|definition| ((definition.example)(), Shape::from(definition.input)))
}

/// The types of the library's layers by their kinds.
static LAYER_TYPES: LazyLock<BTreeMap<&'static str, TypeId>> = LazyLock::new(|| {
    let entry = |definition: &LayerDefinition| ((definition.example)().kind(), (definition.item.type_id)());
    layer_definitions().map(entry).collect()
});

/// Whether a layer is of the library's own type of its kind, and not a user's type under the same name.
pub(crate) fn is_built_in(layer: &dyn Layer) -> bool {
    let any: &dyn Any = layer;
    LAYER_TYPES.get(layer.kind()) == Some(&any.type_id())
}

/// Whether the library has a layer of its own of this kind.
pub(crate) fn is_built_in_kind(kind: &str) -> bool {
    LAYER_TYPES.contains_key(kind)
}

/// What files, recipes and programs may name, and how each is made from its settings. The default has all of ours; a user's own
/// are [registered](Family::register) beside them, and are the equals of ours from then on.
///
/// ```
/// use gradus::{Float, Registry, activation::Activation};
/// use serde_json::json;
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
/// assert_eq!(registry.layer("scale", json!({ "by": 0.5 }))?.kind(), "scale");
/// // Network::load_with("scaled.safetensors", &registry) can now load networks with that layer.
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Registry {
    /// Layers, activations among them.
    pub layers: Family<dyn Layer>,
    /// Losses.
    pub losses: Family<dyn Loss>,
    /// Optimizers.
    pub optimizers: Family<dyn Optimizer>,
    /// Schedules of the learning rate.
    pub schedules: Family<dyn Schedule>,
    /// Metrics.
    pub metrics: Family<dyn Metric>,
    /// Initializers.
    pub initializers: Family<dyn Initializer>,
    /// Augmentations.
    pub augmentations: Family<dyn Augmentation>,
}

/// All that the library has.
static BUILT_IN: LazyLock<Registry> = LazyLock::new(|| Registry {
    layers: Family::of(layer_definitions().map(|definition| ((definition.example)(), definition.item))),
    losses: Family::listed(LOSSES),
    optimizers: Family::listed(OPTIMIZERS),
    schedules: Family::listed(SCHEDULES),
    metrics: Family::listed(METRICS),
    initializers: Family::listed(INITIALIZERS),
    augmentations: Family::listed(AUGMENTATIONS),
});

impl Default for Registry {
    fn default() -> Self {
        BUILT_IN.clone()
    }
}

/// How an item is made from its name and its settings, by each family.
macro_rules! make {
    ($($(#[$doc:meta])* $method:ident: $family:ident of $item:ident;)*) => {
        impl Registry {$(
            $(#[$doc])*
            ///
            /// # Errors
            /// If there is none of this name; if it has no such setting, needs another, or one is of another type; or if it calls
            /// itself otherwise. Whether numbers make sense is found where it is used.
            pub fn $method(&self, name: &str, settings: Value) -> Result<Box<dyn $item>> {
                self.while_current(|| self.$family.make(name, settings))
            }
        )*}
    };
}
make! {
    /// The layer of this kind with these settings, a JSON object.
    layer: layers of Layer;
    /// The loss of this name with these settings, a JSON object.
    loss: losses of Loss;
    /// The optimizer of this name with these settings, a JSON object.
    optimizer: optimizers of Optimizer;
    /// The schedule of this name with these settings, a JSON object.
    schedule: schedules of Schedule;
    /// The initializer of this name with these settings, a JSON object.
    initializer: initializers of Initializer;
    /// The augmentation of this name with these settings, a JSON object.
    augmentation: augmentations of Augmentation;
}

impl Registry {
    /// The metric of this [kind](Metric::kind) with these settings, a JSON object. Names of metrics with their usual settings in them
    /// are understood too: `top_3` is `top_k` with 3; `_macro`, `_micro` and `_class_2` after a name are its
    /// [average](metric::Average).
    ///
    /// # Errors
    /// If there is none of this name; if it has no such setting, needs another, or one is of another type.
    pub fn metric(&self, name: &str, settings: Value) -> Result<Box<dyn Metric>> {
        let (name, settings) = match metric::in_short(name) {
            Some((base, setting, value)) if !self.metrics.has(name) && self.metrics.has(base) => {
                let mut settings = settings;
                if let Value::Object(settings) = &mut settings {
                    settings.insert(setting.into(), value);
                }
                (base, settings)
            }
            _ => (name, settings),
        };
        self.while_current(|| self.metrics.make(name, settings))
    }

    /// Does `work` while items that name others (a layer its initializer, a warm-up its schedule) find them in this registry.
    fn while_current<R>(&self, work: impl FnOnce() -> R) -> R {
        struct Restore;
        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.with_borrow_mut(Vec::pop);
            }
        }
        CURRENT.with_borrow_mut(|registries| registries.push(self.clone()));
        let _restore = Restore;
        work()
    }

    /// The registry in which names are looked up on this thread.
    fn current() -> Registry {
        CURRENT
            .with_borrow(|registries| registries.last().cloned())
            .unwrap_or_default()
    }
}

thread_local! {
    /// The registries that make something, the innermost last: serde has no way to hand one to what is read.
    static CURRENT: RefCell<Vec<Registry>> = const { RefCell::new(Vec::new()) };
}
