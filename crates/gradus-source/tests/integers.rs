//! Programs in integers: what their bytes stand for, and how inputs and outputs are scaled.

mod common;

use common::{Compiled, Sources};
use gradus::prelude::*;
use gradus::{Float, Layers};
use gradus_source::{InputBytes, Labels, Language, Program, Quantized, Scale, Scaling};
use ndarray::ArrayD;

/// One dense layer that computes z = x, and more layers.
fn identity(layers: Layers) -> Program {
    let network = Sequential::new([1]).layer(Dense::new(1)).layers(layers);
    let mut network = network.build(1).unwrap();
    network.set("0.weight", &[1.0]).unwrap();
    Program::of(&network).unwrap()
}

/// Calibrated on two values that are far on one side.
fn quantized(program: &Program) -> Quantized {
    let samples: [&[Float]; 2] = [&[-7.0], &[-3.0]];
    program.quantize(samples, InputBytes::Calibrated).unwrap()
}

fn labels(i: usize) -> Labels {
    Labels {
        prefix: format!("n{i}"),
        ..Labels::default()
    }
}

/// A classifier whose calibration had no positive sample was `return output[0] > 255`.
#[test]
fn a_classifier_that_saw_no_positive_can_say_yes() {
    // As deep as it may be between the sums and the sigmoid, and behind it.
    let image = Reshape::new([1, 1, 1]);
    for layers in [
        Layers::new().layer(Sigmoid),
        Layers::new().layer(Dropout::new(0.5)).layer(Sigmoid),
        Layers::new()
            .layer(image.clone())
            .layer(MaxPool2d::new(1))
            .layer(Sigmoid),
        Layers::new()
            .layer(image.clone())
            .layer(Upsample2d::new(1).bilinear())
            .layer(Sigmoid),
        Layers::new().layer(image).layer(Sigmoid).layer(GlobalAvgPool2d::new()),
    ] {
        // z = 6 - x, and all sums that calibration sees are below -2.
        let mut network = Sequential::new([1])
            .layer(Dense::new(1))
            .layers(layers)
            .build(1)
            .unwrap();
        network.set("0.weight", &[-1.0]).unwrap();
        network.set("0.bias", &[6.0]).unwrap();
        let samples: [&[Float]; 2] = [&[12.0], &[9.0]];
        let program = Program::of(&network).unwrap();
        let program = program.quantize(samples, InputBytes::Calibrated).unwrap();
        assert_eq!(
            program.output_scale(),
            Scale {
                scale: 1.0 / 256.0,
                zero: 0
            }
        );
        for (x, expected) in [
            (0.0, 0.997_527),
            (3.0, 0.952_574),
            (5.0, 0.731_059),
            (7.0, 0.268_941),
            (12.0, 0.002_473),
        ] {
            let y = program.run(&program.bytes(&[x]));
            let value = program.values(&y)[0];
            assert!((value - expected).abs() < 0.02, "{value} for {expected}");
            assert_eq!(program.class(&y), usize::from(expected > 0.5));
        }
        let classes = Labels {
            classes: vec!["no".into(), "yes".into()],
            ..labels(0)
        };
        let file = program.source(Language::C, &classes).unwrap();
        assert!(file.contains("return output[0] > 128;"), "{file:.4000}");
    }
}

/// Sums from -256 to 256, of which a clamp leaves 0 to 6, had bytes at a distance of 2.
#[test]
fn what_only_a_clamp_reads_has_all_bytes_inside_its_bounds() {
    let clamp = Layers::new().layer(Clamp::new(0.0, 6.0));
    let sums = |layers: Layers| {
        let network = Sequential::new([256]).layer(Dense::new(1)).layers(layers);
        let mut network = network.build(1).unwrap();
        network.set("0.weight", &[1.0; 256]).unwrap();
        let samples: [&[Float]; 2] = [&[-1.0; 256], &[1.0; 256]];
        let program = Program::of(&network).unwrap();
        program.quantize(samples, InputBytes::Calibrated).unwrap()
    };
    let run = |program: &Quantized, ones: usize| {
        let mut x = [0.0; 256];
        x[..ones].fill(1.0);
        program.values(&program.run(&program.bytes(&x)))
    };
    let clamped = sums(clamp.clone());
    for (ones, expected) in [(0, 0.0), (1, 1.0), (2, 2.0), (3, 3.0), (6, 6.0), (7, 6.0), (256, 6.0)] {
        let y = run(&clamped, ones)[0];
        assert!((y - expected).abs() < 0.03, "{y} for {expected}");
    }
    // What reads the sums beside it still has all of them.
    let both = sums(Layers::new().layer(Concat::new([Layers::new(), clamp])));
    let y = run(&both, 100);
    assert!((y[0] - 100.0).abs() < 3.0 && (y[1] - 6.0).abs() < 2.0, "{y:?}");
}

/// As a classifier that ends in a sigmoid, though the sigmoid is not in it.
#[test]
fn one_logit_divides_the_classes_at_0() {
    // z = 6 - x, and all that calibration sees is below -2.
    let mut network = Sequential::new([1]).layer(Dense::new(1)).build(1).unwrap();
    network.set("0.weight", &[-1.0]).unwrap();
    network.set("0.bias", &[6.0]).unwrap();
    let samples: [&[Float]; 2] = [&[12.0], &[9.0]];
    let program = Program::of(&network).unwrap().with_logits();
    let quantized = program.quantize(samples, InputBytes::Calibrated).unwrap();
    for x in [0.0, 3.0, 5.5, 5.9, 6.1, 6.5, 9.0, 12.0] {
        let y = quantized.run(&quantized.bytes(&[x]));
        let value = f64::from(quantized.values(&y)[0]);
        assert!((value - (6.0 - f64::from(x))).abs() < 0.1, "{value} at {x}");
        assert_eq!(quantized.class(&y), usize::from(value > 0.0), "{value} at {x}");
        assert!(
            quantized.class(&y) == usize::from(x < 6.0) || (x - 6.0).abs() < 0.2,
            "{x}"
        );
    }
    let classes = Labels {
        classes: vec!["no".into(), "yes".into()],
        ..labels(0)
    };
    let zero = quantized.output_scale().zero;
    for (language, lines) in [
        (
            Language::C,
            ["return output[0] > 0.0f;".into(), format!("return output[0] > {zero};")],
        ),
        (
            Language::Rust,
            [
                "usize::from(output[0] > 0.0)".into(),
                format!("usize::from(i32::from(output[0]) > {zero})"),
            ],
        ),
    ] {
        assert!(program.source(language, &classes).unwrap().contains(&lines[0]));
        assert!(quantized.source(language, &classes).unwrap().contains(&lines[1]));
    }
}

#[test]
fn functions_of_a_known_range_have_all_of_it() {
    let tanh = quantized(&identity(Layers::new().layer(Tanh)));
    assert_eq!(
        tanh.output_scale(),
        Scale {
            scale: 1.0 / 128.0,
            zero: 128
        }
    );
    assert!(tanh.run(&tanh.bytes(&[-7.0]))[0] == 0);
    // What is before them reaches 8 on both sides; the input itself does, if it is what is before them.
    let alone = Sequential::new([1]).layer(Tanh).build(1).unwrap();
    let alone = quantized(&Program::of(&alone).unwrap());
    for x in [-7.0, -0.5, 0.0, 0.5, 2.0, 7.0] {
        let value = alone.values(&alone.run(&alone.bytes(&[x])))[0];
        assert!((f64::from(value) - f64::from(x).tanh()).abs() < 0.04, "{value} at {x}");
    }
    // A softmax at the end is left out, and the scale is that of its inputs.
    let network = Sequential::new([1])
        .layer(Dense::new(2))
        .layer(Softmax)
        .build(1)
        .unwrap();
    let softmax = quantized(&Program::of(&network).unwrap());
    let scale = softmax.output_scale();
    assert!(scale.value(0) <= -8.0 + scale.scale && scale.value(255) >= 8.0 - scale.scale);
}

/// A ReLU is the beginning of its range at 0, which a wider range before the next function must leave there.
#[test]
fn a_relu_before_a_function_of_a_known_range_cuts_off() {
    let dense = || Layers::new().layer(Dense::new(1));
    let convolution = || Layers::new().layer(Reshape::new([1, 1, 1])).layer(Conv2d::new(1, 1));
    let sum = || dense().layer(Residual::new(dense()));
    let sigmoid = || Layers::new().layer(Sigmoid);
    let tanh = || Layers::new().layer(Tanh);
    let after_dropout = || Layers::new().layer(Dropout::new(0.5)).layer(Sigmoid);
    let functions: [&dyn Fn() -> Layers; 3] = [&sigmoid, &tanh, &after_dropout];
    for (function, least) in functions.into_iter().zip([0.5, 0.0, 0.5]) {
        for (what, layers, weights) in [
            ("dense", dense(), &["0.weight"][..]),
            ("convolution", convolution(), &["1.weight"]),
            ("sum", sum(), &["0.weight", "1.body.0.weight"]),
        ] {
            let network = Sequential::new([1]).layers(layers).layer(Relu).layers(function());
            let mut network = network.build(1).unwrap();
            for weight in weights {
                network.set(weight, &[1.0]).unwrap();
            }
            let program = Program::of(&network).unwrap();
            let samples: [&[Float]; 2] = [&[-3.0], &[3.0]];
            let quantized = program.quantize(samples, InputBytes::Calibrated).unwrap();
            for (x, expected) in [(-3.0, least), (-1.0, least), (0.0, least), (3.0, 1.0)] {
                let value = f64::from(quantized.values(&quantized.run(&quantized.bytes(&[x])))[0]);
                assert!((value - expected).abs() < 0.06, "{what}: {value} for {expected} at {x}");
            }
        }
    }
}

/// A network of a table: columns in their own units, and an output in its own.
#[test]
fn scaling_is_in_the_files() {
    // More columns than a comment would have room for.
    const COLUMNS: usize = 100;
    let mean: Vec<f64> = (0..COLUMNS).map(|i| [0.1, -2e5, 3e-3, 1013.25][i % 4]).collect();
    let deviation: Vec<f64> = (0..COLUMNS).map(|i| [1.0 / 3.0, 7e3, 2e-4, 12.5][i % 4]).collect();
    let (out_mean, out_deviation) = ([250_000.0, -1.0], [80_000.0, 1e-3]);
    let layers = Layers::new().layer(Dense::new(8)).layer(Tanh).layer(Dense::new(2));
    let network = Sequential::new([COLUMNS]).layers(layers).build(7).unwrap();

    let rows = 30;
    let mut rng = gradus::random::stream(3, gradus::random::Purpose::Layer, &[]);
    let scaled = ArrayD::from_shape_simple_fn(ndarray::IxDyn(&[rows, COLUMNS]), || {
        rand::RngExt::random_range(&mut rng, -2.0..2.0)
    });
    let y = network.predict(&scaled).unwrap();
    let units = |i: usize, y: f64| y * out_deviation[i] + out_mean[i];
    let expected: Vec<f64> = y.iter().enumerate().map(|(i, &y)| units(i % 2, f64::from(y))).collect();
    let raw: Vec<Float> = (scaled.iter().enumerate())
        .map(|(i, &z)| (f64::from(z) * deviation[i % COLUMNS] + mean[i % COLUMNS]) as Float)
        .collect();

    let program = Program::of(&network).unwrap();
    let program = program
        .with_input_scaling(Scaling::new(&mean, &deviation).unwrap())
        .unwrap();
    let program = program
        .with_output_scaling(Scaling::new(&out_mean, &out_deviation).unwrap())
        .unwrap();
    let quantized = program
        .quantize(raw.chunks_exact(COLUMNS), InputBytes::Calibrated)
        .unwrap();
    let run: Vec<f32> = raw.chunks_exact(COLUMNS).flat_map(|x| program.run(x)).collect();
    let bytes: Vec<f32> = (raw.chunks_exact(COLUMNS))
        .flat_map(|x| quantized.values(&quantized.run(&quantized.bytes(x))))
        .collect();
    for (i, expected) in expected.iter().enumerate() {
        let off = |found: f32| (f64::from(found) - expected).abs() / out_deviation[i % 2];
        assert!(off(run[i]) < 1e-3, "{} for {expected}", run[i]);
        assert!(off(bytes[i]) < 0.1, "{} for {expected} in integers", bytes[i]);
    }

    let sources = |source: &dyn Fn(Language) -> gradus::Result<String>, bytes| Sources {
        rust: source(Language::Rust).unwrap(),
        c: source(Language::C).unwrap(),
        bytes,
    };
    let files = [
        sources(&|language| program.source(language, &labels(0)), false),
        sources(&|language| quantized.source(language, &labels(1)), true),
    ];
    let compiled = Compiled::new(&files);
    let raw: Vec<f32> = raw.iter().map(|&x| f64::from(x) as f32).collect();
    for (language, path) in &compiled.programs {
        let found = compiled.run_floats(path, 0, &raw);
        for ((found, run), i) in found.iter().zip(&run).zip([0, 1].into_iter().cycle()) {
            assert!(
                f64::from(found - run).abs() < 1e-3 * out_deviation[i],
                "{language}: {found} for {run}"
            );
        }
        assert_eq!(compiled.run_values(path, 1, &raw), bytes, "{language}");
    }
    // The tables of the scaling are counted.
    let plain = Program::of(&network).unwrap();
    let more = |with: usize, without: usize| with - without;
    assert_eq!(
        more(program.sizes(&labels(0)).tables, plain.sizes(&labels(0)).tables),
        8 * (COLUMNS + 2)
    );
}

/// z = (x - 100) / 50, and samples from -1 to 3 after that.
#[test]
fn calibration_takes_samples_as_run_does() {
    let scaling = Scaling::new(&[100.0], &[50.0]).unwrap();
    let (unscaled, scaled): ([&[Float]; 2], [&[Float]; 2]) = ([&[50.0], &[250.0]], [&[-1.0], &[3.0]]);
    let before = identity(Layers::new()).with_input_scaling(scaling.clone()).unwrap();
    let before = before.quantize(unscaled, InputBytes::Calibrated).unwrap();
    let after = identity(Layers::new())
        .quantize(scaled, InputBytes::Calibrated)
        .unwrap();
    let after = after.with_input_scaling(scaling.clone()).unwrap();
    // 4 / 255 apart, and -1 is the first of 256 bytes.
    assert!((f64::from(before.input_scale().scale) - 4.0 / 255.0).abs() < 1e-7);
    assert_eq!(before.input_scale().zero, 64);
    for program in [&before, &after] {
        assert_eq!(program.input_scale(), before.input_scale());
        for (x, z) in [(50.0, -1.0), (100.0, 0.0), (175.0, 1.5), (250.0, 3.0)] {
            let value = program.values(&program.run(&program.bytes(&[x])))[0];
            assert!((value - z).abs() < 0.02, "{value} for {z}");
        }
    }
    let two = Scaling::new(&[0.0; 2], &[1.0; 2]).unwrap();
    let message = before.with_input_scaling(two).unwrap_err().to_string();
    assert!(
        message.contains("the input has 1 values, and the scaling is for 2"),
        "{message}"
    );
}

#[test]
fn scaling_that_can_not_be_is_refused() {
    let message = |mean: &[f64], deviation: &[f64]| Scaling::new(mean, deviation).unwrap_err().to_string();
    assert!(message(&[0.0], &[]).contains("1 means and 0 deviations"));
    assert!(message(&[0.0, 0.0], &[1.0, 0.0]).contains("value 1 can't be scaled"));
    assert!(message(&[0.0], &[1e-50]).contains("deviation 1e-50"));
    assert!(message(&[1e300], &[1.0]).contains("mean 1e300"));
    assert!(message(&[f64::NAN], &[1.0]).contains("mean NaN"));
    let program = identity(Layers::new());
    let two = Scaling::new(&[0.0; 2], &[1.0; 2]).unwrap();
    let message = program.clone().with_input_scaling(two.clone()).unwrap_err().to_string();
    assert!(
        message.contains("the input has 1 values, and the scaling is for 2"),
        "{message}"
    );
    assert!(
        program
            .with_output_scaling(two)
            .unwrap_err()
            .to_string()
            .contains("the output has 1")
    );
}

/// Of the first of two outputs alone it would be whether that is above a half.
#[test]
#[should_panic(expected = "the output has another size")]
fn a_class_is_of_a_whole_output() {
    let network = Sequential::new([1]).layer(Dense::new(2)).build(1).unwrap();
    let program = quantized(&Program::of(&network).unwrap());
    assert_eq!(program.class(&[7, 9]), 1);
    program.class(&[7]);
}

#[test]
fn nan_has_the_same_byte_in_both_languages() {
    let scaled = identity(Layers::new());
    let scaled = scaled
        .with_input_scaling(Scaling::new(&[5.0], &[2.0]).unwrap())
        .unwrap();
    let samples: [&[Float]; 2] = [&[-9.0], &[-1.0]];
    let scaled = scaled.quantize(samples, InputBytes::Calibrated).unwrap();
    let programs = [quantized(&identity(Layers::new())), scaled];
    let x = [f32::NAN, -1e30, 1e30, f32::INFINITY, f32::NEG_INFINITY, -5.0];
    let files: Vec<Sources> = (programs.iter().enumerate())
        .map(|(i, program)| Sources {
            rust: program.source(Language::Rust, &labels(i)).unwrap(),
            c: program.source(Language::C, &labels(i)).unwrap(),
            bytes: true,
        })
        .collect();
    let compiled = Compiled::new(&files);
    for (i, program) in programs.iter().enumerate() {
        let expected: Vec<f32> = (x.iter())
            .flat_map(|&x| program.values(&program.run(&program.bytes(&[Float::from(x)]))))
            .collect();
        // As the smallest value.
        assert_eq!(expected[0], expected[1]);
        for (language, path) in &compiled.programs {
            assert_eq!(compiled.run_values(path, i, &x), expected, "{language}");
        }
    }
}

/// Values between those of two pixels have bytes between theirs.
#[test]
fn upsampling_keeps_the_scale() {
    let upsampled = |layer: Upsample2d, bytes: &[u8], input| {
        let network = Sequential::new([1, 1, bytes.len()]).layer(layer).build(1).unwrap();
        let samples: [&[Float]; 1] = [&[-0.5, 1.0, 2.0][..bytes.len()]];
        let quantized = Program::of(&network).unwrap().quantize(samples, input).unwrap();
        assert_eq!(quantized.output_scale(), quantized.input_scale());
        quantized.run(bytes)
    };
    for input in [InputBytes::Pixels, InputBytes::Calibrated] {
        let repeated = [7, 7, 7, 0, 0, 0, 255, 255, 255].repeat(2);
        assert_eq!(upsampled(Upsample2d::new((2, 3)), &[7, 0, 255], input), repeated);
        let between = upsampled(Upsample2d::new((1, 2)).bilinear(), &[0, 100, 255], input);
        // 138.75 and 216.25 are rounded.
        assert_eq!(between, [0, 25, 75, 139, 216, 255]);
        // As is the half in the middle.
        let between = upsampled(Upsample2d::new((1, 8)).bilinear(), &[10, 18], input);
        assert_eq!(between[4..12], [11, 12, 13, 14, 15, 16, 17, 18]);
    }
}

#[test]
fn cropping_keeps_the_scale() {
    let bytes = [0, 7, 255, 3, 9, 8];
    let sides = Padding::Explicit {
        top: 1,
        bottom: 0,
        left: 0,
        right: 1,
    };
    let layer = Crop2d::new(sides);
    let network = Sequential::new([1, 2, 3]).layer(layer).build(1).unwrap();
    let samples: [&[Float]; 1] = [&[-0.5, 1.0, 2.0, 0.0, 0.1, 0.2]];
    let quantized = Program::of(&network).unwrap();
    let quantized = quantized.quantize(samples, InputBytes::Calibrated).unwrap();
    assert_eq!(quantized.output_scale(), quantized.input_scale());
    assert_eq!(quantized.run(&bytes), [3, 9]);
}

#[test]
fn interpolation_that_32_bits_can_not_hold_is_refused() {
    let network = |layer| Sequential::new([1, 1, 1]).layer(layer).build(1).unwrap();
    let program = |layer| Program::of(&network(layer)).unwrap();
    let samples: [&[Float]; 1] = [&[1.0]];
    let message = program(Upsample2d::new(1024).bilinear())
        .quantize(samples, InputBytes::Calibrated)
        .unwrap_err()
        .to_string();
    assert_eq!(
        message,
        "layer 0 (upsample2d): in integers, an image can be interpolated to less than 1048576 times its pixels, this is to 1024×1024 \
         times"
    );
    let largest = program(Upsample2d::new((1024, 1023)).bilinear());
    let largest = largest.quantize(samples, InputBytes::Calibrated).unwrap();
    assert!(largest.run(&[255]).iter().all(|&byte| byte == 255));
    let repeated = program(Upsample2d::new(1024)).quantize(samples, InputBytes::Calibrated);
    assert!(repeated.unwrap().run(&[77]).iter().all(|&byte| byte == 77));
}
