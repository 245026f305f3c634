//! The same cases in Python: ONNX files in onnxruntime, networks and their training in PyTorch, in f64.
//!
//! All cases go into one file, which `python/compare.py` reads; its answer is compared here.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use gradus::Network;
use serde_json::{Map, Value, json};

use crate::Results;
use crate::case::{Case, to_f64};
use crate::compare::{Outcome, Tolerance, check_each};
use crate::inference::Values;
use crate::losses;
use crate::networks;
use crate::reference::Tensors;
use crate::training::{RecordedStep, parameters, update_bounds};

/// The script that computes the cases.
const SCRIPTS: [(&str, &str); 2] = [
    ("compare.py", include_str!("../python/compare.py")),
    ("optimizers.py", include_str!("../python/optimizers.py")),
];

/// The comparisons that were made.
#[derive(Debug, Default)]
pub struct Counts {
    /// The versions of onnxruntime and of PyTorch, if they are there.
    pub versions: [Option<String>; 2],
    /// The number of files that onnxruntime has run, and of networks that PyTorch has trained.
    pub cases: [usize; 2],
}

impl Counts {
    /// Adds the comparisons of other cases.
    pub fn add(&mut self, other: &Counts) {
        for i in 0..2 {
            self.cases[i] += other.cases[i];
            if other.versions[i].is_some() {
                self.versions[i].clone_from(&other.versions[i]);
            }
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in ["onnxruntime", "PyTorch"].into_iter().enumerate() {
            if let Some(version) = &self.versions[i] {
                writeln!(f, "{} cases compared with {name} {version}", self.cases[i])?;
            }
        }
        Ok(())
    }
}

/// The outcome of the comparisons.
pub(crate) struct Answers<'a> {
    pub counts: Counts,
    pub outcomes: Vec<(&'a Case, Outcome)>,
}

/// Has this Python compute the cases, and compares its answers.
pub(crate) fn run<'a>(python: &Path, all: &'a [(Case, Results)]) -> anyhow::Result<Answers<'a>> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    let mut cases = Vec::new();
    for (case, results) in all {
        let file = format!("{}.onnx", case.number);
        fs::write(path(&file), &results.onnx.bytes)?;
        cases.push(question(case, results, &file));
    }
    fs::write(path("cases.json"), serde_json::to_vec(&cases)?)?;
    for (name, script) in SCRIPTS {
        fs::write(path(name), script)?;
    }
    let status = Command::new(python)
        .arg("compare.py")
        .current_dir(folder.path())
        .status()
        .with_context(|| format!("{} can't be run", python.display()))?;
    if !status.success() {
        bail!("{} has failed at compare.py: {status}", python.display());
    }
    let answer: Value = serde_json::from_slice(&fs::read(path("answers.json"))?)?;

    let mut counts = Counts {
        versions: ["onnxruntime", "torch"].map(|name| answer[name].as_str().map(String::from)),
        cases: [0; 2],
    };
    let answers = answer["cases"].as_array().context("the script answers with cases")?;
    let mut outcomes = Vec::new();
    if answers.len() != all.len() {
        bail!("compare.py answers {} of {} cases", answers.len(), all.len());
    }
    for ((case, results), answer) in all.iter().zip(answers) {
        let mut outcome = Outcome::default();
        if counts.versions[0].is_some() {
            counts.cases[0] += 1;
            match &answer["onnx"]["error"] {
                Value::Null => {
                    let found = numbers(&answer["onnx"]["outputs"]);
                    let name = "ONNX, run by onnxruntime";
                    results.onnx.check(name, Tolerance::single(), &found, &mut outcome);
                }
                error => outcome.fail(format!("ONNX, refused by onnxruntime: {error}")),
            }
        }
        if counts.versions[1].is_some() {
            counts.cases[1] += 1;
            check_torch(case, results, &answer["torch"], &mut outcome);
        }
        outcomes.push((case, outcome));
    }
    Ok(Answers { counts, outcomes })
}

/// All that Python needs to know of a case.
fn question(case: &Case, results: &Results, file: &str) -> Value {
    let (optimizer, mut settings) = case.optimization.settings();
    settings["kind"] = json!(optimizer);
    let clip = case.optimization.clip;
    json!({
        "input": case.input,
        "layers": case.json()["layers"],
        "loss": case.loss.json(),
        "logits": case.logits(),
        "optimizer": settings,
        "clip": clip,
        "decaying": networks::decaying(case, &results.network),
        "onnx": { "file": file, "x": results.inputs.raw },
        "network": tensors(&results.network),
        "x": to_f64(&results.inputs.samples.x),
        "steps": results.steps.iter().map(step_question).collect::<Vec<_>>(),
    })
}

fn step_question(step: &RecordedStep) -> Value {
    let outputs = step.before.output_shape().size();
    let samples = &step.samples;
    let targets = (0..samples.count).map(|i| losses::targets(samples.target(i), outputs));
    json!({
        "network": tensors(&step.before),
        "x": to_f64(&samples.x),
        "targets": targets.collect::<Vec<_>>(),
        "masks": step.expected.masks,
        "gradient": step.gradient,
    })
}

/// The parameters and the state of a network.
fn tensors(network: &Network) -> Value {
    let all = network.parameters().chain(network.state());
    let tensor = |tensor: gradus::NamedTensor<'_>| {
        let value = json!({ "shape": tensor.shape.to_vec(), "values": to_f64(tensor.values) });
        (tensor.name, value)
    };
    Value::Object(all.map(tensor).collect::<Map<_, _>>())
}

/// Compares the outputs and the training steps of PyTorch.
fn check_torch(case: &Case, results: &Results, answer: &Value, outcome: &mut Outcome) {
    if let Some(error) = answer["error"].as_str() {
        return outcome.fail(format!("PyTorch: {error}"));
    }
    // The library's predictions have been compared with these.
    let close = Tolerance::torch();
    let outputs = numbers(&answer["outputs"]);
    close.check("PyTorch: the outputs", &outputs, &results.expected.outputs, outcome);
    let steps = answer["steps"].as_array().map_or(&[][..], |steps| steps);
    if steps.len() != results.steps.len() {
        outcome.fail(format!(
            "PyTorch: {} steps, expected {}",
            steps.len(),
            results.steps.len()
        ));
    }
    let close = if case.rounds_to_bfloat16() {
        Tolerance::bfloat16()
    } else {
        close
    };
    for (i, (step, answer)) in results.steps.iter().zip(steps).enumerate() {
        let what = |what: &str| format!("PyTorch, step {}: {what}", i + 1);
        let check = |what: &str, found: &[f64], expected: &Value, noise: &[f64], outcome: &mut Outcome| {
            let expected = Values {
                exact: numbers(expected),
                noise: noise.to_vec(),
            };
            close.check(what, found, &expected, outcome);
        };
        check(
            &what("the loss"),
            &step.expected.loss.exact,
            &answer["loss"],
            &step.expected.loss.noise,
            outcome,
        );
        for tensor in step.after.state() {
            let (name, noise) = (&tensor.name, &step.expected.state[&tensor.name].noise);
            check(
                &what(name),
                &to_f64(tensor.values),
                &answer["state"][name],
                noise,
                outcome,
            );
        }
        if step.expected.is_smooth {
            for (name, found) in &step.gradient {
                let noise = &step.expected.gradient[name].noise;
                let what = what(&format!("the gradient of {name}"));
                check(&what, found, &answer["gradient"][name], noise, outcome);
            }
        }
        let updated: Tensors<f64> = (step.gradient.keys())
            .map(|name| (name.clone(), numbers(&answer["updated"][name])))
            .collect();
        check_update(case, step, &updated, &what("the weights by the optimizer"), outcome);
    }
}

/// Compares new parameters with those of PyTorch's optimizer for the same gradients.
fn check_update(case: &Case, step: &RecordedStep, updated: &Tensors<f64>, what: &str, outcome: &mut Outcome) {
    let in_order = |all: &Tensors<f64>| -> Vec<f64> {
        let names = step.before.parameters().map(|tensor| tensor.name);
        names.flat_map(|name| all[&name].clone()).collect()
    };
    let gradient = in_order(&step.gradient);
    let expected = update_bounds(case, &step.before, in_order(updated), &gradient, &step.rounding);
    check_each(what, &parameters(&step.after), &expected, outcome);
}

/// The numbers of a list; NaN where there is none.
fn numbers(values: &Value) -> Vec<f64> {
    let all = values.as_array().map_or(&[][..], |values| values);
    all.iter().map(|value| value.as_f64().unwrap_or(f64::NAN)).collect()
}
