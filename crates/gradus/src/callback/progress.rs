use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use super::{Callback, EpochEnd, Flow, Start};
use crate::{Network, Result};

/// Shows how training goes, on standard error: on a terminal a bar with samples per second and the time left, and a line
/// for every epoch; elsewhere only the lines.
#[derive(Debug, Clone)]
pub struct Progress {
    terminal: bool,
    name: String,
    epochs: usize,
    samples: usize,
    epoch_started: Instant,
    drawn: Instant,
}

const WIDTH: usize = 24;

impl Progress {
    /// For training without a name.
    pub fn new() -> Self {
        Self::named("")
    }

    /// Puts this name before every line.
    pub fn named(name: impl Into<String>) -> Self {
        let now = Instant::now();
        Progress {
            terminal: std::io::stderr().is_terminal(),
            name: name.into(),
            epochs: 0,
            samples: 0,
            epoch_started: now,
            drawn: now,
        }
    }

    fn prefix(&self) -> String {
        if self.name.is_empty() {
            String::new()
        } else {
            format!("{}  ", self.name)
        }
    }

    fn bar(&self, epoch: usize, samples: usize, loss: f64) -> String {
        let seconds = self.epoch_started.elapsed().as_secs_f64().max(1e-9);
        let speed = samples as f64 / seconds;
        let remaining = (self.epochs - epoch)
            .saturating_mul(self.samples)
            .saturating_add(self.samples - samples);
        let done = WIDTH * samples / self.samples.max(1);
        format!(
            "{}epoch {epoch}/{} [{}{}] {:.0} samples/s, loss {loss:.4}, {} left",
            self.prefix(),
            self.epochs,
            "=".repeat(done),
            " ".repeat(WIDTH - done),
            speed,
            clock(remaining as f64 / speed)
        )
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Callback for Progress {
    fn on_start(&mut self, start: &Start<'_>, _network: &Network) -> Result<()> {
        self.epochs = start.epochs;
        self.samples = start.samples;
        self.epoch_started = Instant::now();
        Ok(())
    }

    fn on_step(&mut self, epoch: usize, samples: usize, loss: f64) -> Result<()> {
        if !self.terminal || self.drawn.elapsed() < Duration::from_millis(100) {
            return Ok(());
        }
        self.drawn = Instant::now();
        // A terminal that goes away is no reason to stop training.
        let _ = write!(std::io::stderr(), "\r\x1b[2K{}", self.bar(epoch, samples, loss));
        Ok(())
    }

    fn on_epoch(&mut self, end: &EpochEnd<'_>) -> Result<Flow> {
        let Some(last) = end.history.epochs.last() else {
            return Ok(Flow::Continue);
        };
        let values: Vec<String> = (end.history.columns.iter().zip(&last.values))
            .map(|(column, value)| format!("{} {value:.4}", column.name))
            .collect();
        let clear = if self.terminal { "\r\x1b[2K" } else { "" };
        let _ = writeln!(
            std::io::stderr(),
            "{clear}{}epoch {:>width$}/{}  {}  {:.2} s, {:.0} samples/s",
            self.prefix(),
            end.epoch,
            end.epochs,
            values.join("  "),
            last.seconds,
            last.samples_per_second,
            width = end.epochs.to_string().len(),
        );
        self.epoch_started = Instant::now();
        Ok(Flow::Continue)
    }
}

/// Seconds as `1:02:03`, `2:03` or `3 s`.
fn clock(seconds: f64) -> String {
    let s = seconds.round() as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{}:{:02}", s / 60, s % 60),
        _ => format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60),
    }
}
