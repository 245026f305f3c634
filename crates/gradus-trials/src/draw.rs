//! Drawing networks and trainings.

use gradus::data::{Target, Targets};
use gradus::optim::Clip;
use gradus::random::{Purpose, Rng, stream};
use gradus::{Float, Network, Sequential, save::Registry};
use gradus_onnx::{Normalization, Scaling};
use rand::RngExt;

use crate::case::{
    Case, Inputs, Layer, LossKind, Optimization, OptimizerKind, OutputKind, output_kind, outputs, projection, shape,
    to_floats,
};
use crate::initializers::Initializer;
use crate::schedules::ScheduleKind;
use crate::shape::Padding;

/// The most values of a sample between two layers, and of an output.
const MOST_VALUES: usize = 200;
const MOST_OUTPUTS: usize = 12;

/// The case of this number among those of a seed.
pub fn case(seed: u64, number: u64) -> Case {
    let rng = &mut stream(seed, Purpose::User, &[number]);
    loop {
        if let Some(case) = attempt(rng, number) {
            return case;
        }
    }
}

fn attempt(rng: &mut Rng, number: u64) -> Option<Case> {
    let input = if rng.random_bool(0.65) {
        vec![
            rng.random_range(1..=4),
            rng.random_range(1..=7),
            rng.random_range(1..=7),
        ]
    } else {
        vec![rng.random_range(1..=12)]
    };
    let inputs = choose(rng, &[Inputs::Spread, Inputs::Spread, Inputs::Pixels, Inputs::Constant]);
    let mut layers = Vec::new();
    if inputs == Inputs::Constant {
        layers.push(batch_norm(rng));
    }
    let count = rng.random_range(1..=6);
    let middle = draw_layers(rng, &outputs(&layers, &input)?, count, 2);
    layers.extend(middle);
    let loss = match rng.random_range(0..7) {
        0 | 1 => LossKind::CrossEntropy {
            smoothing: choose(rng, &[0.0, 0.0, 0.1, 0.5]),
        },
        2 => LossKind::BinaryCrossEntropy,
        3 => LossKind::MeanSquaredError,
        4 => LossKind::MeanAbsoluteError,
        5 => LossKind::NegativeLogLikelihood,
        _ => LossKind::Huber {
            delta: choose(rng, &[0.25, 1.0, 2.0]),
        },
    };
    layers.extend(last_layers(rng, &outputs(&layers, &input)?, loss)?);
    if loss == LossKind::NegativeLogLikelihood && output_kind(&layers) != OutputKind::Real {
        // The library refuses them.
        return None;
    }
    let size: usize = outputs(&layers, &input)?.iter().product();
    let learns = |layer: &Layer| {
        matches!(
            layer,
            Layer::Dense { .. } | Layer::Conv2d { .. } | Layer::BatchNorm { .. }
        )
    };
    if size > MOST_OUTPUTS || !layers.iter().any(|layer| layer.has(&learns)) {
        return None;
    }
    let values = Targets::Values(shape(&[size]));
    let targets = match loss {
        LossKind::CrossEntropy { .. } | LossKind::NegativeLogLikelihood if size < 2 => return None,
        LossKind::BinaryCrossEntropy if size > 1 => values,
        _ if rng.random_bool(0.3) => values,
        _ if size == 1 => Targets::Classes(2),
        _ => Targets::Classes(size),
    };
    // A feature with one value has no variance.
    let least = 1 + usize::from(
        layers
            .iter()
            .any(|layer| layer.has(&|l| matches!(l, Layer::BatchNorm { .. }))),
    );
    let scales_inputs = rng.random_bool(0.3);
    let input_scaling = scales_inputs.then(|| scaling(rng, input.iter().product()));
    let compares_values = !matches!(loss, LossKind::CrossEntropy { .. } | LossKind::BinaryCrossEntropy);
    let scales_outputs = compares_values && rng.random_bool(0.5);
    let output_scaling = scales_outputs.then(|| scaling(rng, size));
    let takes_bytes = !scales_inputs && inputs == Inputs::Pixels && rng.random_bool(0.5);
    let normalization = takes_bytes.then(|| normalization(rng, &input));
    let mut case = Case {
        number,
        seed: rng.random_range(0..1 << 32),
        input,
        layers,
        last_weight_factor: choose(rng, &[1.0, 1.0, 30.0]),
        inputs,
        targets,
        loss,
        optimization: optimization(rng),
        schedule: schedule(rng),
        input_scaling,
        output_scaling,
        normalization,
        exports_logits: rng.random(),
        // Fewer than 8 samples lie one after the other, more side by side, 16 at a time.
        batch: match rng.random_range(0..3) {
            0 => rng.random_range(least..8),
            1 => rng.random_range(8..=16),
            _ => rng.random_range(17..=40),
        },
        steps: 3,
        threads: rng.random_range(2..=4),
        bfloat16: rng.random_bool(0.1),
    };
    // There are no logits of a mean of probabilities.
    case.exports_logits &= !case.pools_probabilities();
    Some(case)
}

fn choose<T: Clone>(rng: &mut Rng, choices: &[T]) -> T {
    choices[rng.random_range(0..choices.len())].clone()
}

/// Up to `count` layers that fit after each other.
fn draw_layers(rng: &mut Rng, input: &[usize], count: usize, depth: usize) -> Vec<Layer> {
    let (mut layers, mut shape) = (Vec::new(), input.to_vec());
    for _ in 0..3 * count {
        // What is folded into the layer before has to see a change of shape between them.
        let after_view = matches!(layers.last(), Some(Layer::Flatten | Layer::Reshape(_)));
        let layer = if after_view && rng.random_bool(0.3) {
            batch_norm(rng)
        } else {
            layer(rng, &shape, depth)
        };
        match layer.output(&shape) {
            Some(output) if output.iter().product::<usize>() <= MOST_VALUES => {
                shape = output;
                layers.push(layer);
            }
            _ => {}
        }
        if layers.len() == count {
            break;
        }
    }
    layers
}

/// A layer that may fit after this shape. Residual blocks hold others to this depth.
fn layer(rng: &mut Rng, shape: &[usize], depth: usize) -> Layer {
    if let &[channels, height, width] = shape {
        match rng.random_range(0..20) {
            0..=4 => return conv2d(rng, channels),
            5 | 6 => {
                let (kernel, stride, padding) = pooling(rng);
                return Layer::MaxPool2d {
                    kernel,
                    stride,
                    padding,
                };
            }
            7 => {
                let (kernel, stride, padding) = pooling(rng);
                return Layer::AvgPool2d {
                    kernel,
                    stride,
                    padding,
                    exclude_padding: rng.random(),
                };
            }
            8 => return Layer::GlobalAvgPool2d,
            9 => return Layer::Flatten,
            10 => {
                return Layer::Reshape(choose(
                    rng,
                    &[vec![height, channels, width], vec![channels, height * width]],
                ));
            }
            11 => {
                return Layer::Upsample2d {
                    scale: pair(rng, 3),
                    bilinear: rng.random(),
                };
            }
            _ => {}
        }
    } else if let &[size] = shape {
        match rng.random_range(0..10) {
            0..=3 => return dense(rng, 8),
            4 => return Layer::Softmax,
            5 => {
                let rows = (1..=size)
                    .rev()
                    .find(|rows| size.is_multiple_of(*rows) && rows * rows <= size);
                return Layer::Reshape(vec![
                    rng.random_range(1..=2),
                    rows.unwrap_or(1),
                    size / rows.unwrap_or(1),
                ]);
            }
            _ => {}
        }
    } else {
        return choose(
            rng,
            &[Layer::Flatten, Layer::Reshape(vec![1, shape[0], shape[1]]), Layer::Tanh],
        );
    }
    match rng.random_range(0..8) {
        0 | 1 => batch_norm(rng),
        2 => Layer::Dropout(choose(rng, &[0.0, 0.1, 0.5])),
        3 | 4 if depth > 0 => block(rng, shape, depth - 1),
        _ => activation(rng),
    }
}

fn activation(rng: &mut Rng) -> Layer {
    let all = [
        Layer::Relu,
        Layer::Relu,
        Layer::LeakyRelu(0.01),
        Layer::LeakyRelu(0.25),
        Layer::Elu(1.0),
        Layer::Elu(1.5),
        Layer::Gelu,
        Layer::Silu,
        Layer::Softplus,
        Layer::Sigmoid,
        Layer::Tanh,
    ];
    choose(rng, &all)
}

fn batch_norm(rng: &mut Rng) -> Layer {
    Layer::BatchNorm {
        momentum: choose(rng, &[0.1, 0.5, 1.0]),
        epsilon: choose(rng, &[1e-5, 1e-3]),
    }
}

fn dense(rng: &mut Rng, most: usize) -> Layer {
    Layer::Dense {
        units: rng.random_range(1..=most),
        bias: rng.random_bool(0.8),
        init: initializer(rng),
    }
}

fn pair(rng: &mut Rng, most: usize) -> [usize; 2] {
    let one = rng.random_range(1..=most);
    if rng.random() {
        [one; 2]
    } else {
        [one, rng.random_range(1..=most)]
    }
}

fn padding(rng: &mut Rng, most: [usize; 2]) -> Padding {
    match rng.random_range(0..3) {
        0 => Padding::Valid,
        1 => Padding::Same,
        _ => Padding::Explicit([most[0], most[0], most[1], most[1]].map(|most| rng.random_range(0..=most))),
    }
}

fn conv2d(rng: &mut Rng, inputs: usize) -> Layer {
    let group_counts: Vec<usize> = (1..=inputs).filter(|groups| inputs.is_multiple_of(*groups)).collect();
    let groups = if rng.random_bool(0.7) {
        1
    } else {
        choose(rng, &group_counts)
    };
    Layer::Conv2d {
        channels: groups * rng.random_range(1..=if groups > 1 { 2 } else { 4 }),
        kernel: pair(rng, 3),
        stride: pair(rng, 2),
        padding: padding(rng, [2, 2]),
        dilation: if rng.random_bool(0.8) { [1, 1] } else { pair(rng, 2) },
        groups,
        bias: rng.random_bool(0.8),
        init: initializer(rng),
    }
}

/// Half of the layers have the library's default.
fn initializer(rng: &mut Rng) -> Option<Initializer> {
    let all = [
        Initializer::Zeros,
        Initializer::Constant(0.125),
        Initializer::Normal { mean: 0.1, std: 0.3 },
        Initializer::Uniform { low: -0.5, high: 0.25 },
        Initializer::TruncatedNormal { mean: -0.1, std: 0.5 },
        Initializer::GlorotNormal,
        Initializer::GlorotUniform,
        Initializer::HeNormal,
        Initializer::HeUniform,
        Initializer::LecunNormal,
        Initializer::LecunUniform,
        Initializer::Orthogonal { gain: 1.5 },
    ];
    rng.random_bool(0.5).then(|| choose(rng, &all))
}

fn pooling(rng: &mut Rng) -> ([usize; 2], [usize; 2], Padding) {
    let kernel = pair(rng, 3);
    let stride = if rng.random() { kernel } else { pair(rng, 3) };
    (kernel, stride, padding(rng, [kernel[0] - 1, kernel[1] - 1]))
}

fn block(rng: &mut Rng, shape: &[usize], depth: usize) -> Layer {
    match rng.random_range(0..4) {
        0 => concat(rng, shape, depth),
        1 => multiply(rng, shape, depth),
        _ => residual(rng, shape, depth),
    }
}

/// Two or three branches that keep all but the first dimension.
fn concat(rng: &mut Rng, shape: &[usize], depth: usize) -> Layer {
    let branch = |rng: &mut Rng| {
        let count = rng.random_range(0..=2);
        let branch = draw_layers(rng, shape, count, depth);
        match outputs(&branch, shape) {
            Some(output) if output[1..] == shape[1..] && output[0] <= 8 => branch,
            _ => vec![activation(rng)],
        }
    };
    Layer::Concat((0..rng.random_range(2..=3)).map(|_| branch(rng)).collect())
}

/// A gate of the input itself, by channel or value by value, or of another branch.
fn multiply(rng: &mut Rng, shape: &[usize], depth: usize) -> Layer {
    let count = rng.random_range(1..=2);
    let branch = match rng.random::<bool>() {
        true => Vec::new(),
        false => draw_layers(rng, shape, count, depth),
    };
    let output = outputs(&branch, shape).expect("the layers fit");
    let function = choose(rng, &[Layer::Sigmoid, Layer::Tanh]);
    let gate = match (output.len(), shape.len()) {
        (3, 3) if rng.random() => {
            let dense = Layer::Dense {
                units: output[0],
                bias: true,
                init: initializer(rng),
            };
            vec![Layer::GlobalAvgPool2d, dense, function]
        }
        _ => [branch.clone(), vec![function]].concat(),
    };
    Layer::Multiply([branch, gate])
}

/// A residual block; one without a shortcut if its shapes allow none.
fn residual(rng: &mut Rng, shape: &[usize], depth: usize) -> Layer {
    let count = rng.random_range(1..=3);
    let mut body = draw_layers(rng, shape, count, depth);
    if body.is_empty() {
        // Nothing that was drawn fits; an activation always does.
        body.push(activation(rng));
    }
    let output = outputs(&body, shape).expect("the layers fit");
    let shortcut = if output == shape && rng.random_bool(0.4) {
        Some(vec![choose(rng, &[Layer::Relu, Layer::Tanh, Layer::Dropout(0.0)])])
    } else if projection(shape, &output).is_none() {
        Some(body.clone())
    } else {
        None
    };
    Layer::Residual { body, shortcut }
}

/// Layers after this shape whose output fits the loss.
fn last_layers(rng: &mut Rng, shape: &[usize], loss: LossKind) -> Option<Vec<Layer>> {
    let mut layers = Vec::new();
    let flattens = |rng: &mut Rng| choose(rng, &[Layer::Flatten, Layer::Flatten, Layer::GlobalAvgPool2d]);
    match loss {
        LossKind::CrossEntropy { .. } => {
            if shape.len() > 1 {
                layers.push(flattens(rng));
            }
            if rng.random() || outputs(&layers, shape)?[0] > MOST_OUTPUTS {
                layers.push(dense(rng, 6));
                // Networks may end in logits.
                if rng.random_bool(0.25) {
                    return Some(layers);
                }
            }
            // As a sigmoid has.
            layers.push(if rng.random_bool(0.1) {
                Layer::Sigmoid
            } else {
                Layer::Softmax
            });
        }
        LossKind::BinaryCrossEntropy => {
            let size: usize = shape.iter().product();
            if shape.len() == 3 && rng.random_bool(0.8) {
                layers.push(Layer::Conv2d {
                    channels: 1,
                    kernel: [1, 1],
                    stride: [1 + shape[1] / 3, 1 + shape[2] / 3],
                    padding: Padding::Valid,
                    dilation: [1, 1],
                    groups: 1,
                    bias: true,
                    init: None,
                });
                layers.extend(choose(
                    rng,
                    &[
                        vec![],
                        vec![Layer::Flatten],
                        vec![Layer::Sigmoid],
                        vec![Layer::Sigmoid],
                        vec![Layer::Sigmoid],
                        vec![Layer::Flatten, Layer::Sigmoid],
                        vec![Layer::GlobalAvgPool2d, Layer::Sigmoid],
                        vec![Layer::Sigmoid, Layer::Flatten],
                        vec![Layer::Sigmoid, Layer::Flatten],
                        // From probabilities that are no sigmoid's own.
                        vec![Layer::Sigmoid, Layer::GlobalAvgPool2d],
                    ],
                ));
            } else {
                if shape.len() > 1 {
                    layers.push(flattens(rng));
                }
                if rng.random() || size > MOST_OUTPUTS {
                    layers.push(dense(rng, 3));
                    if rng.random_bool(0.25) {
                        return Some(layers);
                    }
                }
                // A softmax has its loss computed from the probabilities.
                let softmax = outputs(&layers, shape)?.len() == 1 && rng.random_bool(0.15);
                layers.push(if softmax { Layer::Softmax } else { Layer::Sigmoid });
            }
        }
        _ => {
            if shape.iter().product::<usize>() > MOST_OUTPUTS {
                if shape.len() > 1 {
                    layers.push(flattens(rng));
                }
                layers.push(dense(rng, 4));
            }
        }
    }
    Some(layers)
}

fn optimization(rng: &mut Rng) -> Optimization {
    let momentum = choose(rng, &[0.0, 0.5, 0.9]);
    let optimizer = match rng.random_range(0..4) {
        0 => OptimizerKind::Sgd {
            momentum,
            nesterov: momentum > 0.0 && rng.random(),
        },
        1 | 2 => OptimizerKind::Adam {
            betas: choose(rng, &[[0.9, 0.999], [0.5, 0.75], [0.0, 0.9]]),
            epsilon: choose(rng, &[1e-8, 1e-3]),
            decoupled: rng.random(),
        },
        _ => OptimizerKind::RmsProp {
            alpha: choose(rng, &[0.99, 0.5]),
            epsilon: choose(rng, &[1e-8, 1e-3]),
            momentum,
        },
    };
    Optimization {
        optimizer,
        learning_rate: choose(rng, &[0.001, 0.01, 0.05]),
        weight_decay: choose(rng, &[0.0, 0.0, 0.01, 0.1]),
        clip: choose(rng, &[None, None, None, Some(Clip::Norm(0.5)), Some(Clip::Value(0.05))]),
    }
}

fn schedule(rng: &mut Rng) -> ScheduleKind {
    let all = [
        ScheduleKind::Constant,
        ScheduleKind::StepDecay { every: 2, factor: 0.5 },
        ScheduleKind::Exponential { per_epoch: 0.75 },
        ScheduleKind::Cosine { to: 0.1 },
        ScheduleKind::OneCycle {
            warm_up: 0.4,
            start_divisor: 10.0,
            final_divisor: 100.0,
        },
        ScheduleKind::Plateau {
            patience: 0,
            factor: 0.5,
            min_delta: 0.01,
        },
    ];
    let then = choose(rng, &all);
    if rng.random_bool(0.2) {
        ScheduleKind::Warmup {
            steps: rng.random_range(1..=6),
            then: Box::new(then),
        }
    } else {
        then
    }
}

/// Of numbers that `f32` holds exactly, so that only the arithmetic rounds. The first column may be a time in seconds, which
/// needs double precision.
fn scaling(rng: &mut Rng, size: usize) -> Scaling {
    let mut scaling = Scaling {
        mean: (0..size).map(|_| choose(rng, &[0.0, 2.5, -20.0, 100.0])).collect(),
        deviation: (0..size).map(|_| choose(rng, &[0.25, 1.0, 3.0, 40.0])).collect(),
    };
    if rng.random_bool(0.15) {
        (scaling.mean[0], scaling.deviation[0]) = (1_700_000_000.0, 86_400.0);
    }
    scaling
}

fn normalization(rng: &mut Rng, input: &[usize]) -> Normalization {
    let channels = if input.len() == 3 { input[0] } else { 1 };
    match rng.random_range(0..3) {
        0 => Normalization::default(),
        1 => Normalization {
            scale: vec![1.0 / 127.5],
            shift: vec![-1.0],
        },
        _ => Normalization {
            scale: to_floats(&uniform(rng, channels, 0.001, 0.02)),
            shift: to_floats(&uniform(rng, channels, -2.0, 2.0)),
        },
    }
}

/// The case's network with the first values of its initializers.
pub fn built(case: &Case) -> gradus::Result<Network> {
    Sequential::from_json(&case.json(), &Registry::default())?.build(case.seed)
}

/// The case's network: weights of its initializers, all other parameters and statistics drawn.
pub fn network(case: &Case) -> gradus::Result<Network> {
    let mut network = built(case)?;
    let rng = &mut stream(case.seed, Purpose::User, &[0]);
    let named: Vec<(String, usize, usize)> = (network.parameters().chain(network.state()))
        .map(|tensor| (tensor.name, tensor.shape.len(), tensor.values.len()))
        .collect();
    let last = named
        .iter()
        .rev()
        .find(|(_, dims, _)| *dims > 1)
        .map(|(name, ..)| name.clone());
    for (name, dims, size) in named {
        let [least, most] = match () {
            () if dims > 1 && Some(&name) != last.as_ref() => continue,
            () if dims > 1 => [0.0, 0.0],
            () if name.ends_with("running_var") => [0.3, 1.3],
            () if name.ends_with("weight") => [0.5, 1.5],
            () => [-0.5, 0.5],
        };
        let values: Vec<Float> = if dims > 1 {
            let tensor = network
                .parameters()
                .find(|tensor| tensor.name == name)
                .expect("it was there");
            tensor
                .values
                .iter()
                .map(|w| w * case.last_weight_factor as Float)
                .collect()
        } else {
            to_floats(&uniform(rng, size, least, most))
        };
        network.set(&name, &values)?;
    }
    Ok(network)
}

fn uniform(rng: &mut Rng, size: usize, least: f64, most: f64) -> Vec<f64> {
    (0..size).map(|_| rng.random_range(least..most)).collect()
}

/// Samples and their targets.
#[derive(Debug, Clone)]
pub struct Samples {
    pub count: usize,
    pub x: Vec<Float>,
    labels: Vec<usize>,
    values: Vec<Float>,
}

impl Samples {
    /// `count` samples for this case, others for each `part`.
    pub fn draw(case: &Case, count: usize, part: u64) -> Samples {
        let rng = &mut stream(case.seed, Purpose::User, &[1, part]);
        let size: usize = case.input.iter().product();
        let (least, most) = match case.inputs {
            Inputs::Pixels => (0.0, 1.0),
            _ => (-2.0, 2.0),
        };
        let mut x = to_floats(&uniform(rng, count * size, least, most));
        if case.inputs == Inputs::Constant {
            let first = size / case.input[0];
            x.chunks_exact_mut(size).for_each(|x| x[..first].fill(273.15));
        }
        let outputs: usize = case.output().iter().product();
        let (mut labels, mut values) = (Vec::new(), Vec::new());
        match &case.targets {
            Targets::Classes(classes) => labels = (0..count).map(|_| rng.random_range(0..*classes)).collect(),
            Targets::Values(_) => {
                let [least, most] = match case.loss {
                    LossKind::CrossEntropy { .. } | LossKind::BinaryCrossEntropy => [0.0, 1.0],
                    _ => [-2.0, 2.0],
                };
                let mut all = uniform(rng, count * outputs, least, most);
                if matches!(case.loss, LossKind::CrossEntropy { .. }) {
                    for t in all.chunks_exact_mut(outputs) {
                        let sum: f64 = t.iter().sum();
                        t.iter_mut().for_each(|t| *t /= sum);
                    }
                }
                values = to_floats(&all);
            }
        }
        Samples {
            count,
            x,
            labels,
            values,
        }
    }

    /// The input of a sample.
    pub fn input(&self, i: usize) -> &[Float] {
        let size = self.x.len() / self.count;
        &self.x[i * size..(i + 1) * size]
    }

    /// The target of a sample.
    pub fn target(&self, i: usize) -> Target<'_> {
        match self.labels.get(i) {
            Some(&label) => Target::Class(label),
            None => {
                let size = self.values.len() / self.count;
                Target::Values(&self.values[i * size..(i + 1) * size])
            }
        }
    }

    /// The targets of all.
    pub fn targets(&self) -> Vec<Target<'_>> {
        (0..self.count).map(|i| self.target(i)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use gradus::optim;
    use serde_json::{Value, json};

    use super::*;

    const CASES: u64 = 300;

    fn set<'n>(names: impl Iterator<Item = &'n str>) -> BTreeSet<String> {
        names.map(String::from).collect()
    }

    #[track_caller]
    fn check(what: &str, in_library: &BTreeSet<String>, drawn: &BTreeSet<String>) {
        let missing: Vec<&String> = in_library.difference(drawn).collect();
        assert!(
            missing.is_empty(),
            "the library has a {what} that is not drawn, {missing:?}: add it to case.rs, reference.rs and draw.rs, and to compare.py"
        );
    }

    /// Calls `each` with every layer, those in blocks too.
    fn visit<'a>(layers: &'a Value, each: &mut dyn FnMut(&'a Value)) {
        for layer in layers.as_array().into_iter().flatten() {
            each(layer);
            visit(&layer["body"], each);
            visit(&layer["shortcut"], each);
        }
    }

    #[test]
    fn every_kind_of_the_library_is_drawn() {
        let cases: Vec<Case> = (0..CASES).map(|number| case(1, number)).collect();
        let names = |name_of: &dyn Fn(&Case) -> String| -> BTreeSet<String> { cases.iter().map(name_of).collect() };
        let registry = Registry::default();
        check(
            "loss",
            &set(registry.losses.names()),
            &names(&|case| case.loss.loss().name().into()),
        );
        check(
            "optimizer",
            &set(registry.optimizers.names()),
            &names(&|case| case.optimization.settings().0.into()),
        );
        check(
            "schedule",
            &set(registry.schedules.names()),
            &names(&|case| case.schedule.schedule().name().into()),
        );

        let (mut kinds, mut initializers) = (BTreeSet::new(), BTreeSet::new());
        for case in &cases {
            let layers = case.json();
            visit(&layers["layers"], &mut |layer| {
                kinds.insert(layer["kind"].as_str().unwrap_or_default().to_string());
                let init = &layer["init"];
                let name = init.as_str().or(init["kind"].as_str()).unwrap_or_default();
                initializers.insert(name.to_string());
            });
        }
        // Every other layer of the library is held against its own plain loops, and those against PyTorch.
        assert!(kinds.len() >= 19, "layers are no longer drawn: {kinds:?}");
        check("initializer", &set(registry.initializers.names()), &initializers);
    }

    /// The settings of layers are those in the library's own files, those of optimizers those that it takes.
    #[test]
    fn every_setting_of_the_library_is_drawn_with_different_values() {
        let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for number in 0..CASES {
            let case = case(1, number);
            let architecture = built(&case).unwrap().architecture().unwrap();
            let architecture = serde_json::to_value(architecture).unwrap();
            visit(&architecture["layers"], &mut |layer| {
                for (setting, value) in layer.as_object().into_iter().flatten() {
                    let setting = format!("{} of {}", setting, layer["kind"]);
                    values.entry(setting).or_default().insert(value.to_string());
                }
            });
            let (name, settings) = case.optimization.settings();
            let sentence = optim::with_settings(name, json!({ "?": 0 })).unwrap_err().to_string();
            // unknown setting `?`, expected one of `learning_rate`, `momentum`
            for setting in sentence.split('`').skip(3).step_by(2) {
                let all = values.entry(format!("{setting} of {name}")).or_default();
                all.insert(settings[setting].to_string());
            }
        }
        assert!(values.len() > 50, "{values:?}");
        values.retain(|setting, values| values.len() < 2 && !setting.starts_with("kind of"));
        assert!(
            values.is_empty(),
            "settings that are drawn with one value only: {values:?}; draw others in draw.rs, and compute them in reference.rs \
             or optimizers.rs, and in compare.py"
        );
    }

    #[test]
    fn every_way_to_train_and_export_is_drawn() {
        let cases: Vec<Case> = (0..CASES).map(|number| case(1, number)).collect();
        type Way = (&'static str, fn(&Case) -> bool);
        let ways: [Way; 15] = [
            ("clipping by norm", |case| {
                matches!(case.optimization.clip, Some(Clip::Norm(_)))
            }),
            ("clipping by value", |case| {
                matches!(case.optimization.clip, Some(Clip::Value(_)))
            }),
            ("no clipping", |case| case.optimization.clip.is_none()),
            ("training in bfloat16", |case| case.rounds_to_bfloat16()),
            ("dropout", |case| {
                case.has(|layer| matches!(layer, Layer::Dropout(rate) if *rate > 0.0))
            }),
            ("a batch that is not interleaved", |case| case.batch < 8),
            ("a batch that is interleaved", |case| case.batch >= 8),
            ("four threads", |case| case.threads == 4),
            ("a loss from logits of a last activation", |case| {
                case.logits().is_some() && !case.ends_in_logits()
            }),
            ("a loss from logits that are outputs", |case| case.ends_in_logits()),
            ("a loss from probabilities", |case| {
                case.logits().is_none()
                    && matches!(case.loss, LossKind::CrossEntropy { .. } | LossKind::BinaryCrossEntropy)
            }),
            ("inputs that files scale", |case| case.input_scaling.is_some()),
            ("outputs that files scale", |case| case.output_scaling.is_some()),
            ("inputs that files take as bytes", |case| case.normalization.is_some()),
            ("files that give logits", |case| {
                case.exports_logits && case.last_function().is_some()
            }),
        ];
        for (what, is_drawn) in ways {
            let count = cases.iter().filter(|case| is_drawn(case)).count();
            assert!(count >= 5, "{what}: drawn in {count} of {CASES} cases");
        }
    }
}
