//! Smooth random displacements, as a page that is crumpled.

use gradus_kernels::vectorize;
use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::Float;
use crate::random::Rng;

/// Elastic distortion (Simard, Steinkraus and Platt, "Best Practices for Convolutional Neural Networks Applied to Visual
/// Document Analysis", 2003): every pixel is displaced by a random field that was smoothed with a Gaussian of deviation σ and
/// scaled by α.
///
/// Instead of smoothing a random number for each pixel, the field is a cubic B-spline over a coarse grid of random numbers. The
/// kernel of a cubic B-spline with knots `s` apart has the variance `s²/3` and is nearly a Gaussian, so `s = σ√3` gives
/// the same smoothness at a small part of the cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Elastic {
    /// The strength α, in pixels.
    pub alpha: f64,
    /// The smoothness σ, in pixels.
    pub sigma: f64,
}

impl Elastic {
    /// The distance between knots, in pixels.
    fn spacing(&self) -> Float {
        self.sigma as Float * Float::sqrt(3.0)
    }

    /// The grid's numbers are uniform in ±this, so that displacements deviate as those of the original method.
    ///
    /// There, numbers uniform in ±1 (variance 1/3) are summed with the weights of a Gaussian, whose squares sum to
    /// `1/(4πσ²)`, and multiplied by α. Here, the squares of the spline's weights sum to (151/315)² on average.
    fn amplitude(&self) -> Float {
        let pi: Float = std::f64::consts::PI as Float;
        self.alpha as Float * 315.0 / (151.0 * 2.0 * pi.sqrt() * self.sigma as Float)
    }

    /// The number of knots that bear on `pixels` pixels.
    fn knots(&self, pixels: usize) -> usize {
        ((pixels - 1) as Float / self.spacing()) as usize + 4
    }

    /// The scratch memory that [`displace`](Elastic::displace) needs.
    pub fn scratch(&self, height: usize, width: usize) -> usize {
        2 * self.knots(height) * (self.knots(width) + width)
    }

    /// Writes the vertical displacement of every pixel to the first half of `field`, the horizontal one to the second.
    pub fn displace(&self, height: usize, width: usize, rng: &mut Rng, field: &mut [Float], scratch: &mut [Float]) {
        let (rows, columns) = (self.knots(height), self.knots(width));
        let (grid, lines) = scratch.split_at_mut(2 * rows * columns);
        let amplitude = self.amplitude();
        for knot in &mut *grid {
            *knot = amplitude * (2.0 * rng.random::<Float>() - 1.0);
        }
        // Along each of the grid's rows, then between them.
        for j in 0..width {
            let (first, weights) = self.weights(j);
            for (line, knots) in lines.chunks_exact_mut(width).zip(grid.chunks_exact(columns)) {
                line[j] = weights.iter().zip(&knots[first..]).map(|(w, knot)| w * knot).sum();
            }
        }
        for (field, lines) in field
            .chunks_exact_mut(height * width)
            .zip(lines.chunks_exact(rows * width))
        {
            for (i, field) in field.chunks_exact_mut(width).enumerate() {
                let (first, [a, b, c, d]) = self.weights(i);
                let [p, q, r, s]: [&[Float]; 4] = std::array::from_fn(|k| &lines[(first + k) * width..][..width]);
                vectorize!(|| {
                    for (j, field) in field.iter_mut().enumerate() {
                        *field = a * p[j] + b * q[j] + c * r[j] + d * s[j];
                    }
                });
            }
        }
    }

    /// The first of the four knots that bear on a pixel, and their weights.
    fn weights(&self, pixel: usize) -> (usize, [Float; 4]) {
        let position = pixel as Float / self.spacing();
        let first = position as usize;
        let t = position - first as Float;
        let u = 1.0 - t;
        let weights = [
            u * u * u,
            3.0 * t * t * t - 6.0 * t * t + 4.0,
            3.0 * u * u * u - 6.0 * u * u + 4.0,
            t * t * t,
        ];
        (first, weights.map(|w| w / 6.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, stream};

    #[test]
    fn weights_sum_to_one_and_join_smoothly() {
        let elastic = Elastic { alpha: 1.0, sigma: 2.0 };
        for pixel in 0..100 {
            let (_, weights) = elastic.weights(pixel);
            assert!((weights.iter().sum::<Float>() - 1.0).abs() < 1e-5);
            assert!(weights.iter().all(|&w| (0.0..0.7).contains(&w)));
        }
    }

    /// Deviation and smoothness are those of numbers uniform in ±1, smoothed by a Gaussian and scaled: the deviation is
    /// α/(σ√(12π)), and the correlation at distance d is exp(-d²/4σ²).
    #[test]
    fn the_field_is_that_of_the_original_method() {
        let elastic = Elastic {
            alpha: 34.0,
            sigma: 4.0,
        };
        let (height, width) = (28, 30);
        let mut field = vec![0.0; 2 * height * width];
        let mut scratch = vec![Float::NAN; elastic.scratch(height, width)];
        let (mut mean, mut square, mut near, mut far, mut n) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for seed in 0..2000 {
            elastic.displace(
                height,
                width,
                &mut stream(seed, Purpose::Augment, &[]),
                &mut field,
                &mut scratch,
            );
            for plane in field.chunks_exact(height * width) {
                for row in plane.chunks_exact(width).step_by(9) {
                    for j in 0..width - 8 {
                        mean += f64::from(row[j]);
                        square += f64::from(row[j] * row[j]);
                        near += f64::from(row[j] * row[j + 4]);
                        far += f64::from(row[j] * row[j + 8]);
                        n += 1.0;
                    }
                }
            }
        }
        let (mean, variance) = (mean / n, square / n);
        let expected = 34.0 / (4.0 * (12.0 * std::f64::consts::PI).sqrt());
        assert!(mean.abs() < 0.02, "{mean}");
        assert!(
            (variance.sqrt() / expected - 1.0).abs() < 0.03,
            "{} for {expected}",
            variance.sqrt()
        );
        let correlation = |d: f64| (-d * d / 64.0).exp();
        assert!(
            (near / n / variance - correlation(4.0)).abs() < 0.03,
            "{}",
            near / n / variance
        );
        assert!(
            (far / n / variance - correlation(8.0)).abs() < 0.03,
            "{}",
            far / n / variance
        );
    }
}
