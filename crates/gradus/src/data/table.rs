//! A table as it was read.

use ndarray::{Array1, Array2};

use super::Arrays;
use crate::{Error, Float, Result};

/// The rows of a table as [`Csv::read_table`](super::Csv::read_table) reads them: in 64 bits, so that large numbers (times,
/// coordinates) keep their differences until they are scaled, and with the names of the columns.
///
/// ```
/// use gradus::data::{Csv, Dataset};
/// let text = "time,price\n1700000000,10\n1700000001,20\n1700000002,30\n";
/// let table = Csv::regression("price").parse_table(text.as_bytes())?;
/// assert_eq!(table.column_names(), Some(&["time".to_string()][..]));
/// // Seconds after the second row; rounded to 32 bits, all three times are the same.
/// let scaled = table.scaled(&[1_700_000_001.0], &[1.0], Some((20.0, 10.0)))?;
/// let mut x = [0.0];
/// scaled.read(0, &mut x)?;
/// assert_eq!(x, [-1.0]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Table {
    pub(super) columns: Option<Vec<String>>,
    pub(super) target: Option<String>,
    pub(super) unused: Vec<String>,
    /// The number of values in a row.
    pub(super) width: usize,
    pub(super) values: Vec<f64>,
    pub(super) targets: TableTargets,
}

/// The target column.
#[derive(Debug, Clone)]
pub(super) enum TableTargets {
    Classes { labels: Vec<usize>, names: Vec<String> },
    Values(Vec<f64>),
}

impl Table {
    /// The names of the columns beside the target, in the order of a row's values, if the table has names.
    pub fn column_names(&self) -> Option<&[String]> {
        self.columns.as_deref()
    }

    /// The name of the target column, if the table has names.
    pub fn target_name(&self) -> Option<&str> {
        self.target.as_deref()
    }

    /// The names of the columns that were left out, since [`Csv::columns`](super::Csv::columns) does not name them.
    pub fn unused(&self) -> &[String] {
        &self.unused
    }

    /// The values of each row, without the target.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        self.values.chunks_exact(self.width)
    }

    /// The class of each row, if targets are classes.
    pub fn labels(&self) -> Option<&[usize]> {
        match &self.targets {
            TableTargets::Classes { labels, .. } => Some(labels),
            TableTargets::Values(_) => None,
        }
    }

    /// The names of the classes, if targets are classes.
    pub fn class_names(&self) -> Option<&[String]> {
        match &self.targets {
            TableTargets::Classes { names, .. } => Some(names),
            TableTargets::Values(_) => None,
        }
    }

    /// The target of each row, if targets are values.
    pub fn target_values(&self) -> Option<&[f64]> {
        match &self.targets {
            TableTargets::Classes { .. } => None,
            TableTargets::Values(values) => Some(values),
        }
    }

    /// The rows as they are, rounded to [`Float`].
    ///
    /// # Errors
    /// Never, for a table that was read.
    pub fn to_arrays(&self) -> Result<Arrays> {
        self.scaled(&vec![0.0; self.width], &vec![1.0; self.width], None)
    }

    /// The rows with each column scaled, z = (x - mean) / deviation, computed in 64 bits and then rounded to [`Float`]. Target
    /// values are scaled by the mean and the deviation in `target`, if it is given.
    ///
    /// # Errors
    /// If there is not one mean and one deviation for each column, or a number is not finite after scaling.
    pub fn scaled(&self, mean: &[f64], deviation: &[f64], target: Option<(f64, f64)>) -> Result<Arrays> {
        if mean.len() != self.width || deviation.len() != self.width {
            return Err(Error::invalid(format!(
                "{} means and {} deviations were given for {} columns",
                mean.len(),
                deviation.len(),
                self.width
            )));
        }
        let values = self.rows().flat_map(|row| {
            let scales = mean.iter().zip(deviation);
            row.iter()
                .zip(scales)
                .map(|(x, (mean, deviation))| ((x - mean) / deviation) as Float)
        });
        let samples = Array2::from_shape_vec((self.rows().len(), self.width), values.collect())
            .map_err(|e| Error::invalid(e.to_string()))?;
        match &self.targets {
            TableTargets::Classes { labels, names } => {
                Arrays::classes(samples, labels.iter().copied(), names.len())?.with_class_names(names)
            }
            TableTargets::Values(values) => {
                let (mean, deviation) = target.unwrap_or((0.0, 1.0));
                let scaled: Array1<Float> = values.iter().map(|t| ((t - mean) / deviation) as Float).collect();
                Arrays::values(samples, scaled)
            }
        }
    }
}
