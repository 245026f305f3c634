//! What a node works with: its attributes and its inputs.

use std::collections::BTreeMap;

use gradus::Float;

use super::constant::{Constant, axis};
use crate::model::{Attribute, Node, Tensor};

/// A node, with the constants that its inputs may name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operands<'g, 'a> {
    pub(super) node: &'g Node<'a>,
    pub(super) constants: &'g BTreeMap<&'a str, Constant>,
    /// The version of the operators.
    pub(super) opset: i64,
}

impl<'g, 'a> Operands<'g, 'a> {
    pub(crate) fn operator(&self) -> &'a str {
        self.node.operator
    }

    /// The number of inputs, with those that are left out by an empty name.
    pub(super) fn inputs(&self) -> usize {
        self.node.inputs.len()
    }

    /// The name of an input.
    pub(super) fn name(&self, i: usize) -> Result<&'a str, String> {
        let name = self.node.inputs.get(i).copied().unwrap_or_default();
        if name.is_empty() {
            return Err(format!("it has no input {i}"));
        }
        Ok(name)
    }

    pub(super) fn is_constant(&self, i: usize) -> bool {
        self.name(i).is_ok_and(|name| self.constants.contains_key(name))
    }

    /// An input that must be known when the graph is read.
    pub(super) fn constant(&self, i: usize) -> Result<&'g Constant, String> {
        let name = self.name(i)?;
        (self.constants.get(name))
            .ok_or_else(|| format!("its input `{name}` depends on the network's input, and must be a constant"))
    }

    /// Such an input, if it is there.
    pub(super) fn optional(&self, i: usize) -> Result<Option<&'g Constant>, String> {
        match self.name(i) {
            Ok(_) => self.constant(i).map(Some),
            Err(_) => Ok(None),
        }
    }

    fn attribute(&self, name: &str) -> Option<&'g Attribute<'a>> {
        (self.node.attributes.iter()).find_map(|(key, value)| (*key == name).then_some(value))
    }

    pub(super) fn given_integer(&self, name: &str) -> Option<i64> {
        match self.attribute(name) {
            Some(Attribute::Integer(value)) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn given_float(&self, name: &str) -> Option<f32> {
        match self.attribute(name) {
            Some(Attribute::Float(value)) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn integer(&self, name: &str, usual: i64) -> Result<i64, String> {
        match self.attribute(name) {
            None => Ok(usual),
            Some(_) => self.given_integer(name).ok_or_else(|| misplaced(name)),
        }
    }

    pub(crate) fn float(&self, name: &str, usual: f32) -> Result<f32, String> {
        match self.attribute(name) {
            None => Ok(usual),
            Some(_) => self.given_float(name).ok_or_else(|| misplaced(name)),
        }
    }

    /// The number of an attribute as a layer's setting: the shortest decimal that the file's 32 bits stand for, 0.1 for 0.100000001.
    pub(crate) fn setting(&self, name: &str, usual: f32) -> Result<f64, String> {
        self.float(name, usual).map(|value| decimal(value as Float))
    }

    /// Refuses an attribute that is not the number that the layer computes with.
    pub(crate) fn fixed(&self, name: &str, usual: f32, needed: f32) -> Result<(), String> {
        let found = self.float(name, usual)?;
        if (found - needed).abs() <= 1e-5 * needed.abs() {
            Ok(())
        } else {
            Err(format!("its `{name}` is {found}: the layer here has {needed}"))
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<&'a [u8]> {
        match self.attribute(name) {
            Some(Attribute::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub(super) fn texts(&self, name: &str) -> Option<&'g [&'a [u8]]> {
        match self.attribute(name) {
            Some(Attribute::Texts(texts)) => Some(texts),
            _ => None,
        }
    }

    pub(super) fn tensor(&self, name: &str) -> Option<&'g Tensor<'a>> {
        match self.attribute(name) {
            Some(Attribute::Tensor(tensor)) => Some(tensor),
            _ => None,
        }
    }

    pub(super) fn integers(&self, name: &str) -> Option<&'g [i64]> {
        match self.attribute(name) {
            Some(Attribute::Integers(values)) => Some(values),
            _ => None,
        }
    }

    pub(super) fn floats(&self, name: &str) -> Option<&'g [f32]> {
        match self.attribute(name) {
            Some(Attribute::Floats(values)) => Some(values),
            _ => None,
        }
    }

    /// Sizes, none of them negative.
    pub(super) fn sizes<const N: usize>(&self, name: &str) -> Result<Option<[usize; N]>, String> {
        let Some(values) = self.integers(name) else {
            return Ok(None);
        };
        let sizes: Option<Vec<usize>> = values.iter().map(|&value| usize::try_from(value).ok()).collect();
        (sizes.and_then(|sizes| sizes.try_into().ok()))
            .map(Some)
            .ok_or_else(|| format!("its `{name}` is {values:?}: it must be {N} numbers that are not negative"))
    }

    /// The axes that it names: as an attribute, as earlier versions do, or by its input `i`.
    pub(super) fn axes(&self, i: usize) -> Result<Option<Vec<i64>>, String> {
        match self.integers("axes") {
            Some(axes) => Ok(Some(axes.to_vec())),
            None => self
                .optional(i)?
                .map(|axes| axes.whole().map(<[_]>::to_vec))
                .transpose(),
        }
    }

    /// The order that a transposition brings the axes into: reversed, unless it is told.
    pub(super) fn order(&self, rank: usize) -> Result<Vec<usize>, String> {
        match self.integers("perm") {
            None => Ok((0..rank).rev().collect()),
            Some(order) => order.iter().map(|&a| axis(a, rank)).collect(),
        }
    }
}

fn misplaced(name: &str) -> String {
    format!("its `{name}` is not of the kind that ONNX gives it")
}

/// A number as the shortest decimal that stands for it.
pub(crate) fn decimal(value: Float) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| f64::from(value))
}
