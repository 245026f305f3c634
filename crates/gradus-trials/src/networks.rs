//! The networks of cases.

use std::collections::BTreeMap;

use gradus::random::{Purpose, stream};
use gradus::{Float, Network, Sequential, save::Registry};

use crate::case::{Case, to_f64, to_floats};
use crate::draw::uniform;
use crate::layer::Layer;

/// The case's network with the first values of its initializers.
pub fn built(case: &Case) -> gradus::Result<Network> {
    Sequential::from_json(&case.json(), &Registry::default())?.build(case.seed)
}

/// The case's network: weights of its initializers, all other parameters and statistics drawn.
pub fn network(case: &Case) -> gradus::Result<Network> {
    let mut network = built(case)?;
    let rng = &mut stream(case.seed, Purpose::User, &[0]);
    let named: Vec<(String, Vec<f64>)> = (network.parameters().chain(network.state()))
        .map(|tensor| (tensor.name, to_f64(tensor.values)))
        .collect();
    let layers = layers_by_path(case);
    let is_matrix = |name: &str| is_matrix(&layers, name);
    let last = named.iter().map(|(name, _)| name).rfind(|name| is_matrix(name));
    let last = last.cloned();
    for (name, values) in named {
        let values: Vec<Float> = if is_matrix(&name) {
            if last.as_ref() != Some(&name) {
                continue;
            }
            let scaled: Vec<f64> = values.iter().map(|w| w * case.last_weight_factor).collect();
            to_floats(&scaled)
        } else {
            let [least, most] = range(&layers, &name);
            to_floats(&uniform(rng, values.len(), least, most))
        };
        network.set(&name, &values)?;
    }
    Ok(network)
}

/// The range of the drawn values of a tensor.
fn range(layers: &BTreeMap<String, Layer>, name: &str) -> [f64; 2] {
    let (path, tensor) = split(name);
    match (tensor, &layers[path]) {
        // Below 0, the slope makes values turn back.
        (_, Layer::PRelu { .. }) => [-0.25, 0.75],
        ("running_var", _) => [0.3, 1.3],
        ("weight", _) => [0.5, 1.5],
        _ => [-0.5, 0.5],
    }
}

/// For each parameter, whether weight decay applies: to the weights of dense layers and convolutions.
pub fn decays(case: &Case, network: &Network) -> Vec<bool> {
    let layers = layers_by_path(case);
    (network.parameters())
        .flat_map(|tensor| vec![is_matrix(&layers, &tensor.name); tensor.values.len()])
        .collect()
}

/// The names of the tensors that weight decay applies to.
pub fn decaying(case: &Case, network: &Network) -> Vec<String> {
    let layers = layers_by_path(case);
    let names = network.parameters().map(|tensor| tensor.name);
    names.filter(|name| is_matrix(&layers, name)).collect()
}

fn layers_by_path(case: &Case) -> BTreeMap<String, Layer> {
    let all = case.layers_in_order().into_iter();
    all.map(|placed| (placed.path, placed.layer)).collect()
}

/// Whether this tensor is the weight of a dense layer or a convolution.
fn is_matrix(layers: &BTreeMap<String, Layer>, name: &str) -> bool {
    let (path, tensor) = split(name);
    tensor == "weight" && layers[path].has_matrix()
}

/// The path of a tensor's layer, and its name in the layer.
fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('.').expect("a tensor's name has its layer's path")
}
