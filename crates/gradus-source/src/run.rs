//! Programs, run here: step by step as the exported files do, by the same functions.

use gradus::Float;
use gradus::layer::UpsampleMode;

use crate::kernels::{float, functions, integer};
use crate::maps::map;
use crate::program::{Op, Program, Step, result};
use crate::quantize::{Quantized, QuantizedOp};
use crate::scaling::Scaling;

impl Program {
    /// What the exported file in floats computes.
    ///
    /// # Panics
    /// If `x` is not of the input's size.
    pub fn run(&self, x: &[Float]) -> Vec<f32> {
        let mut y = self.run_with(self.standardized(x), |_, _| {});
        if let Some(Scaling { mean, deviation }) = &self.output_scaling {
            float::rescale(&mut y, mean, deviation);
        }
        y
    }

    /// As [`run`](Program::run), without scaling; calls `with` after each step, with its number and the value that it wrote.
    pub(crate) fn run_with(&self, x: Vec<f32>, mut with: impl FnMut(usize, &[f32])) -> Vec<f32> {
        execute(&self.values, &self.steps, x, |i, step, x, y| {
            match &step.op {
                Op::Dense { weight, bias, relu } => float::dense(x, y, weight, bias, *relu),
                Op::Conv2d {
                    window,
                    weight,
                    bias,
                    relu,
                } => float::conv2d(x, y, weight, bias, window, *relu),
                Op::MaxPool { window } => float::max_pool2d(x, y, window),
                Op::MeanPool {
                    window,
                    exclude_padding,
                } => float::avg_pool2d(x, y, window, *exclude_padding),
                Op::Upsample {
                    height,
                    width,
                    scale: [rows, columns],
                    mode,
                } => match mode {
                    UpsampleMode::Nearest => float::upsample_nearest(x, y, *width, *rows, *columns),
                    UpsampleMode::Bilinear => float::upsample_bilinear(x, y, *height, *width, *rows, *columns),
                },
                Op::Crop {
                    height,
                    width,
                    start: [top, left],
                    size: [rows, columns],
                } => float::crop(x, y, height * width, *width, top * width + left, *rows, *columns),
                Op::Map(function) => map(*function).run(y),
                Op::Softmax => functions::softmax(y),
                Op::Normalize {
                    gamma,
                    beta,
                    groups,
                    pixels,
                    epsilon,
                } => functions::normalize(y, gamma, beta, *groups, *pixels, *epsilon),
                Op::LogSoftmax => functions::log_softmax(y),
                Op::PRelu { slope, pixels } => functions::prelu(y, slope, *pixels),
                Op::Add { relu } => float::add(x, y, *relu),
                Op::Multiply => float::multiply(x, y),
                Op::CopyInto { start } => float::copy_into(x, y, *start as i32),
                Op::Copy => float::copy(x, y),
            }
            with(i, y);
        })
    }
}

impl Quantized {
    /// What the exported file in integers computes, bit for bit, from the bytes of an input.
    ///
    /// # Panics
    /// If `x` is not of the input's size.
    pub fn run(&self, x: &[u8]) -> Vec<u8> {
        execute(&self.values, &self.steps, x.to_vec(), |_, step, x, y| match &step.op {
            QuantizedOp::Dense { weights: w, y_zero } => {
                integer::dense(x, y, &w.weight, &w.bias, &w.multiplier, &w.shift, *y_zero);
            }
            QuantizedOp::Conv2d {
                window,
                weights: w,
                x_zero,
                y_zero,
            } => {
                let (x_zero, y_zero) = (*x_zero, *y_zero);
                integer::conv2d(
                    x,
                    y,
                    &w.weight,
                    &w.bias,
                    &w.multiplier,
                    &w.shift,
                    window,
                    x_zero,
                    y_zero,
                );
            }
            QuantizedOp::MaxPool { window } => integer::max_pool2d(x, y, window),
            QuantizedOp::MeanPool {
                window,
                exclude_padding,
                multiplier,
                shift,
                x_zero,
                y_zero,
            } => integer::avg_pool2d(x, y, window, *exclude_padding, *multiplier, *shift, *x_zero, *y_zero),
            QuantizedOp::Upsample {
                height,
                width,
                scale: [rows, columns],
                mode,
            } => match mode {
                UpsampleMode::Nearest => integer::upsample_nearest(x, y, *width, *rows, *columns),
                UpsampleMode::Bilinear => integer::upsample_bilinear(x, y, *height, *width, *rows, *columns),
            },
            QuantizedOp::Crop {
                height,
                width,
                start: [top, left],
                size: [rows, columns],
            } => integer::crop(x, y, height * width, *width, top * width + left, *rows, *columns),
            QuantizedOp::Map(table) => integer::map(y, table),
            QuantizedOp::Softmax(table) => integer::softmax(y, table),
            QuantizedOp::Add {
                multipliers: [a, b],
                shift,
                zeros: [x_zero, y_zero, zero],
            } => integer::add(x, y, *a, *b, *shift, *x_zero, *y_zero, *zero),
            QuantizedOp::Multiply {
                multiplier,
                shift,
                zeros: [x_zero, y_zero, zero],
            } => integer::multiply(x, y, *multiplier, *shift, *x_zero, *y_zero, *zero),
            QuantizedOp::CopyInto {
                start,
                multiplier,
                shift,
                x_zero,
                y_zero,
            } => integer::copy_into(x, y, *start as i32, *multiplier, *shift, *x_zero, *y_zero),
            QuantizedOp::Copy => integer::copy(x, y),
        })
    }
}

/// Runs the steps; `compute` gets the number of each, the step, the value that it reads (empty if it works in place) and the one
/// that it writes.
fn execute<T: Copy + Default, O>(
    sizes: &[usize],
    steps: &[Step<O>],
    x: Vec<T>,
    mut compute: impl FnMut(usize, &Step<O>, &[T], &mut [T]),
) -> Vec<T> {
    assert_eq!(x.len(), sizes[0], "the input has another size");
    let mut values: Vec<Vec<T>> = vec![Vec::new(); sizes.len()];
    values[0] = x;
    for (i, step) in steps.iter().enumerate() {
        let mut y = std::mem::take(&mut values[step.y]);
        y.resize(sizes[step.y], T::default());
        compute(i, step, &values[step.x], &mut y);
        values[step.y] = y;
    }
    std::mem::take(&mut values[result(steps)])
}
