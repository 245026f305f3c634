//! 6. A layer of your own.
//!
//! `cargo run --release --example 06_own_layer`
//!
//! The parametric rectifier (He, Zhang, Ren and Sun, "Delving deep into rectifiers", 2015) is a leaky rectifier that
//! learns its slopes, one for each input:
//!
//! ```text
//! forward    yᵢ = xᵢ where xᵢ > 0, else aᵢ·xᵢ
//! backward   dxᵢ = dyᵢ where xᵢ > 0, else aᵢ·dyᵢ
//!            daᵢ = Σ dyᵢ·xᵢ over the samples in which xᵢ ≤ 0
//! ```
//!
//! The library has it for channels, as `PRelu`. Here it is as you would write it: it is trained, checked and saved on equal
//! terms with the library's own layers.

use std::sync::Arc;

use gradus::init::{Constant, Fans};
use gradus::layer::{Backward, BoundLayer, Forward, Layer, Parameter, Passes};
use gradus::prelude::*;
use gradus::{Error, Float, Registry, Result, check, data::Arrays};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// A layer only declares. The network owns the parameters, the gradients and all memory, and lends them to every pass.
#[derive(Debug, Serialize, Deserialize)]
struct LearnedSlopes;

impl Layer for LearnedSlopes {
    fn kind(&self) -> &'static str {
        "learned_slopes"
    }

    // What it makes of an input: here an output of the same shape, with a slope for each value, 0.25 at first.
    fn bind(&self, input: &Shape) -> Result<BoundLayer, String> {
        let slopes = Parameter::weight(input, Fans::new(1, 1), Arc::new(Constant::new(0.25)));
        Ok(BoundLayer::new(input, LearnedSlopes).with_parameter(slopes.named("slope")))
    }

    // What a file needs to say about it beside its kind: nothing. Without this method it could not be saved.
    fn settings(&self) -> Option<serde_json::Value> {
        Some(serde_json::json!({}))
    }
}

// The passes over one sample, as the formulas say.
impl Passes for LearnedSlopes {
    fn forward(&self, pass: Forward<'_>) {
        let (x, a) = (pass.x, &pass.parameters[0]);
        for i in 0..x.len() {
            pass.y[i] = if x[i] > 0.0 { x[i] } else { a[i] * x[i] };
        }
    }

    // dx is overwritten; gradients of parameters are added to, since they are sums over samples.
    fn backward(&self, mut pass: Backward<'_>) {
        let (x, dy, a) = (pass.x, pass.dy, &pass.parameters[0]);
        for i in 0..x.len() {
            pass.dx[i] = if x[i] > 0.0 { dy[i] } else { a[i] * dy[i] };
            pass.gradients[0][i] += if x[i] > 0.0 { 0.0 } else { dy[i] * x[i] };
        }
    }
}

/// Checks the layer, trains it, saves it and loads it again.
pub fn main() -> Result<()> {
    // Is it right? The library holds the gradients against finite differences, and more.
    check::layer(&LearnedSlopes, [5])?;
    println!("The gradients are right.");

    // Does it learn? The target is |x₁| for the first input and 0.6·x₂ below zero for the second: slopes -1 and 0.6.
    let x = Array2::from_shape_fn((101, 2), |(i, j)| (i * (3 + 4 * j) % 101) as Float / 50.0 - 1.0);
    let mut t = x.clone();
    t.column_mut(0).mapv_inplace(Float::abs);
    t.column_mut(1).mapv_inplace(|x| if x > 0.0 { x } else { 0.6 * x });
    let data = Arrays::values(&x, &t)?;
    let mut network = Sequential::new([2]).layer(LearnedSlopes).build(1)?;
    Fit::new(MeanSquaredError, Sgd::new(0.5))
        .epochs(50)
        .run(&mut network, &data)?;
    let learned: Vec<Float> = network.parameters().flat_map(|slope| slope.values).copied().collect();
    println!("It should learn the slopes -1 and 0.6, and has learned {learned:.3?}.");
    if (learned[0] + 1.0).abs() > 0.01 || (learned[1] - 0.6).abs() > 0.01 {
        return Err(Error::invalid("the layer has not learned its slopes"));
    }

    // Can it be saved and loaded? A registry tells which type a kind in a file stands for.
    let mut registry = Registry::default();
    registry.layers.register::<LearnedSlopes>("learned_slopes")?;
    let again = Network::from_bytes(&network.to_bytes()?, &registry)?;
    if again.weights() != network.weights() {
        return Err(Error::invalid(
            "the layer has come back from its file with other slopes",
        ));
    }
    println!("Saved and loaded, it is the same.");
    Ok(())
}
