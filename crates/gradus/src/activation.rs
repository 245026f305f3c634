//! Functions applied to each value alone.

use std::fmt::Debug;

use crate::layer::{Backward, Forward, Layer, Plan};
use crate::{Float, Shape};

/// A function applied to each value alone. Whatever implements it is a [`Layer`] too.
///
/// ```
/// use gradus::{activation::Activation, Float};
///
/// /// y = x²
/// #[derive(Debug)]
/// struct Square;
/// impl Activation for Square {
///     fn kind(&self) -> &'static str {
///         "square"
///     }
///     fn value(&self, x: Float) -> Float {
///         x * x
///     }
///     fn derivative(&self, x: Float, _y: Float) -> Float {
///         2.0 * x
///     }
/// }
/// ```
pub trait Activation: Debug + Send + Sync {
    /// Its name, in lower case.
    fn kind(&self) -> &'static str;

    /// y = f(x).
    fn value(&self, x: Float) -> Float;

    /// f′(x), where y = f(x) is at hand.
    fn derivative(&self, x: Float, y: Float) -> Float;

    /// y = f(x) for many values.
    fn forward(&self, x: &[Float], y: &mut [Float]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = self.value(x);
        }
    }

    /// dx = dy · f′(x) for many values.
    fn backward(&self, x: &[Float], y: &[Float], dy: &[Float], dx: &mut [Float]) {
        for (((dx, &x), &y), &dy) in dx.iter_mut().zip(x).zip(y).zip(dy) {
            *dx = dy * self.derivative(x, y);
        }
    }

    /// See [`Layer::settings`].
    fn settings(&self) -> Option<serde_json::Value> {
        None
    }
}

impl<A: Activation> Layer for A {
    fn kind(&self) -> &'static str {
        Activation::kind(self)
    }

    fn plan(&self, input: &Shape) -> Result<Plan, String> {
        Ok(Plan::new(input))
    }

    fn forward(&self, pass: Forward<'_>) {
        Activation::forward(self, pass.x, pass.y);
    }

    fn backward(&self, pass: Backward<'_>) {
        if let Some(dx) = pass.dx {
            Activation::backward(self, pass.x, pass.y, pass.dy, dx);
        }
    }

    fn settings(&self) -> Option<serde_json::Value> {
        Activation::settings(self)
    }
}
