//! Graphs that are refused, and such as the fixtures don't have.

use gradus::Float;
use ndarray::ArrayD;

use super::*;
use crate::model::{float, integer, integers, text, write_graph, write_model, write_node, write_tensor, write_value};
use crate::wire::Message;

/// A node of the operators' version 17, named like its output.
fn node(operator: &str, inputs: &[&str], output: &str, attributes: Vec<Message>) -> Message {
    let inputs: Vec<String> = inputs.iter().map(|input| input.to_string()).collect();
    write_node(operator, output, &inputs, output, &attributes)
}

fn floats(name: &str, dims: &[usize], values: &[f32]) -> Message {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    write_tensor(name, dims, data_type::FLOAT, &raw)
}

fn whole(name: &str, values: &[i64]) -> Message {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    write_tensor(name, &[values.len()], data_type::INT64, &raw)
}

/// A file with a graph from `x`, samples of these dimensions, to `y`.
fn file(sample: &[usize], nodes: &[Message], constants: &[Message]) -> Vec<u8> {
    let (x, y) = (
        write_value("x", data_type::FLOAT, sample),
        write_value("y", data_type::FLOAT, &[1]),
    );
    write_model(&write_graph("test", nodes, constants, &x, &y), 17, 8, &[])
}

#[track_caller]
fn refused(file: &[u8], sentence: &str) {
    let error = import(file).unwrap_err().to_string();
    assert!(error.contains(sentence), "{error}");
}

#[track_caller]
fn gives(file: &[u8], x: &[Float], shape: &[usize], expected: &[Float]) -> Network {
    let network = import(file).unwrap().network;
    let y = network
        .predict(ArrayD::from_shape_vec(shape, x.to_vec()).unwrap())
        .unwrap();
    assert_eq!(y.len(), expected.len());
    for (found, expected) in y.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5, "{y}, expected {expected:?}");
    }
    network
}

#[test]
fn what_no_layer_does_is_refused_by_the_node_and_its_operator() {
    let one = |operator: &str, attributes| file(&[2, 4, 4], &[node(operator, &["x"], "y", attributes)], &[]);
    refused(
        &one("LSTM", vec![]),
        "node `y` (LSTM): no layer does what this operator does",
    );
    refused(
        &one("Transpose", vec![integers("perm", &[1, 0, 2, 3])]),
        "(Transpose): it moves the axis of the samples",
    );
    refused(
        &one("Transpose", vec![integers("perm", &[0, 2, 3, 1])]),
        "the axes of the output `y` are turned",
    );
    refused(&one("Softmax", vec![integer("axis", 1)]), "only flat samples");
    refused(&one("Cast", vec![integer("to", 9)]), "(Cast): it makes ONNX's type 9");
    refused(
        &one("Erf", vec![]),
        "node `y` (Erf): there is a layer for it only as a part of GELU",
    );
    let pool = |more: Message| {
        let window = vec![integers("kernel_shape", &[3, 3]), integers("strides", &[2, 2]), more];
        one("MaxPool", window)
    };
    refused(&pool(integer("ceil_mode", 1)), "reach beyond the image (ceil_mode)");
    refused(
        &pool(integers("dilations", &[2, 2])),
        "(MaxPool): its window is dilated",
    );
    refused(
        &pool(integers("pads", &[1, 1])),
        "its `pads` is [1, 1]: it must be 4 numbers",
    );
    refused(&one("MaxPool", vec![]), "it has no kernel_shape");
    refused(
        &one("MaxPool", vec![integers("kernel_shape", &[9, 9])]),
        "(MaxPool): the kernel's height is 9",
    );
    refused(&one("Identity", vec![]), "computes nothing that a layer does");
    refused(
        &file(&[2], &[node("Relu", &["x"], "y", vec![]).text(7, "com.microsoft")], &[]),
        "its operator is one of `com.microsoft`",
    );
}

#[test]
fn graphs_that_are_no_rows_of_layers_are_refused() {
    let relu = |x: &str, y: &str| node("Relu", &[x], y, vec![]);
    refused(
        &file(&[2], &[relu("a", "y"), relu("y", "a")], &[]),
        "node `y` (Relu): its input `a` is given by no node",
    );
    refused(&file(&[2], &[relu("x", "z")], &[]), "the graph has no value `y`");
    refused(
        &file(&[2], &[relu("c", "y")], &[floats("c", &[2], &[1.0, 2.0])]),
        "it computes with constants alone",
    );
    // What is inside a block is used after it too.
    let add = |a: &str, b: &str, y: &str| node("Add", &[a, b], y, vec![]);
    let nodes = [relu("x", "a"), relu("a", "b"), add("b", "x", "c"), add("c", "b", "y")];
    refused(&file(&[2], &nodes, &[]), "used inside and outside of a block");
    // Blocks in blocks in blocks.
    let mut nodes = vec![relu("x", "v0")];
    nodes.extend((0..100).map(|i| add(&format!("v{i}"), "x", &format!("v{}", i + 1))));
    nodes.push(relu("v100", "y"));
    refused(&file(&[2], &nodes, &[]), "more than 32 others");
    let two = write_graph(
        "test",
        &[node("Add", &["x", "z"], "y", vec![])],
        &[],
        &write_value("x", data_type::FLOAT, &[2]),
        &write_value("y", data_type::FLOAT, &[2]),
    )
    .message(11, &write_value("z", data_type::FLOAT, &[2]));
    refused(&write_model(&two, 17, 8, &[]), "several inputs, `x` and `z`");
}

#[test]
fn versions_and_types_that_are_not_known_are_refused() {
    let graph = |input| {
        let y = write_value("y", data_type::FLOAT, &[2]);
        write_graph("test", &[node("Relu", &["x"], "y", vec![])], &[], &input, &y)
    };
    let float = graph(write_value("x", data_type::FLOAT, &[2]));
    for opset in [6, 29] {
        refused(
            &write_model(&float, opset, 8, &[]),
            "operators: 7 to 28 can be imported",
        );
    }
    refused(
        &write_model(&graph(write_value("x", 10, &[2])), 17, 8, &[]),
        "of ONNX's type 10: it must be",
    );
    refused(
        &write_model(&graph(Message::new().text(1, "x")), 17, 8, &[]),
        "has no shape",
    );
    refused(b"", "the file has no graph");
    refused(b"PK\x03\x04 this is a zip file", "not an ONNX file");
}

#[test]
fn tensors_that_claim_more_than_they_have_are_refused() {
    let dense = |weight| file(&[2], &[node("MatMul", &["x", "w"], "y", vec![])], &[weight]);
    refused(
        &dense(floats("w", &[2, 1 << 40], &[1.0])),
        "the tensor `w` has the dimensions [2, 1099511627776] and 1 values",
    );
    refused(
        &dense(floats("w", &[usize::MAX, 2], &[])),
        "the tensor `w` has the dimensions [-1, 2]",
    );
    refused(
        &dense(floats("w", &[0, 1 << 40, 1 << 40], &[])),
        "only flat samples and matrices",
    );
    refused(
        &dense(write_tensor("w", &[2, 1], data_type::FLOAT, &[0; 7])),
        "ends in the middle of a number",
    );
    refused(
        &dense(write_tensor("w", &[2, 1], 10, &[0; 4])),
        "is of ONNX's type 10: only float",
    );
    refused(
        &dense(floats("w", &[2, 1], &[1.0, 2.0]).integer(14, 1)),
        "has its values in another file",
    );
    refused(
        &dense(floats("w", &[2, 1], &[1.0, f32::NAN])),
        "would have the value NaN",
    );
    refused(
        &dense(floats("w", &[3, 1], &[1.0; 3])),
        "its weight has the dimensions [3, 1], and its input 2 values",
    );
    // One constant, used as often as it takes to fill the memory.
    let large = floats("w", &[300, 300], &[0.5; 90_000]);
    let mut nodes: Vec<_> = (0..100)
        .map(|i| {
            node(
                "MatMul",
                &[if i == 0 { "x".into() } else { format!("v{i}") }.as_str(), "w"],
                &format!("v{}", i + 1),
                vec![],
            )
        })
        .collect();
    nodes.push(node("Relu", &["v100"], "y", vec![]));
    refused(
        &file(&[300], &nodes, &[large]),
        "more parameters than the file has bytes",
    );
    // A row that doubles.
    let mut nodes: Vec<_> = (0..60)
        .map(|i| {
            node(
                "Concat",
                &[&format!("c{i}"), &format!("c{i}")],
                &format!("c{}", i + 1),
                vec![integer("axis", 0)],
            )
        })
        .collect();
    nodes.push(node("Reshape", &["x", "c60"], "y", vec![]));
    refused(&file(&[2], &nodes, &[whole("c0", &[1, 2])]), "more than 64 integers");
}

#[test]
fn gemm_has_factors_and_turned_weights() {
    let constants = [
        floats("w", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        floats("b", &[1], &[1.0]),
    ];
    let gemm = node(
        "Gemm",
        &["x", "w", "b"],
        "y",
        vec![float("alpha", 0.5), float("beta", 4.0)],
    );
    let network = gives(
        &file(&[2], &[gemm], &constants),
        &[1.0, 2.0],
        &[1, 2],
        &[8.5, 10.0, 11.5],
    );
    assert_eq!(network.parameter_count(), 9);
    let gemm = node("Gemm", &["x", "w"], "y", vec![integer("transB", 1)]);
    gives(
        &file(&[3], &[gemm], &constants),
        &[1.0, 0.0, -1.0],
        &[1, 3],
        &[-2.0, -2.0],
    );
    let turned = node("Gemm", &["x", "w"], "y", vec![integer("transA", 1)]);
    refused(&file(&[2], &[turned], &constants), "(Gemm): it turns its input");
}

#[test]
fn the_axis_of_flatten_is_counted_from_either_end() {
    let flatten = |axis: i64| {
        let nodes = [
            node("Flatten", &["x"], "f", vec![integer("axis", axis)]),
            node("MatMul", &["f", "w"], "y", vec![]),
        ];
        file(&[1, 2, 2], &nodes, &[floats("w", &[4, 1], &[1.0, 10.0, 100.0, 1000.0])])
    };
    for axis in [1, -3] {
        gives(&flatten(axis), &[1.0, 2.0, 3.0, 4.0], &[1, 1, 2, 2], &[4321.0]);
    }
    for axis in [0, 2, 3, 4, -1, -2, -4] {
        refused(&flatten(axis), "only 1, which keeps the samples apart");
    }
    refused(&flatten(5), "there is no axis 5 among 4");
    // Of a constant too.
    let nodes = [
        node("Flatten", &["w"], "v", vec![integer("axis", -2)]),
        node("MatMul", &["x", "v"], "y", vec![]),
    ];
    let constants = [floats("w", &[2, 2, 1], &[1.0, 2.0, 3.0, 4.0])];
    gives(&file(&[2], &nodes, &constants), &[1.0, 10.0], &[1, 2], &[31.0, 42.0]);
}

/// GELU(1), GELU(2) and GELU(-1), from a table of the normal distribution.
const GELU_1: Float = 0.841_344_8;
const GELU_2: Float = 1.954_499_7;
const GELU_MINUS_1: Float = -0.158_655_25;

/// The product of `a` and s · (1 + erf(b / √2)).
fn gelu_of(a: &str, b: &str) -> Vec<Message> {
    vec![
        node("Div", &[b, "root"], "d", vec![]),
        node("Erf", &["d"], "e", vec![]),
        node("Add", &["e", "one"], "g", vec![]),
        node("Mul", &[a, "g"], "h", vec![]),
        node("Mul", &["h", "half"], "y", vec![]),
    ]
}

#[test]
fn gelu_is_found_behind_what_scales_and_shifts() {
    let constants = [
        floats("w", &[2, 2], &[1.0, 0.0, 0.0, 1.0]),
        floats("b", &[2], &[1.0, -0.5]),
        floats("root", &[], &[std::f32::consts::SQRT_2]),
        floats("one", &[], &[1.0]),
        floats("half", &[], &[0.5]),
        floats("two", &[], &[2.0]),
        floats("each", &[2], &[2.0, 4.0]),
    ];
    let dense = || node("MatMul", &["x", "w"], "m", vec![]);
    let after = |before: &[Message], a: &str, b: &str| file(&[2], &[before, &gelu_of(a, b)].concat(), &constants);
    // A bias; a factor for all, and one for each.
    let bias = [dense(), node("Add", &["m", "b"], "a", vec![])];
    gives(&after(&bias, "a", "a"), &[1.0, -0.5], &[1, 2], &[GELU_2, GELU_MINUS_1]);
    let twice = [dense(), node("Mul", &["m", "two"], "a", vec![])];
    gives(&after(&twice, "a", "a"), &[1.0, -0.5], &[1, 2], &[GELU_2, GELU_MINUS_1]);
    let each = [dense(), node("Mul", &["m", "each"], "a", vec![])];
    let network = gives(&after(&each, "a", "a"), &[1.0, -0.25], &[1, 2], &[GELU_2, GELU_MINUS_1]);
    assert_eq!((network.parts().len(), network.parameter_count()), (2, 4));
    // The factor on one side only: 2x · (1 + erf(x / √2)) / 2.
    gives(
        &after(&twice, "a", "m"),
        &[1.0, 2.0],
        &[1, 2],
        &[2.0 * GELU_1, 2.0 * GELU_2],
    );
    gives(
        &after(&twice, "m", "a"),
        &[1.0, -0.5],
        &[1, 2],
        &[GELU_2 / 2.0, GELU_MINUS_1 / 2.0],
    );
    // What isn't proportional is no GELU.
    let product = "there is a layer for it only as a part of GELU";
    refused(&after(&bias, "a", "m"), product);
    refused(&after(&each, "a", "m"), product);
    refused(&after(&[dense(), node("Relu", &["m"], "a", vec![])], "a", "m"), product);
}

#[test]
fn a_number_of_samples_is_none_of_a_shape() {
    let reshape = |input: Message, shape: &[i64]| {
        let y = write_value("y", data_type::FLOAT, &[1]);
        let nodes = [
            node("Reshape", &["x", "shape"], "r", vec![]),
            node("Relu", &["r"], "y", vec![]),
        ];
        write_model(
            &write_graph("test", &nodes, &[whole("shape", shape)], &input, &y),
            17,
            8,
            &[],
        )
    };
    let any = || write_value("x", data_type::FLOAT, &[2, 3]);
    let four = || {
        let dims = [4, 2, 3].map(|dim| Message::new().integer(1, dim));
        let tensor = Message::new()
            .integer(1, data_type::FLOAT)
            .message(2, &Message::new().messages(1, &dims));
        Message::new()
            .text(1, "x")
            .message(2, &Message::new().message(1, &tensor))
    };
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    gives(&reshape(any(), &[-1, 6]), &x, &[1, 2, 3], &x);
    gives(&reshape(any(), &[1, -1]), &x, &[1, 2, 3], &x);
    gives(&reshape(four(), &[4, -1]), &x, &[1, 2, 3], &x);
    // Two samples in each row, or half a sample.
    for (input, first) in [(any(), 2), (four(), 2), (four(), 1), (four(), 8)] {
        refused(&reshape(input, &[first, -1]), "it gives samples of [2, 3] the shape");
    }
}

#[test]
fn an_operator_of_another_set_is_none_of_ours() {
    let scaler = |domain: &str| {
        let floats = |name: &str, value: f32| Message::new().text(1, name).float(7, value).integer(20, 6);
        let attributes = vec![floats("offset", 1.0), floats("scale", 2.0)];
        file(&[1], &[node("Scaler", &["x"], "y", attributes).text(7, domain)], &[])
    };
    gives(&scaler("ai.onnx.ml"), &[4.0], &[1, 1], &[6.0]);
    refused(
        &scaler("com.example"),
        "its operator is one of `com.example`, not of ONNX",
    );
}

#[test]
fn shifts_are_kept_however_small() {
    let add = file(
        &[2],
        &[node("Add", &["x", "t"], "y", vec![])],
        &[floats("t", &[], &[5e-7])],
    );
    let network = import(&add).unwrap().network;
    let y = network.predict(ndarray::array![[1e-7, 0.0]]).unwrap();
    assert!(
        (y[[0, 0]] - 6e-7).abs() < 1e-12 && (y[[0, 1]] - 5e-7).abs() < 1e-12,
        "{y}"
    );
}

#[test]
fn what_scales_and_shifts_goes_into_a_layer_before_it_or_becomes_one() {
    let constants = [
        floats("w", &[2, 2], &[1.0, 2.0, 3.0, 4.0]),
        floats("s", &[2], &[10.0, 100.0]),
        floats("t", &[], &[0.5]),
    ];
    let dense = node("MatMul", &["x", "w"], "a", vec![]);
    let scale = |x: &str, y: &str| [node("Mul", &["s", x], "m", vec![]), node("Sub", &["m", "t"], y, vec![])];
    let [mul, sub] = scale("a", "y");
    let network = gives(
        &file(&[2], &[dense, mul, sub], &constants),
        &[1.0, 1.0],
        &[1, 2],
        &[39.5, 599.5],
    );
    assert_eq!((network.parts().len(), network.parameter_count()), (1, 6));

    // A dense layer after it does as well.
    let [mul, sub] = scale("x", "b");
    let dense = node("MatMul", &["b", "w"], "y", vec![]);
    let network = gives(
        &file(&[2], &[mul, sub, dense], &constants),
        &[1.0, 1.0],
        &[1, 2],
        &[308.0, 417.0],
    );
    assert_eq!((network.parts().len(), network.parameter_count()), (1, 6));
    // Here there is none.
    let [mul, sub] = scale("x", "y");
    let network = gives(
        &file(&[2], &[mul, sub], &constants),
        &[1.0, 2.0],
        &[1, 2],
        &[9.5, 199.5],
    );
    assert_eq!(network.parameter_count(), 4);
    // One number for a whole image needs two parameters.
    let half = node("Div", &["x", "t"], "y", vec![]);
    let network = gives(
        &file(&[2, 1, 2], &[half], &constants),
        &[1.0, 2.0, 3.0, 4.0],
        &[1, 2, 1, 2],
        &[2.0, 4.0, 6.0, 8.0],
    );
    assert_eq!(
        (network.parameter_count(), network.output_shape()),
        (2, &Shape::from([2, 1, 2]))
    );
    // A number for each column is none for each feature.
    let wide = node("Mul", &["x", "s"], "y", vec![]);
    refused(
        &file(&[3, 2, 2], &[wide], &constants),
        "it must have a number for all, or for each feature or channel",
    );
}

#[test]
fn windows_are_padded_as_they_are_told() {
    let window = |more: Vec<Message>| {
        let attributes = [vec![integers("kernel_shape", &[2, 2])], more].concat();
        file(&[1, 3, 3], &[node("AveragePool", &["x"], "y", attributes)], &[])
    };
    let x: Vec<Float> = (1..=9).map(|i| i as Float).collect();
    let auto = |how: &str| text("auto_pad", how);
    gives(&window(vec![]), &x, &[1, 1, 3, 3], &[3.0, 4.0, 6.0, 7.0]);
    // What lies on the padding isn't counted, unless it is told.
    gives(
        &window(vec![auto("SAME_UPPER"), integers("strides", &[2, 2])]),
        &x,
        &[1, 1, 3, 3],
        &[3.0, 4.5, 7.5, 9.0],
    );
    gives(
        &window(vec![auto("SAME_LOWER"), integers("strides", &[2, 2])]),
        &x,
        &[1, 1, 3, 3],
        &[1.0, 2.5, 5.5, 7.0],
    );
    let counted = vec![
        integers("pads", &[0, 0, 1, 1]),
        integers("strides", &[2, 2]),
        integer("count_include_pad", 1),
    ];
    gives(&window(counted), &x, &[1, 1, 3, 3], &[3.0, 2.25, 3.75, 2.25]);
    refused(&window(vec![auto("SOME")]), "its auto_pad is none that can be imported");
}

#[test]
fn numbers_that_single_precision_would_round_are_double_in_the_file() {
    let network = Sequential::new([2]).layer(gradus::Dense::new(1)).build(1).unwrap();
    // With parameters in single precision, as files have them.
    let network = import(&crate::export(&network, &crate::Export::default()).unwrap())
        .unwrap()
        .network;
    let scaling = |mean: &[f64], deviation: &[f64]| {
        Some(Scaling {
            mean: mean.to_vec(),
            deviation: deviation.to_vec(),
        })
    };
    let written = |inputs, outputs| {
        let options = crate::Export {
            inputs,
            outputs,
            ..Default::default()
        };
        let file = crate::export(&network, &options).unwrap();
        let again = import(&file).unwrap();
        assert_eq!((&again.inputs, &again.outputs), (&options.inputs, &options.outputs));
        assert_eq!(again.network.weights(), network.weights());
        let graph = Model::read(&file).unwrap().graph.unwrap();
        let operators: Vec<_> = graph.nodes.iter().map(|node| node.operator).collect();
        let types = [graph.inputs[0].data_type, graph.outputs[0].data_type].map(Option::unwrap);
        (operators.join(" "), types)
    };
    // A time in seconds, and an area in square metres.
    let (time, area) = (
        scaling(&[0.5, 1_700_000_009.5], &[1.0, 5.77]),
        scaling(&[120.0, 3.5], &[40.0, 1.25]),
    );
    let (price, large) = (scaling(&[2e5], &[3e4]), scaling(&[9e9], &[1.5]));
    let (float, double) = (data_type::FLOAT, data_type::DOUBLE);
    assert_eq!(
        written(area.clone(), price.clone()),
        ("Sub Div Gemm Mul Add".into(), [float, float])
    );
    assert_eq!(
        written(time, price),
        ("Sub Div Cast Gemm Mul Add".into(), [double, float])
    );
    assert_eq!(
        written(area, large),
        ("Sub Div Gemm Cast Mul Add".into(), [float, double])
    );
    assert_eq!(
        written(None, scaling(&[0.0], &[1e-60])),
        ("Gemm Cast Mul Add".into(), [float, double])
    );
}

/// A file as another program's: of fields that can be there once, the last one counts.
fn by(producer: &str, file: &[u8]) -> Vec<u8> {
    [file, &Message::new().text(2, producer).finish()].concat()
}

#[test]
fn numbers_that_cannot_scale_are_refused() {
    let scaled = |mean: &[f32], deviation: &[f32]| {
        let nodes = [
            node("Sub", &["x", "m"], "c", vec![]).text(3, "input.sub"),
            node("Div", &["c", "d"], "z", vec![]).text(3, "input.div"),
            node("MatMul", &["z", "w"], "y", vec![]),
        ];
        let constants = [
            floats("m", &[mean.len()], mean),
            floats("d", &[deviation.len()], deviation),
            floats("w", &[2, 1], &[1.0, 10.0]),
        ];
        by("gradus", &file(&[2], &nodes, &constants))
    };
    let inputs = import(&scaled(&[1.0, 2.0], &[0.5, 4.0])).unwrap().inputs.unwrap();
    assert_eq!((inputs.mean, inputs.deviation), (vec![1.0, 2.0], vec![0.5, 4.0]));
    refused(
        &scaled(&[1.0], &[2.0]),
        "the scaling of the inputs has 1 means and 1 deviations: it needs one of each for each of 2 values",
    );
    refused(
        &scaled(&[1.0; 2], &[2.0, 0.0]),
        "has the deviation 0.0 for value 2 of 2",
    );
    refused(
        &scaled(&[1.0; 2], &[-2.0, 1.0]),
        "has the deviation -2.0 for value 1 of 2",
    );
}

#[test]
fn channels_are_where_nodes_or_else_the_producer_have_them() {
    let flat = |sample: &[usize]| {
        let size: usize = sample.iter().product();
        let weight: Vec<f32> = (0..size).map(|i| i as f32).collect();
        let nodes = [
            node("Flatten", &["x"], "f", vec![]),
            node("MatMul", &["f", "w"], "y", vec![]),
        ];
        file(sample, &nodes, &[floats("w", &[size, 1], &weight)])
    };
    let read = |producer: &str, sample: &[usize]| {
        let imported = import(&by(producer, &flat(sample))).unwrap();
        let shape = imported.network.input_shape().to_vec();
        (shape, imported.channels_last, imported.channels_guessed)
    };
    let (first, last) = (vec![3, 3, 3], vec![3, 3, 3]);
    assert_eq!(read("gradus", &[3, 3, 3]), (first.clone(), false, false));
    assert_eq!(read("pytorch", &[3, 3, 3]), (first.clone(), false, true));
    assert_eq!(read("tf2onnx", &[3, 3, 3]), (last, true, true));
    assert_eq!(read("tf2onnx", &[4, 5, 3]), (vec![3, 4, 5], true, false));
    assert_eq!(read("pytorch", &[1, 4, 5]), (vec![1, 4, 5], false, false));
    // Of others, as the shape suggests.
    assert_eq!(read("", &[3, 3, 3]), (first, false, true));
    assert_eq!(read("", &[2, 5, 3]), (vec![3, 2, 5], true, true));
    assert_eq!(read("", &[3, 5, 2]), (vec![3, 5, 2], false, true));
    assert_eq!(read("", &[5, 4, 2]), (vec![5, 4, 2], false, true));
    // Gray images are the same in both orders.
    assert_eq!(read("", &[4, 5, 1]), (vec![1, 4, 5], false, false));
    assert_eq!(read("pytorch", &[3, 5, 1]), (vec![3, 5, 1], false, false));

    // The values are where they have to be: channels last, the third of a pixel's is 2 in the file.
    let keras = by("tf2onnx", &flat(&[1, 2, 3]));
    let network = import(&keras).unwrap().network;
    assert_eq!(network.input_shape(), &Shape::from([3, 1, 2]));
    let x = ndarray::Array4::from_shape_vec((1, 3, 1, 2), vec![0.0, 0.0, 0.0, 0.0, 1.0, 0.0]).unwrap();
    assert_eq!(network.predict(&x).unwrap().sum(), 2.0);
    // Whoever knows better, decides.
    let how = |last| Import {
        channels_last: Some(last),
        ..Import::default()
    };
    let imported = import_with(&keras, &how(false)).unwrap();
    assert!(!imported.channels_last && !imported.channels_guessed);
    assert_eq!(imported.network.input_shape(), &Shape::from([1, 2, 3]));
    let message = import_with(&flat(&[6]), &how(true)).unwrap_err().to_string();
    assert!(
        message.contains("it is no image, whose channels could come last"),
        "{message}"
    );

    // A convolution shows them, also where an axis of one pixel is last.
    for producer in ["pytorch", "tf2onnx", ""] {
        let conv = [node("Conv", &["x", "w"], "y", vec![])];
        let narrow = file(&[3, 4, 1], &conv, &[floats("w", &[1, 3, 1, 1], &[1.0; 3])]);
        let imported = import(&by(producer, &narrow)).unwrap();
        assert_eq!(imported.network.input_shape(), &Shape::from([3, 4, 1]));
        assert!(imported.network.parts().len() == 1 && !imported.channels_guessed);
    }
}

#[test]
fn the_network_may_have_its_channels_first_where_the_file_has_them_last() {
    let nodes = [
        node("Sub", &["x", "mean"], "a", vec![]),
        node("Transpose", &["a"], "b", vec![integers("perm", &[0, 3, 1, 2])]),
        node("Conv", &["b", "w"], "c", vec![]),
        node("Transpose", &["c"], "d", vec![integers("perm", &[0, 2, 3, 1])]),
        node("Reshape", &["d", "shape"], "e", vec![]),
        node("MatMul", &["e", "v"], "y", vec![]),
    ];
    let constants = [
        floats("mean", &[2], &[1.0, 10.0]),
        floats("w", &[2, 2, 1, 1], &[1.0, 0.0, 0.0, 2.0]),
        whole("shape", &[-1, 4]),
        floats("v", &[4, 1], &[1.0, 10.0, 100.0, 1000.0]),
    ];
    let file = file(&[1, 2, 2], &nodes, &constants);
    let imported = import(&file).unwrap();
    assert!(imported.channels_last);
    assert_eq!(imported.network.input_shape(), &Shape::from([2, 1, 2]));
    // Two pixels, (2, 13) and (4, 15), are (1, 6) and (3, 10) after the convolution.
    gives(
        &file,
        &[2.0, 4.0, 13.0, 15.0],
        &[1, 2, 1, 2],
        &[1.0 + 60.0 + 300.0 + 10_000.0],
    );
}

/// A file of this version of the operators that resizes samples of 2×2×3.
fn resize(opset: i64, operator: &str, inputs: &[&str], constants: &[Message], attributes: Vec<Message>) -> Vec<u8> {
    let (x, y) = (
        write_value("x", data_type::FLOAT, &[2, 2, 3]),
        write_value("y", data_type::FLOAT, &[1]),
    );
    let nodes = [node(operator, inputs, "y", attributes)];
    write_model(&write_graph("test", &nodes, constants, &x, &y), opset, 8, &[])
}

/// Resize by these factors of the height and the width.
fn resize_by(scales: &[f32], attributes: &[(&str, &str)]) -> Vec<u8> {
    let attributes = attributes.iter().map(|(name, value)| text(name, value)).collect();
    let scales = floats("s", &[scales.len()], scales);
    resize(19, "Resize", &["x", "", "s"], &[scales], attributes)
}

#[track_caller]
fn upsamples(file: &[u8], expected: &serde_json::Value) {
    let architecture = import(file).unwrap().network.architecture().unwrap();
    assert_eq!(&architecture["layers"][0], expected);
}

#[test]
fn resize_by_whole_factors_is_upsampling() {
    let nearest = |scale| serde_json::json!({ "kind": "upsample2d", "scale": scale, "mode": "nearest" });
    let bilinear = |scale| serde_json::json!({ "kind": "upsample2d", "scale": scale, "mode": "bilinear" });
    // All that repeats pixels, as onnxruntime does it too.
    let centers = ["half_pixel", "pytorch_half_pixel", "half_pixel_symmetric"];
    for positions in centers {
        for rounding in ["round_prefer_floor", "round_prefer_ceil"] {
            let attributes = [
                ("coordinate_transformation_mode", positions),
                ("nearest_mode", rounding),
            ];
            upsamples(&resize_by(&[1.0, 1.0, 3.0, 4.0], &attributes), &nearest([3, 4]));
        }
        let attributes = [("coordinate_transformation_mode", positions), ("mode", "linear")];
        upsamples(&resize_by(&[1.0, 1.0, 3.0, 4.0], &attributes), &bilinear([3, 4]));
    }
    for positions in ["asymmetric", "tf_half_pixel_for_nn"] {
        let attributes = [("coordinate_transformation_mode", positions), ("nearest_mode", "floor")];
        upsamples(&resize_by(&[1.0, 1.0, 3.0, 2.0], &attributes), &nearest([3, 2]));
    }
    // Of 2 equal outputs, none is closer to the next pixel; of 3, one is.
    let attributes = [("coordinate_transformation_mode", "asymmetric")];
    upsamples(&resize_by(&[1.0, 1.0, 2.0, 1.0], &attributes), &nearest([2, 1]));
    refused(
        &resize_by(&[1.0, 1.0, 2.0, 3.0], &attributes),
        "node `y` (Resize): it does not repeat each pixel 2×3 times, as coordinate_transformation_mode `asymmetric` with nearest_mode \
         `round_prefer_floor` takes them",
    );
    // By sizes; the scales may be there, and empty.
    let by_sizes = |sizes: &[i64], inputs: &[&str], more: Vec<Message>| {
        let constants = [whole("z", sizes), floats("none", &[0], &[])];
        resize(
            19,
            "Resize",
            inputs,
            &constants,
            [vec![text("mode", "linear")], more].concat(),
        )
    };
    upsamples(&by_sizes(&[1, 2, 4, 9], &["x", "", "", "z"], vec![]), &bilinear([2, 3]));
    upsamples(
        &by_sizes(&[1, 2, 4, 9], &["x", "none", "none", "z"], vec![]),
        &bilinear([2, 3]),
    );
    let axes = vec![
        Message::new()
            .text(1, "axes")
            .integer(8, 2)
            .integer(8, -1)
            .integer(20, 7),
    ];
    upsamples(&by_sizes(&[4, 9], &["x", "", "", "z"], axes.clone()), &bilinear([2, 3]));
    for sizes in [
        &[1, 2, 5, 9][..],
        &[1, 3, 4, 9],
        &[2, 2, 4, 9],
        &[1, 2, 0, 9],
        &[1, 2, -4, 9],
        &[4, 9],
    ] {
        refused(
            &by_sizes(sizes, &["x", "", "", "z"], vec![]),
            "(Resize): its sizes are [",
        );
    }
    refused(
        &by_sizes(&[1, 2, 1 << 62, 3], &["x", "", "", "z"], vec![]),
        "more than any memory holds",
    );
    let ratio = vec![text("keep_aspect_ratio_policy", "not_larger")];
    refused(
        &by_sizes(&[1, 2, 4, 9], &["x", "", "", "z"], ratio),
        "keeps the image's aspect ratio",
    );

    // Before version 11, nearest alone.
    let old = |opset, operator, inputs: &[&str], attributes| {
        let scales = [floats("s", &[4], &[1.0, 1.0, 2.0, 3.0])];
        resize(opset, operator, inputs, &scales, attributes)
    };
    let scales = [1.0, 1.0, 2.0, 3.0]
        .iter()
        .fold(Message::new().text(1, "scales"), |a, &scale| a.float(7, scale));
    for file in [
        old(7, "Upsample", &["x"], vec![scales.integer(20, 6)]),
        old(9, "Upsample", &["x", "s"], vec![]),
        old(10, "Resize", &["x", "s"], vec![text("mode", "nearest")]),
    ] {
        upsamples(&file, &nearest([2, 3]));
    }
    refused(
        &old(9, "Upsample", &["x", "s"], vec![text("mode", "linear")]),
        "node `y` (Upsample): its mode is `linear`, which before version 11",
    );
}

#[test]
fn other_resizing_is_refused() {
    for scales in [
        &[1.0, 1.0, 1.5, 2.0][..],
        &[1.0, 1.0, 0.5, 1.0],
        &[1.0, 2.0, 2.0, 2.0],
        &[2.0, 1.0, 2.0, 2.0],
        &[1.0, 1.0, f32::NAN, 2.0],
        &[1.0, 1.0, f32::INFINITY, 2.0],
        &[1.0, 1.0, -2.0, 2.0],
        &[2.0, 2.0],
        &[],
    ] {
        refused(&resize_by(scales, &[]), "node `y` (Resize): its scales are [");
    }
    let by = |attributes: &[(&str, &str)]| resize_by(&[1.0, 1.0, 3.0, 3.0], attributes);
    refused(
        &by(&[("mode", "cubic")]),
        "its mode is `cubic`: only `nearest` and `linear`",
    );
    for positions in ["align_corners", "asymmetric", "tf_crop_and_resize", "some"] {
        refused(
            &by(&[("mode", "linear"), ("coordinate_transformation_mode", positions)]),
            &format!("its coordinate_transformation_mode is `{positions}`: in mode `linear`, only `half_pixel`"),
        );
    }
    for (positions, rounding) in [
        ("half_pixel", "floor"),
        ("half_pixel", "ceil"),
        ("half_pixel", "some"),
        ("asymmetric", "ceil"),
        ("asymmetric", "round_prefer_ceil"),
        ("align_corners", "round_prefer_floor"),
        ("tf_half_pixel_for_nn", "round_prefer_floor"),
    ] {
        refused(
            &by(&[
                ("coordinate_transformation_mode", positions),
                ("nearest_mode", rounding),
            ]),
            &format!("coordinate_transformation_mode `{positions}` with nearest_mode `{rounding}`"),
        );
    }
    refused(
        &resize(19, "Resize", &["x"], &[], vec![]),
        "(Resize): it has neither scales nor sizes",
    );
    let axes = vec![integers("axes", &[1, 2])];
    refused(
        &resize(19, "Resize", &["x", "", "s"], &[floats("s", &[2], &[2.0, 2.0])], axes),
        "it resizes the axes [1, 2]",
    );
    let nodes = [node("Resize", &["x", "", "s"], "y", vec![])];
    refused(
        &file(&[2, 3], &nodes, &[floats("s", &[3], &[1.0, 1.0, 2.0])]),
        "only images of channels × height × width",
    );
}

/// x of 2 channels × 2 rows × 3 columns, whose values are 0 to 11.
const IMAGE: [Float; 12] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0];

#[test]
fn slices_of_rows_and_columns_are_crops() {
    let slice = |constants: &[(&str, &[i64])]| {
        let names: Vec<&str> = ["x"]
            .into_iter()
            .chain(constants.iter().map(|(name, _)| *name))
            .collect();
        let constants: Vec<Message> = constants.iter().map(|(name, values)| whole(name, values)).collect();
        file(&[2, 2, 3], &[node("Slice", &names, "y", vec![])], &constants)
    };
    let last = slice(&[
        ("starts", &[1, -2]),
        ("ends", &[2, 99]),
        ("axes", &[2, -1]),
        ("steps", &[1, 1]),
    ]);
    gives(&last, &IMAGE, &[1, 2, 2, 3], &[4.0, 5.0, 10.0, 11.0]);
    // As TensorFlow writes it, with all axes; nothing is left out of the first two.
    let all = i64::from(i32::MAX);
    let first = slice(&[("starts", &[0, 0, 0, 0]), ("ends", &[all, all, -1, 2])]);
    gives(&first, &IMAGE, &[1, 2, 2, 3], &[0.0, 1.0, 6.0, 7.0]);
    // As the first versions have it.
    let attributes = vec![integers("starts", &[1]), integers("ends", &[3]), integers("axes", &[3])];
    let old = file(&[2, 2, 3], &[node("Slice", &["x"], "y", attributes)], &[]);
    gives(&old, &IMAGE, &[1, 2, 2, 3], &[1.0, 2.0, 4.0, 5.0, 7.0, 8.0, 10.0, 11.0]);

    refused(
        &slice(&[("starts", &[0]), ("ends", &[2]), ("axes", &[3]), ("steps", &[2])]),
        "(Slice): it cuts by steps of [2]: only steps of 1",
    );
    refused(
        &slice(&[("starts", &[0]), ("ends", &[1]), ("axes", &[1])]),
        "it takes a part of samples of [2, 2, 3]: only rows and columns of images can be left out",
    );
    refused(
        &slice(&[("starts", &[0]), ("ends", &[1]), ("axes", &[0])]),
        "it takes the samples from 0 to 1: only all of them",
    );
    refused(
        &slice(&[("starts", &[2]), ("ends", &[1]), ("axes", &[2])]),
        "crop2d leaves nothing of an image of 2×2×3",
    );
    refused(
        &slice(&[("starts", &[1]), ("ends", &[1, 2]), ("axes", &[2])]),
        "it has 1 starts, 2 ends and 1 axes",
    );
}

/// Keras has the channels last.
#[test]
fn slices_of_turned_axes_are_crops() {
    let nodes = [
        node("Transpose", &["x"], "turned", vec![integers("perm", &[0, 2, 3, 1])]),
        node("Slice", &["turned", "starts", "ends", "axes"], "inside", vec![]),
        node("Transpose", &["inside"], "y", vec![integers("perm", &[0, 3, 1, 2])]),
    ];
    let constants = [whole("starts", &[0, 1]), whole("ends", &[1, 3]), whole("axes", &[1, 2])];
    gives(
        &file(&[2, 2, 3], &nodes, &constants),
        &IMAGE,
        &[1, 2, 2, 3],
        &[1.0, 2.0, 7.0, 8.0],
    );
}

#[test]
fn negative_padding_crops() {
    let padded = |pads: &[i64]| {
        let nodes = [node("Pad", &["x", "pads"], "y", vec![])];
        file(&[2, 2, 3], &nodes, &[whole("pads", pads)])
    };
    let inside = padded(&[0, 0, -1, 0, 0, 0, 0, -1]);
    gives(&inside, &IMAGE, &[1, 2, 2, 3], &[3.0, 4.0, 9.0, 10.0]);
    let both = padded(&[0, 0, -1, 1, 0, 0, 0, -2]);
    gives(&both, &IMAGE, &[1, 2, 2, 3], &[0.0, 3.0, 0.0, 9.0]);
    refused(&padded(&[0, 0, -2, 0, 0, 0, 0, 0]), "crop2d leaves nothing");
    refused(&padded(&[0, -1, 0, 0, 0, 0, 0, 0]), "it pads by [0, -1,");
}
