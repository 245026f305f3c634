//! 300 random networks, in every way that Gradus has, give what plain loops give.

use gradus_trials::Options;

/// The source files of so many are compiled.
const COMPILED: u64 = 40;

/// The median error of 8 bits, divided by the standard deviation of the outputs.
const MEDIAN_OF_INTEGERS: f64 = 0.05;

#[test]
fn random_networks_compute_what_plain_loops_compute() {
    let compiles = |compiles| Options {
        compiles,
        ..Options::default()
    };
    let mut report = gradus_trials::run(1, 0..COMPILED, &compiles(true)).unwrap();
    report.add(gradus_trials::run(1, COMPILED..300, &compiles(false)).unwrap());
    assert!(report.failures.is_empty(), "{report}");
    let mut errors: Vec<f64> = report.integers.iter().map(|[error, _]| *error).collect();
    errors.sort_by(f64::total_cmp);
    assert!(errors[errors.len() / 2] < MEDIAN_OF_INTEGERS, "{report}");
}
