//! The planes of an image: one for each channel.

use crate::data::Pixels;

impl Pixels {
    /// Frees the memory that growing has left over.
    pub(in crate::data) fn shrink_to_fit(&mut self) {
        match self {
            Pixels::Bytes(values) => values.shrink_to_fit(),
            Pixels::Words(values) => values.shrink_to_fit(),
        }
    }

    /// The values at these positions, in this order.
    pub(in crate::data) fn permuted(&self, positions: impl Iterator<Item = usize>) -> Pixels {
        match self {
            Pixels::Bytes(values) => Pixels::Bytes(positions.map(|i| values[i]).collect()),
            Pixels::Words(values) => Pixels::Words(positions.map(|i| values[i]).collect()),
        }
    }

    /// The luma of three planes, one after the other: 0.299 red + 0.587 green + 0.114 blue, rounded.
    pub(in crate::data) fn luma(&self) -> Pixels {
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
