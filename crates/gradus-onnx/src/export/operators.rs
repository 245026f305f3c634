//! Which operators a layer becomes.

use gradus::layer::{Function, Operation, UpsampleMode, Window, WindowAxis};
use gradus::{Error, LayerPart, Result};

use super::Graph;
use crate::functions::{self, GELU_CUBIC, GELU_SLOPE, SELU_ALPHA, SELU_LAMBDA};
use crate::model::{float, integer, integers, text};
use crate::wire::Message;

impl Graph {
    /// Adds the nodes of a layer; gives the name of what they compute.
    pub(super) fn layer(&mut self, x: String, layer: &LayerPart<'_>) -> Result<String> {
        let Some(operation) = layer.operation() else {
            return Err(Error::invalid(format!(
                "{} can't be exported: its layer doesn't say what it computes (BoundLayer::with_operation)",
                layer.label()
            )));
        };
        let path = layer.path();
        Ok(match operation {
            Operation::Dense => self.dense(x, layer)?,
            Operation::Convolution { window, groups } => {
                let mut attributes = windows(layer, &window);
                attributes.push(integer("group", groups as i64));
                self.with_parameters("Conv", &x, layer, attributes)?
            }
            Operation::TransposedConvolution { window, groups } => {
                let attributes = transposed(&window, groups);
                self.with_parameters("ConvTranspose", &x, layer, attributes)?
            }
            Operation::BatchNorm { epsilon, momentum } => {
                let attributes = vec![
                    float("epsilon", epsilon as f32),
                    // ONNX counts what stays of the old statistics, we what comes of the new.
                    float("momentum", 1.0 - momentum as f32),
                ];
                self.with_parameters("BatchNormalization", &x, layer, attributes)?
            }
            Operation::MaxPool { window } => self.node("MaxPool", path, &[&x], windows(layer, &window)),
            Operation::MeanPool {
                window,
                exclude_padding,
            } => {
                let mut attributes = windows(layer, &window);
                attributes.push(integer("count_include_pad", i64::from(!exclude_padding)));
                self.node("AveragePool", path, &[&x], attributes)
            }
            Operation::GlobalMeanPool => {
                let mean = self.node("GlobalAveragePool", path, &[&x], vec![]);
                self.node("Flatten", path, &[&mean], vec![integer("axis", 1)])
            }
            Operation::GlobalMaxPool => {
                let largest = self.node("GlobalMaxPool", path, &[&x], vec![]);
                self.node("Flatten", path, &[&largest], vec![integer("axis", 1)])
            }
            Operation::Reshape if layer.output().len() == 1 => {
                self.node("Flatten", path, &[&x], vec![integer("axis", 1)])
            }
            Operation::Reshape => {
                let shape = self.shape(path, layer.output());
                self.node("Reshape", path, &[&x, &shape], vec![])
            }
            Operation::Identity => x,
            Operation::Softmax => self.node("Softmax", path, &[&x], vec![integer("axis", -1)]),
            Operation::PRelu => self.prelu(&x, layer)?,
            Operation::LogSoftmax => self.node("LogSoftmax", path, &[&x], vec![integer("axis", -1)]),
            Operation::LayerNorm { epsilon } => {
                let attributes = vec![integer("axis", 1), float("epsilon", epsilon as f32)];
                self.with_parameters("LayerNormalization", &x, layer, attributes)?
            }
            Operation::GroupNorm { groups, epsilon } => self.group_norm(&x, layer, groups, epsilon)?,
            Operation::ZeroPad { window } => self.zero_pad(&x, path, &window),
            Operation::Crop { top, left } => self.crop(&x, layer, [top, left]),
            Operation::Maxout { pieces } => self.maxout(&x, layer, pieces),
            Operation::Upsample { scale, mode } => self.upsample(&x, path, scale, mode)?,
            Operation::Map(function) => self.function(function, &x, path)?,
        })
    }

    fn function(&mut self, function: Function, x: &str, path: &str) -> Result<String> {
        if let Some((operator, attributes)) = functions::operator(function) {
            return Ok(self.node(operator, path, &[x], attributes));
        }
        match function {
            Function::Silu => {
                let sigmoid = self.node("Sigmoid", path, &[x], vec![]);
                Ok(self.node("Mul", path, &[x, &sigmoid], vec![]))
            }
            Function::Gelu => self.gelu(x, path),
            Function::GeluTanh => self.gelu_tanh(x, path),
            Function::Selu => {
                let elu = self.node("Elu", path, &[x], vec![float("alpha", SELU_ALPHA)]);
                let lambda = self.constant(format!("{path}.lambda"), &[], [gradus::Float::from(SELU_LAMBDA)])?;
                Ok(self.node("Mul", path, &[&elu, &lambda], vec![]))
            }
            Function::Mish => {
                let softplus = self.node("Softplus", path, &[x], vec![]);
                let tanh = self.node("Tanh", path, &[&softplus], vec![]);
                Ok(self.node("Mul", path, &[x, &tanh], vec![]))
            }
            Function::Clamp { low, high } => {
                let low = self.constant(format!("{path}.low"), &[], [low as gradus::Float])?;
                let high = self.constant(format!("{path}.high"), &[], [high as gradus::Float])?;
                Ok(self.node("Clip", path, &[x, &low, &high], vec![]))
            }
            other => Err(Error::invalid(format!(
                "{other:?} at {path} has no operators to export it by"
            ))),
        }
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

    /// The slopes have a dimension for each of the sample's, for they are matched from the last on.
    fn prelu(&mut self, x: &str, layer: &LayerPart<'_>) -> Result<String> {
        let slopes = layer.tensor("weight").map_or(&[][..], |tensor| tensor.values);
        let mut dims = vec![1; layer.input().len()];
        dims[0] = slopes.len();
        let slope = self.constant(format!("{}.weight", layer.path()), &dims, slopes.iter().copied())?;
        Ok(self.node("PRelu", layer.path(), &[x, &slope], vec![]))
    }

    /// The operator for groups came with a later version: where they aren't channels, they are made channels, and turned back.
    fn group_norm(&mut self, x: &str, layer: &LayerPart<'_>, groups: usize, epsilon: f64) -> Result<String> {
        let (path, input) = (layer.path(), layer.input());
        let attributes = vec![float("epsilon", epsilon as f32)];
        if input.len() > 1 && groups == input[0] {
            return self.with_parameters("InstanceNormalization", x, layer, attributes);
        }
        let shape = self.shape(&format!("{path}.groups"), &[groups, input.size() / groups]);
        let grouped = self.node("Reshape", &format!("{path}.groups"), &[x, &shape], vec![]);
        let one = self.constant(format!("{path}.one"), &[groups], vec![1.0; groups])?;
        let zero = self.constant(format!("{path}.zero"), &[groups], vec![0.0; groups])?;
        let mut y = self.node("InstanceNormalization", path, &[&grouped, &one, &zero], attributes);
        let shape = self.shape(path, input);
        y = self.node("Reshape", path, &[&y, &shape], vec![]);
        for (operator, tensor) in ["Mul", "Add"].into_iter().zip(layer.parameters()) {
            let mut dims = vec![1; input.len()];
            dims[0] = tensor.values.len();
            let name = self.constant(format!("{path}.{}", tensor.name), &dims, tensor.values.iter().copied())?;
            y = self.node(operator, path, &[&y, &name], vec![]);
        }
        Ok(y)
    }

    fn zero_pad(&mut self, x: &str, path: &str, window: &Window) -> String {
        let Window { rows, columns } = window;
        let pads = [0, 0, rows.before, columns.before, 0, 0, rows.after(), columns.after()];
        let pads = self.whole(format!("{path}.pads"), &pads);
        self.node("Pad", path, &[x, &pads], vec![])
    }

    fn crop(&mut self, x: &str, layer: &LayerPart<'_>, [top, left]: [usize; 2]) -> String {
        let (path, output) = (layer.path(), layer.output());
        let starts = self.whole(format!("{path}.starts"), &[top, left]);
        let ends = self.whole(format!("{path}.ends"), &[top + output[1], left + output[2]]);
        let axes = self.whole(format!("{path}.axes"), &[2, 3]);
        self.node("Slice", path, &[x, &starts, &ends, &axes], vec![])
    }

    fn upsample(&mut self, x: &str, path: &str, scale: [usize; 2], mode: UpsampleMode) -> Result<String> {
        let [rows, columns] = scale.map(|scale| scale as gradus::Float);
        let scales = self.constant(format!("{path}.scales"), &[4], [1.0, 1.0, rows, columns])?;
        let (mode, positions) = match mode {
            UpsampleMode::Nearest => ("nearest", "asymmetric"),
            UpsampleMode::Bilinear => ("linear", "half_pixel"),
        };
        let attributes = vec![
            text("mode", mode),
            text("coordinate_transformation_mode", positions),
            text("nearest_mode", "floor"),
        ];
        // The second input, a region, is left out.
        Ok(self.node("Resize", path, &[x, "", &scales], attributes))
    }

    /// Max pooling over the pieces as rows.
    fn maxout(&mut self, x: &str, layer: &LayerPart<'_>, pieces: usize) -> String {
        let (path, output) = (layer.path(), layer.output());
        let rows = format!("{path}.pieces");
        let shape = self.shape(&rows, &[output[0], pieces, output.size() / output[0]]);
        let x = self.node("Reshape", &rows, &[x, &shape], vec![]);
        let attributes = vec![
            integers("kernel_shape", &[pieces, 1]),
            integers("strides", &[pieces, 1]),
        ];
        let y = self.node("MaxPool", path, &[&x], attributes);
        let shape = self.shape(path, output);
        self.node("Reshape", path, &[&y, &shape], vec![])
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

    /// y = (x · (1 + tanh(√(2/π) · (x + 0.044715 · x³)))) / 2: the operator Gelu came with a later version.
    fn gelu_tanh(&mut self, x: &str, path: &str) -> Result<String> {
        let mut constant = |name: &str, value| self.constant(format!("{path}.{name}"), &[], [value]);
        let three = constant("three", 3.0)?;
        let part = constant("part", GELU_CUBIC)?;
        let root = constant("root", GELU_SLOPE)?;
        let one = constant("one", 1.0)?;
        let half = constant("half", 0.5)?;
        let mut u = self.node("Pow", path, &[x, &three], vec![]);
        u = self.node("Mul", &format!("{path}.cube"), &[&u, &part], vec![]);
        u = self.node("Add", &format!("{path}.cube"), &[x, &u], vec![]);
        u = self.node("Mul", &format!("{path}.root"), &[&u, &root], vec![]);
        let mut gate = self.node("Tanh", path, &[&u], vec![]);
        gate = self.node("Add", path, &[&gate, &one], vec![]);
        let twice = self.node("Mul", path, &[x, &gate], vec![]);
        Ok(self.node("Mul", &format!("{path}.half"), &[&twice, &half], vec![]))
    }
}

/// The attributes of a transposed convolution, of the windows of the convolution from its output to its input.
fn transposed(window: &Window, groups: usize) -> Vec<Message> {
    let axes = [window.rows, window.columns];
    let of_each = |of: fn(&WindowAxis) -> usize| axes.iter().map(of).collect::<Vec<_>>();
    // What the kernels reach, and the output has not, is padding; what the output has more is output padding.
    let reach = |axis: &WindowAxis| (axis.output - 1) * axis.stride + (axis.kernel - 1) * axis.dilation + 1;
    let after = axes.map(|axis| reach(&axis).saturating_sub(axis.before + axis.input));
    let more = axes.map(|axis| (axis.before + axis.input).saturating_sub(reach(&axis)));
    let mut attributes = vec![
        integers("kernel_shape", &of_each(|axis| axis.kernel)),
        integers("strides", &of_each(|axis| axis.stride)),
        integers("pads", &[of_each(|axis| axis.before), after.to_vec()].concat()),
        integer("group", groups as i64),
    ];
    for (name, values, usual) in [
        ("dilations", of_each(|axis| axis.dilation), 1),
        ("output_padding", more.to_vec(), 0),
    ] {
        if values.iter().any(|&value| value != usual) {
            attributes.push(integers(name, &values));
        }
    }
    attributes
}

/// The attributes of windows. The padding is what the windows reach, which may be less than what is declared: so runtimes
/// take it that refuse padding beyond the window.
///
/// Windows over sequences have one axis there.
fn windows(layer: &LayerPart<'_>, window: &Window) -> Vec<Message> {
    let axes = [window.rows, window.columns];
    let axes = if layer.input().len() == 2 { &axes[1..] } else { &axes };
    let of_each = |of: fn(&WindowAxis) -> usize| axes.iter().map(of).collect::<Vec<_>>();
    let pads = [of_each(|axis| axis.before), of_each(WindowAxis::after)].concat();
    let mut attributes = vec![
        integers("kernel_shape", &of_each(|axis| axis.kernel)),
        integers("strides", &of_each(|axis| axis.stride)),
        integers("pads", &pads),
    ];
    let dilations = of_each(|axis| axis.dilation);
    if dilations.iter().any(|&dilation| dilation != 1) {
        attributes.push(integers("dilations", &dilations));
    }
    attributes
}
