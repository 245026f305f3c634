//! 7. A loss of your own.
//!
//! `cargo run --release --example 07_own_loss`
//!
//! Trained with the squared error, a network predicts the mean of what may come. Sometimes the question is another: how
//! long do I have to plan for, so that it suffices nine times out of ten? That is the quantile of 90 %, and the loss to
//! learn it by is crooked (Koenker and Bassett, "Regression quantiles", 1978): too low an answer costs nine times as
//! much as too high a one.
//!
//! ```text
//! loss = q·(t - y) where y < t, else (1 - q)·(y - t)        dy = -q where y < t, else 1 - q
//! ```

use gradus::data::{Arrays, Target, Targets};
use gradus::loss::Loss;
use gradus::prelude::*;
use gradus::random::{Purpose, stream};
use gradus::schedule::Cosine;
use gradus::{Error, Float, Result, check};
use ndarray::{Array2, array};
use rand::RngExt;

/// The quantile loss for one output.
#[derive(Debug, Clone, Copy)]
struct Quantile {
    q: Float,
}

impl Loss for Quantile {
    fn name(&self) -> &'static str {
        "quantile"
    }

    // Called before training starts: a loss that can't work says so, in a sentence.
    fn validate(&self, output: &Shape, targets: &Targets) -> Result<()> {
        if !(self.q > 0.0 && self.q < 1.0) {
            return Err(Error::invalid(format!(
                "the quantile must lie between 0 and 1, got {}",
                self.q
            )));
        }
        match targets {
            Targets::Values(shape) if shape.size() == 1 && output.size() == 1 => Ok(()),
            _ => Err(Error::invalid(
                "the quantile loss compares one output with one target value",
            )),
        }
    }

    // The loss of one sample. The mean over the batch is the training loop's business.
    fn loss(&self, y: &[Float], target: Target<'_>) -> Float {
        let Target::Values(t) = target else { return Float::NAN };
        let missing = t[0] - y[0];
        if missing > 0.0 {
            self.q * missing
        } else {
            (self.q - 1.0) * missing
        }
    }

    fn gradient(&self, y: &[Float], target: Target<'_>, dy: &mut [Float]) {
        let Target::Values(t) = target else { return };
        dy[0] = if y[0] < t[0] { -self.q } else { 1.0 - self.q };
    }
}

/// Checks the loss, and trains with it.
pub fn main() -> Result<()> {
    let loss = Quantile { q: 0.9 };
    check::loss(&loss, [1], &Targets::Values(Shape::from(1)))?;
    println!("The gradient is right.");

    // A thousand journeys: the distance x, and a time t that is the more uncertain the longer the way.
    let mut rng = stream(1, Purpose::User, &[]);
    let x = Array2::from_shape_fn((1000, 1), |_| rng.random_range(0.0..1.0));
    let t = x.mapv(|x: Float| x * (1.0 + rng.random_range::<Float, _>(0.0..1.0)));
    let data = Arrays::values(&x, &t)?;

    // The same network and data, trained with either loss: for what part of the journeys is its answer enough?
    println!("\ntrained with         answer for x = 0.5   enough in");
    let learn = |name: &str, fit: Fit<'_>| -> Result<f64> {
        let mut network = Sequential::new([1]).layer(Dense::new(1)).build(1)?;
        fit.epochs(60).schedule(Cosine::default()).run(&mut network, &data)?;
        let answers = network.predict(&x)?;
        let enough = answers.iter().zip(&t).filter(|(y, t)| y >= t).count() as f64 / 1000.0;
        let answer = network.predict(array![[0.5]])?[[0, 0]];
        println!("{name:<20} {answer:>18.3} {:>9.1} %", 100.0 * enough);
        Ok(enough)
    };
    let mean = learn("mean squared error", Fit::new(MeanSquaredError, Adam::new(0.02)))?;
    let quantile = learn("quantile of 90 %", Fit::new(loss, Adam::new(0.02)))?;
    // At x = 0.5, times are spread evenly from 0.5 to 1: their mean is 0.75, and 0.95 is enough nine times out of ten.
    if (quantile - 0.9).abs() > 0.02 || (mean - 0.5).abs() > 0.1 {
        return Err(Error::invalid("the loss has not led to its quantile"));
    }
    Ok(())
}
