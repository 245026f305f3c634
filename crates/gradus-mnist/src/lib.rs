//! MNIST, all of it: 60,000 + 10,000 gray images of handwritten digits and their labels, compressed into 9.2 MB, and the decoder.
//!
//! ```
//! let (train, test) = gradus_mnist::load()?;
//! assert_eq!((train.labels.len(), test.labels.len()), (60_000, 10_000));
//! assert_eq!(train.pixels.len(), 60_000 * gradus_mnist::PIXELS);
//! assert_eq!(train.labels[..5], [5, 0, 4, 1, 9]);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! The crate depends on none of Gradus. `gradus::data::mnist::from_bytes` makes a data set of the images without copying them.
//!
//! # The data
//!
//! MNIST is a work of Yann LeCun, Corinna Cortes and Christopher J.C. Burges, derived from databases of NIST, and licensed under
//! [CC BY-SA 3.0](https://creativecommons.org/licenses/by-sa/3.0/). It is described in LeCun, Bottou, Bengio and Haffner,
//! "Gradient-based learning applied to document recognition", Proceedings of the IEEE 86(11), 1998. Only its compression was
//! changed; a test compares the SHA-256 of all images and labels with those of the published files. See `data/NOTICE`.
//!
//! # The format
//!
//! A file holds 10,000 images as seven zlib streams, one after the other:
//!
//! | stream | bytes |
//! | --- | --- |
//! | labels | one for each image |
//! | ink | one bit for each pixel: whether it is not 0. 98 bytes an image, each for a block of 4 rows and 2 columns: bit 2i + j is row i, column j |
//! | values, five streams | the pixels that are not 0, row by row. Stream `n` has those of which `n` of the four neighbors (left, right, above, below) are not 0 |
//!
//! Ink and values are unlike each other, and a value depends on whether it is at the edge of a stroke: divided so, the files are
//! smaller than the images in one stream of Zstandard (9.4 MB, level 22), and gzip's algorithm, which the library reads anyway,
//! is enough. `python3 crates/gradus-mnist/data/compress.py FOLDER` makes the files from the four published ones.
#![forbid(unsafe_code)]

use std::io::{self, Read};
use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::thread;

use flate2::bufread::ZlibDecoder;

/// The height and the width of an image.
pub const SIDE: usize = 28;
/// The number of pixels of an image.
pub const PIXELS: usize = SIDE * SIDE;
/// The number of classes: the digits 0 to 9.
pub const CLASSES: usize = 10;

/// The images in each file.
const IMAGES_PER_FILE: usize = 10_000;
/// The bytes of an image's ink.
const INK: usize = PIXELS / 8;

const TRAIN: [&[u8]; 6] = [
    include_bytes!("../data/train-0.bin"),
    include_bytes!("../data/train-1.bin"),
    include_bytes!("../data/train-2.bin"),
    include_bytes!("../data/train-3.bin"),
    include_bytes!("../data/train-4.bin"),
    include_bytes!("../data/train-5.bin"),
];
const TEST: [&[u8]; 1] = [include_bytes!("../data/test.bin")];

/// Images and their labels, in the published order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Images {
    /// [`PIXELS`] bytes for each image, row by row: 0 is paper, 255 is ink.
    pub pixels: Vec<u8>,
    /// The digit on each image, 0 to 9.
    pub labels: Vec<u8>,
}

/// Decodes the 60,000 training images.
///
/// # Errors
/// None, as the data are part of the library.
pub fn train() -> io::Result<Images> {
    let mut train = Images::blank(TRAIN.len());
    decode(train.files(&TRAIN))?;
    Ok(train)
}

/// Decodes the 10,000 test images.
///
/// # Errors
/// None, as the data are part of the library.
pub fn test() -> io::Result<Images> {
    let mut test = Images::blank(TEST.len());
    decode(test.files(&TEST))?;
    Ok(test)
}

/// Decodes the training and the test images, on up to seven threads.
///
/// # Errors
/// None, as the data are part of the library.
pub fn load() -> io::Result<(Images, Images)> {
    let (mut train, mut test) = (Images::blank(TRAIN.len()), Images::blank(TEST.len()));
    decode(train.files(&TRAIN).chain(test.files(&TEST)))?;
    Ok((train, test))
}

/// A file, and where its images and labels go.
struct File<'a> {
    bytes: &'static [u8],
    pixels: &'a mut [u8],
    labels: &'a mut [u8],
}

impl Images {
    /// Blank images, as many as so many files have.
    fn blank(files: usize) -> Images {
        Images {
            pixels: vec![0; files * IMAGES_PER_FILE * PIXELS],
            labels: vec![0; files * IMAGES_PER_FILE],
        }
    }

    /// The files, each with its part of the images.
    fn files<'a>(&'a mut self, files: &'a [&'static [u8]]) -> impl Iterator<Item = File<'a>> + Send {
        let pixels = self.pixels.chunks_exact_mut(IMAGES_PER_FILE * PIXELS);
        let labels = self.labels.chunks_exact_mut(IMAGES_PER_FILE);
        let parts = files.iter().zip(pixels.zip(labels));
        parts.map(|(&bytes, (pixels, labels))| File { bytes, pixels, labels })
    }
}

/// Decodes the files, on as many threads as there are processors. The caller is one of them, so that it also works where no
/// thread can be started.
fn decode<'a>(files: impl Iterator<Item = File<'a>> + Send) -> io::Result<()> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let files = Mutex::new((files, Ok(())));
    let work = || {
        loop {
            let next = files.lock().unwrap_or_else(PoisonError::into_inner).0.next();
            let Some(file) = next else { break };
            if let Err(error) = file.decode() {
                files.lock().unwrap_or_else(PoisonError::into_inner).1 = Err(error);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads.min(TRAIN.len() + TEST.len()) {
            if thread::Builder::new().spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        work();
    });
    files.into_inner().unwrap_or_else(PoisonError::into_inner).1
}

impl File<'_> {
    /// Decodes the file into its part of the images, which are blank.
    fn decode(self) -> io::Result<()> {
        let mut rest = self.bytes;
        self.labels
            .copy_from_slice(&exactly(stream(&mut rest)?, self.labels.len())?);
        let ink = exactly(stream(&mut rest)?, self.labels.len() * INK)?;
        let mut values = Vec::new();
        for _ in 0..=4 {
            values.push(stream(&mut rest)?.into_iter());
        }
        for (image, ink) in self.pixels.chunks_exact_mut(PIXELS).zip(ink.chunks_exact(INK)) {
            draw(image, ink, &mut values)?;
        }
        if !rest.is_empty() || values.iter().any(|values| values.len() > 0) {
            return Err(damaged());
        }
        Ok(())
    }
}

/// Draws an image: writes the next values where it has ink.
fn draw(image: &mut [u8], ink: &[u8], values: &mut [impl Iterator<Item = u8>]) -> io::Result<()> {
    // Bit x of a row is pixel x; a row without ink is above and below all others.
    let mut rows = [0_u32; SIDE + 2];
    for (rows, ink) in rows[1..].chunks_exact_mut(4).zip(ink.chunks_exact(SIDE / 2)) {
        for (column, &block) in ink.iter().enumerate() {
            for (i, row) in rows.iter_mut().enumerate() {
                *row |= u32::from(block >> (2 * i) & 3) << (2 * column);
            }
        }
    }
    for (pixels, near) in image.chunks_exact_mut(SIDE).zip(rows.windows(3)) {
        let &[above, row, below] = near else { break };
        let (left, right) = (row << 1, row >> 1);
        let mut to_draw = row;
        while to_draw != 0 {
            let x = to_draw.trailing_zeros();
            to_draw &= to_draw - 1;
            let neighbors = (left >> x & 1) + (right >> x & 1) + (above >> x & 1) + (below >> x & 1);
            let value = values.get_mut(neighbors as usize).and_then(Iterator::next);
            if let Some(pixel) = pixels.get_mut(x as usize) {
                *pixel = value.ok_or_else(damaged)?;
            }
        }
    }
    Ok(())
}

/// Decompresses the first of the zlib streams, and leaves the others.
fn stream(rest: &mut &'static [u8]) -> io::Result<Vec<u8>> {
    let mut decoder = ZlibDecoder::new(*rest);
    let mut bytes = Vec::new();
    decoder.read_to_end(&mut bytes)?;
    *rest = decoder.into_inner();
    Ok(bytes)
}

/// These bytes, if they are as many as they have to be.
fn exactly(bytes: Vec<u8>, count: usize) -> io::Result<Vec<u8>> {
    if bytes.len() == count {
        Ok(bytes)
    } else {
        Err(damaged())
    }
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the embedded MNIST is damaged")
}
