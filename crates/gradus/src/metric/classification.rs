//! How often the right class is found.

use serde::{Deserialize, Serialize};

use super::{Average, ConfusionMatrix, Meter, Metric, counted};
use crate::data::{Target, Targets};
use crate::loss::wants;
use crate::{Error, Float, Result, Shape};

/// The class that a network's output stands for: the largest of its values, the first among equals; of a single value, 1 if
/// it is above 0.5, else 0.
///
/// ```
/// use gradus::metric::predicted_class;
/// assert_eq!(predicted_class(&[0.2, 0.4, 0.4]), 1);
/// assert_eq!(predicted_class(&[0.7]), 1);
/// ```
pub fn predicted_class(y: &[Float]) -> usize {
    if let [y] = y {
        return usize::from(*y > 0.5);
    }
    let mut best = 0;
    for (i, value) in y.iter().enumerate() {
        if *value > y[best] {
            best = i;
        }
    }
    best
}

/// The class that a target stands for.
fn true_class(target: Target<'_>) -> usize {
    match target {
        Target::Class(class) => class,
        Target::Values(values) => predicted_class(values),
    }
}

/// The share of samples whose [predicted class](predicted_class) is the right one. Of a target of values, the right class is
/// the largest value's (of a single value, whether it is above 0.5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Accuracy;

impl Metric for Accuracy {
    fn name(&self) -> String {
        "accuracy".into()
    }

    fn higher_is_better(&self) -> bool {
        true
    }

    fn validate(&self, output: &Shape, targets: &Targets) -> Result<()> {
        wants("accuracy", output, targets)
    }

    fn meter(&self, _output: &Shape) -> Box<dyn Meter> {
        Box::new(Share::new(|y, target| predicted_class(y) == true_class(target)))
    }
}

/// The share of samples whose right class is among the `k` largest outputs; among equal ones the first are taken.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TopK(pub usize);

impl Metric for TopK {
    fn name(&self) -> String {
        format!("top_{}", self.0)
    }

    fn higher_is_better(&self) -> bool {
        true
    }

    fn validate(&self, output: &Shape, targets: &Targets) -> Result<()> {
        let outputs = output.size();
        if self.0 == 0 || outputs == 1 || self.0 > outputs {
            return Err(Error::invalid(format!(
                "{} needs an output for each class, and from 1 to as many classes to choose; the network gives {outputs}",
                self.name()
            )));
        }
        wants(&self.name(), output, targets)
    }

    fn meter(&self, _output: &Shape) -> Box<dyn Meter> {
        let k = self.0;
        Box::new(Share::new(move |y, target| {
            let class = true_class(target);
            let Some(&right) = y.get(class) else { return false };
            let ahead = |&(i, &y): &(usize, &Float)| y > right || (y == right && i < class);
            !right.is_nan() && y.iter().enumerate().filter(ahead).count() < k
        }))
    }
}

/// The share of samples for which something holds.
struct Share<F> {
    holds: F,
    count: u64,
    samples: u64,
}

impl<F: Fn(&[Float], Target<'_>) -> bool> Share<F> {
    fn new(holds: F) -> Self {
        Share {
            holds,
            count: 0,
            samples: 0,
        }
    }
}

impl<F> std::fmt::Debug for Share<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Share({} of {})", self.count, self.samples)
    }
}

impl<F: Fn(&[Float], Target<'_>) -> bool + Send> Meter for Share<F> {
    fn add(&mut self, y: &[Float], target: Target<'_>) {
        self.count += u64::from((self.holds)(y, target));
        self.samples += 1;
    }

    fn value(&self) -> f64 {
        self.count as f64 / self.samples as f64
    }

    fn reset(&mut self) {
        (self.count, self.samples) = (0, 0);
    }

    fn saved(&self) -> Option<Vec<f64>> {
        Some(vec![self.count as f64, self.samples as f64])
    }

    fn restore(&mut self, saved: &[f64]) -> bool {
        let &[count, samples] = saved else { return false };
        (self.count, self.samples) = (counted(count), counted(samples));
        true
    }
}

/// Declares a metric that is a score of the [`ConfusionMatrix`], averaged over classes.
macro_rules! score {
    ($(#[$doc:meta])* $type:ident, $name:literal, $score:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $type {
            /// How the scores of the classes become one.
            pub average: Average,
        }

        impl $type {
            /// With this average.
            pub fn new(average: Average) -> Self {
                $type { average }
            }
        }

        impl Metric for $type {
            fn name(&self) -> String {
                match self.average {
                    Average::Macro => $name.into(),
                    Average::Micro => concat!($name, "_micro").into(),
                }
            }

            fn higher_is_better(&self) -> bool {
                true
            }

            fn validate(&self, output: &Shape, targets: &Targets) -> Result<()> {
                wants($name, output, targets)
            }

            fn meter(&self, output: &Shape) -> Box<dyn Meter> {
                let matrix = ConfusionMatrix::new(output.size().max(2));
                let average = self.average;
                Box::new(Score { matrix, average, score: $score })
            }
        }
    };
}

score! {
    /// Of the samples taken for a class, the share that are of it, averaged over the classes; 0 for a class that is never
    /// predicted. For single classes see [`ConfusionMatrix::precision`].
    Precision, "precision", ConfusionMatrix::precision
}

score! {
    /// Of the samples of a class, the share that are taken for it, averaged over the classes. For single classes see
    /// [`ConfusionMatrix::recall`].
    Recall, "recall", ConfusionMatrix::recall
}

score! {
    /// The harmonic mean of a class's precision and recall, averaged over the classes. For single classes see
    /// [`ConfusionMatrix::f1`].
    F1, "f1", ConfusionMatrix::f1
}

/// The meter of [`Precision`], [`Recall`] and [`F1`].
#[derive(Debug)]
struct Score {
    matrix: ConfusionMatrix,
    average: Average,
    score: fn(&ConfusionMatrix, usize) -> f64,
}

impl Meter for Score {
    fn add(&mut self, y: &[Float], target: Target<'_>) {
        self.matrix.add(true_class(target), predicted_class(y));
    }

    fn value(&self) -> f64 {
        self.matrix.average(self.average, self.score)
    }

    fn reset(&mut self) {
        self.matrix.clear();
    }

    fn saved(&self) -> Option<Vec<f64>> {
        let counts = self.matrix.counts().iter().flatten();
        Some(counts.map(|&count| count as f64).collect())
    }

    fn restore(&mut self, saved: &[f64]) -> bool {
        self.matrix.set_counts(saved.iter().copied().map(counted).collect())
    }
}
