//! The scale of an axis: a range with round ends and round ticks.

/// A linear scale whose ticks are multiples of 1, 2 or 5 times a power of ten.
#[derive(Debug, Clone, PartialEq)]
pub struct Scale {
    /// The value at the axis' lower end.
    pub low: f64,
    /// The value at its upper end.
    pub high: f64,
    /// The values with a tick, rising.
    pub ticks: Vec<f64>,
    /// The decimals that tell the ticks apart.
    pub decimals: usize,
}

impl Scale {
    /// The scale for values from `low` to `high` with about `count` ticks, widened outwards to ticks at both ends.
    pub fn around(low: f64, high: f64, count: usize) -> Self {
        let (low, high) = spread(low, high);
        let step = round_step((high - low) / count.max(1) as f64);
        // A hair of tolerance, so that 0.3 / 0.1 counts as 3.
        let first = (low / step + 1e-9).floor();
        let last = (high / step - 1e-9).ceil();
        Scale::of_steps(first, last, step)
    }

    /// The scale from exactly 1 to `n`: every epoch has a tick, or, where they are more than `count`, every fifth, tenth, ...
    /// and the first.
    pub fn epochs(n: usize, count: usize) -> Self {
        let step = if n <= count {
            1.0
        } else {
            round_step(n as f64 / count.max(1) as f64).max(5.0)
        };
        let mut ticks: Vec<f64> = (1..).map(|i| i as f64 * step).take_while(|&t| t <= n as f64).collect();
        if ticks.first() != Some(&1.0) {
            ticks.insert(0, 1.0);
        }
        Scale {
            low: 1.0,
            high: n.max(1) as f64,
            ticks,
            decimals: 0,
        }
    }

    /// The same scale cut off at `low` and `high`, where it reaches beyond them.
    pub fn within(mut self, low: f64, high: f64) -> Self {
        self.low = self.low.max(low);
        self.high = self.high.min(high);
        self.ticks.retain(|&t| t >= low - 1e-9 && t <= high + 1e-9);
        self
    }

    /// Where a value lies: 0 at the lower end, 1 at the upper end.
    pub fn position(&self, value: f64) -> f64 {
        if self.high > self.low {
            (value - self.low) / (self.high - self.low)
        } else {
            0.5
        }
    }

    fn of_steps(first: f64, last: f64, step: f64) -> Self {
        let ticks: Vec<f64> = (0..=(last - first) as usize)
            .map(|i| (first + i as f64) * step)
            .collect();
        Scale {
            low: first * step,
            high: last * step,
            ticks,
            decimals: (-step.log10().floor()).max(0.0) as usize,
        }
    }
}

/// A range that is not empty, whatever the values.
fn spread(low: f64, high: f64) -> (f64, f64) {
    if !(low.is_finite() && high.is_finite()) {
        return (0.0, 1.0);
    }
    if high - low > 1e-9 * low.abs().max(high.abs()).max(1e-12) {
        return (low, high);
    }
    let half = if low == 0.0 { 0.5 } else { 0.05 * low.abs() };
    (low - half, high + half)
}

/// The smallest of 1, 2 and 5 times a power of ten that is not below `raw`.
fn round_step(raw: f64) -> f64 {
    let power = 10_f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|f| f * power >= raw * (1.0 - 1e-9))
        .unwrap_or(10.0);
    factor * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: &[f64], b: &[f64]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9)
    }

    #[test]
    fn ticks_are_round_and_enclose_the_values() {
        let scale = Scale::around(0.0, 0.43, 5);
        assert!(near(&scale.ticks, &[0.0, 0.1, 0.2, 0.3, 0.4, 0.5]), "{scale:?}");
        assert_eq!(scale.decimals, 1);
        let scale = Scale::around(0.912, 0.9987, 5);
        assert!(near(&scale.ticks, &[0.9, 0.92, 0.94, 0.96, 0.98, 1.0]), "{scale:?}");
        assert_eq!(scale.decimals, 2);
        let scale = Scale::around(-3.0, 1200.0, 4);
        assert!(
            scale.low <= -3.0 && scale.high >= 1200.0 && scale.decimals == 0,
            "{scale:?}"
        );
    }

    #[test]
    fn equal_and_broken_values_still_give_a_scale() {
        for (low, high) in [
            (0.5, 0.5),
            (0.0, 0.0),
            (f64::NAN, 1.0),
            (f64::INFINITY, f64::NEG_INFINITY),
            (1e-30, 1e-30),
        ] {
            let scale = Scale::around(low, high, 5);
            assert!(
                scale.high > scale.low && scale.ticks.len() >= 2,
                "{low} {high}: {scale:?}"
            );
            assert!(scale.ticks.len() < 20, "{scale:?}");
        }
    }

    #[test]
    fn epochs_begin_at_one() {
        assert_eq!(Scale::epochs(10, 16).ticks, (1..=10).map(f64::from).collect::<Vec<_>>());
        assert_eq!(Scale::epochs(20, 16).ticks, [1.0, 5.0, 10.0, 15.0, 20.0]);
        assert_eq!(Scale::epochs(1, 8).ticks, [1.0]);
        assert_eq!(Scale::epochs(1, 8).position(1.0), 0.5);
        assert_eq!(Scale::epochs(200, 8).ticks, [1.0, 50.0, 100.0, 150.0, 200.0]);
    }
}
