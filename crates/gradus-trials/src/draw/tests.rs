use std::collections::{BTreeMap, BTreeSet};

use gradus::optim::{self, Clip};
use gradus::save::Registry;
use serde_json::{Value, json};

use super::*;
use crate::networks::built;

const CASES: u64 = 300;

fn cases() -> Vec<Case> {
    (0..CASES).map(|number| case(1, number)).collect()
}

fn set<'n>(names: impl Iterator<Item = &'n str>) -> BTreeSet<String> {
    names.map(String::from).collect()
}

#[track_caller]
fn check(what: &str, in_library: &BTreeSet<String>, drawn: &BTreeSet<String>) {
    let missing: Vec<&String> = in_library.difference(drawn).collect();
    assert!(
        missing.is_empty(),
        "the library has a {what} that is not drawn, {missing:?}: declare it, draw it, compute it by plain loops and in compare.py"
    );
}

/// Calls `each` with every layer, those in blocks too.
fn visit<'a>(layers: &'a Value, each: &mut dyn FnMut(&'a Value)) {
    for layer in layers.as_array().into_iter().flatten() {
        each(layer);
        visit(&layer["body"], each);
        visit(&layer["shortcut"], each);
        for branch in layer["branches"].as_array().into_iter().flatten() {
            visit(branch, each);
        }
    }
}

#[test]
fn every_kind_of_the_library_is_drawn() {
    let cases = cases();
    let names = |name_of: &dyn Fn(&Case) -> String| -> BTreeSet<String> { cases.iter().map(name_of).collect() };
    let registry = Registry::default();
    check(
        "loss",
        &set(registry.losses.names()),
        &names(&|case| case.loss.loss().name().into()),
    );
    check(
        "optimizer",
        &set(registry.optimizers.names()),
        &names(&|case| case.optimization.settings().0.into()),
    );
    check(
        "schedule",
        &set(registry.schedules.names()),
        &names(&|case| case.schedule.schedule().name().into()),
    );

    let (mut kinds, mut initializers) = (BTreeSet::new(), BTreeSet::new());
    for case in &cases {
        let layers = case.json();
        visit(&layers["layers"], &mut |layer| {
            kinds.insert(layer["kind"].as_str().unwrap_or_default().to_string());
            let init = &layer["init"];
            let name = init.as_str().or(init["kind"].as_str()).unwrap_or_default();
            initializers.insert(name.to_string());
        });
    }
    check("layer", &set(registry.layers.names()), &kinds);
    check("block", &set(["residual", "concat", "multiply"].into_iter()), &kinds);
    check("initializer", &set(registry.initializers.names()), &initializers);
}

/// The settings of layers are those in the library's own files, those of optimizers those that it takes.
#[test]
fn every_setting_of_the_library_is_drawn_with_different_values() {
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for case in cases() {
        let architecture = built(&case).unwrap().architecture().unwrap();
        let architecture = serde_json::to_value(architecture).unwrap();
        visit(&architecture["layers"], &mut |layer| {
            for (setting, value) in layer.as_object().into_iter().flatten() {
                let setting = format!("{} of {}", setting, layer["kind"]);
                values.entry(setting).or_default().insert(value.to_string());
            }
        });
        let (name, settings) = case.optimization.settings();
        let sentence = optim::with_settings(name, json!({ "?": 0 })).unwrap_err().to_string();
        // unknown setting `?`, expected one of `learning_rate`, `momentum`
        for setting in sentence.split('`').skip(3).step_by(2) {
            let all = values.entry(format!("{setting} of {name}")).or_default();
            all.insert(settings[setting].to_string());
        }
    }
    assert!(values.len() > 80, "{values:?}");
    values.retain(|setting, values| values.len() < 2 && !setting.starts_with("kind of"));
    assert!(
        values.is_empty(),
        "settings that are drawn with one value only: {values:?}; draw others, and compute them by plain loops and in compare.py"
    );
}

#[test]
fn every_way_to_train_and_export_is_drawn() {
    let cases = cases();
    type Way = (&'static str, fn(&Case) -> bool);
    let ways: [Way; 17] = [
        ("clipping by norm", |case| {
            matches!(case.optimization.clip, Some(Clip::Norm(_)))
        }),
        ("clipping by value", |case| {
            matches!(case.optimization.clip, Some(Clip::Value(_)))
        }),
        ("no clipping", |case| case.optimization.clip.is_none()),
        ("training in bfloat16", |case| case.rounds_to_bfloat16()),
        ("dropout", |case| {
            case.has(|layer| matches!(layer, Layer::Dropout(rate) if *rate > 0.0))
        }),
        ("noise", |case| {
            case.has(|layer| matches!(layer, Layer::GaussianNoise(deviation) if *deviation > 0.0))
        }),
        ("sequences", |case| case.input.len() == 2),
        ("a batch that is not interleaved", |case| case.batch < 8),
        ("a batch that is interleaved", |case| case.batch >= 8),
        ("four threads", |case| case.threads == 4),
        ("a loss from logits of a last activation", |case| {
            case.logits().is_some() && !case.ends_in_logits()
        }),
        ("a loss from logits that are outputs", |case| case.ends_in_logits()),
        ("a loss from probabilities", |case| {
            case.logits().is_none() && matches!(case.loss, LossKind::CrossEntropy { .. } | LossKind::BinaryCrossEntropy)
        }),
        ("inputs that files scale", |case| case.input_scaling.is_some()),
        ("outputs that files scale", |case| case.output_scaling.is_some()),
        ("inputs that files take as bytes", |case| case.normalization.is_some()),
        ("files that give logits", |case| {
            case.exports_logits && case.last_probabilities().is_some()
        }),
    ];
    for (what, is_drawn) in ways {
        let count = cases.iter().filter(|case| is_drawn(case)).count();
        assert!(count >= 5, "{what}: drawn in {count} of {CASES} cases");
    }
}

/// A layer that an exporter refuses keeps it from being compared: most networks have none.
#[test]
fn most_networks_can_be_exported() {
    let cases = cases();
    for (what, refuses, most) in [
        (
            "source",
            crate::source::is_refused as fn(&Case, &crate::case::PlacedLayer) -> bool,
            60,
        ),
        ("integers", crate::source::is_refused_in_integers, 100),
    ] {
        let is_refused = |case: &&Case| case.layers_in_order().iter().any(|placed| refuses(case, placed));
        let count = cases.iter().filter(is_refused).count();
        assert!(
            (5..=most).contains(&count),
            "{what}: {count} of {CASES} cases are refused"
        );
    }
}
