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
}

/// A byte as the same fraction of 65,535.
fn widened(byte: &u8) -> u16 {
    257 * u16::from(*byte)
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
