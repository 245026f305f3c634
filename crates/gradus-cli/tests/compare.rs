//! `gradus compare` and `gradus experiment`, as a user runs them: on the sets in the program, with no files and no internet.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use gradus::Network;
use serde_json::Value;

/// The program in a folder of its own, with no settings from outside.
fn gradus(home: &Path, arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gradus"));
    command
        .env_clear()
        .env("HOME", home)
        .env("LOCALAPPDATA", home)
        .current_dir(home);
    command.args(arguments.split_whitespace()).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn read_json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn compare_learns_mnist_with_no_files_and_no_internet() {
    let home = tempfile::tempdir().unwrap();
    let output = gradus(home.path(), "compare --epochs 1 --seed 7");
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(!stderr(&output).contains("note: "), "{}", stderr(&output));
    assert!(!home.path().join(".cache").exists());

    let folder = home.path().join("runs/compare");
    let results = read_json(&folder.join("results.json"));
    assert_eq!((&results["data"], &results["seed"]), (&"mnist".into(), &7.into()));
    let [mlp, cnn] = &results["networks"].as_array().unwrap()[..] else {
        panic!("two networks")
    };
    assert_eq!((&mlp["name"], &cnn["name"]), (&"mlp".into(), &"cnn".into()));
    for network in [mlp, cnn] {
        for part in ["train", "validation", "test"] {
            let accuracy = network[part]["accuracy"].as_f64().unwrap();
            assert!((0.85..=1.0).contains(&accuracy), "{part} {accuracy}");
            assert!(network[part]["loss"].as_f64().unwrap() > 0.0);
        }
        for number in ["parameters", "multiply_adds", "seconds_per_epoch", "samples_per_second"] {
            assert!(network[number].as_f64().unwrap() > 0.0, "{number}");
        }
        let name = network["name"].as_str().unwrap();
        let loaded = Network::load(folder.join(format!("{name}.safetensors"))).unwrap();
        assert_eq!(loaded.parameter_count() as u64, network["parameters"].as_u64().unwrap());
        let history = fs::read_to_string(folder.join(format!("{name}-history.csv"))).unwrap();
        assert_eq!(history.lines().count() as u64, 1 + network["epochs"].as_u64().unwrap());
        assert!(read_json(&folder.join(format!("{name}-history.json"))).is_array());
    }
    for picture in ["curves", "confusion"] {
        assert!(
            fs::read(folder.join(format!("{picture}.png")))
                .unwrap()
                .starts_with(b"\x89PNG")
        );
        assert!(
            fs::read_to_string(folder.join(format!("{picture}.svg")))
                .unwrap()
                .contains("</svg>")
        );
    }
}

/// The original ignored the number of epochs that it was asked for.
#[test]
fn defect_13_the_number_of_epochs_is_honoured() {
    let home = tempfile::tempdir().unwrap();
    let output = gradus(
        home.path(),
        "compare --data digits --epochs 2 --seeds 2 --quiet --json all.json --out here",
    );
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stderr(&output), "", "--quiet");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("test accuracy over 2 seeds (42 to 43)"), "{text}");
    let usual = gradus(
        home.path(),
        "compare --data digits --quiet --json usual.json --out usual",
    );
    assert!(usual.status.success(), "{}", stderr(&usual));
    let usual = read_json(&home.path().join("usual.json"));
    assert_eq!(
        [0, 1].map(|i| usual["networks"][i]["epochs"].as_u64()),
        [Some(15), Some(10)]
    );

    let results = read_json(&home.path().join("all.json"));
    assert_eq!(results, read_json(&home.path().join("here/results.json")));
    for i in 0..2 {
        assert_eq!(results["networks"][i]["epochs"], 2);
        assert_eq!(results["seeds"][i]["test_accuracies"].as_array().unwrap().len(), 2);
    }
}

#[test]
fn the_same_seed_gives_the_same_result_on_any_number_of_threads() {
    let home = tempfile::tempdir().unwrap();
    let run = |threads: usize, recipe: &str| {
        let arguments =
            format!("compare --data digits --epochs 1 --recipe {recipe} --threads {threads} --out t{threads}");
        let output = gradus(home.path(), &arguments);
        assert!(output.status.success(), "{}", stderr(&output));
        ["mlp", "cnn"].map(|name| fs::read(home.path().join(format!("t{threads}/{name}.safetensors"))).unwrap())
    };
    for recipe in ["report", "best"] {
        assert!(run(1, recipe) == run(3, recipe), "{recipe}");
    }
}

#[test]
fn data_that_was_asked_for_is_not_replaced() {
    let home = tempfile::tempdir().unwrap();
    let output = gradus(home.path(), "compare --data fashion-mnist --offline");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).starts_with("error: the data set fashion-mnist was not found"),
        "{}",
        stderr(&output)
    );
    assert!(!home.path().join("runs").exists());

    for (arguments, expected) in [
        ("compare --data nowhere", "there is no data set called `nowhere`"),
        ("compare --epochs 0", "0 is not in 1.."),
        ("experiment overfit --data digits --out /dev/null/x", "can't be made"),
    ] {
        let output = gradus(home.path(), arguments);
        assert!(!output.status.success());
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
        assert!(!stderr(&output).contains("panicked"));
    }
}

#[test]
fn the_experiments_show_what_they_are_named_for() {
    let home = tempfile::tempdir().unwrap();
    let run = |study: &str| {
        let output = gradus(home.path(), &format!("experiment {study} --data digits --quiet"));
        assert!(output.status.success(), "{}", stderr(&output));
        let folder = home.path().join("runs").join(study);
        assert!(folder.join("curves.png").exists() && folder.join("curves.svg").exists());
        let network = read_json(&folder.join("results.json"))["networks"][0].clone();
        let loss = |part: &str| network[part]["loss"].as_f64().unwrap();
        (loss("train"), loss("validation"))
    };
    let (train, validation) = run("overfit");
    assert!(validation > 2.0 * train, "{train} {validation}");
    let (train, _) = run("underfit");
    assert!(train > 0.5, "{train}");
}
