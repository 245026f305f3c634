//! Choosing one of ours by its name, as files and command lines give it.

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
