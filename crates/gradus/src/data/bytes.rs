//! Samples kept as bytes.

use gradus_kernels::vectorize;

use super::{Dataset, Pixels, Target, Targets, check_index, check_labels, check_names, check_room};
use crate::{Error, Float, Result, Shape};

/// A data set of classes whose samples are kept as bytes, as images are: a byte is read as `byte / 255`, a value
/// from 0 to 1. MNIST takes 47 MB so, a quarter of what it would take as 32-bit numbers. Images that have more levels than
/// a byte are kept as words of 16 bits, read as `word / 65535`.
///
/// ```
/// use gradus::data::{Bytes, Dataset};
/// let pixels = vec![0, 255, 51, 0, 255, 255, 0, 0]; // two images of 2×2
/// let data = Bytes::new([1, 2, 2], pixels, [3, 7], 10)?;
/// let mut x = [0.0; 4];
/// data.read(0, &mut x)?;
/// assert_eq!(x, [0.0, 1.0, 0.2, 0.0]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Bytes {
    shape: Shape,
    samples: Pixels,
    labels: Vec<usize>,
    classes: usize,
    maximum: u16,
    names: Option<Vec<String>>,
}

impl Bytes {
    /// Samples of this shape, one after the other, with a class each, from 0 to `classes` - 1.
    ///
    /// # Errors
    /// If there are no samples, the bytes are not a whole number of samples, the numbers of samples and labels differ, or a
    /// label is out of range.
    pub fn new(
        shape: impl Into<Shape>,
        samples: Vec<u8>,
        labels: impl IntoIterator<Item = usize>,
        classes: usize,
    ) -> Result<Self> {
        Self::from_pixels(shape, Pixels::Bytes(samples), labels, classes)
    }

    /// Samples of this shape, of 8 or of 16 bits a value, as [`new`](Bytes::new) takes them.
    ///
    /// # Errors
    /// As [`new`](Bytes::new).
    pub fn from_pixels(
        shape: impl Into<Shape>,
        samples: Pixels,
        labels: impl IntoIterator<Item = usize>,
        classes: usize,
    ) -> Result<Self> {
        let shape = shape.into();
        let size = shape.size();
        if size == 0 || !samples.len().is_multiple_of(size) {
            let unit = if samples.as_bytes().is_some() { "bytes" } else { "words" };
            return Err(Error::data(format!(
                "{} {unit} are not a whole number of samples of shape {shape} ({size} {unit})",
                samples.len()
            )));
        }
        let labels = labels.into_iter().collect::<Vec<_>>();
        check_labels(&labels, samples.len() / size, classes)?;
        Ok(Bytes {
            shape,
            maximum: samples.maximum(),
            samples,
            labels,
            classes,
            names: None,
        })
    }

    /// The same set with names for its classes.
    ///
    /// # Errors
    /// If there is not one name for each class.
    pub fn with_class_names(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Result<Self> {
        let names = names.into_iter().map(Into::into).collect::<Vec<_>>();
        check_names(&names, self.classes)?;
        self.names = Some(names);
        Ok(self)
    }

    /// The same set, its values read as `value / maximum`: 4,095 for images of 12 bits that came in words of 16.
    ///
    /// # Errors
    /// If the maximum is 0 or a value is greater.
    pub fn with_maximum(mut self, maximum: u16) -> Result<Self> {
        if maximum == 0 {
            return Err(Error::invalid(
                "the maximum of the values is 0, and values are divided by it",
            ));
        }
        let greater = match &self.samples {
            Pixels::Bytes(values) => first_above(values, maximum),
            Pixels::Words(values) => first_above(values, maximum),
        };
        if let Some((i, value)) = greater {
            return Err(Error::data(format!(
                "sample {} has the value {value}, above the maximum of {maximum}",
                i / self.shape.size(),
            )));
        }
        self.maximum = maximum;
        Ok(self)
    }

    /// The values of all samples, one sample after the other.
    pub fn pixels(&self) -> &Pixels {
        &self.samples
    }

    /// The classes of all samples.
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }
}

impl Dataset for Bytes {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn shape(&self) -> Shape {
        self.shape.clone()
    }

    fn targets(&self) -> Targets {
        Targets::Classes(self.classes)
    }

    fn read(&self, index: usize, x: &mut [Float]) -> Result<()> {
        check_index(index, self.len())?;
        check_room(x.len(), self.shape.size())?;
        let start = index * x.len();
        match (&self.samples, u8::try_from(self.maximum)) {
            (Pixels::Bytes(bytes), Ok(maximum)) => {
                let (high, low) = inverse(maximum);
                vectorize!(|| {
                    for (x, &byte) in x.iter_mut().zip(&bytes[start..]) {
                        let byte = Float::from(byte);
                        *x = byte * high + byte * low;
                    }
                });
            }
            (Pixels::Bytes(bytes), _) => divide(&bytes[start..], self.maximum, x),
            (Pixels::Words(words), _) => divide(&words[start..], self.maximum, x),
        }
        Ok(())
    }

    fn prefetch(&self, index: usize) {
        let bytes = self.samples.as_bytes();
        if let Some(sample) = bytes.and_then(|bytes| bytes.chunks_exact(self.shape.size()).nth(index)) {
            gradus_kernels::prefetch(sample);
        }
    }

    fn target(&self, index: usize) -> Target<'_> {
        self.labels
            .get(index)
            .map_or(Target::NONE, |&label| Target::Class(label))
    }

    fn class_names(&self) -> Option<&[String]> {
        self.names.as_deref()
    }
}

/// The position and the value of the first that is greater than the maximum.
fn first_above<T: Copy + Into<u16>>(values: &[T], maximum: u16) -> Option<(usize, u16)> {
    let mut values = values.iter().map(|&value| value.into()).enumerate();
    values.find(|&(_, value)| value > maximum)
}

/// Writes values divided by the maximum.
fn divide<T: Copy + Into<Float>>(values: &[T], maximum: u16, x: &mut [Float]) {
    let maximum = Float::from(maximum);
    vectorize!(|| {
        for (x, &value) in x.iter_mut().zip(values) {
            *x = value.into() / maximum;
        }
    });
}

/// 1/m as a sum of two numbers with which a byte b is divided in three fast operations: b·high + b·low = b/m, rounded as a division
/// would.
///
/// `high` has 16 bits (G. Veltkamp's splitting), so that b·high is exact, and `low` is by so much smaller that its roundings
/// stay far below the distance of a quotient of bytes from the middle of two numbers.
fn inverse(m: u8) -> (Float, Float) {
    let m = Float::from(m);
    let rounded = (1.0 / m) * ((1_u64 << (Float::MANTISSA_DIGITS - 16)) as Float + 1.0);
    let high = rounded - (rounded - 1.0 / m);
    (high, (1.0 - high * m) / m)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_divided_exactly() {
        for m in 1..=255_u8 {
            let (high, low) = inverse(m);
            for byte in (0..=255_u8).map(Float::from) {
                assert_eq!(byte * high + byte * low, byte / Float::from(m), "{byte} / {m}");
            }
        }
    }

    #[test]
    fn samples_that_are_not_there_have_no_target() {
        let data = Bytes::new([2], vec![0; 4], [0, 1], 2).unwrap();
        assert_eq!(data.target(1), Target::Class(1));
        for index in [2, 99, usize::MAX] {
            assert_eq!(data.target(index), Target::NONE);
            assert!(data.read(index, &mut [0.0; 2]).is_err());
            data.prefetch(index);
        }
    }

    #[test]
    fn reads_every_byte_as_a_fraction_of_the_maximum() {
        let data = Bytes::new([256], (0..=255).collect(), [0], 1).unwrap();
        let mut x = [0.0; 256];
        data.read(0, &mut x).unwrap();
        assert!((0..256).all(|i| x[i] == i as Float / 255.0));
        let data = Bytes::new(2, vec![0, 16, 8, 4], [0, 1], 2)
            .unwrap()
            .with_maximum(16)
            .unwrap();
        let mut x = [0.0; 2];
        data.read(1, &mut x).unwrap();
        assert_eq!(x, [0.5, 0.25]);
        assert_eq!(
            (data.len(), data.target(1), data.targets()),
            (2, Target::Class(1), Targets::Classes(2))
        );
    }

    #[test]
    fn words_keep_every_level() {
        let words = Pixels::Words((0..=u16::MAX).collect());
        let data = Bytes::from_pixels([65_536], words, [0], 1).unwrap();
        let mut x = vec![0.0; 65_536];
        data.read(0, &mut x).unwrap();
        assert!((0..65_536).all(|i| x[i] == i as Float / 65_535.0));
        assert!(
            data.clone()
                .with_maximum(4095)
                .unwrap_err()
                .to_string()
                .contains("value 4096")
        );

        let data = Bytes::from_pixels([2], Pixels::Words(vec![0, 4095, 1, 2048]), [0, 0], 1).unwrap();
        let data = data.with_maximum(4095).unwrap();
        let mut x = [0.0; 2];
        data.read(1, &mut x).unwrap();
        assert_eq!(x, [1.0 / 4095.0, 2048.0 / 4095.0]);
        let bytes = Bytes::new([2], vec![0, 255], [0], 1)
            .unwrap()
            .with_maximum(1000)
            .unwrap();
        bytes.read(0, &mut x).unwrap();
        assert_eq!(x, [0.0, 0.255]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let make = |bytes: usize, labels: &[usize], shape: [usize; 2]| {
            Bytes::new(shape, vec![9; bytes], labels.iter().copied(), 3)
                .map(|_| ())
                .map_err(|e| e.to_string())
        };
        assert_eq!(make(8, &[0, 2], [2, 2]), Ok(()));
        assert!(
            make(7, &[0], [2, 2])
                .unwrap_err()
                .contains("7 bytes are not a whole number of samples of shape 2×2")
        );
        assert!(make(8, &[0], [2, 0]).unwrap_err().contains("whole number"));
        assert!(make(0, &[], [2, 2]).unwrap_err().contains("empty"));
        assert!(make(8, &[0], [2, 2]).unwrap_err().contains("2 samples and 1 labels"));
        assert!(
            make(8, &[0, 3], [2, 2])
                .unwrap_err()
                .contains("sample 1 has the label 3")
        );
        let data = Bytes::new(2, vec![0, 1, 2, 17], [0, 1], 2).unwrap();
        let error = data.clone().with_maximum(16).unwrap_err();
        assert_eq!(error.to_string(), "sample 1 has the value 17, above the maximum of 16");
        assert!(data.clone().with_maximum(0).is_err());
        assert!(data.with_class_names(["one"]).is_err());
    }
}
