//! Numbers as people read them.

use std::fmt::{Display, LowerExp};

use gradus::metric::ConfusionMatrix;

use crate::plot::count;

/// The most characters that a number takes.
const MAX_CHARACTERS: usize = 12;

/// A number of things: `1 sample`, `1,797 samples`, `2 classes`.
pub fn plural(n: usize, thing: &str) -> String {
    let ending = match n {
        1 => "",
        _ if thing.ends_with(['s', 'x']) => "es",
        _ => "s",
    };
    format!("{} {thing}{ending}", count(n as u64))
}

/// A number with the digits that it has, or as many as there is room for: `0.1`, `0.3333333333`, `1e300`.
pub fn exact<T: Display + LowerExp + Copy + Into<f64>>(value: T) -> String {
    short(value.to_string(), value)
}

/// A number with four decimals, or in powers of ten where it is large: `0.2500`, `1.234e300`.
pub fn rounded(value: f64) -> String {
    short(format!("{value:.4}"), value)
}

/// A learning rate with two significant digits: `0.012`, `2.5e-6`.
pub fn rate(value: f64) -> String {
    let power = format!("{value:.1e}");
    let exponent = power
        .split_once('e')
        .and_then(|(_, exponent)| exponent.parse::<i32>().ok());
    match exponent {
        Some(exponent @ -3..=5) => {
            let plain = format!("{value:.*}", (1 - exponent).max(0) as usize);
            let short = plain.trim_end_matches('0').trim_end_matches('.');
            if plain.contains('.') { short.into() } else { plain }
        }
        _ => power.replace(".0e", "e"),
    }
}

/// The text, or the nearest number of as many characters as fit.
fn short<T: Display + LowerExp + Copy + Into<f64>>(text: String, value: T) -> String {
    let is_plain = (1e-3..1e9).contains(&value.into().abs());
    let of_digits = |digits: usize| match is_plain {
        true => format!("{value:.digits$}"),
        false => format!("{value:.digits$e}"),
    };
    let whole = if is_plain { None } else { Some(format!("{value:e}")) };
    let candidates = std::iter::once(text)
        .chain(whole)
        .chain((0..MAX_CHARACTERS).rev().map(of_digits));
    // Without digits after the point, every number fits.
    candidates
        .into_iter()
        .find(|text| text.len() <= MAX_CHARACTERS)
        .unwrap_or_default()
}

/// A score of a class, such as [`ConfusionMatrix::recall`], with four decimals; a dash if no sample is of the class.
pub fn class_score(matrix: &ConfusionMatrix, class: usize, score: fn(&ConfusionMatrix, usize) -> f64) -> String {
    if matrix.support(class) == 0 {
        "–".into()
    } else {
        format!("{:.4}", score(matrix, class))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_two_digits() {
        let rates = [0.1, 0.0123, 0.00123, 0.00012345, 1e-7, 1.0, 2.53, 10.0, 1234.5, 1e9];
        let texts = [
            "0.1", "0.012", "0.0012", "1.2e-4", "1e-7", "1", "2.5", "10", "1234", "1e9",
        ];
        assert_eq!(rates.map(rate), texts);
    }

    #[test]
    fn one_thing_is_not_many() {
        assert_eq!(plural(0, "sample"), "0 samples");
        assert_eq!(plural(1, "sample"), "1 sample");
        assert_eq!(plural(1797, "sample"), "1,797 samples");
        assert_eq!([plural(1, "class"), plural(2, "class")], ["1 class", "2 classes"]);
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(exact(0.1), "0.1");
        assert_eq!(exact(0.1f32), "0.1");
        assert_eq!(exact(298_403.0), "298403");
        assert_eq!(exact(1e300), "1e300");
        assert_eq!(exact(-1.0 / 3.0), "-0.333333333");
        assert_eq!(exact(f64::MIN_POSITIVE), "2.22507e-308");
        assert_eq!(exact(f32::MAX), "3.4028235e38");
        assert_eq!(rounded(0.25), "0.2500");
        assert_eq!(rounded(-1_234_567.125), "-1234567.125");
        assert_eq!(rounded(1e300), "1e300");
        for value in [
            f64::MAX,
            f64::MIN,
            -f64::MIN_POSITIVE,
            f64::NAN,
            f64::NEG_INFINITY,
            1e11 / 7.0,
        ] {
            for text in [exact(value), rounded(value)] {
                assert!(text.len() <= MAX_CHARACTERS, "{text}");
                let back: f64 = text.parse().unwrap();
                let near = (back / value - 1.0).abs() < 1e-4 || text == value.to_string() || back == 0.0;
                assert!(near, "{text} for {value:e}");
            }
        }
    }

    #[test]
    fn a_class_without_samples_has_no_score() {
        let mut matrix = ConfusionMatrix::new(3);
        matrix.add(0, 0);
        matrix.add(0, 1);
        let recall = |class| class_score(&matrix, class, ConfusionMatrix::recall);
        assert_eq!([recall(0), recall(1), recall(2)], ["0.5000", "–", "–"]);
    }
}
