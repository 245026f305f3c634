//! The values of pixels, as small as they came.

use crate::Float;

/// Whole numbers of 8 or of 16 bits: the values of pixels as an image file has them.
///
/// A value `v` stands for `v / maximum`: 255 in 8 bits and 65,535 in 16 bits are both 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pixels {
    /// Values from 0 to 255.
    Bytes(Vec<u8>),
    /// Values from 0 to 65,535.
    Words(Vec<u16>),
}

impl Pixels {
    /// The number of values.
    pub fn len(&self) -> usize {
        match self {
            Pixels::Bytes(values) => values.len(),
            Pixels::Words(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The largest value that the type holds: 255 or 65,535.
    pub fn maximum(&self) -> u16 {
        match self {
            Pixels::Bytes(_) => u8::MAX.into(),
            Pixels::Words(_) => u16::MAX,
        }
    }

    /// The values, if they have 8 bits.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Pixels::Bytes(values) => Some(values),
            Pixels::Words(_) => None,
        }
    }

    /// All values divided by [`maximum`](Pixels::maximum), from 0 to 1.
    pub fn to_floats(&self) -> Vec<Float> {
        match self {
            Pixels::Bytes(values) => values.iter().map(|&v| Float::from(v) / 255.0).collect(),
            Pixels::Words(values) => values.iter().map(|&v| Float::from(v) / 65_535.0).collect(),
        }
    }

    /// Appends other values. If one of the two has 16 bits, all have afterward: a byte `b` becomes 257·b, which is the same
    /// fraction of the maximum.
    pub fn append(&mut self, other: &Pixels) {
        match (&mut *self, other) {
            (Pixels::Bytes(values), Pixels::Bytes(more)) => values.extend_from_slice(more),
            (Pixels::Words(values), Pixels::Words(more)) => values.extend_from_slice(more),
            (Pixels::Words(values), Pixels::Bytes(more)) => values.extend(more.iter().map(widened)),
            (Pixels::Bytes(values), Pixels::Words(more)) => {
                let mut wide = values.iter().map(widened).collect::<Vec<_>>();
                wide.extend_from_slice(more);
                *self = Pixels::Words(wide);
            }
        }
    }

    /// Frees the memory that growing has left over.
    pub(crate) fn shrink_to_fit(&mut self) {
        match self {
            Pixels::Bytes(values) => values.shrink_to_fit(),
            Pixels::Words(values) => values.shrink_to_fit(),
        }
    }

    /// The values at these positions, in this order.
    pub(super) fn permuted(&self, positions: impl Iterator<Item = usize>) -> Pixels {
        match self {
            Pixels::Bytes(values) => Pixels::Bytes(positions.map(|i| values[i]).collect()),
            Pixels::Words(values) => Pixels::Words(positions.map(|i| values[i]).collect()),
        }
    }

    /// The luma of three planes, one after the other: 0.299 red + 0.587 green + 0.114 blue, rounded.
    pub(super) fn luma(&self) -> Pixels {
        match self {
            Pixels::Bytes(values) => Pixels::Bytes(luma(values, |v| v as u8)),
            Pixels::Words(values) => Pixels::Words(luma(values, |v| v as u16)),
        }
    }

    /// Each plane of `size` values three times: gray images as RGB.
    pub(in crate::data) fn repeated(&self, size: usize) -> Pixels {
        match self {
            Pixels::Bytes(values) => Pixels::Bytes(repeated(values, size)),
            Pixels::Words(values) => Pixels::Words(repeated(values, size)),
        }
    }
}

/// A byte as the same fraction of 65,535.
fn widened(byte: &u8) -> u16 {
    257 * u16::from(*byte)
}

fn repeated<T: Copy>(values: &[T], size: usize) -> Vec<T> {
    values
        .chunks_exact(size)
        .flat_map(|plane| [plane; 3])
        .flatten()
        .copied()
        .collect()
}

fn luma<T: Copy + Into<u32>>(planes: &[T], narrow: impl Fn(u32) -> T) -> Vec<T> {
    let plane = planes.len() / 3;
    let (red, rest) = planes.split_at(plane);
    let (green, blue) = rest.split_at(plane);
    let luma = |((&r, &g), &b): ((&T, &T), &T)| narrow((299 * r.into() + 587 * g.into() + 114 * b.into() + 500) / 1000);
    red.iter().zip(green).zip(blue).map(luma).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_words_stand_for_the_same_fractions() {
        let bytes = Pixels::Bytes(vec![0, 1, 128, 255]);
        let mut all = Pixels::Words(vec![]);
        all.append(&bytes);
        assert_eq!(all, Pixels::Words(vec![0, 257, 32_896, 65_535]));
        assert_eq!(all.to_floats(), bytes.to_floats());
        let mut grown = bytes.clone();
        grown.append(&Pixels::Words(vec![1]));
        assert_eq!(grown, Pixels::Words(vec![0, 257, 32_896, 65_535, 1]));
        assert_eq!(grown.to_floats()[4], 1.0 / 65_535.0);
        grown.append(&Pixels::Bytes(vec![2]));
        assert_eq!((grown.len(), grown.maximum(), grown.as_bytes()), (6, 65_535, None));
    }
}
