//! Options that several commands have.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use gradus::data::mnist::Set;

use super::Settings;
use crate::source::{EMBEDDED, Source};
use crate::task::XOR;

/// Which samples, and where they are.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Data")]
pub struct DataOptions {
    /// A data set by name (see `gradus data list`), a folder of IDX files, a folder of images with a sub-folder for each
    /// class, or one with folders `train` and `test` of such, or a table of numbers (.csv, .tsv, also gzipped)
    #[arg(long, value_name = "NAME|DIR|FILE")]
    pub data: Option<String>,
    /// The folder to search first, and to fetch into
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Never fetch data
    #[arg(long)]
    pub offline: bool,
    /// The column of a table that has the targets: its name, or its position, the first being 0 [default: the last]
    #[arg(long, value_name = "COLUMN")]
    pub target: Option<String>,
    /// The targets of a table are values, not classes
    #[arg(long)]
    pub regression: bool,
}

impl DataOptions {
    /// Where data may come from.
    pub fn source(&self, settings: &Settings) -> Source {
        Source {
            folder: self.data_dir.clone(),
            offline: self.offline,
            quiet: settings.quiet,
        }
    }
}

/// The name by which data can be found again from another folder: of a path, the whole. A folder that has the name of a
/// known set is not meant by it.
pub fn lasting_name(data: &str) -> Result<String> {
    let known = data == XOR || data == EMBEDDED || Set::find(data).is_ok();
    if !known && Path::new(data).exists() {
        Ok(std::path::absolute(data)?.to_string_lossy().into_owned())
    } else {
        Ok(data.to_string())
    }
}
