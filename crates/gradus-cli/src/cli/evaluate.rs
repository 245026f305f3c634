//! `gradus evaluate`: how good a trained network is.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use gradus::data::{Dataset, Target, Targets};
use gradus::metric::{
    Accuracy, Average, ConfusionMatrix, MeanAbsoluteError, MeanSquaredError, Metric, R2, predicted_class,
};
use gradus::{Evaluation, Float, Network, Predictor};
use serde_json::{Value, json};

use super::GlobalOptions;
use super::options::{ComputeOptions, DataOptions};
use super::recipe::training_loss;
use super::train::to_json;
use crate::classes::{ClassOutputs, PositiveClass, confusion_matrix};
use crate::data_splits::{DataSplits, XOR};
use crate::metadata::{Metadata, TargetScale};
use crate::numbers::{class_score, plural, rounded};
use crate::output::CommandFiles;
use crate::overlap::{Overlap, overlap_phrase};
use crate::plot::{self, Confusion, Guess, count};
use crate::registry::registry;
use crate::target_units::{loss_in_target_units, metric_in_target_units};
use crate::terminal::{display_name, path_text};

/// Measure a trained network on samples that it has not learned
///
/// Prints its loss and accuracy, the precision, recall and F1 of each class, of the positive one and on average (macro), and the
/// classes that it most often confuses; for a network that gives values, its errors and R². Outputs that are logits are measured
/// as probabilities. Without --data, on the test part of what it was trained on. Data that have no part for testing are used whole,
/// but for the samples that the network was trained on: it knows them by their content, whatever their place and order.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  gradus evaluate runs/train/network.safetensors\n  gradus evaluate runs/compare/cnn.safetensors --data my-digits --out runs/evaluate"
)]
pub struct Evaluate {
    /// A trained network, as `gradus train` and `gradus compare` write it
    #[arg(value_name = "NETWORK.safetensors")]
    network: PathBuf,
    #[command(flatten)]
    data: DataOptions,
    /// The samples to measure on
    #[arg(long, value_enum, default_value_t = EvaluatedPart::Test, help_heading = "Data")]
    part: EvaluatedPart,
    #[command(flatten)]
    positive: PositiveClass,
    /// Also draw the confusion matrix and the worst mistakes into this folder, if the targets are classes
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    computation: ComputeOptions,
}

impl Evaluate {
    /// Refuses to measure a part that has no samples.
    fn check_part(&self, splits: &DataSplits, overlap: &Overlap) -> Result<()> {
        match (self.part, *overlap) {
            (EvaluatedPart::Test, _) if overlap.is_all() && splits.origin.name != XOR => bail!(
                "{}: {overlap} There are none to test on; --part all measures on them all the same",
                splits.name
            ),
            (EvaluatedPart::Train, Overlap::Known { train: 0, .. }) if !splits.divided => {
                bail!("{}: --part train: {overlap}", splits.name)
            }
            _ => Ok(()),
        }
    }

    /// The results for targets of any kind.
    fn to_json(&self, evaluation: &Evaluation, loss: &str, splits: &DataSplits, overlap: &Overlap) -> Value {
        let mut results = to_json(evaluation);
        results["command"] = "evaluate".into();
        results["network"] = json!(path_text(&self.network));
        results["data"] = json!(splits.name);
        results["part"] = json!(self.part.name());
        results["loss_name"] = json!(loss);
        if let Overlap::Known { all, left_out, .. } = *overlap {
            results["all_samples"] = json!(if self.part == EvaluatedPart::Test {
                all
            } else {
                evaluation.samples
            });
            results["left_out"] = json!(if self.part == EvaluatedPart::Test { left_out } else { 0 });
        }
        results
    }

    /// Says which samples are measured.
    fn overlap_sentence(&self, splits: &DataSplits, overlap: &Overlap) -> String {
        let Overlap::Known {
            all,
            left_out,
            same,
            train,
            ..
        } = *overlap
        else {
            return overlap.to_string();
        };
        let samples = |samples: usize| count(samples as u64);
        let of_these = |samples: usize| plural(samples, "sample");
        let some = left_out > 0 && !overlap.is_all();
        match self.part {
            EvaluatedPart::Train => format!(
                "{} of these {} {}.",
                samples(train),
                of_these(splits.train.len()),
                overlap_phrase(train, same)
            ),
            EvaluatedPart::All if some => format!(
                "{} of these {} {}, and {} measured with the others.",
                samples(left_out),
                of_these(all),
                overlap_phrase(left_out, same),
                if left_out == 1 { "is" } else { "are" }
            ),
            EvaluatedPart::Test if some && !same => format!("{overlap} --part all measures on them too."),
            EvaluatedPart::Test | EvaluatedPart::All => overlap.to_string(),
        }
    }
}

/// A part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EvaluatedPart {
    /// The samples that the network was trained on, those for validation among them, or the part for training of other data
    Train,
    /// The test samples, without those that the network was trained on
    Test,
    /// All test samples, also those that the network was trained on or that have the same values; of data that have no part for
    /// testing, all samples
    All,
}

impl EvaluatedPart {
    /// Its name on the command line.
    fn name(self) -> &'static str {
        match self {
            EvaluatedPart::Train => "train",
            EvaluatedPart::Test => "test",
            EvaluatedPart::All => "all",
        }
    }
}

impl Evaluate {
    /// What it reads and writes.
    pub fn files(&self) -> CommandFiles {
        let pictures = plot::files("confusion").into_iter().chain(plot::files("mistakes"));
        CommandFiles {
            reads: vec![self.network.clone()],
            samples: self.data.place(),
            writes: (self.out.iter())
                .flat_map(|out| pictures.clone().map(|name| out.join(name)))
                .collect(),
        }
    }
}

/// How many of the most confused pairs of classes are told.
const MAX_CONFUSED: usize = 5;
/// How many of the worst mistakes are drawn.
const MISTAKES: usize = 50;

/// Runs the command; returns its results.
pub fn run(options: &Evaluate, settings: &GlobalOptions, out: &mut dyn Write) -> Result<Value> {
    let network = options
        .computation
        .of(Network::load_with(&options.network, registry())?)?;
    let file = || options.network.display().to_string();
    let metadata = Metadata::of(&network).with_context(file)?;
    let (splits, overlap, all) =
        options
            .data
            .load(&options.network, &network, &metadata, options.files().writes, settings)?;
    options.check_part(&splits, &overlap)?;
    ensure!(
        options.out.is_none() || !splits.classes.is_empty(),
        "--out draws the confusion matrix and the mistakes of classes, and the targets of {} are values: leave it out",
        splits.name
    );
    let data = match options.part {
        EvaluatedPart::Train => &splits.train,
        EvaluatedPart::Test => &splits.test,
        EvaluatedPart::All => &all,
    };
    let scale = splits.targets.as_ref();
    let loss = loss_in_target_units(
        training_loss(&network, &metadata, &data.targets()).with_context(file)?,
        scale,
    )?;
    let metrics = metrics(&data.targets(), scale)?;
    let metrics: Vec<&dyn Metric> = metrics.iter().map(|metric| &**metric).collect();
    let names = names(&splits, &metadata, &network);
    let positive = options.positive.class(&names)?;
    let mut outputs = ClassOutputs::of(&network, &metadata, splits.classes.len()).with_context(file)?;
    let mut matrix = confusion_matrix(names.len()).with_context(file)?;
    let mut predictor = network.predictor(1024, settings.thread_count())?;
    let evaluation = predictor
        .evaluate(data, &*loss, &metrics)
        .with_context(|| format!("{} on {}", file(), splits.name))?;
    let mut results = options.to_json(&evaluation, loss.name(), &splits, &overlap);
    writeln!(out, "{} on {}", options.network.display(), splits.name)?;
    writeln!(out, "{}", options.overlap_sentence(&splits, &overlap))?;
    print(&evaluation, loss.name(), out)?;
    if let Some(activation) = outputs.activation() {
        writeln!(
            out,
            "The network gives logits: they are measured as the probabilities that {activation} makes of them."
        )?;
    }
    results["logits"] = json!(outputs.activation().is_some());
    if splits.classes.is_empty() {
        return Ok(results);
    }

    let mistakes = count_decisions(&mut predictor, data, &mut outputs, &mut matrix)?;
    print_classes(&matrix, &names, positive, out)?;
    add_classes(&mut results, &matrix, &names, positive);
    if let Some(folder) = &options.out {
        draw_confusion(folder, options, &splits, &matrix, &names)?;
        draw_mistakes(folder, &splits, data, &names, mistakes)?;
        writeln!(out, "\nPictures are in {}.", folder.display())?;
    }
    Ok(results)
}

/// What is measured beside the loss, in the targets' own units.
fn metrics(targets: &Targets, scale: Option<&TargetScale>) -> Result<Vec<Box<dyn Metric>>> {
    let metrics: Vec<Box<dyn Metric>> = match targets {
        Targets::Classes(_) => vec![Box::new(Accuracy)],
        Targets::Values(_) => vec![Box::new(MeanAbsoluteError), Box::new(MeanSquaredError), Box::new(R2)],
    };
    let metrics = metrics.into_iter().map(|metric| metric_in_target_units(metric, scale));
    metrics.collect()
}

/// A sample that the network got wrong.
struct Mistake {
    /// Its position.
    sample: usize,
    class: usize,
    taken_for: usize,
    /// The probability that the network gave to what it took the sample for.
    confidence: Float,
}

/// Counts in the matrix what samples are taken for; returns the mistakes.
fn count_decisions(
    predictor: &mut Predictor<&Network>,
    data: &dyn Dataset,
    outputs: &mut ClassOutputs,
    matrix: &mut ConfusionMatrix,
) -> Result<Vec<Mistake>> {
    let mut mistakes = Vec::new();
    predictor.for_each_output(data, |sample, y, target| {
        if let Target::Class(class) = target {
            let y = outputs.of_sample(y);
            let taken_for = predicted_class(y);
            matrix.add(class, taken_for);
            if class != taken_for {
                let confidence = match *y {
                    [y] => Float::max(y, 1.0 - y),
                    _ => y[taken_for],
                };
                mistakes.push(Mistake {
                    sample,
                    class,
                    taken_for,
                    confidence,
                });
            }
        }
    })?;
    Ok(mistakes)
}

/// Adds what the matrix says of each class to the results.
fn add_classes(results: &mut Value, matrix: &ConfusionMatrix, names: &[String], positive: Option<usize>) {
    let classes = names.iter().enumerate().map(|(i, name)| {
        json!({
            "class": name, "precision": matrix.precision(i), "recall": matrix.recall(i), "f1": matrix.f1(i),
            "samples": matrix.support(i),
        })
    });
    results["classes"] = classes.collect();
    results["macro"] = json!({
        "precision": matrix.average(Average::Macro, ConfusionMatrix::precision),
        "recall": matrix.average(Average::Macro, ConfusionMatrix::recall),
        "f1": matrix.average(Average::Macro, ConfusionMatrix::f1),
    });
    if let Some(class) = positive {
        results["positive"] = json!(names[class]);
        results["precision"] = json!(matrix.precision(class));
        results["recall"] = json!(matrix.recall(class));
        results["f1"] = json!(matrix.f1(class));
    }
    let confused = matrix.most_confused(MAX_CONFUSED).into_iter();
    results["most_confused"] = confused
        .map(|(class, taken_for, n)| json!({"class": names[class], "taken_for": names[taken_for], "count": n}))
        .collect();
    results["confusion"] = json!(matrix.counts());
}

/// The names of the classes: those of the data, or those that the network knows, or numbers; none if the targets are values.
fn names(splits: &DataSplits, metadata: &Metadata, network: &Network) -> Vec<String> {
    if splits.classes.is_empty() {
        return Vec::new();
    }
    let classes = splits.classes.len().max(network.output_shape().size());
    let known = [splits.classes.clone(), metadata.classes_for(network)];
    let known = known.into_iter().find(|names| names.len() == classes);
    known.unwrap_or_else(|| (0..classes).map(|class| class.to_string()).collect())
}

fn print(evaluation: &Evaluation, loss: &str, out: &mut dyn Write) -> Result<()> {
    let loss = format!("loss ({})", loss.replace('_', " "));
    let width = loss.chars().count().max(14);
    writeln!(out, "{:width$}  {:>10}", "samples", count(evaluation.samples as u64))?;
    writeln!(out, "{loss:width$}  {:>10}", rounded(evaluation.loss))?;
    for (name, value) in &evaluation.metrics {
        let name = name.replace('_', " ");
        writeln!(out, "{name:width$}  {:>10}", rounded(*value))?;
    }
    Ok(())
}

/// The name of the row of means over the classes.
const MEAN: &str = "macro average";

fn print_classes(
    matrix: &ConfusionMatrix,
    names: &[String],
    positive: Option<usize>,
    out: &mut dyn Write,
) -> Result<()> {
    let names: Vec<String> = names.iter().map(|name| display_name(name)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let width = width.max(MEAN.len());
    writeln!(
        out,
        "\n{:width$}  {:>9}  {:>9}  {:>9}  {:>9}",
        "class", "precision", "recall", "F1", "samples"
    )?;
    for (i, name) in names.iter().enumerate() {
        writeln!(
            out,
            "{name:width$}  {:>9}  {:>9}  {:>9}  {:>9}",
            class_score(matrix, i, ConfusionMatrix::precision),
            class_score(matrix, i, ConfusionMatrix::recall),
            class_score(matrix, i, ConfusionMatrix::f1),
            count(matrix.support(i))
        )?;
    }
    writeln!(
        out,
        "{MEAN:width$}  {:>9.4}  {:>9.4}  {:>9.4}  {:>9}",
        matrix.average(Average::Macro, ConfusionMatrix::precision),
        matrix.average(Average::Macro, ConfusionMatrix::recall),
        matrix.average(Average::Macro, ConfusionMatrix::f1),
        count(matrix.samples())
    )?;
    if let Some(class) = positive {
        writeln!(
            out,
            "\nof the positive class, {}: precision {}, recall {}, F1 {} (--positive chooses another)",
            names[class],
            class_score(matrix, class, ConfusionMatrix::precision),
            class_score(matrix, class, ConfusionMatrix::recall),
            class_score(matrix, class, ConfusionMatrix::f1)
        )?;
    }
    let confused = matrix.most_confused(MAX_CONFUSED);
    if !confused.is_empty() {
        writeln!(out, "\nmost often confused")?;
    }
    for (class, taken_for, n) in confused {
        writeln!(out, "{n:>5} × {} taken for {}", names[class], names[taken_for])?;
    }
    Ok(())
}

fn draw_confusion(
    folder: &Path,
    options: &Evaluate,
    splits: &DataSplits,
    matrix: &ConfusionMatrix,
    names: &[String],
) -> Result<()> {
    let name = options.network.file_stem().unwrap_or_default().to_string_lossy();
    let matrix = Confusion {
        name: name.into_owned(),
        classes: names.to_vec(),
        counts: matrix.counts().to_vec(),
    };
    let subtitle = format!("{}, {}", splits.name, options.network.display());
    plot::write(
        folder,
        "confusion",
        &plot::confusions("Confusion matrix", &subtitle, &[matrix]),
    )
}

/// Draws the samples that the network got wrong although it was most sure, if they are images.
fn draw_mistakes(
    folder: &Path,
    splits: &DataSplits,
    data: &dyn Dataset,
    names: &[String],
    mut mistakes: Vec<Mistake>,
) -> Result<()> {
    let Some(form @ (1 | 3, ..)) = data.shape().image() else {
        return Ok(());
    };
    let all = mistakes.len();
    mistakes.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    mistakes.truncate(MISTAKES);
    let mut x = vec![0.0; data.shape().size()];
    let mut samples = Vec::new();
    for mistake in &mistakes {
        data.read(mistake.sample, &mut x)?;
        samples.push(plot::Sample {
            label: Some(names[mistake.class].clone()),
            guess: Some(Guess {
                class: names[mistake.taken_for].clone(),
                probability: mistake.confidence as f64,
            }),
            ..plot::Sample::of(&x, form)
        });
    }
    let title = format!("Mistakes on {}", splits.name);
    let subtitle = format!(
        "{} of {}, the most confident first: class → guess",
        samples.len(),
        count(all as u64)
    );
    plot::write(folder, "mistakes", &plot::sheet(&title, &subtitle, &samples, 10)?)
}
