//! What a network learns or is tested on: samples from any place, divided into those for training and those for testing.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use gradus::data::{Column, Csv, Dataset, Subset, Target, split};
use gradus::save::read_at_most;
use gradus::{Float, Network};
use sha2::{Digest, Sha256};

use crate::data_source::{DEFAULT_SET, DataSource, FolderLayout, is_published, read_images, same_name_remark};
use crate::image;
use crate::metadata::{DataOrigin, Metadata, Preprocessing, TargetScale, class_names};
use crate::overlap::TrainingFingerprint;
use crate::picture::{Frame, INK};
use crate::table::{self, is_table};
use crate::terminal::eprint_line;

/// The name of the four samples of the exclusive or.
pub const XOR: &str = "xor";
/// The samples of which a character's usual size is taken.
const MEASURED: usize = 1000;

/// Samples in memory.
#[derive(Clone)]
pub struct DataSplits {
    /// Its name, for people.
    pub name: String,
    /// Where the samples came from.
    pub origin: DataOrigin,
    /// For training.
    pub train: Arc<dyn Dataset>,
    /// For testing.
    pub test: Arc<dyn Dataset>,
    /// Whether the data have a part for testing, which is the same whatever the seed.
    pub divided: bool,
    /// The names of the classes; none if the targets are values.
    pub classes: Vec<String>,
    /// How samples like these are made.
    pub preprocessing: Preprocessing,
    /// How the targets were scaled.
    pub targets: Option<TargetScale>,
    /// What those who use the samples should know of them.
    pub remarks: Vec<String>,
}

/// Says how a task's samples are read.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions<'a> {
    /// The notes of the network that is to see the samples: they have its classes and are scaled as its were.
    pub metadata: Metadata,
    /// The network that is to see them, if there is one yet: the rows of a table are seen in the shape of its input, if they have
    /// its size, and targets are scaled if its outputs can be.
    pub network: Option<&'a Network>,
    /// Whether the numbers of a table stay as they are.
    pub raw: bool,
    /// Whether the targets of a table are known to be classes, even if they look like values.
    pub classification: bool,
    /// Whether the network has been trained.
    pub trained: bool,
    /// The share of the training samples that is going to be held out for validation: a table is not scaled by these.
    pub validation: f64,
}

impl DataSplits {
    /// Reads the samples.
    ///
    /// # Errors
    /// If they are nowhere, or damaged, or can't be divided.
    pub fn load(origin: &DataOrigin, source: &DataSource, read_options: &ReadOptions<'_>) -> Result<DataSplits> {
        let splits = DataSplits::read(origin, source, read_options)?;
        if let ([name], false) = (&splits.classes[..], read_options.trained) {
            bail!(
                "{}: all samples are of class `{name}`: a network learns to tell at least two classes apart",
                splits.name
            );
        }
        Ok(splits)
    }

    fn read(origin: &DataOrigin, source: &DataSource, read_options: &ReadOptions<'_>) -> Result<DataSplits> {
        let path = Path::new(&origin.name);
        if origin.name == XOR {
            xor(origin)
        } else if is_table(path) {
            let file = read_at_most(path, u64::MAX)?;
            table::load(origin, &file, read_options).with_context(|| origin.name.clone())
        } else if is_folder(&origin.name) && matches!(FolderLayout::of(path), FolderLayout::Other) && has_folders(path)
        {
            folder(origin, read_options)
        } else {
            divided(source.load(&origin.name)?, origin)
        }
    }

    /// Reads MNIST, which is used where no data are named.
    ///
    /// # Errors
    /// If a folder that is searched first has it damaged.
    pub fn usual(source: &DataSource) -> Result<DataSplits> {
        divided(source.load(DEFAULT_SET)?, &DataOrigin::named(DEFAULT_SET))
    }

    /// The task, whose remarks are printed.
    pub fn with_remarks_printed(self) -> DataSplits {
        (self.remarks.iter()).for_each(|remark| eprint_line(format_args!("note: {remark}")));
        self
    }

    /// What a network that learned this notes of it.
    ///
    /// # Errors
    /// If the samples can't be read.
    pub fn metadata(&self) -> Result<Metadata> {
        Ok(Metadata {
            origin: Some(self.origin.clone()),
            fingerprint: Some(TrainingFingerprint::of(&*self.train, &self.origin)?),
            classes: Some(self.classes.clone()),
            preprocessing: Some(self.preprocessing.clone()),
            targets: self.targets.clone(),
            training: None,
        })
    }
}

/// Whether this names a folder, and no known set.
fn is_folder(name: &str) -> bool {
    !is_published(name) && Path::new(name).is_dir()
}

/// Whether the folder has any in it.
fn has_folders(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.flatten().any(|entry| entry.path().is_dir())
}

fn xor(origin: &DataOrigin) -> Result<DataSplits> {
    let rows: Arc<dyn Dataset> = Arc::new(
        Csv::classification(Column::Last)
            .header(false)
            .parse(&b"0,0,0\n0,1,1\n1,0,1\n1,1,0\n"[..])?,
    );
    Ok(DataSplits {
        name: "the exclusive or".into(),
        origin: DataOrigin {
            held_out: None,
            ..origin.clone()
        },
        train: rows.clone(),
        classes: class_names(&rows),
        test: rows,
        divided: false,
        preprocessing: Preprocessing::Numbers {
            columns: Vec::new(),
            mean: vec![0.0; 2],
            deviation: vec![1.0; 2],
        },
        targets: None,
        remarks: same_name_remark(&origin.name, Path::new("")).into_iter().collect(),
    })
}

/// A set with a part for testing.
fn divided(data: crate::data_source::TrainTestData, origin: &DataOrigin) -> Result<DataSplits> {
    let pictures =
        is_folder(&origin.name) && matches!(FolderLayout::of(Path::new(&origin.name)), FolderLayout::Divided);
    let preprocessing = if pictures {
        picture(&data.train)?
    } else {
        Preprocessing::Character(character_frame(&data.train)?)
    };
    Ok(DataSplits {
        name: data.name,
        origin: DataOrigin {
            held_out: None,
            ..origin.clone()
        },
        classes: class_names(&data.train),
        train: Arc::new(data.train),
        test: Arc::new(data.test),
        divided: true,
        preprocessing,
        targets: None,
        remarks: data.remarks,
    })
}

/// A folder of images for each class, without a part for testing.
fn folder(origin: &DataOrigin, read_options: &ReadOptions<'_>) -> Result<DataSplits> {
    ensure!(
        !has_folders(&Path::new(&origin.name).join("train")),
        "{}: the folder has a folder `train` with folders in it, and no folder `test` beside it: images are looked for in a folder \
         for each class, or in folders `train` and `test` that have such; give the part to test on the name `test`",
        origin.name
    );
    let mut reader = image::folder();
    if let Some(names) = &read_options.metadata.classes {
        reader = reader.classes(names);
    }
    if let Some(Preprocessing::Picture { channels, .. }) = read_options.metadata.preprocessing {
        reader = if channels == 1 { reader.gray() } else { reader.rgb() };
    }
    let (all, remark) = read_images(&reader, Path::new(&origin.name))?;
    let preprocessing = picture(&all)?;
    let classes = class_names(&all);
    let [train, test] = hold_out(&all, origin)?;
    let all: Arc<dyn Dataset> = Arc::new(all);
    Ok(DataSplits {
        name: origin.name.clone(),
        origin: origin.clone(),
        train: Arc::new(Subset::new(all.clone(), train)?),
        test: Arc::new(Subset::new(all, test)?),
        divided: false,
        classes,
        preprocessing,
        targets: None,
        remarks: remark.into_iter().collect(),
    })
}

/// The positions of the samples for training and of those for testing; if none are held out, all are for both.
///
/// # Errors
/// If a part would have none.
pub fn hold_out(all: &dyn Dataset, origin: &DataOrigin) -> Result<[Vec<usize>; 2]> {
    let Some(share) = origin.held_out else {
        let all: Vec<usize> = (0..all.len()).collect();
        return Ok([all.clone(), all]);
    };
    let (train, test) = split(all, share, origin.seed).context("--test")?;
    Ok([train, test].map(|part| part.indices().to_vec()))
}

/// The form of a folder's images.
fn picture(data: &dyn Dataset) -> Result<Preprocessing> {
    let (channels, height, width) = data.shape().image().context("the samples are no images")?;
    Ok(Preprocessing::Picture {
        channels,
        height,
        width,
    })
}

/// The frame of characters like these, which they fill as far as half of them do: 20 of 28 pixels in MNIST.
fn character_frame(data: &dyn Dataset) -> Result<Frame> {
    let (_, height, width) = data.shape().image().context("the samples are no images")?;
    let mut x = vec![0.0; data.shape().size()];
    let mut sides = Vec::new();
    for i in 0..data.len().min(MEASURED) {
        data.read(i, &mut x)?;
        let extent = |inked: &dyn Fn(usize) -> bool, length: usize| {
            let first = (0..length).find(|&i| inked(i));
            let last = (0..length).rfind(|&i| inked(i));
            first.zip(last).map_or(0, |(first, last)| last - first + 1)
        };
        let rows = extent(&|y| x[y * width..(y + 1) * width].iter().any(|&v| v >= INK), height);
        let columns = extent(&|c| x.iter().skip(c).step_by(width).any(|&v| v >= INK), width);
        sides.push(rows.max(columns));
    }
    sides.sort_unstable();
    let fit = sides[sides.len() / 2].clamp(1, height.min(width));
    Ok(Frame { height, width, fit })
}

/// The SHA-256 of all samples and targets, which tells data sets apart wherever they came from.
pub fn sha256(data: &dyn Dataset) -> Result<String> {
    let mut hash = Sha256::new();
    let mut x = vec![0.0; data.shape().size()];
    let mut bytes = Vec::new();
    for i in 0..data.len() {
        data.read(i, &mut x)?;
        bytes.clear();
        push_bytes(&x, &mut bytes);
        match data.target(i) {
            Target::Class(class) => bytes.extend_from_slice(&(class as u64).to_le_bytes()),
            Target::Values(values) => push_bytes(values, &mut bytes),
        }
        hash.update(&bytes);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Adds the bytes of numbers.
fn push_bytes(values: &[Float], bytes: &mut Vec<u8>) {
    let start = bytes.len();
    bytes.resize(start + size_of_val(values), 0);
    for (bytes, value) in bytes[start..].chunks_exact_mut(size_of::<Float>()).zip(values) {
        bytes.copy_from_slice(&value.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(origin: &DataOrigin) -> Result<DataSplits> {
        let source = DataSource {
            offline: true,
            quiet: true,
            ..DataSource::default()
        };
        DataSplits::load(origin, &source, &ReadOptions::default())
    }

    #[test]
    fn digits_fill_their_frame() {
        let splits = load(&DataOrigin::named("digits")).unwrap();
        assert_eq!(
            splits.preprocessing,
            Preprocessing::Character(Frame {
                height: 8,
                width: 8,
                fit: 8
            })
        );
        assert_eq!(splits.classes[9], "9");
        assert_eq!((splits.train.len(), splits.test.len()), (1437, 360));
    }

    #[test]
    fn tables_are_divided_and_scaled_by_their_training_part() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("points.csv");
        let rows: String = (0..50).map(|i| format!("{i},7,{}\n", ["a", "b"][i % 2])).collect();
        std::fs::write(&path, rows).unwrap();
        let origin = DataOrigin {
            held_out: Some(0.2),
            seed: 3,
            ..DataOrigin::named(&path.to_string_lossy())
        };
        let splits = load(&origin).unwrap();
        assert_eq!((splits.train.len(), splits.test.len()), (40, 10));
        assert_eq!(splits.classes, ["a", "b"]);
        let mut x = [0.0; 2];
        let (mut sum, mut squares) = (0.0, 0.0);
        for i in 0..40 {
            splits.train.read(i, &mut x).unwrap();
            assert_eq!(x[1], 0.0, "a column that never changes");
            sum += x[0];
            squares += x[0] * x[0];
        }
        assert!((sum / 40.0).abs() < 1e-5 && (squares / 40.0 - 1.0).abs() < 1e-4);

        // The same file in the same way again is the same test part.
        let again = load(&splits.origin).unwrap();
        let read = |splits: &DataSplits| {
            let mut x = [0.0; 2];
            (0..10)
                .map(|i| splits.test.read(i, &mut x).map(|()| x).unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(read(&splits), read(&again));

        std::fs::write(&path, "1,2,a\n3,many,b\n").unwrap();
        let message = format!("{:#}", load(&origin).err().unwrap());
        assert_eq!(
            message,
            format!("{}: line 2, column 2: `many` is not a number", path.display())
        );
    }

    /// What is learned from a file is what a prediction sees of it.
    #[test]
    fn images_are_the_same_in_training_and_in_prediction() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for class in ["a", "b"] {
            std::fs::create_dir(path(class)).unwrap();
        }
        let png = |name: &str, turned: bool, depth: png::BitDepth, pixels: &[u8]| {
            let mut encoder = png::Encoder::new(std::fs::File::create(path(name)).unwrap(), 2, 3);
            encoder.set_depth(depth);
            let mut writer = encoder.write_header().unwrap();
            if turned {
                let tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0\0\0\0\0";
                writer.write_chunk(png::chunk::ChunkType(*b"eXIf"), tiff).unwrap();
            }
            writer.write_image_data(pixels).unwrap();
        };
        png("a/1.png", false, png::BitDepth::Eight, &[10, 20, 30, 40, 50, 60]);
        png("a/2.png", true, png::BitDepth::Eight, &[10, 20, 30, 40, 50, 60]);
        png(
            "b/1.png",
            true,
            png::BitDepth::Sixteen,
            &[0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6],
        );
        let webp = std::fs::File::create(path("b/2.webp")).unwrap();
        image_webp::WebPEncoder::new(webp)
            .encode(&[1, 2, 3, 4, 5, 6], 2, 3, image_webp::ColorType::L8)
            .unwrap();
        let splits = load(&DataOrigin::named(&folder.path().to_string_lossy())).unwrap();
        let mut x = [0.0; 6];
        for (i, name) in ["a/1.png", "a/2.png", "b/1.png", "b/2.webp"].iter().enumerate() {
            splits.train.read(i, &mut x).unwrap();
            assert_eq!(
                crate::picture::read_as_it_is(&path(name), 1, 3, 2).unwrap(),
                x,
                "{name}"
            );
        }
        splits.train.read(1, &mut x).unwrap();
        assert_eq!(x, [60.0, 50.0, 40.0, 30.0, 20.0, 10.0].map(|v: Float| v / 255.0));
        splits.train.read(2, &mut x).unwrap();
        assert_eq!(x, [6.0, 5.0, 4.0, 3.0, 2.0, 1.0].map(|v: Float| v / 65_535.0));
    }
}
