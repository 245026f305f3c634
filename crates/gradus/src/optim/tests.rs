use super::*;
use crate::Registry;

/// Five steps over three values, whose gradient depends on the value and on the step.
fn five_steps(optimizer: &dyn Optimizer, decays: bool) -> Vec<Float> {
    let mut w = vec![1.0, -2.0, 0.5];
    let mut state = vec![vec![0.0; 3]; optimizer.slots()];
    for number in 1..=5 {
        let slopes: [Float; 3] = [1.0, 0.25, -3.0];
        let dw: Vec<Float> = w
            .iter()
            .zip(slopes)
            .map(|(w, s)| s * w + 0.1 * number as Float)
            .collect();
        let mut state: Vec<&mut [Float]> = state.iter_mut().map(|s| &mut s[..]).collect();
        let learning_rate = optimizer.learning_rate() as Float;
        optimizer.update(
            Step {
                number,
                learning_rate,
                decays,
            },
            &mut w,
            &dw,
            &mut state,
        );
    }
    w
}

/// The same five steps in PyTorch 2.15, in double precision.
#[test]
fn steps_are_those_of_pytorch() {
    let cases: Vec<(Box<dyn Optimizer>, [f64; 3])> = vec![
        (Box::new(Sgd::new(0.1)), [0.459049, -1.907284203125, 1.631264]),
        (
            Box::new(Sgd::new(0.1).weight_decay(0.3)),
            [0.3720148846, -1.646706858687, 1.43574934625],
        ),
        (
            Box::new(Sgd::new(0.1).momentum(0.9)),
            [-0.298796, -1.685336328125, 3.747704],
        ),
        (
            Box::new(Sgd::new(0.1).momentum(0.9).nesterov().weight_decay(0.3)),
            [-0.56265220705, -0.900246559358, 5.757585963638],
        ),
        (
            Box::new(Adam::new(0.05)),
            [0.749270490952, -1.781261480227, 0.750614190413],
        ),
        (
            Box::new(Adam::new(0.05).betas(0.8, 0.95).epsilon(1e-3).weight_decay(0.3)),
            [0.749393752501, -1.758526290339, 0.750671347464],
        ),
        (
            Box::new(AdamW::new(0.05)),
            [0.747027933834, -1.77666777965, 0.749107479684],
        ),
        (
            Box::new(AdamW::new(0.05).betas(0.8, 0.95).epsilon(1e-3).weight_decay(0.3)),
            [0.68384056402, -1.656749766408, 0.706626431532],
        ),
        (
            Box::new(RmsProp::new(0.01)),
            [0.669664551946, -1.810855338464, 0.844506861777],
        ),
        (
            Box::new(
                RmsProp::new(0.01)
                    .alpha(0.9)
                    .epsilon(1e-3)
                    .momentum(0.8)
                    .weight_decay(0.3),
            ),
            [0.729214645718, -1.756221726074, 0.769125633025],
        ),
    ];
    let tolerance = if cfg!(gradus_f64) { 1e-11 } else { 4e-6 };
    for (optimizer, expected) in cases {
        optimizer.validate().unwrap();
        for (w, e) in five_steps(&*optimizer, true).iter().zip(expected) {
            assert!((*w as f64 - e).abs() < tolerance, "{optimizer:?}: {w} instead of {e}");
        }
    }
}

#[test]
fn weights_decay_only_where_they_should() {
    let pairs: Vec<(Box<dyn Optimizer>, Box<dyn Optimizer>)> = vec![
        (Box::new(Sgd::new(0.1).weight_decay(0.3)), Box::new(Sgd::new(0.1))),
        (
            Box::new(Sgd::new(0.1).momentum(0.9).weight_decay(0.3)),
            Box::new(Sgd::new(0.1).momentum(0.9)),
        ),
        (Box::new(Adam::new(0.1).weight_decay(0.3)), Box::new(Adam::new(0.1))),
        (
            Box::new(AdamW::new(0.1).weight_decay(0.3)),
            Box::new(AdamW::new(0.1).weight_decay(0.0)),
        ),
        (
            Box::new(RmsProp::new(0.1).weight_decay(0.3)),
            Box::new(RmsProp::new(0.1)),
        ),
        (Box::new(NAdam::new(0.1).weight_decay(0.3)), Box::new(NAdam::new(0.1))),
        (Box::new(Lion::new(0.1).weight_decay(0.3)), Box::new(Lion::new(0.1))),
        (Box::new(Muon::new(0.1).weight_decay(0.3)), Box::new(Muon::new(0.1))),
    ];
    for (with, without) in pairs {
        assert_eq!(five_steps(&*with, false), five_steps(&*without, true), "{with:?}");
        assert_ne!(five_steps(&*with, true), five_steps(&*without, true), "{with:?}");
    }
}

/// Threads share the values of a tensor: an update of parts must give the bits of an update of the whole.
#[test]
fn parts_give_the_bits_of_the_whole() {
    let n = 100;
    let w: Vec<Float> = (0..n).map(|i| (i as Float).sin()).collect();
    let dw: Vec<Float> = (0..n).map(|i| (i as Float).cos()).collect();
    for name in Registry::default().optimizers.names() {
        let optimizer = by_name(name, 0.01).unwrap();
        let step = Step {
            number: 3,
            learning_rate: 0.01,
            decays: true,
        };
        let update = |part: usize| {
            let (mut w, mut a, mut b) = (w.clone(), vec![0.1; n], vec![0.2; n]);
            for start in (0..n).step_by(part) {
                let range = start..n.min(start + part);
                let mut state = [&mut a[range.clone()], &mut b[range.clone()]];
                optimizer.update(step, &mut w[range.clone()], &dw[range], &mut state[..optimizer.slots()]);
            }
            (w, a, b)
        };
        assert_eq!(update(n), update(7), "{name}");
    }
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let refused = |optimizer: &dyn Optimizer| optimizer.validate().unwrap_err().to_string();
    assert_eq!(
        refused(&Adam::new(0.1).betas(1.5, 0.9)),
        "Adam: beta1 must be in [0, 1), got 1.5"
    );
    assert_eq!(
        refused(&AdamW::new(0.1).betas(0.9, 1.0)),
        "AdamW: beta2 must be in [0, 1), got 1"
    );
    assert_eq!(
        refused(&Sgd::new(f64::NAN)),
        "SGD: learning rate must be a number of at least 0, got NaN"
    );
    assert_eq!(
        refused(&RmsProp::new(0.1).epsilon(0.0)),
        "RMSProp: epsilon must be a number above 0, got 0"
    );
    assert_eq!(
        refused(&Sgd::new(0.1).nesterov()),
        "SGD: Nesterov's momentum needs a momentum above 0, such as 0.9"
    );
    assert!(Sgd::new(f64::INFINITY).validate().is_err());
    assert!(RmsProp::new(0.1).momentum(-0.1).validate().is_err());
    assert!(Sgd::new(0.0).validate().is_ok());
}

#[test]
fn settings_are_read_strictly() {
    let adam: Adam = serde_json::from_str(r#"{"learning_rate": 0.002, "beta1": 0.8}"#).unwrap();
    assert_eq!(adam, Adam::new(0.002).betas(0.8, 0.999));
    let adamw: AdamW = serde_json::from_str("{}").unwrap();
    assert_eq!(adamw, AdamW::new(0.001));
    assert!(serde_json::from_str::<Sgd>(r#"{"rate": 0.1}"#).is_err());
}

#[test]
fn settings_are_those_of_the_name() {
    let show = |optimizer: &dyn Optimizer| format!("{optimizer:?}");
    let set = |name: &str, settings| with_settings(name, settings).unwrap();
    let settings = serde_json::json!({ "learning_rate": 0.125, "weight_decay": 0.5 });
    let expected: [(&str, &dyn Optimizer); 7] = [
        ("sgd", &Sgd::new(0.125).weight_decay(0.5)),
        ("adam", &Adam::new(0.125).weight_decay(0.5)),
        ("adamw", &AdamW::new(0.125).weight_decay(0.5)),
        ("rmsprop", &RmsProp::new(0.125).weight_decay(0.5)),
        ("nadam", &NAdam::new(0.125).weight_decay(0.5)),
        ("lion", &Lion::new(0.125).weight_decay(0.5)),
        ("muon", &Muon::new(0.125).weight_decay(0.5)),
    ];
    for (name, expected) in expected {
        assert_eq!(show(&*set(name, settings.clone())), show(expected));
        assert_eq!(set(name, settings.clone()).name(), name);
    }
    // Without a learning rate, each has its own.
    let defaults: [(&str, &dyn Optimizer); 7] = [
        ("sgd", &Sgd::new(0.01)),
        ("adam", &Adam::new(0.001)),
        ("adamw", &AdamW::new(0.001)),
        ("rmsprop", &RmsProp::new(0.01)),
        ("nadam", &NAdam::new(0.002)),
        ("lion", &Lion::new(0.0001)),
        ("muon", &Muon::new(0.02)),
    ];
    for (name, expected) in defaults {
        assert_eq!(show(&*set(name, serde_json::json!({}))), show(expected));
    }
    let refused = |name: &str, settings| with_settings(name, settings).unwrap_err().to_string();
    assert!(refused("adagrad", serde_json::json!({})).starts_with("there is no optimizer \"adagrad\""));
    assert!(refused("sgd", serde_json::json!({ "rate": 1 })).starts_with("the optimizer sgd: unknown setting `rate`"));
    assert_eq!(
        refused("sgd", serde_json::json!({ "momentum": "high" })),
        "the optimizer sgd: momentum must be a number, got \"high\""
    );
}

/// What is remembered has to be there: without it, another optimizer would run without a word.
#[test]
fn missing_slots_are_not_ignored() {
    let optimizers: [Box<dyn Optimizer>; 6] = [
        Box::new(Sgd::new(0.1).momentum(0.9)),
        Box::new(Adam::new(0.1)),
        Box::new(AdamW::new(0.1)),
        Box::new(RmsProp::new(0.1).momentum(0.9)),
        Box::new(NAdam::new(0.1)),
        Box::new(Lion::new(0.1)),
    ];
    for optimizer in optimizers {
        let step = Step {
            number: 1,
            learning_rate: 0.1,
            decays: true,
        };
        let (mut w, mut slot) = ([1.0], [0.0]);
        let mut state: Vec<&mut [Float]> = vec![&mut slot];
        state.truncate(optimizer.slots() - 1);
        let update = std::panic::AssertUnwindSafe(|| optimizer.update(step, &mut w, &[1.0], &mut state));
        let panic = std::panic::catch_unwind(update).unwrap_err();
        assert!(
            panic.downcast::<String>().unwrap().contains("slots of state, got"),
            "{optimizer:?}"
        );
    }
}

/// Numbers on both sides of the bounds that the documentation of [`Optimizer`] gives.
#[cfg(not(gradus_f64))]
#[test]
fn what_becomes_zero_is_what_is_documented() {
    let (below, above) = (9.8e-32, 9.9e-32);
    let update = |optimizer: &dyn Optimizer, w: Float, dw: Float, state: [Float; 2]| {
        let (mut w, mut slots) = ([w], state.map(|value| [value]));
        let mut state: Vec<&mut [Float]> = slots.iter_mut().map(|slot| &mut slot[..]).collect();
        state.truncate(optimizer.slots());
        let step = Step {
            number: 1,
            learning_rate: 1e-9,
            decays: true,
        };
        optimizer.update(step, &mut w, &[dw], &mut state);
        (w[0], slots.map(|slot| slot[0]))
    };
    // The gradient: with momentum it is what is remembered, and Adam's mean of it is a tenth.
    let (momentum, nesterov) = (Sgd::new(0.1).momentum(0.5), Sgd::new(0.1).momentum(0.5).nesterov());
    for sgd in [momentum, nesterov] {
        assert_eq!(update(&sgd, 1.0, below, [1.0, 0.0]).1[0], 0.5);
        assert_eq!(update(&sgd, 1.0, below, [0.0; 2]).1[0], 0.0);
        assert_eq!(update(&sgd, 1.0, above, [0.0; 2]).1[0], above);
        // What is remembered of it.
        assert_eq!(
            update(&sgd, 1.0, below, [2.0 * above, 0.0]).1[0],
            above,
            "{sgd:?}: g is not 0"
        );
        assert_eq!(update(&sgd, 1.0, 0.0, [2.0 * below, 0.0]).1[0], 0.0);
    }
    assert_eq!(
        update(&Adam::new(0.1).betas(0.5, 0.5), 1.0, 0.0, [2.0 * above, 0.0]).1[0],
        above
    );
    assert_eq!(
        update(&Adam::new(0.1).betas(0.5, 0.5), 1.0, 0.0, [2.0 * below, 0.0]).1[0],
        0.0
    );
    // Of a gradient that is 0, the sign is 0.
    let lion = Lion::new(0.1).betas(0.5, 0.5);
    assert_eq!(update(&lion, 1e-10, below, [0.0; 2]), (1e-10, [0.0; 2]));
    assert!(update(&lion, 1e-10, above, [0.0; 2]).0 < 1e-10);
    assert_eq!(update(&lion, 1.0, 0.0, [2.0 * above, 0.0]).1[0], above);
    assert_eq!(update(&lion, 1.0, 0.0, [2.0 * below, 0.0]).1[0], 0.0);
    // The gradient of which the square is taken: √(1.18e-38 / 0.001) is 3.4e-18.
    let of_square = |g| update(&Adam::new(0.1), 1.0, g, [0.0; 2]).1[1];
    assert!(of_square(3.4e-18) == 0.0 && of_square(3.5e-18) > 0.0);
    let of_square = |g| update(&NAdam::new(0.1), 1.0, g, [0.0; 2]).1[1];
    assert!(of_square(3.4e-18) == 0.0 && of_square(3.5e-18) > 0.0);
    let of_square = |g| update(&RmsProp::new(0.1).alpha(0.999), 1.0, g, [0.0; 2]).1[0];
    assert!(of_square(3.4e-18) == 0.0 && of_square(3.5e-18) > 0.0);
    // The mean of squares.
    for (square, expected) in [(1.1e-38, 0.0), (1.2e-38, 1.2e-38)] {
        let adam = Adam::new(0.1).betas(0.5, 0.5);
        assert_eq!(update(&adam, 1.0, 0.0, [0.0, 2.0 * square]).1[1], expected);
        let nadam = NAdam::new(0.1).betas(0.5, 0.5);
        assert_eq!(update(&nadam, 1.0, 0.0, [0.0, 2.0 * square]).1[1], expected);
        let rmsprop = RmsProp::new(0.1).alpha(0.5);
        assert_eq!(update(&rmsprop, 1.0, 0.0, [2.0 * square, 0.0]).1[0], expected);
    }
    // Weights, if they decay; the gradient alone would move them by next to nothing.
    for w in [below, above] {
        let kept = if w == below { 0.0 } else { w };
        let decaying: [&dyn Optimizer; 6] = [
            &Sgd::new(0.1).weight_decay(1e-3),
            &Adam::new(0.1).weight_decay(1e-3),
            &AdamW::new(0.1).weight_decay(1e-3),
            &RmsProp::new(0.1).weight_decay(1e-3),
            &NAdam::new(0.1).weight_decay(1e-3),
            &Lion::new(0.1).weight_decay(1e-3),
        ];
        for optimizer in decaying {
            assert_eq!(update(optimizer, w, 0.0, [0.0; 2]).0, kept, "{optimizer:?}");
        }
        assert_eq!(update(&Sgd::new(0.1), w, 0.0, [0.0; 2]).0, w);
        assert_eq!(update(&AdamW::new(0.1).weight_decay(0.0), w, 0.0, [0.0; 2]).0, w);
    }
}

/// Gradients that stay 0, as those of a weight behind a dead ReLU do, or that are next to nothing: nothing may become subnormal,
/// which on many processors takes a hundred times as long.
#[test]
fn nothing_becomes_subnormal() {
    let optimizers: Vec<Box<dyn Optimizer>> = vec![
        Box::new(Sgd::new(0.5).weight_decay(0.5)),
        Box::new(Sgd::new(0.1).momentum(0.9)),
        Box::new(Sgd::new(0.1).momentum(0.9).nesterov().weight_decay(0.5)),
        Box::new(Adam::new(0.001)),
        Box::new(Adam::new(0.001).betas(0.5, 0.6).weight_decay(0.1)),
        Box::new(AdamW::new(0.5).betas(0.9, 0.99).weight_decay(0.5)),
        Box::new(RmsProp::new(0.01).alpha(0.9)),
        Box::new(RmsProp::new(0.01).alpha(0.9).momentum(0.9).weight_decay(0.1)),
        Box::new(NAdam::new(0.001).betas(0.9, 0.99)),
        Box::new(NAdam::new(0.01).betas(0.5, 0.6).weight_decay(0.1)),
        Box::new(Lion::new(0.001).betas(0.9, 0.9)),
        Box::new(Lion::new(0.5).betas(0.5, 0.9).weight_decay(0.5)),
    ];
    // How many steps there are until a decay of 0.9 has taken 1 out of the normal numbers.
    let steps = (Float::MIN_POSITIVE.ln() / Float::ln(0.9)) as u64;
    let small = Float::MIN_POSITIVE;
    for optimizer in optimizers {
        let run = |arch| {
            let (mut w, mut w_then) = (vec![1.0, -2.0, 0.5, 1.0, -1.0, 1.0], Vec::new());
            let mut state = vec![vec![0.0; w.len()]; optimizer.slots()];
            for number in 1..=4 * steps {
                let first = Float::from(u8::from(number <= 3));
                // One that stays, three that become 0, one whose square is subnormal, and one that nearly is.
                let dw = [0.25, first, -3.0 * first, 1e-3 * first, small.sqrt() / 2.0, small * 2.0];
                let mut slots: Vec<&mut [Float]> = state.iter_mut().map(|s| &mut s[..]).collect();
                let learning_rate = optimizer.learning_rate() as Float;
                let step = Step {
                    number,
                    learning_rate,
                    decays: true,
                };
                gradus_kernels::with_arch(arch, || optimizer.update(step, &mut w, &dw, &mut slots));
                let all = || w.iter().chain(state.iter().flatten());
                let subnormal = all().filter(|v| v.is_subnormal()).count();
                assert_eq!(subnormal, 0, "{optimizer:?}, step {number}: {w:?}, {state:?}");
                if number == 3 * steps {
                    w_then = w.clone();
                }
            }
            // What was remembered of the gradients that stay 0 is gone: their weights move no longer unless they decay.
            assert!(optimizer.decays() || w[1..4] == w_then[1..4], "{optimizer:?}");
            (w, state)
        };
        let plain = run(gradus_kernels::Arch::Plain);
        for arch in [gradus_kernels::Arch::Avx2, gradus_kernels::Arch::Avx512] {
            assert_eq!(run(arch), plain, "{optimizer:?} {arch:?}");
        }
    }
}
