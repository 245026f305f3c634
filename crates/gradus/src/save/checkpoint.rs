//! Checkpoints: files from which training is resumed as if it had never stopped.
//!
//! A safetensors file like a network's, but with flat tensors: `parameters`, `state`, `optimizer.0`, ... and for each weights that a
//! callback remembers `memory.NAME.parameters` and `memory.NAME.state`. The rest is JSON in the metadata; numbers of 64 bits are
//! written as those bits, so that none is rounded and NaN stays NaN.

use std::collections::BTreeMap;
use std::path::Path;

use gradus_kernels::Buffer;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::atomic;
use super::safetensors::{self, Content, Tensor};
use crate::callback::CallbackState;
use crate::history::{Column, Epoch, History};
use crate::{Error, Result, Weights};

/// The version of the files that are written, and the newest that can be read.
const FORMAT: u32 = 2;
/// From this version on, every file has a checksum.
const FORMAT_WITH_CHECKSUM: u32 = 2;
const FORMAT_KEY: &str = "gradus.checkpoint";
const PROGRESS_KEY: &str = "gradus.checkpoint.progress";

/// A checkpoint of training: everything that decides how it continues.
///
/// [`Fit::checkpoint`](crate::Fit::checkpoint) writes such files and [`Fit::resume`](crate::Fit::resume) goes on from them; this is for a look
/// inside.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    pub(crate) progress: Progress,
    pub(crate) history: History,
    pub(crate) weights: Weights,
    pub(crate) slots: Vec<Buffer>,
    pub(crate) memory: CallbackState,
}

/// Where training stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Progress {
    /// What must be the same when it goes on: names and values.
    pub settings: BTreeMap<String, String>,
    /// The seed that the network was built with.
    pub seed: u64,
    /// Epochs finished, and steps of the next.
    pub epoch: usize,
    pub step: usize,
    /// Steps in all.
    pub steps: u64,
    /// Whether the last epoch was the last one.
    pub ended: bool,
    /// The sum of the losses of the samples of the present epoch so far, and its seconds.
    pub total: f64,
    pub seconds: f64,
    /// What each metric knows of these samples.
    pub meters: Vec<Vec<f64>>,
}

/// All but the tensors, as it is in the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InFile {
    settings: BTreeMap<String, String>,
    seed: u64,
    epoch: usize,
    step: usize,
    steps: u64,
    ended: bool,
    total: u64,
    seconds: u64,
    meters: Vec<Vec<u64>>,
    columns: Vec<Column>,
    /// The values of each epoch, its learning rate, seconds and samples a second.
    epochs: Vec<Vec<u64>>,
    memory: BTreeMap<String, Vec<u64>>,
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn values(bits: &[u64]) -> Vec<f64> {
    bits.iter().map(|&bits| f64::from_bits(bits)).collect()
}

impl Checkpoint {
    /// Reads a file.
    ///
    /// # Errors
    /// If it can't be read, or is not such a file, or is damaged.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = safetensors::read_file(path)?;
        Self::from_bytes(&bytes).map_err(|e| Error::file(path, e))
    }

    /// Reads the content of a file.
    ///
    /// # Errors
    /// If it is not that of a checkpoint, or is damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let content = safetensors::read(bytes)?;
        let file = progress_in(&content)?;
        let mut tensors: BTreeMap<String, Buffer> = content
            .tensors
            .into_iter()
            .map(|tensor| (tensor.name, buffer(&tensor.values)))
            .collect();
        let mut take = |name: &str| {
            tensors
                .remove(name)
                .ok_or_else(|| Error::data(format!("the checkpoint has no tensor `{name}`")))
        };
        let weights = Weights {
            parameters: take("parameters")?,
            state: take("state")?,
        };
        let mut memory = CallbackState {
            numbers: file
                .memory
                .iter()
                .map(|(name, bits)| (name.clone(), values(bits)))
                .collect(),
            weights: BTreeMap::new(),
        };
        let slots = (0..).map_while(|i| tensors.remove(&format!("optimizer.{i}"))).collect();
        while let Some((name, parameters)) = tensors.pop_first() {
            let whose = name
                .strip_prefix("memory.")
                .and_then(|name| name.strip_suffix(".parameters"));
            let pair = whose.and_then(|whose| Some((whose, tensors.remove(&format!("memory.{whose}.state"))?)));
            let Some((whose, state)) = pair else {
                return Err(Error::data(format!(
                    "the checkpoint has a tensor `{name}` that belongs to nothing"
                )));
            };
            memory.weights.insert(whose.to_string(), Weights { parameters, state });
        }
        Ok(Checkpoint {
            history: history(&file)?,
            weights,
            slots,
            memory,
            progress: Progress {
                settings: file.settings,
                seed: file.seed,
                epoch: file.epoch,
                step: file.step,
                steps: file.steps,
                ended: file.ended,
                total: f64::from_bits(file.total),
                seconds: f64::from_bits(file.seconds),
                meters: file.meters.iter().map(|bits| values(bits)).collect(),
            },
        })
    }

    /// The epochs that were finished, and the steps of the next one.
    pub fn position(&self) -> (usize, usize) {
        (self.progress.epoch, self.progress.step)
    }

    /// Whether training had ended.
    pub fn ended(&self) -> bool {
        self.progress.ended
    }

    /// The history so far.
    pub fn history(&self) -> &History {
        &self.history
    }
}

/// Writes a checkpoint.
pub(crate) fn write<'a>(
    path: &Path,
    progress: &Progress,
    history: &History,
    weights: &Weights,
    slots: impl Iterator<Item = &'a Buffer>,
    memory: &CallbackState,
) -> Result<()> {
    let epochs = history.epochs.iter().map(|epoch| {
        let times = [epoch.learning_rate, epoch.seconds, epoch.samples_per_second];
        bits(&[&epoch.values[..], &times[..]].concat())
    });
    let file = InFile {
        settings: progress.settings.clone(),
        seed: progress.seed,
        epoch: progress.epoch,
        step: progress.step,
        steps: progress.steps,
        ended: progress.ended,
        total: progress.total.to_bits(),
        seconds: progress.seconds.to_bits(),
        meters: progress.meters.iter().map(|meter| bits(meter)).collect(),
        columns: history.columns.clone(),
        epochs: epochs.collect(),
        memory: memory
            .numbers
            .iter()
            .map(|(name, numbers)| (name.clone(), bits(numbers)))
            .collect(),
    };
    let progress = serde_json::to_string(&file).map_err(|e| Error::data(format!("can't be written as JSON: {e}")))?;
    let tensor = |name: String, values| Tensor {
        name,
        shape: <[crate::Float]>::len(values).into(),
        values: std::borrow::Cow::Borrowed(values),
    };
    let mut all = vec![
        tensor("parameters".into(), &weights.parameters),
        tensor("state".into(), &weights.state),
    ];
    all.extend(
        slots
            .enumerate()
            .map(|(i, slot)| tensor(format!("optimizer.{i}"), slot)),
    );
    for (name, weights) in &memory.weights {
        all.push(tensor(format!("memory.{name}.parameters"), &weights.parameters));
        all.push(tensor(format!("memory.{name}.state"), &weights.state));
    }
    let metadata = BTreeMap::from([
        (FORMAT_KEY.to_string(), FORMAT.to_string()),
        (PROGRESS_KEY.to_string(), progress),
    ]);
    atomic::write(path, &safetensors::write(&Content { metadata, tensors: all }))
}

/// Refuses a checkpoint where something else is wanted.
pub(super) fn refuse(content: &Content<'_>, wanted: &str) -> Result<()> {
    if content.metadata.contains_key(FORMAT_KEY) {
        return Err(Error::data(format!(
            "this is a checkpoint, from which its training is resumed, and not {wanted}: take the network that the training saved"
        )));
    }
    Ok(())
}

/// What the metadata of a checkpoint say.
fn progress_in(content: &Content<'_>) -> Result<InFile> {
    let entry = |key: &str| {
        content.metadata.get(key).ok_or_else(|| {
            Error::data(format!(
                "this safetensors file is not a checkpoint of Gradus: its metadata has no `{key}`"
            ))
        })
    };
    let format = entry(FORMAT_KEY)?;
    let Some(known) = format.parse().ok().filter(|f| (1..=FORMAT).contains(f)) else {
        return Err(Error::data(format!(
            "the checkpoint is of format {format}, this version reads formats 1 to {FORMAT}"
        )));
    };
    if known >= FORMAT_WITH_CHECKSUM {
        content.require_checksum()?;
    }
    parse(entry(PROGRESS_KEY)?)
}

fn buffer(values: &[crate::Float]) -> Buffer {
    let mut buffer = Buffer::zeros(values.len());
    buffer.copy_from_slice(values);
    buffer
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| Error::data(format!("the checkpoint's progress can't be read: {e}")))
}

/// The history in a file.
fn history(file: &InFile) -> Result<History> {
    let epochs = file.epochs.iter().enumerate().map(|(i, bits)| {
        let mut values = values(bits);
        let times = (values.len() == file.columns.len() + 3).then(|| values.split_off(file.columns.len()));
        let Some(&[learning_rate, seconds, samples_per_second]) = times.as_deref() else {
            return Err(Error::data(format!(
                "the checkpoint's history has {} numbers for epoch {}, expected {}",
                bits.len(),
                i + 1,
                file.columns.len() + 3
            )));
        };
        Ok(Epoch {
            epoch: i + 1,
            values,
            learning_rate,
            seconds,
            samples_per_second,
        })
    });
    let epochs = epochs.collect::<Result<Vec<_>>>()?;
    if epochs.len() != file.epoch {
        return Err(Error::data(format!(
            "the checkpoint's history has {} epochs, {} are finished",
            epochs.len(),
            file.epoch
        )));
    }
    Ok(History {
        columns: file.columns.clone(),
        epochs,
    })
}
