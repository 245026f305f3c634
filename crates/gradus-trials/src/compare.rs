//! Comparisons of numbers, and their outcome.

use gradus::Float;

use crate::inference::Values;

/// The outcome of a case.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The failures, in sentences.
    pub failures: Vec<String>,
    /// How many steps had a value so close to where a derivative jumps that their gradients were not compared.
    pub kinks: usize,
    /// The error of the outputs in integers, divided by their standard deviation; and by its bound.
    pub integers: Option<[f64; 2]>,
}

impl Outcome {
    /// Records what is wrong.
    pub fn fail(&mut self, what: impl Into<String>) {
        self.failures.push(what.into());
    }
}

/// How close numbers have to be to those of the plain loops.
#[derive(Debug, Clone, Copy)]
pub struct Tolerance {
    /// A part of the largest number.
    of_largest: f64,
    /// How many times what noise of the size of rounding does.
    of_noise: f64,
    /// At least this: what was not rounded in the plain loops as here, where the exact number is 0.
    least: f64,
}

/// The rounding of the plain loops themselves: batch normalization divides that of a constant feature by √ε.
const OF_PLAIN_LOOPS: f64 = 1e-14;

/// That of PyTorch, whose mean of a constant is rounded, and is divided by √ε once more by each batch normalization.
const OF_TORCH: f64 = 1e-9;

impl Tolerance {
    /// For what is computed in the library's numbers.
    pub fn numbers() -> Tolerance {
        Tolerance {
            of_largest: 30.0 * f64::from(Float::EPSILON),
            of_noise: 100.0,
            least: OF_PLAIN_LOOPS,
        }
    }

    /// For what is partly computed in bfloat16. A hundred times its noise would bound nothing.
    pub fn bfloat16() -> Tolerance {
        Tolerance {
            of_largest: 0.0,
            of_noise: 20.0,
            least: OF_PLAIN_LOOPS,
        }
    }

    /// For what is computed in the library's numbers, beside those of PyTorch.
    pub fn torch() -> Tolerance {
        Tolerance {
            least: OF_TORCH,
            ..Tolerance::numbers()
        }
    }

    /// For what is computed in f32 in every build.
    pub fn single() -> Tolerance {
        Tolerance {
            of_largest: 100.0 * f64::from(f32::EPSILON),
            of_noise: 100.0,
            least: OF_PLAIN_LOOPS,
        }
    }

    /// Records the first number that is too far from what is expected.
    pub fn check(&self, what: &str, found: &[f64], expected: &Values, outcome: &mut Outcome) {
        let Values { exact: expected, noise } = expected;
        if found.len() != expected.len() {
            return outcome.fail(format!("{what}: {} values, expected {}", found.len(), expected.len()));
        }
        let largest = |values: &[f64]| values.iter().fold(0.0, |most: f64, v| most.max(v.abs()));
        let bound = self.of_largest * largest(expected) + self.of_noise * largest(noise) + self.least;
        if let Some(i) = (0..found.len()).find(|&i| differs(found[i], expected[i], bound)) {
            outcome.fail(format!(
                "{what}: value {i} is {}, expected {}, within {bound:.1e}",
                found[i], expected[i]
            ));
        }
    }
}

/// Records the first number that is further from what is expected than its own noise.
pub fn check_each(what: &str, found: &[f64], expected: &Values, outcome: &mut Outcome) {
    let Values { exact, noise } = expected;
    if let Some(i) = (0..exact.len()).find(|&i| differs(found[i], exact[i], noise[i])) {
        outcome.fail(format!(
            "{what}: value {i} is {}, expected {}, within {:.1e}",
            found[i], exact[i], noise[i]
        ));
    }
}

/// Whether a number is further from another than the bound, or is NaN.
pub fn differs(found: f64, expected: f64, bound: f64) -> bool {
    let distance = (found - expected).abs();
    distance.is_nan() || distance > bound
}
