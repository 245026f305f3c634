//! Whatever is wrong is an error in a sentence that names the thing, what was expected and what was found: never a panic.

mod common;

use common::*;
use gradus::augment::Augmentation;
use gradus::data::{Arrays, Bytes, Dataset, Subset, Target, Targets, split};
use gradus::loss::Loss;
use gradus::metric::{Average, Metric, R2};
use gradus::optim::{Optimizer, Step};
use gradus::prelude::*;
use gradus::random::Rng;
use gradus::save::Registry;
use gradus::schedule::{StepDecay, Warmup};
use gradus::{Error, Float, Node, Result};
use ndarray::{Array1, Array2, Array4, array};

#[test]
fn layers_on_shapes_that_they_cannot_take() {
    let build = |input: &[usize], layer: Node| Sequential::new(input).layer(layer).build(1);
    let image = &[2, 6, 6][..];
    refused(
        build(image, Dense::new(3).into()),
        &["layer 0 (dense)", "flat", "2×6×6", "Flatten"],
    );
    refused(build(image, Softmax.into()), &["layer 0 (softmax)", "flat", "2×6×6"]);
    for (kind, layer) in [
        ("conv2d", Node::from(Conv2d::new(3, 3))),
        ("max_pool2d", MaxPool2d::new(2).into()),
        ("avg_pool2d", AvgPool2d::new(2).into()),
        ("global_avg_pool2d", GlobalAvgPool2d.into()),
    ] {
        refused(build(&[72], layer), &["layer 0", kind, "channels×height×width", "72"]);
    }
    refused(
        build(&[6, 6], BatchNorm::new().into()),
        &["layer 0 (batch_norm)", "6×6"],
    );
    refused(
        build(image, Reshape::to([71]).into()),
        &["layer 0 (reshape)", "71", "72"],
    );
    refused(build(image, Conv2d::new(3, 7).into()), &["kernel", "7", "6"]);
    refused(
        build(image, MaxPool2d::new((2, 7)).into()),
        &["kernel", "width", "7", "6"],
    );
}

#[test]
fn settings_of_layers_that_make_no_sense() {
    let build = |input: &[usize], layer: Node| Sequential::new(input).layer(layer).build(1);
    let image = &[2, 6, 6][..];
    refused(
        build(&[4], Dense::new(0).into()),
        &["layer 0 (dense)", "at least one unit", "0"],
    );
    refused(
        build(&[4], Dense::new(usize::MAX).into()),
        &["dense", "more than any memory"],
    );
    refused(
        build(&[4], Dense::new(1 << 40).into()),
        &["parameters", "check the declared sizes"],
    );
    for (layer, word) in [
        (Node::from(Conv2d::new(0, 3)), "channel"),
        (Conv2d::new(2, 0).into(), "kernel"),
        (Conv2d::new(2, 3).stride(0).into(), "stride"),
        (Conv2d::new(2, 3).dilation(0).into(), "dilation"),
        (Conv2d::new(3, 3).groups(2).into(), "groups"),
        (Conv2d::new(2, 3).groups(0).into(), "groups"),
        (Conv2d::new(usize::MAX, 3).into(), "memory"),
        (Conv2d::new(2, usize::MAX).into(), "larger than any image"),
        (Conv2d::new(2, 3).padding(usize::MAX).into(), "larger than any image"),
        (Conv2d::new(2, 3).padding(1 << 30).into(), "memory"),
        (MaxPool2d::new(0).into(), "kernel"),
        (MaxPool2d::new(2).stride((1, 0)).into(), "stride"),
        (MaxPool2d::new(2).padding(2).into(), "padding"),
        (
            MaxPool2d::new(1 << 30).stride(1).padding(Padding::Same).into(),
            "larger than any image",
        ),
        (AvgPool2d::new(0).into(), "kernel"),
        (
            AvgPool2d::new(1 << 20).stride(1).padding(Padding::Same).into(),
            "larger than any image",
        ),
        (Dropout::new(1.0).into(), "rate"),
        (Dropout::new(-0.1).into(), "rate"),
        (Dropout::new(Float::NAN).into(), "NaN"),
        (BatchNorm::new().momentum(2.0).into(), "momentum"),
        (BatchNorm::new().epsilon(0.0).into(), "epsilon"),
        (LeakyRelu { slope: Float::NAN }.into(), "slope"),
        (Elu { alpha: Float::INFINITY }.into(), "alpha"),
    ] {
        refused(build(image, layer), &["layer 0", word]);
    }
}

#[test]
fn networks_that_cannot_be_built() {
    refused(Sequential::new([4]).build(1), &["no layers", ".layer("]);
    for input in [&[][..], &[0], &[3, 0, 2], &[usize::MAX, usize::MAX]] {
        refused(Sequential::new(input).layer(Relu).build(1), &["input shape"]);
    }
    let layers = Sequential::new([1 << 20]).layer(Dense::new(1 << 10));
    refused(
        layers.layer(Dense::new(1 << 10)).build(1),
        &["layer 0 (dense)", "beyond 1073741824"],
    );
    let block = |body: Layers| Sequential::new([4]).layer(Relu).layer(Residual::new(body)).build(1);
    refused(block(Layers::new()), &["layer 1 (residual)", "body", "no layers"]);
    refused(block(Layers::new().layer(Dense::new(0))), &["layer 1.body.0 (dense)"]);
    refused(
        block(Layers::new().layer(Reshape::to([1, 2, 2]))),
        &["layer 1 (residual)", "no projection", "1×2×2"],
    );
    let shortcut = Residual::new(Layers::new().layer(Dense::new(3))).shortcut(Layers::new().layer(Dense::new(2)));
    refused(
        Sequential::new([4]).layer(shortcut).build(1),
        &["layer 0 (residual)", "body gives 3", "shortcut 2"],
    );
    let pooled = Residual::new(Layers::new().layer(Conv2d::new(2, 3)));
    refused(
        Sequential::new([1, 9, 9]).layer(pooled).build(1),
        &["shortcut of its own"],
    );
}

#[test]
fn data_that_is_wrong() {
    let x = array![[0.0, 1.0], [2.0, 3.0]];
    refused(Arrays::classes(&Array2::zeros((0, 2)), [], 2), &["empty", "0 samples"]);
    refused(Arrays::classes(&x, [0, 2], 2), &["sample 1", "label 2", "0 to 1"]);
    refused(Arrays::classes(&x, [0], 2), &["2 samples", "1 labels"]);
    refused(Arrays::values(&x, &array![1.0]), &["2 samples", "1 targets"]);
    refused(
        Arrays::classes(&array![[0.0, Float::NAN]], [0], 1),
        &["sample 0", "NaN", "finite"],
    );
    refused(
        Arrays::values(&x, &array![0.0, Float::INFINITY]),
        &["target 1", "inf", "finite"],
    );
    refused(Bytes::new([2, 2], vec![0; 7], [0], 1), &["7 bytes", "2×2"]);
    refused(
        Bytes::new([2, 2], vec![0; 8], [0, 3], 3),
        &["sample 1", "label 3", "0 to 2"],
    );
    let data = Arrays::classes(&x, [0, 1], 2).unwrap();
    refused(Subset::new(&data, [2]), &["sample 2", "2 samples"]);
    for fraction in [0.0, 1.0, -0.5, 0.01, Float::NAN.into()] {
        refused(split(&data, fraction, 1), &["hold"]);
    }
}

/// A data set that breaks its promises, in one way at a time.
struct Odd {
    samples: usize,
    shape: Shape,
    targets: Targets,
    target: Target<'static>,
    value: Float,
    fails: bool,
}

impl Odd {
    fn new() -> Self {
        Odd {
            samples: 64,
            shape: [2].into(),
            targets: Targets::Classes(2),
            target: Target::Class(1),
            value: 1.0,
            fails: false,
        }
    }
}

impl Dataset for Odd {
    fn len(&self) -> usize {
        self.samples
    }
    fn shape(&self) -> Shape {
        self.shape.clone()
    }
    fn targets(&self) -> Targets {
        self.targets.clone()
    }
    fn read(&self, index: usize, x: &mut [Float]) -> Result<()> {
        x.fill(1.0);
        if index == 37 {
            x[1] = self.value;
            if self.fails {
                return Err(Error::data("the disk is gone"));
            }
        }
        Ok(())
    }
    fn target(&self, _index: usize) -> Target<'_> {
        self.target
    }
}

fn two_classes() -> Network {
    Sequential::new([2])
        .layer(BatchNorm::new())
        .layer(Dense::new(2))
        .layer(Softmax)
        .build(1)
        .unwrap()
}

fn fit() -> Fit<'static> {
    Fit::new(CrossEntropy::new(), Sgd::new(0.1)).epochs(2).batch_size(8)
}

#[test]
fn data_that_breaks_its_promises() {
    for (data, words) in [
        (
            Odd {
                samples: 0,
                ..Odd::new()
            },
            &["no samples"][..],
        ),
        (
            Odd {
                shape: [2, 2].into(),
                ..Odd::new()
            },
            &["takes samples of shape 2", "of shape 2×2"],
        ),
        (
            Odd {
                shape: [1, 2].into(),
                ..Odd::new()
            },
            &["takes samples of shape 2", "1×2", "Flatten or Reshape"],
        ),
        (
            Odd {
                target: Target::Class(2),
                ..Odd::new()
            },
            &["sample 0", "class 2", "0 to 1"],
        ),
        (
            Odd {
                target: Target::Values(&[0.0, 1.0]),
                ..Odd::new()
            },
            &["sample 0", "target values", "classes"],
        ),
        (
            Odd {
                targets: Targets::Classes(3),
                ..Odd::new()
            },
            &["cross entropy", "3 classes", "gives 2"],
        ),
        (
            Odd {
                targets: Targets::Classes(0),
                ..Odd::new()
            },
            &["cross entropy", "0 classes"],
        ),
        (
            Odd {
                targets: Targets::Values([3].into()),
                ..Odd::new()
            },
            &["cross entropy", "3 target values", "gives 2"],
        ),
        (
            Odd {
                targets: Targets::Values([2].into()),
                target: Target::Values(&[0.5]),
                ..Odd::new()
            },
            &["sample 0", "1 target values", "expected 2"],
        ),
        (
            Odd {
                targets: Targets::Values([2].into()),
                target: Target::Values(&[0.5, Float::NAN]),
                ..Odd::new()
            },
            &["sample 0", "target value", "not finite"],
        ),
        (
            Odd {
                value: Float::NAN,
                ..Odd::new()
            },
            &["sample 37", "NaN", "position 1", "finite"],
        ),
        (
            Odd {
                value: Float::NEG_INFINITY,
                ..Odd::new()
            },
            &["sample 37", "-inf", "position 1"],
        ),
        (
            Odd {
                fails: true,
                ..Odd::new()
            },
            &["the disk is gone"],
        ),
    ] {
        let mut network = two_classes();
        refused(fit().run(&mut network, &data), words);
        refused(network.evaluate(&data, &CrossEntropy::new(), &[]), words);
        // As validation data they are found before anything is trained, unless they have to be read.
        let before = all_bits(&network);
        refused(fit().validation(&data).run(&mut network, &Odd::new()), words);
        assert!(all_bits(&network) == before || words.contains(&"sample 37") || data.fails);
        let finite = |t: gradus::NamedTensor<'_>| t.values.iter().all(|v| v.is_finite());
        assert!(network.parameters().chain(network.state()).all(finite), "{words:?}");
    }
    let no_classes = Odd {
        targets: Targets::Classes(0),
        ..Odd::new()
    };
    let network = two_classes();
    let mut predictor = network.predictor(8, 1).unwrap();
    refused(
        predictor.each_output(&network, &no_classes, |_, _, _| ()),
        &["sample 0", "class 1", "0 classes"],
    );
}

#[test]
fn settings_of_training_that_make_no_sense() {
    let data = Odd::new();
    let run = |fit: Fit<'_>| fit.run(&mut two_classes(), &data);
    refused(run(fit().epochs(0)), &["epochs is 0", "at least one"]);
    refused(run(fit().batch_size(0)), &["batch size is 0", "at least one"]);
    refused(run(fit().batch_size(65)), &["batch size 65", "64 training samples"]);
    refused(
        run(fit().validation_split(0.9)),
        &["batch size 8", "6 training samples"],
    );
    refused(run(fit().validation_split(1.5)), &["1.5", "between 0 and 1"]);
    refused(
        run(fit().clip(Clip::Norm(0.0))),
        &["clipping", "norm", "above 0", "got 0"],
    );
    refused(
        run(fit().schedule(StepDecay { every: 0, factor: 0.1 })),
        &["step decay", "every", "got 0"],
    );
    refused(
        run(fit().schedule(Warmup::new(0, StepDecay::default()))),
        &["warm-up", "steps", "got 0"],
    );
    refused(
        run(fit().callback(EarlyStopping::new(3).watch("val_acuracy"))),
        &["`val_acuracy`", "loss"],
    );
    refused(
        run(fit().callback(Checkpoint::best("never").watch("f1"))),
        &["`f1`", "the history has loss"],
    );
    for (optimizer, words) in [
        (
            Box::new(Sgd::new(f64::NAN)) as Box<dyn Optimizer>,
            &["SGD", "learning rate", "NaN"][..],
        ),
        (Box::new(Sgd::new(-0.1)), &["SGD", "learning rate", "-0.1"]),
        (Box::new(Sgd::new(0.1).momentum(1.0)), &["SGD", "momentum", "got 1"]),
        (Box::new(Sgd::new(0.1).nesterov()), &["Nesterov", "momentum"]),
        (Box::new(Adam::new(f64::INFINITY)), &["Adam", "learning rate", "inf"]),
        (Box::new(AdamW::new(-1.0)), &["AdamW", "learning rate", "-1"]),
        (Box::new(RmsProp::new(f64::NAN)), &["RMSProp", "learning rate", "NaN"]),
        (Box::new(Greedy), &["greedy", "9 slots", "8"]),
    ] {
        refused(
            run(Fit::boxed(std::sync::Arc::new(CrossEntropy::new()), optimizer.into())),
            words,
        );
    }
    let mut nothing = Sequential::new([2]).layer(Softmax).build(1).unwrap();
    refused(fit().run(&mut nothing, &data), &["no parameters", "nothing to train"]);
    // More threads than there can be are as many as there can be.
    for threads in [0, usize::MAX] {
        fit()
            .threads(threads)
            .validation(&data)
            .run(&mut two_classes(), &data)
            .unwrap();
    }
}

/// An optimizer that wants to remember more than there is room for.
#[derive(Debug)]
struct Greedy;

impl Optimizer for Greedy {
    fn name(&self) -> &'static str {
        "greedy"
    }
    fn validate(&self) -> Result<()> {
        Ok(())
    }
    fn learning_rate(&self) -> Float {
        0.1
    }
    fn slots(&self) -> usize {
        9
    }
    fn update(&self, _step: Step, _w: &mut [Float], _dw: &[Float], _state: &mut [&mut [Float]]) {}
}

#[test]
fn losses_and_metrics_that_do_not_fit() {
    let data = Odd::new();
    let one = || {
        Sequential::new([2])
            .layer(Dense::new(1))
            .layer(Sigmoid)
            .build(1)
            .unwrap()
    };
    let run = |loss: Box<dyn Loss>, mut network: Network| {
        Fit::boxed(loss.into(), std::sync::Arc::new(Sgd::new(0.1))).run(&mut network, &data)
    };
    refused(
        run(Box::new(CrossEntropy::new()), one()),
        &["cross entropy", "gives 1", "binary"],
    );
    refused(
        run(Box::new(BinaryCrossEntropy), two_classes()),
        &["binary cross entropy", "gives 2"],
    );
    refused(
        run(Box::new(Huber { delta: 0.0 }), two_classes()),
        &["Huber", "delta", "got 0"],
    );
    refused(
        run(Box::new(CrossEntropy::new().label_smoothing(1.5)), two_classes()),
        &["smoothing", "1.5"],
    );
    for loss in [
        Box::new(MeanSquaredError) as Box<dyn Loss>,
        Box::new(MeanAbsoluteError),
        Box::new(Huber::default()),
    ] {
        let three = Sequential::new([2]).layer(Dense::new(3)).build(1).unwrap();
        refused(run(loss, three), &["2 classes", "gives 3"]);
    }
    let three = || Sequential::new([2]).layer(Dense::new(3)).build(1).unwrap();
    let odd = Odd {
        targets: Targets::Classes(2),
        ..Odd::new()
    };
    for metric in [
        Box::new(Accuracy) as Box<dyn Metric>,
        Box::new(TopK(2)),
        Box::new(Precision::new(Average::Macro)),
        Box::new(R2),
    ] {
        let name = metric.name();
        let sentence = sentence(three().evaluate(&odd, &Anything, &[&*metric]));
        assert!(sentence.len() > 20, "{name}: {sentence}");
    }
    for k in [0, 3] {
        refused(
            two_classes().evaluate(&odd, &CrossEntropy::new(), &[&TopK(k)]),
            &["top", &k.to_string()],
        );
    }
}

/// A loss that takes everything.
#[derive(Debug)]
struct Anything;

impl Loss for Anything {
    fn name(&self) -> &'static str {
        "anything"
    }
    fn validate(&self, _output: &Shape, _targets: &Targets) -> Result<()> {
        Ok(())
    }
    fn loss(&self, _y: &[Float], _target: Target<'_>) -> Float {
        1.0
    }
    fn gradient(&self, _y: &[Float], _target: Target<'_>, dy: &mut [Float]) {
        dy.fill(0.0);
    }
}

#[test]
fn training_that_diverges() {
    let deep = || {
        Sequential::new([2])
            .layer(Dense::new(8))
            .layer(Dense::new(8))
            .layer(Dense::new(1))
            .build(1)
            .unwrap()
    };
    let data = Arrays::values(&Array2::ones((64, 2)), &Array1::from_elem(64, 9.0)).unwrap();
    let run = |rate: f64, epochs: usize, batch: usize| {
        let fit = Fit::new(MeanSquaredError, Sgd::new(rate)).epochs(epochs);
        fit.batch_size(batch).run(&mut deep(), &data).unwrap_err()
    };
    let error = run(if cfg!(gradus_f64) { 1e120 } else { 1e15 }, 50, 16);
    assert!(
        matches!(&error, Error::Diverged { layer, .. } if layer.starts_with("layer ") && layer.contains("(dense)"))
    );
    refused::<()>(Err(error), &["diverged in layer", "at step", "smaller learning rate"]);
    // The only step of all: no further loss would tell.
    let error = run(if cfg!(gradus_f64) { 1e308 } else { 1e38 }, 1, 64);
    assert!(matches!(&error, Error::Diverged { .. }), "{error}");
    refused::<()>(Err(error), &["layer 0 (dense)", "after step 1", "no longer finite"]);
}

/// An augmentation for images.
#[derive(Debug)]
struct ForImages;

impl Augmentation for ForImages {
    fn validate(&self, shape: &Shape) -> Result<()> {
        match shape.image() {
            Some(_) => Ok(()),
            None => Err(Error::invalid(format!(
                "shifts need images, got samples of shape {shape}"
            ))),
        }
    }
    fn apply(&self, _shape: &Shape, _x: &mut [Float], _rng: &mut Rng, _scratch: &mut Vec<Float>) {}
}

#[test]
fn augmentation_on_samples_that_it_cannot_change() {
    let run = fit().augment(ForImages).run(&mut two_classes(), &Odd::new());
    refused(run, &["images", "shape 2"]);
}

#[test]
fn predictions_on_wrong_shapes() {
    let network = convolutional(1);
    refused(
        network.predict(Array2::zeros((3, 64))),
        &["samples of shape 1×8×8", "[3, 64]"],
    );
    refused(network.predict(Array4::zeros((3, 8, 8, 1))), &["1×8×8", "[3, 8, 8, 1]"]);
    refused(network.predict(ndarray::arr0(1.0)), &["first axis"]);
    refused(network.classify(Array1::zeros(64)), &["1×8×8", "[64]"]);
    assert_eq!(network.predict(Array4::zeros((0, 1, 8, 8))).unwrap().shape(), [0, 10]);
    refused(network.predictor(0, 1), &["at least one sample", "0"]);
    refused(network.predictor(usize::MAX, 1), &["smaller batch"]);
    let mut predictor = network.predictor(2, 1).unwrap();
    for size in [0, 63, 65, 3 * 64] {
        let words = ["1 to 2 samples of 64 values", &format!("got {size}")];
        refused(
            predictor.run(&network, &vec![0.0; size]),
            &words.each_ref().map(|w| &**w),
        );
    }
    // One whose parameters and inputs are as many, and whose layers are others.
    let layers = || Sequential::new([2]).layer(Dense::new(2));
    let (short, long) = (layers().build(1).unwrap(), layers().layer(Relu).build(1).unwrap());
    let mut predictor = short.predictor(4, 1).unwrap();
    refused(predictor.run(&long, &[0.0; 2]), &["predictor", "another network"]);
    assert!(predictor.run(&short.clone(), &[0.0; 2]).is_ok());
}

#[test]
fn steps_on_wrong_samples() {
    let mut network = two_classes();
    let mut trainer = fit().trainer(&network).unwrap();
    let one = [Target::Class(1)];
    let x = [0.5; 20];
    refused(
        trainer.step(&mut network, &x[..2], &[]),
        &["1 to 8 samples of 2 values", "0 targets"],
    );
    refused(trainer.step(&mut network, &x[..3], &one), &["1 targets", "3 values"]);
    refused(
        trainer.step(&mut network, &x[..18], &[one[0]; 9]),
        &["1 to 8", "9 targets"],
    );
    refused(
        trainer.step(&mut network, &x[..2], &[Target::Class(2)]),
        &["sample 0", "class 2"],
    );
    refused(
        trainer.step(&mut network, &x[..2], &[Target::Values(&[1.0])]),
        &["1 target values", "gives 2"],
    );
    let mixed = [one[0], Target::Values(&[0.0, 1.0])];
    refused(
        trainer.step(&mut network, &x[..4], &mixed),
        &["sample 1", "target values"],
    );
    refused(
        trainer.step(&mut network, &[0.0, Float::NAN], &one),
        &["sample 0", "NaN", "position 1"],
    );
    refused(
        trainer.step(&mut perceptron(1), &x[..2], &one),
        &["trainer", "another network"],
    );
    assert_eq!(trainer.steps(), 0);
    trainer.step(&mut network, &x[..2], &one).unwrap();
    refused(fit().batch_size(usize::MAX).trainer(&network), &["smaller batch"]);
}

#[test]
fn tensors_that_are_not_there() {
    let mut network = two_classes();
    refused(network.set("1.weight", &[0.0; 3]), &["`1.weight`", "4 values", "got 3"]);
    refused(
        network.set("0.running_mean", &[0.0]),
        &["`0.running_mean`", "2 values", "got 1"],
    );
    refused(
        network.set("1.weights", &[0.0; 4]),
        &["`1.weights`", "1.weight", "1.bias"],
    );
    refused(
        network.set_weights(perceptron(1).weights()),
        &["another network", "parameters"],
    );
}

#[test]
fn files_cut_off_anywhere() {
    let bytes = two_classes().to_bytes().unwrap();
    assert!(Network::from_bytes(&bytes, &Registry::default()).is_ok());
    for length in 0..bytes.len() {
        refused(
            Network::from_bytes(&bytes[..length], &Registry::default()),
            &["safetensors file"],
        );
    }
    let longer = [&bytes[..], &[0]].concat();
    refused(
        Network::from_bytes(&longer, &Registry::default()),
        &["safetensors file", "end at byte"],
    );
}

#[test]
fn files_with_a_flipped_bit() {
    let bytes = two_classes().to_bytes().unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut refusals = 0;
    for i in 0..bytes.len() {
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[i] ^= 1 << bit;
            match Network::from_bytes(&bytes, &Registry::default()) {
                Err(error) => {
                    refusals += 1;
                    assert!(error.to_string().len() > 20, "{error}");
                }
                // A number that is another one, a note that says something else.
                Ok(network) => assert_eq!(network.output_shape(), &Shape::from(2)),
            }
        }
    }
    assert!(
        refusals > 5 * header,
        "{refusals} of {} flips of the header are found",
        8 * header
    );
}

/// Our file with its header changed by `change`.
fn with_header(network: &Network, change: impl Fn(&mut serde_json::Value)) -> Vec<u8> {
    let bytes = network.to_bytes().unwrap();
    let (length, rest) = bytes.split_first_chunk::<8>().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let mut header = serde_json::from_slice(header).unwrap();
    change(&mut header);
    let header = header.to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
}

#[test]
fn files_that_say_something_else() {
    let network = two_classes();
    let load = |change: &dyn Fn(&mut serde_json::Value)| {
        Network::from_bytes(&with_header(&network, change), &Registry::default())
    };
    assert!(load(&|_| ()).is_ok());
    refused(
        load(&|h| h["__metadata__"]["gradus.format"] = "2".into()),
        &["format 2", "formats 1 to 1"],
    );
    refused(
        load(&|h| h["__metadata__"]["gradus.format"] = "one".into()),
        &["format one"],
    );
    refused(
        load(&|h| h["__metadata__"] = serde_json::json!({ "format": "pt" })),
        &["not written by Gradus"],
    );
    refused(
        load(&|h| h["__metadata__"]["gradus.architecture"] = "{".into()),
        &["architecture", "JSON"],
    );
    let architecture = |from: &str, to: &str| {
        let (from, to) = (from.to_string(), to.to_string());
        load(&move |h| {
            let text = h["__metadata__"]["gradus.architecture"].as_str().unwrap();
            assert!(text.contains(&from), "{text}");
            h["__metadata__"]["gradus.architecture"] = text.replace(&from, &to).into();
        })
    };
    refused(
        architecture("softmax", "softmin"),
        &["layers[2]", "\"softmin\"", "softmax"],
    );
    refused(architecture("\"units\"", "\"unit\""), &["layers[1]", "dense", "unit"]);
    refused(architecture("\"layers\"", "\"strata\""), &["`strata`"]);
    refused(
        architecture("\"kind\":\"softmax\"", "\"sort\":\"softmax\""),
        &["layers[2]", "`kind`"],
    );
    refused(architecture("[2]", "[[2]]"), &["`input`", "shape"]);
    refused(
        architecture("\"units\":2", "\"units\":3"),
        &["`1.weight`", "2×2", "3×2"],
    );
    let tensors = |change: &dyn Fn(&mut serde_json::Map<String, serde_json::Value>)| {
        load(&|h| change(h.as_object_mut().unwrap()))
    };
    let renamed = |h: &mut serde_json::Map<String, serde_json::Value>| {
        let weight = h.remove("1.weight").unwrap();
        h.insert("1.wait".into(), weight);
    };
    refused(tensors(&renamed), &["no tensor `1.weight`", "2×2"]);
    let extra = |h: &mut serde_json::Map<String, serde_json::Value>| {
        let mut extra = h["1.bias"].clone();
        let end = h.values().filter_map(|t| t["data_offsets"][1].as_u64()).max();
        extra["shape"] = serde_json::json!([0]);
        extra["data_offsets"] = serde_json::json!([end, end]);
        h.insert("5.bias".into(), extra);
    };
    refused(tensors(&extra), &["`5.bias`", "architecture"]);
    refused(
        tensors(&|h| h["1.weight"]["shape"] = serde_json::json!([4])),
        &["`1.weight`", "shape 4", "2×2"],
    );
    refused(
        tensors(&|h| h["1.weight"]["dtype"] = "BF16".into()),
        &["`1.weight`", "BF16"],
    );
    refused(
        tensors(&|h| h["1.weight"]["data_offsets"] = serde_json::json!([16, 0])),
        &["`1.weight`"],
    );
    refused(load(&|h| h["__metadata__"] = 3.into()), &["metadata"]);
}

#[test]
fn weights_that_are_not_finite_are_neither_saved_nor_loaded() {
    let mut network = two_classes();
    let mut bytes = network.to_bytes().unwrap();
    let end = bytes.len();
    bytes[end - size_of::<Float>()..].copy_from_slice(&Float::NAN.to_le_bytes());
    refused(
        Network::from_bytes(&bytes, &Registry::default()),
        &["tensor `0.running_var`", "NaN", "position 1"],
    );
    network.set("1.bias", &[0.0, Float::INFINITY]).unwrap();
    refused(network.to_bytes(), &["tensor `1.bias`", "inf", "position 1"]);
}

#[test]
fn files_that_are_not_there() {
    let folder = folder("bad_input");
    refused(
        Network::load(folder.join("none.safetensors")),
        &["none.safetensors", "can't be read"],
    );
    refused(Network::load(&folder), &["can't be read"]);
    std::fs::write(folder.join("text"), "no network").unwrap();
    refused(Network::load(folder.join("text")), &["text", "safetensors file"]);
    refused(two_classes().save(folder.join("text/below")), &["text", "folder"]);
    refused(two_classes().save(&folder), &["can't be written"]);
}

/// One output stands for two classes: above 0.5 it is the second.
#[test]
fn one_output_classifies() {
    let mut network = Sequential::new([1]).layer(Dense::new(1)).build(1).unwrap();
    network.set("0.weight", &[1.0]).unwrap();
    let classes = network.classify(array![[0.25], [0.75]]).unwrap();
    assert_eq!(classes, [(0, 0.25), (1, 0.75)]);
    let two = Sequential::new([2]).layer(Relu).build(1).unwrap();
    assert_eq!(two.classify(array![[0.25, 0.75]]).unwrap(), [(1, 0.75)]);
}
