//! A picture of a handwritten character, turned into what networks are trained on.
//!
//! MNIST's digits were made so (LeCun, Bottou, Bengio and Haffner, 1998): light ink on black, scaled with their aspect kept
//! into a box of 20×20 pixels with anti-aliasing, and placed in 28×28 so that their center of mass is in the middle. A picture
//! from a pen, a scanner or a camera is brought into that form step by step: gray; what differs from the background is ink;
//! cut to the ink; scaled; centered. A digit of MNIST itself comes out as it was.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use gradus::Float;
use gradus::data::Image;
use serde::{Deserialize, Serialize};

use crate::image;

/// The frame that a character is placed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// Its height in pixels.
    pub height: usize,
    /// Its width in pixels.
    pub width: usize,
    /// The side of the square that the character is scaled to fit into.
    pub fit: usize,
}

/// Frames below this size are filled to the edge, as the 8×8 digits fill theirs.
const SMALL: usize = 16;
/// The longest side with which a picture is examined; photographs lose their noise when they are scaled down to it.
const EXAMINED: usize = 512;
/// Values from here on count as ink, of 1; MNIST's digits keep their sizes with it.
pub const INK: Float = 0.1;
/// The least difference of ink from the background, of full black against white.
const CONTRAST: Float = 0.08;
/// What is apart from the largest stroke, and has less than this share of its ink, is dust.
const DUST: Float = 0.02;

impl Frame {
    /// The frame for images of this size: 20 of 28 pixels for the character, as in MNIST, and in that proportion for other
    /// sizes; below 16 pixels the whole frame.
    pub fn of_size(height: usize, width: usize) -> Self {
        let side = height.min(width);
        let fit = if side < SMALL { side } else { (20 * side + 14) / 28 };
        Frame { height, width, fit }
    }
}

/// Reads an image file as a character in a frame: its values row by row, 0 for background and 1 for full ink.
///
/// # Errors
/// If the file can't be read or decoded, or nothing on it stands out from the background; the sentence names it.
pub fn read(path: &Path, frame: Frame) -> Result<Vec<Float>> {
    let file = Image::read_file(path)?;
    from_bytes(&file, frame).with_context(|| path.display().to_string())
}

/// Brings the content of an image file into a frame, as [`read`] does.
///
/// # Errors
/// As [`read`].
pub fn from_bytes(file: &[u8], frame: Frame) -> Result<Vec<Float>> {
    let [gray] = &decode(file, 1)?[..] else {
        bail!("the picture has no gray values");
    };
    place(gray, frame)
}

/// Reads an image file as it is, stretched to this size: its values from 0 to 1, row by row, of one gray channel or of red, then
/// green, then blue.
///
/// # Errors
/// If the file can't be read or decoded; the sentence names it.
pub fn read_as_it_is(path: &Path, channels: usize, height: usize, width: usize) -> Result<Vec<Float>> {
    let file = Image::read_file(path)?;
    let planes = decode(&file, channels).with_context(|| path.display().to_string())?;
    let stretched = planes.iter().map(|plane| plane.stretched(height, width).values);
    Ok(stretched.collect::<Vec<_>>().concat())
}

/// Brings a gray picture into a frame: its values row by row, 0 for background and 1 for full ink.
///
/// # Errors
/// If nothing stands out from the background.
pub fn place(gray: &Plane, frame: Frame) -> Result<Vec<Float>> {
    let longest = gray.height.max(gray.width);
    let mut ink = if longest > EXAMINED {
        gray.resized(EXAMINED, EXAMINED)
    } else {
        gray.clone()
    };
    ink.subtract_background()?;
    ink.remove_dust();
    let cut = ink
        .cut_to_ink()
        .context("nothing on the picture stands out from its background")?;
    let mut character = cut.resized(frame.fit.min(frame.height), frame.fit.min(frame.width));
    let peak = character.values.iter().copied().fold(0.0, Float::max);
    character.values.iter_mut().for_each(|v| *v /= peak);
    Ok(character.centered_in(frame))
}

/// Decodes a picture in gray (one channel) or in color (three), 0 for black and 1 for white.
fn decode(file: &[u8], channels: usize) -> Result<Vec<Plane>> {
    let image = image::decode(file)?;
    let image = if channels == 1 {
        image.into_gray()
    } else {
        image.into_rgb()
    };
    let values = image.pixels().to_floats();
    let planes = values.chunks_exact(image.height() * image.width());
    planes
        .map(|plane| Plane::new(image.height(), image.width(), plane.to_vec()))
        .collect()
}

/// A picture of one value a pixel, of at least one pixel.
#[derive(Debug, Clone, PartialEq)]
pub struct Plane {
    height: usize,
    width: usize,
    values: Vec<Float>,
}

impl Plane {
    /// A picture from its values, row by row.
    ///
    /// # Errors
    /// If there are none, or not `height` times `width`, or one is not finite.
    pub fn new(height: usize, width: usize, values: Vec<Float>) -> Result<Self> {
        ensure!(
            !values.is_empty() && height.checked_mul(width) == Some(values.len()),
            "a picture of {height} rows and {width} columns can't have {} values",
            values.len()
        );
        ensure!(
            values.iter().all(|v| v.is_finite()),
            "a picture's values must be finite numbers"
        );
        Ok(Plane { height, width, values })
    }

    /// Turns gray into ink: 0 for the background, whatever its gray, and 1 for what differs most from it.
    ///
    /// The background is the median along the border. Ink is darker or lighter, whichever goes further from the background.
    /// Differences that occur on the border itself, from noise or uneven light, are no ink.
    fn subtract_background(&mut self) -> Result<()> {
        let border = self.border();
        let background = quantile(border.clone(), 0.5);
        let (low, high) = extremes(&self.values);
        let sign = if background - low > high - background {
            -1.0
        } else {
            1.0
        };
        let noise = 2.0
            * quantile(
                border.iter().map(|v| (sign * (v - background)).max(0.0)).collect(),
                0.75,
            );
        let peak = (background - low).max(high - background);
        ensure!(
            peak - noise >= CONTRAST,
            "nothing on the picture stands out from its background; it needs one dark character on light paper, or the reverse"
        );
        for v in &mut self.values {
            *v = ((sign * (*v - background) - noise) / (peak - noise)).max(0.0);
        }
        Ok(())
    }

    /// The values along the four sides.
    fn border(&self) -> Vec<Float> {
        let (last_row, last_column) = (self.height - 1, self.width - 1);
        let at_side = |i: usize| {
            let (y, x) = (i / self.width, i % self.width);
            y == 0 || y == last_row || x == 0 || x == last_column
        };
        let sides = self.values.iter().enumerate().filter(|&(i, _)| at_side(i));
        sides.map(|(_, &v)| v).collect()
    }

    /// Wipes out what is apart from the strokes and has almost no ink.
    fn remove_dust(&mut self) {
        let mut piece_of = vec![0; self.values.len()];
        let mut ink_of = vec![0.0];
        for start in 0..self.values.len() {
            if self.values[start] < INK || piece_of[start] != 0 {
                continue;
            }
            let piece = ink_of.len();
            ink_of.push(0.0);
            let mut found = vec![start];
            piece_of[start] = piece;
            while let Some(i) = found.pop() {
                ink_of[piece] += self.values[i];
                for next in self.neighbors(i) {
                    if self.values[next] >= INK && piece_of[next] == 0 {
                        piece_of[next] = piece;
                        found.push(next);
                    }
                }
            }
        }
        let least = DUST * ink_of.iter().copied().fold(0.0, Float::max);
        for (v, piece) in self.values.iter_mut().zip(piece_of) {
            if piece != 0 && ink_of[piece] < least {
                *v = 0.0;
            }
        }
    }

    /// The pixels around one, up to eight.
    fn neighbors(&self, i: usize) -> impl Iterator<Item = usize> + use<> {
        let (h, w) = (self.height, self.width);
        let (y, x) = (i / w, i % w);
        let rows = y.saturating_sub(1)..(y + 2).min(h);
        rows.flat_map(move |y| (x.saturating_sub(1)..(x + 2).min(w)).map(move |x| y * w + x))
            .filter(move |&n| n != i)
    }

    /// The smallest part that has all the ink, if there is any.
    fn cut_to_ink(&self) -> Option<Plane> {
        let inked = || {
            self.values
                .iter()
                .enumerate()
                .filter(|&(_, &v)| v >= INK)
                .map(|(i, _)| (i / self.width, i % self.width))
        };
        let (top, bottom) = (inked().map(|(y, _)| y).min()?, inked().map(|(y, _)| y).max()?);
        let (left, right) = (inked().map(|(_, x)| x).min()?, inked().map(|(_, x)| x).max()?);
        let rows = (top..=bottom).map(|y| &self.values[y * self.width + left..=y * self.width + right]);
        Some(Plane {
            height: bottom - top + 1,
            width: right - left + 1,
            values: rows.flatten().copied().collect(),
        })
    }

    /// The same picture, its aspect kept, as large as fits into this size.
    fn resized(&self, height: usize, width: usize) -> Plane {
        let (h, w) = (self.height as Float, self.width as Float);
        let scale = (height as Float / h).min(width as Float / w);
        let height = ((h * scale).round() as usize).clamp(1, height);
        let width = ((w * scale).round() as usize).clamp(1, width);
        self.stretched(height, width)
    }

    /// The same picture in this size, whatever its aspect.
    fn stretched(&self, height: usize, width: usize) -> Plane {
        self.resampled_rows(height)
            .transposed()
            .resampled_rows(width)
            .transposed()
    }

    /// Other rows for the same height: each is a mean of those around its place, weighted by a triangle that is as wide
    /// as the coarser of the two rasters is, which interpolates where the picture grows and averages where it shrinks.
    fn resampled_rows(&self, height: usize) -> Plane {
        let step = self.height as Float / height as Float;
        let reach = step.max(1.0);
        let mut values = vec![0.0; height * self.width];
        for (y, row) in values.chunks_exact_mut(self.width).enumerate() {
            let middle = (y as Float + 0.5) * step - 0.5;
            let first = (middle - reach).ceil().max(0.0) as usize;
            let last = ((middle + reach).floor() as usize).min(self.height - 1);
            let weights: Vec<Float> = (first..=last)
                // Rounding can bring the triangle's ends below 0.
                .map(|s| (1.0 - (s as Float - middle).abs() / reach).max(0.0))
                .collect();
            let total: Float = weights.iter().sum();
            let sources = self.values[first * self.width..].chunks_exact(self.width);
            for (source, weight) in sources.zip(weights) {
                for (v, s) in row.iter_mut().zip(source) {
                    *v += weight / total * s;
                }
            }
        }
        Plane {
            height,
            width: self.width,
            values,
        }
    }

    fn transposed(&self) -> Plane {
        let columns = (0..self.width).flat_map(|x| (0..self.height).map(move |y| y * self.width + x));
        Plane {
            height: self.width,
            width: self.height,
            values: columns.map(|i| self.values[i]).collect(),
        }
    }

    /// The values of a frame with this picture in it, shifted by whole pixels so that its center of mass is as near as can be
    /// to the middle, which is pixel (14, 14) of 28×28 as it is in MNIST, and of small frames the true middle, as it is in the
    /// 8×8 digits (of which 89 % come out where they were, and with (4, 4) 57 %); but never beyond the edge.
    fn centered_in(&self, frame: Frame) -> Vec<Float> {
        let (mut mass, mut down, mut across) = (0.0, 0.0, 0.0);
        for (i, &v) in self.values.iter().enumerate() {
            mass += v;
            down += v * (i / self.width) as Float;
            across += v * (i % self.width) as Float;
        }
        let shift = |length: usize, own: usize, center: Float| {
            let middle = if length < SMALL {
                (length - 1) as Float / 2.0
            } else {
                (length / 2) as Float
            };
            let shift = (middle - center).round().max(0.0) as usize;
            shift.min(length - own)
        };
        let top = shift(frame.height, self.height, down / mass);
        let left = shift(frame.width, self.width, across / mass);
        let mut values = vec![0.0; frame.height * frame.width];
        for (y, row) in self.values.chunks_exact(self.width).enumerate() {
            let start = (top + y) * frame.width + left;
            values[start..start + self.width].copy_from_slice(row);
        }
        values
    }
}

/// The least and the greatest of some values.
fn extremes(values: &[Float]) -> (Float, Float) {
    values
        .iter()
        .fold((Float::INFINITY, Float::NEG_INFINITY), |(low, high), &v| {
            (low.min(v), high.max(v))
        })
}

/// The value below which this share of the values lies.
fn quantile(mut values: Vec<Float>, share: Float) -> Float {
    let rank = ((values.len() - 1) as Float * share) as usize;
    *values.select_nth_unstable_by(rank, Float::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    const MNIST: Frame = Frame {
        height: 28,
        width: 28,
        fit: 20,
    };

    /// A seven drawn with a pen on a sheet of this size: its top left corner and its height, 0 for paper and 1 for ink.
    fn seven(height: usize, width: usize, top: Float, left: Float, size: Float) -> Plane {
        let corners = [(0.0, 0.0), (0.0, 0.6), (1.0, 0.2)].map(|(y, x)| (top + y * size, left + x * size));
        let distance = |y: Float, x: Float| {
            let to_segment = |a: (Float, Float), b: (Float, Float)| {
                let (dy, dx) = (b.0 - a.0, b.1 - a.1);
                let along = ((y - a.0) * dy + (x - a.1) * dx) / (dy * dy + dx * dx);
                let along = along.clamp(0.0, 1.0);
                (y - a.0 - along * dy).hypot(x - a.1 - along * dx)
            };
            to_segment(corners[0], corners[1]).min(to_segment(corners[1], corners[2]))
        };
        let pen = 0.06 * size;
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (y as Float, x as Float)));
        let values = pixels
            .map(|(y, x)| (pen + 0.5 - distance(y, x)).clamp(0.0, 1.0))
            .collect();
        Plane::new(height, width, values).unwrap()
    }

    fn map(plane: &Plane, change: impl Fn(usize, usize, Float) -> Float) -> Plane {
        let values = plane
            .values
            .iter()
            .enumerate()
            .map(|(i, &v)| change(i / plane.width, i % plane.width, v));
        Plane::new(plane.height, plane.width, values.collect()).unwrap()
    }

    /// The center of mass: row and column.
    fn center(values: &[Float], width: usize) -> (Float, Float) {
        let mass: Float = values.iter().sum();
        let moment = |of: fn(usize, usize) -> usize| -> Float {
            values
                .iter()
                .enumerate()
                .map(|(i, v)| v * of(i, width) as Float)
                .sum::<Float>()
                / mass
        };
        (moment(|i, w| i / w), moment(|i, w| i % w))
    }

    fn largest_difference(a: &[Float], b: &[Float]) -> Float {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, Float::max)
    }

    /// The original's defect 14: a drawn digit was scaled down but not centered by its mass.
    #[test]
    fn defect_14_a_digit_drawn_anywhere_is_centered_by_its_mass() {
        for (top, left, size) in [
            (10.0, 12.0, 60.0),
            (90.0, 100.0, 100.0),
            (8.0, 150.0, 40.0),
            (20.0, 20.0, 165.0),
        ] {
            let x = place(&seven(200, 240, top, left, size), MNIST).unwrap();
            let (row, column) = center(&x, 28);
            assert!(
                (row - 14.0).abs() <= 0.5 && (column - 14.0).abs() <= 0.5,
                "{row} {column}"
            );
            let inked = |y: usize| (0..28).any(|x_| x[28 * y + x_] >= INK);
            assert_eq!((0..28).filter(|&y| inked(y)).count(), 20, "it is 20 pixels high");
            assert_eq!(x.iter().copied().fold(0.0, Float::max), 1.0);
        }
    }

    #[test]
    fn what_is_in_the_form_already_stays_as_it_is() {
        let once = place(&seven(200, 240, 50.0, 60.0, 100.0), MNIST).unwrap();
        let twice = place(&Plane::new(28, 28, once.clone()).unwrap(), MNIST).unwrap();
        assert!(largest_difference(&once, &twice) < 1e-6);
    }

    #[test]
    fn dark_on_light_and_light_on_dark_are_the_same() {
        let light = seven(120, 120, 20.0, 30.0, 80.0);
        let expected = place(&light, MNIST).unwrap();
        for (paper, ink) in [(1.0, 0.0), (0.9, 0.3), (0.55, 0.1), (0.2, 0.8), (0.45, 0.9)] {
            let drawn = map(&light, |_, _, v| paper + (ink - paper) * v);
            assert!(
                largest_difference(&place(&drawn, MNIST).unwrap(), &expected) < 1e-4,
                "{paper} {ink}"
            );
        }
    }

    #[test]
    fn noise_shadow_and_dust_of_a_photograph_do_little() {
        let clean = seven(300, 300, 60.0, 90.0, 180.0);
        let expected = place(&clean, MNIST).unwrap();
        let photograph = map(&clean, |y, x, v| {
            let noise = ((y * 7919 + x * 104_729) % 101) as Float / 101.0 - 0.5;
            let shadow = 0.1 * (x as Float / 300.0);
            let dust = if (20..24).contains(&y) && (20..24).contains(&x) {
                0.4
            } else {
                0.0
            };
            0.85 - shadow - 0.6 * v + 0.05 * noise - dust
        });
        let found = place(&photograph, MNIST).unwrap();
        // The center may be rounded to the next row or column.
        let moved = [0, 1, 27, 28, 29].map(|by| {
            let differences = found.iter().skip(by).zip(&expected).map(|(a, b)| (a - b).abs());
            let reverse = expected.iter().skip(by).zip(&found).map(|(a, b)| (a - b).abs());
            differences.sum::<Float>().min(reverse.sum()) / 784.0
        });
        assert!(extremes(&moved).0 < 0.01, "{moved:?}");
    }

    #[test]
    fn a_blank_picture_is_an_error() {
        let noisy = |y: usize, x: usize, _| 0.9 + 0.02 * ((y * 7919 + x * 104_729) % 101) as Float / 101.0;
        let blank = Plane::new(40, 50, vec![0.9; 2000]).unwrap();
        for picture in [map(&blank, noisy), blank, Plane::new(1, 1, vec![0.0]).unwrap()] {
            let message = place(&picture, MNIST).unwrap_err().to_string();
            assert!(message.starts_with("nothing on the picture stands out"), "{message}");
        }
        assert!(Plane::new(2, 2, vec![0.0; 3]).is_err() && Plane::new(0, 0, vec![]).is_err());
        assert!(Plane::new(1, 1, vec![Float::NAN]).is_err());
    }

    #[test]
    fn tiny_and_narrow_pictures_work() {
        let dot = place(
            &Plane::new(3, 3, vec![0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]).unwrap(),
            MNIST,
        )
        .unwrap();
        assert_eq!(center(&dot, 28), (14.5, 14.5));
        let line = Plane::new(1, 5, vec![0.0, 0.0, 1.0, 0.0, 0.0]).unwrap();
        assert!(place(&line, MNIST).is_ok());
        let tall = map(&Plane::new(900, 9, vec![0.0; 8100]).unwrap(), |y, x, _| {
            Float::from(u8::from(x == 4 && y > 20))
        });
        assert!(place(&tall, MNIST).is_ok());
    }

    #[test]
    fn frames_follow_the_size() {
        assert_eq!(Frame::of_size(28, 28), MNIST);
        assert_eq!(Frame::of_size(8, 8).fit, 8);
        assert_eq!(Frame::of_size(56, 60).fit, 40);
        let x = place(&seven(200, 240, 50.0, 60.0, 100.0), Frame::of_size(8, 8)).unwrap();
        assert!(
            x[..8].iter().any(|&v| v > 0.1) && x[56..].iter().any(|&v| v > 0.1),
            "it fills its frame"
        );
    }

    /// A PNG file of 3 by 2 pixels with a note about its orientation.
    fn png_with_orientation(orientation: u8) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, 3, 2);
        encoder.set_color(png::ColorType::Grayscale);
        let mut writer = encoder.write_header().unwrap();
        let tiff = [
            77,
            77,
            0,
            42,
            0,
            0,
            0,
            8,
            0,
            1,
            1,
            18,
            0,
            3,
            0,
            0,
            0,
            1,
            0,
            orientation,
            0,
            0,
            0,
            0,
            0,
            0,
        ];
        writer.write_chunk(png::chunk::ChunkType(*b"eXIf"), &tiff).unwrap();
        writer.write_image_data(&[0, 51, 102, 153, 204, 255]).unwrap();
        writer.finish().unwrap();
        file
    }

    #[test]
    fn a_turned_camera_is_turned_back() {
        let expected: [&[u8]; 8] = [
            &[0, 1, 2, 3, 4, 5],
            &[2, 1, 0, 5, 4, 3],
            &[5, 4, 3, 2, 1, 0],
            &[3, 4, 5, 0, 1, 2],
            &[0, 3, 1, 4, 2, 5],
            &[3, 0, 4, 1, 5, 2],
            &[5, 2, 4, 1, 3, 0],
            &[2, 5, 1, 4, 0, 3],
        ];
        for (orientation, expected) in (1..).zip(expected) {
            let plane = decode(&png_with_orientation(orientation), 1).unwrap().remove(0);
            let fifths: Vec<u8> = plane.values.iter().map(|v| (v * 5.0).round() as u8).collect();
            assert_eq!(fifths, expected, "{orientation}");
            assert_eq!(plane.height, if orientation < 5 { 2 } else { 3 });
        }
    }

    #[test]
    fn files_are_read_and_named_in_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seven.png");
        let drawn = seven(60, 80, 10.0, 20.0, 40.0);
        // Black ink on nothing: what is transparent counts as white paper.
        let pixels: Vec<u8> = drawn.values.iter().flat_map(|v| [0, (v * 255.0) as u8]).collect();
        let mut encoder = png::Encoder::new(std::fs::File::create(&path).unwrap(), 80, 60);
        encoder.set_color(png::ColorType::GrayscaleAlpha);
        encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
        let expected = place(&drawn, MNIST).unwrap();
        assert!(largest_difference(&read(&path, MNIST).unwrap(), &expected) < 0.02);

        let truncated = folder.path().join("truncated.png");
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&truncated, &whole[..whole.len() / 2]).unwrap();
        for bad in [truncated, folder.path().join("none.png"), folder.path().to_path_buf()] {
            let message = format!("{:#}", read(&bad, MNIST).unwrap_err());
            assert!(message.starts_with(&format!("{}: ", bad.display())), "{message}");
        }
    }
    /// Found by fuzzing: a weight of -10⁻⁹ where a triangle ends.
    #[test]
    fn no_resized_picture_is_below_black() {
        for (size, row) in (1..40).flat_map(|size| (0..size).map(move |row| (size, row))) {
            let line = (0..size).map(|i| Float::from(u8::from(i == row))).collect();
            let plane = Plane::new(size, 1, line).unwrap();
            for height in 1..40 {
                let resized = plane.resampled_rows(height);
                assert!(resized.values.iter().all(|&v| v >= 0.0), "{size} to {height}");
            }
        }
    }
}
