//! A picture as a list of shapes, from which both its SVG and its PNG are made.

use std::fmt;

/// A picture: shapes, front last. Lengths are in pixels, from the top left corner.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawing {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) title: String,
    pub(super) shapes: Vec<Shape>,
}

/// A point: its distance from the left and from the top.
pub(super) type Point = (f64, f64);

/// A part of a picture.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    /// A filled rectangle.
    Rect { bounds: Bounds, fill: Color },
    /// The outline of a rectangle.
    Frame { bounds: Bounds, stroke: Stroke },
    /// A straight line.
    Line { from: Point, to: Point, stroke: Stroke },
    /// A line through points.
    Polyline { points: Vec<Point>, stroke: Stroke },
    /// A filled circle, with an outline where a stroke is given.
    Circle {
        center: Point,
        radius: f64,
        fill: Color,
        stroke: Option<Stroke>,
    },
    /// A text on its baseline.
    Text {
        at: Point,
        text: String,
        style: TextStyle,
        /// Whether it runs upwards from below, around its point.
        upwards: bool,
    },
    /// An image drawn with hard pixels.
    Image { bounds: Bounds, pixels: Pixels },
}

/// A rectangle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// The left edge.
    pub x: f64,
    /// The upper edge.
    pub y: f64,
    /// The width.
    pub width: f64,
    /// The height.
    pub height: f64,
}

/// The pixels of an image row by row, of `channels` bytes each: one (gray) or three (red, green and blue).
#[derive(Debug, Clone, PartialEq)]
pub struct Pixels {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) channels: usize,
    pub(super) bytes: Vec<u8>,
}

/// Red, green and blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Color(pub u8, pub u8, pub u8);

impl Color {
    /// The color at this share of the way to another.
    pub fn toward(self, other: Color, share: f64) -> Color {
        let mix = |a: u8, b: u8| (f64::from(a) + share * (f64::from(b) - f64::from(a))).round() as u8;
        Color(mix(self.0, other.0), mix(self.1, other.1), mix(self.2, other.2))
    }
}

/// As CSS has it: `#2166ac`.
impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:02x}{:02x}{:02x}", self.0, self.1, self.2)
    }
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stroke {
    /// The color.
    pub color: Color,
    /// The width in pixels.
    pub width: f64,
    /// Lengths of dash and gap; none for a solid line.
    pub dash: Option<(f64, f64)>,
}

impl Stroke {
    /// A solid line.
    pub fn solid(color: Color, width: f64) -> Self {
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
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TextStyle {
    /// The size of the font in pixels.
    pub size: f64,
    /// Whether it is semi-bold.
    pub bold: bool,
    /// The color.
    pub color: Color,
    /// Where it lies beside its point.
    pub anchor: Anchor,
}

impl Drawing {
    /// An empty picture of this size with a background and a title (which browsers show and screen readers read).
    pub fn new(width: f64, height: f64, background: Color, title: &str) -> Self {
        let mut drawing = Drawing {
            width,
            height,
            title: title.to_string(),
            shapes: Vec::new(),
        };
        let bounds = Bounds {
            x: 0.0,
            y: 0.0,
            width,
            height,
        };
        drawing.rect(bounds, background);
        drawing
    }

    /// Adds a filled rectangle.
    pub fn rect(&mut self, bounds: Bounds, fill: Color) {
        self.shapes.push(Shape::Rect { bounds, fill });
    }

    /// Adds the outline of a rectangle.
    pub fn frame(&mut self, bounds: Bounds, stroke: Stroke) {
        self.shapes.push(Shape::Frame { bounds, stroke });
    }

    /// Adds a straight line.
    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), stroke: Stroke) {
        self.shapes.push(Shape::Line { from, to, stroke });
    }

    /// Adds a line through points.
    pub fn polyline(&mut self, points: &[(f64, f64)], stroke: Stroke) {
        let points = points.to_vec();
        self.shapes.push(Shape::Polyline { points, stroke });
    }

    /// Adds a filled circle, with an outline where a stroke is given.
    pub fn circle(&mut self, center: (f64, f64), radius: f64, fill: Color, stroke: Option<Stroke>) {
        self.shapes.push(Shape::Circle {
            center,
            radius,
            fill,
            stroke,
        });
    }

    /// Adds a text on the baseline `y`.
    pub fn text(&mut self, x: f64, y: f64, text: &str, style: TextStyle) {
        self.put_text((x, y), text, style, false);
    }

    /// Adds a text that runs upwards from below, around its point.
    pub fn text_upwards(&mut self, x: f64, y: f64, text: &str, style: TextStyle) {
        self.put_text((x, y), text, style, true);
    }

    /// Adds an image, drawn with hard pixels.
    pub fn image(&mut self, bounds: Bounds, pixels: Pixels) {
        self.shapes.push(Shape::Image { bounds, pixels });
    }

    fn put_text(&mut self, at: Point, text: &str, style: TextStyle, upwards: bool) {
        if !text.is_empty() {
            let text = text.to_string();
            self.shapes.push(Shape::Text {
                at,
                text,
                style,
                upwards,
            });
        }
    }
}
