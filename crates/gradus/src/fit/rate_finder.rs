//! The search for a learning rate.

use super::{Fit, Validation};
use crate::data::Dataset;
use crate::schedule::{Schedule, ScheduleContext};
use crate::{Error, Float, Network, Result};

/// How to search for a learning rate: a range of rates, and a number of training steps that go through it.
///
/// [`Fit::find_rate`] runs the search. The rate of step i of n, from 0, is from · (to / from)^(i / (n − 1)).
///
/// ```
/// use gradus::RateFinder;
/// let wide = RateFinder::new();
/// let narrow = RateFinder::new().from(1e-4).to(1.0).steps(200);
/// # assert_ne!(wide, narrow);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateFinder {
    from: f64,
    to: f64,
    steps: usize,
    smoothing: f64,
}

impl Default for RateFinder {
    /// 100 steps from a rate of 10⁻⁷ to one of 10, with a smoothing of 0.9.
    fn default() -> Self {
        RateFinder {
            from: 1e-7,
            to: 10.0,
            steps: 100,
            smoothing: 0.9,
        }
    }
}

/// The search ends when the smoothed loss is this many times the best one.
const DIVERGED: f64 = 4.0;

impl RateFinder {
    /// The default search: see [`RateFinder::default`].
    pub fn new() -> Self {
        RateFinder::default()
    }

    /// The learning rate of the first step.
    pub fn from(mut self, rate: f64) -> Self {
        self.from = rate;
        self
    }

    /// The learning rate of the last step.
    pub fn to(mut self, rate: f64) -> Self {
        self.to = rate;
        self
    }

    /// The number of steps.
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// The share β of the losses before in the smoothed loss, from 0 (no smoothing) to less than 1.
    pub fn smoothing(mut self, beta: f64) -> Self {
        self.smoothing = beta;
        self
    }

    /// The learning rate of a step, counted from 0.
    fn rate(&self, step: u64) -> f64 {
        let share = step as f64 / (self.steps - 1) as f64;
        self.from * (self.to / self.from).powf(share)
    }

    fn validate(&self) -> Result<()> {
        let RateFinder {
            from,
            to,
            steps,
            smoothing,
        } = *self;
        let is_rate = |rate: f64| rate > 0.0 && rate.is_finite();
        if !is_rate(from) || !is_rate(to) || from >= to {
            return Err(Error::invalid(format!(
                "a search for a learning rate goes from a rate above 0 to a larger one, got {from} and {to}"
            )));
        }
        if steps < 2 {
            return Err(Error::invalid(format!(
                "a search for a learning rate needs at least 2 steps, got {steps}"
            )));
        }
        if !(0.0..1.0).contains(&smoothing) {
            return Err(Error::invalid(format!(
                "the smoothing of a search for a learning rate is from 0 to less than 1, got {smoothing}"
            )));
        }
        Ok(())
    }
}

/// One step of a search for a learning rate.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct RatePoint {
    /// The learning rate of the step.
    pub rate: f64,
    /// The mean loss of its batch, before the step.
    pub loss: f64,
    /// The smoothed loss: mᵢ / (1 − βⁱ), where mᵢ = β · mᵢ₋₁ + (1 − β) · loss and m₀ = 0.
    pub smoothed: f64,
}

/// What a search for a learning rate found: the loss as the rate grew.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RateCurve {
    /// The steps, by rising rate.
    pub points: Vec<RatePoint>,
    /// Whether the search ended before its last rate, since the loss had grown to four times the best one or was no longer finite.
    pub diverged: bool,
}

impl RateCurve {
    /// The learning rate at which the smoothed loss falls fastest with the logarithm of the rate, before it is lowest; `None` if it
    /// never falls. A network usually learns well with this rate. The first tenth of the steps, whose means are over few losses, has no
    /// part in it.
    pub fn steepest(&self) -> Option<f64> {
        let falling = self.points.get(self.points.len() / 10..=self.lowest()?)?;
        let slope = |pair: &[RatePoint]| (pair[1].smoothed - pair[0].smoothed) / (pair[1].rate / pair[0].rate).ln();
        let steepest = falling.windows(2).min_by(|a, b| slope(a).total_cmp(&slope(b)))?;
        (slope(steepest) < 0.0).then_some(steepest[0].rate)
    }

    /// A tenth of the learning rate at which the smoothed loss is lowest; `None` if it never falls. Usually a rate that is safe.
    pub fn tenth_of_lowest(&self) -> Option<f64> {
        let lowest = self.lowest().filter(|&lowest| lowest > 0)?;
        Some(self.points[lowest].rate / 10.0)
    }

    /// The learning rate to begin with: the [steepest](RateCurve::steepest).
    pub fn suggestion(&self) -> Option<f64> {
        self.steepest()
    }

    /// The index of the point whose smoothed loss is lowest, the first of several.
    fn lowest(&self) -> Option<usize> {
        let points = self.points.iter().enumerate();
        let lowest = points.min_by(|(_, a), (_, b)| a.smoothed.total_cmp(&b.smoothed));
        lowest.map(|(index, _)| index)
    }
}

impl Fit<'_> {
    /// Searches for a learning rate: trains a copy of the network while the rate grows exponentially, one step at each rate, and
    /// records the loss. `network` itself keeps its weights and state.
    ///
    /// The steps are those of this training: its loss, optimizer, batch size, clipping, frozen parameters, augmentation and seed, on
    /// the samples that are not held out by [`validation_split`](Fit::validation_split). Its schedule, its number of epochs, its
    /// metrics, callbacks and checkpoints have no part in the search. The search ends early when the smoothed loss is four times the
    /// best one so far, or not finite.
    ///
    /// Sources: Smith, "Cyclical Learning Rates for Training Neural Networks", 2017; the smoothing, the end and the steepest rate are
    /// those of Howard and Gugger, "fastai: A Layered API for Deep Learning", 2020.
    ///
    /// ```
    /// use gradus::{RateFinder, prelude::*};
    ///
    /// let (train, _) = digits::load()?;
    /// let layers = Sequential::new([1, 8, 8]).layer(Flatten).layer(Dense::new(32)).layer(Relu).layer(Dense::new(10));
    /// let mut network = layers.layer(Softmax).build(42)?;
    /// let curve = Fit::new(CrossEntropy::new(), Sgd::new(0.1)).find_rate(&network, &train, &RateFinder::new())?;
    /// let rate = curve.suggestion().expect("the loss falls at some rate");
    ///
    /// let fit = Fit::new(CrossEntropy::new(), Sgd::new(rate)).metric(Accuracy).epochs(5);
    /// assert!(fit.run(&mut network, &train)?.last("accuracy") > Some(0.9));
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`run`](Fit::run), but for [`Error::Diverged`] after the first step; if a rate is not above 0, the last rate not above the
    /// first, or there are fewer than 2 steps; if the optimizer has the learning rate 0, which nothing can be a multiple of.
    #[doc(alias = "lr_find")]
    pub fn find_rate(mut self, network: &Network, data: &dyn Dataset, finder: &RateFinder) -> Result<RateCurve> {
        finder.validate()?;
        let declared = f64::from(self.optimizer.learning_rate() as Float);
        if declared == 0.0 {
            return Err(Error::invalid(format!(
                "the learning rate of {} is 0: a search for a rate needs an optimizer with another",
                self.optimizer.name()
            )));
        }
        let finder = *finder;
        self.schedule = Some(Box::new(Growth { finder, declared }));
        // Enough for all steps, however few an epoch has.
        self.epochs = finder.steps;
        self.metrics.clear();
        self.callbacks.clear();
        self.checkpoints = None;
        self.resume = None;
        if let Validation::Data(_) = self.validation {
            self.validation = Validation::None;
        }
        let mut copy = network.clone();
        let mut run = self.start(&mut copy, data)?;
        let mut curve = RateCurve {
            points: Vec::with_capacity(finder.steps),
            diverged: false,
        };
        let (mut mean, mut best) = (0.0, f64::INFINITY);
        for step in 0..finder.steps {
            let count = step + 1;
            match run.step() {
                Err(Error::Diverged { .. }) if step > 0 => {
                    curve.diverged = true;
                    break;
                }
                Err(error) => return Err(error),
                Ok(_) => {}
            }
            let loss = run.loss();
            mean = finder.smoothing * mean + (1.0 - finder.smoothing) * loss;
            let smoothed = mean / (1.0 - finder.smoothing.powf(count as f64));
            curve.points.push(RatePoint {
                rate: finder.rate(step as u64),
                loss,
                smoothed,
            });
            best = smoothed.min(best);
            if best > 0.0 && smoothed > DIVERGED * best {
                curve.diverged = true;
                break;
            }
        }
        Ok(curve)
    }
}

/// The growth of the rate, as a schedule of an optimizer with the rate `declared`.
#[derive(Debug, Clone, Copy)]
struct Growth {
    finder: RateFinder,
    declared: f64,
}

impl Schedule for Growth {
    fn name(&self) -> &'static str {
        "rate_finder"
    }

    fn validate(&self) -> Result<()> {
        self.finder.validate()
    }

    fn factor(&self, context: &ScheduleContext<'_>) -> f64 {
        self.finder.rate(context.step) / self.declared
    }
}

#[cfg(test)]
mod tests;
