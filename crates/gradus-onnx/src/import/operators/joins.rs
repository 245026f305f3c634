//! Values that are added, multiplied or joined: blocks, and the functions that are written as products.

use gradus::{Gelu, GeluTanh, Join, Mish, Silu};

use super::Reader;
use super::activations::Gated;
use crate::import::constant::axis;
use crate::import::operands::Operands;
use crate::import::steps::Kind;
use crate::import::value::{Order, Value};

impl<'a> Reader<'a> {
    pub(super) fn add(&mut self, a: &Value, b: &Value) -> Result<Value, String> {
        let (one, other) = self.alike(a, b)?;
        Ok(a.at(self.steps.sum(one, other)?))
    }

    /// A product of two values: x · σ(x), x · tanh(softplus(x)), GELU as x · (1 + erf(x / √2)) and the like, or any other.
    pub(super) fn multiply(&mut self, a: &Value, b: &Value) -> Result<Value, String> {
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
    pub(super) fn alike(&mut self, a: &Value, b: &Value) -> Result<(usize, usize), String> {
        if a.dims != b.dims || a.order != b.order {
            return Err(format!(
                "its inputs have the dimensions {:?} and {:?}, or another order of their axes",
                a.dims, b.dims
            ));
        }
        Ok((self.own(a)?.step, self.own(b)?.step))
    }

    /// Values one after the other along their first axis.
    pub(super) fn concat(&mut self, node: &Operands<'_, 'a>) -> Result<Value, String> {
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
    pub(super) fn pair(&mut self, values: &[Value], along: usize) -> Result<Option<Value>, String> {
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
}

/// How many channels x has, if the other value has one number for each of them.
pub(super) fn channels_of_gate(x: &Value, gate: &Value) -> Option<usize> {
    let channels = (0..x.dims.len()).find(|&i| x.own_axis(i) == 0)?;
    let is_gate = gate.dims.len() == x.dims.len()
        && gate.dims != x.dims
        && (0..x.dims.len()).all(|i| gate.dims[i] == if i == channels { x.dims[i] } else { 1 });
    is_gate.then_some(x.dims[channels])
}
