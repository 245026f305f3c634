//! Every example of the learner's path runs, and learns what it says.
//!
//! Each ends with an error if its network did not learn, so running it is the test.

use std::error::Error;

macro_rules! examples {
    ($($name:ident = $path:literal;)*) => {$(
        #[path = $path]
        mod $name;

        #[test]
        fn $name() -> Result<(), Box<dyn Error>> {
            $name::main()?;
            Ok(())
        }
    )*};
}

examples! {
    neuron = "../examples/01_neuron.rs";
    xor = "../examples/02_xor.rs";
    dense_by_hand = "../examples/03_dense_by_hand.rs";
    mnist_mlp = "../examples/04_mnist_mlp.rs";
    mnist_cnn = "../examples/05_mnist_cnn.rs";
    own_layer = "../examples/06_own_layer.rs";
    own_loss = "../examples/07_own_loss.rs";
    own_optimizer = "../examples/08_own_optimizer.rs";
}
