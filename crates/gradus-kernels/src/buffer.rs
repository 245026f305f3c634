//! Memory that begins on a cache line.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use crate::Float;

/// The size of a cache line, and of the widest vector.
const LINE: usize = 64;

/// A slice of numbers that begins on a cache line, so that no vector of a row of them straddles two.
///
/// ```
/// let mut buffer = gradus_kernels::Buffer::zeros(100);
/// buffer[99] = 1.0;
/// assert_eq!(buffer.len(), 100);
/// assert_eq!(buffer.as_ptr() as usize % 64, 0);
/// ```
pub struct Buffer {
    start: NonNull<Float>,
    length: usize,
}

// SAFETY: a buffer owns its numbers, as a boxed slice does.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// So many zeros. What is never written takes no memory, where the system gives it page by page.
    ///
    /// # Panics
    /// If there is no such memory.
    pub fn zeros(length: usize) -> Self {
        if length == 0 {
            return Buffer {
                start: NonNull::dangling(),
                length,
            };
        }
        let layout = Self::layout(length);
        // SAFETY: the size is not 0.
        let memory = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(memory.cast()) else {
            handle_alloc_error(layout)
        };
        Buffer { start, length }
    }

    fn layout(length: usize) -> Layout {
        let bytes = length.checked_mul(size_of::<Float>());
        bytes
            .and_then(|bytes| Layout::from_size_align(bytes, LINE).ok())
            .expect("a buffer fits the address space")
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.length > 0 {
            // SAFETY: it was allocated with this layout.
            unsafe { dealloc(self.start.as_ptr().cast(), Self::layout(self.length)) }
        }
    }
}

impl Deref for Buffer {
    type Target = [Float];
    fn deref(&self) -> &[Float] {
        // SAFETY: so many numbers are there, all of them initialized; an empty slice may dangle.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [Float] {
        // SAFETY: as in `deref`, and they are borrowed as the buffer is.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl Default for Buffer {
    fn default() -> Self {
        Buffer::zeros(0)
    }
}

impl PartialEq for Buffer {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        let mut copy = Buffer::zeros(self.length);
        copy.copy_from_slice(self);
        copy
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_zero_aligned_and_their_own() {
        for length in [0, 1, 15, 16, 17, 100_000] {
            let mut a = Buffer::zeros(length);
            assert_eq!(a.len(), length);
            assert!(length == 0 || a.as_ptr().addr().is_multiple_of(LINE));
            assert!(a.iter().all(|&x| x == 0.0));
            let b = a.clone();
            a.fill(1.0);
            assert!(b.iter().all(|&x| x == 0.0) && a.iter().all(|&x| x == 1.0));
        }
    }
}
