//! Items within settings: a name, or an object of its `kind` and its settings.

use serde_json::{Map, Value, json};

use super::{Member, Registry};
use crate::{Error, Result};

/// What files call the name of an item beside its settings.
const KIND: &str = "kind";

/// An item as a file gives it: its name, with its settings if it has any. None if it can't be made from its settings.
pub(crate) fn named<T: Member + ?Sized>(item: &T) -> Option<Value> {
    match item.own_settings()? {
        Value::Object(settings) if !settings.is_empty() => {
            let mut object = Map::from_iter([(KIND.to_string(), json!(item.own_name()))]);
            object.extend(settings);
            Some(Value::Object(object))
        }
        Value::Object(_) | Value::Null => Some(json!(item.own_name())),
        _ => None,
    }
}

/// An item and its settings, for people and for comparisons: `huber {"delta":1.0}`. None if it doesn't say its settings.
pub(crate) fn described<T: Member + ?Sized>(item: &T) -> Option<String> {
    match item.own_settings()? {
        Value::Null => Some(item.own_name()),
        Value::Object(settings) if settings.is_empty() => Some(item.own_name()),
        settings => Some(format!("{} {settings}", item.own_name())),
    }
}

/// The item that a file gives.
pub(crate) fn read_named<T: Member + ?Sized>(given: Value) -> Result<Box<T>> {
    let (kind, settings) = match given {
        Value::String(name) => (name, Map::new()),
        Value::Object(mut settings) => match settings.remove(KIND) {
            Some(Value::String(name)) => (name, settings),
            _ => {
                return Err(Error::invalid(format!("the {} has no `{KIND}` that names it", T::WHAT)));
            }
        },
        other => {
            return Err(Error::invalid(format!(
                "the {} is given by its name, or by a table with its name as `{KIND}` and its settings, not by {other}",
                T::WHAT
            )));
        }
    };
    T::family(&Registry::current()).make(&kind, Value::Object(settings))
}
