//! The pictures: learning curves, confusion matrices and sheets of samples, as SVG and as PNG of the same shapes.

mod confusion;
mod curves;
mod drawing;
mod paint;
mod rates;
mod scale;
mod sheet;
mod svg;
mod text;

use std::path::Path;

use anyhow::Result;
use gradus::save::atomic;

pub use confusion::{Confusion, confusions};
pub use curves::{Curve, Panel, curves};
pub use drawing::Drawing;
pub use paint::png;
pub use rates::rates;
pub use sheet::{Guess, Sample, sheet};
pub use svg::svg;
pub use text::{count, percent};

use drawing::{Anchor, Color, TextStyle};

/// Colors shared by all pictures.
mod color {
    use super::drawing::Color;

    /// The background.
    pub const PAPER: Color = Color(0xff, 0xff, 0xff);
    /// Titles and counts.
    pub const INK: Color = Color(0x1d, 0x25, 0x30);
    /// Labels of axes and notes.
    pub const MUTED: Color = Color(0x66, 0x70, 0x7c);
    /// The lines of an axis.
    pub const AXIS: Color = Color(0xaa, 0xb1, 0xb9);
    /// The lines of a grid.
    pub const GRID: Color = Color(0xe9, 0xeb, 0xee);
    /// What is wrong.
    pub const WRONG: Color = Color(0xc0, 0x39, 0x2b);
    /// One for each network: told apart by most color-blind readers, and in gray print.
    pub const NETWORKS: [Color; 6] = [
        Color(0x21, 0x66, 0xac),
        Color(0xd6, 0x73, 0x1c),
        Color(0x2b, 0x8a, 0x6e),
        Color(0x8e, 0x4a, 0x9e),
        Color(0x7a, 0x6a, 0x3a),
        Color(0x5b, 0x65, 0x70),
    ];
}

/// A text style: size, weight, color; it begins at its point.
fn style(size: f64, bold: bool, color: Color) -> TextStyle {
    TextStyle {
        size,
        bold,
        color,
        anchor: Anchor::Start,
    }
}

/// The same style around or before its point.
fn anchored(style: TextStyle, anchor: Anchor) -> TextStyle {
    TextStyle { anchor, ..style }
}

/// The title of a picture and the line below it, at the left.
fn heading(drawing: &mut Drawing, x: f64, title: &str, subtitle: &str) {
    drawing.text(x, 38.0, title, style(19.0, true, color::INK));
    drawing.text(x, 59.0, subtitle, style(12.5, false, color::MUTED));
}

/// The names of the files of a picture.
pub fn files(stem: &str) -> [String; 2] {
    ["svg", "png"].map(|ending| format!("{stem}.{ending}"))
}

/// Writes `<stem>.svg` and `<stem>.png` into a folder, each whole or not at all.
///
/// # Errors
/// A sentence that names the file that couldn't be written.
pub fn write(folder: &Path, stem: &str, drawing: &Drawing) -> Result<()> {
    let [vector, pixels] = files(stem);
    atomic::write(&folder.join(vector), svg(drawing)?.as_bytes())?;
    Ok(atomic::write(&folder.join(pixels), &png(drawing)?)?)
}
