use super::*;
use crate::layer::Function;

fn fused(loss: &dyn Loss, last: Operation) -> Box<dyn Loss> {
    loss.fused_with(last).expect("fused")
}

fn softmax(z: &[Float]) -> Vec<Float> {
    let e: Vec<Float> = z.iter().map(|z| z.exp()).collect();
    let sum: Float = e.iter().sum();
    e.iter().map(|e| e / sum).collect()
}

const LOGITS: [Float; 4] = [0.5, -1.25, 2.0, 0.25];
const PROBABILITIES: [Float; 4] = [0.1, 0.2, 0.3, 0.4];
const VALUES: Target<'static> = Target::Values(&PROBABILITIES);

const SHARP: bool = cfg!(gradus_f64);

/// A loss, the target of [`LOGITS`], the loss's value and its gradient.
type Case = (Box<dyn Loss>, Target<'static>, f64, [f64; 4]);

/// PyTorch 2.15, in double precision.
#[test]
#[rustfmt::skip]
fn values_and_gradients_are_those_of_pytorch() {
    let cross_entropy = |smoothing| fused(&CrossEntropy::new().label_smoothing(smoothing), Operation::Softmax);
    let binary = fused(&BinaryCrossEntropy, Operation::Map(Function::Sigmoid));
    let cases: Vec<Case> = vec![
        (cross_entropy(0.0), Target::Class(3), 2.111637428421, [0.155417936157, 0.027007587649, 0.696534865811, -0.878960389617]),
        (cross_entropy(0.1), Target::Class(3), 2.099137428421, [0.130417936157, 0.002007587649, 0.671534865811, -0.803960389617]),
        (cross_entropy(0.0), VALUES, 1.861637428421, [0.055417936157, -0.172992412351, 0.396534865811, -0.278960389617]),
        (cross_entropy(0.1), VALUES, 1.874137428421, [0.040417936157, -0.177992412351, 0.401534865811, -0.263960389617]),
        (binary, VALUES, 0.919718374112, [0.130614832800, 0.005675034706, 0.145199269494, 0.040544125221]),
        (Box::new(MeanSquaredError), Target::Class(3), 1.59375, [0.25, -0.625, 1.0, -0.375]),
        (Box::new(MeanSquaredError), VALUES, 1.29375, [0.2, -0.725, 0.85, -0.075]),
        (Box::new(MeanAbsoluteError), VALUES, 0.925, [0.25, -0.25, 0.25, -0.25]),
        (Box::new(Huber::new(1.0)), VALUES, 0.5603125, [0.1, -0.25, 0.25, -0.0375]),
        (Box::new(Huber::new(0.6)), VALUES, 0.4053125, [0.1, -0.15, 0.15, -0.0375]),
    ];
    let tolerance = if SHARP { 1e-11 } else { 1e-6 };
    for (loss, target, value, gradient) in cases {
        let mut dy = [Float::NAN; 4];
        let both = loss.loss_and_gradient(&LOGITS, target, &mut dy);
        assert_eq!(both, loss.loss(&LOGITS, target), "{loss:?}");
        assert!((both as f64 - value).abs() < tolerance, "{loss:?}: {both} instead of {value}");
        for (d, g) in dy.iter().zip(gradient) {
            assert!((*d as f64 - g).abs() < tolerance, "{loss:?}: {dy:?} instead of {gradient:?}");
        }
    }
}

#[test]
fn gradients_are_finite_differences() {
    let smooth = CrossEntropy::new().label_smoothing(0.2);
    let cases: Vec<(Box<dyn Loss>, [Float; 4])> = vec![
        (Box::new(CrossEntropy::new()), [0.1, 0.6, 0.2, 0.1]),
        (Box::new(smooth), [0.1, 0.6, 0.2, 0.1]),
        (fused(&smooth, Operation::Softmax), LOGITS),
        (Box::new(BinaryCrossEntropy), [0.1, 0.6, 0.2, 0.9]),
        (fused(&BinaryCrossEntropy, Operation::Map(Function::Sigmoid)), LOGITS),
        (Box::new(MeanSquaredError), LOGITS),
        (Box::new(MeanAbsoluteError), LOGITS),
        (Box::new(Huber::new(0.6)), LOGITS),
    ];
    let (h, tolerance) = if SHARP { (1e-6, 1e-8) } else { (1e-3, 2e-3) };
    for (loss, y) in cases {
        for target in [Target::Class(2), VALUES] {
            let mut dy = [Float::NAN; 4];
            loss.gradient(&y, target, &mut dy);
            for i in 0..4 {
                let at = |step: Float| {
                    let mut y = y;
                    y[i] += step;
                    loss.loss(&y, target)
                };
                let slope = (at(h) - at(-h)) / (2.0 * h);
                assert!(
                    (slope - dy[i]).abs() <= tolerance * (1.0 + slope.abs()),
                    "{loss:?}, output {i}: {} instead of {slope}",
                    dy[i]
                );
            }
        }
    }
}

/// Cross entropy of the softmax, computed one after the other and together.
#[test]
fn fused_is_unfused() {
    let tolerance = if SHARP { 1e-12 } else { 1e-5 };
    for smoothing in [0.0, 0.3] {
        let loss = CrossEntropy::new().label_smoothing(smoothing);
        let y = softmax(&LOGITS);
        for target in [Target::Class(1), VALUES] {
            let (mut dy, mut dz) = ([0.0; 4], [0.0; 4]);
            let apart = loss.loss_and_gradient(&y, target, &mut dy);
            let together = fused(&loss, Operation::Softmax).loss_and_gradient(&LOGITS, target, &mut dz);
            assert!((apart - together).abs() < tolerance);
            // Through softmax: dzᵢ = yᵢ · (dyᵢ - Σⱼ yⱼ · dyⱼ).
            let dot: Float = y.iter().zip(dy).map(|(y, d)| y * d).sum();
            for i in 0..4 {
                assert!((y[i] * (dy[i] - dot) - dz[i]).abs() < tolerance);
            }
        }
    }
    let y: Vec<Float> = LOGITS.iter().map(|z| 1.0 / (1.0 + (-z).exp())).collect();
    let (mut dy, mut dz) = ([0.0; 4], [0.0; 4]);
    let apart = BinaryCrossEntropy.loss_and_gradient(&y, VALUES, &mut dy);
    let together =
        fused(&BinaryCrossEntropy, Operation::Map(Function::Sigmoid)).loss_and_gradient(&LOGITS, VALUES, &mut dz);
    assert!((apart - together).abs() < tolerance);
    for i in 0..4 {
        assert!((y[i] * (1.0 - y[i]) * dy[i] - dz[i]).abs() < tolerance);
    }
}

/// However many samples are computed together, each has the bits that it has alone.
#[test]
fn samples_together_are_samples_alone() {
    let n = 75;
    let z: Vec<Float> = (0..n * 3).map(|i| ((i * i) as Float).sin() * 9.0).collect();
    let values = [0.2, 0.5, 0.3];
    let target = |i| match i % 4 {
        3 => Target::Values(&values),
        class => Target::Class(class),
    };
    let losses: [Box<dyn Loss>; 3] = [
        fused(&CrossEntropy::new(), Operation::Softmax),
        fused(&CrossEntropy::new().label_smoothing(0.2), Operation::Softmax),
        Box::new(MeanSquaredError),
    ];
    for loss in losses {
        let (mut dz, mut found) = (vec![Float::NAN; n * 3], vec![Float::NAN; n]);
        loss.losses_and_gradients(&z, &target, &mut dz, &mut found);
        for (i, found) in found.into_iter().enumerate() {
            let row = 3 * i..3 * i + 3;
            let mut alone = [Float::NAN; 3];
            assert_eq!(loss.loss_and_gradient(&z[row.clone()], target(i), &mut alone), found);
            assert_eq!(alone, dz[row]);
        }
    }
}

#[test]
fn only_the_right_layer_is_fused() {
    assert!(
        CrossEntropy::new()
            .fused_with(Operation::Map(Function::Sigmoid))
            .is_none()
    );
    assert!(BinaryCrossEntropy.fused_with(Operation::Softmax).is_none());
    assert!(MeanSquaredError.fused_with(Operation::Softmax).is_none());
    assert_eq!(fused(&CrossEntropy::new(), Operation::Softmax).name(), "cross_entropy");
}

#[test]
fn huge_logits_stay_finite() {
    let cross_entropy = fused(&CrossEntropy::new().label_smoothing(0.1), Operation::Softmax);
    let exact = fused(&CrossEntropy::new(), Operation::Softmax);
    let binary = fused(&BinaryCrossEntropy, Operation::Map(Function::Sigmoid));
    for z in [
        [1000.0, -1000.0, 0.0],
        [-1000.0; 3],
        [1000.0; 3],
        [-1000.0, 1000.0, -1000.0],
    ] {
        for loss in [&cross_entropy, &exact, &binary] {
            let mut dz = [Float::NAN; 3];
            let value = loss.loss_and_gradient(&z, Target::Values(&[1.0, 0.0, 0.0]), &mut dz);
            assert!(value.is_finite() && value >= 0.0, "{loss:?} of {z:?}: {value}");
            assert!(dz.iter().all(|d| d.is_finite()), "{loss:?} of {z:?}: {dz:?}");
        }
    }
    assert_eq!(exact.loss(&[1000.0, -1000.0], Target::Class(1)), 2000.0);
    assert_eq!(exact.loss(&[1000.0, -1000.0], Target::Class(0)), 0.0);
    assert_eq!(binary.loss(&[-1000.0], Target::Class(1)), 1000.0);
}

/// Certain and wrong: finite, and still learning. Not a number: never hidden.
#[test]
fn probabilities_of_zero_and_one_stay_finite() {
    let mut dy = [Float::NAN; 2];
    for loss in [&CrossEntropy::new() as &dyn Loss, &BinaryCrossEntropy] {
        let value = loss.loss_and_gradient(&[0.0, 1.0], Target::Values(&[1.0, 0.0]), &mut dy);
        assert!(value.is_finite() && value > 16.0, "{loss:?}: {value}");
        assert!(dy.iter().all(|d| d.is_finite()) && dy[0] < -1e6, "{loss:?}: {dy:?}");
        let right = loss.loss(&[0.0, 1.0], Target::Values(&[0.0, 1.0]));
        assert!((0.0..1e-6).contains(&right), "{loss:?}: {right}");
        assert!(loss.loss(&[Float::NAN, 0.5], Target::Values(&[1.0, 0.0])).is_nan());
    }
    let loss = fused(&CrossEntropy::new(), Operation::Softmax);
    assert!(
        loss.loss_and_gradient(&[Float::NAN, 0.5], Target::Class(1), &mut dy)
            .is_nan()
    );
}

/// Twice the outputs with the same distances: the same mean, and half the gradient for each. (Divided once.)
#[test]
fn gradients_are_divided_once_by_the_outputs() {
    for loss in [&MeanSquaredError as &dyn Loss, &MeanAbsoluteError, &Huber::new(1.0)] {
        let (mut one, mut two) = ([0.0], [0.0; 2]);
        let a = loss.loss_and_gradient(&[3.0], Target::Values(&[1.0]), &mut one);
        let b = loss.loss_and_gradient(&[3.0, 3.0], Target::Values(&[1.0, 1.0]), &mut two);
        assert_eq!(a, b, "{loss:?}");
        assert_eq!([one[0] / 2.0; 2], two, "{loss:?}");
    }
}

#[test]
fn one_output_meets_a_class_by_its_number() {
    assert_eq!(MeanSquaredError.loss(&[0.75], Target::Class(1)), 0.0625);
    assert_eq!(MeanAbsoluteError.loss(&[0.75], Target::Class(0)), 0.75);
    assert_eq!(MeanSquaredError.loss(&[0.5, 0.5], Target::Class(1)), 0.25);
}

#[test]
fn what_does_not_fit_is_refused() {
    let refused = |loss: &dyn Loss, outputs: usize, targets: Targets| {
        loss.validate(&Shape::from([outputs]), &targets)
            .unwrap_err()
            .to_string()
    };
    let cross_entropy = CrossEntropy::new();
    assert!(
        cross_entropy
            .validate(&Shape::from([10]), &Targets::Classes(10))
            .is_ok()
    );
    assert!(
        cross_entropy
            .validate(&Shape::from([3]), &Targets::Values(Shape::from([3])))
            .is_ok()
    );
    assert_eq!(
        refused(&cross_entropy, 12, Targets::Classes(10)),
        "cross entropy needs one output for each of the 10 classes, the network gives 12"
    );
    assert!(refused(&cross_entropy, 1, Targets::Classes(2)).contains("use binary cross entropy"));
    assert_eq!(
        refused(&cross_entropy.label_smoothing(1.5), 10, Targets::Classes(10)),
        "cross entropy: label smoothing must be in [0, 1], got 1.5"
    );
    assert!(
        BinaryCrossEntropy
            .validate(&Shape::from([1]), &Targets::Classes(2))
            .is_ok()
    );
    assert!(
        refused(&BinaryCrossEntropy, 10, Targets::Classes(10))
            .ends_with("there are 10 and it gives 10: use cross entropy, or targets of 0 and 1 for each output")
    );
    assert_eq!(
        refused(&MeanSquaredError, 4, Targets::Values(Shape::from([2, 3]))),
        "mean squared error needs one output for each of the 6 target values, the network gives 4"
    );
    assert!(
        MeanAbsoluteError
            .validate(&Shape::from([1]), &Targets::Classes(2))
            .is_ok()
    );
    assert_eq!(
        refused(&Huber::new(0.0), 1, Targets::Values(Shape::from([1]))),
        "Huber's loss: delta must be a number above 0, got 0"
    );
}

/// The losses of very many outputs are as exact as those of few.
#[test]
fn losses_of_many_outputs_keep_their_precision() {
    let n = 224 * 224;
    let y: Vec<Float> = (0..n).map(|i| 300.0 + (i * 7919 % n) as Float / n as Float).collect();
    let t = vec![26.85; n];
    let mean = |f: &dyn Fn(f64) -> f64| y.iter().map(|&y| f(f64::from(y) - 26.85)).sum::<f64>() / n as f64;
    let logits: Vec<Float> = (0..n).map(|i| (i * 7919 % n) as Float / n as Float).collect();
    let log_sum = logits.iter().map(|&z| f64::from(z).exp()).sum::<f64>().ln();
    let even = vec![1.0 / n as Float; n];
    let probability = f64::from(even[0]);
    let check = |loss: &dyn Loss, y: &[Float], target: Target<'_>, value: f64| {
        let (mut dy, found) = (vec![0.0; n], f64::from(loss.loss(y, target)));
        assert!((found / value - 1.0).abs() < 3e-7, "{loss:?}: {found} for {value}");
        assert_eq!(f64::from(loss.loss_and_gradient(y, target, &mut dy)), found);
    };
    check(&MeanSquaredError, &y, Target::Values(&t), mean(&|d| d * d));
    check(&MeanAbsoluteError, &y, Target::Values(&t), mean(&|d| d));
    check(&Huber::new(1.0), &y, Target::Values(&t), mean(&|d| d - 0.5));
    let cross_entropy = fused(&CrossEntropy::new(), Operation::Softmax);
    check(
        &*cross_entropy,
        &logits,
        Target::Class(3),
        log_sum - f64::from(logits[3]),
    );
    let value = logits.iter().map(|&z| probability * (log_sum - f64::from(z))).sum();
    check(&*cross_entropy, &logits, Target::Values(&even), value);
}
