//! The dense layer in bfloat16, with ‹·› for numbers rounded to it.
//!
//! | | formula | what is summed over, and paired |
//! | --- | --- | --- |
//! | forward | y = ‹x›·‹W› + b | inputs |
//! | backward | dx = ‹dy›·‹W›ᵀ | units |
//! | | dW = ‹x›ᵀ·‹dy› | samples |
//! | | db = Σ dy | |
//!
//! So x and dy are wanted paired in two ways, across and down, and W too. They are rounded once for both.

use std::ops::Range;

use gradus_kernels::Accumulate;
use gradus_kernels::bfloat16::{PackedLhs, Pair, convert, convert_transposed, product, size_across, size_down, stride};

use super::BoundDense;
use super::fast::FastDense;
use crate::layer::Tensors;
use crate::layer::advanced::{BatchGradient, Bfloat16, BlockBackward, BlockForward, WholeBatchGradient};

/// About how many weights a part of the copy has.
const PART: usize = 8192;

/// The weights are copied twice: paired down, some rows in a part; then, if `dx` is wanted, the transpose paired down, some
/// columns in a part. All parts but the last have whole pairs.
impl Bfloat16 for FastDense {
    fn weights(&self, dx: bool) -> Vec<usize> {
        let BoundDense { inputs, units, .. } = self.0;
        let rows = parts(inputs, units).map(|rows| size_down(rows.len(), units));
        let columns = parts(units, inputs).map(|columns| size_down(columns.len(), inputs));
        rows.chain(columns.filter(|_| dx)).collect()
    }

    fn convert(&self, parameters: Tensors<'_>, part: usize, copy: &mut [Pair]) {
        let BoundDense { inputs, units, .. } = self.0;
        let w = &parameters[0];
        if let Some(rows) = parts(inputs, units).nth(part) {
            convert(&w[rows.start * units..rows.end * units], units, None, copy);
        } else if let Some(columns) = parts(units, inputs).nth(part - parts(inputs, units).count()) {
            convert_transposed(w, units, columns, copy);
        }
    }

    fn saved(&self, samples: usize) -> usize {
        let BoundDense { inputs, units, .. } = self.0;
        let down = size_down(samples, inputs) + size_down(samples, units);
        down + size_across(samples, inputs.max(units))
    }

    fn forward(&self, pass: BlockForward<'_>, w: &[Pair], saved: &mut [Pair]) {
        let BoundDense { inputs, units, .. } = self.0;
        let [x_down, _, x_across] = self.divide(pass.samples, saved);
        convert(pass.x, inputs, Some(x_across), x_down);
        let pairs = inputs.div_ceil(2);
        let x = PackedLhs::across(x_across, inputs);
        product([pass.samples, units, pairs], x, w, pass.y, self.start(pass.parameters));
    }

    fn backward(&self, pass: BlockBackward<'_>, w: &[Pair], saved: &mut [Pair]) {
        let BoundDense { inputs, units, .. } = self.0;
        let [_, dy_down, dy_across] = self.divide(pass.samples, saved);
        let Some(dx) = pass.dx else {
            return convert(pass.dy, units, None, dy_down);
        };
        convert(pass.dy, units, Some(dy_across), dy_down);
        let w = &w[size_down(inputs, units)..];
        let dy = PackedLhs::across(dy_across, units);
        product([pass.samples, inputs, units.div_ceil(2)], dy, w, dx, Accumulate::Zero);
    }

    fn batch_gradient(&self, pass: BatchGradient<'_>) {
        if pass.parameter > 0 {
            return self.gradient(pass);
        }
        let BoundDense { inputs, units, .. } = self.0;
        let mut start = Accumulate::Zero;
        for block in pass.blocks {
            let (x_down, dy_down) = block.pairs.split_at(size_down(block.samples, inputs));
            // dW[rows] = Σ ‹x›[:, rows]ᵀ·‹dy›
            let x = PackedLhs {
                values: &x_down[pass.rows.start..],
                row_stride: 1,
                pair_stride: stride(inputs),
            };
            let sizes = [pass.rows.len(), units, block.samples.div_ceil(2)];
            product(sizes, x, dy_down, pass.gradient, start);
            start = Accumulate::Sum;
        }
    }
}

impl FastDense {
    /// What a block keeps: x and dy, paired down, until the update; and one of them across, during a pass.
    fn divide<'a>(&self, samples: usize, saved: &'a mut [Pair]) -> [&'a mut [Pair]; 3] {
        let BoundDense { inputs, units, .. } = self.0;
        let (x_down, rest) = saved.split_at_mut(size_down(samples, inputs));
        let (dy_down, across) = rest.split_at_mut(size_down(samples, units));
        [x_down, dy_down, across]
    }
}

/// `0..count` in parts of whole pairs, of about [`PART`] weights where each of the count has so many.
fn parts(count: usize, each: usize) -> impl Iterator<Item = Range<usize>> {
    let size = (PART / each).max(1).next_multiple_of(32);
    (0..count)
        .step_by(size)
        .map(move |first| first..(first + size).min(count))
}

#[cfg(test)]
mod tests {
    use crate::Float;
    use crate::check::LayerHarness;
    use crate::layers::Dense;

    /// Small whole numbers are exact in bfloat16, and so are their sums.
    fn whole(count: usize) -> Vec<Float> {
        (0..count).map(|i| (i * 7919 % 17) as Float - 8.0).collect()
    }

    /// Odd numbers of everything, and weights that are converted in several parts.
    #[test]
    fn what_needs_no_rounding_is_the_same() {
        for (samples, inputs, units) in [(1, 1, 1), (3, 5, 2), (7, 33, 17), (5, 201, 101), (4, 2, 900)] {
            for bias in [false, true] {
                let layer = Dense::new(units).bias(bias);
                let size = (inputs + usize::from(bias)) * units;
                let harness = || LayerHarness::new(&layer, [inputs]).unwrap().parameters(&whole(size));
                let (x, dy) = (whole(samples * inputs), whole(samples * units));
                let (found, expected) = (harness().bfloat16().step(&x, &dy), harness().step(&x, &dy));
                assert!(
                    found.unwrap() == expected.unwrap(),
                    "{samples} samples of {inputs}, {units} units"
                );
            }
        }
    }

    #[test]
    fn operands_are_rounded() {
        // 1 + 2⁻⁸ becomes 1; the bias and its gradient stay.
        let (odd, layer) = (1.0 + 1.0 / 256.0, Dense::new(1));
        let harness = LayerHarness::new(&layer, [1])
            .unwrap()
            .parameters(&[odd, odd])
            .bfloat16();
        let step = harness.step(&[odd], &[odd]).unwrap();
        assert_eq!((step.y, step.dx), (vec![1.0 + odd], vec![1.0]));
        assert_eq!(step.gradient, [1.0, odd]);
    }
}
