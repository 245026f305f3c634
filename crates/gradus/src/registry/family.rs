use std::any::TypeId;
use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::layer::Layer;
use crate::save::BLOCKS;
use crate::{Error, Result, settings};

/// What belongs to a family: how messages call it, and its own name.
pub trait Member {
    /// How messages call one: `layer`.
    const WHAT: &'static str;

    /// Names that files give to something else.
    const RESERVED: &'static [&'static str] = &[];

    /// Its name.
    fn own_name(&self) -> String;
}

impl Member for dyn Layer {
    const WHAT: &'static str = "layer";
    const RESERVED: &'static [&'static str] = BLOCKS;

    fn own_name(&self) -> String {
        self.kind().into()
    }
}

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
pub(crate) fn read<T: DeserializeOwned>(settings: Value) -> serde_json::Result<T> {
    // An item without settings is a unit struct, which JSON calls null.
    let nothing = settings.as_object().is_some_and(|object| object.is_empty());
    match serde_json::from_value(Value::Null) {
        Ok(item) if nothing => Ok(item),
        _ => serde_json::from_value(settings),
    }
}

/// The items of one family (layers, losses, ...) that can be named, and how each is made from its settings.
pub struct Family<T: ?Sized> {
    /// In the order in which they came: ours, then a user's own.
    items: Vec<(String, Item<T>)>,
}

impl<T: Member + ?Sized> Family<T> {
    /// The family of these items, each given with an example that names it.
    pub(crate) fn of(items: impl Iterator<Item = (Box<T>, Item<T>)>) -> Self {
        Family {
            items: items.map(|(example, item)| (example.own_name(), item)).collect(),
        }
    }

    /// The names that are known: ours, then a user's own.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.items.iter().map(|(name, _)| &**name)
    }

    /// The item of this name, with these settings: a JSON object.
    ///
    /// # Errors
    /// If there is none of this name; if it has no such setting, needs another, or one is of another type; or if it calls itself
    /// otherwise, and would not come back from a file.
    pub fn make(&self, name: &str, settings: Value) -> Result<Box<T>> {
        let Some((_, item)) = self.items.iter().find(|(known, _)| known == name) else {
            return Err(settings::unknown(
                T::WHAT,
                name,
                self.names().chain(T::RESERVED.iter().copied()),
            ));
        };
        let made = (item.make)(settings).map_err(|e| {
            let why = e.to_string();
            let why = why
                .replace("unknown field", "unknown setting")
                .replace("missing field", "missing setting");
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
                "a {} can't be called \"{name}\": {why}",
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
        self.items.push((name.into(), item));
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
            items: self.items.clone(),
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
family!(Layer);
