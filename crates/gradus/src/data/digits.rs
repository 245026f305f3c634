//! Handwritten digits, in the library itself: for examples and tests that need real data and no download.
//!
//! The 1,797 images of 8×8 gray values from 0 to 16 are the test set of "Optical Recognition of Handwritten Digits"
//! (Alpaydin and Kaynak, 1998, UCI Machine Learning Repository, <https://doi.org/10.24432/C50P49>), which many know as
//! scikit-learn's `load_digits`. Each value counts the ink in a block of 4×4 points of a 32×32 scan. The data are licensed
//! under [CC BY 4.0](https://creativecommons.org/licenses/by/4.0/).

use super::{Bytes, idx};
use crate::Result;

/// How many of the digits, the first ones, [`load`] gives for training.
pub const TRAINING: usize = 1437;

const IMAGES: &[u8] = include_bytes!("../../data/digits-images-idx3-ubyte.gz");
const LABELS: &[u8] = include_bytes!("../../data/digits-labels-idx1-ubyte.gz");

/// All 1,797 digits, in the order of the original file: samples of shape 1×8×8 with values from 0 to 1 (sixteenths).
///
/// ```
/// use gradus::data::{Dataset, digits};
/// let digits = digits::all()?;
/// assert_eq!((digits.len(), digits.shape().to_string()), (1797, "1×8×8".to_string()));
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Errors
/// None, as the data are part of the library.
pub fn all() -> Result<Bytes> {
    part(0, usize::MAX)
}

/// The digits for training and for testing: the first 1,437 and the last 360, always the same. It is a harder
/// division than a random one, which mixes the digits of each writer: the nearest neighbor among the training digits is of
/// another class for 4.4 % of the test digits, and for about 1 % of a random fifth.
///
/// # Errors
/// None, as the data are part of the library.
pub fn load() -> Result<(Bytes, Bytes)> {
    Ok((part(0, TRAINING)?, part(TRAINING, usize::MAX)?))
}

/// The digits from one position to before another.
fn part(start: usize, end: usize) -> Result<Bytes> {
    let (images, labels) = (idx::parse(IMAGES)?.bytes, idx::parse(LABELS)?.bytes);
    let end = end.min(labels.len());
    let labels = labels[start..end].iter().map(|&label| usize::from(label));
    Bytes::new([1, 8, 8], images[64 * start..64 * end].to_vec(), labels, 10)?.with_maximum(16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Float;
    use crate::data::{Dataset, Target};

    #[test]
    fn are_the_digits() {
        let digits = all().unwrap();
        assert_eq!(digits.len(), 1797);
        // The first row of the original file.
        assert_eq!(
            digits.pixels().as_bytes().unwrap()[..16],
            [0, 0, 5, 13, 9, 1, 0, 0, 0, 0, 13, 15, 10, 15, 5, 0]
        );
        assert_eq!(digits.labels()[..12], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]);
        // How often each digit appears in the test set, from the repository's description.
        let counts = std::array::from_fn(|class| digits.labels().iter().filter(|&&l| l == class).count());
        assert_eq!(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
        let mut x = [0.0; 64];
        digits.read(0, &mut x).unwrap();
        assert_eq!(x[3], 13.0 as Float / 16.0);
    }

    #[test]
    fn training_and_test_are_all() {
        let (train, test) = load().unwrap();
        assert_eq!((train.len(), test.len()), (1437, 360));
        let values = |data: &Bytes| data.pixels().to_floats();
        assert_eq!([values(&train), values(&test)].concat(), values(&all().unwrap()));
        assert_eq!(test.target(359), Target::Class(8));
    }
}
