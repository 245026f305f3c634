//! An allocator that counts. It sees the whole program, so a program that uses it has a single test.
#![allow(unsafe_code)] // An allocator is unsafe to write; everything but the counting is the system's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);
/// Bytes in use, and the most that ever were.
static USED: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is the system's allocator's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        let used = USED.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(used, Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        USED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often any thread allocated memory meanwhile, and by how many bytes the memory in use grew at most.
pub fn allocated(work: impl FnOnce()) -> (usize, usize) {
    let (count, used) = (COUNT.load(Ordering::Relaxed), USED.load(Ordering::Relaxed));
    MOST.store(used, Ordering::Relaxed);
    work();
    (
        COUNT.load(Ordering::Relaxed) - count,
        MOST.load(Ordering::Relaxed) - used,
    )
}
