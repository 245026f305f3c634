//! What bfloat16 gives in training: `bench/BFLOAT16.md` says what came out.
//!
//! `cargo run --release -p bench-bfloat16` in `bench/`; with the word `accuracy`, also how well such a network learns.

mod products;
mod training;
mod turns;

use anyhow::Result;

fn main() -> Result<()> {
    products::compare();
    training::compare_speeds(std::thread::available_parallelism()?.get())?;
    if std::env::args().any(|word| word == "accuracy") {
        training::compare_accuracies()?;
    }
    Ok(())
}
