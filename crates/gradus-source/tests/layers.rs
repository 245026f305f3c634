//! Every layer, at awkward sizes, exported, compiled and held against the library.

mod common;
#[path = "../../gradus/tests/common/impostor.rs"]
mod impostor;

use common::{Compiled, Sources};
use gradus::layers::BatchNorm;
use gradus::prelude::*;
use gradus::random::{self, Purpose};
use gradus::{Float, Padding, Shape, check};
use gradus_source::{InputBytes, Labels, Language, Program};
use ndarray::{ArrayD, IxDyn};
use rand::RngExt;

/// The samples of each network.
const SAMPLES: usize = 20;

fn networks() -> Vec<(&'static str, Sequential)> {
    let explicit = |top, bottom, left, right| Padding::Explicit {
        top,
        bottom,
        left,
        right,
    };
    let same = |channels| Conv2d::new(channels, 3).padding(Padding::Same);
    vec![
        (
            "dense",
            Sequential::new([7])
                .layer(Dense::new(5))
                .layer(Dense::new(3).bias(false))
                .layer(Softmax),
        ),
        (
            "one output",
            Sequential::new([3])
                .layer(Dense::new(4))
                .layer(Tanh)
                .layer(Dense::new(1))
                .layer(Sigmoid),
        ),
        (
            "activations",
            Sequential::new([6])
                .layer(Dense::new(9))
                .layer(LeakyRelu::new(0.1))
                .layer(Dense::new(9))
                .layer(Elu::new(1.3))
                .layer(Dense::new(9))
                .layer(Gelu)
                .layer(Dense::new(9))
                .layer(Silu)
                .layer(Dense::new(9))
                .layer(Softplus)
                .layer(Dense::new(9))
                .layer(Relu),
        ),
        ("an activation alone", Sequential::new([11]).layer(Relu).layer(Gelu)),
        (
            "nothing",
            Sequential::new([2, 3]).layer(Flatten).layer(Dropout::new(0.5)),
        ),
        (
            "softmax between",
            Sequential::new([5])
                .layer(Dense::new(6))
                .layer(Softmax)
                .layer(Dense::new(2)),
        ),
        ("softmax alone", Sequential::new([5]).layer(Softmax)),
        (
            "convolutions",
            Sequential::new([4, 11, 7])
                .layer(
                    Conv2d::new(6, (3, 2))
                        .stride((2, 1))
                        .padding(explicit(2, 0, 1, 3))
                        .groups(2),
                )
                .layer(Tanh)
                .layer(Conv2d::new(5, (2, 3)).dilation((2, 2)).padding(Padding::Same))
                .layer(Relu)
                .layer(Conv2d::new(3, 1).bias(false)),
        ),
        (
            "sequences",
            Sequential::new([4, 17])
                .layer(Conv1d::new(6, 3).stride(2).padding(4).groups(2).bias(false))
                .layer(BatchNorm::new())
                .layer(Relu)
                .layer(MaxPool1d::new(2).stride(1).padding(1))
                .layer(Conv1d::new(5, 4).dilation(2).padding(Padding1d::Same))
                .layer(Tanh)
                .layer(AvgPool1d::new(3).stride(2).padding(1).exclude_padding())
                .layer(Flatten)
                .layer(Dense::new(3)),
        ),
        (
            "global pools",
            Sequential::new([3, 4, 6])
                .layer(Conv2d::new(12, 1))
                .layer(GlobalMaxPool2d)
                .layer(Reshape::new([3, 4]))
                .layer(GlobalMaxPool1d)
                .layer(Reshape::new([1, 3]))
                .layer(GlobalAvgPool1d),
        ),
        (
            "padding alone",
            Sequential::new([1, 2, 2]).layer(Conv2d::new(2, 3).stride(3).padding(explicit(4, 4, 4, 4))),
        ),
        (
            "pooling",
            Sequential::new([3, 9, 10])
                .layer(MaxPool2d::new((3, 2)).stride(2).padding(explicit(1, 1, 1, 0)))
                .layer(Tanh)
                .layer(AvgPool2d::new(2).stride(1).padding(Padding::Same))
                .layer(AvgPool2d::new((2, 3)).padding(explicit(1, 0, 1, 1)).exclude_padding())
                .layer(GlobalAvgPool2d::new())
                .layer(Dense::new(4)),
        ),
        (
            "upsampling",
            Sequential::new([2, 3, 4])
                .layer(Upsample2d::new((2, 3)))
                .layer(Conv2d::new(3, 2))
                .layer(Tanh)
                .layer(Upsample2d::new((3, 1)).bilinear())
                .layer(AvgPool2d::new((2, 3)))
                .layer(Upsample2d::new((1, 4)).bilinear())
                .layer(Upsample2d::new(2)),
        ),
        (
            "cropping",
            Sequential::new([2, 6, 7])
                .layer(Crop2d::new(explicit(1, 0, 0, 2)))
                .layer(Conv2d::new(3, 2))
                .layer(Crop2d::new(Padding::Valid))
                .layer(Tanh)
                .layer(Crop2d::new(1)),
        ),
        (
            "batch norm",
            Sequential::new([3, 5, 4])
                .layer(BatchNorm::new())
                .layer(same(4))
                .layer(BatchNorm::new())
                .layer(Relu)
                .layer(BatchNorm::new())
                .layer(Flatten)
                .layer(Dense::new(6).bias(false))
                .layer(BatchNorm::new())
                .layer(Tanh)
                .layer(BatchNorm::new()),
        ),
        (
            "batch norm after another shape",
            Sequential::new([3, 5, 4])
                .layer(same(4))
                .layer(Flatten)
                .layer(BatchNorm::new())
                .layer(Reshape::new([8, 5, 2]))
                .layer(Conv2d::new(6, 1))
                .layer(Reshape::new([3, 10, 2]))
                .layer(BatchNorm::new())
                .layer(Flatten)
                .layer(Dense::new(12))
                .layer(Reshape::new([4, 1, 3]))
                .layer(BatchNorm::new()),
        ),
        (
            "residual",
            Sequential::new([3, 6, 5])
                .layer(same(4))
                .layer(Relu)
                .layer(Residual::new(
                    Layers::new()
                        .layer(same(4))
                        .layer(BatchNorm::new())
                        .layer(Relu)
                        .layer(same(4)),
                ))
                .layer(Relu)
                .layer(Residual::new(Layers::new().layer(same(6)).layer(Tanh)))
                .layer(Residual::new(Layers::new().layer(BatchNorm::new())).shortcut(Layers::new().layer(Sigmoid)))
                .layer(BatchNorm::new())
                .layer(Reshape::new([180]))
                .layer(Dense::new(5)),
        ),
        (
            "concat",
            Sequential::new([3, 5, 4])
                .layer(Concat::new([
                    Layers::new(),
                    Layers::new().layer(same(2)).layer(Relu),
                    Layers::new()
                        .layer(Tanh)
                        .layer(Concat::new([Layers::new(), Layers::new().layer(Sigmoid)])),
                ]))
                .layer(Relu)
                .layer(Concat::new([
                    Layers::new(),
                    Layers::new().layer(BatchNorm::new()).layer(same(3)),
                ]))
                .layer(BatchNorm::new())
                .layer(GlobalAvgPool2d)
                .layer(Concat::new([
                    Layers::new().layer(Dense::new(3)),
                    Layers::new().layer(Dense::new(2)),
                ])),
        ),
        (
            "multiply",
            Sequential::new([3, 5, 4])
                .layer(Multiply::gate(
                    Layers::new().layer(GlobalAvgPool2d).layer(Dense::new(3)).layer(Sigmoid),
                ))
                .layer(Multiply::new([
                    Layers::new().layer(AvgPool2d::new((5, 4))).layer(Conv2d::new(3, 1)),
                    Layers::new().layer(Dropout::new(0.1)),
                    Layers::new().layer(same(3)).layer(Tanh),
                ]))
                .layer(Relu)
                .layer(Multiply::new([Layers::new(), Layers::new().layer(Dropout::new(0.1))]))
                .layer(Residual::new(
                    Layers::new().layer(Multiply::gate(Layers::new().layer(GlobalAvgPool2d))),
                ))
                .layer(Flatten)
                .layer(Dense::new(5)),
        ),
        (
            "residual blocks of nothing, and in one another",
            Sequential::new([6])
                .layer(Residual::new(Layers::new().layer(Dropout::new(0.1))))
                .layer(Residual::new(
                    Layers::new()
                        .layer(Residual::new(Layers::new().layer(Tanh)).shortcut(Layers::new().layer(Dense::new(6))))
                        .layer(Relu),
                ))
                .layer(Residual::new(Layers::new().layer(Dropout::new(0.1))).shortcut(Layers::new().layer(Relu)))
                .layer(Residual::new(
                    Layers::new().layer(Residual::new(Layers::new().layer(Dense::new(6)))),
                )),
        ),
    ]
}

/// A network whose parameters and statistics are all drawn.
fn build(network: Sequential, seed: u64) -> Network {
    let mut network = network.build(seed).unwrap();
    let tensors: Vec<(String, usize)> = network
        .parameters()
        .chain(network.state())
        .map(|t| (t.name, t.values.len()))
        .collect();
    let mut rng = random::stream(seed, Purpose::Initialize, &[1]);
    for (name, size) in tensors {
        if !name.ends_with("weight") {
            let least = if name.ends_with("running_var") { 0.3 } else { -0.5 };
            let values: Vec<_> = (0..size).map(|_| rng.random_range(least..1.0)).collect();
            network.set(&name, &values).unwrap();
        }
    }
    network
}

fn samples(shape: &Shape, seed: u64, least: gradus::Float) -> ArrayD<gradus::Float> {
    let mut rng = random::stream(seed, Purpose::Layer, &[]);
    let mut dims = vec![SAMPLES];
    dims.extend_from_slice(shape);
    ArrayD::from_shape_simple_fn(IxDyn(&dims), || rng.random_range(least..1.0))
}

#[test]
fn compiled_files_compute_what_the_library_does() {
    let (mut files, mut cases) = (Vec::new(), Vec::new());
    for (i, (name, network)) in networks().into_iter().enumerate() {
        let network = build(network, i as u64 + 1);
        let x = samples(network.input_shape(), i as u64, -1.0);
        let y = network.predict(&x).unwrap();
        let program = Program::of(&network).unwrap();
        let rows = || x.as_slice().unwrap().chunks_exact(network.input_shape().size());
        let quantized = program.quantize(rows(), InputBytes::Calibrated).unwrap();
        let labels = |n: usize| Labels {
            prefix: format!("n{n}"),
            ..Labels::default()
        };
        files.push(Sources {
            rust: program.source(Language::Rust, &labels(2 * i)).unwrap(),
            c: program.source(Language::C, &labels(2 * i)).unwrap(),
            bytes: false,
        });
        files.push(Sources {
            rust: quantized.source(Language::Rust, &labels(2 * i + 1)).unwrap(),
            c: quantized.source(Language::C, &labels(2 * i + 1)).unwrap(),
            bytes: true,
        });
        cases.push((name, network, x.clone(), y, program, quantized));
    }
    let compiled = Compiled::new(&files);
    for (i, (name, network, x, y, program, quantized)) in cases.iter().enumerate() {
        let rows = || x.as_slice().unwrap().chunks_exact(network.input_shape().size());
        let y: Vec<f32> = y.iter().map(|&y| f64::from(y) as f32).collect();
        let run: Vec<f32> = rows().flat_map(|x| program.run(x)).collect();
        let difference = |a: &[f32], b: &[f32]| {
            assert_eq!(a.len(), b.len(), "{name}");
            a.iter()
                .zip(b)
                .map(|(a, b)| (a - b).abs() / b.abs().max(1.0))
                .fold(0.0, f32::max)
        };
        assert!(difference(&run, &y) < 1e-5, "{name}: {}", difference(&run, &y));

        let bytes: Vec<u8> = rows().flat_map(|x| quantized.bytes(x)).collect();
        let integers: Vec<u8> = rows().flat_map(|x| quantized.run(&quantized.bytes(x))).collect();
        let scale = quantized.output_scale();
        let values: Vec<f32> = integers.iter().map(|&byte| scale.value(byte)).collect();
        // A softmax at the end is left out.
        if !["dense", "softmax alone"].contains(name) {
            let largest = y.iter().fold(0.0, |most: f32, y| most.max(y.abs()));
            let off = values.iter().zip(&y).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest;
            println!(
                "{name}: float within {:.1e}, int8 within {:.1} % of the largest output",
                difference(&run, &y),
                100.0 * off
            );
            assert!(off < 0.12, "{name}: {off}");
        }
        let x: Vec<f32> = x.iter().map(|&x| f64::from(x) as f32).collect();
        for (language, path) in &compiled.programs {
            let found = compiled.run_floats(path, 2 * i, &x);
            assert!(
                difference(&found, &y) < 1e-5,
                "{name} in {language}: {}",
                difference(&found, &y)
            );
            assert!(
                compiled.run(path, 2 * i + 1, &bytes) == integers,
                "{name} in {language}: other bytes"
            );
            assert_eq!(
                compiled.run_values(path, 2 * i + 1, &x),
                values,
                "{name} in {language}: other values"
            );
        }
    }
}

/// Each channel of a convolution or dense layer is several of the batch normalization's, or several make up one.
#[test]
fn batch_norm_after_another_shape_has_its_own_channels() {
    let mut network = Sequential::new([1, 2, 2])
        .layer(Conv2d::new(1, 1))
        .layer(Flatten)
        .layer(BatchNorm::new())
        .build(1)
        .unwrap();
    for (name, values) in [
        ("0.weight", &[1.0][..]),
        ("2.weight", &[1.0, 2.0, 3.0, 4.0]),
        ("2.bias", &[0.0, 10.0, 20.0, 30.0]),
    ] {
        network.set(name, values).unwrap();
    }
    let close = |y: &[f32], expected: [f32; 4]| {
        let close = y.iter().zip(expected).all(|(y, expected)| (y - expected).abs() < 1e-3);
        assert!(close, "{y:?}, not {expected:?}");
    };
    close(&Program::of(&network).unwrap().run(&[1.0; 4]), [1.0, 12.0, 23.0, 34.0]);

    let mut network = Sequential::new([2])
        .layer(Dense::new(4))
        .layer(Reshape::new([2, 1, 2]))
        .layer(BatchNorm::new())
        .build(1)
        .unwrap();
    network
        .set("0.weight", &[1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0])
        .unwrap();
    network.set("2.weight", &[1.0, 100.0]).unwrap();
    close(&Program::of(&network).unwrap().run(&[1.0; 2]), [1.0, 1.0, 100.0, 100.0]);
}

/// An example of every function of one value that the library has.
fn functions() -> Vec<Box<dyn gradus::Layer>> {
    let all = gradus::check::every_layer().into_iter();
    let is_function = |layer: &dyn gradus::Layer| {
        let bound = layer.bind(&gradus::Shape::from([2, 3, 7]));
        bound.is_ok_and(|bound| matches!(bound.operation(), Some(gradus::layer::Operation::Map(_))))
    };
    all.map(|(layer, _)| layer)
        .filter(|layer| is_function(&**layer))
        .collect()
}

/// `-ffast-math` takes for granted that nothing is infinite.
#[test]
fn activations_are_right_with_fast_math() {
    let x: [f32; 24] = std::array::from_fn(|i| {
        let size = [0.0, 0.3, 2.0, 9.9, 10.1, 44.4, 44.6, 88.8, 90.0, 200.0, 1e4, 1e30][i / 2];
        if i % 2 == 0 { size } else { -size }
    });
    let alone = || Sequential::new([x.len()]);
    let networks: Vec<Network> = (functions().into_iter())
        .map(|function| alone().layer(function).build(1).unwrap())
        .chain([alone().layer(Softmax).build(1).unwrap()])
        .collect();
    let files: Vec<Sources> = (networks.iter().enumerate())
        .map(|(i, network)| {
            let program = Program::of(network).unwrap();
            let labels = Labels {
                prefix: format!("n{i}"),
                ..Labels::default()
            };
            Sources {
                rust: program.source(Language::Rust, &labels).unwrap(),
                c: program.source(Language::C, &labels).unwrap(),
                bytes: false,
            }
        })
        .collect();
    let options: [(&str, &[&str]); 2] = [
        ("fast", &["-O3", "-ffast-math"]),
        ("native", &["-O2", "-ffast-math", "-march=native"]),
    ];
    let compiled = Compiled::with(&files, &options);
    for (i, network) in networks.iter().enumerate() {
        let input = ArrayD::from_shape_vec(IxDyn(&[1, x.len()]), x.map(gradus::Float::from).to_vec()).unwrap();
        let y = network.predict(&input).unwrap();
        for (language, path) in &compiled.programs {
            for ((found, &y), x) in compiled.run_floats(path, i, &x).iter().zip(&y).zip(x) {
                let (found, y) = (f64::from(*found), f64::from(y));
                let off = (found - y).abs() / y.abs().max(1.0);
                let kind = network.summary().to_string();
                assert!(off < 1e-5, "{language}: {found} for {y} at {x} in {kind}");
            }
        }
    }
}

/// NaN would hide that something went wrong before if it were lost.
#[test]
fn nan_stays_where_the_library_keeps_it() {
    let nan = gradus::Float::NAN;
    let cases = [
        (
            Sequential::new([1, 1, 9]).layer(MaxPool2d::new((1, 3))),
            vec![nan, 1.0, 2.0, 1.0, nan, 2.0, 1.0, 2.0, nan],
        ),
        (
            Sequential::new([1, 1, 6]).layer(AvgPool2d::new((1, 3))),
            vec![nan, 1.0, 2.0, 1.0, 2.0, 3.0],
        ),
        (Sequential::new([3]).layer(Softmax), vec![1.0, nan, -1.0]),
    ];
    let functions = functions()
        .into_iter()
        .map(|function| Sequential::new([3]).layer(function));
    let cases = cases
        .into_iter()
        .chain(functions.map(|network| (network, vec![1.0, nan, -1.0])));
    let (mut files, mut expected) = (Vec::new(), Vec::new());
    for (i, (network, x)) in cases.enumerate() {
        let network = network.build(1).unwrap();
        let program = Program::of(&network).unwrap();
        let labels = Labels {
            prefix: format!("n{i}"),
            ..Labels::default()
        };
        files.push(Sources {
            rust: program.source(Language::Rust, &labels).unwrap(),
            c: program.source(Language::C, &labels).unwrap(),
            bytes: false,
        });
        let mut dims = vec![1];
        dims.extend_from_slice(network.input_shape());
        let y = network
            .predict(ArrayD::from_shape_vec(IxDyn(&dims), x.clone()).unwrap())
            .unwrap();
        let nans: Vec<bool> = y.iter().map(|y| y.is_nan()).collect();
        assert!(nans.contains(&true));
        let run: Vec<bool> = program.run(&x).iter().map(|y| y.is_nan()).collect();
        assert_eq!(run, nans, "case {i}");
        expected.push((x.iter().map(|&x| f64::from(x) as f32).collect::<Vec<f32>>(), nans));
    }
    let compiled = Compiled::new(&files);
    for (i, (x, nans)) in expected.iter().enumerate() {
        for (language, path) in &compiled.programs {
            let found: Vec<bool> = compiled.run_floats(path, i, x).iter().map(|y| y.is_nan()).collect();
            assert_eq!(found, *nans, "case {i} in {language}");
        }
    }
}

/// In floats: what is run here is what is printed, which is compiled above.
#[test]
fn every_layer_of_the_library_is_written_or_refused_by_name() {
    for (seed, (layer, input)) in (1..).zip(check::every_layer()) {
        let kind = layer.kind();
        let network = build(Sequential::new(input).layer(layer), seed);
        match Program::of(&network) {
            Ok(program) => {
                let x = samples(network.input_shape(), seed, -1.0);
                let rows = x.as_slice().unwrap().chunks_exact(network.input_shape().size());
                let found: Vec<f32> = rows.flat_map(|x| program.run(x)).collect();
                for (found, expected) in found.iter().zip(&network.predict(&x).unwrap()) {
                    let expected = f64::from(*expected) as f32;
                    let is_near = (found - expected).abs() <= 1e-5 * expected.abs().max(1.0);
                    assert!(is_near, "{kind}: {found}, expected {expected}");
                }
                for language in [Language::Rust, Language::C] {
                    program.source(language, &Labels::default()).unwrap();
                }
            }
            Err(error) => {
                let message = error.to_string();
                assert!(message.starts_with(&format!("layer 0 ({kind}): ")), "{message}");
            }
        }
    }
}

#[test]
fn a_users_layer_that_is_called_like_ours_is_never_written_as_ours() {
    for (label, network) in impostor::networks() {
        assert_eq!(
            Program::of(&network).unwrap_err().to_string(),
            format!(
                "{label}: a network as source can have only layers that say what they compute (BoundLayer::with_operation), and this one \
                 doesn't"
            )
        );
    }
}

#[test]
fn what_can_not_be_written_is_refused() {
    let mut network = Sequential::new([2]).layer(Dense::new(2)).build(1).unwrap();
    let program = Program::of(&network).unwrap();
    let labels = |prefix: &str, classes: &[&str]| Labels {
        prefix: prefix.into(),
        classes: classes.iter().map(|name| name.to_string()).collect(),
        ..Labels::default()
    };
    let message = |labels: &Labels| program.source(Language::C, labels).unwrap_err().to_string();
    assert!(message(&labels("2x", &[])).contains("not `2x`"));
    assert!(message(&labels("x", &["one"])).contains("names for 1"));
    let none: [&[gradus::Float]; 0] = [];
    assert!(
        program
            .quantize(none, InputBytes::Pixels)
            .unwrap_err()
            .to_string()
            .contains("got none")
    );
    let short = program.quantize([&[1.0][..]], InputBytes::Pixels).unwrap_err();
    assert!(short.to_string().contains("samples of 2 values"));
    network.set("0.bias", &[gradus::Float::NAN, 0.0]).unwrap();
    assert!(Program::of(&network).unwrap_err().to_string().contains("one is NaN"));
}

/// Names that would end a comment or a string.
#[test]
fn names_can_not_break_out() {
    let network = Sequential::new([2]).layer(Dense::new(2)).build(1).unwrap();
    let program = Program::of(&network).unwrap();
    let labels = Labels {
        title: "a */ int x; /*\nfn main() {} // \u{202e} ??/".into(),
        classes: vec!["\"\\ ?".into(), "é\n*/\u{202e}".into()],
        prefix: "n0".into(),
        ..Labels::default()
    };
    let source = |language| program.source(language, &labels).unwrap();
    Compiled::new(&[Sources {
        rust: source(Language::Rust),
        c: source(Language::C),
        bytes: false,
    }]);
}

/// max(0, x), by a user's own type.
#[derive(Debug, Clone)]
struct Ramp;

impl gradus::activation::Activation for Ramp {
    fn kind(&self) -> &'static str {
        "ramp"
    }
    fn value(&self, x: Float) -> Float {
        x.max(0.0)
    }
    fn derivative(&self, x: Float, _y: Float) -> Float {
        if x > 0.0 { 1.0 } else { 0.0 }
    }
    fn function(&self) -> Option<gradus::layer::Function> {
        Some(gradus::layer::Function::Relu)
    }
}

#[test]
fn a_users_layer_that_says_what_it_computes_is_written() {
    let network = Sequential::new([3]).layer(Dense::new(4)).layer(Ramp).build(1).unwrap();
    let x = ndarray::array![[0.5, -1.0, 2.0], [-0.5, 1.5, -0.25]].into_dyn();
    let expected = network.predict(&x).unwrap();
    assert!(expected.iter().any(|&y| y == 0.0) && expected.iter().any(|&y| y > 0.0));
    let program = Program::of(&network).unwrap();
    for (x, expected) in x.outer_iter().zip(expected.outer_iter()) {
        for (y, expected) in program.run(x.as_slice().unwrap()).iter().zip(expected) {
            assert!(
                (f64::from(*y) - f64::from(*expected)).abs() < 1e-6,
                "{y} for {expected}"
            );
        }
    }
}
