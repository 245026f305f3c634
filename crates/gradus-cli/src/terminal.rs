//! What people read: standard output and standard error.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::path::Path;

use crate::numbers::plural;

/// The most characters of a name that a table shows.
const MAX_NAME: usize = 60;
/// The most names that a list shows.
const MAX_LISTED: usize = 100;
/// The most bytes of an error: a list of twenty faulty files is not as long, each with a sentence of the library.
const MAX_ERROR_BYTES: usize = 1 << 15;

/// Standard output. Control characters are written escaped, since names and notes come from files; and a command finishes its work
/// whether or not its output can be written, which [`finish`](Output::finish) says.
#[derive(Debug)]
pub struct Output<W> {
    inner: W,
    failed: Option<io::Error>,
}

impl<W: Write> Output<W> {
    /// Writes to this.
    pub fn new(inner: W) -> Self {
        Output { inner, failed: None }
    }

    /// Writes all that is buffered.
    ///
    /// # Errors
    /// The first error of all writes.
    pub fn finish(mut self) -> io::Result<()> {
        self.attempt(|inner| inner.flush());
        self.failed.map_or(Ok(()), Err)
    }

    /// After the first failure nothing more is written.
    fn attempt(&mut self, write: impl FnOnce(&mut W) -> io::Result<()>) {
        if self.failed.is_none() {
            self.failed = write(&mut self.inner).err();
        }
    }
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        self.attempt(|inner| inner.write_all(escaped(&text, &['\n']).as_bytes()));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.attempt(|inner| inner.flush());
        Ok(())
    }
}

/// Writes a line to standard error, escaped; nobody has to be there to read it.
pub fn eprint_line(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{}", escaped(&line.to_string(), &['\n']));
}

/// Writes an error to standard error, in one line, without the middle of what is too long.
pub fn eprint_error(error: &anyhow::Error) {
    eprint_line(format_args!("error: {}", one_line(&error_sentence(error))));
}

/// What happened, and why: down to the library's sentence, which has its own cause in it.
pub fn error_sentence(error: &anyhow::Error) -> String {
    let mut sentences = Vec::new();
    for cause in error.chain() {
        sentences.push(cause.to_string());
        if cause.is::<gradus::Error>() {
            break;
        }
    }
    sentences.join(": ")
}

/// A text of a file, such as a path, in one line: without the middle of its long words and without what would change a terminal.
pub fn one_line(text: &str) -> String {
    escaped(&shortened(text), &[]).into_owned()
}

/// The sentence, without the middle of its long words; and without its own, if it is longer than any list of faults.
pub fn shortened(sentence: &str) -> String {
    let without_middle = |text: &str| gradus::Error::invalid(text).to_string();
    let words: String = sentence.split_inclusive(' ').map(without_middle).collect();
    if words.len() > MAX_ERROR_BYTES {
        without_middle(&words)
    } else {
        words
    }
}

/// A name in a table: in one line, no longer than a line, and without what would change a terminal.
pub fn display_name(name: &str) -> String {
    let mut shown: String = name.chars().take(MAX_NAME).collect();
    if shown.len() < name.len() {
        shown.pop();
        shown.push('…');
    }
    escaped(&shown, &[]).into_owned()
}

/// Names in a sentence, as in a table; of very many, the first.
pub fn display_list(names: &[String]) -> String {
    let first: Vec<String> = names.iter().take(MAX_LISTED).map(|name| display_name(name)).collect();
    match names.len().saturating_sub(MAX_LISTED) {
        0 => first.join(", "),
        others => format!("{} and {}", first.join(", "), plural(others, "other")),
    }
}

/// A path as text, for other programs: as near as text comes.
pub fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The text with its control characters escaped, but for these.
fn escaped<'t>(text: &'t str, but: &[char]) -> Cow<'t, str> {
    let is_odd = |c: char| is_control(c) && !but.contains(&c);
    if !text.contains(is_odd) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_odd(c) {
            // Writing into a String can't fail.
            let _ = write!(escaped, "{}", c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    escaped.into()
}

/// Whether a terminal takes this for an instruction: C0, C1, and those that change the direction or the lines of a text.
pub fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let refused = gradus::Error::io("a.csv", "can't be read", io::ErrorKind::NotFound.into());
        let error = anyhow::Error::from(refused).context("the table");
        assert_eq!(
            error_sentence(&error),
            "the table: a.csv: can't be read: there is no such file or folder"
        );
    }

    #[test]
    fn instructions_for_the_terminal_are_escaped() {
        let mut bytes = Vec::new();
        let mut out = Output::new(&mut bytes);
        let title = "\x1b]0;t\x1b\\";
        writeln!(out, "a\x1b[2Jb\u{9b}1m\x07\r{title}\u{202e}é → ×").unwrap();
        out.finish().unwrap();
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "a\\u{1b}[2Jb\\u{9b}1m\\u{7}\\r\\u{1b}]0;t\\u{1b}\\\\u{202e}é → ×\n"
        );
        assert_eq!(display_name("cat\ndog\t"), "cat\\ndog\\t");
        let long = display_name(&"é".repeat(1 << 20));
        assert_eq!((long.chars().count(), long.ends_with('…')), (MAX_NAME, true));
        assert_eq!(display_name(&"é".repeat(MAX_NAME)), "é".repeat(MAX_NAME));
    }

    #[test]
    fn lists_of_names_have_an_end() {
        let names = |count: usize| (0..count).map(|i| format!("{i}\n")).collect::<Vec<_>>();
        assert_eq!(display_list(&names(2)), "0\\n, 1\\n");
        assert!(display_list(&names(MAX_LISTED)).ends_with(", 99\\n"));
        assert!(display_list(&names(MAX_LISTED + 7)).ends_with(", 99\\n and 7 others"));
        assert!(display_list(&names(MAX_LISTED + 1)).ends_with(", 99\\n and 1 other"));
        assert!(display_list(&["x".repeat(1 << 20)]).len() < 100);
        assert_eq!(one_line("a b\nc"), "a b\\nc");
    }

    #[test]
    fn lists_are_whole_and_words_are_not_endless() {
        let list: String = (0..400)
            .map(|i| format!(" class/{i}.png: the file is empty;"))
            .collect();
        assert_eq!(shortened(&list), list);
        let word = shortened(&format!("no column `{}`: name another", "é".repeat(1 << 20)));
        assert!(
            word.len() < 1100 && word.starts_with("no column `é") && word.ends_with("`: name another"),
            "{word}"
        );
        assert!(shortened(&"a ".repeat(1 << 20)).len() < 1100);
    }

    /// Room for a few bytes.
    struct Full(usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let count = bytes.len().min(self.0);
            self.0 -= count;
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_output_is_no_reason_to_stop() {
        let mut out = Output::new(Full(10));
        for i in 0..10 {
            writeln!(out, "line {i}").unwrap();
        }
        out.flush().unwrap();
        assert_eq!(out.finish().unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
