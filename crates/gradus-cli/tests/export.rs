//! Files that `gradus export` writes compute the right values, as a user compiles them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use gradus::Float;
use gradus::prelude::*;
use serde_json::{Value, json};

/// Runs the program in a folder, with no settings from outside.
fn gradus(folder: &Path, arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gradus"))
        .env_clear()
        .env("HOME", folder)
        .env("LOCALAPPDATA", folder)
        .current_dir(folder)
        .args(arguments.split_whitespace())
        .output()
        .unwrap()
}

/// The standard output of a run that must succeed.
fn good(folder: &Path, arguments: &str) -> String {
    let output = gradus(folder, arguments);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "gradus {arguments}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The sentence of a run that must fail.
fn bad(folder: &Path, arguments: &str) -> String {
    let output = gradus(folder, arguments);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "gradus {arguments}: {errors}");
    errors
}

fn results(path: impl AsRef<Path>) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// What a compiler makes of a program, and what that prints.
fn compiled(folder: &Path, compiler: &str, arguments: &str) -> String {
    let output = Command::new(compiler)
        .current_dir(folder)
        .args(arguments.split_whitespace())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{compiler} {arguments}: {errors:.3000}");
    let output = Command::new(folder.join("program")).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// More columns than a comment has room for, each with its own unit, and a price of another one.
#[test]
fn what_a_table_needs_is_in_the_files() {
    const COLUMNS: usize = 70;
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let mean = |i: usize| 1000.0 * i as f64;
    let deviation = |i: usize| 1.0 + i as f64;
    let weight = |i: usize| (i % 3) as f64 - 1.0;
    let z = |row: usize, i: usize| ((row * 31 + i * 17) % 41) as f64 / 20.0 - 1.0;
    let x = |row: usize, i: usize| z(row, i) * deviation(i) + mean(i);
    let price = |row| 1e6 + 2e3 * (0.5 + (0..COLUMNS).map(|i| weight(i) * z(row, i)).sum::<f64>());

    let mut network = Sequential::new([COLUMNS]).layer(Dense::new(1)).build(1).unwrap();
    let weights: Vec<Float> = (0..COLUMNS).map(|i| weight(i) as Float).collect();
    network.set("0.weight", &weights).unwrap();
    network.set("0.bias", &[0.5]).unwrap();
    let names: Vec<String> = (0..COLUMNS).map(|i| format!("c{i}")).collect();
    let each = |value: &dyn Fn(usize) -> f64| (0..COLUMNS).map(value).collect::<Vec<_>>();
    let scale = json!({ "kind": "numbers", "columns": names, "mean": each(&mean), "deviation": each(&deviation) });
    network.set_note("preprocessing", scale.to_string());
    network.set_note("targets", json!({ "mean": [1e6], "deviation": [2e3] }).to_string());
    network.set_note("classes", "[]");
    network.save(home.join("prices.safetensors")).unwrap();

    good(home, "export prices.safetensors --to rust");
    good(home, "export prices.safetensors --to c");
    let input: Vec<String> = (0..COLUMNS).map(|i| format!("{:?}", x(3, i))).collect();
    let input = input.join(", ");
    let main = format!(
        "mod prices;\nfn main() {{\n    let mut y = [0.0];\n    prices::Network::new().predict(&[{input}], &mut y);\n    \
         println!(\"{{}}\", y[0]);\n}}\n"
    );
    fs::write(home.join("main.rs"), main).unwrap();
    let main = format!(
        "#include <stdio.h>\n#define GRADUS_DECLARATIONS\n#include \"prices.c\"\nint main(void) {{\n    \
         float x[] = {{{input}}}, y[1];\n    gradus_predict(x, y);\n    printf(\"%.9g\\n\", y[0]);\n    return 0;\n}}\n"
    );
    fs::write(home.join("main.c"), main).unwrap();
    let mut found = vec![compiled(home, "rustc", "--edition 2024 -o program main.rs")];
    if Command::new("cc").arg("--version").output().is_ok() {
        found.push(compiled(home, "cc", "-o program main.c prices.c"));
    } else {
        println!("there is no cc here: the file in C is not compiled");
    }
    for found in found {
        let found: f64 = found.trim().parse().unwrap();
        assert!((found - price(3)).abs() < 1.0, "{found}, expected {}", price(3));
    }

    // In integers; every price of the table is 100 more than the network says.
    let mut table = format!("{},price\n", names.join(","));
    for row in 0..41 {
        (0..COLUMNS).for_each(|i| table += &format!("{},", x(row, i)));
        table += &format!("{}\n", price(row) + 100.0);
    }
    fs::write(home.join("t.csv"), table).unwrap();
    let said = good(
        home,
        "export prices.safetensors --to c --int8 --data t.csv --regression --json out.json",
    );
    assert!(
        said.contains("\n41 samples, which may have been used in training: mean absolute error ")
            && said.contains("in integers"),
        "{said}"
    );
    let error = &results(home.join("out.json"))["absolute_error"];
    assert!((error["float"].as_f64().unwrap() - 100.0).abs() < 1.0, "{error}");
    assert!((50.0..200.0).contains(&error["int8"].as_f64().unwrap()), "{error}");
    // The file in floats is still there.
    let [float, int8] = ["prices.c", "prices_int8.c"].map(|name| fs::read_to_string(home.join(name)).unwrap());
    assert!(float.contains("const float *input") && int8.contains("const uint8_t *input"));
    assert!(!said.contains("Warning"), "{said}");

    // The time in seconds, at which two neighboring floats are more than a minute apart.
    let scale = json!({ "kind": "numbers", "columns": ["time"], "mean": [1.7e9], "deviation": [100.0] });
    let mut network = Sequential::new([1]).layer(Dense::new(1)).build(1).unwrap();
    network.set_note("preprocessing", scale.to_string());
    network.save(home.join("time.safetensors")).unwrap();
    let said = good(home, "export time.safetensors --to rust");
    assert!(said.contains("column `time`, are 1.28e2 apart"), "{said}");
    let text = fs::read_to_string(home.join("time.rs")).unwrap();
    assert!(
        text.contains("//! The values of an input are the columns `time`.\n"),
        "{text:.2000}"
    );
    assert!(text.contains("//! Input: 1 float, not scaled"), "{text:.2000}");
    // A name may hold anything that a file can.
    let scale = json!({ "kind": "numbers", "columns": ["a\nb */ int x; /*"], "mean": [0.0], "deviation": [1.0] });
    network.set_note("preprocessing", scale.to_string());
    network.save(home.join("odd.safetensors")).unwrap();
    good(home, "export odd.safetensors --to c");
    let text = fs::read_to_string(home.join("odd.c")).unwrap();
    assert!(
        text.contains(" * The values of an input are the columns `a b * / int x; / *`.\n"),
        "{text:.2000}"
    );
}

/// As an import gives it: one output, the logit of the second of two classes, and no word of what it is.
#[test]
fn recall_is_shown_for_each_class() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let mut network = Sequential::new([1]).layer(Dense::new(1)).build(1).unwrap();
    network.set("0.weight", &[1.0]).unwrap();
    network.save(home.join("one.safetensors")).unwrap();
    // Logits of which 0.3 is `yes`, though its probability is near a half; one `yes` of four is not found, and one `no` of six.
    fs::write(
        home.join("t.csv"),
        "x,what\n0.3,yes\n2,yes\n3,yes\n-1,yes\n-2,no\n-0.3,no\n-4,no\n-3,no\n0.4,no\n-1,no\n",
    )
    .unwrap();
    let said = good(
        home,
        "export one.safetensors --to c --int8 --data t.csv --json out.json",
    );
    let results = results(home.join("out.json"));
    let shares = json!({ "samples": 10, "float": 0.8, "int8": 0.8 });
    assert_eq!(results["accuracy"], shares, "{said}");
    let recall = |i: usize| {
        let class = &results["classes"][i];
        [
            &class["class"],
            &class["samples"],
            &class["recall_float"],
            &class["recall_int8"],
        ]
        .map(Value::clone)
    };
    assert_eq!(recall(0), [json!("no"), json!(6), json!(5.0 / 6.0), json!(5.0 / 6.0)]);
    assert_eq!(recall(1), [json!("yes"), json!(4), json!(0.75), json!(0.75)]);
    assert!(
        said.contains("yes            4            0.7500              0.7500"),
        "{said}"
    );
    let file = fs::read_to_string(home.join("one_int8.c")).unwrap();
    assert!(
        file.contains("\"yes\"") && file.contains("Output: 1 byte, logits."),
        "{file:.2000}"
    );
}

#[test]
fn samples_that_the_network_was_trained_on_are_not_called_test_samples() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let rows: Vec<String> = (0..20).map(|i| format!("{i},{}\n", ["no", "yes"][i / 10])).collect();
    fs::write(home.join("t.csv"), format!("x,y\n{}", rows.concat())).unwrap();
    good(home, "train mlp --data t.csv --epochs 1 --out table");
    // Of xor there are only the four samples that a network learns.
    good(home, "train xor --epochs 1 --out xor");
    for (network, sentence, seen) in [
        ("table", "\n4 test samples: ", false),
        ("xor", "\n4 samples, all used in training or validation: ", true),
    ] {
        let said = good(
            home,
            &format!("export {network}/network.safetensors --to c --int8 --json out.json"),
        );
        assert!(said.contains(sentence), "{said}");
        assert_eq!(results(home.join("out.json"))["seen_in_training"], json!(seen));
    }
}

#[test]
fn a_prefix_that_would_be_ignored_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let network = Sequential::new([1]).layer(Dense::new(1)).build(1).unwrap();
    network.save(home.join("one.safetensors")).unwrap();
    for form in ["rust", "onnx"] {
        let message = bad(home, &format!("export one.safetensors --to {form} --prefix mine"));
        assert!(message.contains("--prefix is for --to c"), "{message}");
    }
    good(home, "export one.safetensors --to c --prefix my_GRADUS");
    let file = fs::read_to_string(home.join("one.c")).unwrap();
    assert!(file.contains("void my_GRADUS_predict(") && file.contains("#define MY_GRADUS_INPUTS 1"));
}
