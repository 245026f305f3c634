//! Is this layer, activation or loss right? What ours go through, for a user's own.
//!
//! Gradients are held against differences of the function that they are said to belong to, relative to their own size, along
//! coordinates and whole directions; kinks do no harm. With the ordinary `f32` they have to agree to two digits, which finds a
//! wrong formula, a missing factor or term; in a build with `RUSTFLAGS="--cfg gradus_f64"` every number is an `f64` and they
//! have to agree to seven.

mod gradient;
mod harness;

pub use harness::{LayerHarness, LayerStep};

use gradus_kernels::interleaved::LANES;
use rand::RngExt;
use rand::seq::SliceRandom;

use self::gradient::{Effort, Function, Part};
use crate::data::{Target, Targets};
use crate::layer::advanced::Layouts;
use crate::layer::{BoundLayer, Layer};
use crate::loss::Loss;
use crate::optim::Sgd;
use crate::random::{Purpose, Rng, stream};
use crate::{Error, Fit, Float, Network, Result, Shape, Trainer, registry};

/// Puts a layer, or an activation, through its contract on a few random samples of this shape:
///
/// - `forward` writes all of `y`, `backward` all of `dx`;
/// - memory that it is lent holds NaN at first, and none is seen in a result: nothing is read before it is written;
/// - gradients with respect to the input and to every parameter agree with differences of the output;
/// - they are added to what is there, and don't depend on whether `dx` is wanted;
/// - a sample's results have the same bits whatever other samples are beside it in the block (a layer
///   [across the batch](crate::layer::BatchPasses): the same results, up to rounding, however the batch is divided);
/// - its [fast version](crate::layer::advanced), if it has one, computes the same: forward the same bits, backward up to rounding,
///   also of interleaved samples (where it gives empty lanes no gradient) and in its input's memory;
/// - its part for [bfloat16](crate::layer::advanced::Bfloat16), if it has one, computes the same up to the rounding.
///
/// ```
/// use gradus::{check, layers::Dense, activation::Tanh};
/// check::layer(&Dense::new(3), [5])?;
/// check::layer(&Tanh, [4])?;
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Errors
/// The first thing that is wrong, in a sentence.
pub fn layer(layer: &dyn Layer, input: impl Into<Shape>) -> Result<()> {
    let input = input.into();
    check_layer(layer, &input).map_err(|what| Error::invalid(format!("{} on {input}: {what}", layer.kind())))
}

/// An example of every layer and activation of this library, each with the shape of a sample that suits it: for tests of what has
/// to work for any of them, such as an exporter.
///
/// ```
/// use gradus::{Registry, check};
/// let kinds: Vec<&str> = check::every_layer().iter().map(|(layer, _)| layer.kind()).collect();
/// assert_eq!(kinds, Registry::default().layers.names().collect::<Vec<_>>());
/// ```
pub fn every_layer() -> Vec<(Box<dyn Layer>, Shape)> {
    registry::layer_examples().collect()
}

/// The most values of a sample that are checked: there are several copies of some tens of samples.
const MOST_VALUES: usize = 1 << 22;
/// The most parameters that are checked.
const MOST_PARAMETERS: usize = 1 << 24;

/// Refuses a shape without values, or of more than can be checked.
fn check_shape(what: &str, shape: &Shape) -> Result<(), String> {
    if !shape.is_empty() && (1..=MOST_VALUES).contains(&shape.size()) {
        return Ok(());
    }
    Err(format!(
        "{what} has the shape {:?}, and a check needs dimensions of at least 1 whose product is at most {MOST_VALUES}",
        shape.dims()
    ))
}

/// Refuses targets without values or classes; gives how many values a target has, beside outputs of this shape.
fn target_size(targets: &Targets, output: &Shape) -> Result<usize, String> {
    match targets {
        Targets::Classes(0) => Err("the targets are of 0 classes, and there should be at least one".into()),
        Targets::Classes(_) => Ok(output.size()),
        Targets::Values(shape) => check_shape("a target", shape).map(|()| shape.size()),
    }
}

fn check_layer(layer: &dyn Layer, input: &Shape) -> Result<(), String> {
    let samples = 3;
    let harness = LayerHarness::new(layer, input)?;
    let x = spread(samples * input.size(), 7);
    let dy = gradients(samples * harness.bound.output.size(), 8);
    let step = harness.step(&x, &dy)?;

    let across = harness.bound.is_across_batch();
    for block in 1..samples {
        let divided = LayerHarness::new(layer, input)?.block(block).step(&x, &dy)?;
        // A layer across the batch merges its statistics in another order, and one sample has no variance.
        let exact = if across { 1e-3 } else { 0.0 };
        same("y in smaller blocks", &divided.y, &step.y, exact)?;
        same("dx in smaller blocks", &divided.dx, &step.dx, exact)?;
        same(
            "the gradient in smaller blocks",
            &divided.gradient,
            &step.gradient,
            1e-4,
        )?;
        same("the state after smaller blocks", &divided.state, &step.state, 1e-4)?;
    }
    check_fast(layer, input, &harness.bound)?;
    let inferred = harness.infer(&x)?;
    if inferred.iter().any(|y| y.is_nan()) {
        return Err("a forward pass without training leaves NaN in y".into());
    }

    let mut parts = vec![Part {
        name: "dx".into(),
        range: 0..x.len(),
        step: 0.2,
    }];
    for parameter in &harness.bound.parameters {
        let start = parts.last().map_or(0, |part| part.range.end);
        parts.push(Part {
            name: format!("the gradient of {}", parameter.name),
            range: start..start + parameter.shape.size(),
            step: 0.1,
        });
    }
    let point = [&x[..], &harness.parameters].concat();
    let effort = Effort {
        groups: 32,
        coordinates: 4,
        directions: 2,
    };
    let mut function = LayerFunction {
        harness,
        inputs: x.len(),
        dy: &dy,
    };
    gradient::check(
        &mut function,
        &point,
        &parts,
        effort,
        &mut stream(3, Purpose::User, &[]),
    )
}

/// Σ dy · y as a function of a layer's inputs and parameters, which lie one after the other.
struct LayerFunction<'a> {
    harness: LayerHarness,
    inputs: usize,
    dy: &'a [Float],
}

impl Function for LayerFunction<'_> {
    fn evaluate(&mut self, point: &[Float], gradient: &mut [Float]) -> Result<f64, String> {
        let (x, parameters) = point.split_at(self.inputs);
        self.harness.parameters.copy_from_slice(parameters);
        let step = self.harness.run(x, self.dy, true)?;
        let (dx, rest) = gradient.split_at_mut(self.inputs);
        dx.copy_from_slice(&step.dx);
        rest.copy_from_slice(&step.gradient);
        Ok(self.product(&step.y))
    }

    fn value(&mut self, point: &[Float]) -> Result<f64, String> {
        let (x, parameters) = point.split_at(self.inputs);
        self.harness.parameters.copy_from_slice(parameters);
        Ok(self.product(&self.harness.outputs(x)?))
    }
}

impl LayerFunction<'_> {
    /// Σ dy · y in f64, so that only the outputs themselves are rounded.
    fn product(&self, y: &[Float]) -> f64 {
        (y.iter().zip(self.dy))
            .map(|(&y, &dy)| f64::from(y) * f64::from(dy))
            .sum()
    }
}

/// The fast version computes what the passes over one sample do, in every way that it promises: see [`crate::layer::advanced`].
fn check_fast(layer: &dyn Layer, input: &Shape, bound: &BoundLayer) -> Result<(), String> {
    // More than fill one group of lanes, less than fill two.
    let samples = LANES + 3;
    let x = spread(samples * input.size(), 9);
    let dy = gradients(samples * bound.output.size(), 10);
    let agree = |harness: &LayerHarness, what: &str, tolerance: Float| {
        let usual = LayerHarness::new(layer, input)?.reference();
        let inferred = usual.infer(&x)?;
        same(&format!("y {what}"), &harness.infer(&x)?, &inferred, 0.0)?;
        let (found, expected) = (harness.step(&x, &dy)?, usual.step(&x, &dy)?);
        same(&format!("y in training {what}"), &found.y, &expected.y, tolerance)?;
        same(&format!("dx {what}"), &found.dx, &expected.dx, 1e-4)?;
        same(
            &format!("the gradient {what}"),
            &found.gradient,
            &expected.gradient,
            1e-3,
        )?;
        same(&format!("the state {what}"), &found.state, &expected.state, 1e-4)
    };
    let exact = if bound.is_across_batch() { 1e-4 } else { 0.0 };
    let Some(fast) = &bound.fast else { return Ok(()) };
    agree(&LayerHarness::new(layer, input)?, "of the fast version", exact)?;
    if fast.layouts() != Layouts::SampleMajor {
        agree(
            &LayerHarness::new(layer, input)?.interleaved(),
            "of interleaved samples",
            exact,
        )?;
    }
    if fast.in_place().is_some() {
        agree(&LayerHarness::new(layer, input)?.in_place(), "in place", 0.0)?;
        if fast.layouts() != Layouts::SampleMajor {
            let harness = LayerHarness::new(layer, input)?.in_place().interleaved();
            agree(&harness, "of interleaved samples in place", exact)?;
        }
    }
    if fast.bfloat16().is_some() {
        check_bfloat16(layer, input, &x, &dy)?;
    }
    Ok(())
}

/// What the layer computes in bfloat16 is what it computes otherwise, but for the rounding of 8 bits; and it has the same bits
/// however the batch is divided between pairs of samples.
fn check_bfloat16(layer: &dyn Layer, input: &Shape, x: &[Float], dy: &[Float]) -> Result<(), String> {
    let near = |what: &str, found: &[Float], expected: &[Float]| {
        let largest = expected.iter().fold(0.0, |largest: Float, e| largest.max(e.abs()));
        match found
            .iter()
            .zip(expected)
            .position(|(f, e)| f.is_nan() || (f - e).abs() > largest / 32.0)
        {
            Some(i) => Err(differ(what, i, found[i], expected[i])),
            None => Ok(()),
        }
    };
    let harness = || Ok::<_, String>(LayerHarness::new(layer, input)?.bfloat16());
    let (found, expected) = (harness()?.step(x, dy)?, LayerHarness::new(layer, input)?.step(x, dy)?);
    near("y in bfloat16", &found.y, &expected.y)?;
    near("dx in bfloat16", &found.dx, &expected.dx)?;
    near("the gradient in bfloat16", &found.gradient, &expected.gradient)?;
    for block in [2, 10] {
        if harness()?.block(block).step(x, dy)? != found {
            return Err(format!("in bfloat16, its bits are others in blocks of {block} samples"));
        }
    }
    Ok(())
}

/// Puts a loss through its contract on random outputs between 0 and 1 of this shape, for several targets:
///
/// - its gradient agrees with differences of the loss, and all of `dy` is written;
/// - loss and gradient are the same together as alone, and the same for several samples as for each of them;
/// - what it is [together with a last layer](Loss::fused_with) has the same losses, and its gradient agrees with differences.
///
/// ```
/// use gradus::{check, data::Targets, loss::CrossEntropy};
/// check::loss(&CrossEntropy::new(), [10], &Targets::Classes(10))?;
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Errors
/// The first thing that is wrong, in a sentence; also if the loss is so large beside its changes that rounding hides them.
pub fn loss(loss: &dyn Loss, output: impl Into<Shape>, targets: &Targets) -> Result<()> {
    let output = output.into();
    let wrong = |what| Error::invalid(format!("{} on {output}: {what}", loss.name()));
    check_shape("the output", &output).map_err(wrong)?;
    let target_size = target_size(targets, &output).map_err(wrong)?;
    loss.validate(&output, targets)?;
    let mut rng = stream(1, Purpose::User, &[]);
    let points = match output.size() {
        0..=100 => 10,
        101..=1000 => 3,
        _ => 2,
    };
    (0..points)
        .try_for_each(|_| {
            let y = uniform(0.1, output.size(), &mut rng);
            let values = uniform(0.1, target_size, &mut rng);
            let target = random_target(targets, &values, &mut rng);
            check_samples(loss, &output, targets, target_size, &mut rng)?;
            check_loss(loss, &y, target, 0.1, &mut rng)?;
            check_fused(loss, &output, target, &mut rng)
        })
        .map_err(wrong)
}

/// Values from `margin` to 1 − `margin`.
fn uniform(margin: Float, n: usize, rng: &mut Rng) -> Vec<Float> {
    (0..n).map(|_| rng.random_range(margin..1.0 - margin)).collect()
}

fn random_target<'a>(targets: &Targets, values: &'a [Float], rng: &mut Rng) -> Target<'a> {
    match targets {
        Targets::Classes(count) => Target::Class(rng.random_range(0..*count)),
        Targets::Values(_) => Target::Values(values),
    }
}

/// A loss as a function of one sample's outputs.
struct LossFunction<'a> {
    loss: &'a dyn Loss,
    target: Target<'a>,
}

impl Function for LossFunction<'_> {
    fn evaluate(&mut self, y: &[Float], dy: &mut [Float]) -> Result<f64, String> {
        self.loss.gradient(y, self.target, dy);
        self.value(y)
    }

    fn value(&mut self, y: &[Float]) -> Result<f64, String> {
        Ok(self.loss.loss(y, self.target).into())
    }
}

/// One sample's loss and gradient, around outputs that can be moved by half of `step`.
fn check_loss(loss: &dyn Loss, y: &[Float], target: Target<'_>, step: f64, rng: &mut Rng) -> Result<(), String> {
    let mut dy = vec![Float::NAN; y.len()];
    loss.gradient(y, target, &mut dy);
    if let Some(i) = dy.iter().position(|dy| dy.is_nan()) {
        return Err(format!("dy[{i}] is NaN or was not written"));
    }
    let mut together = vec![Float::NAN; y.len()];
    let value = loss.loss_and_gradient(y, target, &mut together);
    let tolerance = of_sums(y.len());
    close("loss_and_gradient's loss", &[value], &[loss.loss(y, target)], tolerance)?;
    close("loss_and_gradient's gradient", &together, &dy, tolerance)?;
    let part = Part {
        name: "dy".into(),
        range: 0..y.len(),
        step,
    };
    let effort = Effort {
        groups: 40,
        coordinates: 4,
        directions: 2,
    };
    gradient::check(&mut LossFunction { loss, target }, y, &[part], effort, rng)
}

/// Several samples together have the losses and gradients that each has alone, of its own outputs and target.
fn check_samples(
    loss: &dyn Loss,
    output: &Shape,
    targets: &Targets,
    target_size: usize,
    rng: &mut Rng,
) -> Result<(), String> {
    let n = output.size();
    let most = if n <= 1000 { 40 } else { 5 };
    let (y, values) = (uniform(0.1, most * n, rng), uniform(0.1, most * target_size, rng));
    let values = values.chunks_exact(target_size);
    let target: Vec<Target<'_>> = values.map(|v| random_target(targets, v, rng)).collect();
    for samples in [1, 3, 17, 20, most].into_iter().filter(|&samples| samples <= most) {
        let y = &y[..samples * n];
        let (mut dy, mut losses) = (vec![Float::NAN; y.len()], vec![Float::NAN; samples]);
        loss.losses_and_gradients(y, &|i| target[i], &mut dy, &mut losses);
        for (i, (dy, y)) in dy.chunks_exact(n).zip(y.chunks_exact(n)).enumerate() {
            let mut alone = vec![Float::NAN; n];
            let expected = loss.loss_and_gradient(y, target[i], &mut alone);
            let tolerance = of_sums(n);
            let of = |what: &str| format!("the {what} of sample {i} of {samples}");
            close(&of("loss"), &[losses[i]], &[expected], tolerance)?;
            close(&of("gradient"), dy, &alone, tolerance)?;
        }
    }
    Ok(())
}

/// What the loss is together with a last layer has the losses of one after the other, and is a right loss itself.
fn check_fused(loss: &dyn Loss, output: &Shape, target: Target<'_>, rng: &mut Rng) -> Result<(), String> {
    for (layer, _) in registry::layer_examples() {
        let operation = layer.bind(output).ok().and_then(|bound| bound.operation);
        let Some(fused) = operation.and_then(|operation| loss.fused_with(operation)) else {
            continue;
        };
        let with = |what: String| format!("together with {}, {what}", layer.kind());
        let z: Vec<Float> = (0..output.size()).map(|_| rng.random_range(-2.0..2.0)).collect();
        let y = LayerHarness::new(&*layer, output)?.infer(&z)?;
        let (found, expected) = (fused.loss(&z, target), loss.loss(&y, target));
        close("its loss", &[found], &[expected], 1e-2).map_err(with)?;
        check_loss(&*fused, &z, target, 0.2, rng).map_err(with)?;
    }
    Ok(())
}

/// How far sums over n values may be from each other if they are added up in another order.
fn of_sums(n: usize) -> Float {
    Float::EPSILON * (100.0 + 8.0 * (n as Float).sqrt())
}

/// Holds the gradient of a whole network against the differences of its loss, tensor by tensor. The samples are random. A
/// layer that is random in training has to draw the same numbers in the same step, as [`Dropout`](crate::Dropout) does.
///
/// ```
/// use gradus::{check, prelude::*};
/// let network = Sequential::new([4]).layer(Dense::new(5)).layer(Tanh).layer(Dense::new(3)).layer(Softmax).build(3)?;
/// check::network(&network, CrossEntropy::new(), &gradus::data::Targets::Classes(3))?;
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Errors
/// If the gradient is wrong, or the loss doesn't fit the network.
pub fn network(network: &Network, loss: impl Loss + 'static, targets: &Targets) -> Result<()> {
    let samples = 5;
    let wrong = |what| Error::invalid(format!("the network: {what}"));
    check_shape("the input", network.input_shape()).map_err(wrong)?;
    let target_size = target_size(targets, network.output_shape()).map_err(wrong)?;
    loss.validate(network.output_shape(), targets)?;
    let network = network.clone();
    let x = spread(samples * network.input_shape().size(), 5);
    let mut rng = stream(2, Purpose::User, &[]);
    let values = uniform(0.1, samples * target_size, &mut rng);
    let target: Vec<Target<'_>> = (values.chunks(target_size).enumerate())
        .map(|(i, values)| match targets {
            Targets::Classes(count) => Target::Class(i % count),
            Targets::Values(_) => Target::Values(values),
        })
        .collect();
    let mut parts = Vec::new();
    for tensor in network.parameters() {
        let start = parts.last().map_or(0, |part: &Part| part.range.end);
        let squares = tensor.values.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>();
        let size = (squares / tensor.values.len() as f64).sqrt();
        parts.push(Part {
            name: format!("the gradient of {}", tensor.name),
            range: start..start + tensor.values.len(),
            step: if size > 0.0 { 0.2 * size } else { 0.1 },
        });
    }
    // Each part costs about a hundred passes.
    parts.shuffle(&mut rng);
    parts.truncate(TENSORS);
    let effort = Effort {
        groups: 8,
        coordinates: 1,
        directions: 2,
    };
    let point = network.weights.parameters.to_vec();
    let fit = Fit::new(loss, Sgd::new(0.0)).batch_size(samples);
    let mut function = NetworkFunction {
        trainer: fit.trainer(network)?,
        x: &x,
        target: &target,
    };
    gradient::check(&mut function, &point, &parts, effort, &mut rng).map_err(wrong)
}

/// How many of a network's parameter tensors are checked.
const TENSORS: usize = 40;

/// A network's mean loss as a function of its parameters.
struct NetworkFunction<'a> {
    trainer: Trainer<Network>,
    x: &'a [Float],
    target: &'a [Target<'a>],
}

impl Function for NetworkFunction<'_> {
    fn evaluate(&mut self, parameters: &[Float], gradient: &mut [Float]) -> Result<f64, String> {
        let weights = &mut self.trainer.network_mut().weights;
        weights.parameters.copy_from_slice(parameters);
        let (loss, found) = (self.trainer.gradients(self.x, self.target)).map_err(|e| e.to_string())?;
        gradient.copy_from_slice(found);
        Ok(loss)
    }

    fn value(&mut self, parameters: &[Float]) -> Result<f64, String> {
        let weights = &mut self.trainer.network_mut().weights;
        weights.parameters.copy_from_slice(parameters);
        let loss = self.trainer.gradients(self.x, self.target);
        Ok(loss.map_err(|e| e.to_string())?.0)
    }
}

/// Refuses a value that is further from what is expected than `tolerance` × the larger of its size and the values' mean size.
fn close(what: &str, found: &[Float], expected: &[Float], tolerance: Float) -> Result<(), String> {
    close_or_tiny(what, found, expected, tolerance, 0.0)
}

/// As [`close`], for a layer's values: if they are computed in another order, those whose terms cancel out are noise.
fn same(what: &str, found: &[Float], expected: &[Float], tolerance: Float) -> Result<(), String> {
    let tiny = if tolerance == 0.0 { 0.0 } else { 32.0 * Float::EPSILON };
    close_or_tiny(what, found, expected, tolerance, tiny)
}

fn close_or_tiny(what: &str, found: &[Float], expected: &[Float], tolerance: Float, tiny: Float) -> Result<(), String> {
    if found.len() != expected.len() {
        return Err(format!(
            "{what} has {} values, expected {}",
            found.len(),
            expected.len()
        ));
    }
    let mean = expected.iter().map(|e| e.abs()).sum::<Float>() / expected.len().max(1) as Float;
    let far = |f: Float, e: Float| f.is_nan() || (f - e).abs() > tolerance * e.abs().max(mean) + tiny;
    match found.iter().zip(expected).position(|(&f, &e)| far(f, e)) {
        Some(i) => Err(differ(what, i, found[i], expected[i])),
        None => Ok(()),
    }
}

fn differ(what: &str, i: usize, found: Float, expected: Float) -> String {
    format!("{what} is {found} at position {i}, expected {expected}")
}

/// Values between −1 and 2: gradients whose sum is not 0, not even nearly.
fn gradients(n: usize, seed: u64) -> Vec<Float> {
    let mut rng = stream(seed, Purpose::User, &[]);
    (0..n).map(|_| rng.random_range(-1.0..2.0)).collect()
}

/// Values between −2 and 2, shuffled, no two of them and none and 0 closer than 4 / n: no kink or tie is near.
pub(crate) fn spread(n: usize, seed: u64) -> Vec<Float> {
    let step = 4.0 / n as Float;
    let mut values: Vec<Float> = (0..n).map(|i| (i as Float + 0.5) * step - 2.0).collect();
    values.shuffle(&mut stream(seed, Purpose::User, &[]));
    for value in &mut values {
        // An odd number of values has 0 in its middle.
        if *value == 0.0 {
            *value = 0.5 * step;
        }
    }
    values
}
