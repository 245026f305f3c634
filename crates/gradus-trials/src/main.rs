//! Tries random networks: see the documentation of the crate.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use gradus_trials::Report;

/// Compares random networks, in every way that Gradus computes them, with plain loops.
#[derive(Parser)]
struct Options {
    /// The seed of the cases; without it, another every time.
    #[arg(long)]
    seed: Option<u64>,
    /// The number of cases.
    #[arg(long, default_value_t = 300)]
    cases: u64,
    /// Try this case alone.
    #[arg(long, value_name = "NUMBER")]
    case: Option<u64>,
    /// Leave out compiling the source files.
    #[arg(long)]
    no_compilers: bool,
    /// A Python with NumPy, onnx and onnxruntime, with PyTorch, or with all of them, to compare with.
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let seed = options.seed.unwrap_or_else(|| {
        let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        time.map_or(0, |time| time.as_secs())
    });
    println!("seed {seed}");
    let numbers = options
        .case
        .map_or(0..options.cases, |case| case..case.saturating_add(1));
    let comparisons = gradus_trials::Options {
        compiles: !options.no_compilers,
        python: options.python.map(program).transpose()?,
    };
    // Compilers take hundreds of networks at a time.
    let mut report = Report::default();
    for start in numbers.clone().step_by(300) {
        let some = start..(start + 300).min(numbers.end);
        report.add(gradus_trials::run(seed, some, &comparisons)?);
    }
    print!("{report}");
    let wrong: BTreeSet<u64> = report.failures.iter().map(|(case, _)| case.number).collect();
    println!(
        "{} cases, {} of them wrong; {} steps at a kink",
        report.cases,
        wrong.len(),
        report.kinks
    );
    Ok(if wrong.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A program by its path from any folder, or by its name.
fn program(path: PathBuf) -> std::io::Result<PathBuf> {
    if path.components().count() == 1 {
        return Ok(path);
    }
    std::path::absolute(path)
}
