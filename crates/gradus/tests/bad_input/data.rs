//! Data that is wrong, from the library's sets and from one of a user's own.

use crate::common::*;
use gradus::data::{Arrays, Bytes, Dataset, Subset, Target, Targets, split};
use gradus::prelude::*;
use gradus::{Error, Float, Result};
use ndarray::{Array2, array};

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
pub struct Odd {
    pub samples: usize,
    pub shape: Shape,
    pub targets: Targets,
    pub target: Target<'static>,
    pub value: Float,
    pub fails: bool,
}

impl Odd {
    pub fn new() -> Self {
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

pub fn two_classes() -> Network {
    Sequential::new([2])
        .layer(BatchNorm::new())
        .layer(Dense::new(2))
        .layer(Softmax)
        .build(1)
        .unwrap()
}

pub fn fit() -> Fit<'static> {
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
        predictor.for_each_output(&no_classes, |_, _, _| ()),
        &["sample 0", "class 1", "0 classes"],
    );
}
