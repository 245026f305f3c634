//! Normalization.

use gradus::{BatchNorm, Float, GroupNorm, LayerNorm};

use super::Reader;
use crate::import::constant::axis;
use crate::import::operands::{Operands, decimal};
use crate::import::value::{Order, Value};

impl<'a> Reader<'a> {
    pub(super) fn batch_norm(&mut self, node: &Operands<'_, 'a>) -> Result<Value, String> {
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
            .epsilon(node.setting("epsilon", 1e-5)?)
            .momentum(decimal((1.0 - node.setting("momentum", 0.9)?) as Float));
        Ok(x.at(self.steps.layer(step, layer, tensors)?))
    }

    pub(super) fn layer_norm(&mut self, node: &Operands<'_, 'a>) -> Result<Value, String> {
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
        let layer = LayerNorm::new().epsilon(node.setting("epsilon", 1e-5)?);
        Ok(x.at(self
            .steps
            .layer(x.step, layer, vec![("weight", weight), ("bias", bias)])?))
    }

    /// Without a number of groups, a group for each channel.
    pub(super) fn group_norm(&mut self, node: &Operands<'_, 'a>, groups: Option<usize>) -> Result<Value, String> {
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
        let layer = layer.epsilon(node.setting("epsilon", 1e-5)?);
        Ok(x.at(self.steps.layer(x.step, layer, tensors)?))
    }
}

/// A number for each feature of a value, in the network's order.
pub(super) fn in_own_order(x: &Value, values: &[Float]) -> Vec<Float> {
    let mut own = values.to_vec();
    if let Some(places) = x.row_places() {
        places
            .into_iter()
            .zip(values)
            .for_each(|(place, &value)| own[place] = value);
    }
    own
}
