//! The classes that cells name.

use std::collections::BTreeMap;

use super::rows::{is_missing, shortened, shortened_list};

/// The most different classes that are learned from a table: with more, each row names one of its own.
const MOST_CLASSES: usize = 1 << 20;

/// Numbers the classes that cells name, and keeps each name once.
pub enum Classes<'a> {
    /// These, in this order.
    Known(&'a [String]),
    /// Those that appear, numbered as they come.
    Seen {
        numbers: BTreeMap<String, SeenClass>,
        most: usize,
    },
}

/// A class that appeared.
pub struct SeenClass {
    number: usize,
    /// The line of its first cell.
    line: u64,
}

impl<'a> Classes<'a> {
    /// The classes of these names, or those that appear.
    pub fn new(names: Option<&'a [String]>) -> Self {
        names.map_or_else(|| Classes::at_most(MOST_CLASSES), Classes::Known)
    }

    /// The classes that appear, if they are not more than these.
    fn at_most(most: usize) -> Self {
        Classes::Seen {
            numbers: BTreeMap::new(),
            most,
        }
    }

    /// The number of the class that a cell on this line names, for the time being; of equal names the first counts.
    ///
    /// # Errors
    /// If the class is missing, or is none of those that are known, or there are too many.
    pub fn number(&mut self, cell: &str, line: u64) -> Result<usize, String> {
        let found = match self {
            Classes::Known(names) => names.iter().position(|name| name == cell),
            Classes::Seen { numbers, .. } => numbers.get(cell).map(|seen| seen.number),
        };
        if let Some(number) = found {
            return Ok(number);
        }
        if cell.is_empty() {
            return Err("there is no class".into());
        }
        let number = cell.parse::<f64>().ok();
        if is_missing(cell) || number.is_some_and(f64::is_nan) {
            return Err(format!(
                "`{cell}` says that the class is missing: remove the row, or name the class otherwise"
            ));
        }
        match self {
            // 1.0 for 1.
            Classes::Known(names) => (names.iter())
                .position(|name| number.is_some() && name.parse::<f64>().ok() == number)
                .ok_or_else(|| format!("`{}` is none of the classes {}", shortened(cell), shortened_list(names))),
            Classes::Seen { numbers, most } if numbers.len() < *most => {
                let number = numbers.len();
                numbers.insert(cell.into(), SeenClass { number, line });
                Ok(number)
            }
            Classes::Seen { most, .. } => Err(format!(
                "`{}` is one class more than the {most} that can be learned: these are values, to be learned by a regression, or \
                 names of the rows, and the target is another column",
                shortened(cell)
            )),
        }
    }

    /// The names of the classes, in numerical order if all are numbers, else in that of their characters, unless their order was
    /// known; the labels become the numbers in that order.
    ///
    /// # Errors
    /// If two of them are the same number; the sentence names the lines, and the `column` that the classes are in.
    pub fn sort(self, labels: &mut [usize], column: usize) -> Result<Vec<String>, String> {
        let numbers = match self {
            Classes::Known(names) => return Ok(names.to_vec()),
            Classes::Seen { numbers, .. } => numbers,
        };
        let (mut names, seen): (Vec<String>, Vec<SeenClass>) = numbers.into_iter().unzip();
        let mut first: Vec<usize> = seen.iter().map(|seen| seen.number).collect();
        let values: Option<Vec<f64>> = names.iter().map(|name| name.parse().ok()).collect();
        if let Some(values) = values {
            let mut order: Vec<usize> = (0..values.len()).collect();
            order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
            if let Some(pair) = order.windows(2).find(|pair| values[pair[0]] == values[pair[1]]) {
                let [earlier, later] = if seen[pair[0]].line < seen[pair[1]].line {
                    [pair[0], pair[1]]
                } else {
                    [pair[1], pair[0]]
                };
                return Err(format!(
                    "line {}, column {}: the class `{}` is the same number as `{}` on line {}: write it in one way",
                    seen[later].line,
                    column + 1,
                    shortened(&names[later]),
                    shortened(&names[earlier]),
                    seen[earlier].line
                ));
            }
            names = order.iter().map(|&i| std::mem::take(&mut names[i])).collect();
            first = order.iter().map(|&i| first[i]).collect();
        }
        let mut sorted = vec![0; first.len()];
        for (number, first) in first.into_iter().enumerate() {
            sorted[first] = number;
        }
        for label in labels {
            *label = sorted[*label];
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_of_each_row_ends_somewhere() {
        let mut classes = Classes::at_most(3);
        for (cell, number) in [("b", 0), ("a", 1), ("b", 0), ("10", 2), ("a", 1)] {
            assert_eq!(classes.number(cell, 1), Ok(number));
        }
        let sentence = classes.number("c", 6).unwrap_err();
        assert!(
            sentence.starts_with("`c` is one class more than the 3 that"),
            "{sentence}"
        );
        let mut labels = [0, 1, 0, 2, 1];
        assert_eq!(classes.sort(&mut labels, 0).unwrap(), ["10", "a", "b"]);
        assert_eq!(labels, [2, 1, 2, 0, 1]);
    }
}
