//! Networks as source files: in floats and in integers, run here and, compiled, as a user would.

mod compiled;

use gradus::{Float, Network};
use gradus_onnx::Scaling;
use gradus_source::{InputBytes, Labels, Language, Program, Quantized};

use crate::case::{Case, PlacedLayer, to_floats};
use crate::compare::{Outcome, Tolerance, differs};
use crate::exports::{ExportSamples, needs_doubles, without_scaling};
use crate::inference::{Expected, predict};
use crate::integers;
use crate::layer::Layer;
use crate::onnx::to_f32;
use crate::samples::Samples;
use crate::tape::Tape;

pub use compiled::Compiled;

/// A network's programs and what they have to compute when they are compiled.
pub struct Sources {
    /// None where a layer is refused.
    files: Vec<SourceFile>,
}

/// A program in both languages, the samples it takes, and their outputs.
struct SourceFile {
    name: String,
    numbers: Numbers,
    c: String,
    rust: String,
    x: Vec<u8>,
    y: Vec<u8>,
}

/// The numbers that a program takes and gives.
#[derive(Clone, Copy)]
enum Numbers {
    Floats,
    Bytes,
}

/// Compares the programs, run here, with the plain loops; or checks that they are refused by the name of a layer that they can't
/// compute. Returns them for [`Compiled`].
pub fn check(
    case: &Case,
    network: &Network,
    inputs: &ExportSamples,
    expected: &Expected,
    tape: &mut Tape,
    outcome: &mut Outcome,
) -> anyhow::Result<Sources> {
    let refused = first(case, is_refused);
    let Some(program) = refusal("source", Program::of(network), refused, outcome)? else {
        return Ok(Sources { files: Vec::new() });
    };
    let program = Exported::new(case, program, inputs)?;
    let floats = program.floats(case, network, expected, outcome)?;
    let bytes = program.integers(case, network, tape, outcome)?;
    Ok(Sources {
        files: [floats].into_iter().chain(bytes).collect(),
    })
}

/// Whether the library has no source for a layer.
pub fn is_refused(_: &Case, placed: &PlacedLayer) -> bool {
    matches!(placed.layer, Layer::ConvTranspose2d { .. })
}

/// Whether the library has no integers for a layer.
pub fn is_refused_in_integers(case: &Case, placed: &PlacedLayer) -> bool {
    match placed.layer {
        Layer::LayerNorm { .. } | Layer::GroupNorm { .. } => true,
        // One slope is that of a leaky ReLU.
        Layer::PRelu { per_channel } => per_channel && placed.input[0] > 1,
        // At the very end it is left out.
        Layer::LogSoftmax => {
            let last = case.layers.iter().rposition(|layer| !layer.keeps_values());
            last.is_none_or(|last| placed.path != last.to_string())
        }
        _ => false,
    }
}

/// How messages name the first of the case's layers that `which` says.
fn first(case: &Case, which: fn(&Case, &PlacedLayer) -> bool) -> Option<String> {
    let all = case.layers_in_order();
    all.iter().find(|placed| which(case, placed)).map(PlacedLayer::label)
}

/// A program, unless it has to be refused: then checks that it is, with a sentence about the layer.
fn refusal<T>(
    what: &str,
    program: gradus::Result<T>,
    refused: Option<String>,
    outcome: &mut Outcome,
) -> gradus::Result<Option<T>> {
    match (program, refused) {
        (program, None) => program.map(Some),
        (Err(e), Some(layer)) if e.to_string().starts_with(&format!("{layer}: ")) => Ok(None),
        (Err(e), Some(layer)) => {
            outcome.fail(format!("{what}: refused for something else than {layer}: {e}"));
            Ok(None)
        }
        (Ok(_), Some(layer)) => {
            outcome.fail(format!("{what}: {layer} is not refused"));
            Ok(None)
        }
    }
}

/// A program as it is exported, with samples as it takes them.
struct Exported<'i> {
    program: Program,
    output_scaling: Option<Scaling>,
    samples: &'i Samples,
    raw: Vec<Float>,
}

impl<'i> Exported<'i> {
    fn new(case: &Case, mut program: Program, inputs: &'i ExportSamples) -> anyhow::Result<Self> {
        if case.ends_in_logits() {
            program = program.with_logits();
        }
        // In single precision not every column can be scaled.
        let scaling = |scaling: &Option<Scaling>| scaling.clone().filter(|scaling| !needs_doubles(scaling));
        let (input_scaling, output_scaling) = (scaling(&case.input_scaling), scaling(&case.output_scaling));
        if let Some(Scaling { mean, deviation }) = &input_scaling {
            program = program.with_input_scaling(gradus_source::Scaling::new(mean, deviation)?)?;
        }
        if let Some(Scaling { mean, deviation }) = &output_scaling {
            program = program.with_output_scaling(gradus_source::Scaling::new(mean, deviation)?)?;
        }
        let raw = match input_scaling {
            Some(_) => to_floats(&inputs.raw),
            None => inputs.samples.x.clone(),
        };
        Ok(Exported {
            program,
            output_scaling,
            samples: &inputs.samples,
            raw,
        })
    }

    /// The number of values of a sample.
    fn size(&self) -> usize {
        self.raw.len() / self.samples.count
    }

    /// Compares the program in floats with the plain loops.
    fn floats(
        &self,
        case: &Case,
        network: &Network,
        expected: &Expected,
        outcome: &mut Outcome,
    ) -> anyhow::Result<SourceFile> {
        let y: Vec<f32> = (self.raw.chunks(self.size()))
            .flat_map(|x| self.program.run(x))
            .collect();
        let values: Vec<f64> = y.iter().map(|&y| f64::from(y)).collect();
        let (found, in_floats) = without_scaling(self.output_scaling.as_ref(), &values, &expected.outputs);
        Tolerance::single().check("source, in floats", &found, &in_floats, outcome);

        let (raw_x, nan) = self.check_nan(case, network, outcome)?;
        let labels = labels("f", case);
        Ok(SourceFile {
            c: self.program.source(Language::C, &labels)?,
            rust: self.program.source(Language::Rust, &labels)?,
            name: labels.prefix,
            numbers: Numbers::Floats,
            x: (self.raw.iter().chain(&raw_x))
                .flat_map(|&x| to_f32(x).to_le_bytes())
                .collect(),
            y: y.iter().chain(&nan).flat_map(|y| y.to_le_bytes()).collect(),
        })
    }

    /// Checks that of an input that is NaN the same outputs are NaN as the library's. Returns the sample and its outputs.
    fn check_nan(
        &self,
        case: &Case,
        network: &Network,
        outcome: &mut Outcome,
    ) -> gradus::Result<(Vec<Float>, Vec<f32>)> {
        let at = case.seed as usize % self.size();
        let (mut x, mut raw_x) = (self.samples.input(0).to_vec(), self.raw[..self.size()].to_vec());
        (x[at], raw_x[at]) = (Float::NAN, Float::NAN);
        let expected: Vec<bool> = predict(network, 1, 1, &x)?.iter().map(|y| y.is_nan()).collect();
        let nan = self.program.run(&raw_x);
        if !nan.iter().map(|y| y.is_nan()).eq(expected) {
            outcome.fail("source, in floats: of an input that is NaN, other outputs are NaN than the library's");
        }
        Ok((raw_x, nan))
    }

    /// Compares the program in integers with the plain loops; none if it is refused, as it has to be.
    fn integers(
        &self,
        case: &Case,
        network: &Network,
        tape: &mut Tape,
        outcome: &mut Outcome,
    ) -> anyhow::Result<Option<SourceFile>> {
        let input_bytes = if case.takes_pixels() {
            InputBytes::Pixels
        } else {
            InputBytes::Calibrated
        };
        let quantized = self.program.quantize(self.raw.chunks(self.size()), input_bytes);
        let refused = first(case, is_refused_in_integers);
        let Some(quantized) = refusal("source, in integers", quantized, refused, outcome)? else {
            return Ok(None);
        };
        let bytes: Vec<u8> = (self.raw.chunks(self.size()))
            .flat_map(|x| quantized.bytes(x))
            .collect();
        let found: Vec<u8> = (bytes.chunks(self.size())).flat_map(|x| quantized.run(x)).collect();
        integers::check(case, network, self.samples, &quantized, &found, tape, outcome);
        check_units(&quantized, &found, self.output_scaling.as_ref(), outcome);
        let labels = labels("i", case);
        Ok(Some(SourceFile {
            c: quantized.source(Language::C, &labels)?,
            rust: quantized.source(Language::Rust, &labels)?,
            name: labels.prefix,
            numbers: Numbers::Bytes,
            x: bytes,
            y: found,
        }))
    }
}

fn labels(kind: &str, case: &Case) -> Labels {
    Labels {
        prefix: format!("{kind}{}", case.number),
        ..Labels::default()
    }
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
