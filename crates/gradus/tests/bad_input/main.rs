//! Whatever is wrong is an error in a sentence that names the thing, what was expected and what was found: never a panic.

#[path = "../common/mod.rs"]
mod common;
mod data;
mod files;
mod networks;
mod training;
