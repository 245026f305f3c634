use std::time::{Duration, Instant};

/// What the time of a pass over a block went into, if somebody wants to know.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// For each operation, its forward and its backward pass; then reading, and the loss. Empty if nobody does.
    spent: Vec<[Duration; 2]>,
}

/// What is timed beside the operations.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Other {
    Reading,
    Loss,
}

impl Clock {
    /// Begins to count, from zero, for `ops` operations.
    pub fn begin(&mut self, ops: usize) {
        self.spent = vec![[Duration::ZERO; 2]; ops + 2];
    }

    /// When something starts, if that is of interest.
    #[inline]
    pub fn now(&self) -> Option<Instant> {
        if self.spent.is_empty() {
            None
        } else {
            Some(Instant::now())
        }
    }

    /// Counts the time since then for the forward pass of operation `i`.
    #[inline]
    pub fn forward(&mut self, i: usize, since: Option<Instant>) {
        if let Some(since) = since {
            self.spent[i][0] += since.elapsed();
        }
    }

    /// Counts the time since then for the backward pass of operation `i`.
    #[inline]
    pub fn backward(&mut self, i: usize, since: Option<Instant>) {
        if let Some(since) = since {
            self.spent[i][1] += since.elapsed();
        }
    }

    /// Counts the time since then for something else.
    pub fn other(&mut self, other: Other, since: Option<Instant>) {
        if since.is_some() {
            let i = self.spent.len() - 2 + other as usize;
            self.forward(i, since);
        }
    }

    /// What was counted: forward and backward for each operation, and the rest.
    pub fn spent(&self) -> (&[[Duration; 2]], [Duration; 2]) {
        match self.spent.split_last_chunk() {
            Some((ops, [[reading, _], [loss, _]])) => (ops, [*reading, *loss]),
            None => (&[], [Duration::ZERO; 2]),
        }
    }
}
