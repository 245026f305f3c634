//! The dense (fully connected) layer.

use serde::{Deserialize, Serialize};

use super::{Init, checked_size, on};
use crate::Shape;
use crate::init::{Fans, Initializer};
use crate::layer::{Backward, BoundLayer, Forward, Layer, Operation, OutputKind, Parameter, Passes};

mod bfloat16;
mod fast;

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
/// let bound = Dense::new(10).bind(&Shape::from(784)).unwrap();
/// assert_eq!(bound.output(), &Shape::from(10));
/// assert_eq!(bound.parameters()[0].shape, Shape::from([784, 10]));
/// assert_eq!(bound.multiply_adds(), 7840);
///
/// let message = Dense::new(10).bind(&Shape::from([1, 28, 28])).unwrap_err();
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
    /// A dense layer of `units` units (outputs), with a bias.
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
}

impl Layer for Dense {
    fn kind(&self) -> &'static str {
        "dense"
    }

    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
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
        let dense = BoundDense {
            inputs,
            units,
            bias: self.bias,
        };
        let mut bound = BoundLayer::new(units, dense)
            .with_parameter(Parameter::weight([inputs, units], fans, self.init.0.clone()).saved_transposed())
            .with_multiply_adds(weights as u64)
            .with_operation(Operation::Dense)
            .with_output_kind(OutputKind::Real)
            .with_fast(fast::FastDense(dense));
        if self.bias {
            bound = bound.with_parameter(Parameter::bias(units));
        }
        Ok(bound)
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

/// A dense layer bound to its inputs.
#[derive(Debug, Clone, Copy)]
struct BoundDense {
    inputs: usize,
    units: usize,
    bias: bool,
}

impl Passes for BoundDense {
    fn forward(&self, pass: Forward<'_>) {
        let (x, y, w) = (pass.x, pass.y, &pass.parameters[0]);
        for j in 0..self.units {
            let mut sum = if self.bias { pass.parameters[1][j] } else { 0.0 };
            for i in 0..self.inputs {
                sum = x[i].mul_add(w[i * self.units + j], sum);
            }
            y[j] = sum;
        }
    }

    fn backward(&self, mut pass: Backward<'_>) {
        let (x, dy, w) = (pass.x, pass.dy, &pass.parameters[0]);
        for i in 0..self.inputs {
            let mut sum = 0.0;
            for j in 0..self.units {
                sum = dy[j].mul_add(w[i * self.units + j], sum);
                pass.gradients[0][i * self.units + j] += x[i] * dy[j];
            }
            pass.dx[i] = sum;
        }
        if self.bias {
            for j in 0..self.units {
                pass.gradients[1][j] += dy[j];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{LayerHarness, check};

    #[test]
    fn two_samples_by_hand() {
        let layer = Dense::new(2);
        let harness = LayerHarness::new(&layer, [3])
            .unwrap()
            .parameters(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.5, -0.5]);
        let x = [1.0, 0.0, -1.0, 2.0, 1.0, 0.0];
        assert_eq!(harness.infer(&x).unwrap(), [-3.5, -4.5, 5.5, 7.5]);
        let step = harness.step(&x, &[1.0, 0.0, 0.0, 2.0]).unwrap();
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
        let refuse = |layer: Dense, input: &[usize]| layer.bind(&Shape::from(input)).unwrap_err();
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
        let layer = Dense::new(7).init(crate::init::Uniform::new(0.25, 0.5));
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
