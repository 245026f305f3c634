//! The safetensors format: eight bytes with the length of a header, the header as JSON, and the tensors' bytes.
//!
//! A header is `{"__metadata__": {"key": "text"}, "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}`; offsets
//! count from the header's end, and the tensors fill what follows it without gaps.
//!
//! In our files the metadata have a checksum: the CRC-32 of the whole file with eight zeros in the checksum's place, as eight
//! hexadecimal digits. It finds every change of up to 32 bits in a row.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::{Error, Float, Result, Shape};

/// How many batches a batch normalization of PyTorch's has seen: it is in every file, of whole numbers, and of no use here.
const COUNTER: &str = "num_batches_tracked";

/// The type of our tensors' values: little-endian.
const DTYPE: &str = if size_of::<Float>() == 4 { "F32" } else { "F64" };

/// Where the metadata have the checksum.
const CHECKSUM_KEY: &str = "gradus.checksum";

/// What stands for the checksum while it is computed.
const NO_CHECKSUM: &str = "00000000";

/// The longest header that is read: as long as the format's own library allows.
const MOST_HEADER: u64 = 100_000_000;

/// What a file holds.
#[derive(Debug)]
pub(super) struct Content<'a> {
    pub metadata: BTreeMap<String, String>,
    pub tensors: Vec<Tensor<'a>>,
}

#[derive(Debug)]
pub(super) struct Tensor<'a> {
    pub name: String,
    pub shape: Shape,
    pub values: Cow<'a, [Float]>,
}

impl Content<'_> {
    /// Refuses a file without a checksum, where every file of its format has one.
    pub fn require_checksum(&self) -> Result<()> {
        if self.metadata.contains_key(CHECKSUM_KEY) {
            return Ok(());
        }
        Err(Error::data(
            "the file has no checksum, which every file of its format has: it is damaged, or was changed by another program",
        ))
    }
}

/// The bytes of a file with this content and its checksum.
pub(super) fn write(content: &Content<'_>) -> Vec<u8> {
    let mut metadata = content.metadata.clone();
    metadata.insert(CHECKSUM_KEY.into(), NO_CHECKSUM.into());
    let mut header = Map::new();
    header.insert("__metadata__".into(), json!(metadata));
    let mut end = 0;
    for tensor in &content.tensors {
        let start = end;
        end += size_of_val(&*tensor.values);
        header.insert(
            tensor.name.clone(),
            json!({ "dtype": DTYPE, "shape": &tensor.shape, "data_offsets": [start, end] }),
        );
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    // Spaces bring the tensors to a multiple of eight bytes.
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut bytes = Vec::with_capacity(8 + header.len() + end);
    bytes.extend_from_slice(&(header.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&header);
    for tensor in &content.tensors {
        bytes.extend(tensor.values.iter().flat_map(|v| v.to_le_bytes()));
    }
    if let Some((place, sum)) = checksum(&bytes) {
        bytes[place].copy_from_slice(sum.as_bytes());
    }
    bytes
}

/// The checksum of a file's bytes, and its place among them; none where no place is for it.
fn checksum(bytes: &[u8]) -> Option<(Range<usize>, String)> {
    let key = format!("\"{CHECKSUM_KEY}\":\"");
    let found = bytes.windows(key.len()).position(|window| window == key.as_bytes())?;
    let start = found + key.len();
    let place = start..start + NO_CHECKSUM.len();
    let (before, after) = (&bytes[..start], bytes.get(place.end..)?);
    let mut sum = crc32fast::Hasher::new();
    for part in [before, NO_CHECKSUM.as_bytes(), after] {
        sum.update(part);
    }
    Some((place, format!("{:08x}", sum.finalize())))
}

/// Reads the bytes of a file: as many as its header says, and one more if there are more. So a device or a pipe that never ends
/// is not read for ever.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>> {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let mut bytes = Vec::new();
        (&mut file).take(8).read_to_end(&mut bytes)?;
        let length = bytes.first_chunk().map_or(0, |&length| u64::from_le_bytes(length));
        (&mut file).take(length.min(MOST_HEADER)).read_to_end(&mut bytes)?;
        let end = bytes.get(8..).map_or(0, claimed_end);
        file.take(end.saturating_add(1)).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|e| Error::io(path, "can't be read", e))
}

/// Where the last tensor ends, by the header; 0 if it is none.
fn claimed_end(header: &[u8]) -> u64 {
    let header: Map<String, Value> = serde_json::from_slice(header).unwrap_or_default();
    let ends = header.values().filter_map(|tensor| tensor["data_offsets"][1].as_u64());
    ends.max().unwrap_or(0)
}

pub(super) fn read(bytes: &[u8]) -> Result<Content<'static>> {
    if is_pickle(bytes) {
        return Err(Error::data(
            "this is a pickle, as `torch.save` writes it, and no safetensors file: pickles are programs, and are not run; save the \
             tensors with `safetensors.torch.save_file(model.state_dict(), path)`",
        ));
    }
    let (header, data) = split_header(bytes)?;
    let (metadata, tensors) = read_entries(header, data)?;
    if let Some(noted) = metadata.get(CHECKSUM_KEY) {
        let found = checksum(bytes).map_or("another".to_string(), |(_, sum)| sum);
        if *noted != found {
            return Err(Error::data(format!(
                "the file's checksum is {noted}, that of its content {found}: it is damaged, or was changed by another program"
            )));
        }
    }
    Ok(Content {
        metadata,
        tensors: (tensors.into_iter().map(|entry| entry.tensor))
            .filter(|tensor| !tensor.name.ends_with(COUNTER))
            .collect(),
    })
}

fn damaged(what: String) -> Error {
    Error::data(format!("not a whole safetensors file: {what}"))
}

/// The header of a file, and the bytes of its tensors.
fn split_header(bytes: &[u8]) -> Result<(Map<String, Value>, &[u8])> {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return Err(damaged(format!("it has only {} bytes", bytes.len())));
    };
    let length = u64::from_le_bytes(*length);
    // A message of protocol buffers whose first field is a small number: the version of the format.
    if let [0x08, 1..=32, ..] = bytes
        && length > bytes.len() as u64
    {
        return Err(Error::data(
            "this looks like an ONNX file, and not like a safetensors file: `gradus import` makes a network of one",
        ));
    }
    let Some((header, data)) = usize::try_from(length).ok().and_then(|n| rest.split_at_checked(n)) else {
        return Err(damaged(format!(
            "its header claims {length} bytes, {} follow",
            rest.len()
        )));
    };
    let header =
        serde_json::from_slice(header).map_err(|e| damaged(format!("its header is not a JSON object: {e}")))?;
    Ok((header, data))
}

/// The metadata and the tensors that a header names, in the order of their bytes, which have to be all of `data`.
fn read_entries(header: Map<String, Value>, data: &[u8]) -> Result<(BTreeMap<String, String>, Vec<Entry>)> {
    let mut metadata = BTreeMap::new();
    let mut tensors: Vec<Entry> = Vec::new();
    for (name, value) in header {
        if name == "__metadata__" {
            metadata = serde_json::from_value(value)
                .map_err(|_| damaged("its metadata is not a map from text to text".into()))?;
            continue;
        }
        let dtype = value.get("dtype").and_then(Value::as_str).unwrap_or("nothing");
        let counter = name.ends_with(COUNTER) && dtype == "I64";
        if dtype != DTYPE && !counter {
            return Err(Error::data(format!(
                "the tensor `{name}` is of type {dtype}, and only {DTYPE} is read: convert it before it is saved, in PyTorch with \
                 `model.{}()`",
                if DTYPE == "F32" { "float" } else { "double" }
            )));
        }
        tensors.push(read_tensor(name, &value, counter, data).map_err(damaged)?);
    }
    // Empty ones come before what begins at the same place.
    tensors.sort_by_key(|entry| (entry.bytes.start, entry.bytes.end));
    let mut end = 0;
    for Entry { tensor, bytes } in &tensors {
        if bytes.start != end {
            return Err(damaged(format!(
                "the tensor `{}` begins at byte {}, not at {end}",
                tensor.name, bytes.start
            )));
        }
        end = bytes.end;
    }
    if end != data.len() {
        return Err(damaged(format!("its tensors end at byte {end} of {}", data.len())));
    }
    Ok((metadata, tensors))
}

/// Whether a file that begins with these bytes, nine or more, is one of `torch.save`: a zip archive with a pickle, or, until 2020, a
/// bare pickle.
pub fn is_pickle(bytes: &[u8]) -> bool {
    match bytes {
        [b'P', b'K', 3, 4, ..] => true,
        // The second byte is the version. From 4 on the length of a frame follows, whose highest bytes are 0; the header of a
        // safetensors file, a JSON object, can't begin with them.
        [0x80, 4 | 5, 0x95, _, _, _, _, _, 0, ..] => true,
        // As the length of a header, that would be beyond any file's.
        [0x80, 2..=5, _, _, _, _, high, _, ..] => *high != 0,
        _ => false,
    }
}

/// A tensor, and where its bytes lie.
struct Entry {
    tensor: Tensor<'static>,
    bytes: Range<usize>,
}

fn read_tensor(name: String, value: &Value, counter: bool, data: &[u8]) -> Result<Entry, String> {
    let field = |key: &str| value.get(key).cloned().unwrap_or(Value::Null);
    let shape: Vec<usize> =
        serde_json::from_value(field("shape")).map_err(|_| format!("the tensor `{name}` has no shape"))?;
    let [start, end]: [usize; 2] =
        serde_json::from_value(field("data_offsets")).map_err(|_| format!("the tensor `{name}` has no offsets"))?;
    let size = shape
        .iter()
        .try_fold(if counter { 8 } else { size_of::<Float>() }, |size, &d| {
            size.checked_mul(d)
        });
    let Some(bytes) = data.get(start..end).filter(|bytes| Some(bytes.len()) == size) else {
        return Err(format!(
            "the tensor `{name}` of shape {:?} can't lie in bytes {start} to {end} of {}",
            Shape::from(shape),
            data.len()
        ));
    };
    let values = if counter {
        Cow::default()
    } else {
        (bytes.as_chunks().0.iter())
            .map(|&value| Float::from_le_bytes(value))
            .collect()
    };
    Ok(Entry {
        tensor: Tensor {
            name,
            shape: shape.into(),
            values,
        },
        bytes: start..end,
    })
}
