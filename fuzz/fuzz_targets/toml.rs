#![no_main]
//! Networks declared in TOML.

use gradus_fuzz::build_and_use;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(declared) = gradus_cli::networks::parse(text, Some("toml")) {
        build_and_use(&declared);
    }
});
