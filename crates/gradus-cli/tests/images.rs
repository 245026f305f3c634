//! Folders of images, as a user has them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Trains for an epoch on a folder in this one.
fn train(folder: &Path, data: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gradus"))
        .env_clear()
        .env("HOME", folder)
        .current_dir(folder)
        .args([
            "train",
            "mlp",
            "--epochs",
            "1",
            "--quiet",
            "--threads",
            "1",
            "--validation",
            "0",
            "--data",
            data,
        ])
        .output()
        .unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Writes a gray image of 2 by 2 pixels.
fn write(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut encoder = png::Encoder::new(fs::File::create(path).unwrap(), 2, 2);
    encoder.set_color(png::ColorType::Grayscale);
    encoder
        .write_header()
        .unwrap()
        .write_image_data(&[0, 50, 100, 150])
        .unwrap();
}

#[test]
fn files_that_are_left_out_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    for class in ["a", "b"] {
        (0..5).for_each(|i| write(&folder.path().join(format!("pictures/{class}/{i}.png"))));
    }
    assert_eq!(errors(&train(folder.path(), "pictures")), "");
    for name in ["a/notes.txt", "a/more.gif", "b/deeper/5.png", "labels.csv"] {
        write(&folder.path().join("pictures").join(name));
    }
    let output = train(folder.path(), "pictures");
    assert!(output.status.success(), "{}", errors(&output));
    let note = "pictures: 4 files are left out: 1 .gif, 1 .txt by their endings; 1 in folders within the classes' folders; \
                1 beside the classes' folders\n";
    assert!(
        errors(&output).starts_with("note: ") && errors(&output).ends_with(note),
        "{}",
        errors(&output)
    );
}

#[test]
fn all_damaged_files_are_listed_at_once() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a/0.png", "a/1.png", "b/0.png", "b/1.png"] {
        write(&folder.path().join("pictures").join(name));
    }
    fs::write(folder.path().join("pictures/a/1.png"), b"GIF89a").unwrap();
    fs::write(folder.path().join("pictures/b/0.png"), b"").unwrap();
    let output = train(folder.path(), "pictures");
    assert_eq!(output.status.code(), Some(1));
    let listed = "pictures: 2 files or folders can't be used: \
                  a/1.png: neither a PNG nor a JPEG image: it is a GIF image; b/0.png: the file is empty\n";
    assert!(errors(&output).ends_with(listed), "{}", errors(&output));
}

#[test]
fn a_list_of_twenty_files_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = (10..30)
        .map(|i| format!("a/{}{i}.png", "photograph-".repeat(8)))
        .collect();
    for name in &names {
        write(&folder.path().join("pictures").join(name));
        fs::write(folder.path().join("pictures").join(name), b"").unwrap();
    }
    let output = train(folder.path(), "pictures");
    let listed: Vec<String> = names.iter().map(|name| format!("{name}: the file is empty")).collect();
    let listed = format!("20 files or folders can't be used: {}\n", listed.join("; "));
    assert!(errors(&output).ends_with(&listed), "{}", errors(&output));
}

#[test]
fn parts_of_other_names_are_told() {
    let folder = tempfile::tempdir().unwrap();
    for part in ["train", "val"] {
        for class in ["a", "b"] {
            (0..2).for_each(|i| write(&folder.path().join(format!("pictures/{part}/{class}/{i}.png"))));
        }
    }
    let output = train(folder.path(), "pictures");
    assert!(
        !output.status.success() && errors(&output).contains("give the part to test on the name `test`"),
        "{}",
        errors(&output)
    );
    for class in ["a", "b"] {
        write(&folder.path().join(format!("pictures/test/{class}/0.png")));
    }
    let output = train(folder.path(), "pictures");
    assert!(
        output.status.success()
            && errors(&output).ends_with("pictures/val: not used, images are read from `train` and `test`\n"),
        "{}",
        errors(&output)
    );
}

#[test]
fn a_folder_with_the_name_of_a_set_is_told() {
    let folder = tempfile::tempdir().unwrap();
    for class in ["a", "b"] {
        (0..5).for_each(|i| write(&folder.path().join(format!("digits/{class}/{i}.png"))));
    }
    let note = "note: `digits` is taken as the data set of this name, not as the folder: that is ./digits\n";
    let output = train(folder.path(), "digits");
    assert!(
        output.status.success() && errors(&output) == note,
        "{}",
        errors(&output)
    );
    let output = train(folder.path(), "./digits");
    assert!(
        output.status.success() && errors(&output).is_empty(),
        "{}",
        errors(&output)
    );
    let notes = gradus::Network::load(folder.path().join("runs/train/network.safetensors")).unwrap();
    assert_eq!(notes.output_shape().size(), 2);
}
