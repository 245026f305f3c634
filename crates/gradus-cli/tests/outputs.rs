//! What the program writes and prints: through devices and pipes, into folders that others use, for readers that go away, and of names
//! that no terminal should see.
#![cfg(unix)]

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The program in a folder, with no settings from outside.
fn gradus<S: AsRef<OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gradus"));
    command
        .env_clear()
        .env("HOME", folder)
        .current_dir(folder)
        .args(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(folder: &Path, arguments: &str) -> Output {
    gradus(folder, arguments.split_whitespace()).output().unwrap()
}

/// What a run says that must end with this code, without a panic: standard output, standard error.
#[track_caller]
fn ended(output: Output, code: i32) -> (String, String) {
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(output.status.code(), Some(code), "{said:?}");
    assert!(!said[1].contains("panicked"), "{said:?}");
    said.into()
}

#[track_caller]
fn good(folder: &Path, arguments: &str) -> String {
    ended(run(folder, arguments), 0).0
}

/// The sentence of a run that must fail.
#[track_caller]
fn bad(folder: &Path, arguments: &str) -> String {
    let (_, errors) = ended(run(folder, arguments), 1);
    assert_eq!(errors.trim_end().lines().count(), 1, "{errors}");
    errors.strip_prefix("error: ").unwrap().trim_end().to_string()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

const XOR: &str = "train xor --epochs 3 --quiet";
/// Longer than any test; with a checkpoint after every step.
const LONG: &str = "train mlp --data digits --epochs 1000000000 --checkpoint 0 --quiet";

/// Waits until this holds.
fn wait_for(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn interrupt(child: &Child) {
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

#[test]
fn results_go_through_what_is_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    good(folder, "summary xor --json /dev/null");
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    let both = good(folder, "summary xor --json /dev/stdout");
    let (table, json) = both.split_at(both.find("\n{").unwrap());
    assert!(table.contains("dense") && serde_json::from_str::<Value>(json).unwrap()["network"] == "xor");
    // Into a file too they go one after the other.
    let mut command = gradus(folder, ["summary", "xor", "--json", "/dev/stdout"]);
    assert!(
        command
            .stdout(File::create(folder.join("both")).unwrap())
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(fs::read_to_string(folder.join("both")).unwrap(), both);

    fs::write(folder.join("secret.json"), "old").unwrap();
    fs::set_permissions(folder.join("secret.json"), fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink("secret.json", folder.join("link.json")).unwrap();
    good(folder, "summary xor --json link.json");
    assert!(folder.join("link.json").is_symlink());
    let metadata = fs::metadata(folder.join("secret.json")).unwrap();
    assert!(metadata.permissions().mode() & 0o777 == 0o600 && metadata.len() > 100);
}

#[test]
fn a_reader_that_goes_away_does_not_stop_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Stdio::from(writer)
    };
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    let train = |out: &str| {
        gradus(
            folder,
            format!("{XOR} --out {out} --json {out}.json").split_whitespace(),
        )
    };
    let saved = |out: &str| {
        assert!(folder.join(out).join("network.safetensors").is_file(), "{out}");
        assert!(folder.join(format!("{out}.json")).is_file(), "{out}");
    };
    ended(train("closed").stdout(closed()).output().unwrap(), 0);
    saved("closed");
    let (_, errors) = ended(train("full").stdout(full()).output().unwrap(), 1);
    assert!(
        errors.starts_with("error: standard output can't be written: No space"),
        "{errors}"
    );
    saved("full");
    for (out, stderr) in [("closed-errors", closed()), ("full-errors", full())] {
        let mut command = gradus(
            folder,
            format!("train xor --epochs 3 --resume --out {out} --json {out}.json").split(' '),
        );
        ended(command.stderr(stderr).output().unwrap(), 0);
        saved(out);
    }
    // What fails, fails, whoever reads it.
    ended(
        gradus(folder, ["summary", "none"])
            .stdout(closed())
            .stderr(closed())
            .output()
            .unwrap(),
        1,
    );
    let (_, errors) = ended(gradus(folder, ["--help"]).stdout(full()).output().unwrap(), 1);
    assert!(errors.contains("standard output"), "{errors}");
    ended(gradus(folder, ["--help"]).stdout(closed()).output().unwrap(), 0);
}

#[test]
fn names_that_are_no_text_are_names() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let with = |name: &str| OsString::from_vec([b"\xff\xfe", name.as_bytes()].concat());
    let own = |arguments: &str| -> Vec<OsString> {
        let words = arguments.split_whitespace();
        // `@name` is the odd name, and then the name.
        words
            .map(|word| word.strip_prefix('@').map_or_else(|| word.into(), with))
            .collect()
    };
    let run = |arguments: &str| {
        let json = format!("{arguments} --json @.json");
        let said = ended(gradus(folder, own(&json)).output().unwrap(), 0);
        let file = fs::read(folder.join(with(".json"))).unwrap();
        fs::remove_file(folder.join(with(".json"))).unwrap();
        (said, serde_json::from_slice::<Value>(&file).unwrap())
    };
    let (_, json) = run("train mlp --data digits --epochs 1 --quiet --out @out");
    assert_eq!(json["out"], "\u{fffd}\u{fffd}out");
    fs::rename(
        folder.join(with("out")).join("network.safetensors"),
        folder.join(with("net.safetensors")),
    )
    .unwrap();
    run("evaluate @net.safetensors --out @eval");
    let (_, json) = run("export @net.safetensors --to onnx -o @net.onnx");
    assert_eq!(json["file"], "\u{fffd}\u{fffd}net.onnx");
    run("export @net.safetensors --to c -o @net.c");
    run("import @net.onnx -o @other.safetensors");
    run("data show digits --out @show");
    let mut encoder = png::Encoder::new(File::create(folder.join(with("x.png"))).unwrap(), 8, 8);
    encoder.set_color(png::ColorType::Grayscale);
    let mut pixels = [0; 64];
    pixels[20..44].fill(255);
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    let (_, json) = run("predict @net.safetensors @x.png --sheet @sheet");
    assert_eq!(json["pictures"][0]["file"], "\u{fffd}\u{fffd}x.png");
    run("compare --data digits --epochs 1 --quiet --out @compare");
    run("experiment goodfit --data digits --epochs 1 --quiet --out @study");

    // But for data, whose names are kept as text.
    for arguments in ["train mlp --data @x.csv", "compare --data @x", "data show @x"] {
        let (_, errors) = ended(gradus(folder, own(arguments)).output().unwrap(), 2);
        assert!(errors.contains("this path is not UTF-8: rename it"), "{errors}");
    }
    let inside = folder.join(with("inside"));
    fs::create_dir(&inside).unwrap();
    let rows: String = (0..20).map(|i| format!("{i},{}\n", i % 2)).collect();
    fs::write(inside.join("table.csv"), rows).unwrap();
    let (_, errors) = ended(
        gradus(&inside, ["train", "mlp", "--data", "table.csv", "--epochs", "1"])
            .output()
            .unwrap(),
        1,
    );
    assert!(errors.contains("this one is not UTF-8: rename the folder"), "{errors}");
    assert!(!inside.join("runs").exists());

    // Interrupted, it names itself as a shell reads it.
    let child = gradus(folder, own(&format!("{LONG} --out @long"))).spawn().unwrap();
    wait_for("training never began", || {
        folder.join(with("long")).join("checkpoint.safetensors").is_file()
    });
    interrupt(&child);
    let (_, errors) = ended(child.wait_with_output().unwrap(), 130);
    assert!(
        errors.trim_end().ends_with(r"--out $'\377\376long' --resume"),
        "{errors}"
    );
    assert!(errors.starts_with("training was interrupted"), "{errors}");
}

#[test]
fn one_training_at_a_time_has_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let long = format!("{LONG} --out runs/one");
    let mut child = gradus(folder, long.split_whitespace()).spawn().unwrap();
    let checkpoint = folder.join("runs/one/checkpoint.safetensors");
    wait_for("training never began", || checkpoint.is_file());
    for other in [
        &long,
        &format!("{LONG} --out ./runs/../runs/one --resume"),
        "compare --data digits --out runs/one",
    ] {
        let message = bad(folder, other);
        let expected = format!("another gradus, process {}, is writing into this folder", child.id());
        assert!(message.contains(&expected), "{message}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What was killed holds nothing; and what it was writing is gone, but nothing else.
    let ours = folder.join("runs/one/.gradus-1-0.part");
    let theirs = folder.join("runs/one/.film.mp4.part");
    fs::write(&ours, "x").unwrap();
    fs::write(&theirs, "x").unwrap();
    good(folder, &format!("{XOR} --out runs/one"));
    assert!(!ours.exists() && theirs.exists());
    assert_eq!(names(&folder.join("runs/one"))[1], "checkpoint.safetensors");
    assert!(
        !names(&folder.join("runs/one"))
            .iter()
            .any(|name| name.contains("gradus"))
    );
}

#[test]
fn an_earlier_network_is_not_left_among_the_files_of_a_run_that_fails() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let out = folder.join("out");
    let read = |name: &str| fs::read(out.join(name)).ok();
    good(folder, "train mlp --data digits --epochs 1 --quiet --out out");
    let files = names(&out);
    let earlier: Vec<_> = files.iter().map(|name| read(name)).collect();
    // A run that wrote nothing changes nothing.
    let message = bad(
        folder,
        "train mlp --data digits --quiet --out out --optimizer sgd --learning-rate 1e30",
    );
    assert!(
        message.contains("diverged") && !message.contains("gradus-"),
        "{message}"
    );
    assert_eq!(names(&out), files);
    assert!(files.iter().map(|name| read(name)).eq(earlier.iter().cloned()));

    // One that was killed has its own files, and none of the earlier run's.
    let long = format!("{LONG} --out out --seed 7");
    let mut child = gradus(folder, long.split_whitespace()).spawn().unwrap();
    wait_for("nothing was written", || {
        read("best.safetensors").is_some_and(|best| best != *earlier[0].as_ref().unwrap())
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!((read("network.safetensors"), read("curves.svg")), (None, None));
    for (name, earlier) in files.iter().zip(&earlier) {
        assert!(read(&format!("gradus-previous/{name}")) == *earlier, "{name}");
    }
    // It goes on, and then a run that finishes has the folder for itself.
    let few = long.replace("--epochs 1000000000", "--epochs 1");
    let (_, errors) = ended(run(folder, &format!("{few} --resume --batch-size 3")), 1);
    let message = errors.trim_end();
    assert!(message.contains("the batch size was 128, and is now 3"), "{message}");
    assert!(
        message.ends_with("(the files of the earlier run are in out/gradus-previous)"),
        "{message}"
    );
    good(folder, &few);
    assert_eq!(names(&out), files);
}

#[test]
fn links_and_permissions_outlive_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let run = format!("{XOR} --validation 0.25 --out out");
    good(folder, &run);
    let out = folder.join("out");
    let files = names(&out);
    fs::create_dir(folder.join("real")).unwrap();
    for name in &files {
        fs::set_permissions(out.join(name), fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(out.join(name), folder.join("real").join(name)).unwrap();
        std::os::unix::fs::symlink(Path::new("../real").join(name), out.join(name)).unwrap();
    }
    let before = fs::read(out.join("network.safetensors")).unwrap();
    good(folder, &format!("{run} --seed 7"));
    assert!(fs::read(folder.join("real/network.safetensors")).unwrap() != before);
    assert_eq!(
        (names(&out), names(&folder.join("real"))),
        (files.clone(), files.clone())
    );
    for name in &files {
        assert!(out.join(name).is_symlink(), "{name}");
        let mode = fs::metadata(out.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn what_a_command_reads_it_does_not_write() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::create_dir(folder.join("runs")).unwrap();
    let rows: String = (0..40)
        .map(|i| format!("{},{},{}\n", i % 7, i % 3, ["a", "b"][i % 2]))
        .collect();
    let table = format!("x,y,class\n{rows}");
    fs::write(folder.join("runs/history.csv"), &table).unwrap();
    fs::write(folder.join("data.csv"), &table).unwrap();
    good(folder, "train mlp --data data.csv --epochs 1 --quiet --out net");
    let network = fs::read(folder.join("net/network.safetensors")).unwrap();
    fs::hard_link(folder.join("net/network.safetensors"), folder.join("hard.safetensors")).unwrap();
    for arguments in [
        "train mlp --data data.csv --out out --json data.csv",
        "train mlp --data runs/history.csv --out runs",
        "evaluate net/network.safetensors --json ./net/network.safetensors",
        // The table is known by the notes alone.
        "evaluate net/network.safetensors --json data.csv",
        "export net/network.safetensors --to c -o hard.safetensors",
        "export net/network.safetensors --to c --int8 -o data.csv",
        "summary net/network.safetensors --json net/../net/network.safetensors",
    ] {
        let message = bad(folder, arguments);
        assert!(
            message.contains("that is the file itself that the command reads"),
            "{message}"
        );
    }
    let message = bad(folder, "export net/network.safetensors --to c -o a.c --json ./a.c");
    assert!(message.contains("would write this file twice"), "{message}");
    // Known by the network's notes alone, or named.
    let pixels = [0; 64];
    for name in ["pictures/a/1.png", "pictures/b/1.png"] {
        fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
        for copy in ["1", "2", "3", "4", "5", "6"] {
            let file = File::create(folder.join(name.replace('1', copy))).unwrap();
            let mut encoder = png::Encoder::new(file, 8, 8);
            encoder.set_color(png::ColorType::Grayscale);
            encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
        }
    }
    good(folder, "train mlp --data pictures --epochs 1 --quiet --out seen");
    for arguments in [
        "train mlp --data pictures --epochs 1 --json pictures/a/1.png",
        "train mlp --data pictures --epochs 1 --out pictures/runs",
        "evaluate seen/network.safetensors --json pictures/a/1.png",
        "export seen/network.safetensors --to c --int8 -o pictures/a/net.c",
    ] {
        let message = bad(folder, arguments);
        assert!(message.contains("that is among the samples in"), "{message}");
    }
    assert!(!folder.join("pictures/runs").exists());
    assert!(fs::read(folder.join("net/network.safetensors")).unwrap() == network);
    for name in ["data.csv", "runs/history.csv"] {
        assert_eq!(fs::read_to_string(folder.join(name)).unwrap(), table);
    }
    assert!(!folder.join("out").exists());
}

#[test]
fn no_name_reaches_the_terminal_raw() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let rows: String = (0..60)
        .map(|i| {
            format!(
                "{},{},{}\n",
                i % 7,
                i % 3,
                ["\u{1b}]0;title\u{7}", "two\u{85}lines\u{9b}2J"][i % 2]
            )
        })
        .collect();
    fs::write(folder.join("\u{1b}[31m.csv"), format!("x,\u{1b}[5m,class\n{rows}")).unwrap();
    let odd = |arguments: &str| {
        let words = arguments.split(' ').map(|word| word.replace("DATA", "\u{1b}[31m.csv"));
        let output = gradus(folder, words).output().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        for said in &said {
            let raw = said.chars().find(|&c| c.is_control() && c != '\n');
            assert_eq!(raw, None, "{said:?}");
        }
        said
    };
    odd("train mlp --data DATA --epochs 1 --out out");
    let [table, _] = odd("evaluate out/network.safetensors");
    assert!(
        table.contains("two\\u{85}lines\\u{9b}2J") && table.contains("\\u{1b}]0;title\\u{7}"),
        "{table}"
    );
    odd("summary out/network.safetensors");
    let [_, errors] = odd("train mlp --data DATA --target \u{1b}[5n --out out");
    assert!(errors.contains("\\u{1b}[5n") && errors.lines().count() == 1, "{errors}");
    odd("evaluate \u{1b}[2J.safetensors");
    odd("train mlp --metric \u{1b}[2J");
}

/// Notes come with files, and are of any length.
#[test]
fn no_name_is_printed_without_an_end() {
    use gradus::prelude::*;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut network = Sequential::new([2])
        .layer(Dense::new(2))
        .layer(Softmax)
        .build(1)
        .unwrap();
    let long = "x".repeat(1 << 20);
    network.set_note("classes", serde_json::json!([long, "a\nb"]).to_string());
    network.set_note("data", format!("{long}.csv\n"));
    network.set_note("training", serde_json::json!({ "network": long }).to_string());
    network.save(folder.join("net.safetensors")).unwrap();
    let said = good(folder, "summary net.safetensors");
    assert!(said.len() < 4000, "{said:.4000}");
    assert!(said.contains("x…, a\\nb\n"), "{said}");
    assert!(said.contains(".csv\\n\n"), "{said}");
    fs::write(folder.join("rows.csv"), "1,2,0\n2,1,1\n".repeat(20)).unwrap();
    let message = bad(folder, "evaluate net.safetensors --data rows.csv --positive none");
    assert!(message.len() < 4000, "{message:.4000}");
}

#[test]
fn mistakes_have_their_sentences() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let rows: String = (0..20).map(|i| format!("{i},x\n")).collect();
    fs::write(folder.join("one.csv"), format!("a,class\n{rows}")).unwrap();
    let message = bad(folder, "train mlp --data one.csv");
    assert_eq!(
        message.rsplit('/').next().unwrap(),
        "one.csv: all rows are of class `x`: a network learns to tell at least two classes apart"
    );

    let cell = "x".repeat(1 << 20);
    fs::write(folder.join("long.csv"), format!("a,class\n1,a\n{cell},b\n")).unwrap();
    let message = bad(folder, "train mlp --data long.csv");
    assert!(
        message.contains("line 3, column 1") && message.len() < 1100,
        "{}",
        message.len()
    );

    let message = bad(folder, "train xor --learning-rate nan");
    assert_eq!(message, "--learning-rate must be a finite number, got NaN");

    good(folder, &format!("{XOR} --out out"));
    let message = bad(folder, "train out/network.safetensors");
    assert!(
        message.starts_with("out/network.safetensors: that is a trained network"),
        "{message}"
    );

    fs::write(
        folder.join("layers.toml"),
        "input = [2]\n[[layers]]\nkind = \"dense\"\nunits = 2\n",
    )
    .unwrap();
    for name in ["model.pt", "model.safetensors"] {
        for pickle in [
            &b"PK\x03\x04\x14\0\0\0\0\0"[..],
            b"\x80\x04\x95\r\0\0\0\0\0\0\0\x8a\nl\xfc",
        ] {
            fs::write(folder.join(name), pickle).unwrap();
            for more in ["", " --network layers.toml"] {
                let message = bad(folder, &format!("import {name} -o new.safetensors{more}"));
                assert!(message.starts_with(&format!("{name}: this is a pickle")), "{message}");
            }
        }
    }
    // The length of a header may begin with the bytes of a pickle.
    let network = fs::read(folder.join("out/network.safetensors")).unwrap();
    let length = u64::from_le_bytes(*network.first_chunk().unwrap());
    let padded = (length & !0xffff) + 0x1_0280;
    let spaces = vec![b' '; (padded - length) as usize];
    let end = length as usize + 8;
    let file = [&padded.to_le_bytes(), &network[8..end], &spaces, &network[end..]].concat();
    assert!(file.starts_with(b"\x80\x02"));
    fs::write(folder.join("state.safetensors"), file).unwrap();
    let message = bad(folder, "import state.safetensors -o new.safetensors");
    assert!(message.contains("declare the layers that they are of"), "{message}");

    // More samples in a batch than there are.
    let results = |size: &str| {
        good(
            folder,
            &format!("train mlp --data digits --epochs 1 --quiet --out all --batch-size {size}"),
        );
        fs::read(folder.join("all/best.safetensors")).unwrap().len()
    };
    assert!(results("18446744073709551615") > 1000);
}

#[test]
fn a_study_says_what_its_run_shows() {
    let folder = tempfile::tempdir().unwrap();
    let said = good(
        folder.path(),
        "experiment overfit --data digits --epochs 1 --quiet --json study.json",
    );
    assert!(said.contains("1 epoch can't show how they go on"), "{said}");
    assert!(!said.contains("by heart"), "{said}");
    let json: Value = serde_json::from_slice(&fs::read(folder.path().join("study.json")).unwrap()).unwrap();
    assert!(said.contains(json["verdict"].as_str().unwrap()));
}
