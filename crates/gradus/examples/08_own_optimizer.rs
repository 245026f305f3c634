//! 8. An optimizer of your own.
//!
//! `cargo run --release --example 08_own_optimizer`
//!
//! AdaGrad (Duchi, Hazan and Singer, "Adaptive subgradient methods", 2011) gives every parameter a learning rate of its
//! own, which shrinks as that parameter's gradients add up: what is rarely used still learns quickly when its turn
//! comes.
//!
//! ```text
//! s ← s + dw²
//! w ← w - learning_rate · dw / (√s + ε)
//! ```

use gradus::optim::{Optimizer, Step};
use gradus::prelude::*;
use gradus::{Error, Float, Result};

/// AdaGrad with this learning rate.
#[derive(Debug, Clone, Copy)]
struct AdaGrad(f64);

impl Optimizer for AdaGrad {
    fn name(&self) -> &'static str {
        "adagrad"
    }

    fn validate(&self) -> Result<()> {
        if self.0 > 0.0 && self.0.is_finite() {
            Ok(())
        } else {
            Err(Error::invalid(format!(
                "AdaGrad: the learning rate must be above 0, got {}",
                self.0
            )))
        }
    }

    fn learning_rate(&self) -> f64 {
        self.0
    }

    // One number to remember for each parameter: s. The library keeps it, starting from 0.
    fn slots(&self) -> usize {
        1
    }

    // Some of the parameters, their gradients, and what is remembered of them. The rate in `step` is after the
    // schedule.
    fn update(&self, step: Step, w: &mut [Float], dw: &[Float], state: &mut [&mut [Float]]) {
        for ((w, dw), s) in w.iter_mut().zip(dw).zip(state[0].iter_mut()) {
            *s += dw * dw;
            *w -= step.learning_rate * dw / (s.sqrt() + 1e-8);
        }
    }
}

/// Checks the optimizer, and trains with it.
pub fn main() -> Result<()> {
    // Is it right? Two steps by hand: s = 4, then 4 + 4 = 8; so w = 1 - 0.1·2/2 = 0.9, then 0.9 - 0.1·2/√8 ≈ 0.8293.
    let (mut w, mut s) = ([1.0], [0.0]);
    for number in 1..=2 {
        let step = Step::new(number, 0.1, true);
        AdaGrad(0.1).update(step, &mut w, &[2.0], &mut [&mut s]);
    }
    println!("after two steps w is {:.4}; by hand, 0.8293", w[0]);
    if (w[0] - 0.8293).abs() > 1e-4 {
        return Err(Error::invalid("AdaGrad does not follow its formula"));
    }

    // Does it learn? The same network, the same data, the same seed; only the optimizer differs.
    let (train, test) = digits::load()?;
    let learn = |fit: Fit<'_>| -> Result<f64> {
        let mut network = Sequential::new(train.shape())
            .layer(Flatten)
            .layer(Dense::new(32))
            .layer(Relu)
            .layer(Dense::new(10))
            .layer(Softmax)
            .build(42)?;
        fit.epochs(10).run(&mut network, &train)?;
        let result = network.evaluate(&test, &CrossEntropy::new(), &[&Accuracy])?;
        Ok(result.metric("accuracy").unwrap_or(0.0))
    };
    let sgd = learn(Fit::new(CrossEntropy::new(), Sgd::new(0.05)))?;
    let adagrad = learn(Fit::new(CrossEntropy::new(), AdaGrad(0.05)))?;
    println!("test accuracy on the digits after 10 epochs: SGD {sgd:.3}, AdaGrad {adagrad:.3}");
    if adagrad < 0.85 {
        return Err(Error::invalid("AdaGrad has not learned to read digits"));
    }
    Ok(())
}
