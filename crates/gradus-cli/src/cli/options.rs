//! Options that several commands have.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use gradus::Network;
use gradus::data::{Dataset, Targets};

use super::GlobalOptions;
use crate::data_source::{DataSource, is_published};
use crate::data_splits::{DataSplits, ReadOptions, XOR};
use crate::experiment::HELD_OUT;
use crate::metadata::{DataOrigin, Metadata};
use crate::output::CommandFiles;
use crate::overlap::{self, Overlap};
use crate::table::is_table;

/// How networks are computed.
#[derive(Debug, Clone, Copy, Args)]
pub struct ComputeOptions {
    /// Compute by the plain loops over one sample, as the formulas are written in the files of the layers: outputs of the same bits,
    /// many times slower
    #[arg(long)]
    pub reference: bool,
}

impl ComputeOptions {
    /// The network, computed so.
    ///
    /// # Errors
    /// If that can't be.
    pub fn of(self, mut network: Network) -> Result<Network> {
        if self.reference {
            network.set_reference(true)?;
        }
        Ok(network)
    }
}

/// Which samples, and where they are.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Data")]
pub struct DataOptions {
    /// A data set by name (see `gradus data list`), a folder of IDX files, a folder of images with a sub-folder for each
    /// class, or one with folders `train` and `test` of such, or a table of numbers (.csv, .tsv, also gzipped: unpacked to 256
    /// MiB or 32 times its size, or to as many MiB as the environment variable GRADUS_MOST_UNPACKED says)
    #[arg(long, value_name = "NAME|DIR|FILE", value_parser = OsStringValueParser::new().try_map(parse_data_name))]
    pub data: Option<String>,
    /// The folder to search first, and to fetch into
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Never fetch data
    #[arg(long)]
    pub offline: bool,
    /// The column of a table that has the targets: its name, or, if no column has that name, its position, the first being 0
    /// [default: the last]
    #[arg(long, value_name = "COLUMN")]
    pub target: Option<String>,
    /// Whether the first line of a table names its columns [default: decided from its cells]
    #[arg(long, value_name = "yes|no", hide_possible_values = true, value_parser = clap::builder::BoolishValueParser::new())]
    pub header: Option<bool>,
    /// The targets of a table are values, not classes
    #[arg(long)]
    pub regression: bool,
    /// The targets of a table are classes, even if they are numbers that look like values
    #[arg(long, conflicts_with = "regression")]
    pub classification: bool,
}

/// The file or folder that data by this name would be read from, unless they are a known set.
pub fn place(data: Option<&String>) -> Vec<PathBuf> {
    let paths = data.into_iter().filter(|name| !is_known(name));
    paths.map(PathBuf::from).collect()
}

/// Whether data of this name are a known set, whatever file or folder has the name too.
fn is_known(name: &str) -> bool {
    name == XOR || is_published(name)
}

/// The name of data as it is on the command line.
///
/// # Errors
/// If it is no text: a network's notes keep it.
pub fn parse_data_name(name: OsString) -> Result<String, String> {
    name.into_string()
        .map_err(|_| "data are named by text, and this path is not UTF-8: rename it, or make a link to it".into())
}

impl DataOptions {
    /// What is read, as far as it is named.
    pub fn place(&self) -> Vec<PathBuf> {
        place(self.data.as_ref())
    }

    /// Where data may come from.
    pub fn source(&self, settings: &GlobalOptions) -> DataSource {
        DataSource {
            folder: self.data_dir.clone(),
            offline: self.offline,
            quiet: settings.quiet,
        }
    }

    /// Refuses options that tables have, where the data are none.
    ///
    /// # Errors
    /// If there are any.
    pub fn check_table(&self, data: &str) -> Result<()> {
        let kind = self.regression || self.classification;
        ensure!(
            is_table(Path::new(data)) || !(kind || self.target.is_some() || self.header.is_some()),
            "--target, --header, --regression and --classification are for tables, and {data} is none"
        );
        Ok(())
    }

    /// Where the samples come from: from what the options name, or else from what the network was trained on.
    ///
    /// # Errors
    /// If nothing names any.
    fn origin(&self, file: &Path, metadata: &Metadata) -> Result<DataOrigin> {
        let trained_on = match (&self.data, &metadata.origin) {
            (None, None) => bail!(
                "{}: the network does not say what it was trained on; name the data with --data",
                file.display()
            ),
            (None, Some(origin)) => origin.clone(),
            (Some(data), origin) => {
                let name = absolute_name(data)?;
                let origin = origin.clone().unwrap_or_else(|| DataOrigin::named(&name));
                DataOrigin {
                    // What was said of the first line of one table does not hold for another.
                    header: origin.header.filter(|_| origin.name == name),
                    name,
                    ..origin
                }
            }
        };
        Ok(DataOrigin {
            target: self.target.clone().or(trained_on.target),
            regression: !self.classification
                && (self.regression || trained_on.regression || metadata.gives_values() == Some(true)),
            header: self.header.or(trained_on.header),
            held_out: None,
            ..trained_on
        })
    }

    /// The samples that the options name, or the notes of a network, whose file is given for messages: for training those that
    /// it was trained on, for testing those that it was not, as far as that is known. Also returns the samples for testing with
    /// none left out. The command writes the files `writes`.
    ///
    /// # Errors
    /// If nothing names any, they can't be read, or would be written over.
    pub fn load(
        &self,
        file: &Path,
        network: &Network,
        metadata: &Metadata,
        mut writes: Vec<PathBuf>,
        settings: &GlobalOptions,
    ) -> Result<(DataSplits, Overlap, Arc<dyn Dataset>)> {
        let source = self.source(settings);
        let read_options = ReadOptions {
            metadata: metadata.clone(),
            network: Some(network),
            raw: true,
            trained: true,
            ..ReadOptions::default()
        };
        let origin = self.origin(file, metadata)?;
        // Where the notes alone name it, it is known only here.
        writes.extend(settings.json.clone());
        let files = CommandFiles {
            reads: Vec::new(),
            samples: (metadata.origin.iter().chain([&origin]))
                .flat_map(|origin| place(Some(&origin.name)))
                .collect(),
            writes,
        };
        files.check()?;
        self.check_table(&origin.name)?;
        check_kind(file, metadata, &origin)?;
        let splits = DataSplits::load(&origin, &source, &read_options)?.with_remarks_printed();
        if let (Targets::Classes(classes @ 3..), 1) = (splits.test.targets(), network.output_shape().size()) {
            bail!(
                "{}: the network gives one number, and the targets of {} are {classes} classes: if they are values, say so with \
                 --regression",
                file.display(),
                splits.name
            );
        }
        let all = splits.test.clone();
        let (splits, overlap) =
            overlap::divide(splits, metadata, &read_options, &source).with_context(|| file.display().to_string())?;
        Ok((splits, overlap, all))
    }
}

/// Refuses classes for a network that gives values, and values for one that tells classes apart.
fn check_kind(file: &Path, metadata: &Metadata, origin: &DataOrigin) -> Result<()> {
    let values = origin.regression && is_table(Path::new(&origin.name));
    match (metadata.gives_values(), values) {
        (Some(true), false) => bail!(
            "{}: the network gives values, and the targets of {} are classes",
            file.display(),
            origin.name
        ),
        (Some(false), true) => bail!(
            "{}: the network tells classes apart, and the targets of {} are values: leave out --regression if they are classes",
            file.display(),
            origin.name
        ),
        _ => Ok(()),
    }
}

/// Which samples of classes, for commands that bring their own networks.
#[derive(Debug, Clone, Args)]
pub struct ExperimentDataOptions {
    /// A data set by name (see `gradus data list`), a folder of IDX files, or a folder of images with a sub-folder for each
    /// class [default: mnist]
    #[arg(long, value_name = "NAME|DIR", value_parser = OsStringValueParser::new().try_map(parse_data_name))]
    data: Option<String>,
    /// The folder to search for data first, and to fetch into
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Never fetch data
    #[arg(long)]
    offline: bool,
}

/// The share of the samples that tests, of data that has no part for it.
pub const TEST: f64 = 0.2;

impl ExperimentDataOptions {
    /// What is read, as far as it is named.
    pub fn place(&self) -> Vec<PathBuf> {
        place(self.data.as_ref())
    }

    /// Reads the samples: those of MNIST if none are named.
    ///
    /// # Errors
    /// If they are nowhere, or damaged, or can't be divided.
    pub fn load(&self, settings: &GlobalOptions) -> Result<DataSplits> {
        let source = DataSource {
            folder: self.data_dir.clone(),
            offline: self.offline,
            quiet: settings.quiet,
        };
        let Some(name) = &self.data else {
            return DataSplits::usual(&source);
        };
        let origin = DataOrigin {
            held_out: Some(TEST),
            seed: settings.seed,
            ..DataOrigin::named(&absolute_name(name)?)
        };
        let read_options = ReadOptions {
            validation: HELD_OUT,
            ..ReadOptions::default()
        };
        let mut splits = DataSplits::load(&origin, &source, &read_options)?.with_remarks_printed();
        splits.name.clone_from(name);
        Ok(splits)
    }
}

/// The name by which data can be found again from another folder: of a path, the whole. A folder that has the name of a
/// known set is not meant by it.
///
/// # Errors
/// If the whole path is no text.
pub fn absolute_name(data: &str) -> Result<String> {
    if is_known(data) || !Path::new(data).exists() {
        return Ok(data.to_string());
    }
    let path = std::path::absolute(data)?.into_os_string();
    path.into_string().map_err(|path| {
        anyhow!(
            "{}: a network's notes keep the whole path of its data as text, and this one is not UTF-8: rename the folder, or copy the \
             data into another",
            path.display()
        )
    })
}
