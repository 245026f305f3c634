//! y = (branch₀(x), branch₁(x), …)

use super::{Join, at_least_two, gives};
use crate::{Block, Layers, Node, Shape};

/// Puts the outputs of its branches one after the other: y = (branch₀(x), branch₁(x), …).
///
/// They are joined along the first dimension: the channels of images, the values of flat samples. All other dimensions have to be
/// equal. A branch without layers gives x itself, so that a block can keep what it gets and add channels to it (Huang, Liu, van der
/// Maaten and Weinberger, *Densely Connected Convolutional Networks*, 2017); branches with kernels of several sizes see patterns
/// of several sizes (Szegedy et al., *Going Deeper with Convolutions*, 2015).
///
/// ```
/// use gradus::prelude::*;
///
/// let narrow = Layers::new().layer(Conv2d::new(4, 1));
/// let wide = Layers::new().layer(Conv2d::new(8, 3).padding(Padding::Same));
/// let network = Sequential::new([3, 8, 8]).layer(Concat::new([Layers::new(), narrow, wide])).layer(Relu).build(1)?;
/// assert_eq!(network.output_shape(), &Shape::from([3 + 4 + 8, 8, 8]));
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// In files: `{"kind": "concat", "branches": [[], [{"kind": "conv2d", "channels": 4, "kernel": 1}]]}`.
#[derive(Debug, Clone)]
pub struct Concat {
    branches: Vec<Layers>,
}

impl Concat {
    /// A block with these branches, at least two.
    pub fn new(branches: impl IntoIterator<Item = Layers>) -> Self {
        Concat {
            branches: branches.into_iter().collect(),
        }
    }
}

impl From<Concat> for Node {
    fn from(concat: Concat) -> Self {
        Block::new(Join::Concat, concat.branches).into()
    }
}

pub(super) fn check(layers: &[usize]) -> Result<(), String> {
    at_least_two(layers)
}

pub(super) fn output(branches: &[Shape]) -> Result<Shape, String> {
    let first = &branches[0];
    for (i, shape) in branches.iter().enumerate() {
        if shape.len() != first.len() || shape[1..] != first[1..] {
            return Err(format!(
                "{} and {}: they are joined along the first dimension, and all others must be equal",
                gives(0, first),
                gives(i, shape)
            ));
        }
    }
    let joined = branches.iter().map(|shape| shape[0]).fold(0, usize::saturating_add);
    let dims = [&[joined], &first[1..]].concat();
    Ok(Shape::from(dims))
}
