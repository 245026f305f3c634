//! What can go wrong, each as one sentence that a person can act on.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// A `Result` whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that the library refuses. The variant is its kind; [`Display`](fmt::Display) prints one full sentence that names the
/// thing, what was expected and what was found.
///
/// Where the operating system refused a file, [`source`](std::error::Error::source) returns its [`io::Error`]:
///
/// ```
/// use std::{error::Error, io};
/// use gradus::Network;
///
/// let error = Network::load("missing.safetensors").unwrap_err();
/// assert_eq!(error.to_string(), "missing.safetensors: can't be read: there is no such file or folder");
/// let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
/// assert_eq!(cause.map(io::Error::kind), Some(io::ErrorKind::NotFound));
/// ```
#[non_exhaustive]
pub enum Error {
    /// A network that can't be built: the layer, by position and kind, and what is wrong with it.
    #[non_exhaustive]
    Build {
        /// The layer, as in `layer 3 (conv2d)`.
        layer: String,
        /// What it got and what it needs.
        message: String,
    },
    /// A setting or an argument that makes no sense.
    Invalid(String),
    /// Data that can't be used: empty, misshapen, labels out of range, not finite.
    Data(String),
    /// A file that can't be read or written.
    #[non_exhaustive]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
        /// What the operating system said, if it refused the file.
        source: Option<io::Error>,
    },
    /// Training was interrupted, as [`Fit::interrupt_when`](crate::Fit::interrupt_when) asked.
    #[non_exhaustive]
    Interrupted {
        /// The epoch, from 1, and its steps that were done.
        epoch: usize,
        /// The same.
        step: usize,
        /// Where training can go on from, if that was saved.
        checkpoint: Option<PathBuf>,
    },
    /// Training left the range of numbers: the loss became infinite or NaN.
    #[non_exhaustive]
    Diverged {
        /// The layer in which the first such value appeared; or that it was in validation.
        layer: String,
        /// When, and what can be done.
        message: String,
    },
}

impl Error {
    /// [`Error::Build`] for this layer, with this sentence; one of more than 1,000 bytes loses its middle.
    pub fn build(layer: impl Into<String>, message: impl Into<String>) -> Self {
        Error::Build {
            layer: layer.into(),
            message: shortened(message.into()),
        }
    }

    /// [`Error::Invalid`] with this sentence; one of more than 1,000 bytes loses its middle.
    pub fn invalid(message: impl Into<String>) -> Self {
        Error::Invalid(shortened(message.into()))
    }

    /// [`Error::Data`] with this sentence; one of more than 1,000 bytes loses its middle.
    pub fn data(message: impl Into<String>) -> Self {
        Error::Data(shortened(message.into()))
    }

    /// [`Error::File`] for this path, with this sentence; one of more than 1,000 bytes loses its middle.
    pub fn file(path: impl AsRef<Path>, message: impl fmt::Display) -> Self {
        Error::File {
            path: path.as_ref().to_path_buf(),
            message: shortened(message.to_string()),
            source: None,
        }
    }

    /// [`Error::File`] for a path that the operating system refused: `failure` says what failed, as in `can't be read`.
    pub fn io(path: impl AsRef<Path>, failure: impl fmt::Display, source: io::Error) -> Self {
        let message = match source.kind() {
            ErrorKind::NotFound => format!("{failure}: there is no such file or folder"),
            ErrorKind::PermissionDenied => format!("{failure}: you have no permission"),
            _ => format!("{failure}: {source}"),
        };
        Error::File {
            path: path.as_ref().to_path_buf(),
            message: shortened(message),
            source: Some(source),
        }
    }
}

/// The number, with the noun in the right form: `1 sample`, `2 samples`.
pub(crate) fn plural(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// The most bytes that are kept of a sentence: a quoted cell of a table, or a name in a file, may have any length.
const LONGEST: usize = 1000;

/// The sentence, without its middle if it is too long: the beginning names the thing, the end says what to do.
fn shortened(message: String) -> String {
    if message.len() <= LONGEST {
        return message;
    }
    let is_boundary = |&i: &usize| message.is_char_boundary(i);
    let head = (0..=LONGEST * 2 / 3).rev().find(is_boundary).unwrap_or(0);
    let tail = (message.len() - LONGEST / 3..message.len()).find(is_boundary);
    format!("{} […] {}", &message[..head], &message[tail.unwrap_or(message.len())..])
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Build { layer, message, .. } => write!(f, "{layer}: {message}"),
            Error::Invalid(message) | Error::Data(message) => f.write_str(message),
            Error::File { path, message, .. } => write!(f, "{}: {message}", path.display()),
            Error::Interrupted {
                epoch,
                step,
                checkpoint,
                ..
            } => {
                write!(f, "training was interrupted in epoch {epoch}, after step {step}")?;
                match checkpoint {
                    Some(path) => write!(f, "; it can go on from {}", path.display()),
                    None => Ok(()),
                }
            }
            Error::Diverged { layer, message, .. } => write!(f, "training diverged in {layer}: {message}"),
        }
    }
}

/// The same sentence: it is what a `main` that returns a [`Result`] prints.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::File {
                source: Some(source), ..
            } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_sentences_lose_their_middle() {
        let short = "é".repeat(LONGEST / 2);
        assert_eq!(Error::data(short.clone()).to_string(), short);
        for cell in ["x", "é", "語"] {
            let sentence = format!("line 2: `{}` is not a number", cell.repeat(1 << 20));
            for error in [
                Error::data(&*sentence),
                Error::invalid(&*sentence),
                Error::file("table.csv", &sentence),
            ] {
                let found = error.to_string();
                let mark = "table.csv: ".len() + " […] ".len();
                assert!(found.len() <= LONGEST + mark, "{}", found.len());
                assert!(
                    found.contains("line 2: `") && found.ends_with("` is not a number"),
                    "{found}"
                );
            }
        }
    }
}
