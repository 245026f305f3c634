#![no_main]
//! Networks in ONNX files.

use gradus_fuzz::use_network;
use gradus_onnx::{Export, export, import};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let Ok(imported) = import(file) else { return };
    let network = imported.network;
    use_network(&network);
    let again = export(&network, &Export::default()).expect("it has our layers, and finite numbers");
    // A network of dropout alone becomes a graph that computes nothing.
    if let Ok(again) = import(&again) {
        assert_eq!(again.network.input_shape(), network.input_shape());
        assert_eq!(again.network.output_shape(), network.output_shape());
    }
});
