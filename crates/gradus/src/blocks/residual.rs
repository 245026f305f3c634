//! y = body(x) + shortcut(x)

use super::Join;
use crate::init::HeNormal;
use crate::layers::{Conv2d, Dense};
use crate::{Block, Layers, Node, Shape};

/// A residual block: y = body(x) + shortcut(x) (He, Zhang, Ren and Sun, *Deep Residual Learning for Image Recognition*, 2016).
///
/// The shortcut is the identity. Where the body changes the shape it is a linear projection: for images a 1×1 convolution
/// without bias, whose stride makes the sizes meet; for flat samples a dense layer without bias.
/// [`shortcut`](Residual::shortcut) puts any layers there instead. What comes after the sum (usually a ReLU) is the
/// network's next layer.
///
/// ```
/// use gradus::prelude::*;
///
/// let body = Layers::new()
///     .layer(Conv2d::new(32, 3).stride(2).padding(Padding::Explicit { top: 1, bottom: 1, left: 1, right: 1 }))
///     .layer(BatchNorm::new())
///     .layer(Relu)
///     .layer(Conv2d::new(32, 3).padding(Padding::Same))
///     .layer(BatchNorm::new());
/// let network = Sequential::new([16, 32, 32]).layer(Residual::new(body)).layer(Relu).build(1)?;
/// assert_eq!(network.output_shape(), &Shape::from([32, 16, 16]));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Residual {
    body: Layers,
    shortcut: Option<Layers>,
}

impl Residual {
    /// A block with this body.
    pub fn new(body: Layers) -> Self {
        Residual { body, shortcut: None }
    }

    /// Puts these layers on the shortcut.
    pub fn shortcut(mut self, layers: Layers) -> Self {
        self.shortcut = Some(layers);
        self
    }
}

impl From<Residual> for Node {
    fn from(residual: Residual) -> Self {
        Block::new(Join::Add, [residual.body].into_iter().chain(residual.shortcut)).into()
    }
}

pub(super) fn check(layers: &[usize]) -> Result<(), String> {
    match layers {
        [] | [0, ..] => Err("the body has no layers".into()),
        [_] | [_, _] => Ok(()),
        _ => Err(format!(
            "it has {} branches: it has a body and a shortcut",
            layers.len()
        )),
    }
}

pub(super) fn output(branches: &[Shape]) -> Result<Shape, String> {
    match branches {
        [body, shortcut] if body != shortcut => Err(format!(
            "the body gives {body} and the shortcut {shortcut}: they are added and must have the same shape"
        )),
        _ => Ok(branches[0].clone()),
    }
}

/// The layers that bring a shortcut from shape `from` to shape `to`: none if they are equal.
pub(super) fn projection(from: &Shape, to: &Shape) -> Result<Layers, String> {
    if from == to {
        return Ok(Layers::new());
    }
    match (&from[..], &to[..]) {
        ([_], &[units]) => Ok(Layers::new().layer(Dense::new(units).bias(false).init(HeNormal))),
        (&[_, h, w], &[channels, to_h, to_w]) => {
            // Of the strides that give no more than `to`, the smallest.
            let stride = |from: usize, to: usize| Some(from.div_ceil(to)).filter(|s| from.div_ceil(*s) == to);
            match (stride(h, to_h), stride(w, to_w)) {
                (Some(sh), Some(sw)) => Ok(Layers::new().layer(Conv2d::new(channels, 1).stride((sh, sw)).bias(false))),
                _ => Err(format!(
                    "no stride takes the input {from} to the body's output {to}: give the block a shortcut of its own"
                )),
            }
        }
        _ => Err(format!(
            "there is no projection from {from} to the body's output {to}: give the block a shortcut of its own"
        )),
    }
}
