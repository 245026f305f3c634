//! What each operator becomes, whose first input depends on the network's.

use std::collections::BTreeMap;

use gradus::layer::{Function, Operation};
use gradus::{
    AvgPool1d, AvgPool2d, BatchNorm, Clamp, Conv1d, Conv2d, ConvTranspose2d, Dropout, Float, Gelu, GeluTanh,
    GlobalAvgPool1d, GlobalAvgPool2d, GlobalMaxPool1d, GlobalMaxPool2d, GroupNorm, Join, Layer, LayerNorm, LogSoftmax,
    MaxPool1d, MaxPool2d, Mish, PRelu, Padding, Padding1d, Relu, Selu, Silu, Size2, Softmax, ZeroPad2d,
};

use super::constant::{Constant, SAMPLES, axis, flatten_axis, squeezed, unsqueezed};
use super::operands::Operands;
use super::steps::{Convolution, Kind, Linear, Steps, of};
use super::value::{Order, Value};
use crate::functions::{self, GELU_CUBIC, GELU_SLOPE, SELU_ALPHA, SELU_LAMBDA};
use crate::model::data_type;

/// The smallest x where softplus(x) is x in single precision.
const SOFTPLUS_IS_X: Float = 15.0;

/// What is known of a graph while its nodes are read, in order.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) steps: Steps,
    pub(super) values: BTreeMap<&'a str, Value>,
    /// The number of samples, if the graph is made for so many.
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
            "Pad" => self.zero_pad(node),
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
                    Some(ratio) => ratio.scalar().ok_or("its ratio is not a number")?,
                    None => node.float("ratio", 0.5)? as Float,
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

    fn activation(&mut self, node: &Operands<'_, 'a>, layer: Box<dyn Layer>) -> Result<Value, String> {
        if node.node.outputs.iter().skip(1).any(|output| !output.is_empty()) {
            return Err("it gives more than one output".into());
        }
        let x = self.input(node, 0)?;
        Ok(x.at(self.steps.boxed(x.step, layer, vec![])?))
    }

    /// Whether it is λ · ELU with the numbers of SELU.
    fn is_part_of_selu(&self, x: &Value, factors: &[Float]) -> bool {
        let step = &self.steps.all[x.step];
        let Kind::Layer { layer, .. } = &step.kind else {
            return false;
        };
        let operation = layer.bind(&step.output).ok().and_then(|bound| bound.operation());
        let Some(Operation::Map(Function::Elu { alpha })) = operation else {
            return false;
        };
        near(alpha as Float, Float::from(SELU_ALPHA))
            && factors.len() == 1
            && near(factors[0], Float::from(SELU_LAMBDA))
    }

    /// Bounds are attributes in early versions, and inputs later.
    fn clamp(&mut self, node: &Operands<'_, 'a>) -> Result<Value, String> {
        let bound = |i, name| match node.optional(i)? {
            Some(bound) => bound.scalar().map(Some).ok_or(format!("its {name} is not a number")),
            None => Ok(node.given_float(name).map(|bound| bound as Float)),
        };
        let layer: Box<dyn Layer> = match (bound(1, "min")?, bound(2, "max")?) {
            (Some(low), Some(high)) => Box::new(Clamp::new(low, high)),
            (Some(0.0), None) => Box::new(Relu),
            _ => return Err("it has one bound: only two can be imported, or 0 as the lower one".into()),
        };
        self.activation(node, layer)
    }

    fn scaled(&mut self, x: &Value, scale: Vec<Float>, shift: Vec<Float>) -> Result<Value, String> {
        let each = scale.len().max(shift.len());
        // A number for each feature needs the features as the first axis.
        let x = if each == 1 || self.steps.output(x.step).first() == Some(&each) {
            x.clone()
        } else {
            self.own(x)?
        };
        Ok(x.at(self.steps.scale(x.step, scale, shift)))
    }

    /// A constant that is combined with each sample: one number for all of it, or one for each feature, in the network's order.
    fn features(&self, x: &Value, constant: &Constant) -> Result<Vec<Float>, String> {
        let refuse = || {
            format!(
                "its constant has the dimensions {:?}, and its input {:?} in each sample: it must have a number for all, or for each feature or channel",
                constant.dims, x.dims
            )
        };
        let values = constant.floats()?;
        let mut long = (0..constant.dims.len()).filter(|&i| constant.dims[i] != 1);
        let axis = match (long.next(), long.next()) {
            (None, _) if values.len() == 1 && constant.dims.len() <= x.dims.len() + 1 => return Ok(values.to_vec()),
            (Some(axis), None) => axis,
            _ => return Err(refuse()),
        };
        // Dimensions are matched from the last on.
        let matched = (x.dims.len() + axis)
            .checked_sub(constant.dims.len())
            .ok_or_else(refuse)?;
        if x.dims.get(matched) != Some(&values.len()) || x.own_axis(matched) != 0 {
            return Err(refuse());
        }
        Ok(in_own_order(x, values))
    }

    fn arithmetic(&mut self, node: &Operands<'_, 'a>) -> Result<Value, String> {
        let operator = node.operator();
        if !node.is_constant(0) && !node.is_constant(1) {
            let (a, b) = (self.input(node, 0)?, self.input(node, 1)?);
            return match operator {
                "Add" if self.is_cubic_part(&a, &b) => Ok(a.at(self.steps.push(a.step, Kind::CubicSum))),
                "Add" if self.is_cubic_part(&b, &a) => Ok(b.at(self.steps.push(b.step, Kind::CubicSum))),
                "Add" => self.add(&a, &b),
                "Mul" => self.multiply(&a, &b),
                _ => Err("it combines two values of the network: only Add and Mul can".into()),
            };
        }
        let (value, constant) = if node.is_constant(0) { (1, 0) } else { (0, 1) };
        let x = self.input(node, value)?;
        let numbers = self.features(&x, node.constant(constant)?)?;
        let with = |f: fn(Float) -> Float| numbers.iter().map(|&number| f(number)).collect::<Vec<_>>();
        match operator {
            "Add" => self.scaled(&x, vec![1.0], numbers),
            "Sub" if value == 0 => self.scaled(&x, vec![1.0], with(|number| -number)),
            "Sub" => self.scaled(&x, vec![-1.0], numbers),
            "Mul" if self.is_part_of_selu(&x, &numbers) => {
                Ok(x.at(self.steps.layer(self.steps.all[x.step].parent, Selu, vec![])?))
            }
            "Mul" => self.scaled(&x, numbers, vec![0.0]),
            _ if value == 0 => self.scaled(&x, with(|number| 1.0 / number), vec![0.0]),
            _ => Err("it divides by a value of the network".into()),
        }
    }

    /// scikit-learn's StandardScaler and its like: (x - offset) · scale.
    fn scaler(&mut self, node: &Operands<'_, 'a>) -> Result<Value, String> {
        let x = self.input(node, 0)?;
        let numbers = |name: &str, usual: Float| -> Result<Vec<Float>, String> {
            let values: Vec<_> = node
                .floats(name)
                .unwrap_or_default()
                .iter()
                .map(|&value| value as Float)
                .collect();
            match values.len() {
                0 => Ok(vec![usual]),
                count if x.order == Order::Same && (count == 1 || x.dims == [count]) => Ok(values),
                count => Err(format!(
                    "its {name} has {count} numbers, and its input {:?} in each sample",
                    x.dims
                )),
            }
        };
        let (offset, scale) = (numbers("offset", 0.0)?, numbers("scale", 1.0)?);
        let moved = self.scaled(&x, vec![1.0], offset.iter().map(|offset| -offset).collect())?;
        self.scaled(&moved, scale, vec![0.0])
    }

    fn add(&mut self, a: &Value, b: &Value) -> Result<Value, String> {
        let (one, other) = self.alike(a, b)?;
        Ok(a.at(self.steps.sum(one, other)?))
    }

    /// A product of two values: x · σ(x), x · tanh(softplus(x)), GELU as x · (1 + erf(x / √2)) and the like, or any other.
    fn multiply(&mut self, a: &Value, b: &Value) -> Result<Value, String> {
        for (x, gate) in [(a, b), (b, a)] {
            let step = &self.steps.all[gate.step];
            match &step.kind {
                Kind::Layer { layer, .. } if layer.kind() == "sigmoid" && step.parent == x.step => {
                    return Ok(x.at(self.steps.layer(x.step, Silu, vec![])?));
                }
                Kind::Layer { layer, .. } if layer.kind() == "tanh" && self.is_softplus_of(step.parent, x.step) => {
                    return Ok(x.at(self.steps.layer(x.step, Mish, vec![])?));
                }
                _ => {}
            }
            if let Some(Gated { input, factor }) = self.gelu(x.step, gate.step) {
                let gelu = self.steps.layer(input, Gelu, vec![])?;
                return Ok(x.at(self.steps.scale(gelu, vec![factor], vec![0.0])));
            }
        }
        for (x, gate) in [(a, b), (b, a)] {
            if let Some(Gated { input, factor }) = self.gelu_tanh(x.step, gate.step) {
                let gelu = self.steps.layer(input, GeluTanh, vec![])?;
                return Ok(x.at(self.steps.scale(gelu, vec![factor], vec![0.0])));
            }
        }
        for (x, gate) in [(a, b), (b, a)] {
            if let Some(channels) = channels_of_gate(x, gate) {
                let x = self.own(x)?;
                let gate = match self.steps.output(gate.step).dims() {
                    [c] | [c, 1, 1] if *c == channels => gate.step,
                    _ => self.steps.shaped(gate.step, &[channels])?,
                };
                return Ok(x.at(self.steps.join(Join::Multiply, &[x.step, gate])?));
            }
        }
        let (one, other) = self.alike(a, b)?;
        Ok(a.at(self.steps.join(Join::Multiply, &[one, other])?))
    }

    /// The steps of two values that have the same dimensions.
    fn alike(&mut self, a: &Value, b: &Value) -> Result<(usize, usize), String> {
        if a.dims != b.dims || a.order != b.order {
            return Err(format!(
                "its inputs have the dimensions {:?} and {:?}, or another order of their axes",
                a.dims, b.dims
            ));
        }
        Ok((self.own(a)?.step, self.own(b)?.step))
    }

    fn is_softplus_of(&self, step: usize, x: usize) -> bool {
        let step = &self.steps.all[step];
        matches!(&step.kind, Kind::Layer { layer, .. } if layer.kind() == "softplus" && step.parent == x)
    }

    /// The product of x and a gate, if it is factor · GELU(u): where x = m · u and the gate is s · (1 + erf(u / √2)), the factor
    /// is 2 · m · s. Both sides are compared as multiples of the step v from which they part: x = p · v + q, and the argument of
    /// erf is α · v + β.
    fn gelu(&mut self, x: usize, gate: usize) -> Option<Gated> {
        let (erf, s, t) = self.steps.unscaled(gate);
        if s.len() != 1 || t.len() != 1 || !near(s[0], t[0]) || !matches!(self.steps.all[erf].kind, Kind::Erf) {
            return None;
        }
        let (from, p, q) = self.steps.unscaled(x);
        let (same, alpha, beta) = self.steps.unscaled(self.steps.all[erf].parent);
        if from != same {
            return None;
        }
        let root = std::f64::consts::SQRT_2 as Float;
        let m = p[0] / (alpha[0] * root);
        let count = [&p, &q, &alpha, &beta].map(Vec::len).into_iter().max()?;
        let matches =
            (0..count).all(|i| near(of(&p, i), m * root * of(&alpha, i)) && near(of(&q, i), m * root * of(&beta, i)));
        if !m.is_finite() || m == 0.0 || !matches {
            return None;
        }
        let exact = |value: Float| if near(value, 1.0) { 1.0 } else { value };
        let m = exact(m);
        let input = if m == 1.0 {
            x
        } else {
            let scale = p.iter().map(|p| exact(p / m)).collect();
            self.steps.scale(from, scale, q.iter().map(|q| q / m).collect())
        };
        Some(Gated {
            input,
            factor: exact(2.0 * m * s[0]),
        })
    }

    /// Whether `part` is 0.044715 · x³.
    fn is_cubic_part(&self, x: &Value, part: &Value) -> bool {
        let (cube, scale, shift) = self.steps.unscaled(part.step);
        let step = &self.steps.all[cube];
        matches!(step.kind, Kind::Cube)
            && step.parent == x.step
            && scale.len() == 1
            && near(scale[0], GELU_CUBIC)
            && shift == [0.0]
    }

    /// The product of x and a gate, if it is factor · (u · (1 + tanh(√(2/π) · (u + 0.044715 · u³))) / 2): x is m · u, and the gate
    /// s · (1 + tanh(…)); the factor is 2 · m · s.
    fn gelu_tanh(&self, x: usize, gate: usize) -> Option<Gated> {
        let (tanh, s, t) = self.steps.unscaled(gate);
        let is_tanh = matches!(&self.steps.all[tanh].kind, Kind::Layer { layer, .. } if layer.kind() == "tanh");
        if s.len() != 1 || t.len() != 1 || !near(s[0], t[0]) || !is_tanh {
            return None;
        }
        let (sum, slope, shift) = self.steps.unscaled(self.steps.all[tanh].parent);
        let is_argument = slope.len() == 1 && near(slope[0], GELU_SLOPE) && shift == [0.0];
        if !is_argument || !matches!(self.steps.all[sum].kind, Kind::CubicSum) {
            return None;
        }
        let u = self.steps.all[sum].parent;
        let ((from, p, q), (same, c, d)) = (self.steps.unscaled(x), self.steps.unscaled(u));
        let m = p[0] / c[0];
        let count = [&p, &q, &c, &d].map(Vec::len).into_iter().max()?;
        let matches = (0..count).all(|i| near(of(&p, i), m * of(&c, i)) && near(of(&q, i), m * of(&d, i)));
        (from == same && m.is_finite() && m != 0.0 && matches).then_some(Gated {
            input: u,
            factor: 2.0 * m * s[0],
        })
    }

    fn gemm(&mut self, node: &Operands<'_, 'a>) -> Result<Value, String> {
        let x = self.input(node, 0)?;
        let (alpha, beta) = (node.float("alpha", 1.0)? as Float, node.float("beta", 1.0)? as Float);
        if node.integer("transA", 0)? != 0 {
            return Err("it turns its input".into());
        }
        let mut weight = node.constant(1)?.clone();
        if node.integer("transB", 0)? != 0 {
            weight = weight.transposed(&[1, 0])?;
        }
        let bias = node.optional(2)?;
        let y = self.dense(&x, &weight, bias.map(|bias| (bias, beta / alpha)))?;
        if alpha == 1.0 {
            Ok(y)
        } else {
            self.scaled(&y, vec![alpha], vec![0.0])
        }
    }

    /// A dense layer with a weight of inputs × units, and a bias that is multiplied by a factor.
    fn dense(&mut self, x: &Value, weight: &Constant, bias: Option<(&Constant, Float)>) -> Result<Value, String> {
        let (&[inputs, units], &[size]) = (&weight.dims[..], &x.dims[..]) else {
            return Err(format!(
                "its weight has the dimensions {:?} and its input {:?} in each sample: only flat samples and matrices can be imported",
                weight.dims, x.dims
            ));
        };
        if inputs != size || units == 0 {
            return Err(format!(
                "its weight has the dimensions {:?}, and its input {size} values",
                weight.dims
            ));
        }
        let mut w = weight.floats()?.to_vec();
        if let Some(places) = x.row_places() {
            for (row, place) in weight.floats()?.chunks_exact(units).zip(places) {
                w[place * units..][..units].copy_from_slice(row);
            }
        }
        let bias = match bias {
            None => None,
            Some((bias, factor)) => {
                let values = bias.floats()?;
                let last = bias.dims.last().copied().unwrap_or(1);
                if last != values.len() || ![1, units].contains(&last) {
                    return Err(format!(
                        "its bias has the dimensions {:?}, and it has {units} units",
                        bias.dims
                    ));
                }
                Some(
                    (0..units)
                        .map(|unit| factor * values[if last == 1 { 0 } else { unit }])
                        .collect(),
                )
            }
        };
        let step = self.steps.shaped(x.step, &[size])?;
        let linear = Linear {
            conv: None,
            units,
            weight: w,
            bias,
        };
        Ok(Value::with_axes(self.steps.linear(step, linear)?, vec![units], vec![0]))
    }

    fn conv(&mut self, node: &Operands<'_, 'a>) -> Result<Value, String> {
        let x = self.image_or_sequence(node)?;
        let weight = node.constant(1)?;
        let (channels, kernel) = match weight.dims[..] {
            [channels, _, ref kernel @ ..] if kernel.len() + 1 == x.dims.len() => (channels, kernel),
            _ => {
                return Err(format!(
                    "its weight has the dimensions {:?}, and its input {:?} in each sample: it must have two more than a kernel",
                    weight.dims, x.dims
                ));
            }
        };
        let window = Window::read(node, kernel)?;
        let groups = usize::try_from(node.integer("group", 1)?).map_err(|_| "it has a negative number of groups")?;
        let padding = window.padding(&x.dims)?;
        let layer = if kernel.len() == 1 {
            let layer = Conv1d::new(channels, window.kernel.width).stride(window.stride.width);
            let layer = layer.dilation(window.dilation.width).padding(of_ends(padding));
            Convolution::OfSequences(layer.groups(groups))
        } else {
            let layer = Conv2d::new(channels, window.kernel).stride(window.stride);
            let layer = layer.dilation(window.dilation).padding(padding);
            Convolution::OfImages(layer.groups(groups))
        };
        let linear = Linear {
            conv: Some(layer),
            units: channels,
            weight: weight.floats()?.to_vec(),
            bias: node
                .optional(2)?
                .map(|bias| bias.floats().map(<[_]>::to_vec))
                .transpose()?,
        };
        let step = self.steps.linear(x.step, linear)?;
        Ok(self.fresh(step))
    }

    fn conv_transpose(&mut self, node: &Operands<'_, 'a>) -> Result<Value, String> {
        let x = self.image_or_sequence(node)?;
        let weight = node.constant(1)?;
        let &[_, group_out, height, width] = &weight.dims[..] else {
            return Err(format!(
                "its weight has the dimensions {:?}: only images can be convolved",
                weight.dims
            ));
        };
        let window = Window::read(node, &[height, width])?;
        if window.same.is_some() || node.integers("output_shape").is_some() {
            return Err(
                "its padding is computed (auto_pad, output_shape): only numbers (pads, output_padding) can be imported"
                    .into(),
            );
        }
        let groups = usize::try_from(node.integer("group", 1)?).map_err(|_| "it has a negative number of groups")?;
        let channels = group_out
            .checked_mul(groups)
            .ok_or("it has more channels than any image")?;
        let output_padding = node.sizes("output_padding")?.unwrap_or([0; 2]);
        let layer = ConvTranspose2d::new(channels, window.kernel)
            .stride(window.stride)
            .dilation(window.dilation)
            .padding(window.padding(&x.dims)?)
            .output_padding(output_padding)
            .groups(groups);
        let mut tensors = vec![("weight", weight.floats()?.to_vec())];
        let bias = node.optional(2)?;
        if let Some(bias) = bias {
            tensors.push(("bias", bias.floats()?.to_vec()));
        }
        let step = self.steps.layer(x.step, layer.bias(bias.is_some()), tensors)?;
        Ok(self.fresh(step))
    }

    /// The output of a step, in its own order.
    fn fresh(&self, step: usize) -> Value {
        let dims = self.steps.output(step).to_vec();
        let axes = (0..dims.len()).collect();
        Value::with_axes(step, dims, axes)
    }

    fn batch_norm(&mut self, node: &Operands<'_, 'a>) -> Result<Value, String> {
        if node.integer("training_mode", 0)? != 0 {
            return Err("it is exported for training: export the network in evaluation mode".into());
        }
        let x = self.input(node, 0)?;
        if x.dims.len() != 1 && (x.dims.len() > 3 || x.order != Order::Same) {
            return Err(format!(
                "its input has the dimensions {:?} in each sample, or its channels not first",
                x.dims
            ));
        }
        let step = self.steps.shaped(x.step, &x.own_dims())?;
        let mut tensors = Vec::new();
        for (i, name) in ["weight", "bias", "running_mean", "running_var"]
            .into_iter()
            .enumerate()
        {
            let values = node.constant(i + 1)?.floats()?;
            if values.len() != x.dims[0] {
                return Err(format!(
                    "its {name} has {} values, and its input {:?} features",
                    values.len(),
                    x.dims
                ));
            }
            tensors.push((name, in_own_order(&x, values)));
        }
        let layer = BatchNorm::new()
            .epsilon(node.float("epsilon", 1e-5)? as Float)
            .momentum(1.0 - node.float("momentum", 0.9)? as Float);
        Ok(x.at(self.steps.layer(step, layer, tensors)?))
    }

    fn layer_norm(&mut self, node: &Operands<'_, 'a>) -> Result<Value, String> {
        let x = self.input(node, 0)?;
        if x.order != Order::Same || axis(node.integer("axis", -1)?, x.dims.len() + 1)? != 1 {
            return Err(
                "it normalizes a part of each sample, or one whose axes are turned: only whole samples can be imported"
                    .into(),
            );
        }
        let weight = node.constant(1)?.floats()?.to_vec();
        let bias = match node.optional(2)? {
            Some(bias) => bias.floats()?.to_vec(),
            None => vec![0.0; weight.len()],
        };
        let x = self.own(&x)?;
        let layer = LayerNorm::new().epsilon(node.float("epsilon", 1e-5)? as Float);
        Ok(x.at(self
            .steps
            .layer(x.step, layer, vec![("weight", weight), ("bias", bias)])?))
    }

    /// Without a number of groups, a group for each channel.
    fn group_norm(&mut self, node: &Operands<'_, 'a>, groups: Option<usize>) -> Result<Value, String> {
        let x = self.input(node, 0)?;
        if x.order != Order::Same {
            return Err("its channels do not come first in the network, and a transposition can't be absorbed".into());
        }
        let x = self.own(&x)?;
        let tensors = vec![
            ("weight", node.constant(1)?.floats()?.to_vec()),
            ("bias", node.constant(2)?.floats()?.to_vec()),
        ];
        let layer = groups.map_or(GroupNorm::instance(), GroupNorm::new);
        let layer = layer.epsilon(node.float("epsilon", 1e-5)? as Float);
        Ok(x.at(self.steps.layer(x.step, layer, tensors)?))
    }

    fn zero_pad(&mut self, node: &Operands<'_, 'a>) -> Result<Value, String> {
        let x = self.image_or_sequence(node)?;
        if !matches!(node.text("mode"), None | Some(b"constant")) {
            return Err("it pads with other values than zeros".into());
        }
        let fill = match node.optional(2)? {
            Some(fill) => fill.scalar().ok_or("its fill is not a number")?,
            None => node.float("value", 0.0)? as Float,
        };
        let pads = match node.integers("pads") {
            Some(pads) => pads,
            None => node.constant(1)?.whole()?,
        };
        let refuse = || format!("it pads by {pads:?}: only zeros around the pixels of an image can be imported");
        let &[0, 0, top, left, 0, 0, bottom, right] = pads else {
            return Err(refuse());
        };
        if fill != 0.0 || node.optional(3)?.is_some() {
            return Err(refuse());
        }
        let size = |pad: i64| usize::try_from(pad).map_err(|_| refuse());
        let padding = Padding::Explicit {
            top: size(top)?,
            bottom: size(bottom)?,
            left: size(left)?,
            right: size(right)?,
        };
        let step = self.steps.layer(x.step, ZeroPad2d::new(padding), vec![])?;
        Ok(self.fresh(step))
    }

    fn pool(&mut self, node: &Operands<'_, 'a>) -> Result<Value, String> {
        let x = self.image_or_sequence(node)?;
        if node.node.outputs.iter().skip(1).any(|output| !output.is_empty()) {
            return Err("it also gives the places of the largest values".into());
        }
        let of_sequences = x.dims.len() == 2;
        let missing = "it has no kernel_shape";
        let window = if of_sequences {
            Window::read(node, &node.sizes::<1>("kernel_shape")?.ok_or(missing)?)?
        } else {
            Window::read(node, &node.sizes::<2>("kernel_shape")?.ok_or(missing)?)?
        };
        if window.dilation != Size2::from(1) {
            return Err("its window is dilated".into());
        }
        let padding = window.padding(&x.dims)?;
        if node.integer("ceil_mode", 0)? != 0 && !window.fits(&x.dims, padding) {
            return Err("its last windows reach beyond the image (ceil_mode)".into());
        }
        let Window { kernel, stride, .. } = window;
        let excluded = padding != Padding::Valid && node.integer("count_include_pad", 0)? == 0;
        let layer: Box<dyn Layer> = match (node.operator(), of_sequences) {
            ("MaxPool", false) => Box::new(MaxPool2d::new(kernel).stride(stride).padding(padding)),
            ("MaxPool", true) => {
                let layer = MaxPool1d::new(kernel.width).stride(stride.width);
                Box::new(layer.padding(of_ends(padding)))
            }
            (_, false) => {
                let layer = AvgPool2d::new(kernel).stride(stride).padding(padding);
                Box::new(if excluded { layer.exclude_padding() } else { layer })
            }
            (_, true) => {
                let layer = AvgPool1d::new(kernel.width).stride(stride.width);
                let layer = layer.padding(of_ends(padding));
                Box::new(if excluded { layer.exclude_padding() } else { layer })
            }
        };
        let step = self.steps.boxed(x.step, layer, vec![])?;
        Ok(self.fresh(step))
    }

    fn global_pool(&mut self, node: &Operands<'_, 'a>) -> Result<Value, String> {
        let x = self.image_or_sequence(node)?;
        let layer: Box<dyn Layer> = match (node.operator(), x.dims.len()) {
            ("GlobalMaxPool", 2) => Box::new(GlobalMaxPool1d::new()),
            ("GlobalMaxPool", _) => Box::new(GlobalMaxPool2d::new()),
            (_, 2) => Box::new(GlobalAvgPool1d::new()),
            _ => Box::new(GlobalAvgPool2d::new()),
        };
        let step = self.steps.boxed(x.step, layer, vec![])?;
        let mut dims = vec![1; x.dims.len()];
        dims[0] = x.dims[0];
        Ok(Value::with_axes(step, dims, (0..x.dims.len()).collect()))
    }

    /// The mean of each channel.
    fn mean(&mut self, node: &Operands<'_, 'a>) -> Result<Value, String> {
        let x = self.input(node, 0)?;
        let rank = x.dims.len() + 1;
        let axes = node.axes(1)?.ok_or("it names no axes")?;
        let axes = axes.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>, _>>()?;
        let mut own: Vec<_> = axes
            .iter()
            .map(|&axis| axis.checked_sub(1).map(|i| x.own_axis(i)))
            .collect();
        own.sort_unstable();
        let layer: Box<dyn Layer> = match (rank, &own[..]) {
            (3, [Some(1)]) => Box::new(GlobalAvgPool1d::new()),
            (4, [Some(1), Some(2)]) => Box::new(GlobalAvgPool2d::new()),
            _ => {
                return Err(format!(
                    "it takes the mean along the axes {axes:?}: only that of all values of a channel can be imported"
                ));
            }
        };
        let channels = x.own_dims()[0];
        let x = self.own(&x)?;
        let step = self.steps.boxed(x.step, layer, vec![])?;
        let dims = match node.integer("keepdims", 1)? {
            0 => vec![channels],
            _ => (0..rank - 1)
                .map(|i| if x.own_axis(i) == 0 { channels } else { 1 })
                .collect(),
        };
        let axes = (0..dims.len()).collect();
        Ok(Value::with_axes(step, dims, axes))
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

    fn softmax(&mut self, node: &Operands<'_, 'a>, layer: impl Layer) -> Result<Value, String> {
        let x = self.input(node, 0)?;
        let usual = if node.opset < 13 { 1 } else { -1 };
        if x.dims.len() != 1 || axis(node.integer("axis", usual)?, 2)? != 1 {
            return Err(format!(
                "its input has the dimensions {:?} in each sample: only flat samples can be imported",
                x.dims
            ));
        }
        let step = self.steps.shaped(x.step, &x.dims)?;
        Ok(x.at(self.steps.layer(step, layer, vec![])?))
    }

    fn prelu(&mut self, node: &Operands<'_, 'a>) -> Result<Value, String> {
        let x = self.input(node, 0)?;
        let slopes = self.features(&x, node.constant(1)?)?;
        let (x, layer) = match slopes.len() {
            1 => (x, PRelu::new()),
            _ => (self.own(&x)?, PRelu::new().per_channel()),
        };
        Ok(x.at(self.steps.layer(x.step, layer, vec![("weight", slopes)])?))
    }

    /// Values one after the other along their first axis.
    fn concat(&mut self, node: &Operands<'_, 'a>) -> Result<Value, String> {
        let values = (0..node.inputs())
            .map(|i| self.input(node, i))
            .collect::<Result<Vec<_>, _>>()?;
        let first = values.first().ok_or("it has no inputs")?.clone();
        let rank = first.dims.len() + 1;
        let along = axis(node.integer("axis", 1)?, rank)?;
        if let Some(pair) = self.pair(&values, along)? {
            return Ok(pair);
        }
        let fits = |value: &Value| {
            let others = |value: &Value| {
                (1..rank)
                    .filter(|i| *i != along)
                    .map(|i| value.dims[i - 1])
                    .collect::<Vec<_>>()
            };
            value.dims.len() + 1 == rank
                && value.order == first.order
                && !matches!(value.order, Order::Row { .. })
                && others(value) == others(&first)
        };
        if along == 0 || first.own_axis(along - 1) != 0 || !values.iter().all(fits) {
            let dims: Vec<_> = values.iter().map(|value| &value.dims).collect();
            return Err(format!(
                "it joins samples of {dims:?} along axis {along}: only channels, or the values of flat samples, can be joined"
            ));
        }
        let mut steps = Vec::with_capacity(values.len());
        for value in &values {
            steps.push(self.own(value)?.step);
        }
        let mut joined = first.at(match steps[..] {
            [only] => only,
            _ => self.steps.concat(&steps)?,
        });
        joined.dims[along - 1] = values.iter().map(|value| value.dims[along - 1]).sum();
        Ok(joined)
    }

    /// The probabilities 1 − x and x, as scikit-learn has them of two classes; none if these values are others.
    fn pair(&mut self, values: &[Value], along: usize) -> Result<Option<Value>, String> {
        let [a, b] = values else { return Ok(None) };
        let from = self.steps.fork(&[a.step, b.step]);
        let row = self.steps.between(from, a.step);
        let kinds: Vec<_> = row.iter().map(|&step| &self.steps.all[step].kind).collect();
        match kinds[..] {
            [Kind::Scale { scale, shift }]
                if from == b.step
                    && scale == &[-1.0]
                    && shift == &[1.0]
                    && a.dims == [1]
                    && b.dims == [1]
                    && along == 1 =>
            {
                let step = self.steps.shaped(b.step, &[1])?;
                let step = self.steps.push(step, Kind::Pair);
                Ok(Some(Value::with_axes(step, vec![2], vec![0])))
            }
            _ => Ok(None),
        }
    }

    /// PyTorch writes softplus as: where x > 20 then x else softplus(x).
    fn choice(&mut self, node: &Operands<'_, 'a>) -> Result<Value, String> {
        let [condition, then, other] = [self.input(node, 0)?, self.input(node, 1)?, self.input(node, 2)?];
        let step = |value: &Value| &self.steps.all[value.step];
        match (&step(&condition).kind, &step(&other).kind) {
            (Kind::Above(bound), Kind::Layer { layer, .. })
                if *bound >= SOFTPLUS_IS_X
                    && layer.kind() == "softplus"
                    && [step(&condition).parent, step(&other).parent] == [then.step; 2] =>
            {
                Ok(other)
            }
            _ => Err("it chooses between values, which no layer does but softplus".into()),
        }
    }
}

/// How many channels x has, if the other value has one number for each of them.
fn channels_of_gate(x: &Value, gate: &Value) -> Option<usize> {
    let channels = (0..x.dims.len()).find(|&i| x.own_axis(i) == 0)?;
    let is_gate = gate.dims.len() == x.dims.len()
        && gate.dims != x.dims
        && (0..x.dims.len()).all(|i| gate.dims[i] == if i == channels { x.dims[i] } else { 1 });
    is_gate.then_some(x.dims[channels])
}

/// A product that is factor · GELU(input).
struct Gated {
    input: usize,
    factor: Float,
}

/// How far apart, in parts of themselves, numbers may be that are the same but for rounding.
const NEAR: Float = 1e-5;

fn near(a: Float, b: Float) -> bool {
    (a - b).abs() <= NEAR * a.abs().max(b.abs())
}

/// What stands for the number of samples among dimensions.
const UNKNOWN: usize = usize::MAX;

fn with_samples(dims: &[usize]) -> Vec<usize> {
    [&[UNKNOWN], dims].concat()
}

/// A number for each feature of a value, in the network's order.
fn in_own_order(x: &Value, values: &[Float]) -> Vec<Float> {
    let mut own = values.to_vec();
    if let Some(places) = x.row_places() {
        places
            .into_iter()
            .zip(values)
            .for_each(|(place, &value)| own[place] = value);
    }
    own
}

/// The window of a convolution or a pooling. One over sequences is one over images of height 1.
struct Window {
    kernel: Size2,
    stride: Size2,
    dilation: Size2,
    /// As ONNX has it: top, left, bottom, right.
    pads: [usize; 4],
    /// How it is to be computed, if it is not given.
    same: Option<Same>,
}

/// The height and the width of a sample; a sequence is an image of height 1.
fn height_and_width(sample: &[usize]) -> [usize; 2] {
    match *sample {
        [_, width] => [1, width],
        [_, height, width] => [height, width],
        _ => [1, 1],
    }
}

/// Padding of images of height 1, as that of sequences.
fn of_ends(padding: Padding) -> Padding1d {
    match padding {
        Padding::Valid => Padding1d::Valid,
        Padding::Same => Padding1d::Same,
        Padding::Explicit { left, right, .. } => Padding1d::Explicit {
            before: left,
            after: right,
        },
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Same {
    /// Of an odd number, one more at the end.
    Upper,
    /// One more at the beginning.
    Lower,
}

impl Window {
    /// The window whose kernel has these sizes: two over images, one over sequences.
    fn read(node: &Operands<'_, '_>, kernel: &[usize]) -> Result<Self, String> {
        let each = |name: &str| match kernel.len() {
            1 => Ok(node.sizes(name)?.map(|[size]| [1, size])),
            _ => node.sizes(name),
        };
        let pads = match kernel.len() {
            1 => node.sizes("pads")?.map(|[left, right]| [0, left, 0, right]),
            _ => node.sizes("pads")?,
        };
        let pads = pads.unwrap_or([0; 4]);
        let given = kernel;
        let kernel = match *kernel {
            [width] => [1, width],
            [height, width] => [height, width],
            _ => {
                return Err(format!(
                    "its window has the sizes {kernel:?}: only one or two can be imported"
                ));
            }
        };
        if each("kernel_shape")?.is_some_and(|sizes| sizes != kernel) {
            return Err(format!("its kernel_shape is not that of its weight, {given:?}"));
        }
        let same = match node.text("auto_pad") {
            None | Some(b"NOTSET") => None,
            Some(b"VALID") if pads == [0; 4] => None,
            Some(b"SAME_UPPER") => Some(Same::Upper),
            Some(b"SAME_LOWER") => Some(Same::Lower),
            Some(_) => return Err("its auto_pad is none that can be imported".into()),
        };
        Ok(Window {
            kernel: kernel.into(),
            stride: each("strides")?.unwrap_or([1; 2]).into(),
            dilation: each("dilations")?.unwrap_or([1; 2]).into(),
            pads,
            same,
        })
    }

    /// The padding over a sample of channels × length, or channels × height × width.
    fn padding(&self, sample: &[usize]) -> Result<Padding, String> {
        let [height, width] = height_and_width(sample);
        let [top, left, bottom, right] = match self.same {
            Some(Same::Upper) => return Ok(Padding::Same),
            None if self.pads == [0; 4] => return Ok(Padding::Valid),
            None => self.pads,
            Some(Same::Lower) => {
                let side = |input: usize, kernel: usize, stride: usize, dilation: usize| {
                    let span = kernel.checked_sub(1)?.checked_mul(dilation)?.checked_add(1)?;
                    let reach = (input.checked_sub(1)? / stride.max(1))
                        .checked_mul(stride)?
                        .checked_add(span)?;
                    let padding = reach.saturating_sub(input);
                    Some([padding - padding / 2, padding / 2])
                };
                let Window {
                    kernel,
                    stride,
                    dilation,
                    ..
                } = self;
                let rows = side(height, kernel.height, stride.height, dilation.height);
                let columns = side(width, kernel.width, stride.width, dilation.width);
                let ([top, bottom], [left, right]) = rows.zip(columns).ok_or("its window is larger than any image")?;
                [top, left, bottom, right]
            }
        };
        Ok(Padding::Explicit {
            top,
            bottom,
            left,
            right,
        })
    }

    /// Whether the last windows end where the padded image does.
    fn fits(&self, sample: &[usize], padding: Padding) -> bool {
        let [height, width] = height_and_width(sample);
        let Padding::Explicit {
            top,
            bottom,
            left,
            right,
        } = padding
        else {
            let whole = |input: usize, kernel: usize, stride: usize| {
                padding == Padding::Same
                    || input
                        .checked_sub(kernel)
                        .is_some_and(|rest| rest.is_multiple_of(stride))
            };
            return whole(height, self.kernel.height, self.stride.height)
                && whole(width, self.kernel.width, self.stride.width);
        };
        let whole = |input: usize, before: usize, after: usize, kernel: usize, stride: usize| {
            let padded = input.saturating_add(before).saturating_add(after);
            padded
                .checked_sub(kernel)
                .is_some_and(|rest| rest.is_multiple_of(stride))
        };
        whole(height, top, bottom, self.kernel.height, self.stride.height)
            && whole(width, left, right, self.kernel.width, self.stride.width)
    }
}
