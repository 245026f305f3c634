#![no_main]
//! Pictures of characters, brought into the frame of a network's samples.

use gradus_cli::picture::{self, Frame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    for (height, width) in [(28, 28), (8, 8), (20, 40)] {
        let Ok(x) = picture::from_bytes(file, Frame::of_size(height, width)) else {
            continue;
        };
        assert_eq!(x.len(), height * width);
        assert!(x.iter().all(|v| (0.0..=1.0).contains(v)), "{x:?}");
        assert!(x.contains(&1.0), "the ink is not full");
    }
});
