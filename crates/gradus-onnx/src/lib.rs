//! Networks of Gradus as ONNX files.
#![forbid(unsafe_code)]

mod export;
mod import;
mod model;
mod wire;

pub use export::{Export, INPUT, Normalisation, OPSET, OUTPUT, export};
pub use import::{Imported, NEWEST_OPSET, OLDEST_OPSET, import, import_output};
