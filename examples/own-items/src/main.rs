//! The program `gradus` with items of one's own, which are used by their names as ours are: in options, in declared networks, in files
//! and when training is resumed.
//!
//! ```sh
//! cargo run -- train network.toml --data digits --loss focal:gamma=1 --optimizer sign --schedule harmonic:decay=0.5 \
//!     --metric accuracy,margin --augment mirror:probability=0.1
//! cargo run -- evaluate runs/train/network.safetensors
//! ```

mod focal;
mod harmonic;
mod identity;
mod margin;
mod mirror;
mod scale;
mod sign;

use std::process::ExitCode;

use gradus::{Registry, Result};

fn registry() -> Result<Registry> {
    let mut registry = Registry::default();
    registry.layers.register::<scale::Scale>("scale")?;
    registry.losses.register::<focal::Focal>("focal")?;
    registry.optimizers.register::<sign::Sign>("sign")?;
    registry.schedules.register::<harmonic::Harmonic>("harmonic")?;
    registry.metrics.register::<margin::Margin>("margin")?;
    registry.initializers.register::<identity::Identity>("identity")?;
    registry.augmentations.register::<mirror::Mirror>("mirror")?;
    Ok(registry)
}

fn main() -> ExitCode {
    match registry() {
        Ok(registry) => gradus_cli::main_with(registry),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
