//! Networks as source files: in floats and in integers, run here and, compiled, as a user would.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use gradus::{Float, Network};
use gradus_source::{InputBytes, Labels, Language, Program, Quantized};

use crate::case::Case;
use crate::compare::{Close, Outcome};
use crate::draw::Samples;
use crate::inference::{Expected, predict};
use crate::onnx::single;

/// A network's programs and what they have to compute when they are compiled.
pub struct Sources {
    number: u64,
    /// In floats and in integers: C, Rust, the samples, and their outputs.
    files: [(String, String, Vec<u8>, Vec<u8>); 2],
}

/// Holds the programs, run here, against the plain loops; gives them for [`Compiled`].
pub fn check(
    case: &Case,
    network: &Network,
    samples: &Samples,
    expected: &Expected,
    outcome: &mut Outcome,
) -> anyhow::Result<Sources> {
    let program = Program::of(network)?;
    let inputs = || (0..samples.count).map(|i| samples.input(i));
    let y: Vec<f32> = inputs().flat_map(|x| program.run(x)).collect();
    let wide: Vec<f64> = y.iter().map(|&y| f64::from(y)).collect();
    Close::single().check("source, in floats", &wide, &expected.outputs, &expected.noise, outcome);

    // What is not a number stays so wherever the library says so.
    let mut x = samples.input(0).to_vec();
    x[case.seed as usize % samples.input(0).len()] = Float::NAN;
    let kept: Vec<bool> = predict(network, 1, 1, &x)?.iter().map(|y| y.is_nan()).collect();
    let mine: Vec<bool> = program.run(&x).iter().map(|y| y.is_nan()).collect();
    if mine != kept {
        outcome.fail("source, in floats: of an input that is NaN, other outputs are NaN than the library's");
    }
    let nan: Vec<f32> = program.run(&x);

    let quantized = program.quantize(inputs(), InputBytes::Calibrated)?;
    let bytes: Vec<u8> = inputs().flat_map(|x| quantized.bytes(x)).collect();
    let size = bytes.len() / samples.count;
    let found: Vec<u8> = bytes.chunks_exact(size).flat_map(|x| quantized.run(x)).collect();
    integers(&quantized, &found, expected, outcome);

    let labels = |kind: &str| Labels {
        prefix: format!("{kind}{}", case.number),
        ..Labels::default()
    };
    let (floats, integers) = (labels("f"), labels("i"));
    let x = inputs()
        .flatten()
        .chain(&x)
        .flat_map(|&x| single(x).to_le_bytes())
        .collect();
    let y = y.iter().chain(&nan).flat_map(|y| y.to_le_bytes()).collect();
    Ok(Sources {
        number: case.number,
        files: [
            (
                program.source(Language::C, &floats)?,
                program.source(Language::Rust, &floats)?,
                x,
                y,
            ),
            (
                quantized.source(Language::C, &integers)?,
                quantized.source(Language::Rust, &integers)?,
                bytes,
                found,
            ),
        ],
    })
}

/// Holds what integers give against the plain loops: not each value, which 8 bits may take far, but all together.
fn integers(quantized: &Quantized, found: &[u8], expected: &Expected, outcome: &mut Outcome) {
    let scale = quantized.output_scale();
    // A softmax at the end is left out.
    let ends = &expected.before_softmax;
    let value = |byte: u8| f64::from(scale.scale) * (f64::from(byte) - f64::from(scale.zero));
    let found: Vec<f64> = found.iter().map(|&byte| value(byte)).collect();
    if found.len() != ends.len() {
        return outcome.fail(format!(
            "source, in integers: {} values, expected {}",
            found.len(),
            ends.len()
        ));
    }
    let n = ends.len() as f64;
    let mean = ends.iter().sum::<f64>() / n;
    let spread = (ends.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / n).sqrt();
    let error = (found.iter().zip(ends).map(|(f, e)| (f - e).powi(2)).sum::<f64>() / n).sqrt();
    outcome.integers = Some(error / spread.max(f64::from(scale.scale)));
}

/// The programs that contain the files of many networks.
pub struct Compiled {
    folder: tempfile::TempDir,
    programs: Vec<(&'static str, PathBuf)>,
}

impl Compiled {
    /// Compiles them, once for each compiler that is there.
    pub fn new(all: &[Sources]) -> anyhow::Result<Compiled> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name);
        let (mut c, mut rust) = (String::from(C_START), String::from(RUST_START));
        let (mut c_cases, mut rust_cases) = (String::new(), String::new());
        for sources in all {
            for (kind, (c_source, rust_source, ..)) in ["f", "i"].into_iter().zip(&sources.files) {
                let name = format!("{kind}{}", sources.number);
                fs::write(path(&format!("{name}.rs")), rust_source)?;
                fs::write(path(&format!("{name}.c")), c_source)?;
                let (upper, c_kind, run) = match kind {
                    "f" => (name.to_uppercase(), "float", "floats"),
                    _ => (name.to_uppercase(), "uint8_t", "bytes"),
                };
                c += &format!("#include \"{name}.c\"\n");
                c_cases += &format!(
                    "    if (!strcmp(name, \"{name}\")) {{\n        static {c_kind} x[{upper}_INPUTS], y[{upper}_OUTPUTS];\n        \
                     while (fread(x, sizeof x, 1, stdin) == 1) {{\n            {name}_predict(x, y);\n            \
                     fwrite(y, sizeof y, 1, stdout);\n        }}\n    }}\n"
                );
                rust += &format!("mod {name};\n");
                rust_cases += &format!("        \"{name}\" => {run}!({name}),\n");
            }
        }
        c += &format!(
            "int main(int argc, char **argv) {{\n    const char *name = argc > 1 ? argv[1] : \"\";\n{c_cases}    return 0;\n}}\n"
        );
        rust += &format!(
            "fn main() {{\n    match &*std::env::args().nth(1).unwrap() {{\n{rust_cases}        _ => panic!(),\n    }}\n}}\n"
        );
        fs::write(path("main.c"), c)?;
        fs::write(path("main.rs"), rust)?;

        let rustc = std::env::var("RUSTC").unwrap_or("rustc".into());
        let mut programs = Vec::new();
        let rust = "--edition 2021 -A warnings -C opt-level=0 -C debuginfo=0 main.rs -o rust".split(' ');
        let mut commands = vec![(
            "Rust",
            "rust",
            Command::new(rustc).args(rust).current_dir(folder.path()).spawn(),
        )];
        let c = "-std=c99 -O1 -fno-math-errno main.c -o c -lm".split(' ');
        commands.push(("C", "c", Command::new("cc").args(c).current_dir(folder.path()).spawn()));
        for (language, name, child) in commands {
            match child {
                Err(e) => println!("there is no compiler for {language} here, whose files are left out: {e}"),
                Ok(mut child) => {
                    if !child.wait()?.success() {
                        bail!("the files in {language} can't be compiled");
                    }
                    programs.push((language, path(name)));
                }
            }
        }
        Ok(Compiled { folder, programs })
    }

    /// Holds what the compiled files give against what was computed here.
    pub fn check(&self, sources: &Sources, outcome: &mut Outcome) -> anyhow::Result<()> {
        for (language, program) in &self.programs {
            for (kind, (_, _, x, y)) in ["f", "i"].into_iter().zip(&sources.files) {
                let found = self.run(program, &format!("{kind}{}", sources.number), x)?;
                let what = format!("source, compiled from {language}");
                if kind == "i" {
                    if found != *y {
                        outcome.fail(format!("{what}, in integers: other bytes"));
                    }
                    continue;
                }
                let [mut found, mut expected] = [&found, y].map(|bytes| floats(bytes));
                for (found, expected) in found.iter_mut().zip(&mut expected) {
                    if found.is_nan() && expected.is_nan() {
                        (*found, *expected) = (0.0, 0.0);
                    }
                }
                let nothing = vec![0.0; expected.len()];
                Close::single().check(&format!("{what}, in floats"), &found, &expected, &nothing, outcome);
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

fn floats(bytes: &[u8]) -> Vec<f64> {
    let floats = bytes.as_chunks().0.iter();
    floats.map(|&bytes| f64::from(f32::from_le_bytes(bytes))).collect()
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
