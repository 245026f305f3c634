//! What the targets share.

pub mod choices;

use gradus::callback::EarlyStopping;
use gradus::data::Arrays;
use gradus::prelude::*;
use gradus::save::Registry;
use ndarray::{Array2, ArrayD, Axis};
use serde_json::{Deserializer, Value, json};

/// The content of a file that declares this architecture and has no tensors. Reading it plans the whole network, whatever
/// the sizes, and must then refuse it without taking memory for them.
pub fn without_tensors(architecture: &str) -> Vec<u8> {
    let metadata = json!({ "gradus.format": "1", "gradus.architecture": architecture });
    with_length(json!({ "__metadata__": metadata }).to_string().as_bytes())
}

/// A header, after the eight bytes that tell its length.
pub fn with_length(header: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header].concat()
}

/// Lets `read` have a safetensors file as it is, and with the right length of its header: few changes leave that right.
pub fn with_any_length(file: &[u8], read: impl Fn(&[u8])) {
    read(file);
    let Some(rest) = file.get(8..) else { return };
    let mut values = Deserializer::from_slice(rest).into_iter::<Value>();
    if let Some(Ok(_)) = values.next() {
        let (header, tensors) = rest.split_at(values.byte_offset());
        read(&[&with_length(header)[..], tensors].concat());
    }
}

/// A small network, and six samples for it in three batches.
pub fn small_training() -> (Network, Arrays) {
    let layers = Sequential::new([2])
        .layer(Dense::new(3))
        .layer(BatchNorm::new())
        .layer(Tanh);
    let network = layers.layer(Dense::new(2)).layer(Softmax).build(1).expect("it fits");
    let x = Array2::from_shape_fn((6, 2), |(i, j)| (i * 3 + j) as f32 / 20.0);
    let data = Arrays::classes(x, (0..6).map(|i| i % 2), 2).expect("six samples of two classes");
    (network, data)
}

/// Training with something of everything to remember.
pub fn small_fit() -> Fit<'static> {
    Fit::new(CrossEntropy::new(), Adam::new(0.1))
        .epochs(2)
        .batch_size(2)
        .threads(1)
        .metric(Accuracy)
        .callback(EarlyStopping::new(1))
}

/// Builds the declared network and uses it, if it is small.
pub fn build_and_use(declared: &Value) {
    let Ok(network) = Sequential::from_json(declared, &Registry::default()) else {
        return;
    };
    if is_small(declared)
        && let Ok(network) = network.build(1)
    {
        use_network(&network);
    }
}

/// Predicts, if the network is small, and brings it through a file.
///
/// # Panics
/// If equal samples have different outputs, or another network comes out of the file.
pub fn use_network(network: &Network) {
    let architecture = network.architecture().expect("our layers can be saved");
    if is_small(&architecture) && network.multiply_adds() < 1 << 24 {
        let mut shape = vec![2];
        shape.extend_from_slice(network.input_shape());
        let y = network.predict(ArrayD::zeros(shape)).expect("samples of its shape");
        assert_eq!(y.shape()[1..], network.output_shape()[..]);
        let bits = |i: usize| y.index_axis(Axis(0), i).iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(0), bits(1), "equal samples have different outputs");
    }
    let _ = network.summary().to_string();
    let bytes = network.to_bytes().expect("all values are finite");
    let again = Network::from_bytes(&bytes, &Registry::default()).expect("what was saved can be read");
    assert_eq!(network.weights(), again.weights());
    assert_eq!(architecture, again.architecture().expect("our layers can be saved"));
}

/// Whether networks of this architecture take little memory and time: few layers, and no large number.
fn is_small(architecture: &Value) -> bool {
    fn layers(value: &Value) -> usize {
        match value {
            Value::Number(number) => match number.as_f64() {
                Some(size) if size <= 16.0 => 0,
                _ => usize::MAX / 2,
            },
            Value::Array(values) => values.iter().map(layers).fold(0, usize::saturating_add),
            Value::Object(values) => values
                .values()
                .map(layers)
                .fold(usize::from(values.contains_key("kind")), usize::saturating_add),
            _ => 0,
        }
    }
    layers(architecture) <= 8
}
