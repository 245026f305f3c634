//! Tables of numbers in text: CSV files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Chain, Read};
use std::path::Path;

use ::csv::{ErrorKind, ReaderBuilder, StringRecord, Terminator, Trim};
use flate2::bufread::MultiGzDecoder;
use ndarray::Array2;

use super::Arrays;
use super::idx::GZIP_MAGIC;
use crate::{Error, Float, Result};

/// Which column of a table holds the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Column {
    /// The last one.
    Last,
    /// The one at this position; the first is 0.
    Index(usize),
    /// The one of this name in the first line.
    Name(String),
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

/// Reads a table whose columns are numbers, but for a target column that may hold the names of classes.
///
/// Whether the first line names the columns is seen from it, unless [`header`](Csv::header) says: it does if a cell
/// outside the target column is not a number. The file may be gzipped.
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
    header: Option<bool>,
    delimiter: u8,
}

impl Csv {
    /// The target is a class, named by a word or a whole number. Classes are numbered in the order of their names, or of
    /// their numbers if all are such, unless [`class_names`](Csv::class_names) says.
    pub fn classification(target: impl Into<Column>) -> Self {
        Csv {
            target: target.into(),
            classes: true,
            names: None,
            header: None,
            delimiter: b',',
        }
    }

    /// The target is a number.
    pub fn regression(target: impl Into<Column>) -> Self {
        Csv {
            classes: false,
            ..Csv::classification(target)
        }
    }

    /// Numbers the classes in this order, and refuses others: for a test table, which may lack one of the training table's.
    pub fn class_names(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.names = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Whether the first line names the columns.
    pub fn header(mut self, header: bool) -> Self {
        self.header = Some(header);
        self
    }

    /// What stands between cells, instead of a comma: `b';'`, `b'\t'`.
    pub fn delimiter(mut self, delimiter: u8) -> Self {
        self.delimiter = delimiter;
        self
    }

    /// Reads a file.
    ///
    /// # Errors
    /// If the file can't be read, has no rows, a row has another number of cells than the first, a cell is not a finite
    /// number, or the target column isn't there. The sentence names the file and the line.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Arrays> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|e| Error::file(path, e))?;
        self.parse(file).map_err(|e| Error::file(path, e))
    }

    /// Reads a table from anywhere.
    ///
    /// # Errors
    /// As [`read`](Csv::read).
    pub fn parse(&self, reader: impl Read) -> Result<Arrays> {
        let mut reader = BufReader::new(reader);
        let start = reader.fill_buf().map_err(|e| Error::data(e.to_string()))?;
        if start.starts_with(&GZIP_MAGIC) {
            self.parse_text(MultiGzDecoder::new(reader))
        } else {
            self.parse_text(reader)
        }
        .map_err(Error::data)
    }

    fn parse_text(&self, reader: impl Read) -> Result<Arrays, String> {
        let mut rows = Rows::new(reader, self.delimiter);
        let mut targets = Targets::default();
        let mut values = Vec::new();

        if !rows.advance()? {
            return Err("the table is empty".into());
        }
        let columns = rows.row.len();
        if columns < 2 {
            return Err(format!(
                "the table has one column only, and needs a target beside the values: is the delimiter `{}`?",
                char::from(self.delimiter)
            ));
        }
        let mut target = self.target_column(&rows.row)?;
        let header = self.header.unwrap_or_else(|| {
            let is_name = |(i, cell): (usize, &str)| i != target && cell.parse::<Float>().is_err();
            matches!(self.target, Column::Name(_)) || rows.row.iter().enumerate().any(is_name)
        });
        if header {
            if let Column::Name(name) = &self.target {
                target = rows.row.iter().position(|cell| cell == name).ok_or_else(|| {
                    let names = rows.row.iter().collect::<Vec<_>>().join(", ");
                    format!("no column is called `{name}`: the first line has {names}")
                })?;
            }
            if !rows.advance()? {
                return Err("the table has no rows, only a first line with names".into());
            }
        }
        loop {
            for (i, cell) in rows.row.iter().enumerate() {
                let at = |problem: String| format!("line {}, column {}: {problem}", rows.line(), i + 1);
                if i != target {
                    values.push(number(cell).map_err(at)?);
                } else if self.classes {
                    targets.classes.push(self.class(cell).map_err(at)?);
                } else {
                    targets.values.push(number(cell).map_err(at)?);
                }
            }
            if !rows.advance()? {
                break;
            }
        }
        let shape = (values.len() / (columns - 1), columns - 1);
        let samples = Array2::from_shape_vec(shape, values).map_err(|e| e.to_string())?;
        self.assemble(samples, targets).map_err(|e| e.to_string())
    }

    /// The position of the target column; that of a name is found later, in the header.
    fn target_column(&self, first: &StringRecord) -> Result<usize, String> {
        match self.target {
            Column::Last => Ok(first.len() - 1),
            Column::Index(index) if index < first.len() => Ok(index),
            Column::Index(index) => Err(format!(
                "there is no column {index} (the first is 0) for the target: the table has {} columns",
                first.len()
            )),
            Column::Name(_) if self.header == Some(false) => {
                Err("the target column is given by name, and the table is said to have no line with names".into())
            }
            Column::Name(_) => Ok(0),
        }
    }

    /// The class that a cell names.
    fn class(&self, cell: &str) -> Result<String, String> {
        match &self.names {
            _ if cell.is_empty() => Err("there is no class".into()),
            Some(names) if !names.iter().any(|name| name == cell) => {
                Err(format!("`{cell}` is none of the classes {}", names.join(", ")))
            }
            _ => Ok(cell.into()),
        }
    }

    fn assemble(&self, samples: Array2<Float>, targets: Targets) -> Result<Arrays> {
        if !self.classes {
            return Arrays::values(samples, ndarray::Array1::from_vec(targets.values));
        }
        let names = match &self.names {
            Some(names) => names.clone(),
            None => sorted_names(&targets.classes),
        };
        // Of equal names the first counts. A map, since by mistake there can be a class for each row.
        let numbers: BTreeMap<&String, usize> = names.iter().enumerate().map(|(i, name)| (name, i)).rev().collect();
        let label = |class: &String| numbers.get(class).copied().unwrap_or(names.len());
        let labels = targets.classes.iter().map(label).collect::<Vec<_>>();
        Arrays::classes(samples, labels, names.len())?.with_class_names(names)
    }
}

/// The targets of the rows so far; one of the two is used.
#[derive(Default)]
struct Targets {
    classes: Vec<String>,
    values: Vec<Float>,
}

/// The names of the classes that appear: in numerical order if all are whole numbers, else in that of their characters.
fn sorted_names(classes: &[String]) -> Vec<String> {
    let mut names = classes.to_vec();
    names.sort();
    names.dedup();
    if names.iter().all(|name| name.parse::<i64>().is_ok()) {
        names.sort_by_key(|name| name.parse::<i64>().ok());
    }
    names
}

/// A finite number, or what is wrong with the cell.
fn number(cell: &str) -> Result<Float, String> {
    match cell.parse::<Float>() {
        Ok(number) if number.is_finite() => Ok(number),
        Ok(_) => Err(format!("`{cell}` is not a finite number")),
        Err(_) if cell.is_empty() => Err("the cell is empty, and should be a number".into()),
        Err(_) => Err(format!(
            "`{}` is not a number",
            cell.chars().take(40).collect::<String>()
        )),
    }
}

/// The rows of a table, one after the other, all of one length; empty lines are skipped.
struct Rows<R> {
    reader: ::csv::Reader<R>,
    row: StringRecord,
    length: Option<usize>,
}

impl<R: Read> Rows<Chain<R, &'static [u8]>> {
    fn new(reader: R, delimiter: u8) -> Self {
        // The number of a line can only be told if lines end in one byte, the last one too; a carriage return before it is
        // trimmed from the last cell.
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(Trim::All)
            .delimiter(delimiter)
            .terminator(Terminator::Any(b'\n'))
            .from_reader(reader.chain(&b"\n"[..]));
        Rows {
            reader,
            row: StringRecord::new(),
            length: None,
        }
    }

    /// Goes on to the next row, if there is one.
    fn advance(&mut self) -> Result<bool, String> {
        loop {
            if let Err(error) = self.reader.read_record(&mut self.row) {
                return Err(match error.kind() {
                    ErrorKind::Utf8 { err, .. } => {
                        format!(
                            "line {}, column {}: the text is not UTF-8",
                            self.line(),
                            err.field() + 1
                        )
                    }
                    _ => error.to_string(),
                });
            }
            if self.row.is_empty() {
                return Ok(false);
            }
            if self.row.len() > 1 || !self.row[0].is_empty() {
                break;
            }
        }
        let length = *self.length.get_or_insert(self.row.len());
        if self.row.len() != length {
            let found = self.row.len();
            return Err(format!(
                "line {}: the row has {found} cells, and the first has {length}",
                self.line()
            ));
        }
        Ok(true)
    }

    /// The line on which the row ends, counted from 1.
    fn line(&self) -> u64 {
        self.reader.position().line() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::idx::tests::{gzip, maltreat};
    use crate::data::{Dataset, Target};

    fn rows(data: &Arrays) -> Vec<Vec<Float>> {
        (0..data.len())
            .map(|i| {
                let mut x = vec![0.0; data.shape().size()];
                data.read(i, &mut x).unwrap();
                x
            })
            .collect()
    }

    fn sentence(csv: Csv, table: &str) -> String {
        csv.parse(table.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn the_target_may_be_anywhere() {
        let table = "a,y,b\n1,0,2\n3,1,4\n";
        for (target, table) in [
            (Column::from("y"), table),
            (Column::from(1), table),
            (Column::from(1), &table[6..]),
            (Column::Last, "\u{feff} a , b,y\r\n1, 2,0\r\n\r\n\"3\",4,1"),
        ] {
            let data = Csv::classification(target.clone()).parse(table.as_bytes()).unwrap();
            assert_eq!(rows(&data), [[1.0, 2.0], [3.0, 4.0]], "{target:?}");
            assert_eq!(data.target(1), Target::Class(1));
            let data = Csv::regression(target).parse(table.as_bytes()).unwrap();
            assert_eq!(data.target(1), Target::Values(&[1.0]));
        }
        // A first line that looks like any other, said to be names; and another delimiter, gzipped.
        let data = Csv::regression(Column::Last)
            .header(true)
            .parse("1,2\n3,4\n".as_bytes())
            .unwrap();
        assert_eq!(rows(&data), [[3.0]]);
        let data = Csv::regression(0)
            .delimiter(b';')
            .parse(&gzip(b"1;2\n3;4\n")[..])
            .unwrap();
        assert_eq!(rows(&data), [[2.0], [4.0]]);
    }

    #[test]
    fn classes_are_sorted() {
        let names = |table: &str| {
            let data = Csv::classification(0).parse(table.as_bytes()).unwrap();
            let Target::Class(first) = data.target(0) else {
                unreachable!()
            };
            (data.class_names().unwrap().join(" "), first)
        };
        assert_eq!(names("10,1\n9,1\n-1,1\n9,2\n"), ("-1 9 10".into(), 2));
        assert_eq!(names("10,1\n9,1\nx,1\n"), ("10 9 x".into(), 0));
        let csv = Csv::classification(0).class_names(["c", "b", "a"]);
        assert_eq!(csv.parse("a,1\nb,2\n".as_bytes()).unwrap().target(0), Target::Class(2));
        assert_eq!(
            sentence(csv, "a,1\nd,2\n"),
            "line 2, column 1: `d` is none of the classes c, b, a"
        );
    }

    #[test]
    fn faults_are_named_with_their_line() {
        let values = || Csv::regression(Column::Last);
        assert_eq!(sentence(values(), ""), "the table is empty");
        assert_eq!(sentence(values(), "\n\n"), "the table is empty");
        assert_eq!(
            sentence(values(), "a,b\n"),
            "the table has no rows, only a first line with names"
        );
        assert_eq!(
            sentence(values(), "1,2\n3\n"),
            "line 2: the row has 1 cells, and the first has 2"
        );
        assert_eq!(
            sentence(values(), "1,2\n\n3,\n"),
            "line 3, column 2: the cell is empty, and should be a number"
        );
        assert_eq!(
            sentence(values(), "1,2\n3,4\nNaN,5\n"),
            "line 3, column 1: `NaN` is not a finite number"
        );
        assert_eq!(
            sentence(values(), "1,2\n3,1e999\n"),
            "line 2, column 2: `1e999` is not a finite number"
        );
        assert!(sentence(values(), "1\n2\n").contains("one column only"));
        assert!(sentence(Csv::regression(5), "1,2\n").contains("no column 5"));
        assert!(
            sentence(Csv::regression("z"), "a,b\n1,2\n").contains("no column is called `z`: the first line has a, b")
        );
        assert!(sentence(Csv::regression("z").header(false), "1,2\n").contains("by name"));
        assert_eq!(
            sentence(Csv::classification(1), "1,x\n2,\n"),
            "line 2, column 2: there is no class"
        );
        let error = values().parse(&b"1,2\n3,\xff\n"[..]).unwrap_err().to_string();
        assert_eq!(error, "line 2, column 2: the text is not UTF-8");
        let error = values().read("no/such.csv").unwrap_err().to_string();
        assert!(error.starts_with("no/such.csv: "), "{error}");
    }

    #[test]
    fn no_damage_panics() {
        let table = b"a,b,\"c\"\n1,2,x\n3.5,-4e2,\"y\"\n5,6,x\n";
        for file in [&table[..], &gzip(table)] {
            maltreat(file, |bytes| {
                for csv in [Csv::classification("c"), Csv::classification(2), Csv::regression(0)] {
                    let _ = csv.parse(bytes);
                }
            });
        }
    }
}
