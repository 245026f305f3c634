//! From a network's layers to the steps of a [`Program`].

use gradus::{Elu, Error, LayerPart, LayerTensor, LeakyRelu, Network, Padding, Part, Result, Shape, Size2};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::fold;
use crate::kernels::window::{Axis, Window};
use crate::program::{Function, Op, Program, Step, result};

impl Program {
    /// The steps that compute what this network does, with batch normalization as at inference.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// use gradus_source::Program;
    ///
    /// let network = Sequential::new([2]).layer(Dense::new(3)).layer(Relu).layer(Dropout::new(0.5)).build(1)?;
    /// let program = Program::of(&network)?;
    /// assert_eq!(program.run(&[0.5, -1.0]).len(), 3);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Build`] if a layer is not one of the library's own, whose arithmetic isn't known here, or if its weights are
    /// not finite.
    pub fn of(network: &Network) -> Result<Program> {
        if network.input_shape().size() == 0 {
            return Err(Error::Invalid(
                "a network as source needs an input of at least one value".into(),
            ));
        }
        let mut lowering = Lowering {
            values: vec![network.input_shape().size()],
            steps: Vec::new(),
            kept: vec![0],
        };
        let y = lowering.parts(&network.parts(), 0)?;
        if y == 0 {
            // The caller's input is not ours to give back.
            lowering.kept.clear();
            lowering.copy(0, "the output", "output");
        }
        debug_assert!(y == 0 || y == result(&lowering.steps));
        let largest = lowering
            .values
            .iter()
            .fold(network.parameter_count(), |most, &size| most.max(size));
        if largest > i32::MAX as usize {
            return Err(Error::Invalid(format!(
                "a network as source counts in 32 bits, and this one has {largest} weights or values"
            )));
        }
        Ok(Program {
            input: network.input_shape().clone(),
            output: network.output_shape().clone(),
            values: lowering.values,
            steps: lowering.steps,
            logits: false,
            input_scaling: None,
            output_scaling: None,
        })
    }
}

/// The steps so far.
struct Lowering {
    values: Vec<usize>,
    steps: Vec<Step<Op>>,
    /// The values that are still wanted as they are: the input, and what goes over a block's shortcut.
    kept: Vec<usize>,
}

/// The settings of dense layers.
#[derive(Deserialize)]
struct Units {
    units: usize,
}

/// The settings of a layer with a window.
#[derive(Deserialize)]
struct Settings {
    kernel: Size2,
    stride: Option<Size2>,
    dilation: Option<Size2>,
    #[serde(default)]
    padding: Padding,
    #[serde(default = "one")]
    groups: usize,
    #[serde(default)]
    exclude_padding: bool,
}

fn one() -> usize {
    1
}

impl Lowering {
    /// The value that these parts make of value `x`.
    fn parts(&mut self, parts: &[Part<'_>], mut x: usize) -> Result<usize> {
        for part in parts {
            x = match part {
                Part::Layer(layer) => self.layer(layer, x)?,
                Part::Residual { body, shortcut } => {
                    self.kept.push(x);
                    let y = self.parts(body, x)?;
                    self.kept.pop();
                    // What the body gives is wanted until it is added, and may be the input itself.
                    self.kept.push(y);
                    let skip = self.parts(shortcut.as_deref().unwrap_or(&[]), x)?;
                    self.kept.pop();
                    self.add(y, skip)
                }
            };
        }
        Ok(x)
    }

    fn layer(&mut self, layer: &LayerPart<'_>, x: usize) -> Result<usize> {
        if !layer.is_built_in() {
            return Err(unknown(layer));
        }
        let (input, output) = (layer.input(), layer.output());
        Ok(match layer.kind() {
            "dropout" | "flatten" | "reshape" => x,
            "dense" => {
                let Units { units } = settings(layer)?;
                let (weight, bias) = weights(layer, units)?;
                let inputs = input.size();
                let transposed = (0..units).flat_map(|j| (0..inputs).map(move |i| (i, j)));
                let weight = transposed.map(|(i, j)| weight[i * units + j]).collect();
                let relu = false;
                self.push(layer, x, units, Op::Dense { weight, bias, relu })
            }
            "conv2d" => {
                let window = window(layer, &settings(layer)?, output)?;
                let (weight, bias) = weights(layer, output[0])?;
                let op = Op::Conv2d {
                    window,
                    weight,
                    bias,
                    relu: false,
                };
                self.push(layer, x, output.size(), op)
            }
            "max_pool2d" => {
                let window = window(layer, &settings(layer)?, output)?;
                self.push(layer, x, output.size(), Op::MaxPool { window })
            }
            "avg_pool2d" => {
                let settings = settings(layer)?;
                let op = Op::MeanPool {
                    window: window(layer, &settings, output)?,
                    exclude_padding: settings.exclude_padding,
                };
                self.push(layer, x, output.size(), op)
            }
            "global_avg_pool2d" => {
                let settings = Settings {
                    kernel: Size2 {
                        height: input[1],
                        width: input[2],
                    },
                    stride: None,
                    dilation: None,
                    padding: Padding::Valid,
                    groups: 1,
                    exclude_padding: false,
                };
                let op = Op::MeanPool {
                    window: window(layer, &settings, &Shape::from([output[0], 1, 1]))?,
                    exclude_padding: false,
                };
                self.push(layer, x, output.size(), op)
            }
            "batch_norm" => self.batch_norm(layer, x)?,
            "softmax" => self.in_place(layer, x, Op::Softmax),
            "relu" => match self.last(x) {
                Some(Op::Dense { relu, .. } | Op::Conv2d { relu, .. } | Op::Add { relu }) => {
                    *relu = true;
                    x
                }
                _ => self.in_place(layer, x, Op::Map(Function::Relu)),
            },
            _ => {
                let function = function(layer)?;
                self.in_place(layer, x, Op::Map(function))
            }
        })
    }

    /// Batch normalization becomes part of a dense layer or convolution before it, if each channel of that lies within one channel
    /// here: a change of shape between them may have made other channels of the values. Else it becomes a convolution of its own,
    /// 1×1, channel by channel.
    fn batch_norm(&mut self, layer: &LayerPart<'_>, x: usize) -> Result<usize> {
        let (scale, shift) = fold::scale_and_shift(layer)?;
        let input = layer.input();
        let channels = input[0];
        let (size, span) = (input.size(), input.size() / channels);
        if let Some(
            Op::Dense {
                weight,
                bias,
                relu: false,
            }
            | Op::Conv2d {
                weight,
                bias,
                relu: false,
                ..
            },
        ) = self.last(x)
            && span % (size / bias.len()) == 0
        {
            fold::into(weight, bias, &scale, &shift);
            return finite(layer, [weight, bias]).map(|()| x);
        }
        let (weight, bias) = (fold::rounded(&scale), fold::rounded(&shift));
        finite(layer, [&weight, &bias])?;
        let pixelwise = |size| Axis {
            input: size,
            output: size,
            kernel: 1,
            stride: 1,
            dilation: 1,
            padding: 0,
        };
        let op = Op::Conv2d {
            window: Window {
                inputs: channels,
                outputs: channels,
                groups: channels,
                rows: pixelwise(1),
                columns: pixelwise(span),
            },
            weight,
            bias,
            relu: false,
        };
        Ok(self.push(layer, x, size, op))
    }

    /// The operation that made value `x`, if it may still be changed.
    fn last(&mut self, x: usize) -> Option<&mut Op> {
        let free = !self.kept.contains(&x);
        let last = self.steps.last_mut().filter(|step| free && step.y == x)?;
        Some(&mut last.op)
    }

    fn push(&mut self, layer: &LayerPart<'_>, x: usize, size: usize, op: Op) -> usize {
        let y = self.values.len();
        self.values.push(size);
        self.step(layer.label(), &layer.path().replace('.', "_"), x, y, op);
        y
    }

    fn step(&mut self, label: &str, name: &str, x: usize, y: usize, op: Op) {
        self.steps.push(Step {
            label: label.into(),
            name: name.into(),
            x,
            y,
            op,
        });
    }

    /// A step that changes value `x`, or a copy of it if `x` is still wanted.
    fn in_place(&mut self, layer: &LayerPart<'_>, x: usize, op: Op) -> usize {
        let name = layer.path().replace('.', "_");
        let y = self.free(x, layer.label(), &name);
        self.step(layer.label(), &name, y, y, op);
        y
    }

    fn free(&mut self, x: usize, label: &str, name: &str) -> usize {
        if self.kept.contains(&x) {
            self.copy(x, label, name)
        } else {
            x
        }
    }

    fn copy(&mut self, x: usize, label: &str, name: &str) -> usize {
        let y = self.values.len();
        self.values.push(self.values[x]);
        self.step(label, name, x, y, Op::Copy);
        y
    }

    /// The sum of two values, in the place of one that nobody wants.
    fn add(&mut self, a: usize, b: usize) -> usize {
        let (label, name) = ("a residual block's sum", format!("sum_{}", self.steps.len()));
        let (x, y) = if a != b && !self.kept.contains(&a) {
            (b, a)
        } else if a != b && !self.kept.contains(&b) {
            (a, b)
        } else {
            (b, self.copy(a, label, &name))
        };
        self.step(label, &name, x, y, Op::Add { relu: false });
        y
    }
}

fn unknown(layer: &LayerPart<'_>) -> Error {
    refuse(
        layer,
        "a network as source can have the library's own layers only, since nothing tells what another computes",
    )
}

fn refuse(layer: &LayerPart<'_>, message: impl Into<String>) -> Error {
    Error::Build {
        layer: layer.label().into(),
        message: message.into(),
    }
}

/// The activation that a layer is.
fn function(layer: &LayerPart<'_>) -> Result<Function> {
    Ok(match layer.kind() {
        "leaky_relu" => {
            let LeakyRelu { slope } = settings(layer)?;
            Function::LeakyRelu(f64::from(slope) as f32)
        }
        "elu" => {
            let Elu { alpha } = settings(layer)?;
            Function::Elu(f64::from(alpha) as f32)
        }
        "gelu" => Function::Gelu,
        "silu" => Function::Silu,
        "softplus" => Function::Softplus,
        "sigmoid" => Function::Sigmoid,
        "tanh" => Function::Tanh,
        _ => return Err(unknown(layer)),
    })
}

fn settings<T: DeserializeOwned>(layer: &LayerPart<'_>) -> Result<T> {
    serde_json::from_value(layer.settings()?).map_err(|error| refuse(layer, format!("its settings: {error}")))
}

/// A layer's weight, and its bias, which is 0 if it has none.
fn weights(layer: &LayerPart<'_>, outputs: usize) -> Result<(Vec<f32>, Vec<f32>)> {
    let mut weight = Vec::new();
    let mut bias = vec![0.0; outputs];
    for LayerTensor { name, values, .. } in layer.parameters() {
        let values = values.iter().map(|&value| f64::from(value) as f32).collect();
        match name {
            "weight" => weight = values,
            _ => bias = values,
        }
    }
    finite(layer, [&weight, &bias])?;
    Ok((weight, bias))
}

fn finite(layer: &LayerPart<'_>, tensors: [&[f32]; 2]) -> Result<()> {
    match tensors.into_iter().flatten().find(|value| !value.is_finite()) {
        None => Ok(()),
        Some(value) => Err(refuse(
            layer,
            format!("its weights must be finite numbers to be written into a file, and one is {value}"),
        )),
    }
}

/// The window of a convolution or pooling whose output is seen in this shape.
fn window(layer: &LayerPart<'_>, settings: &Settings, output: &Shape) -> Result<Window> {
    let input = layer.input();
    let one = Size2 { height: 1, width: 1 };
    let dilation = settings.dilation.unwrap_or(one);
    // Pooling moves by the size of its window, unless it is told; a convolution always tells.
    let stride = settings.stride.unwrap_or(settings.kernel);
    let (top, left) = match settings.padding {
        Padding::Explicit { top, left, .. } => (Some(top), Some(left)),
        Padding::Valid => (Some(0), Some(0)),
        Padding::Same => (None, None),
    };
    let axis = |axis: usize, kernel: usize, stride: usize, dilation: usize, padding: Option<usize>| {
        let (input, output) = (input[axis], output[axis]);
        let reach = (output - 1) * stride + (kernel - 1) * dilation + 1;
        Axis {
            input,
            output,
            kernel,
            stride,
            dilation,
            // As much as the windows need, half of it before the image.
            padding: padding.unwrap_or(reach.saturating_sub(input) / 2),
        }
    };
    let (s, k, d) = (stride, settings.kernel, dilation);
    let (rows, columns) = (
        axis(1, k.height, s.height, d.height, top),
        axis(2, k.width, s.width, d.width, left),
    );
    for axis in [rows, columns] {
        // All of it is computed in 32 bits.
        let reach = axis
            .output
            .saturating_mul(axis.stride)
            .saturating_add(axis.kernel.saturating_mul(axis.dilation));
        if reach.saturating_add(axis.input).saturating_add(axis.padding) > i32::MAX as usize {
            return Err(refuse(layer, "its window reaches over more pixels than any image has"));
        }
    }
    Ok(Window {
        inputs: input[0],
        outputs: output[0],
        groups: settings.groups,
        rows,
        columns,
    })
}
