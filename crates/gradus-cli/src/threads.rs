//! How many threads training uses, which may be fewer than were asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gradus::callback::{Callback, Start};
use gradus::{Network, Result};

/// The number of threads of a training, once it has begun.
#[derive(Debug, Clone, Default)]
pub struct ThreadsUsed(Arc<AtomicUsize>);

impl ThreadsUsed {
    /// The number.
    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Callback for ThreadsUsed {
    fn on_start(&mut self, start: &Start<'_>, _: &Network) -> Result<()> {
        self.0.store(start.threads, Ordering::Relaxed);
        Ok(())
    }
}
