//! Blocks: layers in branches, and how the outputs of the branches are joined.
//!
//! A block is declared by a type of its own ([`Residual`], [`Concat`], [`Multiply`]). All of them become one
//! [`Block`](crate::Block), which says how the branches are [joined](Join).

mod concat;
mod multiply;
mod residual;

pub use concat::Concat;
pub use multiply::Multiply;
pub use residual::Residual;

use crate::{Error, Layers, Result, Shape};

/// How the outputs of a block's branches become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// y = Σ branchᵢ(x): a residual block, whose branches are its body and its shortcut ([`Residual`]).
    Add,
    /// y = (branch₀(x), branch₁(x), …), one after the other along the first dimension ([`Concat`]).
    Concat,
    /// y = Π branchᵢ(x), value by value; a branch may give one number for each channel ([`Multiply`]).
    Multiply,
}

/// The kinds of blocks in files.
pub(crate) const BLOCKS: &[&str] = &[Join::Add.kind(), Join::Concat.kind(), Join::Multiply.kind()];

impl Join {
    /// All of them.
    pub const ALL: [Join; 3] = [Join::Add, Join::Concat, Join::Multiply];

    /// The kind of such blocks in files: `residual`.
    pub const fn kind(self) -> &'static str {
        match self {
            Join::Add => "residual",
            Join::Concat => "concat",
            Join::Multiply => "multiply",
        }
    }

    /// What a branch is called in the paths of its layers: the second of a residual block is its `shortcut`, that of others
    /// `branches.1`.
    pub fn branch(self, i: usize) -> String {
        match (self, i) {
            (Join::Add, 0) => "body".into(),
            (Join::Add, _) => "shortcut".into(),
            (Join::Concat | Join::Multiply, i) => format!("branches.{i}"),
        }
    }

    /// The branch that a block has besides those declared, if it needs one to take `input` to the shape that the first gives.
    pub(crate) fn missing_branch(
        self,
        branches: usize,
        input: &Shape,
        first: &Shape,
    ) -> Result<Option<Layers>, String> {
        match (self, branches) {
            (Join::Add, 1) => residual::projection(input, first).map(Some),
            _ => Ok(None),
        }
    }

    /// The shape of what branches with outputs of these shapes are joined to.
    ///
    /// ```
    /// use gradus::{Join, Shape};
    ///
    /// let branches = [Shape::from([3, 8, 8]), Shape::from([4, 8, 8])];
    /// assert_eq!(Join::Concat.output(&branches)?, Shape::from([7, 8, 8]));
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// If they can't be joined.
    pub fn output(self, branches: &[Shape]) -> Result<Shape> {
        self.joined(branches).map_err(Error::invalid)
    }

    pub(crate) fn joined(self, branches: &[Shape]) -> Result<Shape, String> {
        if branches.iter().any(|shape| shape.is_empty()) || branches.is_empty() {
            return Err("there is nothing to join: a branch has no shape".into());
        }
        match self {
            Join::Add => residual::output(branches),
            Join::Concat => concat::output(branches),
            Join::Multiply => multiply::output(branches),
        }
    }

    /// Refuses branches that make no block; `layers` is how many layers and blocks each of them has.
    pub(crate) fn check(self, layers: &[usize]) -> Result<(), String> {
        match self {
            Join::Add => residual::check(layers),
            Join::Concat => concat::check(layers),
            Join::Multiply => multiply::check(layers),
        }
    }
}

/// Refuses a block of fewer than two branches.
fn at_least_two(branches: &[usize]) -> Result<(), String> {
    match branches.len() {
        n @ (0 | 1) => Err(format!(
            "it has {}: it joins the outputs of at least two",
            if n == 0 { "no branches" } else { "one branch" }
        )),
        _ => Ok(()),
    }
}

/// How messages name a branch's output: `branch 1 gives [4]`.
fn gives(i: usize, shape: &Shape) -> String {
    format!("branch {i} gives {shape}")
}
