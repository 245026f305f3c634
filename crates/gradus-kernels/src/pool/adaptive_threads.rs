//! Whether threads are worth it, found out by trying.
//!
//! Where another program keeps a core busy, each job waits for the thread that has to share that core, and the caller alone may be
//! faster. No thread can see that: one that doesn't run doesn't know. But time tells. Jobs of the same number of tasks are taken to
//! be the same work; now and then they are done by the caller alone for some milliseconds, more and more seldom as long as the
//! threads win. Where the caller has won, the threads try again now and then.

use std::time::Duration;

/// How many kinds of jobs are told apart: a training step has few.
const KINDS: usize = 8;

/// How long the threads are timed.
const PROBE_TOGETHER: Duration = Duration::from_millis(250);
/// How long the caller works alone to see how fast it is; so short that it costs next to nothing where the threads win.
const PROBE_ALONE: Duration = Duration::from_millis(5);
/// For how long a winner goes on, at least and at most.
const SHORT: Duration = Duration::from_millis(500);
const LONG: Duration = Duration::from_secs(8);
/// Jobs that take longer share well among threads of different speed, since these take tasks one by one.
const LONG_JOB: Duration = Duration::from_millis(4);
/// Threads that have become so much slower are compared with the caller at once.
const SUSPICIOUS: f64 = 1.3;

/// Who does a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Together,
    Alone,
}

/// How each kind of job is done.
#[derive(Debug, Default)]
pub(super) struct AdaptiveThreads {
    kinds: [Kind; KINDS],
}

/// Jobs of the same number of tasks.
#[derive(Debug, Default)]
struct Kind {
    tasks: usize,
    state: State,
    /// What the present trial has seen so far.
    spent: Duration,
    jobs: u32,
    /// How long a job took in the last trial.
    together: Duration,
    alone: Duration,
}

/// What happens now, and how long the winner will go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The threads work, until that is up.
    Together { left: Duration, whole: Duration },
    /// The caller tries.
    TryAlone { whole: Duration },
    /// The caller works, until that is up.
    Alone { left: Duration, whole: Duration },
    /// The threads try.
    TryTogether { whole: Duration },
}

impl Default for State {
    fn default() -> Self {
        State::together(PROBE_TOGETHER)
    }
}

impl State {
    fn together(whole: Duration) -> Self {
        State::Together { left: whole, whole }
    }

    fn alone(whole: Duration) -> Self {
        State::Alone { left: whole, whole }
    }
}

impl AdaptiveThreads {
    /// Returns how a job of `tasks` tasks is to be done.
    pub fn mode(&self, tasks: usize) -> Mode {
        match self
            .kinds
            .iter()
            .find(|kind| kind.tasks == tasks)
            .map(|kind| kind.state)
        {
            Some(State::TryAlone { .. } | State::Alone { .. }) => Mode::Alone,
            _ => Mode::Together,
        }
    }

    /// Records the duration of a job of `tasks` tasks.
    pub fn record(&mut self, tasks: usize, time: Duration) {
        let known = self
            .kinds
            .iter_mut()
            .find(|kind| kind.tasks == tasks || kind.tasks == 0);
        // Of more kinds than there is room for, the others are always done together.
        if let Some(kind) = known {
            kind.tasks = tasks;
            kind.record(time);
        }
    }
}

impl Kind {
    fn record(&mut self, time: Duration) {
        self.spent += time;
        self.jobs += 1;
        let enough = match self.state {
            State::TryAlone { .. } => PROBE_ALONE,
            _ => PROBE_TOGETHER,
        };
        if self.spent < enough || self.jobs < 2 {
            return;
        }
        let (spent, mean) = (self.spent, self.spent / self.jobs);
        (self.spent, self.jobs) = (Duration::ZERO, 0);
        let longer = |whole: Duration| (2 * whole).clamp(SHORT, LONG);
        self.state = match self.state {
            State::Together { left, whole } => {
                let slower = !self.together.is_zero() && mean > self.together.mul_f64(SUSPICIOUS);
                self.together = mean;
                match left.saturating_sub(spent) {
                    _ if mean > LONG_JOB => State::together(whole),
                    Duration::ZERO => State::TryAlone { whole },
                    _ if slower => State::TryAlone { whole: PROBE_TOGETHER },
                    left => State::Together { left, whole },
                }
            }
            State::TryAlone { whole } => {
                self.alone = mean;
                if mean < self.together {
                    State::alone(SHORT)
                } else {
                    State::together(longer(whole))
                }
            }
            State::Alone { left, whole } => match left.saturating_sub(spent) {
                Duration::ZERO => State::TryTogether { whole },
                left => State::Alone { left, whole },
            },
            State::TryTogether { whole } => {
                self.together = mean;
                if mean < self.alone {
                    State::together(SHORT)
                } else {
                    State::alone(longer(whole))
                }
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MICROSECOND: Duration = Duration::from_micros(1);

    /// Does jobs for so long, where one takes so many microseconds together and alone; gives the time that was spent alone.
    fn alone(adaptive: &mut AdaptiveThreads, tasks: usize, seconds: u64, together: u32, alone: u32) -> Duration {
        let (mut all, mut by_caller) = (Duration::ZERO, Duration::ZERO);
        while all < Duration::from_secs(seconds) {
            let time = match adaptive.mode(tasks) {
                Mode::Together => together * MICROSECOND,
                Mode::Alone => alone * MICROSECOND,
            };
            if adaptive.mode(tasks) == Mode::Alone {
                by_caller += time;
            }
            all += time;
            adaptive.record(tasks, time);
        }
        by_caller
    }

    #[test]
    fn threads_that_win_are_hardly_disturbed() {
        let by_caller = alone(&mut AdaptiveThreads::default(), 36, 60, 150, 290);
        assert!(
            by_caller > Duration::ZERO && by_caller < Duration::from_millis(200),
            "{by_caller:?}"
        );
    }

    #[test]
    fn a_caller_that_wins_works_alone() {
        let by_caller = alone(&mut AdaptiveThreads::default(), 2, 60, 170, 150);
        assert!(by_caller > Duration::from_secs(57), "{by_caller:?}");
    }

    #[test]
    fn what_changes_is_noticed() {
        let mut adaptive = AdaptiveThreads::default();
        alone(&mut adaptive, 2, 60, 100, 190);
        let busy = alone(&mut adaptive, 2, 10, 300, 190);
        assert!(busy > Duration::from_secs(8), "{busy:?}");
        let quiet = alone(&mut adaptive, 2, 60, 100, 190);
        assert!(quiet < Duration::from_secs(9), "{quiet:?}");
    }

    #[test]
    fn long_jobs_are_always_shared() {
        assert_eq!(
            alone(&mut AdaptiveThreads::default(), 80, 60, 12_000, 11_000),
            Duration::ZERO
        );
    }

    #[test]
    fn kinds_are_told_apart() {
        let mut adaptive = AdaptiveThreads::default();
        let second = Duration::from_secs(1);
        assert!(alone(&mut adaptive, 2, 10, 300, 150) > 8 * second);
        assert!(alone(&mut adaptive, 36, 10, 150, 300) < second / 10);
        assert!(alone(&mut adaptive, 2, 10, 300, 150) > 8 * second);
        assert_eq!(adaptive.mode(5), Mode::Together);
        for tasks in 100..200 {
            alone(&mut adaptive, tasks, 1, 300, 150);
        }
        assert_eq!(adaptive.mode(199), Mode::Together);
    }
}
