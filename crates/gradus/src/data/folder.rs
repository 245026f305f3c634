//! A folder of images with a sub-folder for each class.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Bytes, Image};
use crate::{Error, Result};

/// Reads a folder that has a sub-folder of PNG and JPEG images for each class, all images of one size:
///
/// ```text
/// flowers/daisy/001.png  flowers/daisy/002.jpg ...  flowers/rose/001.png ...
/// ```
///
/// The classes are the sub-folders, sorted by name; within them, samples are sorted by file name. So the order is the same on
/// every machine. Images are grey or RGB as the first one is, unless [`grey`](Folder::grey) or [`rgb`](Folder::rgb) has all
/// converted. Names that begin with a dot, and files without the ending `.png`, `.jpg` or `.jpeg`, are ignored.
///
/// ```no_run
/// use gradus::data::{Dataset, Folder};
/// let train = Folder::new().grey().read("flowers/train")?;
/// // The same classes under the same numbers, even if one has no image here.
/// let test = Folder::new().grey().classes(train.class_names().unwrap()).read("flowers/test")?;
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Folder {
    channels: Option<usize>,
    classes: Option<Vec<String>>,
}

impl Folder {
    /// With all as described above.
    pub fn new() -> Self {
        Folder::default()
    }

    /// Converts all images to grey.
    pub fn grey(mut self) -> Self {
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

    /// Reads the images.
    ///
    /// # Errors
    /// If there is no class or a class has no image, an image can't be decoded, or is of another size or another number
    /// of channels than the first. The sentence names the file.
    pub fn read(&self, dir: impl AsRef<Path>) -> Result<Bytes> {
        let dir = dir.as_ref();
        let folders = entries(dir)?
            .into_iter()
            .filter(|(_, path)| path.is_dir())
            .collect::<Vec<_>>();
        if folders.is_empty() {
            return Err(Error::file(
                dir,
                "the folder has no sub-folder, and there should be one of images for each class",
            ));
        }
        let names = match &self.classes {
            Some(names) => names.clone(),
            None => folders.iter().map(|(name, _)| name.clone()).collect(),
        };
        let mut first: Option<(Image, PathBuf)> = None;
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        for (name, folder) in folders {
            let Some(class) = names.iter().position(|known| *known == name) else {
                return Err(Error::file(
                    folder,
                    format!("`{name}` is none of the classes {}", names.join(", ")),
                ));
            };
            let files = entries(&folder)?;
            let images = files.iter().filter(|(_, path)| is_image(path)).collect::<Vec<_>>();
            if images.is_empty() {
                return Err(Error::file(
                    folder,
                    format!("the folder has no PNG or JPEG image ({} other files)", files.len()),
                ));
            }
            for (_, path) in images {
                let mut image = Image::read(path)?;
                match self.channels {
                    Some(1) => image = image.into_grey(),
                    Some(_) => image = image.into_rgb(),
                    None => {}
                }
                pixels.extend_from_slice(&image.pixels);
                labels.push(class);
                let (first, first_path) = first.get_or_insert_with(|| (image.clone(), path.clone()));
                if (image.width, image.height) != (first.width, first.height) {
                    return Err(Error::file(
                        path,
                        format!(
                            "the image is {} wide and {} high, and {} is {} by {}: all images must have one size",
                            image.width,
                            image.height,
                            first_path.display(),
                            first.width,
                            first.height
                        ),
                    ));
                }
                if image.channels != first.channels {
                    let kind = |channels| if channels == 1 { "grey" } else { "RGB" };
                    return Err(Error::file(
                        path,
                        format!(
                            "the image is {}, and {} is {}: have all read as one of them",
                            kind(image.channels),
                            first_path.display(),
                            kind(first.channels)
                        ),
                    ));
                }
            }
        }
        let Some((first, _)) = first else {
            return Err(Error::file(dir, "the folder has no images"));
        };
        pixels.shrink_to_fit();
        Bytes::new([first.channels, first.height, first.width], pixels, labels, names.len())?.with_class_names(names)
    }
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
    read().map_err(|e| Error::file(dir, e))
}

/// Whether a file's name is that of an image.
fn is_image(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
    path.is_file() && (ending == "png" || ending == "jpg" || ending == "jpeg")
}

#[cfg(test)]
mod tests {
    use png::{BitDepth, ColorType};

    use super::*;
    use crate::data::Dataset;
    use crate::data::image::tests::encode;

    fn grey(pixels: &[u8]) -> Vec<u8> {
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
        write("b/2.PNG", &grey(&[5, 6, 7, 8]));
        write("b/10.png", &grey(&[1, 2, 3, 4]));
        write("b/.hidden.png", b"");
        write("a/notes.txt", b"");
        assert!(sentence(Folder::new()).contains("a: the folder has no PNG or JPEG image (1 other files)"));
        write("a/x.png", &grey(&[9, 9, 9, 9]));
        write(".git/x.png", b"");

        let data = Folder::new().read(&dir).unwrap();
        assert_eq!(data.shape(), [1, 2, 2].into());
        assert_eq!(data.class_names().unwrap(), ["a", "b"]);
        assert_eq!(data.bytes(), [9, 9, 9, 9, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(data.labels(), [0, 1, 1]);
        let data = Folder::new().classes(["c", "b", "a"]).rgb().read(&dir).unwrap();
        assert_eq!((data.labels(), data.shape()), (&[2, 1, 1][..], [3, 2, 2].into()));
        assert!(sentence(Folder::new().classes(["b"])).contains("`a` is none of the classes b"));

        write("b/9.png", &rgb(&[0; 12]));
        assert!(sentence(Folder::new()).contains("9.png: the image is RGB, and"));
        assert_eq!(Folder::new().grey().read(&dir).unwrap().len(), 4);
        write("b/9.png", &grey(&[0; 6]));
        assert!(sentence(Folder::new()).contains("9.png: the image is 2 wide and 3 high, and"));
        write("b/9.png", b"broken");
        assert!(sentence(Folder::new()).contains("9.png: neither a PNG nor a JPEG"));
        fs::remove_dir_all(dir).unwrap();
    }
}
