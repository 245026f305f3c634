//! What a network's outputs say about classes.

use anyhow::{Result, bail, ensure};
use clap::Args;
use gradus::data::Targets;
use gradus::layer::OutputKind;
use gradus::loss::OutputActivation;
use gradus::metric::ConfusionMatrix;
use gradus::{Float, Network};

use crate::cli::recipe::training_loss;
use crate::metadata::Metadata;
use crate::suggestion::choose;
use crate::terminal::{display_list, display_name};

/// The outputs of a network as probabilities, if they are logits; otherwise as they are.
#[derive(Debug)]
pub struct ClassOutputs {
    activation: Option<OutputActivation>,
    are_logits: bool,
    are_probabilities: bool,
    probabilities: Vec<Float>,
}

impl ClassOutputs {
    /// Those of a network for `classes` classes; `None` if its targets are values.
    ///
    /// # Errors
    /// If the notes name a loss that does not exist.
    pub fn of(network: &Network, metadata: &Metadata, classes: usize) -> Result<Self> {
        let activation = match classes {
            0 => None,
            // The softmax of logarithms of probabilities is the probabilities.
            _ if network.output_kind() == OutputKind::LogProbabilities => Some(OutputActivation::Softmax),
            _ => network.output_activation(&*training_loss(network, metadata, &Targets::Classes(classes))?),
        };
        Ok(ClassOutputs {
            activation,
            are_logits: network.output_kind() == OutputKind::Real,
            are_probabilities: activation.is_some() || network.output_kind() != OutputKind::Real,
            probabilities: Vec::new(),
        })
    }

    /// The kind of the layer that makes probabilities of logits; none if the outputs are not logits.
    pub fn activation(&self) -> Option<&'static str> {
        let activation = self.activation.filter(|_| self.are_logits);
        activation.map(|activation| activation.layer().kind())
    }

    /// Whether they are probabilities, or made to be.
    pub fn are_probabilities(&self) -> bool {
        self.are_probabilities
    }

    /// What the outputs `y` of a sample are compared as.
    pub fn of_sample<'y>(&'y mut self, y: &'y [Float]) -> &'y [Float] {
        let Some(activation) = self.activation else { return y };
        self.probabilities.resize(y.len(), 0.0);
        activation.apply(y, &mut self.probabilities);
        &self.probabilities
    }
}

/// An empty confusion matrix.
///
/// # Errors
/// If there are so many classes that a matrix of them could fill the memory.
pub fn confusion_matrix(classes: usize) -> Result<ConfusionMatrix> {
    ensure!(
        classes <= ConfusionMatrix::MOST_CLASSES,
        "there are {classes} classes, and how often each is taken for each other is counted for {} at most",
        ConfusionMatrix::MOST_CLASSES
    );
    Ok(ConfusionMatrix::new(classes))
}

/// The class that precision, recall and F1 are those of.
#[derive(Debug, Clone, Default, Args)]
pub struct PositiveClass {
    /// The class whose precision, recall and F1 are reported [default: the second of two classes; of more classes, the mean
    /// over all of them]
    #[arg(long, value_name = "CLASS")]
    positive: Option<String>,
}

/// The metrics that are those of one class.
const OF_ONE_CLASS: [&str; 3] = ["precision", "recall", "f1"];

impl PositiveClass {
    /// The number of the positive class among those of these names; none if there are more than two and none is chosen.
    ///
    /// # Errors
    /// If the class that is chosen is not among them.
    pub fn class(&self, names: &[String]) -> Result<Option<usize>> {
        let Some(positive) = &self.positive else {
            return Ok((names.len() == 2).then_some(1));
        };
        ensure!(
            !names.is_empty(),
            "--positive is for classes, and the targets are values"
        );
        let class = names.iter().position(|name| name == positive);
        let Some(class) = class else {
            bail!(
                "--positive: there is no class `{positive}`; {} {}",
                choose(positive, names.iter().map(String::as_str)),
                display_list(names)
            );
        };
        Ok(Some(class))
    }

    /// The names of these metrics for classes of these names: of the chosen class, if there is one.
    ///
    /// # Errors
    /// If the class that is chosen is not among them, or no metric is that of one class.
    pub fn metrics(&self, metrics: &[String], names: &[String]) -> Result<Vec<String>> {
        let class = self.class(names)?;
        let Some(class) = class.filter(|_| self.positive.is_some()) else {
            return Ok(metrics.to_vec());
        };
        ensure!(
            metrics.iter().any(|name| OF_ONE_CLASS.contains(&name.as_str())),
            "--positive chooses the class of {}: ask for one of them with --metric",
            OF_ONE_CLASS.join(", ")
        );
        Ok(metrics.iter().map(|name| of_class(name, class)).collect())
    }

    /// The name of the column to watch, as [`metrics`](PositiveClass::metrics) names them.
    ///
    /// # Errors
    /// If the class that is chosen is not among these names.
    pub fn watched(&self, column: &str, names: &[String]) -> Result<String> {
        let class = self.class(names)?;
        let Some(class) = class.filter(|_| self.positive.is_some()) else {
            return Ok(column.to_string());
        };
        Ok(match column.strip_prefix("val_") {
            Some(name) => format!("val_{}", of_class(name, class)),
            None => of_class(column, class),
        })
    }
}

/// The name of a metric, of this class alone if it is one of those that are.
fn of_class(metric: &str, class: usize) -> String {
    if OF_ONE_CLASS.contains(&metric) {
        format!("{metric}_class_{class}")
    } else {
        metric.to_string()
    }
}

/// A sentence that says which class or mean these metrics are of, for those of which their names don't.
pub fn explained(metrics: &[String], names: &[String]) -> Option<String> {
    let mut sentences = Vec::new();
    let usual: Vec<&str> = (metrics.iter().map(String::as_str))
        .filter(|name| OF_ONE_CLASS.contains(name))
        .collect();
    if !usual.is_empty() {
        let of = match names {
            [_, second] => format!(
                "of the class `{}`; --positive chooses the other, {}_macro is the mean over both",
                display_name(second),
                usual[0]
            ),
            _ => "the mean over all classes; --positive chooses one".to_string(),
        };
        sentences.push(format!("{}: {of}.", usual.join(", ")));
    }
    for (class, name) in names.iter().enumerate() {
        let chosen: Vec<&str> = (metrics.iter().map(String::as_str))
            .filter(|metric| OF_ONE_CLASS.iter().any(|one| *metric == of_class(one, class)))
            .collect();
        if !chosen.is_empty() {
            sentences.push(format!("{}: of the class `{}`.", chosen.join(", "), display_name(name)));
        }
    }
    (!sentences.is_empty()).then(|| sentences.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn confusion_matrices_that_could_fill_the_memory_are_refused() {
        assert_eq!(confusion_matrix(3).unwrap().classes(), 3);
        let error = confusion_matrix(100_000).unwrap_err().to_string();
        assert!(
            error.contains("100000 classes") && error.contains("16384 at most"),
            "{error}"
        );
    }

    fn positive(class: &str) -> PositiveClass {
        PositiveClass {
            positive: Some(class.into()),
        }
    }

    #[test]
    fn the_positive_class_is_the_second_of_two_unless_chosen() {
        let (two, three) = (strings(&["no", "yes"]), strings(&["a", "b", "c"]));
        let usual = PositiveClass::default();
        assert_eq!(usual.class(&two).unwrap(), Some(1));
        assert_eq!(usual.class(&three).unwrap(), None);
        assert_eq!(positive("no").class(&two).unwrap(), Some(0));
        assert_eq!(positive("c").class(&three).unwrap(), Some(2));
        let message = positive("maybe").class(&two).unwrap_err().to_string();
        assert_eq!(message, "--positive: there is no class `maybe`; choose one of no, yes");
        let message = positive("Yess").class(&two).unwrap_err().to_string();
        assert_eq!(
            message,
            "--positive: there is no class `Yess`; did you mean `yes`? Choose one of no, yes"
        );
        assert!(
            positive("no")
                .class(&[])
                .unwrap_err()
                .to_string()
                .contains("are values")
        );

        let metrics = strings(&["accuracy", "f1", "recall_macro"]);
        assert_eq!(usual.metrics(&metrics, &two).unwrap(), metrics);
        assert_eq!(
            positive("no").metrics(&metrics, &two).unwrap(),
            ["accuracy", "f1_class_0", "recall_macro"]
        );
        assert_eq!(positive("no").watched("val_f1", &two).unwrap(), "val_f1_class_0");
        assert_eq!(positive("no").watched("val_loss", &two).unwrap(), "val_loss");
        let message = positive("no").metrics(&strings(&["accuracy"]), &two).unwrap_err();
        assert!(message.to_string().contains("ask for one of them"), "{message}");
    }

    #[test]
    fn the_output_says_which_class_it_is() {
        let (two, three) = (strings(&["no", "yes"]), strings(&["a", "b", "c"]));
        let said = |metrics: &[&str], names| explained(&strings(metrics), names);
        assert_eq!(said(&["accuracy", "f1_macro"], &two), None);
        assert_eq!(
            said(&["recall", "f1"], &two).unwrap(),
            "recall, f1: of the class `yes`; --positive chooses the other, recall_macro is the mean over both."
        );
        assert_eq!(said(&["f1_class_0"], &two).unwrap(), "f1_class_0: of the class `no`.");
        assert!(
            said(&["f1"], &three)
                .unwrap()
                .starts_with("f1: the mean over all classes")
        );
    }
}
