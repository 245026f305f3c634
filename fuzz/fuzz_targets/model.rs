#![no_main]
//! Networks in files, with the program's notes.

use gradus::Network;
use gradus::save::Registry;
use gradus_cli::notes::{Notes, Preprocessing};
use gradus_cli::picture;
use gradus_fuzz::{use_network, with_length};
use libfuzzer_sys::fuzz_target;
use serde_json::{Deserializer, Value};

const PICTURE: &[u8] = include_bytes!("../seeds/picture/dark.png");

fuzz_target!(|file: &[u8]| {
    read(file);
    // Few changes leave the header's length right, so it is set right too.
    let Some(rest) = file.get(8..) else { return };
    let mut values = Deserializer::from_slice(rest).into_iter::<Value>();
    if let Some(Ok(_)) = values.next() {
        let (header, tensors) = rest.split_at(values.byte_offset());
        read(&[&with_length(header)[..], tensors].concat());
    }
});

fn read(file: &[u8]) {
    if let Ok(network) = Network::from_bytes(file, &Registry::default()) {
        use_network(&network);
        let Ok(notes) = Notes::of(&network) else { return };
        if network.input_shape().size() <= 4096
            && let Some(Preprocessing::Character(frame)) = notes.preprocessing_for(&network)
        {
            let x = picture::from_bytes(PICTURE, frame).expect("there is ink on the picture");
            assert_eq!(x.len(), network.input_shape().size());
        }
    }
}
