//! 5. MNIST with convolution.
//!
//! `cargo run --release --example 05_mnist_cnn`
//!
//! A perceptron takes an image for a list of numbers: shuffle the pixels of all images in the same way, and it learns
//! as well as before. A convolution knows that pixels have neighbors. It slides small windows of weights over the
//! image, the same weights everywhere, and answers where a window finds what it looks for: an edge, a corner, an end of
//! a stroke. Pooling then keeps the strongest answer of each 2×2 neighborhood, so that a pixel more to the left or
//! right matters less.

use std::error::Error;

use gradus::prelude::*;

/// Teaches a convolutional network to read digits.
pub fn main() -> Result<(), Box<dyn Error>> {
    let (train, test) = gradus_mnist::load()?;
    let train = mnist::from_bytes(train.pixels, &train.labels)?;
    let test = mnist::from_bytes(test.pixels, &test.labels)?;

    let mut network = Sequential::new(train.shape())
        .layer(Conv2d::new(8, 3)) // 8 windows of 3×3 weights each
        .layer(Relu)
        .layer(MaxPool2d::new(2))
        .layer(Flatten)
        .layer(Dense::new(100))
        .layer(Relu)
        .layer(Dropout::new(0.2)) // in training, drops a fifth of the values at random
        .layer(Dense::new(10))
        .layer(Softmax)
        .build(42)?;
    println!("{}", network.summary());

    // The table tells it: the convolution has few parameters for the work it does, as its weights are used at every
    // place.
    let history = Fit::new(CrossEntropy::new(), Adam::new(0.001))
        .epochs(2)
        .validation_split(0.1)
        .metric(Accuracy)
        .callback(Progress::new())
        .run(&mut network, &train)?;
    println!("\n{:.0} images a second", history.samples_per_second());

    let result = network.evaluate(&test, &CrossEntropy::new(), &[&Accuracy])?;
    println!("on the test images: {result}");
    if result.metric("accuracy") < Some(0.85) {
        return Err("the network has not learned to read digits".into());
    }
    Ok(())
}
