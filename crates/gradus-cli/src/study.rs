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

use crate::cli::Settings;
use crate::plot::{Confusion, Curve, Panel};
use crate::task::Task;

/// The share of the training samples that is held out for validation.
const HELD_OUT: f64 = 0.1;
/// How many of the most confused pairs of classes are told.
const CONFUSED: usize = 5;

/// The samples of a study: all its networks see the same ones.
pub struct Samples {
    /// For training.
    pub train: Subset<Arc<dyn Dataset>>,
    /// Held out, for validation after each epoch.
    pub validation: Subset<Arc<dyn Dataset>>,
    /// For the final test.
    pub test: Arc<dyn Dataset>,
}

impl Samples {
    /// Holds out a tenth of the training samples, each class in proportion.
    ///
    /// # Errors
    /// If there are too few samples for that.
    pub fn of(task: &Task, seed: u64) -> Result<Self> {
        let (train, validation) = split(task.train.clone(), HELD_OUT, seed)?;
        Ok(Samples {
            train,
            validation,
            test: task.test.clone(),
        })
    }
}

/// How a network is trained.
#[derive(Debug, Clone)]
pub struct Method {
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
    method: &Method,
    samples: &Samples,
    settings: &Settings,
) -> Result<Outcome> {
    let mut fit = Fit::boxed(Arc::new(CrossEntropy::new()), method.optimizer.clone())
        .epochs(method.epochs)
        .batch_size(method.batch_size)
        .metric(Accuracy)
        .validation(&samples.validation)
        .seed(settings.seed);
    if let Some(schedule) = method.schedule {
        fit = fit.schedule(schedule);
    }
    if let Some(warp) = &method.augmentation {
        fit = fit.augment(warp.clone());
    }
    if !settings.quiet {
        fit = fit.callback(Progress::named(name));
    }
    fit = fit.threads(settings.thread_count());
    let history = fit.run(&mut network, &samples.train)?;

    let mut predictor = network.predictor(1024, settings.thread_count())?;
    let (train, _) = measure(&mut predictor, &network, &samples.train)?;
    let (validation, _) = measure(&mut predictor, &network, &samples.validation)?;
    let (test, confusion) = measure(&mut predictor, &network, &samples.test)?;
    Ok(Outcome {
        name: name.to_string(),
        network,
        history,
        train,
        validation,
        test,
        confusion,
    })
}

/// The loss and accuracy on some samples, and what was taken for what.
fn measure(predictor: &mut Predictor, network: &Network, data: &dyn Dataset) -> Result<(Evaluation, ConfusionMatrix)> {
    let loss = CrossEntropy::new();
    let evaluation = predictor.evaluate(network, data, &loss, &[&Accuracy])?;
    let mut confusion = ConfusionMatrix::new(network.output_shape().size());
    predictor.each_output(network, data, |_, y, target| {
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
        self.confusion.most_confused(CONFUSED)
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
