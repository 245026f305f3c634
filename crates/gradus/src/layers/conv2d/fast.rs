//! Convolution for blocks of samples.
//!
//! There are three ways to compute it, and forward the numbers are the same bits in each. Of many samples, [`LANES`] are
//! interleaved, and it is computed as it is written, for all of them at once. Of a few, each is computed as it is written with
//! neighboring positions in a vector; or, where the kernel moves by more than one pixel or reaches over the image, and backward,
//! it is made into matrix products ([`matrices`]). The first two are in [`gradus_kernels::interleaved`].

use gradus_kernels::interleaved::{Convolution, LANES};

use super::{BoundConv2d, matrices};
use crate::layer::advanced::{BlockBackward, BlockForward, BlockLayer, Layout, Layouts, Scratch};
use crate::layers::checked_size;

#[derive(Debug)]
pub(in crate::layers) struct FastConv2d {
    of: BoundConv2d,
    kernel: Convolution,
    matrices: matrices::Sizes,
}

impl FastConv2d {
    pub(in crate::layers) fn new(of: BoundConv2d) -> Result<Self, String> {
        let matrices = matrices::Sizes::of(&of);
        if matrices.gathered > 0 {
            checked_size(
                "the scratch memory of a convolution",
                &[of.weights(), of.geometry.out_plane()],
            )?;
        }
        Ok(FastConv2d {
            of,
            kernel: Convolution {
                rows: of.geometry.rows.kernel_axis(),
                columns: of.geometry.columns.kernel_axis(),
                in_channels: of.groups * of.group_in,
                out_channels: of.channels(),
                groups: of.groups,
            },
            matrices,
        })
    }

    /// The convolution of interleaved samples.
    pub(in crate::layers) fn kernel(&self) -> Convolution {
        self.kernel
    }

    fn inputs(&self) -> usize {
        self.of.geometry.in_plane() * self.of.geometry.channels
    }

    fn outputs(&self) -> usize {
        self.of.geometry.out_plane() * self.of.channels()
    }
}

impl BlockLayer for FastConv2d {
    fn layouts(&self) -> Layouts {
        Layouts::PreferInterleaved
    }

    fn scratch(&self) -> Scratch {
        Scratch {
            fixed: self.matrices.scratch(),
            per_sample: 0,
        }
    }

    fn reads_output(&self) -> bool {
        false
    }

    fn forward(&self, pass: BlockForward<'_>) {
        let (n, m) = (self.inputs(), self.outputs());
        let (w, b) = (&pass.parameters[0], pass.parameters.get(1));
        match pass.layout {
            Layout::SampleMajor if self.kernel.takes_one() => {
                for (x, y) in pass.x.chunks_exact(n).zip(pass.y.chunks_exact_mut(m)) {
                    self.kernel.forward_one(x, w, b, y);
                }
            }
            Layout::SampleMajor => self.matrices.forward(pass),
            Layout::Interleaved => {
                for (x, y) in pass.x.chunks_exact(n * LANES).zip(pass.y.chunks_exact_mut(m * LANES)) {
                    self.kernel.forward(x, w, b, y);
                }
            }
        }
    }

    fn backward(&self, mut pass: BlockBackward<'_>) {
        if pass.layout == Layout::SampleMajor {
            return self.matrices.backward(pass);
        }
        let (n, m) = (self.inputs() * LANES, self.outputs() * LANES);
        for (x, dy) in pass.x.chunks_exact(n).zip(pass.dy.chunks_exact(m)) {
            self.kernel.weight_gradient(x, dy, &mut pass.gradients[0]);
            if self.of.bias {
                self.kernel.bias_gradient(dy, &mut pass.gradients[1]);
            }
        }
        let Some(dx) = pass.dx else { return };
        for (dx, dy) in dx.chunks_exact_mut(n).zip(pass.dy.chunks_exact(m)) {
            self.kernel.input_gradient(&pass.parameters[0], dy, dx);
        }
    }
}
