//! What a trained network knows about itself beside its weights, so that it can be used with nothing else at hand: the data it
//! learned, the names of its classes, how pictures become its samples, and how it was trained.

use std::fmt;

use anyhow::{Context, Result, ensure};
use gradus::data::{Dataset, Targets};
use gradus::layer::OutputKind;
use gradus::{Network, Shape};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::numbers::plural;
use crate::overlap::TrainingFingerprint;
use crate::picture::Frame;

/// The notes in a network's file; a network that was saved by another program may lack any of them.
#[derive(Debug, Clone, Default)]
pub struct Metadata {
    /// What it learned.
    pub origin: Option<DataOrigin>,
    /// The samples that it learned.
    pub fingerprint: Option<TrainingFingerprint>,
    /// The names of its classes, in the order of its outputs; none if it gives values.
    pub classes: Option<Vec<String>>,
    /// How its samples are made.
    pub preprocessing: Option<Preprocessing>,
    /// How its outputs become target values; none if they are those.
    pub targets: Option<TargetScale>,
    /// How it was trained, for people and other programs; of this, `loss` is read again, and
    /// the SHA-256 of its samples where an older version wrote no `learned`.
    pub training: Option<Value>,
}

/// Where a network's training samples came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataOrigin {
    /// The data set, or the path of its folder or table.
    #[serde(skip)]
    pub name: String,
    /// The column of a table that held the targets; the last one if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Whether the targets are values.
    #[serde(default)]
    pub regression: bool,
    /// Whether the first line of a table names its columns, if that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    /// The share of the samples that was held out for testing, where the data had no part for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out: Option<f64>,
    /// What decided which samples were held out.
    #[serde(default)]
    pub seed: u64,
}

/// How something becomes a sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Preprocessing {
    /// A picture of one character: found on its background, scaled, centered by its mass.
    Character(Frame),
    /// A picture as it is, in this size: gray (one channel) or red, green and blue (three).
    Picture {
        /// 1 or 3.
        channels: usize,
        /// Its height in pixels.
        height: usize,
        /// Its width.
        width: usize,
    },
    /// A row of numbers: x becomes (x - mean) / deviation, column by column.
    Numbers {
        /// The names of the columns, in the order of the network's inputs; empty if the table had none.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        columns: Vec<String>,
        /// The means of the columns in training.
        mean: Vec<f64>,
        /// Their standard deviations.
        deviation: Vec<f64>,
    },
}

/// How the outputs of a network that was trained on scaled targets become values: y · deviation + mean, output by output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetScale {
    /// The means of the target columns in training.
    pub mean: Vec<f64>,
    /// Their standard deviations.
    pub deviation: Vec<f64>,
}

impl TargetScale {
    /// Refuses a scale that is not one of this many outputs.
    fn check(&self, outputs: usize) -> Result<()> {
        ensure!(
            can_scale(&self.mean, &self.deviation) && [self.mean.len(), self.deviation.len()] == [outputs; 2],
            "the notes scale the targets by {} and {}, and the network gives {}",
            plural(self.mean.len(), "mean"),
            plural(self.deviation.len(), "deviation"),
            plural(outputs, "value")
        );
        Ok(())
    }
}

fn can_scale(mean: &[f64], deviation: &[f64]) -> bool {
    mean.iter().all(|v| v.is_finite()) && deviation.iter().all(|v| v.is_finite() && *v > 0.0)
}

impl Preprocessing {
    /// Channels, height and width, if samples are pictures.
    pub fn image(&self) -> Option<(usize, usize, usize)> {
        match *self {
            Preprocessing::Character(Frame { height, width, .. }) => Some((1, height, width)),
            Preprocessing::Picture {
                channels,
                height,
                width,
            } => Some((channels, height, width)),
            Preprocessing::Numbers { .. } => None,
        }
    }
}

impl Preprocessing {
    /// Refuses what does not make samples of this shape: notes come with files, and tell of any size.
    fn check(&self, input: &Shape) -> Result<()> {
        let size = match self {
            Preprocessing::Character(Frame { height, width, fit }) => {
                ensure!(*fit > 0, "the notes tell of {self}");
                height.checked_mul(*width)
            }
            Preprocessing::Picture {
                channels,
                height,
                width,
            } => {
                ensure!(
                    [1, 3].contains(channels),
                    "the notes tell of {self}, not of 1 or 3 channels"
                );
                height.checked_mul(*width).and_then(|size| size.checked_mul(*channels))
            }
            Preprocessing::Numbers {
                columns,
                mean,
                deviation,
            } => {
                ensure!(
                    can_scale(mean, deviation) && [0, mean.len()].contains(&columns.len()),
                    "the notes tell of means and deviations by which no numbers can be scaled"
                );
                Some(mean.len()).filter(|&size| size == deviation.len())
            }
        };
        ensure!(
            size == Some(input.size()),
            "the notes tell of {self}, and the network takes samples of shape {input}"
        );
        Ok(())
    }
}

impl fmt::Display for Preprocessing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Preprocessing::Character(Frame { height, width, fit }) => {
                write!(f, "characters of {fit} pixels, centered by mass in {height}×{width}")
            }
            Preprocessing::Picture {
                channels,
                height,
                width,
            } => write!(f, "pictures of {channels}×{height}×{width}"),
            Preprocessing::Numbers { mean, .. } => write!(f, "rows of {}", plural(mean.len(), "number")),
        }
    }
}

const DATA: &str = "data";
const ORIGIN: &str = "data.origin";
const FINGERPRINT: &str = "data.learned";
const CLASSES: &str = "classes";
const PREPROCESSING: &str = "preprocessing";
const TARGETS: &str = "targets";
const TRAINING: &str = "training";

impl Metadata {
    /// Reads a network's notes.
    ///
    /// # Errors
    /// If one of them is not what this program writes, or does not suit the network.
    pub fn of(network: &Network) -> Result<Metadata> {
        let origin = match network.note(DATA) {
            None => None,
            Some(name) => Some(DataOrigin {
                name: name.into(),
                ..read(network, ORIGIN)?.unwrap_or_else(|| DataOrigin::named(name))
            }),
        };
        let preprocessing: Option<Preprocessing> = read(network, PREPROCESSING)?;
        if let Some(preprocessing) = &preprocessing {
            preprocessing.check(network.input_shape())?;
        }
        let targets: Option<TargetScale> = read(network, TARGETS)?;
        if let Some(targets) = &targets {
            targets.check(network.output_shape().size())?;
        }
        let training: Option<Value> = read(network, TRAINING)?;
        let of_older_version = || {
            let sha256 = training.as_ref()?["data"]["sha256"].as_str()?;
            Some(TrainingFingerprint {
                sha256: sha256.into(),
                digests: None,
            })
        };
        Ok(Metadata {
            origin,
            fingerprint: read(network, FINGERPRINT)?.or_else(of_older_version),
            classes: read(network, CLASSES)?,
            preprocessing,
            targets,
            training,
        })
    }

    /// Writes them into a network.
    ///
    /// # Errors
    /// None in practice: if a note can't be put as JSON.
    pub fn write(&self, network: &mut Network) -> Result<()> {
        if let Some(origin) = &self.origin {
            network.set_note(DATA, &origin.name);
            network.set_note(ORIGIN, serde_json::to_string(origin)?);
        }
        if let Some(fingerprint) = &self.fingerprint {
            network.set_note(FINGERPRINT, serde_json::to_string(fingerprint)?);
        }
        if let Some(classes) = &self.classes {
            network.set_note(CLASSES, serde_json::to_string(classes)?);
        }
        if let Some(preprocessing) = &self.preprocessing {
            network.set_note(PREPROCESSING, serde_json::to_string(preprocessing)?);
        }
        if let Some(targets) = &self.targets {
            network.set_note(TARGETS, serde_json::to_string(targets)?);
        }
        if let Some(training) = &self.training {
            network.set_note(TRAINING, training.to_string());
        }
        Ok(())
    }

    /// How pictures become samples of this network: as noted, or as its input's shape suggests.
    pub fn preprocessing_for(&self, network: &Network) -> Option<Preprocessing> {
        let guess = || match network.input_shape()[..] {
            [1, height, width] => Some(Preprocessing::Character(Frame::of_size(height, width))),
            [3, height, width] => Some(Preprocessing::Picture {
                channels: 3,
                height,
                width,
            }),
            // Fewer numbers are rather columns of a table than a picture.
            [size] if size >= 64 && size.isqrt().pow(2) == size => {
                let side = size.isqrt();
                Some(Preprocessing::Character(Frame::of_size(side, side)))
            }
            _ => None,
        };
        self.preprocessing.clone().or_else(guess)
    }

    /// Whether the network gives values instead of telling classes apart, if the notes say it.
    pub fn gives_values(&self) -> Option<bool> {
        match &self.classes {
            _ if self.targets.is_some() => Some(true),
            Some(names) => Some(names.is_empty()),
            None => None,
        }
    }

    /// The names of this network's classes, as noted, or else their numbers; none if it gives values. Where the notes don't say, a
    /// single number that is no probability is a value, unless the network was trained with a loss of probabilities.
    pub fn classes_for(&self, network: &Network) -> Vec<String> {
        let outputs = network.output_shape().size();
        let of_classes = || {
            let loss = self.training.as_ref().and_then(|training| training["loss"].as_str());
            loss.is_some_and(|loss| loss.contains("cross_entropy"))
        };
        let single = outputs == 1 && network.output_kind() == OutputKind::Real;
        match (&self.classes, self.gives_values()) {
            (_, Some(true)) => Vec::new(),
            (Some(names), _) if names.len() == outputs.max(2) => names.clone(),
            (None, _) if single && !of_classes() => Vec::new(),
            _ => numbers(outputs.max(2)),
        }
    }
}

/// Whether numbers change when each is reduced by its mean and divided by its deviation.
pub fn changes(mean: &[f64], deviation: &[f64]) -> bool {
    mean.iter().any(|&mean| mean != 0.0) || deviation.iter().any(|&deviation| deviation != 1.0)
}

impl DataOrigin {
    /// A data set that has a part for testing.
    pub fn named(name: &str) -> DataOrigin {
        DataOrigin {
            name: name.into(),
            target: None,
            regression: false,
            header: None,
            held_out: None,
            seed: 0,
        }
    }
}

/// The names of a data set's classes, or their numbers; none if its targets are values.
pub fn class_names(data: &dyn Dataset) -> Vec<String> {
    match (data.class_names(), data.targets()) {
        (Some(names), _) => names.to_vec(),
        (None, Targets::Classes(count)) => numbers(count),
        (None, Targets::Values(_)) => Vec::new(),
    }
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|class| class.to_string()).collect()
}

fn read<T: DeserializeOwned>(network: &Network, key: &str) -> Result<Option<T>> {
    let note = network.note(key);
    note.map(|note| serde_json::from_str(note).with_context(|| format!("the network's note `{key}` can't be read")))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradus::prelude::*;

    #[test]
    fn notes_come_back_as_they_were() {
        let mut network = Sequential::new([4]).layer(Dense::new(2)).build(1).unwrap();
        let metadata = Metadata {
            origin: Some(DataOrigin {
                target: Some("price".into()),
                held_out: Some(0.2),
                seed: 7,
                ..DataOrigin::named("houses.csv")
            }),
            fingerprint: Some(TrainingFingerprint {
                sha256: "5e".into(),
                digests: Some("AAAAAAAAAAA=".into()),
            }),
            classes: Some(vec!["a".into(), "b".into()]),
            preprocessing: Some(Preprocessing::Numbers {
                columns: ["w", "x", "y", "z"].map(String::from).to_vec(),
                mean: vec![0.1; 4],
                deviation: vec![2.0 / 3.0; 4],
            }),
            targets: Some(TargetScale {
                mean: vec![1e5, 0.0],
                deviation: vec![1.0 / 3.0, 1.0],
            }),
            training: Some(serde_json::json!({"epochs": 3})),
        };
        metadata.write(&mut network).unwrap();
        assert_eq!(
            format!("{:?}", Metadata::of(&network).unwrap()),
            format!("{metadata:?}")
        );
        // With a scale for its outputs, they are values.
        assert_eq!(metadata.classes_for(&network), [""; 0]);
        let classes = Metadata {
            targets: None,
            ..metadata.clone()
        };
        assert_eq!(classes.classes_for(&network), ["a", "b"]);

        // An older version wrote one digest of all samples, at another place.
        let mut older = Sequential::new([4]).layer(Dense::new(2)).build(1).unwrap();
        older.set_note("training", r#"{"data": {"sha256": "5e"}}"#);
        let fingerprint = Metadata::of(&older).unwrap().fingerprint.unwrap();
        assert_eq!((fingerprint.sha256.as_str(), fingerprint.digests), ("5e", None));

        network.set_note("targets", r#"{"mean": [0, 0], "deviation": [1]}"#);
        let message = Metadata::of(&network).unwrap_err().to_string();
        assert!(
            message.contains("by 2 means and 1 deviation, and the network gives 2 values"),
            "{message}"
        );
        metadata.write(&mut network).unwrap();

        network.set_note("classes", "[");
        let message = format!("{:#}", Metadata::of(&network).unwrap_err());
        assert!(
            message.starts_with("the network's note `classes` can't be read"),
            "{message}"
        );
    }

    #[test]
    fn a_single_number_is_a_value_unless_something_says_otherwise() {
        let logit = Sequential::new([1]).layer(Dense::new(1)).build(1).unwrap();
        let probability = Sequential::new([1])
            .layer(Dense::new(1))
            .layer(Sigmoid)
            .build(1)
            .unwrap();
        let none = Metadata::default();
        assert_eq!(none.classes_for(&logit), [""; 0]);
        assert_eq!(none.classes_for(&probability), ["0", "1"]);
        let trained = |loss: &str| Metadata {
            training: Some(serde_json::json!({ "loss": loss })),
            ..Metadata::default()
        };
        assert_eq!(trained("binary_cross_entropy").classes_for(&logit), ["0", "1"]);
        assert_eq!(trained("mean_squared_error").classes_for(&logit), [""; 0]);
        let classes = |names: &[&str]| Metadata {
            classes: Some(names.iter().map(ToString::to_string).collect()),
            ..Metadata::default()
        };
        assert_eq!(classes(&["no", "yes"]).classes_for(&logit), ["no", "yes"]);
        assert_eq!(classes(&[]).classes_for(&probability), [""; 0]);
        assert_eq!([none.gives_values(), classes(&[]).gives_values()], [None, Some(true)]);
    }

    #[test]
    fn without_notes_the_input_says_what_pictures_are() {
        let guess = |shape: Shape| {
            let network = Sequential::new(shape)
                .layer(Flatten)
                .layer(Dense::new(3))
                .build(1)
                .unwrap();
            assert_eq!(Metadata::default().classes_for(&network), ["0", "1", "2"]);
            Metadata::default().preprocessing_for(&network)
        };
        let mnist = Preprocessing::Character(Frame::of_size(28, 28));
        assert_eq!(guess([1, 28, 28].into()), Some(mnist.clone()));
        assert_eq!(guess(784.into()), Some(mnist));
        assert!(matches!(
            guess([3, 32, 16].into()),
            Some(Preprocessing::Picture { width: 16, .. })
        ));
        assert_eq!(guess(7.into()), None);
    }

    /// Sizes whose product overflows, or comes out right only because it does, and frames that hold nothing.
    #[test]
    fn notes_that_do_not_suit_the_network_are_refused() {
        let mut network = Sequential::new([4]).layer(Dense::new(2)).build(1).unwrap();
        let odd = (1u64 << 63) + 1;
        for (note, sentence) in [
            (
                r#"{"kind": "character", "height": 2, "width": 2, "fit": 0}"#.into(),
                "characters of 0 pixels",
            ),
            (
                format!(r#"{{"kind": "character", "height": {odd}, "width": 4, "fit": 1}}"#),
                "takes samples of shape 4",
            ),
            (
                r#"{"kind": "picture", "channels": 3, "height": 2, "width": 2}"#.into(),
                "pictures of 3×2×2, and the network takes samples of shape 4",
            ),
            (
                r#"{"kind": "picture", "channels": 2, "height": 1, "width": 2}"#.into(),
                "not of 1 or 3 channels",
            ),
            (
                r#"{"kind": "numbers", "mean": [0, 0, 0, 0], "deviation": [1, 1, 1]}"#.into(),
                "takes samples of shape 4",
            ),
            (
                r#"{"kind": "numbers", "mean": [0, 0, 0, 0], "deviation": [1, 1, 0, 1]}"#.into(),
                "no numbers can be scaled",
            ),
        ] {
            network.set_note("preprocessing", note);
            let error = Metadata::of(&network).unwrap_err().to_string();
            assert!(error.contains(sentence), "{error}");
        }
        network.set_note(
            "preprocessing",
            r#"{"kind": "character", "height": 2, "width": 2, "fit": 3}"#,
        );
        assert!(Metadata::of(&network).is_ok());
    }
}
