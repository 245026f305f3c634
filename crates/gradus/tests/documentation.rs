//! The documentation holds: the page of every built-in layer, activation, loss and optimizer shows its formula, and links lead somewhere.
//!
//! What stands in a private module's own comment is on no page that `cargo doc` makes, so the comment of the type is read.

use std::fs;
use std::path::{Path, PathBuf};

/// The public types of the files in a folder of the library that implement the trait, each with its doc comment.
fn documented(folder: &str, implements: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder);
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .collect();
    files.sort();
    let mut found = Vec::new();
    for text in files.iter().map(|path| fs::read_to_string(path).unwrap()) {
        let mut doc = String::new();
        for line in text.lines() {
            if let Some(comment) = line.strip_prefix("///") {
                doc += comment;
                doc.push('\n');
            } else if let Some(rest) = line.strip_prefix("pub struct ") {
                let name: String = rest.chars().take_while(|c| c.is_alphanumeric()).collect();
                if text.contains(&format!("impl {implements} for {name} ")) {
                    found.push((name, std::mem::take(&mut doc)));
                }
            } else if !line.starts_with("#[") {
                doc.clear();
            }
        }
    }
    found
}

#[track_caller]
fn assert_all_show(folder: &str, implements: &str, count: usize, words: &[&str]) {
    let found = documented(folder, implements);
    assert!(found.len() >= count, "{} types in {folder}: {found:?}", found.len());
    for (name, doc) in found {
        let doc = doc.to_lowercase();
        for word in words {
            assert!(
                doc.contains(word),
                "the documentation of {name} shows no `{word}`:\n{doc}"
            );
        }
    }
}

#[test]
fn layers_show_forward_and_backward() {
    assert_all_show("layers", "Layer", 10, &["y", "backward", "dx"]);
}

#[test]
fn activations_show_forward_and_backward() {
    assert_all_show("activation", "Activation", 8, &["y =", "backward", "dx = dy"]);
}

#[test]
fn losses_show_the_loss_and_its_gradient() {
    assert_all_show("loss", "Loss", 5, &["loss =", "dy"]);
}

#[test]
fn optimizers_show_the_update() {
    assert_all_show("optim", "Optimizer", 4, &["w ← w"]);
}

/// The places in the repository that a page in Markdown links to.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', '#']).next())
        .filter(|link| !link.is_empty() && !link.contains("://"))
}

#[test]
fn pages_link_to_what_there_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let pages = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "docs/microcontroller.md",
        "bench/README.md",
        "fuzz/README.md",
        "golden/README.md",
    ];
    for page in pages.map(|page| root.join(page)) {
        let text = fs::read_to_string(&page).unwrap();
        for link in links(&text) {
            let target = page.parent().unwrap().join(link);
            assert!(
                target.exists(),
                "{} links to {link}, which is not there",
                page.display()
            );
        }
    }
}
