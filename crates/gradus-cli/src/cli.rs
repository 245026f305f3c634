//! The commands, one in each file.

mod compare;
mod data;
mod evaluate;
mod experiment;
mod export;
mod import;
mod interrupt;
mod options;
mod predict;
pub mod recipe;
mod summary;
mod train;

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::LazyLock;

use anyhow::{Result, ensure};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use serde_json::Value;

use gradus::Float;
use gradus::save::atomic;
use gradus_kernels::{Arch, arch};

use crate::output::CommandFiles;
use crate::terminal::{Output, eprint_error, eprint_line};

/// The version, the type of all numbers, and the instructions that they are computed by, as in `0.1.0 (f32, AVX2)`.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let instructions = match arch() {
        Arch::Avx512 => "AVX-512",
        Arch::Avx2 => "AVX2",
        Arch::Plain if cfg!(target_arch = "x86_64") => "SSE2",
        Arch::Plain if cfg!(target_arch = "aarch64") => "NEON",
        Arch::Plain => "no vector instructions",
    };
    let version = env!("CARGO_PKG_VERSION");
    format!("{version} ({}, {instructions})", std::any::type_name::<Float>())
});

/// Neural networks from scratch: trains, compares, evaluates and shows them.
#[derive(Debug, Parser)]
#[command(name = "gradus", version = VERSION.as_str(), propagate_version = true, max_term_width = 100)]
#[command(after_help = "Each command explains itself: gradus help data")]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    settings: GlobalOptions,
}

#[derive(Debug, Subcommand)]
enum Command {
    Compare(compare::Compare),
    Experiment(experiment::RunExperiment),
    Train(Box<train::Train>),
    Evaluate(evaluate::Evaluate),
    Predict(predict::Predict),
    Export(export::Export),
    Summary(summary::Summary),
    Import(import::Import),
    #[command(subcommand)]
    Data(data::DataCommand),
}

impl Command {
    /// What it reads and writes.
    fn files(&self) -> CommandFiles {
        match self {
            Command::Compare(options) => options.files(),
            Command::Experiment(options) => options.files(),
            Command::Train(options) => options.files(),
            Command::Evaluate(options) => options.files(),
            Command::Predict(options) => options.files(),
            Command::Export(options) => options.files(),
            Command::Summary(options) => options.files(),
            Command::Import(options) => options.files(),
            Command::Data(command) => command.files(),
        }
    }
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct GlobalOptions {
    /// Decides every random number: the same seed gives the same result, bit for bit, on any number of threads
    #[arg(long, global = true, default_value_t = 42, value_name = "N")]
    pub seed: u64,
    /// Threads to compute with [default: one for each core]
    #[arg(long, global = true, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    /// Also write the results into this file, for other programs
    #[arg(long, global = true, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Show the results only, no progress
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

impl GlobalOptions {
    /// The number of threads to compute with.
    pub fn thread_count(&self) -> usize {
        let all = || std::thread::available_parallelism();
        self.threads.map_or_else(|| all().map_or(1, usize::from), usize::from)
    }
}

/// Runs the program: 0 if all went well, 1 and one sentence if not, 2 for wrong usage, 130 if it was interrupted. Where standard output
/// can't be written, the work is done all the same: that it was closed early is no failure, that it was full is one.
pub fn main() -> ExitCode {
    let parsed = with_negative_numbers(Cli::command()).try_get_matches();
    let Cli { command, settings } = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(usage) => return explain(&usage),
    };
    let mut out = Output::new(io::stdout().lock());
    let done = run(&command, &settings, &mut out);
    let printed = out.finish();
    match done {
        Ok(()) => code_of(printed, ExitCode::SUCCESS),
        Err(error) => {
            if let Some(interrupted) = error.downcast_ref::<interrupt::Interrupted>() {
                eprint_line(format_args!("{interrupted}"));
                return interrupt::exit_code();
            }
            eprint_error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Lets options have negative numbers, so that an error says what is wrong with one instead of calling it an option.
fn with_negative_numbers(command: clap::Command) -> clap::Command {
    let allow = |option: clap::Arg| match option.get_action().takes_values() {
        true => option.allow_negative_numbers(true),
        false => option,
    };
    command.mut_args(allow).mut_subcommands(with_negative_numbers)
}

/// Prints wrong usage, or the help or version that was asked for.
fn explain(usage: &clap::Error) -> ExitCode {
    let printed = usage.print().and_then(|()| io::stdout().flush());
    code_of(printed, u8::try_from(usage.exit_code()).unwrap_or(1).into())
}

/// The exit code, unless the output could not be written. Whoever closed it has seen enough.
fn code_of(printed: io::Result<()>, code: ExitCode) -> ExitCode {
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprint_line(format_args!("error: standard output can't be written: {error}"));
            ExitCode::FAILURE
        }
        _ => code,
    }
}

fn run(command: &Command, settings: &GlobalOptions, out: &mut dyn Write) -> Result<()> {
    let mut files = command.files();
    if let Some(path) = &settings.json {
        check_place(path)?;
        files.writes.push(path.clone());
    }
    files.check()?;
    let results = match command {
        Command::Compare(options) => compare::run(options, settings, out)?,
        Command::Experiment(options) => experiment::run(options, settings, out)?,
        Command::Train(options) => train::run(options, settings, out)?,
        Command::Evaluate(options) => evaluate::run(options, settings, out)?,
        Command::Predict(options) => predict::run(options, settings, out)?,
        Command::Export(options) => export::run(options, settings, out)?,
        Command::Summary(options) => summary::run(options, settings, out)?,
        Command::Import(options) => import::run(options, out)?,
        Command::Data(command) => data::run(command, settings, out)?,
    };
    out.flush()?;
    match &settings.json {
        Some(path) => write_json(path, &results),
        None => Ok(()),
    }
}

/// Refuses a path at which no file can be, before the command has worked for it.
fn check_place(path: &std::path::Path) -> Result<()> {
    ensure!(
        !path.is_dir(),
        "--json {}: that is a folder; name a file",
        path.display()
    );
    let parents = path.ancestors().skip(1);
    if let Some(parent) = parents.into_iter().find(|parent| parent.exists()) {
        ensure!(
            parent.is_dir(),
            "--json {}: {} is no folder",
            path.display(),
            parent.display()
        );
    }
    Ok(())
}

fn write_json(path: &std::path::Path, results: &Value) -> Result<()> {
    let mut text = serde_json::to_string_pretty(results)?;
    text.push('\n');
    Ok(atomic::write(path, text.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_option_is_explained() {
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments() {
                assert!(
                    argument.get_help().is_some(),
                    "{} {}",
                    command.get_name(),
                    argument.get_id()
                );
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }
}
