//! Settings, as files and command lines give them: names are looked up, numbers are checked once.

use crate::{Error, Float, Result};

/// The sentence that there is no such name, with those that there are and the one that was probably meant.
pub(crate) fn unknown<'n>(what: &str, name: &str, names: impl Iterator<Item = &'n str>) -> Error {
    let names: Vec<&str> = names.collect();
    let meant = closest(name, &names).map_or(String::new(), |near| format!("did you mean \"{near}\"? "));
    let (choose, names) = (if meant.is_empty() { "choose" } else { "Choose" }, names.join(", "));
    Error::invalid(format!("there is no {what} \"{name}\"; {meant}{choose} one of {names}"))
}

/// The name that was probably meant by one that is mistyped: at most two in five of its letters are others.
fn closest<'n>(name: &str, names: &[&'n str]) -> Option<&'n str> {
    let distances = names.iter().map(|&known| (distance(name, known), known));
    let (distance, near) = distances.min_by_key(|&(distance, _)| distance)?;
    (5 * distance <= 2 * near.len()).then_some(near)
}

/// The least number of letters to insert, delete or replace that makes `a` of `b` (Levenshtein, 1966).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    // The distances of the letters of `a` so far from each beginning of `b`.
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for j in 0..b.len() {
            let replaced = diagonal + usize::from(letter != b[j]);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Refuses a rate that is not a finite number of at least 0.
pub(crate) fn rate(what: &str, setting: &str, value: f64) -> Result<()> {
    require(
        value >= 0.0 && value.is_finite(),
        what,
        setting,
        "a number of at least 0",
        value,
    )
}

/// Refuses what is not a finite number above 0.
pub(crate) fn positive(what: &str, setting: &str, value: f64) -> Result<()> {
    require(
        value > 0.0 && value.is_finite(),
        what,
        setting,
        "a number above 0",
        value,
    )
}

/// Refuses what is not in [0, 1).
pub(crate) fn below_one(what: &str, setting: &str, value: f64) -> Result<()> {
    require((0.0..1.0).contains(&value), what, setting, "in [0, 1)", value)
}

/// Unless this holds, the sentence that `what` expects something else of its `setting`.
pub(crate) fn require(holds: bool, what: &str, setting: &str, expected: &str, value: f64) -> Result<()> {
    if holds {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{what}: {setting} must be {expected}, got {}",
        shown(value)
    )))
}

/// A number that is refused, for a sentence: in few digits, and with the reason if it is that numbers here have fewer bits.
pub(crate) fn shown(value: f64) -> String {
    let short = if value != 0.0 && value.is_finite() && !(1e-5..1e12).contains(&value.abs()) {
        format!("{value:e}")
    } else {
        value.to_string()
    };
    let rounded = value as Float;
    if value.is_finite() && (!rounded.is_finite() || (rounded == 0.0 && value != 0.0)) {
        format!("{short}, which is {rounded} in {} bits", 8 * size_of::<Float>())
    } else {
        short
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_probably_meant_is_named() {
        let names = ["relu", "leaky_relu", "conv2d", "max_pool2d"];
        let meant = |name| closest(name, &names);
        assert_eq!(meant("con2d"), Some("conv2d"));
        assert_eq!(meant("covn2d"), Some("conv2d"));
        assert_eq!(meant("maxpool2d"), Some("max_pool2d"));
        assert_eq!(meant("leakyrelu"), Some("leaky_relu"));
        assert_eq!(meant("rleu"), None);
        assert_eq!(meant("sigmoid"), None);
        assert_eq!(meant(""), None);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        let error = |name| unknown("loss", name, ["huber", "mse"].into_iter()).to_string();
        assert_eq!(error("x"), "there is no loss \"x\"; choose one of huber, mse");
        assert_eq!(
            error("hubert"),
            "there is no loss \"hubert\"; did you mean \"huber\"? Choose one of huber, mse"
        );
    }
}
