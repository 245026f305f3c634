//! How often something was said to be there, and was.

/// Decisions about one class or label: how often it was predicted, how often it was there, and how often both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Decisions {
    /// True positives.
    pub right: u64,
    /// True and false positives.
    pub predicted: u64,
    /// True positives and false negatives.
    pub actual: u64,
}

impl Decisions {
    /// Counts one more.
    pub fn add(&mut self, actual: bool, predicted: bool) {
        self.right += u64::from(actual && predicted);
        self.predicted += u64::from(predicted);
        self.actual += u64::from(actual);
    }

    /// Whether it was ever there, or predicted.
    pub fn occurs(&self) -> bool {
        self.predicted + self.actual > 0
    }

    /// Of what was predicted, the share that was right; 0 if nothing was.
    pub fn precision(&self) -> f64 {
        share(self.right, self.predicted)
    }

    /// Of what was there, the share that was predicted; 0 if nothing was.
    pub fn recall(&self) -> f64 {
        share(self.right, self.actual)
    }

    /// The harmonic mean of the two; 0 if it never occurs.
    pub fn f1(&self) -> f64 {
        share(2 * self.right, self.predicted + self.actual)
    }
}

impl std::iter::Sum for Decisions {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Decisions::default(), |sum, one| Decisions {
            right: sum.right + one.right,
            predicted: sum.predicted + one.predicted,
            actual: sum.actual + one.actual,
        })
    }
}

/// part / whole, and 0 of nothing.
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
