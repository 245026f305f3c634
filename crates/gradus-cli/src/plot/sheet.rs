//! Sheets of sample images with what they are and what a network took them for.

use anyhow::{Context, Result, ensure};
use gradus::Float;

use super::drawing::{Bounds, Drawing, Pixels, Stroke};
use super::{color, heading, style, text};

/// One image of a sheet.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// The image's width in pixels.
    pub width: usize,
    /// Its height.
    pub height: usize,
    /// Its pixels row by row, gray (one byte each) or red, green and blue (three).
    pub pixels: Vec<u8>,
    /// What it shows, if that is known.
    pub label: Option<String>,
    /// What a network took it for.
    pub guess: Option<Guess>,
}

/// What a network took an image for.
#[derive(Debug, Clone, Default)]
pub struct Guess {
    /// The class.
    pub class: String,
    /// The network's probability for it, from 0 to 1.
    pub probability: f64,
}

impl Sample {
    /// An image from its values, from 0 to 1, channel by channel; its channels (one or three), height and width.
    pub fn of(values: &[Float], (channels, height, width): (usize, usize, usize)) -> Self {
        // A picture has the channels of a pixel side by side.
        let area = height * width;
        let places = (0..area).flat_map(|i| (0..channels).map(move |c| c * area + i));
        Sample {
            width,
            height,
            pixels: places.map(|i| (255.0 * values[i]).round() as u8).collect(),
            ..Sample::default()
        }
    }

    /// Whether the network was wrong, where that can be told.
    fn is_wrong(&self) -> bool {
        matches!((&self.label, &self.guess), (Some(label), Some(guess)) if *label != guess.class)
    }
}

const SIDE: f64 = 84.0;
const GAP: f64 = 18.0;
const CAPTION: f64 = 40.0;
const LEFT: f64 = 24.0;
const TOP: f64 = 84.0;

/// Draws images in rows of `columns`, each with its label; where a network's guess is given, with that and its
/// probability. A wrong guess has a red frame.
///
/// # Errors
/// An image whose pixels don't fit its size.
pub fn sheet(title: &str, subtitle: &str, samples: &[Sample], columns: usize) -> Result<Drawing> {
    let columns = columns.max(1);
    let rows = samples.len().div_ceil(columns);
    let across = columns.min(samples.len()).max(4) as f64;
    let width = 2.0 * LEFT + across * SIDE + (across - 1.0) * GAP;
    let height = TOP + rows as f64 * (SIDE + CAPTION) + 12.0;
    let needed = 2.0 * LEFT + text::width(title, 19.0, true).max(text::width(subtitle, 12.5, false));
    let mut drawing = Drawing::new(width.max(needed.ceil()), height, color::PAPER, title);
    heading(&mut drawing, LEFT, title, subtitle);
    for (i, sample) in samples.iter().enumerate() {
        let x = LEFT + (i % columns) as f64 * (SIDE + GAP);
        let y = TOP + (i / columns) as f64 * (SIDE + CAPTION);
        draw(&mut drawing, sample, x, y).with_context(|| format!("image {} of the sheet", i + 1))?;
    }
    Ok(drawing)
}

fn draw(drawing: &mut Drawing, sample: &Sample, x: f64, y: f64) -> Result<()> {
    let pixels = pixels(sample)?;
    let largest = sample.width.max(sample.height) as f64;
    let (width, height) = (
        SIDE * sample.width as f64 / largest,
        SIDE * sample.height as f64 / largest,
    );
    let bounds = Bounds {
        x: x + 0.5 * (SIDE - width),
        y: y + 0.5 * (SIDE - height),
        width,
        height,
    };
    drawing.image(bounds, pixels);
    if sample.is_wrong() {
        let frame = Bounds {
            x: x - 1.5,
            y: y - 1.5,
            width: SIDE + 3.0,
            height: SIDE + 3.0,
        };
        drawing.frame(frame, Stroke::solid(color::WRONG, 3.0));
    }
    let (said, sure) = match (&sample.label, &sample.guess) {
        (Some(label), Some(guess)) if sample.is_wrong() => {
            (format!("{label} → {}", guess.class), Some(guess.probability))
        }
        (_, Some(guess)) => (guess.class.clone(), Some(guess.probability)),
        (Some(label), None) => (label.clone(), None),
        (None, None) => return Ok(()),
    };
    let (ink, muted) = if sample.is_wrong() {
        (color::WRONG, color::WRONG)
    } else {
        (color::INK, color::MUTED)
    };
    let (bold, plain) = (style(13.0, true, ink), style(12.0, false, muted));
    let sure = sure.map(|p| text::percent(p, 0)).unwrap_or_default();
    let gap = if sure.is_empty() { 0.0 } else { 5.0 };
    let sure_width = gap + text::width(&sure, plain.size, false);
    let said = text::fitted(&said, bold.size, true, SIDE + GAP - 4.0 - sure_width);
    let said_width = text::width(&said, bold.size, true);
    let start = x + 0.5 * (SIDE - said_width - sure_width);
    let line = y + SIDE + 18.0;
    drawing.text(start, line, &said, bold);
    drawing.text(start + said_width + gap, line, &sure, plain);
    Ok(())
}

/// The pixels of an image.
fn pixels(sample: &Sample) -> Result<Pixels> {
    let (width, height, bytes) = (sample.width, sample.height, &sample.pixels);
    let area = width
        .checked_mul(height)
        .filter(|&area| area > 0)
        .context("an image needs a width and a height")?;
    let channels = bytes.len() / area;
    ensure!(
        [1, 3].contains(&channels) && bytes.len() == channels * area,
        "an image of {width}×{height} pixels can't have {} bytes",
        bytes.len()
    );
    Ok(Pixels {
        width: u32::try_from(width)?,
        height: u32::try_from(height)?,
        channels,
        bytes: bytes.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::png;
    use crate::plot::svg::svg;

    fn gray(label: Option<&str>, guess: Option<&str>) -> Sample {
        Sample {
            width: 2,
            height: 3,
            pixels: vec![0, 50, 100, 150, 200, 250],
            label: label.map(String::from),
            guess: guess.map(|class| Guess {
                class: class.into(),
                probability: 0.914,
            }),
        }
    }

    #[test]
    fn marks_what_is_wrong_and_only_that() {
        let samples = [gray(Some("3"), Some("8")), gray(Some("7"), Some("7"))];
        let drawing = sheet("Title", "", &samples, 8).unwrap();
        let document = svg(&drawing).unwrap();
        assert_eq!(
            document.matches(&color::WRONG.to_string()).count(),
            3,
            "a frame, a caption and a probability: {document}"
        );
        assert!(
            document.contains("3 → 8") && document.contains("91\u{a0}%"),
            "{document}"
        );
        png(&drawing).unwrap();
    }

    #[test]
    fn without_label_or_guess_there_is_no_verdict() {
        for sample in [gray(None, None), gray(Some("3"), None), gray(None, Some("3"))] {
            let document = svg(&sheet("Title", "", &[sample], 8).unwrap()).unwrap();
            assert!(!document.contains(&color::WRONG.to_string()));
        }
        png(&sheet("None", "", &[], 0).unwrap()).unwrap();
    }

    #[test]
    fn pixels_that_do_not_fit_are_an_error() {
        let mut sample = gray(None, None);
        sample.pixels.pop();
        let message = format!("{:#}", sheet("", "", &[sample], 1).unwrap_err());
        assert_eq!(
            message,
            "image 1 of the sheet: an image of 2×3 pixels can't have 5 bytes"
        );
        assert!(sheet("", "", &[Sample::default()], 1).is_err());
    }
}
