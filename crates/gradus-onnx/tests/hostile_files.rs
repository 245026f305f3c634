//! A file can claim anything, and be damaged anywhere: it is refused with a sentence, or read, and takes no more memory than is
//! said.

#[path = "../../gradus/tests/common/allocator.rs"]
mod allocator;

use std::fs;
use std::path::Path;

use allocator::allocated;
use gradus::prelude::*;
use gradus_onnx::{Export, export, import};

/// Imports a file, if it can be, within the memory that is promised.
fn read(file: &[u8]) {
    let (_, allocated) = allocated(|| {
        if let Err(error) = import(file) {
            assert!(!error.to_string().is_empty());
        }
    });
    let most = 64 * file.len() + (1 << 20);
    assert!(
        allocated <= most,
        "{allocated} bytes allocated for a file of {}",
        file.len()
    );
}

// One test, since the allocator counts for all of them.
#[test]
fn files_of_all_kinds_take_little_memory() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for name in ["torch_mlp_old", "keras_gray", "sklearn_classes"] {
        let file = fs::read(folder.join(format!("{name}.onnx"))).unwrap();
        for end in 0..file.len() {
            read(&file[..end]);
        }
        for i in 0..file.len() {
            for change in [1, 0x80, 0xff] {
                let mut damaged = file.clone();
                damaged[i] ^= change;
                read(&damaged);
            }
        }
    }
    // Many small layers; many layers in blocks.
    let rectifiers = (0..2000).fold(Layers::new(), |layers, _| layers.layer(Relu));
    let blocks = (0..900).fold(Layers::new(), |layers, _| {
        layers.layer(Residual::new(Layers::new().layer(Tanh)))
    });
    for layers in [rectifiers, blocks] {
        let network = Sequential::new([1]).layers(layers).build(1).unwrap();
        let file = export(&network, &Export::default()).unwrap();
        assert!(import(&file).is_ok());
        read(&file);
    }
    // Nodes, tensors and numbers as short as they can be written.
    for message in [
        &b"\x0a\x03\x22\x01A"[..],
        b"\x2a\x02\x10\x01",
        b"\x2a\x06\x0a\x04\x01\x01\x01\x01",
        b"\x5a\x03\x0a\x01a",
    ] {
        let graph = message.repeat(100_000);
        let mut file = vec![0x3a];
        let mut length = graph.len();
        while length >= 0x80 {
            file.push(length as u8 | 0x80);
            length >>= 7;
        }
        file.push(length as u8);
        file.extend(graph);
        read(&file);
    }
}
