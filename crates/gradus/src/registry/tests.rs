//! What has to hold for every item of every list.

use super::*;
use crate::check;
use crate::data::Targets;
use serde_json::json;

/// Names and settings of a family: each example comes back from its settings, and no other setting is taken.
fn comes_back<T: Member + std::fmt::Debug + ?Sized>(list: &[Definition<T>]) {
    let registry = Registry::default();
    let family = T::family(&registry);
    let make = |name: &str, settings: Value| registry.while_current(|| family.make(name, settings));
    let mut names = Vec::new();
    for definition in list {
        let example = (definition.example)();
        let (name, settings) = (example.own_name(), example.own_settings().unwrap());
        let again = make(&name, settings.clone()).unwrap();
        assert_eq!(format!("{again:?}"), format!("{example:?}"));
        assert_eq!(again.own_settings().unwrap(), settings);
        assert_eq!(described(&*again), described(&*example));
        let given = named(&*example).unwrap();
        assert_eq!(
            named(&*registry.while_current(|| read_named::<T>(given.clone())).unwrap()),
            Some(given)
        );

        let mut unknown = if settings.is_null() { json!({}) } else { settings };
        unknown["no_such_setting"] = json!(1);
        let error = make(&name, unknown).unwrap_err().to_string();
        let start = format!("the {} {name}: unknown setting `no_such_setting`, ", T::WHAT);
        assert!(error.starts_with(&start), "{error}");
        names.push(name);
    }
    assert_eq!(names, family.names().collect::<Vec<_>>());
    let error = make("?", json!({})).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("there is no {} \"?\"; choose one of {}", T::WHAT, names.join(", "))
    );
}

#[test]
fn every_item_comes_back_from_its_settings() {
    comes_back(LOSSES);
    comes_back(OPTIMIZERS);
    comes_back(SCHEDULES);
    comes_back(METRICS);
    comes_back(INITIALIZERS);
    comes_back(AUGMENTATIONS);
}

#[test]
fn every_loss_keeps_its_contract() {
    for definition in LOSSES {
        let loss = (definition.example)();
        for (output, targets) in [
            (1, Targets::Values(1.into())),
            (3, Targets::Values(3.into())),
            (1, Targets::Classes(2)),
            (3, Targets::Classes(3)),
        ] {
            if loss.validate(&output.into(), &targets).is_ok() {
                check::loss(&*loss, output, &targets).unwrap();
            }
        }
    }
}

#[test]
fn every_item_is_valid_with_the_settings_of_its_example() {
    OPTIMIZERS.iter().for_each(|one| (one.example)().validate().unwrap());
    SCHEDULES.iter().for_each(|one| (one.example)().validate().unwrap());
    let image = Shape::from([1, 8, 8]);
    AUGMENTATIONS
        .iter()
        .for_each(|one| (one.example)().validate(&image).unwrap());
}

#[test]
fn names_of_metrics_have_settings_in_them() {
    let registry = Registry::default();
    let name = |name: &str| registry.metric(name, json!({})).map(|metric| metric.name());
    for known in [
        "top_5",
        "top_1",
        "f1",
        "f1_macro",
        "recall_micro",
        "precision_class_2",
        "r2",
    ] {
        assert_eq!(name(known).unwrap(), known);
    }
    for unknown in ["top_", "top_x", "top_-1", "auc_macro", "top_class_1", "f1_class_x"] {
        let error = name(unknown).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("there is no metric \"{unknown}\"; ")),
            "{error}"
        );
    }
    let error = name("accuracy_macro").unwrap_err().to_string();
    assert_eq!(error, "the metric accuracy: unknown setting `average`, it has none");
}

/// A schedule of a user's own, which only a registry knows.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
struct Own {
    factor: f64,
}

impl Schedule for Own {
    fn name(&self) -> &'static str {
        "own"
    }
    fn settings(&self) -> Option<Value> {
        serde_json::to_value(self).ok()
    }
    fn validate(&self) -> Result<()> {
        Ok(())
    }
    fn factor(&self, _context: &crate::schedule::ScheduleContext<'_>) -> f64 {
        self.factor
    }
}

#[test]
fn items_within_items_are_those_of_the_registry() {
    let mut registry = Registry::default();
    registry.schedules.register::<Own>("own").unwrap();
    let settings = json!({ "steps": 3, "then": { "kind": "own", "factor": 0.5 } });
    let warmup = registry.schedule("warmup", settings.clone()).unwrap();
    assert_eq!(warmup.settings(), Some(settings.clone()));
    // Elsewhere it is unknown, before and after.
    let error = Registry::default()
        .schedule("warmup", settings)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("the schedule warmup: there is no schedule \"own\"; choose one of "),
        "{error}"
    );
    assert!(registry.schedules.register::<Own>("own").is_err());
    assert!(registry.schedules.register::<Own>("cosine").is_err());
}
