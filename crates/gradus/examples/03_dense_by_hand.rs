//! 3. Dense layers by hand.
//!
//! `cargo run --release --example 03_dense_by_hand`
//!
//! What the library's `Dense` computes, written with `ndarray`, and held against the library. Here x has a row for each
//! sample:
//!
//! ```text
//! forward    y = x·W + b          x: samples × inputs,  W: inputs × units,  b: units,  y: samples × units
//! backward   dW = xᵀ·dy           every weight's derivative, summed over the samples
//!            db = Σ dy            likewise
//!            dx = dy·Wᵀ           what the layer before needs as its dy
//! ```
//!
//! where dy is the derivative of the loss with respect to y. Each layer turns its dy into dx, which is the dy of the
//! layer before: that is all there is to backpropagation.

use gradus::data::Target;
use gradus::prelude::*;
use gradus::{Error, Float, Result};
use ndarray::{Array1, Array2, ArrayView2, Axis, arr2, array};

/// A dense layer's weights and biases; also the derivatives of both.
struct ByHand {
    w: Array2<Float>,
    b: Array1<Float>,
}

impl ByHand {
    fn forward(&self, x: &Array2<Float>) -> Array2<Float> {
        x.dot(&self.w) + &self.b
    }

    /// The derivatives of the loss with respect to W and b, and with respect to x.
    fn backward(&self, x: &Array2<Float>, dy: &Array2<Float>) -> (ByHand, Array2<Float>) {
        let d = ByHand {
            w: x.t().dot(dy),
            b: dy.sum_axis(Axis(0)),
        };
        (d, dy.dot(&self.w.t()))
    }
}

/// Computes a step by hand and holds it against the library.
pub fn main() -> Result<()> {
    // The network 3 → 4 → 2 with tanh between, from the library, and the same weights for the layers by hand.
    let network = Sequential::new([3])
        .layer(Dense::new(4))
        .layer(Tanh)
        .layer(Dense::new(2))
        .build(42)?;
    let [first, second] = [("0.weight", "0.bias"), ("2.weight", "2.bias")].map(|names| by_hand(&network, names));

    let x = array![[0.5, -1.0, 2.0], [1.5, 0.0, -0.5], [-1.0, 1.0, 1.0]];
    let targets = [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]];
    let t = arr2(&targets);
    let (samples, outputs) = t.dim();

    // Forward.
    let z = first.forward(&x);
    let h = z.mapv(Float::tanh);
    let y = second.forward(&h);

    // The loss: the squared error, averaged over outputs and samples. Its derivative starts the way back.
    let error = &y - &t;
    let n = (samples * outputs) as Float;
    let loss = error.mapv(|e| e * e).sum() / n;
    let dy = error * 2.0 / n;

    // Backward, the last layer first. The derivative of tanh is 1 - tanh².
    let (d_second, dh) = second.backward(&h, &dy);
    let dz = dh * h.mapv(|h| 1.0 - h * h);
    let (d_first, _) = first.backward(&x, &dz);

    // The library, on the same samples.
    let samples_x = x.as_slice().expect("a new array's rows lie one after the other");
    let targets = targets.each_ref().map(|t| Target::Values(t));
    let mut trainer = Fit::new(MeanSquaredError, Sgd::new(0.1))
        .batch_size(samples)
        .trainer(network.clone())?;
    let (its_loss, gradients) = trainer.gradients(samples_x, &targets)?;

    println!("the loss by hand {loss:.6}, by the library {its_loss:.6}\n");
    println!("{:<10}{:>14}{:>14}", "", "by hand", "the library");
    let by_hand = [
        d_first.w.flatten(),
        d_first.b.flatten(),
        d_second.w.flatten(),
        d_second.b.flatten(),
    ];
    let names = network.parameters().map(|parameter| parameter.name);
    let mut rest = gradients;
    for (name, by_hand) in names.zip(by_hand) {
        let (its, tail) = rest.split_at(by_hand.len());
        rest = tail;
        for (i, (a, b)) in by_hand.iter().zip(its).enumerate() {
            if i == 0 {
                println!("{:<10}{a:>14.6}{b:>14.6}", format!("d {name}"));
            }
            if (a - b).abs() > 1e-5 {
                return Err(Error::invalid(format!(
                    "the derivative of {name} at {i} is {a} by hand, {b} in the library"
                )));
            }
        }
    }
    println!("and so on: all {} derivatives agree.", gradients.len());
    Ok(())
}

/// The weights and biases of these names, as arrays.
fn by_hand(network: &Network, (weight, bias): (&str, &str)) -> ByHand {
    let find = |name| {
        network
            .parameters()
            .find(|parameter| parameter.name == name)
            .expect("the network has it")
    };
    let (w, b) = (find(weight), find(bias));
    let w = ArrayView2::from_shape((w.shape[0], w.shape[1]), w.values).expect("its shape fits");
    ByHand {
        w: w.to_owned(),
        b: Array1::from_vec(b.values.to_vec()),
    }
}
