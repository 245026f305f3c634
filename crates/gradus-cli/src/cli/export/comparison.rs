//! How good a program in integers is beside its network, on the test samples, or those that stand in for them.

use std::io::Write;

use anyhow::Result;
use gradus::data::{Dataset, Target, Targets};
use gradus::metric::{ConfusionMatrix, predicted_class};
use gradus::{Float, Network};
use gradus_source::Quantized;
use serde_json::{Value, json};

use crate::classes::{ClassOutputs, confusion_matrix};
use crate::data_splits::DataSplits;
use crate::metadata::{Metadata, TargetScale};
use crate::numbers::{plural, rounded};
use crate::overlap::Overlap;
use crate::plot::count;
use crate::terminal::display_name;

/// Of more classes, those are shown that integers find less often than floats by most.
const MOST_CLASSES: usize = 20;

/// What the network and its program in integers make of samples.
pub enum Comparison {
    /// What they take samples of each class for, in floats and in integers.
    Classes {
        names: Vec<String>,
        matrices: [ConfusionMatrix; 2],
    },
    /// Their mean absolute errors, in the targets' own units.
    Values { samples: usize, errors: [f64; 2] },
}

impl Comparison {
    /// Runs both on the samples for testing. `None` if there are none.
    pub fn new(
        network: &Network,
        metadata: &Metadata,
        quantized: &Quantized,
        splits: &DataSplits,
        threads: usize,
    ) -> Result<Option<Comparison>> {
        let data = &*splits.test;
        let samples = data.len();
        if samples == 0 {
            return Ok(None);
        }
        let outputs = network.output_shape().size();
        Ok(Some(match data.targets() {
            Targets::Classes(classes) => {
                let matrix = confusion_matrix(classes.max(outputs).max(2))?;
                let mut matrices = [matrix.clone(), matrix];
                let class = |i| match data.target(i) {
                    Target::Class(class) => class,
                    Target::Values(_) => 0,
                };
                let mut probabilities = ClassOutputs::of(network, metadata, classes)?;
                network.predictor(1024, threads)?.for_each_output(data, |i, y, _| {
                    matrices[0].add(class(i), predicted_class(probabilities.of_sample(y)));
                })?;
                let taken_for = each_in_integers(quantized, data, threads, |_, y| quantized.class(y))?;
                (taken_for.into_iter().enumerate()).for_each(|(i, taken_for)| matrices[1].add(class(i), taken_for));
                let names = (0..matrices[0].classes()).map(|i| splits.classes.get(i).cloned().unwrap_or(i.to_string()));
                Comparison::Classes {
                    names: names.collect(),
                    matrices,
                }
            }
            Targets::Values(_) => {
                let scale = splits.targets.as_ref();
                let mut float = 0.0;
                network.predictor(1024, threads)?.for_each_output(data, |i, y, _| {
                    float += error(y, data.target(i), scale);
                })?;
                let inside = quantized.output_scale();
                let int8 = each_in_integers(quantized, data, threads, |i, y| {
                    let y: Vec<Float> = y.iter().map(|&byte| Float::from(inside.value(byte))).collect();
                    error(&y, data.target(i), scale)
                })?;
                let int8: f64 = int8.into_iter().sum();
                Comparison::Values {
                    samples,
                    errors: [float, int8].map(|sum| sum / samples as f64),
                }
            }
        }))
    }

    pub fn print(&self, overlap: &Overlap, out: &mut dyn Write) -> Result<()> {
        let (what, seen) = match overlap {
            Overlap::Unknown { .. } => ("sample", ", which may have been used in training"),
            Overlap::Known { same: true, .. } if overlap.is_all() => ("sample", ", all used in training or validation"),
            Overlap::Known { .. } if overlap.is_all() => {
                ("sample", ", all with the same values as some of training or validation")
            }
            Overlap::Known { .. } => ("test sample", ""),
        };
        let samples = |samples: usize| plural(samples, what) + seen;
        match self {
            Comparison::Classes { names, matrices } => {
                print_classes(names, matrices, &samples(matrices[0].samples() as usize), out)
            }
            Comparison::Values { samples: n, errors } => {
                let [float, int8] = errors.map(|error| match error {
                    0.01.. => rounded(error),
                    _ => format!("{error:.3e}"),
                });
                Ok(writeln!(
                    out,
                    "{}: mean absolute error {float} in floats, {int8} in integers",
                    samples(*n)
                )?)
            }
        }
    }

    /// Adds it to the results.
    pub fn add_to(&self, overlap: &Overlap, results: &mut Value) {
        results["seen_in_training"] = match overlap {
            Overlap::Unknown { .. } => Value::Null,
            Overlap::Known { .. } => overlap.is_all().into(),
        };
        match self {
            Comparison::Classes {
                names,
                matrices: [float, int8],
            } => {
                results["accuracy"] =
                    json!({ "samples": float.samples(), "float": float.accuracy(), "int8": int8.accuracy() });
                let classes = names.iter().enumerate().map(|(i, name)| {
                    json!({ "class": name, "samples": float.support(i), "recall_float": float.recall(i), "recall_int8": int8.recall(i) })
                });
                results["classes"] = classes.collect();
            }
            Comparison::Values {
                samples,
                errors: [float, int8],
            } => {
                results["absolute_error"] = json!({ "samples": samples, "float": float, "int8": int8 });
            }
        }
    }
}

fn print_classes(
    names: &[String],
    [float, int8]: &[ConfusionMatrix; 2],
    samples: &str,
    out: &mut dyn Write,
) -> Result<()> {
    let names: Vec<String> = names.iter().map(|name| display_name(name)).collect();
    writeln!(
        out,
        "{samples}: {:.2} % right in floats, {:.2} % in integers",
        100.0 * float.accuracy(),
        100.0 * int8.accuracy()
    )?;
    let mut classes: Vec<usize> = (0..names.len()).filter(|&class| float.support(class) > 0).collect();
    if classes.len() > MOST_CLASSES {
        let loss = |&class: &usize| int8.recall(class) - float.recall(class);
        classes.sort_by(|a, b| loss(a).total_cmp(&loss(b)));
        classes.truncate(MOST_CLASSES);
        writeln!(out, "\nThe {MOST_CLASSES} classes that lose most by integers:")?;
    }
    let width = classes
        .iter()
        .map(|&class| names[class].chars().count())
        .max()
        .unwrap_or(0)
        .max(5);
    writeln!(
        out,
        "\n{:width$}  {:>9}  {:>16}  {:>18}",
        "class", "samples", "recall in floats", "recall in integers"
    )?;
    for &class in &classes {
        writeln!(
            out,
            "{:width$}  {:>9}  {:>16.4}  {:>18.4}",
            names[class],
            count(float.support(class)),
            float.recall(class),
            int8.recall(class)
        )?;
    }
    for &class in classes
        .iter()
        .filter(|&&class| int8.recall(class) == 0.0 && float.recall(class) > 0.0)
    {
        writeln!(
            out,
            "\nWarning: in integers, no sample of class `{}` is recognized.",
            names[class]
        )?;
    }
    Ok(())
}

/// The mean of |y - t|, in the targets' own units.
fn error(y: &[Float], target: Target<'_>, scale: Option<&TargetScale>) -> f64 {
    let Target::Values(t) = target else { return 0.0 };
    let differences = y.iter().zip(t).enumerate().map(|(i, (&y, &t))| {
        let deviation = scale.map_or(1.0, |scale| scale.deviation[i]);
        (f64::from(y) - f64::from(t)).abs() * deviation
    });
    differences.sum::<f64>() / y.len() as f64
}

/// What `each` makes of the number and the output of each sample, in order.
fn each_in_integers<T: Send>(
    quantized: &Quantized,
    data: &dyn Dataset,
    threads: usize,
    each: impl Fn(usize, &[u8]) -> T + Sync,
) -> Result<Vec<T>> {
    let per_thread = data.len().div_ceil(threads.max(1)).max(1);
    let part = |start: usize| -> gradus::Result<Vec<T>> {
        let mut x: Vec<Float> = vec![0.0; data.shape().size()];
        let samples = start..data.len().min(start + per_thread);
        let outputs = samples.map(|i| {
            data.read(i, &mut x)?;
            // The samples are scaled already.
            let scale = quantized.input_scale();
            let bytes: Vec<u8> = x.iter().map(|&x| scale.byte(f64::from(x) as f32)).collect();
            Ok(each(i, &quantized.run(&bytes)))
        });
        outputs.collect()
    };
    let parts = std::thread::scope(|scope| {
        let part = &part;
        let starts = (0..data.len()).step_by(per_thread);
        let parts: Vec<_> = starts.map(|start| scope.spawn(move || part(start))).collect();
        let joined = parts
            .into_iter()
            .map(|part| part.join().expect("no sample makes it panic"));
        joined.collect::<gradus::Result<Vec<_>>>()
    })?;
    Ok(parts.into_iter().flatten().collect())
}
