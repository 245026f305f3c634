//! Pictures as SVG documents.

use std::fmt::{self, Write};

use anyhow::Result;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::drawing::{Anchor, Bounds, Drawing, Pixels, Shape, Stroke, TextStyle};
use super::text;

/// The picture as an SVG document.
///
/// # Errors
/// An image in it that PNG can't hold.
pub fn svg(drawing: &Drawing) -> Result<String> {
    let (width, height) = (N(drawing.width), N(drawing.height));
    let mut document = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"{}\">\n  <title>{}</title>\n",
        text::FAMILIES,
        Escaped(&drawing.title)
    );
    for shape in &drawing.shapes {
        document.push_str("  ");
        put(&mut document, shape)?;
        document.push('\n');
    }
    document.push_str("</svg>\n");
    Ok(document)
}

/// Writes the element of a shape.
fn put(out: &mut String, shape: &Shape) -> Result<()> {
    match shape {
        Shape::Rect { bounds, fill } => write!(out, r#"<rect {} fill="{fill}"/>"#, RectAttributes(bounds))?,
        Shape::Frame { bounds, stroke } => write!(out, r#"<rect {} fill="none"{stroke}/>"#, RectAttributes(bounds))?,
        Shape::Line { from, to, stroke } => write!(
            out,
            r#"<line x1="{}" y1="{}" x2="{}" y2="{}"{stroke}/>"#,
            N(from.0),
            N(from.1),
            N(to.0),
            N(to.1)
        )?,
        Shape::Polyline { points, stroke } => {
            let points: Vec<String> = points.iter().map(|&(x, y)| format!("{},{}", N(x), N(y))).collect();
            write!(
                out,
                r#"<polyline points="{}" fill="none" stroke-linejoin="round" stroke-linecap="butt"{stroke}/>"#,
                points.join(" ")
            )?;
        }
        Shape::Circle {
            center,
            radius,
            fill,
            stroke,
        } => write!(
            out,
            r#"<circle cx="{}" cy="{}" r="{}" fill="{fill}"{}/>"#,
            N(center.0),
            N(center.1),
            N(*radius),
            stroke.map(|stroke| stroke.to_string()).unwrap_or_default()
        )?,
        Shape::Text {
            at,
            text,
            style,
            upwards,
        } => {
            let (x, y) = (N(at.0), N(at.1));
            let turn = if *upwards {
                format!(r#" transform="rotate(-90 {x} {y})""#)
            } else {
                String::new()
            };
            write!(out, r#"<text x="{x}" y="{y}"{style}{turn}>{}</text>"#, Escaped(text))?;
        }
        Shape::Image { bounds, pixels } => write!(
            out,
            concat!(
                r#"<image {} preserveAspectRatio="none" "#,
                r#"style="image-rendering:pixelated" href="data:image/png;base64,{}"/>"#
            ),
            RectAttributes(bounds),
            BASE64_STANDARD.encode(png(pixels)?)
        )?,
    }
    Ok(())
}

/// An image as a PNG file's bytes.
fn png(pixels: &Pixels) -> Result<Vec<u8>> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, pixels.width, pixels.height);
    encoder.set_color(match pixels.channels {
        1 => png::ColorType::Grayscale,
        _ => png::ColorType::Rgb,
    });
    encoder.write_header()?.write_image_data(&pixels.bytes)?;
    Ok(file)
}

impl fmt::Display for Stroke {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, r#" stroke="{}" stroke-width="{}""#, self.color, N(self.width))?;
        match self.dash {
            Some((dash, gap)) => write!(f, r#" stroke-dasharray="{} {}""#, N(dash), N(gap)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for TextStyle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weight = if self.bold { r#" font-weight="600""# } else { "" };
        let anchor = match self.anchor {
            Anchor::Start => "",
            Anchor::Middle => r#" text-anchor="middle""#,
            Anchor::End => r#" text-anchor="end""#,
        };
        write!(
            f,
            r#" font-size="{}"{weight} fill="{}"{anchor}"#,
            N(self.size),
            self.color
        )
    }
}

/// The attributes of a rectangle's place.
struct RectAttributes<'a>(&'a Bounds);

impl fmt::Display for RectAttributes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bounds { x, y, width, height } = *self.0;
        write!(
            f,
            r#"x="{}" y="{}" width="{}" height="{}""#,
            N(x),
            N(y),
            N(width),
            N(height)
        )
    }
}

/// A number with at most two decimals.
struct N(f64);

impl fmt::Display for N {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounded = (self.0 * 100.0).round() / 100.0;
        // Adding zero turns -0 into 0.
        write!(f, "{}", rounded + 0.0)
    }
}

/// A text that can't break out of its element or attribute; characters that XML can't hold become question marks.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\u{fffe}' | '\u{ffff}' => f.write_char('?')?,
                c if c.is_control() && c != '\n' && c != '\t' => f.write_char('?')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::drawing::Color;

    #[test]
    fn names_from_outside_stay_text() {
        let mut drawing = Drawing::new(10.0, 10.0, Color(255, 255, 255), "</title><script>");
        let style = TextStyle {
            size: 1.0,
            bold: false,
            color: Color(0, 0, 0),
            anchor: Anchor::Start,
        };
        drawing.text(0.0, -0.001, "a & b \u{1}", style);
        let document = svg(&drawing).unwrap();
        assert!(document.contains("<title>&lt;/title&gt;&lt;script&gt;</title>"));
        assert!(document.contains("a &amp; b ?"));
        assert!(document.contains(r#"y="0""#));
    }
}
