//! Functions of one value, whether they are one node or written as several.

use gradus::layer::{Function, Operation};
use gradus::{Clamp, Float, Layer, PRelu, Relu};

use super::{Reader, SOFTPLUS_IS_X};
use crate::functions::{GELU_CUBIC, GELU_SLOPE, SELU_ALPHA, SELU_LAMBDA};
use crate::import::constant::axis;
use crate::import::operands::{Operands, decimal};
use crate::import::steps::{Kind, of};
use crate::import::value::Value;

/// How far apart, in parts of themselves, numbers may be that are the same but for rounding.
const NEAR: Float = 1e-5;

impl<'a> Reader<'a> {
    pub(super) fn activation(&mut self, node: &Operands<'_, 'a>, layer: Box<dyn Layer>) -> Result<Value, String> {
        if node.node.outputs.iter().skip(1).any(|output| !output.is_empty()) {
            return Err("it gives more than one output".into());
        }
        let x = self.input(node, 0)?;
        Ok(x.at(self.steps.boxed(x.step, layer, vec![])?))
    }

    /// Whether it is λ · ELU with the numbers of SELU.
    pub(super) fn is_part_of_selu(&self, x: &Value, factors: &[Float]) -> bool {
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
    pub(super) fn clamp(&mut self, node: &Operands<'_, 'a>) -> Result<Value, String> {
        let bound = |i, name| match node.optional(i)? {
            Some(bound) => bound
                .scalar()
                .map(decimal)
                .map(Some)
                .ok_or(format!("its {name} is not a number")),
            None => Ok(node.given_float(name).map(|bound| decimal(bound as Float))),
        };
        let layer: Box<dyn Layer> = match (bound(1, "min")?, bound(2, "max")?) {
            (Some(low), Some(high)) => Box::new(Clamp::new(low, high)),
            (Some(0.0), None) => Box::new(Relu),
            _ => return Err("it has one bound: only two can be imported, or 0 as the lower one".into()),
        };
        self.activation(node, layer)
    }

    pub(super) fn is_softplus_of(&self, step: usize, x: usize) -> bool {
        let step = &self.steps.all[step];
        matches!(&step.kind, Kind::Layer { layer, .. } if layer.kind() == "softplus" && step.parent == x)
    }

    /// The product of x and a gate, if it is factor · GELU(u): where x = m · u and the gate is s · (1 + erf(u / √2)), the factor
    /// is 2 · m · s. Both sides are compared as multiples of the step v from which they part: x = p · v + q, and the argument of
    /// erf is α · v + β.
    pub(super) fn gelu(&mut self, x: usize, gate: usize) -> Option<Gated> {
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
    pub(super) fn is_cubic_part(&self, x: &Value, part: &Value) -> bool {
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
    pub(super) fn gelu_tanh(&self, x: usize, gate: usize) -> Option<Gated> {
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

    pub(super) fn softmax(&mut self, node: &Operands<'_, 'a>, layer: impl Layer) -> Result<Value, String> {
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

    pub(super) fn prelu(&mut self, node: &Operands<'_, 'a>) -> Result<Value, String> {
        let x = self.input(node, 0)?;
        let slopes = self.features(&x, node.constant(1)?)?;
        let (x, layer) = match slopes.len() {
            1 => (x, PRelu::new()),
            _ => (self.own(&x)?, PRelu::new().per_channel()),
        };
        Ok(x.at(self.steps.layer(x.step, layer, vec![("weight", slopes)])?))
    }

    /// PyTorch writes softplus as: where x > 20 then x else softplus(x).
    pub(super) fn choice(&mut self, node: &Operands<'_, 'a>) -> Result<Value, String> {
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

/// A product that is factor · GELU(input).
pub(super) struct Gated {
    pub(super) input: usize,
    pub(super) factor: Float,
}

pub(super) fn near(a: Float, b: Float) -> bool {
    (a - b).abs() <= NEAR * a.abs().max(b.abs())
}
