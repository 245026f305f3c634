//! The arithmetic of the exported files.
//!
//! What is printed into a Rust file are the very functions of these modules, as they are tested and run here; the C files
//! beside them say the same in C, function by function. Pieces are separated by empty lines, and a file gets those
//! that it uses.

pub(crate) mod float;
pub(crate) mod functions;
pub(crate) mod integer;
pub(crate) mod window;

/// The pieces of the Rust files, in an order in which each comes after those that it uses.
pub(crate) fn rust(integer: bool) -> [&'static str; 3] {
    let operations = [include_str!("kernels/float.rs"), include_str!("kernels/integer.rs")];
    let functions = if integer {
        ""
    } else {
        include_str!("kernels/functions.rs")
    };
    [
        include_str!("kernels/window.rs"),
        functions,
        operations[usize::from(integer)],
    ]
}

/// The pieces of the C files, in the same order.
pub(crate) fn c(integer: bool) -> [&'static str; 3] {
    let operations = [include_str!("kernels/float.c"), include_str!("kernels/integer.c")];
    let functions = if integer {
        ""
    } else {
        include_str!("kernels/functions.c")
    };
    [
        include_str!("kernels/window.c"),
        functions,
        operations[usize::from(integer)],
    ]
}

/// The pieces that these names stand for, and all that they use.
pub(crate) fn used(files: [&'static str; 3], names: &[String]) -> Vec<&'static str> {
    let pieces: Vec<(&str, &str)> = (files.iter().flat_map(|file| file.split("\n\n")))
        .filter_map(|piece| name(piece).map(|name| (name, piece.trim())))
        .collect();
    let mut wanted: Vec<bool> = (pieces.iter())
        .map(|(name, _)| names.iter().any(|one| one == name))
        .collect();
    for i in (0..pieces.len()).rev() {
        if wanted[i] {
            for j in 0..i {
                wanted[j] |= mentions(pieces[i].1, pieces[j].0);
            }
        }
    }
    let wanted = pieces.into_iter().zip(wanted).filter(|(_, wanted)| *wanted);
    wanted.map(|((_, piece), _)| piece).collect()
}

/// The name that a piece declares: after `fn` or `struct` in Rust, the first of ours in C.
pub(crate) fn name(piece: &str) -> Option<&str> {
    let code = |line: &&str| !["//", "/*", "use", "#["].iter().any(|start| line.starts_with(start));
    let line = piece.trim().lines().find(code)?;
    let start = ["fn ", "gradus_", "struct "].iter().find_map(|mark| {
        let place = line.find(mark)?;
        Some(if *mark == "gradus_" { place } else { place + mark.len() })
    })?;
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let rest = &line[start..];
    Some(&rest[..rest.find(|c| !word(c)).unwrap_or(rest.len())])
}

/// Whether the code of a piece calls this function, or names this structure.
fn mentions(piece: &str, name: &str) -> bool {
    let is_code = |line: &&str| !["//", "/*"].iter().any(|start| line.trim_start().starts_with(start));
    let code: Vec<&str> = piece.lines().filter(is_code).collect();
    let piece = code.join("\n");
    let structure = name.starts_with(char::is_uppercase) || ["gradus_axis", "gradus_window"].contains(&name);
    piece.match_indices(name).any(|(at, _)| {
        let before = piece[..at].chars().next_back().unwrap_or(' ');
        let after = piece[at + name.len()..].chars().next().unwrap_or(' ');
        let word = |c: char| c.is_alphanumeric() || c == '_';
        !word(before) && before != '.' && if structure { !word(after) } else { after == '(' }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rust_and_c_have_the_same_operations() {
        let names = |files: [&'static str; 3], prefix: &str| -> Vec<String> {
            let pieces = files.into_iter().flat_map(|file| file.split("\n\n"));
            let names = pieces.filter_map(name);
            let lower = names.map(|name| name.trim_start_matches(prefix).to_lowercase());
            // The two bounds of a window are one function in Rust.
            lower.filter(|name| !name.contains("tap")).collect()
        };
        for integer in [false, true] {
            assert_eq!(names(rust(integer), ""), names(c(integer), "gradus_"));
        }
    }

    /// The mean of a whole picture, of values that are far from 0.
    #[test]
    fn the_mean_of_many_pixels_keeps_its_precision() {
        let size = 224;
        let axis = window::Axis {
            input: size,
            kernel: size,
            stride: 1,
            dilation: 1,
            padding: 0,
            output: 1,
        };
        let whole = window::Window {
            inputs: 1,
            outputs: 1,
            groups: 1,
            rows: axis,
            columns: axis,
        };
        let mut y = [0.0];
        float::avg_pool2d(&vec![273.15; size * size], &mut y, &whole, false);
        assert!((y[0] / 273.15 - 1.0).abs() < 1e-5, "{}", y[0]);
    }

    #[test]
    fn a_file_gets_what_it_uses() {
        let found = used(rust(false), &["gelu".into()]);
        let names: Vec<_> = found.iter().filter_map(|piece| name(piece)).collect();
        assert_eq!(names, ["polynomial", "power_of_two", "exp", "magnitude", "erf", "gelu"]);
        let found = used(c(true), &["gradus_max_pool2d".into()]);
        let names: Vec<_> = found.iter().filter_map(|piece| name(piece)).collect();
        let expected = ["axis", "window", "first_tap", "end_tap", "pixel", "max_pool2d"];
        assert_eq!(names, expected.map(|name| format!("gradus_{name}")));
    }
}
