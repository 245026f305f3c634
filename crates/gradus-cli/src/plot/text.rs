//! The typeface of the pictures: how wide its texts are, and their outlines.

use std::sync::LazyLock;

use ttf_parser::gpos::{PairAdjustment, PositioningSubtable};
use ttf_parser::{Face, GlyphId, OutlineBuilder, Tag};

/// The families named in SVG files: the embedded one, then what a reader's machine probably has.
pub const FAMILIES: &str = "Inter, 'Helvetica Neue', Helvetica, Arial, sans-serif";

static REGULAR: &[u8] = include_bytes!("font/Inter-Regular.otf");
static SEMI_BOLD: &[u8] = include_bytes!("font/Inter-SemiBold.otf");

/// The embedded typeface, regular or semi-bold.
fn face(bold: bool) -> Option<&'static Face<'static>> {
    static FACES: LazyLock<[Option<Face<'static>>; 2]> =
        LazyLock::new(|| [REGULAR, SEMI_BOLD].map(|data| Face::parse(data, 0).ok()));
    FACES[usize::from(bold)].as_ref()
}

/// The width of a text set in this size, in pixels; kerning is left out, which is near enough for layout.
pub fn width(text: &str, size: f64, bold: bool) -> f64 {
    text.chars().map(|c| advance(c, size, bold)).sum()
}

/// The width of a character.
fn advance(c: char, size: f64, bold: bool) -> f64 {
    let Some(face) = face(bold) else {
        return 0.6 * size;
    };
    let advance = face.glyph_index(c).and_then(|glyph| face.glyph_hor_advance(glyph));
    advance.map_or(0.6, |units| f64::from(units) / f64::from(face.units_per_em())) * size
}

/// Draws the outlines of a text of size 1 that begins at the origin, y downwards, and returns its width. Pairs of letters are kerned;
/// a character that the typeface lacks is an empty box.
pub fn outline(text: &str, bold: bool, builder: &mut dyn OutlineBuilder) -> f64 {
    let Some(face) = face(bold) else {
        return 0.0;
    };
    let em = f32::from(face.units_per_em());
    let (mut x, mut before) = (0.0, None);
    for c in text.chars() {
        let glyph = face.glyph_index(c).unwrap_or(GlyphId(0));
        x += before.map_or(0.0, |before| f32::from(kerning(face, before, glyph)));
        face.outline_glyph(glyph, &mut PlacedGlyph { builder, x, em });
        x += face.glyph_hor_advance(glyph).map_or(0.0, f32::from);
        before = Some(glyph);
    }
    f64::from(x / em)
}

/// How much two glyphs move apart, in the units of the font: the first value that its feature `kern` has for them.
fn kerning(face: &Face<'_>, left: GlyphId, right: GlyphId) -> i16 {
    let Some(positions) = face.tables().gpos else {
        return 0;
    };
    let features = positions
        .features
        .into_iter()
        .filter(|feature| feature.tag == Tag::from_bytes(b"kern"));
    let Some(feature) = features.last() else {
        return 0;
    };
    let lookups = (feature.lookup_indices.into_iter()).filter_map(|index| positions.lookups.get(index));
    let mut pairs = lookups
        .flat_map(|lookup| lookup.subtables.into_iter::<PositioningSubtable<'_>>())
        .filter_map(|subtable| match subtable {
            PositioningSubtable::Pair(pairs) => adjustment(&pairs, left, right),
            _ => None,
        });
    pairs.next().unwrap_or(0)
}

/// What a table of pairs says of this one.
fn adjustment(pairs: &PairAdjustment<'_>, left: GlyphId, right: GlyphId) -> Option<i16> {
    let index = pairs.coverage().get(left)?;
    let (left, _) = match pairs {
        PairAdjustment::Format1 { sets, .. } => sets.get(index)?.get(right)?,
        PairAdjustment::Format2 { classes, matrix, .. } => matrix.get((classes.0.get(left), classes.1.get(right)))?,
    };
    Some(left.x_advance)
}

/// Puts a glyph in its place, scaled from the units of its font, whose y is upwards.
struct PlacedGlyph<'a> {
    builder: &'a mut dyn OutlineBuilder,
    x: f32,
    em: f32,
}

impl PlacedGlyph<'_> {
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        ((self.x + x) / self.em, -y / self.em)
    }
}

impl OutlineBuilder for PlacedGlyph<'_> {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.builder.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.builder.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.at(x1, y1), self.at(x, y));
        self.builder.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.at(x1, y1), self.at(x2, y2), self.at(x, y));
        self.builder.curve_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.builder.close();
    }
}

/// A count with its thousands set apart: `10,000`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.char_indices() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A share of one in per cent: `97.3 %`; a dash where there is none.
pub fn percent(share: f64, decimals: usize) -> String {
    if share.is_finite() {
        format!("{:.decimals$}\u{a0}%", 100.0 * share)
    } else {
        "–".to_string()
    }
}

/// A text that fits into this width, shortened with an ellipsis if need be.
pub fn fitted(text: &str, size: f64, bold: bool, room: f64) -> String {
    let ellipsis = advance('…', size, bold);
    let (mut used, mut end) = (0.0, 0);
    for (i, c) in text.char_indices() {
        used += advance(c, size, bold);
        if used > room {
            return format!("{}…", &text[..end]);
        }
        if used + ellipsis <= room {
            end = i + c.len_utf8();
        }
    }
    text.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The extent of an outline: left and right.
    struct Extent(f32, f32);

    impl OutlineBuilder for Extent {
        fn move_to(&mut self, x: f32, _: f32) {
            self.0 = self.0.min(x);
            self.1 = self.1.max(x);
        }

        fn line_to(&mut self, x: f32, y: f32) {
            self.move_to(x, y);
        }

        fn quad_to(&mut self, _: f32, _: f32, x: f32, y: f32) {
            self.move_to(x, y);
        }

        fn curve_to(&mut self, _: f32, _: f32, _: f32, _: f32, x: f32, y: f32) {
            self.move_to(x, y);
        }

        fn close(&mut self) {}
    }

    #[test]
    fn outlines_are_as_wide_as_their_texts_and_kerned() {
        for bold in [false, true] {
            let mut extent = Extent(f32::MAX, f32::MIN);
            let drawn = outline("Hamburg", bold, &mut extent);
            assert!(extent.0 > 0.0 && f64::from(extent.1) < drawn, "{bold}");
            assert!((drawn / width("Hamburg", 1.0, bold) - 1.0).abs() < 0.02, "{bold}");
            let kerned = outline("AVAVAV", bold, &mut extent);
            assert!(kerned < 0.97 * width("AVAVAV", 1.0, bold), "{bold}: {kerned}");
        }
    }

    #[test]
    fn widths_grow_with_size_weight_and_length() {
        assert!(width("epoch", 12.0, false) < width("epoch", 12.0, true));
        assert!((width("epoch", 24.0, false) - 2.0 * width("epoch", 12.0, false)).abs() < 1e-9);
        assert!(width("il", 12.0, false) < width("mw", 12.0, false));
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            [0, 999, 1000, 10_000, 1_234_567].map(count),
            ["0", "999", "1,000", "10,000", "1,234,567"]
        );
        assert_eq!(percent(0.9731, 1), "97.3\u{a0}%");
        assert_eq!(percent(f64::NAN, 1), "–");
    }

    #[test]
    fn long_names_are_shortened() {
        assert_eq!(fitted("seven", 12.0, false, 100.0), "seven");
        let short = fitted("a very long name of a class", 12.0, false, 60.0);
        assert!(short.ends_with('…') && width(&short, 12.0, false) <= 60.0, "{short}");
        assert_eq!(fitted("seven", 12.0, false, 0.0), "…");
        // As many characters as there is room for, however long the name is.
        let longer = format!("{short}x").replace('…', "");
        assert!(width(&format!("{longer}…"), 12.0, false) > 60.0);
        let long = "a very long name of a class".repeat(1 << 18);
        assert_eq!(fitted(&long, 12.0, false, 60.0), short);
    }
}
