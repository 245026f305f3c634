//! `gradus evaluate` gives the right values, as a user runs it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use gradus::prelude::*;
use gradus::{Float, Network};
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

fn json(path: impl AsRef<Path>) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn close(value: &Value, expected: f64) {
    let value = value.as_f64().unwrap();
    assert!((value - expected).abs() < 1e-5, "{value}, expected {expected}");
}

/// A network without notes, as an import gives it, that multiplies its inputs by 8 and ends there.
fn save_logits(path: &Path, units: usize) {
    let mut network = Sequential::new([units]).layer(Dense::new(units)).build(1).unwrap();
    let weight: Vec<Float> = (0..units * units)
        .map(|i| if i % (units + 1) == 0 { 8.0 } else { 0.0 })
        .collect();
    network.set("0.weight", &weight).unwrap();
    network.save(path).unwrap();
}

#[test]
fn logits_are_measured_as_probabilities() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    save_logits(&home.join("three.safetensors"), 3);
    // Logits 8 times these; the last row is of another class than the largest.
    let rows = [[1.0, -1.0, 0.0], [-0.5, 0.25, 0.0], [0.125, 0.0, 0.5], [0.5, 0.0, 0.25]];
    let classes = [0, 1, 2, 2];
    let mut table = String::new();
    let mut loss = 0.0;
    for (row, class) in rows.iter().zip(classes) {
        table += &format!("{},{},{},{class}\n", row[0], row[1], row[2]);
        loss += row.iter().map(|x| f64::exp(8.0 * x)).sum::<f64>().ln() - 8.0 * row[class];
    }
    fs::write(home.join("three.csv"), table).unwrap();
    let said = good(
        home,
        "evaluate three.safetensors --data three.csv --header no --json out.json",
    );
    let results = json(home.join("out.json"));
    assert_eq!(results["loss_name"], "cross_entropy");
    close(&results["loss"], loss / 4.0);
    close(&results["accuracy"], 0.75);
    assert!(said.contains("The network gives logits"), "{said}");

    // One logit: class 1 where it is above 0, not above 0.5.
    save_logits(&home.join("one.safetensors"), 1);
    let rows = [(0.05, 1), (0.01, 1), (-0.05, 0), (-1.0, 0), (1.0, 0)];
    let mut loss = 0.0;
    let mut table = String::new();
    for (x, class) in rows {
        table += &format!("{x},{class}\n");
        let toward = if class == 1 { -8.0 * x } else { 8.0 * x };
        loss += f64::exp(toward).ln_1p();
    }
    fs::write(home.join("one.csv"), table).unwrap();
    good(
        home,
        "evaluate one.safetensors --data one.csv --header no --json out.json",
    );
    let results = json(home.join("out.json"));
    assert_eq!(results["loss_name"], "binary_cross_entropy");
    close(&results["loss"], loss / 5.0);
    close(&results["accuracy"], 0.8);
    assert_eq!(results["confusion"], serde_json::json!([[2, 1], [0, 2]]));
}

/// Of seven samples, three are of the class `yes`; the network finds two of them, and takes one `no` for `yes`.
#[test]
fn precision_recall_and_f1_are_those_of_the_positive_class() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    save_logits(&home.join("one.safetensors"), 1);
    let mut network = Network::load(home.join("one.safetensors")).unwrap();
    network.set_note("classes", r#"["no", "yes"]"#);
    network.save(home.join("one.safetensors")).unwrap();
    fs::write(home.join("t.csv"), "1,yes\n2,yes\n-1,yes\n3,no\n-2,no\n-3,no\n-4,no\n").unwrap();
    let evaluate = "evaluate one.safetensors --data t.csv --header no --json out.json";
    let said = good(home, evaluate);
    assert!(
        said.contains("of the positive class, yes: precision 0.6667, recall 0.6667, F1 0.6667"),
        "{said}"
    );
    let results = json(home.join("out.json"));
    assert_eq!(results["positive"], "yes");
    close(&results["recall"], 2.0 / 3.0);
    close(&results["macro"]["recall"], (2.0 / 3.0 + 0.75) / 2.0);
    good(home, &format!("{evaluate} --positive no"));
    let results = json(home.join("out.json"));
    assert_eq!(results["positive"], "no");
    for name in ["precision", "recall", "f1"] {
        close(&results[name], 0.75);
    }
    let message = bad(home, &format!("{evaluate} --positive maybe"));
    assert!(
        message.contains("there is no class `maybe`; choose one of no, yes"),
        "{message}"
    );

    // Without a sample of a class, there is nothing to find.
    fs::write(home.join("no.csv"), "1,no\n-2,no\n-3,no\n").unwrap();
    let said = good(home, "evaluate one.safetensors --data no.csv --header no");
    let row = |class: &str| -> Vec<&str> {
        let line = said.lines().find(|line| line.starts_with(&format!("{class} ")));
        line.unwrap().split_whitespace().skip(1).collect()
    };
    assert_eq!(row("no"), ["1.0000", "0.6667", "0.8000", "3"]);
    assert_eq!(row("yes"), ["–", "–", "–", "0"]);
    assert!(
        said.contains("of the positive class, yes: precision –, recall –, F1 –"),
        "{said}"
    );

    // In training, the metrics and what is watched follow.
    let rows: String = (0..60)
        .map(|i| format!("{},{}\n", i % 7, ["no", "yes"][i % 2]))
        .collect();
    fs::write(home.join("train.csv"), rows).unwrap();
    let train = "train mlp --data train.csv --header no --epochs 2 --metric f1,recall --quiet --json out.json";
    let said = good(home, train);
    assert!(said.contains("f1, recall: of the class `yes`"), "{said}");
    let said = good(home, &format!("{train} --positive no --watch val_f1 --patience 1"));
    assert!(said.contains("f1_class_0, recall_class_0: of the class `no`"), "{said}");
    let results = json(home.join("out.json"));
    assert_eq!(results["positive"], "no");
    assert!(results["test"]["recall_class_0"].is_number(), "{results}");
}

/// 150 rows whose classes are random: what a network is right about, it has learned by heart.
fn random_rows() -> Vec<String> {
    let mut state = 1u32;
    let mut next = |n: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % n
    };
    let mut row = |_| {
        let x: Vec<String> = (0..6).map(|_| format!("{}.5", next(1000))).collect();
        format!("{},{}\n", x.join(","), next(2))
    };
    (0..150).map(&mut row).collect()
}

const BY_HEART: &str =
    "train mlp --epochs 40 --validation 0 --batch-size 20 --quiet --json train.json --out net --data";

#[test]
fn a_table_is_known_by_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let names = "a,b,c,d,e,f,label\n";
    let rows = random_rows();
    let table = |rows: &[String]| names.to_string() + &rows.concat();
    fs::write(home.join("t.csv"), table(&rows)).unwrap();
    fs::create_dir(home.join("sub")).unwrap();
    good(home, &format!("{BY_HEART} t.csv"));
    let trained = json(home.join("train.json"));
    // With these numbers, training samples among those measured would be found out.
    assert_eq!(trained["train"]["accuracy"], 1.0);
    assert!(trained["test"]["accuracy"].as_f64().unwrap() < 0.8, "{trained}");

    let evaluate = |more: &str| {
        let said = good(
            home,
            &format!("evaluate net/network.safetensors --json out.json {more}"),
        );
        (said, json(home.join("out.json")))
    };
    let sentence = "120 of the 150 samples were used in training or validation and are left out.";
    let mut paths = vec!["t.csv", "./t.csv", "sub/../t.csv", "copies/other.csv"];
    fs::create_dir(home.join("copies")).unwrap();
    fs::copy(home.join("t.csv"), home.join("copies/other.csv")).unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(home.join("t.csv"), home.join("link.csv")).unwrap();
        paths.push("link.csv");
    }
    for path in paths {
        let (said, results) = evaluate(&format!("--data {path}"));
        assert!(said.contains(sentence), "{path}: {said}");
        assert_eq!(results["samples"], 30, "{path}");
        for value in ["loss", "accuracy"] {
            assert_eq!(results[value], trained["test"][value], "{path}");
        }
    }

    // Sorted, at another place and at its own.
    let mut sorted = rows.clone();
    sorted.sort();
    fs::write(home.join("copies/sorted.csv"), table(&sorted)).unwrap();
    let same = |results: &Value, part: &str| {
        assert_eq!(results["samples"], trained[part]["samples"]);
        assert_eq!(results["accuracy"], trained[part]["accuracy"]);
        close(&results["loss"], trained[part]["loss"].as_f64().unwrap());
    };
    let (said, results) = evaluate("--data copies/sorted.csv");
    assert!(said.contains(sentence), "{said}");
    assert_eq!([&results["left_out"], &results["all_samples"]], [120, 150]);
    same(&results, "test");
    let (said, results) = evaluate("--data copies/sorted.csv --part train");
    assert!(
        said.contains("120 of these 120 samples were used in training or validation."),
        "{said}"
    );
    same(&results, "train");

    // With a row more; with other rows; with those that were learned alone.
    fs::write(home.join("more.csv"), table(&rows) + "1,2,3,4,5,6,0\n").unwrap();
    let (said, results) = evaluate("--data more.csv");
    assert!(said.contains("120 of the 151 samples were used"), "{said}");
    assert_eq!(results["samples"], 31);
    fs::write(
        home.join("new.csv"),
        names.to_string() + "1,2,3,4,5,6,0\n7,2,3,4,5,6,1\n",
    )
    .unwrap();
    let (said, results) = evaluate("--data new.csv");
    assert!(said.contains("None of the 2 samples was used in training"), "{said}");
    assert_eq!(results["samples"], 2);
    let message = bad(home, "evaluate net/network.safetensors --data new.csv --part train");
    assert!(
        message.contains("--part train: None of the 2 samples was used"),
        "{message}"
    );
    let measured = |row: &&String| {
        fs::write(home.join("one.csv"), table(&[row.to_string()])).unwrap();
        let output = gradus(home, "evaluate net/network.safetensors --data one.csv");
        output.status.success()
    };
    let (tested, learned): (Vec<&String>, Vec<&String>) = rows[..12].iter().partition(measured);
    assert!(!tested.is_empty() && learned.len() > tested.len());
    fs::write(home.join("learned.csv"), names.to_string() + learned[0] + learned[1]).unwrap();
    let message = bad(home, "evaluate net/network.safetensors --data learned.csv");
    assert!(
        message.contains(
            "learned.csv: All 2 samples have the same values as samples of training or validation. There are none to test on; \
             --part all measures on them all the same"
        ),
        "{message}"
    );
    let (said, results) = evaluate("--data learned.csv --part all");
    let sentence = "All 2 samples have the same values as samples of training or validation.\n";
    assert!(said.contains(sentence), "{said}");
    assert_eq!((&results["part"], &results["samples"]), (&"all".into(), &2.into()));
    fs::write(
        home.join("mixed.csv"),
        names.to_string() + learned[0] + "1,2,3,4,5,6,0\n",
    )
    .unwrap();
    let (said, _) = evaluate("--data mixed.csv");
    assert!(
        said.contains(
            "1 of the 2 samples has the same values as samples of training or validation and is left out. --part all"
        ),
        "{said}"
    );
    let (said, results) = evaluate("--data mixed.csv --part all");
    assert!(
        said.contains("1 of these 2 samples has the same values as samples of training or validation, and is measured"),
        "{said}"
    );
    assert_eq!(results["samples"], 2);
    // Of the whole table, they are in it too.
    let (said, results) = evaluate("--data copies/sorted.csv --part all");
    assert!(
        said.contains("120 of these 150 samples were used in training or validation, and are measured"),
        "{said}"
    );
    assert_eq!((&results["samples"], &results["left_out"]), (&150.into(), &0.into()));
    let right = |part: &str| trained[part]["accuracy"].as_f64().unwrap() * trained[part]["samples"].as_f64().unwrap();
    close(&results["accuracy"], (right("train") + right("test")) / 150.0);

    // A file of an older version, and one of a published set, has one digest of all. The table is found where it was.
    let mut network = Network::load(home.join("net/network.safetensors")).unwrap();
    let mut learned: Value = serde_json::from_str(network.note("data.learned").unwrap()).unwrap();
    learned.as_object_mut().unwrap().remove("digests").unwrap();
    network.set_note("data.learned", learned.to_string());
    network.save(home.join("net/network.safetensors")).unwrap();
    same(&evaluate("--data sub/../t.csv").1, "test");
    same(&evaluate("--data copies/sorted.csv").1, "test");
    fs::write(home.join("t.csv"), table(&sorted)).unwrap();
    let (said, results) = evaluate("--data copies/sorted.csv");
    assert!(
        said.contains("Which of the samples were used in training cannot be known"),
        "{said}"
    );
    assert_eq!((&results["samples"], &results["left_out"]), (&150.into(), &Value::Null));
    same(&evaluate("--data copies/other.csv").1, "test");
}

/// The output of a run that must succeed, with what it prints to standard error.
fn both(folder: &Path, arguments: &str) -> (String, String) {
    let output = gradus(folder, arguments);
    let [said, told] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success(), "gradus {arguments}: {told}");
    (said, told)
}

/// A table with names and one without, beside a network that learned the other kind: by position, and a sentence says so.
#[test]
fn columns_without_names_are_taken_in_their_order_with_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let rows = |shift: f64, swap: bool| -> String {
        let row = |i: usize| {
            let (a, b) = ((i * 37 % 101) as f64 - 50.5 + shift, (i * 53 % 97) as f64 - 48.25);
            let (first, second) = if swap { (b, a) } else { (a, b) };
            format!("{first},{second},{}\n", usize::from(a > b))
        };
        (0..200).map(row).collect()
    };
    let names = |names: &str, rows: String| format!("{names}\n{rows}");
    fs::write(home.join("named.csv"), names("a,b,y", rows(0.0, false))).unwrap();
    fs::write(home.join("plain.csv"), rows(0.125, false)).unwrap();
    fs::write(home.join("swapped.csv"), names("b,a,y", rows(0.125, true))).unwrap();
    let train = |data: &str, out: &str| format!("train mlp --data {data} --epochs 5 --quiet --out {out}");
    good(home, &train("named.csv", "named"));
    good(home, &train("plain.csv", "plain"));
    let evaluate = |network: &str, more: &str| {
        let (_, told) = both(
            home,
            &format!("evaluate {network}/network.safetensors --data {more} --json out.json"),
        );
        (told, json(home.join("out.json"))["accuracy"].as_f64().unwrap())
    };
    let message = bad(home, "evaluate named/network.safetensors --data plain.csv");
    assert!(
        message.contains("no column is called `y`") && message.contains("the position of the target"),
        "{message}"
    );
    let (told, accuracy) = evaluate("named", "plain.csv --target 2");
    assert_eq!(
        told,
        "note: the table does not name its columns: they are taken for `a`, `b`, in this order, as in training\n"
    );
    assert!(accuracy > 0.9, "{accuracy}");
    // By their names, without a word.
    let (told, accuracy) = evaluate("named", "swapped.csv");
    assert_eq!(told, "");
    assert!(accuracy > 0.9, "{accuracy}");
    // The names tell nothing to a network that has none.
    let (told, accuracy) = evaluate("plain", "swapped.csv");
    assert_eq!(
        told,
        "note: the network does not know the names of its columns: `b`, `a` are taken for them, in this order\n"
    );
    assert!(accuracy < 0.6, "{accuracy}");
}

/// What was said of the first line of one table is not said of another.
#[test]
fn the_first_line_is_that_of_its_own_table() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let rows: String = (0..60)
        .map(|i| format!("{},{}\n", i % 7, usize::from(i % 7 > 3)))
        .collect();
    fs::write(home.join("plain.csv"), &rows).unwrap();
    // What may be the names of columns: as a row, they would be one sample more.
    fs::write(home.join("named.csv"), format!("0,1\n{}", rows.replace(',', ".5,"))).unwrap();
    good(
        home,
        "train mlp --data plain.csv --header no --epochs 1 --quiet --out net",
    );
    good(home, "evaluate net/network.safetensors");
    let evaluate = "evaluate net/network.safetensors --part all --json out.json --data";
    let message = bad(home, &format!("{evaluate} named.csv"));
    assert!(
        message.contains("may name the columns or be a row of numbers"),
        "{message}"
    );
    good(home, &format!("{evaluate} named.csv --header yes"));
    assert_eq!(json(home.join("out.json"))["samples"], 60);
    good(home, &format!("{evaluate} plain.csv"));
    assert_eq!(json(home.join("out.json"))["samples"], 60);
}

/// A network that another program saved: nothing says how its columns were scaled, but how its outputs are.
#[test]
fn the_scale_of_targets_holds_without_that_of_columns() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let mut network = Sequential::new([1]).layer(Dense::new(1)).build(1).unwrap();
    network.set("0.weight", &[1.0]).unwrap();
    network.set_note("targets", r#"{"mean": [500.0], "deviation": [100.0]}"#);
    network.save(home.join("net.safetensors")).unwrap();
    // The output is 500 + 100 x; the errors are 10, 20 and 30.
    fs::write(home.join("t.csv"), "0.5,560\n-1.5,330\n2.25,755\n").unwrap();
    let evaluate = "evaluate net.safetensors --data t.csv --header no --json out.json";
    for more in ["", " --regression"] {
        good(home, &format!("{evaluate}{more}"));
        let results = json(home.join("out.json"));
        assert!(
            (results["absolute_error"].as_f64().unwrap() - 20.0).abs() < 1e-3,
            "{results}"
        );
        assert!(
            (results["loss"].as_f64().unwrap() - 1400.0 / 3.0).abs() < 1e-2,
            "{results}"
        );
    }
    // Without that scale, nothing says that they are values.
    let mut plain = Sequential::new([1]).layer(Dense::new(1)).build(1).unwrap();
    plain.set("0.weight", &[100.0]).unwrap();
    plain.set("0.bias", &[500.0]).unwrap();
    plain.save(home.join("plain.safetensors")).unwrap();
    let evaluate_plain = evaluate.replace("net.safe", "plain.safe");
    let message = bad(home, &evaluate_plain);
    assert!(
        message.contains("are 3 classes: if they are values, say so with --regression"),
        "{message}"
    );
    good(home, &format!("{evaluate_plain} --regression"));
    close(&json(home.join("out.json"))["absolute_error"], 20.0);
    let message = bad(home, &format!("{evaluate} --classification"));
    assert!(
        message.contains("the network gives values, and the targets of"),
        "{message}"
    );
    fs::write(home.join("four.csv"), "0,0\n1,1\n0,0\n1,1\n").unwrap();
    let message = bad(home, "evaluate net.safetensors --data digits --offline");
    assert!(
        message.contains("the network gives values, and the targets of digits are classes"),
        "{message}"
    );

    let mut network = Sequential::new([1]).layer(Dense::new(2)).build(1).unwrap();
    network.set_note("classes", r#"["0", "1"]"#);
    network.save(home.join("classes.safetensors")).unwrap();
    let message = bad(
        home,
        "evaluate classes.safetensors --data four.csv --header no --regression",
    );
    assert!(
        message.contains("the network tells classes apart, and the targets of"),
        "{message}"
    );
}

/// Columns of small numbers: every row that a test table can have was learned.
#[test]
fn rows_that_are_equal_by_chance_can_be_measured() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let table = |seed: usize, rows: usize| {
        let row = |i: usize| {
            let [a, b] = [(i * seed) % 3, (i * seed / 3) % 3];
            format!("{a},{b},{}\n", usize::from(a > b))
        };
        "a,b,y\n".to_string() + &(0..rows).map(row).collect::<String>()
    };
    fs::write(home.join("t.csv"), table(7, 200)).unwrap();
    fs::write(home.join("new.csv"), table(5, 36)).unwrap();
    good(
        home,
        "train mlp --data t.csv --epochs 30 --batch-size 16 --quiet --out net",
    );
    let evaluate = "evaluate net/network.safetensors --data new.csv --json out.json";
    let message = bad(home, evaluate);
    assert!(
        message.contains("All 36 samples have the same values as samples of training or validation."),
        "{message}"
    );
    assert!(message.contains("--part all"), "{message}");
    good(home, &format!("{evaluate} --part all"));
    let results = json(home.join("out.json"));
    assert_eq!((&results["samples"], &results["accuracy"]), (&36.into(), &1.0.into()));
}

#[test]
fn a_folder_is_known_by_its_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let mut classes = random_rows().into_iter().map(|row| row.trim_end().ends_with(",1"));
    for i in 0..60u32 {
        let class = home.join("pics").join(if classes.next().unwrap() { "b" } else { "a" });
        fs::create_dir_all(&class).unwrap();
        let pixels: Vec<u8> = (0..16).map(|k| (i.wrapping_mul(2_654_435_761) >> k) as u8).collect();
        let mut encoder = png::Encoder::new(fs::File::create(class.join(format!("{i}.png"))).unwrap(), 4, 4);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    }
    fs::create_dir(home.join("sub")).unwrap();
    good(home, &format!("{BY_HEART} pics"));
    let trained = json(home.join("train.json"));
    let mut paths = vec!["", "--data pics", "--data pics/", "--data sub/../pics"];
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(home.join("pics"), home.join("link")).unwrap();
        paths.push("--data link");
    }
    let check = |path: &str| {
        let said = good(
            home,
            &format!("evaluate net/network.safetensors --json out.json {path}"),
        );
        let results = json(home.join("out.json"));
        assert!(said.contains("48 of the 60 samples were used"), "{path}: {said}");
        for value in ["samples", "loss", "accuracy"] {
            assert_eq!(results[value], trained["test"][value], "{path}");
        }
    };
    paths.into_iter().for_each(check);
    fs::rename(home.join("pics"), home.join("moved")).unwrap();
    check("--data moved");
}
