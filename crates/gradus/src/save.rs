//! Networks in files.
//!
//! A network is one [safetensors](https://github.com/huggingface/safetensors) file: its tensors under the names and in the
//! layouts that `torch.nn.Sequential` uses (`0.weight`, `0.bias`, `1.running_mean`), and in the metadata the version of this
//! format and of the library, the architecture as JSON, a checksum of the whole file, and any [notes](Network::note).

mod architecture;
pub mod atomic;
mod bounded;
pub(crate) mod checkpoint;
mod safetensors;

pub use crate::registry::Registry;
pub use bounded::read_at_most;
pub use checkpoint::Checkpoint;
pub use safetensors::is_pickle;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use crate::graph::Graph;
use crate::{Error, Float, Network, Result, Sequential, Shape};
use safetensors::{Content, Tensor};

/// The version of the files that are written, and the newest that can be read.
const FORMAT: u32 = 2;
/// From this version on, every file has a checksum.
const FORMAT_WITH_CHECKSUM: u32 = 2;
const FORMAT_KEY: &str = "gradus.format";
const ARCHITECTURE_KEY: &str = "gradus.architecture";
const SEED_KEY: &str = "gradus.seed";
const VERSION_KEY: &str = "gradus.version";
const NOTE_PREFIX: &str = "gradus.note.";

impl Network {
    /// A note that travels with the network in its file: what it was trained on, the names of its classes.
    pub fn note(&self, key: &str) -> Option<&str> {
        self.notes.get(key).map(String::as_str)
    }

    /// Sets a note.
    pub fn set_note(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.notes.insert(key.into(), value.into());
    }

    /// The architecture as JSON: the input shape, and every layer with its kind and settings.
    ///
    /// # Errors
    /// If a layer has no [settings](crate::Layer::settings) to save, or is a user's own with the kind of one of the library's,
    /// which would be loaded in its place.
    pub fn architecture(&self) -> Result<serde_json::Value> {
        architecture::to_json(&self.graph)
    }

    /// Saves the network, with its architecture, in one file, which is whole at every moment: written beside, synced and
    /// renamed.
    ///
    /// # Errors
    /// If a layer can't be saved, a weight is not finite, or the file can't be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        atomic::write(path.as_ref(), &self.to_bytes()?)
    }

    /// The content of the file that [`save`](Network::save) writes.
    ///
    /// # Errors
    /// If a layer can't be saved or a weight is not finite.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut metadata = BTreeMap::from([
            (FORMAT_KEY.to_string(), FORMAT.to_string()),
            (ARCHITECTURE_KEY.to_string(), self.architecture()?.to_string()),
            (SEED_KEY.to_string(), self.seed.to_string()),
            (VERSION_KEY.to_string(), env!("CARGO_PKG_VERSION").to_string()),
        ]);
        metadata.extend(
            self.notes
                .iter()
                .map(|(key, value)| (format!("{NOTE_PREFIX}{key}"), value.clone())),
        );
        let tensors: Vec<Tensor<'_>> = saved_tensors(&self.graph)
            .map(|saved| {
                let all = if saved.state { &self.weights.state } else { &self.weights.parameters };
                let values = &all[saved.range.clone()];
                if let Some(i) = values.iter().position(|v| !v.is_finite()) {
                    return Err(Error::invalid(format!(
                        "the tensor `{}` has the value {} at position {i}: a network with values that are not finite is not saved",
                        saved.name, values[i]
                    )));
                }
                Ok(Tensor {
                    values: if saved.transposed { transposed(&saved.shape, values).into() } else { values.into() },
                    shape: saved.shape_in_file(),
                    name: saved.name,
                })
            })
            .collect::<Result<_>>()?;
        Ok(safetensors::write(&Content { metadata, tensors }))
    }

    /// Loads a network from a file that [`save`](Network::save) wrote.
    ///
    /// # Errors
    /// If the file can't be read, is not such a file, is damaged, or has a layer that is not ours: for those see
    /// [`load_with`](Network::load_with).
    pub fn load(path: impl AsRef<Path>) -> Result<Network> {
        Self::load_with(path, &Registry::default())
    }

    /// Loads a network whose layers are all in this registry.
    ///
    /// # Errors
    /// As [`load`](Network::load).
    pub fn load_with(path: impl AsRef<Path>, registry: &Registry) -> Result<Network> {
        let path = path.as_ref();
        let bytes = safetensors::read_file(path)?;
        Self::from_bytes(&bytes, registry).map_err(|e| Error::file(path, e))
    }

    /// A network from the content of a file.
    ///
    /// # Errors
    /// As [`load`](Network::load).
    pub fn from_bytes(bytes: &[u8], registry: &Registry) -> Result<Network> {
        let content = safetensors::read(bytes)?;
        checkpoint::refuse(&content, "a network")?;
        let entry = |key: &str| {
            content.metadata.get(key).ok_or_else(|| {
                Error::data(format!(
                    "this safetensors file was not written by Gradus: its metadata has no `{key}`"
                ))
            })
        };
        let format = entry(FORMAT_KEY)?;
        let Some(known) = format.parse().ok().filter(|f| (1..=FORMAT).contains(f)) else {
            return Err(Error::data(format!(
                "the file is of format {format}, this version reads formats 1 to {FORMAT}"
            )));
        };
        if known >= FORMAT_WITH_CHECKSUM {
            content.require_checksum()?;
        }
        let architecture = serde_json::from_str(entry(ARCHITECTURE_KEY)?)
            .map_err(|e| Error::data(format!("the architecture in the file is not JSON: {e}")))?;
        let graph = Sequential::from_json(&architecture, registry)?.into_graph()?;
        // Before there is memory for a network that the file only claims to hold.
        matched(&graph, &content)?;
        let mut network = Network::from_graph(graph);
        network.take(&content)?;
        network.seed = content.metadata.get(SEED_KEY).and_then(|s| s.parse().ok()).unwrap_or(0);
        for (key, value) in &content.metadata {
            if let Some(key) = key.strip_prefix(NOTE_PREFIX) {
                network.set_note(key, value);
            }
        }
        Ok(network)
    }

    /// Takes all weights from a safetensors file of another program, such as one that PyTorch saved from a
    /// `torch.nn.Sequential` of the same layers: `safetensors.torch.save_file(model.state_dict(), path)`. The file needs no
    /// architecture: it is this network's. Nothing is changed if there is an error.
    ///
    /// PyTorch's layers that this library has in others (an activation in its dense layer) have to have their places too, since tensors
    /// are named by those: `0.weight`.
    ///
    /// # Errors
    /// If the file can't be read, a tensor is missing, of another shape or not finite, or there is one that the network doesn't
    /// have.
    pub fn load_weights(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let bytes = safetensors::read_file(path)?;
        let content = safetensors::read(&bytes).map_err(|e| Error::file(path, e))?;
        checkpoint::refuse(&content, "weights").map_err(|e| Error::file(path, e))?;
        self.take(&content).map_err(|e| Error::file(path, e))
    }

    /// Takes all weights from the content of a file.
    fn take(&mut self, content: &Content<'_>) -> Result<()> {
        let matched = matched(&self.graph, content)?;
        for (saved, tensor) in &matched {
            if let Some(i) = tensor.values.iter().position(|v| !v.is_finite()) {
                return Err(Error::data(format!(
                    "the tensor `{}` has the value {} at position {i}: every value must be finite",
                    saved.name, tensor.values[i]
                )));
            }
        }
        for (saved, tensor) in matched {
            let all = if saved.state {
                &mut self.weights.state
            } else {
                &mut self.weights.parameters
            };
            let values = if saved.transposed {
                transposed(&tensor.shape, &tensor.values).into()
            } else {
                Cow::Borrowed(&*tensor.values)
            };
            all[saved.range].copy_from_slice(&values);
        }
        Ok(())
    }
}

/// A tensor of a network as it is saved.
struct Saved {
    name: String,
    shape: Shape,
    transposed: bool,
    /// Whether it is of the state, and where there or in the parameters it lies.
    state: bool,
    range: std::ops::Range<usize>,
}

impl Saved {
    fn shape_in_file(&self) -> Shape {
        if self.transposed {
            self.shape.iter().rev().copied().collect::<Vec<_>>().into()
        } else {
            self.shape.clone()
        }
    }
}

/// Every tensor of a network, as it is saved.
fn saved_tensors(graph: &Graph) -> impl Iterator<Item = Saved> {
    let parameters = graph.named_parameters().map(|named| Saved {
        name: named.name,
        shape: named.parameter.shape.clone(),
        transposed: named.parameter.saved_transposed,
        state: false,
        range: named.range,
    });
    let state = graph.named_state().map(|(name, state, range)| Saved {
        name,
        shape: state.shape.clone(),
        transposed: false,
        state: true,
        range,
    });
    parameters.chain(state)
}

/// Each of the network's tensors with the file's; refuses a file whose tensors are not exactly those of the network.
fn matched<'c>(graph: &Graph, content: &'c Content<'_>) -> Result<Vec<(Saved, &'c Tensor<'c>)>> {
    let mut in_file: BTreeMap<&str, &Tensor<'_>> = content.tensors.iter().map(|t| (&*t.name, t)).collect();
    let mut matched = Vec::with_capacity(in_file.len());
    for saved in saved_tensors(graph) {
        let shape = saved.shape_in_file();
        let Some(tensor) = in_file.remove(&*saved.name) else {
            return Err(Error::data(format!(
                "the file has no tensor `{}`, which the architecture needs ({shape}); it has {}",
                saved.name,
                first_names(content)
            )));
        };
        if tensor.shape != shape {
            return Err(Error::data(format!(
                "the tensor `{}` has the shape {}, the architecture needs {shape}",
                saved.name, tensor.shape
            )));
        }
        matched.push((saved, tensor));
    }
    match in_file.keys().next() {
        Some(extra) => Err(Error::data(format!(
            "the file has a tensor `{extra}` that the architecture doesn't have"
        ))),
        None => Ok(matched),
    }
}

/// The names of the first tensors in a file, for a sentence.
fn first_names(content: &Content<'_>) -> String {
    const MOST: usize = 6;
    let names: Vec<&str> = content.tensors.iter().map(|tensor| &*tensor.name).collect();
    match names.len() {
        0 => "none".into(),
        1..=MOST => names.join(", "),
        n => format!("{} and {} more", names[..MOST].join(", "), n - MOST),
    }
}

/// The transpose of a matrix of this shape.
fn transposed(shape: &Shape, values: &[Float]) -> Vec<Float> {
    let columns = shape[1];
    (0..columns)
        .flat_map(|j| values.iter().skip(j).step_by(columns).copied())
        .collect()
}
