//! What a loss is computed from, decided from the network's end: in one place, for training, evaluation and checks alike.

use crate::check::LayerHarness;
use crate::graph::{Graph, LayerOp, Op};
use crate::layer::{Operation, OutputKind};
use crate::loss::{Loss, OutputActivation};
use crate::random::{Purpose, stream};
use crate::{Error, Float, Network, Result};

use rand::RngExt;

/// A loss at the end of a network.
#[derive(Debug)]
pub(crate) struct Objective {
    /// The loss as a function of logits, where it is computed from them.
    from_logits: Option<Box<dyn Loss>>,
    /// The number of the value that it is computed from, and how many numbers that has for a sample.
    pub value: usize,
    pub size: usize,
    /// The operations from this one on only make the network's outputs of that value.
    pub ops: usize,
    /// What makes probabilities of the network's outputs, where these are logits.
    pub activation: Option<OutputActivation>,
}

impl Objective {
    /// Decides what `loss` is computed from.
    ///
    /// # Errors
    /// If the loss compares probabilities and can't be computed from what the network gives.
    pub fn new(network: &Network, loss: &dyn Loss) -> Result<Self> {
        let graph = &network.graph;
        loss.check_output_kind(network.output_kind())?;
        let at_output = |from_logits, activation| Objective {
            from_logits,
            value: graph.output_value(),
            size: graph.output.size(),
            ops: graph.ops.len(),
            activation,
        };
        if let Some((ops, last)) = graph.last_layer()
            && let Some(operation) = last.bound.operation
            && let Some(fused) = loss.fused_with(operation)
        {
            return Ok(Objective {
                from_logits: Some(fused),
                value: last.x,
                size: last.input.size(),
                ops,
                activation: None,
            });
        }
        match loss.output_activation() {
            // The softmax of logarithms of probabilities is the probabilities.
            Some(activation) if matches!(network.output_kind(), OutputKind::Real | OutputKind::LogProbabilities) => {
                let from_logits = loss.fused_with(activation.operation()).ok_or_else(|| {
                    Error::invalid(format!(
                        "{} compares probabilities and the network ends in logits: add a {} layer",
                        loss.name(),
                        activation.layer().kind()
                    ))
                })?;
                Ok(at_output(Some(from_logits), Some(activation)))
            }
            _ => Ok(at_output(None, None)),
        }
    }

    /// The loss as a function of [`value`](Objective::value), given the loss that this was made of.
    pub fn loss<'l>(&'l self, declared: &'l dyn Loss) -> &'l dyn Loss {
        self.from_logits.as_deref().unwrap_or(declared)
    }

    /// Whether operations are left between the value that the loss is computed from and the outputs.
    pub fn is_before_output(&self, graph: &Graph) -> bool {
        self.ops < graph.ops.len()
    }

    /// What metrics compare with a sample's target: its outputs `y`, or the probabilities of which they are the logits, which are
    /// written to `probabilities`.
    pub fn prediction<'y>(&self, y: &'y [Float], probabilities: &'y mut Vec<Float>) -> &'y [Float] {
        let Some(activation) = self.activation else { return y };
        probabilities.resize(y.len(), 0.0);
        activation.apply(y, probabilities);
        probabilities
    }
}

impl Network {
    /// What its outputs are: [real numbers](OutputKind::Real), [probabilities](OutputKind::Probabilities) or a
    /// [distribution](OutputKind::Distribution), as its last layers say. It decides what a [loss](crate::loss) is computed from.
    ///
    /// ```
    /// use gradus::{layer::OutputKind, prelude::*};
    /// let logits = Sequential::new([2]).layer(Dense::new(3)).build(1)?;
    /// assert_eq!(logits.output_kind(), OutputKind::Real);
    /// let image = Sequential::new([1, 4, 4]).layer(Conv2d::new(3, 3)).layer(Sigmoid).layer(Flatten).build(1)?;
    /// assert_eq!(image.output_kind(), OutputKind::Probabilities);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn output_kind(&self) -> OutputKind {
        let graph = &*self.graph;
        let known = vec![None; graph.values.len()];
        Kinds { graph, known }.of(graph.output_value())
    }

    /// The activation that makes the probabilities that `loss` compares of this network's outputs; `None` if they are
    /// probabilities already, or the loss compares outputs as they are.
    ///
    /// ```
    /// use gradus::{loss::OutputActivation, prelude::*};
    /// let layers = || Sequential::new([2]).layer(Dense::new(3));
    /// let loss = CrossEntropy::new();
    /// assert_eq!(layers().build(1)?.output_activation(&loss), Some(OutputActivation::Softmax));
    /// assert_eq!(layers().layer(Softmax).build(1)?.output_activation(&loss), None);
    /// assert_eq!(layers().build(1)?.output_activation(&MeanSquaredError), None);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn output_activation(&self, loss: &dyn Loss) -> Option<OutputActivation> {
        Objective::new(self, loss).ok()?.activation
    }
}

/// What the numbers of values are; each value is looked at once, and only if it decides.
struct Kinds<'g> {
    graph: &'g Graph,
    known: Vec<Option<OutputKind>>,
}

impl Kinds<'_> {
    /// What the numbers of value `v` are.
    fn of(&mut self, v: usize) -> OutputKind {
        if let Some(kind) = self.known[v] {
            return kind;
        }
        let graph = self.graph;
        let writes = |op: &&Op| match op {
            Op::Layer(op) => op.y == v,
            Op::Reorder { y, .. } | Op::Add { y, .. } | Op::Multiply { y, .. } | Op::CopyInto { y, .. } => *y == v,
            Op::Fork { y, .. } => y.contains(&v),
        };
        let kind = match graph.ops.iter().find(writes) {
            Some(Op::Layer(op)) => self.of_layer(op),
            Some(Op::Reorder { x, .. } | Op::Fork { x, .. }) => self.of(*x),
            // The product of probabilities is one.
            Some(Op::Multiply { x, .. }) => self.of_all(x),
            Some(Op::CopyInto { .. }) => {
                let parts = graph.ops.iter().filter_map(|op| match op {
                    Op::CopyInto { x, y, .. } if *y == v => Some(*x),
                    _ => None,
                });
                self.of_all(&parts.collect::<Vec<_>>())
            }
            // The network's input, and sums.
            None | Some(Op::Add { .. }) => OutputKind::Real,
        };
        self.known[v] = Some(kind);
        kind
    }

    fn of_layer(&mut self, op: &LayerOp) -> OutputKind {
        if op.bound.is_view() {
            return self.of(op.x);
        }
        match op.bound.output_kind {
            OutputKind::SameAsInput => match self.of(op.x) {
                // A pool mixes the outputs of a distribution.
                OutputKind::Distribution => OutputKind::Probabilities,
                // The mean of logarithms is none of the mean.
                OutputKind::LogProbabilities if op.bound.operation != Some(Operation::Identity) => OutputKind::Real,
                kind => kind,
            },
            OutputKind::Unspecified => tried(op, self.of(op.x)),
            kind => kind,
        }
    }

    /// What numbers are that are made of all these values: probabilities, if all of these are.
    fn of_all(&mut self, values: &[usize]) -> OutputKind {
        let is_probability = |kind| matches!(kind, OutputKind::Probabilities | OutputKind::Distribution);
        match values.iter().all(|&v| is_probability(self.of(v))) {
            true => OutputKind::Probabilities,
            false => OutputKind::Real,
        }
    }
}

/// What a layer gives that doesn't say it: found out on a few samples, of numbers between −30 and 30, or of probabilities.
fn tried(op: &LayerOp, input: OutputKind) -> OutputKind {
    const SAMPLES: usize = 16;
    let range = if input == OutputKind::Real {
        -30.0..30.0
    } else {
        0.0..1.0
    };
    let mut rng = stream(0, Purpose::User, &[]);
    let x: Vec<Float> = (0..SAMPLES * op.input.size())
        .map(|_| rng.random_range(range.clone()))
        .collect();
    let Ok(y) = LayerHarness::of(op.bound.clone(), op.input.clone()).and_then(|harness| harness.infer(&x)) else {
        return OutputKind::Real;
    };
    let size = op.bound.output.size();
    let sums_to_one = |of: fn(Float) -> Float| {
        let is_one = |y: &[Float]| (y.iter().map(|&y| of(y)).sum::<Float>() - 1.0).abs() < 1e-3;
        size > 1 && y.chunks_exact(size).all(is_one)
    };
    if sums_to_one(Float::exp) {
        OutputKind::LogProbabilities
    } else if !y.iter().all(|y| (0.0..=1.0).contains(y)) {
        OutputKind::Real
    } else if sums_to_one(|y| y) {
        OutputKind::Distribution
    } else {
        OutputKind::Probabilities
    }
}
