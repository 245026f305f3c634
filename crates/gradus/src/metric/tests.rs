use super::*;

fn measure(metric: &dyn Metric, samples: &[(Vec<Float>, Target<'_>)]) -> f64 {
    let mut meter = metric.meter(&Shape::from([samples[0].0.len()]));
    assert!(meter.value().is_nan(), "{metric:?} of nothing");
    // Twice, with a reset in between, which must forget all.
    for _ in 0..2 {
        meter.reset();
        for (y, target) in samples {
            meter.add(y, *target);
        }
    }
    meter.value()
}

/// An output that says this class, of three.
fn says(class: usize) -> Vec<Float> {
    (0..3).map(|i| if i == class { 0.6 } else { 0.2 }).collect()
}

#[test]
fn accuracy_takes_the_first_of_equals() {
    let samples = [
        (vec![0.4, 0.4, 0.2], Target::Class(0)),
        (vec![0.4, 0.4, 0.2], Target::Class(1)),
        (vec![0.1, 0.2, 0.7], Target::Class(2)),
        (vec![0.1, 0.2, 0.7], Target::Values(&[0.0, 0.3, 0.7])),
    ];
    assert_eq!(measure(&Accuracy, &samples), 0.75);
}

#[test]
fn accuracy_of_one_output_is_by_threshold() {
    let samples = [
        (vec![0.6], Target::Class(1)),
        (vec![0.5], Target::Class(1)),
        (vec![0.2], Target::Class(0)),
        (vec![0.9], Target::Values(&[0.8])),
    ];
    assert_eq!(measure(&Accuracy, &samples), 0.75);
}

#[test]
fn top_k_counts_the_places() {
    let y = vec![0.3, 0.1, 0.3, 0.2, 0.1];
    let right_within = |class, k| measure(&TopK::new(k), &[(y.clone(), Target::Class(class))]) == 1.0;
    // In order: 0, 2 (equal, later), 3, 1, 4 (equal, later).
    for (place, class) in [0, 2, 3, 1, 4].into_iter().enumerate() {
        for k in 1..=5 {
            assert_eq!(right_within(class, k), place < k, "class {class}, k {k}");
        }
    }
    let nothing = vec![Float::NAN; 3];
    assert_eq!(measure(&TopK::new(2), &[(nothing, Target::Class(0))]), 0.0);
}

/// Class 0: 3 samples, 2 found, 1 taken for 1. Class 1: 1 sample, found. Class 2: 2 samples, both taken for 0.
fn confused() -> Vec<(Vec<Float>, Target<'static>)> {
    [(0, 0), (0, 0), (0, 1), (1, 1), (2, 0), (2, 0)]
        .map(|(truth, predicted)| (says(predicted), Target::Class(truth)))
        .to_vec()
}

#[test]
fn scores_are_averaged_over_classes_or_samples() {
    let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} instead of {b}");
    near(
        measure(&Precision::new().average(Average::Macro), &confused()),
        (2.0 / 4.0 + 1.0 / 2.0 + 0.0) / 3.0,
    );
    near(measure(&Recall::default(), &confused()), (2.0 / 3.0 + 1.0 + 0.0) / 3.0);
    near(
        measure(&F1::default(), &confused()),
        (4.0 / 7.0 + 2.0 / 3.0 + 0.0) / 3.0,
    );
    for metric in [
        &Precision::new().average(Average::Micro) as &dyn Metric,
        &Recall::new().average(Average::Micro),
        &F1::new().average(Average::Micro),
        &Accuracy,
    ] {
        near(measure(metric, &confused()), 0.5);
    }
    // More than two classes: their mean is usual.
    assert_eq!(
        measure(&F1::default(), &confused()),
        measure(&F1::new().average(Average::Macro), &confused())
    );
    // Class 2 neither occurs nor is predicted: it does not count.
    let two = [(says(0), Target::Class(0)), (says(0), Target::Class(1))];
    near(measure(&Recall::default(), &two), 0.5);
}

#[test]
fn a_confusion_matrix_counts() {
    let mut matrix = ConfusionMatrix::new(3);
    for (y, target) in confused() {
        let Target::Class(truth) = target else { unreachable!() };
        matrix.add(truth, predicted_class(&y));
    }
    assert_eq!(matrix.counts(), [vec![2, 1, 0], vec![0, 1, 0], vec![2, 0, 0]]);
    assert_eq!((matrix.samples(), matrix.support(2), matrix.predictions(0)), (6, 2, 4));
    assert_eq!((matrix.precision(2), matrix.recall(2), matrix.f1(2)), (0.0, 0.0, 0.0));
    assert_eq!(matrix.most_confused(1), [(2, 0, 2)]);
    assert_eq!(matrix.most_confused(9), [(2, 0, 2), (0, 1, 1)]);
    assert_eq!(
        serde_json::to_string(&matrix).unwrap(),
        r#"{"counts":[[2,1,0],[0,1,0],[2,0,0]]}"#
    );
    matrix.add(4, 1);
    assert_eq!(
        (matrix.classes(), matrix.counts()[4][1], matrix.counts()[0].len()),
        (5, 1, 5)
    );
    matrix.clear();
    assert!(matrix.accuracy().is_nan() && matrix.average(Average::Macro, ConfusionMatrix::f1).is_nan());
    assert_eq!(matrix.precision(7), 0.0);
}

/// Its matrix would fill memory.
#[test]
fn scores_of_too_many_classes_are_refused() {
    let validate = |metric: &dyn Metric, n: usize| metric.validate(&[n].into(), &Targets::Classes(n));
    for name in ["precision", "recall_macro", "f1_class_1"] {
        let metric = by_name(name).unwrap();
        assert!(validate(&*metric, 16_384).is_ok());
        let error = validate(&*metric, 16_385).unwrap_err().to_string();
        assert!(
            error.contains("of 16384 classes at most, and there are 16385: accuracy and top_5 take any number"),
            "{error}"
        );
    }
    assert!(validate(&Accuracy, 1 << 20).is_ok() && validate(&TopK::new(5), 1 << 20).is_ok());
}

#[test]
fn errors_are_means_over_samples() {
    let samples = [
        (vec![1.0, 2.0], Target::Values(&[1.0, 4.0])),
        (vec![0.0, 0.0], Target::Values(&[-1.0, 0.0])),
        (vec![5.0, 5.0], Target::Values(&[5.0, 5.0])),
    ];
    assert!((measure(&MeanAbsoluteError, &samples) - 0.5).abs() < 1e-12);
    assert!((measure(&MeanSquaredError, &samples) - 5.0 / 6.0).abs() < 1e-6);
}

#[test]
fn r2_is_the_mean_over_outputs() {
    // The outputs alone have 0.965 and 0.908, as scikit-learn's r2_score documents for this example.
    let samples = [
        (vec![0.0, 2.0], Target::Values(&[0.5, 1.0])),
        (vec![-1.0, 2.0], Target::Values(&[-1.0, 1.0])),
        (vec![8.0, -5.0], Target::Values(&[7.0, -6.0])),
    ];
    let (first, second) = (1.0 - 1.25 / (217.0 / 6.0), 1.0 - 3.0 / (98.0 / 3.0));
    assert!((measure(&R2, &samples) - (first + second) / 2.0).abs() < 1e-12);
    let constant = |y: Float| {
        measure(
            &R2,
            &[(vec![2.0], Target::Values(&[2.0])), (vec![y], Target::Values(&[2.0]))],
        )
    };
    assert_eq!((constant(2.0), constant(3.0)), (1.0, 0.0));
    assert!(measure(&R2, &samples[..1]).is_nan());
}

/// Targets far from zero: sums of squares would lose every digit of their variance.
#[test]
fn r2_does_not_cancel() {
    let targets: Vec<[Float; 1]> = (0..1000).map(|i| [1_000_000.0 + (i % 4) as Float]).collect();
    let samples: Vec<_> = targets.iter().map(|t| (vec![t[0] + 1.0], Target::Values(t))).collect();
    let expected = 1.0 - 1.0 / 1.25;
    assert!((measure(&R2, &samples) - expected).abs() < 1e-9);
}

#[test]
fn what_does_not_fit_is_refused() {
    let ten = Targets::Classes(10);
    for name in [
        "accuracy",
        "top_5",
        "precision",
        "recall_micro",
        "precision_macro",
        "recall_class_9",
        "f1",
        "absolute_error",
        "squared_error",
        "r2",
    ] {
        let metric = by_name(name).unwrap();
        assert_eq!(metric.name(), name);
        assert!(metric.validate(&Shape::from([10]), &ten).is_ok(), "{name}");
        assert!(metric.validate(&Shape::from([12]), &ten).is_err(), "{name}");
        assert_eq!(metric.higher_is_better(), !name.ends_with("error"), "{name}");
    }
    assert_eq!(
        Accuracy.validate(&Shape::from([12]), &ten).unwrap_err().to_string(),
        "accuracy needs one output for each of the 10 classes, the network gives 12"
    );
    assert_eq!(
        by_name("f1_class_10")
            .unwrap()
            .validate(&Shape::from([10]), &ten)
            .unwrap_err()
            .to_string(),
        "f1 is asked for class 10, and there are classes 0 to 9"
    );
    assert!(by_name("top_class_1").is_err());
    assert!(TopK::new(0).validate(&Shape::from([10]), &ten).is_err());
    assert!(TopK::new(11).validate(&Shape::from([10]), &ten).is_err());
    assert!(Accuracy.validate(&Shape::from([1]), &Targets::Classes(2)).is_ok());
    let micro: Precision = serde_json::from_str(r#"{"average": "micro"}"#).unwrap();
    assert_eq!(micro, Precision::new().average(Average::Micro));
}

/// Scores of class 1 and of class 0 by scikit-learn 1.9 (`average="binary"`, `pos_label`), and its macro averages.
#[test]
fn of_two_classes_one_is_positive() {
    let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} instead of {b}");
    // 3 true negatives, 1 false positive, 2 false negatives, 4 true positives.
    let counts = [(0, 0, 3), (0, 1, 1), (1, 0, 2), (1, 1, 4)];
    let samples = |output: fn(usize) -> Vec<Float>| -> Vec<(Vec<Float>, Target<'static>)> {
        let of = |(truth, predicted, n)| vec![(output(predicted), Target::Class(truth)); n];
        counts.into_iter().flat_map(of).collect()
    };
    let one: fn(usize) -> Vec<Float> = |class| vec![[0.3, 0.7][class]];
    let two: fn(usize) -> Vec<Float> = |class| vec![[0.7, 0.3][class], [0.3, 0.7][class]];
    for samples in [samples(one), samples(two)] {
        for (average, precision, recall, f1) in [
            (Average::Usual, 0.8, 4.0 / 6.0, 8.0 / 11.0),
            (Average::Positive(1), 0.8, 4.0 / 6.0, 8.0 / 11.0),
            (Average::Positive(0), 0.6, 0.75, 6.0 / 9.0),
            (Average::Macro, 0.7, 17.0 / 24.0, 46.0 / 66.0),
            (Average::Micro, 0.7, 0.7, 0.7),
        ] {
            near(measure(&Precision::new().average(average), &samples), precision);
            near(measure(&Recall::new().average(average), &samples), recall);
            near(measure(&F1::new().average(average), &samples), f1);
        }
    }
}

/// Samples with several labels or none, as scikit-learn 1.9 measures them: `accuracy_score` and `f1_score` of indicators.
#[test]
fn several_labels_are_decided_one_by_one() {
    let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} instead of {b}");
    let right = [(vec![0.9, 0.95, 0.1], Target::Values(&[1.0, 1.0, 0.0]))];
    for name in [
        "accuracy",
        "precision",
        "recall",
        "f1",
        "f1_micro",
        "f1_macro",
        "f1_class_1",
    ] {
        near(measure(&*by_name(name).unwrap(), &right), 1.0);
    }
    assert!(measure(&TopK::new(2), &right).is_nan());
    // The first has one label, as a class would: that there are several is seen later.
    let samples = [
        (vec![0.1, 0.6, 0.9], Target::Values(&[0.0, 1.0, 0.0])),
        (vec![0.9, 0.95, 0.1], Target::Values(&[1.0, 1.0, 0.0])),
        (vec![0.2, 0.1, 0.3], Target::Values(&[0.0, 0.0, 0.0])),
        (vec![0.2, 0.7, 0.3], Target::Values(&[1.0, 1.0, 0.0])),
    ];
    near(measure(&Accuracy, &samples), 0.5);
    // Of the labels: 1 of 1 predicted and of 2 there; 3 of 3 and of 3; 0 of 1 and of 0.
    near(measure(&Precision::default(), &samples), (1.0 + 1.0 + 0.0) / 3.0);
    near(measure(&Recall::default(), &samples), (0.5 + 1.0 + 0.0) / 3.0);
    near(measure(&F1::default(), &samples), (2.0 / 3.0 + 1.0 + 0.0) / 3.0);
    near(measure(&F1::new().average(Average::Micro), &samples), 8.0 / 10.0);
    near(measure(&F1::new().average(Average::Positive(0)), &samples), 2.0 / 3.0);
    // One label each: these are classes, and the largest output counts.
    near(
        measure(&Accuracy, &[(vec![0.3, 0.4, 0.1], Target::Values(&[0.0, 1.0, 0.0]))]),
        1.0,
    );
}

#[test]
fn what_a_meter_has_counted_comes_back() {
    let labels = [
        (vec![0.9, 0.95, 0.1], Target::Values(&[1.0, 1.0, 0.0])),
        (vec![0.2, 0.7, 0.3], Target::Values(&[1.0, 1.0, 0.0])),
    ];
    let classes = [
        (says(1), Target::Class(1)),
        (says(0), Target::Class(2)),
        (says(2), Target::Class(2)),
    ];
    for name in ["accuracy", "top_2", "precision", "f1_class_1"] {
        for samples in [&labels[..], &classes[..]] {
            let metric = by_name(name).unwrap();
            let (mut first, mut second) = (metric.meter(&Shape::from(3)), metric.meter(&Shape::from(3)));
            samples.iter().for_each(|(y, target)| first.add(y, *target));
            assert!(second.restore(&first.saved().unwrap()));
            let (a, b) = (first.value(), second.value());
            assert!(a == b || a.is_nan() && b.is_nan(), "{name}: {a}, {b}");
            assert!(!second.restore(&[1.0; 5]), "{name}");
        }
    }
    // As versions before wrote it.
    let mut meter = Accuracy.meter(&Shape::from(3));
    assert!(meter.restore(&[1.0, 2.0]));
    assert_eq!(meter.value(), 0.5);
    let mut meter = Recall::new().average(Average::Macro).meter(&Shape::from(2));
    assert!(meter.restore(&[3.0, 1.0, 2.0, 4.0]));
    assert_eq!(meter.value(), (0.75 + 4.0 / 6.0) / 2.0);
}
