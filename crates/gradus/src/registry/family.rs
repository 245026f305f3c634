//! The items of one family.

use std::any::TypeId;
use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeOwned, Error as _};
use serde_json::Value;

use super::Registry;
use crate::augment::Augmentation;
use crate::blocks::BLOCKS;
use crate::init::Initializer;
use crate::layer::Layer;
use crate::loss::Loss;
use crate::metric::Metric;
use crate::optim::Optimizer;
use crate::schedule::Schedule;
use crate::{Error, Result, settings};

/// What belongs to a family: how messages call it, its own name and settings.
pub trait Member {
    /// How messages call one: `layer`.
    const WHAT: &'static str;

    /// Names that files give to something else.
    const RESERVED: &'static [&'static str] = &[];

    /// Its family.
    fn family(registry: &Registry) -> &Family<Self>;

    /// Its name.
    fn own_name(&self) -> String;

    /// Its settings.
    fn own_settings(&self) -> Option<Value>;
}

macro_rules! members {
    ($($item:ident: $what:literal, $family:ident, $name:ident $(, $reserved:expr)?;)*) => {$(
        impl Member for dyn $item {
            const WHAT: &'static str = $what;
            $(const RESERVED: &'static [&'static str] = $reserved;)?

            fn family(registry: &Registry) -> &Family<Self> {
                &registry.$family
            }

            fn own_name(&self) -> String {
                self.$name().into()
            }

            fn own_settings(&self) -> Option<Value> {
                self.settings()
            }
        }
    )*};
}
members! {
    Layer: "layer", layers, kind, BLOCKS;
    Loss: "loss", losses, name;
    Optimizer: "optimizer", optimizers, name;
    Schedule: "schedule", schedules, name;
    Metric: "metric", metrics, kind;
    Initializer: "initializer", initializers, name;
    Augmentation: "augmentation", augmentations, name;
}

/// An item of the library's list of a family.
pub(crate) struct Definition<T: ?Sized> {
    /// An example of it, for tests: settings that are not the default ones, if it has any.
    pub example: fn() -> Box<T>,
    pub item: Item<T>,
}

/// Exports the items of a family from their files, and makes the list of them. Files, programs, messages and tests know what is in
/// this list.
macro_rules! list {
    ($list:ident of $family:ident: $($file:ident::$item:ident $(<$of:ty>)?, $example:expr;)*) => {
        $(pub use $file::$item;)*

        /// All of the library.
        pub(crate) const $list: &[$crate::registry::Definition<dyn $family>] = &[$($crate::registry::Definition {
            example: || Box::new($example),
            item: $crate::registry::Item::<dyn $family>::of::<$item $(<$of>)?>(),
        }),*];
    };
}
pub(crate) use list;

/// A type of a family, and how it is made from its settings.
pub(crate) struct Item<T: ?Sized> {
    pub type_id: fn() -> TypeId,
    pub make: fn(Value) -> serde_json::Result<Box<T>>,
}

impl<T: ?Sized> Clone for Item<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Item<T> {}

/// Reads an item from its settings.
fn read<T: DeserializeOwned>(settings: Value) -> serde_json::Result<T> {
    // An item without settings is a unit struct, which JSON calls null.
    let setting = settings.as_object().map(|object| object.keys().next().cloned());
    match (setting, serde_json::from_value::<T>(Value::Null)) {
        (Some(None), Ok(item)) => Ok(item),
        (Some(Some(setting)), Ok(_)) => serde_json::from_value(settings)
            .map_err(|_| serde_json::Error::custom(format!("unknown field `{setting}`, there are no fields"))),
        _ => serde_json::from_value(settings),
    }
}

/// What is wrong with the settings of an item, which could not be read for this reason; names the setting and its value.
fn refused<T: ?Sized>(item: &Item<T>, settings: &Value, why: &str) -> String {
    let is_at_fault = |key: &&String| {
        let mut others = settings.clone();
        others.as_object_mut().map(|others| others.remove(*key));
        !matches!((item.make)(others), Err(e) if e.to_string() == why)
    };
    let expected = match why.split_once("expected ") {
        Some((before, expected)) if before.starts_with("invalid ") => match expected {
            "usize" | "u64" | "u32" => "a whole number of at least 0",
            "f64" | "f32" => "a number",
            "a boolean" => "true or false",
            "a string" => "a text",
            other => other,
        },
        _ => {
            return why
                .replace("unknown field", "unknown setting")
                .replace("missing field", "missing setting")
                .replace("there are no fields", "it has none");
        }
    };
    match settings.as_object().and_then(|all| all.keys().find(is_at_fault)) {
        Some(key) => format!("{key} must be {expected}, got {}", settings[key]),
        None => why.into(),
    }
}

/// The items of one family (layers, losses, ...) that can be named, and how each is made from its settings.
pub struct Family<T: ?Sized> {
    /// In the order in which they came: ours, then a user's own.
    items: Arc<Vec<(String, Item<T>)>>,
}

impl<T: Member + ?Sized> Family<T> {
    /// The family of these items, each given with an example that names it.
    pub(crate) fn of(items: impl Iterator<Item = (Box<T>, Item<T>)>) -> Self {
        Family {
            items: Arc::new(items.map(|(example, item)| (example.own_name(), item)).collect()),
        }
    }

    /// The family of a list.
    pub(crate) fn listed(list: &[Definition<T>]) -> Self {
        Family::of(list.iter().map(|definition| ((definition.example)(), definition.item)))
    }

    /// Whether there is an item of this name.
    pub fn has(&self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }

    /// Whether an item is of this type.
    pub(crate) fn is_of(&self, name: &str, type_id: TypeId) -> bool {
        let of_type = |(known, item): &(String, Item<T>)| known == name && (item.type_id)() == type_id;
        self.items.iter().any(of_type)
    }

    /// The names that are known: ours, then a user's own.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.items.iter().map(|(name, _)| &**name)
    }

    /// The item of this name, with these settings.
    pub(super) fn make(&self, name: &str, settings: Value) -> Result<Box<T>> {
        let Some((_, item)) = self.items.iter().find(|(known, _)| known == name) else {
            return Err(settings::unknown(
                T::WHAT,
                name,
                self.names().chain(T::RESERVED.iter().copied()),
            ));
        };
        let made = (item.make)(settings.clone()).map_err(|e| {
            let why = refused(item, &settings, &e.to_string());
            Error::invalid(format!("the {} {name}: {why}", T::WHAT))
        })?;
        let own = made.own_name();
        if own != name {
            return Err(Error::invalid(format!(
                "the {} \"{name}\" calls itself \"{own}\": register it under that name",
                T::WHAT
            )));
        }
        Ok(made)
    }

    /// Adds an item under its name.
    fn add(&mut self, name: &str, item: Item<T>) -> Result<()> {
        let refused = |why: String| {
            Err(Error::invalid(format!(
                "no {} can be called \"{name}\": {why}",
                T::WHAT
            )))
        };
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(is_word) {
            return refused(
                "a name is lowercase letters, digits and _, with a letter first, such as \"my_own\"".into(),
            );
        }
        if self
            .names()
            .chain(T::RESERVED.iter().copied())
            .any(|known| known == name)
        {
            return refused("the name is taken; give it another".into());
        }
        Arc::make_mut(&mut self.items).push((name.into(), item));
        Ok(())
    }
}

impl<T: ?Sized> fmt::Debug for Family<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.items.iter().map(|(name, _)| name)).finish()
    }
}

impl<T: ?Sized> Clone for Family<T> {
    fn clone(&self) -> Self {
        Family {
            items: Arc::clone(&self.items),
        }
    }
}

/// How types of a family are listed and registered.
macro_rules! family {
    ($($family:ident),*) => {$(
        impl Item<dyn $family> {
            /// How an item of this type is made.
            pub(crate) const fn of<T: $family + DeserializeOwned + 'static>() -> Self {
                Item {
                    type_id: TypeId::of::<T>,
                    make: |settings| Ok(Box::new(read::<T>(settings)?)),
                }
            }
        }

        impl Family<dyn $family> {
            /// Adds a type of one's own, made from the settings that its `settings` method returns. The name is the one that the
            /// item calls itself.
            ///
            /// # Errors
            /// If the name is taken, empty, or not made of lowercase letters, digits and `_`.
            pub fn register<T: $family + DeserializeOwned + 'static>(&mut self, name: &str) -> Result<()> {
                self.add(name, Item::<dyn $family>::of::<T>())
            }
        }
    )*};
}
family!(Layer, Loss, Optimizer, Schedule, Metric, Initializer, Augmentation);
