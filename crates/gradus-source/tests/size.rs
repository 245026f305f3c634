//! The flash that is told, held against what a compiler for a microcontroller makes.

use std::process::Command;

use gradus::prelude::*;
use gradus_source::{InputBytes, Labels, Language, Program};

#[test]
fn the_flash_that_is_told_is_what_a_compiler_needs() {
    let arm = |program: &str| Command::new(format!("arm-none-eabi-{program}"));
    if !arm("gcc")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
    {
        println!("there is no arm-none-eabi-gcc here: the sizes of code are not measured");
        return;
    }
    let network = Sequential::new([1, 12, 12])
        .layer(Conv2d::new(6, 5))
        .layer(Relu)
        .layer(MaxPool2d::new(2))
        .layer(Flatten)
        .layer(Dense::new(20))
        .layer(Gelu)
        .layer(Dense::new(10))
        .layer(Softmax)
        .build(1)
        .unwrap();
    let program = Program::of(&network).unwrap();
    let x = vec![0.5; 144];
    let quantized = program.quantize([&x[..]], InputBytes::Pixels).unwrap();
    let labels = Labels {
        classes: (0..10).map(|class| class.to_string()).collect(),
        ..Labels::default()
    };
    let folder = tempfile::tempdir().unwrap();
    for (name, text, told) in [
        ("float", program.source(Language::C, &labels), program.sizes(&labels)),
        ("int8", quantized.source(Language::C, &labels), quantized.sizes(&labels)),
    ] {
        std::fs::write(folder.path().join("network.c"), text.unwrap()).unwrap();
        let options = "-std=c99 -Os -mcpu=cortex-m4 -mthumb -mfpu=fpv4-sp-d16 -mfloat-abi=hard -c network.c";
        let status = arm("gcc")
            .current_dir(folder.path())
            .args(options.split(' '))
            .status()
            .unwrap();
        assert!(status.success());
        let output = arm("size")
            .current_dir(folder.path())
            .args(["-A", "network.o"])
            .output()
            .unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        let section = |name: &str| -> usize {
            let lines = output.lines().filter(|line| line.starts_with(name));
            lines
                .filter_map(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok())
                .sum()
        };
        let (code, tables, buffer) = (section(".text"), section(".rodata"), section(".bss"));
        println!("{name}: {told}\n{name}: {code} of code, {tables} of tables, {buffer} of buffer");
        // The tables of polynomials count as code, and a compiler aligns.
        assert!(
            (told.tables..told.tables + 150).contains(&tables),
            "{name}: {tables} and {}",
            told.tables
        );
        assert_eq!(told.buffer, buffer, "{name}");
        let ratio = told.code as f64 / code as f64;
        assert!((0.7..1.5).contains(&ratio), "{name}: {code} and {}", told.code);
    }
}
