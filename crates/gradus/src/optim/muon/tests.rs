use super::super::advanced::update_tensor;
use super::*;

/// Matrices of given singular values: U·S·Vᵀ, where U and V are reflections.
struct Singular {
    rows: usize,
    columns: usize,
    u: Vec<f64>,
    v: Vec<f64>,
}

/// A unit vector.
fn unit(n: usize) -> Vec<f64> {
    let v: Vec<f64> = (0..n).map(|i| (1.0 + i as f64).sin() + 0.1).collect();
    let norm = v.iter().map(|v| v * v).sum::<f64>().sqrt();
    v.into_iter().map(|v| v / norm).collect()
}

impl Singular {
    fn new([rows, columns]: [usize; 2]) -> Self {
        Singular {
            rows,
            columns,
            u: unit(rows),
            v: unit(columns),
        }
    }

    /// U·M·Vᵀ, which is its own inverse.
    fn reflect(&self, m: &[f64]) -> Vec<f64> {
        let reflect = |w: &[f64], i: usize, j: usize| f64::from(u8::from(i == j)) - 2.0 * w[i] * w[j];
        let mut out = vec![0.0; m.len()];
        for i in 0..self.rows {
            for j in 0..self.columns {
                let mut sum = 0.0;
                for k in 0..self.rows {
                    for l in 0..self.columns {
                        sum += reflect(&self.u, i, k) * m[k * self.columns + l] * reflect(&self.v, l, j);
                    }
                }
                out[i * self.columns + j] = sum;
            }
        }
        out
    }

    fn with_values(&self, values: &[f64]) -> Vec<f64> {
        let mut m = vec![0.0; self.rows * self.columns];
        for (i, value) in values.iter().enumerate() {
            m[i * self.columns + i] = *value;
        }
        self.reflect(&m)
    }
}

/// The step of a new Muon from 0, with a learning rate of 1 and without a scale.
fn step(shape: [usize; 2], gradient: &[Float]) -> Vec<Float> {
    let muon = Muon::new(1.0);
    let (mut w, mut m, mut unused) = (
        vec![0.0; gradient.len()],
        vec![0.0; gradient.len()],
        vec![0.0; gradient.len()],
    );
    let shape = Shape::from(shape);
    let scale = muon.factor(&shape) as Float;
    update_tensor(
        &muon,
        Step::new(1, 1.0, true),
        &shape,
        &mut w,
        gradient,
        &mut [&mut m, &mut unused],
    );
    w.iter().map(|w| -w / scale).collect()
}

#[test]
fn singular_vectors_stay_and_singular_values_become_about_1() {
    for shape in [[4, 4], [3, 7], [7, 3], [1, 5], [5, 1]] {
        let singular = Singular::new(shape);
        let small = shape[0].min(shape[1]);
        let values: Vec<f64> = (0..small).map(|i| 3.0 * 0.4_f64.powi(i as i32)).collect();
        let gradient = singular.with_values(&values);
        let gradient: Vec<Float> = gradient.into_iter().map(|g| g as Float).collect();
        let found: Vec<f64> = step(shape, &gradient).into_iter().map(f64::from).collect();
        for (i, value) in singular.reflect(&found).into_iter().enumerate() {
            let (row, column) = (i / shape[1], i % shape[1]);
            if row == column {
                assert!((0.65..1.25).contains(&value), "{shape:?}: singular value {value}");
            } else {
                assert!(value.abs() < 1e-4, "{shape:?}: {value} in row {row}, column {column}");
            }
        }
    }
}

/// The transpose of a gradient gives the transpose, and its length makes no difference.
#[test]
fn a_step_depends_on_the_direction_alone() {
    let [rows, columns] = [6, 4];
    let gradient: Vec<Float> = (0..rows * columns).map(|i| (i as Float).sin()).collect();
    let found = step([rows, columns], &gradient);
    let transposed = |values: &[Float], [rows, columns]: [usize; 2]| -> Vec<Float> {
        let value = |i: usize| values[(i % rows) * columns + i / rows];
        (0..values.len()).map(value).collect()
    };
    let other = step([columns, rows], &transposed(&gradient, [rows, columns]));
    for (a, b) in transposed(&other, [columns, rows]).iter().zip(&found) {
        assert!((a - b).abs() < 1e-5, "{a}, {b}");
    }
    let longer: Vec<Float> = gradient.iter().map(|g| 1024.0 * g).collect();
    assert_eq!(step([rows, columns], &longer), found);
    assert_eq!(
        step([rows, columns], &vec![0.0; rows * columns]),
        vec![0.0; rows * columns]
    );
    let mut broken = gradient;
    broken[5] = Float::NAN;
    assert!(
        step([rows, columns], &broken).iter().any(|w| w.is_nan()),
        "for training to notice"
    );
}

#[test]
fn scales_depend_on_the_shape() {
    let factor = |scale, shape: &[usize]| Muon::new(1.0).scale(scale).factor(&Shape::from(shape));
    // A dense weight is inputs × outputs, and a kernel outputs × inputs.
    assert_eq!(factor(MuonScale::Original, &[2, 8]), 2.0);
    assert_eq!(factor(MuonScale::Original, &[8, 2]), 1.0);
    assert_eq!(factor(MuonScale::Original, &[36, 1, 3, 3]), 2.0);
    assert_eq!(factor(MuonScale::Original, &[4, 4, 3, 3]), 1.0);
    assert_eq!(factor(MuonScale::MatchRmsAdamw, &[25, 4]), 1.0);
    assert_eq!(factor(MuonScale::MatchRmsAdamw, &[1, 1, 5, 5]), 1.0);
}

#[test]
fn what_are_no_matrices_follows_adamw() {
    let muon = Muon::new(0.5)
        .adamw_learning_rate(0.1)
        .betas(0.8, 0.9)
        .weight_decay(0.3);
    let adamw = AdamW::new(0.1).betas(0.8, 0.9).weight_decay(0.3);
    let run = |optimizer: &dyn Optimizer| {
        let (mut w, mut m, mut v) = ([1.0, -2.0], [0.0; 2], [0.0; 2]);
        for number in 1..5 {
            // A schedule halves the rate.
            let rate = (optimizer.learning_rate() / 2.0) as Float;
            let dw = [0.1 * number as Float, -1.0];
            optimizer.update(Step::new(number, rate, true), &mut w, &dw, &mut [&mut m, &mut v]);
        }
        w
    };
    for (found, expected) in run(&muon).iter().zip(run(&adamw)) {
        assert!((found - expected).abs() < 1e-6, "{found}, {expected}");
    }
    let takes = |shape: &[usize], decays| muon.takes(&Shape::from(shape), decays);
    assert!(takes(&[2, 3], true) && takes(&[2, 3, 3, 3], true));
    assert!(!takes(&[3], true) && !takes(&[2, 3], false));
}
