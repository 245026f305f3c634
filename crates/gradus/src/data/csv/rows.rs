//! The rows of a table, and what their cells hold.

use std::collections::VecDeque;
use std::io::{self, Chain, ErrorKind, Read};

use ::csv::{ErrorKind as CsvErrorKind, ReaderBuilder, StringRecord, Terminator};

use crate::Float;
use crate::error::plural;

/// The words for a value that is missing, as pandas reads them.
const MISSING: [&str; 19] = [
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
];

/// Whether the cell says that there is no value.
pub fn is_missing(cell: &str) -> bool {
    MISSING.contains(&cell)
}

/// A finite number, or what is wrong with the cell.
pub fn number(cell: &str) -> Result<f64, String> {
    match cell.parse::<f64>() {
        Ok(number) if (number as Float).is_finite() => Ok(number),
        Ok(number) if number.is_finite() || cell.contains(|c: char| c.is_ascii_digit()) => Err(format!(
            "`{}` is too large: numbers have {} bits, and are {:e} at most",
            shortened(cell),
            8 * size_of::<Float>(),
            Float::MAX
        )),
        Ok(_) => Err(format!("`{}` is not a finite number", shortened(cell))),
        Err(_) if cell.is_empty() => Err("the cell is empty, and should be a number".into()),
        Err(_) if cell.contains(',') && cell.replace(',', "").parse::<f64>().is_ok() => Err(format!(
            "`{}` is not a number: write it without commas, decimals with a point",
            shortened(cell)
        )),
        Err(_) if cell.eq_ignore_ascii_case("true") || cell.eq_ignore_ascii_case("false") => {
            Err(format!("`{cell}` is not a number: write 1 for true and 0 for false"))
        }
        Err(_) => Err(format!("`{}` is not a number", shortened(cell))),
    }
}

/// The cell, or its beginning and an ellipsis.
pub fn shortened(cell: &str) -> String {
    const MOST: usize = 40;
    match cell.char_indices().nth(MOST) {
        Some(_) => cell.chars().take(MOST - 1).chain(['…']).collect(),
        None => cell.into(),
    }
}

/// Texts with commas between; of many, the first.
pub fn shortened_list(texts: &[impl AsRef<str>]) -> String {
    const MOST: usize = 20;
    let list: Vec<String> = texts.iter().take(MOST).map(|text| shortened(text.as_ref())).collect();
    let more = if texts.len() > MOST { ", ..." } else { "" };
    format!("{}{more}", list.join(", "))
}

/// What separates the cells of this text, of which the last line `is_cut` off or not: the semicolons, tabs or bars that its first
/// two lines have the same number of outside quotes, or that the first has without a comma; or else commas.
pub fn likely_delimiter(text: &[u8], is_cut: bool) -> u8 {
    let mut quoted = false;
    let lines = text.split(|&byte| {
        quoted ^= byte == b'"';
        byte == b'\n' && !quoted
    });
    let mut lines: Vec<&[u8]> = lines.collect();
    if is_cut && lines.len() > 1 {
        lines.pop();
    }
    lines.retain(|line| !line.trim_ascii().is_empty());
    let first = lines.first().copied().unwrap_or_default();
    let second = lines.get(1).copied().unwrap_or(first);
    let count = |delimiter: &u8| outside_quotes(first, *delimiter);
    let recurs = |delimiter: &u8| count(delimiter) > 0 && count(delimiter) == outside_quotes(second, *delimiter);
    // By commas, a first line without one would be a single cell. By what it has, a row of another length is named.
    let is_alone = |delimiter: &u8| count(delimiter) > 0 && count(&b',') == 0;
    let others = [b';', b'\t', b'|'];
    let found = others
        .iter()
        .find(|other| recurs(other))
        .or_else(|| others.iter().find(|other| is_alone(other)));
    *found.unwrap_or(&b',')
}

fn outside_quotes(line: &[u8], delimiter: u8) -> usize {
    let mut quoted = false;
    let is_outside = |&&byte: &&u8| {
        quoted ^= byte == b'"';
        byte == delimiter && !quoted
    };
    line.iter().filter(is_outside).count()
}

/// The longest line that is read: its cells take many times its bytes, and a large file of one line would fill memory.
pub const LONGEST_LINE: usize = 16 << 20;
/// How many bytes of rows are looked at ahead; one more row may exceed it.
const MOST_AHEAD: usize = 64 << 20;

/// Reads a text, and fails where a line has more bytes than [`LONGEST_LINE`].
pub struct Lines<R> {
    reader: R,
    /// The number of the present line, from 1, and how many of its bytes were read.
    line: u64,
    length: usize,
}

impl<R> Lines<R> {
    pub fn new(reader: R) -> Self {
        Lines {
            reader,
            line: 1,
            length: 0,
        }
    }
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        for piece in buffer[..count].split_inclusive(|&byte| byte == b'\n') {
            self.length += piece.len();
            if self.length > LONGEST_LINE {
                return Err(io::Error::new(
                    ErrorKind::FileTooLarge,
                    format!(
                        "line {} is longer than {} MiB, the most that is read of one: each row of a table is a line, which ends \
                         in a line feed",
                        self.line,
                        LONGEST_LINE >> 20
                    ),
                ));
            }
            if piece.ends_with(b"\n") {
                (self.line, self.length) = (self.line + 1, 0);
            }
        }
        Ok(count)
    }
}

/// A row, and the line it is on, counted from 1.
pub struct Row {
    pub cells: StringRecord,
    pub line: u64,
}

/// The rows of a table, one after the other, all of one length; empty lines are skipped.
pub struct Rows<R> {
    reader: ::csv::Reader<Chain<R, &'static [u8]>>,
    /// Rows that were looked at ahead.
    ahead: VecDeque<Row>,
    length: Option<usize>,
}

impl<R: Read> Rows<R> {
    pub fn new(reader: R, delimiter: u8) -> Self {
        // Lines are counted rightly only if they end in one byte, the last one too; a carriage return before it is trimmed from
        // the last cell.
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .terminator(Terminator::Any(b'\n'))
            .from_reader(reader.chain(&b"\n"[..]));
        Rows {
            reader,
            ahead: VecDeque::new(),
            length: None,
        }
    }

    /// The next row, if there is one.
    pub fn next(&mut self) -> Result<Option<Row>, String> {
        match self.ahead.pop_front() {
            Some(row) => Ok(Some(row)),
            None => self.read(),
        }
    }

    /// The next rows, at most `count`, which stay to be read; fewer where they are long.
    pub fn peek(&mut self, count: usize) -> Result<&[Row], String> {
        let mut bytes: usize = self.ahead.iter().map(|row| row.cells.as_slice().len()).sum();
        while self.ahead.len() < count && bytes < MOST_AHEAD {
            let Some(row) = self.read()? else { break };
            bytes += row.cells.as_slice().len();
            self.ahead.push_back(row);
        }
        Ok(self.ahead.make_contiguous())
    }

    fn read(&mut self) -> Result<Option<Row>, String> {
        let mut cells = StringRecord::new();
        loop {
            if let Err(error) = self.reader.read_record(&mut cells) {
                return Err(match error.kind() {
                    CsvErrorKind::Utf8 { err, .. } => {
                        format!(
                            "line {}, column {}: the text is not UTF-8",
                            self.line(1),
                            err.field() + 1
                        )
                    }
                    _ => error.to_string(),
                });
            }
            if cells.is_empty() {
                return Ok(None);
            }
            let breaks: usize = cells.iter().map(|cell| cell.matches('\n').count()).sum();
            // A row that ends with the text, inside a quote, has no line break behind it.
            let open = cells.iter().next_back().is_some_and(|cell| cell.ends_with('\n'));
            let line = self.line(breaks + usize::from(!open));
            // Before cells are trimmed: an open quote in the last line holds nothing but its end.
            if let Some(i) = cells.iter().position(|cell| cell.contains('\n')) {
                return Err(format!(
                    "line {line}, column {}: the cell begins with a quote and goes on over the end of the line: close the \
                     quote, or remove it",
                    i + 1
                ));
            }
            cells.trim();
            if let Some(i) = cells.iter().position(|cell| cell.contains('\r')) {
                return Err(format!(
                    "line {line}, column {}: there is a carriage return in the cell: lines have to end in a line feed",
                    i + 1
                ));
            }
            if cells.len() > 1 || !cells[0].is_empty() {
                return self.of_one_length(cells, line).map(Some);
            }
        }
    }

    /// The line on which the row that was just read begins, given the number of line breaks in it and after it.
    fn line(&self, breaks: usize) -> u64 {
        self.reader.position().line().saturating_sub(breaks as u64).max(1)
    }

    fn of_one_length(&mut self, cells: StringRecord, line: u64) -> Result<Row, String> {
        let length = *self.length.get_or_insert(cells.len());
        if cells.len() != length {
            let found = plural(cells.len(), "cell");
            return Err(format!("line {line}: the row has {found}, and the first has {length}"));
        }
        Ok(Row { cells, line })
    }
}
