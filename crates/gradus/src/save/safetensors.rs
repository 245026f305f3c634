//! The safetensors format: eight bytes with the length of a header, the header as JSON, and the tensors' bytes.
//!
//! A header is `{"__metadata__": {"key": "text"}, "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}`; offsets
//! count from the header's end, and the tensors fill what follows it without gaps.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Map, Value, json};

use crate::{Error, Float, Result, Shape};

/// How many batches a batch normalisation of PyTorch's has seen: it is in every file, of whole numbers, and of no use here.
const COUNTER: &str = "num_batches_tracked";

/// The type of our tensors' values: little-endian.
const DTYPE: &str = if size_of::<Float>() == 4 { "F32" } else { "F64" };

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

pub(super) fn write(content: &Content<'_>) -> Vec<u8> {
    let mut header = Map::new();
    if !content.metadata.is_empty() {
        header.insert("__metadata__".into(), json!(content.metadata));
    }
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
    bytes
}

pub(super) fn read(bytes: &[u8]) -> Result<Content<'static>> {
    let damaged = |what: String| Error::data(format!("not a whole safetensors file: {what}"));
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return Err(damaged(format!("it has only {} bytes", bytes.len())));
    };
    let length = u64::from_le_bytes(*length);
    let Some((header, data)) = usize::try_from(length).ok().and_then(|n| rest.split_at_checked(n)) else {
        return Err(damaged(format!(
            "its header claims {length} bytes, {} follow",
            rest.len()
        )));
    };
    let header: Map<String, Value> =
        serde_json::from_slice(header).map_err(|e| damaged(format!("its header is not a JSON object: {e}")))?;

    let mut metadata = BTreeMap::new();
    let mut tensors: Vec<Entry> = Vec::new();
    for (name, value) in header {
        if name == "__metadata__" {
            metadata = serde_json::from_value(value)
                .map_err(|_| damaged("its metadata is not a map from text to text".into()))?;
            continue;
        }
        tensors.push(read_tensor(name, &value, data).map_err(damaged)?);
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
    Ok(Content {
        metadata,
        tensors: (tensors.into_iter().map(|entry| entry.tensor))
            .filter(|tensor| !tensor.name.ends_with(COUNTER))
            .collect(),
    })
}

/// A tensor, and where its bytes lie.
struct Entry {
    tensor: Tensor<'static>,
    bytes: Range<usize>,
}

fn read_tensor(name: String, value: &Value, data: &[u8]) -> Result<Entry, String> {
    let dtype = value.get("dtype").and_then(Value::as_str).unwrap_or("nothing");
    let counter = name.ends_with(COUNTER) && dtype == "I64";
    if dtype != DTYPE && !counter {
        return Err(format!("the tensor `{name}` is of type {dtype}, expected {DTYPE}"));
    }
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
