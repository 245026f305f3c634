//! The parts of the program `gradus`: its commands, and the pictures, files and downloads that they need.
#![forbid(unsafe_code)]

pub mod classes;
pub mod cli;
pub mod data_source;
pub mod data_splits;
pub mod download;
pub mod experiment;
pub mod image;
pub mod metadata;
pub mod networks;
pub mod numbers;
pub mod output;
pub mod overlap;
pub mod picture;
pub mod plot;
pub mod registry;
pub mod suggestion;
pub mod table;
pub mod target_units;
pub mod terminal;
pub mod threads;

use std::process::ExitCode;

use gradus::Registry;

/// Runs the program `gradus` with what this registry has: a program with layers, losses, optimizers, schedules, metrics,
/// initializers and augmentations of its own has them by name in all options, in declared networks, in files and in `--resume`.
///
/// ```no_run
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     let mut registry = gradus::Registry::default();
///     // registry.layers.register::<MyLayer>("my_layer") and the like
///     gradus_cli::main_with(registry)
/// }
/// ```
pub fn main_with(registry: Registry) -> ExitCode {
    if !registry::set(registry) {
        terminal::eprint_line(format_args!(
            "error: the program runs once in a process, and has run already"
        ));
        return ExitCode::FAILURE;
    }
    cli::main()
}
