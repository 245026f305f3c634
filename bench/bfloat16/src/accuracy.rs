//! Training with operands rounded to bfloat16.

use std::time::Instant;

use anyhow::Result;
use gradus::layer::{Backward, BatchGradient, Forward, Layer, Plan, Tensors};
use gradus::prelude::*;
use gradus::{Error, Shape};

/// A dense layer of whose products every operand is rounded to bfloat16, to the nearest, ties to even; the weights themselves,
/// the sums and the biases are not. A product of two such numbers is exact in f32, so only the order of the sums differs from
/// that of the instruction.
#[derive(Debug)]
struct Rounded(Dense);

fn round(x: f32) -> f32 {
    let bits = x.to_bits();
    f32::from_bits((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF_0000)
}

fn rounded(x: &[f32]) -> Vec<f32> {
    x.iter().map(|&x| round(x)).collect()
}

/// The parameters with the weights, which come first, rounded.
fn with_rounded_weights(parameters: Tensors<'_>) -> Vec<f32> {
    let [w, b] = parameters.split();
    let mut all = rounded(w);
    all.extend_from_slice(b);
    all
}

impl Layer for Rounded {
    fn kind(&self) -> &'static str {
        "rounded"
    }

    fn plan(&self, input: &Shape) -> Result<Plan, String> {
        self.0.plan(input)
    }

    fn forward(&self, pass: Forward<'_>) {
        let sizes = [pass.parameters[0].len(), pass.parameters[1].len()];
        let (x, parameters) = (rounded(pass.x), with_rounded_weights(pass.parameters));
        self.0.forward(Forward {
            x: &x,
            parameters: Tensors::new(&parameters, &sizes),
            ..pass
        });
    }

    fn backward(&self, pass: Backward<'_>) {
        let sizes = [pass.parameters[0].len(), pass.parameters[1].len()];
        let (dy, parameters) = (rounded(pass.dy), with_rounded_weights(pass.parameters));
        self.0.backward(Backward {
            dy: &dy,
            parameters: Tensors::new(&parameters, &sizes),
            ..pass
        });
    }

    fn batch_gradient(&self, pass: BatchGradient<'_>) {
        // The bias is summed from what is not rounded.
        let (x, dy) = if pass.parameter == 0 {
            (rounded(pass.x), rounded(pass.dy))
        } else {
            (Vec::new(), pass.dy.to_vec())
        };
        self.0.batch_gradient(BatchGradient { x: &x, dy: &dy, ..pass });
    }
}

fn network(bfloat16: bool, seed: u64) -> Result<Network, Error> {
    let dense = |layers: Sequential, units: usize| {
        if bfloat16 {
            layers.layer(Rounded(Dense::new(units)))
        } else {
            layers.layer(Dense::new(units))
        }
    };
    let layers = dense(Sequential::new([1, 28, 28]).layer(Flatten), 256).layer(Relu);
    dense(dense(layers, 256).layer(Relu), 10).layer(Softmax).build(seed)
}

/// Trains the network for 5 epochs with 3 seeds, with f32 and with rounded operands, and prints losses and accuracies.
pub fn compare() -> Result<()> {
    let (train, test) = gradus::data::mnist::load("mnist", None)?;
    println!(
        "\nMNIST, 5 epochs of batches of 100, SGD 0.1: accuracy on the test set, its loss, and the loss on the training set"
    );
    for seed in 1..=3 {
        for bfloat16 in [false, true] {
            let mut network = network(bfloat16, seed)?;
            let start = Instant::now();
            let fit = Fit::new(CrossEntropy::new(), Sgd::new(0.1)).batch_size(100).seed(seed);
            let history = fit.epochs(5).run(&mut network, &train)?;
            let end = network.evaluate(&test, &CrossEntropy::new(), &[&Accuracy])?;
            println!(
                "seed {seed}, {:<9} {:.2} %  {:.4}  {:.4}  ({:.0} s)",
                if bfloat16 { "bfloat16:" } else { "f32:" },
                100.0 * end.metric("accuracy").unwrap_or(f64::NAN),
                end.loss,
                history.last("loss").unwrap_or(f64::NAN),
                start.elapsed().as_secs_f64()
            );
        }
    }
    Ok(())
}
