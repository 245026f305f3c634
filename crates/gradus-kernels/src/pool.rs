//! Threads that share the tasks of a step.

use std::any::Any;
use std::cell::UnsafeCell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

mod adaptive_threads;

use adaptive_threads::{AdaptiveThreads, Mode};

/// How often a thread looks again before it sleeps: some tens of microseconds, a little more than the time from one
/// parallel part of a training step to the next, and far less than a scheduler's time slice.
const SPINS: u32 = 2000;

/// A set of threads that wait for work.
///
/// Every thread has a share of the tasks, and of the same number of tasks always the same share: what it wrote in one run is
/// still in its cache in the next. Tasks are taken one by one, and a thread that is through with its own takes those of the
/// others: one that is slow, or that the operating system runs late, does fewer of them. The caller works as well and never
/// waits for a thread that has not begun: on a busy machine it simply does more of the tasks itself. And where it would be
/// faster without the others, it does all of them.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<Worker>,
    adaptive: AdaptiveThreads,
}

#[derive(Debug)]
struct Worker {
    asleep: Arc<AtomicBool>,
    handle: JoinHandle<()>,
}

/// What `run` was asked to do. The pointer's target is borrowed by `run`, which doesn't return while any worker is counted
/// in `Shared::state`.
#[derive(Clone, Copy)]
struct Job {
    work: *const (dyn Fn(usize, usize) + Sync),
    tasks: usize,
    /// How many threads have a share of them.
    shares: usize,
}

impl Job {
    /// The tasks of a share.
    fn share(self, i: usize) -> Range<usize> {
        // i · tasks / shares, where the product may be no number.
        let (each, rest) = (self.tasks / self.shares, self.tasks % self.shares);
        let start = |i: usize| i * each + i * rest / self.shares;
        start(i)..start(i + 1)
    }
}

struct Shared {
    /// The number of the job (bits 32 up), whether it is open to workers, whether the caller sleeps, whether the pool ends,
    /// and (the low 24 bits) how many workers are in the job.
    state: AtomicU64,
    /// How many tasks of each share have been taken; on cache lines of their own, since every share's thread writes its own.
    taken: Box<[Lines<AtomicUsize>]>,
    job: UnsafeCell<Option<Job>>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    left: (Mutex<()>, Condvar),
}

#[repr(align(128))]
struct Lines<T>(T);

const INSIDE: u64 = (1 << 24) - 1;
const OPEN: u64 = 1 << 24;
const CALLER_SLEEPS: u64 = 1 << 25;
const END: u64 = 1 << 26;
const NUMBER: u64 = !((1 << 32) - 1);

// SAFETY: `job` is written by the caller of `run` only while `state` is closed with no worker inside, and read by a worker
// only between entering (a compare-exchange on an open state, which acquires the caller's release of it) and leaving (a
// release that the caller acquires before it writes again or returns). The work it points to is `Sync`.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// The most threads of a pool, whatever is asked for: a million would take all memory.
    pub const MOST_THREADS: usize = 1024;

    /// A pool of `threads` threads, the caller's among them: at least 1 and at most [`MOST_THREADS`](Pool::MOST_THREADS), or
    /// fewer if the system grants fewer. [`threads`](Pool::threads) returns their number.
    pub fn new(threads: usize) -> Self {
        let threads = threads.clamp(1, Self::MOST_THREADS);
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            taken: (0..threads).map(|_| Lines(AtomicUsize::new(0))).collect(),
            job: UnsafeCell::new(None),
            panic: Mutex::new(None),
            left: (Mutex::new(()), Condvar::new()),
        });
        let start = |thread: usize| {
            let (shared, asleep) = (Arc::clone(&shared), Arc::new(AtomicBool::new(false)));
            let flag = Arc::clone(&asleep);
            let builder = std::thread::Builder::new().name(format!("gradus-{thread}"));
            let handle = builder.spawn(move || shared.serve(thread, &flag)).ok()?;
            Some(Worker { asleep, handle })
        };
        let workers = (1..threads).map_while(start).collect();
        Pool {
            shared,
            workers,
            adaptive: AdaptiveThreads::default(),
        }
    }

    /// How many threads there are, the caller's among them.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `work(task, thread)` once for each task in `0..tasks`, on any thread, and returns when all are done.
    /// The caller is thread 0. No two calls with the same `thread` run at once. Allocates nothing.
    ///
    /// # Panics
    /// If `work` panics: the tasks not yet begun are left out, and the first panic goes on once all threads have stopped. Or if there
    /// are more tasks than `isize::MAX`.
    pub fn run(&mut self, tasks: usize, work: &(dyn Fn(usize, usize) + Sync)) {
        assert!(
            tasks <= isize::MAX as usize,
            "{tasks} tasks are more than can be shared"
        );
        let alone = |work: &(dyn Fn(usize, usize) + Sync)| (0..tasks).for_each(|task| work(task, 0));
        if tasks <= 1 || self.workers.is_empty() {
            return alone(work);
        }
        let started = Instant::now();
        match self.adaptive.mode(tasks) {
            Mode::Together => self.share(tasks, work),
            Mode::Alone => alone(work),
        }
        self.adaptive.record(tasks, started.elapsed());
    }

    /// Does the tasks with all threads.
    fn share(&mut self, tasks: usize, work: &(dyn Fn(usize, usize) + Sync)) {
        let shared = &*self.shared;
        // SAFETY: only the lifetime is forgotten; workers use the pointer only while inside the job, and `run` ends (also
        // when `work` panics here, since that is caught) only after it has closed the job and all have left.
        let job = Job {
            work: unsafe {
                std::mem::transmute::<*const (dyn Fn(usize, usize) + Sync + '_), *const (dyn Fn(usize, usize) + Sync)>(
                    work,
                )
            },
            tasks,
            shares: tasks.min(self.threads()),
        };
        // SAFETY: `&mut self` keeps other callers out, and the last job was closed and left.
        unsafe { *shared.job.get() = Some(job) };
        for taken in &shared.taken {
            taken.0.store(0, Ordering::Relaxed);
        }
        let number = (shared.state.load(Ordering::Relaxed) & NUMBER).wrapping_add(1 << 32);
        // Sequentially consistent, as is the worker's side: either it sees the job before it sleeps, or we see it asleep.
        shared.state.store(number | OPEN, Ordering::SeqCst);
        for worker in self.workers.iter().take(tasks - 1) {
            if worker.asleep.load(Ordering::SeqCst) && worker.asleep.swap(false, Ordering::SeqCst) {
                worker.handle.thread().unpark();
            }
        }
        shared.work_on(job, 0);
        shared.close();
        if let Some(panic) = shared.panic.lock().unwrap_or_else(PoisonError::into_inner).take() {
            resume_unwind(panic);
        }
    }
}

impl Shared {
    /// Takes tasks until there are none left: first of this thread's share, then of the next ones.
    fn work_on(&self, job: Job, thread: usize) {
        let result = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: the caller of `run` lends the work until this thread has left the job.
            let work = unsafe { &*job.work };
            for i in (thread..thread + job.shares).map(|i| i % job.shares) {
                let share = job.share(i);
                while let Some(task) = self.take(i, &share) {
                    work(task, thread);
                }
            }
        }));
        if let Err(panic) = result {
            // Nobody begins another task.
            for taken in &self.taken {
                taken.0.store(job.tasks, Ordering::Relaxed);
            }
            let mut first = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
            let other = if first.is_none() {
                first.replace(panic)
            } else {
                Some(panic)
            };
            drop(first);
            drop_panic(other);
        }
    }

    /// Takes the next task of share `i`, if there is one.
    fn take(&self, i: usize, share: &Range<usize>) -> Option<usize> {
        let taken = &self.taken[i].0;
        // Looked at first, since it is another thread's line more often than not when nothing is left.
        if taken.load(Ordering::Relaxed) >= share.len() {
            return None;
        }
        let task = share.start + taken.fetch_add(1, Ordering::Relaxed);
        (task < share.end).then_some(task)
    }

    /// Lets no more workers in and waits until all have left.
    fn close(&self) {
        let mut state = self.state.fetch_and(!OPEN, Ordering::AcqRel);
        for spin in 0..SPINS {
            if state & INSIDE == 0 {
                return;
            }
            pause(spin);
            state = self.state.load(Ordering::Acquire);
        }
        let (mutex, condition) = &self.left;
        let mut guard = mutex.lock().unwrap_or_else(PoisonError::into_inner);
        // Set under the lock: the last worker either left before this, which shows in the result, or takes the lock after
        // the wait below has released it.
        state = self.state.fetch_or(CALLER_SLEEPS, Ordering::AcqRel);
        while state & INSIDE != 0 {
            guard = condition.wait(guard).unwrap_or_else(PoisonError::into_inner);
            state = self.state.load(Ordering::Acquire);
        }
    }

    /// A worker's life.
    fn serve(&self, thread: usize, asleep: &AtomicBool) {
        let mut last = 0;
        loop {
            let state = self.wait_for_job(last, asleep);
            if state & END != 0 {
                return;
            }
            let entered = self
                .state
                .compare_exchange_weak(state, state + 1, Ordering::AcqRel, Ordering::Relaxed);
            if entered.is_err() {
                continue;
            }
            last = state & NUMBER;
            // SAFETY: this worker is inside the open job, see `Shared`.
            if let Some(job) = unsafe { *self.job.get() } {
                self.work_on(job, thread);
            }
            let state = self.state.fetch_sub(1, Ordering::AcqRel);
            if state & CALLER_SLEEPS != 0 && state & INSIDE == 1 {
                let (mutex, condition) = &self.left;
                drop(mutex.lock().unwrap_or_else(PoisonError::into_inner));
                condition.notify_one();
            }
        }
    }

    /// Waits until there is an open job that is not the `last` one, or the end.
    fn wait_for_job(&self, last: u64, asleep: &AtomicBool) -> u64 {
        let news = |state: u64| state & END != 0 || (state & OPEN != 0 && state & NUMBER != last);
        let mut spin = 0;
        loop {
            let state = self.state.load(Ordering::Acquire);
            if news(state) {
                return state;
            }
            if spin < SPINS {
                pause(spin);
                spin += 1;
                continue;
            }
            asleep.store(true, Ordering::SeqCst);
            while asleep.load(Ordering::SeqCst) && !news(self.state.load(Ordering::SeqCst)) {
                std::thread::park();
            }
            asleep.store(false, Ordering::SeqCst);
            spin = 0;
        }
    }
}

/// Drops what a panic carried. It may panic in turn, which must not unwind through a job: what that carries is left in memory.
fn drop_panic(panic: Option<Box<dyn Any + Send>>) {
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(another);
    }
}

/// A moment's wait; now and then another thread may have the core.
fn pause(spin: u32) {
    if spin % 64 == 63 {
        std::thread::yield_now();
    } else {
        std::hint::spin_loop();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.state.fetch_or(END, Ordering::SeqCst);
        for worker in self.workers.drain(..) {
            worker.handle.thread().unpark();
            // A worker catches every panic of the work, so there is nothing to report.
            let _ = worker.handle.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn every_task_is_done_once() {
        for threads in [1, 2, 3, 8] {
            let mut pool = Pool::new(threads);
            assert_eq!(pool.threads(), threads);
            for tasks in [0, 1, 2, 3, 7, 100, 1000] {
                let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                pool.run(tasks, &|task, thread| {
                    assert!(thread < threads);
                    counts[task].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn threads_are_at_least_one_and_at_most_the_bound() {
        assert_eq!(Pool::new(0).threads(), 1);
        let mut pool = Pool::new(usize::MAX);
        // Fewer where the system grants fewer.
        assert!((1..=Pool::MOST_THREADS).contains(&pool.threads()), "{}", pool.threads());
        let sum = AtomicUsize::new(0);
        pool.run(2000, &|task, _| {
            sum.fetch_add(task, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 1_999_000);
    }

    #[test]
    fn many_tiny_runs() {
        let mut pool = Pool::new(4);
        let sum = AtomicUsize::new(0);
        for i in 0..100_000 {
            pool.run(i % 7, &|task, _| {
                sum.fetch_add(task + 1, Ordering::Relaxed);
            });
        }
        let expected: usize = (0..100_000).map(|i| (i % 7) * (i % 7 + 1) / 2).sum();
        assert_eq!(sum.into_inner(), expected);
    }

    #[test]
    fn runs_between_sleeps() {
        let mut pool = Pool::new(3);
        for _ in 0..20 {
            std::thread::sleep(std::time::Duration::from_millis(2));
            let sum = AtomicUsize::new(0);
            pool.run(6, &|task, _| {
                // Long enough for the workers to wake and the caller to fall asleep waiting for them.
                std::thread::sleep(std::time::Duration::from_millis(1 + 3 * (task as u64 % 2)));
                sum.fetch_add(task, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 15);
        }
    }

    #[test]
    fn a_thread_index_is_used_by_one_thread_at_a_time() {
        let mut pool = Pool::new(4);
        let busy: Vec<AtomicBool> = (0..4).map(|_| AtomicBool::new(false)).collect();
        for _ in 0..2000 {
            pool.run(16, &|_, thread| {
                assert!(!busy[thread].swap(true, Ordering::Acquire));
                for _ in 0..20 {
                    std::hint::spin_loop();
                }
                busy[thread].store(false, Ordering::Release);
            });
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let mut pool = Pool::new(4);
        for bad in [0, 3, 63] {
            let result = catch_unwind(AssertUnwindSafe(|| {
                pool.run(64, &|task, _| {
                    if task == bad {
                        panic!("task {task}");
                    }
                });
            }));
            let panic = result.expect_err("the panic goes on");
            assert_eq!(*panic.downcast::<String>().expect("a message"), format!("task {bad}"));
            let sum = AtomicUsize::new(0);
            pool.run(10, &|task, _| {
                sum.fetch_add(task, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 45);
        }
        // All threads at once.
        for _ in 0..50 {
            let result = catch_unwind(AssertUnwindSafe(|| pool.run(8, &|_, _| panic!("all"))));
            assert!(result.is_err());
        }
    }

    #[test]
    fn panics_that_panic_when_they_are_dropped() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                if !std::thread::panicking() {
                    std::panic::panic_any(Bomb);
                }
            }
        }
        // In a thread, so that a caller who waits for ever is found.
        let (done, is_done) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut pool = Pool::new(4);
            for round in 0..20 {
                let (begun, ended) = (Barrier::new(4), AtomicUsize::new(0));
                let result = catch_unwind(AssertUnwindSafe(|| {
                    pool.run(4, &|_, _| {
                        begun.wait();
                        ended.fetch_add(1, Ordering::Relaxed);
                        std::panic::panic_any(Bomb);
                    });
                }));
                // Nobody uses what was lent any more, and the first panic is the one that goes on.
                assert_eq!(ended.into_inner(), 4, "round {round}");
                let first = result.expect_err("the panic goes on");
                assert!(first.is::<Bomb>());
                std::mem::forget(first);
            }
            let count = AtomicUsize::new(0);
            pool.run(100, &|_, _| {
                count.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!((pool.threads(), count.into_inner()), (4, 100));
            done.send(()).expect("somebody waits");
        });
        is_done
            .recv_timeout(std::time::Duration::from_secs(100))
            .expect("the caller returns");
        thread.join().expect("nothing unwinds out of a job");
    }

    #[test]
    fn shares_of_any_number_of_tasks_are_divided() {
        let work: *const (dyn Fn(usize, usize) + Sync) = &|_: usize, _: usize| ();
        for tasks in [2, 3, 7, 100, 1 << 40, isize::MAX as usize] {
            for shares in 2..tasks.min(9) {
                let job = Job { work, tasks, shares };
                let mut end = 0;
                for i in 0..shares {
                    let exact = |i: usize| (i as u128 * tasks as u128 / shares as u128) as usize;
                    assert_eq!((job.share(i).start, job.share(i).end), (end, exact(i + 1)));
                    end = job.share(i).end;
                }
                assert_eq!(end, tasks);
            }
        }
    }

    #[test]
    fn pools_within_pools() {
        let mut outer = Pool::new(2);
        let sum = AtomicUsize::new(0);
        outer.run(4, &|_, _| {
            let mut inner = Pool::new(2);
            let result = catch_unwind(AssertUnwindSafe(|| inner.run(4, &|task, _| assert_ne!(task, 2))));
            assert!(result.is_err());
            inner.run(5, &|task, _| {
                sum.fetch_add(task, Ordering::Relaxed);
            });
        });
        assert_eq!(sum.into_inner(), 40);
    }
}
