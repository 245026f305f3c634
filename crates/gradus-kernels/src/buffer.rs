//! Memory for numbers that begins where a cache line does.

use std::ops::{Deref, DerefMut};

use crate::Float;

/// How many numbers a line holds.
const LINE: usize = 64 / size_of::<Float>();

/// A cache line: as long as the longest vector, too.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([Float; LINE]);

/// A slice of numbers of its own, of a length that is given once. It begins at a multiple of 64 bytes: a vector loaded from a
/// multiple of its own length lies in one cache line, not across two.
///
/// ```
/// let mut x = gradus_kernels::Buffer::zeros(3);
/// x[2] = 1.5;
/// assert_eq!(*x, [0.0, 0.0, 1.5]);
/// assert!(x.as_ptr().addr().is_multiple_of(64));
/// ```
#[derive(Clone, Default)]
pub struct Buffer {
    lines: Vec<Line>,
    length: usize,
}

impl Buffer {
    /// So many zeros.
    pub fn zeros(length: usize) -> Self {
        Buffer {
            lines: vec![Line([0.0; LINE]); length.div_ceil(LINE)],
            length,
        }
    }
}

impl Deref for Buffer {
    type Target = [Float];
    fn deref(&self) -> &[Float] {
        // SAFETY: a line has the layout of its array, and there are lines for so many numbers.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.length) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [Float] {
        // SAFETY: as above, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.length) }
    }
}

impl PartialEq for Buffer {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_slice_of_its_length_where_a_line_begins() {
        for length in [0, 1, LINE - 1, LINE, LINE + 1, 1000] {
            let mut x = Buffer::zeros(length);
            assert_eq!((x.len(), x.as_ptr().addr() % 64), (length, 0));
            for (i, x) in x.iter_mut().enumerate() {
                assert_eq!(*x, 0.0);
                *x = i as Float;
            }
            let copy = x.clone();
            assert_eq!((copy.as_ptr().addr() % 64, &copy), (0, &x));
            assert!(copy.iter().enumerate().all(|(i, x)| *x == i as Float));
        }
        assert_eq!(Buffer::default().len(), 0);
    }
}
