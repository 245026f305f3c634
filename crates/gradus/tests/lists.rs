//! What has to hold for everything in the library's lists.

use gradus::data::{Arrays, Targets};
use gradus::init::{Fans, Initializer};
use gradus::prelude::*;
use gradus::random::Rng;
use gradus::{Float, Layer, Registry, check};
use serde_json::{Value, json};

/// A layer as files declare it.
fn declared(layer: &dyn Layer) -> Value {
    let mut declared = json!({ "kind": layer.kind() });
    if let Some(Value::Object(settings)) = layer.settings() {
        declared.as_object_mut().unwrap().extend(settings);
    }
    declared
}

#[test]
fn every_layer_keeps_its_contract() {
    for (layer, input) in check::every_layer() {
        check::layer(&*layer, input).unwrap();
    }
}

#[test]
fn every_layer_comes_back_from_its_settings() {
    let registry = Registry::default();
    for (layer, _) in check::every_layer() {
        let settings = layer.settings().unwrap();
        let again = registry.layer(layer.kind(), settings.clone()).unwrap();
        assert_eq!(format!("{again:?}"), format!("{layer:?}"));
        assert_eq!(again.settings().unwrap(), settings);

        let mut unknown = if settings.is_null() { json!({}) } else { settings };
        unknown["no_such_setting"] = json!(1);
        let error = registry
            .layer(layer.kind(), unknown)
            .expect_err(layer.kind())
            .to_string();
        assert!(error.starts_with(&format!("the layer {}: ", layer.kind())), "{error}");
    }
}

#[test]
fn every_layer_is_saved_and_loaded() {
    for (layer, input) in check::every_layer() {
        let (kind, declared) = (layer.kind(), declared(&*layer));
        let network = Sequential::new(input.clone()).layer(layer).build(1).unwrap();
        assert_eq!(network.architecture().unwrap()["layers"], json!([declared]));
        let loaded = Network::from_bytes(&network.to_bytes().unwrap(), &Registry::default()).unwrap();
        assert_eq!(loaded.to_bytes().unwrap(), network.to_bytes().unwrap(), "{kind}");
        let x: Vec<Float> = (0..2 * input.size()).map(|i| (i as Float).sin()).collect();
        let batch = ndarray::ArrayD::from_shape_vec([&[2], input.dims()].concat(), x).unwrap();
        assert_eq!(
            loaded.predict(&batch).unwrap(),
            network.predict(&batch).unwrap(),
            "{kind}"
        );
    }
}

#[test]
fn every_layer_is_trained_and_computes_by_its_plain_loops() {
    let targets = Targets::Classes(3);
    for (layer, input) in check::every_layer() {
        let kind = layer.kind();
        let network = Sequential::new(input.clone())
            .layer(layer)
            .layer(Flatten)
            .layer(Dense::new(3));
        let network = network.build(1).unwrap();
        check::network(&network, CrossEntropy::new(), &targets).unwrap_or_else(|e| panic!("{kind}: {e}"));

        let x: Vec<Float> = (0..40 * input.size()).map(|i| (i as Float).sin()).collect();
        let x = ndarray::ArrayD::from_shape_vec([&[40], input.dims()].concat(), x).unwrap();
        let data = Arrays::classes(x.clone(), (0..40).map(|i| i % 3), 3).unwrap();
        let trained = |threads, reference| {
            let mut network = network.clone();
            network.set_reference(reference).unwrap();
            let fit = Fit::new(CrossEntropy::new(), Sgd::new(0.01)).epochs(2).batch_size(20);
            fit.threads(threads).run(&mut network, &data).unwrap();
            network
        };
        let mut fast = trained(1, false);
        assert_eq!(trained(3, false).weights(), fast.weights(), "{kind}: on three threads");
        let (found, expected) = (trained(1, true).predict(&x).unwrap(), fast.predict(&x).unwrap());
        for (found, expected) in found.iter().zip(&expected) {
            assert!(
                (found - expected).abs() < 1e-3 * expected.abs().max(1.0),
                "{kind}: {found}, {expected}"
            );
        }
        fast.set_reference(true).unwrap();
        assert_eq!(
            fast.predict(&x).unwrap(),
            expected,
            "{kind}: forward by the plain loops"
        );
    }
}

#[test]
fn the_fuzzers_know_every_layer_and_setting() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/dictionaries/architecture.dict");
    let dictionary = std::fs::read_to_string(path).unwrap();
    let mut missing = Vec::new();
    for (layer, _) in check::every_layer() {
        for (key, value) in declared(&*layer).as_object().unwrap() {
            let word = format!("\"{}\"", if key == "kind" { value.as_str().unwrap() } else { key });
            if !dictionary.lines().any(|line| line == word) {
                missing.push(word);
            }
        }
    }
    assert!(missing.is_empty(), "add these lines to {path}:\n{}", missing.join("\n"));
}

#[test]
fn names_of_layers_are_refused_if_they_are_taken_or_no_words() {
    let mut registry = Registry::default();
    let layers = &mut registry.layers;
    for (name, why) in [
        ("dense", "the name is taken"),
        ("residual", "the name is taken"),
        ("", "a letter first"),
        ("2d", "a letter first"),
        ("Own", "lowercase letters"),
        ("my own", "lowercase letters"),
        ("größe", "lowercase letters"),
    ] {
        let error = layers.register::<Relu>(name).unwrap_err().to_string();
        let start = format!("no layer can be called \"{name}\": ");
        assert!(error.starts_with(&start) && error.contains(why), "{error}");
    }
    // A name that a layer doesn't call itself by would not be found in its file.
    registry.layers.register::<Relu>("rectifier").unwrap();
    let error = registry.layer("rectifier", json!({})).unwrap_err().to_string();
    assert_eq!(
        error,
        "the layer \"rectifier\" calls itself \"relu\": register it under that name"
    );
    assert!(registry.layers.register::<Relu>("rectifier").is_err());
}

#[test]
fn an_unknown_layer_is_refused_with_the_known_ones() {
    let error = Registry::default().layer("dens", json!({})).unwrap_err().to_string();
    let start = "there is no layer \"dens\"; did you mean \"dense\"? Choose one of dense, conv2d, ";
    assert!(
        error.starts_with(start) && error.ends_with("residual, concat, multiply"),
        "{error}"
    );
}

/// An initializer of a user's own, with a setting.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
struct Ramp {
    slope: f64,
}

impl Initializer for Ramp {
    fn name(&self) -> &'static str {
        "ramp"
    }
    fn settings(&self) -> Option<Value> {
        serde_json::to_value(self).ok()
    }
    fn fill(&self, _shape: &Shape, _fans: Fans, _rng: &mut Rng, values: &mut [Float]) {
        for (i, value) in values.iter_mut().enumerate() {
            *value = (self.slope * i as f64) as Float;
        }
    }
}

#[test]
fn an_initializer_of_ones_own_is_kept_in_files_with_its_settings() {
    let network = Sequential::new([2])
        .layer(Dense::new(2).init(Ramp { slope: 0.5 }))
        .build(1)
        .unwrap();
    let declared = network.architecture().unwrap();
    assert_eq!(declared["layers"][0]["init"], json!({ "kind": "ramp", "slope": 0.5 }));
    let bytes = network.to_bytes().unwrap();
    let error = Network::from_bytes(&bytes, &Registry::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("there is no initializer \"ramp\"; choose one of zeros, constant, "),
        "{error}"
    );
    let mut registry = Registry::default();
    registry.initializers.register::<Ramp>("ramp").unwrap();
    let mut again = Network::from_bytes(&bytes, &registry).unwrap();
    assert_eq!(again.architecture().unwrap(), declared);
    again.initialize(7);
    assert_eq!(again.weights(), network.weights());
}
