//! Which operators a layer becomes.

use gradus::{Error, LayerPart, Padding, Result, Shape, Size2};
use serde_json::Value;

use super::{Graph, number};
use crate::model::{float, integer, integers};
use crate::wire::Message;

impl Graph {
    /// Adds the nodes of a layer; gives the name of what they compute.
    pub(super) fn layer(&mut self, x: String, layer: &LayerPart<'_>) -> Result<String> {
        if !layer.is_built_in() {
            return Err(Error::invalid(format!(
                "{} can't be exported: only the library's own layers can, and this one is of another type",
                layer.label()
            )));
        }
        let settings = layer.settings().unwrap_or_default();
        let path = layer.path();
        let setting = |key: &str, usual: f32| number(&settings, key).unwrap_or(usual);
        let value = match layer.kind() {
            "dense" => self.dense(x, layer)?,
            "conv2d" => {
                let mut attributes = window(&settings, layer);
                attributes.push(integer("group", settings["groups"].as_i64().unwrap_or(1)));
                self.with_parameters("Conv", &x, layer, attributes)?
            }
            "batch_norm" => {
                let attributes = vec![
                    float("epsilon", setting("epsilon", 1e-5)),
                    // ONNX counts what stays of the old statistics, we what comes of the new.
                    float("momentum", 1.0 - setting("momentum", 0.1)),
                ];
                self.with_parameters("BatchNormalization", &x, layer, attributes)?
            }
            "max_pool2d" => self.node("MaxPool", path, &[&x], window(&settings, layer)),
            "avg_pool2d" => {
                let mut attributes = window(&settings, layer);
                let excluded = settings["exclude_padding"].as_bool().unwrap_or(false);
                attributes.push(integer("count_include_pad", i64::from(!excluded)));
                self.node("AveragePool", path, &[&x], attributes)
            }
            "global_avg_pool2d" => {
                let mean = self.node("GlobalAveragePool", path, &[&x], vec![]);
                self.node("Flatten", path, &[&mean], vec![integer("axis", 1)])
            }
            "flatten" => self.node("Flatten", path, &[&x], vec![integer("axis", 1)]),
            "reshape" => {
                let shape = self.shape(path, layer.output());
                self.node("Reshape", path, &[&x, &shape], vec![])
            }
            "dropout" => x,
            "softmax" => self.node("Softmax", path, &[&x], vec![integer("axis", -1)]),
            "relu" => self.node("Relu", path, &[&x], vec![]),
            "leaky_relu" => self.node("LeakyRelu", path, &[&x], vec![float("alpha", setting("slope", 0.01))]),
            "elu" => self.node("Elu", path, &[&x], vec![float("alpha", setting("alpha", 1.0))]),
            "sigmoid" => self.node("Sigmoid", path, &[&x], vec![]),
            "tanh" => self.node("Tanh", path, &[&x], vec![]),
            "softplus" => self.node("Softplus", path, &[&x], vec![]),
            "silu" => {
                let sigmoid = self.node("Sigmoid", path, &[&x], vec![]);
                self.node("Mul", path, &[&x, &sigmoid], vec![])
            }
            "gelu" => self.gelu(&x, path)?,
            _ => {
                return Err(Error::invalid(format!(
                    "{} can't be exported: ONNX has no operator for this kind of layer",
                    layer.label()
                )));
            }
        };
        Ok(value)
    }

    /// A node that takes the layer's parameters and state, in the layouts that they have here too.
    fn with_parameters(
        &mut self,
        operator: &'static str,
        x: &str,
        layer: &LayerPart<'_>,
        attributes: Vec<Message>,
    ) -> Result<String> {
        let mut names = Vec::new();
        for tensor in layer.parameters().chain(layer.state()) {
            let name = format!("{}.{}", layer.path(), tensor.name);
            names.push(self.constant(name, tensor.shape, tensor.values.iter().copied())?);
        }
        let inputs: Vec<&str> = [x].into_iter().chain(names.iter().map(String::as_str)).collect();
        Ok(self.node(operator, layer.path(), &inputs, attributes))
    }

    /// The weight goes into the file as units × inputs, as it does into the network's own.
    fn dense(&mut self, x: String, layer: &LayerPart<'_>) -> Result<String> {
        let (inputs, units) = (layer.input().size(), layer.output().size());
        let mut names = vec![x];
        for tensor in layer.parameters() {
            let name = format!("{}.{}", layer.path(), tensor.name);
            let values = tensor.values;
            names.push(if tensor.shape.len() == 2 {
                let turned = (0..units).flat_map(|unit| (0..inputs).map(move |input| values[input * units + unit]));
                self.constant(name, &[units, inputs], turned)?
            } else {
                self.constant(name, &[units], values.iter().copied())?
            });
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Ok(self.node("Gemm", layer.path(), &names, vec![integer("transB", 1)]))
    }

    /// y = (x · (1 + erf(x / √2))) / 2: the operator Gelu came with a later version.
    fn gelu(&mut self, x: &str, path: &str) -> Result<String> {
        let constant = |graph: &mut Graph, name: &str, value| graph.constant(format!("{path}.{name}"), &[], [value]);
        let root = constant(self, "sqrt2", std::f64::consts::SQRT_2 as gradus::Float)?;
        let one = constant(self, "one", 1.0)?;
        let half = constant(self, "half", 0.5)?;
        let mut gate = self.node("Div", path, &[x, &root], vec![]);
        gate = self.node("Erf", path, &[&gate], vec![]);
        gate = self.node("Add", path, &[&gate, &one], vec![]);
        let twice = self.node("Mul", path, &[x, &gate], vec![]);
        Ok(self.node("Mul", &format!("{path}.half"), &[&twice, &half], vec![]))
    }
}

/// The attributes of a window. The padding is what the windows reach, which may be less than what is declared: so runtimes
/// take it that refuse padding beyond the window.
fn window(settings: &Value, layer: &LayerPart<'_>) -> Vec<Message> {
    let size = |key: &str| serde_json::from_value::<Size2>(settings[key].clone()).ok();
    let kernel = size("kernel").unwrap_or(Size2::from(1));
    // Pooling moves by its window unless it is told, convolution by one pixel; the latter always says so.
    let stride = size("stride").unwrap_or(kernel);
    let dilation = size("dilation").unwrap_or(Size2::from(1));
    let padding: Padding = serde_json::from_value(settings["padding"].clone()).unwrap_or_default();
    let (before, declared) = match padding {
        Padding::Explicit { top, left, .. } => ([top, left], true),
        Padding::Valid => ([0, 0], true),
        Padding::Same => ([0, 0], false),
    };
    let axis = |axis: usize, kernel: usize, stride: usize, dilation: usize| {
        let side = |shape: &Shape| shape[1 + axis];
        let reach = (side(layer.output()) - 1) * stride + (kernel - 1) * dilation + 1;
        let padding = reach.saturating_sub(side(layer.input()));
        let before = if declared { before[axis] } else { padding / 2 };
        [before, reach.saturating_sub(side(layer.input()) + before)]
    };
    let [top, bottom] = axis(0, kernel.height, stride.height, dilation.height);
    let [left, right] = axis(1, kernel.width, stride.width, dilation.width);
    let mut attributes = vec![
        integers("kernel_shape", &[kernel.height, kernel.width]),
        integers("strides", &[stride.height, stride.width]),
        integers("pads", &[top, left, bottom, right]),
    ];
    if dilation != Size2::from(1) {
        attributes.push(integers("dilations", &[dilation.height, dilation.width]));
    }
    attributes
}
