//! The pictures: learning curves, confusion matrices and sheets of samples, as SVG and as PNG drawn from that same SVG.

mod confusion;
mod curves;
mod scale;
mod sheet;
mod svg;
mod text;

use std::path::Path;

use anyhow::{Context, Result};
use resvg::{tiny_skia, usvg};

use gradus::save::atomic;

pub use confusion::{Confusion, confusions};
pub use curves::{Curve, Panel, curves};
pub use sheet::{Guess, Sample, sheet};
pub use text::{count, percent};

/// Pixels of a PNG for each pixel of its SVG: sharp on today's screens and in print.
const PNG_SCALE: f32 = 2.0;

/// Colors shared by all pictures.
mod color {
    /// The background.
    pub const PAPER: &str = "#ffffff";
    /// Titles and counts.
    pub const INK: &str = "#1d2530";
    /// Labels of axes and notes.
    pub const MUTED: &str = "#66707c";
    /// The lines of an axis.
    pub const AXIS: &str = "#aab1b9";
    /// The lines of a grid.
    pub const GRID: &str = "#e9ebee";
    /// What is wrong.
    pub const WRONG: &str = "#c0392b";
    /// One for each network: told apart by most color-blind readers, and in gray print.
    pub const NETWORKS: [&str; 6] = ["#2166ac", "#d6731c", "#2b8a6e", "#8e4a9e", "#7a6a3a", "#5b6570"];
}

/// A text style: size, weight, color; it begins at its point.
fn style(size: f64, bold: bool, color: &str) -> svg::TextStyle<'_> {
    svg::TextStyle {
        size,
        bold,
        color,
        anchor: svg::Anchor::Start,
    }
}

/// The same style around or before its point.
fn anchored(style: svg::TextStyle<'_>, anchor: svg::Anchor) -> svg::TextStyle<'_> {
    svg::TextStyle { anchor, ..style }
}

/// The title of a picture and the line below it, at the left.
fn heading(svg: &mut svg::Svg, x: f64, title: &str, subtitle: &str) {
    svg.text(x, 38.0, title, style(19.0, true, color::INK));
    svg.text(x, 59.0, subtitle, style(12.5, false, color::MUTED));
}

/// Draws an SVG document into a PNG file's bytes, with the embedded typeface.
///
/// # Errors
/// A document that is no SVG, or one whose size is no picture's.
pub fn png(svg: &str) -> Result<Vec<u8>> {
    let options = usvg::Options {
        font_family: "Inter".to_string(),
        fontdb: std::sync::Arc::new(text::fonts()),
        ..usvg::Options::default()
    };
    let tree = usvg::Tree::from_str(svg, &options).context("cannot draw the picture")?;
    let size = tree.size().to_int_size();
    let scaled = |length: u32| (length as f32 * PNG_SCALE) as u32;
    let mut pixels = tiny_skia::Pixmap::new(scaled(size.width()), scaled(size.height()))
        .with_context(|| format!("a picture of {} by {} pixels is too large", size.width(), size.height()))?;
    let zoom = tiny_skia::Transform::from_scale(PNG_SCALE, PNG_SCALE);
    resvg::render(&tree, zoom, &mut pixels.as_mut());
    pixels.encode_png().context("cannot encode the picture as PNG")
}

/// The names of the files of a picture.
pub fn files(stem: &str) -> [String; 2] {
    ["svg", "png"].map(|ending| format!("{stem}.{ending}"))
}

/// Writes `<stem>.svg` and `<stem>.png` into a folder, each whole or not at all.
///
/// # Errors
/// A sentence that names the file that couldn't be written.
pub fn write(folder: &Path, stem: &str, svg: &str) -> Result<()> {
    let [vector, pixels] = files(stem);
    atomic::write(&folder.join(vector), svg.as_bytes())?;
    Ok(atomic::write(&folder.join(pixels), &png(svg)?)?)
}
