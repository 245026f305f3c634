//! MNIST and the sets made in its format: where their files are, and how they are read.
//!
//! Each set is four IDX files, images and labels for training and for testing, which are searched in a few folders (see
//! [`load`]). The library opens no connection: [`Set`] says what a downloader needs to know, and the program `gradus` has one
//! (`gradus data fetch mnist`). The crate `gradus-mnist` has MNIST itself, in memory: [`from_bytes`] makes samples of it.

mod sets;

use std::path::{Path, PathBuf};

pub use sets::SETS;

use super::{Bytes, Dataset, idx};
use crate::{Error, Result};

/// The environment variable that names a folder with data sets.
pub const DATA_DIR_VARIABLE: &str = "GRADUS_DATA_DIR";

/// A set of the family: its files, its classes, and where it can be had.
///
/// ```
/// use gradus::data::mnist::Set;
/// let set = Set::find("fashion-mnist")?;
/// assert_eq!(set.class_names()[9], "ankle boot");
/// assert_eq!(set.files()[1].name, "train-labels-idx1-ubyte");
/// assert!(Set::find("mnits").unwrap_err().to_string().contains("mnist, fashion-mnist, kmnist"));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug)]
pub struct Set {
    /// The name by which it is asked for: `fashion-mnist`.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// Addresses to which a file's name and `.gz` are appended, to be tried in order; none for sets that are only
    /// distributed otherwise.
    pub mirrors: &'static [&'static str],
    /// The archive that has its files, for sets that are distributed so.
    pub archive: Option<&'static Archive>,
    /// Where a person finds the set.
    pub homepage: &'static str,
    /// What its files' names begin with.
    prefix: &'static str,
    /// What the names of its test files begin with.
    test: &'static str,
    classes: Classes,
    /// The label of the first class: EMNIST's letters count from 1.
    first_label: u8,
    /// Whether images are stored column by column, as EMNIST's are.
    transposed: bool,
    /// In the order of [`Set::files`].
    checksums: Option<[Sha256; 4]>,
    /// The first training labels. MNIST, Fashion-MNIST and KMNIST use the same file names, and are easily mistaken.
    signature: Option<[u8; 10]>,
}

/// How the classes are named.
#[derive(Debug)]
enum Classes {
    /// By these names.
    Named(&'static [&'static str]),
    /// By these characters.
    Characters(&'static str),
}

/// One file of a set, for a downloader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetFile {
    /// Its name, without `.gz`.
    pub name: String,
    /// What its SHA-256 must be, where that is known.
    pub sha256: Option<Sha256>,
}

/// The SHA-256 of a file, in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sha256 {
    /// Of the content: gzip files of the same content differ.
    Uncompressed(&'static str),
    /// Of the gzipped file as it is published; that of its content is not known.
    Gzipped(&'static str),
}

/// A zip archive that has the gzipped files of several sets.
#[derive(Debug)]
pub struct Archive {
    /// The name of its file, for a downloader to give.
    pub name: &'static str,
    /// Its addresses, to be tried in order.
    pub urls: &'static [&'static str],
    /// The SHA-256 of its bytes.
    pub sha256: &'static str,
    /// How many bytes it has.
    pub bytes: u64,
}

impl Set {
    /// The set of this name.
    ///
    /// # Errors
    /// If there is none; the sentence lists those there are.
    pub fn find(name: &str) -> Result<&'static Set> {
        SETS.iter().find(|set| set.name == name).ok_or_else(|| {
            let names = SETS.iter().map(|set| set.name).collect::<Vec<_>>().join(", ");
            Error::invalid(format!("there is no data set called `{name}`; those known are {names}"))
        })
    }

    /// The names of its classes.
    pub fn class_names(&self) -> Vec<String> {
        match self.classes {
            Classes::Named(names) => names.iter().map(|&name| name.into()).collect(),
            Classes::Characters(characters) => characters.chars().map(String::from).collect(),
        }
    }

    /// Its four files: training images and labels, test images and labels.
    pub fn files(&self) -> [SetFile; 4] {
        let parts = [
            ("train", "images-idx3-ubyte"),
            ("train", "labels-idx1-ubyte"),
            (self.test, "images-idx3-ubyte"),
            (self.test, "labels-idx1-ubyte"),
        ];
        std::array::from_fn(|i| SetFile {
            name: format!("{}{}-{}", self.prefix, parts[i].0, parts[i].1),
            sha256: self.checksums.map(|checksums| checksums[i]),
        })
    }

    /// Where a downloader puts the files so that [`load`] finds them: a folder of the set's name in [`cache_dir`].
    pub fn destination(&self) -> Option<PathBuf> {
        cache_dir().map(|dir| dir.join(self.name))
    }

    /// Reads the set from one folder, which must hold its four files: training and test samples, of shape 1×28×28.
    ///
    /// A file may be gzipped (`.gz`) or not, and may be spelled `train-images.idx3-ubyte`, as some distributions do.
    ///
    /// # Errors
    /// If a file is missing, damaged, or not what it should be. The sentence names it.
    pub fn read(&self, dir: &Path) -> Result<(Bytes, Bytes)> {
        match self.find_files(dir) {
            Ok([train_images, train_labels, test_images, test_labels]) => {
                let train = self.read_pair(&train_images, &train_labels)?;
                let test = self.read_pair(&test_images, &test_labels)?;
                if train.shape() != test.shape() {
                    return Err(Error::file(
                        test_images,
                        format!(
                            "the images are {}, and those for training are {}",
                            test.shape(),
                            train.shape()
                        ),
                    ));
                }
                Ok((train, test))
            }
            Err(missing) => Err(Error::file(
                dir,
                format!(
                    "the folder has no {} of the data set {}",
                    missing.join(" and no "),
                    self.name
                ),
            )),
        }
    }

    /// The paths of the four files in a folder, or the names of those that are missing.
    fn find_files(&self, dir: &Path) -> Result<[PathBuf; 4], Vec<String>> {
        let files = self.files();
        let found = files.clone().map(|SetFile { name, .. }| {
            let other = name.replace("-idx", ".idx");
            [name.clone(), name + ".gz", other.clone(), other + ".gz"]
                .into_iter()
                .map(|name| dir.join(name))
                .find(|path| path.is_file())
        });
        let missing = files.into_iter().zip(&found).filter(|(_, path)| path.is_none());
        let missing = missing.map(|(file, _)| file.name).collect::<Vec<_>>();
        if missing.is_empty() {
            Ok(found.map(Option::unwrap_or_default))
        } else {
            Err(missing)
        }
    }

    /// The name of another set, if these labels are its.
    fn mistaken(&self, labels: &[u8]) -> Option<&'static str> {
        let is = |set: &Set| set.signature.is_some_and(|signature| labels.starts_with(&signature));
        SETS.iter()
            .find(|other| other.name != self.name && is(other))
            .map(|other| other.name)
    }

    /// Reads images and their labels.
    fn read_pair(&self, images_path: &Path, labels_path: &Path) -> Result<Bytes> {
        let labels = idx::read(labels_path)?;
        let [count] = labels.dims[..] else {
            return Err(Error::file(
                labels_path,
                format!("labels have 1 dimension, and these have {}", labels.dims.len()),
            ));
        };
        if let Some(other) = self.mistaken(&labels.bytes) {
            return Err(Error::file(
                labels_path,
                format!(
                    "this is a file of {other}, not of {}, though their names are the same",
                    self.name
                ),
            ));
        }
        let names = self.class_names();
        let labels = self.labels(&labels.bytes, names.len(), labels_path)?;
        let mut images = idx::read(images_path)?;
        let [images_count, height, width] = images.dims[..] else {
            return Err(Error::file(
                images_path,
                format!(
                    "images have 3 dimensions (count, height, width), and these have {}",
                    images.dims.len()
                ),
            ));
        };
        if images_count != count {
            return Err(Error::file(
                images_path,
                format!(
                    "there are {images_count} images, and {count} labels in {}",
                    labels_path.display()
                ),
            ));
        }
        if images.bytes.is_empty() {
            return Err(Error::file(
                images_path,
                format!("the file is empty: it has {images_count} images of {height}×{width} pixels"),
            ));
        }
        let shape = if self.transposed {
            for image in images.bytes.chunks_exact_mut(height * width) {
                transpose(image, height);
            }
            [1, width, height]
        } else {
            [1, height, width]
        };
        Bytes::new(shape, images.bytes, labels, names.len())?.with_class_names(names)
    }

    /// The labels in a file as numbers of `classes` classes, from 0.
    fn labels(&self, bytes: &[u8], classes: usize, path: &Path) -> Result<Vec<usize>> {
        let labels = bytes.iter().enumerate().map(|(i, &byte)| {
            let label = byte.checked_sub(self.first_label).map(usize::from);
            label.filter(|&label| label < classes).ok_or_else(|| {
                let first = usize::from(self.first_label);
                let last = first + classes - 1;
                let message = format!(
                    "label {i} is {byte}, and labels of {} run from {first} to {last}",
                    self.name
                );
                Error::file(path, message)
            })
        });
        labels.collect()
    }
}

/// Transposes an image of `rows` rows.
fn transpose(image: &mut [u8], rows: usize) {
    let columns = image.len() / rows;
    let original = image.to_vec();
    for (i, pixel) in image.iter_mut().enumerate() {
        *pixel = original[i % rows * columns + i / rows];
    }
}

/// Loads a set of the family: training and test samples, of shape 1×28×28.
///
/// The files are searched in `dir`, if it is given; else in the folder that the environment variable
/// [`GRADUS_DATA_DIR`](DATA_DIR_VARIABLE) names and in [`cache_dir`]. Each of these may hold the files themselves or a folder
/// of the set's name that does.
///
/// ```no_run
/// let (train, test) = gradus::data::mnist::load("mnist", None)?;
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Errors
/// If the name is unknown, the files are nowhere (the sentence says where they were searched and how to get them), or they
/// are damaged.
pub fn load(name: &str, dir: Option<&Path>) -> Result<(Bytes, Bytes)> {
    let set = Set::find(name)?;
    set.read(&locate(set, dir)?)
}

/// Makes samples of MNIST from images and labels in memory: 784 bytes for each image, row by row, and a digit.
///
/// ```
/// use gradus::data::{Dataset, mnist};
/// let images = gradus_mnist::test()?;
/// let test = mnist::from_bytes(images.pixels, &images.labels)?;
/// assert_eq!((test.len(), test.shape().to_string()), (10_000, "1×28×28".to_string()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If there are no images, the bytes are not a whole number of images, the numbers of images and labels differ, or a label is
/// above 9.
pub fn from_bytes(pixels: Vec<u8>, labels: &[u8]) -> Result<Bytes> {
    let names = Set::find("mnist")?.class_names();
    let labels = labels.iter().map(|&label| usize::from(label));
    Bytes::new([1, 28, 28], pixels, labels, names.len())?.with_class_names(names)
}

/// The folder from which [`load`] reads a set.
///
/// # Errors
/// If the four files are in none.
pub fn locate(set: &Set, dir: Option<&Path>) -> Result<PathBuf> {
    let bases = match dir {
        Some(dir) => vec![dir.to_path_buf()],
        None => {
            let variable = std::env::var_os(DATA_DIR_VARIABLE)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from);
            variable.into_iter().chain(cache_dir()).collect()
        }
    };
    locate_in(set, &bases)
}

/// The first of these folders, or of the folders of the set's name in them, that has the set's files.
fn locate_in(set: &Set, bases: &[PathBuf]) -> Result<PathBuf> {
    let mut looked = Vec::new();
    for base in bases {
        // The more specific one first: sets that use the same file names may be side by side.
        for folder in [base.join(set.name), base.clone()] {
            match set.find_files(&folder) {
                Ok([_, labels, ..]) => match idx::read(labels).ok().and_then(|labels| set.mistaken(&labels.bytes)) {
                    None => return Ok(folder),
                    Some(other) => looked.push(format!("{} (whose files are those of {other})", folder.display())),
                },
                Err(missing) if missing.len() < 4 => {
                    looked.push(format!("{} (which lacks {})", folder.display(), missing.join(", ")));
                }
                Err(_) => looked.push(folder.display().to_string()),
            }
        }
    }
    let [a, b, c, d] = set.files().map(|file| file.name);
    let how = format!("run `gradus data fetch {}`, or get it from {}", set.name, set.homepage);
    Err(Error::data(format!(
        "the data set {} was not found in {}; {how}, and put {a}, {b}, {c} and {d} (each may be gzipped, as .gz) in one of \
         these folders, or in another that {DATA_DIR_VARIABLE} names",
        set.name,
        if looked.is_empty() {
            "any folder, as none is known".into()
        } else {
            looked.join(", ")
        },
    )))
}

/// The user's folder for data sets that can be fetched again: `$XDG_CACHE_HOME/gradus` or `~/.cache/gradus`; on macOS
/// `~/Library/Caches/gradus`, on Windows `%LOCALAPPDATA%\gradus`. None if the environment tells of no home.
pub fn cache_dir() -> Option<PathBuf> {
    let folder = |variable: &str| {
        let path = std::env::var_os(variable).map(PathBuf::from);
        // The XDG base directory specification has relative paths ignored.
        path.filter(|path| path.is_absolute())
    };
    let base = if cfg!(windows) {
        folder("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        folder("HOME").map(|home| home.join("Library/Caches"))
    } else {
        folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")))
    };
    base.map(|base| base.join("gradus"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::data::Targets;

    /// A folder of the test's own, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("gradus-mnist-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// Writes a set of two training and one test images of 2×3 pixels.
    fn write(set: &Set, dir: &Path, labels: [u8; 3], rename: impl Fn(&str) -> String) {
        fs::create_dir_all(dir).unwrap();
        let [a, b, c, d] = set.files().map(|file| dir.join(rename(&file.name)));
        idx::write(a, &[2, 2, 3], &(0..12).collect::<Vec<_>>()).unwrap();
        idx::write(b, &[2], &labels[..2]).unwrap();
        idx::write(c, &[1, 2, 3], &(20..26).collect::<Vec<_>>()).unwrap();
        idx::write(d, &[1], &labels[2..]).unwrap();
    }

    #[test]
    fn every_spelling_is_found() {
        let mnist = Set::find("mnist").unwrap();
        let spellings: [fn(&str) -> String; 4] = [
            |name| name.into(),
            |name| format!("{name}.gz"),
            |name| name.replace("-idx", ".idx"),
            |name| name.replace("-idx", ".idx") + ".gz",
        ];
        for (i, spelling) in spellings.into_iter().enumerate() {
            let dir = Folder::new(&format!("spelling-{i}"));
            write(mnist, &dir.0, [7, 0, 9], spelling);
            let (train, test) = load("mnist", Some(&dir.0)).unwrap();
            assert_eq!((train.len(), test.len()), (2, 1));
            assert_eq!(train.shape(), [1, 2, 3].into());
            assert_eq!(train.targets(), Targets::Classes(10));
            assert_eq!((train.labels(), test.labels()), (&[7, 0][..], &[9][..]));
            assert_eq!(test.pixels().as_bytes().unwrap(), [20, 21, 22, 23, 24, 25]);
            assert_eq!(test.class_names().unwrap()[9], "9");
        }
    }

    #[test]
    fn samples_in_memory_are_those_of_the_files() {
        let dir = Folder::new("memory");
        let set = Set::find("mnist").unwrap();
        let pixels: Vec<u8> = (0..2 * 784).map(|i| (i % 251) as u8).collect();
        let [a, b, c, d] = set.files().map(|file| dir.0.join(file.name));
        for (images, labels) in [(a, b), (c, d)] {
            idx::write(images, &[2, 28, 28], &pixels).unwrap();
            idx::write(labels, &[2], &[7, 0]).unwrap();
        }
        let (read, _) = set.read(&dir.0).unwrap();
        let made = from_bytes(pixels.clone(), &[7, 0]).unwrap();
        assert_eq!((made.shape(), made.labels()), (read.shape(), read.labels()));
        assert_eq!(made.pixels().as_bytes(), read.pixels().as_bytes());
        assert_eq!(
            (made.class_names(), made.targets()),
            (read.class_names(), read.targets())
        );
        assert!(from_bytes(pixels.clone(), &[7, 10]).is_err() && from_bytes(pixels, &[7]).is_err());
    }

    #[test]
    fn emnist_is_turned_upright() {
        let dir = Folder::new("emnist");
        let letters = Set::find("emnist-letters").unwrap();
        write(letters, &dir.0.join("emnist-letters"), [1, 26, 3], |name| {
            format!("{name}.gz")
        });
        let (train, test) = load("emnist-letters", Some(&dir.0)).unwrap();
        assert_eq!(test.shape(), [1, 3, 2].into());
        assert_eq!(test.pixels().as_bytes().unwrap(), [20, 23, 21, 24, 22, 25]);
        assert_eq!(train.labels(), [0, 25]);
        assert_eq!(train.class_names().unwrap()[25], "Z");
        write(letters, &dir.0.join("emnist-letters"), [1, 0, 3], |name| {
            format!("{name}.gz")
        });
        let error = load("emnist-letters", Some(&dir.0)).unwrap_err().to_string();
        assert!(
            error.contains("train-labels-idx1-ubyte.gz: label 1 is 0, and labels of emnist-letters run from 1 to 26")
        );
    }

    #[test]
    fn classes_are_as_many_as_published() {
        let counts = SETS.iter().map(|set| set.class_names().len()).collect::<Vec<_>>();
        assert_eq!(counts, [10, 10, 10, 47, 26, 10, 10, 62, 47]);
        for set in &SETS {
            for file in set.files() {
                if let Some(Sha256::Uncompressed(sum) | Sha256::Gzipped(sum)) = file.sha256 {
                    assert!(sum.len() == 64 && sum.chars().all(|c| c.is_ascii_hexdigit()));
                }
            }
        }
        assert_eq!(
            Set::find("emnist-byclass").unwrap().files()[2].name,
            "emnist-byclass-test-images-idx3-ubyte"
        );
    }

    /// Distributions compress the files anew: their content is what is the same.
    #[test]
    fn sums_are_those_of_the_content() {
        for (name, known) in [("mnist", 4), ("fashion-mnist", 4), ("kmnist", 3)] {
            let files = Set::find(name).unwrap().files();
            let of_content = files
                .iter()
                .filter(|file| matches!(file.sha256, Some(Sha256::Uncompressed(_))));
            assert_eq!(of_content.count(), known, "{name}");
        }
    }

    #[test]
    fn the_first_folder_that_has_the_files_is_taken() {
        let (a, b) = (Folder::new("order-a"), Folder::new("order-b"));
        let bases = [a.0.clone(), b.0.clone()];
        let set = Set::find("kmnist").unwrap();
        let error = locate_in(set, &bases).unwrap_err().to_string();
        for part in [
            "kmnist was not found in",
            "order-a",
            "order-b",
            "gradus data fetch kmnist",
            "t10k-labels",
            "GRADUS",
        ] {
            assert!(error.contains(part), "{error}");
        }
        let same = |name: &str| name.to_string();
        write(set, &b.0, [0; 3], same);
        assert_eq!(locate_in(set, &bases).unwrap(), b.0);
        write(set, &b.0.join("kmnist"), [0; 3], same);
        assert_eq!(locate_in(set, &bases).unwrap(), b.0.join("kmnist"));
        write(set, &a.0, [0; 3], same);
        assert_eq!(locate_in(set, &bases).unwrap(), a.0);
        fs::remove_file(a.0.join("t10k-images-idx3-ubyte")).unwrap();
        assert!(
            locate_in(set, &bases[..1])
                .unwrap_err()
                .to_string()
                .contains("(which lacks t10k-images-idx3-ubyte)")
        );
        assert!(
            set.read(&a.0)
                .unwrap_err()
                .to_string()
                .contains("the folder has no t10k-images-idx3-ubyte")
        );
        let error = locate_in(Set::find("emnist-digits").unwrap(), &[])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("as none is known") && error.contains("nist.gov"),
            "{error}"
        );
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let dir = Folder::new("misfit");
        let set = Set::find("fashion-mnist").unwrap();
        let load = || set.read(&dir.0).unwrap_err().to_string();
        write(set, &dir.0, [1, 2, 3], |name| name.into());
        let path = |i: usize| dir.0.join(&set.files()[i].name);
        idx::write(path(2), &[1, 3, 3], &[0; 9]).unwrap();
        assert!(load().contains("t10k-images-idx3-ubyte: the images are 1×3×3, and those for training are 1×2×3"));
        idx::write(path(0), &[3, 2, 3], &[0; 18]).unwrap();
        assert!(load().contains("there are 3 images, and 2 labels"));
        idx::write(path(0), &[2, 6], &[0; 12]).unwrap();
        assert!(load().contains("images have 3 dimensions"));
        idx::write(path(0), &[2, 0, 3], &[]).unwrap();
        assert!(load().contains("2 images of 0×3 pixels"));
        idx::write(path(1), &[2, 1], &[0; 2]).unwrap();
        assert!(load().contains("labels have 1 dimension"));
        idx::write(path(1), &[10], &[5, 0, 4, 1, 9, 2, 1, 3, 1, 4]).unwrap();
        assert!(load().contains("this is a file of mnist, not of fashion-mnist"));
        let error = locate_in(set, std::slice::from_ref(&dir.0)).unwrap_err().to_string();
        assert!(error.contains("(whose files are those of mnist)"), "{error}");
    }
}
