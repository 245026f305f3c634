use super::*;
use crate::Registry;

fn at(schedule: &dyn Schedule, step: u64, steps: u64) -> f64 {
    schedule.factor(&ScheduleContext {
        step,
        steps,
        steps_per_epoch: 10,
        losses: &[],
    })
}

#[track_caller]
fn near(values: impl IntoIterator<Item = f64>, expected: &[f64]) {
    let values: Vec<f64> = values.into_iter().collect();
    assert_eq!(values.len(), expected.len());
    for (v, e) in values.iter().zip(expected) {
        assert!((v - e).abs() < 1e-11, "{values:?} instead of {expected:?}");
    }
}

/// CosineAnnealingLR of PyTorch 2.15 with T_max = 8, eta_min = 0.1.
#[test]
fn cosine_is_that_of_pytorch() {
    let expected = [
        1.0,
        0.96574578963,
        0.868198051534,
        0.722207544564,
        0.55,
        0.377792455436,
        0.231801948466,
        0.13425421037,
        0.1,
        0.1,
    ];
    near((0..10).map(|step| at(&Cosine::new().to(0.1), step, 8)), &expected);
}

/// OneCycleLR of PyTorch 2.15, with 10 steps and with 7 steps, pct_start = 0.5, div_factor = 10, final_div_factor = 100.
#[test]
fn one_cycle_is_that_of_pytorch() {
    let expected = [
        0.04,
        0.52,
        1.0,
        0.950484632013,
        0.81174565395,
        0.611262021936,
        0.388741978064,
        0.18825834605,
        0.0495193679865,
        4e-6,
    ];
    near((0..10).map(|step| at(&OneCycle::default(), step, 10)), &expected);
    let other = OneCycle::new().warm_up(0.5).start_divisor(10.0).final_divisor(100.0);
    let expected = [
        0.1,
        0.410942352531,
        0.914057647469,
        0.950533949517,
        0.611649206511,
        0.189066843972,
        0.001,
    ];
    near((0..7).map(|step| at(&other, step, 7)), &expected);
}

/// ReduceLROnPlateau of PyTorch 2.15 with factor = 0.5 and patience 2 and 0. The fourth loss is too small an improvement.
#[test]
fn plateau_is_that_of_pytorch() {
    let losses = [
        1.0, 0.9, 0.95, 0.89999, 0.91, 0.8, 0.85, 0.85, 0.85, 0.85, 0.85, 0.85, 0.7999, 0.7, 0.7,
    ];
    let replay = |patience| {
        let plateau = Plateau::new(patience, 0.5);
        (0..15).map(move |epoch| {
            plateau.factor(&ScheduleContext {
                step: 0,
                steps: 0,
                steps_per_epoch: 0,
                losses: &losses[..epoch],
            })
        })
    };
    near(
        replay(2),
        &[
            1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125, 0.125, 0.125,
        ],
    );
    let halvings = [0, 0, 0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9, 9, 9];
    near(replay(0), &halvings.map(|n| 0.5_f64.powi(n)));
}

#[test]
fn plateau_bears_odd_losses() {
    let after = |losses: &[f64]| {
        let plateau = Plateau::new(0, 0.5).min_delta(0.1);
        plateau.factor(&ScheduleContext {
            step: 0,
            steps: 0,
            steps_per_epoch: 0,
            losses,
        })
    };
    assert_eq!(after(&[f64::NAN, f64::INFINITY]), 0.25);
    // Below zero, equal losses are no improvement.
    assert_eq!(after(&[-1.0, -1.0]), 0.5);
    assert_eq!(after(&[-1.0, -1.2]), 1.0);
}

#[test]
fn runs_without_steps_have_a_rate() {
    let registry = Registry::default();
    for name in registry.schedules.names().filter(|name| *name != "warmup") {
        let schedule = by_name(name).unwrap();
        assert_eq!(schedule.name(), name);
        schedule.validate().unwrap();
        for (step, steps) in [(0, 0), (0, 1), (1, 1), (1, 2), (5, 2)] {
            let factor = at(&*schedule, step, steps);
            assert!((0.0..=1.0).contains(&factor), "{name} at {step} of {steps}: {factor}");
        }
    }
}

/// Whatever the settings, the factor is found at once.
#[test]
fn restarts_bear_any_position() {
    for (period, multiplier) in [(1, 1), (1, 2), (u64::MAX, 1), (u64::MAX, u64::MAX), (0, 0)] {
        for unit in [Unit::Steps, Unit::Epochs] {
            let schedule = CosineRestarts::new(period).multiplier(multiplier).unit(unit);
            for step in [0, 1, u64::MAX] {
                assert!((0.0..=1.0).contains(&at(&schedule, step, 100)), "{schedule:?}");
            }
        }
    }
}

#[test]
fn warm_ups_longer_than_the_run_are_refused() {
    let check = |schedule: Warmup| schedule.check_length(&ScheduleContext::new(0, 20, 10, &[]));
    check(Warmup::new(20, Constant)).unwrap();
    check(Warmup::over_epochs(2, Constant)).unwrap();
    for schedule in [
        Warmup::new(30, Constant),
        Warmup::over_epochs(3, Constant),
        Warmup::new(1, Warmup::new(30, Constant)),
    ] {
        assert_eq!(
            check(schedule).unwrap_err().to_string(),
            "warm-up: its 30 steps are more than the 20 steps of the training: the learning rate would never be reached; choose a \
             shorter one, or train for more epochs"
        );
    }
    let read = |settings: serde_json::Value| {
        Registry::default()
            .schedule("warmup", settings)
            .map(|w| format!("{w:?}"))
    };
    let expected = format!("{:?}", Warmup::over_epochs(3, Linear::new()));
    assert_eq!(
        read(serde_json::json!({ "epochs": 3, "then": "linear" })).unwrap(),
        expected
    );
    let refused = |settings| read(settings).unwrap_err().to_string();
    assert_eq!(
        refused(serde_json::json!({ "epochs": 3, "steps": 3 })),
        "the schedule warmup: it has both steps and epochs: set one of them"
    );
    assert_eq!(
        refused(serde_json::json!({})),
        "the schedule warmup: missing setting `steps`"
    );
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let refused = |schedule: &dyn Schedule| schedule.validate().unwrap_err().to_string();
    assert_eq!(
        refused(&StepDecay::new(0, 0.1)),
        "step decay: every must be at least 1 epoch, got 0"
    );
    assert_eq!(
        refused(&StepDecay::new(1, 0.0)),
        "step decay: factor must be a number above 0, got 0"
    );
    assert!(refused(&Exponential::new(f64::NAN)).contains("per_epoch"));
    assert_eq!(refused(&Cosine::new().to(2.0)), "cosine: to must be in [0, 1], got 2");
    assert!(refused(&OneCycle::new().warm_up(1.0)).contains("warm_up"));
    assert!(refused(&OneCycle::new().start_divisor(0.0)).contains("start_divisor"));
    assert_eq!(
        refused(&Plateau::new(10, 1.0)),
        "plateau: factor must be between 0 and 1, got 1"
    );
    assert_eq!(
        refused(&Warmup::new(0, Constant)),
        "warm-up: steps must be at least 1, got 0"
    );
    // What a warm-up goes on with is checked too.
    assert_eq!(
        refused(&Warmup::new(5, Cosine::new().to(2.0))),
        refused(&Cosine::new().to(2.0))
    );
    assert_eq!(
        refused(&Warmup::over_epochs(0, Constant)),
        "warm-up: epochs must be at least 1, got 0"
    );
    assert_eq!(
        refused(&StepDecay::new(0, 0.1).unit(Unit::Steps)),
        "step decay: every must be at least 1 step, got 0"
    );
    assert_eq!(
        refused(&CosineRestarts::new(0)),
        "cosine restarts: period and multiplier must be at least 1, got 0 and 2"
    );
    assert!(refused(&CosineRestarts::new(1).multiplier(0)).contains("got 1 and 0"));
    assert_eq!(
        refused(&CosineRestarts::new(1).to(-1.0)),
        "cosine restarts: to must be in [0, 1], got -1"
    );
    assert_eq!(
        refused(&Linear::new().to(2.0)),
        "linear decay: to must be in [0, 1], got 2"
    );
    let one_cycle: OneCycle = serde_json::from_str(r#"{"warm_up": 0.1}"#).unwrap();
    assert_eq!(one_cycle, OneCycle::new().warm_up(0.1));
    assert!(serde_json::from_str::<Cosine>(r#"{"from": 0.1}"#).is_err());
}
