//! The vector functions against the standard library in double precision, and against themselves at other places of a slice
//! and on other levels of instructions.

// `Float` is `f64` in that build.
#![cfg_attr(gradus_f64, allow(clippy::useless_conversion))]

use gradus_kernels::{
    Arch, Float, SUMS, dot, erf, exp, ln, max, partial_sums, reference, scalar, sigmoid, softmax, sum, tanh, with_arch,
};

type Slices = fn(&[Float], &mut [Float]);
type Single = fn(Float) -> Float;
type Exact = fn(f64) -> f64;

/// Name, for slices, for one number, in double precision, and the greatest error in ULP.
const FUNCTIONS: [(&str, Slices, Single, Exact, f64); 5] = [
    ("exp", exp, scalar::exp, f64::exp, 1.0),
    ("ln", ln, scalar::ln, f64::ln, 1.0),
    ("sigmoid", sigmoid, scalar::sigmoid, |x| 1.0 / (1.0 + (-x).exp()), 2.5),
    ("tanh", tanh, scalar::tanh, f64::tanh, 2.0),
    ("erf", erf, scalar::erf, reference::erf, 1.5),
];

fn on_every_level(work: impl Fn(Arch)) {
    for arch in Arch::ALL.into_iter().filter(|arch| arch.is_available()) {
        with_arch(arch, || work(arch));
    }
}

fn bits_equal(x: Float, y: Float) -> bool {
    x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan())
}

/// Numbers of all sizes and kinds.
fn samples() -> Vec<Float> {
    let mut x: Vec<Float> = (-3000..3000).map(|i| i as Float * 0.0371).collect();
    x.extend((0..4000).map(|i| f32::from_bits(i * 1_073_741) as Float));
    x.extend([
        0.0,
        -0.0,
        0.5,
        1.0,
        -1.0,
        Float::NAN,
        Float::INFINITY,
        Float::NEG_INFINITY,
        Float::MAX,
        Float::MIN,
    ]);
    x.extend([
        0.94, 0.625, -0.625, 88.0, 88.72, 88.73, 89.0, 128.0, -87.3, -88.0, -103.0, -104.0, -105.0, 4.0, 9.0,
    ]);
    x
}

#[test]
fn the_same_bits_anywhere_in_a_slice_and_on_every_level() {
    let x = samples();
    for (name, slices, single, _, _) in FUNCTIONS {
        on_every_level(|arch| {
            for length in [0, 1, 5, 16, 17, 33, 100, x.len()] {
                for offset in [0, 3, x.len() - length] {
                    let x = &x[offset.min(x.len() - length)..][..length];
                    let mut y = vec![0.0; length];
                    slices(x, &mut y);
                    for (&x, &y) in x.iter().zip(&y) {
                        assert!(bits_equal(y, single(x)), "{name}({x:e}) = {y:e} on {arch:?}");
                    }
                }
            }
        });
    }
}

#[test]
fn special_values() {
    let (infinity, nan) = (Float::INFINITY, Float::NAN);
    let cases: [(Single, &[(Float, Float)]); 5] = [
        (
            scalar::exp,
            &[
                (infinity, infinity),
                (-infinity, 0.0),
                (0.0, 1.0),
                (-0.0, 1.0),
                (800.0, infinity),
                (-800.0, 0.0),
            ],
        ),
        (
            scalar::ln,
            &[
                (infinity, infinity),
                (0.0, -infinity),
                (-0.0, -infinity),
                (1.0, 0.0),
                (-1.0, nan),
                (-infinity, nan),
            ],
        ),
        (
            scalar::sigmoid,
            &[(infinity, 1.0), (-infinity, 0.0), (0.0, 0.5), (-800.0, 0.0)],
        ),
        (
            scalar::tanh,
            &[
                (infinity, 1.0),
                (-infinity, -1.0),
                (0.0, 0.0),
                (-0.0, -0.0),
                (40.0, 1.0),
            ],
        ),
        (
            scalar::erf,
            &[(infinity, 1.0), (-infinity, -1.0), (0.0, 0.0), (-0.0, -0.0), (7.0, 1.0)],
        ),
    ];
    for (function, cases) in cases {
        assert!(function(nan).is_nan());
        for &(x, y) in cases {
            assert!(bits_equal(function(x), y), "{x}: {} and not {y}", function(x));
        }
    }
}

/// The largest error in ULP over every so many-th float.
#[cfg(not(gradus_f64))]
fn largest_error(name: &str, slices: Slices, exact: Exact, step: usize) -> f64 {
    let mut largest = (0.0, 0.0);
    let mut floats = (0..=u32::MAX).step_by(step).map(f32::from_bits);
    let (mut x, mut y) = (Vec::new(), vec![0.0; 4096]);
    loop {
        x.clear();
        x.extend(floats.by_ref().take(y.len()));
        if x.is_empty() {
            break;
        }
        slices(&x, &mut y[..x.len()]);
        for (&x, &y) in x.iter().zip(&y) {
            let truth = exact(f64::from(x));
            if !(truth as f32).is_finite() {
                assert!(bits_equal(y, truth as f32), "{name}({x:e}) = {y:e}, not {truth:e}");
                continue;
            }
            // 2⁻²³ of the power of two at or below the truth, or what subnormal numbers differ by.
            let power = f64::from_bits(truth.to_bits() & (0x7FF << 52));
            let error = (f64::from(y) - truth).abs() / (power * f64::from(f32::EPSILON)).max(2f64.powi(-149));
            assert!(!error.is_nan(), "{name}({x:e}) = {y:e}");
            if error > largest.0 {
                largest = (error, x);
            }
        }
    }
    println!("{name}: {:.3} ULP at {:e}", largest.0, largest.1);
    largest.0
}

#[test]
#[cfg(not(gradus_f64))]
fn errors_are_within_their_bounds() {
    for (name, slices, _, exact, bound) in FUNCTIONS {
        assert!(largest_error(name, slices, exact, 3001) <= bound, "{name}");
    }
}

#[test]
#[cfg(not(gradus_f64))]
#[ignore = "takes minutes"]
fn errors_are_within_their_bounds_for_every_float() {
    for (name, slices, _, exact, bound) in FUNCTIONS {
        assert!(largest_error(name, slices, exact, 1) <= bound, "{name}");
    }
}

#[test]
fn the_error_function_in_double_precision() {
    // Abramowitz and Stegun, table 7.1.
    for (x, y) in [
        (0.5, 0.520_499_877_8),
        (1.0, 0.842_700_792_9),
        (1.5, 0.966_105_146_5),
        (2.0, 0.995_322_265_0),
    ] {
        assert!((reference::erf(x) - y).abs() < 1e-10);
        assert!((reference::erf(-x) + y).abs() < 1e-10);
    }
    assert_eq!(reference::erf(0.0), 0.0);
    assert!((reference::erf(5.999) - 1.0).abs() < 1e-15);
}

#[test]
fn sums_have_their_order() {
    let x: Vec<Float> = (0..1000).map(|i| ((i * 7919) % 1009) as Float * 0.37 - 180.0).collect();
    let y: Vec<Float> = x.iter().rev().map(|x| x * 0.01).collect();
    on_every_level(|arch| {
        for length in (0..100).chain([255, 256, 257, 1000]) {
            let (x, y) = (&x[..length], &y[..length]);
            let products: Vec<Float> = x.iter().zip(y).map(|(x, y)| x * y).collect();
            assert_eq!(sum(x), reference::sum(x), "{arch:?} {length}");
            assert_eq!(dot(x, y), reference::sum(&products), "{arch:?} {length}");
            assert_eq!(max(x), x.iter().copied().fold(Float::NEG_INFINITY, Float::max));
        }
    });
}

/// A sum of many numbers is as exact as one of few: a channel of a picture of 224×224 pixels, and sixteen of them.
#[test]
fn long_sums_keep_their_precision() {
    on_every_level(|_| {
        for length in [1000, 224 * 224, 16 * 224 * 224] {
            let mean = |x: &[Float]| f64::from(sum(x)) / length as f64;
            let constant = vec![273.15; length];
            let error = mean(&constant) / f64::from(constant[0]) - 1.0;
            assert!(error.abs() < 3e-7, "{length}: {error:e}");
            // What is added to 273.15 has a mean of 1/2.
            let x: Vec<Float> = (0..length)
                .map(|i| 273.15 + (i * 7919 % length) as Float / length as Float)
                .collect();
            let exact = x.iter().map(|&x| f64::from(x)).sum::<f64>() / length as f64;
            assert!(
                (mean(&x) / exact - 1.0).abs() < 2e-7,
                "{length}: {} for {exact}",
                mean(&x)
            );
            let squares: f64 = x.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
            assert!((f64::from(dot(&x, &x)) / squares - 1.0).abs() < 2e-7);
            // From a value of its own, a constant has a mean and a variance of exactly 0.
            let [first, second] = partial_sums(&constant, &constant, |x, _| [x - 273.15, (x - 273.15) * (x - 273.15)]);
            assert_eq!((first, second), ([0.0; SUMS], [0.0; SUMS]));
        }
    });
}

#[test]
fn softmax_is_a_distribution() {
    on_every_level(|_| {
        for length in [1, 2, 10, 16, 40, 1000] {
            let x: Vec<Float> = (0..length).map(|i| ((i * 31) % 17) as Float * 10.0 + 500.0).collect();
            let mut y = vec![0.0; length];
            softmax(&x, &mut y);
            assert!((sum(&y) - 1.0).abs() < 1e-6);
            let most = max(&x);
            let exact: Vec<f64> = x.iter().map(|&x| f64::from(x - most).exp()).collect();
            let total: f64 = exact.iter().sum();
            for (y, exact) in y.iter().zip(&exact) {
                let exact = exact / total;
                assert!((f64::from(*y) - exact).abs() <= 1e-6 * exact + 1e-37);
            }
        }
    });
    let mut y = [0.0; 2];
    softmax(&[Float::NEG_INFINITY, 3.0], &mut y);
    assert_eq!(y, [0.0, 1.0]);
    softmax(&[Float::NAN, 3.0], &mut y);
    assert!(y.iter().all(|y| y.is_nan()));
    softmax(&[], &mut []);
}
