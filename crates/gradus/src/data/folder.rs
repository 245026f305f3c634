//! A folder of images with a sub-folder for each class.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Bytes, Image, Pixels, names};
use crate::error::plural;
use crate::{Error, Result};

/// The endings of PNG and JPEG files.
const ENDINGS: [&str; 8] = ["png", "jpg", "jpeg", "jfif", "jpe", "jif", "pjpeg", "pjp"];
/// The most faults that a sentence lists.
const MOST_FAULTS: usize = 20;

/// Reads a folder that has a sub-folder of PNG and JPEG images for each class, all images of one size:
///
/// ```text
/// flowers/daisy/001.png  flowers/daisy/002.jpg ...  flowers/rose/001.png ...
/// ```
///
/// The classes are the sub-folders, sorted by name, or as numbers if all names are such (`2` before `10`); within them, samples
/// are sorted by file name. So the order is the same on every machine. Images are RGB if one of them is, and else gray, unless
/// [`gray`](Folder::gray) or [`rgb`](Folder::rgb) has all converted; and of 16 bits if one of them is.
///
/// Images are the files with the endings `.png`, `.jpg`, `.jpeg`, `.jfif`, `.jpe`, `.jif`, `.pjpeg` and `.pjp`, unless
/// [`endings`](Folder::endings) names others. Other files, and what lies deeper, are left out; [`left_out`](Folder::left_out)
/// counts them. Names that begin with a dot don't count at all.
///
/// ```no_run
/// use gradus::data::{Dataset, Folder};
/// let train = Folder::new().gray().read("flowers/train")?;
/// // The same classes under the same numbers, even if one has no image here.
/// let test = Folder::new().gray().classes(train.class_names().unwrap()).read("flowers/test")?;
/// let left_out = Folder::new().left_out("flowers/test")?;
/// assert!(left_out.is_empty(), "{left_out}");
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Folder {
    channels: Option<usize>,
    classes: Option<Vec<String>>,
    endings: Vec<String>,
    decode: fn(&[u8]) -> Result<Image>,
}

impl Default for Folder {
    fn default() -> Self {
        Folder {
            channels: None,
            classes: None,
            endings: ENDINGS.map(String::from).into(),
            decode: Image::decode,
        }
    }
}

impl Folder {
    /// With all as described above.
    pub fn new() -> Self {
        Folder::default()
    }

    /// Converts all images to gray.
    pub fn gray(mut self) -> Self {
        self.channels = Some(1);
        self
    }

    /// Converts all images to red, green and blue.
    pub fn rgb(mut self) -> Self {
        self.channels = Some(3);
        self
    }

    /// Numbers the classes in this order; one of them may have no folder, but no folder may be of another.
    pub fn classes(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.classes = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Also reads files with these endings (`"webp"`), by [`decoder`](Folder::decoder).
    pub fn endings(mut self, endings: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.endings
            .extend(endings.into_iter().map(|ending| ending.as_ref().to_ascii_lowercase()));
        self
    }

    /// Decodes all files by this function instead of [`Image::decode`].
    pub fn decoder(mut self, decode: fn(&[u8]) -> Result<Image>) -> Self {
        self.decode = decode;
        self
    }

    /// Reads the images.
    ///
    /// # Errors
    /// If there is no class or a class has no image, an image can't be decoded, or is of another size than the first. The sentence
    /// names all such files (of very many, the first).
    pub fn read(&self, dir: impl AsRef<Path>) -> Result<Bytes> {
        let dir = dir.as_ref();
        let folders = class_folders(dir)?;
        let names = match &self.classes {
            Some(names) => names.clone(),
            None => folders.iter().map(|(name, _)| name.clone()).collect(),
        };
        let mut faults = Faults::default();
        let mut all: Option<Images> = None;
        let mut labels = Vec::new();
        for (name, folder) in folders {
            let Some(class) = names.iter().position(|known| *known == name) else {
                faults.push(&folder, format!("`{name}` is none of the classes {}", names.join(", ")));
                continue;
            };
            let files = entries(&folder)?;
            let images = files.iter().filter(|(_, path)| self.is_image(path)).collect::<Vec<_>>();
            if images.is_empty() {
                faults.push(&folder, self.no_images(&files));
            }
            for (_, path) in images {
                let added = self.decode_file(path).and_then(|image| match &mut all {
                    Some(all) => all.push(image),
                    None => {
                        all = Some(Images::new(path, image));
                        Ok(())
                    }
                });
                match added {
                    Ok(()) => labels.push(class),
                    Err(message) => faults.push(path, message),
                }
                // All faults are listed, but there is no data set with them.
                if let (Some(all), true) = (&mut all, faults.count > 0) {
                    all.pixels = Pixels::Bytes(Vec::new());
                }
            }
        }
        if let Some(error) = faults.into_error(dir) {
            return Err(error);
        }
        let Some(Images {
            channels,
            height,
            width,
            mut pixels,
            ..
        }) = all
        else {
            return Err(Error::file(dir, "the folder has no images"));
        };
        pixels.shrink_to_fit();
        Bytes::from_pixels([channels, height, width], pixels, labels, names.len())?.with_class_names(names)
    }

    /// What [`read`](Folder::read) leaves out of a folder.
    ///
    /// # Errors
    /// If a folder can't be read.
    pub fn left_out(&self, dir: impl AsRef<Path>) -> Result<LeftOut> {
        let dir = dir.as_ref();
        let mut left_out = LeftOut::default();
        for (_, path) in entries(dir)? {
            if !path.is_dir() {
                left_out.beside += 1;
                continue;
            }
            for (_, path) in entries(&path)? {
                if path.is_dir() {
                    left_out.deeper += files_below(&path)?;
                } else if !self.is_image(&path) {
                    let ending = path
                        .extension()
                        .unwrap_or_default()
                        .to_string_lossy()
                        .to_ascii_lowercase();
                    *left_out.endings.entry(ending).or_default() += 1;
                }
            }
        }
        Ok(left_out)
    }

    /// Says that none of these files and folders is an image.
    fn no_images(&self, found: &[(String, PathBuf)]) -> String {
        let folders = found.iter().filter(|(_, path)| path.is_dir()).count();
        format!(
            "the folder has no images but {} and {}; images end in .{}",
            plural(found.len() - folders, "other file"),
            plural(folders, "folder"),
            self.endings.join(", .")
        )
    }

    /// The image in a file, in gray or RGB if all are to be, or what is wrong with it.
    fn decode_file(&self, path: &Path) -> Result<Image, String> {
        let sentence = |error: Error| match error {
            Error::File { message, .. } => message,
            error => error.to_string(),
        };
        let file = Image::read_file(path).map_err(sentence)?;
        let image = (self.decode)(&file).map_err(sentence)?;
        Ok(match self.channels {
            Some(1) => image.into_gray(),
            Some(_) => image.into_rgb(),
            None => image,
        })
    }

    /// Whether a file's name is that of an image.
    fn is_image(&self, path: &Path) -> bool {
        let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
        path.is_file() && self.endings.iter().any(|known| ending == known.as_str())
    }
}

/// Images of one size.
struct Images {
    /// The file of the first.
    first: PathBuf,
    channels: usize,
    height: usize,
    width: usize,
    pixels: Pixels,
}

impl Images {
    fn new(first: &Path, image: Image) -> Self {
        Images {
            first: first.to_path_buf(),
            channels: image.channels(),
            height: image.height(),
            width: image.width(),
            pixels: image.into_pixels(),
        }
    }

    /// Appends an image; all become RGB with the first that is.
    fn push(&mut self, image: Image) -> Result<(), String> {
        if (image.width(), image.height()) != (self.width, self.height) {
            return Err(format!(
                "the image is {} wide and {} high, and {} is {} by {}: all images must have one size",
                image.width(),
                image.height(),
                self.first.display(),
                self.width,
                self.height
            ));
        }
        if image.channels() > self.channels {
            self.pixels = self.pixels.repeated(self.height * self.width);
            self.channels = image.channels();
        }
        let image = if self.channels == 3 { image.into_rgb() } else { image };
        self.pixels.append(image.pixels());
        Ok(())
    }
}

/// What is wrong with a folder's files.
#[derive(Default)]
struct Faults {
    count: usize,
    first: Vec<(PathBuf, String)>,
}

impl Faults {
    fn push(&mut self, path: &Path, message: String) {
        self.count += 1;
        if self.first.len() < MOST_FAULTS {
            self.first.push((path.to_path_buf(), message));
        }
    }

    /// One sentence for one fault, a list of several.
    fn into_error(self, dir: &Path) -> Option<Error> {
        if let [(path, message)] = &self.first[..] {
            return Some(Error::file(path, message));
        }
        let mut list = format!("{} files or folders can't be used:", self.count);
        for (path, message) in &self.first {
            let name = path.strip_prefix(dir).unwrap_or(path);
            list += &format!(" {}: {message};", name.display());
        }
        list.truncate(list.len() - 1);
        if self.count > self.first.len() {
            list += &format!("; and {} more", self.count - self.first.len());
        }
        // Not shortened: none of them is to be missing.
        (self.count > 0).then(|| Error::File {
            path: dir.to_path_buf(),
            message: list,
            source: None,
        })
    }
}

/// How many files a [`Folder`] leaves out, and why. It prints a sentence that says so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftOut {
    /// Files in the classes' folders that are no images by their endings: how many have each; the ending is empty if they have
    /// none.
    pub endings: BTreeMap<String, usize>,
    /// Files in folders within the classes' folders.
    pub deeper: usize,
    /// Files beside the classes' folders.
    pub beside: usize,
}

impl LeftOut {
    /// The number of files that are left out.
    pub fn count(&self) -> usize {
        self.endings.values().sum::<usize>() + self.deeper + self.beside
    }

    /// Whether nothing is left out.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = |count: usize| if count == 1 { "file" } else { "files" };
        let mut parts = Vec::new();
        if !self.endings.is_empty() {
            let each = self.endings.iter().map(|(ending, count)| match &ending[..] {
                "" => format!("{count} without an ending"),
                ending => format!("{count} .{ending}"),
            });
            parts.push(format!("{} by their endings", each.collect::<Vec<_>>().join(", ")));
        }
        if self.deeper > 0 {
            parts.push(format!("{} in folders within the classes' folders", self.deeper));
        }
        if self.beside > 0 {
            parts.push(format!("{} beside the classes' folders", self.beside));
        }
        let count = self.count();
        let verb = if count == 1 { "is" } else { "are" };
        write!(f, "{count} {} {verb} left out", files(count))?;
        if parts.is_empty() {
            return Ok(());
        }
        write!(f, ": {}", parts.join("; "))
    }
}

/// The classes' names and folders, in their order.
fn class_folders(dir: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut folders = entries(dir)?;
    folders.retain(|(_, path)| path.is_dir());
    if folders.is_empty() {
        return Err(Error::file(
            dir,
            "the folder has no sub-folder, and there should be one of images for each class",
        ));
    }
    names::sort_by_name(&mut folders, |(name, _)| name);
    Ok(folders)
}

/// The number of files in a folder and all below it. Links to folders are not followed: they might lead in circles.
fn files_below(dir: &Path) -> Result<usize> {
    let mut count = 0;
    for (_, path) in entries(dir)? {
        if path.is_dir() && !path.is_symlink() {
            count += files_below(&path)?;
        } else {
            count += 1;
        }
    }
    Ok(count)
}

/// The names and paths in a folder, sorted, without those that begin with a dot.
fn entries(dir: &Path) -> Result<Vec<(String, PathBuf)>> {
    let read = || -> std::io::Result<Vec<(String, PathBuf)>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') {
                entries.push((name, entry.path()));
            }
        }
        entries.sort();
        Ok(entries)
    };
    read().map_err(|e| Error::io(dir, "can't be read", e))
}

#[cfg(test)]
mod tests {
    use png::{BitDepth, ColorType};

    use super::*;
    use crate::data::Dataset;
    use crate::data::image::tests::encode;

    fn gray(pixels: &[u8]) -> Vec<u8> {
        encode(2, ColorType::Grayscale, BitDepth::Eight, pixels, None)
    }

    fn rgb(pixels: &[u8]) -> Vec<u8> {
        encode(2, ColorType::Rgb, BitDepth::Eight, pixels, None)
    }

    #[test]
    fn classes_and_samples_are_in_order_and_faults_are_named() {
        let dir = std::env::temp_dir().join(format!("gradus-folder-{}", std::process::id()));
        let write = |path: &str, content: &[u8]| {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        let sentence = |folder: Folder| folder.read(&dir).unwrap_err().to_string();
        assert!(Folder::new().read(&dir).is_err());
        write("notes.txt", b"");
        assert!(sentence(Folder::new()).contains("no sub-folder"));
        write("b/2.PNG", &gray(&[5, 6, 7, 8]));
        write("b/10.png", &gray(&[1, 2, 3, 4]));
        write("b/.hidden.png", b"");
        write("a/notes.txt", b"");
        assert!(
            sentence(Folder::new()).contains(
                "a: the folder has no images but 1 other file and 0 folders; images end in .png, .jpg, .jpeg, "
            )
        );
        write("a/x.png", &gray(&[9, 9, 9, 9]));
        write(".git/x.png", b"");

        let data = Folder::new().read(&dir).unwrap();
        assert_eq!(data.shape(), [1, 2, 2].into());
        assert_eq!(data.class_names().unwrap(), ["a", "b"]);
        assert_eq!(data.pixels().as_bytes().unwrap(), [9, 9, 9, 9, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(data.labels(), [0, 1, 1]);
        let data = Folder::new().classes(["c", "b", "a"]).rgb().read(&dir).unwrap();
        assert_eq!((data.labels(), data.shape()), (&[2, 1, 1][..], [3, 2, 2].into()));
        assert!(sentence(Folder::new().classes(["b"])).contains("`a` is none of the classes b"));

        // One of RGB makes all so.
        write("b/9.png", &rgb(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]));
        let data = Folder::new().read(&dir).unwrap();
        assert_eq!(data.shape(), [3, 2, 2].into());
        let samples = data.pixels().as_bytes().unwrap().chunks(12).collect::<Vec<_>>();
        let gray_first: [&[u8]; 4] = [
            &[9; 12],
            &[1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4],
            &[5, 6, 7, 8, 5, 6, 7, 8, 5, 6, 7, 8],
            &[1, 4, 7, 10, 2, 5, 8, 11, 3, 6, 9, 12],
        ];
        assert_eq!(samples, gray_first);
        assert_eq!(Folder::new().gray().read(&dir).unwrap().len(), 4);
        write("b/9.png", &gray(&[0; 6]));
        assert!(sentence(Folder::new()).contains("9.png: the image is 2 wide and 3 high, and"));
        write("b/9.png", b"broken");
        assert!(sentence(Folder::new()).contains("9.png: neither a PNG nor a JPEG"));
        // All of them at once.
        write("a/y.jpg", b"GIF89a");
        write("b/7.png", b"");
        write("b/8.png", &gray(&[0; 6]));
        let listed = sentence(Folder::new());
        let dir_shown = dir.display();
        assert!(
            listed.starts_with(&format!("{dir_shown}: 4 files or folders can't be used: a/y.jpg: ")),
            "{listed}"
        );
        for part in [
            " b/7.png: the file is empty",
            " b/8.png: the image is 2 wide and 3 high",
            " b/9.png: neither",
        ] {
            assert!(listed.contains(part), "{listed}");
        }
        for i in 0..40 {
            write(&format!("b/more-{i}.png"), b"broken");
        }
        assert!(
            sentence(Folder::new()).ends_with("; and 24 more"),
            "{}",
            sentence(Folder::new())
        );
        fs::remove_dir_all(dir).unwrap();
    }

    /// A decoder can only give an image that is one: its fault is that of the file.
    #[test]
    fn a_decoder_of_ones_own_is_checked() {
        let dir = std::env::temp_dir().join(format!("gradus-folder-decoder-{}", std::process::id()));
        fs::create_dir_all(dir.join("a")).unwrap();
        fs::write(dir.join("a/1.raw"), [9; 4]).unwrap();
        fs::write(dir.join("a/2.raw"), [9; 5]).unwrap();
        let folder = || {
            let decoder = |file: &[u8]| Image::new(1, 2, 2, Pixels::Bytes(file.to_vec()));
            Folder::new().endings(["raw"]).decoder(decoder)
        };
        for folder in [folder(), folder().gray(), folder().rgb()] {
            let sentence = folder.read(&dir).unwrap_err().to_string();
            assert!(
                sentence.ends_with("2.raw: an image of 1 channel, 2 high and 2 wide, can't have 5 values: it has channels × height × width"),
                "{sentence}"
            );
        }
        fs::remove_file(dir.join("a/2.raw")).unwrap();
        assert_eq!(folder().read(&dir).unwrap().pixels().as_bytes(), Some(&[9; 4][..]));
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn classes_that_are_numbers_are_in_their_order() {
        let dir = std::env::temp_dir().join(format!("gradus-folder-numbers-{}", std::process::id()));
        for class in [0, 1, 2, 10, 11] {
            fs::create_dir_all(dir.join(class.to_string())).unwrap();
            fs::write(dir.join(format!("{class}/x.png")), gray(&[class, 0])).unwrap();
        }
        let data = Folder::new().read(&dir).unwrap();
        assert_eq!(data.class_names().unwrap(), ["0", "1", "2", "10", "11"]);
        assert_eq!(data.pixels().as_bytes().unwrap(), [0, 0, 1, 0, 2, 0, 10, 0, 11, 0]);
        assert_eq!(data.labels(), [0, 1, 2, 3, 4]);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let dir = std::env::temp_dir().join(format!("gradus-folder-left-{}", std::process::id()));
        let write = |path: &str| {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, gray(&[1, 2])).unwrap();
        };
        for path in ["a/1.png", "a/2.JPG", "a/3.jfif", "b/4.jpe", "b/.hidden.txt"] {
            write(path);
        }
        assert_eq!(Folder::new().read(&dir).unwrap().len(), 4);
        let left_out = Folder::new().left_out(&dir).unwrap();
        assert!(left_out.is_empty());
        assert_eq!(left_out.to_string(), "0 files are left out");
        for path in [
            "a/5.webp",
            "a/6.WEBP",
            "b/notes",
            "b/7.txt",
            "b/deep/8.png",
            "b/deep/er/9.png",
            "labels.csv",
        ] {
            write(path);
        }
        assert_eq!(Folder::new().read(&dir).unwrap().len(), 4);
        let left_out = Folder::new().left_out(&dir).unwrap();
        assert_eq!(
            left_out.to_string(),
            "7 files are left out: 1 without an ending, 1 .txt, 2 .webp by their endings; \
             2 in folders within the classes' folders; 1 beside the classes' folders"
        );
        let wider = Folder::new().endings(["WebP"]);
        assert_eq!(
            (wider.read(&dir).unwrap().len(), wider.left_out(&dir).unwrap().count()),
            (6, 5)
        );
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn images_of_8_and_16_bits_are_read_together() {
        let dir = std::env::temp_dir().join(format!("gradus-folder-depth-{}", std::process::id()));
        fs::create_dir_all(dir.join("a")).unwrap();
        fs::write(dir.join("a/1.png"), gray(&[0, 255])).unwrap();
        let wide = encode(2, ColorType::Grayscale, BitDepth::Sixteen, &[0, 1, 0, 2], None);
        fs::write(dir.join("a/2.png"), wide).unwrap();
        let data = Folder::new().read(&dir).unwrap();
        let read = |i| {
            let mut x = [0.0; 2];
            data.read(i, &mut x).map(|()| x).unwrap()
        };
        assert_eq!(read(0), [0.0, 1.0]);
        assert_eq!(read(1), [1.0 / 65_535.0, 2.0 / 65_535.0]);
        fs::remove_dir_all(dir).unwrap();
    }
}
