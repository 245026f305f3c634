//! `gradus train`, `evaluate`, `predict` and `summary`, as a user runs them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use gradus::Network;
use gradus::data::{Dataset, digits};
use serde_json::Value;

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

/// The standard output of a run that must go well.
fn good(folder: &Path, arguments: &str) -> String {
    let output = gradus(folder, arguments);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "gradus {arguments}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The sentence of a run that must fail as a mistake of the user does: one line, without a panic.
fn bad(folder: &Path, arguments: &str) -> String {
    let output = gradus(folder, arguments);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "gradus {arguments}: {errors}");
    assert!(!errors.contains("panicked"), "{errors}");
    assert!(errors.starts_with("error: "), "{errors}");
    assert_eq!(errors.trim_end().lines().count(), 1, "gradus {arguments}: {errors}");
    errors["error: ".len()..].trim_end().to_string()
}

fn json(path: impl AsRef<Path>) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Draws a test digit as a person might have: dark on white, eight times as large, off the center of a sheet.
fn draw_digit(index: usize, path: &Path) -> String {
    let (_, test) = digits::load().unwrap();
    let mut x = [0.0; 64];
    test.read(index, &mut x).unwrap();
    let (width, height) = (150, 120);
    let mut pixels = vec![255u8; width * height];
    for (y, row) in pixels.chunks_exact_mut(width).enumerate() {
        for (column, pixel) in row.iter_mut().enumerate() {
            if (30..94).contains(&y) && (11..75).contains(&column) {
                *pixel = (255.0 * (1.0 - x[8 * ((y - 30) / 8) + (column - 11) / 8])) as u8;
            }
        }
    }
    write_png(path, width, height, png::ColorType::Grayscale, &pixels);
    test.labels()[index].to_string()
}

fn write_png(path: &Path, width: usize, height: usize, color: png::ColorType, pixels: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = fs::File::create(path).unwrap();
    let mut encoder = png::Encoder::new(file, width as u32, height as u32);
    encoder.set_color(color);
    encoder.write_header().unwrap().write_image_data(pixels).unwrap();
}

#[test]
fn a_trained_network_is_evaluated_and_used_with_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let train = "train mlp --data digits --batch-size 16 --out net --json train.json --quiet";
    let table = good(home, &format!("{train} --epochs 2"));
    assert!(table.contains("validation") && table.contains("test"), "{table}");
    // The original's defect 13: the number of epochs was ignored.
    let results = json(home.join("train.json"));
    assert_eq!(results["epochs"], 2);
    assert_eq!(json(home.join("net/history.json")).as_array().unwrap().len(), 2);
    assert_eq!(
        fs::read_to_string(home.join("net/history.csv"))
            .unwrap()
            .lines()
            .count(),
        3
    );
    let files = [
        "best.safetensors",
        "checkpoint.safetensors",
        "curves.png",
        "curves.svg",
        "history.csv",
        "history.json",
        "network.safetensors",
    ];
    assert_eq!(names(&home.join("net")), files);
    let accuracy = results["test"]["accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.8, "{accuracy}");

    good(home, "evaluate net/network.safetensors --out eval --json eval.json");
    let evaluated = json(home.join("eval.json"));
    // Nothing is trained again (defect 13 too): what is loaded is what was saved, to the last bit.
    assert_eq!(evaluated["loss"], results["test"]["loss"]);
    assert_eq!(evaluated["accuracy"], results["test"]["accuracy"]);
    assert_eq!(evaluated["confusion"].as_array().unwrap().len(), 10);
    assert_eq!(
        names(&home.join("eval")),
        ["confusion.png", "confusion.svg", "mistakes.png", "mistakes.svg"]
    );

    let classes: Vec<String> = (0..30)
        .map(|i| draw_digit(i, &home.join(format!("{i:02}.png"))))
        .collect();
    let pictures: Vec<String> = (0..30).map(|i| format!("{i:02}.png")).collect();
    let predict = format!(
        "predict net/network.safetensors {} --sheet sheets --json predict.json",
        pictures.join(" ")
    );
    let lines = good(home, &predict);
    assert_eq!(lines.lines().count(), 30);
    let predicted = json(home.join("predict.json"));
    let right = classes
        .iter()
        .enumerate()
        .filter(|&(i, class)| predicted["pictures"][i]["class"] == **class);
    let right = right.count();
    assert!(right >= 24, "{right} {classes:?}: {lines}");
    assert_eq!(names(&home.join("sheets")), ["predictions.png", "predictions.svg"]);

    // A bad file has its sentence; the others have their predictions still.
    fs::write(home.join("bad.png"), &fs::read(home.join("00.png")).unwrap()[..60]).unwrap();
    let output = gradus(home, "predict net/network.safetensors bad.png 00.png --json some.json");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("error: bad.png: "));
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("00.png  "));
    assert!(json(home.join("some.json"))["pictures"][0]["error"].is_string());

    let summary = good(home, "summary net/network.safetensors --json summary.json");
    assert!(
        summary.contains("85,002") && summary.contains("trained on digits"),
        "{summary}"
    );
    assert_eq!(json(home.join("summary.json"))["layers"].as_array().unwrap().len(), 7);
}

#[test]
fn the_same_seed_gives_the_same_network_on_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let train = "train cnn --data digits --epochs 1 --quiet";
    for (out, rest) in [("a", "--threads 1"), ("b", "--threads 3"), ("c", "--seed 7")] {
        good(folder.path(), &format!("{train} --out {out} {rest}"));
    }
    let network = |out: &str| fs::read(folder.path().join(out).join("network.safetensors")).unwrap();
    assert!(network("a") == network("b") && network("a") != network("c"));
    // A step of xor has no work for a second thread: the number is that of those that were used.
    good(folder.path(), "train xor --quiet --threads 5000 --json xor.json");
    assert_eq!(json(folder.path().join("xor.json"))["threads"], 1);
    good(folder.path(), &format!("{train} --threads 2 --json two.json"));
    assert_eq!(json(folder.path().join("two.json"))["threads"], 2);
}

#[test]
fn networks_of_other_frameworks_are_imported() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gradus-onnx/tests/fixtures/keras_cnn.onnx");
    fs::copy(fixture, home.join("theirs.onnx")).unwrap();
    let said = good(home, "import theirs.onnx -o ours.safetensors --json import.json");
    assert!(said.contains("channels first, 2×8×7"), "{said}");
    assert_eq!(json(home.join("import.json"))["channels_last"], true);
    good(home, "summary ours.safetensors");
    assert!(
        bad(home, "import ours.safetensors -o x.safetensors").contains("ours.safetensors: this is a network already")
    );
    fs::write(home.join("none.onnx"), "PK").unwrap();
    assert!(bad(home, "import none.onnx").contains("none.onnx: the file"));
    assert!(bad(home, "import theirs.onnx -o ours.txt").contains("end in .safetensors"));

    // PyTorch's tensors, given the layers.
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gradus/tests/fixtures/torch.safetensors");
    fs::copy(fixture, home.join("state.safetensors")).unwrap();
    let layers = r#"
        input = [1, 8, 8]
        layers = [
            { kind = "conv2d", channels = 4, kernel = 3, padding = "same" },
            { kind = "batch_norm" },
            { kind = "relu" },
            { kind = "max_pool2d", kernel = 2 },
            { kind = "flatten" },
            { kind = "dense", units = 12 },
            { kind = "batch_norm" },
            { kind = "tanh" },
            { kind = "dense", units = 10 },
            { kind = "softmax" },
        ]
    "#;
    fs::write(home.join("layers.toml"), layers).unwrap();
    let import = "import state.safetensors --network layers.toml";
    good(home, &format!("{import} -o torch.safetensors"));
    assert_eq!(
        Network::load(home.join("torch.safetensors")).unwrap().parameter_count(),
        982
    );
    assert!(bad(home, import).contains("that is the file itself"));
    assert!(bad(home, "import state.safetensors -o x.safetensors").contains("holds tensors only"));
    assert!(
        bad(home, "import theirs.onnx --network layers.toml -o x.safetensors").contains("is for .safetensors files")
    );
    fs::write(home.join("layers.toml"), layers.replace("units = 12", "units = 13")).unwrap();
    let message = bad(home, &format!("{import} -o x.safetensors"));
    assert!(
        message.contains("the tensor `5.weight` has the shape 12×64, the architecture needs 13×64"),
        "{message}"
    );
}

#[test]
fn the_exclusive_or_is_learned() {
    let folder = tempfile::tempdir().unwrap();
    let said = good(folder.path(), "train xor --quiet --json xor.json");
    assert_eq!(json(folder.path().join("xor.json"))["test"]["accuracy"], 1.0);
    assert!(
        said.contains("1 xor 1 = 0.0") && said.contains("0 xor 1 = 0.9"),
        "{said}"
    );
    good(folder.path(), "evaluate runs/train/network.safetensors");
    assert!(bad(folder.path(), "predict runs/train/network.safetensors x.png").contains("not on pictures"));
}

#[test]
fn tables_and_folders_of_images_are_learned_and_evaluated() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let rows = (0..200).map(|i| (f64::from(i % 20), f64::from(i / 20)));
    let line = |(x, y): (f64, f64)| format!("{x},{},{y}\n", 2.0 * x - 3.0 * y);
    let table: String = std::iter::once("x,z,y\n".to_string()).chain(rows.map(line)).collect();
    fs::write(home.join("points.csv"), table).unwrap();
    let train = "train mlp --data points.csv --target z --regression --epochs 60 --batch-size 16 --patience 20";
    good(home, &format!("{train} --quiet --json train.json"));
    let results = json(home.join("train.json"));
    assert!(results["test"]["r2"].as_f64().unwrap() > 0.95, "{results}");
    // The same rows are held out again, and scaled as in training.
    good(home, "evaluate runs/train/network.safetensors --json eval.json");
    let evaluated = json(home.join("eval.json"));
    assert_eq!(
        (&evaluated["samples"], &evaluated["loss"]),
        (&40.into(), &results["test"]["loss"])
    );

    for i in 0..30u8 {
        let red = |r: u8| [r, 40, i].repeat(12);
        write_png(
            &home.join(format!("colors/red/{i}.png")),
            4,
            3,
            png::ColorType::Rgb,
            &red(200 + i),
        );
        write_png(
            &home.join(format!("colors/dark/{i}.png")),
            4,
            3,
            png::ColorType::Rgb,
            &red(i),
        );
    }
    write_png(
        &home.join("new.png"),
        20,
        15,
        png::ColorType::Rgb,
        &[210, 40, 9].repeat(300),
    );
    good(
        home,
        "train mlp --data colors --batch-size 8 --quiet --out colors-net --json train.json",
    );
    assert_eq!(json(home.join("train.json"))["test"]["samples"], 12);
    let said = good(home, "predict colors-net/network.safetensors new.png");
    assert!(said.starts_with("new.png  red "), "{said}");
}

/// A network of a table goes into an ONNX file with its scaling, and comes back with it.
#[test]
fn tables_are_scaled_on_the_way_through_onnx() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let write = |name: &str, kinds: bool, shift: f64| {
        let mut table = String::from(if kinds {
            "time,size,price,kind\n"
        } else {
            "time,size,price\n"
        });
        for i in 0..300 {
            let (time, size) = (i * 7 % 300, f64::from(i * 37 % 300) / 3.0 + 500.0 + shift);
            let price = 200_000.0 + 400.0 * f64::from(time) + 900.0 * size;
            table += &format!("{},{size},{price}", 1_700_000_000 + time);
            table += match (kinds, time > 150) {
                (true, true) => ",high\n",
                (true, false) => ",low\n",
                (false, _) => "\n",
            };
        }
        fs::write(home.join(name), table).unwrap();
    };
    for (data, more) in [("table.csv", ""), ("values.csv", " --regression")] {
        write(data, more.is_empty(), 0.0);
        // None of these samples were learned, which only the network's own file would know.
        write("other.csv", more.is_empty(), 0.125);
        good(
            home,
            &format!("train mlp --data {data}{more} --epochs 20 --out run --quiet"),
        );
        let said = good(home, "export run/network.safetensors --to onnx -o network.onnx");
        assert!(said.contains("scales them itself"), "{said}");
        assert!(said.contains("the numbers of column `time`"), "{said}");
        good(home, "import network.onnx -o imported.safetensors");
        let evaluated = |network: &str| {
            good(
                home,
                &format!("evaluate {network} --data other.csv{more} --json eval.json"),
            );
            json(home.join("eval.json"))
        };
        let [own, imported] = ["run/network.safetensors", "imported.safetensors"].map(evaluated);
        assert_eq!(own["samples"], 300);
        let names: &[&str] = if more.is_empty() {
            &["loss", "accuracy"]
        } else {
            &["loss", "absolute_error", "r2"]
        };
        for &name in names {
            let [own, imported] = [&own, &imported].map(|results| results[name].as_f64().unwrap());
            assert!(
                (own - imported).abs() <= 1e-3 * own.abs(),
                "{name}: {own}, imported {imported}"
            );
        }
        let good_enough = if more.is_empty() { "accuracy" } else { "r2" };
        assert!(imported[good_enough].as_f64().unwrap() > 0.9, "{imported}");
    }
}

/// Prices in hundred thousands, as the help trains on them.
#[test]
fn target_values_of_any_size_are_learned_and_reported_in_their_own_units() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let (mut table, mut prices) = (String::from("size,age,price\n"), Vec::new());
    for i in 0..1000 {
        let (size, age) = (
            f64::from(i * 37 % 1000) / 500.0 - 1.0,
            f64::from(i * 11 % 97) / 48.0 - 1.0,
        );
        let price = 200_000.0 + 50_000.0 * size - 20_000.0 * age + f64::from(i % 7) * 100.0;
        prices.push(price);
        table += &format!("{size},{age},{price}\n");
    }
    fs::write(home.join("houses.csv"), table).unwrap();
    let train = "train mlp --data houses.csv --target price --regression --quiet";
    good(home, &format!("{train} --json train.json"));
    let results = json(home.join("train.json"));
    let test = |results: &Value, name: &str| results["test"][name].as_f64().unwrap();
    assert!(test(&results, "r2") > 0.99, "{results}");
    // The prices' deviation is 31,000, so that errors of 1 % of the variance are of this size.
    let mean = prices.iter().sum::<f64>() / 1000.0;
    let variance = prices.iter().map(|price| (price - mean).powi(2)).sum::<f64>() / 1000.0;
    let unexplained = (1.0 - test(&results, "r2")) * variance;
    let loss = test(&results, "loss");
    assert!((0.5..2.0).contains(&(loss / unexplained)), "{loss} {unexplained}");
    assert!((0.3..1.0).contains(&(test(&results, "absolute_error") / loss.sqrt())));
    let history = &json(home.join("runs/train/history.json"))[9];
    assert!(
        (0.1..10.0).contains(&(history["val_loss"].as_f64().unwrap() / loss)),
        "{history}"
    );

    good(home, "evaluate runs/train/network.safetensors --json eval.json");
    let evaluated = json(home.join("eval.json"));
    assert_eq!(evaluated["loss"], results["test"]["loss"]);
    assert_eq!(evaluated["squared_error"], results["test"]["loss"]);
    assert_eq!(evaluated["absolute_error"], results["test"]["absolute_error"]);
    // The scale is in the network's notes.
    let network = Network::load(home.join("runs/train/network.safetensors")).unwrap();
    let scale: Value = serde_json::from_str(network.note("targets").unwrap()).unwrap();
    assert!((scale["mean"][0].as_f64().unwrap() - mean).abs() < 3000.0, "{scale}");
    assert!(
        (scale["deviation"][0].as_f64().unwrap() / variance.sqrt() - 1.0).abs() < 0.05,
        "{scale}"
    );

    good(home, &format!("{train} --loss huber:delta=1000 --json huber.json"));
    assert!(test(&json(home.join("huber.json")), "r2") > 0.99);
    // Gradients are as large as for small targets, whatever the optimizer.
    good(
        home,
        &format!("{train} --optimizer sgd --learning-rate 0.005 --json sgd.json"),
    );
    assert!(test(&json(home.join("sgd.json")), "r2") > 0.95);
    let sigmoid = r#"{"input": [2], "layers": [{"kind": "dense", "units": 1}, {"kind": "sigmoid"}]}"#;
    fs::write(home.join("sigmoid.json"), sigmoid).unwrap();
    let message = bad(home, &train.replace("mlp", "sigmoid.json"));
    assert!(
        message.contains("ends in a layer of kind sigmoid, whose outputs lie between 0 and 1"),
        "{message}"
    );
}

/// Tables on which a network would learn or measure something else than was meant.
#[test]
fn tables_are_read_as_they_are_meant() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let write = |name: &str, text: String| fs::write(home.join(name), text).unwrap();
    // Class 1 where a > b.
    let values = |i: u32| (f64::from(i * 37 % 101) - 50.5, f64::from(i * 53 % 97) - 48.25);
    let rows = |line: &dyn Fn(u32, f64, f64, u32) -> String| -> String {
        let rows = (0..200).map(|i| (i, values(i)));
        rows.map(|(i, (a, b))| line(i, a, b, u32::from(a > b))).collect()
    };
    write(
        "train.csv",
        "a,b,y\n".to_string() + &rows(&|_, a, b, y| format!("{a},{b},{y}\n")),
    );
    let train = |table: &str, more: &str| format!("train mlp --data {table} --epochs 5 --quiet {more}");
    good(home, &train("train.csv", "--out net"));

    // Columns are found by their names, wherever they are.
    let evaluate = |table: &str| format!("evaluate net/network.safetensors --data {table} --json eval.json");
    write(
        "reordered.csv",
        "y;b;note;a\n".to_string() + &rows(&|_, a, b, y| format!("{y};{b};{y};{a}\n")),
    );
    let output = gradus(home, &evaluate("reordered.csv"));
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("note: the column `note` is not used"));
    let reordered = json(home.join("eval.json"));
    assert!(reordered["accuracy"].as_f64().unwrap() > 0.9, "{reordered}");
    write(
        "missing.csv",
        "a,c,y\n".to_string() + &rows(&|_, a, b, y| format!("{a},{b},{y}\n")),
    );
    assert!(bad(home, &evaluate("missing.csv")).contains("no column is called `b`: the first line has a, c, y"));

    // A column with the row's number is learned, and that is said.
    write(
        "index.csv",
        ",a,b,y\n".to_string() + &rows(&|i, a, b, y| format!("{i},{a},{b},{y}\n")),
    );
    let output = gradus(home, &train("index.csv", ""));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() && said.contains("looks like an index"),
        "{said}"
    );
    let said = gradus(home, &train("train.csv", "")).stderr;
    assert!(said.is_empty(), "{}", String::from_utf8_lossy(&said));

    // Times in seconds differ after the eighth digit.
    let time = |a: f64| 1_700_000_000.0 + a;
    write(
        "times.csv",
        "t,u,y\n".to_string() + &rows(&|_, a, b, y| format!("{},{},{y}\n", time(a), time(b))),
    );
    good(home, &train("times.csv", "--out times --json train.json"));
    assert!(json(home.join("train.json"))["test"]["accuracy"].as_f64().unwrap() > 0.9);
    good(home, "evaluate times/network.safetensors --json eval.json");
    assert_eq!(
        json(home.join("eval.json"))["loss"],
        json(home.join("train.json"))["test"]["loss"]
    );

    write(
        "prices.csv",
        "a,b,price\n".to_string() + &rows(&|i, a, b, _| format!("{a},{b},{}\n", 100_000 + i * 997)),
    );
    write("one.csv", "a,b,y\n1,2,x\n2,3,x\n".into());
    write(
        "below.csv",
        "a,b,y\n".to_string() + &rows(&|_, a, b, y| format!("{a},{b},{}\n", 2.5 - 4.0 * f64::from(y))),
    );
    write(
        "relu.json",
        r#"{"input": [2], "layers": [{"kind": "dense", "units": 1}, {"kind": "relu"}]}"#.into(),
    );
    write(
        "years.csv",
        "x,y,2019\n".to_string() + &rows(&|_, a, b, y| format!("{a},{b},{y}\n")),
    );
    write("faint.csv", "0,1\n1,0\n0,0\n1,1\n0,0\n".into());
    good(
        home,
        &train("faint.csv", "--header no --test 0.5 --validation 0 --out faint"),
    );
    good(home, &train("prices.csv", "--regression --out values"));
    for (arguments, sentence) in [
        (
            train("prices.csv", ""),
            "200 different numbers in 200 rows, 100000 to 298403: these look like values, not classes: `gradus train` learns them with \
             --regression, or, if they are classes, with --classification, and --target chooses another column",
        ),
        (
            train("train.csv", "--metric accuracy,r2"),
            "r2 is for values, and the targets are classes; choose among accuracy, top_5",
        ),
        (
            train("train.csv", "--metric absolute_error"),
            "absolute_error is for values",
        ),
        (
            train("train.csv", "--metric squared_error"),
            "squared_error is for values",
        ),
        (
            train("digits", "--metric r2"),
            "r2 is for values, and the targets are classes",
        ),
        (
            "train relu.json --data below.csv --regression --quiet".into(),
            "ends in a layer of kind relu, whose outputs are never below 0, and a target is -1.5",
        ),
        (
            "train relu.json --data below.csv --regression --raw --quiet".into(),
            "ends in a layer of kind relu, whose outputs are never below 0, and a target is -1.5",
        ),
        (train("digits", "--classification"), "--classification are for tables"),
        (
            train("prices.csv", "--regression --metric accuracy,f1"),
            "accuracy is for classes, and the targets are values",
        ),
        (
            train("prices.csv", "--regression --metric r2,f1"),
            "f1 is for classes, and the targets are values",
        ),
        // Commands without the options name the command that has them.
        (
            "compare --data prices.csv".into(),
            "look like values, not classes: `gradus train` learns them with --regression",
        ),
        (train("one.csv", ""), "one.csv: all rows are of class `x`"),
        (train("years.csv", "--target 2020"), "there is no column 2020"),
        (train("faint.csv", ""), "may name the columns or be a row of numbers"),
        (train("digits", "--header yes"), "are for tables"),
        (train("digits", "--raw"), "--raw is for tables"),
        ("train mlp --target y".into(), "are for tables, and mnist is none"),
        (
            "evaluate faint/network.safetensors --data digits --regression".into(),
            "are for tables, and digits is none",
        ),
        (train("digits", "--test 0.3"), "--test holds samples out where"),
        ("train mlp --test 0.3".into(), "and mnist has one: leave it out"),
        ("train xor --test 0.3".into(), "and xor is tested on all: leave it out"),
        (
            "evaluate values/network.safetensors --data prices.csv --out pictures".into(),
            "--out draws the confusion matrix and the mistakes of classes",
        ),
    ] {
        let message = bad(home, &arguments);
        assert!(message.contains(sentence), "{arguments}: {message}");
    }
    good(home, &train("years.csv", "--target 2019"));
    // Twelve codes in twenty rows are classes, if that is said.
    let codes = (0..20).map(|i| format!("{i},{},{}\n", i * i, 100 + 7 * (i % 12)));
    write("codes.csv", "a,b,code\n".to_string() + &codes.collect::<String>());
    assert!(
        bad(home, &train("codes.csv", "")).contains("12 different numbers in 20 rows, 100 to 177: these look like")
    );
    good(
        home,
        &train(
            "codes.csv",
            "--classification --test 0.2 --validation 0 --json train.json",
        ),
    );
    assert_eq!(json(home.join("train.json"))["train"]["samples"], 16);
    let network = Network::load(home.join("runs/train/network.safetensors")).unwrap();
    let classes: Vec<String> = serde_json::from_str(network.note("classes").unwrap()).unwrap();
    assert_eq!(classes, (0..12).map(|i| (100 + 7 * i).to_string()).collect::<Vec<_>>());
    good(home, "evaluate runs/train/network.safetensors");
    good(home, &train("faint.csv", "--header no --test 0.5 --validation 0"));
    good(home, "evaluate runs/train/network.safetensors");
}

#[test]
fn a_profile_tells_where_the_time_went() {
    let folder = tempfile::tempdir().unwrap();
    let output = good(folder.path(), "train cnn --data digits --epochs 1 --profile --out run");
    let table = output.split("µs a sample").nth(1).unwrap();
    for what in [
        "layer 0 (conv2d)",
        "layer 4 (dense)",
        "reading",
        "waiting, rest",
        "GFLOP/s",
    ] {
        assert!(table.contains(what), "{what} is missing:\n{output}");
    }
}

#[test]
fn declared_networks_are_trained() {
    let folder = tempfile::tempdir().unwrap();
    let layers = r#"[{"kind": "flatten"}, {"kind": "dense", "units": 10}, {"kind": "softmax"}]"#;
    fs::write(
        folder.path().join("mine.json"),
        format!(r#"{{"input": [1, 8, 8], "layers": {layers}}}"#),
    )
    .unwrap();
    good(
        folder.path(),
        "train mine.json --data digits --epochs 1 --quiet --validation 0 --augment shift=0.5",
    );
    let network = Network::load(folder.path().join("runs/train/network.safetensors")).unwrap();
    assert_eq!((network.parameter_count(), network.note("data")), (650, Some("digits")));
    assert!(!folder.path().join("runs/train/best.safetensors").exists());
    assert!(good(folder.path(), "summary mine.json").contains("650"));
}

#[test]
fn where_no_data_are_named_mnist_is_learned() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for (name, data) in [("usual", ""), ("named", "--data mnist")] {
        let options = format!("train mlp {data} --epochs 1 --quiet --json {name}.json --out {name}");
        let output = gradus(here, &options);
        assert!(output.status.success());
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
        assert_eq!(json(here.join(format!("{name}.json")))["data"], "mnist");
    }
    let [usual, named] =
        ["usual", "named"].map(|name| Network::load(here.join(name).join("network.safetensors")).unwrap());
    assert_eq!(usual.weights(), named.weights());
    let text = good(here, "evaluate usual/network.safetensors");
    assert!(text.contains("10,000") && text.contains("accuracy"), "{text}");
    assert!(bad(here, "train mlp --offline --data kmnist").contains("kmnist was not found"));
}

#[test]
fn wrong_input_is_a_sentence_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let write = |name: &str, text: &str| fs::write(home.join(name), text).unwrap();
    let declare = |name: &str, layers: &str| write(name, &format!(r#"{{"input": [1, 8, 8], "layers": [{layers}]}}"#));
    let flat = r#"{"kind": "flatten"}"#;
    write("bad.toml", "input = [");
    declare("unknown.json", r#"{"kind": "dnese", "units": 3}"#);
    declare("zero.json", &format!(r#"{flat}, {{"kind": "dense", "units": 0}}"#));
    declare("none.json", "");
    declare(
        "three.json",
        &format!(r#"{flat}, {{"kind": "dense", "units": 3}}, {{"kind": "softmax"}}"#),
    );
    declare("logits.json", &format!(r#"{flat}, {{"kind": "dense", "units": 10}}"#));
    write(
        "large.json",
        r#"{"input": [1, 28, 28], "layers": [{"kind": "flatten"}, {"kind": "dense", "units": 10}, {"kind": "softmax"}]}"#,
    );
    write("text.csv", "a,b\n1,2\nmany,3\n");
    write("picture.csv", "1,2,0\n1,3,1\n4,1,0\n1,1,1\n2,2,1\n");
    for (arguments, expected) in [
        ("train vgg", "there is no network `vgg`"),
        ("train missing.toml", "missing.toml: "),
        ("train bad.toml", "bad.toml: this is not TOML"),
        ("train unknown.json", "there is no layer \"dnese\""),
        ("train zero.json --data digits", "layer 1 (dense)"),
        ("train none.json", "has no layers"),
        (
            "train three.json --data digits",
            "one output for each of the 10 classes, the network gives 3",
        ),
        ("train logits.json --data digits", "add one of kind softmax"),
        (
            "train large.json --data digits",
            "samples of shape 1×28×28, the data has samples of shape 1×8×8",
        ),
        ("train mlp --data digits --batch-size 0", "batch size is 0"),
        ("train mlp --data digits --epochs 0", "number of epochs is 0"),
        ("train mlp --data digits --learning-rate -1", "learning rate"),
        (
            "train mlp --data digits --optimizer sgd:learning_rate=1e30",
            "training diverged in",
        ),
        ("train mlp --data digits --validation 2", "--validation"),
        ("train mlp --data digits --metric auc", "there is no metric \"auc\""),
        ("train mlp --data digits --watch val_f1", "there is no `val_f1`"),
        ("train mlp --data digits --target x", "for tables"),
        ("train mlp --data nowhere", "no folder of this name"),
        ("train mlp --data missing.csv", "missing.csv: "),
        (
            "train mlp --data text.csv",
            "text.csv: line 3, column 1: `many` is not a number",
        ),
        ("train cnn --data picture.csv", "layer 0 (conv2d)"),
        ("evaluate missing.safetensors", "missing.safetensors: "),
        ("predict missing.safetensors x.png", "missing.safetensors: "),
        ("summary missing.safetensors", "missing.safetensors: "),
        ("summary mlp --input 0", "input shape"),
        ("summary zero.json --classes 3", "are for built-in networks"),
    ] {
        let message = bad(home, &format!("{arguments} --quiet"));
        assert!(message.contains(expected), "gradus {arguments}: {message}");
    }
    let left = names(home)
        .into_iter()
        .filter(|name| name == "runs")
        .collect::<Vec<_>>();
    // Only the training that diverged had begun, and had a folder for its files.
    assert!(left.is_empty() || names(&home.join("runs/train")).is_empty());
}

#[test]
fn damaged_networks_and_pictures_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    good(home, "train mlp --data digits --epochs 1 --quiet --out net");
    let whole = fs::read(home.join("net/network.safetensors")).unwrap();
    for length in [0, 7, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(home.join("cut.safetensors"), &whole[..length]).unwrap();
        for command in [
            "evaluate cut.safetensors",
            "predict cut.safetensors x.png",
            "summary cut.safetensors",
        ] {
            assert!(bad(home, command).starts_with("cut.safetensors: "));
        }
    }
    write_png(&home.join("blank.png"), 30, 30, png::ColorType::Grayscale, &[255; 900]);
    fs::write(home.join("text.png"), "no picture").unwrap();
    for picture in ["blank.png", "text.png", "missing.png"] {
        let message = bad(home, &format!("predict net/network.safetensors {picture}"));
        assert!(message.starts_with(&format!("{picture}: ")), "{message}");
    }
    // Training into a file instead of a folder is told before the training.
    fs::write(home.join("file"), "").unwrap();
    assert!(bad(home, "train mlp --data digits --quiet --out file").contains("file: the folder can't be made"));
}

/// The files themselves are tested in `gradus-source`.
#[test]
fn a_trained_network_is_exported() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    good(home, "train mlp --data digits --epochs 2 --out net --quiet");
    let told = good(home, "export net/network.safetensors --to rust --json export.json");
    let results = json(home.join("export.json"));
    let text = fs::read_to_string(home.join("net/network.rs")).unwrap();
    assert!(
        text.contains("pub fn predict(&mut self, input: &[f32; INPUTS]"),
        "{text:.2000}"
    );
    assert!(text.starts_with("//! The neural network network.safetensors, trained on digits"));
    // 64-256-256-10, each with a bias, and the names of the classes.
    let parameters = 64 * 256 + 256 + 256 * 256 + 256 + 256 * 10 + 10;
    assert_eq!(results["tables"], 4 * parameters + 10 * 6);
    assert_eq!(results["buffer"], 4 * 512);
    assert!(told.contains(&format!("flash {} bytes", results["flash"])), "{told}");

    let told = good(
        home,
        "export net/network.safetensors --to c --int8 -o firmware/digits.c --prefix digits --json export.json",
    );
    let results = json(home.join("export.json"));
    let text = fs::read_to_string(home.join("firmware/digits.c")).unwrap();
    assert!(
        text.contains("void digits_predict(const uint8_t *input, uint8_t *output);"),
        "{text:.2000}"
    );
    assert!(told.contains("360 test samples"), "{told}");
    let share = |what: &str| results["accuracy"][what].as_f64().unwrap();
    assert!(
        share("float") > 0.8 && (share("float") - share("int8")).abs() < 0.01,
        "{told}"
    );

    let message = bad(home, "export net/network.safetensors --to c --prefix 1st");
    assert_eq!(
        message,
        "--prefix: the prefix must be a name in C, of letters, digits and underscores, not `1st`"
    );
    let message = bad(home, "export net/network.safetensors --to c -o net/network.safetensors");
    assert!(message.contains("that is the file itself"), "{message}");
    // As an ONNX file, which comes back the same.
    let told = good(
        home,
        "export net/network.safetensors --to onnx --uint8 --logits -o net/digits.onnx --json export.json",
    );
    assert!(
        told.contains("net/digits.onnx") && told.contains("input `x`, output `y`"),
        "{told}"
    );
    assert_eq!(json(home.join("export.json"))["to"], "onnx");
    let told = good(home, "import net/digits.onnx -o net/again.safetensors");
    assert!(told.contains("It takes byte / 255"), "{told}");
    let message = bad(home, "export net/network.safetensors --to onnx --int8");
    assert_eq!(message, "--int8 is for source files, not for --to onnx");
    let message = bad(home, "export net/network.safetensors --to rust --logits");
    assert_eq!(message, "--logits and --uint8 are for --to onnx, not for source files");
}

/// Names of bytes that are no text, as other systems' disks have.
#[cfg(target_os = "linux")]
#[test]
fn declared_networks_may_have_names_that_are_no_text() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let name = OsStr::from_bytes(b"n\xe9t.toml");
    let layer = |kind: &str, rest: &str| format!("[[layers]]\nkind = \"{kind}\"\n{rest}\n");
    let layers = [
        ("dense", "units = 4"),
        ("tanh", ""),
        ("dense", "units = 1"),
        ("sigmoid", ""),
    ];
    let layers: String = layers.map(|(kind, rest)| layer(kind, rest)).concat();
    fs::write(home.join(name), format!("input = [2]\n{layers}")).unwrap();
    for (before, after) in [
        ("summary", "--json it.json"),
        ("train", "--data xor --validation 0 --epochs 1 --out net --json it.json"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_gradus"))
            .env_clear()
            .current_dir(home)
            .arg(before)
            .arg(name)
            .args(after.split_whitespace())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let shown = json(home.join("it.json")).to_string();
        assert!(shown.contains("n\u{fffd}t"), "{shown}");
    }
}

#[test]
fn frozen_parameters_keep_their_values_and_checkpoints_know_them() {
    use gradus::prelude::*;

    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let layers = r#"[{"kind": "flatten"}, {"kind": "dense", "units": 8}, {"kind": "relu"}, {"kind": "dense", "units": 10},
                     {"kind": "softmax"}]"#;
    fs::write(
        home.join("mine.json"),
        format!(r#"{{"input": [1, 8, 8], "layers": {layers}}}"#),
    )
    .unwrap();
    let train = "train mine.json --data digits --seed 5 --quiet --json train.json --freeze 1,3.bias";
    let network = Sequential::new([1, 8, 8])
        .layer(Flatten)
        .layer(Dense::new(8))
        .layer(Relu);
    let untrained = network.layer(Dense::new(10)).layer(Softmax).build(5).unwrap();
    let changed = |out: &str| -> Vec<String> {
        let trained = Network::load(home.join(out).join("network.safetensors")).unwrap();
        let pairs = trained.parameters().zip(untrained.parameters());
        pairs
            .filter(|(a, b)| a.values != b.values)
            .map(|(a, _)| a.name)
            .collect()
    };
    good(home, &format!("{train} --epochs 2 --out whole"));
    assert_eq!(changed("whole"), ["3.weight"]);
    assert_eq!(
        json(home.join("train.json"))["recipe"]["freeze"],
        serde_json::json!(["1", "3.bias"])
    );

    good(home, &format!("{train} --epochs 1 --out parts"));
    let other = gradus(
        home,
        "train mine.json --data digits --seed 5 --quiet --epochs 2 --out parts --resume",
    );
    let message = String::from_utf8(other.stderr).unwrap();
    assert_eq!(other.status.code(), Some(1));
    assert!(
        message.contains("the frozen parameters was 1.weight, 1.bias, 3.bias, and is now nothing"),
        "{message}"
    );
    let goes_on = gradus(home, &format!("{train} --epochs 2 --out parts --resume"));
    assert!(goes_on.status.success());
    assert_eq!(changed("parts"), ["3.weight"]);
    let weight = |out: &str| {
        let network = Network::load(home.join(out).join("network.safetensors")).unwrap();
        network.parameter("3.weight").unwrap().values.to_vec()
    };
    assert_eq!(weight("parts"), weight("whole"));

    let message = bad(home, &format!("{train} --freeze 4"));
    assert!(
        message.contains("there is no parameter \"4\" to freeze")
            && message.contains("the network has 1.weight, 1.bias, 3.weight, 3.bias"),
        "{message}"
    );
    good(home, &format!("{train} --epochs 1 --freeze 1.bias"));
}

#[test]
fn groups_have_settings_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let train = "train mlp --data digits --seed 5 --quiet --json train.json";
    let still = "--group 1:learning_rate_factor=0 --group 3:optimizer=sgd,learning_rate=0.1";
    good(home, &format!("{train} --epochs 1 --out grouped {still}"));
    good(home, &format!("{train} --epochs 1 --out without"));
    let load = |out: &str| gradus::Network::load(home.join(out).join("network.safetensors")).unwrap();
    let weight = |out: &str, name: &str| load(out).parameter(name).unwrap().values.to_vec();
    assert_ne!(weight("grouped", "3.weight"), weight("without", "3.weight"));
    assert_eq!(
        json(home.join("train.json"))["recipe"].get("group"),
        None,
        "none was asked for"
    );
    let resumed = gradus(home, &format!("{train} --epochs 2 --out grouped --resume"));
    let message = String::from_utf8(resumed.stderr).unwrap();
    assert!(
        message.contains("the parameter groups was 1.weight, 1.bias: learning rate times 0, adam {"),
        "{message}"
    );
    good(home, &format!("{train} --epochs 2 --out grouped --resume {still}"));
    assert_eq!(
        json(home.join("train.json"))["recipe"]["group"][0],
        "1:learning_rate_factor=0"
    );
    let message = bad(home, &format!("{train} --group 9:weight_decay=0"));
    assert!(message.contains("there is no parameter \"9\" to group"), "{message}");
}

#[test]
fn training_starts_from_the_weights_of_a_network() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let train = "train mlp --data digits --quiet";
    good(home, &format!("{train} --epochs 3 --out first"));
    let more = format!("{train} --seed 9 --weights first/network.safetensors");
    good(home, &format!("{more} --epochs 1 --freeze 1,3 --out second"));
    let load = |out: &str| gradus::Network::load(home.join(out).join("network.safetensors")).unwrap();
    let (first, second) = (load("first"), load("second"));
    let same = |name: &str| first.parameter(name).unwrap().values == second.parameter(name).unwrap().values;
    assert!(same("1.weight") && same("3.bias") && !same("5.weight"));
    let losses = |out: &str| -> Vec<f64> {
        let history = fs::read_to_string(home.join(out).join("history.csv")).unwrap();
        let rows = history
            .lines()
            .skip(1)
            .map(|row| row.split(',').nth(1).unwrap().parse().unwrap());
        rows.collect()
    };
    assert!(losses("second")[0] < losses("first")[1]);

    let message = bad(
        home,
        "train cnn --data digits --quiet --weights first/network.safetensors",
    );
    assert!(message.contains("first/network.safetensors"), "{message}");
    let message = bad(home, &format!("{more} --out first"));
    assert!(message.contains("first/network.safetensors"), "{message}");
}

#[test]
fn mistyped_names_are_answered_with_the_one_that_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    // More columns than an error lists.
    let names: Vec<String> = (0..30).map(|i| format!("\"column {i}\"")).collect();
    let row: Vec<String> = (0..30).map(|i| i.to_string()).collect();
    let table = format!("{};price\n{};1\n{};2\n", names.join(";"), row.join(";"), row.join(";"));
    fs::write(home.join("t.csv"), &table).unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, table.as_bytes()).unwrap();
    fs::write(home.join("t.csv.gz"), packed.finish().unwrap()).unwrap();
    for (arguments, expected) in [
        (
            "train lentet",
            "did you mean `lenet`? Choose one of xor, mlp, cnn, lenet,",
        ),
        (
            "train mlp --data t.csv --target Prise",
            "the first being 0; did you mean `price`?",
        ),
        (
            "train mlp --data t.csv.gz --target column-29",
            "; did you mean `column 29`?",
        ),
        (
            "train mlp --data digits --watch val_acuracy",
            "did you mean `val_accuracy`? Choose one of loss, ",
        ),
        (
            "train mlp --data digits --loss crosentropy",
            "did you mean \"cross_entropy\"?",
        ),
    ] {
        let message = bad(home, &format!("{arguments} --quiet"));
        assert!(message.contains(expected), "gradus {arguments}: {message}");
    }
    let message = bad(home, "train mlp --data t.csv --target something --quiet");
    assert!(!message.contains("did you mean"), "{message}");
}

#[test]
fn the_version_says_what_computes() {
    let version = |arguments: &str, level: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_gradus"))
            .env_clear()
            .env("GRADUS_ARCH", level)
            .args(arguments.split_whitespace())
            .output()
            .unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let float = std::any::type_name::<gradus::Float>();
    let start = format!("gradus {} ({float}, ", env!("CARGO_PKG_VERSION"));
    for arguments in ["--version", "-V"] {
        let said = version(arguments, "plain");
        let instructions = said.strip_prefix(&start).unwrap();
        assert!(
            ["SSE2)\n", "NEON)\n", "no vector instructions)\n"].contains(&instructions),
            "{said}"
        );
    }
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
        assert_eq!(
            version("train --version", "avx2"),
            start.replace("gradus ", "gradus-train ") + "AVX2)\n"
        );
    }
}

/// Targets of any size, and losses of their squares.
#[test]
fn numbers_in_reports_are_short() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let rows: String = (0..40).map(|i| format!("{i},{}e15\n", i * i)).collect();
    fs::write(home.join("t.csv"), format!("x,y\n{rows}")).unwrap();
    let train = "train mlp --data t.csv --regression --epochs 1 --quiet";
    let trained = good(home, train);
    let evaluated = good(home, "evaluate runs/train/network.safetensors");
    for said in [trained, evaluated] {
        let numbers = said.split_whitespace().filter(|word| word.parse::<f64>().is_ok());
        let longest = numbers.map(str::len).max().unwrap();
        assert!(longest <= 12, "{said}");
        assert!(said.contains("e3"), "{said}");
    }
    let sigmoid = r#"{"input": [1], "layers": [{"kind": "dense", "units": 1}, {"kind": "sigmoid"}]}"#;
    fs::write(home.join("sigmoid.json"), sigmoid).unwrap();
    fs::write(home.join("large.csv"), "x,y\n1,1e30\n2,1e30\n3,1e30\n4,1e30\n5,1e30\n").unwrap();
    let message = bad(home, "train sigmoid.json --data large.csv --regression --validation 0");
    assert!(message.contains("a target is 1e30: end it"), "{message}");
}

#[test]
fn exports_of_an_earlier_network_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let train = "train xor --quiet --out net --epochs";
    good(home, &format!("{train} 1"));
    good(home, "export net/network.safetensors --to c");
    good(home, "export net/network.safetensors --to c --int8");
    let notes = |arguments: &str| {
        let output = gradus(home, arguments);
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    // Training that had ended leaves the network as it was.
    let ended = notes(&format!("{train} 1 --resume"));
    assert_eq!(ended, "note: training had ended after 1 epoch\n");
    let again = notes(&format!("{train} 2"));
    let note = |name: &str| format!("note: net/{name} was exported from an earlier network, not from this one\n");
    assert_eq!(again, note("network.c") + &note("network_int8.c"));
    assert_eq!(notes("train xor --quiet --epochs 1 --out other"), "");
}

#[test]
fn logarithms_of_probabilities_are_shown_as_probabilities() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    fs::write(
        home.join("log.toml"),
        "input = [1, 8, 8]\nlayers = [{ kind = \"flatten\" }, { kind = \"dense\", units = 10 }, { kind = \"log_softmax\" }]\n",
    )
    .unwrap();
    let message = bad(home, "train log.toml --data digits --quiet --loss cross_entropy");
    assert!(message.contains("train it with --loss nll"), "{message}");
    good(
        home,
        "train log.toml --data digits --quiet --epochs 5 --learning-rate 0.01 --out log",
    );
    good(home, "data show digits --out shown");
    let picture = fs::read_dir(home.join("shown"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let report = good(home, "evaluate log/network.safetensors --json evaluated.json");
    assert!(!report.contains("logits"), "{report}");
    assert!(json(home.join("evaluated.json"))["accuracy"].as_f64().unwrap() > 0.8);
    good(
        home,
        &format!(
            "predict log/network.safetensors {} --json predicted.json",
            picture.display()
        ),
    );
    let probability = json(home.join("predicted.json"))["pictures"][0]["probability"].as_f64();
    assert!(probability.is_some_and(|p| (0.0..=1.0).contains(&p)), "{probability:?}");
}

#[test]
fn what_can_not_be_written_is_refused_before_training() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    fs::write(home.join("file"), "").unwrap();
    for (json, sentence) in [(".", "that is a folder"), ("file/x.json", "file is no folder")] {
        let message = bad(home, &format!("train xor --json {json}"));
        assert!(message.contains(sentence), "{message}");
    }
    assert!(!home.join("runs").exists());
}

#[test]
fn a_learning_rate_is_found_without_training() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join("rates").join(name);
    let command = "train mlp --data digits --optimizer sgd --out rates --find-rate";
    let text = good(folder.path(), &format!("{command} --json found.json"));
    assert!(text.contains("Suggestion: --learning-rate "), "{text}");
    assert!(text.contains("nothing was trained"), "{text}");
    assert_eq!(
        names(&folder.path().join("rates")),
        ["rates.csv", "rates.png", "rates.svg"]
    );
    let found = json(folder.path().join("found.json"));
    let points = found["points"].as_array().unwrap();
    let csv = fs::read_to_string(at("rates.csv")).unwrap();
    assert_eq!(csv.lines().count(), points.len() + 1);
    assert!(csv.starts_with("learning_rate,loss,smoothed\n"), "{csv}");
    let rate = found["suggestion"].as_f64().unwrap();
    assert!((1e-4..10.0).contains(&rate), "{rate}");
    // A narrower search, with its settings.
    let text = good(folder.path(), &format!("{command}=from=0.01,to=0.1,steps=5"));
    assert_eq!(
        fs::read_to_string(at("rates.csv")).unwrap().lines().count(),
        6,
        "{text}"
    );
    let message = bad(folder.path(), &format!("{command}=from=1,to=0.1"));
    assert!(
        message.contains("goes from a rate above 0 to a larger one, got 1 and 0.1"),
        "{message}"
    );
    let refused = |more: &str, sentence: &str| {
        let output = gradus(folder.path(), &format!("{command}{more}"));
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(2) && message.contains(sentence),
            "{message}"
        );
    };
    refused("=form=1", "there is no setting `form`; did you mean `from`?");
    refused("=steps=2.5", "steps must be a whole number, got 2.5");
    refused(" --resume", "cannot be used with");
}
