#![no_main]
//! Networks that the bytes declare as programs for source files, in floats and in integers.

use gradus_fuzz::choices::{Choices, Declared};
use gradus_source::{InputBytes, Labels, Language, Program, Scaling};
use libfuzzer_sys::fuzz_target;
use ndarray::ArrayD;

const SAMPLES: usize = 4;

fuzz_target!(|bytes: &[u8]| {
    let mut choices = Choices::new(bytes);
    let mut declared = Declared::new(&mut choices);
    let usual = choices.below(4) != 1;
    let mut scale = |unusual: &[f32]| {
        if usual {
            choices.one_of(&[1.0, 0.1, 0.0])
        } else {
            choices.one_of(unusual)
        }
    };
    let (weights, inputs) = (scale(&[1e4, 1e-20, 1e19, 3e38]), scale(&[1e4, 1e-30, 1e19, 3e38]));
    declared.set_parameters(weights, &mut choices);
    let x = declared.samples(SAMPLES, inputs, &mut choices);
    let network = &declared.network;
    // What is not finite once it is folded is refused.
    let program = match Program::of(network) {
        Ok(program) => program,
        Err(error) if !usual || refuses_a_layer(&error) => return,
        Err(error) => panic!("{error}: {}", declared.declaration),
    };
    let size = network.input_shape().size();
    let rows = || x.as_slice().expect("in order").chunks_exact(size);
    let run: Vec<f32> = rows().flat_map(|x| program.run(x)).collect();
    if usual {
        compare(&declared, &x, &run);
    }

    let (mut program, mut scaled) = (program, false);
    if choices.flag() {
        program = program.with_logits();
    }
    if choices.flag() {
        let values = |n: usize, value: f64| vec![value; n];
        let outputs = network.output_shape().size();
        let (mean, deviation) = choices.one_of(&[(5.0, 2.0), (1e30, 1e-30), (-1e-30, 1e30), (0.0, 1e-38)]);
        for (i, n) in [size, outputs].into_iter().enumerate() {
            // A deviation may be below what 32 bits hold.
            let Ok(scaling) = Scaling::new(&values(n, mean), &values(n, deviation)) else {
                continue;
            };
            let with_scaling = if i == 0 {
                scaled = true;
                program.clone().with_input_scaling(scaling)
            } else {
                program.clone().with_output_scaling(scaling)
            };
            program = with_scaling.expect("it is for as many values");
        }
    }
    let input = choices.one_of(&[InputBytes::Calibrated, InputBytes::Pixels]);
    let labels = Labels::default();
    for language in [Language::Rust, Language::C] {
        program.source(language, &labels).expect("the names are good");
    }
    let _ = program.sizes(&labels).to_string();
    let quantized = match program.quantize(rows(), input) {
        Ok(quantized) => quantized,
        // What is not finite once it is scaled is refused.
        Err(error) if !usual || scaled || refuses_a_layer(&error) => return,
        Err(error) => panic!("{error}: {}", declared.declaration),
    };
    for row in rows() {
        let y = quantized.run(&quantized.bytes(row));
        assert_eq!(quantized.values(&y).len(), y.len());
        assert!(quantized.class(&y) < y.len().max(2));
    }
    for byte in [0, 255, choices.byte()] {
        let mut x = vec![byte; size];
        x[0] = choices.byte();
        quantized.run(&x);
    }
    for language in [Language::Rust, Language::C] {
        quantized.source(language, &labels).expect("the names are good");
    }
});

/// Whether there is no such layer in source files, or none in integers.
fn refuses_a_layer(error: &gradus::Error) -> bool {
    let sentence = error.to_string();
    ["a network as source can have no transposed convolution", "it can't be computed in integers"].iter().any(|why| sentence.contains(why))
}

/// The program computes what the network does, but for what single roundings do in both.
fn compare(declared: &Declared, x: &ArrayD<f32>, run: &[f32]) {
    let network = &declared.network;
    let y = network.predict(x).expect("samples of its shape");
    // How much the output depends on numbers that are rounded elsewhere: by the output of a network that is off a little everywhere.
    let nudge = |i: usize, value: f32| {
        let sign = [1.0, -1.0, -1.0, 1.0, -1.0][i % 5];
        value * (1.0 + sign * 3e-6) + sign * 1e-6
    };
    let mut nudged = network.clone();
    let tensors = network.parameters().map(|tensor| (tensor.name, tensor.values.to_vec()));
    for (name, values) in tensors {
        let values: Vec<f32> = values.iter().enumerate().map(|(i, &value)| nudge(i, value)).collect();
        nudged.set(&name, &values).expect("as many values as there are");
    }
    let mut other = x.clone();
    other
        .iter_mut()
        .enumerate()
        .for_each(|(i, value)| *value = nudge(i, *value));
    let nudged = nudged.predict(&other).expect("samples of its shape");
    for ((y, nudged), run) in y.iter().zip(&nudged).zip(run) {
        let allowed = 1e-4 * y.abs().max(1.0) + 20.0 * (nudged - y).abs();
        let equal = (y.is_nan() && run.is_nan()) || y == run;
        assert!(
            equal || (run - y).abs() <= allowed,
            "{run} for {y}: {}",
            declared.declaration
        );
    }
}
