//! Groups of parameters with settings of their own.

use std::sync::Arc;

use super::Fit;
use super::checkpoint::needed;
use super::names::{is_in, refuse_unknown};
use crate::optim::Optimizer;
use crate::settings::rate;
use crate::trainer::Assignment;
use crate::{Error, Network, Result};

/// Parameters with another learning rate, weight decay or optimizer than the rest of the network: PyTorch's parameter groups.
///
/// | setting | of the parameters in the group | without it |
/// | --- | --- | --- |
/// | `learning_rate_factor` | the learning rate is the optimizer's, times the schedule's factor, times this | 1 |
/// | `weight_decay` | the weight decay | the optimizer's |
/// | `optimizer` | the optimizer, with its learning rate and all its settings | that of [`Fit`] |
///
/// Biases and the scales of norms have no weight decay in a group either. [`Fit::group`] adds a group.
///
/// ```
/// use gradus::prelude::*;
///
/// let (train, _) = digits::load()?;
/// let layers = Sequential::new([1, 8, 8]).layer(Flatten).layer(Dense::new(32)).layer(Relu).layer(Dense::new(10));
/// let mut network = layers.layer(Softmax).build(1)?;
/// let history = Fit::new(CrossEntropy::new(), AdamW::new(0.01))
///     .group(ParameterGroup::new(["1"]).learning_rate_factor(0.1))
///     .group(ParameterGroup::new(["3"]).weight_decay(0.0))
///     .epochs(5)
///     .run(&mut network, &train)?;
/// assert!(history.last("loss") < Some(0.5));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone)]
#[doc(alias = "param_groups")]
#[must_use]
pub struct ParameterGroup {
    names: Vec<String>,
    learning_rate_factor: f64,
    weight_decay: Option<f64>,
    optimizer: Option<Arc<dyn Optimizer>>,
}

impl ParameterGroup {
    /// The parameters of these names: each is that of a parameter (`0.weight`), or of a layer or block (`0`, `2.body`), all of whose
    /// parameters are in the group.
    pub fn new(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        ParameterGroup {
            names: names.into_iter().map(Into::into).collect(),
            learning_rate_factor: 1.0,
            weight_decay: None,
            optimizer: None,
        }
    }

    /// Sets what the optimizer's learning rate is multiplied by, beside the schedule's factor.
    pub fn learning_rate_factor(mut self, factor: f64) -> Self {
        self.learning_rate_factor = factor;
        self
    }

    /// Sets the weight decay.
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = Some(weight_decay);
        self
    }

    /// Sets the optimizer. The schedule's factor applies to its learning rate too.
    pub fn optimizer(mut self, optimizer: impl Optimizer + 'static) -> Self {
        self.optimizer = Some(Arc::new(optimizer));
        self
    }

    /// The names, for sentences.
    fn shown(&self) -> String {
        format!("the group of \"{}\"", self.names.join("\", \""))
    }

    /// The optimizer of the parameters, where the rest of the network has `usual`.
    fn own_optimizer(&self, usual: &Arc<dyn Optimizer>) -> Result<Arc<dyn Optimizer>> {
        let optimizer = self.optimizer.as_ref().unwrap_or(usual);
        let Some(weight_decay) = self.weight_decay else {
            return Ok(optimizer.clone());
        };
        rate(&self.shown(), "weight decay", weight_decay)?;
        optimizer.with_weight_decay(weight_decay).map(Arc::from).ok_or_else(|| {
            Error::invalid(format!(
                "{} sets the weight decay, but the optimizer {} has none that can be set (Optimizer::with_weight_decay)",
                self.shown(),
                optimizer.name()
            ))
        })
    }

    /// Its settings, for a checkpoint.
    fn described(&self, usual: &Arc<dyn Optimizer>) -> Result<String> {
        let optimizer = needed("Optimizer", &*self.own_optimizer(usual)?)?;
        Ok(format!(
            "learning rate times {}, {optimizer}",
            self.learning_rate_factor
        ))
    }
}

/// The group of each parameter: none of those that are frozen.
///
/// # Errors
/// If a setting makes no sense, nothing has one of the names, a parameter is in two groups, or all parameters of a group are frozen.
pub(super) fn assignment(fit: &Fit<'_>, network: &Network, frozen: &[bool]) -> Result<Assignment> {
    let parameters: Vec<String> = network.parameters().map(|parameter| parameter.name).collect();
    let members = members(&fit.groups, &parameters)?;
    let mut groups = vec![(fit.optimizer.clone(), 1.0)];
    for group in &fit.groups {
        rate(&group.shown(), "learning rate factor", group.learning_rate_factor)?;
        groups.push((group.own_optimizer(&fit.optimizer)?, group.learning_rate_factor));
    }
    let of_parameters: Vec<Option<usize>> = (members.iter().zip(frozen))
        .map(|(group, &frozen)| (!frozen).then_some(group.map_or(0, |group| group + 1)))
        .collect();
    for (i, group) in fit.groups.iter().enumerate() {
        if !of_parameters.contains(&Some(i + 1)) {
            return Err(Error::invalid(format!(
                "{} has no parameter to train: all of them are frozen",
                group.shown()
            )));
        }
    }
    Ok(Assignment { groups, of_parameters })
}

/// The group that each parameter is in, if any.
fn members(groups: &[ParameterGroup], parameters: &[String]) -> Result<Vec<Option<usize>>> {
    for group in groups {
        refuse_unknown(parameters, &group.names, "group")?;
        if group.names.is_empty() {
            return Err(Error::invalid("a group of parameters has no names: name at least one"));
        }
    }
    let group_of = |parameter: &String| {
        let has = |group: &ParameterGroup| group.names.iter().any(|name| is_in(parameter, name));
        let mut found = (0..groups.len()).filter(|&i| has(&groups[i]));
        match (found.next(), found.next()) {
            (Some(a), Some(b)) => Err(Error::invalid(format!(
                "the parameter {parameter} is in {} and in {}: leave it in one",
                groups[a].shown(),
                groups[b].shown()
            ))),
            (group, _) => Ok(group),
        }
    };
    parameters.iter().map(group_of).collect()
}

/// The groups with the names of their parameters, for a checkpoint.
pub(super) fn described_groups(fit: &Fit<'_>, network: &Network) -> Result<String> {
    let parameters: Vec<String> = network.parameters().map(|parameter| parameter.name).collect();
    let members = members(&fit.groups, &parameters)?;
    let mut all = Vec::new();
    for (i, group) in fit.groups.iter().enumerate() {
        let names = parameters.iter().zip(&members).filter(|(_, of)| **of == Some(i));
        let names: Vec<&str> = names.map(|(name, _)| &**name).collect();
        all.push(format!("{}: {}", names.join(", "), group.described(&fit.optimizer)?));
    }
    all.sort();
    Ok(if all.is_empty() {
        "nothing".to_string()
    } else {
        all.join("; ")
    })
}
