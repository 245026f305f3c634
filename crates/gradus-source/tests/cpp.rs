//! Files in C, called from C++.

use std::path::Path;
use std::process::Command;

use gradus::prelude::*;
use gradus_source::{InputBytes, Labels, Language, Program};

const MAIN: &str = r#"
#define MY_GRADUS_DECLARATIONS
#include "network.c"
#include <cstdio>

int main() {
    const float x[MY_GRADUS_INPUTS] = {1.0f, 2.0f};
    uint8_t bytes[MY_GRADUS_INPUTS], y[MY_GRADUS_OUTPUTS];
    for (int i = 0; i < MY_GRADUS_INPUTS; i++) {
        bytes[i] = my_GRADUS_quantize(x[i]);
    }
    my_GRADUS_predict(bytes, y);
    std::printf("%s %.1f\n", my_GRADUS_classes[my_GRADUS_class(y)], static_cast<double>(my_GRADUS_dequantize(y[1])));
    return 0;
}
"#;

fn good(folder: &Path, program: &str, arguments: &str) {
    let output = Command::new(program)
        .current_dir(folder)
        .args(arguments.split(' '))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments}: {errors:.5000}");
}

/// Without `extern "C"`, C++ looks for other names than C has. A prefix with the old one in it is the hardest.
#[test]
fn a_file_in_c_links_with_cpp() {
    let there = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if !there("cc") || !there("c++") {
        println!("there is no cc or no c++ here: files in C are not called from C++");
        return;
    }
    let mut network = Sequential::new([2]).layer(Dense::new(2)).build(1).unwrap();
    network.set("0.weight", &[1.0, 0.0, 0.0, 2.0]).unwrap();
    let samples: [&[gradus::Float]; 2] = [&[1.0, 2.0], &[-1.0, -2.0]];
    let quantized = Program::of(&network)
        .unwrap()
        .quantize(samples, InputBytes::Calibrated)
        .unwrap();
    let labels = Labels {
        prefix: "my_GRADUS".into(),
        classes: vec!["one".into(), "two".into()],
        ..Labels::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(
        folder.join("network.c"),
        quantized.source(Language::C, &labels).unwrap(),
    )
    .unwrap();
    std::fs::write(folder.join("main.cpp"), MAIN).unwrap();
    let strict = "-Wall -Wextra -Werror -pedantic";
    // As C, or as C++ with the rest of a sketch.
    for (compiler, language) in [("cc", "-x c -std=c99"), ("c++", "-x c++ -std=c++11")] {
        good(
            folder,
            compiler,
            &format!("{strict} {language} -c network.c -o network.o"),
        );
        good(
            folder,
            "c++",
            &format!("{strict} -std=c++11 main.cpp network.o -o program"),
        );
        let output = Command::new(folder.join("program")).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "two 4.0\n", "{compiler}");
    }
}
