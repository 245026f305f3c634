//! Reading golden files, and comparing with them.

use std::path::Path;

use gradus::{Float, Layer, Registry};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// How far a number may be from PyTorch's f64, relative to its own magnitude and the tensor's.
pub const TOLERANCE: f64 = if size_of::<Float>() == 4 { 1e-5 } else { 1e-10 };

/// The cases under `key` in `golden/<file>.json`.
pub fn cases(file: &str, key: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../golden/{file}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut content: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    match content[key].take() {
        Value::Array(cases) if !cases.is_empty() => cases,
        _ => panic!("{}: no cases under {key}", path.display()),
    }
}

/// Runs `check` on every case; panics with all that failed.
pub fn all(file: &str, key: &str, check: impl Fn(&Value) -> Result<(), String>) {
    let cases = cases(file, key);
    let failures: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            check(case)
                .err()
                .map(|message| format!("{}: {message}", text(&case["name"])))
        })
        .collect();
    assert!(
        failures.is_empty(),
        "{} of {} cases:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
}

/// A string.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}"))
}

/// A number.
pub fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("not a number: {value}"))
}

/// A count.
pub fn count(value: &Value) -> usize {
    value.as_u64().unwrap_or_else(|| panic!("not a count: {value}")) as usize
}

/// A truth value.
pub fn truth(value: &Value) -> bool {
    value.as_bool().unwrap_or_else(|| panic!("not true or false: {value}"))
}

/// A list.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("not a list: {value}"))
}

/// A list of numbers.
pub fn numbers(value: &Value) -> Vec<f64> {
    list(value).iter().map(number).collect()
}

/// A list of numbers in the library's number type.
pub fn floats(value: &Value) -> Vec<Float> {
    list(value).iter().map(|v| number(v) as Float).collect()
}

/// A list of counts.
pub fn counts(value: &Value) -> Vec<usize> {
    list(value).iter().map(count).collect()
}

/// What these settings describe.
pub fn from<T: DeserializeOwned>(settings: &Value) -> T {
    serde_json::from_value(settings.clone()).unwrap_or_else(|e| panic!("{settings}: {e}"))
}

/// The layer or activation of a case, by its `kind` and `settings`.
pub fn layer(case: &Value) -> Result<Box<dyn Layer>, String> {
    let registry = Registry::default();
    let layer = registry.layer(text(&case["kind"]), case["settings"].clone());
    layer.map_err(|e| e.to_string())
}

/// Whether a number is within `tolerance` of the one expected, relative to its magnitude and `scale`. NaN is not.
pub fn near(found: Float, expected: f64, tolerance: f64, scale: f64) -> bool {
    (f64::from(found) - expected).abs() <= tolerance * (expected.abs() + scale)
}

/// Whether every number is near the one expected, on the scale of the root mean square of all: a sum that happens to come
/// out near zero is as exact as its terms, no more.
pub fn close(what: &str, found: &[Float], expected: &[f64]) -> Result<(), String> {
    if found.len() != expected.len() {
        return Err(format!("{what}: {} values, expected {}", found.len(), expected.len()));
    }
    let scale = (expected.iter().map(|v| v * v).sum::<f64>() / expected.len().max(1) as f64).sqrt();
    for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        if !near(found, expected, TOLERANCE, scale) {
            return Err(format!("{what}[{i}] is {found}, expected {expected}"));
        }
    }
    Ok(())
}
