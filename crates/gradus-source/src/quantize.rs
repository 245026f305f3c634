//! Quantization after training: the same steps on bytes, with integers only.
//!
//! | | |
//! | --- | --- |
//! | a value | x = s · (q - z), q from 0 to 255; scale s and zero z from the smallest and the largest value that calibration saw |
//! | of sigmoid, softmax | s = 1/256, z = 0, whatever calibration saw; the range before them is at least from -8 to 8 |
//! | of tanh | s = 1/128, z = 128, likewise |
//! | a weight | w = sₒ · q, q from -127 to 127; a scale for each output channel o, from its largest weight |
//! | a sum | a = Σ q·(qₓ - zₓ) + b / (sₒ·sₓ), in 32 bits |
//! | the next value | q = z + a · M, where M = sₒ·sₓ / s is an integer of 31 bits divided by a power of two |
//!
//! Since 0 is a byte of every scale, padding and ReLU are exact, and a ReLU costs nothing: its values begin at 0, and what is
//! below is cut off. Other functions of one value are tables of 256 bytes. A softmax or log-softmax at the very end is left out: the class is
//! the same without it. Calibration may lack a class: the outputs of a function whose range is known have all of it, or a
//! classifier that saw no positive could never say yes.
//!
//! Source: Jacob, Kligys, Chen, Zhu, Tang, Howard, Adam and Kalenichenko, "Quantization and training of neural networks for
//! efficient integer-arithmetic-only inference", 2018.

use gradus::layer::{Function, UpsampleMode};
use gradus::{Error, Float, Result, Shape};

use crate::bytes::{Range, Scale};
use crate::kernels::functions;
use crate::kernels::window::Window;
use crate::maps::{Bounds, map};
use crate::program::{Op, Program, Step, result};
use crate::scaling::Scaling;

/// A program on bytes.
#[derive(Debug, Clone)]
pub struct Quantized {
    pub(crate) input: Shape,
    pub(crate) output: Shape,
    pub(crate) values: Vec<usize>,
    pub(crate) steps: Vec<Step<QuantizedOp>>,
    pub(crate) input_scale: Scale,
    pub(crate) output_scale: Scale,
    pub(crate) logits: bool,
    pub(crate) input_scaling: Option<Scaling>,
    pub(crate) output_scaling: Option<Scaling>,
}

/// What the bytes of the input are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputBytes {
    /// The bytes of pictures: sample values are bytes / 255.
    Pixels,
    /// Whatever the calibration's samples need.
    Calibrated,
}

/// What a step computes.
#[derive(Debug, Clone)]
pub(crate) enum QuantizedOp {
    Dense {
        weights: Weights,
        y_zero: i32,
    },
    /// `x_zero` is 0 where the bias makes up for it.
    Conv2d {
        window: Window,
        weights: Weights,
        x_zero: i32,
        y_zero: i32,
    },
    MaxPool {
        window: Window,
    },
    MeanPool {
        window: Window,
        exclude_padding: bool,
        multiplier: i32,
        shift: u8,
        x_zero: i32,
        y_zero: i32,
    },
    /// The bytes stand for the same before and after.
    Upsample {
        height: usize,
        width: usize,
        scale: [usize; 2],
        mode: UpsampleMode,
    },
    /// Of images of this height and width, the pixels from row `start[0]` and column `start[1]` on, `size` of them down and across. The bytes
    /// stand for the same before and after.
    Crop {
        height: usize,
        width: usize,
        start: [usize; 2],
        size: [usize; 2],
    },
    Map(Box<[u8; 256]>),
    Softmax(Box<[u32; 256]>),
    /// Of x and y; the zeros are of x, of y before and of y after.
    Add {
        multipliers: [i32; 2],
        shift: u8,
        zeros: [i32; 3],
    },
    /// The zeros are of x, of y before and of y after.
    Multiply {
        multiplier: i32,
        shift: u8,
        zeros: [i32; 3],
    },
    CopyInto {
        start: usize,
        multiplier: i32,
        shift: u8,
        x_zero: i32,
        y_zero: i32,
    },
    Copy,
}

/// The weights of a step, and what each output channel's sums are multiplied by and divided by, as a power of two.
#[derive(Debug, Clone)]
pub(crate) struct Weights {
    pub(crate) weight: Vec<i8>,
    pub(crate) bias: Vec<i32>,
    pub(crate) multiplier: Vec<i32>,
    pub(crate) shift: Vec<u8>,
}

/// The most pixels of an average: their sum is taken in 32 bits.
const MOST_PIXELS: usize = 1 << 15;

/// The most pixels that each pixel becomes by interpolation: four times as many weights of a byte are added up in 32 bits.
const MOST_FOLD: usize = 1 << 20;

/// The least range before a sigmoid, softmax or tanh, on both sides of 0: there they are within 0.0004 of their bounds.
const LEAST_RANGE: f64 = 8.0;

impl Program {
    /// The program on bytes, its scales taken from what these samples make of it; some hundred of the training samples will
    /// do. They are given as [`run`](Program::run) takes them: not scaled yet, if the program
    /// [scales them](Program::with_input_scaling).
    ///
    /// ```
    /// use gradus::prelude::*;
    /// use gradus_source::{InputBytes, Program};
    ///
    /// let mut network = Sequential::new([2]).layer(Dense::new(1)).build(1)?;
    /// network.set("0.weight", &[0.5, -0.25])?;
    /// let samples = [[0.0, 1.0], [1.0, 0.0]];
    /// let quantized = Program::of(&network)?.quantize(samples.iter().map(|x| &x[..]), InputBytes::Pixels)?;
    /// let y = quantized.run(&[255, 0]);
    /// assert!((quantized.output_scale().value(y[0]) - 0.5).abs() < 0.01);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// If there are no samples, or one has another size or makes values that are not finite; if an output sums up so many
    /// inputs that 32 bits might not hold it.
    pub fn quantize<'a>(&self, samples: impl IntoIterator<Item = &'a [Float]>, input: InputBytes) -> Result<Quantized> {
        let mut program = self.clone();
        let mut ranges = program.ranges(samples)?;
        program.widen(&mut ranges);
        program.narrow(&mut ranges);
        program.join(&mut ranges);
        if matches!(program.steps.last(), Some(step) if matches!(step.op, Op::Softmax | Op::LogSoftmax)) {
            program.steps.pop();
        }
        let input_scale = match input {
            InputBytes::Pixels => Scale {
                scale: 1.0 / 255.0,
                zero: 0,
            },
            InputBytes::Calibrated => ranges.input.scale(),
        };
        // What the bytes of each value stand for at the moment; steps in place change it.
        let mut scales = vec![input_scale; program.values.len()];
        let mut steps = Vec::new();
        for (step, range) in program.steps.iter().zip(&ranges.steps) {
            let (x, before) = (scales[step.x], scales[step.y]);
            let y = match &step.op {
                op if keeps_scale(op) => x,
                // A mean of values whose range is known is in it.
                Op::MeanPool { .. } if [Scale::SHARES, Scale::SIGNED].contains(&x) => x,
                op => bounded(op).unwrap_or_else(|| range.scale()),
            };
            let op = quantize_step(&step.op, x, before, y).map_err(|message| Error::build(&*step.label, message))?;
            scales[step.y] = y;
            let (label, name) = (step.label.clone(), step.name.clone());
            let (x, y) = (step.x, step.y);
            steps.push(Step { label, name, x, y, op });
        }
        Ok(Quantized {
            output_scale: scales[result(&steps)],
            input: program.input,
            output: program.output,
            values: program.values,
            steps,
            input_scale,
            logits: program.logits,
            input_scaling: program.input_scaling,
            output_scaling: program.output_scaling,
        })
    }

    /// Makes the ranges before functions of a known range, and at logits, so wide that they can reach its bounds. After a ReLU the
    /// range goes on to begin at 0, for that is what cuts off below.
    fn widen(&self, ranges: &mut Ranges) {
        let functions = self.steps.iter().enumerate();
        let functions = functions.filter(|(_, step)| bounded(&step.op).is_some());
        let inputs = functions.map(|(i, step)| (step.x, &self.steps[..i]));
        let logits = self.logits.then(|| (result(&self.steps), &self.steps[..]));
        for (mut value, mut before) in inputs.chain(logits) {
            // The step that has the scale of this value; steps that leave the scale as it is have their own inputs'.
            let (step, range) = loop {
                let Some(last) = before.iter().rposition(|step| step.y == value) else {
                    break (None, &mut ranges.input);
                };
                let step = &before[last];
                match &step.op {
                    op if keeps_scale(op) => (value, before) = (step.x, &before[..last]),
                    _ => break (Some(step), &mut ranges.steps[last]),
                }
            };
            range.include(LEAST_RANGE);
            if !step.is_some_and(|step| rectifies(&step.op)) {
                range.include(-LEAST_RANGE);
            }
        }
    }

    /// Gives a value that only a clamp reads the range of the clamp: beyond it, the first and the last byte stand for the bounds.
    fn narrow(&self, ranges: &mut Ranges) {
        for (i, step) in self.steps.iter().enumerate() {
            let Op::Map(Function::Clamp { low, high }) = step.op else {
                continue;
            };
            let Some(last) = self.steps[..i].iter().rposition(|before| before.y == step.x) else {
                continue;
            };
            let is_read = self.steps[last + 1..i].iter().any(|between| between.x == step.x);
            // The parts of a value have one scale.
            let is_part = matches!(self.steps[last].op, Op::CopyInto { .. });
            if !is_read && !is_part && !keeps_scale(&self.steps[last].op) {
                ranges.steps[last].limit(low, high);
            }
        }
    }

    /// Gives all parts that a value is joined of the range that holds them all: they have one scale.
    fn join(&self, ranges: &mut Ranges) {
        let is_part = |step: &Step<Op>| matches!(step.op, Op::CopyInto { .. });
        for (i, step) in self.steps.iter().enumerate().filter(|(_, step)| is_part(step)) {
            let parts = || (0..i).filter(|&j| is_part(&self.steps[j]) && self.steps[j].y == step.y);
            let whole = parts().fold(ranges.steps[i], |whole, part| whole.and(ranges.steps[part]));
            parts().chain([i]).for_each(|part| ranges.steps[part] = whole);
        }
    }

    /// The ranges of the input and of what each step writes.
    fn ranges<'a>(&self, samples: impl IntoIterator<Item = &'a [Float]>) -> Result<Ranges> {
        let mut ranges = Ranges {
            input: Range::default(),
            steps: vec![Range::default(); self.steps.len()],
        };
        let mut count = 0;
        for x in samples {
            if x.len() != self.input.size() {
                return Err(Error::Invalid(format!(
                    "calibration needs samples of {} values, as the network takes, got one of {}",
                    self.input.size(),
                    x.len()
                )));
            }
            let x = self.standardized(x);
            x.iter().for_each(|&x| ranges.input.include(f64::from(x)));
            self.run_with(x, |i, y| {
                y.iter().for_each(|&y| ranges.steps[i].include(f64::from(y)));
            });
            count += 1;
        }
        if count == 0 {
            return Err(Error::Data(
                "calibration needs samples, some hundred of those that the network was trained on, and got none".into(),
            ));
        }
        let all = std::iter::once(&ranges.input).chain(&ranges.steps);
        if all.into_iter().any(|range| range.infinite) {
            return Err(Error::Data(
                "the network makes values of the samples for calibration that are not finite".into(),
            ));
        }
        Ok(ranges)
    }
}

struct Ranges {
    input: Range,
    steps: Vec<Range>,
}

impl Quantized {
    /// What the bytes of the input stand for in the network: if it takes scaled numbers, for these.
    pub fn input_scale(&self) -> Scale {
        self.input_scale
    }

    /// What the bytes of the output stand for in the network: if it learned scaled targets, for these.
    pub fn output_scale(&self) -> Scale {
        self.output_scale
    }

    /// The bytes of an input, as `quantize` in the exported file makes them: of numbers that are not scaled yet, if the program
    /// [scales them](Quantized::with_input_scaling).
    ///
    /// # Panics
    /// If `x` is not of the input's size.
    pub fn bytes(&self, x: &[Float]) -> Vec<u8> {
        assert_eq!(x.len(), self.input.size(), "the input has another size");
        let units = self.input_units();
        let bytes = x.iter().enumerate().map(|(i, &x)| units.byte(i, f64::from(x) as f32));
        bytes.collect()
    }

    /// What the bytes of an output stand for, as `dequantize` in the exported file has it: in the units of the targets, if these
    /// were scaled.
    ///
    /// # Panics
    /// If `y` is not of the output's size.
    pub fn values(&self, y: &[u8]) -> Vec<f32> {
        assert_eq!(y.len(), self.output.size(), "the output has another size");
        let units = self.output_units();
        y.iter().enumerate().map(|(i, &byte)| units.value(i, byte)).collect()
    }

    /// The class that outputs stand for: the largest, the first among equals; of a single one, 1 if it is above 0.5, or a
    /// logit above 0, else 0.
    ///
    /// # Panics
    /// If `y` is not of the output's size.
    pub fn class(&self, y: &[u8]) -> usize {
        assert_eq!(y.len(), self.output.size(), "the output has another size");
        if let [y] = *y {
            return usize::from(i32::from(y) > self.boundary());
        }
        let mut best = 0;
        for (i, value) in y.iter().enumerate() {
            if *value > y[best] {
                best = i;
            }
        }
        best
    }

    /// The largest byte of a single output that is still of class 0: it stands for no more than 0.5, or 0 if it is a logit.
    pub(crate) fn boundary(&self) -> i32 {
        let boundary = if self.logits { 0.0 } else { 0.5 } / f64::from(self.output_scale.scale);
        (f64::from(self.output_scale.zero) + boundary).floor().min(255.0) as i32
    }
}

/// The scale of what has a known range, whatever it is computed from.
fn bounded(op: &Op) -> Option<Scale> {
    match op {
        Op::Softmax => Some(Scale::SHARES),
        Op::Map(function) => map(*function).bounds.map(|bounds| match bounds {
            Bounds::Shares => Scale::SHARES,
            Bounds::Signed => Scale::SIGNED,
        }),
        _ => None,
    }
}

/// Whether the values of a step are values that it reads, or lie between them: their bytes stand for the same.
fn keeps_scale(op: &Op) -> bool {
    matches!(
        op,
        Op::MaxPool { .. } | Op::Upsample { .. } | Op::Crop { .. } | Op::Copy
    )
}

/// Whether a step ends in a ReLU that its range stands for.
fn rectifies(op: &Op) -> bool {
    matches!(
        op,
        Op::Dense { relu: true, .. } | Op::Conv2d { relu: true, .. } | Op::Add { relu: true }
    )
}

/// A step from bytes of scale `x` to bytes of scale `y`; in place, `before` is the scale of y before.
fn quantize_step(op: &Op, x: Scale, before: Scale, y: Scale) -> Result<QuantizedOp, String> {
    Ok(match op {
        Op::Dense { weight, bias, .. } => QuantizedOp::Dense {
            weights: weights(weight, bias, x, y, true)?,
            y_zero: y.zero(),
        },
        Op::Conv2d {
            window, weight, bias, ..
        } => {
            // On the padding, nothing is to be made up for.
            let shifted = !window.is_padded();
            QuantizedOp::Conv2d {
                window: *window,
                weights: weights(weight, bias, x, y, shifted)?,
                x_zero: if shifted { 0 } else { x.zero() },
                y_zero: y.zero(),
            }
        }
        Op::MaxPool { window } => QuantizedOp::MaxPool { window: *window },
        Op::MeanPool {
            window,
            exclude_padding,
        } => {
            let pixels = window.rows.kernel * window.columns.kernel;
            if pixels >= MOST_PIXELS {
                return Err(format!(
                    "in integers, an average can be of less than {MOST_PIXELS} pixels, this is of {pixels}"
                ));
            }
            let (multiplier, shift) = fraction(f64::from(x.scale) / f64::from(y.scale) / 256.0);
            QuantizedOp::MeanPool {
                window: *window,
                exclude_padding: *exclude_padding,
                multiplier,
                shift,
                x_zero: x.zero(),
                y_zero: y.zero(),
            }
        }
        Op::Upsample {
            height,
            width,
            scale,
            mode,
        } => {
            let [rows, columns] = *scale;
            if *mode == UpsampleMode::Bilinear && rows.saturating_mul(columns) >= MOST_FOLD {
                return Err(format!(
                    "in integers, an image can be interpolated to less than {MOST_FOLD} times its pixels, this is to {rows}×{columns} times"
                ));
            }
            QuantizedOp::Upsample {
                height: *height,
                width: *width,
                scale: *scale,
                mode: *mode,
            }
        }
        Op::Crop {
            height,
            width,
            start,
            size,
        } => QuantizedOp::Crop {
            height: *height,
            width: *width,
            start: *start,
            size: *size,
        },
        Op::Map(function) => QuantizedOp::Map(table(*function, before, y)),
        Op::Softmax => QuantizedOp::Softmax(exponentials(before)),
        Op::PRelu { .. } | Op::LogSoftmax | Op::Normalize { .. } => {
            return Err("it can't be computed in integers: export the network in floats".into());
        }
        Op::Add { .. } => {
            let factors = [x, before].map(|scale| f64::from(scale.scale) / f64::from(y.scale));
            let (_, shift) = fraction(factors[0].max(factors[1]));
            let unit = (shift as f64).exp2();
            QuantizedOp::Add {
                multipliers: factors.map(|factor| (factor * unit).round().min(f64::from(i32::MAX)) as i32),
                shift,
                zeros: [x.zero(), before.zero(), y.zero()],
            }
        }
        Op::Multiply => {
            let (multiplier, shift) = fraction(f64::from(x.scale) * f64::from(before.scale) / f64::from(y.scale));
            QuantizedOp::Multiply {
                multiplier,
                shift,
                zeros: [x.zero(), before.zero(), y.zero()],
            }
        }
        Op::CopyInto { start } => {
            let (multiplier, shift) = fraction(f64::from(x.scale) / f64::from(y.scale));
            QuantizedOp::CopyInto {
                start: *start,
                multiplier,
                shift,
                x_zero: x.zero(),
                y_zero: y.zero(),
            }
        }
        Op::Copy => QuantizedOp::Copy,
    })
}

impl Window {
    /// Whether some window reaches over the image.
    fn is_padded(&self) -> bool {
        [self.rows, self.columns].iter().any(|axis| {
            let reach = (axis.output - 1) * axis.stride + (axis.kernel - 1) * axis.dilation + 1;
            axis.padding > 0 || reach > axis.input
        })
    }
}

/// The weights of a step; if `shifted`, the bias makes up for the zero of x.
fn weights(weight: &[f32], bias: &[f32], x: Scale, y: Scale, shifted: bool) -> Result<Weights, String> {
    let inputs = weight.len() / bias.len();
    let mut all = Weights {
        weight: Vec::with_capacity(weight.len()),
        bias: Vec::new(),
        multiplier: Vec::new(),
        shift: Vec::new(),
    };
    for (o, &bias) in bias.iter().enumerate() {
        let weight = &weight[o * inputs..(o + 1) * inputs];
        let (bias, x_scale) = (f64::from(bias), f64::from(x.scale));
        let largest = weight.iter().fold(0.0, |most, w| f64::max(most, f64::from(w.abs())));
        // Coarser where the bias would otherwise not fit.
        let scale = (largest / 127.0).max(bias.abs() / x_scale / (1u32 << 30) as f64);
        let scale = if scale > 0.0 { scale } else { 1.0 };
        let start = all.weight.len();
        all.weight
            .extend(weight.iter().map(|&w| (f64::from(w) / scale).round() as i8));
        let weight = &all.weight[start..];
        let sum: i64 = weight.iter().map(|&w| i64::from(w)).sum();
        let made_up = if shifted { i64::from(x.zero) * sum } else { 0 };
        let bias = (bias / (x_scale * scale)).round() as i64 - made_up;
        let reach: i64 = weight.iter().map(|&w| 255 * i64::from(w).abs()).sum();
        if bias.abs() + reach > i64::from(i32::MAX) {
            return Err(format!(
                "in integers, each output sums up its {inputs} inputs in 32 bits, which might not hold them"
            ));
        }
        let (multiplier, shift) = fraction(scale * x_scale / f64::from(y.scale));
        all.bias.push(bias as i32);
        all.multiplier.push(multiplier);
        all.shift.push(shift);
    }
    Ok(all)
}

/// A positive factor as multiplier / 2^shift, the multiplier having 31 bits and the shift being from 1 to 62.
///
/// Of smaller factors the multiplier has fewer bits, since even the largest sum times such a factor is less than a half; of larger
/// ones it is the largest, with which any sum gives the first or the last byte.
fn fraction(factor: f64) -> (i32, u8) {
    let exponent = factor.log2().floor() as i32 + 1;
    // Not as a comparison with 62 and an early return: rustc 1.95 drops that comparison before `max(1)`.
    let shift = (31 - exponent).clamp(1, 62);
    let multiplier = (factor * f64::from(shift).exp2()).round();
    (multiplier.min(f64::from(i32::MAX)) as i32, shift as u8)
}

/// The bytes of a function of one byte.
fn table(function: Function, x: Scale, y: Scale) -> Box<[u8; 256]> {
    let mut values: [f32; 256] = std::array::from_fn(|byte| x.value(byte as u8));
    map(function).run(&mut values);
    Box::new(values.map(|value| y.byte(value)))
}

/// e⁻ˣ of the difference of two bytes, in 65536ths.
fn exponentials(x: Scale) -> Box<[u32; 256]> {
    let each = |difference| (functions::exp(-x.scale * difference as f32) * 65536.0).round() as u32;
    Box::new(std::array::from_fn(each))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_is_a_multiplier_of_31_bits() {
        for factor in [1.0, 0.5, 0.999_999_999_9, 1e-6, 3.7, 1e9, 0.1] {
            let (multiplier, shift) = fraction(factor);
            let found = f64::from(multiplier) / f64::from(shift).exp2();
            assert!((found / factor - 1.0).abs() < 1e-9, "{factor}: {found}");
            assert!((1..=62).contains(&shift), "{shift}");
        }
        assert_eq!(fraction(1e12), (i32::MAX, 1));
    }

    /// A compiler may lose the bound of the shift (rustc 1.95 did, with optimization, for shifts from 63 on).
    #[test]
    fn a_shift_is_never_out_of_bounds() {
        // As a function of its own, of which nothing is known where it is called.
        let fraction = std::hint::black_box(fraction as fn(f64) -> (i32, u8));
        for shift in -40..300 {
            // From 2^30 / 2^shift on, the multiplier has 31 bits.
            let factor = f64::from(30 - shift).exp2();
            let (multiplier, found) = fraction(factor);
            let expected = match shift {
                ..1 => (i32::MAX, 1),
                1..=62 => (1 << 30, shift as u8),
                63..=92 => (1 << (92 - shift), 62),
                93 => (1, 62), // a half, rounded
                _ => (0, 62),
            };
            assert_eq!((multiplier, found), expected, "shift {shift}");
        }
    }
}
