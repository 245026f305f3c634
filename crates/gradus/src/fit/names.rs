//! Parameters by their names, and by those of layers and blocks.

use crate::{Error, Result};

/// Whether a parameter is the one of this name, or is in the layer or block of this name: `0.weight` is in `0`, `10.weight` is not.
pub(super) fn is_in(parameter: &str, name: &str) -> bool {
    parameter
        .strip_prefix(name)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Refuses a name that no parameter, layer or block has; `purpose` is what it was named for.
pub(super) fn refuse_unknown(parameters: &[String], names: &[String], purpose: &str) -> Result<()> {
    let is_known = |name: &&String| parameters.iter().any(|parameter| is_in(parameter, name));
    match names.iter().find(|name| !is_known(name)) {
        None => Ok(()),
        Some(unknown) => Err(Error::invalid(format!(
            "there is no parameter \"{unknown}\" to {purpose}, and no layer of that name that has any; the network has {}",
            parameters.join(", ")
        ))),
    }
}
