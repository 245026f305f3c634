//! What is drawn: a network, and how it is trained.

use gradus::data::Targets;
use gradus::loss::{
    BinaryCrossEntropy, CrossEntropy, Huber, Loss, MeanAbsoluteError, MeanSquaredError, NegativeLogLikelihood,
};
use gradus::optim::{self, Clip, Optimizer};
use gradus::{Float, Shape};
use gradus_onnx::{Normalization, Scaling};
use serde_json::{Value, json};
use std::sync::Arc;

use crate::initializers::Initializer;
use crate::schedules::ScheduleKind;
use crate::shape::{Padding, Window};

/// A layer with its settings.
#[derive(Debug, Clone, PartialEq)]
pub enum Layer {
    /// Without an initializer, that of the library.
    Dense {
        units: usize,
        bias: bool,
        init: Option<Initializer>,
    },
    Conv2d {
        channels: usize,
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: Padding,
        dilation: [usize; 2],
        groups: usize,
        bias: bool,
        init: Option<Initializer>,
    },
    MaxPool2d {
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: Padding,
    },
    AvgPool2d {
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: Padding,
        exclude_padding: bool,
    },
    GlobalAvgPool2d,
    Upsample2d {
        scale: [usize; 2],
        bilinear: bool,
    },
    Flatten,
    Reshape(Vec<usize>),
    BatchNorm {
        momentum: f64,
        epsilon: f64,
    },
    Dropout(f64),
    Softmax,
    Relu,
    LeakyRelu(f64),
    Elu(f64),
    Gelu,
    Silu,
    Softplus,
    Sigmoid,
    Tanh,
    Residual {
        body: Vec<Layer>,
        shortcut: Option<Vec<Layer>>,
    },
    /// Its branches.
    Concat(Vec<Vec<Layer>>),
    /// Its two branches, of which the second may give a number for each channel.
    Multiply([Vec<Layer>; 2]),
}

impl Layer {
    /// The shape of its output; none if it can't take such samples.
    pub fn output(&self, input: &[usize]) -> Option<Vec<usize>> {
        let size: usize = input.iter().product();
        let pooled =
            |window: Window| (window.sees()).then(|| vec![window.channels, window.rows.output, window.columns.output]);
        match self {
            Layer::Dense { units, .. } => (input.len() == 1).then(|| vec![*units]),
            Layer::Conv2d {
                channels,
                kernel,
                stride,
                padding,
                dilation,
                groups,
                ..
            } => {
                let window = Window::new(input, *kernel, *stride, *dilation, *padding)?;
                let divides = channels.is_multiple_of(*groups) && input[0].is_multiple_of(*groups);
                divides.then(|| vec![*channels, window.rows.output, window.columns.output])
            }
            Layer::MaxPool2d {
                kernel,
                stride,
                padding,
            } => pooled(Window::new(input, *kernel, *stride, [1, 1], *padding)?),
            Layer::AvgPool2d {
                kernel,
                stride,
                padding,
                ..
            } => pooled(Window::new(input, *kernel, *stride, [1, 1], *padding)?),
            Layer::GlobalAvgPool2d => (input.len() == 3).then(|| vec![input[0]]),
            Layer::Upsample2d { scale, .. } => {
                (input.len() == 3).then(|| vec![input[0], input[1] * scale[0], input[2] * scale[1]])
            }
            Layer::Flatten => Some(vec![size]),
            Layer::Reshape(shape) => (shape.iter().product::<usize>() == size).then(|| shape.clone()),
            Layer::BatchNorm { .. } => (input.len() != 2).then(|| input.to_vec()),
            Layer::Softmax => (input.len() == 1).then(|| input.to_vec()),
            Layer::Residual { body, shortcut } => {
                let output = outputs(body, input)?;
                let across = match shortcut {
                    Some(layers) => outputs(layers, input)?,
                    None => outputs(&projection(input, &output)?, input)?,
                };
                (across == output).then_some(output)
            }
            Layer::Concat(branches) => {
                let shapes = branches.iter().map(|branch| outputs(branch, input));
                let shapes = shapes.collect::<Option<Vec<_>>>()?;
                let fits = shapes.iter().all(|shape| shape[1..] == shapes[0][1..]);
                let joined = shapes.iter().map(|shape| shape[0]).sum();
                fits.then(|| [&[joined], &shapes[0][1..]].concat())
            }
            Layer::Multiply([branch, gate]) => {
                let (shape, gate) = (outputs(branch, input)?, outputs(gate, input)?);
                (gate == shape || gate == shape[..1]).then_some(shape)
            }
            _ => Some(input.to_vec()),
        }
    }

    /// As the library's files have it.
    pub fn json(&self) -> Value {
        let padding = |padding: &Padding| match padding {
            Padding::Valid => json!("valid"),
            Padding::Same => json!("same"),
            Padding::Explicit([top, bottom, left, right]) => {
                json!({ "explicit": { "top": top, "bottom": bottom, "left": left, "right": right } })
            }
        };
        let with_init = |mut layer: Value, init: &Option<Initializer>| {
            if let Some(init) = init {
                layer["init"] = init.json();
            }
            layer
        };
        match self {
            Layer::Dense { units, bias, init } => {
                with_init(json!({ "kind": "dense", "units": units, "bias": bias }), init)
            }
            Layer::Conv2d {
                channels,
                kernel,
                stride,
                padding: p,
                dilation,
                groups,
                bias,
                init,
            } => with_init(
                json!({
                    "kind": "conv2d", "channels": channels, "kernel": kernel, "stride": stride, "padding": padding(p),
                    "dilation": dilation, "groups": groups, "bias": bias
                }),
                init,
            ),
            Layer::MaxPool2d {
                kernel,
                stride,
                padding: p,
            } if kernel == stride => json!({ "kind": "max_pool2d", "kernel": kernel, "padding": padding(p) }),
            Layer::MaxPool2d {
                kernel,
                stride,
                padding: p,
            } => json!({ "kind": "max_pool2d", "kernel": kernel, "stride": stride, "padding": padding(p) }),
            Layer::AvgPool2d {
                kernel,
                stride,
                padding: p,
                exclude_padding,
            } => json!({
                "kind": "avg_pool2d", "kernel": kernel, "stride": stride, "padding": padding(p), "exclude_padding": exclude_padding
            }),
            Layer::GlobalAvgPool2d => json!({ "kind": "global_avg_pool2d" }),
            Layer::Upsample2d { scale, bilinear } => {
                let mode = if *bilinear { "bilinear" } else { "nearest" };
                json!({ "kind": "upsample2d", "scale": scale, "mode": mode })
            }
            Layer::Flatten => json!({ "kind": "flatten" }),
            Layer::Reshape(shape) => json!({ "kind": "reshape", "shape": shape }),
            Layer::BatchNorm { momentum, epsilon } => {
                json!({ "kind": "batch_norm", "momentum": momentum, "epsilon": epsilon })
            }
            Layer::Dropout(rate) => json!({ "kind": "dropout", "rate": rate }),
            Layer::Softmax => json!({ "kind": "softmax" }),
            Layer::Relu => json!({ "kind": "relu" }),
            Layer::LeakyRelu(slope) => json!({ "kind": "leaky_relu", "slope": slope }),
            Layer::Elu(alpha) => json!({ "kind": "elu", "alpha": alpha }),
            Layer::Gelu => json!({ "kind": "gelu" }),
            Layer::Silu => json!({ "kind": "silu" }),
            Layer::Softplus => json!({ "kind": "softplus" }),
            Layer::Sigmoid => json!({ "kind": "sigmoid" }),
            Layer::Tanh => json!({ "kind": "tanh" }),
            Layer::Residual { body, shortcut: None } => json!({ "kind": "residual", "body": jsons(body) }),
            Layer::Residual {
                body,
                shortcut: Some(shortcut),
            } => json!({ "kind": "residual", "body": jsons(body), "shortcut": jsons(shortcut) }),
            Layer::Concat(branches) => {
                json!({ "kind": "concat", "branches": branches.iter().map(|branch| jsons(branch)).collect::<Vec<_>>() })
            }
            Layer::Multiply([branch, gate]) => json!({ "kind": "multiply", "branches": [jsons(branch), jsons(gate)] }),
        }
    }

    /// Whether it, or a layer in it, is one that `which` says.
    pub fn has(&self, which: &dyn Fn(&Layer) -> bool) -> bool {
        self.branches()
            .into_iter()
            .any(|(_, branch)| branch.iter().any(|layer| layer.has(which)))
            || which(self)
    }

    /// The branches of a block, and what they are called in paths; none of a layer.
    pub fn branches(&self) -> Vec<(String, &[Layer])> {
        let numbered =
            |branches: &'_ [Vec<Layer>]| (0..branches.len()).map(|i| format!("branches.{i}")).collect::<Vec<_>>();
        match self {
            Layer::Residual { body, shortcut } => {
                let shortcut = shortcut.as_deref().unwrap_or(&[]);
                vec![("body".into(), body), ("shortcut".into(), shortcut)]
            }
            Layer::Concat(branches) => (numbered(branches).into_iter())
                .zip(branches.iter().map(Vec::as_slice))
                .collect(),
            Layer::Multiply(branches) => (numbered(branches).into_iter())
                .zip(branches.iter().map(Vec::as_slice))
                .collect(),
            _ => Vec::new(),
        }
    }
}

/// Layers as the library's files have them.
pub fn jsons(layers: &[Layer]) -> Vec<Value> {
    layers.iter().map(Layer::json).collect()
}

/// The shape that comes out of these layers; none if one can't take what comes before it.
pub fn outputs(layers: &[Layer], input: &[usize]) -> Option<Vec<usize>> {
    layers
        .iter()
        .try_fold(input.to_vec(), |shape, layer| layer.output(&shape))
}

/// The layers on a shortcut that brings `input` to `output`, where none are named.
pub fn projection(input: &[usize], output: &[usize]) -> Option<Vec<Layer>> {
    if input == output {
        return Some(Vec::new());
    }
    match (input, output) {
        ([_], &[units]) => Some(vec![Layer::Dense {
            units,
            bias: false,
            init: None,
        }]),
        (&[_, h, w], &[channels, to_h, to_w]) => {
            let stride = |from: usize, to: usize| Some(from.div_ceil(to)).filter(|s| from.div_ceil(*s) == to);
            Some(vec![Layer::Conv2d {
                channels,
                kernel: [1, 1],
                stride: [stride(h, to_h)?, stride(w, to_w)?],
                padding: Padding::Valid,
                dilation: [1, 1],
                groups: 1,
                bias: false,
                init: None,
            }])
        }
        _ => None,
    }
}

/// The kind of numbers that layers give, for losses of probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputKind {
    Real,
    Probabilities,
    Distribution,
}

pub fn output_kind(layers: &[Layer]) -> OutputKind {
    let Some((last, before)) = layers.split_last() else {
        return OutputKind::Real;
    };
    match last {
        Layer::Softmax => OutputKind::Distribution,
        Layer::Sigmoid => OutputKind::Probabilities,
        Layer::Flatten | Layer::Reshape(_) => output_kind(before),
        Layer::Dropout(_)
        | Layer::MaxPool2d { .. }
        | Layer::AvgPool2d { .. }
        | Layer::GlobalAvgPool2d
        | Layer::Upsample2d { .. } => match output_kind(before) {
            // A pool mixes the outputs of a distribution.
            OutputKind::Distribution => OutputKind::Probabilities,
            kind => kind,
        },
        Layer::Concat(branches) => joined_kind(before, branches),
        Layer::Multiply(branches) => joined_kind(before, branches),
        _ => OutputKind::Real,
    }
}

/// The kind of what is made of probabilities alone, side by side or multiplied, and of all else.
fn joined_kind(before: &[Layer], branches: &[Vec<Layer>]) -> OutputKind {
    let is_real = |branch: &Vec<Layer>| output_kind(&[before, branch].concat()) == OutputKind::Real;
    if branches.iter().any(is_real) {
        OutputKind::Real
    } else {
        OutputKind::Probabilities
    }
}

/// A loss with its settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LossKind {
    CrossEntropy { smoothing: f64 },
    BinaryCrossEntropy,
    MeanSquaredError,
    MeanAbsoluteError,
    Huber { delta: f64 },
    NegativeLogLikelihood,
}

impl LossKind {
    /// As in the file for Python.
    pub fn json(self) -> Value {
        let name = self.loss().name();
        match self {
            LossKind::CrossEntropy { smoothing } => json!({ "kind": name, "smoothing": smoothing }),
            LossKind::Huber { delta } => json!({ "kind": name, "delta": delta }),
            _ => json!({ "kind": name }),
        }
    }

    /// The library's.
    pub fn loss(self) -> Arc<dyn Loss> {
        match self {
            LossKind::CrossEntropy { smoothing } => Arc::new(CrossEntropy::new().label_smoothing(smoothing)),
            LossKind::BinaryCrossEntropy => Arc::new(BinaryCrossEntropy),
            LossKind::MeanSquaredError => Arc::new(MeanSquaredError),
            LossKind::MeanAbsoluteError => Arc::new(MeanAbsoluteError),
            LossKind::Huber { delta } => Arc::new(Huber::new(delta)),
            LossKind::NegativeLogLikelihood => Arc::new(NegativeLogLikelihood),
        }
    }
}

/// An optimizer with its settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OptimizerKind {
    Sgd {
        momentum: f64,
        nesterov: bool,
    },
    /// Adam, or AdamW if the decay is decoupled.
    Adam {
        betas: [f64; 2],
        epsilon: f64,
        decoupled: bool,
    },
    RmsProp {
        alpha: f64,
        epsilon: f64,
        momentum: f64,
    },
}

/// How the parameters follow their gradients.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Optimization {
    pub optimizer: OptimizerKind,
    pub learning_rate: f64,
    pub weight_decay: f64,
    pub clip: Option<Clip>,
}

impl Optimization {
    /// The optimizer's name, and its settings as the library names them.
    pub fn settings(&self) -> (&'static str, Value) {
        let (rate, decay) = (self.learning_rate, self.weight_decay);
        match self.optimizer {
            OptimizerKind::Sgd { momentum, nesterov } => (
                "sgd",
                json!({ "learning_rate": rate, "momentum": momentum, "nesterov": nesterov, "weight_decay": decay }),
            ),
            OptimizerKind::Adam {
                betas: [beta1, beta2],
                epsilon,
                decoupled,
            } => (
                if decoupled { "adamw" } else { "adam" },
                json!({
                    "learning_rate": rate, "beta1": beta1, "beta2": beta2, "epsilon": epsilon, "weight_decay": decay
                }),
            ),
            OptimizerKind::RmsProp {
                alpha,
                epsilon,
                momentum,
            } => (
                "rmsprop",
                json!({
                    "learning_rate": rate, "alpha": alpha, "epsilon": epsilon, "momentum": momentum, "weight_decay": decay
                }),
            ),
        }
    }

    /// The library's.
    pub fn optimizer(&self) -> Arc<dyn Optimizer> {
        let (name, settings) = self.settings();
        Arc::from(optim::with_settings(name, settings).expect("its settings are drawn to fit"))
    }
}

/// The values of the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inputs {
    /// From −2 to 2.
    Spread,
    /// From 0 to 1.
    Pixels,
    /// The first feature or channel is 273.15 everywhere, the others are from −2 to 2.
    Constant,
}

/// A network and its training.
#[derive(Debug, Clone)]
pub struct Case {
    /// Which of a seed's cases it is.
    pub number: u64,
    /// The seed of everything else in the case.
    pub seed: u64,
    pub input: Vec<usize>,
    pub layers: Vec<Layer>,
    /// The factor of the last layer's weights: with large ones, probabilities come close to 0 and 1.
    pub last_weight_factor: f64,
    pub inputs: Inputs,
    pub targets: Targets,
    pub loss: LossKind,
    pub optimization: Optimization,
    pub schedule: ScheduleKind,
    /// How exported files scale inputs and outputs.
    pub input_scaling: Option<Scaling>,
    pub output_scaling: Option<Scaling>,
    /// How ONNX files make samples of bytes; never with an input scaling.
    pub normalization: Option<Normalization>,
    /// Whether ONNX files leave out a last softmax or sigmoid.
    pub exports_logits: bool,
    pub batch: usize,
    pub steps: usize,
    pub threads: usize,
    /// Whether dense layers multiply in bfloat16 in training.
    pub bfloat16: bool,
}

impl Case {
    /// The network, as the library's files have it.
    pub fn json(&self) -> Value {
        json!({ "input": self.input, "layers": jsons(&self.layers) })
    }

    /// The shape of the output.
    pub fn output(&self) -> Vec<usize> {
        outputs(&self.layers, &self.input).expect("only networks that fit are drawn")
    }

    /// Whether a layer of the network is one that `which` says.
    pub fn has(&self, which: impl Fn(&Layer) -> bool) -> bool {
        self.layers.iter().any(|layer| layer.has(&which))
    }

    /// The number of the softmax or sigmoid that the network ends in, if it does; at inference, only the shape changes after it.
    pub fn last_function(&self) -> Option<usize> {
        let last = (0..self.layers.len()).rfind(|&i| !self.keeps_values(i))?;
        matches!(self.layers[last], Layer::Softmax | Layer::Sigmoid).then_some(last)
    }

    /// Whether this layer changes nothing but the shape at inference.
    fn keeps_values(&self, i: usize) -> bool {
        match self.layers[i] {
            Layer::Flatten | Layer::Reshape(_) | Layer::Dropout(_) => true,
            Layer::GlobalAvgPool2d => {
                let shape = outputs(&self.layers[..i], &self.input).expect("only networks that fit are drawn");
                shape[1..] == [1, 1]
            }
            _ => false,
        }
    }

    /// The number of layers before the logits, if the loss is computed from logits: they are the inputs of a last softmax (cross
    /// entropy) or sigmoid (binary cross entropy), or the network's outputs where these are real numbers.
    pub fn logits(&self) -> Option<usize> {
        // In training, dropout changes more than the shape.
        let is_dropout = |layer: &Layer| matches!(layer, Layer::Dropout(_));
        let last = (self.last_function()).filter(|&last| !self.layers[last..].iter().any(is_dropout));
        match (self.loss, last.map(|last| &self.layers[last])) {
            (LossKind::CrossEntropy { .. }, Some(Layer::Softmax))
            | (LossKind::BinaryCrossEntropy, Some(Layer::Sigmoid)) => last,
            (LossKind::CrossEntropy { .. } | LossKind::BinaryCrossEntropy, _)
                if output_kind(&self.layers) == OutputKind::Real =>
            {
                Some(self.layers.len())
            }
            _ => None,
        }
    }

    /// Whether the outputs are probabilities that were pooled.
    pub fn pools_probabilities(&self) -> bool {
        let keeps_values = |layer: &&Layer| matches!(layer, Layer::Flatten | Layer::Reshape(_) | Layer::Dropout(_));
        let last = self.layers.iter().rev().find(|layer| !keeps_values(layer));
        output_kind(&self.layers) != OutputKind::Real && !matches!(last, Some(Layer::Softmax | Layer::Sigmoid))
    }

    /// Whether training rounds to bfloat16: dense layers do, also those that a residual block has on its shortcut.
    pub fn rounds_to_bfloat16(&self) -> bool {
        let may_be_dense =
            |layer: &Layer| matches!(layer, Layer::Dense { .. } | Layer::Residual { shortcut: None, .. });
        self.bfloat16 && self.has(may_be_dense)
    }

    /// Whether the network's outputs are logits.
    pub fn ends_in_logits(&self) -> bool {
        self.logits() == Some(self.layers.len())
    }
}

/// A shape of the library.
pub fn shape(dims: &[usize]) -> Shape {
    Shape::from(dims)
}

/// The library's numbers in f64.
pub fn to_f64(values: &[Float]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// Numbers as the library has them.
pub fn to_floats(values: &[f64]) -> Vec<Float> {
    values.iter().map(|&value| value as Float).collect()
}
