//! Cross entropy, for one class of several.

use gradus_kernels::{SimdOp, scalar, vectorize_op};
use serde::{Deserialize, Serialize};

use super::{Loss, OutputActivation, add_up, check_shapes, expected, log, log_derivative};
use crate::data::{Target, Targets};
use crate::layer::Operation;
use crate::settings::require;
use crate::{Error, Float, Result, Shape};

/// Cross entropy between the target and the network's probabilities, for one class of several:
///
/// ```text
/// loss = -Σᵢ tᵢ · ln yᵢ         dyᵢ = -tᵢ / yᵢ
/// ```
///
/// where t is 1 for the sample's class and 0 elsewhere, or the target's probability of each class. With label smoothing e
/// over K classes, t becomes (1 - e) · t + e / K (Szegedy et al., 2016).
///
/// At the end of a network with softmax, or with [no activation](mod@crate::loss), it is computed from the logits z, exactly and
/// without overflow:
///
/// ```text
/// loss = Σᵢ tᵢ · (ln Σⱼ exp zⱼ - zᵢ)         dzᵢ = softmax(z)ᵢ · Σⱼ tⱼ - tᵢ
/// ```
///
/// On probabilities, the logarithm goes on as its tangent below 10⁻⁷: loss and gradient stay finite, and a
/// probability of zero still learns.
///
/// ```
/// use gradus::{data::Target, loss::{CrossEntropy, Loss}};
/// let y = [0.2, 0.5, 0.3];
/// let loss = CrossEntropy::new().loss(&y, Target::Class(1));
/// assert!((loss - 0.693147).abs() < 1e-6); // ln 2
/// ```
#[doc(alias = "CategoricalCrossEntropy")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CrossEntropy {
    label_smoothing: f64,
}

impl CrossEntropy {
    /// Without label smoothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how much of the target is spread evenly over all classes, in [0, 1].
    pub fn label_smoothing(mut self, label_smoothing: f64) -> Self {
        self.label_smoothing = label_smoothing;
        self
    }

    /// The target of each of `outputs` classes, smoothed.
    fn targets<'t>(&self, outputs: usize, target: Target<'t>) -> impl Fn(usize) -> Float + use<'t> {
        let keep = (1.0 - self.label_smoothing) as Float;
        let spread = (self.label_smoothing / outputs as f64) as Float;
        let t = expected(outputs, target);
        move |i| keep * t(i) + spread
    }
}

impl Loss for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn validate(&self, output: &Shape, targets: &Targets) -> Result<()> {
        let smoothing = self.label_smoothing;
        let holds = (0.0..=1.0).contains(&smoothing);
        require(holds, "cross entropy", "label smoothing", "in [0, 1]", smoothing)?;
        if output.size() == 1 {
            return Err(Error::invalid(
                "cross entropy needs one output for each class, the network gives 1; for a single probability use binary cross entropy",
            ));
        }
        check_shapes("cross entropy", output, targets)
    }

    fn loss(&self, y: &[Float], target: Target<'_>) -> Float {
        let t = self.targets(y.len(), target);
        -add_up(y.iter().enumerate().map(|(i, &y)| t(i) * log(y)))
    }

    fn gradient(&self, y: &[Float], target: Target<'_>, dy: &mut [Float]) {
        let t = self.targets(y.len(), target);
        for (i, (dy, &y)) in dy.iter_mut().zip(y).enumerate() {
            *dy = -t(i) * log_derivative(y);
        }
    }

    fn output_activation(&self) -> Option<OutputActivation> {
        Some(OutputActivation::Softmax)
    }

    fn fused_with(&self, last: Operation) -> Option<Box<dyn Loss>> {
        (last == Operation::Softmax).then(|| Box::new(SoftmaxCrossEntropy(*self)) as Box<dyn Loss>)
    }
}

/// [`CrossEntropy`] after softmax, as a function of the softmax's inputs.
#[derive(Debug)]
struct SoftmaxCrossEntropy(CrossEntropy);

impl Loss for SoftmaxCrossEntropy {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn validate(&self, output: &Shape, targets: &Targets) -> Result<()> {
        self.0.validate(output, targets)
    }

    fn loss(&self, z: &[Float], target: Target<'_>) -> Float {
        let most = largest(z);
        let sum = add_up(z.iter().map(|&z| scalar::exp(z - most)));
        self.loss_given(z, target, most, scalar::ln(sum))
    }

    fn gradient(&self, z: &[Float], target: Target<'_>, dz: &mut [Float]) {
        self.loss_and_gradient(z, target, dz);
    }

    fn loss_and_gradient(&self, z: &[Float], target: Target<'_>, dz: &mut [Float]) -> Float {
        let mut loss = [0.0];
        self.losses_and_gradients(z, &|_| target, dz, &mut loss);
        loss[0]
    }

    fn losses_and_gradients<'t>(
        &self,
        z: &[Float],
        target: &dyn Fn(usize) -> Target<'t>,
        dz: &mut [Float],
        losses: &mut [Float],
    ) {
        let Some(classes) = z.len().checked_div(losses.len()).filter(|&classes| classes > 0) else {
            return;
        };
        let chunks = z.chunks(CHUNK * classes).zip(dz.chunks_mut(CHUNK * classes));
        for (first, ((z, dz), losses)) in (0..).step_by(CHUNK).zip(chunks.zip(losses.chunks_mut(CHUNK))) {
            self.chunk(classes, z, &|i| target(first + i), dz, losses);
        }
    }
}

impl SoftmaxCrossEntropy {
    /// The losses and gradients of up to [`CHUNK`] samples. The exponentials and the logarithms of all of them are computed
    /// together, since one sample's may be too few to fill a vector.
    fn chunk<'t>(
        &self,
        classes: usize,
        z: &[Float],
        target: &dyn Fn(usize) -> Target<'t>,
        dz: &mut [Float],
        losses: &mut [Float],
    ) {
        let (mut largest_of, mut sums) = ([0.0; CHUNK], [0.0; CHUNK]);
        for ((z, dz), most) in rows(classes, z, dz).zip(&mut largest_of) {
            *most = largest(z);
            for (dz, &z) in dz.iter_mut().zip(z) {
                // No exponential can overflow, and one of them is 1.
                *dz = z - *most;
            }
        }
        vectorize_op(Exp(dz));
        for (dz, sum) in dz.chunks_exact_mut(classes).zip(&mut sums) {
            *sum = add_up(dz.iter().copied());
            dz.iter_mut().for_each(|dz| *dz /= *sum);
        }
        let sums = &mut sums[..losses.len()];
        vectorize_op(Ln(sums));
        for (i, ((z, dz), loss)) in rows(classes, z, dz).zip(losses).enumerate() {
            let (target, most, log_sum) = (target(i), largest_of[i], sums[i]);
            if let Some(class) = self.only_class(target, classes) {
                dz[class] -= 1.0;
            } else {
                let t = self.0.targets(classes, target);
                let total: Float = match target {
                    Target::Class(_) => 1.0,
                    Target::Values(_) => add_up((0..classes).map(&t)),
                };
                for (i, dz) in dz.iter_mut().enumerate() {
                    *dz = *dz * total - t(i);
                }
            }
            *loss = self.loss_given(z, target, most, log_sum);
        }
    }

    /// The one class whose target is 1 where those of the others are 0, if there is one.
    fn only_class(&self, target: Target<'_>, classes: usize) -> Option<usize> {
        match target {
            Target::Class(class) if class < classes && self.0.label_smoothing == 0.0 => Some(class),
            _ => None,
        }
    }

    /// The loss, given the largest of `z` and the logarithm of the sum of exp(zᵢ - largest).
    fn loss_given(&self, z: &[Float], target: Target<'_>, most: Float, log_sum: Float) -> Float {
        // The difference to the largest first: both may be large, and their difference is what counts.
        let loss = |z: Float| log_sum - (z - most);
        if let Some(class) = self.only_class(target, z.len()) {
            return loss(z[class]);
        }
        let t = self.0.targets(z.len(), target);
        add_up(z.iter().enumerate().map(|(i, &z)| t(i) * loss(z)))
    }
}

/// How many samples are computed together.
const CHUNK: usize = 32;

/// The rows of z and dz.
fn rows<'a>(
    classes: usize,
    z: &'a [Float],
    dz: &'a mut [Float],
) -> impl Iterator<Item = (&'a [Float], &'a mut [Float])> {
    z.chunks_exact(classes).zip(dz.chunks_exact_mut(classes))
}

fn largest(z: &[Float]) -> Float {
    z.iter().fold(Float::NEG_INFINITY, |a, &b| if b > a { b } else { a })
}

/// x ← exp x
struct Exp<'a>(&'a mut [Float]);

impl SimdOp for Exp<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for x in self.0 {
            *x = scalar::exp(*x);
        }
    }
}

/// x ← ln x
struct Ln<'a>(&'a mut [Float]);

impl SimdOp for Ln<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for x in self.0 {
            *x = scalar::ln(*x);
        }
    }
}
