use gradus_kernels::{Buffer, Partition, Pool};

use crate::Float;

/// Threads, each with scratch memory of its own.
#[derive(Debug)]
pub(crate) struct Workers {
    pool: Pool,
    scratch: Buffer,
    cuts: Partition,
}

impl Workers {
    /// `threads` threads, or as many as [`Pool::new`] makes of them, with `scratch` values of scratch memory each.
    pub fn new(threads: usize, scratch: usize) -> Self {
        let pool = Pool::new(threads);
        let threads = pool.threads();
        // Each thread's begins on a cache line of its own.
        let scratch = scratch.next_multiple_of(16);
        Workers {
            pool,
            scratch: Buffer::zeros(scratch * threads),
            cuts: Partition::new((0..=threads).map(|i| i * scratch).collect()),
        }
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// The scratch memory of the only thread, if there is only one: nothing has to be shared out then.
    pub fn single_thread_scratch(&mut self) -> Option<&mut [Float]> {
        (self.threads() == 1).then_some(&mut self.scratch)
    }

    /// Calls `work(task, thread, scratch)` once for every task, on any thread.
    pub fn each(&mut self, tasks: usize, work: &(dyn Fn(usize, usize, &mut [Float]) + Sync)) {
        if let Some(scratch) = self.single_thread_scratch() {
            (0..tasks).for_each(|task| work(task, 0, scratch));
            return;
        }
        let scratch = self.cuts.cut(&mut self.scratch);
        self.pool
            .run(tasks, &|task, thread| work(task, thread, &mut scratch.take(thread)));
    }
}
