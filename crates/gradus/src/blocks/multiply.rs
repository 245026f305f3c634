//! y = branch₀(x) · branch₁(x) · …

use super::{Join, at_least_two, gives};
use crate::{Block, Layers, Node, Shape};

/// Multiplies the outputs of its branches, value by value: y = branch₀(x) · branch₁(x) · ….
///
/// All give the same shape, or a number for each channel where another gives images: \[c\] or \[c, 1, 1\] beside \[c, h, w\]. Such
/// a branch is a gate, which lets through more of one channel and less of another. A gate made of the means of all channels is
/// "squeeze and excitation" (Hu, Shen and Sun, *Squeeze-and-Excitation Networks*, 2018).
///
/// The gradient with respect to a gate is the sum over a channel's pixels: dgate\[c\] = Σₚ dy\[c, p\] · x\[c, p\].
///
/// ```
/// use gradus::prelude::*;
///
/// let gate = Layers::new()
///     .layer(GlobalAvgPool2d)
///     .layer(Dense::new(2))
///     .layer(Relu)
///     .layer(Dense::new(8))
///     .layer(Sigmoid);
/// let network = Sequential::new([8, 5, 5]).layer(Multiply::gate(gate)).build(1)?;
/// assert_eq!(network.output_shape(), &Shape::from([8, 5, 5]));
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// In files: `{"kind": "multiply", "branches": [[], [{"kind": "global_avg_pool2d"}, …]]}`.
#[derive(Debug, Clone)]
pub struct Multiply {
    branches: Vec<Layers>,
}

impl Multiply {
    /// A block with these branches: at least two, and not more than one without layers.
    pub fn new(branches: impl IntoIterator<Item = Layers>) -> Self {
        Multiply {
            branches: branches.into_iter().collect(),
        }
    }

    /// y = x · gate(x): a block of two branches, of which the first has no layers.
    pub fn gate(gate: Layers) -> Self {
        Multiply::new([Layers::new(), gate])
    }
}

impl From<Multiply> for Node {
    fn from(multiply: Multiply) -> Self {
        Block::new(Join::Multiply, multiply.branches).into()
    }
}

pub(super) fn check(layers: &[usize]) -> Result<(), String> {
    at_least_two(layers)?;
    match layers.iter().filter(|&&layers| layers == 0).count() {
        0 | 1 => Ok(()),
        n => Err(format!(
            "{n} of its branches have no layers: at most one may give the input itself"
        )),
    }
}

pub(super) fn output(branches: &[Shape]) -> Result<Shape, String> {
    let whole = branches.iter().max_by_key(|shape| (shape.size(), shape.len()));
    let whole = whole.cloned().unwrap_or_default();
    let is_gate =
        |shape: &Shape| shape.size() == whole[0] && shape[0] == whole[0] && [1, whole.len()].contains(&shape.len());
    match branches.iter().position(|shape| *shape != whole && !is_gate(shape)) {
        None => Ok(whole),
        Some(i) => Err(format!(
            "{} beside {whole}: branches that are multiplied give the same shape, or one number for each of {} channels, \
             [{1}] or with dimensions of 1 after it",
            gives(i, &branches[i]),
            whole[0]
        )),
    }
}
