//! The dense (fully connected) layer.

use gradus_kernels::{Accumulate, Matrix, matmul, matmul_scratch, matmul_sum};
use serde::{Deserialize, Serialize};

use super::{Init, checked_size, on};
use crate::Shape;
use crate::init::{Fans, Initializer};
use crate::layer::{
    Backward, BatchGradient, Bfloat16, Forward, GradientScope, Layer, Operation, OutputKind, Parameter, Plan, Tensors,
};

mod bfloat16;

/// The largest block of samples that the scratch memory is planned for.
const MOST_SAMPLES: usize = 1 << 12;

/// A dense layer: y = x·W + b, every output a weighted sum of all inputs.
///
/// | | formula | shapes |
/// | --- | --- | --- |
/// | forward | y = x·W + b | x: samples × inputs, W: inputs × units, b: units, y: samples × units |
/// | backward | dx = dy·Wᵀ | |
/// | | dW = xᵀ·dy | the sum over the samples of the batch |
/// | | db = Σ dy | likewise |
///
/// Source: Goodfellow, Bengio and Courville, "Deep Learning", 2016, algorithms 6.3 and 6.4.
///
/// Parameters: `weight` (inputs × units; saved as units × inputs, as PyTorch does) and `bias` (units). The weights start
/// as [`HeNormal`](crate::init::HeNormal) sets them unless [`init`](Dense::init) says otherwise, the biases at 0.
///
/// ```
/// use gradus::{Dense, Layer, Shape};
/// let plan = Dense::new(10).plan(&Shape::from(784)).unwrap();
/// assert_eq!(plan.output, Shape::from(10));
/// assert_eq!(plan.parameters[0].shape, Shape::from([784, 10]));
/// assert_eq!(plan.multiply_adds, 7840);
///
/// let message = Dense::new(10).plan(&Shape::from([1, 28, 28])).unwrap_err();
/// assert_eq!(message, "dense needs a flat input such as 784, got 1×28×28: put a Flatten before it");
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dense {
    units: usize,
    #[serde(default = "on")]
    bias: bool,
    #[serde(default, skip_serializing_if = "Init::is_unknown")]
    init: Init,
}

impl Dense {
    /// A dense layer of so many units (outputs), with a bias.
    pub fn new(units: usize) -> Self {
        Dense {
            units,
            bias: true,
            init: Init::default(),
        }
    }

    /// Whether a bias is added to each output.
    pub fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    /// How the weights get their first values.
    pub fn init(mut self, init: impl Initializer + 'static) -> Self {
        self.init = Init::new(init);
        self
    }

    /// What every row of y starts from: the bias, if there is one.
    fn start<'a>(&self, parameters: Tensors<'a>) -> Accumulate<'a> {
        match self.bias {
            true => Accumulate::Row(parameters.split::<2>()[1]),
            false => Accumulate::Zero,
        }
    }
}

impl Layer for Dense {
    fn kind(&self) -> &'static str {
        "dense"
    }

    fn plan(&self, input: &Shape) -> Result<Plan, String> {
        let units = self.units;
        let &[inputs] = input.dims() else {
            let size = input.size();
            return Err(format!(
                "dense needs a flat input such as {size}, got {input}: put a Flatten before it"
            ));
        };
        if units == 0 {
            return Err("dense needs at least one unit, got 0".into());
        }
        let weights = checked_size("the weight of dense", &[inputs, units])?;
        let fans = Fans::new(inputs, units);
        let mut plan = Plan::new(units)
            .parameter(Parameter::weight([inputs, units], fans, self.init.0.clone()).saved_transposed())
            .scratch(
                matmul_scratch(MOST_SAMPLES, units, inputs).max(matmul_scratch(MOST_SAMPLES, inputs, units)),
                0,
            )
            .multiply_adds(weights as u64)
            .gradient(GradientScope::WholeBatch)
            .forgets_output();
        if self.bias {
            plan = plan.parameter(Parameter::bias(units));
        }
        Ok(plan)
    }

    fn forward(&self, pass: Forward<'_>) {
        let (inputs, units) = (pass.input.size(), self.units);
        let w = Matrix::new(&pass.parameters[0], units);
        let x = Matrix::new(pass.x, inputs);
        let start = self.start(pass.parameters);
        matmul(pass.samples, units, inputs, x, w, pass.y, units, start, pass.scratch);
    }

    fn backward(&self, pass: Backward<'_>) {
        let (inputs, units) = (pass.input.size(), self.units);
        let Some(dx) = pass.dx else { return };
        let w = Matrix::new(&pass.parameters[0], units);
        let dy = Matrix::new(pass.dy, units);
        matmul(
            pass.samples,
            inputs,
            units,
            dy,
            w.transposed(),
            dx,
            inputs,
            Accumulate::Zero,
            pass.scratch,
        );
    }

    fn batch_gradient(&self, pass: BatchGradient<'_>) {
        let (inputs, units) = (pass.input.size(), self.units);
        let BatchGradient {
            rows,
            gradient,
            blocks,
            scratch,
            ..
        } = pass;
        if pass.parameter == 0 {
            // dW[rows] = x[:, rows]ᵀ·dy
            let products = blocks.map(|block| {
                let x = Matrix::new(&block.x[rows.start..], inputs);
                (block.samples, x.transposed(), Matrix::new(block.dy, units))
            });
            matmul_sum(rows.len(), units, products, gradient, units, Accumulate::Zero, scratch);
        } else {
            // db[rows] = Σ dy[:, rows] = 1ᵀ·dy[:, rows]
            let products = blocks.map(|block| {
                let dy = Matrix::new(&block.dy[rows.start..], units);
                (block.samples, Matrix::new(&[1.0], 0).transposed(), dy)
            });
            matmul_sum(1, rows.len(), products, gradient, units, Accumulate::Zero, scratch);
        }
    }

    fn bfloat16(&self) -> Option<&dyn Bfloat16> {
        Some(self)
    }

    fn operation(&self, _: &Shape) -> Option<Operation> {
        Some(Operation::Dense)
    }

    fn output_kind(&self) -> OutputKind {
        OutputKind::Real
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
    fn two_samples_by_hand() {
        let layer = Dense::new(2);
        let rig = Rig::new(&layer, [3])
            .unwrap()
            .parameters(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.5, -0.5]);
        let x = [1.0, 0.0, -1.0, 2.0, 1.0, 0.0];
        assert_eq!(rig.infer(&x).unwrap(), [-3.5, -4.5, 5.5, 7.5]);
        let step = rig.step(&x, &[1.0, 0.0, 0.0, 2.0]).unwrap();
        assert_eq!(step.y, [-3.5, -4.5, 5.5, 7.5]);
        assert_eq!(step.dx, [1.0, 3.0, 5.0, 4.0, 8.0, 12.0]);
        assert_eq!(step.gradient, [1.0, 4.0, 0.0, 2.0, -1.0, 0.0, 1.0, 2.0]);
    }

    #[test]
    fn the_gradients_are_those_of_finite_differences() {
        check(&Dense::new(3), [5]);
        check(&Dense::new(1), [1]);
        check(&Dense::new(17).bias(false), [4]);
    }

    /// The original summed some layers' gradients over the batch and averaged others'.
    #[test]
    fn defect_3_the_gradient_of_a_batch_is_the_sum_over_its_samples() {
        crate::layers::testing::check_gradient_is_a_sum(&Dense::new(3), [5]);
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let refuse = |layer: Dense, input: &[usize]| layer.plan(&Shape::from(input)).unwrap_err();
        assert_eq!(refuse(Dense::new(0), &[4]), "dense needs at least one unit, got 0");
        assert_eq!(
            refuse(Dense::new(usize::MAX), &[4]),
            format!(
                "the weight of dense would have 4×{} values, more than any memory holds",
                usize::MAX
            )
        );
    }

    #[test]
    fn settings_make_the_same_layer_again() {
        let settings = Dense::new(7).bias(false).settings().unwrap();
        assert_eq!(
            settings,
            serde_json::json!({ "units": 7, "bias": false, "init": "he_normal" })
        );
        let again: Dense = serde_json::from_value(settings.clone()).unwrap();
        assert_eq!(again.settings().unwrap(), settings);
        let layer = Dense::new(7).init(crate::init::Uniform { low: 0.25, high: 0.5 });
        let expected = serde_json::json!({ "kind": "uniform", "low": 0.25, "high": 0.5 });
        assert_eq!(layer.settings().unwrap()["init"], expected);
        let again: Dense = serde_json::from_value(layer.settings().unwrap()).unwrap();
        let build = |layer| crate::Sequential::new([9]).layer(layer).build(3).unwrap();
        assert_eq!(build(again).weights(), build(layer).weights());
        let short = serde_json::json!({ "units": 7 });
        assert!(serde_json::from_value::<Dense>(short).unwrap().bias);
        let wrong = serde_json::json!({ "unit": 7 });
        assert!(serde_json::from_value::<Dense>(wrong).is_err());
    }
}
