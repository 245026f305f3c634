//! The dense layer for blocks of samples: matrix products.

use gradus_kernels::{Accumulate, Matrix, matmul, matmul_scratch, matmul_sum};

use super::BoundDense;
use crate::layer::Tensors;
use crate::layer::advanced::{
    BatchGradient, Bfloat16, BlockBackward, BlockForward, BlockLayer, Scratch, WholeBatchGradient,
};

/// The largest block of samples that the scratch memory is enough for.
const MOST_SAMPLES: usize = 1 << 12;

/// Y = X·W + b, with a row for each sample.
#[derive(Debug)]
pub(super) struct FastDense(pub(super) BoundDense);

impl FastDense {
    /// What every row of Y starts from: the bias, if there is one.
    pub(super) fn start<'a>(&self, parameters: Tensors<'a>) -> Accumulate<'a> {
        match parameters.get(1) {
            Some(bias) => Accumulate::Row(bias),
            None => Accumulate::Zero,
        }
    }
}

impl BlockLayer for FastDense {
    fn scratch(&self) -> Scratch {
        let BoundDense { inputs, units, .. } = self.0;
        let [forward, backward] = [(units, inputs), (inputs, units)].map(|(n, k)| matmul_scratch(MOST_SAMPLES, n, k));
        Scratch {
            fixed: forward.max(backward),
            per_sample: 0,
        }
    }

    fn reads_output(&self) -> bool {
        false
    }

    fn forward(&self, pass: BlockForward<'_>) {
        let BoundDense { inputs, units, .. } = self.0;
        let (x, w) = (Matrix::new(pass.x, inputs), Matrix::new(&pass.parameters[0], units));
        let start = self.start(pass.parameters);
        matmul(pass.samples, units, inputs, x, w, pass.y, units, start, pass.scratch);
    }

    fn backward(&self, pass: BlockBackward<'_>) {
        let BoundDense { inputs, units, .. } = self.0;
        let Some(dx) = pass.dx else { return };
        // dX = dY·Wᵀ
        let (dy, w) = (
            Matrix::new(pass.dy, units),
            Matrix::new(&pass.parameters[0], units).transposed(),
        );
        let start = Accumulate::Zero;
        matmul(pass.samples, inputs, units, dy, w, dx, inputs, start, pass.scratch);
    }

    fn whole_batch(&self) -> Option<&dyn WholeBatchGradient> {
        Some(self)
    }

    fn bfloat16(&self) -> Option<&dyn Bfloat16> {
        Some(self)
    }
}

impl WholeBatchGradient for FastDense {
    fn gradient(&self, pass: BatchGradient<'_>) {
        let BoundDense { inputs, units, .. } = self.0;
        let BatchGradient {
            rows,
            gradient,
            blocks,
            scratch,
            ..
        } = pass;
        if pass.parameter == 0 {
            // dW[rows] = X[:, rows]ᵀ·dY
            let products = blocks.map(|block| {
                let x = Matrix::new(&block.x[rows.start..], inputs);
                (block.samples, x.transposed(), Matrix::new(block.dy, units))
            });
            matmul_sum(rows.len(), units, products, gradient, units, Accumulate::Zero, scratch);
        } else {
            // db[rows] = Σ dY[:, rows] = 1ᵀ·dY[:, rows]
            let products = blocks.map(|block| {
                let dy = Matrix::new(&block.dy[rows.start..], units);
                (block.samples, Matrix::new(&[1.0], 0).transposed(), dy)
            });
            matmul_sum(1, rows.len(), products, gradient, units, Accumulate::Zero, scratch);
        }
    }
}
