//! Pictures as PNG files.

use anyhow::{Context, Result};
use tiny_skia::{
    FillRule, FilterQuality, IntSize, LineJoin, Paint, Path, PathBuilder, Pixmap, PixmapPaint, Rect, Stroke as Pen,
    StrokeDash, Transform,
};
use ttf_parser::OutlineBuilder;

use super::drawing::{Anchor, Bounds, Color, Drawing, Pixels, Point, Shape, Stroke, TextStyle};
use super::text;

/// Pixels of a PNG for each pixel of its drawing: sharp on today's screens and in print.
const SCALE: f32 = 2.0;

/// The picture as a PNG file's bytes, with the embedded typeface.
///
/// # Errors
/// A size that is no picture's.
pub fn png(drawing: &Drawing) -> Result<Vec<u8>> {
    let scaled = |length: f64| (length.ceil() as f32 * SCALE) as u32;
    let (width, height) = (scaled(drawing.width), scaled(drawing.height));
    let pixmap = Pixmap::new(width, height).with_context(|| {
        format!(
            "a picture of {} by {} pixels is too large",
            drawing.width, drawing.height
        )
    })?;
    let mut canvas = Canvas { pixmap };
    for shape in &drawing.shapes {
        canvas.paint(shape)?;
    }
    canvas.pixmap.encode_png().context("cannot encode the picture as PNG")
}

/// What is painted on.
struct Canvas {
    pixmap: Pixmap,
}

impl Canvas {
    fn paint(&mut self, shape: &Shape) -> Result<()> {
        match shape {
            Shape::Rect { bounds, fill } => self.fill(rect(bounds).map(PathBuilder::from_rect), *fill),
            Shape::Frame { bounds, stroke } => {
                self.stroke(rect(bounds).map(PathBuilder::from_rect), stroke, LineJoin::Miter);
            }
            Shape::Line { from, to, stroke } => self.stroke(polyline(&[*from, *to]), stroke, LineJoin::Round),
            Shape::Polyline { points, stroke } => self.stroke(polyline(points), stroke, LineJoin::Round),
            Shape::Circle {
                center,
                radius,
                fill,
                stroke,
            } => {
                let circle = PathBuilder::from_circle(center.0 as f32, center.1 as f32, *radius as f32);
                self.fill(circle.clone(), *fill);
                if let Some(stroke) = stroke {
                    self.stroke(circle, stroke, LineJoin::Round);
                }
            }
            Shape::Text {
                at,
                text,
                style,
                upwards,
            } => self.write(text, *at, style, *upwards),
            Shape::Image { bounds, pixels } => self.image(bounds, pixels).context("cannot draw an image")?,
        }
        Ok(())
    }

    fn fill(&mut self, path: Option<Path>, color: Color) {
        self.fill_with(path, color, Transform::identity());
    }

    /// Fills a path that is moved and scaled first; nothing where there is none, as of a text of spaces.
    fn fill_with(&mut self, path: Option<Path>, color: Color, transform: Transform) {
        if let Some(path) = path {
            let transform = Transform::from_scale(SCALE, SCALE).pre_concat(transform);
            self.pixmap
                .fill_path(&path, &paint(color), FillRule::Winding, transform, None);
        }
    }

    fn stroke(&mut self, path: Option<Path>, stroke: &Stroke, line_join: LineJoin) {
        let dash = |(dash, gap): (f64, f64)| StrokeDash::new(vec![dash as f32, gap as f32], 0.0);
        let pen = Pen {
            width: stroke.width as f32,
            line_join,
            dash: stroke.dash.and_then(dash),
            ..Pen::default()
        };
        if let Some(path) = path {
            let scale = Transform::from_scale(SCALE, SCALE);
            self.pixmap.stroke_path(&path, &paint(stroke.color), &pen, scale, None);
        }
    }

    fn write(&mut self, text: &str, at: Point, style: &TextStyle, upwards: bool) {
        let mut outline = Outline::default();
        let width = text::outline(text, style.bold, &mut outline) * style.size;
        let start = match style.anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => -0.5 * width,
            Anchor::End => -width,
        };
        let mut place = Transform::from_translate(at.0 as f32, at.1 as f32);
        if upwards {
            place = place.pre_rotate(-90.0);
        }
        let size = style.size as f32;
        let place = place.pre_translate(start as f32, 0.0).pre_scale(size, size);
        self.fill_with(outline.0.finish(), style.color, place);
    }

    fn image(&mut self, bounds: &Bounds, pixels: &Pixels) -> Option<()> {
        let rgba = match pixels.channels {
            1 => pixels.bytes.iter().flat_map(|&gray| [gray, gray, gray, 255]).collect(),
            _ => (pixels.bytes.chunks_exact(3))
                .flat_map(|rgb| [rgb[0], rgb[1], rgb[2], 255])
                .collect(),
        };
        let image = Pixmap::from_vec(rgba, IntSize::from_wh(pixels.width, pixels.height)?)?;
        let hard = PixmapPaint {
            quality: FilterQuality::Nearest,
            ..PixmapPaint::default()
        };
        let place = Transform::from_scale(SCALE, SCALE)
            .pre_translate(bounds.x as f32, bounds.y as f32)
            .pre_scale(
                (bounds.width / f64::from(pixels.width)) as f32,
                (bounds.height / f64::from(pixels.height)) as f32,
            );
        self.pixmap.draw_pixmap(0, 0, image.as_ref(), &hard, place, None);
        Some(())
    }
}

fn paint(color: Color) -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color_rgba8(color.0, color.1, color.2, 255);
    paint
}

fn rect(bounds: &Bounds) -> Option<Rect> {
    Rect::from_xywh(
        bounds.x as f32,
        bounds.y as f32,
        bounds.width as f32,
        bounds.height as f32,
    )
}

fn polyline(points: &[Point]) -> Option<Path> {
    let mut path = PathBuilder::new();
    for (i, &(x, y)) in points.iter().enumerate() {
        if i == 0 {
            path.move_to(x as f32, y as f32);
        } else {
            path.line_to(x as f32, y as f32);
        }
    }
    path.finish()
}

/// The outline of a text.
#[derive(Default)]
struct Outline(PathBuilder);

impl OutlineBuilder for Outline {
    fn move_to(&mut self, x: f32, y: f32) {
        self.0.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.0.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.0.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        self.0.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.0.close();
    }
}
