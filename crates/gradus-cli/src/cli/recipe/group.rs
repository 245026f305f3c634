//! `--group`: parameters with a learning rate, weight decay or optimizer of their own.

use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail};
use gradus::ParameterGroup;
use gradus::optim::Optimizer;
use serde::Serialize;
use serde_json::{Map, Value};

use super::parse_settings;
use crate::registry::registry;

const FACTOR: &str = "learning_rate_factor";
const DECAY: &str = "weight_decay";
const OPTIMIZER: &str = "optimizer";

/// Names with settings, as in `0,2.body:learning_rate_factor=0.1,weight_decay=0`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(into = "String")]
pub struct GroupSpec {
    text: String,
    names: Vec<String>,
    settings: Map<String, Value>,
}

impl FromStr for GroupSpec {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (names, settings) = text
            .split_once(':')
            .ok_or_else(|| anyhow!("`{text}` has no settings: they follow a colon, as in 0,2.body:{FACTOR}=0.1"))?;
        Ok(GroupSpec {
            text: text.to_string(),
            names: names.split(',').map(|name| name.trim().to_string()).collect(),
            settings: parse_settings(settings)?,
        })
    }
}

impl From<GroupSpec> for String {
    fn from(spec: GroupSpec) -> String {
        spec.text
    }
}

impl GroupSpec {
    /// The group.
    ///
    /// # Errors
    /// If it has no such setting, or a setting is of another type; whether the network has the parameters is found when training begins.
    pub fn group(&self) -> Result<ParameterGroup> {
        self.make().with_context(|| format!("--group {}", self.text))
    }

    fn make(&self) -> Result<ParameterGroup> {
        let mut settings = self.settings.clone();
        let mut group = ParameterGroup::new(&self.names);
        if let Some(factor) = number(&mut settings, FACTOR)? {
            group = group.learning_rate_factor(factor);
        }
        if let Some(name) = settings.remove(OPTIMIZER) {
            let name = name.as_str().map_or_else(|| name.to_string(), String::from);
            // All else is the optimizer's, the weight decay too.
            let optimizer = registry().optimizer(&name, Value::Object(settings))?;
            optimizer.validate()?;
            return Ok(group.optimizer(optimizer));
        }
        if let Some(decay) = number(&mut settings, DECAY)? {
            group = group.weight_decay(decay);
        }
        if let Some(unknown) = settings.keys().next() {
            bail!(
                "unknown setting `{unknown}`, expected {FACTOR}, {DECAY}, or {OPTIMIZER} with the settings of that optimizer"
            );
        }
        Ok(group)
    }
}

/// Takes a number out of the settings.
fn number(settings: &mut Map<String, Value>, name: &str) -> Result<Option<f64>> {
    let Some(value) = settings.remove(name) else {
        return Ok(None);
    };
    match value.as_f64() {
        Some(number) => Ok(Some(number)),
        None => bail!("{name} must be a number, got {value}"),
    }
}

#[cfg(test)]
mod tests {
    use gradus::optim::RmsProp;

    use super::*;

    fn show(text: &str) -> String {
        match GroupSpec::from_str(text).and_then(|spec| spec.group()) {
            Ok(group) => format!("{group:?}"),
            Err(error) => format!("{error:#}"),
        }
    }

    #[test]
    fn groups_are_those_of_the_library() {
        let group = || ParameterGroup::new(["0", "2.body"]);
        let shown = |group: ParameterGroup| format!("{group:?}");
        assert_eq!(
            show("0, 2.body:learning_rate_factor=0.1,weight_decay=0"),
            shown(group().learning_rate_factor(0.1).weight_decay(0.0))
        );
        assert_eq!(
            show("0,2.body:optimizer=rmsprop,learning_rate=0.5,alpha=0.9,weight_decay=0.1,learning_rate_factor=2"),
            shown(
                group()
                    .learning_rate_factor(2.0)
                    .optimizer(RmsProp::new(0.5).alpha(0.9).weight_decay(0.1))
            )
        );
        let spec = GroupSpec::from_str("0:weight_decay=0").unwrap();
        assert_eq!(String::from(spec), "0:weight_decay=0");
    }

    #[test]
    fn what_makes_no_sense_is_a_sentence() {
        assert!(
            GroupSpec::from_str("0,2")
                .unwrap_err()
                .to_string()
                .starts_with("`0,2` has no settings: ")
        );
        assert_eq!(
            show("0:learning_rate=0.1"),
            "--group 0:learning_rate=0.1: unknown setting `learning_rate`, expected learning_rate_factor, weight_decay, or \
             optimizer with the settings of that optimizer"
        );
        assert_eq!(
            show("0:weight_decay=low"),
            "--group 0:weight_decay=low: weight_decay must be a number, got \"low\""
        );
        assert!(show("0:optimizer=adagrad").contains("there is no optimizer \"adagrad\""));
        assert!(show("0:optimizer=adam,momentum=0.9").contains("the optimizer adam: unknown setting `momentum`"));
        assert!(show("0:optimizer=adam,beta1=2").contains("Adam: beta1 must be in [0, 1), got 2"));
    }
}
