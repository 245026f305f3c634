//! The initializers of this library as files give them: a name, or an object of its `kind` and settings.

use std::any::Any;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{
    Constant, GlorotNormal, GlorotUniform, HeNormal, HeUniform, Initializer, LecunNormal, LecunUniform, Normal,
    Orthogonal, TruncatedNormal, Uniform, Zeros, by_name,
};
use crate::{Error, Result, settings};

/// What files call the name of an initializer beside its settings.
const KIND: &str = "kind";
/// What they call the setting of one that is nothing but a number.
const VALUE: &str = "value";

/// An initializer of this library.
pub(super) struct BuiltIn {
    /// It, with its default settings.
    pub(super) default: Arc<dyn Initializer>,
    /// The settings of an initializer, if it is of this type: an object, a number, or null if there are none.
    settings: fn(&dyn Initializer) -> Option<Value>,
    read: fn(Value) -> serde_json::Result<Arc<dyn Initializer>>,
}

fn built_in<T: Initializer + Default + Serialize + DeserializeOwned>() -> BuiltIn {
    BuiltIn {
        default: Arc::new(T::default()),
        settings: |init| {
            let init: &dyn Any = init;
            init.downcast_ref::<T>().map(|init| json!(init))
        },
        read: |settings| Ok(Arc::new(serde_json::from_value::<T>(settings)?)),
    }
}

/// All of them.
pub(super) fn all() -> Vec<BuiltIn> {
    vec![
        built_in::<Zeros>(),
        built_in::<Constant>(),
        built_in::<Normal>(),
        built_in::<Uniform>(),
        built_in::<TruncatedNormal>(),
        built_in::<GlorotNormal>(),
        built_in::<GlorotUniform>(),
        built_in::<HeNormal>(),
        built_in::<HeUniform>(),
        built_in::<LecunNormal>(),
        built_in::<LecunUniform>(),
        built_in::<Orthogonal>(),
    ]
}

/// What a file says of an initializer; nothing of a user's own, whatever its name, and of one with a setting that is no finite
/// number, which no file can hold.
pub(crate) fn written(init: &dyn Initializer) -> Option<Value> {
    let (settings, one) = all().into_iter().find_map(|one| Some(((one.settings)(init)?, one)))?;
    let default = (one.settings)(&*one.default)?;
    let mut object = match settings {
        Value::Object(settings) if settings.values().any(Value::is_null) => return None,
        Value::Object(_) if settings == default => return Some(json!(init.name())),
        Value::Object(settings) => settings,
        Value::Null if default.is_null() => return Some(json!(init.name())),
        Value::Null => return None,
        value => Map::from_iter([(VALUE.to_string(), value)]),
    };
    object.insert(KIND.into(), json!(init.name()));
    Some(Value::Object(object))
}

/// The initializer that a file tells.
pub(crate) fn read(told: Value) -> Result<Arc<dyn Initializer>> {
    let mut settings = match told {
        Value::String(name) => return by_name(&name),
        Value::Object(settings) => settings,
        _ => {
            return Err(Error::invalid(format!(
                "an initializer is a name, or a table with its name as `{KIND}` and its settings, not {told}"
            )));
        }
    };
    let kind = settings
        .remove(KIND)
        .ok_or_else(|| Error::invalid(format!("the initializer has no `{KIND}`")))?;
    let name = kind.as_str().unwrap_or_default();
    let one = settings::find("initializer", name, all(), |one| one.default.name().to_string())?;
    let settings = match (one.settings)(&*one.default) {
        Some(Value::Object(_)) => Value::Object(settings),
        // Without settings, or with a number.
        Some(default) => {
            let value = if default.is_null() {
                None
            } else {
                settings.remove(VALUE)
            };
            if let Some(other) = settings.keys().next() {
                return Err(Error::invalid(format!("the initializer {name} has no setting {other}")));
            }
            value.unwrap_or(Value::Null)
        }
        None => Value::Null,
    };
    (one.read)(settings)
        .map_err(|error| Error::invalid(format!("the initializer {name}: {error}").replace("field", "setting")))
}
