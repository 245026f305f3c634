#![no_main]
//! Architectures in JSON: planned whatever their size, built and used if they are small.

use gradus::Network;
use gradus::save::Registry;
use gradus_fuzz::{build_and_use, without_tensors};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(declared) = serde_json::from_str(text) {
        let read = Network::from_bytes(&without_tensors(text), &Registry::default());
        assert!(read.is_err() || read.is_ok_and(|network| network.parameter_count() == 0));
        build_and_use(&declared);
    }
});
