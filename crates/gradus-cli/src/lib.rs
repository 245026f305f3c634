//! The parts of the program `gradus`: its commands, and the pictures, files and downloads that they need.
#![forbid(unsafe_code)]

pub mod classes;
pub mod cli;
pub mod download;
pub mod image;
pub mod learned;
pub mod networks;
pub mod notes;
pub mod output;
pub mod picture;
pub mod plot;
pub mod source;
pub mod study;
pub mod table;
pub mod task;
pub mod terminal;
pub mod threads;
pub mod units;
