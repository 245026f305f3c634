use serde_json::{Value, json};

use super::*;
use crate::random::{Purpose, stream};

fn filled(init: &dyn Initializer, shape: &Shape, fans: Fans, seed: u64) -> Vec<Float> {
    let mut values = vec![Float::NAN; shape.size()];
    init.fill(shape, fans, &mut stream(seed, Purpose::Initialize, &[]), &mut values);
    values
}

fn moments(values: &[Float]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().map(|&v| v as f64).sum::<f64>() / n;
    let variance = values.iter().map(|&v| (v as f64 - mean).powi(2)).sum::<f64>() / n;
    (mean, variance)
}

/// Mean and variance of 200,000 values, against theory: within 1 % of the variance, and five standard errors of the mean.
#[test]
fn moments_match_theory() {
    let fans = Fans::new(300, 100);
    // The variance of a normal distribution cut at two standard deviations: 1 - 4φ(2) / (2Φ(2) - 1).
    let cut = 0.773_741_3;
    let cases: Vec<(Box<dyn Initializer>, f64, f64)> = vec![
        (Box::new(Normal::new(1.0, 0.5)), 1.0, 0.25),
        (Box::new(Uniform::new(-1.0, 3.0)), 1.0, 16.0 / 12.0),
        (Box::new(TruncatedNormal::new(-1.0, 2.0)), -1.0, 4.0 * cut),
        (Box::new(GlorotNormal), 0.0, 2.0 / 400.0),
        (Box::new(GlorotUniform), 0.0, 2.0 / 400.0),
        (Box::new(HeNormal), 0.0, 2.0 / 300.0),
        (Box::new(HeUniform), 0.0, 2.0 / 300.0),
        (Box::new(LecunNormal), 0.0, 1.0 / 300.0),
        (Box::new(LecunUniform), 0.0, 1.0 / 300.0),
    ];
    for (init, mean, variance) in cases {
        let values = filled(&*init, &Shape::from([200_000]), fans, 1);
        let (m, v) = moments(&values);
        let standard_error = (variance / 200_000.0).sqrt();
        assert!((m - mean).abs() < 5.0 * standard_error, "{init:?}: mean {m}");
        assert!((v / variance - 1.0).abs() < 0.01, "{init:?}: variance {v}");
    }
}

#[test]
fn ranges_are_kept() {
    let shape = Shape::from([100_000]);
    let fans = Fans::new(6, 18);
    let within = |init: &dyn Initializer, low: f64, high: f64| {
        let values = filled(init, &shape, fans, 2);
        let least = values.iter().fold(Float::INFINITY, |a, &b| a.min(b)) as f64;
        let most = values.iter().fold(Float::NEG_INFINITY, |a, &b| a.max(b)) as f64;
        let slack = 1e-3 * (high - low);
        assert!(
            (least - low).abs() < slack && least >= low - 1e-6,
            "{init:?}: least {least}"
        );
        assert!(
            (most - high).abs() < slack && most <= high + 1e-6,
            "{init:?}: most {most}"
        );
    };
    within(&Uniform::new(-1.0, 3.0), -1.0, 3.0);
    within(&TruncatedNormal::new(1.0, 0.5), 0.0, 2.0);
    within(&GlorotUniform, -0.5, 0.5);
    within(&HeUniform, -1.0, 1.0);
    within(&LecunUniform, -(0.5_f64.sqrt()), 0.5_f64.sqrt());
}

#[test]
fn the_seed_decides() {
    let shape = Shape::from([8, 4]);
    let fans = Fans::new(8, 4);
    for name in [
        "normal",
        "uniform",
        "truncated_normal",
        "glorot_normal",
        "glorot_uniform",
        "he_normal",
        "he_uniform",
        "lecun_normal",
        "lecun_uniform",
        "orthogonal",
    ] {
        let init = by_name(name).unwrap();
        assert_eq!(init.name(), name);
        assert_eq!(
            filled(&*init, &shape, fans, 3),
            filled(&*init, &shape, fans, 3),
            "{name}"
        );
        assert_ne!(
            filled(&*init, &shape, fans, 3),
            filled(&*init, &shape, fans, 4),
            "{name}"
        );
    }
    assert_eq!(filled(&*by_name("zeros").unwrap(), &shape, fans, 3), vec![0.0; 32]);
    assert_eq!(filled(&Constant::new(0.5), &shape, fans, 3), vec![0.5; 32]);
}

#[test]
fn a_tensor_without_fans_stays_finite() {
    for name in ["glorot_normal", "he_uniform", "lecun_normal"] {
        let values = filled(&*by_name(name).unwrap(), &Shape::from([5]), Fans::new(0, 0), 5);
        assert!(values.iter().all(|v| v.is_finite()), "{name}");
    }
    assert_eq!(
        filled(&Orthogonal::default(), &Shape::from([0, 3]), Fans::new(0, 0), 5),
        Vec::<Float>::new()
    );
}

/// W·Wᵀ = gain² where there are no more rows than columns, else Wᵀ·W = gain².
#[test]
fn orthogonal_is_orthogonal() {
    for (shape, gain) in [
        (Shape::from([16, 40]), 1.0),
        (Shape::from([40, 16]), 2.0),
        (Shape::from([8, 3, 3, 3]), 0.5),
        (Shape::from([32, 32]), 1.0),
        (Shape::from([7]), 1.0),
    ] {
        let (rows, columns) = (shape[0], shape.size() / shape[0]);
        let w = filled(&Orthogonal::new().gain(gain), &shape, Fans::new(columns, rows), 6);
        let (count, length) = (rows.min(columns), rows.max(columns));
        let at = |vector: usize, i: usize| {
            let index = if rows <= columns {
                vector * columns + i
            } else {
                i * columns + vector
            };
            w[index] as f64
        };
        for a in 0..count {
            for b in 0..count {
                let dot: f64 = (0..length).map(|i| at(a, i) * at(b, i)).sum();
                let expected = if a == b { gain * gain } else { 0.0 };
                assert!((dot - expected).abs() < 1e-6, "{shape}: {a}·{b} = {dot}");
            }
        }
    }
}

/// Without the correction of signs, the first entry of every first row would have the same sign.
#[test]
fn orthogonal_has_no_preferred_sign() {
    let shape = Shape::from([1, 1]);
    let positive = (0..1000)
        .filter(|&seed| filled(&Orthogonal::default(), &shape, Fans::new(1, 1), seed)[0] > 0.0)
        .count();
    assert!((400..600).contains(&positive), "{positive}");
}

#[test]
fn settings_are_read_strictly() {
    let normal: Normal = serde_json::from_str(r#"{"std": 0.1}"#).unwrap();
    assert_eq!(normal, Normal::new(0.0, 0.1));
    assert!(serde_json::from_str::<Normal>(r#"{"sdt": 0.1}"#).is_err());
}

/// What a file says of each, and the same one again from it.
#[test]
fn settings_are_kept_in_files() {
    let cases: Vec<(Box<dyn Initializer>, Value)> = vec![
        (Box::new(HeNormal), json!("he_normal")),
        (Box::new(Zeros), json!("zeros")),
        (Box::new(Normal::default()), json!("normal")),
        (
            Box::new(Constant::new(0.0)),
            json!({ "kind": "constant", "value": 0.0 }),
        ),
        (
            Box::new(Constant::new(0.1)),
            json!({ "kind": "constant", "value": 0.1 }),
        ),
        (
            Box::new(Normal::new(1.5, 0.01)),
            json!({ "kind": "normal", "mean": 1.5, "std": 0.01 }),
        ),
        (
            Box::new(Uniform::new(-1.0, 3.0)),
            json!({ "kind": "uniform", "low": -1.0, "high": 3.0 }),
        ),
        (
            Box::new(TruncatedNormal::new(0.0, 0.2)),
            json!({ "kind": "truncated_normal", "mean": 0.0, "std": 0.2 }),
        ),
        (
            Box::new(Orthogonal::new().gain(2.0)),
            json!({ "kind": "orthogonal", "gain": 2.0 }),
        ),
    ];
    for (init, expected) in cases {
        let told = written(&*init).unwrap();
        assert_eq!(told, expected);
        assert_eq!(format!("{:?}", read(told).unwrap()), format!("{init:?}"));
    }
    // Settings that aren't mentioned have their defaults.
    let normal = read(json!({ "kind": "normal", "std": 0.1 })).unwrap();
    assert_eq!(format!("{normal:?}"), "Normal { mean: 0.0, std: 0.1 }");
    assert_eq!(read(json!({ "kind": "he_uniform" })).unwrap().name(), "he_uniform");

    let refused = |told| read(told).unwrap_err().to_string();
    assert!(refused(json!("constant")).starts_with("the initializer constant: missing setting `value`"));
    assert!(refused(json!({ "kind": "xavier" })).starts_with("there is no initializer \"xavier\""));
    assert!(refused(json!({ "std": 0.1 })).contains("has no `kind`"));
    assert!(
        refused(json!({ "kind": "normal", "sdt": 0.1 })).starts_with("the initializer normal: unknown setting `sdt`")
    );
    assert_eq!(
        refused(json!({ "kind": "zeros", "std": 0.1 })),
        "the initializer zeros: unknown setting `std`, it has none"
    );
    assert_eq!(
        refused(json!({ "kind": "constant", "value": 1.0, "std": 0.1 })),
        "the initializer constant: unknown setting `std`, expected `value`"
    );
    assert!(refused(json!({ "kind": "constant" })).starts_with("the initializer constant: missing setting `value`"));
    assert!(refused(json!(0.5)).contains("not by 0.5"));
}

/// One that has the name of ours is not ours, whatever its settings.
#[test]
fn files_mention_no_initializer_that_would_be_another_when_loaded() {
    #[derive(Debug)]
    struct Normal;
    impl Initializer for Normal {
        fn name(&self) -> &'static str {
            "normal"
        }

        fn fill(&self, _shape: &Shape, _fans: Fans, _rng: &mut Rng, values: &mut [Float]) {
            values.fill(7.0);
        }

        fn settings(&self) -> Option<Value> {
            Some(json!({}))
        }
    }
    assert_eq!(written(&Normal), None);
    // No file can hold what is no number.
    assert_eq!(written(&Constant::new(f64::NAN)), None);
    assert_eq!(written(&Uniform::new(0.0, f64::INFINITY)), None);
}
