//! Transposed convolution for blocks of samples.
//!
//! Its forward pass is the gradient of the input of a convolution from y to x, and that convolution is its gradient dx. Interleaved
//! samples are computed by the convolution's kernels; samples one after the other by adding up neighboring pixels of a row at once,
//! in the same order.

use gradus_kernels::interleaved::{Convolution, LANES};
use gradus_kernels::{sum, vectorize};

use crate::Float;
use crate::layer::advanced::{BlockBackward, BlockForward, BlockLayer, BlockRandom, Layout, Layouts, Scratch};
use crate::layer::{Tensors, TensorsMut};
use crate::layers::conv2d::{BoundConv2d, FastConv2d};

#[derive(Debug)]
pub(super) struct FastConvTranspose2d {
    /// From y to x.
    of: BoundConv2d,
    kernel: Convolution,
    convolution: FastConv2d,
    bias: bool,
}

impl FastConvTranspose2d {
    /// The transpose of a convolution without a bias.
    pub(super) fn new(of: BoundConv2d, bias: bool) -> Result<Self, String> {
        let convolution = FastConv2d::new(of)?;
        Ok(FastConvTranspose2d {
            of,
            kernel: convolution.kernel(),
            convolution,
            bias,
        })
    }

    /// The values of x and of y of a sample.
    fn sizes(&self) -> (usize, usize) {
        let geometry = self.of.geometry;
        (
            geometry.out_plane() * self.kernel.out_channels,
            geometry.in_plane() * self.kernel.in_channels,
        )
    }

    /// y of one sample without the bias: for each element one chain of sums over (c, k, l) in ascending order, as in the kernels.
    fn spread(&self, w: &[Float], x: &[Float], y: &mut [Float]) {
        let geometry = self.of.geometry;
        let (in_plane, out_plane, taps) = (geometry.in_plane(), geometry.out_plane(), geometry.taps());
        let (group_x, group_y) = (self.of.group_out, self.of.group_in);
        let stride = geometry.columns.stride;
        y.fill(0.0);
        for (c, x) in x.chunks_exact(out_plane).enumerate() {
            let y = &mut y[c / group_x * group_y * in_plane..][..group_y * in_plane];
            let w = w[c * group_y * taps..].chunks_exact(taps);
            for (y, w) in y.chunks_exact_mut(in_plane).zip(w) {
                for (tap, &w) in w.iter().enumerate() {
                    for run in geometry.runs(tap) {
                        let pixels = y[run.x..].iter_mut().step_by(stride);
                        for (y, &x) in pixels.zip(&x[run.y..][..run.count]) {
                            *y = w.mul_add(x, *y);
                        }
                    }
                }
            }
        }
    }
}

impl BlockLayer for FastConvTranspose2d {
    fn layouts(&self) -> Layouts {
        Layouts::PreferInterleaved
    }

    fn scratch(&self) -> Scratch {
        self.convolution.scratch()
    }

    fn reads_output(&self) -> bool {
        false
    }

    fn forward(&self, pass: BlockForward<'_>) {
        let (n, m) = self.sizes();
        let w = &pass.parameters[0];
        let lanes = match pass.layout {
            Layout::SampleMajor => {
                for (x, y) in pass.x.chunks_exact(n).zip(pass.y.chunks_exact_mut(m)) {
                    vectorize!(|| self.spread(w, x, y));
                }
                1
            }
            Layout::Interleaved => {
                for (x, y) in pass.x.chunks_exact(n * LANES).zip(pass.y.chunks_exact_mut(m * LANES)) {
                    self.kernel.input_gradient(w, x, y);
                }
                LANES
            }
        };
        if self.bias {
            let planes = pass.y.chunks_exact_mut(self.of.geometry.in_plane() * lanes);
            for (y, b) in planes.zip(pass.parameters[1].iter().cycle()) {
                y.iter_mut().for_each(|y| *y += b);
            }
        }
    }

    fn backward(&self, mut pass: BlockBackward<'_>) {
        let w = &pass.parameters[0];
        let sizes = [w.len()];
        if let Some(dx) = &mut pass.dx {
            self.convolution.forward(BlockForward {
                training: false,
                samples: pass.samples,
                layout: pass.layout,
                x: pass.dy,
                y: dx,
                parameters: Tensors::new(w, &sizes),
                state: Tensors::new(&[], &[]),
                statistics: &[],
                saved: &mut [],
                scratch: &mut *pass.scratch,
                random: BlockRandom {
                    seed: 0,
                    step: 0,
                    layer: 0,
                    first_sample: 0,
                },
            });
        }
        let lanes = if pass.layout == Layout::Interleaved { LANES } else { 1 };
        if self.bias {
            let db = &mut pass.gradients[1];
            for dy in pass.dy.chunks_exact(self.sizes().1 * lanes) {
                let planes = dy.chunks_exact(self.of.geometry.in_plane() * lanes);
                db.iter_mut().zip(planes).for_each(|(db, dy)| *db += sum(dy));
            }
        }
        let mut gradients = pass.gradients;
        self.convolution.backward(BlockBackward {
            x: pass.dy,
            dy: pass.x,
            y: None,
            dx: None,
            parameters: Tensors::new(w, &sizes),
            gradients: TensorsMut::new(&mut gradients[0], &sizes),
            ..pass
        });
    }
}
