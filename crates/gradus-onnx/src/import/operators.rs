//! What each operator becomes, whose first input depends on the network's.

mod activations;
mod crop;
mod joins;
mod linear;
mod norms;
mod upsample;
mod windows;

use std::collections::BTreeMap;

use super::constant::{SAMPLES, flatten_axis, squeezed, unsqueezed};
use super::operands::{Operands, decimal};
use super::steps::{Kind, Steps};
use super::value::{Order, Value};
use crate::functions::{self, SELU_ALPHA, SELU_LAMBDA};
use crate::model::data_type;
use gradus::{Dropout, Float, Gelu, GeluTanh, LogSoftmax, Mish, Selu, Softmax};

/// The smallest x where softplus(x) is x in single precision.
const SOFTPLUS_IS_X: Float = 15.0;

/// What is known of a graph while its nodes are read, in order.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) steps: Steps,
    pub(super) values: BTreeMap<&'a str, Value>,
    /// The number of samples, if the graph is made for one number alone.
    pub(super) samples: Option<i64>,
}

impl<'a> Reader<'a> {
    /// The value that a node gives, or a sentence that says why it can't be imported.
    pub(super) fn node(&mut self, node: &Operands<'_, 'a>) -> Result<Value, String> {
        let operator = node.operator();
        match operator {
            "Identity" => self.input(node, 0),
            "Cast" => match node.integer("to", 0)? {
                data_type::FLOAT | data_type::DOUBLE => self.input(node, 0),
                other => Err(format!(
                    "it makes ONNX's type {other} of values that must stay numbers with a fraction"
                )),
            },
            "Add" | "Sub" | "Mul" | "Div" => self.arithmetic(node),
            "Neg" => {
                let x = self.input(node, 0)?;
                self.scaled(&x, vec![-1.0], vec![0.0])
            }
            "Scaler" => self.scaler(node),
            "Gemm" => self.gemm(node),
            "MatMul" => {
                let x = self.input(node, 0)?;
                self.dense(&x, node.constant(1)?, None)
            }
            "Conv" => self.conv(node),
            "ConvTranspose" => self.conv_transpose(node),
            "BatchNormalization" => self.batch_norm(node),
            "MaxPool" | "AveragePool" => self.pool(node),
            "GlobalAveragePool" | "GlobalMaxPool" => self.global_pool(node),
            "ReduceMean" => self.mean(node),
            "Flatten" => {
                let x = self.input(node, 0)?;
                match flatten_axis(node.integer("axis", 1)?, x.dims.len() + 1)? {
                    1 => x.reshaped(vec![x.size()]),
                    axis => Err(format!(
                        "its axis is {axis}: only 1, which keeps the samples apart, can be imported"
                    )),
                }
            }
            "Reshape" => self.reshape(node),
            "Squeeze" => {
                let x = self.input(node, 0)?;
                let axes = node.axes(1)?.ok_or("it names no axes")?;
                let dims = squeezed(&with_samples(&x.dims), Some(&axes))?;
                x.reshaped(dims.get(1..).ok_or("it drops all axes")?.to_vec())
            }
            "Unsqueeze" => {
                let x = self.input(node, 0)?;
                let axes = node.axes(1)?.ok_or("it names no axes")?;
                let dims = unsqueezed(&with_samples(&x.dims), &axes)?;
                match dims.split_first() {
                    Some((&UNKNOWN, dims)) => x.reshaped(dims.to_vec()),
                    _ => Err("it puts an axis before that of the samples".into()),
                }
            }
            "Transpose" => {
                let x = self.input(node, 0)?;
                let order = node.order(x.dims.len() + 1)?;
                match order.split_first() {
                    Some((0, rest)) => x.transposed(&rest.iter().map(|&axis| axis.wrapping_sub(1)).collect::<Vec<_>>()),
                    _ => Err(format!("it moves the axis of the samples: {order:?}")),
                }
            }
            "PRelu" => self.prelu(node),
            "LayerNormalization" => self.layer_norm(node),
            "InstanceNormalization" => self.group_norm(node, None),
            "GroupNormalization" => {
                let groups = usize::try_from(node.integer("num_groups", 0)?).unwrap_or(0);
                self.group_norm(node, Some(groups))
            }
            "Pad" => self.pad(node),
            "Slice" => self.slice(node),
            "Resize" | "Upsample" => self.upsample(node),
            "Softmax" => self.softmax(node, Softmax::new()),
            "LogSoftmax" => self.softmax(node, LogSoftmax),
            "Concat" => self.concat(node),
            "Greater" => {
                let x = self.input(node, 0)?;
                let bound = node
                    .constant(1)?
                    .scalar()
                    .ok_or("it compares with more than one number")?;
                Ok(x.at(self.steps.push(x.step, Kind::Above(bound))))
            }
            "Where" => self.choice(node),
            "Erf" => {
                let x = self.input(node, 0)?;
                Ok(x.at(self.steps.push(x.step, Kind::Erf)))
            }
            "Gelu" => match node.text("approximate") {
                None | Some(b"none") => self.activation(node, Box::new(Gelu)),
                Some(b"tanh") => self.activation(node, Box::new(GeluTanh)),
                Some(_) => Err("its approximation of GELU is not that by tanh".into()),
            },
            "Selu" => {
                node.fixed("alpha", SELU_ALPHA, SELU_ALPHA)?;
                node.fixed("gamma", SELU_LAMBDA, SELU_LAMBDA)?;
                self.activation(node, Box::new(Selu))
            }
            "Mish" => self.activation(node, Box::new(Mish)),
            "Pow" => {
                let x = self.input(node, 0)?;
                match node.constant(1)?.scalar() {
                    Some(3.0) => Ok(x.at(self.steps.push(x.step, Kind::Cube))),
                    _ => Err("it is another power than the cube in GELU's approximation".into()),
                }
            }
            "Clip" => self.clamp(node),
            "Dropout" => {
                let ratio = match node.optional(1)? {
                    Some(ratio) => ratio.scalar().map(decimal).ok_or("its ratio is not a number")?,
                    None => node.setting("ratio", 0.5)?,
                };
                self.activation(node, Box::new(Dropout::new(ratio)))
            }
            _ => match functions::layer(node)? {
                Some(layer) => self.activation(node, layer),
                None => Err("no layer does what this operator does".into()),
            },
        }
    }

    /// An input that depends on the network's.
    fn input(&self, node: &Operands<'_, 'a>, i: usize) -> Result<Value, String> {
        let name = node.name(i)?;
        match self.values.get(name) {
            Some(value) => Ok(value.clone()),
            None if node.is_constant(i) => Err(format!(
                "its input `{name}` is a constant, and must be what is computed"
            )),
            None => Err(format!("its input `{name}` is given by no node before it")),
        }
    }

    /// An input that is an image, or a sequence of channels × length.
    fn image_or_sequence(&mut self, node: &Operands<'_, 'a>) -> Result<Value, String> {
        let x = self.input(node, 0)?;
        if ![2, 3].contains(&x.dims.len()) {
            return Err(format!(
                "its input has the dimensions {:?}: only sequences of channels × length and images of channels × height × width can be \
                 imported",
                x.dims
            ));
        }
        if x.order != Order::Same {
            return Err("its channels do not come first in the network, and a transposition can't be absorbed".into());
        }
        self.own(&x)
    }

    /// The value, given by a step whose output has its dimensions in the network.
    fn own(&mut self, x: &Value) -> Result<Value, String> {
        Ok(x.at(self.steps.shaped(x.step, &x.own_dims())?))
    }

    /// The output of a step, in its own order.
    fn fresh(&self, step: usize) -> Value {
        let dims = self.steps.output(step).to_vec();
        let axes = (0..dims.len()).collect();
        Value::with_axes(step, dims, axes)
    }

    fn reshape(&mut self, node: &Operands<'_, 'a>) -> Result<Value, String> {
        let x = self.input(node, 0)?;
        let shape = node.constant(1)?.whole()?;
        let refuse = || format!("it gives samples of {:?} the shape {shape:?}", x.dims);
        let copied = node.integer("allowzero", 0)? == 0;
        let (&first, rest) = shape.split_first().ok_or_else(refuse)?;
        let mut dims = Vec::new();
        for (i, &dim) in rest.iter().enumerate() {
            dims.push(match dim {
                0 if copied => *x.dims.get(i).ok_or_else(refuse)?,
                -1 => 1,
                _ => usize::try_from(dim).map_err(|_| refuse())?,
            });
        }
        let size = |dims: &[usize]| dims.iter().fold(1usize, |size, &dim| size.saturating_mul(dim));
        if let Some(free) = rest.iter().position(|&dim| dim == -1) {
            dims[free] = x.size().checked_div(size(&dims)).ok_or_else(refuse)?;
        }
        // Where the first is a number, it is the number of samples that the graph was made for. The sizes show whether it is, unless
        // one of them is open: then only the input can.
        let open = rest.contains(&-1) && first != self.samples.unwrap_or(1);
        let samples = first == SAMPLES || first == 0 && copied || first == -1 || first > 0 && !open;
        if !samples || size(&dims) != x.size() {
            return Err(refuse());
        }
        x.reshaped(dims)
    }
}

/// What stands for the number of samples among dimensions.
const UNKNOWN: usize = usize::MAX;

fn with_samples(dims: &[usize]) -> Vec<usize> {
    [&[UNKNOWN], dims].concat()
}
