//! What is drawn: a network, and how it is trained.

use gradus::data::Targets;
use gradus::{Float, Shape};
use gradus_onnx::{Normalization, Scaling};
use serde_json::{Value, json};

use crate::activations::Activation;
use crate::layer::{Layer, gives_probabilities, jsons, outputs, projection};
use crate::losses::LossKind;
use crate::optimizers::Optimization;
use crate::schedules::ScheduleKind;

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

    /// Every layer in the order in which the library has them: those in blocks too, and those that shortcuts have of their own.
    pub fn layers_in_order(&self) -> Vec<PlacedLayer> {
        let mut all = Vec::new();
        place(&self.layers, &self.input, "", &mut all);
        all
    }

    /// The number of the last layer that changes values at inference, if that is a function of all of them that ends networks.
    pub fn last_function(&self) -> Option<usize> {
        let last = (0..self.layers.len()).rfind(|&i| !self.keeps_values(i))?;
        let is_function = matches!(
            self.layers[last],
            Layer::Softmax | Layer::LogSoftmax | Layer::Activation(Activation::Sigmoid)
        );
        is_function.then_some(last)
    }

    /// The number of the softmax or sigmoid that the network ends in, if it does; at inference, only the shape changes after it.
    pub fn last_probabilities(&self) -> Option<usize> {
        self.last_function()
            .filter(|&last| self.layers[last] != Layer::LogSoftmax)
    }

    /// Whether this layer changes nothing but the shape at inference.
    fn keeps_values(&self, i: usize) -> bool {
        match self.layers[i] {
            Layer::GlobalMaxPool(_) | Layer::GlobalAvgPool(_) => {
                let shape = outputs(&self.layers[..i], &self.input).expect("only networks that fit are drawn");
                shape[1..].iter().all(|&size| size == 1)
            }
            ref layer => layer.keeps_values(),
        }
    }

    /// The number of layers before the logits, if the loss is computed from logits: they are the inputs of a last softmax (cross
    /// entropy) or sigmoid (binary cross entropy), or the network's outputs where these are real numbers.
    pub fn logits(&self) -> Option<usize> {
        // In training, dropout and noise change more than the shape.
        let last = (self.last_probabilities()).filter(|&last| !self.layers[last..].iter().any(Layer::is_random));
        match (self.loss, last.map(|last| &self.layers[last])) {
            (LossKind::CrossEntropy { .. }, Some(Layer::Softmax))
            | (LossKind::BinaryCrossEntropy, Some(Layer::Activation(Activation::Sigmoid))) => last,
            (LossKind::CrossEntropy { .. } | LossKind::BinaryCrossEntropy, _) if !self.gives_probabilities() => {
                Some(self.layers.len())
            }
            _ => None,
        }
    }

    fn gives_probabilities(&self) -> bool {
        gives_probabilities(&self.layers, false)
    }

    /// Whether the outputs are probabilities that have no logits: they were pooled or joined.
    pub fn has_probabilities_without_logits(&self) -> bool {
        let last = self.layers.iter().rev().find(|layer| !layer.keeps_values());
        let has_logits = matches!(last, Some(Layer::Softmax | Layer::Activation(Activation::Sigmoid)));
        self.gives_probabilities() && !has_logits
    }

    /// Whether training rounds to bfloat16: dense layers do, also those that a residual block has on its shortcut.
    pub fn rounds_to_bfloat16(&self) -> bool {
        let is_dense = |placed: &PlacedLayer| matches!(placed.layer, Layer::Dense { .. });
        self.bfloat16 && self.layers_in_order().iter().any(is_dense)
    }

    /// Whether the network's outputs are logits.
    pub fn ends_in_logits(&self) -> bool {
        self.logits() == Some(self.layers.len())
    }
}

/// A layer where it is in a network.
#[derive(Debug, Clone)]
pub struct PlacedLayer {
    /// As in the names of its tensors: `0.body.1`.
    pub path: String,
    pub layer: Layer,
    /// The shape of its inputs.
    pub input: Vec<usize>,
}

impl PlacedLayer {
    /// How the library's messages name it.
    pub fn label(&self) -> String {
        format!("layer {} ({})", self.path, self.layer.kind())
    }
}

fn place(layers: &[Layer], input: &[usize], prefix: &str, all: &mut Vec<PlacedLayer>) {
    let mut shape = input.to_vec();
    for (i, layer) in layers.iter().enumerate() {
        let path = format!("{prefix}{i}");
        let output = layer.output(&shape).expect("only networks that fit are drawn");
        let branches = layer.branches();
        for (name, branch) in &branches {
            place(branch, &shape, &format!("{path}.{name}."), all);
        }
        if let Layer::Residual { shortcut: None, .. } = layer {
            let projection = projection(&shape, &output).expect("only networks that fit are drawn");
            place(&projection, &shape, &format!("{path}.shortcut."), all);
        }
        if branches.is_empty() {
            all.push(PlacedLayer {
                path,
                layer: layer.clone(),
                input: shape,
            });
        }
        shape = output;
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
