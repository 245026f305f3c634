//! The program with its own items: in options, help, files and resume.

use std::path::Path;
use std::process::{Command, Output};

/// Runs the program in a folder.
fn program(folder: &Path, arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_own-items"));
    command.args(arguments.split_whitespace()).current_dir(folder);
    command.output().unwrap()
}

/// What the program prints, where it has to succeed.
fn prints(folder: &Path, arguments: &str) -> String {
    let output = program(folder, arguments);
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{arguments}: {err}");
    out
}

/// What it says, where it has to fail.
fn refuses(folder: &Path, arguments: &str) -> String {
    let output = program(folder, arguments);
    assert!(!output.status.success(), "{arguments}");
    String::from_utf8(output.stderr).unwrap()
}

const OPTIONS: &str = "--data digits --offline --batch-size 50 --seed 3 --loss focal:gamma=1 --optimizer sign \
                       --learning-rate 0.002 --schedule harmonic:decay=0.5 --metric accuracy,margin \
                       --augment mirror:probability=0.1 --quiet";

#[test]
fn items_of_ones_own_are_used_by_name_in_options_files_and_resume() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let network = concat!(env!("CARGO_MANIFEST_DIR"), "/network.toml");
    std::fs::copy(network, here.join("network.toml")).unwrap();

    let train = format!("train network.toml {OPTIONS}");
    let whole = prints(here, &format!("{train} --epochs 4 --out whole"));
    assert!(whole.contains("margin"), "{whole}");
    // Two epochs, and then two more.
    prints(here, &format!("{train} --epochs 2 --out parts"));
    prints(here, &format!("{train} --epochs 4 --out parts --resume"));
    let tensors = |out: &str| gradus_tensors(&here.join(out).join("network.safetensors"));
    assert_eq!(tensors("parts"), tensors("whole"));

    // With another setting, it is another training.
    for (from, to, what) in [
        (
            "focal:gamma=1",
            "focal:gamma=2",
            "the loss was focal {\"gamma\":1.0}, and is now focal {\"gamma\":2.0}",
        ),
        (
            "harmonic:decay=0.5",
            "harmonic",
            "the schedule was harmonic {\"decay\":0.5}",
        ),
        (
            "mirror:probability=0.1",
            "mirror",
            "the augmentation was mirror {\"probability\":0.1}",
        ),
        (
            "--learning-rate 0.002",
            "--learning-rate 0.003",
            "the optimizer was sign {\"learning_rate\":0.002}",
        ),
    ] {
        let other = train.replace(from, to);
        let error = refuses(here, &format!("{other} --epochs 5 --out parts --resume"));
        assert!(error.contains(what), "{error}");
    }

    // In the file: the layer, the initializer and, among the notes, the loss.
    let evaluated = prints(here, "evaluate whole/network.safetensors --offline --quiet");
    assert!(evaluated.contains("loss (focal)"), "{evaluated}");
    let summary = prints(here, "summary whole/network.safetensors");
    assert!(summary.contains("scale"), "{summary}");
    let error = refuses(here, "export whole/network.safetensors --to onnx --out network.onnx");
    assert!(error.contains("layer 3 (scale) can't be exported"), "{error}");
}

/// The bytes of a safetensors file behind its header, which has a checksum and notes that name the run.
fn gradus_tensors(file: &Path) -> Vec<u8> {
    let bytes = std::fs::read(file).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[8 + header..].to_vec()
}

#[test]
fn help_and_messages_know_them() {
    let folder = tempfile::tempdir().unwrap();
    let help = prints(folder.path(), "train --help")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    for words in [
        "nll or focal, with settings",
        "muon or sign, with settings",
        "warmup or harmonic, with settings",
        "r2 or margin: ",
        "sometimes or mirror, as",
    ] {
        assert!(help.contains(words), "`{words}` is not in: {help}");
    }
    let error = refuses(folder.path(), "train mlp --data digits --offline --loss focl");
    assert!(
        error.contains("there is no loss \"focl\"; did you mean \"focal\"? Choose one of cross_entropy, "),
        "{error}"
    );
    let error = refuses(
        folder.path(),
        "train mlp --data digits --offline --optimizer sign:rate=1",
    );
    assert!(
        error.contains("the optimizer sign: unknown setting `rate`, expected `learning_rate`"),
        "{error}"
    );
}
