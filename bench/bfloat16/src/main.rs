//! What bfloat16 would give for the dense layers of a small network: `bench/BFLOAT16.md` says what came out.
//!
//! `cargo run --release -p bench-bfloat16` in `bench/`; with the word `accuracy`, also how well such a network learns.

mod accuracy;
mod kernel;
mod step;

use anyhow::{Result, ensure};

fn main() -> Result<()> {
    ensure!(kernel::available(), "this processor has no AVX512-BF16");
    step::measure(std::thread::available_parallelism()?.get())?;
    if std::env::args().any(|word| word == "accuracy") {
        accuracy::compare()?;
    }
    Ok(())
}
