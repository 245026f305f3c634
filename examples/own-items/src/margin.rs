//! A metric.

use gradus::data::{Target, Targets};
use gradus::metric::{Meter, Metric};
use gradus::{Error, Float, Result, Shape};
use serde::{Deserialize, Serialize};

/// The mean distance of the right class's probability from the largest of the others: below 0 where a sample is taken for another
/// class.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Margin;

impl Metric for Margin {
    fn name(&self) -> String {
        "margin".into()
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn higher_is_better(&self) -> bool {
        true
    }

    fn validate(&self, output: &Shape, targets: &Targets) -> Result<()> {
        match targets {
            Targets::Classes(classes) if *classes == output.size() && *classes > 1 => Ok(()),
            _ => Err(Error::invalid(
                "the margin needs classes, and an output for each of them",
            )),
        }
    }

    fn meter(&self, _output: &Shape) -> Box<dyn Meter> {
        Box::new(Mean { sum: 0.0, count: 0.0 })
    }
}

#[derive(Debug)]
struct Mean {
    sum: f64,
    count: f64,
}

impl Meter for Mean {
    fn add(&mut self, y: &[Float], target: Target<'_>) {
        let Target::Class(class) = target else { return };
        let others = y.iter().enumerate().filter(|&(i, _)| i != class).map(|(_, &y)| y);
        self.sum += f64::from(y[class] - others.fold(Float::NEG_INFINITY, Float::max));
        self.count += 1.0;
    }

    fn value(&self) -> f64 {
        self.sum / self.count
    }

    fn reset(&mut self) {
        (self.sum, self.count) = (0.0, 0.0);
    }

    // So that training can be resumed within an epoch.
    fn saved(&self) -> Option<Vec<f64>> {
        Some(vec![self.sum, self.count])
    }

    fn restore(&mut self, saved: &[f64]) -> bool {
        let &[sum, count] = saved else { return false };
        (self.sum, self.count) = (sum, count);
        true
    }
}
