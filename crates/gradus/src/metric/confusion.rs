//! Which classes are taken for which.

use serde::{Deserialize, Serialize};

use super::decisions::Decisions;

/// How often samples of each class were taken for each class.
///
/// Of a class, the *true positives* are its samples taken for it; precision is their share of all that was taken for it, and
/// recall their share of all its samples. Where a share is of nothing (a class that was never predicted has no precision) it
/// counts as 0.
///
/// ```
/// use gradus::metric::{Average, ConfusionMatrix};
/// let mut matrix = ConfusionMatrix::new(3);
/// for (truth, predicted) in [(0, 0), (0, 0), (0, 1), (1, 1), (2, 1), (2, 2)] {
///     matrix.add(truth, predicted);
/// }
/// assert_eq!(matrix.counts()[0], [2, 1, 0]);
/// assert_eq!(matrix.precision(1), 1.0 / 3.0);
/// assert_eq!(matrix.recall(0), 2.0 / 3.0);
/// assert_eq!(matrix.f1(2), 2.0 / 3.0); // precision 1, recall 1/2
/// assert_eq!(matrix.accuracy(), 4.0 / 6.0);
/// assert_eq!(matrix.average(Average::Macro, ConfusionMatrix::recall), (2.0 / 3.0 + 1.0 + 0.5) / 3.0);
/// assert_eq!(matrix.most_confused(5), [(0, 1, 1), (2, 1, 1)]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfusionMatrix {
    counts: Vec<Vec<u64>>,
}

/// How the scores of several classes become one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Average {
    /// Of two classes the score of class 1, the positive one, as [`Positive`](Average::Positive) with 1; of more the mean over
    /// the classes, as [`Macro`](Average::Macro).
    #[default]
    Usual,
    /// The score of this class alone.
    Positive(usize),
    /// The mean over the classes that occur, as truth or as prediction: each weighs the same, however few its samples.
    Macro,
    /// The score of all decisions together: each sample weighs the same. Where each sample has one class and gets one, every
    /// false positive of a class is a false negative of another, so precision, recall and F1 are all equal to accuracy.
    Micro,
}

impl ConfusionMatrix {
    /// The most classes of which metrics keep a matrix: it takes 2 GiB.
    pub const MOST_CLASSES: usize = 1 << 14;

    /// An empty matrix for `classes` classes, which takes 8 · classes² bytes.
    ///
    /// # Panics
    /// If there is no memory for it.
    pub fn new(classes: usize) -> Self {
        ConfusionMatrix {
            counts: vec![vec![0; classes]; classes],
        }
    }

    /// Counts a sample of class `truth` that was taken for class `predicted`. A class beyond the matrix enlarges it.
    ///
    /// # Panics
    /// If there is no memory for a matrix with these classes.
    pub fn add(&mut self, truth: usize, predicted: usize) {
        let classes = self.classes().max(truth.max(predicted).saturating_add(1));
        if classes > self.classes() {
            self.counts.iter_mut().for_each(|row| row.resize(classes, 0));
            self.counts.resize(classes, vec![0; classes]);
        }
        self.counts[truth][predicted] += 1;
    }

    /// Sets all counts, row by row; false if they are not of a square matrix.
    pub(super) fn set_counts(&mut self, counts: Vec<u64>) -> bool {
        let classes = counts.len().isqrt();
        if classes == 0 || classes * classes != counts.len() {
            return false;
        }
        self.counts = counts.chunks(classes).map(<[u64]>::to_vec).collect();
        true
    }

    /// Forgets all samples.
    pub fn clear(&mut self) {
        self.counts.iter_mut().for_each(|row| row.fill(0));
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.counts.len()
    }

    /// The counts: `counts()[truth][predicted]`.
    pub fn counts(&self) -> &[Vec<u64>] {
        &self.counts
    }

    /// The number of samples.
    pub fn samples(&self) -> u64 {
        self.counts.iter().flatten().sum()
    }

    /// The number of samples of this class.
    pub fn support(&self, class: usize) -> u64 {
        self.counts.get(class).map_or(0, |row| row.iter().sum())
    }

    /// The number of samples taken for this class.
    pub fn predictions(&self, class: usize) -> u64 {
        self.counts.iter().filter_map(|row| row.get(class)).sum()
    }

    /// The number of samples of this class that were taken for it.
    pub fn true_positives(&self, class: usize) -> u64 {
        self.counts.get(class).map_or(0, |row| row[class])
    }

    /// Of the samples taken for this class, the share that are of it; 0 if none were.
    pub fn precision(&self, class: usize) -> f64 {
        self.decisions(class).precision()
    }

    /// Of the samples of this class, the share that were taken for it; 0 if there are none.
    pub fn recall(&self, class: usize) -> f64 {
        self.decisions(class).recall()
    }

    /// The harmonic mean of precision and recall (van Rijsbergen, 1979); 0 if the class never occurs.
    pub fn f1(&self, class: usize) -> f64 {
        self.decisions(class).f1()
    }

    /// What was decided about this class.
    pub(super) fn decisions(&self, class: usize) -> Decisions {
        Decisions {
            right: self.true_positives(class),
            predicted: self.predictions(class),
            actual: self.support(class),
        }
    }

    /// The share of samples that were taken for their class; NaN if there are no samples.
    pub fn accuracy(&self) -> f64 {
        let right: u64 = (0..self.classes()).map(|class| self.true_positives(class)).sum();
        right as f64 / self.samples() as f64
    }

    /// One number for the scores of all classes ([`precision`](Self::precision), [`recall`](Self::recall) or
    /// [`f1`](Self::f1)); NaN if there are no samples.
    ///
    /// ```
    /// use gradus::metric::{Average, ConfusionMatrix};
    /// let mut matrix = ConfusionMatrix::new(2);
    /// for (truth, predicted) in [(0, 0), (0, 0), (0, 1), (1, 1)] {
    ///     matrix.add(truth, predicted);
    /// }
    /// assert_eq!(matrix.average(Average::Usual, ConfusionMatrix::precision), 0.5);
    /// assert_eq!(matrix.average(Average::Positive(0), ConfusionMatrix::precision), 1.0);
    /// assert_eq!(matrix.average(Average::Macro, ConfusionMatrix::precision), 0.75);
    /// ```
    pub fn average(&self, average: Average, score: impl Fn(&Self, usize) -> f64) -> f64 {
        match average {
            _ if self.samples() == 0 => f64::NAN,
            Average::Usual if self.classes() == 2 => score(self, 1),
            Average::Positive(class) => score(self, class),
            Average::Micro => self.accuracy(),
            Average::Macro | Average::Usual => {
                let classes = (0..self.classes()).filter(|&class| self.decisions(class).occurs());
                let (sum, n) = classes.fold((0.0, 0.0), |(sum, n), class| (sum + score(self, class), n + 1.0));
                sum / n
            }
        }
    }

    /// The `n` commonest confusions that occurred, as (class, taken for, how often), the commonest first and equals in order
    /// of the classes.
    pub fn most_confused(&self, n: usize) -> Vec<(usize, usize, u64)> {
        let mut confusions: Vec<(usize, usize, u64)> = Vec::new();
        for (truth, row) in self.counts.iter().enumerate() {
            for (predicted, &count) in row.iter().enumerate() {
                if truth != predicted && count > 0 {
                    confusions.push((truth, predicted, count));
                }
            }
        }
        confusions.sort_by_key(|&(_, _, count)| std::cmp::Reverse(count));
        confusions.truncate(n);
        confusions
    }
}
