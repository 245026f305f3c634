//! How often the right class is found.

use serde::{Deserialize, Serialize};

use super::decisions::Decisions;
use super::{Average, ConfusionMatrix, Meter, Metric, counted};
use crate::data::{Target, Targets};
use crate::loss::check_shapes;
use crate::{Error, Float, Result, Shape};

/// The class that a network's output stands for: the largest of its values, the first among equals; of a single value, which
/// has to be a probability, 1 if it is above 0.5, else 0. A single logit has to be made into a probability first, as
/// [`Network::output_activation`](crate::Network::output_activation) says.
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

/// Whether a target of values has several labels, or none: its values don't sum to 1, as those of a class or the probabilities
/// of classes do.
fn is_multi_label(target: Target<'_>) -> bool {
    match target {
        Target::Values(t) if t.len() > 1 => (t.iter().sum::<Float>() - 1.0).abs() > 0.01,
        _ => false,
    }
}

/// Whether a value says that its label is there.
fn is_set(value: Float) -> bool {
    value > 0.5
}

/// The share of samples whose [predicted class](predicted_class) is the right one. Of a target of values, the right class is
/// the largest value's (of a single value, whether it is above 0.5).
///
/// Where a sample may have several labels or none (the values of some target don't sum to 1), it is the share of samples whose
/// labels are all right: each output is above 0.5 where its target is, and nowhere else (the exact match ratio).
///
/// ```
/// use gradus::{data::Target, metric::{Accuracy, Metric}};
/// let mut meter = Accuracy.meter(&[3].into());
/// meter.add(&[0.9, 0.95, 0.1], Target::Values(&[1.0, 1.0, 0.0]));
/// meter.add(&[0.9, 0.1, 0.1], Target::Values(&[1.0, 1.0, 0.0]));
/// assert_eq!(meter.value(), 0.5);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Accuracy;

impl Metric for Accuracy {
    fn name(&self) -> String {
        "accuracy".into()
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn higher_is_better(&self) -> bool {
        true
    }

    fn validate(&self, output: &Shape, targets: &Targets) -> Result<()> {
        check_shapes("accuracy", output, targets)
    }

    fn meter(&self, _output: &Shape) -> Box<dyn Meter> {
        Box::new(Proportion::new(
            |y, target| predicted_class(y) == true_class(target),
            Some(all_labels_are_right),
        ))
    }
}

/// Whether each output says of its label what the target says.
fn all_labels_are_right(y: &[Float], t: &[Float]) -> bool {
    y.iter().zip(t).all(|(&y, &t)| is_set(y) == is_set(t))
}

/// The share of samples whose right class is among the `k` largest outputs; among equal ones the first are taken. Where a sample
/// may have several labels or none it is NaN: there is no right class.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TopK {
    k: usize,
}

/// The usual five.
impl Default for TopK {
    fn default() -> Self {
        TopK { k: 5 }
    }
}

impl TopK {
    /// The share of samples whose right class is among the `k` largest outputs.
    pub fn new(k: usize) -> Self {
        TopK { k }
    }
}

impl Metric for TopK {
    fn name(&self) -> String {
        format!("top_{}", self.k)
    }

    fn kind(&self) -> String {
        "top_k".into()
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn higher_is_better(&self) -> bool {
        true
    }

    fn validate(&self, output: &Shape, targets: &Targets) -> Result<()> {
        let outputs = output.size();
        if self.k == 0 || outputs == 1 || self.k > outputs {
            return Err(Error::invalid(format!(
                "{} needs an output for each class, and from 1 to as many classes to choose; the network gives {outputs}",
                self.name()
            )));
        }
        check_shapes(&self.name(), output, targets)
    }

    fn meter(&self, _output: &Shape) -> Box<dyn Meter> {
        let k = self.k;
        let holds = move |y: &[Float], target: Target<'_>| {
            let class = true_class(target);
            let Some(&right) = y.get(class) else { return false };
            let ahead = |&(i, &y): &(usize, &Float)| y > right || (y == right && i < class);
            !right.is_nan() && y.iter().enumerate().filter(ahead).count() < k
        };
        Box::new(Proportion::new(holds, None))
    }
}

/// What holds of a sample's output and the values of its target.
type LabelsAre = fn(&[Float], &[Float]) -> bool;

/// The share of samples for which something holds.
struct Proportion<F> {
    /// What holds of a sample of one class.
    holds: F,
    /// What holds of a sample's labels, if it may have several; none if nothing can be said then.
    labels: Option<LabelsAre>,
    count: u64,
    label_count: u64,
    samples: u64,
    /// Whether a sample was seen that has several labels or none. Then all are of that kind, also those that have one by chance.
    multi_label: bool,
}

impl<F: Fn(&[Float], Target<'_>) -> bool> Proportion<F> {
    fn new(holds: F, labels: Option<LabelsAre>) -> Self {
        Proportion {
            holds,
            labels,
            count: 0,
            label_count: 0,
            samples: 0,
            multi_label: false,
        }
    }
}

impl<F> std::fmt::Debug for Proportion<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Proportion({} of {})", self.count, self.samples)
    }
}

impl<F: Fn(&[Float], Target<'_>) -> bool + Send> Meter for Proportion<F> {
    fn add(&mut self, y: &[Float], target: Target<'_>) {
        self.samples += 1;
        self.count += u64::from((self.holds)(y, target));
        if let (Some(labels), Target::Values(t)) = (self.labels, target) {
            self.label_count += u64::from(labels(y, t));
        }
        self.multi_label |= is_multi_label(target);
    }

    fn value(&self) -> f64 {
        let count = match (self.multi_label, self.labels) {
            (true, None) => return f64::NAN,
            (true, Some(_)) => self.label_count,
            (false, _) => self.count,
        };
        count as f64 / self.samples as f64
    }

    fn reset(&mut self) {
        (self.count, self.label_count, self.samples, self.multi_label) = (0, 0, 0, false);
    }

    fn saved(&self) -> Option<Vec<f64>> {
        let counts = [self.count, self.samples, self.label_count, u64::from(self.multi_label)];
        Some(counts.map(|count| count as f64).to_vec())
    }

    fn restore(&mut self, saved: &[f64]) -> bool {
        // Older versions did not count labels.
        let (count, samples, label_count, multi_label) = match *saved {
            [count, samples] => (count, samples, 0.0, 0.0),
            [count, samples, label_count, multi_label] => (count, samples, label_count, multi_label),
            _ => return false,
        };
        (self.count, self.samples, self.label_count) = (counted(count), counted(samples), counted(label_count));
        self.multi_label = multi_label != 0.0;
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
            average: Average,
        }

        impl $type {
            /// That of class 1 of two classes, and the mean over more ([`Average::Usual`]).
            pub fn new() -> Self {
                $type::default()
            }

            /// How the scores of the classes become one; of labels, where a sample may have several or none, the mean is the
            /// usual.
            pub fn average(mut self, average: Average) -> Self {
                self.average = average;
                self
            }
        }

        impl Metric for $type {
            fn name(&self) -> String {
                match self.average {
                    Average::Usual => $name.into(),
                    Average::Positive(class) => format!(concat!($name, "_class_{}"), class),
                    Average::Macro => concat!($name, "_macro").into(),
                    Average::Micro => concat!($name, "_micro").into(),
                }
            }

            fn kind(&self) -> String {
                $name.into()
            }

            fn settings(&self) -> Option<serde_json::Value> {
                serde_json::to_value(self).ok()
            }

            fn higher_is_better(&self) -> bool {
                true
            }

            fn validate(&self, output: &Shape, targets: &Targets) -> Result<()> {
                check_shapes($name, output, targets)?;
                let classes = output.size().max(2);
                let most = ConfusionMatrix::MOST_CLASSES;
                if classes > most {
                    return Err(Error::invalid(format!(
                        "{} counts how often each class is taken for each other, of {most} classes at most, and there are \
                         {classes}: accuracy and top_5 take any number",
                        $name
                    )));
                }
                match self.average {
                    Average::Positive(class) if class >= classes => Err(Error::invalid(format!(
                        "{} is asked for class {class}, and there are classes 0 to {}",
                        $name,
                        classes - 1
                    ))),
                    _ => Ok(()),
                }
            }

            fn meter(&self, output: &Shape) -> Box<dyn Meter> {
                Box::new(Score {
                    matrix: ConfusionMatrix::new(output.size().max(2)),
                    labels: vec![Decisions::default(); output.size()],
                    multi_label: false,
                    average: self.average,
                    score: $score,
                })
            }
        }
    };
}

score! {
    /// Of the samples taken for a class, the share that are of it; 0 for a class that is never predicted. Of two classes that of
    /// class 1, of more the mean over the classes, unless the [`Average`] says otherwise. See also [`ConfusionMatrix::precision`].
    ///
    /// Where a sample may have several labels or none (the values of some target don't sum to 1), each label is a class, taken
    /// where its output is above 0.5.
    Precision, "precision", Decisions::precision
}

score! {
    /// Of the samples of a class, the share that are taken for it. Of two classes that of class 1, of more the mean over the
    /// classes, unless the [`Average`] says otherwise. See also [`ConfusionMatrix::recall`]; of several labels as [`Precision`].
    Recall, "recall", Decisions::recall
}

score! {
    /// The harmonic mean of a class's precision and recall. Of two classes that of class 1, of more the mean over the classes,
    /// unless the [`Average`] says otherwise. See also [`ConfusionMatrix::f1`]; of several labels as [`Precision`].
    F1, "f1", Decisions::f1
}

/// The meter of [`Precision`], [`Recall`] and [`F1`].
#[derive(Debug)]
struct Score {
    /// Of samples of one class.
    matrix: ConfusionMatrix,
    /// Of each label, where a sample may have several.
    labels: Vec<Decisions>,
    /// Whether a sample was seen that has several labels or none. Then all are of that kind, also those that have one by chance.
    multi_label: bool,
    average: Average,
    score: fn(&Decisions) -> f64,
}

impl Meter for Score {
    fn add(&mut self, y: &[Float], target: Target<'_>) {
        self.matrix.add(true_class(target), predicted_class(y));
        if let Target::Values(t) = target {
            for ((label, &y), &t) in self.labels.iter_mut().zip(y).zip(t) {
                label.add(is_set(t), is_set(y));
            }
        }
        self.multi_label |= is_multi_label(target);
    }

    fn value(&self) -> f64 {
        if !self.multi_label {
            return (self.matrix).average(self.average, |matrix, class| (self.score)(&matrix.decisions(class)));
        }
        match self.average {
            Average::Positive(label) => self.labels.get(label).map_or(f64::NAN, self.score),
            Average::Micro => (self.score)(&self.labels.iter().copied().sum()),
            Average::Macro | Average::Usual => {
                let occurring = self.labels.iter().filter(|label| label.occurs());
                let (sum, n) = occurring.fold((0.0, 0.0), |(sum, n), label| (sum + (self.score)(label), n + 1.0));
                sum / n
            }
        }
    }

    fn reset(&mut self) {
        self.matrix.clear();
        self.labels.fill(Decisions::default());
        self.multi_label = false;
    }

    fn saved(&self) -> Option<Vec<f64>> {
        let labels = self
            .labels
            .iter()
            .flat_map(|label| [label.right, label.predicted, label.actual]);
        let counts = [u64::from(self.multi_label)].into_iter().chain(labels);
        let counts = counts.chain(self.matrix.counts().iter().flatten().copied());
        Some(counts.map(|count| count as f64).collect())
    }

    fn restore(&mut self, saved: &[f64]) -> bool {
        let saved: Vec<u64> = saved.iter().copied().map(counted).collect();
        let of_labels = 1 + 3 * self.labels.len();
        let old = saved.len() == self.matrix.counts().len().pow(2);
        // Older versions did not count labels.
        let (labels, matrix) = match saved.split_at_checked(of_labels) {
            Some((labels, matrix)) if !old => (labels, matrix),
            _ => (&[][..], &saved[..]),
        };
        self.multi_label = labels.first().is_some_and(|&multi_label| multi_label != 0);
        let counts = labels.get(1..).unwrap_or_default().chunks_exact(3);
        self.labels.fill(Decisions::default());
        for (label, counts) in self.labels.iter_mut().zip(counts) {
            (label.right, label.predicted, label.actual) = (counts[0], counts[1], counts[2]);
        }
        self.matrix.set_counts(matrix.to_vec())
    }
}
