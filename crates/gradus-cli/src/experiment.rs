//! Training a network and measuring all that can be said of the result: what `compare` and `experiment` share.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use gradus::augment::Warp;
use gradus::callback::Progress;
use gradus::data::{Subset, Target, split};
use gradus::history::History;
use gradus::metric::{ConfusionMatrix, predicted_class};
use gradus::optim::Optimizer;
use gradus::prelude::*;
use gradus::schedule::OneCycle;
use gradus::{Evaluation, Predictor};
use serde_json::{Value, json};

use crate::classes::confusion_matrix;
use crate::cli::GlobalOptions;
use crate::data_splits::DataSplits;
use crate::numbers::plural;
use crate::plot::{Confusion, Curve, Panel};
use crate::threads::ThreadsUsed;

/// The share of the training samples that is held out for validation.
pub const HELD_OUT: f64 = 0.1;
/// How many of the most confused pairs of classes are told.
const MAX_CONFUSED: usize = 5;

/// The samples of a study: all its networks see the same ones.
pub struct ExperimentData {
    /// For training.
    pub train: Subset<Arc<dyn Dataset>>,
    /// Held out, for validation after each epoch.
    pub validation: Subset<Arc<dyn Dataset>>,
    /// For the final test.
    pub test: Arc<dyn Dataset>,
}

impl ExperimentData {
    /// Holds out a tenth of the training samples, each class in proportion.
    ///
    /// # Errors
    /// If there are too few samples for that.
    pub fn of(splits: &DataSplits, seed: u64) -> Result<Self> {
        let (train, validation) = split(splits.train.clone(), HELD_OUT, seed)?;
        Ok(ExperimentData {
            train,
            validation,
            test: splits.test.clone(),
        })
    }
}

/// How a network is trained.
#[derive(Debug, Clone)]
pub struct TrainConfig {
    /// How often training goes through all samples.
    pub epochs: usize,
    /// Samples in a step.
    pub batch_size: usize,
    /// What follows the gradients.
    pub optimizer: Arc<dyn Optimizer>,
    /// How the learning rate changes.
    pub schedule: Option<OneCycle>,
    /// How training images are changed.
    pub augmentation: Option<Warp>,
}

/// What came of training a network.
#[derive(Debug)]
pub struct Outcome {
    /// Its name.
    pub name: String,
    /// The trained network.
    pub network: Network,
    /// Its losses and metrics, epoch by epoch.
    pub history: History,
    /// The threads that it was trained on.
    pub threads: usize,
    /// The final loss and accuracy on each part of the samples.
    pub train: Evaluation,
    /// See `train`.
    pub validation: Evaluation,
    /// See `train`.
    pub test: Evaluation,
    /// What was taken for what in the test.
    pub confusion: ConfusionMatrix,
}

/// Trains a network and measures it.
///
/// # Errors
/// If the samples don't fit the network, or training diverges.
pub fn run(
    name: &str,
    mut network: Network,
    config: &TrainConfig,
    samples: &ExperimentData,
    settings: &GlobalOptions,
) -> Result<Outcome> {
    // Too many classes are refused before training.
    let matrix = confusion_matrix(network.output_shape().size())?;
    let threads = ThreadsUsed::default();
    let mut fit = Fit::new(CrossEntropy::new(), config.optimizer.clone())
        .epochs(config.epochs)
        .batch_size(config.batch_size)
        .metric(Accuracy)
        .validation(&samples.validation)
        .seed(settings.seed);
    if let Some(schedule) = config.schedule {
        fit = fit.schedule(schedule);
    }
    if let Some(warp) = &config.augmentation {
        fit = fit.augment(warp.clone());
    }
    if !settings.quiet {
        fit = fit.callback(Progress::named(name));
    }
    fit = fit.threads(settings.thread_count()).callback(threads.clone());
    let history = fit.run(&mut network, &samples.train)?;

    let mut predictor = network.predictor(1024, settings.thread_count())?;
    let mut measure = |data: &dyn Dataset| measure(&mut predictor, data, matrix.clone());
    let (train, _) = measure(&samples.train)?;
    let (validation, _) = measure(&samples.validation)?;
    let (test, confusion) = measure(&samples.test)?;
    Ok(Outcome {
        name: name.to_string(),
        network,
        history,
        threads: threads.get(),
        train,
        validation,
        test,
        confusion,
    })
}

/// The loss and accuracy on some samples, and what was taken for what.
fn measure(
    predictor: &mut Predictor<&Network>,
    data: &dyn Dataset,
    mut confusion: ConfusionMatrix,
) -> Result<(Evaluation, ConfusionMatrix)> {
    let loss = CrossEntropy::new();
    let evaluation = predictor.evaluate(data, &loss, &[&Accuracy])?;
    predictor.for_each_output(data, |_, y, target| {
        if let Target::Class(class) = target {
            confusion.add(class, predicted_class(y));
        }
    })?;
    Ok((evaluation, confusion))
}

/// The accuracy of an evaluation, from 0 to 1.
pub fn accuracy(evaluation: &Evaluation) -> f64 {
    evaluation.metric("accuracy").unwrap_or(f64::NAN)
}

impl Outcome {
    /// The classes that are taken for one another most often: true class, decision, how often.
    pub fn most_confused(&self) -> Vec<(usize, usize, u64)> {
        self.confusion.most_confused(MAX_CONFUSED)
    }

    /// Everything in numbers.
    pub fn to_json(&self, classes: &[String]) -> Value {
        let part = |evaluation: &Evaluation| {
            json!({
                "samples": evaluation.samples,
                "loss": evaluation.loss,
                "accuracy": accuracy(evaluation),
            })
        };
        let rows = classes.iter().enumerate().map(|(i, class)| {
            json!({
                "class": class,
                "precision": self.confusion.precision(i),
                "recall": self.confusion.recall(i),
                "f1": self.confusion.f1(i),
                "support": self.confusion.support(i),
            })
        });
        let confused = self.most_confused().into_iter().map(|(truth, decision, count)| {
            json!({ "class": classes[truth], "taken_for": classes[decision], "count": count })
        });
        json!({
            "name": self.name,
            "parameters": self.network.parameter_count(),
            "multiply_adds": self.network.multiply_adds(),
            "threads": self.threads,
            "epochs": self.history.epochs.len(),
            "seconds_per_epoch": self.history.seconds_per_epoch(),
            "samples_per_second": self.history.samples_per_second(),
            "train": part(&self.train),
            "validation": part(&self.validation),
            "test": part(&self.test),
            "classes": rows.collect::<Value>(),
            "most_confused": confused.collect::<Value>(),
            "confusion": self.confusion.counts(),
        })
    }

    /// Writes the history, as CSV and as JSON, and the network into a folder, under the network's name.
    ///
    /// # Errors
    /// If a file can't be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let file = |ending: &str| folder.join(format!("{}{ending}", self.name));
        self.history.save_csv(file("-history.csv"))?;
        self.history.save_json(file("-history.json"))?;
        self.network.save(file(".safetensors"))?;
        Ok(())
    }

    /// What was taken for what, for a picture.
    pub fn confusion_picture(&self, classes: &[String]) -> Confusion {
        Confusion {
            name: self.name.clone(),
            classes: classes.to_vec(),
            counts: self.confusion.counts().to_vec(),
        }
    }
}

/// What the curves of cost show of over-fitting and under-fitting, in a sentence: the costs on the training samples and on the
/// validation samples after each epoch, of a network for `classes` classes.
pub fn verdict(train: &[f64], validation: &[f64], classes: usize) -> String {
    let (Some(&t), Some(&v)) = (train.last(), validation.last()) else {
        return "No epoch was finished.".into();
    };
    let n = train.len().min(validation.len());
    if n < 3 {
        return format!(
            "The cost is {t:.4} on the training samples and {v:.4} on the validation samples: {} can't show how they go on.",
            plural(n, "epoch")
        );
    }
    let best = (0..n)
        .min_by(|&a, &b| validation[a].total_cmp(&validation[b]))
        .unwrap_or(0);
    let lowest = validation[best];
    // What it costs to guess, in nats.
    let guess = (classes.max(2) as f64).ln();
    let turns = v > 1.05 * lowest;
    let apart = v > 1.5 * t && v - t > 0.02 * guess;
    let rests = t > 0.9 * train[n - 1 - n / 3];
    if turns && t < train[best] {
        format!(
            "The cost on the training samples goes on falling, to {t:.4}, while that on the validation samples turns after epoch {}, at \
             {lowest:.4}, and rises to {v:.4}: the network learns samples by heart.",
            best + 1
        )
    } else if turns {
        format!(
            "The cost on the validation samples was lowest after epoch {}, {lowest:.4}, and is {v:.4} in the end, and that on the training \
             samples has risen too, to {t:.4}: training is not steady.",
            best + 1
        )
    } else if apart {
        format!(
            "The cost falls to {t:.4} on the training samples, and to no less than {v:.4} on the validation samples: a part of what the \
             network learns holds for the training samples alone."
        )
    } else if t > 0.1 * guess {
        let why = if rests {
            "the network is too small for the task"
        } else {
            "they are falling still"
        };
        format!(
            "Both costs stay high, {t:.4} and {v:.4} where guessing costs {guess:.2}, and close to each other: {why}."
        )
    } else {
        format!(
            "Both costs fall together, to {t:.4} and {v:.4}: what the network learns from the training samples holds for the others."
        )
    }
}

/// The curves of cost and accuracy, for a picture.
pub fn panels<'a>(histories: impl Iterator<Item = (&'a str, &'a History)> + Clone) -> Vec<Panel> {
    let panel = |title: &str, column: &str, percent: bool| Panel {
        title: title.to_string(),
        percent,
        higher_is_better: percent,
        curves: (histories.clone())
            .map(|(name, history)| Curve {
                name: name.to_string(),
                train: history.values(column),
                validation: history.values(&format!("val_{column}")),
            })
            .collect(),
    };
    vec![
        panel("Cost (cross entropy)", "loss", false),
        panel("Accuracy", "accuracy", true),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_is_what_the_curves_show() {
        let shown = |train: &[f64], validation: &[f64]| verdict(train, validation, 10);
        let holds = |verdict: String, words: &[&str]| {
            for word in words {
                assert!(verdict.contains(word), "`{word}` is not in: {verdict}");
            }
        };
        let turning = shown(&[0.5, 0.2, 0.1, 0.05, 0.01], &[0.4, 0.25, 0.2, 0.24, 0.3]);
        holds(
            turning,
            &[
                "falling, to 0.0100",
                "turns after epoch 3, at 0.2000",
                "rises to 0.3000",
                "by heart",
            ],
        );
        holds(shown(&[2.1], &[1.9]), &["2.1000", "1.9000", "1 epoch can't show"]);
        // The end of a training of 784-256-256-10 that was called one whose costs fall together.
        let gap = shown(&[0.4, 0.1, 0.03, 0.01, 0.0035], &[0.3, 0.12, 0.09, 0.088, 0.0871]);
        holds(gap, &["0.0035", "no less than 0.0871", "training samples alone"]);
        let together = shown(&[0.6, 0.2, 0.08, 0.05], &[0.5, 0.2, 0.1, 0.06]);
        holds(together, &["fall together", "0.0500", "0.0600"]);
        let high = shown(&[1.5, 0.9, 0.82, 0.81, 0.8, 0.8], &[1.3, 0.9, 0.85, 0.84, 0.83, 0.83]);
        holds(high, &["stay high", "2.30", "too small for the task"]);
        let slow = shown(&[2.2, 2.0, 1.7, 1.4], &[2.1, 1.9, 1.6, 1.3]);
        holds(slow, &["stay high", "falling still"]);
        holds(shown(&[0.1, 0.2, 0.5], &[0.1, 0.3, 0.6]), &["not steady"]);
    }
}
