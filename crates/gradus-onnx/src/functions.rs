//! Functions of one value that are one operator of ONNX: a line for each says how it is exported and imported.

use gradus::layer::Function;
use gradus::{Elu, Float, HardSigmoid, HardSwish, Layer, LeakyRelu, Relu, Sigmoid, Softplus, Tanh};

use crate::import::Operands;
use crate::model::float;
use crate::wire::Message;

/// SELU is λ · ELU, the latter with this α.
pub(crate) const SELU_ALPHA: f32 = 1.673_263_2;
pub(crate) const SELU_LAMBDA: f32 = 1.050_701;

/// GELU's approximation is x · (1 + tanh(slope · (x + cubic · x³))) / 2.
pub(crate) const GELU_CUBIC: Float = 0.044_715;
pub(crate) const GELU_SLOPE: Float = 0.797_884_560_802_865_4_f64 as Float;

/// Makes both ways of the lines below.
macro_rules! operators {
    ($(
        $operator:literal $([$($fixed:ident = $default:literal is $value:expr),*])? ($($attribute:ident = $usual:literal => $setting:ident),*) = $function:ident, $layer:expr
    );* $(;)?) => {
        /// The operator that computes a function, and its attributes; none if several nodes have to.
        pub(crate) fn operator(function: Function) -> Option<(&'static str, Vec<Message>)> {
            match function {
                $(Function::$function { $($setting),* } => Some((
                    $operator,
                    vec![
                        $($(float(stringify!($fixed), $value),)*)?
                        $(float(stringify!($attribute), $setting as f32)),*
                    ],
                )),)*
                _ => None,
            }
        }

        /// The layer that computes what a node does, if its operator is one of these.
        pub(crate) fn layer(node: &Operands<'_, '_>) -> Result<Option<Box<dyn Layer>>, String> {
            Ok(Some(match node.operator() {
                $($operator => {
                    $($(node.fixed(stringify!($fixed), $default, $value)?;)*)?
                    $(let $setting = node.setting(stringify!($attribute), $usual)?;)*
                    Box::new($layer)
                })*
                _ => return Ok(None),
            }))
        }
    };
}

// The operator; in brackets, each attribute that is a number of the function, with what it is where a file doesn't say, and that number;
// each other attribute, likewise, and the setting that it is; the function, and its layer.
operators! {
    "Relu"() = Relu, Relu;
    "LeakyRelu"(alpha = 0.01 => slope) = LeakyRelu, LeakyRelu::new(slope);
    "Elu"(alpha = 1.0 => alpha) = Elu, Elu::new(alpha);
    "Sigmoid"() = Sigmoid, Sigmoid;
    "Tanh"() = Tanh, Tanh;
    "Softplus"() = Softplus, Softplus;
    "HardSigmoid"[alpha = 0.2 is 1.0 / 6.0, beta = 0.5 is 0.5]() = HardSigmoid, HardSigmoid;
    "HardSwish"() = HardSwish, HardSwish;
}
