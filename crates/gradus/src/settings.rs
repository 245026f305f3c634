//! Settings, as files and command lines give them: names are looked up, numbers are checked once.

use crate::{Error, Result};

/// The one of `all` whose name is `name`; if there is none, a sentence that lists them.
pub(crate) fn find<T>(what: &str, name: &str, all: Vec<T>, name_of: impl Fn(&T) -> String) -> Result<T> {
    let names: Vec<String> = all.iter().map(&name_of).collect();
    all.into_iter().find(|one| name_of(one) == name).ok_or_else(|| {
        Error::invalid(format!(
            "there is no {what} \"{name}\"; choose one of {}",
            names.join(", ")
        ))
    })
}

/// Refuses a rate that is not a finite number of at least 0.
pub(crate) fn rate(what: &str, setting: &str, value: f64) -> Result<()> {
    require(
        value >= 0.0 && value.is_finite(),
        what,
        setting,
        "a number of at least 0",
        value,
    )
}

/// Refuses what is not a finite number above 0.
pub(crate) fn positive(what: &str, setting: &str, value: f64) -> Result<()> {
    require(
        value > 0.0 && value.is_finite(),
        what,
        setting,
        "a number above 0",
        value,
    )
}

/// Refuses what is not in [0, 1).
pub(crate) fn below_one(what: &str, setting: &str, value: f64) -> Result<()> {
    require((0.0..1.0).contains(&value), what, setting, "in [0, 1)", value)
}

/// Unless this holds, the sentence that `what` expects something else of its `setting`.
pub(crate) fn require(holds: bool, what: &str, setting: &str, expected: &str, value: f64) -> Result<()> {
    if holds {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{what}: {setting} must be {expected}, got {value}"
    )))
}
