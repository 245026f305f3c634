//! Ctrl-C: training finishes its step, saves, and says how to go on.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::terminal::{eprint_line, is_control};

/// Whether somebody asked to stop.
static ASKED: AtomicBool = AtomicBool::new(false);

/// What a shell gives for a program that Ctrl-C ended.
const CODE: u8 = 130;

/// Training that was interrupted, and how it goes on.
#[derive(Debug)]
pub struct Interrupted {
    what: String,
    command: String,
}

impl std::error::Error for Interrupted {}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; go on with\n  {}", self.what, self.command)
    }
}

/// From now on Ctrl-C, and a request to terminate, only make a note of that; asked again, the program ends at once. Gives what
/// tells whether there was one.
pub fn watch() -> impl Fn() -> bool {
    let noted = ctrlc::set_handler(|| {
        if ASKED.swap(true, Ordering::Relaxed) {
            std::process::exit(CODE.into());
        }
    });
    if let Err(error) = noted {
        eprint_line(format_args!(
            "note: Ctrl-C will not save where training stands: {error}"
        ));
    }
    || ASKED.load(Ordering::Relaxed)
}

/// The exit code of an interrupted program.
pub fn exit_code() -> ExitCode {
    CODE.into()
}

/// The error of training that was interrupted, with the command that goes on.
pub fn explained(error: anyhow::Error) -> anyhow::Error {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    if !arguments.iter().any(|argument| argument == "--resume") {
        arguments.push("--resume".into());
    }
    let what = match error.downcast_ref() {
        Some(gradus::Error::Interrupted { epoch, step, .. }) => {
            format!("training was interrupted in epoch {epoch}, after step {step}")
        }
        _ => error.to_string(),
    };
    let arguments: Vec<String> = arguments.iter().map(|argument| quoted(argument)).collect();
    Interrupted {
        what,
        command: arguments.join(" "),
    }
    .into()
}

/// An argument as a shell takes it.
fn quoted(argument: &OsStr) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+@%".contains(c);
    match argument.to_str() {
        Some(text) if !text.is_empty() && text.chars().all(plain) => text.to_string(),
        Some(text) if !text.contains(is_control) => format!("'{}'", text.replace('\'', r"'\''")),
        _ => {
            // Byte by byte, as bash, zsh and POSIX (2024) read it.
            let bytes = argument.as_encoded_bytes().iter().map(|&byte| match byte {
                b'\'' | b'\\' => format!("\\{}", char::from(byte)),
                b' '..=b'~' => char::from(byte).to_string(),
                _ => format!("\\{byte:03o}"),
            });
            format!("$'{}'", bytes.collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted_where_a_shell_would_change_them() {
        for (argument, expected) in [
            ("--epochs=3", "--epochs=3"),
            ("my data", "'my data'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
            ("$HOME", "'$HOME'"),
            ("it's\x1b[2J\n", r"$'it\'s\033[2J\012'"),
        ] {
            assert_eq!(quoted(OsStr::new(argument)), expected);
        }
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStrExt;
            assert_eq!(quoted(OsStr::from_bytes(b"a\xff1.toml")), r"$'a\3771.toml'");
        }
    }
}
