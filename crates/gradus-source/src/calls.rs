//! Steps as calls of the operations: what both languages print, each in its own words.

use gradus::layer::UpsampleMode;

use crate::bytes::Units;
use crate::kernels::window::Window;
use crate::maps::map;
use crate::memory::{Place, places};
use crate::program::{Op, Program, Step, result};
use crate::quantize::{Quantized, QuantizedOp};
use crate::scaling::Scaling;

/// All that a file is printed from.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) calls: Vec<Call>,
    pub(crate) places: Vec<Place>,
    /// Elements of the buffer.
    pub(crate) buffer: usize,
    pub(crate) values: Vec<usize>,
    pub(crate) bytes: Option<Bytes>,
    /// Whether inputs and outputs are scaled in the file.
    pub(crate) scaled: [bool; 2],
    /// Whether outputs are logits.
    pub(crate) logits: bool,
}

/// What the bytes of the input and of the output stand for, and the largest of a single output that is still of class 0.
#[derive(Debug)]
pub(crate) struct Bytes {
    pub(crate) input: Units,
    pub(crate) output: Units,
    pub(crate) boundary: i32,
}

/// A step in floats, with those that scale.
enum FloatOp<'a> {
    Standardize(&'a Scaling),
    Network(&'a Op),
    Rescale(&'a Scaling),
}

/// A call of an operation.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) label: String,
    pub(crate) name: String,
    pub(crate) function: &'static str,
    /// The value that it reads; none if it works in place.
    pub(crate) x: Option<usize>,
    pub(crate) y: usize,
    /// How many values there are to go through, which C has to be told.
    pub(crate) counts: Vec<usize>,
    pub(crate) arguments: Vec<Argument>,
}

/// An argument after the values.
#[derive(Debug)]
pub(crate) enum Argument {
    Table(&'static str, Table),
    Window(Window),
    Integer(i32),
    Float(f32),
    Flag(bool),
}

/// A table of numbers.
#[derive(Debug)]
pub(crate) enum Table {
    F32(Vec<f32>),
    I8(Vec<i8>),
    U8(Vec<u8>),
    I32(Vec<i32>),
    U32(Vec<u32>),
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        match self {
            Table::F32(values) => values.len(),
            Table::I8(values) => values.len(),
            Table::U8(values) => values.len(),
            Table::I32(values) => values.len(),
            Table::U32(values) => values.len(),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        let each = match self {
            Table::F32(_) | Table::I32(_) | Table::U32(_) => 4,
            Table::I8(_) | Table::U8(_) => 1,
        };
        each * self.len()
    }
}

impl Listing {
    pub(crate) fn of_program(program: &Program) -> Listing {
        let (values, steps) = scaled(program);
        let calls = listed(&values, &steps, |op| match op {
            FloatOp::Standardize(scaling) => ("standardize", scaling_tables(scaling)),
            FloatOp::Rescale(scaling) => ("rescale", scaling_tables(scaling)),
            FloatOp::Network(op) => float_call(op),
        });
        let (places, buffer) = places(&values, &steps);
        Listing {
            calls,
            places,
            buffer,
            values,
            bytes: None,
            scaled: [program.input_scaling.is_some(), program.output_scaling.is_some()],
            logits: program.logits,
        }
    }

    pub(crate) fn of_quantized(quantized: &Quantized) -> Listing {
        let calls = listed(&quantized.values, &quantized.steps, |op| match op {
            QuantizedOp::Dense { weights, y_zero } => {
                let mut arguments = tables(weights);
                arguments.push(Argument::Integer(*y_zero));
                ("dense", arguments)
            }
            QuantizedOp::Conv2d {
                window,
                weights,
                x_zero,
                y_zero,
            } => {
                let mut arguments = tables(weights);
                arguments.push(Argument::Window(*window));
                arguments.extend([x_zero, y_zero].map(|&zero| Argument::Integer(zero)));
                ("conv2d", arguments)
            }
            QuantizedOp::MaxPool { window } => ("max_pool2d", vec![Argument::Window(*window)]),
            QuantizedOp::MeanPool {
                window,
                exclude_padding,
                multiplier,
                shift,
                x_zero,
                y_zero,
            } => {
                let mut arguments = vec![Argument::Window(*window), Argument::Flag(*exclude_padding)];
                arguments.extend([*multiplier, i32::from(*shift), *x_zero, *y_zero].map(Argument::Integer));
                ("avg_pool2d", arguments)
            }
            QuantizedOp::Upsample {
                height,
                width,
                scale,
                mode,
            } => upsample_call([*height, *width], *scale, *mode),
            QuantizedOp::Crop {
                height,
                width,
                start,
                size,
            } => crop_call([*height, *width], *start, *size),
            QuantizedOp::Map(table) => ("map", vec![Argument::Table("table", Table::U8(table.to_vec()))]),
            QuantizedOp::Softmax(table) => ("softmax", vec![Argument::Table("table", Table::U32(table.to_vec()))]),
            QuantizedOp::Add {
                multipliers: [a, b],
                shift,
                zeros: [x_zero, y_zero, zero],
            } => {
                let integers = [*a, *b, i32::from(*shift), *x_zero, *y_zero, *zero];
                ("add", integers.map(Argument::Integer).into())
            }
            QuantizedOp::Multiply {
                multiplier,
                shift,
                zeros: [x_zero, y_zero, zero],
            } => {
                let integers = [*multiplier, i32::from(*shift), *x_zero, *y_zero, *zero];
                ("multiply", integers.map(Argument::Integer).into())
            }
            QuantizedOp::CopyInto {
                start,
                multiplier,
                shift,
                x_zero,
                y_zero,
            } => {
                let integers = [*start as i32, *multiplier, i32::from(*shift), *x_zero, *y_zero];
                ("copy_into", integers.map(Argument::Integer).into())
            }
            QuantizedOp::Copy => ("copy", vec![]),
        });
        let (places, buffer) = places(&quantized.values, &quantized.steps);
        Listing {
            calls,
            places,
            buffer,
            values: quantized.values.clone(),
            bytes: Some(Bytes {
                input: quantized.input_units(),
                output: quantized.output_units(),
                boundary: quantized.boundary(),
            }),
            scaled: [quantized.input_scaling.is_some(), quantized.output_scaling.is_some()],
            logits: quantized.logits,
        }
    }

    /// The operations that the file needs.
    pub(crate) fn functions(&self) -> Vec<String> {
        let quantization = self.bytes.iter().map(|_| "nearest");
        let calls = self.calls.iter().map(|call| call.function);
        calls.chain(quantization).map(String::from).collect()
    }

    /// The values of the output.
    pub(crate) fn outputs(&self) -> usize {
        self.calls.last().map_or(self.values[0], |call| self.values[call.y])
    }

    /// The bytes of an input, a buffer or an output value.
    pub(crate) fn element(&self) -> usize {
        if self.bytes.is_some() { 1 } else { 4 }
    }
}

/// The values and steps of a program, with those that scale its input and its output.
fn scaled(program: &Program) -> (Vec<usize>, Vec<Step<FloatOp<'_>>>) {
    let step = |label: &str, name: &str, x, y, op| Step {
        label: label.into(),
        name: name.into(),
        x,
        y,
        op,
    };
    let mut values = program.values.clone();
    let mut steps = Vec::new();
    let mut input = 0;
    if let Some(scaling) = &program.input_scaling {
        input = values.len();
        values.push(values[0]);
        let op = FloatOp::Standardize(scaling);
        steps.push(step("the scaling of the input", "input", 0, input, op));
    }
    for Step { label, name, x, y, op } in &program.steps {
        // Nothing is written over the input.
        let x = if *x == 0 { input } else { *x };
        steps.push(step(label, name, x, *y, FloatOp::Network(op)));
    }
    if let Some(scaling) = &program.output_scaling {
        let y = result(&steps);
        let op = FloatOp::Rescale(scaling);
        steps.push(step("the units of the output", "output", y, y, op));
    }
    (values, steps)
}

fn scaling_tables(Scaling { mean, deviation }: &Scaling) -> Vec<Argument> {
    vec![
        Argument::Table("mean", Table::F32(mean.clone())),
        Argument::Table("deviation", Table::F32(deviation.clone())),
    ]
}

fn float_call(op: &Op) -> (&'static str, Vec<Argument>) {
    match op {
        Op::Dense { weight, bias, relu } => (
            "dense",
            vec![
                Argument::Table("weight", Table::F32(weight.clone())),
                Argument::Table("bias", Table::F32(bias.clone())),
                Argument::Flag(*relu),
            ],
        ),
        Op::Conv2d {
            window,
            weight,
            bias,
            relu,
        } => (
            "conv2d",
            vec![
                Argument::Table("weight", Table::F32(weight.clone())),
                Argument::Table("bias", Table::F32(bias.clone())),
                Argument::Window(*window),
                Argument::Flag(*relu),
            ],
        ),
        Op::MaxPool { window } => ("max_pool2d", vec![Argument::Window(*window)]),
        Op::MeanPool {
            window,
            exclude_padding,
        } => (
            "avg_pool2d",
            vec![Argument::Window(*window), Argument::Flag(*exclude_padding)],
        ),
        Op::Upsample {
            height,
            width,
            scale,
            mode,
        } => upsample_call([*height, *width], *scale, *mode),
        Op::Crop {
            height,
            width,
            start,
            size,
        } => crop_call([*height, *width], *start, *size),
        Op::Map(function) => {
            let map = map(*function);
            (map.name, map.arguments.into_iter().map(Argument::Float).collect())
        }
        Op::Softmax => ("softmax", vec![]),
        Op::Normalize {
            gamma,
            beta,
            groups,
            pixels,
            epsilon,
        } => (
            "normalize",
            vec![
                Argument::Table("weight", Table::F32(gamma.clone())),
                Argument::Table("bias", Table::F32(beta.clone())),
                Argument::Integer(*groups as i32),
                Argument::Integer(*pixels as i32),
                Argument::Float(*epsilon),
            ],
        ),
        Op::LogSoftmax => ("log_softmax", vec![]),
        Op::PRelu { slope, pixels } => (
            "prelu",
            vec![
                Argument::Table("slope", Table::F32(slope.clone())),
                Argument::Integer(*pixels as i32),
            ],
        ),
        Op::Add { relu } => ("add", vec![Argument::Flag(*relu)]),
        Op::Multiply => ("multiply", vec![]),
        // Whatever is larger than 32 bits has been refused.
        Op::CopyInto { start } => ("copy_into", vec![Argument::Integer(*start as i32)]),
        Op::Copy => ("copy", vec![]),
    }
}

fn upsample_call(
    [height, width]: [usize; 2],
    [rows, columns]: [usize; 2],
    mode: UpsampleMode,
) -> (&'static str, Vec<Argument>) {
    // Whatever is larger than 32 bits has been refused.
    let integers = |values: &[usize]| values.iter().map(|&value| Argument::Integer(value as i32)).collect();
    match mode {
        UpsampleMode::Nearest => ("upsample_nearest", integers(&[width, rows, columns])),
        UpsampleMode::Bilinear => ("upsample_bilinear", integers(&[height, width, rows, columns])),
    }
}

fn crop_call(
    [height, width]: [usize; 2],
    [top, left]: [usize; 2],
    [rows, columns]: [usize; 2],
) -> (&'static str, Vec<Argument>) {
    // Whatever is larger than 32 bits has been refused.
    let integers = [height * width, width, top * width + left, rows, columns];
    ("crop", integers.map(|value| Argument::Integer(value as i32)).into())
}

fn listed<O>(values: &[usize], steps: &[Step<O>], call: impl Fn(&O) -> (&'static str, Vec<Argument>)) -> Vec<Call> {
    debug_assert!(result(steps) < values.len());
    let calls = steps.iter().map(|step| {
        let (function, arguments) = call(&step.op);
        let windowed = arguments.iter().any(|argument| matches!(argument, Argument::Window(_)));
        let counts = match function {
            _ if windowed => vec![],
            "dense" | "multiply" => vec![values[step.x], values[step.y]],
            "copy_into" | "upsample_nearest" | "upsample_bilinear" | "crop" => vec![values[step.x]],
            _ => vec![values[step.y]],
        };
        Call {
            label: step.label.clone(),
            name: step.name.clone(),
            function,
            x: (step.x != step.y).then_some(step.x),
            y: step.y,
            counts,
            arguments,
        }
    });
    calls.collect()
}

fn tables(weights: &crate::quantize::Weights) -> Vec<Argument> {
    vec![
        Argument::Table("weight", Table::I8(weights.weight.clone())),
        Argument::Table("bias", Table::I32(weights.bias.clone())),
        Argument::Table("multiplier", Table::I32(weights.multiplier.clone())),
        Argument::Table("shift", Table::U8(weights.shift.clone())),
    ]
}
