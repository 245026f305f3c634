//! Long sums: fast, in an order that depends on nothing but their length.

use crate::Float;

/// Neighbouring values go to different partial sums, so that the processor adds this many at once.
const LANES: usize = 16;

/// Σ f(aᵢ, bᵢ). Slices of the same length; to be called inside [`gradus_kernels::vectorize`].
#[inline(always)]
pub(super) fn sum_of(a: &[Float], b: &[Float], f: impl Fn(Float, Float) -> Float) -> Float {
    let mut lanes = [0.0; LANES];
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            lanes[i] += f(a[i], b[i]);
        }
    }
    for (lane, (&a, &b)) in lanes.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *lane += f(a, b);
    }
    // Halves are added to halves.
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// Σ aᵢ. To be called inside [`gradus_kernels::vectorize`].
#[inline(always)]
pub(super) fn sum(a: &[Float]) -> Float {
    sum_of(a, a, |a, _| a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_summed_once() {
        for n in 0..70 {
            let a: Vec<Float> = (1..=n).map(|i| i as Float).collect();
            assert_eq!(sum(&a), (n * (n + 1) / 2) as Float);
            assert_eq!(sum_of(&a, &a, |a, b| a * b), (n * (n + 1) * (2 * n + 1) / 6) as Float);
        }
    }
}
