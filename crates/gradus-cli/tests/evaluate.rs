//! `gradus evaluate` gives the right values, as a user runs it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use gradus::prelude::*;
use gradus::{Float, Network};
use serde_json::Value;

/// Runs the program in a folder, with no settings from outside.
fn gradus(folder: &Path, arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gradus"))
        .env_clear()
        .env("HOME", folder)
        .env("LOCALAPPDATA", folder)
        .current_dir(folder)
        .args(arguments.split_whitespace())
        .output()
        .unwrap()
}

/// The standard output of a run that must succeed.
fn good(folder: &Path, arguments: &str) -> String {
    let output = gradus(folder, arguments);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "gradus {arguments}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The sentence of a run that must fail.
fn bad(folder: &Path, arguments: &str) -> String {
    let output = gradus(folder, arguments);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "gradus {arguments}: {errors}");
    errors
}

fn json(path: impl AsRef<Path>) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn close(value: &Value, expected: f64) {
    let value = value.as_f64().unwrap();
    assert!((value - expected).abs() < 1e-5, "{value}, expected {expected}");
}

/// A network without notes, as an import gives it, that multiplies its inputs by 8 and ends there.
fn save_logits(path: &Path, units: usize) {
    let mut network = Sequential::new([units]).layer(Dense::new(units)).build(1).unwrap();
    let weight: Vec<Float> = (0..units * units)
        .map(|i| if i % (units + 1) == 0 { 8.0 } else { 0.0 })
        .collect();
    network.set("0.weight", &weight).unwrap();
    network.save(path).unwrap();
}

#[test]
fn logits_are_measured_as_probabilities() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    save_logits(&home.join("three.safetensors"), 3);
    // Logits 8 times these; the last row is of another class than the largest.
    let rows = [[1.0, -1.0, 0.0], [-0.5, 0.25, 0.0], [0.125, 0.0, 0.5], [0.5, 0.0, 0.25]];
    let classes = [0, 1, 2, 2];
    let mut table = String::new();
    let mut loss = 0.0;
    for (row, class) in rows.iter().zip(classes) {
        table += &format!("{},{},{},{class}\n", row[0], row[1], row[2]);
        loss += row.iter().map(|x| f64::exp(8.0 * x)).sum::<f64>().ln() - 8.0 * row[class];
    }
    fs::write(home.join("three.csv"), table).unwrap();
    let said = good(
        home,
        "evaluate three.safetensors --data three.csv --header no --json out.json",
    );
    let results = json(home.join("out.json"));
    assert_eq!(results["loss_name"], "cross_entropy");
    close(&results["loss"], loss / 4.0);
    close(&results["accuracy"], 0.75);
    assert!(said.contains("The network gives logits"), "{said}");

    // One logit: class 1 where it is above 0, not above 0.5.
    save_logits(&home.join("one.safetensors"), 1);
    let rows = [(0.05, 1), (0.01, 1), (-0.05, 0), (-1.0, 0), (1.0, 0)];
    let mut loss = 0.0;
    let mut table = String::new();
    for (x, class) in rows {
        table += &format!("{x},{class}\n");
        let toward = if class == 1 { -8.0 * x } else { 8.0 * x };
        loss += f64::exp(toward).ln_1p();
    }
    fs::write(home.join("one.csv"), table).unwrap();
    good(
        home,
        "evaluate one.safetensors --data one.csv --header no --json out.json",
    );
    let results = json(home.join("out.json"));
    assert_eq!(results["loss_name"], "binary_cross_entropy");
    close(&results["loss"], loss / 5.0);
    close(&results["accuracy"], 0.8);
    assert_eq!(results["confusion"], serde_json::json!([[2, 1], [0, 2]]));
}

/// Of seven samples, three are of the class `yes`; the network finds two of them, and takes one `no` for `yes`.
#[test]
fn precision_recall_and_f1_are_those_of_the_positive_class() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    save_logits(&home.join("one.safetensors"), 1);
    let mut network = Network::load(home.join("one.safetensors")).unwrap();
    network.set_note("classes", r#"["no", "yes"]"#);
    network.save(home.join("one.safetensors")).unwrap();
    fs::write(home.join("t.csv"), "1,yes\n2,yes\n-1,yes\n3,no\n-2,no\n-3,no\n-4,no\n").unwrap();
    let evaluate = "evaluate one.safetensors --data t.csv --header no --json out.json";
    let said = good(home, evaluate);
    assert!(
        said.contains("of the positive class, yes: precision 0.6667, recall 0.6667, F1 0.6667"),
        "{said}"
    );
    let results = json(home.join("out.json"));
    assert_eq!(results["positive"], "yes");
    close(&results["recall"], 2.0 / 3.0);
    close(&results["macro"]["recall"], (2.0 / 3.0 + 0.75) / 2.0);
    good(home, &format!("{evaluate} --positive no"));
    let results = json(home.join("out.json"));
    assert_eq!(results["positive"], "no");
    for name in ["precision", "recall", "f1"] {
        close(&results[name], 0.75);
    }
    let message = bad(home, &format!("{evaluate} --positive maybe"));
    assert!(
        message.contains("there is no class `maybe`; choose one of no, yes"),
        "{message}"
    );

    // In training, the metrics and what is watched follow.
    let rows: String = (0..60)
        .map(|i| format!("{},{}\n", i % 7, ["no", "yes"][i % 2]))
        .collect();
    fs::write(home.join("train.csv"), rows).unwrap();
    let train = "train mlp --data train.csv --header no --epochs 2 --metric f1,recall --quiet --json out.json";
    let said = good(home, train);
    assert!(said.contains("f1, recall: of the class `yes`"), "{said}");
    let said = good(home, &format!("{train} --positive no --watch val_f1 --patience 1"));
    assert!(said.contains("f1_class_0, recall_class_0: of the class `no`"), "{said}");
    let results = json(home.join("out.json"));
    assert_eq!(results["positive"], "no");
    assert!(results["test"]["recall_class_0"].is_number(), "{results}");
}
