//! Flattening: the values of a sample in one row.

use serde::{Deserialize, Serialize};

use crate::Shape;
use crate::layer::{Backward, Forward, Layer, Operation, OutputKind, Plan};

/// Makes a flat sample of any other: `[channels, height, width]` becomes `[channels · height · width]`, in that order.
///
/// Forward y = x, backward dx = dy: only the shape changes.
///
/// ```
/// use gradus::{Flatten, Layer, Shape};
/// let plan = Flatten::new().plan(&Shape::from([16, 4, 4])).unwrap();
/// assert_eq!(plan.output, Shape::from(256));
/// ```
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flatten;

impl Flatten {
    /// Flattens.
    pub fn new() -> Self {
        Flatten
    }
}

impl Layer for Flatten {
    fn kind(&self) -> &'static str {
        "flatten"
    }

    fn plan(&self, input: &Shape) -> Result<Plan, String> {
        Ok(Plan::new(input.size()).view())
    }

    fn forward(&self, pass: Forward<'_>) {
        pass.y.copy_from_slice(pass.x);
    }

    fn backward(&self, pass: Backward<'_>) {
        if let Some(dx) = pass.dx {
            dx.copy_from_slice(pass.dy);
        }
    }

    fn operation(&self, _: &Shape) -> Option<Operation> {
        Some(Operation::Reshape)
    }

    fn output_kind(&self) -> OutputKind {
        OutputKind::SameAsInput
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{Rig, check};

    #[test]
    fn values_keep_their_order() {
        let layer = Flatten::new();
        let rig = Rig::new(&layer, [2, 1, 2]).unwrap();
        assert_eq!(rig.plan.output, Shape::from(4));
        assert_eq!(rig.infer(&[1.0, 2.0, 3.0, 4.0]).unwrap(), [1.0, 2.0, 3.0, 4.0]);
        check(&layer, [2, 3, 4]);
        check(&layer, [5]);
    }
}
