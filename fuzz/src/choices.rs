//! Networks and trainings that the fuzzer's bytes declare, a choice each.

use gradus::check;
use gradus::prelude::*;
use gradus::save::Registry;
use ndarray::{ArrayD, IxDyn};
use serde_json::{Value, json};

/// The fuzzer's bytes, one for each choice; after the last, the first is chosen.
pub struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Choices(bytes)
    }

    pub fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        first
    }

    /// From 0 to n - 1.
    pub fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n
    }

    pub fn flag(&mut self) -> bool {
        self.below(2) == 1
    }

    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// A number from -1 to 1.
    pub fn number(&mut self) -> f32 {
        f32::from(self.byte() as i8) / 127.0
    }

    /// So many numbers times this, of some bytes again and again.
    pub fn numbers(&mut self, count: usize, scale: f32) -> Vec<f32> {
        let some: Vec<f32> = (0..count.clamp(1, 8)).map(|_| self.number()).collect();
        // The distance of two of the same is no power of two, so that rows differ.
        (0..count).map(|i| scale * some[(i + i / 7) % some.len()]).collect()
    }
}

/// A small network of any layers with any settings.
pub struct Declared {
    pub network: Network,
    pub declaration: Value,
}

impl Declared {
    /// As the choices have it; layers that do not fit are left out.
    pub fn new(choices: &mut Choices) -> Declared {
        let input: Vec<usize> = if choices.below(3) == 0 {
            vec![1 + choices.below(12)]
        } else {
            (0..3).map(|_| 1 + choices.below(5)).collect()
        };
        let mut layers: Vec<Value> = Vec::new();
        let mut network = build(&input, &layers);
        let mut shape = input.clone();
        for _ in 0..choices.below(8) {
            layers.push(layer(&shape, 0, choices));
            match build(&input, &layers) {
                Some(built) => {
                    shape = built.output_shape().to_vec();
                    network = Some(built);
                }
                None => drop(layers.pop()),
            }
        }
        Declared {
            network: network.unwrap_or_else(|| {
                // A network has a layer at least.
                layers = vec![json!({ "kind": "flatten" }), json!({ "kind": "dense", "units": 2 })];
                build(&input, &layers).expect("a dense layer fits")
            }),
            declaration: json!({ "input": input, "layers": layers }),
        }
    }

    /// So many samples, of numbers of about this size.
    pub fn samples(&self, count: usize, scale: f32, choices: &mut Choices) -> ArrayD<f32> {
        let size = self.network.input_shape().size();
        let mut dims = vec![count];
        dims.extend_from_slice(self.network.input_shape());
        let values = choices.numbers(count * size, scale);
        ArrayD::from_shape_vec(IxDyn(&dims), values).expect("as many values as the shape says")
    }

    /// Chooses all parameters, and running statistics, of about this size.
    pub fn set_parameters(&mut self, scale: f32, choices: &mut Choices) {
        let tensors = self.network.parameters().chain(self.network.state());
        let tensors: Vec<(String, usize)> = tensors.map(|tensor| (tensor.name, tensor.values.len())).collect();
        for (name, size) in tensors {
            let mut values = choices.numbers(size, scale);
            if name.ends_with("running_var") {
                values.iter_mut().for_each(|value| *value = 0.3 + value.abs());
            }
            self.network.set(&name, &values).expect("as many values as there are");
        }
    }
}

fn build(input: &[usize], layers: &[Value]) -> Option<Network> {
    let declared = json!({ "input": input, "layers": layers });
    let network = Sequential::from_json(&declared, &Registry::default())
        .ok()?
        .build(1)
        .ok()?;
    (network.output_shape().size() <= 512).then_some(network)
}

/// A layer's declaration, for values of this shape. It may not fit.
fn layer(shape: &[usize], depth: usize, choices: &mut Choices) -> Value {
    let size: usize = shape.iter().product();
    let mut two = |n| [1 + choices.below(n), 1 + choices.below(n)];
    let (kernel, stride) = (two(3), two(2));
    let padding = match choices.below(3) {
        0 => json!("valid"),
        1 => json!("same"),
        _ => {
            let mut side = || choices.below(2);
            json!({ "explicit": { "top": side(), "bottom": side(), "left": side(), "right": side() } })
        }
    };
    let init = choices.one_of(&[
        "he_normal",
        "he_uniform",
        "glorot_uniform",
        "glorot_normal",
        "orthogonal",
    ]);
    match choices.below(22) {
        0 | 1 => json!({ "kind": "dense", "units": 1 + choices.below(8), "bias": choices.flag(), "init": init }),
        2 | 3 => json!({
            "kind": "conv2d", "channels": 1 + choices.below(6), "kernel": kernel, "stride": stride, "padding": padding,
            "dilation": 1 + choices.below(2), "groups": 1 + choices.below(3), "bias": choices.flag(), "init": init,
        }),
        4 => json!({ "kind": "max_pool2d", "kernel": kernel, "stride": stride, "padding": padding }),
        5 => json!({
            "kind": "avg_pool2d", "kernel": kernel, "stride": stride, "padding": padding, "exclude_padding": choices.flag(),
        }),
        6 => json!({ "kind": "global_avg_pool2d" }),
        7 | 8 => json!({
            "kind": "batch_norm", "momentum": choices.one_of(&[0.1, 0.0, 1.0]), "epsilon": choices.one_of(&[1e-5, 1e-3, 1e-12]),
        }),
        9 | 10 => json!({ "kind": "flatten" }),
        11 | 12 => {
            let divisors = |n: usize| (1..=n).filter(|d| n.is_multiple_of(*d)).collect::<Vec<usize>>();
            let channels = choices.one_of(&divisors(size));
            let height = choices.one_of(&divisors(size / channels));
            json!({ "kind": "reshape", "shape": [channels, height, size / channels / height] })
        }
        13 => json!({ "kind": "dropout", "rate": choices.one_of(&[0.0, 0.3, 0.9]) }),
        14 | 15 if depth < 2 => {
            let mut layers = |most| {
                let count = choices.below(most);
                (0..count)
                    .map(|_| layer(shape, depth + 1, choices))
                    .collect::<Vec<Value>>()
            };
            let (first, second) = (layers(4), layers(2));
            match choices.below(4) {
                0 => json!({ "kind": "concat", "branches": [first, second] }),
                1 => json!({ "kind": "multiply", "branches": [first, second] }),
                _ if second.is_empty() => json!({ "kind": "residual", "body": first }),
                _ => json!({ "kind": "residual", "body": first, "shortcut": second }),
            }
        }
        16 => json!({ "kind": "softmax" }),
        17 => json!({ "kind": "leaky_relu", "slope": choices.one_of(&[0.01, 0.0, 2.0]) }),
        18 => json!({ "kind": "elu", "alpha": choices.one_of(&[1.0, 0.1, 3.0]) }),
        19 => json!({ "kind": choices.one_of(&["relu", "gelu", "silu", "softplus", "sigmoid", "tanh"]) }),
        _ => {
            let all = check::every_layer();
            let (layer, _) = &all[choices.below(all.len())];
            let mut declared = layer.settings().filter(Value::is_object).unwrap_or_else(|| json!({}));
            declared["kind"] = json!(layer.kind());
            declared
        }
    }
}
