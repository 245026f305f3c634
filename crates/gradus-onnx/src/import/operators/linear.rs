//! Dense layers, and what scales and shifts values.

use gradus::{Float, Selu};

use super::Reader;
use super::norms::in_own_order;
use crate::import::constant::Constant;
use crate::import::operands::Operands;
use crate::import::steps::{Kind, Linear};
use crate::import::value::{Order, Value};

impl<'a> Reader<'a> {
    pub(super) fn scaled(&mut self, x: &Value, scale: Vec<Float>, shift: Vec<Float>) -> Result<Value, String> {
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
    pub(super) fn features(&self, x: &Value, constant: &Constant) -> Result<Vec<Float>, String> {
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

    pub(super) fn arithmetic(&mut self, node: &Operands<'_, 'a>) -> Result<Value, String> {
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
    pub(super) fn scaler(&mut self, node: &Operands<'_, 'a>) -> Result<Value, String> {
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

    pub(super) fn gemm(&mut self, node: &Operands<'_, 'a>) -> Result<Value, String> {
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
    pub(super) fn dense(
        &mut self,
        x: &Value,
        weight: &Constant,
        bias: Option<(&Constant, Float)>,
    ) -> Result<Value, String> {
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
}
