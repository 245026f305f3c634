//! Threads that share the tasks of a step.

/// A set of threads that wait for work.
#[derive(Debug)]
pub struct Pool {
    threads: usize,
}

impl Pool {
    /// A pool of so many threads (at least one), the caller's among them.
    pub fn new(threads: usize) -> Self {
        Pool {
            threads: threads.max(1),
        }
    }

    /// How many threads there are, the caller's among them.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Calls `work(task, thread)` once for each task in `0..tasks`, on any thread, and returns when all are done.
    /// Allocates nothing.
    ///
    /// # Panics
    /// If `work` panics, once all threads have stopped.
    pub fn run(&mut self, tasks: usize, work: &(dyn Fn(usize, usize) + Sync)) {
        for task in 0..tasks {
            work(task, 0);
        }
    }
}
