//! Random networks of every layer, in any order, held against the library: what no list of cases thinks of.

mod common;

use common::{Compiled, Sources};
use gradus::random::{self, Purpose, Rng};
use gradus::save::Registry;
use gradus::{Float, Network, Sequential};
use gradus_source::{InputBytes, Labels, Language, Program};
use ndarray::{ArrayD, IxDyn};
use rand::RngExt;
use serde_json::{Value, json};

/// The networks that are run here.
const NETWORKS: u64 = 300;
/// Those of them that are compiled too.
const COMPILED: usize = 12;
/// The samples of each network.
const SAMPLES: usize = 12;

/// A layer's declaration, for values of this shape. It may not fit.
fn layer(shape: &[usize], depth: usize, rng: &mut Rng) -> Value {
    let below = |n: usize, rng: &mut Rng| rng.random_range(0..n);
    let size: usize = shape.iter().product();
    let kernel = [1 + below(3, rng), 1 + below(3, rng)];
    let stride = [1 + below(2, rng), 1 + below(2, rng)];
    let padding = match below(3, rng) {
        0 => json!("valid"),
        1 => json!("same"),
        _ => {
            json!({ "explicit": { "top": below(2, rng), "bottom": below(2, rng), "left": below(2, rng), "right": below(2, rng) } })
        }
    };
    match below(20, rng) {
        0 | 1 => json!({ "kind": "dense", "units": 1 + below(8, rng), "bias": below(2, rng) == 0 }),
        2 | 3 => json!({
            "kind": "conv2d", "channels": 2 * (1 + below(3, rng)), "kernel": kernel, "stride": stride, "padding": padding,
            "dilation": 1 + below(2, rng), "groups": 1 + below(2, rng), "bias": below(2, rng) == 0,
        }),
        4 => json!({ "kind": "max_pool2d", "kernel": kernel, "stride": stride, "padding": padding }),
        5 => json!({
            "kind": "avg_pool2d", "kernel": kernel, "stride": stride, "padding": padding, "exclude_padding": below(2, rng) == 0,
        }),
        6 => json!({ "kind": "global_avg_pool2d" }),
        7..10 => json!({ "kind": "batch_norm" }),
        10 | 11 => json!({ "kind": "flatten" }),
        12 => {
            let divisors: Vec<usize> = (1..=size).filter(|n| size.is_multiple_of(*n)).collect();
            let channels = divisors[below(divisors.len(), rng)];
            let rest = size / channels;
            let heights: Vec<usize> = (1..=rest).filter(|n| rest.is_multiple_of(*n)).collect();
            let height = heights[below(heights.len(), rng)];
            json!({ "kind": "reshape", "shape": [channels, height, rest / height] })
        }
        13 => json!({ "kind": "dropout", "rate": 0.3 }),
        14 if depth < 2 => {
            let mut body = Vec::new();
            for _ in 0..1 + below(3, rng) {
                body.push(layer(shape, depth + 1, rng));
            }
            json!({ "kind": "residual", "body": body })
        }
        15 => json!({ "kind": "softmax" }),
        16 | 17 => json!({ "kind": "relu" }),
        _ => {
            let kinds = ["leaky_relu", "elu", "gelu", "silu", "softplus", "sigmoid", "tanh"];
            json!({ "kind": kinds[below(kinds.len(), rng)] })
        }
    }
}

fn build(input: &[usize], layers: &[Value], seed: u64) -> Option<Network> {
    let declared = json!({ "input": input, "layers": layers });
    Sequential::from_json(&declared, &Registry::default())
        .ok()?
        .build(seed)
        .ok()
}

/// A network of up to seven layers, whose parameters and statistics are all drawn.
fn network(seed: u64) -> (Network, Vec<Value>) {
    let mut rng = random::stream(seed, Purpose::Layer, &[1]);
    let input = if rng.random_range(0..3) == 0 {
        vec![rng.random_range(1..13)]
    } else {
        (0..3).map(|_| rng.random_range(1..6)).collect()
    };
    let (mut layers, mut shape) = (Vec::new(), input.clone());
    let count = rng.random_range(1..8);
    while layers.len() < count {
        layers.push(layer(&shape, 0, &mut rng));
        match build(&input, &layers, seed) {
            Some(network) => shape = network.output_shape().to_vec(),
            None => drop(layers.pop()),
        }
    }
    let mut network = build(&input, &layers, seed).expect("each layer was tried");
    let tensors: Vec<(String, usize)> = (network.parameters().chain(network.state()))
        .map(|tensor| (tensor.name, tensor.values.len()))
        .collect();
    for (name, size) in tensors {
        let range = if name.ends_with("running_var") {
            0.3..2.0
        } else {
            -1.0..1.0
        };
        let values: Vec<Float> = (0..size).map(|_| rng.random_range(range.clone())).collect();
        network.set(&name, &values).unwrap();
    }
    (network, layers)
}

fn samples(network: &Network, seed: u64) -> ArrayD<Float> {
    let mut rng = random::stream(seed, Purpose::Layer, &[2]);
    let mut dims = vec![SAMPLES];
    dims.extend_from_slice(network.input_shape());
    ArrayD::from_shape_simple_fn(IxDyn(&dims), || rng.random_range(-2.0..2.0))
}

fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs() / b.abs().max(1.0));
    differences.fold(0.0, f32::max)
}

#[test]
fn random_networks_compute_what_the_library_does() {
    let (mut files, mut compiled) = (Vec::new(), Vec::new());
    for seed in 0..NETWORKS {
        let (network, layers) = network(seed);
        let about = || json!({ "input": network.input_shape().to_vec(), "layers": layers }).to_string();
        let x = samples(&network, seed);
        let size = network.input_shape().size();
        let rows = || x.as_slice().unwrap().chunks_exact(size);
        let y = network.predict(&x).unwrap();
        let y: Vec<f32> = y.iter().map(|&y| f64::from(y) as f32).collect();
        let program = Program::of(&network).unwrap();
        let run: Vec<f32> = rows().flat_map(|x| program.run(x)).collect();
        let off = difference(&run, &y);
        assert!(off < 1e-4, "{off}: {}", about());

        let quantized = program.quantize(rows(), InputBytes::Calibrated).unwrap();
        let bytes: Vec<u8> = rows().flat_map(|x| quantized.bytes(x)).collect();
        let integers: Vec<u8> = bytes.chunks_exact(size).flat_map(|x| quantized.run(x)).collect();
        if files.len() < 2 * COMPILED && seed % 2 == 0 && layers.len() > 2 {
            let labels = |n: usize| Labels {
                prefix: format!("n{n}"),
                ..Labels::default()
            };
            let n = files.len();
            files.push(Sources {
                rust: program.source(Language::Rust, &labels(n)).unwrap(),
                c: program.source(Language::C, &labels(n)).unwrap(),
                bytes: false,
            });
            files.push(Sources {
                rust: quantized.source(Language::Rust, &labels(n + 1)).unwrap(),
                c: quantized.source(Language::C, &labels(n + 1)).unwrap(),
                bytes: true,
            });
            let x: Vec<f32> = x.iter().map(|&x| f64::from(x) as f32).collect();
            compiled.push((about(), x, run, bytes, integers));
        }
    }
    let programs = Compiled::new(&files);
    for (i, (about, x, run, bytes, integers)) in compiled.iter().enumerate() {
        for (language, path) in &programs.programs {
            let found = programs.run_floats(path, 2 * i, x);
            assert!(difference(&found, run) < 1e-5, "{language}: {about}");
            assert!(programs.run(path, 2 * i + 1, bytes) == *integers, "{language}: {about}");
        }
    }
}
