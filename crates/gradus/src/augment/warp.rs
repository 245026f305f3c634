//! Geometric changes of images.

use gradus_kernels::vectorize;
use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::Augmentation;
use super::elastic::Elastic;
use crate::random::Rng;
use crate::{Error, Float, Result, Shape};

/// Moves, turns, scales, shears and bends an image `[channels, height, width]` at random, all in one resampling.
///
/// Each of the settings is a limit: what happens to an image is drawn anew, uniformly between minus and plus it. With
/// all at 0, as at first, nothing changes. The image is scaled, sheared and turned about its center, then moved:
///
/// ```text
/// target = c + A (source - c) + shift,   A = scale · rotation · shear
/// ```
///
/// and for each target pixel the inverse gives a place in the source, displaced by the elastic field, where the four pixels
/// around are interpolated (bilinear). What comes from outside the image is [`fill`](Warp::fill).
///
/// ```
/// use gradus::augment::{Augmentation, Warp};
/// use gradus::random::{stream, Purpose};
///
/// let warp = Warp::new().shift(2.0).rotate(15.0).elastic(34.0, 4.0);
/// let shape = [1, 28, 28].into();
/// warp.validate(&shape)?;
/// let mut image = [0.5; 784];
/// warp.apply(&shape, &mut image, &mut stream(42, Purpose::Augment, &[0, 7]), &mut Vec::new());
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[doc(alias("affine", "elastic", "rotation", "translation", "zoom"))]
pub struct Warp {
    shift: f64,
    rotate: f64,
    scale: f64,
    shear: f64,
    elastic: Option<Elastic>,
    fill: f64,
}

impl Warp {
    /// No change yet.
    pub fn new() -> Self {
        Warp::default()
    }

    /// Moves by up to `pixels` pixels, down or up and right or left.
    pub fn shift(mut self, pixels: f64) -> Self {
        self.shift = pixels;
        self
    }

    /// Turns by up to `degrees` degrees, either way.
    pub fn rotate(mut self, degrees: f64) -> Self {
        self.rotate = degrees;
        self
    }

    /// Scales by a factor of up to 1 ± `fraction`.
    pub fn scale(mut self, fraction: f64) -> Self {
        self.scale = fraction;
        self
    }

    /// Shears horizontally: vertical lines lean by up to `degrees` degrees, either way.
    pub fn shear(mut self, degrees: f64) -> Self {
        self.shear = degrees;
        self
    }

    /// Bends: displaces each pixel by a smooth random field of strength `alpha` and smoothness `sigma`, in pixels.
    /// Displacements deviate by `alpha / (sigma √(12π))`: about 1.4 pixels for 34 and 4, which are good for MNIST.
    /// (Simard, Steinkraus and Platt, "Best Practices for Convolutional Neural Networks Applied to Visual Document
    /// Analysis", 2003. The Gaussian of deviation `sigma` by which they smooth is replaced by a cubic B-spline of the
    /// same variance, which is faster.)
    pub fn elastic(mut self, alpha: f64, sigma: f64) -> Self {
        self.elastic = Some(Elastic { alpha, sigma });
        self
    }

    /// What is outside the image; 0 at first.
    pub fn fill(mut self, value: f64) -> Self {
        self.fill = value;
        self
    }
}

impl Augmentation for Warp {
    fn name(&self) -> &'static str {
        "warp"
    }

    fn settings(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    fn validate(&self, shape: &Shape) -> Result<()> {
        let Some((channels, height, width)) = shape.image() else {
            return Err(Error::invalid(format!(
                "a warp works on images [channels, height, width], and these samples have the shape {shape}"
            )));
        };
        if channels == 0 || height == 0 || width == 0 {
            return Err(Error::invalid(format!(
                "a warp works on images, and those of shape {shape} are empty"
            )));
        }
        let check = |name: &str, value: f64, limit: f64, unit: &str| {
            if value >= 0.0 && value < limit && (value as Float).is_finite() {
                Ok(())
            } else {
                Err(Error::invalid(format!(
                    "the {name} of a warp is {value}{unit}, and should be from 0 to less than {limit}{unit}"
                )))
            }
        };
        check("shift", self.shift, height.min(width) as f64, " pixels")?;
        check("rotation", self.rotate, 360.0, " degrees")?;
        check("scale", self.scale, 1.0, "")?;
        check("shear", self.shear, 90.0, " degrees")?;
        if let Some(Elastic { alpha, sigma }) = self.elastic {
            check("elastic strength alpha", alpha, f64::INFINITY, "")?;
            if !(sigma >= 1.0 && (sigma as Float).is_finite()) {
                return Err(Error::invalid(format!(
                    "the elastic smoothness sigma of a warp is {sigma} pixels, and should be 1 or more"
                )));
            }
        }
        if !(self.fill as Float).is_finite() {
            return Err(Error::invalid(format!(
                "the fill value of a warp is {}, and should be finite",
                self.fill
            )));
        }
        Ok(())
    }

    fn apply(&self, shape: &Shape, x: &mut [Float], rng: &mut Rng, scratch: &mut Vec<Float>) {
        let Some((channels, height, width)) = shape.image() else {
            return;
        };
        // All are drawn, used or not, so that one setting does not change what another draws.
        let mut draw = |limit: f64| limit as Float * (2.0 * rng.random::<Float>() - 1.0);
        let shift = [draw(self.shift), draw(self.shift)];
        let rotation = draw(self.rotate).to_radians();
        let scale = 1.0 + draw(self.scale);
        let shear = draw(self.shear).to_radians();
        let affine = Affine::new(shift, rotation, scale, shear);

        let plane = height * width;
        let padded = channels * (height + 3) * (width + 3);
        let bending = self
            .elastic
            .as_ref()
            .map_or(0, |elastic| elastic.scratch(height, width));
        if scratch.len() < padded + 2 * plane + bending {
            scratch.resize(padded + 2 * plane + bending, 0.0);
        }
        let (padded, rest) = scratch.split_at_mut(padded);
        let (places, rest) = rest.split_at_mut(2 * plane);
        match &self.elastic {
            Some(elastic) => elastic.displace(height, width, rng, places, &mut rest[..bending]),
            None => places.fill(0.0),
        }
        affine.add_sources(height, width, places);
        pad(x, height, width, self.fill as Float, padded);
        resample(padded, places, height, width, x);
    }
}

/// Where the pixels of the target come from: `source = c + inverse (target - c - shift)`.
struct Affine {
    inverse: [[Float; 2]; 2],
    shift: [Float; 2],
}

impl Affine {
    /// A shift by (rows, columns) after a clockwise rotation and a shear by angles in radians and a scaling. Rows count downwards and
    /// columns to the right.
    fn new(shift: [Float; 2], rotation: Float, scale: Float, shear: Float) -> Self {
        let (sin, cos) = rotation.sin_cos();
        let tan = shear.tan();
        // A = scale · [cos sin; -sin cos] · [1 0; tan 1]; the determinant of the two matrices is 1.
        let inverse = [
            [cos / scale, -sin / scale],
            [(sin - cos * tan) / scale, (cos + sin * tan) / scale],
        ];
        Affine { inverse, shift }
    }

    /// Adds the row and the column that each pixel comes from to what the two halves of `places` hold.
    fn add_sources(&self, height: usize, width: usize, places: &mut [Float]) {
        let [[a, b], [c, d]] = self.inverse;
        let (middle, center) = ((height - 1) as Float / 2.0, (width - 1) as Float / 2.0);
        let (rows, columns) = places.split_at_mut(height * width);
        vectorize!(|| {
            for (i, (rows, columns)) in rows
                .chunks_exact_mut(width)
                .zip(columns.chunks_exact_mut(width))
                .enumerate()
            {
                let v = i as Float - middle - self.shift[0];
                for (j, (row, column)) in rows.iter_mut().zip(columns).enumerate() {
                    let u = j as Float - center - self.shift[1];
                    *row += a * v + b * u + middle;
                    *column += c * v + d * u + center;
                }
            }
        });
    }
}

/// Copies an image into one with a border of `fill`: one pixel before and two after.
fn pad(x: &[Float], height: usize, width: usize, fill: Float, padded: &mut [Float]) {
    padded.fill(fill);
    let planes = padded
        .chunks_exact_mut((height + 3) * (width + 3))
        .zip(x.chunks_exact(height * width));
    for (padded, x) in planes {
        for (padded, x) in padded.chunks_exact_mut(width + 3).skip(1).zip(x.chunks_exact(width)) {
            padded[1..=width].copy_from_slice(x);
        }
    }
}

/// Interpolates between the pixels of a padded image at places (rows, then columns) that count from the image's corner.
fn resample(padded: &[Float], places: &[Float], height: usize, width: usize, x: &mut [Float]) {
    let stride = width + 3;
    let (rows, columns) = places.split_at(height * width);
    let (lowest, rightmost) = (height as Float + 1.0, width as Float + 1.0);
    let planes = x
        .chunks_exact_mut(height * width)
        .zip(padded.chunks_exact((height + 3) * stride));
    for (x, padded) in planes {
        for ((x, &row), &column) in x.iter_mut().zip(rows).zip(columns) {
            // In the padded image, where what is further outside is as the border.
            let row = (row + 1.0).max(0.0).min(lowest);
            let column = (column + 1.0).max(0.0).min(rightmost);
            let (i, j) = (row as i32, column as i32);
            let (down, right) = (row - i as Float, column - j as Float);
            let start = i as usize * stride + j as usize;
            let upper = &padded[start..start + 2];
            let lower = &padded[start + stride..start + stride + 2];
            let above = upper[0] + right * (upper[1] - upper[0]);
            let below = lower[0] + right * (lower[1] - lower[0]);
            *x = above + down * (below - above);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, stream};

    const SHAPE: [usize; 3] = [2, 9, 12];

    fn image() -> Vec<Float> {
        let mut rng = stream(5, Purpose::User, &[]);
        (0..SHAPE.iter().product()).map(|_| rng.random()).collect()
    }

    /// A spot in the middle, of mass 1 in each channel.
    fn spot() -> Vec<Float> {
        let mut x = vec![0.0; 2 * 9 * 12];
        for c in 0..2 {
            for (i, j) in [(4, 5), (4, 6), (3, 5), (3, 6)] {
                x[(c * 9 + i) * 12 + j] = 0.25;
            }
        }
        x
    }

    fn transform(affine: &Affine, fill: Float, [channels, height, width]: [usize; 3], x: &[Float]) -> Vec<Float> {
        let mut places = vec![0.0; 2 * height * width];
        let mut padded = vec![Float::NAN; channels * (height + 3) * (width + 3)];
        let mut y = x.to_vec();
        affine.add_sources(height, width, &mut places);
        pad(x, height, width, fill, &mut padded);
        resample(&padded, &places, height, width, &mut y);
        y
    }

    fn warp(warp: &Warp, x: &[Float], seed: u64) -> Vec<Float> {
        let shape = Shape::from(SHAPE);
        warp.validate(&shape).unwrap();
        let mut y = x.to_vec();
        // Scratch memory that holds anything at first.
        warp.apply(
            &shape,
            &mut y,
            &mut stream(seed, Purpose::Augment, &[3]),
            &mut vec![Float::NAN; 50],
        );
        y
    }

    #[test]
    fn no_setting_no_change() {
        assert_eq!(warp(&Warp::new(), &image(), 1), image());
        assert_eq!(warp(&Warp::new().elastic(0.0, 4.0), &image(), 1), image());
        assert_eq!(warp(&Warp::new().fill(7.0), &image(), 1), image());
    }

    #[test]
    fn shifts_by_whole_pixels_are_exact() {
        let x = image();
        for (down, right) in [(0i32, 3i32), (2, 0), (-1, 5), (-8, -11), (9, 0), (0, -12), (40, 40)] {
            let y = transform(
                &Affine::new([down as Float, right as Float], 0.0, 1.0, 0.0),
                0.5,
                SHAPE,
                &x,
            );
            for (c, i, j) in (0..2).flat_map(|c| (0..9).flat_map(move |i| (0..12).map(move |j| (c, i, j)))) {
                let (from_i, from_j) = (i - down, j - right);
                let inside = (0..9).contains(&from_i) && (0..12).contains(&from_j);
                let expected = if inside {
                    x[((c * 9 + from_i) * 12 + from_j) as usize]
                } else {
                    0.5
                };
                assert_eq!(
                    y[((c * 9 + i) * 12 + j) as usize],
                    expected,
                    "{down} {right}: {c} {i} {j}"
                );
            }
        }
    }

    #[test]
    fn half_a_pixel_is_the_mean_of_two() {
        let y = transform(
            &Affine::new([0.0, 0.5], 0.0, 1.0, 0.0),
            0.0,
            [1, 1, 3],
            &[1.0, 2.0, 4.0],
        );
        assert_eq!(y, [0.5, 1.5, 3.0]);
    }

    #[test]
    fn a_quarter_turn_turns() {
        let x = (0..16).map(|i| i as Float).collect::<Vec<_>>();
        let quarter = (90.0 as Float).to_radians();
        let y = transform(&Affine::new([0.0, 0.0], quarter, 1.0, 0.0), 0.0, [1, 4, 4], &x);
        for (i, j) in (0..4).flat_map(|i| (0..4).map(move |j| (i, j))) {
            // Clockwise: the first row becomes the last column, from above.
            assert!((y[j * 4 + 3 - i] - x[i * 4 + j]).abs() < 1e-4, "{y:?}");
        }
    }

    #[test]
    fn the_inverse_undoes_scale_rotation_and_shear() {
        let (rotation, scale, shear) = (0.4 as Float, 1.3 as Float, 0.3 as Float);
        let (sin, cos) = rotation.sin_cos();
        let a = [
            [scale * (cos + sin * shear.tan()), scale * sin],
            [scale * (cos * shear.tan() - sin), scale * cos],
        ];
        let b = Affine::new([0.0, 0.0], rotation, scale, shear).inverse;
        for (i, j) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let product = a[i][0] * b[0][j] + a[i][1] * b[1][j];
            assert!((product - if i == j { 1.0 } else { 0.0 }).abs() < 1e-6);
        }
        // Twice as large: the middle of a ramp becomes half as steep.
        let ramp = (0..9).map(|i| i as Float).collect::<Vec<_>>();
        let y = transform(&Affine::new([0.0, 0.0], 0.0, 2.0, 0.0), 0.0, [1, 1, 9], &ramp);
        assert!(
            (0..9).all(|i| (y[i] - (4.0 + (i as Float - 4.0) / 2.0)).abs() < 1e-5),
            "{y:?}"
        );
    }

    #[test]
    fn mass_is_roughly_kept_and_nothing_leaves_the_range() {
        let settings = Warp::new().shift(1.5).rotate(20.0).shear(10.0).elastic(8.0, 3.0);
        for seed in 0..50 {
            let y = warp(&settings, &spot(), seed);
            for channel in y.chunks_exact(9 * 12) {
                let mass = channel.iter().sum::<Float>();
                assert!((0.5..1.6).contains(&mass), "seed {seed}: {mass}");
            }
            assert_eq!(y[..9 * 12], y[9 * 12..], "channels move together");
            assert!(y.iter().all(|y| (0.0..=0.25).contains(y)));
        }
    }

    #[test]
    fn each_setting_does_something_and_the_seed_decides() {
        for settings in [
            Warp::new().shift(2.0),
            Warp::new().rotate(20.0),
            Warp::new().scale(0.3),
            Warp::new().shear(20.0),
            Warp::new().elastic(20.0, 3.0),
        ] {
            let (x, y) = (image(), warp(&settings, &image(), 1));
            assert!(y != x && y.iter().all(|y| y.is_finite()), "{settings:?}");
            assert_eq!(y, warp(&settings, &x, 1));
            assert_ne!(y, warp(&settings, &x, 2));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let refused = |warp: Warp, shape: &[usize], part: &str| {
            let error = warp.validate(&shape.into()).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        };
        refused(Warp::new(), &[784], "these samples have the shape 784");
        refused(Warp::new(), &[1, 0, 4], "are empty");
        refused(
            Warp::new().shift(8.0),
            &[1, 8, 9],
            "shift of a warp is 8 pixels, and should be from 0 to less than 8 pixels",
        );
        refused(Warp::new().rotate(-1.0), &[1, 8, 8], "rotation of a warp is -1 degrees");
        refused(Warp::new().scale(1.0), &[1, 8, 8], "scale of a warp is 1, ");
        refused(Warp::new().shear(90.0), &[1, 8, 8], "shear");
        refused(Warp::new().elastic(-1.0, 4.0), &[1, 8, 8], "alpha");
        refused(Warp::new().elastic(f64::INFINITY, 4.0), &[1, 8, 8], "alpha");
        refused(
            Warp::new().elastic(1.0, 0.5),
            &[1, 8, 8],
            "sigma of a warp is 0.5 pixels",
        );
        refused(Warp::new().fill(f64::NAN), &[1, 8, 8], "fill");
        refused(Warp::new().shift(f64::NAN), &[1, 8, 8], "shift");
    }

    #[test]
    fn the_smallest_images_are_warped_too() {
        let settings = Warp::new().shift(0.5).rotate(30.0).elastic(5.0, 1.0);
        for shape in [[1, 1, 1], [3, 1, 7], [1, 5, 1]] {
            let shape = Shape::from(shape);
            settings.validate(&shape).unwrap();
            let mut x = vec![1.0; shape.size()];
            settings.apply(&shape, &mut x, &mut stream(1, Purpose::Augment, &[]), &mut Vec::new());
            assert!(x.iter().all(|x| (0.0..=1.0).contains(x)));
        }
    }
}
