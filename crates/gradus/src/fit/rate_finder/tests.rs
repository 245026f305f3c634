use ndarray::arr2;

use super::*;
use crate::data::Arrays;
use crate::prelude::*;

/// y = 2x at four points.
fn line() -> Arrays {
    let x = arr2(&[[-1.0], [0.5], [1.0], [2.0]]);
    Arrays::values(x.clone(), x * 2.0).unwrap()
}

fn network() -> Network {
    let mut network = Sequential::new([1]).layer(Dense::new(1).bias(false)).build(1).unwrap();
    network.set("0.weight", &[0.0]).unwrap();
    network
}

fn fit() -> Fit<'static> {
    Fit::new(MeanSquaredError, Sgd::new(0.5)).batch_size(4)
}

fn curve_of(smoothed: &[f64]) -> RateCurve {
    let point = |(i, &smoothed): (usize, &f64)| RatePoint {
        rate: 10f64.powi(i as i32),
        loss: smoothed,
        smoothed,
    };
    RateCurve {
        points: smoothed.iter().enumerate().map(point).collect(),
        diverged: false,
    }
}

/// The gradient of the mean of (w·x − 2x)² is 2 · (w − 2) · mean(x²), where mean(x²) = 1.5625.
#[test]
fn each_step_has_the_rate_of_the_formula() {
    let network = network();
    let finder = RateFinder::new().from(0.001).to(0.1).steps(5).smoothing(0.5);
    let curve = fit().find_rate(&network, &line(), &finder).unwrap();
    let (mut w, mut mean) = (0.0, 0.0);
    let rates = [0.001, 0.0031622777, 0.01, 0.031622777, 0.1];
    assert_eq!(curve.points.len(), 5);
    for (i, (point, rate)) in curve.points.iter().zip(rates).enumerate() {
        let loss = (w - 2.0f64).powi(2) * 1.5625;
        mean = 0.5 * mean + 0.5 * loss;
        let smoothed = mean / (1.0 - 0.5f64.powi(i as i32 + 1));
        for (found, expected) in [(point.rate, rate), (point.loss, loss), (point.smoothed, smoothed)] {
            assert!(
                (found - expected).abs() < 1e-5 * expected,
                "{found}, expected {expected}"
            );
        }
        w -= rate * 2.0 * (w - 2.0) * 1.5625;
    }
    assert!(!curve.diverged);
}

#[test]
fn the_search_ends_when_the_loss_explodes() {
    // Above a rate of 1 / 1.5625 each step makes the loss larger.
    let finder = RateFinder::new().from(1e-3).to(1e9).steps(60).smoothing(0.0);
    let curve = fit().find_rate(&network(), &line(), &finder).unwrap();
    assert!(curve.diverged && curve.points.len() < 30, "{}", curve.points.len());
    let [.., before, last] = &curve.points[..] else {
        panic!("several points")
    };
    let best = curve
        .points
        .iter()
        .map(|point| point.smoothed)
        .fold(f64::INFINITY, f64::min);
    assert!(before.smoothed <= 4.0 * best && last.smoothed > 4.0 * best);
    // The first step makes the weight infinite, the second finds it.
    let finder = RateFinder::new().from(1e38).to(1e39).steps(3);
    let curve = Fit::new(MeanSquaredError, Sgd::new(1.0)).find_rate(&network(), &line(), &finder);
    if let Ok(curve) = curve {
        assert!(curve.diverged, "{curve:?}");
    }
}

#[test]
fn the_network_stays_as_it_was() {
    let (train, _) = digits::load().unwrap();
    let layers = || Sequential::new([1, 8, 8]).layer(BatchNorm::new()).layer(Flatten);
    let network = layers().layer(Dense::new(10)).build(3).unwrap();
    let before = network.weights().clone();
    let search = || {
        let called = Progress::new();
        let fit = Fit::new(CrossEntropy::new(), Adam::new(0.001)).callback(called);
        let fit = fit.validation_split(0.2).metric(Accuracy);
        fit.find_rate(&network, &train, &RateFinder::new()).unwrap()
    };
    let curve = search();
    assert_eq!(network.weights(), &before);
    assert_eq!(curve, search());
    let rate = curve.suggestion().unwrap();
    assert!((1e-5..1.0).contains(&rate), "{rate}");
    assert!(curve.points.windows(2).all(|pair| pair[0].rate < pair[1].rate));
}

#[test]
fn suggestions_are_those_of_the_smoothed_curve() {
    // It falls by 1, 4 and 2, and then rises and falls by 9.
    let curve = curve_of(&[10.0, 9.0, 5.0, 3.0, 30.0, 21.0]);
    assert_eq!(curve.steepest(), Some(10.0));
    assert_eq!(curve.suggestion(), Some(10.0));
    assert_eq!(curve.tenth_of_lowest(), Some(100.0));
    // Of eleven points, the first has no part in it.
    let noisy = [20.0, 9.0, 8.0, 5.0, 5.0, 5.0, 4.0, 3.0, 2.0, 1.0, 9.0];
    assert_eq!(curve_of(&noisy).steepest(), Some(100.0));
    for rising in [curve_of(&[1.0, 2.0, 3.0]), curve_of(&[1.0, 1.0]), curve_of(&[])] {
        assert_eq!(rising.steepest(), None);
        assert_eq!(rising.tenth_of_lowest(), None);
    }
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let refused = |finder: RateFinder, sentence: &str| {
        let error = fit().find_rate(&network(), &line(), &finder).unwrap_err().to_string();
        assert!(error.contains(sentence), "{error}");
    };
    let range = "goes from a rate above 0 to a larger one";
    refused(RateFinder::new().from(0.0), range);
    refused(RateFinder::new().to(f64::INFINITY), range);
    refused(RateFinder::new().from(f64::NAN), range);
    refused(RateFinder::new().from(1.0).to(1.0), range);
    refused(RateFinder::new().steps(1), "at least 2 steps, got 1");
    refused(RateFinder::new().smoothing(1.0), "from 0 to less than 1, got 1");
}
