//! A slice cut into pieces that threads take one by one.

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};

/// Where a slice is cut: piece i is `bounds[i]..bounds[i + 1]`. Made once and used at every step, so that cutting
/// allocates nothing.
#[derive(Debug)]
pub struct Cuts {
    bounds: Vec<usize>,
    taken: Vec<AtomicBool>,
}

impl Cuts {
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
        Cuts { bounds, taken }
    }

    /// Cuts a slice of `n` into single elements.
    pub fn singles(n: usize) -> Self {
        Self::new((0..=n).collect())
    }

    /// The number of pieces.
    pub fn count(&self) -> usize {
        self.taken.len()
    }

    /// The slice, cut.
    ///
    /// # Panics
    /// If the slice does not end where the last piece does.
    pub fn cut<'a, T>(&'a mut self, slice: &'a mut [T]) -> Pieces<'a, T> {
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
        Pieces { slice, cuts: self }
    }
}

/// A slice cut into pieces, each held by one thread at a time.
#[derive(Debug)]
pub struct Pieces<'a, T> {
    slice: &'a [UnsafeCell<T>],
    cuts: &'a Cuts,
}

// SAFETY: threads reach the elements only through pieces, which never overlap and are held one at a time.
unsafe impl<T: Send> Sync for Pieces<'_, T> {}

impl<T> Pieces<'_, T> {
    /// Takes piece `i`, until the guard is dropped.
    ///
    /// # Panics
    /// If it is held already.
    pub fn take(&self, i: usize) -> Piece<'_, T> {
        let taken = &self.cuts.taken[i];
        assert!(!taken.swap(true, Ordering::Acquire), "piece {i} is held already");
        let cells = &self.slice[self.cuts.bounds[i]..self.cuts.bounds[i + 1]];
        // SAFETY: the flag makes this the only reference to these elements, and pieces don't overlap.
        let values = unsafe { std::slice::from_raw_parts_mut(cells.as_ptr() as *mut T, cells.len()) };
        Piece { values, taken }
    }
}

/// A piece of a slice, held by one thread.
#[derive(Debug)]
pub struct Piece<'a, T> {
    values: &'a mut [T],
    taken: &'a AtomicBool,
}

impl<T> Deref for Piece<'_, T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        self.values
    }
}

impl<T> DerefMut for Piece<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        self.values
    }
}

impl<T> Drop for Piece<'_, T> {
    fn drop(&mut self) {
        self.taken.store(false, Ordering::Release);
    }
}
