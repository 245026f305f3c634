//! Trained networks, exported, compiled and held against the library on 1,000 images of MNIST. How many are right is compared on
//! all test images: on 1,000, chance alone is some images.

mod common;

use common::{Compiled, Sources};
use gradus::Float;
use gradus::data::{Bytes, mnist};
use gradus::metric::predicted_class;
use gradus::prelude::*;
use gradus_source::{InputBytes, Labels, Language, Program};
use ndarray::{ArrayD, IxDyn};

/// The test images that the files are run on.
const IMAGES: usize = 1000;
/// The training images that scales are taken from.
const CALIBRATION: usize = 300;

fn data() -> [Bytes; 2] {
    let (train, test) = gradus_mnist::load().unwrap();
    [train, test].map(|images| mnist::from_bytes(images.pixels, &images.labels).unwrap())
}

fn lenet() -> Layers {
    Layers::new()
        .layer(Conv2d::new(6, 5))
        .layer(Relu)
        .layer(MaxPool2d::new(2))
        .layer(Conv2d::new(16, 5))
        .layer(Relu)
        .layer(MaxPool2d::new(2))
        .layer(Flatten)
        .layer(Dense::new(120))
        .layer(Relu)
        .layer(Dense::new(84))
        .layer(Relu)
        .layer(Dense::new(10))
        .layer(Softmax)
}

fn perceptron() -> Layers {
    let layers = Layers::new().layer(Flatten).layer(Dense::new(32)).layer(Relu);
    layers
        .layer(Dense::new(32))
        .layer(Tanh)
        .layer(Dense::new(10))
        .layer(Softmax)
}

#[test]
fn compiled_digit_recognizers_are_as_good_as_the_library() {
    let [train, test] = data();
    let shape = train.shape();
    let read = |data: &Bytes, count: usize| -> Vec<Vec<Float>> {
        let count = count.min(data.len());
        let read = |i| {
            let mut x = vec![0.0; data.shape().size()];
            data.read(i, &mut x).unwrap();
            x
        };
        (0..count).map(read).collect()
    };
    let (calibration, all) = (read(&train, CALIBRATION), read(&test, test.len()));
    let images = &all[..IMAGES.min(all.len())];
    let mut files = Vec::new();
    let mut cases = Vec::new();
    for (name, layers) in [("perceptron", perceptron()), ("LeNet", lenet())] {
        let mut network = Sequential::new(&shape).layers(layers).build(1).unwrap();
        Fit::new(CrossEntropy::new(), Adam::new(0.002))
            .epochs(1)
            .run(&mut network, &train)
            .unwrap();
        let program = Program::of(&network).unwrap();
        let quantized = program
            .quantize(calibration.iter().map(|x| &x[..]), InputBytes::Pixels)
            .unwrap();
        let labels = |n: usize| Labels {
            prefix: format!("n{n}"),
            classes: (0..10).map(|class| class.to_string()).collect(),
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
        println!(
            "{name}, float: {}\n{name}, int8: {}",
            program.sizes(&labels(n)),
            quantized.sizes(&labels(n))
        );
        cases.push((name, network, quantized));
    }
    let compiled = Compiled::new(&files);
    let right = |classes: &mut dyn Iterator<Item = usize>| {
        let right = classes.zip(test.labels());
        right.filter(|(class, label)| *class == **label).count()
    };
    for (i, (name, network, quantized)) in cases.iter().enumerate() {
        let x: Vec<Float> = all.iter().flatten().copied().collect();
        let mut dims = vec![all.len()];
        dims.extend_from_slice(&shape);
        let y = network
            .predict(ArrayD::from_shape_vec(IxDyn(&dims), x.clone()).unwrap())
            .unwrap();
        let y = y.as_slice().unwrap();
        let exact = right(&mut y.chunks(10).map(predicted_class));
        assert!(
            10 * exact > 9 * all.len(),
            "{name} learned too little: {exact} are right"
        );
        let rounded = right(&mut all.iter().map(|x| quantized.class(&quantized.run(&quantized.bytes(x)))));
        println!(
            "{name}: of {}, {exact} are right in floats, {rounded} in integers",
            all.len()
        );
        assert!(
            exact.abs_diff(rounded) * 1000 <= 3 * all.len(),
            "{name}: {exact} and {rounded} of {} are right",
            all.len()
        );

        let x: Vec<f32> = images.iter().flatten().map(|&x| f64::from(x) as f32).collect();
        let y = &y[..10 * images.len()];
        let bytes: Vec<Vec<u8>> = images.iter().map(|x| quantized.bytes(x)).collect();
        let expected: Vec<u8> = bytes.iter().flat_map(|x| quantized.run(x)).collect();
        for (language, path) in &compiled.programs {
            let found = compiled.run_floats(path, 2 * i, &x);
            assert_eq!(found.len(), y.len());
            let off = found
                .iter()
                .zip(y)
                .map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs())
                .fold(0.0, f64::max);
            assert!(off < 1e-5, "{name} in {language}: {off}");
            println!("{name} in {language}: float within {off:.1e}");
            let found = compiled.run(path, 2 * i + 1, &bytes.concat());
            assert!(found == expected, "{name} in {language}: other bytes than here");
        }
    }
}
