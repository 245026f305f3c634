//! `gradus train --resume`: training that was killed goes on as if it had never stopped.
#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use gradus::save::{Checkpoint, atomic};

/// How often training is killed.
const KILLS: usize = 52;

const TRAINING: &str = "train lenet.toml --data digits --epochs 12 --batch-size 64 --schedule one_cycle \
     --augment shift=1 --patience 8 --metric accuracy,f1 --checkpoint 0.005 --quiet";

const NETWORK: &str = r#"
input = [1, 8, 8]
layers = [
    { kind = "conv2d", channels = 8, kernel = 3, padding = "same" },
    { kind = "batch_norm" },
    { kind = "relu" },
    { kind = "max_pool2d", kernel = 2 },
    { kind = "flatten" },
    { kind = "dropout", rate = 0.2 },
    { kind = "dense", units = 10 },
    { kind = "softmax" },
]
"#;

fn start(folder: &Path, arguments: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_gradus"))
        .env_clear()
        .env("HOME", folder)
        .current_dir(folder)
        .args(arguments.split_whitespace())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The standard error of a run that ends with this exit code.
fn ended(child: Child, code: i32) -> String {
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    let errors = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(code), "{errors}");
    errors
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("lenet.toml"), NETWORK).unwrap();
    folder
}

/// All that must not depend on whether training was interrupted: the networks, and the history but for its seconds.
fn results(run: &Path) -> (Vec<u8>, Vec<u8>, Vec<String>) {
    let history = fs::read_to_string(run.join("history.csv")).unwrap();
    let lasting = history.lines().map(|line| {
        let fields: Vec<&str> = line.split(',').collect();
        fields[..fields.len() - 2].join(",")
    });
    (
        fs::read(run.join("network.safetensors")).unwrap(),
        fs::read(run.join("best.safetensors")).unwrap(),
        lasting.collect(),
    )
}

/// Numbers in 0..1: a multiplicative congruential generator (Park and Miller, 1988).
fn draw(state: &mut u64) -> f64 {
    *state = *state * 16807 % 0x7fff_ffff;
    *state as f64 / 0x7fff_ffff_u64 as f64
}

#[test]
fn killed_at_any_moment_it_gives_the_same_bits() {
    let folder = folder();
    let folder = folder.path();
    let began = Instant::now();
    ended(start(folder, &format!("{TRAINING} --out whole")), 0);
    let length = began.elapsed();
    let expected = results(&folder.join("whole"));
    assert!(expected.2.len() > 8, "a training of several epochs");

    let out = folder.join("killed");
    let (mut kills, mut finished, mut went_on, mut random) = (0, 0, 0, 7);
    while kills < KILLS || finished == 0 {
        let threads = 1 + kills % 2;
        let mut child = start(folder, &format!("{TRAINING} --out killed --threads {threads} --resume"));
        // Early and late, also while files are written at the end.
        if kills < KILLS {
            std::thread::sleep(length.mul_f64(draw(&mut random)));
        } else {
            child.wait().unwrap();
        }
        match child.try_wait().unwrap() {
            Some(status) => {
                assert!(status.success(), "{}", ended(child, 0));
                assert!(results(&out) == expected, "after {kills} kills");
                fs::remove_dir_all(&out).unwrap();
                finished += 1;
            }
            None => {
                child.kill().unwrap();
                child.wait().unwrap();
                kills += 1;
                let checkpoint = out.join("checkpoint.safetensors");
                if checkpoint.is_file() {
                    let (epoch, step) = Checkpoint::load(&checkpoint).unwrap().position();
                    went_on += usize::from(epoch + step > 0);
                }
            }
        }
    }
    assert!(went_on > 0, "no training ever went on from a checkpoint");
}

#[test]
fn interrupted_it_saves_and_says_how_to_go_on() {
    let folder = folder();
    let folder = folder.path();
    // Long enough to be interrupted; and checkpoints are so seldom that it has to write one for the occasion.
    let long = TRAINING
        .replace("--epochs 12", "--epochs 100000")
        .replace("0.005", "1000");
    let child = start(folder, &format!("{long} --out out"));
    let deadline = Instant::now() + Duration::from_secs(60);
    while !folder.join("out/best.safetensors").is_file() {
        assert!(Instant::now() < deadline, "training never began");
        std::thread::sleep(Duration::from_millis(5));
    }
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupted.unwrap().success());
    let said = ended(child, 130);
    assert!(said.starts_with("training was interrupted in epoch "), "{said}");
    assert!(said.contains("; go on with\n"), "{said}");
    assert!(said.trim_end().ends_with("--out out --resume"), "{said}");
    let (epoch, step) = Checkpoint::load(folder.join("out/checkpoint.safetensors"))
        .unwrap()
        .position();
    assert!(epoch + step > 0);
    let entries = fs::read_dir(folder.join("out")).unwrap();
    assert!(
        !entries
            .into_iter()
            .any(|entry| atomic::is_unfinished(&entry.unwrap().file_name()))
    );

    // With other settings it doesn't go on, and says why.
    let other = long.replace("--batch-size 64", "--batch-size 32");
    let said = ended(start(folder, &format!("{other} --out out --resume")), 1);
    assert!(
        said.contains("can't go on from it: the batch size was 64, and is now 32"),
        "{said}"
    );

    // Without --resume it begins anew, and the old checkpoint is gone.
    let short = TRAINING.replace("--epochs 12", "--epochs 1");
    ended(start(folder, &format!("{short} --out out")), 0);
    let checkpoint = Checkpoint::load(folder.join("out/checkpoint.safetensors")).unwrap();
    assert_eq!(checkpoint.position(), (1, 0));
}
