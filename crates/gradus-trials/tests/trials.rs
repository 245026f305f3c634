//! 300 random networks, in every way that Gradus has, give what plain loops give.

/// The source files of so many are compiled.
const COMPILED: u64 = 40;

/// The median error of 8 bits, relative to how much the outputs vary.
const MEDIAN_OF_INTEGERS: f64 = 0.05;

#[test]
fn random_networks_compute_what_plain_loops_compute() {
    let mut report = gradus_trials::run(1, 0..COMPILED, true).unwrap();
    report.add(gradus_trials::run(1, COMPILED..300, false).unwrap());
    assert!(report.failures.is_empty(), "{report}");
    let mut errors: Vec<f64> = report.integers.iter().map(|(_, error)| *error).collect();
    errors.sort_by(f64::total_cmp);
    assert!(errors[errors.len() / 2] < MEDIAN_OF_INTEGERS, "{report}");
}
