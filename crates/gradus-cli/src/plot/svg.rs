//! A small, typed writer of SVG: what the pictures need and nothing else.

use std::fmt::{self, Write};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::text;

/// A picture being drawn, front last. Lengths are in pixels, from the top left corner.
#[derive(Debug)]
pub struct Svg {
    width: f64,
    height: f64,
    body: String,
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Stroke<'a> {
    /// The color, as `#rrggbb`.
    pub color: &'a str,
    /// The width in pixels.
    pub width: f64,
    /// Lengths of dash and gap; none for a solid line.
    pub dash: Option<(f64, f64)>,
}

impl<'a> Stroke<'a> {
    /// A solid line.
    pub fn solid(color: &'a str, width: f64) -> Self {
        Stroke {
            color,
            width,
            dash: None,
        }
    }
}

/// Where a text lies beside its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// It begins there.
    Start,
    /// Its middle is there.
    Middle,
    /// It ends there.
    End,
}

/// How a text is set.
#[derive(Debug, Clone, Copy)]
pub struct TextStyle<'a> {
    /// The size of the font in pixels.
    pub size: f64,
    /// Whether it is semi-bold.
    pub bold: bool,
    /// The color, as `#rrggbb`.
    pub color: &'a str,
    /// Where it lies beside its point.
    pub anchor: Anchor,
}

impl Svg {
    /// An empty picture of this size with a background and a title (which browsers show and screen readers read).
    pub fn new(width: f64, height: f64, background: &str, title: &str) -> Self {
        let mut svg = Svg {
            width,
            height,
            body: String::new(),
        };
        svg.put(format_args!("<title>{}</title>", Escaped(title)));
        svg.rect(0.0, 0.0, width, height, background);
        svg
    }

    /// A filled rectangle.
    pub fn rect(&mut self, x: f64, y: f64, width: f64, height: f64, fill: &str) {
        self.put(format_args!(
            r#"<rect x="{}" y="{}" width="{}" height="{}" fill="{}"/>"#,
            N(x),
            N(y),
            N(width),
            N(height),
            Escaped(fill)
        ));
    }

    /// The outline of a rectangle.
    pub fn frame(&mut self, x: f64, y: f64, width: f64, height: f64, stroke: Stroke<'_>) {
        self.put(format_args!(
            r#"<rect x="{}" y="{}" width="{}" height="{}" fill="none"{stroke}/>"#,
            N(x),
            N(y),
            N(width),
            N(height)
        ));
    }

    /// A straight line.
    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), stroke: Stroke<'_>) {
        self.put(format_args!(
            r#"<line x1="{}" y1="{}" x2="{}" y2="{}"{stroke}/>"#,
            N(from.0),
            N(from.1),
            N(to.0),
            N(to.1)
        ));
    }

    /// A line through points.
    pub fn polyline(&mut self, points: &[(f64, f64)], stroke: Stroke<'_>) {
        let list = points
            .iter()
            .map(|&(x, y)| format!("{},{}", N(x), N(y)))
            .collect::<Vec<_>>()
            .join(" ");
        self.put(format_args!(
            r#"<polyline points="{list}" fill="none" stroke-linejoin="round" stroke-linecap="butt"{stroke}/>"#
        ));
    }

    /// A filled circle, with an outline where a stroke is given.
    pub fn circle(&mut self, center: (f64, f64), radius: f64, fill: &str, stroke: Option<Stroke<'_>>) {
        let stroke = stroke.map(|s| s.to_string()).unwrap_or_default();
        self.put(format_args!(
            r#"<circle cx="{}" cy="{}" r="{}" fill="{}"{stroke}/>"#,
            N(center.0),
            N(center.1),
            N(radius),
            Escaped(fill)
        ));
    }

    /// A text on the baseline `y`.
    pub fn text(&mut self, x: f64, y: f64, text: &str, style: TextStyle<'_>) {
        self.put_text(x, y, text, style, "");
    }

    /// A text that runs upwards from below, around its point.
    pub fn text_upwards(&mut self, x: f64, y: f64, text: &str, style: TextStyle<'_>) {
        self.put_text(
            x,
            y,
            text,
            style,
            &format!(r#" transform="rotate(-90 {} {})""#, N(x), N(y)),
        );
    }

    /// A PNG file drawn with hard pixels.
    pub fn image(&mut self, x: f64, y: f64, width: f64, height: f64, png: &[u8]) {
        self.put(format_args!(
            concat!(
                r#"<image x="{}" y="{}" width="{}" height="{}" preserveAspectRatio="none" "#,
                r#"style="image-rendering:pixelated" href="data:image/png;base64,{}"/>"#
            ),
            N(x),
            N(y),
            N(width),
            N(height),
            BASE64_STANDARD.encode(png)
        ));
    }

    /// The whole document.
    pub fn finish(self) -> String {
        let (width, height) = (N(self.width), N(self.height));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"{}\">\n{}</svg>\n",
            text::FAMILIES,
            self.body
        )
    }

    fn put_text(&mut self, x: f64, y: f64, text: &str, style: TextStyle<'_>, more: &str) {
        if text.is_empty() {
            return;
        }
        let anchor = match style.anchor {
            Anchor::Start => "",
            Anchor::Middle => r#" text-anchor="middle""#,
            Anchor::End => r#" text-anchor="end""#,
        };
        let weight = if style.bold { r#" font-weight="600""# } else { "" };
        self.put(format_args!(
            r#"<text x="{}" y="{}" font-size="{}"{weight} fill="{}"{anchor}{more}>{}</text>"#,
            N(x),
            N(y),
            N(style.size),
            Escaped(style.color),
            Escaped(text)
        ));
    }

    fn put(&mut self, element: fmt::Arguments<'_>) {
        // Writing into a String can't fail.
        let _ = writeln!(self.body, "  {element}");
    }
}

impl fmt::Display for Stroke<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            r#" stroke="{}" stroke-width="{}""#,
            Escaped(self.color),
            N(self.width)
        )?;
        match self.dash {
            Some((dash, gap)) => write!(f, r#" stroke-dasharray="{} {}""#, N(dash), N(gap)),
            None => Ok(()),
        }
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

    #[test]
    fn names_from_outside_stay_text() {
        let mut svg = Svg::new(10.0, 10.0, "#ffffff", "</title><script>");
        let style = TextStyle {
            size: 1.0,
            bold: false,
            color: "#000000\" onload=\"x",
            anchor: Anchor::Start,
        };
        svg.text(0.0, -0.001, "a & b \u{1}", style);
        let document = svg.finish();
        assert!(document.contains("<title>&lt;/title&gt;&lt;script&gt;</title>"));
        assert!(document.contains("a &amp; b ?"));
        assert!(document.contains("#000000&quot; onload"));
        assert!(document.contains(r#"y="0""#));
    }
}
