#![no_main]
//! IDX files, raw and gzipped.

use gradus::data::idx;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    if let Ok(idx) = idx::parse(file) {
        assert_eq!(idx.dims.iter().product::<usize>(), idx.bytes.len());
        assert!(!idx.dims.is_empty());
    }
});
