//! Exported files, compiled as a user would and run.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The programs that contain some exported files.
pub struct Compiled {
    folder: tempfile::TempDir,
    /// The programs, each with its language.
    pub programs: Vec<(&'static str, PathBuf)>,
}

/// A file in both languages. In C, its prefix must be `n` and its number.
pub struct Sources {
    pub rust: String,
    pub c: String,
    /// Whether it is in integers.
    pub bytes: bool,
}

impl Compiled {
    /// Compiles the files into one program for each compiler that is there.
    pub fn new(files: &[Sources]) -> Compiled {
        let sanitizers = "-fsanitize=undefined,float-cast-overflow,address";
        Compiled::with(
            files,
            &[("c", &["-O2"]), ("sanitized", &[sanitizers, "-fno-sanitize-recover"])],
        )
    }

    /// Compiles the files, those in C with each of these options.
    pub fn with(files: &[Sources], options: &[(&str, &[&str])]) -> Compiled {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mut library = String::from("#![no_std]\n#![deny(warnings)]\n");
        let mut rust = String::from(RUST_MAIN);
        let mut c = String::from("#include <stdio.h>\n#include <stdlib.h>\n");
        let (mut rust_cases, mut c_cases) = (String::new(), String::new());
        for (i, file) in files.iter().enumerate() {
            fs::write(path(&format!("n{i}.rs")), &file.rust).unwrap();
            fs::write(path(&format!("n{i}.c")), &file.c).unwrap();
            library += &format!("pub mod n{i};\n");
            rust += &format!("mod n{i};\n");
            // Where values are scaled, each has its own bytes.
            let column = |function: &str| match file.c.contains(&format!("n{i}_{function}, int32_t i)")) {
                true => ", k",
                false => "",
            };
            let [to, from] = [column("quantize(float x"), column("dequantize(uint8_t y")];
            rust_cases += &match file.bytes {
                false => format!(
                    "        {i} => floats!(n{i}, |x: &[f32; n{i}::INPUTS]| *x, |y: &[f32; n{i}::OUTPUTS]| *y),\n"
                ),
                true => format!(
                    "        {i} if values => floats!(n{i}, |x: &[f32; n{i}::INPUTS]| {{ let mut k = 0; \
                     x.map(|x| {{ let q = n{i}::quantize(x{to}); k += 1; q }}) }}, |y: &[u8; n{i}::OUTPUTS]| {{ let mut k = 0; \
                     y.map(|y| {{ let v = n{i}::dequantize(y{from}); k += 1; v }}) }}),\n        {i} => bytes!(n{i}),\n"
                ),
            };
            c += &format!("#define N{i}_DECLARATIONS\n#include \"n{i}.c\"\n");
            let kind = if file.bytes { "uint8_t" } else { "float" };
            c_cases += &format!(
                "    if (i == {i}) {{\n        static {kind} x[N{i}_INPUTS], y[N{i}_OUTPUTS];\n        \
                 while (!values && fread(x, sizeof x, 1, stdin) == 1) {{\n            n{i}_predict(x, y);\n            \
                 fwrite(y, sizeof y, 1, stdout);\n        }}\n    }}\n"
            );
            if file.bytes {
                c_cases += &format!(
                    "    if (i == {i}) {{\n        static float v[N{i}_INPUTS], w[N{i}_OUTPUTS];\n        \
                     static uint8_t x[N{i}_INPUTS], y[N{i}_OUTPUTS];\n        int k;\n        \
                     while (values && fread(v, sizeof v, 1, stdin) == 1) {{\n            \
                     for (k = 0; k < N{i}_INPUTS; k++) x[k] = n{i}_quantize(v[k]{to});\n            n{i}_predict(x, y);\n            \
                     for (k = 0; k < N{i}_OUTPUTS; k++) w[k] = n{i}_dequantize(y[k]{from});\n            \
                     fwrite(w, sizeof w, 1, stdout);\n        }}\n    }}\n"
                );
            }
        }
        rust += &format!(
            "fn main() {{\n    let i = std::env::args().nth(1).unwrap();\n    let values = std::env::args().nth(2).is_some();\n    match i.parse().unwrap() {{\n{rust_cases}        _ => panic!(),\n    }}\n}}\n"
        );
        c += &format!(
            "int main(int argc, char **argv) {{\n    int i = argc > 1 ? atoi(argv[1]) : -1, values = argc > 2;\n    (void)values;\n{c_cases}    return 0;\n}}\n"
        );
        fs::write(path("lib.rs"), library).unwrap();
        fs::write(path("main.rs"), rust).unwrap();
        fs::write(path("main.c"), c).unwrap();

        let rustc = std::env::var("RUSTC").unwrap_or("rustc".into());
        // Without the standard library.
        good(
            Command::new(&rustc)
                .current_dir(folder.path())
                .args("--edition 2021 --crate-type lib -C panic=abort --emit metadata --out-dir . lib.rs".split(' ')),
        );
        good(
            Command::new(&rustc)
                .current_dir(folder.path())
                .args("--edition 2021 -O main.rs -o rust".split(' ')),
        );
        let mut programs = vec![("Rust", path("rust"))];

        let sources = (0..files.len()).map(|i| format!("n{i}.c"));
        let sources: Vec<String> = sources.chain(["main.c".into()]).collect();
        if has_c(folder.path(), &[]) {
            for (name, options) in options {
                if !has_c(folder.path(), options) {
                    println!("cc can't do {options:?} here");
                    continue;
                }
                let mut cc = Command::new("cc");
                cc.current_dir(folder.path())
                    .args("-std=c99 -Wall -Wextra -Werror -pedantic -Wstrict-prototypes -Wconversion -o".split(' '));
                good(cc.arg(name).args(*options).args(&sources));
                programs.push(("C", path(name)));
            }
        } else {
            println!("there is no cc here: the files in C are not tested");
        }
        Compiled { folder, programs }
    }

    /// What the file of this number makes of some inputs.
    #[allow(dead_code)] // Not every test asks for it.
    pub fn run(&self, program: &Path, file: usize, x: &[u8]) -> Vec<u8> {
        self.run_with(program, &[&file.to_string()], x)
    }

    /// As [`run`](Compiled::run), of floats.
    pub fn run_floats(&self, program: &Path, file: usize, x: &[f32]) -> Vec<f32> {
        floats(&self.run_with(program, &[&file.to_string()], &bytes(x)))
    }

    /// What the file of this number, in integers, makes of values: by its own functions to bytes, and back to values.
    #[allow(dead_code)] // Not every test asks for it.
    pub fn run_values(&self, program: &Path, file: usize, x: &[f32]) -> Vec<f32> {
        floats(&self.run_with(program, &[&file.to_string(), "values"], &bytes(x)))
    }

    fn run_with(&self, program: &Path, arguments: &[&str], x: &[u8]) -> Vec<u8> {
        let mut child = Command::new(program)
            .current_dir(self.folder.path())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let x = x.to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&x).unwrap());
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        assert!(output.status.success(), "{}", program.display());
        output.stdout
    }
}

fn bytes(x: &[f32]) -> Vec<u8> {
    x.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn floats(y: &[u8]) -> Vec<f32> {
    let each = y.chunks_exact(4).map(|y| f32::from_le_bytes(y.try_into().unwrap()));
    each.collect()
}

const RUST_MAIN: &str = "
use std::io::{Read, Write};
macro_rules! floats {
    ($n:ident, $to:expr, $from:expr) => {{
        let (mut x, mut y) = ([0.0f32; $n::INPUTS], [Default::default(); $n::OUTPUTS]);
        let mut bytes = [0; 4 * $n::INPUTS];
        let mut network = $n::Network::new();
        while std::io::stdin().read_exact(&mut bytes).is_ok() {
            for (x, b) in x.iter_mut().zip(bytes.chunks_exact(4)) {
                *x = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
            }
            network.predict(&$to(&x), &mut y);
            $from(&y).iter().for_each(|y| std::io::stdout().write_all(&y.to_le_bytes()).unwrap());
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

/// Whether there is a C compiler that can link with these options.
fn has_c(folder: &Path, options: &[&str]) -> bool {
    fs::write(folder.join("nothing.c"), "int main(void) { return 0; }\n").unwrap();
    let output = Command::new("cc")
        .current_dir(folder)
        .args(options)
        .args(["nothing.c", "-o", "nothing"])
        .output();
    output.is_ok_and(|output| output.status.success())
}

fn good(command: &mut Command) {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {}",
        &errors[..errors.len().min(5000)]
    );
}
