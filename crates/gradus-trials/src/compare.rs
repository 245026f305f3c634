//! Comparing numbers, and what came of it.

use gradus::Float;

/// What was found in a case.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What is wrong, in sentences.
    pub failures: Vec<String>,
    /// How many steps had a value so close to where a derivative jumps that their gradients were not compared.
    pub near_jumps: usize,
    /// The error of the outputs in integers, relative to how much the outputs vary.
    pub integers: Option<f64>,
}

impl Outcome {
    /// Notes what is wrong.
    pub fn fail(&mut self, what: impl Into<String>) {
        self.failures.push(what.into());
    }
}

/// How close numbers have to be to those of the plain loops.
#[derive(Debug, Clone, Copy)]
pub struct Close {
    /// A part of the largest number.
    of_largest: f64,
    /// How many times what noise of the size of rounding does.
    of_noise: f64,
}

impl Close {
    /// For what is computed in the library's numbers.
    pub fn numbers() -> Close {
        Close {
            of_largest: 30.0 * f64::from(Float::EPSILON),
            of_noise: 100.0,
        }
    }

    /// For what is computed in f32 in every build.
    pub fn single() -> Close {
        Close {
            of_largest: 100.0 * f64::from(f32::EPSILON),
            of_noise: 100.0,
        }
    }

    /// Notes the first number that is too far from what is expected; `noise` says how far noise takes each.
    pub fn check(&self, what: &str, found: &[f64], expected: &[f64], noise: &[f64], outcome: &mut Outcome) {
        if found.len() != expected.len() {
            return outcome.fail(format!("{what}: {} values, expected {}", found.len(), expected.len()));
        }
        let largest = |values: &[f64]| values.iter().fold(0.0, |most: f64, v| most.max(v.abs()));
        let bound = self.of_largest * largest(expected) + self.of_noise * largest(noise) + f64::from(f32::MIN_POSITIVE);
        if let Some(i) = (0..found.len()).find(|&i| is_far(found[i], expected[i], bound)) {
            outcome.fail(format!(
                "{what}: value {i} is {}, expected {}, within {bound:.1e}",
                found[i], expected[i]
            ));
        }
    }
}

/// Whether a number is further from another than the bound, or is none.
pub fn is_far(found: f64, expected: f64, bound: f64) -> bool {
    let distance = (found - expected).abs();
    distance.is_nan() || distance > bound
}
