//! Parts of slices that are borrowed again and again.

use std::ops::Range;

/// Ranges of two slices, none of which overlap: checked once, so that borrowing all of them at once takes no time.
#[derive(Debug, Clone, Copy)]
pub struct DisjointRanges<const N: usize> {
    spans: [Span; N],
    /// How long each slice has to be.
    lengths: [usize; 2],
}

#[derive(Debug, Clone, Copy)]
struct Span {
    slice: usize,
    start: usize,
    length: usize,
}

impl<const N: usize> DisjointRanges<N> {
    /// Ranges of slice 0 or 1; empty ones may lie anywhere.
    ///
    /// # Panics
    /// If two of them overlap, one ends before it starts, or there is another slice.
    pub fn new(ranges: [(usize, Range<usize>); N]) -> Self {
        let mut lengths = [0; 2];
        for (i, (slice, range)) in ranges.iter().enumerate() {
            assert!(range.start <= range.end, "span {i} ends before it starts");
            assert!(*slice < 2, "span {i} is of slice {slice}, and there are 0 and 1");
            lengths[*slice] = range.end.max(lengths[*slice]);
            for (j, (other, taken)) in ranges[..i].iter().enumerate() {
                let apart = range.end <= taken.start || taken.end <= range.start;
                let empty = range.is_empty() || taken.is_empty();
                assert!(slice != other || apart || empty, "spans {j} and {i} overlap");
            }
        }
        let spans = ranges.map(|(slice, range)| Span {
            slice,
            start: range.start,
            length: range.len(),
        });
        DisjointRanges { spans, lengths }
    }

    /// The ranges of these slices.
    ///
    /// ```
    /// use gradus_kernels::DisjointRanges;
    /// let spans = DisjointRanges::new([(0, 1..3), (1, 0..1), (0, 0..1)]);
    /// let (mut first, mut second) = ([1, 2, 3, 4], [5]);
    /// let [a, b, c] = spans.borrow(&mut first, &mut second);
    /// assert_eq!((a, b, c), (&mut [2, 3][..], &mut [5][..], &mut [1][..]));
    /// ```
    ///
    /// # Panics
    /// If a slice is too short.
    #[inline]
    pub fn borrow<'a, T>(&self, first: &'a mut [T], second: &'a mut [T]) -> [&'a mut [T]; N] {
        let long_enough = self.lengths[0] <= first.len() && self.lengths[1] <= second.len();
        assert!(long_enough, "a slice is too short for its spans");
        let starts = [first.as_mut_ptr(), second.as_mut_ptr()];
        // SAFETY: the slices are borrowed for as long as the result, it was checked here that they reach so far, and in `new` that
        // no two ranges overlap.
        self.spans
            .map(|span| unsafe { std::slice::from_raw_parts_mut(starts[span.slice].add(span.start), span.length) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_borrowed_is_where_it_was_said_to_be() {
        let (mut first, mut second) = ([0, 1, 2, 3, 4], [5, 6, 7]);
        let spans = DisjointRanges::new([(1, 1..3), (0, 3..5), (0, 0..0), (0, 0..3)]);
        let [a, b, c, d] = spans.borrow(&mut first, &mut second);
        assert_eq!(
            (&*a, &*b, &*c, &*d),
            (&[6, 7][..], &[3, 4][..], &[][..], &[0, 1, 2][..])
        );
        a[1] = 70;
        d[0] = 10;
        assert_eq!((first[0], second[2]), (10, 70));
    }

    #[test]
    #[should_panic(expected = "spans 0 and 2 overlap")]
    fn overlapping_spans_are_refused() {
        DisjointRanges::new([(0, 1..3), (1, 1..3), (0, 2..4)]);
    }

    #[test]
    #[should_panic(expected = "too short")]
    fn a_short_slice_is_refused() {
        DisjointRanges::new([(0, 1..3), (1, 1..3)]).borrow(&mut [0; 3], &mut [0; 2]);
    }
}
