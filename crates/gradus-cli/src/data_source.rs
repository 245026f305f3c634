//! Data by name: found where it is, or fetched from where it's published.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use gradus::data::mnist::{self, Archive, Set, Sha256};
use gradus::data::{Bytes, Dataset, Folder, digits};
use gradus::save::atomic;

use zip::ZipArchive;

use crate::download::{self, Checksum, Download, Limits};
use crate::image;
use crate::terminal::eprint_line;

/// The name of the small set that is part of the library.
pub const DIGITS: &str = "digits";
/// The set that is used where none is named; it is part of the program.
pub const DEFAULT_SET: &str = "mnist";

/// Whether a data set of this name is published, so that its samples are always the same.
pub fn is_published(name: &str) -> bool {
    name == DIGITS || Set::find(name).is_ok()
}

/// A remark on a folder of this name, if there is one here and the data come from another: it was perhaps meant.
pub fn same_name_remark(name: &str, taken: &Path) -> Option<String> {
    let here = Path::new(name).canonicalize().ok().filter(|folder| folder.is_dir())?;
    let other = taken.canonicalize().ok() != Some(here);
    other.then(|| format!("`{name}` is taken as the data set of this name, not as the folder: that is ./{name}"))
}

/// Where data may come from.
#[derive(Debug, Clone, Default)]
pub struct DataSource {
    /// A folder that is searched before all others, and that fetched files are put into.
    pub folder: Option<PathBuf>,
    /// Whether nothing may be fetched.
    pub offline: bool,
    /// Whether progress is not shown.
    pub quiet: bool,
}

/// Where the samples of a set are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the program itself.
    Program,
    /// In the IDX files in a folder.
    Folder(PathBuf),
}

impl Place {
    /// Reads the set from its place: training and test samples.
    ///
    /// # Errors
    /// If its files are damaged, or not what they should be.
    pub fn read(&self, set: &Set) -> Result<(Bytes, Bytes)> {
        match self {
            Place::Program => {
                let (train, test) = gradus_mnist::load()?;
                Ok((
                    mnist::from_bytes(train.pixels, &train.labels)?,
                    mnist::from_bytes(test.pixels, &test.labels)?,
                ))
            }
            Place::Folder(folder) => Ok(set.read(folder)?),
        }
    }

    /// The folder; none if the set is in the program.
    fn folder(&self) -> &Path {
        match self {
            Place::Program => Path::new(""),
            Place::Folder(folder) => folder,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Program => f.write_str("part of the program"),
            Place::Folder(folder) => folder.display().fmt(f),
        }
    }
}

/// A data set in memory.
#[derive(Debug)]
pub struct TrainTestData {
    /// Its name, or its folder.
    pub name: String,
    /// The samples for training.
    pub train: Bytes,
    /// The samples for testing.
    pub test: Bytes,
    /// What there is to tell of them.
    pub remarks: Vec<String>,
}

impl DataSource {
    /// Loads a set by its name, or from a folder that has IDX files of MNIST's names, or folders `train` and `test` with a
    /// folder of images for each class.
    ///
    /// # Errors
    /// If there is no such set, it is nowhere and can't be fetched, or it is damaged.
    pub fn load(&self, name: &str) -> Result<TrainTestData> {
        if name == DIGITS {
            let (train, test) = digits::load()?;
            return Ok(TrainTestData {
                name: name.into(),
                train,
                test,
                remarks: same_name_remark(name, Path::new("")).into_iter().collect(),
            });
        }
        let (name, (train, test), remarks) = match Set::find(name) {
            Ok(set) => {
                let place = self.find_or_fetch(set)?;
                let remark = same_name_remark(name, place.folder());
                (set.name, place.read(set)?, remark.into_iter().collect())
            }
            Err(unknown) => {
                let folder = Path::new(name);
                if !folder.is_dir() {
                    bail!("{unknown} and {DIGITS}, and there is no folder of this name");
                }
                let (parts, remarks) = read_folder(folder)?;
                (name, parts, remarks)
            }
        };
        Ok(TrainTestData {
            name: name.to_string(),
            train,
            test,
            remarks,
        })
    }

    /// Where a set is: in the folder of this source, in the one that the environment names, or else MNIST in the program and
    /// other sets in the user's cache.
    ///
    /// # Errors
    /// If it is nowhere.
    pub fn find(&self, set: &Set) -> Result<Place> {
        let in_folder = |folder: &Path| mnist::locate(set, Some(folder));
        if set.name == DEFAULT_SET {
            let variable = std::env::var_os(mnist::DATA_DIR_VARIABLE).filter(|value| !value.is_empty());
            let named = self.folder.clone().into_iter().chain(variable.map(PathBuf::from));
            let found = named.filter_map(|folder| in_folder(&folder).ok()).next();
            return Ok(found.map_or(Place::Program, Place::Folder));
        }
        let Some(folder) = &self.folder else {
            return Ok(Place::Folder(mnist::locate(set, None)?));
        };
        if let Ok(found) = in_folder(folder) {
            return Ok(Place::Folder(found));
        }
        let elsewhere = mnist::locate(set, None);
        let found = elsewhere.with_context(|| format!("{} is not in {}", set.name, folder.display()))?;
        Ok(Place::Folder(found))
    }

    fn find_or_fetch(&self, set: &Set) -> Result<Place> {
        let missing = match self.find(set) {
            Ok(place) => return Ok(place),
            Err(missing) => missing,
        };
        if self.offline {
            return Err(missing);
        }
        if !self.quiet {
            eprint_line(format_args!("{} is not on this machine; fetching it", set.name));
        }
        let fetched = self.fetch(set, None, false);
        let folder = fetched.with_context(|| format!("the data set {} is not on this machine", set.name))?;
        Ok(Place::Folder(folder))
    }

    /// Fetches the files of a set that are not there, or not what they must be, or all if `force`; returns their folder, which is
    /// any that is searched if all are in it.
    ///
    /// # Errors
    /// If there is no address to fetch from, no folder to put them into, or a file can be had from no mirror.
    pub fn fetch(&self, set: &Set, mirror: Option<&str>, force: bool) -> Result<PathBuf> {
        if !force
            && let Ok(there) = mnist::locate(set, self.folder.as_deref())
            && verify_files(set, &there).is_ok()
            && set.read(&there).is_ok()
        {
            return Ok(there);
        }
        let folder = match &self.folder {
            Some(folder) => folder.join(set.name),
            None => set
                .destination()
                .context("no folder for data is known; name one with --data-dir")?,
        };
        let mirrors: Vec<&str> = mirror.map_or_else(|| set.mirrors.to_vec(), |mirror| vec![mirror]);
        if let (None, Some(archive)) = (mirror, set.archive) {
            let base = folder.parent().unwrap_or(&folder);
            let urls = archive.urls.iter().map(ToString::to_string).collect();
            self.fetch_archive(set, archive, urls, base, &folder, force)?;
            return Ok(folder);
        }
        for wanted in files(set, &mirrors) {
            let there = wanted
                .check
                .as_ref()
                .is_some_and(|check| download::verify(&folder.join(&wanted.name), check).is_ok());
            if force || !there {
                download::fetch(&wanted, &folder, Limits::default(), self.quiet)?;
            }
        }
        Ok(folder)
    }

    /// Fetches the archive with a set's files into `base`, where it stays for the other sets in it, and unpacks the set's
    /// files into `folder`.
    fn fetch_archive(
        &self,
        set: &Set,
        archive: &Archive,
        urls: Vec<String>,
        base: &Path,
        folder: &Path,
        force: bool,
    ) -> Result<()> {
        let wanted = Download {
            name: archive.name.to_string(),
            urls,
            check: Some(Checksum::File(archive.sha256.to_string())),
        };
        let place = base.join(archive.name);
        let there = wanted
            .check
            .as_ref()
            .is_some_and(|check| download::verify(&place, check).is_ok());
        if force || !there {
            let limits = Limits {
                bytes: archive.bytes,
                transfer: Duration::from_secs(2 * 3600),
                ..Limits::default()
            };
            download::fetch(&wanted, base, limits, self.quiet)?;
        }
        unpack(set, &place, folder).with_context(|| place.display().to_string())
    }
}

/// Puts the files of a set, which the archive has gzipped in some folder, into `folder`.
fn unpack(set: &Set, archive: &Path, folder: &Path) -> Result<()> {
    let mut archive = ZipArchive::new(BufReader::new(File::open(archive)?))?;
    for file in set.files() {
        let name = format!("{}.gz", file.name);
        let path = (archive.file_names().flatten().map(Cow::into_owned))
            .find(|path| path.rsplit('/').next() == Some(&name))
            .with_context(|| format!("the archive has no {name}"))?;
        let mut packed = archive.by_name(&path)?;
        atomic::write_with(&folder.join(&name), |out| -> Result<()> {
            std::io::copy(&mut packed, out).with_context(|| format!("cannot unpack {path}"))?;
            Ok(())
        })?;
    }
    Ok(())
}

/// What is to be fetched for a set.
pub fn files(set: &Set, mirrors: &[&str]) -> Vec<Download> {
    let wanted = set.files().map(|file| {
        let name = format!("{}.gz", file.name);
        Download {
            urls: mirrors
                .iter()
                .map(|mirror| format!("{}/{name}", mirror.trim_end_matches('/')))
                .collect(),
            check: file.sha256.map(|sum| match sum {
                Sha256::Uncompressed(sum) => Checksum::Content(sum.to_string()),
                Sha256::Gzipped(sum) => Checksum::File(sum.to_string()),
            }),
            name,
        }
    });
    wanted.into()
}

/// What was found out about a set's files.
#[derive(Debug, Default)]
pub struct Verified {
    /// How many are what was published, by their SHA-256.
    pub right: usize,
    /// The names of those that can't be compared: the known sum is that of another gzip file.
    pub repacked: Vec<String>,
}

/// Checks the sums that are known of a set's files.
///
/// # Errors
/// If a file is missing, damaged, or not the one that was published.
pub fn verify_files(set: &Set, folder: &Path) -> Result<Verified> {
    let mut verified = Verified::default();
    for wanted in files(set, &[]) {
        let Some(check) = &wanted.check else { continue };
        let plain = wanted.name.trim_end_matches(".gz").to_string();
        let spellings = [
            plain.clone(),
            wanted.name.clone(),
            plain.replace("-idx", ".idx"),
            wanted.name.replace("-idx", ".idx"),
        ];
        let path = spellings
            .iter()
            .map(|name| folder.join(name))
            .find(|path| path.is_file());
        let path = path.with_context(|| format!("{}: {plain} is missing", folder.display()))?;
        if is_published_file(&path, check)? {
            verified.right += 1;
        } else {
            verified.repacked.push(plain);
        }
    }
    Ok(verified)
}

/// Whether a file has the sum that is known, or can't be compared with it.
///
/// # Errors
/// If it is another file than the one that was published.
fn is_published_file(path: &Path, check: &Checksum) -> Result<bool> {
    match (check, download::verify(path, check)) {
        (_, Ok(())) => Ok(true),
        // Whether it is undamaged is seen when it is read.
        (Checksum::File(_), Err(_)) => Ok(false),
        (Checksum::Content(_), Err(error)) => Err(error),
    }
}

/// What a folder holds.
#[derive(Debug)]
pub enum FolderLayout {
    /// The IDX files of a set like this one, here.
    Idx(&'static Set, PathBuf),
    /// Folders `train` and `test`, each with a folder of images for each class.
    Divided,
    /// Perhaps a folder of images for each class.
    Other,
}

impl FolderLayout {
    /// What this folder holds.
    pub fn of(folder: &Path) -> FolderLayout {
        // The folder's name tells apart the sets whose files have the same names.
        let (named, others): (Vec<_>, Vec<_>) = mnist::SETS.iter().partition(|set| folder.ends_with(set.name));
        for set in named.into_iter().chain(others) {
            if let Ok(found) = mnist::locate(set, Some(folder)) {
                return FolderLayout::Idx(set, found);
            }
        }
        if ["train", "test"].iter().all(|part| folder.join(part).is_dir()) {
            FolderLayout::Divided
        } else {
            FolderLayout::Other
        }
    }
}

/// Reads a folder of IDX files, or of images; then also what there is to tell of them.
fn read_folder(folder: &Path) -> Result<((Bytes, Bytes), Vec<String>)> {
    match FolderLayout::of(folder) {
        FolderLayout::Idx(set, found) => return Ok((set.read(&found)?, Vec::new())),
        FolderLayout::Divided => {}
        FolderLayout::Other => {
            let [a, b, c, d] = Set::find(DEFAULT_SET)?.files().map(|file| file.name);
            bail!(
                "{}: the folder has neither the files {a}, {b}, {c} and {d} (each may be gzipped, as .gz), \
                 nor folders `train` and `test` with a folder of images for each class",
                folder.display()
            );
        }
    }
    let parts = [folder.join("train"), folder.join("test")];
    let (train, of_train) = read_images(&image::folder(), &parts[0])?;
    let names = train.class_names().unwrap_or_default();
    let mut reader = image::folder().classes(names);
    if train.shape()[0] == 3 {
        // Gray images are RGB images without color.
        reader = reader.rgb();
    }
    let (test, of_test) = read_images(&reader, &parts[1])?;
    if train.shape() != test.shape() {
        bail!(
            "{}: the images are {}, and those for training are {}",
            parts[1].display(),
            test.shape(),
            train.shape()
        );
    }
    let others = std::fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path()));
    let mut others: Vec<_> = others.filter(|path| path.is_dir() && !parts.contains(path)).collect();
    others.sort();
    let of_others = others.first().map(|path| {
        let more = if others.len() > 1 { " and others" } else { "" };
        format!(
            "{}{more}: not used, images are read from `train` and `test`",
            path.display()
        )
    });
    let remarks = of_train.into_iter().chain(of_test).chain(of_others);
    Ok(((train, test), remarks.collect()))
}

/// Reads a folder of images for each class; then also a sentence about files that are left out.
///
/// # Errors
/// As [`Folder::read`].
pub fn read_images(reader: &Folder, folder: &Path) -> Result<(Bytes, Option<String>)> {
    let images = reader.read(folder)?;
    let left_out = reader.left_out(folder)?;
    let remark = (!left_out.is_empty()).then(|| format!("{}: {left_out}", folder.display()));
    Ok((images, remark))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use sha2::{Digest, Sha256 as Sha256Sum};

    use super::*;
    use gradus::data::idx;

    fn offline(folder: &Path) -> DataSource {
        DataSource {
            folder: Some(folder.into()),
            offline: true,
            quiet: true,
        }
    }

    /// Writes a set of two training images and a test image.
    fn write_set(set: &Set, folder: &Path) {
        std::fs::create_dir_all(folder).unwrap();
        let [a, b, c, d] = set.files().map(|file| folder.join(file.name));
        idx::write(a, &[2, 2, 3], &[7; 12]).unwrap();
        idx::write(b, &[2], &[0, 1]).unwrap();
        idx::write(c, &[1, 2, 3], &[8; 6]).unwrap();
        idx::write(d, &[1], &[1]).unwrap();
    }

    #[test]
    fn sets_are_found_by_name_and_by_folder() {
        let folder = tempfile::tempdir().unwrap();
        let data = offline(folder.path()).load("digits").unwrap();
        assert_eq!((data.train.len(), data.test.len()), (1437, 360));
        let kmnist = folder.path().join("kmnist");
        write_set(Set::find("kmnist").unwrap(), &kmnist);
        for name in ["kmnist", &kmnist.to_string_lossy()] {
            let data = offline(folder.path()).load(name).unwrap();
            assert_eq!((data.train.len(), data.test.len(), data.name.as_str()), (2, 1, name));
            assert_eq!(data.train.class_names().unwrap()[1], "ki");
        }
    }

    #[test]
    fn mnist_is_in_the_program_and_a_named_folder_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let set = Set::find("mnist").unwrap();
        let source = offline(folder.path());
        if std::env::var_os(mnist::DATA_DIR_VARIABLE).is_none() {
            assert_eq!(source.find(set).unwrap(), Place::Program);
        }
        let (train, test) = Place::Program.read(set).unwrap();
        assert_eq!((train.len(), test.len(), train.labels()[0]), (60_000, 10_000, 5));
        assert_eq!(test.class_names().unwrap()[9], "9");

        write_set(set, folder.path());
        assert_eq!(source.find(set).unwrap(), Place::Folder(folder.path().into()));
        assert_eq!(source.load("mnist").unwrap().train.len(), 2);
        std::fs::write(folder.path().join("t10k-labels-idx1-ubyte"), "damaged").unwrap();
        assert!(source.load("mnist").is_err(), "a damaged file is not replaced");
    }

    #[test]
    fn folders_of_images_are_read() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["train/cat/1.png", "train/dog/1.png", "test/dog/2.png"] {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let mut encoder = png::Encoder::new(std::fs::File::create(path).unwrap(), 2, 1);
            encoder.set_color(png::ColorType::Grayscale);
            encoder.write_header().unwrap().write_image_data(&[0, 255]).unwrap();
        }
        let data = DataSource::default().load(&folder.path().to_string_lossy()).unwrap();
        assert_eq!((data.train.len(), data.test.labels()), (2, &[1][..]));
    }

    #[test]
    fn what_is_unknown_or_nowhere_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let message = |name: &str| format!("{:#}", offline(folder.path()).load(name).unwrap_err());
        assert!(
            message("mnits").contains("mnist, fashion-mnist")
                && message("mnits").ends_with("there is no folder of this name")
        );
        let empty = folder.path().to_string_lossy().into_owned();
        assert!(
            message(&empty).contains("nor folders `train` and `test`"),
            "{}",
            message(&empty)
        );
    }

    #[test]
    fn sets_in_an_archive_are_unpacked_from_it() {
        let place = tempfile::tempdir().unwrap();
        let set = Set::find("emnist-letters").unwrap();
        let mut zip = zip::ZipWriter::new(File::create(place.path().join("all.zip")).unwrap());
        for file in set.files() {
            let images = file.name.contains("images");
            let bytes = if images { vec![7; 2 * 28 * 28] } else { vec![1, 26] };
            let dims: &[usize] = if images { &[2, 28, 28] } else { &[2] };
            let packed = place.path().join("one.gz");
            gradus::data::idx::write(&packed, dims, &bytes).unwrap();
            let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
            zip.start_file(format!("gzip/{}.gz", file.name), stored).unwrap();
            zip.write_all(&std::fs::read(packed).unwrap()).unwrap();
        }
        zip.finish().unwrap();
        let bytes = std::fs::read(place.path().join("all.zip")).unwrap();
        let sum = Sha256Sum::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>();
        let archive = |sha256: String| Archive {
            name: "all.zip",
            urls: &[],
            sha256: sha256.leak(),
            bytes: bytes.len() as u64,
        };
        let source = DataSource {
            quiet: true,
            ..DataSource::default()
        };
        let folder = place.path().join(set.name);
        let fetch = |archive: &Archive, urls: Vec<String>| {
            source.fetch_archive(set, archive, urls, place.path(), &folder, false)
        };
        fetch(&archive(sum), Vec::new()).unwrap();
        let (train, test) = set.read(&folder).unwrap();
        assert_eq!((train.len(), test.len()), (2, 2));

        let nowhere = vec!["http://127.0.0.1:1/all.zip".to_string()];
        let error = fetch(&archive("0".repeat(64)), nowhere).unwrap_err();
        assert!(format!("{error:#}").contains("cannot download all.zip"), "{error:#}");
    }

    #[test]
    fn repacked_files_are_compared_by_their_content() {
        use flate2::{Compression, write::GzEncoder};
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, level: u32, content: &[u8]| {
            let path = folder.path().join(name);
            let mut gzip = GzEncoder::new(File::create(&path).unwrap(), Compression::new(level));
            gzip.write_all(content).unwrap();
            gzip.finish().unwrap();
            path
        };
        let content = [7; 1000];
        let published = write("published.gz", 1, &content);
        let repacked = write("repacked.gz", 9, &content);
        let other = write("other.gz", 1, &[8; 1000]);
        let sum = |bytes: &[u8]| {
            Sha256Sum::digest(bytes)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect()
        };
        let of_content = Checksum::Content(sum(&content));
        assert!(is_published_file(&published, &of_content).unwrap());
        assert!(is_published_file(&repacked, &of_content).unwrap());
        assert!(is_published_file(&other, &of_content).is_err());
        let of_file = Checksum::File(sum(&std::fs::read(&published).unwrap()));
        assert!(is_published_file(&published, &of_file).unwrap());
        assert!(!is_published_file(&repacked, &of_file).unwrap());
    }

    #[test]
    fn every_published_file_has_addresses_and_a_check() {
        for set in mnist::SETS.iter().filter(|set| !set.mirrors.is_empty()) {
            for wanted in files(set, set.mirrors) {
                assert!(wanted.name.ends_with(".gz") && wanted.check.is_some());
                assert!(
                    wanted
                        .urls
                        .iter()
                        .all(|url| url.starts_with("http") && url.ends_with(&wanted.name))
                );
            }
        }
        assert_eq!(
            files(Set::find("mnist").unwrap(), &["http://here/"])[0].urls,
            ["http://here/train-images-idx3-ubyte.gz"]
        );
    }
}
