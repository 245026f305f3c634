//! What is unpacked is what was published.

use std::path::Path;

use gradus_mnist::{CLASSES, Images, PIXELS, SIDE};
use sha2::{Digest, Sha256};

/// An IDX file's bytes: unsigned bytes of these dimensions.
fn idx(dims: &[usize], values: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, dims.len() as u8];
    file.extend(dims.iter().flat_map(|&d| (d as u32).to_be_bytes()));
    file.extend(values);
    file
}

/// The four files, as they are published.
fn files() -> [(&'static str, Vec<u8>); 4] {
    let (train, test) = gradus_mnist::load().unwrap();
    let images = |images: &Images| idx(&[images.labels.len(), SIDE, SIDE], &images.pixels);
    let labels = |images: &Images| idx(&[images.labels.len()], &images.labels);
    [
        ("train-images-idx3-ubyte", images(&train)),
        ("train-labels-idx1-ubyte", labels(&train)),
        ("t10k-images-idx3-ubyte", images(&test)),
        ("t10k-labels-idx1-ubyte", labels(&test)),
    ]
}

#[test]
fn all_bytes_are_the_published_ones() {
    let sums = [
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ];
    for ((name, file), expected) in files().iter().zip(sums) {
        let sum: String = Sha256::digest(file).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(sum, expected, "{name}");
    }
}

/// The test compares the files in the folder that `GRADUS_DATA_DIR` names, if there are any: unlike sums, they show where bytes
/// differ.
#[test]
fn all_bytes_are_those_of_the_files_at_hand() {
    let Some(folder) = std::env::var_os("GRADUS_DATA_DIR") else {
        return;
    };
    for (name, file) in files() {
        let path = Path::new(&folder).join(format!("{name}.gz"));
        let Ok(packed) = std::fs::File::open(path) else {
            continue;
        };
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(packed), &mut content).unwrap();
        let first = file.iter().zip(&content).position(|(a, b)| a != b);
        assert_eq!((first, file.len()), (None, content.len()), "{name}");
    }
}

#[test]
fn the_parts_are_those_of_the_whole() {
    let (train, test) = gradus_mnist::load().unwrap();
    assert_eq!(
        (gradus_mnist::train().unwrap(), gradus_mnist::test().unwrap()),
        (train.clone(), test)
    );
    assert_eq!(train.pixels.len(), 60_000 * PIXELS);
    assert!(train.labels.iter().all(|&label| usize::from(label) < CLASSES));
}

/// All compressed files together stay small, since every clone has them.
#[test]
fn the_files_are_small() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    let sizes = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len());
    assert!(sizes.sum::<u64>() < 9_600_000);
}
