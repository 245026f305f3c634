//! The classes that cells name.

use std::collections::BTreeMap;

use super::rows::{is_missing, shortened, shortened_list};

/// The class that a cell names: of `names`, if they are known.
pub fn class(cell: &str, names: Option<&[String]>) -> Result<String, String> {
    let known = names.unwrap_or_default();
    if known.iter().any(|name| name == cell) {
        return Ok(cell.into());
    }
    if cell.is_empty() {
        return Err("there is no class".into());
    }
    if is_missing(cell) || cell.parse::<f64>().is_ok_and(f64::is_nan) {
        return Err(format!(
            "`{cell}` says that the class is missing: remove the row, or name the class otherwise"
        ));
    }
    if names.is_none() {
        return Ok(cell.into());
    }
    // 1.0 for 1.
    let number = cell.parse::<f64>().ok();
    let same = |name: &&String| number.is_some() && name.parse::<f64>().ok() == number;
    known
        .iter()
        .find(same)
        .cloned()
        .ok_or_else(|| format!("`{}` is none of the classes {}", shortened(cell), shortened_list(known)))
}

/// The names of the classes that appear: in numerical order if all are numbers, else in that of their characters.
///
/// # Errors
/// If two of them are the same number.
pub fn sorted_names(classes: &[String]) -> Result<Vec<String>, String> {
    let mut names = classes.to_vec();
    names.sort();
    names.dedup();
    let numbers: Option<Vec<f64>> = names.iter().map(|name| name.parse().ok()).collect();
    let Some(numbers) = numbers else { return Ok(names) };
    let mut numbered: Vec<(f64, String)> = numbers.into_iter().zip(names).collect();
    numbered.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    if let Some(pair) = numbered.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(format!(
            "the classes `{}` and `{}` are the same number: write it in one way",
            pair[0].1, pair[1].1
        ));
    }
    Ok(numbered.into_iter().map(|(_, name)| name).collect())
}

/// The number of each class in the order of the names; of equal names the first counts.
pub fn numbered(classes: &[String], names: &[String]) -> Vec<usize> {
    // A map, since by mistake there can be a class for each row.
    let numbers: BTreeMap<&String, usize> = names.iter().enumerate().map(|(i, name)| (name, i)).rev().collect();
    let number = |class: &String| numbers.get(class).copied().unwrap_or(names.len());
    classes.iter().map(number).collect()
}
