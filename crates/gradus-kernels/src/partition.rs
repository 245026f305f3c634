//! A slice cut into pieces that threads take one by one.

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where a slice is cut: piece i is `bounds[i]..bounds[i + 1]`. Made once and used at every step, so that cutting
/// allocates nothing.
#[derive(Debug)]
pub struct Partition {
    bounds: Vec<usize>,
    taken: Vec<AtomicBool>,
}

impl Partition {
    /// Cuts at these bounds: from 0 to the slice's length, ascending.
    ///
    /// # Panics
    /// If the bounds are empty, don't start at 0, or descend somewhere.
    pub fn new(bounds: Vec<usize>) -> Self {
        assert!(
            bounds.first() == Some(&0) && bounds.is_sorted(),
            "bounds must ascend from 0"
        );
        let taken = (1..bounds.len()).map(|_| AtomicBool::new(false)).collect();
        Partition { bounds, taken }
    }

    /// Cuts a slice of `n` into single elements.
    pub fn singles(n: usize) -> Self {
        Self::new((0..=n).collect())
    }

    /// Cuts a slice of `length` into pieces of `size`, of which the last may be smaller. Allocates only for more pieces than
    /// there ever were.
    pub fn space_evenly(&mut self, length: usize, size: usize) {
        let count = length.div_ceil(size.max(1));
        self.bounds.clear();
        self.bounds
            .extend((0..=count).map(|i| length.min(i.saturating_mul(size))));
        self.taken.resize_with(count, AtomicBool::default);
    }

    /// The number of pieces.
    pub fn count(&self) -> usize {
        self.taken.len()
    }

    /// The slice, cut.
    ///
    /// # Panics
    /// If the slice does not end where the last piece does.
    pub fn cut<'a, T>(&'a mut self, slice: &'a mut [T]) -> DisjointChunks<'a, T> {
        assert_eq!(
            slice.len(),
            self.bounds[self.bounds.len() - 1],
            "the slice ends where the cuts end"
        );
        for taken in &mut self.taken {
            *taken.get_mut() = false;
        }
        // SAFETY: `UnsafeCell<T>` has the layout of `T`, and the exclusive borrow lasts as long as the result.
        let slice = unsafe { &*(std::ptr::from_mut(slice) as *const [UnsafeCell<T>]) };
        DisjointChunks { slice, cuts: self }
    }
}

/// A slice cut into pieces, each held by one thread at a time.
#[derive(Debug)]
pub struct DisjointChunks<'a, T> {
    slice: &'a [UnsafeCell<T>],
    cuts: &'a Partition,
}

// SAFETY: threads reach the elements only through pieces, which never overlap and are held one at a time.
unsafe impl<T: Send> Sync for DisjointChunks<'_, T> {}

impl<T> DisjointChunks<'_, T> {
    /// Takes piece `i`, until the guard is dropped.
    ///
    /// # Panics
    /// If it is held already.
    pub fn take(&self, i: usize) -> DisjointChunk<'_, T> {
        let taken = &self.cuts.taken[i];
        assert!(!taken.swap(true, Ordering::Acquire), "piece {i} is held already");
        let cells = &self.slice[self.cuts.bounds[i]..self.cuts.bounds[i + 1]];
        let start = NonNull::from(cells).cast::<T>();
        DisjointChunk {
            values: NonNull::slice_from_raw_parts(start, cells.len()),
            taken,
            borrow: PhantomData,
        }
    }
}

/// A piece of a slice, held by one thread.
// A pointer and not a `&mut [T]`: a reference handed to a function must stay the only one until that function returns, but
// `drop(piece)` lets the next thread in before it returns.
#[derive(Debug)]
pub struct DisjointChunk<'a, T> {
    values: NonNull<[T]>,
    taken: &'a AtomicBool,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: a piece is as good as a `&mut [T]`.
unsafe impl<T: Send> Send for DisjointChunk<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for DisjointChunk<'_, T> {}

impl<T> Deref for DisjointChunk<'_, T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: the elements live for 'a; the flag lets only this piece reach them, and pieces don't overlap.
        unsafe { self.values.as_ref() }
    }
}

impl<T> DerefMut for DisjointChunk<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and `self` is borrowed exclusively.
        unsafe { self.values.as_mut() }
    }
}

impl<T> Drop for DisjointChunk<'_, T> {
    fn drop(&mut self) {
        self.taken.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pool;

    #[test]
    fn pieces_cover_the_slice() {
        let mut values: Vec<usize> = (0..10).collect();
        let mut cuts = Partition::new(vec![0, 3, 3, 10]);
        assert_eq!(cuts.count(), 3);
        let pieces = cuts.cut(&mut values);
        assert_eq!(*pieces.take(0), [0, 1, 2]);
        assert!(pieces.take(1).is_empty());
        pieces.take(2)[6] = 90;
        assert_eq!(values[9], 90);
    }

    #[test]
    fn cuts_can_be_spaced_anew() {
        let mut values: Vec<usize> = (0..10).collect();
        let mut cuts = Partition::singles(4);
        for (length, size, count) in [(10, 3, 4), (9, 3, 3), (2, 5, 1), (0, 5, 0), (10, 1, 10)] {
            cuts.space_evenly(length, size);
            assert_eq!(cuts.count(), count);
            let pieces = cuts.cut(&mut values[..length]);
            let all: Vec<usize> = (0..count).flat_map(|i| pieces.take(i).to_vec()).collect();
            assert!(all.into_iter().eq(0..length));
        }
    }

    #[test]
    fn threads_write_their_pieces() {
        let mut pool = Pool::new(4);
        let mut values = vec![0usize; 1000];
        let mut cuts = Partition::new((0..=100).map(|i| 10 * i).collect());
        for round in 1..=50 {
            let pieces = cuts.cut(&mut values);
            pool.run(100, &|task, _| {
                for (i, value) in pieces.take(task).iter_mut().enumerate() {
                    *value += 10 * task + i;
                }
            });
            assert!(values.iter().enumerate().all(|(i, &v)| v == round * i));
        }
    }

    #[test]
    fn a_piece_passes_from_thread_to_thread() {
        let mut pool = Pool::new(4);
        let mut count = [0usize];
        let mut cuts = Partition::singles(1);
        let pieces = cuts.cut(&mut count);
        let turn = AtomicBool::new(false);
        pool.run(1000, &|_, _| {
            while turn.swap(true, Ordering::Acquire) {
                std::hint::spin_loop();
            }
            let mut piece = pieces.take(0);
            piece[0] += 1;
            drop(piece);
            turn.store(false, Ordering::Release);
        });
        assert_eq!(count, [1000]);
    }

    #[test]
    fn flags_left_by_forgotten_guards_are_reset() {
        let mut values = [1, 2];
        let mut cuts = Partition::singles(2);
        std::mem::forget(cuts.cut(&mut values).take(0));
        assert_eq!(*cuts.cut(&mut values).take(0), [1]);
    }

    #[test]
    #[should_panic(expected = "piece 1 is held already")]
    fn a_held_piece_is_not_given_again() {
        let mut values = [1, 2];
        let mut cuts = Partition::singles(2);
        let pieces = cuts.cut(&mut values);
        let _first = pieces.take(1);
        let _second = pieces.take(1);
    }

    #[test]
    #[should_panic(expected = "ascend")]
    fn descending_bounds_are_refused() {
        Partition::new(vec![0, 5, 3]);
    }

    #[test]
    #[should_panic(expected = "the slice ends where the cuts end")]
    fn a_slice_of_another_length_is_refused() {
        Partition::new(vec![0, 5]).cut(&mut [0; 6]);
    }
}
