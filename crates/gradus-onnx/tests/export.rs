//! Networks exported, run by another's runtime: it gives what we give.

#[path = "../../gradus/tests/common/impostor.rs"]
mod impostor;

use gradus::layers::BatchNorm;
use gradus::prelude::*;
use gradus::save::Registry;
use gradus::{Float, check};
use gradus_onnx::{Export, Normalization, Scaling, export, import};
use ndarray::{Array, ArrayD, Axis};
use rten::{ModelOptions, Value};
use rten_tensor::{AsView, Layout, Tensor};
use serde_json::{Value as Json, json};

/// Networks of every layer, in every setting that makes a difference.
fn networks() -> Vec<(&'static str, Json)> {
    let sides = |[top, bottom, left, right]: [usize; 4]| json!({ "explicit": { "top": top, "bottom": bottom, "left": left, "right": right } });
    vec![
        (
            "dense",
            json!({ "input": [7], "layers": [{ "kind": "dense", "units": 3 }, { "kind": "dense", "units": 1, "bias": false }] }),
        ),
        (
            "activations",
            json!({ "input": [6], "layers": [
            { "kind": "dense", "units": 6 }, { "kind": "leaky_relu", "slope": 0.1 }, { "kind": "dense", "units": 6 },
            { "kind": "elu", "alpha": 1.7 }, { "kind": "dense", "units": 6 }, { "kind": "gelu" }, { "kind": "dense", "units": 6 },
            { "kind": "silu" }, { "kind": "dense", "units": 6 }, { "kind": "softplus" }, { "kind": "dense", "units": 6 },
            { "kind": "tanh" }, { "kind": "dense", "units": 6 }, { "kind": "sigmoid" }, { "kind": "dense", "units": 6 },
            { "kind": "relu" }, { "kind": "dropout", "rate": 0.5 }, { "kind": "softmax" }] }),
        ),
        (
            "gelu",
            json!({ "input": [4], "layers": [
            { "kind": "gelu" }, { "kind": "gelu" }, { "kind": "dense", "units": 4 }, { "kind": "gelu" }, { "kind": "gelu" },
            { "kind": "residual", "body": [{ "kind": "gelu" }] }, { "kind": "silu" }, { "kind": "gelu" }, { "kind": "silu" }] }),
        ),
        (
            "conv2d",
            json!({ "input": [4, 9, 8], "layers": [
            { "kind": "conv2d", "channels": 6, "kernel": [3, 2], "stride": [2, 1], "padding": sides([1, 0, 2, 1]), "dilation": 2, "groups": 2, "bias": false },
            { "kind": "conv2d", "channels": 5, "kernel": 4, "stride": [1, 3], "padding": "same" },
            { "kind": "conv2d", "channels": 2, "kernel": 1, "stride": 2 }] }),
        ),
        (
            "conv1d",
            json!({ "input": [4, 19], "layers": [
            { "kind": "conv1d", "channels": 6, "kernel": 3, "stride": 2, "padding": { "explicit": { "before": 4, "after": 1 } },
              "dilation": 2, "groups": 2, "bias": false },
            { "kind": "batch_norm" }, { "kind": "relu" }, { "kind": "conv1d", "channels": 5, "kernel": 4, "stride": 3, "padding": "same" },
            { "kind": "residual", "body": [{ "kind": "conv1d", "channels": 5, "kernel": 3, "padding": 1 }] },
            { "kind": "conv1d", "channels": 2, "kernel": 1, "stride": 2 }] }),
        ),
        (
            "conv_transpose2d",
            json!({ "input": [4, 3, 5], "layers": [
            { "kind": "conv_transpose2d", "channels": 6, "kernel": [3, 2], "stride": [2, 1], "padding": sides([1, 0, 0, 1]), "groups": 2,
              "bias": false },
            { "kind": "batch_norm" }, { "kind": "conv_transpose2d", "channels": 2, "kernel": 3, "stride": 2, "padding": "same" }] }),
        ),
        (
            "beyond",
            json!({ "input": [2, 5, 5], "layers": [
            { "kind": "conv2d", "channels": 2, "kernel": 2, "stride": 4, "padding": sides([0, 3, 1, 3]) },
            { "kind": "max_pool2d", "kernel": 1, "stride": 2 }] }),
        ),
        (
            "max_pool2d",
            json!({ "input": [2, 9, 7], "layers": [
            { "kind": "max_pool2d", "kernel": [3, 2], "stride": 1, "padding": "same" }, { "kind": "max_pool2d", "kernel": 2 },
            { "kind": "max_pool2d", "kernel": 3, "stride": 2, "padding": sides([1, 2, 2, 0]) }] }),
        ),
        (
            "avg_pool2d",
            json!({ "input": [2, 9, 7], "layers": [
            { "kind": "avg_pool2d", "kernel": [3, 2], "stride": 1, "padding": "same" },
            { "kind": "avg_pool2d", "kernel": 3, "stride": 2, "padding": sides([1, 2, 2, 0]), "exclude_padding": true },
            { "kind": "avg_pool2d", "kernel": 2, "padding": sides([0, 1, 1, 0]) }] }),
        ),
        (
            "pools of sequences",
            json!({ "input": [2, 19], "layers": [
            { "kind": "max_pool1d", "kernel": 3, "stride": 1, "padding": "same" }, { "kind": "max_pool1d", "kernel": 2 },
            { "kind": "avg_pool1d", "kernel": 3, "stride": 1, "padding": "same" },
            { "kind": "avg_pool1d", "kernel": 3, "stride": 2, "padding": { "explicit": { "before": 2, "after": 0 } }, "exclude_padding": true },
            { "kind": "avg_pool1d", "kernel": 2, "padding": 1 }] }),
        ),
        (
            "upsample2d",
            json!({ "input": [2, 3, 4], "layers": [
            { "kind": "upsample2d", "scale": [3, 2] }, { "kind": "tanh" },
            { "kind": "upsample2d", "scale": [2, 3], "mode": "bilinear" }, { "kind": "conv2d", "channels": 2, "kernel": [18, 24] },
            { "kind": "upsample2d", "scale": [1, 2], "mode": "bilinear" }, { "kind": "upsample2d", "scale": 1 }] }),
        ),
        (
            "global pools",
            json!({ "input": [5, 4, 3], "layers": [
            { "kind": "residual", "body": [{ "kind": "relu" }] }, { "kind": "global_max_pool2d" }, { "kind": "relu" }] }),
        ),
        (
            "global pools of sequences",
            json!({ "input": [4, 7], "layers": [
            { "kind": "residual", "body": [{ "kind": "relu" }] }, { "kind": "global_max_pool1d" }, { "kind": "reshape", "shape": [2, 2] },
            { "kind": "global_avg_pool1d" }, { "kind": "relu" }] }),
        ),
        (
            "batch_norm",
            json!({ "input": [3, 4, 5], "layers": [
            { "kind": "batch_norm", "momentum": 0.3, "epsilon": 0.01 }, { "kind": "global_avg_pool2d" }, { "kind": "batch_norm" }] }),
        ),
        (
            "shapes",
            json!({ "input": [2, 3, 4], "layers": [
            { "kind": "flatten" }, { "kind": "reshape", "shape": [4, 3, 2] }, { "kind": "conv2d", "channels": 2, "kernel": 2 },
            { "kind": "reshape", "shape": [2, 2] }, { "kind": "flatten" }, { "kind": "flatten" }] }),
        ),
        (
            "residual",
            json!({ "input": [2, 6, 6], "layers": [
            { "kind": "residual", "body": [{ "kind": "conv2d", "channels": 2, "kernel": 3, "padding": "same" }] }, { "kind": "relu" },
            { "kind": "residual", "body": [{ "kind": "residual", "body": [{ "kind": "tanh" }] },
                { "kind": "conv2d", "channels": 3, "kernel": 3, "stride": 2, "padding": "same" }] },
            { "kind": "residual", "body": [{ "kind": "relu" }, { "kind": "batch_norm" }], "shortcut": [{ "kind": "batch_norm" }] },
            { "kind": "flatten" }, { "kind": "residual", "body": [{ "kind": "dense", "units": 4 }] }] }),
        ),
        (
            "concat",
            json!({ "input": [2, 5, 4], "layers": [
            { "kind": "concat", "branches": [[], [{ "kind": "conv2d", "channels": 3, "kernel": 3, "padding": "same" }, { "kind": "tanh" }],
                [{ "kind": "concat", "branches": [[{ "kind": "conv2d", "channels": 1, "kernel": 1 }], []] }]] }, { "kind": "relu" },
            { "kind": "concat", "branches": [[], [{ "kind": "batch_norm" }, { "kind": "relu" }, { "kind": "conv2d", "channels": 2, "kernel": 1 }]] },
            { "kind": "flatten" }, { "kind": "concat", "branches": [[{ "kind": "dense", "units": 3 }], [{ "kind": "dense", "units": 2 }], []] }] }),
        ),
        (
            "multiply",
            json!({ "input": [3, 5, 4], "layers": [
            { "kind": "multiply", "branches": [[], [{ "kind": "global_avg_pool2d" }, { "kind": "dense", "units": 3 }, { "kind": "sigmoid" }]] },
            { "kind": "multiply", "branches": [[{ "kind": "avg_pool2d", "kernel": [5, 4] }, { "kind": "conv2d", "channels": 3, "kernel": 1 }],
                [{ "kind": "conv2d", "channels": 3, "kernel": 1 }], [{ "kind": "tanh" }]] }, { "kind": "relu" },
            { "kind": "flatten" }, { "kind": "multiply", "branches": [[{ "kind": "dense", "units": 4 }], [{ "kind": "dense", "units": 4 }, { "kind": "tanh" }]] }] }),
        ),
        (
            "nothing",
            json!({ "input": [3], "layers": [{ "kind": "dropout", "rate": 0.1 }] }),
        ),
    ]
}

/// Values from -2 to 2, without an order.
fn spread(shape: &[usize], seed: usize) -> ArrayD<Float> {
    let mut state = seed as u64;
    Array::from_shape_fn(shape, |_| {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 40) as Float / (1 << 22) as Float - 2.0
    })
}

/// A network whose parameters and statistics are all different.
fn build(declared: &Json) -> Network {
    let mut network = Sequential::from_json(declared, &Registry::default())
        .unwrap()
        .build(1)
        .unwrap();
    let tensors: Vec<_> = (network.parameters().chain(network.state()))
        .map(|t| (t.name, t.shape))
        .collect();
    for (i, (name, shape)) in tensors.into_iter().enumerate() {
        let mut values = spread(&shape, i) * 0.5;
        if name.ends_with("running_var") {
            values.mapv_inplace(|value| value.abs() + 0.1);
        }
        network.set(&name, values.as_slice().unwrap()).unwrap();
    }
    network
}

fn batch(network: &Network, samples: usize) -> Vec<usize> {
    [&[samples], network.input_shape().dims()].concat()
}

/// What the other runtime makes of the file.
fn run(file: &[u8], x: impl Into<Value>) -> ArrayD<Float> {
    let model = ModelOptions::with_all_ops().load(file.to_vec()).unwrap();
    let y = model
        .run_one(x.into().into(), None)
        .unwrap()
        .into_tensor::<f32>()
        .unwrap();
    let values = y.to_vec().into_iter().map(|value| value as Float).collect();
    ArrayD::from_shape_vec(y.shape().to_vec(), values).unwrap()
}

#[allow(clippy::unnecessary_cast)] // Not in a build whose numbers are f64.
fn tensor(x: &ArrayD<Float>) -> Tensor<f32> {
    Tensor::from_data(x.shape(), x.iter().map(|&value| value as f32).collect::<Vec<_>>())
}

#[track_caller]
fn assert_close(what: &str, found: &ArrayD<Float>, expected: &ArrayD<Float>) {
    assert_eq!(found.shape(), expected.shape(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        let ok = (found - expected).abs() <= 1e-5 * expected.abs().max(1.0);
        assert!(ok, "{what}: {found}, expected {expected}");
    }
}

#[test]
fn every_layer_of_the_library_is_exported_or_refused_by_name() {
    for (layer, input) in check::every_layer() {
        let kind = layer.kind();
        // Something has to be left to import where the layer does nothing at inference.
        let network = Sequential::new(input)
            .layer(layer)
            .layer(BatchNorm::new())
            .build(1)
            .unwrap();
        let file = match export(&network, &Export::default()) {
            Ok(file) => file,
            Err(error) => {
                let start = format!("layer 0 ({kind}) can't be exported");
                assert!(error.to_string().starts_with(&start), "{error}");
                continue;
            }
        };
        let x = spread(&batch(&network, 3), 99);
        let y = network.predict(&x).unwrap();
        assert_close(kind, &run(&file, tensor(&x)), &y);
        let again = import(&file).unwrap_or_else(|e| panic!("{kind}: {e}"));
        assert_close(kind, &again.network.predict(&x).unwrap(), &y);
    }
}

#[test]
fn every_layer_gives_the_same_elsewhere() {
    for (name, declared) in networks() {
        let network = build(&declared);
        let file = export(&network, &Export::default()).unwrap();
        for samples in [1, 3] {
            let x = spread(&batch(&network, samples), 99);
            assert_close(name, &run(&file, tensor(&x)), &network.predict(&x).unwrap());
        }
    }
}

#[test]
fn every_layer_comes_back() {
    for (name, declared) in networks().into_iter().filter(|(name, _)| *name != "nothing") {
        let network = build(&declared);
        let again = import(&export(&network, &Export::default()).unwrap()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let x = spread(&batch(&network, 3), 99);
        assert_close(name, &again.network.predict(&x).unwrap(), &network.predict(&x).unwrap());
        assert_eq!(again.network.parameter_count(), network.parameter_count(), "{name}");
    }
}

#[test]
fn logits_are_what_softmax_is_of() {
    let network = build(&json!({ "input": [4], "layers": [{ "kind": "dense", "units": 3 }, { "kind": "softmax" }] }));
    let file = export(
        &network,
        &Export {
            logits: true,
            ..Export::default()
        },
    )
    .unwrap();
    let x = spread(&[2, 4], 5);
    let logits = run(&file, tensor(&x));
    let mut softmax = logits.mapv(Float::exp);
    for mut row in softmax.rows_mut() {
        let sum = row.sum();
        row /= sum;
    }
    assert_close("softmax", &softmax, &network.predict(&x).unwrap());

    // Of a softmax alone, nothing is left.
    let network = build(&json!({ "input": [4], "layers": [{ "kind": "softmax" }] }));
    let file = export(
        &network,
        &Export {
            logits: true,
            ..Export::default()
        },
    )
    .unwrap();
    assert_close("alone", &run(&file, tensor(&x)), &x);
}

#[test]
fn logits_are_found_before_changes_of_shape_or_refused() {
    let with = |logits, network: &Network| {
        export(
            network,
            &Export {
                logits,
                ..Export::default()
            },
        )
    };
    let ends = json!([{ "kind": "conv2d", "channels": 2, "kernel": 1 }, { "kind": "sigmoid" }]);
    let network = |more: Json| {
        let layers = [ends.as_array().unwrap().clone(), more.as_array().unwrap().clone()].concat();
        build(&json!({ "input": [1, 2, 2], "layers": layers }))
    };
    let x = spread(&[3, 1, 2, 2], 5);
    let flat = network(json!([{ "kind": "dropout", "rate": 0.5 }, { "kind": "flatten" }]));
    let logits = run(&with(true, &flat).unwrap(), tensor(&x));
    let sigmoid = logits.mapv(|z| 1.0 / (1.0 + (-z).exp()));
    assert_close("sigmoid", &sigmoid, &flat.predict(&x).unwrap());

    let pooled = network(json!([{ "kind": "global_avg_pool2d" }]));
    assert!(with(false, &pooled).is_ok());
    assert_eq!(
        with(true, &pooled).unwrap_err().to_string(),
        "the network can't be exported with logits: layer 2 (global_avg_pool2d) makes its outputs of probabilities; export it \
         without logits"
    );
    // These are logits already.
    let values = network(json!([{ "kind": "flatten" }, { "kind": "dense", "units": 2 }]));
    assert_eq!(with(true, &values).unwrap(), with(false, &values).unwrap());
}

#[test]
fn bytes_are_normalized_in_the_graph() {
    let network = build(
        &json!({ "input": [2, 3, 3], "layers": [{ "kind": "conv2d", "channels": 2, "kernel": 2, "padding": "same" }] }),
    );
    let bytes: Vec<u8> = (0..36).map(|i| i * 7).collect();
    for normalization in [
        Normalization::default(),
        Normalization {
            scale: vec![1.0 / 64.0, 1.0 / 51.0],
            shift: vec![-0.5, 0.25],
        },
    ] {
        let file = export(
            &network,
            &Export {
                bytes: Some(normalization.clone()),
                ..Export::default()
            },
        )
        .unwrap();
        let y = run(&file, Tensor::from_data(&[2, 2, 3, 3], bytes.clone()));
        let of = |values: &[Float], channel: usize| values[channel.min(values.len() - 1)];
        let mut x = Array::from_shape_fn((2, 2, 3, 3), |(i, c, h, w)| {
            bytes[((i * 2 + c) * 3 + h) * 3 + w] as Float
        });
        for c in 0..2 {
            x.index_axis_mut(Axis(1), c)
                .mapv_inplace(|byte| byte * of(&normalization.scale, c) + of(&normalization.shift, c));
        }
        assert_close("bytes", &y, &network.predict(&x).unwrap());

        // Imported again, the network takes what this library's pictures have: byte / 255.
        let again = import(&file).unwrap();
        assert!(again.bytes);
        let x = Array::from_shape_vec((2, 2, 3, 3), bytes.clone())
            .unwrap()
            .mapv(|byte| byte as Float / 255.0);
        assert_close("imported", &again.network.predict(&x).unwrap(), &y);
    }
    let two = Normalization {
        scale: vec![1.0; 3],
        ..Normalization::default()
    };
    let message = export(
        &network,
        &Export {
            bytes: Some(two),
            ..Export::default()
        },
    )
    .unwrap_err()
    .to_string();
    assert_eq!(
        message,
        "the scale of the normalization has 3 numbers: it needs one, or one for each of 2 channels"
    );
}

#[test]
fn tables_are_scaled_in_the_graph() {
    let mut network = build(&json!({ "input": [3], "layers": [
        { "kind": "dense", "units": 4 }, { "kind": "gelu" }, { "kind": "dense", "units": 2 }] }));
    // With parameters in single precision, as files have them.
    network = import(&export(&network, &Export::default()).unwrap()).unwrap().network;
    network.set_note("preprocessing", "{}");
    network.set_note("classes", "[]");
    let scaling = |mean: &[f64], deviation: &[f64]| {
        Some(Scaling {
            mean: mean.to_vec(),
            deviation: deviation.to_vec(),
        })
    };
    let options = Export {
        inputs: scaling(&[100.0, -2.5, 0.0], &[25.0, 0.5, 1.0]),
        outputs: scaling(&[1e5, -3.0], &[2e4, 0.125]),
        columns: vec!["area".into(), "age".into(), "rooms".into()],
        ..Export::default()
    };
    let file = export(&network, &options).unwrap();
    let scaled = spread(&[5, 3], 3);
    let both = [&options.inputs, &options.outputs].map(|scaling| scaling.as_ref().unwrap());
    let unscaled = |z: &ArrayD<Float>, Scaling { mean, deviation }: &Scaling| {
        let columns = mean.len();
        let values =
            (z.iter().enumerate()).map(|(i, z)| z * deviation[i % columns] as Float + mean[i % columns] as Float);
        ArrayD::from_shape_vec(z.shape(), values.collect()).unwrap()
    };
    let x = unscaled(&scaled, both[0]);
    let y = network.predict(&scaled).unwrap();
    assert_close("scaled", &run(&file, tensor(&x)), &unscaled(&y, both[1]));

    // Imported, the network is what it was, and nothing is scaled twice.
    let again = import(&file).unwrap();
    assert_eq!(again.network.predict(&scaled).unwrap(), y);
    assert_eq!(again.network.parts().len(), 3);
    assert_eq!(
        (again.inputs, again.outputs),
        (options.inputs.clone(), options.outputs.clone())
    );
    assert_eq!(again.columns, options.columns);
    assert_eq!(
        ["preprocessing", "classes"].map(|note| again.network.note(note)),
        [None, Some("[]")]
    );
    // Each end alone.
    for (inputs, outputs) in [(options.inputs.clone(), None), (None, options.outputs.clone())] {
        let options = Export {
            inputs,
            outputs,
            ..Export::default()
        };
        let again = import(&export(&network, &options).unwrap()).unwrap();
        assert_eq!(again.network.predict(&scaled).unwrap(), y);
        assert_eq!((again.inputs, again.outputs), (options.inputs, options.outputs));
    }

    let refused = |options: Export| export(&network, &options).unwrap_err().to_string();
    assert_eq!(
        refused(Export {
            inputs: scaling(&[0.0; 2], &[1.0; 3]),
            ..Export::default()
        }),
        "the scaling of the inputs has 2 means and 3 deviations: it needs one of each for each of 3 values"
    );
    for (deviation, found) in [
        (0.0, "0.0"),
        (-2.0, "-2.0"),
        (Float::NAN.into(), "NaN"),
        (f64::INFINITY, "inf"),
        (1e-310, "1e-310"),
    ] {
        assert_eq!(
            refused(Export {
                outputs: scaling(&[0.0; 2], &[1.0, deviation]),
                ..Export::default()
            }),
            format!(
                "the scaling of the outputs has the deviation {found} for value 2 of 2: a deviation must be a number of at least 2.2e-308"
            )
        );
    }
    assert_eq!(
        refused(Export {
            inputs: scaling(&[f64::NAN, 0.0, 0.0], &[1.0; 3]),
            ..Export::default()
        }),
        "the scaling of the inputs has the mean NaN for value 1 of 3: a mean must be a finite number"
    );
    let both = refused(Export {
        inputs: scaling(&[0.0; 3], &[1.0; 3]),
        bytes: Some(Normalization::default()),
        ..Export::default()
    });
    assert!(both.contains("bytes or numbers that are scaled, not both"), "{both}");
}

#[test]
fn the_first_column_that_needs_double_precision_is_found() {
    let scaling = |mean: &[f64], deviation: &[f64]| Scaling {
        mean: mean.to_vec(),
        deviation: deviation.to_vec(),
    };
    assert_eq!(scaling(&[2019.0, 0.0], &[5.0, 1.0]).double_column(), None);
    assert_eq!(
        scaling(&[2019.0, 1.7e9, 1e300], &[5.0, 3e3, 1.0]).double_column(),
        Some(1)
    );
    // Numbers that `export` refuses, for there are not as many of both.
    assert_eq!(scaling(&[0.0; 3], &[1.0]).double_column(), None);
}

#[test]
fn names_of_columns_tell_them_apart() {
    let network = build(&json!({ "input": [3], "layers": [{ "kind": "dense", "units": 1 }] }));
    let file = |names: &[&str]| {
        let columns = names.iter().map(|name| name.to_string()).collect();
        export(
            &network,
            &Export {
                columns,
                ..Export::default()
            },
        )
    };
    for (names, sentence) in [
        (
            &["a", "b"][..],
            "there are names for 2 columns, and the network takes 3 values: it needs a name for each, or none",
        ),
        (
            &["a", "", "c"],
            "column 2 of 3 has an empty name: name each column, or none",
        ),
        (
            &["a", "b", "a"],
            "columns 1 and 3 of 3 are both called `a`: give each a name of its own",
        ),
    ] {
        assert_eq!(file(names).unwrap_err().to_string(), sentence);
    }
    // What others have made of a file of ours: the same bytes but for the names.
    let good = file(&["a", "b", "c"]).unwrap();
    let renamed = |to: &[u8]| {
        let mut file = good.clone();
        let from: &[u8] = br#"["a","b","c"]"#;
        let at = file.windows(from.len()).position(|bytes| bytes == from).unwrap();
        file[at..at + from.len()].copy_from_slice(to);
        import(&file)
    };
    assert_eq!(renamed(br#"["x","y","z"]"#).unwrap().columns, ["x", "y", "z"]);
    let sentence = |to| renamed(to).unwrap_err().to_string();
    assert_eq!(
        sentence(br#"["a","b","b"]"#),
        "the file's metadata `columns`: columns 2 and 3 of 3 are both called `b`: give each a name of its own"
    );
    assert_eq!(
        sentence(br#"["a","b c" ] "#),
        "the file's metadata `columns`: there are names for 2 columns, and the network takes 3 values: it needs a name for \
         each, or none"
    );
    assert!(
        sentence(br#"{"a":"b","c"}"#)
            .starts_with("the file's metadata `columns`: it must be a list of names, as JSON: ")
    );
}

#[test]
fn notes_travel_along() {
    let mut network = build(&json!({ "input": [4], "layers": [{ "kind": "dense", "units": 2 }] }));
    network.set_note("classes", r#"["a","b"]"#);
    network.set_note("training", "{}");
    let again = import(&export(&network, &Export::default()).unwrap()).unwrap().network;
    assert_eq!(again.note("classes"), Some(r#"["a","b"]"#));
    assert_eq!(again.note("training"), None);
}

#[test]
fn a_users_layer_that_is_called_like_ours_is_never_exported_as_ours() {
    for (label, network) in impostor::networks() {
        for logits in [false, true] {
            let options = Export {
                logits,
                ..Export::default()
            };
            let message = export(&network, &options).map(drop).unwrap_err().to_string();
            assert!(message.starts_with(&format!("{label} can't be exported")), "{message}");
        }
    }
}

#[test]
fn a_layer_of_ones_own_is_refused_by_its_name() {
    #[derive(Debug, Clone)]
    struct Square;
    impl gradus::activation::Activation for Square {
        fn kind(&self) -> &'static str {
            "square"
        }
        fn value(&self, x: Float) -> Float {
            x * x
        }
        fn derivative(&self, x: Float, _y: Float) -> Float {
            2.0 * x
        }
    }
    let network = Sequential::new([2]).layer(Square).build(1).unwrap();
    let message = export(&network, &Export::default()).unwrap_err().to_string();
    assert_eq!(
        message,
        "layer 0 (square) can't be exported: its layer doesn't say what it computes (BoundLayer::with_operation)"
    );
}

/// max(0, x), by a user's own type.
#[derive(Debug, Clone)]
struct Ramp;

impl gradus::activation::Activation for Ramp {
    fn kind(&self) -> &'static str {
        "ramp"
    }
    fn value(&self, x: Float) -> Float {
        x.max(0.0)
    }
    fn derivative(&self, x: Float, _y: Float) -> Float {
        if x > 0.0 { 1.0 } else { 0.0 }
    }
    fn function(&self) -> Option<gradus::layer::Function> {
        Some(gradus::layer::Function::Relu)
    }
}

#[test]
fn a_users_layer_that_says_what_it_computes_is_exported() {
    let network = Sequential::new([3]).layer(Dense::new(4)).layer(Ramp).build(1).unwrap();
    let x = ndarray::array![[0.5, -1.0, 2.0], [-0.5, 1.5, -0.25]].into_dyn();
    let expected = network.predict(&x).unwrap();
    assert!(expected.iter().any(|&y| y == 0.0) && expected.iter().any(|&y| y > 0.0));
    let y = run(&export(&network, &Export::default()).unwrap(), tensor(&x));
    for (y, expected) in y.iter().zip(&expected) {
        assert!((y - expected).abs() < 1e-6, "{y} for {expected}");
    }
}
