//! Whether the first line of a table names its columns.

use super::rows::{Row, is_missing};

/// What a cell of the first line is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Cell {
    /// Empty, a word for a missing value, or signs alone, as `?`.
    Gap,
    /// Digits only, as numeric names are: 0, 1, 2; 2019, 2020.
    Whole(u64),
    /// Any other number.
    Number,
    /// All else.
    Word,
}

impl Cell {
    fn of(cell: &str) -> Cell {
        let digits = cell.bytes().all(|byte| byte.is_ascii_digit());
        match cell.parse() {
            _ if is_missing(cell) || !cell.contains(char::is_alphanumeric) => Cell::Gap,
            Ok(number) if digits => Cell::Whole(number),
            _ if cell.parse::<f64>().is_ok() => Cell::Number,
            _ => Cell::Word,
        }
    }

    fn whole(&self) -> Option<u64> {
        match self {
            Cell::Whole(number) => Some(*number),
            _ => None,
        }
    }
}

/// Whether the first line names the columns, judged by it and the `rows` after it. Of the cells outside the target column:
///
/// - a word is a name, unless a number with a point or a sign stands beside it, or whole numbers and a class that recurs: then it
///   is a fault in a row;
/// - a gap is no name, except the first cell's, above an index;
/// - whole numbers are names if they are in equal steps, as 0, 1, 2, or the target's cell is a word, and the rows differ from that.
///
/// # Errors
/// If whole numbers in equal steps are as likely to be the first row.
pub fn names_columns(first: &[&str], target: usize, classes: bool, rows: &[Row]) -> Result<bool, String> {
    let cells: Vec<Cell> = first.iter().map(|cell| Cell::of(cell)).collect();
    let has = |is: fn(&Cell) -> bool| cells.iter().enumerate().any(|(i, cell)| i != target && is(cell));
    let has_whole = has(|cell| matches!(cell, Cell::Whole(_)));
    let target_recurs = rows.iter().any(|row| &row.cells[target] == first[target]);
    if has(|cell| *cell == Cell::Number) {
        return Ok(false);
    }
    if has(|cell| *cell == Cell::Word) {
        let class_of_row = classes && matches!(cells[target], Cell::Whole(_)) && target_recurs;
        return Ok(!(has_whole && class_of_row));
    }
    let above_index = target != 0 && cells[0] == Cell::Gap;
    let mut gaps = (0..cells.len()).filter(|&i| i != target && cells[i] == Cell::Gap);
    if gaps.any(|i| i != 0) || !has_whole {
        return Ok(false);
    }
    // A column of numbers with points below a whole number.
    let has_points = (0..first.len()).any(|column| {
        let mut below = rows.iter().map(|row| Cell::of(&row.cells[column]));
        !rows.is_empty() && below.all(|cell| cell == Cell::Number)
    });
    let wholes: Vec<u64> = cells.iter().filter_map(Cell::whole).collect();
    match cells[target] {
        Cell::Gap | Cell::Number => Ok(false),
        Cell::Word => {
            let mut targets = rows.iter().map(|row| &row.cells[target]);
            let numbers = !rows.is_empty() && targets.all(|cell| cell.parse::<f64>().is_ok());
            Ok(numbers && classes || !target_recurs && (has_points || in_steps(&wholes)))
        }
        Cell::Whole(_) => {
            let recurs = rows.iter().any(|row| row.cells.iter().eq(first.iter().copied()));
            if rows.is_empty() || recurs || !in_steps(&wholes) {
                return Ok(false);
            }
            let in_steps_too = |row: &Row| {
                let wholes = row.cells.iter().map(|cell| Cell::of(cell).whole());
                wholes.collect::<Option<Vec<_>>>().is_some_and(|row| in_steps(&row))
            };
            match wholes.len() {
                _ if above_index => Ok(true),
                3.. if has_points => Ok(true),
                5.. if !rows.iter().any(in_steps_too) => Ok(true),
                2 if wholes != [0, 1] => Ok(false),
                _ => Err(format!(
                    "the first line, {}, may name the columns or be a row of numbers: say which with `header`",
                    first.join(",")
                )),
            }
        }
    }
}

/// Whether there are at least two numbers, in equal steps upward.
fn in_steps(numbers: &[u64]) -> bool {
    let steps = || numbers.windows(2).map(|pair| pair[1].checked_sub(pair[0]));
    steps()
        .next()
        .flatten()
        .is_some_and(|step| step > 0 && steps().all(|other| other == Some(step)))
}
