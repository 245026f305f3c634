//! Networks as source files: in floats and in integers, run here and, compiled, as a user would.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use gradus::{Float, Network};
use gradus_onnx::Scaling;
use gradus_source::{InputBytes, Labels, Language, Program, Quantized};

use crate::case::{Case, to_floats};
use crate::compare::{Outcome, Tolerance, differs};
use crate::exports::{ExportSamples, needs_doubles, without_scaling};
use crate::inference::{Expected, Values, predict};
use crate::integers;
use crate::onnx::to_f32;
use crate::tape::Tape;

/// A network's programs and what they have to compute when they are compiled.
pub struct Sources {
    number: u64,
    /// In floats and in integers: C, Rust, the samples, and their outputs.
    files: [(String, String, Vec<u8>, Vec<u8>); 2],
}

/// Compares the programs, run here, with the plain loops. Returns them for [`Compiled`].
pub fn check(
    case: &Case,
    network: &Network,
    inputs: &ExportSamples,
    expected: &Expected,
    tape: &mut Tape,
    outcome: &mut Outcome,
) -> anyhow::Result<Sources> {
    let samples = &inputs.samples;
    let mut program = Program::of(network)?;
    if case.ends_in_logits() {
        program = program.with_logits();
    }
    // In single precision not every column can be scaled.
    let scaling = |scaling: &Option<gradus_onnx::Scaling>| scaling.clone().filter(|scaling| !needs_doubles(scaling));
    let (input_scaling, output_scaling) = (scaling(&case.input_scaling), scaling(&case.output_scaling));
    if let Some(Scaling { mean, deviation }) = &input_scaling {
        program = program.with_input_scaling(gradus_source::Scaling::new(mean, deviation)?)?;
    }
    if let Some(Scaling { mean, deviation }) = &output_scaling {
        program = program.with_output_scaling(gradus_source::Scaling::new(mean, deviation)?)?;
    }
    let raw: Vec<Float> = match input_scaling {
        Some(_) => to_floats(&inputs.raw),
        None => samples.x.clone(),
    };
    let size = raw.len() / samples.count;

    let y: Vec<f32> = raw.chunks(size).flat_map(|x| program.run(x)).collect();
    let values: Vec<f64> = y.iter().map(|&y| f64::from(y)).collect();
    let (found, in_floats) = without_scaling(output_scaling.as_ref(), &values, &expected.outputs);
    Tolerance::single().check("source, in floats", &found, &in_floats, outcome);

    // What is not a number stays so wherever the library says so.
    let at = case.seed as usize % size;
    let (mut x, mut raw_x) = (samples.input(0).to_vec(), raw[..size].to_vec());
    (x[at], raw_x[at]) = (Float::NAN, Float::NAN);
    let expected_nan: Vec<bool> = predict(network, 1, 1, &x)?.iter().map(|y| y.is_nan()).collect();
    let nan: Vec<f32> = program.run(&raw_x);
    if !nan.iter().map(|y| y.is_nan()).eq(expected_nan) {
        outcome.fail("source, in floats: of an input that is NaN, other outputs are NaN than the library's");
    }

    let input_bytes = if case.takes_pixels() {
        InputBytes::Pixels
    } else {
        InputBytes::Calibrated
    };
    let quantized = program.quantize(raw.chunks(size), input_bytes)?;
    let bytes: Vec<u8> = raw.chunks(size).flat_map(|x| quantized.bytes(x)).collect();
    let found: Vec<u8> = bytes.chunks(size).flat_map(|x| quantized.run(x)).collect();
    integers::check(case, network, samples, &quantized, &found, tape, outcome);
    check_units(&quantized, &found, output_scaling.as_ref(), outcome);

    let labels = |kind: &str| Labels {
        prefix: format!("{kind}{}", case.number),
        ..Labels::default()
    };
    let (float_labels, integer_labels) = (labels("f"), labels("i"));
    let x = (raw.iter().chain(&raw_x))
        .flat_map(|&x| to_f32(x).to_le_bytes())
        .collect();
    let y = y.iter().chain(&nan).flat_map(|y| y.to_le_bytes()).collect();
    Ok(Sources {
        number: case.number,
        files: [
            (
                program.source(Language::C, &float_labels)?,
                program.source(Language::Rust, &float_labels)?,
                x,
                y,
            ),
            (
                quantized.source(Language::C, &integer_labels)?,
                quantized.source(Language::Rust, &integer_labels)?,
                bytes,
                found,
            ),
        ],
    })
}

/// Checks that bytes of outputs stand for values in their own units.
fn check_units(quantized: &Quantized, found: &[u8], scaling: Option<&Scaling>, outcome: &mut Outcome) {
    let scale = quantized.output_scale();
    let outputs = scaling.map_or(1, |scaling| scaling.mean.len());
    for y in found.chunks(outputs) {
        let Some(Scaling { mean, deviation }) = scaling else {
            return;
        };
        for (i, (&byte, value)) in y.iter().zip(quantized.values(y)).enumerate() {
            let inside = f64::from(scale.scale) * (f64::from(byte) - f64::from(scale.zero));
            let expected = inside * deviation[i] + mean[i];
            let bound = 4.0 * f64::from(f32::EPSILON) * ((inside * deviation[i]).abs() + mean[i].abs());
            if differs(f64::from(value), expected, bound) {
                return outcome.fail(format!(
                    "source, in integers: byte {byte} of output {i} stands for {value}, expected {expected}"
                ));
            }
        }
    }
}

/// The programs that contain the files of many networks.
pub struct Compiled {
    folder: tempfile::TempDir,
    programs: Vec<(&'static str, PathBuf)>,
}

impl Compiled {
    /// Compiles them, once for each compiler that is there.
    pub fn new<'s>(all: impl Iterator<Item = &'s Sources>) -> anyhow::Result<Compiled> {
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

    /// Compares the outputs of the compiled files with those computed here.
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
                let expected = Values {
                    noise: vec![0.0; expected.len()],
                    exact: expected,
                };
                Tolerance::single().check(&format!("{what}, in floats"), &found, &expected, outcome);
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
