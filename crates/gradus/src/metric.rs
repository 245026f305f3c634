//! What is watched beside the loss.

mod classification;
mod confusion;
mod decisions;
mod regression;

use std::fmt::Debug;

use serde_json::{Value, json};

use crate::data::{Target, Targets};
use crate::registry::{Registry, list};
use crate::{Float, Result, Shape};

pub use classification::predicted_class;
pub use confusion::{Average, ConfusionMatrix};

// A metric's file and its type, and an example with other settings than the default ones.
list! {
    METRICS of Metric:
    classification::Accuracy, Accuracy;
    classification::TopK, TopK::new(2);
    classification::Precision, Precision::new().average(Average::Micro);
    classification::Recall, Recall::new().average(Average::Positive(1));
    classification::F1, F1::new().average(Average::Macro);
    regression::MeanAbsoluteError, MeanAbsoluteError;
    regression::MeanSquaredError, MeanSquaredError;
    regression::R2, R2;
}

/// Something watched during training and evaluation. It describes; a [`Meter`] of its making counts.
///
/// ```
/// use gradus::{Float, Result, Shape, data::{Target, Targets}, metric::{Meter, Metric}};
///
/// /// The largest error of any output: max |y - t|.
/// #[derive(Debug)]
/// struct WorstError;
/// impl Metric for WorstError {
///     fn name(&self) -> String {
///         "worst_error".into()
///     }
///     fn higher_is_better(&self) -> bool {
///         false
///     }
///     fn validate(&self, _output: &Shape, targets: &Targets) -> Result<()> {
///         match targets {
///             Targets::Values(_) => Ok(()),
///             Targets::Classes(_) => Err(gradus::Error::invalid("the worst error needs target values, not classes")),
///         }
///     }
///     fn meter(&self, _output: &Shape) -> Box<dyn Meter> {
///         Box::new(Worst(f64::NAN))
///     }
/// }
///
/// #[derive(Debug)]
/// struct Worst(f64);
/// impl Meter for Worst {
///     fn add(&mut self, y: &[Float], target: Target<'_>) {
///         let Target::Values(t) = target else { return };
///         for (y, t) in y.iter().zip(t) {
///             self.0 = self.0.max(f64::from((y - t).abs()));
///         }
///     }
///     fn value(&self) -> f64 {
///         self.0
///     }
///     fn reset(&mut self) {
///         self.0 = f64::NAN;
///     }
/// }
///
/// let mut meter = WorstError.meter(&Shape::from(2));
/// meter.add(&[1.0, 2.0], Target::Values(&[1.5, 2.25]));
/// assert_eq!(meter.value(), 0.5);
/// ```
#[doc(alias = "watch")]
pub trait Metric: Debug + Send + Sync {
    /// Its name, as in histories and tables: `accuracy`.
    fn name(&self) -> String;

    /// The name of its kind, under which it is [registered](crate::Registry), if settings change its [name](Metric::name): `top_k`,
    /// of which one is called `top_5`.
    fn kind(&self) -> String {
        self.name()
    }

    /// Its settings as JSON, from which the type [registered](crate::Registry) for its name makes it again: an object, or null if
    /// it has none. `None`, unless it is implemented, is one that neither files nor checkpoints can hold.
    fn settings(&self) -> Option<serde_json::Value> {
        None
    }

    /// Whether more is better.
    fn higher_is_better(&self) -> bool;

    /// Whether it can compare outputs of this shape with such targets; if not, a sentence that says what it needs.
    fn validate(&self, output: &Shape, targets: &Targets) -> Result<()>;

    /// A new, empty meter for outputs of this shape.
    fn meter(&self, output: &Shape) -> Box<dyn Meter>;
}

/// Counts one metric over samples.
pub trait Meter: Debug + Send {
    /// Takes one sample's output into account.
    fn add(&mut self, y: &[Float], target: Target<'_>);

    /// The metric over all samples since the last [`reset`](Meter::reset); NaN if there were none.
    fn value(&self) -> f64;

    /// Forgets all samples.
    fn reset(&mut self);

    /// All that it knows of the samples so far, for a checkpoint in the middle of an epoch; `None` if it can't say, and then
    /// checkpoints are made at the ends of epochs only.
    fn saved(&self) -> Option<Vec<f64>> {
        None
    }

    /// Knows what [`saved`](Meter::saved) gave, and nothing else; false if that is of another meter.
    fn restore(&mut self, saved: &[f64]) -> bool {
        let _ = saved;
        false
    }
}

/// A count among what a meter saved; a file may hold anything.
fn counted(saved: f64) -> u64 {
    saved.clamp(0.0, (1_u64 << 53) as f64) as u64
}

/// The metric of this name; `top_` and any number names a [`TopK`]; `_macro`, `_micro`, or `_class_` and a number after the name
/// of a score is its [average](Average).
///
/// ```
/// use gradus::metric;
/// assert_eq!(metric::by_name("top_3")?.name(), "top_3");
/// assert_eq!(metric::by_name("f1_class_0")?.name(), "f1_class_0");
/// let error = metric::by_name("auc").unwrap_err().to_string();
/// assert!(error.starts_with("there is no metric \"auc\"; choose one of accuracy, top_k, precision"));
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Errors
/// If no metric has this name; the sentence lists the names.
pub fn by_name(name: &str) -> Result<Box<dyn Metric>> {
    Registry::default().metric(name, json!({}))
}

/// The kind, the setting and its value that a name with a setting in it stands for: `top_3`, `f1_macro`, `recall_class_2`.
pub(crate) fn in_short(name: &str) -> Option<(&str, &'static str, Value)> {
    if let Some(k) = name.strip_prefix("top_").and_then(|k| k.parse::<u64>().ok()) {
        return Some(("top_k", "k", json!(k)));
    }
    if let Some((base, class)) = name.rsplit_once("_class_") {
        let class: u64 = class.parse().ok()?;
        return Some((base, "average", json!({ "positive": class })));
    }
    let (base, average) = name.rsplit_once('_')?;
    ["macro", "micro"]
        .contains(&average)
        .then(|| (base, "average", json!(average)))
}

#[cfg(test)]
mod tests;
