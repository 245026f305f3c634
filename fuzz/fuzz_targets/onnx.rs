#![no_main]
//! Networks in ONNX files.

use gradus_fuzz::use_network;
use gradus_onnx::{Export, export, import};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let Ok(imported) = import(file) else { return };
    let network = imported.network;
    use_network(&network);
    let how = Export {
        inputs: imported.inputs,
        outputs: imported.outputs,
        columns: imported.columns,
        ..Export::default()
    };
    let again = export(&network, &how).expect("it has our layers, and numbers and names that are good");
    // A network of dropout alone becomes a graph that computes nothing.
    if let Ok(again) = import(&again) {
        let scales = [(&again.inputs, &how.inputs), (&again.outputs, &how.outputs)];
        assert!(scales.iter().all(|(again, before)| again.is_some() == before.is_some()));
        assert_eq!(again.columns, how.columns);
        assert_eq!(again.network.input_shape(), network.input_shape());
        assert_eq!(again.network.output_shape(), network.output_shape());
    }
});
