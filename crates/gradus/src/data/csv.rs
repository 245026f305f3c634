//! Tables of numbers in text: CSV files.

mod header;
mod labels;
mod layout;
mod rows;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use self::labels::Classes;
use self::layout::Layout;
use self::rows::{Lines, Row, Rows, likely_delimiter, number};
use super::Arrays;
use super::gunzip::{GZIP_MAGIC, Gunzip};
use super::table::{Table, TableTargets};
use crate::save::read_at_most;
use crate::{Error, Result};

/// How much of a text is searched for its delimiter.
const HEAD: u64 = 1 << 20;
/// How many rows are compared with the first line, to see whether it has names.
const COMPARED: usize = 1000;

/// Which column of a table holds the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Column {
    /// The last one.
    Last,
    /// The one at this position; the first is 0.
    Index(usize),
    /// The one of this name in the first line.
    Name(String),
    /// The one of this name in the first line, or, if none has it and it is a whole number, the one at that position.
    NameOrIndex(String),
}

impl From<usize> for Column {
    fn from(index: usize) -> Self {
        Column::Index(index)
    }
}

impl From<&str> for Column {
    fn from(name: &str) -> Self {
        Column::Name(name.into())
    }
}

/// Reads a table whose columns are numbers, except for a target column that may hold the names of classes.
///
/// Unless [`header`](Csv::header) says whether the first line names the columns, the cells outside the target column do: words
/// are names, numbers with a point or a sign and missing values are a row, and whole numbers are names if they are in equal
/// steps, as 0, 1, 2, and the rows below are not; where that leaves a doubt, the table is refused. The file may be gzipped; it is unpacked as far as
/// [`MOST_UNPACKED_VARIABLE`](super::MOST_UNPACKED_VARIABLE) says.
///
/// ```
/// use gradus::data::{Csv, Column, Dataset, Target};
///
/// let table = "length,width,species\n5.1,3.5,setosa\n7.0,3.2,versicolor\n4.9,3.0,setosa\n";
/// let data = Csv::classification("species").parse(table.as_bytes())?;
/// assert_eq!((data.len(), data.shape().size()), (3, 2));
/// assert_eq!(data.class_names().unwrap(), ["setosa", "versicolor"]);
/// assert_eq!(data.target(1), Target::Class(1));
///
/// let data = Csv::regression(Column::Last).parse("1,2\n2,4.5\n".as_bytes())?;
/// assert_eq!(data.target(1), Target::Values(&[4.5]));
///
/// let error = Csv::regression(Column::Last).parse("1,2\n2,many\n".as_bytes()).unwrap_err();
/// assert_eq!(error.to_string(), "line 2, column 2: `many` is not a number");
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Csv {
    target: Column,
    classes: bool,
    names: Option<Vec<String>>,
    columns: Option<Vec<String>>,
    header: Option<bool>,
    delimiter: Option<u8>,
}

impl Csv {
    /// The target is a class, named by a word or a number. Classes are numbered in the order of their names, or of their numbers
    /// if all are such, unless [`class_names`](Csv::class_names) says. A missing class (an empty cell, `NA`, `nan` and the other
    /// words that pandas reads as such) is an error.
    pub fn classification(target: impl Into<Column>) -> Self {
        Csv {
            target: target.into(),
            classes: true,
            names: None,
            columns: None,
            header: None,
            delimiter: None,
        }
    }

    /// The target is a number.
    pub fn regression(target: impl Into<Column>) -> Self {
        Csv {
            classes: false,
            ..Csv::classification(target)
        }
    }

    /// Numbers the classes in this order, and refuses others: for a test table, which may lack one of the training table's. A
    /// number names the class that is the same number, as 1.0 for 1.
    pub fn class_names(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.names = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Reads these columns beside the target, in this order: for a test table, whose columns may have another order than the
    /// training table's. If the table names its columns, each must be there once, and others are left out
    /// ([`Table::unused`]); otherwise there must be as many.
    pub fn columns(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.columns = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Whether the first line names the columns.
    pub fn header(mut self, header: bool) -> Self {
        self.header = Some(header);
        self
    }

    /// The byte between cells: `b';'`, `b'\t'`. By default it is the semicolon, tab or bar that the first two lines have the same
    /// number of, or that the first has without a comma; or else the comma.
    pub fn delimiter(mut self, delimiter: u8) -> Self {
        self.delimiter = Some(delimiter);
        self
    }

    /// Reads a file.
    ///
    /// # Errors
    /// If the file can't be read, has no rows, a row has another number of cells than the first, a cell is not a finite
    /// number, a quote is not closed on its line, the target column or another isn't there, the first line may as well be
    /// names as a row, or a line is longer than 16 MiB. The sentence names the file and the line.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Arrays> {
        self.read_table(path)?.to_arrays()
    }

    /// Reads a table from anywhere.
    ///
    /// # Errors
    /// As [`read`](Csv::read).
    pub fn parse(&self, reader: impl Read) -> Result<Arrays> {
        self.parse_table(reader)?.to_arrays()
    }

    /// Reads a file, and keeps its numbers in 64 bits and the names of its columns.
    ///
    /// The whole file is in memory while it is read, and of a pipe at most 256 MiB; [`parse_table`](Csv::parse_table) has no
    /// such bound.
    ///
    /// # Errors
    /// As [`read`](Csv::read).
    pub fn read_table(&self, path: impl AsRef<Path>) -> Result<Table> {
        let path = path.as_ref();
        let file = read_at_most(path, u64::MAX)?;
        self.parse_table(&file[..]).map_err(|e| Error::file(path, e))
    }

    /// Reads a table from anywhere, and keeps its numbers in 64 bits and the names of its columns.
    ///
    /// # Errors
    /// As [`read`](Csv::read).
    pub fn parse_table(&self, reader: impl Read) -> Result<Table> {
        let mut reader = BufReader::new(reader);
        let start = reader.fill_buf().map_err(|e| Error::data(e.to_string()))?;
        if start.starts_with(&GZIP_MAGIC) {
            Gunzip::new(reader).and_then(|reader| self.parse_text(reader))
        } else {
            self.parse_text(reader)
        }
        .map_err(Error::data)
    }

    /// Refuses settings that no table can be read with.
    fn validate(&self) -> Result<(), String> {
        if self.columns.as_ref().is_some_and(Vec::is_empty) {
            return Err("no columns are wanted beside the target: a table needs at least one of values".into());
        }
        if let Some(b'\n' | b'\r' | b'"') = self.delimiter {
            return Err(
                "a line break or a quote can't be the delimiter: rows end in the one, and cells may stand in the other"
                    .into(),
            );
        }
        Ok(())
    }

    fn parse_text(&self, reader: impl Read) -> Result<Table, String> {
        self.validate()?;
        let mut reader = Lines::new(reader);
        let mut head = Vec::new();
        reader
            .by_ref()
            .take(HEAD)
            .read_to_end(&mut head)
            .map_err(|e| e.to_string())?;
        let delimiter = (self.delimiter).unwrap_or_else(|| likely_delimiter(&head, head.len() as u64 == HEAD));
        let mut rows = Rows::new(head.chain(reader), delimiter);
        let first = rows.next()?.ok_or("the table is empty")?;
        if first.cells.len() < 2 {
            return Err(format!(
                "the table has one column only, and needs a target beside the values: is the delimiter `{}`?",
                char::from(delimiter)
            ));
        }
        let layout = Layout::of(self, &first, rows.peek(COMPARED)?)?;
        let first = if layout.header.is_some() {
            (rows.next()?).ok_or("the table has no rows, only a first line with names")?
        } else {
            first
        };
        self.read_rows(layout, first, rows)
    }

    /// Reads all rows, from the first on.
    fn read_rows(&self, layout: Layout, first: Row, mut rows: Rows<impl Read>) -> Result<Table, String> {
        let mut row = first;
        let mut classes = Classes::new(self.names.as_deref());
        let (mut values, mut labels, mut targets) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            let at = |column: usize, problem: String| self.refused_cell(&layout, &row, column, &problem);
            make_room(&mut values, layout.columns.len())?;
            for &column in &layout.columns {
                values.push(number(&row.cells[column]).map_err(|problem| at(column, problem))?);
            }
            let cell = &row.cells[layout.target];
            if self.classes {
                make_room(&mut labels, 1)?;
                let class = classes.number(cell, row.line);
                labels.push(class.map_err(|problem| at(layout.target, problem))?);
            } else {
                make_room(&mut targets, 1)?;
                targets.push(number(cell).map_err(|problem| at(layout.target, problem))?);
            }
            match rows.next()? {
                Some(next) => row = next,
                None => break,
            }
        }
        values.shrink_to_fit();
        labels.shrink_to_fit();
        targets.shrink_to_fit();
        let targets = if self.classes {
            let names = classes.sort(&mut labels, layout.target)?;
            TableTargets::Classes { labels, names }
        } else {
            TableTargets::Values(targets)
        };
        let name = |column: &usize| Some(layout.header.as_ref()?[*column].clone());
        Ok(Table {
            columns: layout.columns.iter().map(name).collect(),
            target: name(&layout.target),
            unused: layout.unused.iter().filter_map(name).collect(),
            width: layout.columns.len(),
            values,
            targets,
        })
    }

    /// Says where a cell is that can't be read, and whether it may be a name.
    fn refused_cell(&self, layout: &Layout, row: &Row, column: usize, problem: &str) -> String {
        let doubt = self.header.is_none() && layout.header.is_none() && row.line == 1;
        let hint = if doubt && row.cells[column].starts_with(char::is_alphabetic) {
            " (if the first line names the columns, say so with `header`)"
        } else {
            ""
        };
        format!("line {}, column {}: {problem}{hint}", row.line, column + 1)
    }
}

/// Makes room for more numbers, where a table of short rows has many more bytes than its text.
fn make_room<T>(numbers: &mut Vec<T>, more: usize) -> Result<(), String> {
    (numbers.try_reserve(more)).map_err(|_| {
        format!(
            "there is not enough memory for the table: it has more than {} numbers",
            numbers.len()
        )
    })
}

#[cfg(test)]
mod tests;
