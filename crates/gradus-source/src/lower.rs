//! From a network's layers to the steps of a [`Program`].

use gradus::layer::{self, Function, Operation, WindowAxis};
use gradus::{Block, Error, Join, LayerPart, Network, Part, Result, Shape};

use crate::fold;
use crate::kernels::window::{Axis, Window};
use crate::program::{Op, Program, Step, result};

impl Program {
    /// The steps that compute what this network does, with batch normalization as at inference.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// use gradus_source::Program;
    ///
    /// let network = Sequential::new([2]).layer(Dense::new(3)).layer(Relu).layer(Dropout::new(0.5)).build(1)?;
    /// let program = Program::of(&network)?;
    /// assert_eq!(program.run(&[0.5, -1.0]).len(), 3);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Build`] if a layer doesn't say [what it computes](gradus::layer::BoundLayer::with_operation), or if its weights are not
    /// finite.
    pub fn of(network: &Network) -> Result<Program> {
        if network.input_shape().size() == 0 {
            return Err(Error::Invalid(
                "a network as source needs an input of at least one value".into(),
            ));
        }
        let mut lowering = Lowering {
            values: vec![network.input_shape().size()],
            steps: Vec::new(),
            kept: vec![0],
        };
        let y = lowering.parts(&network.parts(), 0)?;
        if y == 0 {
            // The caller's input is not ours to give back.
            lowering.kept.clear();
            lowering.copy(0, "the output", "output");
        }
        debug_assert!(y == 0 || y == result(&lowering.steps));
        let largest = lowering
            .values
            .iter()
            .fold(network.parameter_count(), |most, &size| most.max(size));
        if largest > i32::MAX as usize {
            return Err(Error::Invalid(format!(
                "a network as source counts in 32 bits, and this one has {largest} weights or values"
            )));
        }
        Ok(Program {
            input: network.input_shape().clone(),
            output: network.output_shape().clone(),
            values: lowering.values,
            steps: lowering.steps,
            logits: false,
            input_scaling: None,
            output_scaling: None,
        })
    }
}

/// The steps so far.
struct Lowering {
    values: Vec<usize>,
    steps: Vec<Step<Op>>,
    /// The values that are still wanted as they are: the input, and what a block's branches take and have given.
    kept: Vec<usize>,
}

impl Lowering {
    /// The value that these parts make of value `x`.
    fn parts(&mut self, parts: &[Part<'_>], mut x: usize) -> Result<usize> {
        for part in parts {
            x = match part {
                Part::Layer(layer) => self.layer(layer, x)?,
                Part::Block(block) => self.block(block, x)?,
            };
        }
        Ok(x)
    }

    fn block(&mut self, block: &Block<LayerPart<'_>>, x: usize) -> Result<usize> {
        let outside = self.kept.len();
        let mut outputs = Vec::with_capacity(block.branches.len());
        for (i, branch) in block.branches.iter().enumerate() {
            // The input is wanted until the last branch has it.
            let others = i + 1 < block.branches.len();
            self.kept.extend(others.then_some(x));
            let y = self.parts(branch, x)?;
            if others {
                self.kept.pop();
            }
            // What a branch gives is wanted until it is joined, and may be the input itself.
            self.kept.push(y);
            outputs.push(y);
        }
        self.kept.truncate(outside);
        Ok(match (block.join, &outputs[..]) {
            (Join::Add, &[a, b]) => self.add(a, b),
            (Join::Concat, outputs) => self.concat(outputs),
            (Join::Multiply, outputs) => self.multiply(outputs),
            (Join::Add, _) => return Err(Error::invalid("a residual block has a body and a shortcut")),
        })
    }

    fn layer(&mut self, layer: &LayerPart<'_>, x: usize) -> Result<usize> {
        let Some(operation) = layer.operation() else {
            return Err(refuse(
                layer,
                "a network as source can have only layers that say what they compute (BoundLayer::with_operation), and this one doesn't",
            ));
        };
        let (input, output) = (layer.input(), layer.output());
        Ok(match operation {
            Operation::Identity | Operation::Reshape => x,
            Operation::Dense => {
                let (weight, bias) = weights(layer)?;
                let (inputs, units) = (input.size(), output.size());
                let transposed = (0..units).flat_map(|j| (0..inputs).map(move |i| (i, j)));
                let weight = transposed.map(|(i, j)| weight[i * units + j]).collect();
                let relu = false;
                self.push(layer, x, Op::Dense { weight, bias, relu })
            }
            Operation::Convolution { window, groups } => {
                let window = windows(layer, &window, groups)?;
                let (weight, bias) = weights(layer)?;
                let op = Op::Conv2d {
                    window,
                    weight,
                    bias,
                    relu: false,
                };
                self.push(layer, x, op)
            }
            Operation::TransposedConvolution { .. } => {
                return Err(refuse(layer, "a network as source can have no transposed convolution"));
            }
            Operation::MaxPool { window } => {
                let window = windows(layer, &window, 1)?;
                self.push(layer, x, Op::MaxPool { window })
            }
            Operation::MeanPool {
                window,
                exclude_padding,
            } => {
                let op = Op::MeanPool {
                    window: windows(layer, &window, 1)?,
                    exclude_padding,
                };
                self.push(layer, x, op)
            }
            Operation::GlobalMeanPool => {
                let op = Op::MeanPool {
                    window: windows(layer, &whole(input), 1)?,
                    exclude_padding: false,
                };
                self.push(layer, x, op)
            }
            Operation::GlobalMaxPool => {
                let window = windows(layer, &whole(input), 1)?;
                self.push(layer, x, Op::MaxPool { window })
            }
            Operation::BatchNorm { epsilon, .. } => self.batch_norm(layer, epsilon, x)?,
            Operation::Softmax => self.in_place(layer, x, Op::Softmax),
            Operation::GroupNorm { groups, epsilon } => {
                let op = normalize(layer, groups, epsilon)?;
                self.in_place(layer, x, op)
            }
            // The mean of one pixel, or of a zero of the padding.
            Operation::ZeroPad { window } => {
                let op = Op::MeanPool {
                    window: windows(layer, &window, 1)?,
                    exclude_padding: false,
                };
                self.push(layer, x, op)
            }
            // Max pooling over the pieces as rows.
            Operation::Maxout { pieces } => {
                let axis = |size, kernel| WindowAxis {
                    input: size,
                    output: size / kernel,
                    kernel,
                    stride: kernel,
                    dilation: 1,
                    before: 0,
                };
                let window = layer::Window {
                    rows: axis(pieces, pieces),
                    columns: axis(output.size() / output[0], 1),
                };
                let window = Window {
                    inputs: output[0],
                    ..windows(layer, &window, 1)?
                };
                self.push(layer, x, Op::MaxPool { window })
            }
            Operation::Upsample { scale, mode } => {
                let (height, width) = (input[1], input[2]);
                let op = Op::Upsample {
                    height,
                    width,
                    scale,
                    mode,
                };
                self.push(layer, x, op)
            }
            Operation::Crop { top, left } => {
                let op = Op::Crop {
                    height: input[1],
                    width: input[2],
                    start: [top, left],
                    size: [output[1], output[2]],
                };
                self.push(layer, x, op)
            }
            Operation::LayerNorm { epsilon } => {
                let op = normalize(layer, 1, epsilon)?;
                self.in_place(layer, x, op)
            }
            Operation::LogSoftmax => self.in_place(layer, x, Op::LogSoftmax),
            Operation::PRelu => {
                let (slope, _) = weights(layer)?;
                let op = match slope[..] {
                    [slope] => Op::Map(Function::LeakyRelu {
                        slope: f64::from(slope),
                    }),
                    _ => Op::PRelu {
                        pixels: input.size() / slope.len(),
                        slope,
                    },
                };
                self.in_place(layer, x, op)
            }
            Operation::Map(Function::Relu) => match self.last(x) {
                Some(Op::Dense { relu, .. } | Op::Conv2d { relu, .. } | Op::Add { relu }) => {
                    *relu = true;
                    x
                }
                _ => self.in_place(layer, x, Op::Map(Function::Relu)),
            },
            Operation::Map(function) => self.in_place(layer, x, Op::Map(function)),
        })
    }

    /// Batch normalization becomes part of a dense layer or convolution before it, if each channel of that lies within one channel
    /// here: a change of shape between them may have made other channels of the values. Else it becomes a convolution of its own,
    /// 1×1, channel by channel.
    fn batch_norm(&mut self, layer: &LayerPart<'_>, epsilon: f64, x: usize) -> Result<usize> {
        let (scale, shift) = fold::scale_and_shift(layer, epsilon);
        let input = layer.input();
        let channels = input[0];
        let (size, span) = (input.size(), input.size() / channels);
        if let Some(
            Op::Dense {
                weight,
                bias,
                relu: false,
            }
            | Op::Conv2d {
                weight,
                bias,
                relu: false,
                ..
            },
        ) = self.last(x)
            && span % (size / bias.len()) == 0
        {
            fold::into(weight, bias, &scale, &shift);
            return finite(layer, [weight, bias]).map(|()| x);
        }
        let (weight, bias) = (fold::rounded(scale), fold::rounded(shift));
        finite(layer, [&weight, &bias])?;
        let pixelwise = |size| Axis {
            input: size,
            output: size,
            kernel: 1,
            stride: 1,
            dilation: 1,
            padding: 0,
        };
        let op = Op::Conv2d {
            window: Window {
                inputs: channels,
                outputs: channels,
                groups: channels,
                rows: pixelwise(1),
                columns: pixelwise(span),
            },
            weight,
            bias,
            relu: false,
        };
        Ok(self.push(layer, x, op))
    }

    /// The operation that made value `x`, if it may still be changed.
    fn last(&mut self, x: usize) -> Option<&mut Op> {
        let free = !self.kept.contains(&x);
        let last = self.steps.last_mut().filter(|step| free && step.y == x)?;
        Some(&mut last.op)
    }

    fn push(&mut self, layer: &LayerPart<'_>, x: usize, op: Op) -> usize {
        let y = self.values.len();
        self.values.push(layer.output().size());
        self.step(layer.label(), &layer.path().replace('.', "_"), x, y, op);
        y
    }

    fn step(&mut self, label: &str, name: &str, x: usize, y: usize, op: Op) {
        self.steps.push(Step {
            label: label.into(),
            name: name.into(),
            x,
            y,
            op,
        });
    }

    /// A step that changes value `x`, or a copy of it if `x` is still wanted.
    fn in_place(&mut self, layer: &LayerPart<'_>, x: usize, op: Op) -> usize {
        let name = layer.path().replace('.', "_");
        let y = self.free(x, layer.label(), &name);
        self.step(layer.label(), &name, y, y, op);
        y
    }

    fn free(&mut self, x: usize, label: &str, name: &str) -> usize {
        if self.kept.contains(&x) {
            self.copy(x, label, name)
        } else {
            x
        }
    }

    fn copy(&mut self, x: usize, label: &str, name: &str) -> usize {
        let y = self.values.len();
        self.values.push(self.values[x]);
        self.step(label, name, x, y, Op::Copy);
        y
    }

    /// The sum of two values, in the place of one that nobody wants.
    fn add(&mut self, a: usize, b: usize) -> usize {
        let (label, name) = ("a residual block's sum", format!("sum_{}", self.steps.len()));
        let (x, y) = if a != b && !self.kept.contains(&a) {
            (b, a)
        } else if a != b && !self.kept.contains(&b) {
            (a, b)
        } else {
            (b, self.copy(a, label, &name))
        };
        self.step(label, &name, x, y, Op::Add { relu: false });
        y
    }
}

impl Lowering {
    /// The values one after the other.
    fn concat(&mut self, values: &[usize]) -> usize {
        let (label, name) = ("a block's branches in a row", format!("row_{}", self.steps.len()));
        let y = self.values.len();
        self.values.push(values.iter().map(|&x| self.values[x]).sum());
        let mut start = 0;
        for &x in values {
            self.step(label, &name, x, y, Op::CopyInto { start });
            start += self.values[x];
        }
        y
    }

    /// The product of all values, in the place of the first of the largest, if nobody wants that.
    fn multiply(&mut self, values: &[usize]) -> usize {
        let (label, name) = ("a block's product", format!("product_{}", self.steps.len()));
        let size = values.iter().map(|&x| self.values[x]).max();
        let whole = values.iter().position(|&x| Some(self.values[x]) == size).unwrap_or(0);
        let mut factors = values.to_vec();
        let x = factors.remove(whole);
        let y = if factors.contains(&x) {
            self.copy(x, label, &name)
        } else {
            self.free(x, label, &name)
        };
        for x in factors {
            self.step(label, &name, x, y, Op::Multiply);
        }
        y
    }
}

fn refuse(layer: &LayerPart<'_>, message: impl Into<String>) -> Error {
    Error::build(layer.label(), message)
}

/// A layer's weight, and its bias, which is 0 for each channel of the output if it has none.
fn weights(layer: &LayerPart<'_>) -> Result<(Vec<f32>, Vec<f32>)> {
    let values = |name| {
        layer
            .tensor(name)
            .map(|tensor| fold::rounded(tensor.values.iter().map(|&w| w.into())))
    };
    let weight = values("weight").unwrap_or_default();
    let bias = values("bias").unwrap_or_else(|| vec![0.0; layer.output()[0]]);
    finite(layer, [&weight, &bias])?;
    Ok((weight, bias))
}

/// The normalization of `groups` groups of values.
fn normalize(layer: &LayerPart<'_>, groups: usize, epsilon: f64) -> Result<Op> {
    let (gamma, beta) = weights(layer)?;
    let pixels = layer.input().size() / gamma.len();
    let epsilon = epsilon as f32;
    Ok(Op::Normalize {
        gamma,
        beta,
        groups,
        pixels,
        epsilon,
    })
}

fn finite(layer: &LayerPart<'_>, tensors: [&[f32]; 2]) -> Result<()> {
    match tensors.into_iter().flatten().find(|value| !value.is_finite()) {
        None => Ok(()),
        Some(value) => Err(refuse(
            layer,
            format!("its weights must be finite numbers to be written into a file, and one is {value}"),
        )),
    }
}

/// The window over all of an image, or of a sequence.
fn whole(input: &Shape) -> layer::Window {
    let axis = |size| WindowAxis {
        input: size,
        output: 1,
        kernel: size,
        stride: size,
        dilation: 1,
        before: 0,
    };
    layer::Window {
        rows: axis(if input.len() == 3 { input[1] } else { 1 }),
        columns: axis(input[input.len() - 1]),
    }
}

/// The windows of a convolution or pooling, as the kernels have them.
fn windows(layer: &LayerPart<'_>, window: &layer::Window, groups: usize) -> Result<Window> {
    let axis = |axis: WindowAxis| {
        // All of it is computed in 32 bits.
        let reach = (axis.output.saturating_mul(axis.stride)).saturating_add(axis.kernel.saturating_mul(axis.dilation));
        if reach.saturating_add(axis.input).saturating_add(axis.before) > i32::MAX as usize {
            return Err(refuse(layer, "its window reaches over more pixels than any image has"));
        }
        Ok(Axis {
            input: axis.input,
            output: axis.output,
            kernel: axis.kernel,
            stride: axis.stride,
            dilation: axis.dilation,
            padding: axis.before,
        })
    };
    Ok(Window {
        inputs: layer.input()[0],
        outputs: layer.output()[0],
        groups,
        rows: axis(window.rows)?,
        columns: axis(window.columns)?,
    })
}
