//! Samples and their targets.

use gradus::Float;
use gradus::data::{Arrays, Target, Targets};
use gradus::random::{Purpose, stream};
use ndarray::{Array2, ArrayD, IxDyn};
use rand::RngExt;

use crate::case::{Case, Inputs, to_floats};
use crate::draw::uniform;
use crate::losses::LossKind;

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

/// Data of the library with these samples.
pub fn dataset(case: &Case, samples: &Samples) -> gradus::Result<Arrays> {
    let dims: Vec<usize> = [&[samples.count], &case.input[..]].concat();
    let x = ArrayD::from_shape_vec(IxDyn(&dims), samples.x.clone()).expect("whole samples");
    match &case.targets {
        Targets::Classes(classes) => {
            let labels = samples.targets().into_iter().map(|target| match target {
                Target::Class(class) => class,
                Target::Values(_) => unreachable!("the case has classes"),
            });
            Arrays::classes(x, labels, *classes)
        }
        Targets::Values(shape) => {
            let values = (0..samples.count).flat_map(|i| match samples.target(i) {
                Target::Values(values) => values.to_vec(),
                Target::Class(_) => unreachable!("the case has values"),
            });
            let values =
                Array2::from_shape_vec((samples.count, shape.size()), values.collect()).expect("whole targets");
            Arrays::values(x, values)
        }
    }
}
