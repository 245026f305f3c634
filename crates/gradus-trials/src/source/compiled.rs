//! Source files, compiled as a user would.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use super::{Numbers, SourceFile, Sources};
use crate::compare::{Outcome, Tolerance};
use crate::inference::Values;

/// The programs that contain the files of many networks.
pub struct Compiled {
    folder: tempfile::TempDir,
    programs: Vec<(&'static str, PathBuf)>,
}

impl Compiled {
    /// Compiles them, once for each compiler that is there.
    pub fn new<'s>(all: impl Iterator<Item = &'s Sources>) -> anyhow::Result<Compiled> {
        let folder = tempfile::tempdir()?;
        let mut mains = Mains::default();
        for file in all.flat_map(|sources| &sources.files) {
            fs::write(folder.path().join(format!("{}.rs", file.name)), &file.rust)?;
            fs::write(folder.path().join(format!("{}.c", file.name)), &file.c)?;
            mains.add(file);
        }
        fs::write(folder.path().join("main.c"), mains.c())?;
        fs::write(folder.path().join("main.rs"), mains.rust())?;
        let programs = compile(folder.path())?;
        Ok(Compiled { folder, programs })
    }

    /// Compares the outputs of the compiled files with those computed here.
    pub fn check(&self, sources: &Sources, outcome: &mut Outcome) -> anyhow::Result<()> {
        for (language, program) in &self.programs {
            for file in &sources.files {
                let found = self.run(program, &file.name, &file.x)?;
                let what = format!("source, compiled from {language}");
                match file.numbers {
                    Numbers::Bytes if found != file.y => outcome.fail(format!("{what}, in integers: other bytes")),
                    Numbers::Bytes => {}
                    Numbers::Floats => check_floats(&what, &found, &file.y, outcome),
                }
            }
        }
        Ok(())
    }

    fn run(&self, program: &Path, name: &str, x: &[u8]) -> anyhow::Result<Vec<u8>> {
        let mut child = Command::new(program)
            .arg(name)
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut stdin = child.stdin.take().context("its input was asked for")?;
        std::thread::scope(|scope| {
            let writer = scope.spawn(move || stdin.write_all(x));
            let output = child.wait_with_output()?;
            writer.join().expect("writing doesn't panic")?;
            Ok(output.stdout)
        })
    }
}

/// Runs the compilers. Returns the language and the path of each program.
fn compile(folder: &Path) -> anyhow::Result<Vec<(&'static str, PathBuf)>> {
    let rustc = std::env::var("RUSTC").unwrap_or("rustc".into());
    let start = |compiler: &str, arguments: &str| {
        let arguments = arguments.split(' ');
        Command::new(compiler).args(arguments).current_dir(folder).spawn()
    };
    let rust = "--edition 2021 -A warnings -C opt-level=0 -C debuginfo=0 main.rs -o rust";
    let c = "-std=c99 -O1 -fno-math-errno main.c -o c -lm";
    let commands = [("Rust", "rust", start(&rustc, rust)), ("C", "c", start("cc", c))];
    let mut programs = Vec::new();
    for (language, name, child) in commands {
        match child {
            Err(e) => println!("there is no compiler for {language} here, whose files are left out: {e}"),
            Ok(mut child) => {
                if !child.wait()?.success() {
                    bail!("the files in {language} can't be compiled");
                }
                programs.push((language, folder.join(name)));
            }
        }
    }
    Ok(programs)
}

fn check_floats(what: &str, found: &[u8], expected: &[u8], outcome: &mut Outcome) {
    let [mut found, mut expected] = [found, expected].map(floats);
    for (found, expected) in found.iter_mut().zip(&mut expected) {
        if found.is_nan() && expected.is_nan() {
            (*found, *expected) = (0.0, 0.0);
        }
    }
    let expected = Values {
        noise: vec![0.0; expected.len()],
        exact: expected,
    };
    Tolerance::single().check(&format!("{what}, in floats"), &found, &expected, outcome);
}

fn floats(bytes: &[u8]) -> Vec<f64> {
    let floats = bytes.as_chunks().0.iter();
    floats.map(|&bytes| f64::from(f32::from_le_bytes(bytes))).collect()
}

/// The programs that run a file by its name: what they include, and a case for each file.
#[derive(Default)]
struct Mains {
    c: [String; 2],
    rust: [String; 2],
}

impl Mains {
    fn add(&mut self, file: &SourceFile) {
        let (name, upper) = (&file.name, file.name.to_uppercase());
        let (c_type, run) = match file.numbers {
            Numbers::Floats => ("float", "floats"),
            Numbers::Bytes => ("uint8_t", "bytes"),
        };
        let [includes, cases] = &mut self.c;
        *includes += &format!("#include \"{name}.c\"\n");
        *cases += &format!(
            "    if (!strcmp(name, \"{name}\")) {{\n        static {c_type} x[{upper}_INPUTS], y[{upper}_OUTPUTS];\n        \
             while (fread(x, sizeof x, 1, stdin) == 1) {{\n            {name}_predict(x, y);\n            \
             fwrite(y, sizeof y, 1, stdout);\n        }}\n    }}\n"
        );
        let [modules, cases] = &mut self.rust;
        *modules += &format!("mod {name};\n");
        *cases += &format!("        \"{name}\" => {run}!({name}),\n");
    }

    fn c(&self) -> String {
        let [includes, cases] = &self.c;
        format!(
            "{C_START}{includes}int main(int argc, char **argv) {{\n    const char *name = argc > 1 ? argv[1] : \"\";\n\
             {cases}    return 0;\n}}\n"
        )
    }

    fn rust(&self) -> String {
        let [modules, cases] = &self.rust;
        format!(
            "{RUST_START}{modules}fn main() {{\n    match &*std::env::args().nth(1).unwrap() {{\n{cases}        _ => panic!(),\n    \
             }}\n}}\n"
        )
    }
}

const C_START: &str = "#include <stdint.h>\n#include <stdio.h>\n#include <string.h>\n";

const RUST_START: &str = "
use std::io::{Read, Write};
macro_rules! floats {
    ($n:ident) => {{
        let (mut x, mut y) = ([0.0f32; $n::INPUTS], [0.0; $n::OUTPUTS]);
        let mut bytes = [0; 4 * $n::INPUTS];
        let mut network = $n::Network::new();
        while std::io::stdin().read_exact(&mut bytes).is_ok() {
            for (x, b) in x.iter_mut().zip(bytes.chunks_exact(4)) {
                *x = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
            }
            network.predict(&x, &mut y);
            y.iter().for_each(|y| std::io::stdout().write_all(&y.to_le_bytes()).unwrap());
        }
    }};
}
macro_rules! bytes {
    ($n:ident) => {{
        let (mut x, mut y) = ([0; $n::INPUTS], [0; $n::OUTPUTS]);
        let mut network = $n::Network::new();
        while std::io::stdin().read_exact(&mut x).is_ok() {
            network.predict(&x, &mut y);
            std::io::stdout().write_all(&y).unwrap();
        }
    }};
}
";
