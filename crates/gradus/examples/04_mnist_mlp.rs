//! 4. MNIST with a perceptron: handwritten digits, recognized after a few seconds of training.
//!
//! `cargo run --release --example 04_mnist_mlp`
//!
//! MNIST has 60,000 gray images of 28×28 pixels to learn from and 10,000 to be judged by, each of one handwritten digit.
//! The crate `gradus-mnist` has them all in itself.

use std::error::Error;

use gradus::prelude::*;

/// Teaches a perceptron to read digits.
pub fn main() -> Result<(), Box<dyn Error>> {
    let (train, test) = gradus_mnist::load()?;
    let train = mnist::from_bytes(train.pixels, &train.labels)?;
    let test = mnist::from_bytes(test.pixels, &test.labels)?;
    println!("{} images of shape {} to learn from\n", train.len(), train.shape());

    // 784 pixels in, 256 hidden neurons, and for each of the 10 digits the probability that the image shows it.
    let mut network = Sequential::new(train.shape())
        .layer(Flatten)
        .layer(Dense::new(256))
        .layer(Relu)
        .layer(Dense::new(10))
        .layer(Softmax)
        .build(42)?;
    println!("{}", network.summary());

    // A tenth of the images is set aside. Its loss and accuracy, `val_loss` and `val_accuracy`, tell learning from
    // learning by heart: when they stop improving while `loss` and `accuracy` go on, the network only memorizes.
    Fit::new(CrossEntropy::new(), Adam::new(0.001))
        .epochs(5)
        .validation_split(0.1)
        .metric(Accuracy)
        .callback(Progress::new())
        .run(&mut network, &train)?;

    // The test images have had no part in any of this.
    let result = network.evaluate(&test, &CrossEntropy::new(), &[&Accuracy])?;
    println!("\non the test images: {result}");
    if result.metric("accuracy") < Some(0.85) {
        return Err("the network has not learned to read digits".into());
    }
    // `network.save("mnist.safetensors")?` would keep it, architecture and all, for `Network::load`.
    Ok(())
}
