//! Parameters that keep their values in training.

use super::names::{is_in, refuse_unknown};
use crate::{Error, Network, Result};

/// Whether each parameter of the network, in their order, keeps its values.
///
/// # Errors
/// If nothing has one of the names, or there is no parameter left to train.
pub(super) fn frozen(network: &Network, names: &[String]) -> Result<Vec<bool>> {
    let parameters: Vec<String> = network.parameters().map(|parameter| parameter.name).collect();
    refuse_unknown(&parameters, names, "freeze")?;
    let is_frozen = |parameter: &String| names.iter().any(|name| is_in(parameter, name));
    let frozen: Vec<bool> = parameters.iter().map(is_frozen).collect();
    if !names.is_empty() && !frozen.contains(&false) {
        return Err(Error::invalid(format!(
            "all parameters of the network are frozen ({}): leave one to train",
            names.join(", ")
        )));
    }
    Ok(frozen)
}

/// The names of the parameters that keep their values, for a checkpoint.
pub(super) fn described(network: &Network, names: &[String]) -> Result<String> {
    let frozen = frozen(network, names)?;
    let parameters = network.parameters().zip(frozen);
    let names: Vec<String> = parameters
        .filter(|(_, frozen)| *frozen)
        .map(|(parameter, _)| parameter.name)
        .collect();
    Ok(if names.is_empty() {
        "nothing".to_string()
    } else {
        names.join(", ")
    })
}
