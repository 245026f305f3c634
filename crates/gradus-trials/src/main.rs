//! Tries random networks: see the crate's documentation.

use std::collections::BTreeSet;
use std::process::ExitCode;

use clap::Parser;
use gradus_trials::Report;

/// Tries random networks in every way that Gradus has, against plain loops.
#[derive(Parser)]
struct Options {
    /// The seed of the cases; without it, another every time.
    #[arg(long)]
    seed: Option<u64>,
    /// The number of cases.
    #[arg(long, default_value_t = 300)]
    cases: u64,
    /// This case alone.
    #[arg(long, value_name = "NUMBER")]
    case: Option<u64>,
    /// Doesn't compile the source files.
    #[arg(long)]
    no_compilers: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let seed = options.seed.unwrap_or_else(|| {
        let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        time.map_or(0, |time| time.as_secs())
    });
    println!("seed {seed}");
    let numbers = options.case.map_or(0..options.cases, |case| case..case + 1);
    // Compilers take hundreds of networks at a time.
    let mut report = Report::default();
    for start in numbers.clone().step_by(300) {
        let some = start..(start + 300).min(numbers.end);
        report.add(gradus_trials::run(seed, some, !options.no_compilers)?);
    }
    print!("{report}");
    let wrong: BTreeSet<u64> = report.failures.iter().map(|(case, _)| case.number).collect();
    println!(
        "{} cases, {} of them wrong; {} steps at a kink",
        report.cases,
        wrong.len(),
        report.near_jumps
    );
    Ok(if wrong.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
