//! Is this layer, activation or loss right? What ours go through, for a user's own.
//!
//! Gradients are held against central finite differences, (f(x + h) − f(x − h)) / 2h. With the ordinary `f32` they agree to
//! about two digits, enough to find a wrong formula; in a build with `RUSTFLAGS="--cfg gradus_f64"` every number is an `f64`
//! and they agree to seven.

mod rig;

pub(crate) use rig::Rig;

use gradus_kernels::lanes::LANES;
use rand::RngExt;
use rand::seq::{SliceRandom, index};

use crate::data::{Target, Targets};
use crate::layer::{Layer, Layouts, Plan};
use crate::loss::Loss;
use crate::optim::Sgd;
use crate::random::{Purpose, Rng, stream};
use crate::{Error, Fit, Float, Network, Result, Shape};

/// The step h of the differences, and how far a gradient may be from them, relative to the larger of its own size and 1.
const STEP: Float = if cfg!(gradus_f64) { 1e-5 } else { 4e-3 };
const TOLERANCE: Float = if cfg!(gradus_f64) { 1e-7 } else { 2e-2 };

/// How many coordinates of a tensor are tried, at most.
const COORDINATES: usize = 400;

/// Puts a layer, or an activation, through its contract on a few random samples of this shape:
///
/// - its plan can be kept: `forward` writes all of `y`, `backward` all of `dx`;
/// - memory that it is lent holds NaN at first, and none is seen in a result: nothing is read before it is written;
/// - gradients with respect to the input and to every parameter agree with finite differences;
/// - they are added to what is there, and don't depend on whether `dx` is wanted;
/// - a sample's results have the same bits whatever other samples are beside it in the block (a layer
///   [across the batch](Layer::across_batch): the same results, up to rounding, however the batch is divided);
/// - what its [plan promises](mod@crate::layer) holds: interleaved samples and its input's memory give the same results, and
///   `backward` gives empty lanes no gradient;
/// - its [part for bfloat16](Layer::bfloat16), if it has one, computes the same up to the rounding.
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

fn check_layer(layer: &dyn Layer, input: &Shape) -> Result<(), String> {
    let samples = 3;
    let mut rig = Rig::new(layer, input)?;
    let mut x = spread(samples * input.size(), 7);
    let dy = spread(samples * rig.plan.output.size(), 8);
    let step = rig.step(&x, &dy)?;

    let across = layer.across_batch().is_some();
    for block in 1..samples {
        let divided = Rig::new(layer, input)?.block(block).step(&x, &dy)?;
        // A layer across the batch merges its statistics in another order, and one sample has no variance.
        let exact = if across { 1e-4 } else { 0.0 };
        close("y in smaller blocks", &divided.y, &step.y, exact)?;
        close("dx in smaller blocks", &divided.dx, &step.dx, exact)?;
        close(
            "the gradient in smaller blocks",
            &divided.gradient,
            &step.gradient,
            1e-4,
        )?;
        close("the state after smaller blocks", &divided.state, &step.state, 1e-4)?;
    }
    check_promises(layer, input, &rig.plan)?;
    let inferred = rig.infer(&x)?;
    if inferred.iter().any(|y| y.is_nan()) {
        return Err("a forward pass without training leaves NaN in y".into());
    }

    for i in coordinates(x.len()) {
        let value = x[i];
        let slope = slope(&dy, |h| {
            x[i] = value + h;
            rig.outputs(&x)
        })?;
        x[i] = value;
        close(&format!("dx[{i}]"), &[step.dx[i]], &[slope], TOLERANCE)?;
    }
    for i in coordinates(rig.parameters.len()) {
        let value = rig.parameters[i];
        let slope = slope(&dy, |h| {
            rig.parameters[i] = value + h;
            rig.outputs(&x)
        })?;
        rig.parameters[i] = value;
        close(
            &format!("the gradient of parameter {i}"),
            &[step.gradient[i]],
            &[slope],
            TOLERANCE,
        )?;
    }
    Ok(())
}

/// What the plan promises beyond the contract: see [`mod@crate::layer`].
fn check_promises(layer: &dyn Layer, input: &Shape, plan: &Plan) -> Result<(), String> {
    // More than fill one group of lanes, less than fill two.
    let samples = LANES + 3;
    let x = spread(samples * input.size(), 9);
    let dy = spread(samples * plan.output.size(), 10);
    let same = |rig: &Rig<'_>, what: &str, tolerance: Float| {
        let usual = Rig::new(layer, input)?;
        let inferred = usual.infer(&x)?;
        close(&format!("y {what}"), &rig.infer(&x)?, &inferred, 0.0)?;
        let (found, expected) = (rig.step(&x, &dy)?, usual.step(&x, &dy)?);
        close(&format!("y in training {what}"), &found.y, &expected.y, tolerance)?;
        close(&format!("dx {what}"), &found.dx, &expected.dx, 1e-4)?;
        close(
            &format!("the gradient {what}"),
            &found.gradient,
            &expected.gradient,
            1e-3,
        )?;
        close(&format!("the state {what}"), &found.state, &expected.state, 1e-4)
    };
    let exact = if layer.across_batch().is_some() { 1e-4 } else { 0.0 };
    if plan.layouts != Layouts::SampleMajor {
        same(&Rig::new(layer, input)?.interleaved(), "of interleaved samples", exact)?;
    }
    if layer.in_place().is_some() {
        same(&Rig::new(layer, input)?.in_place(), "in place", 0.0)?;
        if plan.layouts != Layouts::SampleMajor {
            let rig = Rig::new(layer, input)?.in_place().interleaved();
            same(&rig, "of interleaved samples in place", exact)?;
        }
    }
    if layer.bfloat16().is_some() {
        check_bfloat16(layer, input, &x, &dy)?;
    }
    if plan.view {
        close("y of a view", &Rig::new(layer, input)?.outputs(&x)?, &x, 0.0)?;
    }
    Ok(())
}

/// What the layer computes in bfloat16 is what it computes otherwise, but for the rounding of 8 bits; and it has the same bits
/// however the batch is divided between pairs of samples.
fn check_bfloat16(layer: &dyn Layer, input: &Shape, x: &[Float], dy: &[Float]) -> Result<(), String> {
    let near = |what: &str, found: &[Float], expected: &[Float]| {
        let largest = expected.iter().fold(1.0, |largest: Float, e| largest.max(e.abs()));
        close(what, found, expected, largest / 32.0)
    };
    let rig = || Ok::<_, String>(Rig::new(layer, input)?.bfloat16());
    let (found, expected) = (rig()?.step(x, dy)?, Rig::new(layer, input)?.step(x, dy)?);
    near("y in bfloat16", &found.y, &expected.y)?;
    near("dx in bfloat16", &found.dx, &expected.dx)?;
    near("the gradient in bfloat16", &found.gradient, &expected.gradient)?;
    for block in [2, 10] {
        if rig()?.block(block).step(x, dy)? != found {
            return Err(format!("in bfloat16, its bits are others in blocks of {block} samples"));
        }
    }
    Ok(())
}

/// Puts a loss through its contract on random outputs between 0 and 1 of this shape: its gradient agrees with finite
/// differences, all of `dy` is written, loss and gradient are the same together as alone, and so are those of several samples.
///
/// ```
/// use gradus::{check, data::Targets, loss::CrossEntropy};
/// check::loss(&CrossEntropy::new(), [10], &Targets::Classes(10))?;
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Errors
/// The first thing that is wrong, in a sentence.
pub fn loss(loss: &dyn Loss, output: impl Into<Shape>, targets: &Targets) -> Result<()> {
    let output = output.into();
    loss.validate(&output, targets)?;
    let mut rng = stream(1, Purpose::User, &[]);
    let uniform = |n: usize, rng: &mut Rng| -> Vec<Float> { (0..n).map(|_| rng.random_range(0.1..0.9)).collect() };
    for _ in 0..10 {
        let mut y = uniform(output.size(), &mut rng);
        let values = uniform(output.size(), &mut rng);
        let target = match targets {
            Targets::Classes(count) => Target::Class(rng.random_range(0..*count)),
            Targets::Values(_) => Target::Values(&values),
        };
        check_loss(loss, &mut y, target)
            .and_then(|()| check_losses(loss, &y, target))
            .map_err(|what| Error::invalid(format!("{}: {what}", loss.name())))?;
    }
    Ok(())
}

/// Several samples together have the losses and gradients that they have alone.
fn check_losses(loss: &dyn Loss, y: &[Float], target: Target<'_>) -> Result<(), String> {
    let mut alone = vec![Float::NAN; y.len()];
    let expected = loss.loss_and_gradient(y, target, &mut alone);
    // Each sample is between others: the same outputs, and others.
    let other: Vec<Float> = y.iter().map(|y| 1.0 - y).collect();
    for samples in [1, 3, 17, 20] {
        let of = |i: usize| if i % 3 == 1 { &other[..] } else { y };
        let together: Vec<Float> = (0..samples).flat_map(of).copied().collect();
        let (mut dy, mut losses) = (vec![Float::NAN; together.len()], vec![Float::NAN; samples]);
        loss.losses_and_gradients(&together, &|_| target, &mut dy, &mut losses);
        for (i, (dy, &found)) in dy.chunks_exact(y.len()).zip(&losses).enumerate() {
            if i % 3 != 1 {
                close("the loss of one of several samples", &[found], &[expected], 1e-5)?;
                close("the gradient of one of several samples", dy, &alone, 1e-5)?;
            }
        }
    }
    Ok(())
}

fn check_loss(loss: &dyn Loss, y: &mut [Float], target: Target<'_>) -> Result<(), String> {
    let mut dy = vec![Float::NAN; y.len()];
    loss.gradient(y, target, &mut dy);
    let mut together = vec![Float::NAN; y.len()];
    let value = loss.loss_and_gradient(y, target, &mut together);
    close("loss_and_gradient's loss", &[value], &[loss.loss(y, target)], 1e-5)?;
    close("loss_and_gradient's gradient", &together, &dy, 1e-5)?;
    for i in 0..y.len() {
        let old = y[i];
        let slope = slope(&[1.0], |h| {
            y[i] = old + h;
            Ok(vec![loss.loss(y, target)])
        })?;
        y[i] = old;
        close(&format!("dy[{i}]"), &[dy[i]], &[slope], TOLERANCE)?;
    }
    Ok(())
}

/// Holds the gradient of a whole network against the difference of its loss along random directions: two forward passes
/// each, however many parameters there are. The samples are random. Dropout is random too and would be seen as an error:
/// check the network without it.
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
    loss.validate(network.output_shape(), targets)?;
    let mut network = network.clone();
    let x = spread(samples * network.input_shape().size(), 5);
    let values = spread(samples * network.output_shape().size(), 6);
    let values: Vec<Float> = values.iter().map(|v| 0.5 + v / 5.0).collect();
    let values: Vec<&[Float]> = values.chunks(network.output_shape().size()).collect();
    let target: Vec<Target<'_>> = (0..samples)
        .map(|i| match targets {
            Targets::Classes(count) => Target::Class(i % count),
            Targets::Values(_) => Target::Values(values[i]),
        })
        .collect();
    let mut trainer = Fit::new(loss, Sgd::new(0.0)).batch_size(samples).trainer(&network)?;
    let gradient = trainer.gradients(&network, &x, &target)?.1.to_vec();
    let weights = network.weights.clone();
    let mut rng = stream(2, Purpose::User, &[]);
    for _ in 0..5 {
        let direction: Vec<Float> = gradient.iter().map(|_| if rng.random() { 1.0 } else { -1.0 }).collect();
        let norm = (gradient.len() as Float).sqrt();
        let expected = slope(&[1.0], |h| {
            network.weights.clone_from(&weights);
            for (w, d) in network.weights.parameters.iter_mut().zip(&direction) {
                *w += h * d / norm;
            }
            let loss = trainer.gradients(&network, &x, &target).map_err(|e| e.to_string())?.0;
            Ok(vec![loss as Float])
        });
        let found = gradient.iter().zip(&direction).map(|(g, d)| g * d).sum::<Float>() / norm;
        expected
            .and_then(|expected| {
                close(
                    "its gradient along a random direction",
                    &[found],
                    &[expected],
                    TOLERANCE,
                )
            })
            .map_err(|what| Error::invalid(format!("the network: {what}")))?;
    }
    Ok(())
}

/// Σ dy · (f(h) − f(−h)) / 2h.
fn slope(dy: &[Float], mut f: impl FnMut(Float) -> Result<Vec<Float>, String>) -> Result<Float, String> {
    let (above, below) = (f(STEP)?, f(-STEP)?);
    let sum: f64 = (dy.iter().zip(above.iter().zip(&below)))
        .map(|(&d, (&a, &b))| f64::from(d) * (f64::from(a) - f64::from(b)))
        .sum();
    Ok((sum / (2.0 * f64::from(STEP))) as Float)
}

/// At most [`COORDINATES`] of `n`.
fn coordinates(n: usize) -> Vec<usize> {
    index::sample(&mut stream(3, Purpose::User, &[]), n, n.min(COORDINATES)).into_vec()
}

/// Refuses a value that is further than `tolerance` × the larger of 1 and its expected size from what is expected.
pub(crate) fn close(what: &str, found: &[Float], expected: &[Float], tolerance: Float) -> Result<(), String> {
    if found.len() != expected.len() {
        return Err(format!(
            "{what} has {} values, expected {}",
            found.len(),
            expected.len()
        ));
    }
    let far = |f: Float, e: Float| f.is_nan() || (f - e).abs() > tolerance * e.abs().max(1.0);
    match found.iter().zip(expected).position(|(&f, &e)| far(f, e)) {
        Some(i) => Err(format!(
            "{what} is {} at position {i}, expected {}",
            found[i], expected[i]
        )),
        None => Ok(()),
    }
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
