//! The typeface of the pictures, and how wide its texts are.

use std::sync::LazyLock;

use resvg::usvg::fontdb;
use ttf_parser::Face;

/// The families named in SVG files: the embedded one, then what a reader's machine probably has.
pub const FAMILIES: &str = "Inter, 'Helvetica Neue', Helvetica, Arial, sans-serif";

static REGULAR: &[u8] = include_bytes!("font/Inter-Regular.otf");
static SEMI_BOLD: &[u8] = include_bytes!("font/Inter-SemiBold.otf");

/// A font database with the embedded typeface alone, so that a PNG looks the same on every machine.
pub fn fonts() -> fontdb::Database {
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(REGULAR.to_vec());
    fonts.load_font_data(SEMI_BOLD.to_vec());
    fonts.set_sans_serif_family("Inter");
    fonts
}

/// The width of a text set in this size, in pixels; kerning is left out, which is near enough for layout.
pub fn width(text: &str, size: f64, bold: bool) -> f64 {
    text.chars().map(|c| advance(c, size, bold)).sum()
}

/// The width of a character.
fn advance(c: char, size: f64, bold: bool) -> f64 {
    static FACES: LazyLock<[Option<Face<'static>>; 2]> =
        LazyLock::new(|| [REGULAR, SEMI_BOLD].map(|data| Face::parse(data, 0).ok()));
    let Some(face) = &FACES[usize::from(bold)] else {
        return 0.6 * size;
    };
    let advance = face.glyph_index(c).and_then(|glyph| face.glyph_hor_advance(glyph));
    advance.map_or(0.6, |units| f64::from(units) / f64::from(face.units_per_em())) * size
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

    #[test]
    fn the_embedded_fonts_are_found_by_family_and_weight() {
        let fonts = fonts();
        for weight in [fontdb::Weight::NORMAL, fontdb::Weight::SEMIBOLD] {
            let query = fontdb::Query {
                families: &[fontdb::Family::Name("Inter")],
                weight,
                ..fontdb::Query::default()
            };
            let face = fonts.face(fonts.query(&query).expect("a face")).expect("its data");
            assert_eq!(face.weight, weight);
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
