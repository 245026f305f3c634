//! What a network computes for one sample: the output of every layer, and the gradient with respect to it.
//!
//! All is computed by the layers' passes over one sample, as their formulas say, and nothing is written over.

use ndarray::{ArrayViewD, CowArray, Dimension, IxDyn};

use crate::engine::join::{self, Rows};
use crate::graph::{Graph, LayerOp, Op};
use crate::layer::advanced::Layout;
use crate::layer::{Backward, Forward, Operation, Plain, SampleRandom, Tensors, TensorsMut};
use crate::{Error, Float, Network, Result, Shape};

impl Network {
    /// Computes one sample, and keeps what every layer gives for it: feature maps, and, with [`Inspection::gradients`], what each
    /// value does to an output.
    ///
    /// The sample has the [input shape](Network::input_shape), without an axis that counts samples.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// use gradus::ndarray::Array3;
    ///
    /// let network = Sequential::new([1, 8, 8])
    ///     .layer(Conv2d::new(4, 3))
    ///     .layer(Relu)
    ///     .layer(Flatten)
    ///     .layer(Dense::new(10))
    ///     .layer(Softmax)
    ///     .build(1)?;
    /// let seen = network.inspect(&Array3::from_elem((1, 8, 8), 0.5))?;
    /// // The feature maps of the convolution, after its relu.
    /// assert_eq!(seen.output("1")?.shape(), [4, 6, 6]);
    /// // Saliency: how much each pixel raises the logit of class 3, which layer 3 gives.
    /// let gradients = seen.gradients("3", 3)?;
    /// assert_eq!(gradients.input().shape(), [1, 8, 8]);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the sample has another shape.
    pub fn inspect<'a, D: Dimension>(&self, x: impl Into<CowArray<'a, Float, D>>) -> Result<Inspection<'_>> {
        let x = x.into().into_dyn();
        if *x.shape() != **self.input_shape() {
            return Err(Error::invalid(format!(
                "the network takes samples of shape {}, got an array of shape {:?}: inspect takes one sample, without an axis that \
                 counts samples",
                self.input_shape(),
                x.shape()
            )));
        }
        Ok(Inspection::new(self, x.iter().copied().collect()))
    }
}

/// What a network has computed for one sample, at inference: see [`Network::inspect`].
#[derive(Debug)]
pub struct Inspection<'n> {
    network: &'n Network,
    /// Every value of the graph.
    values: Vec<Vec<Float>>,
    /// What each operation keeps for its backward pass.
    saved: Vec<Saved>,
}

/// What an operation keeps for its backward pass.
#[derive(Debug, Clone, Default)]
struct Saved {
    values: Vec<Float>,
    /// Whether it computes something else in training.
    differs: bool,
}

/// The gradients of one number with respect to everything that it was computed from: see [`Inspection::gradients`].
#[derive(Debug)]
pub struct Gradients<'n> {
    network: &'n Network,
    /// With respect to every value of the graph; empty for what the number doesn't depend on.
    values: Vec<Vec<Float>>,
}

impl<'n> Inspection<'n> {
    fn new(network: &'n Network, x: Vec<Float>) -> Self {
        let graph = &*network.graph;
        let mut values: Vec<Vec<Float>> = graph.values.iter().map(|value| vec![0.0; value.size]).collect();
        values[0] = x;
        let mut saved = vec![Saved::default(); graph.ops.len()];
        for (op, saved) in graph.ops.iter().zip(&mut saved) {
            match op {
                Op::Layer(op) => {
                    let mut y = std::mem::take(&mut values[op.y]);
                    *saved = forward(network, op, &values[op.x], &mut y);
                    values[op.y] = y;
                }
                Op::Fork { x, y } => y.iter().for_each(|&y| values[y] = values[*x].clone()),
                Op::Reorder { x, y } => values[*y] = values[*x].clone(),
                Op::Add { x: [a, b], y } => {
                    let mut sum = std::mem::take(&mut values[*y]);
                    join::add(&values[*a], &values[*b], &mut sum);
                    values[*y] = sum;
                }
                Op::Multiply { x: [a, b], y } => {
                    let mut product = std::mem::take(&mut values[*y]);
                    join::multiply(one_row(), &values[*a], &values[*b], &mut product);
                    values[*y] = product;
                }
                Op::CopyInto { x, y, start } => {
                    let x = values[*x].clone();
                    values[*y][*start..][..x.len()].copy_from_slice(&x);
                }
            }
        }
        Inspection { network, values, saved }
    }

    /// The paths of all layers, in the order in which they run: `0`, `1.body.0`, `1.body.1`, ….
    pub fn paths(&self) -> impl Iterator<Item = &'n str> + use<'n> {
        self.network.graph.layers().map(|op| &*op.path)
    }

    /// What the layer at this path took.
    ///
    /// # Errors
    /// If there is no layer of this path.
    pub fn input(&self, path: &str) -> Result<ArrayViewD<'_, Float>> {
        let op = layer(&self.network.graph, path)?;
        Ok(view(&op.input, &self.values[op.x]))
    }

    /// What the layer at this path gave.
    ///
    /// # Errors
    /// If there is no layer of this path.
    pub fn output(&self, path: &str) -> Result<ArrayViewD<'_, Float>> {
        let op = layer(&self.network.graph, path)?;
        Ok(view(&op.bound.output, &self.values[op.y]))
    }

    /// The gradients of one output of the layer at this path, the one numbered `i` in row-major order, with respect to the network's
    /// input and to all that was computed before.
    ///
    /// They are those at inference: dropout does nothing, and batch normalization has its running statistics. For the class of an
    /// image, take the layer before the softmax: the gradients of a probability near 1 vanish.
    ///
    /// # Errors
    /// If there is no layer of this path, or it has no output of this number; and if a layer on the way computes something else in
    /// training than at inference and doesn't say how it goes backward there.
    pub fn gradients(&self, path: &str, i: usize) -> Result<Gradients<'n>> {
        let op = layer(&self.network.graph, path)?;
        let mut dy = vec![0.0; op.bound.output.size()];
        let Some(one) = dy.get_mut(i) else {
            return Err(Error::invalid(format!(
                "{} has {} outputs, numbered from 0, and no output {i}",
                op.label,
                op.bound.output.size()
            )));
        };
        *one = 1.0;
        self.backward(op, dy)
    }

    /// Goes backward from the output of a layer.
    fn backward(&self, from: &LayerOp, dy: Vec<Float>) -> Result<Gradients<'n>> {
        let graph = &*self.network.graph;
        let mut gradients = Gradients {
            network: self.network,
            values: vec![Vec::new(); graph.values.len()],
        };
        let d = &mut gradients.values;
        d[from.y] = dy;
        let same = |op: &Op| matches!(op, Op::Layer(op) if op.number == from.number);
        let end = graph.ops.iter().position(same).map_or(0, |i| i + 1);
        for (op, saved) in graph.ops[..end].iter().zip(&self.saved).rev() {
            match op {
                Op::Layer(op) if !d[op.y].is_empty() => {
                    let (x, y) = (&self.values[op.x], &self.values[op.y]);
                    d[op.x] = backward(self.network, op, saved, [x, y, &d[op.y]])?;
                }
                Op::Fork { x, y: [a, b] } => {
                    d[*x] = match (d[*a].is_empty(), d[*b].is_empty()) {
                        (false, false) => d[*a].iter().zip(&d[*b]).map(|(a, b)| a + b).collect(),
                        (true, _) => d[*b].clone(),
                        (_, true) => d[*a].clone(),
                    };
                }
                Op::Reorder { x, y } => d[*x] = d[*y].clone(),
                Op::Add { x, y } => x.iter().for_each(|&x| d[x] = d[*y].clone()),
                Op::Multiply { x: [a, b], y } if !d[*y].is_empty() => {
                    let [mut da, mut db] = [*a, *b].map(|v| vec![0.0; self.values[v].len()]);
                    join::multiply(one_row(), &d[*y], &self.values[*b], &mut da);
                    join::multiply_backward(one_row(), &d[*y], &self.values[*a], &mut db);
                    (d[*a], d[*b]) = (da, db);
                }
                Op::CopyInto { x, y, start } if !d[*y].is_empty() => {
                    d[*x] = d[*y][*start..][..self.values[*x].len()].to_vec();
                }
                Op::Layer(_) | Op::Multiply { .. } | Op::CopyInto { .. } => {}
            }
        }
        let input = graph.values[0].size;
        d[0].resize(input, 0.0);
        Ok(gradients)
    }
}

impl<'n> Gradients<'n> {
    /// With respect to the network's input.
    pub fn input(&self) -> ArrayViewD<'_, Float> {
        view(self.network.input_shape(), &self.values[0])
    }

    /// With respect to what the layer at this path gave; none if the number doesn't depend on it.
    ///
    /// # Errors
    /// If there is no layer of this path.
    pub fn output(&self, path: &str) -> Result<Option<ArrayViewD<'_, Float>>> {
        let op = layer(&self.network.graph, path)?;
        let values = &self.values[op.y];
        Ok((!values.is_empty()).then(|| view(&op.bound.output, values)))
    }
}

/// A sample alone.
fn one_row() -> Rows {
    Rows::new(1, Layout::SampleMajor)
}

fn view<'a>(shape: &Shape, values: &'a [Float]) -> ArrayViewD<'a, Float> {
    ArrayViewD::from_shape(IxDyn(shape), values).expect("as many values as the shape has")
}

fn layer<'g>(graph: &'g Graph, path: &str) -> Result<&'g LayerOp> {
    graph.layers().find(|op| op.path == path).ok_or_else(|| {
        let paths: Vec<&str> = graph.layers().map(|op| &*op.path).collect();
        Error::invalid(format!(
            "the network has no layer `{path}`: its layers are {}",
            paths.join(", ")
        ))
    })
}

/// Whether a layer does nothing at inference: dropout.
fn is_identity(op: &LayerOp) -> bool {
    op.bound.operation == Some(Operation::Identity)
}

/// The output of a layer at inference; gives what it keeps to go backward.
fn forward(network: &Network, op: &LayerOp, x: &[Float], y: &mut [Float]) -> Saved {
    let mut scratch = vec![0.0; op.bound.scratch];
    let mut run = |training: bool, y: &mut [Float], saved: &mut [Float]| {
        let pass = Forward {
            training,
            x,
            y,
            parameters: Tensors::new(&network.weights.parameters[op.parameters.clone()], &op.sizes),
            state: Tensors::new(&network.weights.state[op.state.clone()], &op.state_sizes),
            saved,
            scratch: &mut scratch,
            random: SampleRandom {
                seed: network.seed(),
                step: 0,
                layer: op.number as u64,
                sample: 0,
            },
        };
        match &op.bound.plain {
            Plain::View => pass.y.copy_from_slice(pass.x),
            Plain::Each(passes) => passes.forward(pass),
            Plain::Batch(passes) => passes.infer(pass),
        }
    };
    run(false, y, &mut []);
    let mut saved = Saved::default();
    if !is_identity(op) && matches!(op.bound.plain, Plain::Each(_)) {
        // Layers keep what they need in training alone.
        saved.values.resize(op.bound.saved, 0.0);
        let mut in_training = vec![0.0; y.len()];
        run(true, &mut in_training, &mut saved.values);
        let same = |(a, b): (&Float, &Float)| a.to_bits() == b.to_bits();
        saved.differs = !y.iter().zip(&in_training).all(same);
    }
    saved
}

/// The gradient with respect to the input of a layer at inference.
fn backward(network: &Network, op: &LayerOp, saved: &Saved, [x, y, dy]: [&[Float]; 3]) -> Result<Vec<Float>> {
    if is_identity(op) {
        return Ok(dy.to_vec());
    }
    if saved.differs {
        return Err(Error::invalid(format!(
            "{} computes something else in training than at inference, and goes backward in training alone: its gradient at inference \
             is not known",
            op.label
        )));
    }
    let mut dx = vec![0.0; x.len()];
    let mut scratch = vec![0.0; op.bound.scratch];
    let mut gradients = vec![0.0; op.parameters.len()];
    let pass = Backward {
        x,
        y,
        dy,
        dx: &mut dx,
        parameters: Tensors::new(&network.weights.parameters[op.parameters.clone()], &op.sizes),
        gradients: TensorsMut::new(&mut gradients, &op.sizes),
        saved: &saved.values,
        scratch: &mut scratch,
    };
    match &op.bound.plain {
        Plain::View => pass.dx.copy_from_slice(pass.dy),
        Plain::Each(passes) => passes.backward(pass),
        Plain::Batch(passes) => {
            let state = Tensors::new(&network.weights.state[op.state.clone()], &op.state_sizes);
            passes.infer_backward(pass, state);
        }
    }
    Ok(dx)
}
