//! Functions applied to each value alone.

mod clamp;
mod elu;
mod fast;
mod gelu;
mod gelu_tanh;
mod hard_sigmoid;
mod hard_swish;
mod mish;
mod relu;
mod selu;
mod sigmoid;
mod silu;
mod softplus;
mod tanh;

use std::any::Any;
use std::fmt::Debug;

use gradus_kernels::vectorize_op;
use serde::{Deserialize, Serialize};

use self::fast::{Derivatives, FastEach, Values};
use crate::layer::{Backward, BoundLayer, Forward, Function, Layer, Operation, OutputKind, Passes};
use crate::registry::{Item, LayerDefinition};
use crate::{Float, Shape};

/// Exports activations from their files, and makes the list of them.
macro_rules! activations {
    ($($file:ident::$activation:ident, $example:expr;)*) => {
        $(pub use $file::$activation;)*

        /// All activations, for the root and the prelude to export.
        pub(crate) mod exports {
            pub use super::{$($activation),*};
        }

        /// All activations of the library. Files, programs, messages and tests know what is in this list.
        pub(crate) const ACTIVATIONS: &[LayerDefinition] = &[$(LayerDefinition {
            example: || Box::new($example),
            input: &[2, 3, 7],
            item: Item::<dyn Layer>::of::<$activation>(),
        }),*];

        /// Binds an activation of the library. This code is compiled and optimized with the library; the passes of a generic `bind`
        /// would be compiled with the program that declares a network, which may not be optimized.
        fn bind_own(activation: &dyn Any, input: &Shape) -> Option<BoundLayer> {
            $(if let Some(activation) = activation.downcast_ref::<$activation>() {
                return Some(bind_any(activation, input));
            })*
            None
        }

        #[cfg(test)]
        fn examples() -> Vec<Box<dyn Activation>> {
            vec![$(Box::new($example)),*]
        }
    };
}

// An activation's file and its type, and an example with other settings than the default ones.
activations! {
    relu::Relu, Relu;
    relu::LeakyRelu, LeakyRelu::new(0.1);
    elu::Elu, Elu::new(1.3);
    gelu::Gelu, Gelu;
    silu::Silu, Silu;
    softplus::Softplus, Softplus;
    sigmoid::Sigmoid, Sigmoid;
    tanh::Tanh, Tanh;
    clamp::Clamp, Clamp::new(-0.5, 1.25);
    hard_sigmoid::HardSigmoid, HardSigmoid;
    hard_swish::HardSwish, HardSwish;
    selu::Selu, Selu;
    mish::Mish, Mish;
    gelu_tanh::GeluTanh, GeluTanh;
}

/// A function applied to each value alone. Whatever implements it, and [`Clone`], is a [`Layer`] too.
///
/// It is fast if [`value`](Activation::value) and [`derivative`](Activation::derivative) are `#[inline(always)]` and made
/// of plain arithmetic and the functions of [`gradus_kernels::scalar`]: the loops over them then become vector code.
///
/// ```
/// use gradus::{activation::Activation, Float};
///
/// /// y = x²
/// #[derive(Debug, Clone)]
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
pub trait Activation: Any + Debug + Send + Sync {
    /// Its name, in lower case.
    fn kind(&self) -> &'static str;

    /// y = f(x).
    fn value(&self, x: Float) -> Float;

    /// f′(x), where y = f(x) is at hand.
    fn derivative(&self, x: Float, y: Float) -> Float;

    /// y = f(x) for many values.
    fn forward(&self, x: &[Float], y: &mut [Float]) {
        vectorize_op(Values(self, x, y));
    }

    /// dx = dy · f′(x) for many values.
    fn backward(&self, x: &[Float], y: &[Float], dy: &[Float], dx: &mut [Float]) {
        vectorize_op(Derivatives(self, x, y, dy, dx));
    }

    /// Whether [`derivative`](Activation::derivative) reads x. If not, y is written over it.
    fn derivative_reads_x(&self) -> bool {
        true
    }

    /// What the outputs are, for losses that compare probabilities: see [`BoundLayer::with_output_kind`].
    fn output_kind(&self) -> OutputKind {
        OutputKind::Unspecified
    }

    /// Whether the settings make sense; if not, a sentence that says what is wrong.
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }

    /// The function, if it is one of the textbooks', so that a network with it can be exported.
    fn function(&self) -> Option<Function> {
        None
    }

    /// See [`Layer::settings`].
    fn settings(&self) -> Option<serde_json::Value> {
        None
    }
}

/// An activation is a layer.
impl<A: Activation + Clone> Layer for A {
    fn kind(&self) -> &'static str {
        Activation::kind(self)
    }

    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
        self.validate()?;
        Ok(bind_own(self, input).unwrap_or_else(|| bind_any(self, input)))
    }

    fn settings(&self) -> Option<serde_json::Value> {
        Activation::settings(self)
    }
}

fn bind_any<A: Activation + Clone>(activation: &A, input: &Shape) -> BoundLayer {
    let bound = BoundLayer::new(input, Each(activation.clone()))
        .with_output_kind(activation.output_kind())
        .with_fast(FastEach(activation.clone()));
    match activation.function() {
        Some(function) => bound.with_operation(Operation::Map(function)),
        None => bound,
    }
}

/// An activation of each value.
#[derive(Debug)]
struct Each<A>(A);

impl<A: Activation> Passes for Each<A> {
    fn forward(&self, pass: Forward<'_>) {
        for i in 0..pass.x.len() {
            pass.y[i] = self.0.value(pass.x[i]);
        }
    }

    fn backward(&self, pass: Backward<'_>) {
        for i in 0..pass.x.len() {
            pass.dx[i] = pass.dy[i] * self.0.derivative(pass.x[i], pass.y[i]);
        }
    }
}

/// f(x) = y / x for an activation y = x · f(x) with f(0) = 1/2. It saves `backward` from computing f again.
#[inline(always)]
fn factor(x: Float, y: Float) -> Float {
    // Below the smallest normal number the quotient has no precision left.
    if x.abs() < Float::MIN_POSITIVE * 4.0 {
        0.5
    } else {
        y / x
    }
}

/// The settings of an activation that has none: `{}`.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

macro_rules! without_settings {
    ($($activation:ident),*) => {$(
        impl From<Nothing> for $activation {
            fn from(_: Nothing) -> Self {
                $activation
            }
        }
        impl From<$activation> for Nothing {
            fn from(_: $activation) -> Self {
                Nothing {}
            }
        }
    )*};
}
without_settings!(
    Relu,
    Gelu,
    Silu,
    Softplus,
    Sigmoid,
    Tanh,
    HardSigmoid,
    HardSwish,
    Selu,
    Mish,
    GeluTanh
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{assert_close, check};

    #[test]
    fn the_gradients_of_other_settings_are_those_of_finite_differences() {
        // One of each is checked with all layers.
        check(&LeakyRelu::new(-0.5), [37]);
        check(&Elu::default(), [37]);
    }

    #[test]
    fn slices_and_single_values_agree() {
        let x: Vec<Float> = (-700..=700).map(|i| i as Float * 0.02).collect();
        for activation in examples() {
            let (mut y, mut dx) = (vec![Float::NAN; x.len()], vec![Float::NAN; x.len()]);
            activation.forward(&x, &mut y);
            activation.backward(&x, &y, &vec![1.0; x.len()], &mut dx);
            let values: Vec<Float> = x.iter().map(|&x| activation.value(x)).collect();
            let derivatives: Vec<Float> = x
                .iter()
                .map(|&x| activation.derivative(x, activation.value(x)))
                .collect();
            assert_close(activation.kind(), &y, &values, 1e-6);
            assert_close(activation.kind(), &dx, &derivatives, 1e-6);
        }
    }

    #[test]
    fn far_from_zero_nothing_overflows() {
        // Values and derivatives at -1000 and at 1000.
        let limits: [(&dyn Activation, [Float; 4]); 8] = [
            (&Relu, [0.0, 0.0, 1000.0, 1.0]),
            (&LeakyRelu::new(0.1), [-100.0, 0.1, 1000.0, 1.0]),
            (&Elu::new(1.3), [-1.3, 0.0, 1000.0, 1.0]),
            (&Gelu, [0.0, 0.0, 1000.0, 1.0]),
            (&Silu, [0.0, 0.0, 1000.0, 1.0]),
            (&Softplus, [0.0, 0.0, 1000.0, 1.0]),
            (&Sigmoid, [0.0, 0.0, 1.0, 0.0]),
            (&Tanh, [-1.0, 0.0, 1.0, 0.0]),
        ];
        let far = |activation: &dyn Activation| {
            let x = [-1000.0, 1000.0];
            let (mut y, mut dx) = ([Float::NAN; 2], [Float::NAN; 2]);
            activation.forward(&x, &mut y);
            activation.backward(&x, &y, &[1.0; 2], &mut dx);
            (y, dx)
        };
        for (activation, [below, below_slope, above, above_slope]) in limits {
            let (y, dx) = far(activation);
            assert_close(activation.kind(), &y, &[below, above], 1e-6);
            assert_close(activation.kind(), &dx, &[below_slope, above_slope], 1e-6);
        }
        for activation in examples() {
            let (y, dx) = far(&*activation);
            let all_are_finite = y.iter().chain(&dx).all(|value| value.is_finite());
            assert!(all_are_finite, "{}: {y:?} {dx:?}", activation.kind());
        }
    }

    #[test]
    fn small_values_keep_their_digits() {
        for (activation, x, y) in [
            (&Softplus as &dyn Activation, -20.0, 2.061_153_6e-9),
            (&Softplus, -8.0, 3.354_063e-4),
            (&Elu::new(1.0), -1e-6, -9.999_995e-7),
            (&Elu::new(1.0), -1e-3, -9.995_002e-4),
            (&Sigmoid, -20.0, 2.061_153_6e-9),
            (&Silu, -20.0, -4.122_307e-8),
        ] {
            let found = activation.value(x);
            assert!(
                (found / y - 1.0).abs() < 1e-6,
                "{} of {x} is {found}",
                activation.kind()
            );
        }
    }

    #[test]
    fn a_nan_is_not_hidden() {
        for activation in examples() {
            let mut y = [0.0];
            activation.forward(&[Float::NAN], &mut y);
            assert!(y[0].is_nan(), "{}", activation.kind());
        }
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let message = LeakyRelu::new(f64::NAN).bind(&Shape::from(3)).unwrap_err();
        assert_eq!(message, "the slope must be a finite number, not NaN");
        let message = Elu::new(f64::INFINITY).bind(&Shape::from(3)).unwrap_err();
        assert_eq!(message, "alpha must be a finite number, not inf");
    }

    #[test]
    fn settings_make_the_same_activation_again() {
        let settings = Layer::settings(&LeakyRelu::new(0.1)).unwrap();
        assert_eq!(settings, serde_json::json!({ "slope": 0.1 }));
        assert_eq!(
            serde_json::from_value::<LeakyRelu>(settings).unwrap(),
            LeakyRelu::new(0.1)
        );
        assert_eq!(Layer::settings(&Relu).unwrap(), serde_json::json!({}));
        assert!(serde_json::from_value::<Relu>(serde_json::json!({})).is_ok());
    }
}
