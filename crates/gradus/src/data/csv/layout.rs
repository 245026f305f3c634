//! Which columns of a table are read.

use super::header::names_columns;
use super::rows::{Row, shortened_list};
use super::{Column, Csv};
use crate::error::plural;

/// Which columns of a table are read.
pub(super) struct Layout {
    /// The names of all columns, if the first line has them.
    pub(super) header: Option<Vec<String>>,
    /// The position of the target.
    pub(super) target: usize,
    /// The positions of the other columns, in the order in which they are wanted.
    pub(super) columns: Vec<usize>,
    /// The positions of those that are not wanted.
    pub(super) unused: Vec<usize>,
}

impl Layout {
    pub(super) fn of(csv: &Csv, first: &Row, rows: &[Row]) -> Result<Self, String> {
        let first: Vec<&str> = first.cells.iter().collect();
        let is_header = |target: usize| match (csv.header, &csv.columns) {
            (Some(header), _) => Ok(header),
            (None, Some(wanted)) if wanted.iter().all(|name| first.contains(&name.as_str())) => Ok(true),
            _ => names_columns(&first, target, csv.classes, rows),
        };
        // Whether this number is a name: it may as well be a cell of a row.
        let is_name = |text: &str| first.iter().position(|cell| *cell == text).map_or(Ok(false), is_header);
        let (position, name) = match &csv.target {
            Column::Last => (first.len() - 1, None),
            Column::Index(position) => (*position, None),
            Column::Name(name) => (0, Some(name)),
            Column::NameOrIndex(text) => match text.parse() {
                Ok(position) if !is_name(text)? => (position, None),
                _ => (0, Some(text)),
            },
        };
        let (target, header) = match name {
            Some(_) if csv.header == Some(false) => {
                return Err(
                    "the target column is given by name, and the table is said to have no line with names: give its position, the \
                     first being 0"
                        .into(),
                );
            }
            Some(name) => {
                let way =
                    |problem| format!("{problem}; give another name, or the position of the target, the first being 0");
                (unique(&first, name).map_err(way)?, true)
            }
            None if position >= first.len() => {
                return Err(format!(
                    "there is no column {position} (the first is 0) for the target: the table has {} columns",
                    first.len()
                ));
            }
            None => (position, is_header(position)?),
        };
        let others: Vec<usize> = (0..first.len()).filter(|&i| i != target).collect();
        let columns = wanted_columns(csv, &first, header, &others)?;
        if columns.contains(&target) {
            return Err(format!(
                "the column `{}` can't be the target: it is read as a number",
                first[target]
            ));
        }
        let mut is_used = vec![false; first.len()];
        columns.iter().for_each(|&i| is_used[i] = true);
        let unused = others.into_iter().filter(|&i| !is_used[i]).collect();
        Ok(Layout {
            header: header.then(|| first.iter().map(ToString::to_string).collect()),
            target,
            columns,
            unused,
        })
    }
}

/// The positions of the columns that are wanted, of those beside the target.
fn wanted_columns(csv: &Csv, first: &[&str], header: bool, others: &[usize]) -> Result<Vec<usize>, String> {
    match &csv.columns {
        Some(wanted) if header && !others.iter().map(|&i| first[i]).eq(wanted) => {
            wanted.iter().map(|name| unique(first, name)).collect()
        }
        Some(wanted) if wanted.len() != others.len() => Err(format!(
            "the table has {} beside the target, and {} {} wanted: {}",
            plural(others.len(), "column"),
            wanted.len(),
            if wanted.len() == 1 { "is" } else { "are" },
            shortened_list(wanted)
        )),
        _ => Ok(others.to_vec()),
    }
}

/// The position of the one column that has this name.
fn unique(first: &[&str], name: &str) -> Result<usize, String> {
    let mut found = (0..first.len()).filter(|&i| first[i] == name);
    match (found.next(), found.next()) {
        (Some(i), None) => Ok(i),
        (Some(_), Some(_)) => Err(format!("more than one column is called `{name}`")),
        (None, _) => Err(format!(
            "no column is called `{name}`: the first line has {}",
            shortened_list(first)
        )),
    }
}
