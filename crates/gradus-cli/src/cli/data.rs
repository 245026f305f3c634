//! `gradus data`: the data sets, where they are, and what they look like.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Subcommand, ValueEnum};
use gradus::data::mnist::{DATA_DIR_VARIABLE, SETS, Set};
use gradus::data::{Bytes, Dataset};
use serde_json::{Value, json};

use super::GlobalOptions;
use super::options::{parse_data_name, place};
use crate::data_source::{DIGITS, DataSource, Place, TrainTestData, Verified, verify_files};
use crate::metadata::class_names;
use crate::numbers::plural;
use crate::output::CommandFiles;
use crate::plot::{self, count};
use crate::suggestion::choose;
use crate::terminal::{display_list, display_name, eprint_line, path_text};

/// Data sets: list, fetch, verify and show them
///
/// MNIST and the small set `digits` are part of the program. The sets in MNIST's format are searched in --data-dir, in the folder
/// that the environment variable GRADUS_DATA_DIR names, and in the cache folder of the user; so is MNIST in the first two.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// List the known sets and where they are
    #[command(after_help = "Example:\n  gradus data list")]
    List(DataDir),
    /// Fetch a set from where it is published
    ///
    /// Each file is tried at every mirror in turn, checked by its SHA-256, and put in its place when it is whole: into
    /// --data-dir if it is given, else into the cache folder of the user. What is there and right, also in the folder that
    /// GRADUS_DATA_DIR names, is not fetched again.
    #[command(after_help = "Example:\n  gradus data fetch fashion-mnist kmnist")]
    Fetch(Fetch),
    /// Check that the files of a set are there and undamaged
    #[command(after_help = "Example:\n  gradus data verify fashion-mnist")]
    Verify(Verify),
    /// Describe a set and draw some of its samples
    ///
    /// Prints its shape, its classes and how many samples they have, and writes a picture of the first samples,
    /// samples.svg and samples.png.
    #[command(
        after_help = "Examples:\n  gradus data show digits\n  gradus data show mnist --part test --class 7 --count 60 --out sevens"
    )]
    Show(Show),
}

/// Where data sets are.
#[derive(Debug, Args)]
pub struct DataDir {
    /// The folder to search first, and to fetch into
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Options of `gradus data fetch`.
#[derive(Debug, Args)]
pub struct Fetch {
    /// The sets, by name (see `gradus data list`)
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    place: DataDir,
    /// Fetch from this address instead, to which the names of files are appended
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// Fetch files again that are there already
    #[arg(long)]
    force: bool,
}

/// Options of `gradus data verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// The sets, by name [default: all that are on this machine]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    place: DataDir,
}

/// Options of `gradus data show`.
#[derive(Debug, Args)]
pub struct Show {
    /// A set by name, or a folder of IDX files, or one with folders `train` and `test` of images
    #[arg(value_name = "NAME|DIR", value_parser = OsStringValueParser::new().try_map(parse_data_name))]
    data: String,
    #[command(flatten)]
    place: DataDir,
    /// The samples to draw from
    #[arg(long, value_enum, default_value_t = ShownPart::Train)]
    part: ShownPart,
    /// Draw samples of this class only
    #[arg(long, value_name = "NAME")]
    class: Option<String>,
    /// How many samples to draw
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=2000))]
    count: u16,
    /// The folder for the picture
    #[arg(long, value_name = "DIR", default_value = "runs/data")]
    out: PathBuf,
    /// Never fetch the set
    #[arg(long)]
    offline: bool,
}

/// A part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ShownPart {
    /// The training samples
    Train,
    /// The test samples
    Test,
}

impl DataCommand {
    /// What it reads and writes.
    pub fn files(&self) -> CommandFiles {
        match self {
            DataCommand::List(_) | DataCommand::Fetch(_) | DataCommand::Verify(_) => CommandFiles::default(),
            DataCommand::Show(options) => CommandFiles {
                reads: Vec::new(),
                samples: place(Some(&options.data)),
                writes: plot::files("samples").map(|name| options.out.join(name)).into(),
            },
        }
    }
}

impl DataDir {
    fn source(&self, offline: bool, settings: &GlobalOptions) -> DataSource {
        DataSource {
            folder: self.data_dir.clone(),
            offline,
            quiet: settings.quiet,
        }
    }
}

/// Runs the command; returns its results.
pub fn run(command: &DataCommand, settings: &GlobalOptions, out: &mut dyn Write) -> Result<Value> {
    match command {
        DataCommand::List(place) => list(&place.source(true, settings), out),
        DataCommand::Fetch(options) => fetch(options, settings, out),
        DataCommand::Verify(options) => verify(options, settings, out),
        DataCommand::Show(options) => show(options, settings, out),
    }
}

fn list(source: &DataSource, out: &mut dyn Write) -> Result<Value> {
    let about = "1,797 handwritten digits of 8×8 pixels (Alpaydin and Kaynak, 1998)";
    let mut rows = vec![(DIGITS, about, Some(Place::Program.to_string()))];
    for set in &SETS {
        rows.push((
            set.name,
            set.about,
            source.find(set).ok().map(|place| place.to_string()),
        ));
    }
    let width = rows.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
    for (name, about, place) in &rows {
        writeln!(out, "{name:width$}  {about}")?;
        writeln!(
            out,
            "{:width$}  {}",
            "",
            place.as_deref().unwrap_or("not on this machine")
        )?;
    }
    let sets: Vec<Value> = rows
        .iter()
        .map(|(name, about, place)| json!({"name": name, "about": about, "place": place}))
        .collect();
    Ok(json!({ "sets": sets }))
}

fn fetch(options: &Fetch, settings: &GlobalOptions, out: &mut dyn Write) -> Result<Value> {
    let source = options.place.source(false, settings);
    let sets = options
        .names
        .iter()
        .filter(|name| *name != DIGITS)
        .map(|name| Set::find(name));
    let mut fetched = Vec::new();
    for set in sets.collect::<gradus::Result<Vec<_>>>()? {
        let folder = source.fetch(set, options.mirror.as_deref(), options.force)?;
        // What arrived is also read once, for sets whose sums are not known.
        set.read(&folder)?;
        writeln!(out, "{} is in {}", set.name, folder.display())?;
        if let Ok(first) = source.find(set) {
            note_other_place(set, &first, &folder);
        }
        fetched.push(json!({"name": set.name, "place": path_text(&folder)}));
    }
    if options.names.iter().any(|name| name == DIGITS) {
        writeln!(out, "{DIGITS} is {}", Place::Program)?;
    }
    Ok(json!({ "sets": fetched }))
}

/// Says that the program reads a set from another place than the folder that it was fetched into.
fn note_other_place(set: &Set, first: &Place, fetched: &Path) {
    match first {
        Place::Program => eprint_line(format_args!(
            "note: {} is part of the program, which reads these files if --data-dir or {DATA_DIR_VARIABLE} names their folder",
            set.name
        )),
        Place::Folder(first) if first != fetched => {
            let whole = verify_files(set, first).is_ok() && set.read(first).is_ok();
            let what = if whole {
                "so the set is read from there"
            } else {
                "and what it has of the set is not whole, or not what was published"
            };
            eprint_line(format_args!("note: {} is searched before, {what}", first.display()));
        }
        Place::Folder(_) => {}
    }
}

fn verify(options: &Verify, settings: &GlobalOptions, out: &mut dyn Write) -> Result<Value> {
    let source = options.place.source(true, settings);
    let mut names: Vec<&str> = options.names.iter().map(String::as_str).collect();
    if names.is_empty() {
        names.push(DIGITS);
        names.extend(SETS.iter().filter(|set| source.find(set).is_ok()).map(|set| set.name));
    }
    let mut places: Vec<(&Set, PathBuf)> = Vec::new();
    let mut embedded = Vec::new();
    for name in names {
        if name == DIGITS {
            embedded.push(name);
            continue;
        }
        let set = Set::find(name)?;
        match source.find(set)? {
            Place::Folder(folder) => places.push((set, folder)),
            Place::Program => embedded.push(name),
        }
    }
    let mut verified = Vec::new();
    for (set, folder) in places {
        let Verified { right, repacked } = verify_files(set, &folder)?;
        let (train, test) = set.read(&folder)?;
        let mut sums = match (right, &repacked[..]) {
            (0, []) => "its published sums are not known".to_string(),
            (right, _) => format!("the SHA-256 of {} is right", plural(right, "file")),
        };
        if !repacked.is_empty() {
            sums += &format!(
                ", {} can't be compared: its known sum is that of the gzip file that was published, not of its content",
                repacked.join(", ")
            );
        }
        writeln!(
            out,
            "{} in {}: {} + {} samples, {sums}",
            set.name,
            folder.display(),
            count(train.len() as u64),
            count(test.len() as u64)
        )?;
        verified.push(json!({
            "name": set.name, "place": path_text(&folder), "train": train.len(), "test": test.len(), "files_checked": right,
        }));
    }
    for name in embedded {
        writeln!(out, "{name} is {}", Place::Program)?;
    }
    Ok(json!({ "sets": verified }))
}

fn show(options: &Show, settings: &GlobalOptions, out: &mut dyn Write) -> Result<Value> {
    let data = options.place.source(options.offline, settings).load(&options.data)?;
    data.remarks
        .iter()
        .for_each(|remark| eprint_line(format_args!("note: {remark}")));
    let names = class_names(&data.train);
    writeln!(
        out,
        "{}: {} + {} samples of shape {}",
        data.name,
        count(data.train.len() as u64),
        count(data.test.len() as u64),
        data.train.shape()
    )?;
    let (train, test) = (counts(&data.train, names.len()), counts(&data.test, names.len()));
    let shown: Vec<String> = names.iter().map(|name| display_name(name)).collect();
    let width = shown
        .iter()
        .map(|name| name.chars().count())
        .max()
        .unwrap_or(0)
        .max("class".len());
    writeln!(out, "{:width$}  {:>8}  {:>8}", "class", "train", "test")?;
    for ((name, train), test) in shown.iter().zip(&train).zip(&test) {
        writeln!(out, "{name:width$}  {train:>8}  {test:>8}")?;
    }
    let drawn = draw(options, &data, &names)?;
    writeln!(
        out,
        "{} drawn in {}",
        match drawn {
            1 => "1 sample is".into(),
            _ => format!("{} are", plural(drawn, "sample")),
        },
        options.out.join("samples.png").display()
    )?;
    let classes = names.iter().zip(train).zip(test);
    let classes: Vec<Value> = classes
        .map(|((name, train), test)| json!({"name": name, "train": train, "test": test}))
        .collect();
    Ok(json!({
        "name": data.name, "shape": data.train.shape().dims(), "train": data.train.len(), "test": data.test.len(),
        "classes": classes,
    }))
}

/// Draws the samples that were asked for; returns how many there are.
fn draw(options: &Show, data: &TrainTestData, names: &[String]) -> Result<usize> {
    let class = match &options.class {
        None => None,
        Some(name) => Some(names.iter().position(|known| known == name).with_context(|| {
            format!(
                "{} has no class `{name}`; {} {}",
                data.name,
                choose(name, names.iter().map(String::as_str)),
                display_list(names)
            )
        })?),
    };
    let (part, of) = match options.part {
        ShownPart::Train => (&data.train, "training"),
        ShownPart::Test => (&data.test, "test"),
    };
    let chosen = part
        .labels()
        .iter()
        .enumerate()
        .filter(|&(_, &label)| class.is_none_or(|class| class == label));
    let chosen = chosen
        .take(options.count.into())
        .map(|(i, &label)| sample(part, i, &names[label]));
    let samples = chosen.collect::<Result<Vec<_>>>()?;
    ensure!(!samples.is_empty(), "{} has no such samples", data.name);
    let kind = options
        .class
        .as_ref()
        .map_or(String::new(), |name| format!(" of class {name}"));
    let subtitle = format!("The first {}{kind}", plural(samples.len(), &format!("{of} sample")));
    plot::write(
        &options.out,
        "samples",
        &plot::sheet(&data.name, &subtitle, &samples, 10)?,
    )?;
    Ok(samples.len())
}

/// A sample as an image.
fn sample(data: &Bytes, index: usize, label: &str) -> Result<plot::Sample> {
    let shape = data.shape();
    let Some((channels @ (1 | 3), height, width)) = shape.image() else {
        bail!("samples of shape {shape} are no images");
    };
    let mut x = vec![0.0; shape.size()];
    data.read(index, &mut x)?;
    Ok(plot::Sample {
        label: Some(label.to_string()),
        ..plot::Sample::of(&x, (channels, height, width))
    })
}

/// How many samples each class has.
fn counts(data: &Bytes, classes: usize) -> Vec<usize> {
    let mut counts = vec![0; classes];
    for &label in data.labels() {
        counts[label] += 1;
    }
    counts
}
