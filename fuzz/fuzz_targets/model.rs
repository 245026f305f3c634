#![no_main]
//! Networks in files, with the program's metadata.

use gradus::Network;
use gradus::save::Registry;
use gradus_cli::metadata::{Metadata, Preprocessing};
use gradus_cli::picture;
use gradus_fuzz::{use_network, with_any_length};
use libfuzzer_sys::fuzz_target;

const PICTURE: &[u8] = include_bytes!("../seeds/picture/dark.png");

fuzz_target!(|file: &[u8]| with_any_length(file, read));

fn read(file: &[u8]) {
    if let Ok(network) = Network::from_bytes(file, &Registry::default()) {
        use_network(&network);
        let Ok(metadata) = Metadata::of(&network) else { return };
        if network.input_shape().size() <= 4096
            && let Some(Preprocessing::Character(frame)) = metadata.preprocessing_for(&network)
        {
            let x = picture::from_bytes(PICTURE, frame).expect("there is ink on the picture");
            assert_eq!(x.len(), network.input_shape().size());
        }
    }
}
