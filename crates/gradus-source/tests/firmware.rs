//! The firmware of the guide `docs/microcontroller.md` is linked by the guide's own commands, and for the smaller processor that it
//! names. An empty program links too, so what it prints has to be in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use gradus::prelude::*;
use gradus_source::{InputBytes, Labels, Language, Program};

const GUIDE: &str = include_str!("../../../docs/microcontroller.md");

/// A folder with the guide's files in this language, and the network and the image beside them.
fn firmware(language: Language) -> tempfile::TempDir {
    let (name, file) = match language {
        Language::C => ("c", "digits.c"),
        Language::Rust => ("rust", "src/digits.rs"),
    };
    let folder = tempfile::tempdir().unwrap();
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/microcontroller");
    copy(&guide.join(name), folder.path());

    let network = Sequential::new([1, 28, 28])
        .layer(Flatten)
        .layer(Dense::new(10))
        .build(1)
        .unwrap();
    let image = [0.5; 784];
    let program = Program::of(&network).unwrap();
    let program = program.quantize([&image[..]], InputBytes::Pixels).unwrap();
    let labels = Labels {
        classes: (0..10).map(|class| class.to_string()).collect(),
        prefix: "digits".into(),
        ..Labels::default()
    };
    let write = |name: &str, content: String| fs::write(folder.path().join(name), content).unwrap();
    write(file, program.source(language, &labels).unwrap());
    write("image.inc", "7,".repeat(784));
    write("image.bin", "7".repeat(784));
    folder
}

/// Copies the files that are in the repository.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        if path.is_dir() && name != "target" {
            fs::create_dir(to.join(name)).unwrap();
            copy(&path, &to.join(name));
        } else if path.is_file() {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// Checks that a program holds what it prints.
fn assert_whole(program: PathBuf, what: &str) {
    let bytes = fs::read(program).unwrap();
    let printed = b"This is a ";
    assert!(bytes.windows(printed.len()).any(|bytes| bytes == printed), "{what}");
}

#[test]
fn the_guides_program_in_c_links() {
    if Command::new("arm-none-eabi-gcc").arg("--version").output().is_err() {
        println!("there is no arm-none-eabi-gcc here: the guide's firmware in C is not linked");
        return;
    }
    let start = GUIDE.find("arm-none-eabi-gcc -std").unwrap();
    let command = &GUIDE[start..];
    let command = command[..command.find("\narm-none-eabi-size").unwrap()].replace("\\\n", " ");
    let smaller = command
        .replace("-mcpu=cortex-m4", "-mcpu=cortex-m0plus")
        .replace("-mfpu=fpv4-sp-d16 -mfloat-abi=hard", "-mfloat-abi=soft");
    assert_ne!(command, smaller);
    for command in [command, smaller] {
        let folder = firmware(Language::C);
        let mut words = command.split_whitespace();
        let output = Command::new(words.next().unwrap())
            .args(words)
            .arg("-Werror")
            .current_dir(folder.path())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {errors}");
        assert_whole(folder.path().join("digits.elf"), &command);
    }
}

#[test]
fn the_guides_program_in_rust_links() {
    for target in ["thumbv7em-none-eabihf", "thumbv6m-none-eabi"] {
        assert!(GUIDE.contains(target));
        let folder = firmware(Language::Rust);
        let run = |program: &str, arguments: &str| {
            let mut command = Command::new(std::env::var(program.to_uppercase()).unwrap_or(program.into()));
            command.current_dir(folder.path()).args(arguments.split(' '));
            command
                .env_remove("CARGO_TARGET_DIR")
                .env_remove("RUSTFLAGS")
                .output()
                .unwrap()
        };
        let library = run("rustc", &format!("--print target-libdir --target {target}"));
        if !Path::new(String::from_utf8_lossy(&library.stdout).trim()).is_dir() {
            println!("the target {target} is not installed here: the guide's firmware in Rust is not linked for it");
            continue;
        }
        if !run("cargo", "fetch").status.success() {
            println!("the crates of the guide's firmware in Rust can't be had here: it is not linked");
            return;
        }
        let output = run("cargo", &format!("build --release --target {target}"));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{target}: {errors}");
        assert_whole(folder.path().join("target").join(target).join("release/digits"), target);
    }
}
