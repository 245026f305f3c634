//! Drawing networks and trainings.

use gradus::data::{Target, Targets};
use gradus::optim::Clip;
use gradus::random::{Purpose, Rng, stream};
use gradus::{Float, Network, Sequential, save::Registry};
use rand::RngExt;

use crate::case::{Case, Inputs, Layer, LossRule, Optimization, Rule, narrow, outputs, projection, shape};
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
    let inputs = one_of(rng, &[Inputs::Spread, Inputs::Spread, Inputs::Pixels, Inputs::Constant]);
    let mut layers = Vec::new();
    if inputs == Inputs::Constant {
        layers.push(batch_norm(rng));
    }
    let count = rng.random_range(1..=6);
    let middle = some_layers(rng, &outputs(&layers, &input)?, count, 2);
    layers.extend(middle);
    let loss = match rng.random_range(0..6) {
        0 | 1 => LossRule::CrossEntropy {
            smoothing: one_of(rng, &[0.0, 0.0, 0.1, 0.5]),
        },
        2 => LossRule::BinaryCrossEntropy,
        3 => LossRule::MeanSquaredError,
        4 => LossRule::MeanAbsoluteError,
        _ => LossRule::Huber {
            delta: one_of(rng, &[0.25, 1.0, 2.0]),
        },
    };
    layers.extend(end(rng, &outputs(&layers, &input)?, loss)?);
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
        LossRule::CrossEntropy { .. } if size < 2 => return None,
        LossRule::BinaryCrossEntropy if size > 1 => values,
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
    Some(Case {
        number,
        seed: rng.random_range(0..1 << 32),
        input,
        layers,
        last_scale: one_of(rng, &[1.0, 1.0, 1.0, 30.0]),
        inputs,
        targets,
        loss,
        optimization: optimization(rng),
        // Fewer than 8 samples lie one after the other, more side by side, 16 at a time.
        batch: match rng.random_range(0..3) {
            0 => rng.random_range(least..8),
            1 => rng.random_range(8..=16),
            _ => rng.random_range(17..=40),
        },
        steps: 3,
        threads: rng.random_range(2..=4),
    })
}

fn one_of<T: Clone>(rng: &mut Rng, choices: &[T]) -> T {
    choices[rng.random_range(0..choices.len())].clone()
}

/// Up to so many layers that fit after each other.
fn some_layers(rng: &mut Rng, input: &[usize], count: usize, depth: usize) -> Vec<Layer> {
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
                return Layer::Reshape(one_of(
                    rng,
                    &[vec![height, channels, width], vec![channels, height * width]],
                ));
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
        return one_of(
            rng,
            &[Layer::Flatten, Layer::Reshape(vec![1, shape[0], shape[1]]), Layer::Tanh],
        );
    }
    match rng.random_range(0..8) {
        0 | 1 => batch_norm(rng),
        2 => Layer::Dropout(one_of(rng, &[0.0, 0.0, 0.5])),
        3 | 4 if depth > 0 => residual(rng, shape, depth - 1),
        _ => activation(rng),
    }
}

fn activation(rng: &mut Rng) -> Layer {
    let all = [
        Layer::Relu,
        Layer::Relu,
        Layer::LeakyRelu(0.125),
        Layer::Elu(1.0),
        Layer::Elu(1.5),
        Layer::Gelu,
        Layer::Silu,
        Layer::Softplus,
        Layer::Sigmoid,
        Layer::Tanh,
    ];
    one_of(rng, &all)
}

fn batch_norm(rng: &mut Rng) -> Layer {
    Layer::BatchNorm {
        momentum: one_of(rng, &[0.125, 0.5, 1.0]),
        epsilon: one_of(rng, &[1e-5, 1e-3]),
    }
}

fn dense(rng: &mut Rng, most: usize) -> Layer {
    Layer::Dense {
        units: rng.random_range(1..=most),
        bias: rng.random_bool(0.8),
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
        one_of(rng, &group_counts)
    };
    Layer::Conv2d {
        channels: groups * rng.random_range(1..=if groups > 1 { 2 } else { 4 }),
        kernel: pair(rng, 3),
        stride: pair(rng, 2),
        padding: padding(rng, [2, 2]),
        dilation: if rng.random_bool(0.8) { [1, 1] } else { pair(rng, 2) },
        groups,
        bias: rng.random_bool(0.8),
    }
}

fn pooling(rng: &mut Rng) -> ([usize; 2], [usize; 2], Padding) {
    let kernel = pair(rng, 3);
    let stride = if rng.random() { kernel } else { pair(rng, 3) };
    (kernel, stride, padding(rng, [kernel[0] - 1, kernel[1] - 1]))
}

/// A residual block; one without a shortcut if its shapes allow none.
fn residual(rng: &mut Rng, shape: &[usize], depth: usize) -> Layer {
    let count = rng.random_range(1..=3);
    let mut body = some_layers(rng, shape, count, depth);
    if body.is_empty() {
        // Nothing that was drawn fits; an activation always does.
        body.push(activation(rng));
    }
    let output = outputs(&body, shape).expect("the layers fit");
    let shortcut = if output == shape && rng.random_bool(0.4) {
        Some(vec![one_of(rng, &[Layer::Relu, Layer::Tanh, Layer::Dropout(0.0)])])
    } else if projection(shape, &output).is_none() {
        Some(body.clone())
    } else {
        None
    };
    Layer::Residual { body, shortcut }
}

/// What makes an output of this shape fit the loss.
fn end(rng: &mut Rng, shape: &[usize], loss: LossRule) -> Option<Vec<Layer>> {
    let mut layers = Vec::new();
    let flattens = |rng: &mut Rng| one_of(rng, &[Layer::Flatten, Layer::Flatten, Layer::GlobalAvgPool2d]);
    match loss {
        LossRule::CrossEntropy { .. } => {
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
            layers.push(Layer::Softmax);
        }
        LossRule::BinaryCrossEntropy => {
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
                });
                layers.extend(one_of(
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
                layers.push(Layer::Sigmoid);
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
    let momentum = one_of(rng, &[0.0, 0.5, 0.9]);
    let rule = match rng.random_range(0..4) {
        0 => Rule::Sgd {
            momentum,
            nesterov: momentum > 0.0 && rng.random(),
        },
        1 | 2 => Rule::Adam {
            betas: one_of(rng, &[[0.9, 0.999], [0.5, 0.75], [0.0, 0.9]]),
            epsilon: one_of(rng, &[1e-8, 1e-3]),
            decoupled: rng.random(),
        },
        _ => Rule::RmsProp {
            alpha: one_of(rng, &[0.99, 0.5]),
            epsilon: one_of(rng, &[1e-8, 1e-3]),
            momentum,
        },
    };
    Optimization {
        rule,
        learning_rate: one_of(rng, &[0.001, 0.01, 0.05]),
        weight_decay: one_of(rng, &[0.0, 0.0, 0.01, 0.1]),
        clip: one_of(rng, &[None, None, None, Some(Clip::Norm(0.5)), Some(Clip::Value(0.05))]),
    }
}

/// The case's network, with all its parameters and statistics drawn.
pub fn network(case: &Case) -> gradus::Result<Network> {
    let mut network = Sequential::from_json(&case.json(), &Registry::default())?.build(case.seed)?;
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
            tensor.values.iter().map(|w| w * case.last_scale as Float).collect()
        } else {
            narrow(&uniform(rng, size, least, most))
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
        let mut x = narrow(&uniform(rng, count * size, least, most));
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
                    LossRule::CrossEntropy { .. } | LossRule::BinaryCrossEntropy => [0.0, 1.0],
                    _ => [-2.0, 2.0],
                };
                let mut all = uniform(rng, count * outputs, least, most);
                if matches!(case.loss, LossRule::CrossEntropy { .. }) {
                    for t in all.chunks_exact_mut(outputs) {
                        let sum: f64 = t.iter().sum();
                        t.iter_mut().for_each(|t| *t /= sum);
                    }
                }
                values = narrow(&all);
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
