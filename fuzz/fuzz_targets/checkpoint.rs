#![no_main]
//! Moments of training, from which it goes on.

use gradus::save::Checkpoint;
use gradus_fuzz::{small_fit, small_training, with_any_length};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| with_any_length(file, read));

fn read(file: &[u8]) {
    let Ok(checkpoint) = Checkpoint::from_bytes(file) else {
        return;
    };
    let _ = (checkpoint.position(), checkpoint.ended());
    assert_eq!(
        checkpoint.history().to_csv().lines().count(),
        1 + checkpoint.history().epochs.len()
    );
    let (mut network, data) = small_training();
    let path = std::env::temp_dir().join(format!("gradus-fuzz-{}.safetensors", std::process::id()));
    std::fs::write(&path, file).expect("there is room for a file");
    let _ = small_fit().resume(&path).run(&mut network, &data);
}
