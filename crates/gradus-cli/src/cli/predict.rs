//! `gradus predict`: what a trained network takes pictures for.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, bail, ensure};
use clap::Args;
use gradus::{Float, Network};
use serde_json::{Value, json};

use super::options::ComputeOptions;
use super::{GlobalOptions, write_json};
use crate::classes::ClassOutputs;
use crate::metadata::{Metadata, Preprocessing, TargetScale};
use crate::numbers::{plural, rounded};
use crate::output::CommandFiles;
use crate::picture;
use crate::plot::{self, percent};
use crate::registry::registry;
use crate::terminal::{display_name, eprint_error, error_sentence, path_text};
use gradus::save::atomic;

/// Say what is on pictures
///
/// Takes PNG, JPEG and WebP files and a trained network, and prints for each the most probable class, its probability, and the two
/// that come next. A picture of a character may have any size: dark on light or light on dark, anywhere on an even
/// background. It is turned into what the network has learned from: found, cut out, scaled, and centered by its mass, as MNIST's
/// digits are. For a network that has learned from a folder of images, pictures are only brought to their size.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  gradus predict runs/train/network.safetensors seven.png\n  gradus predict runs/compare/cnn.safetensors scans/*.jpg --sheet guesses.svg"
)]
pub struct Predict {
    /// A trained network, as `gradus train` and `gradus compare` write it
    #[arg(value_name = "NETWORK.safetensors")]
    network: PathBuf,
    /// PNG, JPEG or WebP files
    #[arg(value_name = "PICTURE", required = true)]
    pictures: Vec<PathBuf>,
    /// Also draw the pictures as the network sees them, with its guesses: into a file (.svg or .png), or as predictions.svg
    /// and .png into a folder
    #[arg(long, value_name = "FILE|DIR")]
    sheet: Option<PathBuf>,
    #[command(flatten)]
    computation: ComputeOptions,
}

impl Predict {
    /// What it reads and writes.
    pub fn files(&self) -> CommandFiles {
        let sheet = |place: &PathBuf| match place.extension().and_then(|ending| ending.to_str()) {
            Some("svg" | "png") => vec![place.clone()],
            _ => plot::files(SHEET).map(|name| place.join(name)).into(),
        };
        CommandFiles {
            reads: [std::slice::from_ref(&self.network), &self.pictures].concat(),
            writes: self.sheet.iter().flat_map(sheet).collect(),
            ..CommandFiles::default()
        }
    }
}

/// The name of the pictures of a sheet in a folder.
const SHEET: &str = "predictions";
/// How many classes are told of each picture.
const MAX_SHOWN: usize = 3;

/// What a network says of a picture.
struct Prediction {
    /// The picture as the network sees it.
    x: Vec<Float>,
    /// Its outputs; one for each class, if it knows classes.
    y: Vec<Float>,
}

/// Runs the command; returns its results.
pub fn run(options: &Predict, settings: &GlobalOptions, out: &mut dyn Write) -> Result<Value> {
    let network = options
        .computation
        .of(Network::load_with(&options.network, registry())?)?;
    let file = || options.network.display().to_string();
    let mut named = OutputLabels::of(&network).with_context(file)?;
    let reader = PictureReader::of(&network).with_context(file)?;
    let pictures: Vec<Result<Vec<Float>>> = options.pictures.iter().map(|path| reader.read(path)).collect();
    let predictions = predict(&network, &mut named, pictures, settings)?;

    let width = options.pictures.iter().map(|p| p.display().to_string().chars().count());
    let width = width.max().unwrap_or(0);
    for (path, prediction) in options.pictures.iter().zip(&predictions) {
        if let Ok(prediction) = prediction {
            let path = path.display().to_string();
            writeln!(out, "{path:width$}  {}", named.sentence(&prediction.y))?;
        }
    }
    out.flush()?;
    if let Some(sheet) = &options.sheet {
        draw(sheet, options, &predictions, &reader, &named)?;
    }

    let rows = options.pictures.iter().zip(&predictions).map(|(path, prediction)| {
        let mut row = match prediction {
            Ok(prediction) => named.to_json(&prediction.y),
            Err(error) => json!({ "error": error_sentence(error) }),
        };
        row["file"] = json!(path_text(path));
        row
    });
    let results = json!({
        "command": "predict",
        "network": path_text(&options.network),
        "pictures": rows.collect::<Value>(),
    });
    // Each picture that can't be read has its line; the last one is that of the command itself.
    let mut errors: Vec<Error> = predictions.into_iter().filter_map(Result::err).collect();
    let Some(last) = errors.pop() else { return Ok(results) };
    for error in errors {
        eprint_error(&error);
    }
    if let Some(path) = &settings.json {
        write_json(path, &results)?;
    }
    Err(last)
}

/// Turns pictures into samples of a network.
struct PictureReader(Preprocessing);

impl PictureReader {
    fn of(network: &Network) -> Result<Self> {
        let Some(preprocessing) = Metadata::of(network)?.preprocessing_for(network) else {
            bail!(
                "the network takes samples of shape {}, which are no pictures",
                network.input_shape()
            );
        };
        ensure!(
            preprocessing.image().is_some(),
            "the network was trained on rows of numbers, not on pictures: `gradus evaluate --data` takes tables, and `gradus export` \
             makes a program of it"
        );
        Ok(PictureReader(preprocessing))
    }

    fn read(&self, path: &Path) -> Result<Vec<Float>> {
        match self.0 {
            Preprocessing::Character(frame) => picture::read(path, frame),
            Preprocessing::Picture {
                channels,
                height,
                width,
            } => picture::read_as_it_is(path, channels, height, width),
            Preprocessing::Numbers { .. } => bail!("{}: not a row of numbers", path.display()),
        }
    }
}

/// Puts the pictures that could be read through the network.
fn predict(
    network: &Network,
    named: &mut OutputLabels,
    pictures: Vec<Result<Vec<Float>>>,
    settings: &GlobalOptions,
) -> Result<Vec<Result<Prediction>>> {
    let mut predictor = network.predictor(1, settings.thread_count())?;
    let predictions = pictures.into_iter().map(|x| {
        Ok(match x {
            Ok(x) => {
                let y = named.for_each_class(predictor.run(&x)?);
                Ok(Prediction { x, y })
            }
            Err(error) => Err(error),
        })
    });
    predictions.collect()
}

/// What a network's outputs stand for.
struct OutputLabels {
    /// The names of the classes; none if the network gives values.
    classes: Vec<String>,
    /// Its outputs, as probabilities if they are logits.
    outputs: ClassOutputs,
    /// How outputs become values, if those were scaled in training.
    scale: Option<TargetScale>,
}

impl OutputLabels {
    fn of(network: &Network) -> Result<Self> {
        let metadata = Metadata::of(network)?;
        let classes = metadata.classes_for(network);
        Ok(OutputLabels {
            outputs: ClassOutputs::of(network, &metadata, classes.len())?,
            classes,
            scale: metadata.targets,
        })
    }

    /// Outputs that are values, in their own units.
    fn values(&self, y: &[Float]) -> Vec<f64> {
        match &self.scale {
            Some(scale) => scale.unscale(y),
            None => y.iter().map(|&y| y.into()).collect(),
        }
    }

    /// One value for each class, also where the network gives only that of the second of two.
    fn for_each_class(&mut self, y: &[Float]) -> Vec<Float> {
        let y = self.outputs.of_sample(y);
        match *y {
            [second] if self.classes.len() == 2 => vec![1.0 - second, second],
            _ => y.to_vec(),
        }
    }

    /// The most probable classes with their scores, the best first; equals in their order.
    fn best(&self, y: &[Float]) -> Vec<(&str, Float)> {
        let scores = self.classes.iter().zip(y);
        let mut scores: Vec<_> = scores.map(|(name, &score)| (name.as_str(), score)).collect();
        scores.sort_by(|a, b| b.1.total_cmp(&a.1));
        scores.truncate(MAX_SHOWN);
        scores
    }

    fn score(&self, score: Float) -> String {
        if self.outputs.are_probabilities() {
            percent(score as f64, 1)
        } else {
            format!("{score:.3}")
        }
    }

    fn sentence(&self, y: &[Float]) -> String {
        let best = self.best(y);
        let Some(((class, score), others)) = best.split_first() else {
            let values = self.values(y).into_iter().map(rounded);
            return values.collect::<Vec<_>>().join("  ");
        };
        let others: Vec<String> = others
            .iter()
            .map(|(class, score)| format!("{} {}", display_name(class), self.score(*score)))
            .collect();
        format!(
            "{}  {:>7}   ({})",
            display_name(class),
            self.score(*score),
            others.join(", ")
        )
    }

    fn to_json(&self, y: &[Float]) -> Value {
        let best = self.best(y);
        let Some((class, score)) = best.first() else {
            return json!({ "values": self.values(y) });
        };
        let scores = best
            .iter()
            .map(|(class, score)| json!({ "class": class, "score": score }));
        let kind = if self.outputs.are_probabilities() {
            "probability"
        } else {
            "score"
        };
        let mut row = json!({ "class": class, "best": scores.collect::<Value>(), "outputs": y });
        row[kind] = json!(score);
        row
    }
}

/// Draws what the network has seen, with its guesses.
fn draw(
    place: &Path,
    options: &Predict,
    predictions: &[Result<Prediction>],
    reader: &PictureReader,
    named: &OutputLabels,
) -> Result<()> {
    let (channels, height, width) = reader.0.image().context("there are no pictures to draw")?;
    let samples: Vec<plot::Sample> = predictions
        .iter()
        .flatten()
        .map(|prediction| plot::Sample {
            guess: named.best(&prediction.y).first().map(|&(class, score)| plot::Guess {
                class: class.into(),
                probability: score as f64,
            }),
            ..plot::Sample::of(&prediction.x, (channels, height, width))
        })
        .collect();
    let network = options.network.file_name().unwrap_or_default().to_string_lossy();
    let subtitle = format!(
        "What {network} sees in {}, and what it takes that for",
        plural(samples.len(), "file")
    );
    let drawing = plot::sheet("Predictions", &subtitle, &samples, 10)?;
    match place.extension().and_then(|ending| ending.to_str()) {
        Some("svg") => Ok(atomic::write(place, plot::svg(&drawing)?.as_bytes())?),
        Some("png") => Ok(atomic::write(place, &plot::png(&drawing)?)?),
        _ => plot::write(place, SHEET, &drawing),
    }
}
