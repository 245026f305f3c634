#![no_main]
//! Tables, raw and gzipped, read in several ways.

use gradus::Float;
use gradus::data::{Column, Csv, Dataset, Target, Targets};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    for csv in [
        Csv::classification(Column::Last),
        Csv::classification("species").delimiter(b';'),
        Csv::classification(1).class_names(["b", "a"]).header(false),
        Csv::regression(0),
        Csv::regression(Column::NameOrIndex("1".into())).columns(["a", "0"]),
        Csv::regression(Column::Last).header(true).delimiter(b'\t'),
    ] {
        let Ok(data) = csv.parse(file) else { continue };
        let mut x: Vec<Float> = vec![0.0; data.shape().size()];
        assert!(!data.is_empty() && !x.is_empty());
        for i in 0..data.len() {
            data.read(i, &mut x).expect("every sample can be read");
            assert!(x.iter().all(|v| v.is_finite()));
            match (data.target(i), data.targets()) {
                (Target::Class(class), Targets::Classes(count)) => assert!(class < count),
                (Target::Values(values), Targets::Values(shape)) => {
                    assert_eq!(values.len(), shape.size());
                    assert!(values.iter().all(|v| v.is_finite()));
                }
                other => panic!("{other:?}"),
            }
        }
    }
});
