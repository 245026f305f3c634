//! Functions of one value in the exported files: a line for each says which operation it is, and with what arguments.

use gradus::layer::Function;

use crate::kernels::functions;

/// y = f(y), for each value.
type InPlace = Box<dyn Fn(&mut [f32])>;

/// A function as a call of one of the operations in `kernels/functions`.
pub(crate) struct Map {
    /// The name of the operation.
    pub(crate) name: &'static str,
    /// The arguments after the values.
    pub(crate) arguments: Vec<f32>,
    /// Whether a byte of fixed meaning holds every value that it can have: see [`Bounds`].
    pub(crate) bounds: Option<Bounds>,
    apply: InPlace,
}

/// The values of a function whose range is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bounds {
    /// From 0 to 1.
    Shares,
    /// From -1 to 1.
    Signed,
}

impl Map {
    /// y = f(y)
    pub(crate) fn run(&self, y: &mut [f32]) {
        (self.apply)(y);
    }

    fn bounded(self, bounds: Bounds) -> Map {
        Map {
            bounds: Some(bounds),
            ..self
        }
    }
}

/// The call of an operation, `name(arguments)`.
macro_rules! call {
    ($name:ident($($argument:expr),*)) => {
        Map {
            name: stringify!($name),
            arguments: vec![$($argument as f32),*],
            bounds: None,
            apply: Box::new(move |y| functions::$name(y $(, $argument as f32)*)),
        }
    };
}

/// The call that computes a function.
pub(crate) fn map(function: Function) -> Map {
    match function {
        Function::Relu => call!(relu()),
        Function::LeakyRelu { slope } => call!(leaky_relu(slope)),
        Function::Elu { alpha } => call!(elu(alpha)),
        Function::Gelu => call!(gelu()),
        Function::Silu => call!(silu()),
        Function::Softplus => call!(softplus()),
        Function::Sigmoid => call!(sigmoid()).bounded(Bounds::Shares),
        Function::Tanh => call!(hyperbolic()).bounded(Bounds::Signed),
        Function::Clamp { low, high } => call!(clamp(low, high)),
        Function::HardSigmoid => call!(hard_sigmoid()).bounded(Bounds::Shares),
        Function::HardSwish => call!(hard_swish()),
        Function::Selu => call!(selu()),
        Function::Mish => call!(mish()),
        Function::GeluTanh => call!(gelu_tanh()),
    }
}
